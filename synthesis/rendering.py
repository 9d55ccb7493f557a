"""Rendering lesions: one mechanism for every finding, on numpy arrays and on tensors of any device.

A lesion's stamps are Gaussians; the logarithm of their sum is a level, 1 in the middle of a stamp and 0 on its
rim, smooth where stamps overlap, for any number of stamps by one matrix product. Clouds push the rim about, the
level becomes attenuation, textures vary it, the pleura ends it. Attenuations of several lesions leave
``prod(1 - a_i)`` of the air, whatever their order.

Functions here take numpy arrays and tensors alike: they use operators and the functions that both have.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from artasyn.shapes import Float32, Int64
from artasyn.synthesis.finding import Texture
from artasyn.synthesis.lesions import ABSENT, Draws
from artasyn.synthesis.noise import hashed
from artasyn.synthesis.textures import CLOUDS, GRID, NAMES, SIDE, TREES

Array = Any
"""A numpy array or a tensor."""

POINTS = GRID // 2
"""Rows and columns of the grid that levels are computed on; they are smooth."""

SHARPNESS = 3.0
"""How closely the union of overlapping stamps follows the larger one."""

LEAST_GAIN = 0.25
"""What attenuation adds of itself above the grey of soft tissue."""

AT_ONCE = 24
"""Stamps in a matrix product: few enough that no library takes threads for it, which would wait for each other and
round otherwise."""

HILUM = (0.42, 0.0)
"""Where a lung's airways enter, as a lesion's focus."""

_TEXTURES: dict[Texture, tuple[int, int]] = {
    "none": (0, 1),
    "reticular": (NAMES.index("reticular_fine"), 2),
    "micronodules": (NAMES.index("micronodules"), 1),
    "cells": (NAMES.index("cells"), 1),
    "bronchi": (NAMES.index(TREES[0]), len(TREES)),
}
"""The first texture of each kind in the bank, and how many there are."""


@dataclass(frozen=True, eq=False)
class Lesions:
    """Lesions of a batch of images, as arrays.

    Attributes:
        image: int64 (n,), the image of each.
        side: int64 (n,), 0 right lung, 1 left lung.
        focus: float32 (n, 2), as in `Lesion`.
        stamps: float32 (n, stamps, 4), as in `Lesion`; stamps far away where a lesion has fewer.
        severity: float32 (n,).
        look: float32 (n, 6): edge, solidity, irregularity, cloudiness, share, reach.
        texture: int64 (n, 3): of the rim, of the clouds within, and what it is made of, as indices of the bank.
        place: int64 (n, 3, 2), first row and column of the three pieces.
        mirrored: int64 (n, 3, 2), 1 where a piece is upside down or left to right.
        airways: float32 (n,), 1 where the texture is air, to be placed at the hilum.
        hilum: float32 (2,), where airways enter a lung, as a focus.
    """

    image: Int64[np.ndarray, " n"]
    side: Int64[np.ndarray, " n"]
    focus: Float32[np.ndarray, "n 2"]
    stamps: Float32[np.ndarray, "n stamps 4"]
    severity: Float32[np.ndarray, " n"]
    look: Float32[np.ndarray, "n 6"]
    texture: Int64[np.ndarray, "n 3"]
    place: Int64[np.ndarray, "n 3 2"]
    mirrored: Int64[np.ndarray, "n 3 2"]
    airways: Float32[np.ndarray, " n"]
    hilum: Float32[np.ndarray, " 2"]

    @classmethod
    def pack(cls, draws: Draws) -> Lesions:
        """The lesions of a draw."""
        kind = draws.kind
        looks = [look for _, look in draws.kinds]
        unit = _hashed_rows(draws.seed, 13)
        there = draws.stamps[..., 2:3] > ABSENT[2]
        extent = np.where(there, np.abs(draws.stamps[..., :2]) + draws.stamps[..., 2:], 0).max(axis=(1, 2))
        coarse = np.clip(np.round(np.log2(64 / (0.9 * extent * GRID))), 0, len(CLOUDS) - 1).astype(np.int64)
        first, many = (np.array(column)[kind] for column in zip(*(_TEXTURES[k.texture] for k in looks), strict=True))
        made_of = first + (unit[:, 12] * many).astype(np.int64)
        numbers = [(k.edge, k.solidity, k.irregularity, k.cloudiness, k.share, k.reach) for k in looks]
        return cls(
            draws.image,
            draws.side - 1,
            draws.focus.astype(np.float32),
            draws.stamps.astype(np.float32),
            draws.severity.astype(np.float32),
            np.array(numbers, np.float32)[kind],
            np.stack([coarse, np.minimum(coarse + 1, len(CLOUDS) - 1), made_of], axis=1),
            (unit[:, :6] * (SIDE - GRID + 1)).astype(np.int64).reshape(-1, 3, 2),
            (unit[:, 6:12] >= 0.5).astype(np.int64).reshape(-1, 3, 2),
            np.array([look.texture == "bronchi" for look in looks], np.float32)[kind],
            np.array(HILUM, np.float32),
        )


def _hashed_rows(seeds: Int64[np.ndarray, " n"], count: int) -> Float32[np.ndarray, "n count"]:
    """The first uniform numbers of each seed's stream."""
    return hashed(0, (seeds[:, None] * 2654435761 + np.arange(1, count + 1)) % 2**32)


