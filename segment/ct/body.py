"""The patient in a CT, separated from the table, the blankets and the surrounding air."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from artasyn.arrays import Hounsfield, VolumeMask
from artasyn.errors import DataError

SKIN = -200
"""Hounsfield units above which a voxel is patient rather than air, clothes or the foam of the table."""

COARSE = 2.8
"""Size in the axial plane, mm, of the coarse cells in which the patient is searched. Thin sheets between table and
patient vanish at this size, and a volume takes a fraction of a second."""

MARGIN = 3.0
"""Least margin that is kept around the patient, mm, because the skin is blurred."""


def find_body(hu: Hounsfield, spacing: tuple[float, float, float]) -> VolumeMask:
    """Finds the patient with everything inside, bool (z, y, x).

    A morphological opening by one cell removes thin parts of the cells denser than `SKIN`. The largest connected
    component in three dimensions is kept. Its holes are filled in every axial slice, and a margin is added.

    Args:
        hu: Hounsfield units.
        spacing: size of a voxel along z, y and x, mm.

    Raises:
        DataError: nothing in the volume is as dense as a body.
    """
    _, ny, nx = hu.shape
    size = (max(8, round(nx * spacing[2] / COARSE)), max(8, round(ny * spacing[1] / COARSE)))
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    dense = np.stack([cv2.resize(np.asarray(z, np.float32), size, interpolation=cv2.INTER_AREA) for z in hu]) > SKIN
    opened = np.stack([cv2.morphologyEx(z, cv2.MORPH_OPEN, cross) for z in dense.view(np.uint8)])
    parts, count = ndimage.label(opened)
    if count == 0:
        raise DataError(f"nothing in the volume is denser than {SKIN} HU: no patient is in it")
    sizes = np.bincount(parts.ravel())
    patient = parts == 1 + np.argmax(sizes[1:])
    margin = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(1 + MARGIN / COARSE) + 1,) * 2)
    return np.stack([_filled(z, nx, ny, margin) for z in patient.view(np.uint8)])


def _filled(outside: np.ndarray, nx: int, ny: int, margin: np.ndarray) -> np.ndarray:
    """Fills the holes of a slice, adds the margin, and returns the slice on the grid of the volume."""
    outlines, _ = cv2.findContours(outside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    solid = cv2.drawContours(np.zeros_like(outside), outlines, -1, 1, cv2.FILLED)
    grown = cv2.resize(cv2.dilate(solid, margin) * 255, (nx, ny), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown > 127)
