"""The heart: a body of its own with a known silhouette, cut into its four chambers."""

from __future__ import annotations

import numpy as np

from artasyn.phantom.intervals import Map, RayInterval, around, root
from artasyn.phantom.outlines import HEART_DEPTH, HEART_LEFT, HEART_RIGHT, smooth_curve, wave
from artasyn.phantom.thorax import ThoraxRecord

CHAMBERS = ("heart_atrium_right", "heart_atrium_left", "heart_ventricle_right", "heart_ventricle_left")


def heart_place(record: ThoraxRecord, x: Map, z: Map) -> tuple[Map, Map]:
    """Returns where rays meet the heart: from the top 0 to the bottom 1, and from the right border -1 to the left 1.

    Args:
        record: the thorax.
        x: straight mm, of every ray.
        z: mm below the apices, of every ray.
    """
    down = (z - record.height + record.heart_rise) / np.float32(record.heart_rise + record.heart_drop)
    bent = np.clip(down, 0, 1) ** np.float32(np.log(0.72) / np.log(record.heart_apex))
    rng = np.random.default_rng([record.seed, 0])
    left = record.heart_left * smooth_curve(bent, HEART_LEFT) ** np.float32(record.heart_slope) + wave(rng, z, 0.8)
    right = -record.heart_right * smooth_curve(np.clip(down, 0, 1), HEART_RIGHT) + wave(rng, z, 0.7)
    x = x - record.heart_lean * (np.clip(down, 0, 1) - 0.5)
    return down, (2 * x - left - right) / np.maximum(left - right, 1.0)


def _depths(record: ThoraxRecord, down: Map, across: Map) -> tuple[Map, Map]:
    """Returns the middle of the heart along rays and half its depth there, mm."""
    size = ((record.heart_left + record.heart_right) / 125) ** 0.6
    deep = 51 * min(size, 1.25) * smooth_curve(np.clip(down, 0, 1), HEART_DEPTH) * ((down > 0) & (down < 1))
    front = 30.0 - 20 * max(size - 1, 0)  # a large heart grows to the back
    middle = -front - 6 * (2 * down - 1) - 12 * np.clip(across, -1, 1)
    half = deep * root(1 - np.abs(across) ** 2.4, 1.9)
    return np.float32(record.depth) * middle, np.float32(record.depth) * half


def heart(record: ThoraxRecord, x: Map, z: Map) -> RayInterval:
    """Returns the heart along the rays of a frontal projection.

    The heart rests on the diaphragm. Its apex points to the left, to the front and down.

    Args:
        record: the thorax.
        x: straight mm, of every ray.
        z: mm below the apices, of every ray.

    Source:
        Means of the borders of hearts on postero-anterior films of adults (JSRT): widest at seven tenths of
        the height, the right border at six tenths.
    """
    return around(*_depths(record, *heart_place(record, x, z)))


def chambers(record: ThoraxRecord, x: Map, y: np.ndarray, z: Map) -> np.ndarray:
    """Returns the chamber of every point of the heart as an index into `CHAMBERS`, uint8 (h, d, w).

    The right atrium makes the right border, the left ventricle the left border, the right ventricle lies in front, the
    left atrium at the back above.

    Args:
        record: the thorax.
        x: straight mm, of every ray.
        y: straight depths of every row, (h, d), mm.
        z: mm below the apices, of every ray.
    """
    down, across = heart_place(record, x, z)
    middle, _ = _depths(record, down, across)
    deep = 51 * record.depth
    tilt = np.random.default_rng([record.seed, 12]).normal(0, 0.06, 4).astype(np.float32)
    back = (y / np.float32(deep))[:, :, None]
    flat = middle / np.float32(deep)
    axis = (0.55 * across + (1.1 + tilt[0]) * (down - 0.5) + 0.02 + tilt[1] + 0.35 * flat)[:, None]
    ventricle = axis > (0.35 + tilt[2]) * back
    left = np.where(
        ventricle, (0.75 * across - flat - 0.2)[:, None] + back, (across - flat * 0.9)[:, None] + 0.9 * back
    )
    return np.asarray(2 * ventricle + (left > tilt[3])).astype(np.uint8)
