"""The network's square: proportions, grey, padding, and a way back to the film without a shift."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artasyn.segment.anatomy.window import STRIDE, Window, prepare, resample
from artasyn.segment.places import mean_place
from tests.segment.anatomy.reading import disc


@settings(deadline=None, max_examples=60)
@given(st.integers(16, 4000), st.integers(16, 4000), st.sampled_from([32, 96, 160, 192]))
def test_the_film_fills_one_side_keeps_its_proportion_and_lies_in_the_middle(h: int, w: int, size: int) -> None:
    window = Window.of((h, w), size)
    assert max(window.height, window.width) == size
    scale = size / max(h, w)
    assert abs(window.height - max(2, h * scale)) <= 1
    assert abs(window.width - max(2, w * scale)) <= 1
    for first, length in ((window.top, window.height), (window.left, window.width)):
        assert first % STRIDE == length % STRIDE == 0
        assert abs(first - (size - first - length)) <= STRIDE
    maps = np.zeros((3, size // STRIDE, size // STRIDE), np.float32)
    assert window.cut(maps).shape == (3, window.height // STRIDE, window.width // STRIDE)


@pytest.mark.parametrize("shape", [(512, 512), (700, 500), (411, 640), (90, 60)])
@pytest.mark.parametrize("size", [96, 160])
def test_a_disc_comes_back_where_it_was(shape: tuple[int, int], size: int) -> None:
    place = (0.43 * shape[0] + 0.3, 0.61 * shape[1] - 0.2)
    film = disc(shape, place, 0.21 * min(shape))
    window = Window.of(shape, size)
    square = window.prepare(film)
    maps = square.reshape(size // 2, 2, size // 2, 2).mean(axis=(1, 3))[None]
    back = resample(window.cut(maps)[0], shape)
    coarser = 2 * max(shape) / size  # pixels of the film in a pixel of the maps
    for values, most in ((back, 0.05), (back >= 0.5, max(0.15, 0.035 * coarser))):
        found = mean_place(values)
        assert found is not None
        np.testing.assert_allclose(found, place, atol=most)
    assert (back >= 0.5).sum() == pytest.approx(film.sum(), rel=0.02)


def test_grey_is_that_of_the_films_own_pixels() -> None:
    rng = np.random.default_rng(0)
    film = rng.random((64, 128), np.float32)
    square = prepare(film, 128)
    assert not square[:32].any()
    assert not square[96:].any()
    inner = square[32:96]
    low, high = np.quantile(film, (0.01, 0.99))
    np.testing.assert_allclose(inner, ((film - low) / (high - low)).clip(0, 1), atol=1e-5)
    np.testing.assert_allclose(prepare(0.3 * film + 0.2, 128), square, atol=1e-4)
    np.testing.assert_allclose(prepare(1 - film, 128)[32:96], 1 - inner, atol=1e-4)
    assert not prepare(np.full((64, 128), 0.7, np.float32), 128).any()


def test_the_film_is_averaged_not_sampled() -> None:
    film = np.zeros((960, 960), np.float32)
    film[::2] = 1
    film[:480] *= 0.5
    assert np.ptp(prepare(film, 96)[:44]) < 0.02
