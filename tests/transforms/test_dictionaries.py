"""Transforms of dictionaries in pipelines of MONAI."""

from __future__ import annotations

import pickle
import runpy
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from artasyn.errors import DataError, ImageError, MissingExtra, SynthesisError
from artasyn.phantom.film import Phantom, PhantomRadiograph
from artasyn.segment import PBTSeg
from tests.anatomies import Exact, seen

monai = pytest.importorskip("monai", reason="the extra monai is not installed")
from monai.data import CacheDataset, DataLoader, MetaTensor  # noqa: E402
from monai.transforms import Compose, RandAdjustContrastd, Rotate90d  # noqa: E402
from monai.utils import set_determinism  # noqa: E402

from artasyn.transforms import AnatomyNetd, LungOpacityd, PBTSegd  # noqa: E402

NAMES = ["nodule", "consolidation"]


@cache
def chest(seed: int = 1) -> PhantomRadiograph:
    return Phantom(size=96)(seed)


def film(seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(chest(seed).image)[None]


def inserted(data: dict[Any, Any], seed: int = 3, **options: Any) -> dict[Any, Any]:
    made: dict[Any, Any] = LungOpacityd("image", NAMES, **{"prob": 1.0} | options).set_random_state(seed=seed)(data)
    return made


HELD: dict[str, Callable[[torch.Tensor], Any]] = {
    "array": lambda image: image.numpy(),
    "bytes": lambda image: (255 * image.numpy()).astype(np.uint8),
    "tensor": lambda image: image,
    "half": lambda image: image.half(),
    "three channels": lambda image: image.expand(3, -1, -1),
    "metadata": lambda image: MetaTensor(image, affine=torch.diag(torch.tensor([0.2, 0.3, 1.0, 1.0]).double())),
}


@pytest.mark.parametrize("kind", HELD)
def test_the_outputs_say_what_changed_and_are_held_as_the_image_is(kind: str) -> None:
    image = HELD[kind](film())
    before = image.copy() if isinstance(image, np.ndarray) else image.clone()
    out = inserted({"image": image, "name": "a"}, findings_key="found")
    assert out["name"] == "a"
    assert {type(out[key]) for key in ("image", "mask", "found")} == {type(image)}
    assert out["image"].dtype == image.dtype
    changed, mask, found = (np.asarray(out[key]) for key in ("image", "mask", "found"))
    assert (np.asarray(image) == np.asarray(before)).all()
    assert ((changed != np.asarray(before)).any(0, keepdims=True) == (mask > 0)).all()
    assert mask.any()
    assert mask.dtype == found.dtype == np.uint8
    assert found.shape == (2, 96, 96)
    assert (found.any(0, keepdims=True) == (mask > 0)).all()
    if kind == "metadata":
        for key in ("image", "mask", "found"):
            assert torch.equal(out[key].affine, image.affine)


def test_lungs_that_are_given_are_taken_and_others_found() -> None:
    lungs = torch.from_numpy(chest().lungs.labels)[None]
    right = lungs * (lungs == 1)
    one = inserted({"image": film(), "lungs": right}, lungs_key="lungs", lungs_labelled=True)
    assert not (one["mask"].bool() & (lungs != 1)).any()
    by_pbtseg = inserted({"image": film()}, lungs_key="lungs")
    assert torch.equal(by_pbtseg["mask"], inserted({"image": film()})["mask"])
    with pytest.raises(ImageError, match="the image is"):
        inserted({"image": film(), "lungs": right[:, :50]}, lungs_key="lungs", lungs_labelled=True)


@pytest.mark.parametrize(
    "mask", [torch.zeros(1, 96, 96), np.zeros((1, 96, 96), bool), MetaTensor(torch.zeros(1, 96, 96))]
)
def test_a_mask_that_is_there_is_changed_by_union(mask: Any) -> None:
    mask[:, :4] = 1
    out = inserted({"image": film(), "mask": mask})
    changed = (out["image"] != film()).numpy()
    changed[:, :4] = True
    assert (np.asarray(out["mask"]) == changed).all()
    assert type(out["mask"]) is type(mask)
    assert out["mask"].dtype == mask.dtype


def test_the_probability_decides_and_the_outputs_are_there_anyway() -> None:
    out = inserted({"image": film()}, prob=0.0, findings_key="found")
    assert torch.equal(out["image"], film())
    assert not out["mask"].any()
    assert out["found"].shape == (2, 96, 96)
    insert = LungOpacityd("image", NAMES, prob=0.5).set_random_state(seed=0)
    shares = [bool(insert({"image": film()})["mask"].any()) for _ in range(30)]
    assert 5 < sum(shares) < 25


def test_the_state_decides() -> None:
    first, again, other = (inserted({"image": film()}, seed=seed)["image"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    insert = LungOpacityd("image", NAMES, prob=1.0).set_random_state(seed=1)
    copy = pickle.loads(pickle.dumps(insert))
    for _ in range(2):  # not the same every time, but the same in a copy
        made = insert({"image": film()})["image"]
        assert torch.equal(made, copy({"image": film()})["image"])
    assert not torch.equal(made, first)


def test_no_image_and_no_lungs() -> None:
    with pytest.raises(KeyError, match="image"):
        inserted({"other": film()})
    assert inserted({"other": 1}, allow_missing_keys=True) == {"other": 1}
    blank = torch.zeros(1, 96, 96)
    with pytest.raises(SynthesisError, match="no lungs found"):
        inserted({"image": blank})
    skipped = inserted({"image": blank}, on_failure="skip")
    assert torch.equal(skipped["image"], blank)
    assert not skipped["mask"].any()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("film.png", "use LoadImaged before"),
        ([[0.5]], "use EnsureTyped before"),
        (torch.zeros(96, 96), "use EnsureChannelFirstd before"),
        (torch.zeros(96, 96, 1), "use EnsureChannelFirstd before"),
        (torch.zeros(2, 1, 96, 96), "give one radiograph at a time"),
        (film() * 255, r"must lie in \[0, 1\]"),
        (torch.zeros(1, 96, 96, dtype=torch.int16), "divide other integers"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        inserted({"image": image})
    with pytest.raises(ImageError, match=message):
        PBTSegd("image")({"image": image})


def test_a_mask_that_is_no_array_and_wrong_options_are_refused() -> None:
    with pytest.raises(ImageError, match="mask must be an array or a tensor, not list; use EnsureTyped before"):
        inserted({"image": film(), "mask": [[0]]})
    with pytest.raises(DataError, match=r"prob must be a probability in \[0, 1\], not 1.5"):
        LungOpacityd("image", prob=1.5)
    with pytest.raises((DataError, jaxtyping.TypeCheckError), match=r"on_failure must be raise or skip|Type-check"):
        LungOpacityd("image", on_failure="skipp")  # type: ignore[arg-type]


def test_keys_must_fit() -> None:
    with pytest.raises(DataError, match=r"one image, not .*'a', 'b'"):
        LungOpacityd(["a", "b"])
    with pytest.raises(DataError, match=r"1 keys of outputs, .*, for 2 images"):
        PBTSegd(["a", "b"])


def augmented(**options: Any) -> Any:
    return Compose(
        [
            PBTSegd("image"),
            RandAdjustContrastd("image", prob=0.5),
            LungOpacityd("image", NAMES, lungs_key="lungs", prob=0.8, **options),
            Rotate90d(["image", "mask"]),
        ]
    )


def test_lungs_are_cached_and_anomalies_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    find = PBTSeg.__call__
    monkeypatch.setattr(PBTSeg, "__call__", lambda self, image: asked.append(1) or find(self, image))  # type: ignore[func-returns-value]
    data = CacheDataset([{"image": MetaTensor(film(seed))} for seed in (1, 2)], augmented(), progress=False)
    data.transform.set_random_state(seed=4)
    passes = [[data[number]["mask"] for number in range(2)] for _ in range(3)]
    assert len(asked) == 2
    assert len({bytes(mask.numpy().tobytes()) for each in passes for mask in each}) > 3
    turned = data[0]
    back = data.transform.inverse({key: turned[key] for key in ("image", "mask")})
    assert torch.equal(back["mask"].rot90(1, (1, 2)).as_tensor(), turned["mask"].as_tensor())


def test_workers_draw_other_anomalies_and_a_seed_the_same_ones() -> None:
    def masks(seed: int) -> list[bytes]:
        set_determinism(seed)
        try:
            loader = DataLoader(CacheDataset([{"image": film()}] * 4, augmented(), progress=False), num_workers=2)
            return [bytes(batch["mask"].numpy().tobytes()) for batch in loader]
        finally:
            set_determinism(None)

    first, again, other = masks(1), masks(1), masks(2)
    assert first == again != other
    assert len(set(first)) > 2


def test_lungs_and_structures_with_the_metadata_of_the_image() -> None:
    image, anatomy = seen()
    data = {"image": MetaTensor(torch.from_numpy(image)[None]), "prior": image[None]}
    out = PBTSegd(["image", "prior"], ["lungs", "lungs_before"])(data)
    assert isinstance(out["lungs"], MetaTensor)
    assert (out["lungs"].numpy() == PBTSeg()(image).labels).all()
    assert (out["lungs_before"] == out["lungs"].numpy()).all()
    out = AnatomyNetd("image", ["lung_lower_lobe_left", "heart"], reader=Exact())(data)
    assert isinstance(out["anatomy"], MetaTensor)
    assert (out["anatomy"][0].numpy() == anatomy.mask("lung_lower_lobe_left")).all()
    assert (out["anatomy"][1].numpy() == anatomy.mask("heart")).all()


def test_without_monai_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import artasyn.transforms

    monkeypatch.delitem(sys.modules, "artasyn.transforms.dictionaries")
    monkeypatch.delattr(artasyn.transforms, "dictionaries", raising=False)
    monkeypatch.setitem(sys.modules, "monai.transforms", None)
    with pytest.raises(MissingExtra, match=r"pip install artasyn\[monai\]"):
        artasyn.transforms.LungOpacityd  # noqa: B018
    assert "LungOpacityd" in artasyn.transforms.__all__
    monkeypatch.setitem(sys.modules, "monai", None)
    names = runpy.run_path(str(artasyn.transforms.__file__))["__all__"]  # those of a star import
    assert names == ["LungOpacityTransform", "OpacityDataset", "RandomBatchLungOpacity", "RandomLungOpacity"]
