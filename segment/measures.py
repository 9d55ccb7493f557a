"""Measures of a chest: cardiothoracic ratio, curve of the spine and lung areas, from masks projected or predicted.

Places are (row, column) in pixels, a pixel's centre at whole numbers; an edge lies half a pixel outside of the
outermost centre, so that a mask of 10 columns is 10 wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import Mask, StructureMasks, Thickness
from artasyn.errors import DataError
from artasyn.segment.projection import THRESHOLD, Convention, Projection
from artasyn.segment.structures import find_members, vertebra

Point = tuple[float, float]
"""Row and column."""

FRONTAL = 20.0
"""How far a view may be turned or tilted from straight through the chest, degrees, and still be measured as frontal."""
STRAY = 0.05
"""Components of a mask with less than this share of its area are not measured."""
LEAST_VERTEBRAE = 5


class Span(NamedTuple):
    """A straight line from one place to another.

    Attributes:
        start: nearer to image left.
        end: nearer to image right.
    """

    start: Point
    end: Point

    @property
    def length(self) -> float:
        """Pixels."""
        return math.dist(self.start, self.end)


@dataclass(frozen=True)
class CardiothoracicRatio:
    """How wide the heart is against the thorax.

    Attributes:
        value: `heart_width` / `thorax_width`.
        heart_width: from the heart's outermost place on one side to that on the other, wherever they are, pixels; this
            is the sum of its greatest distances from the midline on both sides.
        thorax_width: in the row where the lungs' outer edges are farthest apart, pixels.
        heart_right: from the heart's edge at image left, the patient's right, across to the midline.
        heart_left: from the midline across to the heart's edge at image right.
        thorax: between the lungs' outer edges.
    """

    value: float
    heart_width: float
    thorax_width: float
    heart_right: Span
    heart_left: Span
    thorax: Span

    @classmethod
    def of(cls, projection: Projection) -> CardiothoracicRatio:
        """The ratio in a frontal projection, across the body's axis as the view is rolled; the spine is the midline.

        Args:
            projection: with lungs and the heart.

        Raises:
            DataError: the view is not frontal, or heart or lungs are missing, or cut by the picture's border.
        """
        _check_frontal(projection)
        heart, lungs = projection.mask("heart"), projection.mask("lungs")
        if not heart.any():
            raise DataError("the heart is not in the picture")
        roll, spine = projection.view.roll, find_members("spine", projection.names)
        rows = heart.any(axis=1, keepdims=True)
        midline = _mean_place(projection.depth("spine") * rows) if spine else None
        return cardiothoracic_ratio(heart, lungs, midline=midline, roll=roll)


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
        _check_frontal(projection)
        found = vertebra_centroids(projection.thickness, projection.names, covered=projection.covered)
        return cobb_angle(np.array(list(found.values())).reshape(-1, 2), tuple(found))


@dataclass(frozen=True)
class LungAreas:
    """How large the lungs appear.

    Attributes:
        right: the patient's right lung, cm2.
        left: the patient's left lung, cm2.
        total: of both, cm2.
        left_share: of the left lung in both, from 0 to 1.
        right_size: height and width of the right lung, mm.
        left_size: height and width of the left lung, mm.
        right_centre: the right lung's centroid.
        left_centre: the left lung's centroid.
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
        """The areas in a frontal projection, at the isocentre.

        Args:
            projection: with lungs.
            convention: which lung, see `Projection.lungs`.

        Raises:
            DataError: the view is not frontal, or a lung is missing, or cut by the picture's border.
        """
        _check_frontal(projection)
        lungs = projection.lungs(convention)
        if _at_border(projection.mask("lungs")):
            raise DataError("the picture's border cuts the lungs; take a larger field")
        return lung_areas(lungs.right, lungs.left, projection.spacing_isocentre)


