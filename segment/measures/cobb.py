"""The curve of the spine by the centreline of its vertebrae, on a frontal film."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from artasyn.arrays import Mask, StructureMasks, Thickness
from artasyn.errors import DataError
from artasyn.segment.measures.footprints import Point, at_border, check_frontal, main_parts, mean_place
from artasyn.segment.projection.projection import THRESHOLD, Projection
from artasyn.segment.structures import vertebra

LEAST_VERTEBRAE = 5


@dataclass(frozen=True)
class EndVertebra:
    """An end of a curve of the spine.

    Attributes:
        name: of the vertebra.
        place: its centroid.
        tilt: of its axis against the picture's columns, degrees: above 0 where the spine runs to image right on its
            way to the feet.
    """

    name: str
    place: Point
    tilt: float

    @property
    def endplate(self) -> Point:
        """The direction of its end-plates, toward image right, of length 1."""
        tilt = math.radians(self.tilt)
        return -math.sin(tilt), math.cos(tilt)


@dataclass(frozen=True)
class CobbAngle:
    """The strongest curve of the spine.

    Attributes:
        angle: between the end-plates of `upper` and `lower`, degrees.
        convex: the side of the picture that the curve bulges to.
        upper: the end vertebra nearer to the head.
        lower: the other one.
        names: of all vertebrae, from head to foot.
        centroids: of all vertebrae, the centreline.
    """

    angle: float
    convex: Literal["image left", "image right"]
    upper: EndVertebra
    lower: EndVertebra
    names: tuple[str, ...]
    centroids: tuple[Point, ...]

    @classmethod
    def of(cls, projection: Projection) -> CobbAngle:
        """The angle in a frontal projection, from vertebrae that are whole in the scan and in the picture.

        Args:
            projection: with vertebrae by their names, as ``vertebrae_T4``.

        Raises:
            DataError: the view is not frontal, or fewer than 5 vertebrae are whole.
        """
        check_frontal(projection)
        found = vertebra_centroids(projection.thickness, projection.names, covered=projection.covered)
        return cobb_angle(np.array(list(found.values())).reshape(-1, 2), tuple(found))


def cobb_angle(centroids: npt.NDArray[np.float64], names: Sequence[str] | None = None) -> CobbAngle:
    """Measures the strongest curve of the spine by the centreline method.

    The centreline joins the vertebrae's centroids. An inner vertebra's end-plates lie along the bisector of the normals
    of its two segments; the angle is the largest between two of them. The ends of the line have no end-plates, and
    vertebrae may be missing in between. Nothing is smoothed: a bisector spans two segments already, and smoothing
    makes curves flatter than they are.

    Args:
        centroids: rows and columns (n, 2), float64, of at least 5 vertebrae from head to foot.
        names: of the vertebrae; None for their numbers from 1.

    Raises:
        DataError: too few, another shape, not as many names, or vertebrae that are not in order.

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


def vertebra_centroids(
    structures: Thickness | StructureMasks, names: Sequence[str], *, covered: Mask | None = None
) -> dict[str, Point]:
    """Where the vertebrae are, from head to foot, without those that are cut.

    Args:
        structures: mm that rays run in each structure, float32 (k, h, w), whose thick parts count more; or masks, bool.
        names: of the k structures; those that are no vertebrae are passed over.
        covered: where rays run within the scan, bool (h, w), see `Projection.covered`; None for everywhere. Vertebrae
            that reach out of it or to the picture's border may be cut, and are left out.
    """
    order = {name: vertebra(name) for name in names}
    found = {}
    for name in sorted((name for name in names if order[name] is not None), key=lambda name: order[name] or 0):
        weights = structures[list(names).index(name)]
        footprint = main_parts(weights if weights.dtype == np.bool_ else weights > THRESHOLD)
        if at_border(footprint) or (covered is not None and not covered[footprint].all()):
            continue
        place = mean_place(weights * footprint)
        if place is not None:
            found[name] = place
    return found
