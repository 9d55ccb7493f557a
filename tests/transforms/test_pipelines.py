"""Transforms and data set as training loops use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import albumentations as A
import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from artasyn.errors import DataError, ImageError, SynthesisError
from artasyn.phantom.film import Phantom, PhantomRadiograph
from artasyn.synthesis import FINDINGS, LungOpacity, OpacityRecord, findings
from artasyn.transforms.dataset import OpacityDataset
from artasyn.transforms.options import check_options
from artasyn.transforms.pipelines import LungOpacityTransform, RandomLungOpacity
from tests.conftest import ROOT


@cache
def chest(seed: int = 1) -> PhantomRadiograph:
    return Phantom(size=128)(seed)


def film() -> np.ndarray:
    return np.asarray(np.rint(255 * chest().image), np.uint8)


def compose(*transforms: Any, seed: int = 7, kind: Any = A.Compose, **arguments: Any) -> Any:
    made = kind([*transforms, LungOpacityTransform(p=1.0, **arguments)], additional_targets={"lungs": "mask"})
    made.set_random_seed(seed)
    return made


def sample() -> dict[str, Any]:
    return {"image": film(), "mask": np.zeros((128, 128), np.uint8), "lungs": chest().lungs.labels}


# albumentations.


def test_in_a_composition() -> None:
    out = compose()(**sample())
    assert ((out["image"] != film()) == out["mask"]).all()
    assert set(np.unique(out["mask"])) == {0, 1}
    assert (out["lungs"] == chest().lungs.labels).all()
    assert not (out["mask"].astype(bool) & ~chest().lungs.mask).any()


def test_lungs_move_with_the_image() -> None:
    flip = A.HorizontalFlip(p=1.0)
    rotate = A.Affine(rotate=(10, 10), p=1.0)
    out = compose(flip, rotate)(**sample())
    moved = A.Compose([flip, rotate], additional_targets={"lungs": "mask"})(**sample())
    assert (out["lungs"] == moved["lungs"]).all()
    assert ((out["image"] != moved["image"]) == out["mask"]).all()
    assert not (out["mask"].astype(bool) & (out["lungs"] == 0)).any()


def test_seeds_decide() -> None:
    images = [compose(seed=seed)(**sample())["image"] for seed in (1, 1, 2)]
    assert (images[0] == images[1]).all()
    assert (images[0] != images[2]).any()
    stream = compose(seed=1)
    assert (stream(**sample())["image"] != stream(**sample())["image"]).any()  # not the same every time


@pytest.mark.filterwarnings("error")
def test_replays() -> None:
    replayed = compose(A.Rotate(10, p=1.0), kind=A.ReplayCompose, anomalies_range=(2, 2))
    out = replayed(**sample())
    again = A.ReplayCompose.replay(out["replay"], **sample())
    for target in ("image", "mask", "lungs"):
        assert (again[target] == out[target]).all()
    other = chest(2)  # what was drawn fits any lungs
    moved = A.ReplayCompose.replay(
        out["replay"], image=other.image, mask=np.zeros((128, 128), np.uint8), lungs=other.lungs.labels
    )
    assert moved["mask"].any()


ARGUMENTS: dict[str, Any] = {
    "findings": ["nodule", "consolidation"],
    "severity_range": (0.3, 0.6),
    "size_range": (0.2, 0.4),
    "number_range": (1, 2),
    "zones": ["lower"],
    "sides": ["left"],
    "kinds_range": (2, 2),
    "anomalies_range": (1, 2),
    "tolerance": 0.01,
    "mask_value": 3.0,
    "on_failure": "skip",
}


@pytest.mark.parametrize("data_format", ["json", "yaml"])
def test_stored_and_read_back(data_format: str, tmp_path: Path) -> None:
    pipeline = compose(**ARGUMENTS)
    A.save(pipeline, str(tmp_path / "pipeline"), data_format=data_format)
    read = A.load(str(tmp_path / "pipeline"), data_format=data_format)
    again = A.from_dict(json.loads(json.dumps(A.to_dict(pipeline))))
    assert A.to_dict(read)["transform"]["transforms"][0]["severity_range"] == [0.3, 0.6]
    for other in (read, again):
        other.set_random_seed(7)
        out, expected = other(**sample()), compose(**ARGUMENTS)(**sample())
        assert (out["image"] == expected["image"]).all()
        assert set(np.unique(out["mask"])) == {0, 3}


def test_arguments_mean_what_they_say() -> None:
    transform = LungOpacityTransform(**ARGUMENTS)
    expected = LungOpacity(
        findings(
            "nodule",
            "consolidation",
            severity_range=(0.3, 0.6),
            size_range=(0.2, 0.4),
            number_range=(1, 2),
            zones=("lower",),
            sides=("left",),
        ),
        (2, 2),
        0.01,
    )
    assert transform._insertion.opacity == expected
    left = compose(sides=["left"])(**sample())["mask"].astype(bool)
    assert not (left & chest().lungs.right).any()


@pytest.mark.parametrize(
    "mask", [np.zeros((128, 128), bool), np.zeros((128, 128, 1), np.float32), np.full((128, 128), 5, np.int32)]
)
def test_masks_are_merged_by_union(mask: Any) -> None:
    mask[:10] = 2
    out = compose(mask_value=9.0)(**sample() | {"mask": mask})["mask"]
    plain = compose(mask_value=9.0)(**sample())["mask"] > 0
    assert out.dtype == mask.dtype
    assert (out.reshape(128, 128)[plain] == mask.dtype.type(9)).all()
    assert (out.reshape(128, 128)[~plain] == mask.reshape(128, 128)[~plain]).all()


def test_a_mask_with_a_channel_for_each_finding() -> None:
    names = ["mass", "pleural_effusion"]
    mask = np.zeros((128, 128, 2), np.uint8)
    arguments: dict[str, Any] = {"findings": names, "kinds_range": (2, 2)}
    out = compose(**arguments)(**sample() | {"mask": mask})
    assert out["mask"].any(axis=(0, 1)).all()
    assert (out["mask"].any(axis=2) == (out["image"] != film())).all()
    with pytest.raises(SynthesisError, match="3 channels for 2 findings"):
        compose(**arguments)(**sample() | {"mask": np.zeros((128, 128, 3), np.uint8)})
    every = compose()(**sample() | {"mask": np.zeros((128, 128, len(FINDINGS)), np.uint8)})["mask"]
    assert 1 <= every.any(axis=(0, 1)).sum() <= 2


def test_lungs_as_a_mask_or_found() -> None:
    labelled = compose()(**sample())["image"]
    masked = compose()(**sample() | {"lungs": chest().lungs.mask})["image"]
    wide = compose(lungs_labelled=False)(**sample() | {"lungs": 255 * chest().lungs.mask.astype(np.uint8)})["image"]
    assert (masked == labelled).all()
    assert (wide == labelled).all()
    found = compose()(image=film())
    assert (found["image"] != film()).any()


def test_without_lungs_it_fails_or_skips() -> None:
    blank = np.zeros((128, 128), np.uint8)
    with pytest.raises(SynthesisError, match="no lungs"):
        compose()(image=blank)
    for lungs in ({}, {"lungs": blank}):
        assert (compose(on_failure="skip")(image=blank, mask=blank, **lungs)["image"] == 0).all()


def test_probability() -> None:
    pipeline = A.Compose([LungOpacityTransform(p=0.5)], seed=3)
    changed = [(pipeline(image=film(), lungs=chest().lungs.labels)["image"] != film()).any() for _ in range(40)]
    assert 10 < sum(changed) < 30
    never = A.Compose([LungOpacityTransform(p=0.0)], seed=3)
    assert (never(image=film())["image"] == film()).all()


class Films(torch.utils.data.Dataset[Any]):
    """Eight films, each through a seeded albumentations pipeline."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        return self.pipeline(image=film(), lungs=chest().lungs.labels)["image"]


