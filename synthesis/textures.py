"""Textures of opacities: each is made once in a process and is the same on every machine.

A texture is larger than the grid that opacities are rendered on. Every lesion cuts its own piece out of the texture;
the lesion's seed decides the place and the mirroring of the piece. Cutting is as fast as a copy, and gives the same
piece in numpy and on a device.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from artasyn.shapes import Float32
from artasyn.synthesis.noise import clouds, crystallised, hashed, lattice, voronoi

GRID = 192
"""Rows and columns of the grid over the lungs that opacities are rendered on."""

SIDE = 704
"""Rows and columns of a texture: a piece of `GRID` fits in at 512 places along each axis."""

DEVIATION = 2.5
"""Largest distance of clouds from their mean, in standard deviations."""

CLOUDS = ("clouds_64", "clouds_32", "clouds_16", "clouds_8")
"""Clouds by the distance of their coarsest knots, in pixels of the grid; mean 0, standard deviation 1."""

TREES = tuple(f"bronchi_{number}" for number in range(6))
"""Bronchial trees that grow to the right from the texture's middle: 1 in the airways, 0 elsewhere."""

CUFFS = tuple(f"cuffs_{number}" for number in range(len(TREES)))
"""The thickened walls of the same trees, with a haze around them."""

NAMES = (*CLOUDS, "reticular_fine", "reticular_coarse", "micronodules", "cells", *TREES, *CUFFS, "septa")
"""The textures in their order in the bank. All but the clouds lie in [0, 1]."""


@cache
def texture(number: int) -> Float32[np.ndarray, "side side"]:
    """Returns a texture by its position in `NAMES`, float32 (side, side), read-only; the first call makes it."""
    name = NAMES[number]
    made = _make(name)
    made.flags.writeable = False
    return made


def bank() -> Float32[np.ndarray, "textures side side"]:
    """Returns all textures, float32 (textures, side, side)."""
    return np.stack([texture(number) for number in range(len(NAMES))])


def _make(name: str) -> Float32[np.ndarray, "side side"]:
    if name in CLOUDS:
        coarsest = int(name.removeprefix("clouds_"))
        return _standardised(clouds((SIDE, SIDE), seed=coarsest, coarsest=float(coarsest)))
    if name in TREES:
        return _tree(TREES.index(name))
    if name in CUFFS:
        return _cuffs(CUFFS.index(name))
    made = {
        "reticular_fine": lambda: _reticular(seed=5, mesh=(6.0, 9.0)),
        "reticular_coarse": lambda: _reticular(seed=6, mesh=(8.0, 13.0)),
        "micronodules": lambda: _micronodules(seed=7),
        "cells": lambda: _cells(seed=8),
        "septa": lambda: _septa(seed=9),
    }
    return made[name]()


