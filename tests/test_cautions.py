"""The vocabulary of warnings about films, and the cautions that follow from grey levels alone."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from artasyn.arrays import Image
from artasyn.cautions import CAUTIONS, UNUSABLE, Caution, pixel_cautions, sentences, usable
from artasyn.phantom.film import Phantom
from artasyn.segment import PBTSeg


@pytest.fixture(scope="module")
def film() -> Image:
    return Phantom(size=192)(4).image


def test_every_word_has_one_sentence() -> None:
    assert list(CAUTIONS) == list(get_args(Caution))
    assert len(set(CAUTIONS.values())) == len(CAUTIONS)
    assert set(CAUTIONS) > UNUSABLE
    assert all(usable([word]) != (word in UNUSABLE) for word in CAUTIONS)
    assert usable([])
    assert sentences([]) == ""


def test_a_good_film_of_any_size_has_no_caution() -> None:
    for size in (64, 96, 250, 700):
        assert pixel_cautions(Phantom(size=size)(1).image) == ()


@pytest.mark.parametrize("invert", [False, True])
def test_a_saturated_film_is_clipped(film: Image, invert: bool) -> None:
    low, high = np.quantile(film[40:150, 30:160], [0.25, 0.75])
    for stretched in ((film - low) / (film.max() - low), (film - film.min()) / (high - film.min())):
        image = np.asarray(stretched.clip(0, 1), np.float32)
        assert "clipped" in pixel_cautions(1 - image if invert else image)
        assert "clipped" in pixel_cautions(image * np.float32(0.5) + np.float32(0.25))


@pytest.mark.parametrize("levels", [8, 31])
def test_few_levels_of_grey_are_a_low_range(film: Image, levels: int) -> None:
    coarse = np.asarray(np.round(film * levels) / levels, np.float32)
    assert "low_range" in pixel_cautions(coarse)
    assert pixel_cautions(np.asarray(0.4 + film * 0.05, np.float32)) == ("low_range",)
    assert pixel_cautions(np.asarray(np.round(film * 255) / 255, np.float32)) == ()


def test_cautions_leave_the_lungs_as_they_are(film: Image) -> None:
    dim = np.asarray(0.4 + film * 0.08, np.float32)
    lungs, of_dim = PBTSeg()(film), PBTSeg()(dim)
    assert of_dim.found
    assert of_dim.usable
    assert "low_range" in of_dim.warnings
    assert CAUTIONS["low_range"] in of_dim.reasons
    assert of_dim.confidence == pytest.approx(lungs.confidence, abs=0.05)


@pytest.mark.parametrize("shape", [(16, 16), (16, 300), (40, 17)])
def test_small_images_are_looked_at(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(shape, np.float32)
    assert pixel_cautions(image) == ()
    assert "low_range" in pixel_cautions(np.full(shape, 0.5, np.float32))
