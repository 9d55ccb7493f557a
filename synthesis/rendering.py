"""Rendering of lesions: one mechanism for every finding, on numpy arrays and on tensors of any device.

The stamps of a lesion are Gaussians. The logarithm of their sum is a level: 1 in the middle of a stamp, 0 on its rim
and smooth where stamps overlap. Matrix products compute the level for any number of stamps. Clouds push the rim in
and out. The level becomes attenuation, a texture varies the attenuation, and the attenuation fades at the pleura.
Attenuations ``a_i`` of several lesions leave ``prod(1 - a_i)`` of the air, in any order.

The functions take numpy arrays and tensors alike: they use operators and functions that both libraries have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from artasyn.shapes import Float32, Int64
from artasyn.synthesis.finding import Texture
from artasyn.synthesis.lesions import HILUM, Draws
from artasyn.synthesis.noise import hashed
from artasyn.synthesis.textures import CLOUDS, CUFFS, GRID, NAMES, SIDE, TREES

Array = Any
"""A numpy array or a tensor."""

POINTS = GRID // 2
"""Rows and columns of the grid that levels are computed on; a coarse grid is enough, because levels are smooth."""

SHARPNESS = 3.0
"""How closely the union of overlapping stamps follows the larger one."""

FAINT = -43.5
"""Exponent at which a Gaussian ends: far too faint to be seen, but its products are not too small for a processor to be
quick with them."""

LEAST_GAIN = 0.25
"""The share of the attenuation that is added above the grey of soft tissue."""

CAVITY, CAVITY_EDGE = 0.45, 0.2
"""Level at which the air of a cavity begins, and the levels over which it becomes all air."""

AT_ONCE = 24
"""Stamps in a matrix product: few enough that no library splits the product over threads. Threads would wait for each
other and change the rounding."""

_TEXTURES: dict[Texture, tuple[int, int]] = {
    "none": (0, 1),
    "reticular": (NAMES.index("reticular_fine"), 2),
    "micronodules": (NAMES.index("micronodules"), 1),
    "cells": (NAMES.index("cells"), 1),
    "bronchi": (NAMES.index(TREES[0]), len(TREES)),
    "cuffs": (NAMES.index(CUFFS[0]), len(CUFFS)),
    "septa": (NAMES.index("septa"), 1),
}
"""The position in the bank of each kind's first texture, and the number of textures of this kind."""


@dataclass(frozen=True, eq=False)
class Lesions:
    """Lesions of a batch of images, as arrays.

    Attributes:
        image: int64 (n,), the index of each lesion's image.
        side: int64 (n,), 0 right lung, 1 left lung.
        focus: float32 (n, 2), as in `Lesion`.
        stamps: float32 (n, stamps, 4), as in `Lesion`; `ABSENT` where a lesion has fewer.
        severity: float32 (n,).
        look: float32 (n, 7): edge, solidity, irregularity, cloudiness, share, hollow, reach.
        texture: int64 (n, 3), indices of three textures in the bank: the clouds at the rim, the clouds within, and the
            texture that the lesion is made of.
        place: int64 (n, 3, 2), first row and column of the piece that is cut out of each texture.
        mirrored: int64 (n, 3, 2), 1 where a piece is flipped upside down or left to right.
        airways: float32 (n,), 1 where the texture is a bronchial tree that stays open, -1 where it is the tree's
            thickened walls, 0 elsewhere; trees are placed at the hilum.
        hilum: float32 (2,), `HILUM`: the place where the airways enter a lung.
    """

    image: Int64[np.ndarray, " n"]
    side: Int64[np.ndarray, " n"]
    focus: Float32[np.ndarray, "n 2"]
    stamps: Float32[np.ndarray, "n stamps 4"]
    severity: Float32[np.ndarray, " n"]
    look: Float32[np.ndarray, "n 7"]
    texture: Int64[np.ndarray, "n 3"]
    place: Int64[np.ndarray, "n 3 2"]
    mirrored: Int64[np.ndarray, "n 3 2"]
    airways: Float32[np.ndarray, " n"]
    hilum: Float32[np.ndarray, " 2"]

    @classmethod
    def pack(cls, draws: Draws) -> Lesions:
        """Returns the lesions of a draw as arrays."""
        kind = draws.kind
        looks = [look for _, look in draws.kinds]
        unit = _hashed_rows(draws.seed, 13)
        down, across, tall, wide = (draws.stamps[..., axis] for axis in range(4))
        extent = np.maximum(np.abs(down) + tall, np.abs(across) + wide).max(axis=1)
        coarse = np.rint(np.log2(64 / (0.9 * extent * GRID))).clip(0, len(CLOUDS) - 1).astype(np.int64)
        first, many = (np.array(column)[kind] for column in zip(*(_TEXTURES[k.texture] for k in looks), strict=True))
        made_of = first + (unit[:, 12] * many).astype(np.int64)
        numbers = [(k.edge, k.solidity, k.irregularity, k.cloudiness, k.share, k.hollow, k.reach) for k in looks]
        return cls(
            draws.image,
            draws.side - 1,
            draws.focus.astype(np.float32),
            draws.stamps.astype(np.float32),
            draws.severity.astype(np.float32),
            np.array(numbers, np.float32)[kind],
            np.array([coarse, np.minimum(coarse + 1, len(CLOUDS) - 1), made_of]).T,
            (unit[:, :6] * (SIDE - GRID + 1)).astype(np.int64).reshape(-1, 3, 2),
            (unit[:, 6:12] >= 0.5).astype(np.int64).reshape(-1, 3, 2),
            np.array([{"bronchi": 1, "cuffs": -1}.get(look.texture, 0) for look in looks], np.float32)[kind],
            np.array(HILUM, np.float32),
        )


