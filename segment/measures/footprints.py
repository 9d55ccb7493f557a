"""Functions on footprints of structures, projected or predicted, that all measures share.

Points are (row, column) in pixels, with pixel centres at whole numbers. An edge lies half a pixel outside the outermost
centre, so that a mask of 10 columns is 10 wide.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from artasyn.arrays import Mask
from artasyn.errors import DataError
from artasyn.segment.projection.projection import Projection

Point = tuple[float, float]
"""Row and column."""

FRONTAL = 20.0
"""Largest turn or tilt of a view that is measured as frontal, degrees from straight through the chest."""
STRAY = 0.05
"""Components of a mask with less than this share of its area are not measured."""


def main_parts(mask: Mask) -> Mask:
    """Removes stray components, with less than 5 % of the area, from a mask before it is measured.

    Args:
        mask: (h, w), bool.
    """
    _, components, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= STRAY * np.count_nonzero(mask)
    kept[0] = False
    return mask if kept[1:].all() else np.asarray(kept[components])


def check_frontal(projection: Projection) -> None:
    """Refuses a view in which left and right cannot be measured."""
    view = projection.view
    turned = math.degrees(math.acos(min(1.0, abs(math.cos(math.radians(view.angle))))))
    if turned > FRONTAL or abs(view.tilt) > FRONTAL:
        raise DataError(
            f"not a frontal view: turned by {view.angle:g} and tilted by {view.tilt:g} degrees; "
            f"project PA or AP, within {FRONTAL:g} degrees"
        )


def check_masks(masks: dict[str, Mask]) -> None:
    """Refuses masks of another dtype or shape, and empty masks."""
    shapes = [mask.shape for mask in masks.values()]
    for name, mask in masks.items():
        if mask.dtype != np.bool_ or mask.ndim != 2:
            raise DataError(f"the mask of the {name} must be bool (h, w), not {mask.dtype} {mask.shape}")
        if len(set(shapes)) > 1:
            raise DataError(f"{' and '.join(masks)} must be of one shape, not {' and '.join(map(str, shapes))}")
        if not mask.any():
            raise DataError(f"the mask of the {name} is empty: nothing to measure")


def at_border(mask: Mask) -> bool:
    """Tells whether a mask reaches the border of its image."""
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def mean_place(weights: np.ndarray) -> Point | None:
    """Returns the weighted mean (row, column) of the pixels; None if all weights are 0."""
    total = float(weights.sum(dtype=np.float64))
    if total == 0:
        return None
    down, across = (weights.sum(axis=axis, dtype=np.float64) for axis in (1, 0))
    return float(down @ np.arange(down.size)) / total, float(across @ np.arange(across.size)) / total
