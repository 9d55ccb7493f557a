"""Batches as tensors against the same on whole grids: blurs, interpolation, and tiles in which nothing is left out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from artasyn.phantom.film import Phantom
from artasyn.synthesis import LungOpacity
from artasyn.synthesis.batch import _Tensors
from artasyn.synthesis.context import CELLS, blurred
from artasyn.synthesis.rendering import POINTS, Lesions
from artasyn.synthesis.textures import GRID, bank
from artasyn.synthesis.tiles import TILE, TILES, Tools, _cut, _left, blurring, laid, lifting, painted

TOOLS = Tools.of(torch.from_numpy(bank().copy()))


def whole(tiles: torch.Tensor, where: torch.Tensor, lesions: int, empty: float) -> torch.Tensor:
    """Tiles (tiles, tile, tile) put together, (lesions, grid, grid), with a value where there is none."""
    grids = torch.full((lesions, TILES, TILES, TILE, TILE), empty)
    grids[tuple(where.T)] = tiles
    return grids.transpose(2, 3).reshape(lesions, GRID, GRID)


@pytest.mark.parametrize("sigma", [0.8, 1.0, 3.0])
def test_matrices_blur_as_opencv_does(sigma: float) -> None:
    values = np.random.default_rng(0).random((CELLS, CELLS), np.float32)
    for border, beyond in ((cv2.BORDER_CONSTANT, "constant"), (cv2.BORDER_REPLICATE, "edge")):
        matrix = blurring(sigma, beyond)
        assert matrix @ values @ matrix.T == pytest.approx(blurred(values, sigma, border), abs=1e-6)


@pytest.mark.parametrize("side", [CELLS, POINTS])
def test_tiles_are_interpolated_as_the_whole(side: int) -> None:
    values = torch.from_numpy(np.random.default_rng(0).random((2, side, side), np.float32))
    everywhere = torch.ones((2, TILES, TILES)).nonzero()
    lift = torch.from_numpy(lifting(side // TILES))
    made = whole(_cut(values, everywhere, lift), everywhere, 2, 0.0)
    expected = functional.interpolate(values[:, None], size=(GRID, GRID), mode="bilinear", align_corners=False)[:, 0]
    assert torch.allclose(made, expected, atol=1e-6)


def test_a_lesion_leaves_all_air_in_the_other_tiles() -> None:
    drawn = [Phantom(size=128)(seed) for seed in range(2)]
    films = torch.stack([torch.from_numpy(chest.image) for chest in drawn])
    labels = torch.stack([torch.from_numpy(chest.lungs.labels) for chest in drawn])
    draws = LungOpacity(kinds_range=(4, 4)).draw_batch(np.ones((2, 2), bool), np.random.default_rng(0))
    packed = Lesions.pack(draws)
    lesions = _Tensors(*(torch.from_numpy(getattr(packed, name)) for name in _Tensors._fields))
    count = len(draws.image)
    found = laid(films, labels, lesions, TOOLS)
    made, every = (
        whole(_left(lesions, found._replace(changed=where), TOOLS), where, count, 1.0)
        for where in (found.changed.nonzero(), torch.ones_like(found.changed).nonzero())
    )
    assert torch.allclose(made, every, atol=1e-6)
    assert 0.1 < found.changed.float().mean() < 0.6
    assert made.amin() < 0.9
    assert (made <= 1).all()


def test_all_work_is_done_on_the_device_of_the_films() -> None:
    """On the device of torch that has shapes and no values: a tensor that stayed on the CPU is an error there."""
    draws = LungOpacity().draw_batch(np.ones((5, 2), bool), np.random.default_rng(0))
    packed = Lesions.pack(draws)
    lesions = _Tensors(*(torch.from_numpy(getattr(packed, name)).to("meta") for name in _Tensors._fields))
    tools = Tools(*(tensor.to("meta") for tensor in TOOLS))
    films, labels = torch.empty((5, 40, 60), device="meta"), torch.empty((5, 40, 60), dtype=torch.uint8, device="meta")
    found = laid(films, labels, lesions, tools)
    found = found._replace(changed=torch.empty((9, 3), dtype=torch.int64, device="meta"))
    made = painted(films, labels, torch.empty(5, device="meta"), lesions, found, tools)
    assert [(each.shape, each.dtype) for each in made] == [
        (films.shape, kind) for kind in (torch.float32, torch.bool, torch.float32)
    ]
    assert all(each.device == films.device for each in made)