def test_workers_do_not_repeat_each_other() -> None:
    loader = torch.utils.data.DataLoader(Films(compose()), num_workers=2, batch_size=None)
    epochs = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        epochs.append([np.asarray(image).tobytes() for image in loader])
    assert epochs[0] == epochs[1]
    assert len(set(epochs[0] + epochs[2])) == 16


# torch and torchvision.


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_on_tensors(dtype: torch.dtype, channels: int) -> None:
    image = torch.from_numpy(chest().image)[None].expand(channels, -1, -1)
    image = (255 * image).to(torch.uint8) if dtype == torch.uint8 else image
    lungs = torch.from_numpy(chest().lungs.labels)
    torch.manual_seed(5)
    out = RandomLungOpacity(p=1.0)({"image": image, "lungs": lungs, "name": "a"})
    assert out["image"].dtype == dtype
    assert out["image"].shape == image.shape
    assert torch.equal((out["image"] != image).any(0, keepdim=True), out["mask"])
    assert out["mask"].any()
    assert out["name"] == "a"
    torch.manual_seed(5)
    picture, target = RandomLungOpacity(p=1.0)(image, {"lungs": lungs, "name": "a"})
    assert torch.equal(picture, out["image"])
    assert torch.equal(target["mask"], out["mask"])


def test_in_a_torchvision_pipeline() -> None:
    lungs = tv_tensors.Mask(torch.from_numpy(chest().lungs.labels)[None])
    mask = tv_tensors.Mask(torch.zeros(1, 128, 128, dtype=torch.uint8))
    image = tv_tensors.Image(torch.from_numpy(film())[None])
    pipeline = v2.Compose(
        [v2.RandomHorizontalFlip(1.0), RandomLungOpacity(p=1.0), v2.ToDtype(torch.float32, scale=True)]
    )
    torch.manual_seed(2)
    out = pipeline({"image": image, "mask": mask, "lungs": lungs})
    assert isinstance(out["image"], tv_tensors.Image)
    assert isinstance(out["mask"], tv_tensors.Mask)
    flipped = v2.functional.horizontal_flip(image).float() / 255
    assert torch.equal(
        ((out["image"] - flipped).abs() > 1e-3).as_subclass(torch.Tensor), out["mask"].as_subclass(torch.Tensor) > 0
    )


