"""Small pictures: sizes, values and kinds of what is made smaller."""

from __future__ import annotations

import numpy as np
import pytest

from artasyn.pictures.thumbnails import TILE, on_grid, thumbnail


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((512, 1024), (128, 256)), ((300, 30), (256, 26)), ((100, 90), (100, 90)), ((2000, 16), (256, 2))],
)
def test_the_longer_side_is_a_tile_at_most(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    image = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    small = thumbnail(image)
    assert small.shape == expected
    assert max(small.shape) <= TILE
    assert small.dtype == np.float32
    assert small.mean() == pytest.approx(image.mean(), abs=0.02)


def test_heatmaps_keep_their_mean_and_masks_stay_masks() -> None:
    small = np.zeros((32, 16), np.float32)
    heat = np.random.default_rng(0).uniform(size=(128, 64)).astype(np.float32)
    blocks = heat.reshape(32, 4, 16, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(on_grid(heat, small), blocks, atol=1e-6)
    mask = np.zeros((128, 64), bool)
    mask[40:80, 20:40] = True
    found = on_grid(mask, small)
    assert found.dtype == bool
    assert np.array_equal(found, mask[::4, ::4])
