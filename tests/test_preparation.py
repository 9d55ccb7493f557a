"""Preparation worked out by hand and against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from artasyn.arrays import Image
from artasyn.preparation import prepare


def film(shape: tuple[int, int] = (96, 80), seed: int = 0) -> Image:
    return np.random.default_rng(seed).uniform(0.2, 0.7, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(16, 16), (16, 200), (300, 31), (64, 64), (97, 130)])
@pytest.mark.parametrize("size", [32, 64])
def test_any_film_becomes_a_square_that_spans_the_whole_range(shape: tuple[int, int], size: int) -> None:
    prepared = prepare(film(shape), size)
    assert prepared.shape == (size, size)
    assert prepared.dtype == np.float32
    assert (prepared.min(), prepared.max()) == (0, 1)


def test_contrast_by_percentiles_worked_out_by_hand() -> None:
    order = np.random.default_rng(0).permutation(101 * 101)
    image = (order.reshape(101, 101) / 101**2).astype(np.float32)  # every grey once, so that percentiles are known
    prepared = prepare(image, 101)
    greys = np.sort(prepared.ravel())
    assert np.count_nonzero(greys == 0) == 103  # 0.01 * 10200 = 102 greys below the first percentile, and it
    assert np.count_nonzero(greys == 1) == 103
    expected = np.clip((order.reshape(101, 101) - 102) / (10200 - 204), 0, 1)
    np.testing.assert_allclose(prepared, expected, atol=1e-4)


@pytest.mark.parametrize("times", [2, 3, 5])
def test_a_large_film_is_averaged_and_not_sampled(times: int) -> None:
    image = film((32 * times, 32 * times))
    means = image.reshape(32, times, 32, times).mean(axis=(1, 3), dtype=np.float64)
    low, high = np.percentile(means, (1, 99))
    np.testing.assert_allclose(prepare(image, 32), np.clip((means - low) / (high - low), 0, 1), atol=1e-4)


def test_a_small_film_is_enlarged_smoothly() -> None:
    ramp = np.tile(np.linspace(0, 1, 20, dtype=np.float32), (20, 1))
    prepared = prepare(ramp, 60)
    steps = np.diff(prepared, axis=1)
    assert (steps >= 0).all()
    assert steps.max() < 2 / 55
    np.testing.assert_allclose(prepared, prepared[:1].repeat(60, axis=0), atol=1e-6)


@pytest.mark.parametrize("turned", [False, True])
def test_a_film_that_is_large_one_way_only_is_averaged_that_way(turned: bool) -> None:
    stripes = np.tile(np.array([0.2, 0.6], np.float32), (20, 80)) + np.linspace(0, 0.3, 20, dtype=np.float32)[:, None]
    prepared = prepare(stripes.T if turned else stripes, 40)
    prepared = prepared.T if turned else prepared
    np.testing.assert_allclose(prepared, prepared[:, :1].repeat(40, axis=1), atol=1e-5)
    assert (np.diff(prepared[:, 0]) >= 0).all()


def test_exposure_and_gain_do_not_matter() -> None:
    image = film()
    np.testing.assert_allclose(prepare(0.3 * image + 0.2, 32), prepare(image, 32), atol=1e-5)


@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
def test_a_film_without_contrast_does_not_become_noise(grey: float) -> None:
    assert (prepare(np.full((40, 40), grey, np.float32), 32) == 0).all()
    nearly = (grey * 0.9 + 1e-5 * film((40, 40))).astype(np.float32)
    assert prepare(nearly, 32).max() < 0.02


def test_turned_films_are_prepared_alike_and_left_as_they_are() -> None:
    image = film()
    before = image.copy()
    np.testing.assert_allclose(prepare(image[::-1], 32), prepare(image, 32)[::-1], atol=1e-6)
    np.testing.assert_allclose(prepare(image.T, 32), prepare(image, 32).T, atol=1e-6)
    assert (image == before).all()
    assert (prepare(image, 32) == prepare(np.asfortranarray(image), 32)).all()