def _hashed_rows(seeds: Int64[np.ndarray, " n"], count: int) -> Float32[np.ndarray, "n count"]:
    """Returns the first `count` uniform numbers of each seed's stream."""
    return hashed(0, (seeds[:, None] * 2654435761 + np.arange(1, count + 1)) % 2**32)


@dataclass(frozen=True, eq=False)
class Extents:
    """The extents of lungs, in cells of the window.

    The extents are whole numbers as float32, so that places round alike in numpy and on every device.

    Attributes:
        top, bottom: (b, 2), the first row of each lung and the row after its last.
        first, last: (b, 2, cells), the first column of each lung in every row and the column after its last; in a
            row without lung, the columns of the whole lung.
        outward: (b, 2), 1 where a lung's ribs are at higher columns, -1 where the ribs are at lower columns. The signs
            are swapped on a mirrored radiograph.
    """

    top: Array
    bottom: Array
    first: Array
    last: Array
    outward: Array

    @classmethod
    def of(cls, share: Array, xp: ModuleType) -> Extents:
        """Returns the extents of lungs from their share of each cell, (b, 2, cells, cells)."""
        occupied = (share > 0.5 * xp.amax(share, (2, 3))[:, :, None, None]).view(xp.uint8)
        rows, columns = xp.amax(occupied, 3), xp.amax(occupied, 2)
        occupied = occupied | (1 - rows)[:, :, :, None] & columns[:, :, None, :]
        ends = (*_ends(rows, xp), *_ends(occupied, xp))
        top, bottom, first, last = (end.astype(np.float32) if xp is np else end.float() for end in ends)
        return cls(top, bottom, first, last, _outward(share, xp))

    def place(self, image: Array, side: Array, focus: Array, xp: Any) -> tuple[Array, Array]:
        """Returns the rows and columns of places in lungs, (n,), as shares of the window's side.

        Args:
            image: (n,), the image of each place.
            side: (n,), 0 the right lung, 1 the left.
            focus: (n, 2), from apex to base and from the mediastinum to the ribs, in [0, 1].
            xp: numpy or torch.
        """
        count = self.first.shape[-1]
        top, bottom = self.top[image, side], self.bottom[image, side]
        row = top + focus[:, 0] * (bottom - top)
        here = row.clip(0, count - 1)
        here = here.astype(int) if xp is np else here.long()
        first, last = self.first[image, side, here], self.last[image, side, here]
        right = self.outward[image, side] > 0
        inner, outer = xp.where(right, first, last), xp.where(right, last, first)
        return row / count, (inner + focus[:, 1] * (outer - inner)) / count