@dataclass(frozen=True, eq=False)
class Extents:
    """How far lungs reach, in cells of the window; whole numbers as float32, so that places round alike everywhere.

    Attributes:
        top, bottom: (b, 2), the first row of each lung and the row after its last.
        first, last: (b, 2, cells), the first column of each lung in every row and the column after its last; in a
            row without lung those of the whole lung.
        outward: (b, 2), 1 where a lung's ribs are at higher columns, -1 where they are at lower ones. On a film that
            was mirrored that is the other way round.
    """

    top: Array
    bottom: Array
    first: Array
    last: Array
    outward: Array

    @classmethod
    def of(cls, share: Array, xp: ModuleType) -> Extents:
        """The extents of lungs from their share of each cell, (b, 2, cells, cells)."""
        count = share.shape[-1]
        occupied = (share > 0.5 * xp.amax(share, (2, 3))[:, :, None, None]) + 0
        rows, columns = xp.amax(occupied, 3), xp.amax(occupied, 2)
        occupied = occupied + (rows == 0)[:, :, :, None] * columns[:, :, None, :]
        occupied = (occupied > 0) + 0
        ends = (
            xp.argmax(rows, 2),
            count - xp.argmax(xp.flip(rows, (2,)), 2),
            xp.argmax(occupied, 3),
            count - xp.argmax(xp.flip(occupied, (3,)), 3),
        )
        top, bottom, first, last = (end.astype(np.float32) if xp is np else end.float() for end in ends)
        return cls(top, bottom, first, last, _outward(share, xp))

    def place(self, image: Array, side: Array, focus: Array, xp: Any) -> tuple[Array, Array]:
        """Rows and columns of places in lungs, (n,), as shares of the window's side.

        Args:
            image: (n,), the image of each place.
            side: (n,), 0 the right lung, 1 the left.
            focus: (n, 2), from apex to base and from the mediastinum to the ribs, in [0, 1].
            xp: numpy or torch.
        """
        count = self.first.shape[-1]
        top, bottom = self.top[image, side], self.bottom[image, side]
        row = top + focus[:, 0] * (bottom - top)
        here = clipped(row, 0, count - 1, xp)
        here = here.astype(int) if xp is np else here.long()
        first, last = self.first[image, side, here], self.last[image, side, here]
        right = self.outward[image, side] > 0
        inner, outer = xp.where(right, first, last), xp.where(right, last, first)
        return row / count, (inner + focus[:, 1] * (outer - inner)) / count


def _outward(share: Array, xp: Any) -> Array:
    """Where the ribs of each lung are: away from the other lung, or where that is missing as on a usual film."""
    weight = share.sum(2)
    columns = xp.cumsum(xp.ones_like(weight), 2)
    total = weight.sum(2)
    middle = (weight * columns).sum(2) / xp.clip(total, 1e-6, None)
    mirrored = (xp.amin(total, 1) > 0) & (middle[:, 0] > middle[:, 1])
    left = 1 - 2 * (mirrored + 0)
    return xp.stack([-left, left], 1)


