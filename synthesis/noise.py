"""Noise from integers: a seed and a place give a value, without a random generator.

The numbers are the same on every machine, with every numpy version and any number of workers. A record of a few
integers is therefore enough to remake a texture bit for bit.
"""

from __future__ import annotations

import cv2
import numpy as np

from artasyn.shapes import Float32, Shaped


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
