"""Rendering of a batch of radiographs as tensors, on any device: only the tiles of the grid that lesions change.

Most of the grid over the lungs stays as it is: a lesion reaches a part of it, and fades outside the lungs. The levels
of all lesions are computed on the coarse grid first. They tell the tiles in which a lesion can leave less than all air.
The fine grid is then computed in these tiles alone. `laid` and `painted` are the two steps; both take and return
tensors only, so that `torch.compile` can fuse each of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from artasyn.shapes import Float32
from artasyn.synthesis import rendering
from artasyn.synthesis.context import (
    CELLS,
    FADE_BLUR,
    LEAST_STEP,
    LEVEL_BLUR,
    MARGIN,
    NEAR_BLUR,
    SAMPLES,
    SOFT_TISSUE,
    kernel,
)
from artasyn.synthesis.rendering import POINTS, Extents
from artasyn.synthesis.textures import DEVIATION, GRID

TILES = 8
"""Tiles along each side of the grid."""

TILE = GRID // TILES
"""Rows and columns of a tile."""


class Tools(NamedTuple):
    """What rendering needs besides the batch, on the device of the batch.

    Attributes:
        textures: float32 (textures, side, side), all textures.
        fade_blur, level_blur, near_blur: float32 (cells, cells), the matrices of three blurs.
        from_points: float32 (tile, points + 2), interpolates the points of a tile and of its border.
        from_cells: float32 (tile, cells + 2), interpolates the cells of a tile and of its border.
    """

    textures: Tensor
    fade_blur: Tensor
    level_blur: Tensor
    near_blur: Tensor
    from_points: Tensor
    from_cells: Tensor

    @classmethod
    def of(cls, textures: Tensor) -> Tools:
        """Makes the tools on the device of the textures."""
        arrays = (
            blurring(FADE_BLUR),
            blurring(LEVEL_BLUR),
            blurring(NEAR_BLUR, beyond="edge"),
            lifting(POINTS // TILES),
            lifting(CELLS // TILES),
        )
        return cls(textures, *(torch.from_numpy(array).to(textures) for array in arrays))


def blurring(sigma: float, beyond: str = "constant") -> Float32[np.ndarray, "cells cells"]:
    """Returns the matrix m for which ``m @ values @ m.T`` is `artasyn.synthesis.context.blurred`.

    Args:
        sigma: of the Gaussian, in cells.
        beyond: values beyond the border: ``constant`` for 0, ``edge`` for those on the border.
    """
    taps = kernel(sigma)
    reach = len(taps) // 2
    wide = np.pad(np.eye(CELLS, dtype=np.float32), ((reach, reach), (0, 0)), mode=beyond)  # type: ignore[call-overload]
    return np.asarray(sum(tap * wide[k : k + CELLS] for k, tap in enumerate(taps)), np.float32)


def lifting(count: int) -> Float32[np.ndarray, "tile wide"]:
    """Returns the matrix that interpolates `count` values of a tile, with one more at each end, to the tile's grid."""
    at = (np.arange(TILE) + 0.5) * count / TILE + 0.5
    return np.asarray(np.maximum(1 - np.abs(at[:, None] - np.arange(count + 2)), 0), np.float32)