def _ends(there: Array, xp: Any) -> tuple[Array, Array]:
    """Returns the first 1 along the last axis and the place after the last 1; 0 and the length where there is none."""
    back = there[..., ::-1] if xp is np else there.flip(-1)
    return there.argmax(-1), there.shape[-1] - back.argmax(-1)


def _outward(share: Array, xp: Any) -> Array:
    """Returns `Extents.outward`: the ribs of a lung are on the side away from the other lung.

    If the other lung is missing, the radiograph counts as not mirrored.
    """
    weight = share.sum(2)
    columns = np.arange(1, weight.shape[2] + 1, dtype=np.float32) if xp is np else xp.cumsum(xp.ones_like(weight), 2)
    total = weight.sum(2)
    middle = (weight * columns).sum(2) / total.clip(1e-6)
    mirrored = (xp.amin(total, 1) > 0) & (middle[:, 0] > middle[:, 1])
    left = 1 - 2 * (mirrored + 0)
    return np.array([-left, left]).T if xp is np else xp.stack([-left, left], 1)


def at_the_hilum(lesions: Any, extents: Extents, xp: Any) -> tuple[Array, Array]:
    """Returns where the pieces of textures start, and which pieces are mirrored.

    Airways grow from the hilum to the ribs; all other pieces stay as they are in `lesions`.
    """
    if xp is np and not lesions.airways.any():
        return lesions.place, lesions.mirrored
    focus = 0 * lesions.focus + lesions.hilum
    row, column = extents.place(lesions.image, lesions.side, focus, xp)
    row, column = (xp.floor(at * GRID).clip(0, GRID - 1) for at in (row, column))
    right = extents.outward[lesions.image, lesions.side] > 0
    column = xp.where(right, column, GRID - 1 - column)  # the column before the piece is mirrored
    air = lesions.airways[:, None] != 0
    place, mirrored = lesions.place + 0, lesions.mirrored + 0
    place[:, 2] = xp.where(air, xp.stack([SIDE // 2 - row, SIDE // 2 - column], 1), lesions.place[:, 2] + 0 * focus)
    mirrored[:, 2] = xp.where(air, xp.stack([0 * lesions.side, 1 - (right + 0)], 1), lesions.mirrored[:, 2])
    return place, mirrored


def levels(
    stamps: Array, row: Array, column: Array, outward: Array, height: Array, rows: Array, columns: Array, xp: Any
) -> Array:
    """Returns the level of every lesion: 1 in the middle of a stamp, 0 on its rim, negative outside, -3.6 far away.

    Args:
        stamps: (n, stamps, 4).
        row: (n,), row of the focus, as a share of the window's side.
        column: (n,), column of the focus, as a share of the window's side.
        outward: (n,), 1 where the ribs are at higher columns, -1 where the ribs are at lower columns.
        height: (n,), height of the lungs, as a share of the window's side.
        rows: (rows,), rows of the grid, as shares of the window's side.
        columns: (columns,), columns of the grid, as shares of the window's side.
        xp: numpy or torch.

    Returns:
        (n, rows, columns).
    """
    down = row[:, None] + stamps[:, :, 0] * height[:, None]
    across = column[:, None] + stamps[:, :, 1] * (height * outward)[:, None]
    tall, wide = stamps[:, :, 2] * height[:, None], stamps[:, :, 3] * height[:, None]
    vertical = xp.exp((-SHARPNESS * ((rows[:, None] - down[:, None, :]) / tall[:, None, :]) ** 2).clip(FAINT))
    horizontal = xp.exp((-SHARPNESS * ((columns - across[:, :, None]) / wide[:, :, None]) ** 2).clip(FAINT))
    total = xp.matmul(vertical[:, :, :AT_ONCE], horizontal[:, :AT_ONCE])
    for k in range(AT_ONCE, stamps.shape[1], AT_ONCE):
        total = total + xp.matmul(vertical[:, :, k : k + AT_ONCE], horizontal[:, k : k + AT_ONCE])
    return 1 + xp.log(total + 1e-6) / SHARPNESS


def density(level: Array, rim: Array, clouds: Array, texture: Array, look: Array, xp: Any) -> Array:
    """Returns the attenuation of every lesion before its severity, about 1 in its densest parts.

    Args:
        level: (n, grid, grid).
        rim: clouds that push the rim in and out, (n, grid, grid).
        clouds: clouds within the lesion, (n, grid, grid).
        texture: the texture that the lesion is made of, (n, grid, grid).
        look: edge, solidity, irregularity, cloudiness, share and hollow, each (n, 1, 1).
        xp: numpy or torch.
    """
    edge, solidity, irregularity, cloudiness, share, hollow = look
    rise = ((level + irregularity * rim) / edge).clip(0, 1)
    shape = solidity * xp.sqrt(rise) + (1 - solidity) * rise * rise * (3 - 2 * rise)
    shape = shape * (1 - hollow * ((level + irregularity * rim - CAVITY) / CAVITY_EDGE).clip(0, 1))
    return shape * (1 + cloudiness * clouds) * (1 - share + share * texture)


def remaining(severity: Array, density: Array, fade: Array) -> Array:
    """Returns the share of the air that every lesion leaves, in [0, 1]."""
    return 1 - (severity * density * fade).clip(0, 1)


def air_of_one(level: Any, pieces: Sequence[Any], look: Any, severity: Any, fade: Any) -> Any:
    """Returns `remaining` of the `density` of one lesion in numpy, bit for bit, without the work that its look spares.

    Args:
        level: (rows, columns).
        pieces: of the clouds at the rim, the clouds within and the texture, (rows, columns); None where the look has
            nothing of it.
        look: the six numbers that `density` takes.
        severity: a number.
        fade: (rows, columns).
    """
    (rim, clouds, texture), (edge, solidity, irregularity, cloudiness, share, hollow) = pieces, look
    bent, factor = np.empty((2, *level.shape), np.float32)
    if rim is None:
        bent[:] = level
    else:
        cv2.add(level, np.multiply(rim, irregularity, out=bent), bent)
    rise = bent / edge
    rise.clip(0, 1, out=rise)
    shape = _risen(rise, solidity)
    if hollow:
        bent -= CAVITY
        bent /= CAVITY_EDGE
        bent.clip(0, 1, out=bent)
        shape *= 1 - bent * hollow
    for piece, strength, rest in ((clouds, cloudiness, 1), (texture, share, 1 - share)):
        if piece is not None:
            np.multiply(piece, strength, out=factor)
            factor += rest
            cv2.multiply(shape, factor, shape)
    shape *= severity
    cv2.multiply(shape, fade, shape)
    shape.clip(0, 1, out=shape)
    return np.subtract(1, shape, out=shape)


def _risen(rise: Any, solidity: Any) -> Any:
    """Returns the attenuation of a rise: `solidity` parts of its root, the other parts of a smooth step."""
    if solidity == 1:
        return np.sqrt(rise, out=rise)
    smooth = rise if solidity == 0 else rise * (1 - solidity)
    steep = rise * -2
    steep += 3
    smooth = cv2.multiply(smooth, rise)
    cv2.multiply(smooth, steep, smooth)
    return smooth if solidity == 0 else cv2.add(smooth, np.sqrt(rise) * solidity)


def saturated(added: Array, film: Array, soft_tissue: Array, xp: Any) -> Array:
    """Returns attenuation as a radiograph shows it: above the grey of soft tissue, the image brightens less.

    Ribs in fluid are an example.

    Args:
        added: attenuation, (..., h, w).
        film: the image that the attenuation is added to, (..., h, w).
        soft_tissue: the grey of soft tissue, of the shape of `film` but with h and w of 1; or a number.
        xp: numpy or torch.
    """
    excess = xp.minimum((film + added - soft_tissue).clip(0, 1), added)
    return excess * (LEAST_GAIN - 1) + added


def fades(share: Array, reach: Array, xp: Any) -> Array:
    """Returns the fade of lesions at the pleura: 0 on the pleura, rising to 1 inside the lung.

    Where `reach` is 1, the fade is 1 on the pleura, too.

    Args:
        share: (n, cells, cells), the blurred share of lung.
        reach: (n,).
        xp: numpy or torch.
    """
    return xp.sqrt((2 * share - 1 + reach[:, None, None]).clip(0, 1))
