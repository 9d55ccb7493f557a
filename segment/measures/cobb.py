"""The Cobb angle of the spine on a frontal radiograph, from the centreline of the vertebrae."""

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
    def of(cls, projection: Projection) -> CobbAngle:
        """Measures the angle in a frontal projection, from vertebrae that neither the scan nor the image cuts.

        Args:
            projection: a projection with vertebrae by their names, such as ``vertebrae_T4``.

        Raises:
            DataError: the view is not frontal, or fewer than 5 vertebrae are whole.
        """
        check_frontal(projection)
        found = vertebra_centroids(projection.thickness, projection.names, covered=projection.covered)
        return cobb_angle(np.array(list(found.values())).reshape(-1, 2), tuple(found))


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


def vertebra_centroids(
    structures: Thickness | StructureMasks, names: Sequence[str], *, covered: Mask | None = None
) -> dict[str, Point]:
    """Returns the centroids of the vertebrae, from head to foot, without vertebrae that are cut.

    Args:
        structures: length of rays in each structure, mm, float32 (k, h, w), which weights the centroid; or bool masks.
        names: names of the k structures; structures that are not vertebrae are ignored.
        covered: pixels whose rays run within the scan, bool (h, w), see `Projection.covered`; None for all pixels.
            Vertebrae that reach outside these pixels or to the image's border may be cut, and are left out.
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
