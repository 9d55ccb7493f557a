"""The Cobb angle of the spine on a frontal radiograph, from the centreline of the vertebrae."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from artasyn.errors import DataError
from artasyn.segment.measures.footprints import SURE, Structures, check_frontal
from artasyn.segment.places import Point
from artasyn.segment.structures import vertebra

LEAST_VERTEBRAE = 5


@dataclass(frozen=True)
class EndVertebra:
    """An end vertebra of a curve of the spine.

    Attributes:
        name: name of the vertebra.
        place: centroid of the vertebra.
        tilt: angle of the vertebra's axis to the image's columns, degrees; positive where the spine runs to image right
            toward the feet.
    """

    name: str
    place: Point
    tilt: float

    @property
    def endplate(self) -> Point:
        """Unit vector along the end-plates, toward image right."""
        tilt = math.radians(self.tilt)
        return -math.sin(tilt), math.cos(tilt)


@dataclass(frozen=True)
class CobbAngle:
    """The strongest curve of the spine.

    Attributes:
        angle: angle between the end-plates of `upper` and `lower`, degrees.
        convex: the side of the image toward which the curve bulges.
        upper: the end vertebra nearer to the head.
        lower: the end vertebra nearer to the feet.
        names: names of all vertebrae, from head to foot.
        centroids: centroids of all vertebrae, which form the centreline.
    """

    angle: float
    convex: Literal["image left", "image right"]
    upper: EndVertebra
    lower: EndVertebra
    names: tuple[str, ...]
    centroids: tuple[Point, ...]

    @classmethod
    def of(cls, structures: Structures) -> CobbAngle:
        """Measures the angle on a frontal projection or radiograph, from vertebrae that are sure and not cut.

        Args:
            structures: a projection or an anatomy with vertebrae by their names, such as ``vertebrae_T4``.

        Raises:
            DataError: the view is not frontal, or fewer than 5 vertebrae are sure and whole.
        """
        check_frontal(structures)
        order = {name: level for name in structures.names if (level := vertebra(name)) is not None}
        sure = [name for name in sorted(order, key=order.__getitem__) if structures.sure(name) >= SURE]
        found = {name: place for name in sure if (place := structures.place(name)) is not None}
        centroids = np.array(list(found.values()), float).reshape(-1, 2)
        return cobb_angle(centroids, tuple(found))


def cobb_angle(centroids: npt.NDArray[np.float64], names: Sequence[str] | None = None) -> CobbAngle:
    """Measures the strongest curve of the spine by the centreline method.

    The centreline joins the vertebrae's centroids. An inner vertebra's end-plates lie along the bisector of the normals
    of its two segments. The angle is the largest angle between the end-plates of two vertebrae. The first and the last
    vertebra have no end-plates. Vertebrae in between may be missing. Nothing is smoothed, because a bisector spans two
    segments already and smoothing flattens curves.

    Args:
        centroids: rows and columns (n, 2), float64, of at least 5 vertebrae from head to foot.
        names: names of the vertebrae; None for numbers from 1.

    Raises:
        DataError: too few vertebrae, another shape, another number of names, or vertebrae that are not in order.

    Example:
        >>> bend = np.radians(np.linspace(-20, 20, 9))
        >>> arc = np.stack([300 * np.sin(bend), 300 * np.cos(bend)], axis=1)
        >>> found = cobb_angle(arc)
        >>> round(found.angle, 6), found.convex, found.upper.name, found.lower.name
        (30.0, 'image right', '2', '8')
    """
    if centroids.ndim != 2 or centroids.shape[1] != 2 or not np.isfinite(centroids).all():
        raise DataError(f"centroids must be finite rows and columns (n, 2), not {centroids.shape}")
    count = len(centroids)
    names = [str(number + 1) for number in range(count)] if names is None else list(names)
    if len(names) != count:
        raise DataError(f"{count} vertebrae cannot have {len(names)} names")
    if count < LEAST_VERTEBRAE:
        raise DataError(f"the curve of the spine needs {LEAST_VERTEBRAE} whole vertebrae, found {count}")
    steps = np.diff(centroids, axis=0)
    courses = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    if not steps.any(axis=1).all() or np.abs(np.diff(courses)).max() > math.pi / 2:
        raise DataError("the vertebrae are not in order from head to foot: the centreline turns back")
    tilts = np.degrees((courses[:-1] + courses[1:]) / 2)
    first, last = sorted((int(tilts.argmin()), int(tilts.argmax())))
    places = tuple((float(row), float(column)) for row, column in centroids)
    upper, lower = (EndVertebra(names[i + 1], places[i + 1], float(tilts[i])) for i in (first, last))
    return CobbAngle(
        angle=float(np.ptp(tilts)),
        convex="image right" if upper.tilt > lower.tilt else "image left",
        upper=upper,
        lower=lower,
        names=tuple(names),
        centroids=places,
    )