@dataclass(frozen=True)
class Measures:
    """What was measured in one picture; plain numbers and words only.

    Attributes:
        cardiothoracic_ratio: None where it cannot be measured.
        cobb_angle: None where it cannot be measured.
        lung_areas: None where they cannot be measured.
        spacing: size of a pixel, mm, that lengths and areas refer to; None where it is not known. Of a projection it is
            that at the isocentre: what lies nearer to the source appears larger, what lies nearer to the detector
            smaller.
        reasons: why those that are None could not be measured, by name.
    """

    cardiothoracic_ratio: CardiothoracicRatio | None = None
    cobb_angle: CobbAngle | None = None
    lung_areas: LungAreas | None = None
    spacing: float | None = None
    reasons: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain numbers, words, lists and dictionaries, for JSON."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def measure(projection: Projection, convention: Convention = "visible") -> Measures:
    """Measures what a projection shows; what it does not is left out, with a reason.

    Whether the scan holds the whole of the lungs and the heart, `artasyn.segment.quality.check_volume` tells.

    Args:
        projection: of a volume with structures.
        convention: which lung has the areas, see `Projection.lungs`.

    Example:
        >>> from artasyn.segment.projection import project
        >>> from artasyn.segment.view import View
        >>> from artasyn.segment.volume import Structure, Volume
        >>> masks = np.zeros((3, 40, 40, 60), bool)
        >>> masks[0, 5:35, 5:35, 5:25] = masks[1, 5:35, 5:35, 35:55] = masks[2, 20:32, 10:25, 22:42] = True
        >>> names = ("lung_right", "lung_left", "heart")
        >>> structures = {name: Structure.of(mask) for name, mask in zip(names, masks)}
        >>> affine = np.zeros((4, 4))
        >>> affine[[2, 1, 0, 3], [0, 1, 2, 3]] = -5, -5, -5, 1
        >>> volume = Volume(np.zeros((40, 40, 60), np.int16), affine, structures)
        >>> measures = measure(project(volume, View(source_to_detector=None, size=None)))
        >>> measures.cardiothoracic_ratio.value, measures.reasons
        (0.4, {'cobb_angle': 'the curve of the spine needs 5 whole vertebrae, found 0'})
    """
    found: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, way in (
        ("cardiothoracic_ratio", CardiothoracicRatio.of),
        ("cobb_angle", CobbAngle.of),
        ("lung_areas", lambda projection: LungAreas.of(projection, convention)),
    ):
        try:
            found[name] = way(projection)
        except DataError as error:
            found[name] = None
            reasons[name] = str(error)
    return Measures(spacing=projection.spacing_isocentre, reasons=reasons, **found)


def cardiothoracic_ratio(
    heart: Mask, lungs: Mask, *, midline: Point | None = None, roll: float = 0.0
) -> CardiothoracicRatio:
    """Measures the heart's greatest width against the inner width of the thorax, on a frontal film.

    Args:
        heart: (h, w), bool.
        lungs: both lungs, (h, w), bool; only their outer edges matter, so it does not whether lung behind the heart
            belongs to them.
        midline: a place on the body's midline, such as a spinous process; None for the middle of the thorax. It
            divides the heart's width into a right and a left part and does not change the ratio.
        roll: of the patient in the picture, clockwise, degrees, as in `View`; widths are across the body's axis.

    Raises:
        DataError: a mask is empty or of another shape or dtype, the border cuts it at a side, or the heart reaches
            beyond the lungs, as where a lung is missing.

    Source: Danzer 1919, The cardiothoracic ratio: an index of cardiac enlargement.

    Example:
        >>> heart, lungs = np.zeros((2, 60, 100), bool)
        >>> lungs[10:50, 10:40] = lungs[10:50, 60:90] = heart[30:48, 35:75] = True
        >>> cardiothoracic_ratio(heart, lungs).value
        0.5
    """
    _check_masks({"heart": heart, "lungs": lungs})
    heart, lungs = main_parts(heart), main_parts(lungs)
    for name, mask in (("heart", heart), ("lungs", lungs)):
        if mask[:, [0, -1]].any():
            raise DataError(f"the picture's border cuts the {name} at a side; take a larger field")
    axes = _Axes.of(roll)
    thorax = axes.widest_row(lungs)
    right, left = axes.extremes(heart)
    slack = 0.02 * (thorax.end[1] - thorax.start[1])
    outer_right, outer_left = axes.extremes(lungs)
    if right[1] < outer_right[1] - slack or left[1] > outer_left[1] + slack:
        raise DataError("the heart reaches beyond the lungs; both lungs and the heart of one frontal film are needed")
    middle = (thorax.start[1] + thorax.end[1]) / 2 if midline is None else axes.turn(midline)[1]
    middle = min(max(middle, right[1]), left[1])
    heart_width, thorax_width = left[1] - right[1], thorax.length
    return CardiothoracicRatio(
        value=heart_width / thorax_width,
        heart_width=heart_width,
        thorax_width=thorax_width,
        heart_right=axes.back(Span(right, (right[0], middle))),
        heart_left=axes.back(Span((left[0], middle), left)),
        thorax=axes.back(thorax),
    )


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
        if _at_border(footprint) or (covered is not None and not covered[footprint].all()):
            continue
        place = _mean_place(weights * footprint)
        if place is not None:
            found[name] = place
    return found


def lung_areas(right: Mask, left: Mask, spacing: float) -> LungAreas:
    """Measures the lungs of a frontal film.

    Args:
        right: the patient's right lung, (h, w), bool.
        left: the patient's left lung, (h, w), bool.
        spacing: size of a pixel, mm; on a film that of the detector divided by the magnification.

    Raises:
        DataError: a mask is empty or of another shape or dtype, or a spacing that cannot be.

    Example:
        >>> right, left = np.zeros((2, 60, 100), bool)
        >>> right[10:50, 10:40], left[10:50, 60:80] = True, True
        >>> areas = lung_areas(right, left, 5.0)
        >>> areas.right, areas.left, areas.left_share, areas.left_size
        (300.0, 200.0, 0.4, (200.0, 100.0))
    """
    _check_masks({"right lung": right, "left lung": left})
    if not (math.isfinite(spacing) and spacing > 0):
        raise DataError(f"spacing must be a number of millimetres above 0, not {spacing:g}")
    (area, size, centre), (left_area, left_size, left_centre) = (
        _extent(main_parts(mask), spacing) for mask in (right, left)
    )
    total = area + left_area
    return LungAreas(area, left_area, total, left_area / total, size, left_size, centre, left_centre)


