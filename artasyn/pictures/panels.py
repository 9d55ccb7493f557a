"""Panels of one radiograph side by side: the radiograph, the evidence, the marked region, the truth."""

from __future__ import annotations

import numpy as np

from artasyn.arrays import Heatmap, Image, Mask
from artasyn.pictures.overlays import grey_picture, overlay_heatmap, overlay_mask, overlay_structures
from artasyn.pictures.thumbnails import TILE, on_grid, thumbnail
from artasyn.shapes import UInt8

Panels = UInt8[np.ndarray, "rows columns 3"]
"""A picture on a grid of its own, RGB."""


def detection_panels(image: Image, heatmap: Heatmap, mask: Mask, *, top: float) -> Panels:
    """Shows a radiograph, its heatmap and its mask side by side, each at most `TILE` pixels long.

    Args:
        image: (h, w), float32 in [0, 1].
        heatmap: (h, w), float32 in [0, 1].
        mask: (h, w), bool.
        top: the evidence that is shown as fully hot, above 0.

    Returns:
        (rows, 3 * columns, 3), uint8.
    """
    small = thumbnail(image)
    return np.hstack(
        [
            grey_picture(small),
            overlay_heatmap(small, on_grid(heatmap, small), top=top),
            overlay_mask(small, on_grid(mask, small)),
        ]
    )


def truth_panel(image: Image, lesions: Mask | None, boxes: Mask | None, side: int = TILE) -> Panels:
    """Shows the true lesions on a radiograph: lesions tinted and outlined, boxes outlined.

    Args:
        image: (h, w), float32 in [0, 1].
        lesions: (h, w), bool; None where none are drawn.
        boxes: (h, w), bool, the pixels inside boxes; None where there are no boxes.
        side: the most pixels of the longer side.
    """
    small = thumbnail(image, side)
    marked = {} if lesions is None else {"lesions": on_grid(lesions, small)}
    return overlay_structures(small, marked, marked if boxes is None else {"lesions": on_grid(boxes, small)})