def _standardised(values: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Scales values to mean 0 and standard deviation 1, and clips them to at most `DEVIATION` from the mean."""
    return np.asarray(np.clip((values - values.mean()) / values.std(), -DEVIATION, DEVIATION), np.float32)


def _reticular(*, seed: int, mesh: tuple[float, ...]) -> Float32[np.ndarray, "h w"]:
    """Draws the borders of Voronoi cells as thin bent lines of varying strength, like thickened septa.

    Args:
        seed: from 0 to 2**24.
        mesh: widths of the cells of each net, in pixels.
    """
    rows, columns = np.indices((SIDE, SIDE), dtype=np.float32)
    net = np.zeros((SIDE, SIDE), np.float32)
    for number, width in enumerate(mesh):
        first = 100 * seed + 10 * number
        cell = voronoi((SIDE, SIDE), seed=first, cells=round((SIDE / width) ** 2))
        border = np.zeros((SIDE, SIDE), np.float32)
        border[1:, 1:] = (cell[1:, 1:] != cell[:-1, 1:]) | (cell[1:, 1:] != cell[1:, :-1])
        bend = [clouds((SIDE, SIDE), seed=first + n, coarsest=1.5 * width, octaves=2) - np.float32(0.5) for n in (1, 2)]
        lines = cv2.remap(border, columns + width * bend[0], rows + width * bend[1], cv2.INTER_LINEAR)
        strength = np.clip(3 * clouds((SIDE, SIDE), seed=first + 3, coarsest=2 * width, octaves=2) - 1, 0, 1)
        net = np.maximum(net, cv2.GaussianBlur(lines, (0, 0), 0.7) * strength)
    return np.asarray(net / net.max(), np.float32)


def _micronodules(*, seed: int) -> Float32[np.ndarray, "h w"]:
    """Draws small round shadows at random places, each like the projection of a ball; shadows may overlap."""
    step, reach = 9, 4
    count = SIDE // step + 1
    place = hashed(seed, np.arange(4 * count * count)).reshape(4, -1)
    row = (np.repeat(np.arange(count), count) + place[0]) * step
    column = (np.tile(np.arange(count), count) + place[1]) * step
    radius = 1.2 + 1.8 * place[2] ** 2
    offset = np.arange(-reach, reach + 1)
    down, across = (o.ravel() for o in np.meshgrid(offset, offset, indexing="ij"))
    rows, columns = (axis.astype(int)[:, None] + o for axis, o in ((row, down), (column, across)))
    squared = ((rows + 0.5 - row[:, None]) ** 2 + (columns + 0.5 - column[:, None]) ** 2) / radius[:, None] ** 2
    ball = np.sqrt(np.clip(1 - squared, 0, 1)) * (0.4 + 0.6 * place[3])[:, None]
    inside = (rows >= 0) & (rows < SIDE) & (columns >= 0) & (columns < SIDE)
    total = np.bincount((rows * SIDE + columns)[inside], weights=ball[inside], minlength=SIDE * SIDE)
    return np.asarray(np.minimum(total, 1).reshape(SIDE, SIDE), np.float32)


def _cells(*, seed: int) -> Float32[np.ndarray, "h w"]:
    """Breaks clouds into Voronoi cells and blurs them a little: the crystallised texture of ART-ASyn."""
    broken = crystallised(clouds((SIDE, SIDE), seed=seed, coarsest=40.0), seed=seed, cells=4000)
    soft = _standardised(cv2.GaussianBlur(broken, (0, 0), 2.0))
    return np.asarray((soft + np.float32(DEVIATION)) / np.float32(2 * DEVIATION), np.float32)


def _tree(seed: int) -> Float32[np.ndarray, "h w"]:
    """Draws airways that branch from the middle to the right, shorter and fainter at every branching."""
    orders = np.zeros((5, SIDE, SIDE), np.float32)
    middle = SIDE // 2
    numbers = iter(lattice(900 + seed, (40, 40)).ravel().tolist())
    ends = [(middle, middle, 0.9 * (next(numbers) - 0.5) + 0.45 * k, 0) for k in (-2, -1, 0, 1, 2)]
    while ends:
        row, column, angle, order = ends.pop()
        length = (26 - 4.5 * order) * (0.7 + 0.6 * next(numbers))
        stop = row + length * np.sin(angle), column + length * np.cos(angle)
        start, end = ((round(16 * x), round(16 * y)) for y, x in ((row, column), stop))
        cv2.line(orders[order], start, end, 0.9 - 0.13 * order, 2 if order == 0 else 1, cv2.LINE_AA, shift=4)
        if order < 4:
            spread = 0.25 + 0.35 * next(numbers)
            ends += [(*stop, angle + spread, order + 1), (*stop, angle - 0.9 * spread, order + 1)]
    return np.asarray(cv2.GaussianBlur(orders.max(axis=0), (0, 0), 0.8), np.float32)


def _cuffs(number: int) -> Float32[np.ndarray, "h w"]:
    """Draws the walls of a bronchial tree: streaks from the hilum outward, with a haze around them."""
    tree = texture(NAMES.index(TREES[number]))
    haze = cv2.GaussianBlur(tree, (0, 0), 3.0)
    walls = cv2.GaussianBlur(tree, (0, 0), 0.8)
    return np.asarray(np.clip(walls / walls.max() + haze / haze.max(), 0, 1), np.float32)


def _septa(*, seed: int) -> Float32[np.ndarray, "h w"]:
    """Draws short, nearly horizontal lines at random places, like septa that thickened (Kerley B lines)."""
    count = SIDE * SIDE // 160
    place = hashed(seed, np.arange(5 * count)).reshape(5, -1)
    lines = np.zeros((SIDE, SIDE), np.uint8)
    rows, columns = SIDE * place[0], SIDE * place[1]
    lengths, tilts = 5 + 6 * place[2], 0.7 * (place[3] - 0.5)
    ends = np.stack([columns, rows, columns + lengths, rows + tilts * lengths], axis=1)
    for (left, top, right, bottom), strength in zip(
        np.rint(16 * ends).astype(int).tolist(), place[4].tolist(), strict=True
    ):
        cv2.line(lines, (left, top), (right, bottom), 120 + round(135 * strength), 1, cv2.LINE_AA, shift=4)
    return np.asarray(cv2.GaussianBlur(lines.astype(np.float32) / np.float32(255), (0, 0), 0.7), np.float32)
