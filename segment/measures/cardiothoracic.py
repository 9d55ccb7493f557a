"""The cardiothoracic ratio on a frontal radiograph: the width of the heart relative to the thorax."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from artasyn.arrays import Mask
from artasyn.errors import DataError
from artasyn.segment.measures.footprints import Point, check_frontal, check_masks, main_parts, mean_place
from artasyn.segment.projection.projection import Projection
from artasyn.segment.structures import find_members


class Span(NamedTuple):
    """A straight line from one place to another.

    Attributes:
        start: the end nearer to image left.
        end: the end nearer to image right.
    """

    start: Point
    end: Point

    @property
    def length(self) -> float:
        """Length in pixels."""
        return math.dist(self.start, self.end)


@dataclass(frozen=True)
class CardiothoracicRatio:
    """The width of the heart relative to the thorax.

    Attributes:
        value: `heart_width` / `thorax_width`.
        heart_width: distance between the heart's outermost points on both sides, in any rows, pixels. This is the sum
            of the heart's greatest distances from the midline on both sides.
        thorax_width: width in the row where the lungs' outer edges are farthest apart, pixels.
        heart_right: line from the heart's edge at image left, the patient's right, across to the midline.
        heart_left: line from the midline across to the heart's edge at image right.
        thorax: line between the lungs' outer edges.
    """

    value: float
    heart_width: float
    thorax_width: float
    heart_right: Span
    heart_left: Span
    thorax: Span

    @classmethod
    def of(cls, projection: Projection) -> CardiothoracicRatio:
        """Measures the ratio in a frontal projection, across the body's axis at the roll of the view.

        The midline is at the centroid of the spine in the rows of the heart. Without a labelled spine, it is the middle
        of the thorax.

        Args:
            projection: a projection with lungs and heart.

        Raises:
            DataError: the view is not frontal, or heart or lungs are missing or cut by the image's border.
        """
        check_frontal(projection)
        heart, lungs = projection.mask("heart"), projection.mask("lungs")
        if not heart.any():
            raise DataError("the heart is not in the picture")
        roll, spine = projection.view.roll, find_members("spine", projection.names)
        rows = heart.any(axis=1, keepdims=True)
        midline = mean_place(projection.depth("spine") * rows) if spine else None
        return cardiothoracic_ratio(heart, lungs, midline=midline, roll=roll)


def cardiothoracic_ratio(
    heart: Mask, lungs: Mask, *, midline: Point | None = None, roll: float = 0.0
) -> CardiothoracicRatio:
    """Measures the heart's greatest width relative to the inner width of the thorax on a frontal radiograph.

    Args:
        heart: (h, w), bool.
        lungs: both lungs, (h, w), bool. Only their outer edges matter, so the mask may or may not include lung behind
            the heart.
        midline: a point on the body's midline, such as a spinous process; None for the middle of the thorax. The
            midline divides the heart's width into a right and a left part and does not change the ratio.
        roll: roll of the patient in the image, clockwise, degrees, as in `View`; widths are across the body's axis.

    Raises:
        DataError: a mask is empty or has another shape or dtype, the image's border cuts a mask at a side, or the heart
            reaches beyond the lungs, for example because a lung is missing.

    Source: Danzer 1919, The cardiothoracic ratio: an index of cardiac enlargement.

    Example:
        >>> heart, lungs = np.zeros((2, 60, 100), bool)
        >>> lungs[10:50, 10:40] = lungs[10:50, 60:90] = heart[30:48, 35:75] = True
        >>> cardiothoracic_ratio(heart, lungs).value
        0.5
    """
    check_masks({"heart": heart, "lungs": lungs})
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


class _Axes(NamedTuple):
    """The body's axes in an image, for points as (along, across) the body's axis, in pixels.

    Attributes:
        cosine: cosine of the roll.
        sine: sine of the roll.
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
        """Returns the outermost edges across, each in the middle of all equally distant points."""
        along, across = self._places(mask)
        low, high = float(across.min()), float(across.max())
        nearest, farthest = (float(np.median(along[np.abs(across - edge) < 1e-6])) for edge in (low, high))
        return (nearest, low - 0.5), (farthest, high + 0.5)

    def widest_row(self, mask: Mask) -> Span:
        """Returns the widest row across, between its outermost edges; the middle row of several equally wide rows."""
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
