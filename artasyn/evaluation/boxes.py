"""Boxes around lesions, and whether a heatmap points into them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from artasyn.arrays import Heatmap, Mask

Box = tuple[float, float, float, float]
"""Row, column, height and width of a box in pixels; the first pixel extends from row 0 to row 1."""


def inside_boxes(boxes: Sequence[Box], shape: tuple[int, int]) -> Mask:
    """Returns the pixels whose centre lies inside at least one box.

    Args:
        boxes: of any size, also beyond the edges.
        shape: rows and columns of the mask.
    """
    rows, columns = (np.arange(side) + 0.5 for side in shape)
    inside = np.zeros(shape, bool)
    for row, column, height, width in boxes:
        down, across = (rows >= row) & (rows < row + height), (columns >= column) & (columns < column + width)
        inside |= down[:, None] & across
    return inside


def pointing(heatmap: Heatmap, boxes: Sequence[Box]) -> float:
    """Returns the probability that the highest point of a heatmap lies inside a box.

    If several pixels share the highest value, the result is the share of these pixels that lie inside. A constant
    heatmap therefore scores the share of the film that the boxes cover, and never a lucky hit.

    Args:
        heatmap: (h, w).
        boxes: on the heatmap's grid.

    Source: the pointing game of Zhang et al., Top-down Neural Attention by Excitation Backprop (IJCV 2018).

    Example:
        >>> pointing(np.array([[0.1, 0.9, 0.9], [0.2, 0.3, 0.1]], np.float32), [(0.0, 2.0, 2.0, 1.0)])
        0.5
    """
    highest = heatmap == heatmap.max()
    return float(inside_boxes(boxes, (heatmap.shape[0], heatmap.shape[1]))[highest].mean())
