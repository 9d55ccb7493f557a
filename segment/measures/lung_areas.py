"""The areas of the lungs on a frontal radiograph."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from artasyn.arrays import Mask
from artasyn.errors import DataError
from artasyn.segment.measures.footprints import Structures, check_frontal, check_masks
from artasyn.segment.places import Point, at_border, main_parts


@dataclass(frozen=True)
class LungAreas:
    """The areas, sizes and centroids of the lungs.

    Attributes:
        right: area of the patient's right lung, cm2; None if the size of a pixel is unknown, as the next four.
        left: area of the patient's left lung, cm2.
        total: area of both lungs, cm2.
        right_size: height and width of the right lung, mm.
        left_size: height and width of the left lung, mm.
        left_share: share of the left lung in the total area, from 0 to 1.
        left_to_right: area of the left lung over the area of the right lung.
        right_centre: centroid of the right lung.
        left_centre: centroid of the left lung.
    """

    right: float | None
    left: float | None
    total: float | None
    right_size: tuple[float, float] | None
    left_size: tuple[float, float] | None
    left_share: float
    left_to_right: float
    right_centre: Point
    left_centre: Point

    @classmethod
    def of(cls, structures: Structures, convention: str = "visible") -> LungAreas:
        """Measures the areas on a frontal projection, at the isocentre, or on a frontal radiograph.

        Args:
            structures: a projection or an anatomy with lungs.
            convention: ``visible`` lungs; or ``projected`` lungs of a projection, ``whole`` lungs of an anatomy.

        Raises:
            DataError: the view is not frontal, or a lung is missing or cut by the image's border.
        """
        check_frontal(structures)
        lungs = structures.lungs(convention)
        if at_border(lungs.mask):
            raise DataError("the picture's border cuts the lungs; take a larger field")
        return lung_areas(lungs.right, lungs.left, structures.pixel)


def lung_areas(right: Mask, left: Mask, spacing: float | None) -> LungAreas:
    """Measures the lungs of a frontal radiograph.

    Args:
        right: the patient's right lung, (h, w), bool.
        left: the patient's left lung, (h, w), bool.
        spacing: size of a pixel, mm; on a radiograph, the detector's pixel size divided by the magnification. None if
            it is unknown.

    Raises:
        DataError: a mask is empty or has another shape or dtype, or the spacing is not a number above 0.

    Example:
        >>> right, left = np.zeros((2, 60, 100), bool)
        >>> right[10:50, 10:40], left[10:50, 60:80] = True, True
        >>> areas = lung_areas(right, left, 5.0)
        >>> areas.right, areas.left, areas.left_share, areas.left_size
        (300.0, 200.0, 0.4, (200.0, 100.0))
    """
    check_masks({"right lung": right, "left lung": left})
    if spacing is not None and not (math.isfinite(spacing) and spacing > 0):
        raise DataError(f"spacing must be a number of millimetres above 0, not {spacing:g}")
    (area, size, centre), (left_area, left_size, left_centre) = (_extent(main_parts(mask)) for mask in (right, left))
    share, ratio = left_area / (area + left_area), left_area / area
    if spacing is None:
        return LungAreas(None, None, None, None, None, share, ratio, centre, left_centre)
    area, left_area = (each * spacing**2 / 100 for each in (area, left_area))
    size, left_size = ((height * spacing, width * spacing) for height, width in (size, left_size))
    return LungAreas(area, left_area, area + left_area, size, left_size, share, ratio, centre, left_centre)


def _extent(mask: Mask) -> tuple[float, tuple[float, float], Point]:
    """Returns the area, height and width in pixels, and the centroid."""
    rows, columns = np.nonzero(mask)
    size = float(np.ptp(rows)) + 1, float(np.ptp(columns)) + 1
    return float(rows.size), size, (float(rows.mean()), float(columns.mean()))
