"""Voronoi cells: they break a map into irregular facets, like those of patchy air-space disease."""

from __future__ import annotations

import cv2
import numpy as np

from artasyn.shapes import Float32, Int32
from artasyn.synthesis.noise import lattice


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