def test_union_probability_and_failure_on_tensors() -> None:
    image, lungs = torch.from_numpy(chest().image)[None], torch.from_numpy(chest().lungs.labels)[None]
    mask = torch.zeros(1, 128, 128)
    mask[:, :5] = 1
    torch.manual_seed(0)
    out = RandomLungOpacity(p=1.0)({"image": image, "lungs": lungs, "mask": mask})
    assert torch.equal(out["mask"] > 0, (mask > 0) | (out["image"] != image))
    same = RandomLungOpacity(p=0.0)({"image": image})
    assert torch.equal(same["image"], image)
    assert not same["mask"].any()
    blank = torch.zeros(1, 64, 64)
    with pytest.raises(SynthesisError):
        RandomLungOpacity(p=1.0)({"image": blank})
    assert torch.equal(RandomLungOpacity(p=1.0, on_failure="skip")({"image": blank})["image"], blank)


KINDS: dict[str, Any] = {
    "(h, w)": lambda image: image,
    "(1, h, w)": lambda image: image[None],
    "(3, h, w)": lambda image: image.expand(3, -1, -1),
    "a view": lambda image: image.repeat(2, 2)[::2, ::2],
    "channels last in memory": lambda image: torch.stack([image] * 3, dim=2).permute(2, 0, 1),
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8])
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_of_every_dtype_and_shape(dtype: torch.dtype, kind: str) -> None:
    plain = torch.from_numpy(chest().image) * (255 if dtype == torch.uint8 else 1)
    image = KINDS[kind](plain.to(dtype))
    before, lungs = image.clone(), torch.from_numpy(chest().lungs.labels)
    for seed in range(3):
        torch.manual_seed(seed)
        out, target = RandomLungOpacity(p=1.0)(image, {"lungs": lungs})
        assert (out.dtype, out.shape) == (dtype, image.shape)
        differs = out != before
        assert torch.equal(target["mask"].reshape(128, 128), differs if differs.ndim == 2 else differs.any(0))
        assert target["mask"].shape == (image.shape if image.ndim == 2 else (1, 128, 128))
        assert target["mask"].any()
        assert 0 <= out.min() <= out.max() <= (255 if dtype == torch.uint8 else 1)
    assert torch.equal(image, before)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"image": torch.zeros(1, 1, 64, 64)}, "a batch to BatchLungOpacity"),
        ({"image": torch.zeros(64, 64, 3)}, r"use image.permute\(2, 0, 1\)"),
        ({"image": torch.zeros(2, 64, 64)}, r"not \(2, 64, 64\)"),
        ({"image": torch.zeros(64)}, r"not \(64,\)"),
        ({"image": torch.zeros(0, 64, 64)}, r"not \(0, 64, 64\)"),
        ({"image": torch.zeros(1, 9, 64)}, "at least 16 rows"),
        ({"image": torch.full((1, 64, 64), torch.nan)}, "values from nan"),
        ({"image": torch.full((3, 64, 64), 255.0)}, "values from 255 to 255"),
        ({"image": torch.zeros(1, 64, 64, dtype=torch.int16)}, "not int16"),
        ({"image": torch.zeros(1, 64, 64, dtype=torch.uint16)}, "not uint16.*65535"),
        ({"image": np.zeros((64, 64), np.uint8)}, "a tensor or a PIL image, not ndarray"),
        ({"picture": torch.zeros(1, 64, 64)}, "not NoneType"),
        ({"image": Image.new("I;16", (64, 64))}, "mode L or RGB, not I;16"),
        ({"image": Image.new("RGBA", (64, 64))}, "mode L or RGB, not RGBA"),
        ({"image": torch.zeros(1, 64, 64), "lungs": torch.zeros(1, 32, 32)}, r"the image is \(64, 64\)"),
        ({"image": torch.zeros(1, 64, 64), "lungs": "a.png"}, "not str"),
    ],
)
def test_samples_of_another_kind_are_refused(sample: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        RandomLungOpacity(p=1.0, on_failure="skip")(sample)


def test_masks_of_another_kind_are_refused() -> None:
    sample = {"image": torch.from_numpy(chest().image)[None], "lungs": chest().lungs}
    for mask in (torch.zeros(1, 64, 64), torch.zeros(128, 128, 1), torch.zeros(3, 128, 128)):
        with pytest.raises((ImageError, SynthesisError), match=r"the image is|3 channels for 14 findings"):
            RandomLungOpacity(p=1.0)(sample | {"mask": mask})
    both = RandomLungOpacity(LungOpacity(findings("nodule", "mass"), (2, 2)), p=1.0)
    out = both(sample | {"mask": torch.zeros(2, 128, 128)})
    assert torch.equal(out["mask"].any(0, keepdim=True), out["image"] != sample["image"])
    assert out["mask"].flatten(1).any(1).all()


@pytest.mark.parametrize("top", [1, 255])
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_a_mask_of_both_lungs_is_split_on_tensors(dtype: torch.dtype, top: int) -> None:
    left = RandomLungOpacity(LungOpacity(findings("consolidation", sides=("left",)), (1, 1)), p=1.0)
    image, mask = torch.from_numpy(chest().image)[None], torch.from_numpy(chest().lungs.mask)
    out = left({"image": image, "lungs": (mask * top).to(dtype)})
    assert not (out["mask"][0].numpy() & ~chest().lungs.left).any()
    alone = (torch.from_numpy(chest().lungs.left) * top).to(dtype)
    if top == 255 or dtype == torch.bool:
        assert left({"image": image, "lungs": alone})["mask"].any()
    else:
        with pytest.raises(ImageError, match="lungs_labelled=True"):
            left({"image": image, "lungs": alone})


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_on_pil_images(mode: str) -> None:
    image = Image.fromarray(film()).convert(mode)
    lungs = Image.fromarray(chest().lungs.labels)
    torch.manual_seed(5)
    out, target = RandomLungOpacity(p=1.0)(image, {"lungs": lungs})
    assert (out.mode, out.size) == (mode, image.size)
    differs = np.asarray(out) != np.asarray(image)
    differs = differs.any(2) if differs.ndim == 3 else differs
    assert (target["mask"][0].numpy() == differs).all()
    for kind, value in (("L", 255), ("1", 1), ("P", 1)):
        torch.manual_seed(5)
        mask = Image.new("L", image.size).convert(kind)
        marked = RandomLungOpacity(p=1.0)({"image": image, "lungs": lungs, "mask": mask})["mask"]
        assert (marked.mode, marked.size) == (kind, image.size)
        assert (np.asarray(marked) == value * differs).all()
    data = OpacityDataset([image], lungs=lambda index: lungs)[0]
    assert data["image"].shape == (len(image.getbands()), 128, 128)
    assert torch.equal((data["image"] != data["normal"]).any(0, keepdim=True), data["mask"] > 0)


@pytest.mark.parametrize("name", ["lungs", "mask"])
def test_lungs_and_masks_must_move_with_the_image_in_torchvision(name: str) -> None:
    flip, step = v2.RandomHorizontalFlip(1.0), RandomLungOpacity(p=1.0)
    plain = torch.from_numpy(chest().lungs.labels)[None]
    image = tv_tensors.Image(torch.from_numpy(film())[None])
    sample = {"image": image, "lungs": tv_tensors.Mask(plain)}
    for pipeline in (
        v2.Compose([flip, step]),
        torch.nn.Sequential(v2.RandomRotation(5), torch.nn.Sequential(step)),
        v2.Compose([v2.RandomApply([v2.Resize(128)]), v2.Compose([step])]),
    ):
        for image_of in (image, torch.from_numpy(film())[None]):
            with pytest.raises(ImageError, match=rf"may move the image, but not the {name}; give {name} as"):
                pipeline(sample | {"image": image_of, name: plain})
        pipeline(sample)
    for pipeline in (v2.Compose([v2.GaussianBlur(3), step, flip]), v2.Compose([step])):
        pipeline(sample | {name: plain})


def test_a_new_mask_moves_with_the_image_in_torchvision() -> None:
    lungs = tv_tensors.Mask(torch.from_numpy(chest().lungs.labels)[None])
    for image in (tv_tensors.Image(torch.from_numpy(film())[None]), Image.fromarray(film())):
        torch.manual_seed(5)
        out = v2.Compose([RandomLungOpacity(p=1.0), v2.RandomHorizontalFlip(1.0)])({"image": image, "lungs": lungs})
        flipped = np.asarray(v2.functional.horizontal_flip(image))
        assert (out["mask"].numpy()[0] == (np.asarray(out["image"]) != flipped).reshape(128, 128)).all()


# The data set.


def test_a_data_set_is_the_same_for_any_workers_and_order() -> None:
    films = [chest(seed).image for seed in (1, 2, 3)]
    data = OpacityDataset(films, seed=4)
    alone = [data[index] for index in (2, 0, 1)]
    for workers in (0, 2):
        loaded = list(torch.utils.data.DataLoader(data, num_workers=workers, batch_size=None))
        for index, one in zip((2, 0, 1), alone, strict=True):
            assert torch.equal(loaded[index]["image"], one["image"])
            assert loaded[index]["records"] == one["records"]
    data.set_epoch(1)
    assert not torch.equal(data[0]["image"], alone[1]["image"])
    assert torch.equal(OpacityDataset(films[::-1], seed=4)[2]["image"], alone[1]["image"])
    assert not torch.equal(OpacityDataset(films, seed=5)[0]["image"], alone[1]["image"])


def test_items_of_every_kind() -> None:
    one = chest()
    plain = OpacityDataset([one.image], seed=1, lungs=lambda index: one.lungs)[0]
    for item, key in (
        ((one.image, 7), 0),
        ({"picture": one.image}, "picture"),
        (torch.from_numpy(one.image)[None], None),
    ):
        other = OpacityDataset([item], key=key, seed=1, lungs=lambda index: one.lungs.labels)[0]
        if not isinstance(item, torch.Tensor):
            assert torch.equal(other["image"], plain["image"])
        assert torch.equal((other["image"] != other["normal"]).float(), other["mask"])
        assert all(OpacityRecord.from_json(text).lesions for text in other["records"])
    half = torch.from_numpy(one.image)[None].bfloat16().requires_grad_()
    narrow: tuple[Any, ...] = (
        one.image.astype(np.float64),
        one.image.astype(np.float16),
        half,
        Image.fromarray(film()),
    )
    for picture in narrow:
        for lungs in (one.lungs.mask, 255 * one.lungs.mask.astype(np.uint8)):
            other = OpacityDataset([picture], seed=1, lungs=lambda index, lungs=lungs: lungs)[0]
            assert other["image"].dtype == other["normal"].dtype == torch.float32
            assert torch.equal((other["image"] != other["normal"]).float(), other["mask"])
    healthy = OpacityDataset([one.image], p=0.0)[0]
    assert not healthy["mask"].any()
    assert torch.equal(healthy["image"], healthy["normal"])
    coloured = OpacityDataset([np.repeat(film()[:, :, None], 3, axis=2)], lungs=lambda index: one.lungs)[0]
    assert coloured["image"].shape == (3, 128, 128)
    assert coloured["image"].max() <= 1


# Import.


@pytest.mark.parametrize("value", [None, "0", "1"])
def test_the_import_leaves_the_environment_alone(value: str | None) -> None:
    switch = "NO_ALBUMENTATIONS_UPDATE"
    code = f"""
import os, urllib.request
import cv2  # changes LD_LIBRARY_PATH
before = dict(os.environ)
asked = []
urllib.request.OpenerDirector.open = lambda *arguments, **options: asked.append(arguments)
import artasyn.transforms.pipelines
assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())
assert bool(asked) == (os.environ.get("{switch}") == "0"), asked
"""
    environment = {name: text for name, text in os.environ.items() if name != switch}
    environment |= {} if value is None else {switch: value}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=ROOT, env=environment)


@pytest.mark.parametrize("kind", [RandomLungOpacity, LungOpacityTransform])
def test_wrong_options_are_refused(kind: Any) -> None:
    for p in (-0.1, 1.5, float("nan")):
        with pytest.raises(DataError, match=r"p must be a probability in \[0, 1\]"):
            kind(p=p)
    with pytest.raises((DataError, jaxtyping.TypeCheckError), match=r"on_failure must be raise or skip|Type-check"):
        kind(on_failure="skipp")
    with pytest.raises(DataError, match="on_failure must be raise or skip, not 'skipp'"):
        check_options(0.5, "skipp")
    with pytest.raises(DataError, match=r"not '0\.5'"):
        check_options("0.5")
