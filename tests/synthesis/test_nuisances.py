"""Nuisances: shadows that are no disease, drawn in the lungs' frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from artasyn.phantom.film import Phantom
from artasyn.segment import Lungs
from artasyn.synthesis.nuisances import NUISANCES, Field, Nuisances

CHEST = Phantom(size=160)(2)


def shadow(name: str, seed: int, lungs: Lungs = CHEST.lungs) -> np.ndarray:
    return NUISANCES[name](Field.of(lungs), np.random.default_rng(seed))


@pytest.mark.parametrize("name", NUISANCES)
def test_every_nuisance_is_a_shadow_that_follows_from_its_seed(name: str) -> None:
    drawn = [shadow(name, seed) for seed in range(12)]
    for one in drawn:
        assert one.dtype == np.float32
        assert one.shape == CHEST.image.shape
        assert np.isfinite(one).all()
        assert one.max() <= 1.6
    assert sum(one.max() > 0.01 for one in drawn) >= 10
    np.testing.assert_array_equal(drawn[3], shadow(name, 3))
    assert any((drawn[3] != other).any() for other in drawn[4:])


@pytest.mark.parametrize("name", sorted(set(NUISANCES) - {"cartilage", "letters"}))
def test_it_lies_in_the_same_place_of_a_larger_film(name: str) -> None:
    """Letters have the pixels of a font, and the mottling of cartilage has grain of its own."""
    large = CHEST.lungs.resized((320, 320))
    for seed in range(4):
        small, wide = shadow(name, seed), shadow(name, seed, large)
        coarse = wide.reshape(160, 2, 160, 2).mean(axis=(1, 3))
        if name not in ("lines", "clips", "hair"):  # the thinnest have one pixel at any size
            assert abs(float(coarse.sum()) - float(small.sum())) < 0.35 * float(max(coarse.sum(), small.sum())) + 2
        if small.sum() > 5:
            blurred = [cv2.GaussianBlur(each, (0, 0), 4) for each in (small, coarse)]
            assert np.corrcoef(blurred[0].ravel(), blurred[1].ravel())[0, 1] > 0.8


def test_breasts_are_dense_above_their_lower_edge_and_beside_the_middle() -> None:
    lungs, found = CHEST.lungs, np.zeros(CHEST.image.shape)
    for seed in range(40):
        found += shadow("breasts", seed)
    rows, columns = np.nonzero(lungs.mask)
    top, base, middle = rows.min(), rows.max(), (columns.min() + columns.max()) // 2
    upper, lower = found[top : top + (base - top) // 4].mean(), found[(top + base) // 2 : base].mean()
    assert lower > 2 * upper
    assert found[(top + base) // 2 : base, middle].mean() < 0.8 * found[(top + base) // 2 : base].max(axis=1).mean()


def test_nuisances_only_add_and_are_as_frequent_as_asked() -> None:
    rng = np.random.default_rng(0)
    films = [Nuisances(0.1)(CHEST.image, CHEST.lungs, rng) for _ in range(200)]
    for film in films:
        assert film.dtype == np.float32
        assert (film >= CHEST.image).all()
        assert film.max() <= 1
    changed = np.mean([(film != CHEST.image).any() for film in films])
    assert changed == pytest.approx(1 - 0.9 ** len(NUISANCES), abs=0.12)
    assert (Nuisances(0.0)(CHEST.image, CHEST.lungs, rng) == CHEST.image).all()


def test_without_lungs_the_whole_image_is_the_field() -> None:
    none = Lungs.from_labels(np.zeros((40, 60), np.uint8))
    assert Field.of(none) == Field((40, 60), 0, 0, 60, 40)
    assert Nuisances(1.0)(np.full((40, 60), 0.3, np.float32), none, np.random.default_rng(1)).shape == (40, 60)
