"""PBTSeg as published, a direct implementation for comparison: ART-ASyn (arXiv 2512.00310), at 256 x 256 pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_fill_holes
from skimage.measure import label, regionprops

from artasyn.arrays import LEFT, RIGHT, LungLabels

SIZE = 256


def published_pbtseg(pixels: npt.NDArray[np.uint8]) -> LungLabels:
    """The lungs of an 8-bit film of 256 x 256 pixels: 0 background, 1 right, 2 left; a lung may be missing."""
    height, width = pixels.shape
    largest: dict[int, tuple[float, npt.NDArray[np.bool_]]] = {}
    for threshold in range(50, 165, 5):
        components = label(pixels <= threshold)  # type: ignore[no-untyped-call]
        regions = regionprops(components)  # type: ignore[no-untyped-call]
        candidates = [region for region in regions if _may_be_lung(region, height, width)]
        if not candidates and threshold > 130:
            break
        for region in sorted(candidates, key=lambda region: region.area, reverse=True)[:2]:
            _, first, _, beyond = region.bbox
            side = RIGHT if first < width / 3 else LEFT if beyond > 2 * width / 3 else 0
            if side and region.area > largest.get(side, (0.0, None))[0]:
                largest[side] = region.area, components == region.label
    labels = np.zeros(pixels.shape, np.uint8)
    for side, (_, mask) in largest.items():
        labels[binary_fill_holes(mask)] = side
    return labels


def _may_be_lung(region: Any, height: int, width: int) -> bool:
    top, first, bottom, beyond = region.bbox
    row, column = region.centroid
    central = height / 6 < row < 5 * height / 6 and width / 6 < column < 5 * width / 6
    if not 2000 < region.area < 10000 or bottom - top <= beyond - first or not central:
        return False
    if region.solidity <= 0.6:
        return False
    hull = region.image_convex.astype(np.uint8)
    contours, _ = cv2.findContours(hull, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    columns, rows = (contours[0][:, 0] + (first, top)).T
    on_border = (columns == 0) | (columns == width - 1) | (rows == 0) | (rows == height - 1)
    return bool(on_border.mean() < 0.15)
