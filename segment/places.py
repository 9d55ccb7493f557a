"""Places of regions on an image: centroids, and regions without stray parts.

Points are (row, column) in pixels, with pixel centres at whole numbers. An edge lies half a pixel outside the outermost
centre, so that a mask of 10 columns is 10 wide.
"""

from __future__ import annotations

import cv2
import numpy as np

from artasyn.arrays import Heatmap, Mask

Point = tuple[float, float]
"""Row and column."""

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


def whole_place(weights: Heatmap, mask: Mask, covered: Mask | None = None) -> Point | None:
    """Returns the centroid of a structure without its stray parts; None if it is not there, or if it may be cut.

    Args:
        weights: (h, w), float32, the weight of each pixel.
        mask: (h, w), bool, the structure.
        covered: (h, w), bool, pixels that show all of the patient; None for all pixels. A structure that reaches
            outside these pixels, or to the image's border, may be cut.

    Example:
        >>> mask = np.zeros((60, 40), bool)
        >>> mask[10:14, 10:20] = True
        >>> whole_place(np.ones((60, 40), np.float32), mask)
        (11.5, 14.5)
    """
    region = main_parts(mask)
    if at_border(region) or (covered is not None and not covered[region].all()):
        return None
    return mean_place(weights * region)