class Windows(NamedTuple):
    """The square around the lungs of every image, as `artasyn.synthesis.context.Window`; integers (b,)."""

    top: Tensor
    left: Tensor
    side: Tensor
    height: Tensor

    @classmethod
    def around(cls, lungs: Tensor) -> Windows:
        """Returns the windows around lungs (b, h, w); around the whole image where there are no lungs."""
        there = (lungs > 0).view(torch.uint8)
        (top, bottom), (left, right) = (_ends(there.amax(dim)) for dim in (2, 1))
        height, width = bottom - top, right - left
        longer = torch.maximum(height, width)
        side = longer + 2 * (1 + torch.round(MARGIN * longer.double()).long())
        half = [torch.div(length - side, 2, rounding_mode="floor") for length in (height, width)]
        return cls(top + half[0], left + half[1], side, height)

    def sampled(self, values: Tensor) -> Tensor:
        """Returns values (b, h, w) at the sample points of every window, (b, samples, samples)."""
        count = CELLS * SAMPLES
        steps = (2 * torch.arange(count, device=values.device) + 1) * self.side[:, None] // (2 * count)
        rows = (self.top[:, None] + steps).clamp(0, values.shape[1] - 1)
        columns = (self.left[:, None] + steps).clamp(0, values.shape[2] - 1)
        return values[
            torch.arange(len(values), device=values.device)[:, None, None], rows[:, :, None], columns[:, None]
        ]

    def on_film(self, films: Tensor) -> Tensor:
        """Returns 1 for cells whose centre lies on the films (b, h, w) and 0 for the others, (b, cells, cells)."""
        middle = (torch.arange(CELLS, device=self.side.device) + 0.5) * (self.side[:, None] / CELLS)
        rows, columns = (
            ((start[:, None] + middle >= 0) & (start[:, None] + middle < length)).float()
            for start, length in zip((self.top, self.left), films.shape[1:], strict=True)
        )
        return rows[:, :, None] * columns[:, None]

    def enlarged(self, values: Tensor, films: Tensor) -> Tensor:
        """Resamples values from the windows' grids, (b, grid, grid), to the grid of the films, (b, h, w)."""
        places = [
            (2 * (torch.arange(length, device=values.device) - start[:, None]) + 1) / self.side[:, None] - 1
            for length, start in zip(films.shape[1:], (self.top, self.left), strict=True)
        ]
        down, across = (p.to(values.dtype) for p in places)
        where = torch.stack(
            [
                across[:, None].expand(-1, films.shape[1], -1),
                down[:, :, None].expand(-1, -1, films.shape[2]),
            ],
            dim=-1,
        )
        return functional.grid_sample(values[:, None], where, padding_mode="border", align_corners=False)[:, 0]


