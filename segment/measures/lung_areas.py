"""The areas of the lungs on a frontal radiograph."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from artasyn.arrays import Mask
from artasyn.errors import DataError
from artasyn.segment.measures.footprints import Point, at_border, check_frontal, check_masks, main_parts
from artasyn.segment.projection.projection import Convention, Projection


@dataclass(frozen=True)
class LungAreas:
    """The areas, sizes and centroids of the lungs.

    Attributes:
        right: area of the patient's right lung, cm2.
        left: area of the patient's left lung, cm2.
        total: area of both lungs, cm2.
        left_share: share of the left lung in the total area, from 0 to 1.
        right_size: height and width of the right lung, mm.
        left_size: height and width of the left lung, mm.
        right_centre: centroid of the right lung.
        left_centre: centroid of the left lung.
    """

    right: float
    left: float
    total: float
    left_share: float
    right_size: tuple[float, float]
    left_size: tuple[float, float]
    right_centre: Point
    left_centre: Point

    @classmethod
    def of(cls, projection: Projection, convention: Convention = "visible") -> LungAreas:
        """Measures the areas in a frontal projection, at the isocentre.

        Args:
            projection: a projection with lungs.
            convention: visible or projected lungs, see `Projection.lungs`.

        Raises:
            DataError: the view is not frontal, or a lung is missing or cut by the image's border.
        """
        check_frontal(projection)
        lungs = projection.lungs(convention)
        if at_border(projection.mask("lungs")):
            raise DataError("the picture's border cuts the lungs; take a larger field")
        return lung_areas(lungs.right, lungs.left, projection.spacing_isocentre)


def lung_areas(right: Mask, left: Mask, spacing: float) -> LungAreas:
    """Measures the lungs of a frontal radiograph.

    Args:
        right: the patient's right lung, (h, w), bool.
        left: the patient's left lung, (h, w), bool.
        spacing: size of a pixel, mm; on a radiograph, the detector's pixel size divided by the magnification.

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
    if not (math.isfinite(spacing) and spacing > 0):
        raise DataError(f"spacing must be a number of millimetres above 0, not {spacing:g}")
    (area, size, centre), (left_area, left_size, left_centre) = (
        _extent(main_parts(mask), spacing) for mask in (right, left)
    )
    total = area + left_area
    return LungAreas(area, left_area, total, left_area / total, size, left_size, centre, left_centre)


def _extent(mask: Mask, spacing: float) -> tuple[float, tuple[float, float], Point]:
    """Returns the area in cm2, height and width in mm, and the centroid."""
    rows, columns = np.nonzero(mask)
    size = ((float(np.ptp(rows)) + 1) * spacing, (float(np.ptp(columns)) + 1) * spacing)
    return rows.size * spacing**2 / 100, size, (float(rows.mean()), float(columns.mean()))
