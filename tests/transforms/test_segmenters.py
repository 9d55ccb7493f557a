"""Transforms with an anatomy, a part of the lungs, and every way of finding them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from artasyn.arrays import Image
from artasyn.errors import DataError, SynthesisError
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.synthesis import LungOpacity, findings
from artasyn.transforms import LungOpacityTransform, OpacityDataset, RandomLungOpacity
from artasyn.transforms.targets import A
from tests.anatomies import Exact, seen

LOBE = "lung_lower_lobe_left"


def read(image: Image) -> Anatomy:
    """The exact anatomy, and a count of how often it was asked for."""
    read.asked = getattr(read, "asked", 0) + 1  # type: ignore[attr-defined]
    return Exact()(image)


def lobar() -> LungOpacity:
    return LungOpacity(findings("consolidation"), part=LOBE, convention="whole")


def test_a_lobe_by_a_segmenter_of_ones_own_which_is_asked_once() -> None:
    image = seen(200)[0]
    sample = {"image": torch.from_numpy(image)[None]}
    transform = RandomLungOpacity(lobar(), p=1.0, segmenter=read)
    torch.manual_seed(1)
    outs = [transform(sample) for _ in range(3)]
    assert read.asked == 1  # type: ignore[attr-defined]
    for out in outs:
        mask = out["mask"][0].numpy()
        assert mask.any()
        assert not (mask & ~Exact()(image).mask(LOBE)).any()


def test_an_anatomy_that_is_given_is_taken() -> None:
    image, anatomy = seen()
    transform = RandomLungOpacity(lobar(), p=1.0, segmenter="given")
    out = transform({"image": torch.from_numpy(image)[None], "lungs": anatomy})
    assert out["mask"].any()
    with pytest.raises(DataError, match="not given"):
        transform({"image": torch.from_numpy(image)[None]})
    data = OpacityDataset([image], lobar(), lungs=lambda _: anatomy, seed=3, segmenter="given")
    assert not (data[0]["mask"][0].numpy().astype(bool) & ~anatomy.mask(LOBE)).any()


def test_albumentations_in_a_zone_and_in_a_lobe() -> None:
    image, anatomy = seen()
    zone = A.Compose([LungOpacityTransform(part="upper_zone_right", p=1.0)], seed=2)
    lungs = anatomy.lungs()
    out = zone(image=image, mask=np.zeros(image.shape, np.uint8), lungs=lungs.labels)
    assert out["mask"].any()
    assert not (out["mask"].astype(bool) & ~(lungs.zone("upper") & lungs.right)).any()
    options: dict[str, Any] = {"part": LOBE, "convention": "whole", "findings": ["mass"], "segmenter": "given"}
    lobe = LungOpacityTransform(p=1.0, **options)
    out = lobe(image=image, mask=np.zeros(image.shape, np.uint8), lungs=anatomy)
    assert out["mask"].any()
    assert not (out["mask"].astype(bool) & ~anatomy.mask(LOBE)).any()
    stored = A.to_dict(A.Compose([lobe]))["transform"]["transforms"][0]
    assert {name: stored[name] for name in options} == options
    with pytest.raises(SynthesisError, match="lungs alone do not tell"):
        lobe(image=image, lungs=lungs.labels)
