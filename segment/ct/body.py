"""The patient in a CT: what the table, the blankets and the air around are cut away from."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from artasyn.arrays import Hounsfield, VolumeMask
from artasyn.errors import DataError

SKIN = -200
"""Hounsfield units that tell the patient from air, clothes and the foam of the table."""

COARSE = 2.8
"""Size in the axial plane, mm, of the cells in which the patient is searched for: thin sheets between table and
patient vanish, and a volume takes a fraction of a second."""

MARGIN = 3.0
"""What is kept around the patient at least, mm, for the skin's own blur."""


def find_body(hu: Hounsfield, spacing: tuple[float, float, float]) -> VolumeMask:
    """The patient with everything inside, bool (z, y, x).

    What is denser than `SKIN` is opened by one cell, the largest part that hangs together in three dimensions is
    kept, grown back, and filled in every axial slice.

    Args:
        hu: Hounsfield units.
        spacing: size of a voxel, mm.

    Raises:
        DataError: nothing in it is as dense as a body.
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
    """A slice of the patient without holes, with its margin, on the grid of the volume."""
    outlines, _ = cv2.findContours(outside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    solid = cv2.drawContours(np.zeros_like(outside), outlines, -1, 1, cv2.FILLED)
    grown = cv2.resize(cv2.dilate(solid, margin) * 255, (nx, ny), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown > 127)