def main_parts(mask: Mask) -> Mask:
    """A mask without stray components, those with less than 5 % of its area: what is measured of it.

    Args:
        mask: (h, w), bool.
    """
    _, components, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= STRAY * np.count_nonzero(mask)
    kept[0] = False
    return mask if kept[1:].all() else np.asarray(kept[components])


def _extent(mask: Mask, spacing: float) -> tuple[float, tuple[float, float], Point]:
    """Area in cm2, height and width in mm, and the centroid."""
    rows, columns = np.nonzero(mask)
    size = ((float(np.ptp(rows)) + 1) * spacing, (float(np.ptp(columns)) + 1) * spacing)
    return rows.size * spacing**2 / 100, size, (float(rows.mean()), float(columns.mean()))


class _Axes(NamedTuple):
    """The body's axes in a picture: places are turned to (along, across) it, in pixels.

    Attributes:
        cosine: of the roll.
        sine: of the roll.
    """

    cosine: float
    sine: float

    @classmethod
    def of(cls, roll: float) -> _Axes:
        return cls(math.cos(math.radians(roll)), math.sin(math.radians(roll)))

    def turn(self, place: Point) -> Point:
        row, column = place
        return row * self.cosine - column * self.sine, column * self.cosine + row * self.sine

    def back(self, span: Span) -> Span:
        start, end = (
            (along * self.cosine + across * self.sine, across * self.cosine - along * self.sine)
            for along, across in span
        )
        return Span(start, end)

    def _places(self, mask: Mask) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        rows, columns = np.nonzero(mask)
        return rows * self.cosine - columns * self.sine, columns * self.cosine + rows * self.sine

    def extremes(self, mask: Mask) -> tuple[Point, Point]:
        """The outermost edges across, each amid the places that are as far out."""
        along, across = self._places(mask)
        low, high = float(across.min()), float(across.max())
        nearest, farthest = (float(np.median(along[np.abs(across - edge) < 1e-6])) for edge in (low, high))
        return (nearest, low - 0.5), (farthest, high + 0.5)

    def widest_row(self, mask: Mask) -> Span:
        """Between the outermost edges of the row across that has them farthest apart, the middle one of equal rows."""
        along, across = self._places(mask)
        row = np.rint(along).astype(np.int64)
        first = int(row.min())
        low, high = np.full((2, int(row.max()) - first + 1), np.inf)
        np.minimum.at(low, row - first, across)
        np.minimum.at(high, row - first, -across)
        widths = np.where(np.isfinite(low), -high - low, -1)
        equals = np.flatnonzero(widths > widths.max() - 1e-6)
        widest = int(equals[equals.size // 2])
        place = float(first + widest)
        return Span((place, float(low[widest]) - 0.5), (place, float(-high[widest]) + 0.5))


def _check_frontal(projection: Projection) -> None:
    """Refuses a view from which left and right cannot be measured."""
    view = projection.view
    turned = math.degrees(math.acos(min(1.0, abs(math.cos(math.radians(view.angle))))))
    if turned > FRONTAL or abs(view.tilt) > FRONTAL:
        raise DataError(
            f"not a frontal view: turned by {view.angle:g} and tilted by {view.tilt:g} degrees; "
            f"project PA or AP, within {FRONTAL:g} degrees"
        )


def _check_masks(masks: dict[str, Mask]) -> None:
    """Refuses masks of another dtype or shape, and empty ones."""
    shapes = [mask.shape for mask in masks.values()]
    for name, mask in masks.items():
        if mask.dtype != np.bool_ or mask.ndim != 2:
            raise DataError(f"the mask of the {name} must be bool (h, w), not {mask.dtype} {mask.shape}")
        if len(set(shapes)) > 1:
            raise DataError(f"{' and '.join(masks)} must be of one shape, not {' and '.join(map(str, shapes))}")
        if not mask.any():
            raise DataError(f"the mask of the {name} is empty: nothing to measure")


def _at_border(mask: Mask) -> bool:
    """Whether a mask reaches the border of its picture."""
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def _mean_place(weights: np.ndarray) -> Point | None:
    """The weighted mean of places; None where there is no weight."""
    total = float(weights.sum(dtype=np.float64))
    if total == 0:
        return None
    down, across = (weights.sum(axis=axis, dtype=np.float64) for axis in (1, 0))
    return float(down @ np.arange(down.size)) / total, float(across @ np.arange(across.size)) / total


def _plain(value: Any) -> Any:
    """Tuples as lists, as they come back from JSON."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