def _ends(there: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the first 1 of each row of 0 and 1 and the index after the last, (b,); 0 and the length if none is 1."""
    return there.argmax(1), there.shape[1] - there.flip(1).argmax(1)


class Laid(NamedTuple):
    """Lesions laid into the lungs of their images, on the coarse grids.

    Attributes:
        windows: of the images.
        step: (b, cells, cells), from the grey of the lung to that of soft tissue.
        soft_tissue: (b, 1, 1), the grey of soft tissue.
        level: (n, points, points), as `artasyn.synthesis.rendering.levels`.
        fade: (n, cells, cells), as `artasyn.synthesis.rendering.fades`.
        place, mirrored: (n, 3, 2), as `artasyn.synthesis.rendering.at_the_hilum`.
        changed: bool (n, tiles, tiles), False where a lesion leaves all air.
    """

    windows: Windows
    step: Tensor
    soft_tissue: Tensor
    level: Tensor
    fade: Tensor
    place: Tensor
    mirrored: Tensor
    changed: Tensor


def laid(films: Tensor, labels: Tensor, lesions: Any, tools: Tools) -> Laid:
    """Lays lesions into the lungs of their images.

    Args:
        films: float32 (b, h, w) in [0, 1].
        labels: (b, h, w), the lungs.
        lesions: the fields of `artasyn.synthesis.rendering.Lesions` as tensors.
        tools: on the device of the films.
    """
    windows = Windows.around(labels)
    share, step, soft_tissue = _context(films, labels, windows, tools)
    extents = Extents.of(share * windows.on_film(films)[:, None], torch)
    row, column = extents.place(lesions.image, lesions.side, lesions.focus, torch)
    points = (torch.arange(POINTS, device=films.device) + 0.5) / POINTS
    height = (windows.height / windows.side)[lesions.image]
    outward = extents.outward[lesions.image, lesions.side].to(share.dtype)
    level = rendering.levels(lesions.stamps, row, column, outward, height, points, points, torch)
    place, mirrored = rendering.at_the_hilum(lesions, extents, torch)
    thin = _blurred(share, tools.fade_blur)
    fade = rendering.fades(thin[lesions.image, lesions.side], lesions.look[:, -1], torch)
    shown = _highest(level) + DEVIATION * lesions.look[:, 2, None, None] > 0
    return Laid(windows, step, soft_tissue, level, fade, place, mirrored, shown & (_highest(fade) > 0))


def painted(
    films: Tensor, labels: Tensor, tolerances: Tensor, lesions: Any, laid: Laid, tools: Tools
) -> tuple[Tensor, Tensor, Tensor]:
    """Renders lesions that are laid into their images.

    Args:
        films: float32 (b, h, w) in [0, 1].
        labels: (b, h, w), the lungs.
        tolerances: float32 (b,), as in `artasyn.synthesis.batch.Anomalies`.
        lesions: the fields of `artasyn.synthesis.rendering.Lesions` as tensors.
        laid: the lesions as `laid` laid them; `changed` is given as (tiles, 3), the lesion, the row and the column of
            each tile that changes.
        tools: on the device of the films.

    Returns:
        The images, the masks and the attenuation, each (b, h, w).
    """
    of, down, across = laid.changed.unbind(1)
    left = _left(lesions, laid, tools)
    tiles = torch.zeros((len(films) * TILES * TILES, TILE, TILE), device=films.device)
    tiles.index_add_(0, (lesions.image[of] * TILES + down) * TILES + across, torch.log(left.clamp(min=1e-7)))
    grids = tiles.reshape(-1, TILES, TILES, TILE, TILE).transpose(2, 3).reshape(-1, GRID, GRID)
    step = functional.interpolate(laid.step[:, None], size=(GRID, GRID), mode="bilinear", align_corners=False)[:, 0]
    added = laid.windows.enlarged((1 - grids.exp()) * step, films).masked_fill_(labels == 0, 0)
    added = rendering.saturated(added, films, laid.soft_tissue, torch)
    brighter = (films + added).clamp_(max=1)
    change = brighter - films
    mask = change >= tolerances[:, None, None]
    return torch.where(mask, brighter, films), mask, change.masked_fill_(~mask, 0)


def _left(lesions: Any, laid: Laid, tools: Tools) -> Tensor:
    """Returns the share of air that a lesion leaves in every tile that changes, (tiles, tile, tile)."""
    of, *where = laid.changed.unbind(1)
    along = torch.arange(TILE, device=of.device)
    rows, columns = (
        laid.place[of, :, axis, None]
        + torch.where(
            laid.mirrored[of, :, axis, None] > 0,
            GRID - 1 - (at[:, None, None] * TILE + along),
            at[:, None, None] * TILE + along,
        )
        for axis, at in enumerate(where)
    )
    rim, clouds, texture = tools.textures[
        lesions.texture[of][:, :, None, None], rows[:, :, :, None], columns[:, :, None]
    ].unbind(1)
    air = lesions.airways.clip(min=0)[of, None, None]
    look = [number[of, None, None] for number in lesions.look.T[:-1]]
    level = _cut(laid.level, laid.changed, tools.from_points)
    dense = rendering.density(level, rim, clouds, air + (1 - 2 * air) * texture, look, torch)
    fade = _cut(laid.fade, laid.changed, tools.from_cells)
    left: Tensor = rendering.remaining(lesions.severity[of, None, None], dense, fade)
    return left


def _highest(values: Tensor) -> Tensor:
    """Returns the highest of the values (n, rows, columns) that each tile is interpolated from, (n, tiles, tiles)."""
    count = values.shape[1] // TILES
    return functional.max_pool2d(values[:, None], count + 2, stride=count, padding=1)[:, 0]


def _cut(values: Tensor, tiles: Tensor, lift: Tensor) -> Tensor:
    """Interpolates values (n, rows, columns) to the grid in some tiles, (tiles, tile, tile)."""
    count = values.shape[1] // TILES
    wide = functional.pad(values[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    of, down, across = tiles.unbind(1)
    return lift @ wide.unfold(1, count + 2, count).unfold(2, count + 2, count)[of, down, across] @ lift.T


def _context(films: Tensor, labels: Tensor, windows: Windows, tools: Tools) -> tuple[Tensor, Tensor, Tensor]:
    """Returns each lung's share of the cells, (b, 2, cells, cells), the step to soft tissue and the soft tissue's grey.

    See `artasyn.synthesis.context.Context`.
    """
    sides = windows.sampled(labels)
    share = functional.avg_pool2d(torch.stack([(sides == side).float() for side in (1, 2)], dim=1), SAMPLES)
    film = functional.avg_pool2d(windows.sampled(films)[:, None], SAMPLES)[:, 0]
    at = round(SOFT_TISSUE * (CELLS * CELLS - 1))
    soft_tissue = film.flatten(1).kthvalue(at + 1).values[:, None, None]
    lung = share.sum(1)
    mean = (film * lung).sum((1, 2)) / lung.sum((1, 2)).clamp(min=1e-3)
    soft_tissue = torch.maximum(soft_tissue, mean[:, None, None] + LEAST_STEP)
    level = _blurred(film * lung, tools.level_blur) / _blurred(lung, tools.level_blur).clamp(min=1e-3)
    near = _blurred(film, tools.near_blur)
    return share, (soft_tissue - torch.maximum(level, near)).clamp(min=0), soft_tissue


def _blurred(values: Tensor, matrix: Tensor) -> Tensor:
    """Blurs values (..., cells, cells) with a matrix of `blurring`."""
    return matrix @ values @ matrix.T
