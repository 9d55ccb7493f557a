"""Intervals of depth: what each ray from back to front spends in one structure."""

from __future__ import annotations

import numpy as np

from artasyn.shapes import Bool, Float32

Map = Float32[np.ndarray, "h w"]
"""A number for every ray: float32 (h, w)."""
RayInterval = Float32[np.ndarray, "2 h w"]
"""The depths at which each ray enters and leaves a structure, mm of ``y``; empty if the second is the smaller."""
RayMask = Bool[np.ndarray, "h w"]
"""A selection of rays: bool (h, w)."""


def around(middle: np.ndarray | float, half: np.ndarray) -> RayInterval:
    """Returns intervals of a half length around a middle depth; empty where the half length is not positive."""
    middle, half = np.broadcast_arrays(middle, half)
    return np.stack([middle - half, np.where(half > 0, middle + half, -np.inf)]).astype(np.float32)


def root(values: np.ndarray, power: float = 2.5) -> np.ndarray:
    """Returns a root of the values, and 0 for negative values."""
    return np.asarray(np.maximum(values, 0) ** (1 / power))


def length(interval: RayInterval) -> Map:
    """Returns the length of every ray in an interval, mm."""
    return np.asarray(np.maximum(interval[1] - interval[0], 0))


def overlap(part: RayInterval, other: RayInterval) -> RayInterval:
    """Returns what two intervals of every ray share."""
    return np.stack([np.maximum(part[0], other[0]), np.minimum(part[1], other[1])])


def covered(host: RayInterval, holes: tuple[RayInterval, ...]) -> Map:
    """Returns the length of every ray that lies in `host` and in one or more of `holes`, mm."""
    low = [np.maximum(hole[0], host[0]) for hole in holes]
    high = [np.minimum(hole[1], host[1]) for hole in holes]
    for last in range(len(holes) - 1, 0, -1):  # sorts the holes by the depth at which each ray enters them
        for i in range(last):
            late = low[i] > low[i + 1]
            low[i], low[i + 1] = np.minimum(low[i], low[i + 1]), np.maximum(low[i], low[i + 1])
            high[i], high[i + 1] = np.where(late, high[i + 1], high[i]), np.where(late, high[i], high[i + 1])
    total, reached = np.zeros_like(host[0]), np.full_like(host[0], -np.inf)
    for start, end in zip(low, high, strict=True):
        total += np.maximum(end - np.maximum(start, reached), 0)
        reached = np.maximum(reached, end)
    return np.asarray(total)


def interval_share(part: RayInterval, y: np.ndarray, step: float) -> np.ndarray:
    """Returns the share of slabs around depths, `step` mm thick, that lies in an interval: float32 (h, d, w).

    Args:
        part: the interval of every ray.
        y: the depths, (d,) for all rows or (h, d) for each.
        step: thickness of the slabs, mm.
    """
    middle, half = np.atleast_2d(y.astype(np.float32))[:, :, None], np.float32(step / 2)
    low, high = part[0][:, None], part[1][:, None]
    inside = np.minimum(high, middle + half)
    inside -= np.maximum(low, middle - half)
    np.clip(inside, 0, np.float32(step), out=inside)
    inside /= np.float32(step)
    return np.asarray(inside)
