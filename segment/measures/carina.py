"""The carinal angle on a frontal radiograph: the angle at which the trachea divides into the main bronchi."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from artasyn.arrays import Heatmap
from artasyn.errors import DataError
from artasyn.segment.measures.footprints import EDGE, Structures, check_frontal, footprint, largest_parts
from artasyn.segment.places import Point, mean_place
from artasyn.segment.structures import SIDES

BRONCHI = (tuple(f"bronchus_{side}" for side in SIDES),)
"""Names of the main bronchi."""

LEAST_LENGTH = 1.5
"""Length of a bronchus over its width, below which it has no direction."""

MOST_ANGLE = 150.0
"""Angle above which the axes of the bronchi do not meet at a carina, degrees."""


@dataclass(frozen=True)
class CarinalAngle:
    """The angle between the axes of the main bronchi.

    Attributes:
        angle: degrees.
        carina: the point where the axes meet.
        right: the centroid of the patient's right main bronchus.
        left: the centroid of the left main bronchus.
    """

    angle: float
    carina: Point
    right: Point
    left: Point

    @classmethod
    def of(cls, structures: Structures) -> CarinalAngle:
        """Measures the angle on a frontal projection or radiograph.

        Args:
            structures: a projection or an anatomy with ``bronchus_right`` and ``bronchus_left``.

        Raises:
            DataError: the view is not frontal, or a bronchus is missing, not sure, or too short to have a direction.
        """
        check_frontal(structures)
        right, left = (
            footprint(structures, ((f"bronchus_{side}",),), f"the {side} main bronchus is") for side in SIDES
        )
        return carinal_angle(right, left)


def carinal_angle(right: Heatmap, left: Heatmap) -> CarinalAngle:
    """Measures the angle between the long axes of the main bronchi.

    The axis of a bronchus runs through its centroid along its greatest extent.

    Args:
        right: the patient's right main bronchus, (h, w), float32 with the edge at 0.5.
        left: the left main bronchus, the same.

    Raises:
        DataError: a bronchus is too short to have a direction, or the axes do not meet above the bronchi.

    Source: the interbronchial angle of Haskin and Goodman 1982, Normal tracheal bifurcation angle: a reassessment.

    Example:
        >>> rows, columns = np.mgrid[:60, :80].astype(float)
        >>> away, down = np.abs(columns - 40), rows - 10
        >>> tubes = (np.abs(away - down) < 6) & (away + down > 10) & (away + down < 60)
        >>> found = carinal_angle(*((tubes & (side * columns > side * 40)).astype(np.float32) for side in (-1, 1)))
        >>> round(found.angle), [round(each) for each in found.carina]
        (90, [10, 40])
    """
    (start, way), (left_start, left_way) = _axis(right, "right"), _axis(left, "left")
    if start[1] >= left_start[1]:
        raise DataError("the right main bronchus does not lie at image left of the left one")
    angle = math.degrees(math.acos(min(1.0, max(-1.0, float(way @ left_way)))))
    across = np.stack([way, -left_way], axis=1)
    if angle > MOST_ANGLE or abs(np.linalg.det(across)) < 1e-6:
        raise DataError(f"the axes of the main bronchi do not meet at a carina (angle {angle:.0f} degrees)")
    share = np.linalg.solve(across, left_start - start)
    if share.max() > 0:
        raise DataError("the axes of the main bronchi do not meet above the bronchi")
    carina = start + share[0] * way
    return CarinalAngle(angle, *((float(row), float(column)) for row, column in (carina, start, left_start)))


def _axis(bronchus: Heatmap, side: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns the centroid of a bronchus, and the unit vector along the bronchus toward the feet."""
    weights = np.where(bronchus >= EDGE, largest_parts(bronchus), 0)
    centre = mean_place(weights)
    assert centre is not None
    rows, columns = np.nonzero(weights)
    away = np.stack([rows, columns], axis=1) - np.array(centre)
    heavy = weights[rows, columns].astype(np.float64)
    spread, axes = np.linalg.eigh((away * heavy[:, None]).T @ away / heavy.sum())
    if spread[1] < LEAST_LENGTH**2 * max(float(spread[0]), 1 / 12):
        raise DataError(f"the {side} main bronchus is too short on this picture to have a direction")
    way = axes[:, 1]
    return np.array(centre), way if way[0] >= 0 else -way
