"""Prompts in training loops: albumentations, a data set, the style of torchvision, and training."""

from __future__ import annotations

from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch

from artasyn.arrays import Image
from artasyn.commands.models.train import TrainOptions
from artasyn.errors import DataError, SynthesisError
from artasyn.phantom.film import Phantom, PhantomRadiograph
from artasyn.segment import Lungs
from artasyn.synthesis import LungOpacity, OpacityRecord
from artasyn.synthesis.anomaly import OneOf
from artasyn.synthesis.diffusion import Imagined, PromptRecord
from artasyn.transforms import LungOpacityTransform, OpacityDataset, RandomLungOpacity
from artasyn.transforms.insertion import Insertion

SAID = "moderate left pleural effusion, two 20 mm nodules in the right lung"


@pytest.fixture(scope="module")
def chest() -> PhantomRadiograph:
    return Phantom(size=128)(1)


def test_the_transform_writes_what_prompts_say_into_masks_and_boxes(chest: PhantomRadiograph) -> None:
    film = (255 * chest.image).astype(np.uint8)
    augment = A.Compose(
        [LungOpacityTransform(prompts=[SAID], p=1.0)],
        bbox_params=A.BboxParams(format="pascal_voc", label_fields=["labels"]),
        additional_targets={"lungs": "mask"},
        seed=3,
    )
    masks = np.zeros((*film.shape, 2), np.uint8)
    out = augment(image=film, mask=masks, lungs=chest.lungs.labels, bboxes=np.zeros((0, 4)), labels=[])
    changed = out["image"] != film
    fluid, nodules = (out["mask"][..., channel] > 0 for channel in (0, 1))
    np.testing.assert_array_equal(fluid | nodules, changed)
    assert not (fluid & chest.lungs.right).any()
    assert not (nodules & chest.lungs.left).any()
    assert sorted(out["labels"]).count("nodule") == 2
    assert set(out["labels"]) == {"nodule", "pleural_effusion"}
    inside = np.zeros(film.shape, bool)
    for left, top, right, bottom in np.rint(out["bboxes"]).astype(int):
        inside[top:bottom, left:right] = True
    assert not (changed & ~inside).any()


def test_a_pipeline_with_prompts_is_stored_and_replayed(chest: PhantomRadiograph) -> None:
    augment = A.Compose([LungOpacityTransform(prompts=[SAID], p=1.0)], seed=5)
    again = A.from_dict(A.to_dict(augment))
    again.set_random_seed(5)
    one, other = (each(image=chest.image, lungs=chest.lungs)["image"] for each in (augment, again))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"findings": ["mass"]}, "give prompts, or these"), ({"part": "upper"}, "give prompts"), ({}, "quux")],
)
def test_prompts_beside_other_options_and_unknown_words_are_refused(options: dict[str, object], words: str) -> None:
    prompts = ["quux"] if words == "quux" else [SAID]
    with pytest.raises(SynthesisError, match=words):
        LungOpacityTransform(prompts=prompts, **options)  # type: ignore[arg-type]


def test_a_data_set_of_prompts_gives_records_that_make_the_same_film(chest: PhantomRadiograph) -> None:
    films = [chest.image, Phantom(size=128)(2).image]
    samples = OpacityDataset(films, Imagined.of(SAID), seed=4)
    first, again = samples[1], OpacityDataset(films, Imagined.of(SAID), seed=4)[1]
    assert torch.equal(first["image"], again["image"])
    assert torch.equal((first["image"] != first["normal"]).float(), first["mask"])
    insertion = Insertion(Imagined.of("mass"))
    records = [insertion.read(text) for text in first["records"]]
    assert isinstance(records[0], PromptRecord)
    np.testing.assert_array_equal(insertion.replay(films[1], None, records).image, first["image"][0].numpy())
    with pytest.raises(SynthesisError, match="cannot be rendered by Imagined"):
        insertion.replay(films[1], None, [LungOpacity().draw(chest.lungs, np.random.default_rng(0))])


def test_prompts_in_the_style_of_torchvision(chest: PhantomRadiograph) -> None:
    sample = {"image": torch.from_numpy(chest.image)[None], "lungs": torch.from_numpy(chest.lungs.labels)[None]}
    torch.manual_seed(0)
    out = RandomLungOpacity(Imagined.of("large right pleural effusion"), p=1.0)(sample)
    assert torch.equal(out["image"] != sample["image"], out["mask"])
    assert out["mask"].any()


def test_one_of_several_syntheses_makes_each_anomaly(chest: PhantomRadiograph) -> None:
    both = OneOf((LungOpacity(), Imagined.of("mass")))
    kinds = {type(both(chest.image, chest.lungs, np.random.default_rng(seed)).record) for seed in range(8)}  # type: ignore[attr-defined]
    assert kinds == {OpacityRecord, PromptRecord}


def test_training_is_told_what_makes_the_anomalies(tmp_path: Path) -> None:
    table = tmp_path / "prompts.csv"
    table.write_text("prompt\nmass in the left lung\n", encoding="utf-8")

    def maker(**options: object) -> object:
        return TrainOptions(normal=(tmp_path,), out=tmp_path, **options).maker()  # type: ignore[arg-type]

    assert maker() == LungOpacity()
    assert maker(synthesis="imagined") == Imagined()
    assert maker(synthesis="both", prompts=table) == OneOf((LungOpacity(), Imagined.of("mass in the left lung")))
    with pytest.raises(DataError, match="imagined or both"):
        maker(prompts=table)


def test_a_radiograph_that_shows_none_of_the_prompts_is_an_error() -> None:
    image: Image = np.full((64, 64), 0.4, np.float32)
    labels = np.zeros((64, 64), np.uint8)
    labels[10:50, 8:28] = 1
    with pytest.raises(SynthesisError, match="shows no left lung"):
        Imagined.of("mass in the left lung")(image, Lungs.from_labels(labels), np.random.default_rng(0))