def at_the_hilum(lesions: Any, extents: Extents, xp: Any) -> tuple[Array, Array]:
    """Where the pieces of textures start and whether they are mirrored: airways grow from the hilum to the ribs."""
    focus = 0 * lesions.focus + lesions.hilum
    row, column = extents.place(lesions.image, lesions.side, focus, xp)
    row, column = (xp.clip(xp.floor(at * GRID), 0, GRID - 1) for at in (row, column))
    right = extents.outward[lesions.image, lesions.side] > 0
    column = xp.where(right, column, GRID - 1 - column)  # in the piece before it is mirrored
    air = lesions.airways[:, None] > 0
    place, mirrored = lesions.place + 0, lesions.mirrored + 0
    place[:, 2] = xp.where(air, xp.stack([SIDE // 2 - row, SIDE // 2 - column], 1), lesions.place[:, 2] + 0 * focus)
    mirrored[:, 2] = xp.where(air, xp.stack([0 * lesions.side, 1 - (right + 0)], 1), lesions.mirrored[:, 2])
    return place, mirrored


def levels(
    stamps: Array, row: Array, column: Array, outward: Array, height: Array, rows: Array, columns: Array, xp: Any
) -> Array:
    """The level of every lesion: 1 in the middle of a stamp, 0 on its rim, negative outside, -3.6 far away.

    Args:
        stamps: (n, stamps, 4).
        row: (n,), of the focus.
        column: (n,), of the focus.
        outward: (n,), 1 where the ribs are at higher columns, -1 where they are at lower ones.
        height: (n,), of the lungs; all lengths as shares of the window's side.
        rows: of the grid, as shares of the window's side.
        columns: of the grid.
        xp: numpy or torch.

    Returns:
        (n, rows, columns).
    """
    down = row[:, None] + stamps[:, :, 0] * height[:, None]
    across = column[:, None] + stamps[:, :, 1] * (height * outward)[:, None]
    tall, wide = stamps[:, :, 2] * height[:, None], stamps[:, :, 3] * height[:, None]
    vertical = xp.exp(-SHARPNESS * ((rows[:, None] - down[:, None, :]) / tall[:, None, :]) ** 2)
    horizontal = xp.exp(-SHARPNESS * ((columns - across[:, :, None]) / wide[:, :, None]) ** 2)
    parts = range(0, stamps.shape[1], AT_ONCE)
    total = sum(xp.matmul(vertical[:, :, k : k + AT_ONCE], horizontal[:, k : k + AT_ONCE]) for k in parts)
    return 1 + xp.log(total + 1e-6) / SHARPNESS


def density(level: Array, rim: Array, clouds: Array, texture: Array, look: Array, xp: Any) -> Array:
    """The attenuation of every lesion before its severity, about 1 in its densest parts.

    Args:
        level: (n, grid, grid).
        rim: clouds that push the rim, as all pieces of textures (n, grid, grid).
        clouds: clouds within.
        texture: what it is made of.
        look: edge, solidity, irregularity, cloudiness and share, each (n, 1, 1).
        xp: numpy or torch.
    """
    edge, solidity, irregularity, cloudiness, share = look
    rise = clipped((level + irregularity * rim) / edge, 0, 1, xp)
    shape = solidity * xp.sqrt(rise) + (1 - solidity) * rise * rise * (3 - 2 * rise)
    return shape * (1 + cloudiness * clouds) * (1 - share + share * texture)


def clipped(values: Array, low: Any, high: Any, xp: Any) -> Array:
    """Values no less and no more than so much; numpy's own clip takes longer than the work it does here."""
    if xp is not np:
        return values.clip(low, high)
    above = np.maximum(values, np.float32(low))
    return np.minimum(above, np.float32(high), out=above)


def remaining(severity: Array, density: Array, fade: Array, xp: Any) -> Array:
    """The share of the air that every lesion leaves, in [0, 1]."""
    return 1 - clipped(severity * density * fade, 0, 1, xp)


def saturated(added: Array, film: Array, soft_tissue: Array, xp: Any) -> Array:
    """Attenuation as a film shows it: what would be brighter than soft tissue, as ribs in a fluid, brightens less.

    Args:
        added: attenuation, (..., h, w).
        film: the grey it is added to, (..., h, w).
        soft_tissue: its grey, of the shape of `film` but for h and w, which are 1; or a number.
        xp: numpy or torch.
    """
    excess = film + added
    excess -= soft_tissue
    excess = xp.minimum(clipped(excess, 0, 1, xp), added)
    excess *= LEAST_GAIN - 1
    excess += added
    return excess


def fades(share: Array, reach: Array, xp: Any) -> Array:
    """How the lung's thickness ends at the pleura: from 0 on it to 1 inside; 1 on it where `reach` is 1.

    Args:
        share: (n, cells, cells), the blurred share of lung.
        reach: (n,).
        xp: numpy or torch.
    """
    return xp.sqrt(clipped(2 * share - 1 + reach[:, None, None], 0, 1, xp))
