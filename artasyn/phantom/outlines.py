"""Outlines of an adult thorax as smooth curves through knots, mm."""

from __future__ import annotations

import functools

import numpy as np

Knots = tuple[tuple[float | int, float | int], ...]
"""Pairs of place and value that a curve passes through, in increasing order of places."""


# The knots are in mm, for an adult in inspiration; the record scales them. The outlines of the lungs and of the
# mediastinum follow standard postero-anterior radiographs. The depths follow chest CT of adults.
DOME_Z = 207.0
# fmt: off
OUTER: Knots = (
    (0, 48), (5, 65), (20, 86), (35, 99), (50, 107), (80, 117), (110, 122), (170, 128), (230, 136),
    (320, 140),
)
INNER: Knots = ((0, 46), (5, 33), (20, 21), (35, 14), (60, 9), (320, 8))
FRONT: Knots = ((0, 4), (20, 30), (40, 50), (70, 67), (110, 80), (170, 88), (240, 88), (320, 84))
BACK: Knots = ((0, 4), (20, 36), (40, 55), (70, 73), (110, 86), (170, 90), (240, 84), (320, 70))
MIDDLE_Y: Knots = ((0, 18), (40, 12), (100, 5), (170, 0), (320, -2))
RIGHT_BORDER: Knots = (
    (-100, 28), (-20, 25), (10, 19), (35, 17), (70, 20), (100, 23), (122, 26), (160, 26), (200, 24), (330, 20),
)
LEFT_BORDER: Knots = (
    (-100, 28), (-20, 25), (15, 22), (38, 21), (52, 24), (64, 33), (78, 38), (90, 36), (102, 33), (114, 37),
    (126, 40), (150, 40), (180, 35), (220, 30), (330, 20),
)
KNOB = (64, 78, 90)
# Borders of the heart relative to its largest extents, and its depth, from its top 0 to its bottom 1.
HEART_LEFT: Knots = (
    (0, 0.28), (0.05, 0.45), (0.15, 0.575), (0.3, 0.735), (0.5, 0.903), (0.72, 1.0), (0.85, 0.97), (0.95, 0.85),
    (1, 0.62),
)
HEART_RIGHT: Knots = (
    (0, 0.2), (0.05, 0.39), (0.15, 0.71), (0.3, 0.88), (0.5, 0.99), (0.6, 1.0), (0.7, 0.95), (0.85, 0.66),
    (0.95, 0.1), (1, -0.8),
)
HEART_DEPTH: Knots = (
    (0, 0.42), (0.15, 0.68), (0.35, 0.93), (0.55, 1.0), (0.75, 0.93), (0.88, 0.72), (0.96, 0.4), (1, 0),
)
MEDIASTINUM_FRONT: Knots = ((-100, 20), (0, 20), (40, 30), (90, 46), (140, 50), (200, 45), (330, 40))
MEDIASTINUM_BACK: Knots = ((-100, 22), (0, 24), (60, 36), (130, 42), (170, 40), (220, 36), (330, 32))
TRUNK: Knots = (
    (-140, 63), (-60, 61), (-46, 74), (-34, 100), (-22, 138), (-8, 180), (12, 208), (45, 214), (75, 200),
    (105, 176),
)
TRUNK_FRONT: Knots = (
    (-140, 40), (-50, 40), (-20, 46), (20, 70), (60, 88), (110, 101), (200, 112), (360, 116),
)
TRUNK_BACK: Knots = (
    (-140, 72), (-50, 76), (-20, 90), (20, 112), (60, 134), (110, 140), (200, 138), (360, 126),
)
# fmt: on


def smooth_curve(at: np.ndarray, knots: Knots) -> np.ndarray:
    """Evaluates a smooth curve through knots. The curve does not overshoot the knots and is constant beyond them.

    Args:
        at: the places to evaluate, of any shape.
        knots: pairs of place and value, in increasing order of places.

    Source:
        Fritsch and Butland (1984), monotone piecewise cubic interpolation.
    """
    table, curve = _table(knots)
    return np.asarray(np.interp(at, table, curve).astype(np.float32))


@functools.lru_cache(maxsize=256)
def _table(knots: Knots) -> tuple[np.ndarray, np.ndarray]:
    place, value = np.asarray(knots, dtype=np.float64).T
    step = np.diff(place)
    slope = np.diff(value) / step
    product = slope[:-1] * slope[1:]
    inner = np.where(product > 0, 2 * product / np.where(product > 0, slope[:-1] + slope[1:], 1.0), 0.0)
    tangent = np.concatenate([slope[:1], inner, slope[-1:]])
    table = np.linspace(place[0], place[-1], 513)
    cell = np.clip(np.searchsorted(place, table, side="right") - 1, 0, len(step) - 1)
    t = (table - place[cell]) / step[cell]
    curve = value[cell] * (1 + 2 * t) * (1 - t) ** 2 + value[cell + 1] * t**2 * (3 - 2 * t)
    curve += step[cell] * (tangent[cell] * t * (1 - t) ** 2 - tangent[cell + 1] * t**2 * (1 - t))
    return table, curve


def wave(rng: np.random.Generator, z: np.ndarray, size: float) -> np.ndarray:
    """Returns a slight unevenness of an outline, mm."""
    knots = tuple(
        (float(k), float(v)) for k, v in zip(range(-150, 400, 18), size * rng.standard_normal(31), strict=True)
    )
    return smooth_curve(z, knots)
