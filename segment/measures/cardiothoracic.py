"""The cardiothoracic ratio on a frontal radiograph: the width of the heart relative to the thorax."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import Heatmap, Mask
from artasyn.errors import DataError
from artasyn.segment.measures.footprints import (
    EDGE,
    HEARTS,
    THORAX,
    Structures,
    check_frontal,
    check_masks,
    footprint,
    largest_parts,
    outline,
)
from artasyn.segment.places import Point, mean_place
from artasyn.segment.structures import find_members

SPUR = 0.25
"""Height of the vessels that are told from the heart at the hila, relative to the width of the heart's silhouette."""


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
        heart_width: distance between the heart's outermost points on both sides, in any rows, without the vessels of
            the hila, pixels. This is the sum of the heart's greatest distances from the midline on both sides.
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
    def of(cls, structures: Structures) -> CardiothoracicRatio:
        """Measures the ratio on a frontal projection or radiograph, across the body's axis at the roll of the view.

        The heart is the one that readers draw, where it is known, and the thorax is measured between the outer edges of
        the lungs. The midline is at the centroid of the spine in the rows of the heart. Without a spine, it is the
        middle of the thorax.

        Args:
            structures: a projection or an anatomy with lungs and heart.

        Raises:
            DataError: the view is not frontal, or heart or lungs are missing, not sure or cut by the image's border.
        """
        check_frontal(structures)
        heart = footprint(structures, HEARTS, "the heart is")
        lungs = footprint(structures, THORAX, "the lungs are")
        midline = None
        if find_members("spine", structures.names):
            midline = mean_place(structures.soft_mask("spine") * (heart >= EDGE).any(axis=1, keepdims=True))
        return cardiothoracic_ratio(heart, lungs, midline=midline, roll=structures.pose[2])


def cardiothoracic_ratio(
    heart: Mask | Heatmap, lungs: Mask | Heatmap, *, midline: Point | None = None, roll: float = 0.0
) -> CardiothoracicRatio:
    """Measures the heart's greatest width relative to the inner width of the thorax on a frontal radiograph.

    The heart's borders are those of the right atrium and the left ventricle. Vessels that a mask follows into the lungs
    at the hila are left out, see `without_spurs`.

    Args:
        heart: (h, w), bool; or float32 with the edge at 0.5, whose widths are finer than a pixel.
        lungs: both lungs, (h, w), the same. Only their outer edges matter, so the mask may or may not include lung
            behind the heart.
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
    heart, lungs = (largest_parts(mask.astype(np.float32)) for mask in (heart, lungs))
    for name, mask in (("heart", heart), ("lungs", lungs)):
        if (mask[:, [0, -1]] >= EDGE).any():
            raise DataError(f"the picture's border cuts the {name} at a side; take a larger field")
    axes = _Axes.of(roll)
    heart = without_spurs(heart, roll)
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


def without_spurs(heart: Heatmap, roll: float = 0.0) -> Heatmap:
    """Removes the vessels at the hila from the silhouette of a heart.

    The parts of the silhouette into which a disc does not fit, a quarter as wide as the silhouette (`SPUR`), are its
    spurs and its corners. Those whose centroid lies above the middle of the silhouette's height are removed: vessels
    leave the heart there. Those below are kept, because the apex and the angles to the diaphragm are corners of the
    heart. Holes in the silhouette count as heart. A silhouette that is empty or too flat for the disc is returned as it
    is.

    A limit: a pointed apex that is raised above the middle, as in a boot-shaped heart, is rounded like a vessel. The
    heart then loses up to 3 % of its width.

    Args:
        heart: (h, w), float32 with the edge at 0.5.
        roll: roll of the patient in the image, clockwise, degrees.

    Source: the white top-hat of Serra 1982, Image analysis and mathematical morphology, by a disc.

    Example:
        >>> heart = np.zeros((60, 80), np.float32)
        >>> heart[10:50, 20:60] = heart[18:22, 5:20] = 1
        >>> int(without_spurs(heart).any(axis=0).sum())
        40
    """
    axes = _Axes.of(roll)
    left, top, width, height = cv2.boundingRect((heart >= EDGE).view(np.uint8))
    box = slice(top, top + height), slice(left, left + width)
    inside = _filled(np.pad(heart[box] >= EDGE, 1))
    if not inside.any():
        return heart
    along, across = axes.turn_all(*np.nonzero(inside))
    radius = SPUR * (float(np.ptp(across)) + 1) / 2
    centres = cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > radius
    if not centres.any():
        return heart
    fits = cv2.distanceTransform((~centres).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= radius
    _, parts, _, places = cv2.connectedComponentsWithStats((inside & ~fits).view(np.uint8), connectivity=8)
    above = axes.turn_all(places[:, 1], places[:, 0])[0] < (along.min() + along.max()) / 2
    above[0] = False
    found = np.array(heart)
    found[box][above[parts[1:-1, 1:-1]]] = 0
    return found


def _filled(inside: Mask) -> Mask:
    """Returns a mask without holes, whose border is empty."""
    parts = cv2.connectedComponents((~inside).view(np.uint8), connectivity=4)[1]
    return np.asarray(parts != parts[0, 0])


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

    def turn_all(
        self, rows: npt.NDArray[Any], columns: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return rows * self.cosine - columns * self.sine, columns * self.cosine + rows * self.sine

    def back(self, span: Span) -> Span:
        start, end = (
            (along * self.cosine + across * self.sine, across * self.cosine - along * self.sine)
            for along, across in span
        )
        return Span(start, end)

    def _outline(self, soft: Heatmap) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return self.turn_all(*outline(soft).T)

    def extremes(self, soft: Heatmap) -> tuple[Point, Point]:
        """Returns the outermost edges across, each in the middle of all equally distant points."""
        along, across = self._outline(soft)
        low, high = float(across.min()), float(across.max())
        nearest, farthest = (float(np.median(along[np.abs(across - edge) < 1e-6])) for edge in (low, high))
        return (nearest, low), (farthest, high)

    def widest_row(self, soft: Heatmap) -> Span:
        """Returns the widest row across, between its outermost edges; the middle row of several equally wide rows."""
        along, across = self._outline(soft)
        row = np.rint(along).astype(np.int64)
        first = int(row.min())
        low, high = np.full((2, int(row.max()) - first + 1), np.inf)
        np.minimum.at(low, row - first, across)
        np.minimum.at(high, row - first, -across)
        widths = np.where(np.isfinite(low), -high - low, -1)
        equals = np.flatnonzero(widths > widths.max() - 1e-6)
        widest = int(equals[equals.size // 2])
        place = float(first + widest)
        return Span((place, float(low[widest])), (place, float(-high[widest])))
