"""Noise from integers: a seed and a place give a value, without a random generator.

The numbers are the same on every machine, with every numpy version and any number of workers. A record of a few
integers is therefore enough to remake a texture bit for bit. Voronoi cells around hashed places break a map into
irregular facets, like those of patchy air-space disease.
"""

from __future__ import annotations

import cv2
import numpy as np

from artasyn.shapes import Float32, Int32, Shaped


def hashed(seed: int, index: Shaped[np.ndarray, "*n"]) -> Float32[np.ndarray, "*n"]:
    """Returns uniform numbers in [0, 1), one for each index.

    Args:
        seed: from 0 to 2**32 - 1; streams of different seeds are unrelated.
        index: integers of any shape, from 0 to 2**32 - 1.

    Source: the 64-bit finaliser of MurmurHash3 (Appleby, public domain algorithm).

    Example:
        >>> [round(float(value), 3) for value in hashed(7, np.arange(3))]
        [0.928, 0.391, 0.619]
    """
    word = np.asarray(index.astype(np.uint64) + (np.uint64(seed) << np.uint64(32)))
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        word ^= word >> np.uint64(33)
        word *= np.uint64(multiplier)
    word ^= word >> np.uint64(33)
    return np.asarray((word >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24), np.float32)


def lattice(seed: int, shape: tuple[int, int]) -> Float32[np.ndarray, "h w"]:
    """Returns uniform numbers in [0, 1) on a grid; the number at a row and a column is the same on a larger grid.

    Args:
        seed: from 0 to 2**32 - 1.
        shape: rows and columns, each up to 65536.

    Example:
        >>> bool((lattice(7, (3, 4)) == lattice(7, (5, 9))[:3, :4]).all())
        True
    """
    return hashed(seed, 65536 * np.arange(shape[0])[:, None] + np.arange(shape[1]))


def clouds(
    shape: tuple[int, int], *, seed: int, coarsest: float, octaves: int = 4, gain: float = 0.6
) -> Float32[np.ndarray, "h w"]:
    """Makes a cloudy texture: value noise of several octaves, each half as coarse as the one before.

    Args:
        shape: rows and columns.
        seed: from 0 to 2**32 - 1.
        coarsest: the distance between the knots of the coarsest octave, in pixels of `shape`.
        octaves: number of octaves; octaves finer than two pixels add nothing and are left out.
        gain: the amplitude of an octave relative to the one before.

    Returns:
        float32 (h, w) in [0, 1], mean about 0.5.

    Example:
        >>> texture = clouds((32, 48), seed=3, coarsest=16.0)
        >>> texture.shape, bool(texture.min() >= 0), bool(texture.max() <= 1)
        ((32, 48), True, True)
    """
    rows, columns = shape
    total = np.zeros(shape, np.float32)
    weight, amplitude = 0.0, 1.0
    for octave in range(octaves):
        step = coarsest / 2**octave
        if octave and step < 2:
            break
        knots = (int(np.ceil(rows / step)) + 3, int(np.ceil(columns / step)) + 3)
        values = lattice((seed + 7919 * octave) % 2**32, knots)
        to_knots = np.array([[1 / step, 0, 1], [0, 1 / step, 1]], np.float32)
        total += amplitude * cv2.warpAffine(
            values, to_knots, (columns, rows), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        )
        weight += amplitude
        amplitude *= gain
    return np.asarray(np.clip(total / weight, 0, 1), np.float32)


def crystallised(values: Float32[np.ndarray, "h w"], *, seed: int, cells: int) -> Float32[np.ndarray, "h w"]:
    """Fills every Voronoi cell with the mean of its values.

    Args:
        values: float32 (h, w).
        seed: fixes the cells' centres.
        cells: approximate number of cells.

    Source: ART-ASyn (arXiv 2512.00310). The published centres are uniform; here they are stratified.

    Example:
        >>> ramp = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
        >>> len(np.unique(crystallised(ramp, seed=1, cells=9)))
        9
    """
    nearest = voronoi(values.shape, seed=seed, cells=cells)
    total = np.bincount(nearest.ravel(), weights=values.ravel())
    size = np.bincount(nearest.ravel())
    return np.asarray((total / np.maximum(size, 1))[nearest], np.float32)


def voronoi(shape: tuple[int, int], *, seed: int, cells: int) -> Int32[np.ndarray, "h w"]:
    """Returns the Voronoi cell of every pixel, int32 (h, w), numbered from 1.

    Args:
        shape: rows and columns.
        seed: fixes the cells' centres, one at a hashed place in each square of a regular lattice.
        cells: approximate number of cells.
    """
    rows, columns = shape
    step = np.sqrt(rows * columns / cells)
    down, across = max(1, round(rows / step)), max(1, round(columns / step))
    place = lattice(seed, (down, 2 * across))
    row = (np.arange(down)[:, None] + place[:, ::2]) * rows / down
    column = (np.arange(across)[None, :] + place[:, 1::2]) * columns / across
    elsewhere = np.ones(shape, np.uint8)
    elsewhere[row.astype(int), column.astype(int)] = 0
    _, nearest = cv2.distanceTransformWithLabels(elsewhere, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    return np.asarray(nearest, np.int32)
