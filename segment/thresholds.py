"""Progressive binary thresholding: thresholds rise, components vote, and the vote is what looks like lung."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import LEFT, RIGHT, Heatmap, Image, Outlines

_GRID = 48  # rows and columns on which thresholds are tried
_DISK = np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)), np.uint8)
_NEVER = 9.0  # brighter than every threshold
_KEENNESS = 5  # power of a candidate's merit; the higher, the fewer candidates decide

_Region = npt.NDArray[np.uint8]  # 0 and 1
_Sides = tuple[slice, slice]  # columns of the right and of the left lung


@dataclass(frozen=True)
class Thresholds:
    """Thresholds that rise step by step, and the vote of the components below them.

    On each side thresholds rise from the grey of the lung's core; the less a pixel is expected to be lung, the
    brighter it counts, which keeps out the trachea, the stomach and the air around the body. At each threshold
    the component that agrees best with the expected outline is the candidate, without its holes. Candidates
    vote, each by that agreement and by the contrast along its edge, and vote and expectation together make the
    lung. Its outer edge is made convex, as the ribs are.

    Attributes:
        steps: number of thresholds.
        reach: how far they rise above the grey of the lung's core, as a fraction of the grey range.
        pull: grey added where no lung is expected, as a fraction of the grey range.
        blur: softness of the expected outline, as a fraction of the lungs' box.
        trust: weight of the vote against the expected outline, in [0, 1].

    Source:
        ART-ASyn (arXiv 2512.00310), PBTSeg: rising thresholds, candidates, one lung a side, filling. Expectation,
        pull and vote are artasyn's own.
    """

    steps: int
    reach: float
    pull: float
    blur: float
    trust: float

    def lungs(self, grey: Image, outlines: Outlines) -> Heatmap:
        """What thresholds hold to be lung: 1 inside, 0 outside, with a soft edge.

        Args:
            grey: the equalised film on a square grid.
            outlines: (2, points, 2), where lungs are expected, in pixels of the grid.
        """
        small = cv2.resize(grey, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
        coarse = (outlines + 0.5) * (_GRID / len(grey)) - 0.5
        middle = round(float(coarse[0, :, 0].max() + coarse[1, :, 0].min()) / 2)
        middle = min(max(middle, 4), _GRID - 4)
        sides = slice(0, middle), slice(middle, _GRID)
        expected = self._expected(coarse)
        place = np.zeros(small.shape, np.uint8)
        place[:, sides[1]] = 3
        greys = small.ravel()
        vote, total = np.zeros_like(expected), [1e-12, 1e-12]
        for candidates, agreement in self._candidates(self._counted(small, expected, sides), expected, sides):
            # 1 just inside and 2 just outside the right lung, 4 and 5 the left lung, 0 and 3 elsewhere
            edges = (place + 2 * cv2.dilate(candidates, _DISK) - candidates - cv2.erode(candidates, _DISK)).ravel()
            counts = np.maximum(np.bincount(edges, minlength=6), 1)
            means = np.bincount(edges, greys, 6) / counts
            for i, side in enumerate(sides):
                contrast = float(means[3 * i + 2] - means[3 * i + 1])
                merit = (agreement[i] * max(0.0, contrast) ** 0.7) ** _KEENNESS
                vote[:, side] += np.float32(merit) * candidates[:, side]
                total[i] += merit
        for i, side in enumerate(sides):
            vote[:, side] *= np.float32(1 / total[i])
        found = (np.float32(self.trust) * vote + np.float32(1 - self.trust) * expected > 0.5).astype(np.uint8)
        for lung, side in zip((RIGHT, LEFT), sides, strict=True):
            found[:, side] = _bulged(found[:, side], lung)
        found = cv2.dilate(found, _DISK)  # the dim band along the ribs, which thresholds miss
        fine = cv2.resize(found.astype(np.float32), grey.shape[::-1])
        return np.asarray(cv2.GaussianBlur(fine, (0, 0), len(grey) / 107), np.float32)

    def _expected(self, outlines: Outlines) -> Heatmap:
        """How much each coarse pixel is expected to be lung."""
        expected = np.zeros((_GRID, _GRID), np.float32)
        cv2.fillPoly(expected, list(np.round(outlines * 16).astype(np.int32)), (1.0,), shift=4)
        softness = max(0.3, self.blur * float(np.ptp(outlines.reshape(-1, 2), axis=0).mean()))
        return np.asarray(cv2.GaussianBlur(expected, (0, 0), softness, borderType=cv2.BORDER_REPLICATE), np.float32)

    def _counted(self, small: Image, expected: Heatmap, sides: _Sides) -> Heatmap:
        """How far above the grey of its lung's core each pixel counts."""
        counted = small + np.float32(self.pull) * (1 - expected)
        for side in sides:
            core = expected[:, side] > 0.8 * expected[:, side].max()
            counted[:, side] -= np.median(small[:, side][core]) if core.any() else 0.0
        counted[expected < 0.05] = _NEVER
        counted[:, sides[1].start] = _NEVER  # no component on both sides
        return counted

    def _candidates(
        self, counted: Heatmap, expected: Heatmap, sides: _Sides
    ) -> Iterator[tuple[_Region, tuple[float, float]]]:
        """At each threshold the best component of each side, filled, and their agreements with the expected outline."""
        areas = [float(expected[:, side].sum()) for side in sides]
        weights = expected.ravel()
        for threshold in np.linspace(0.0, self.reach, self.steps):
            below = (counted <= threshold).astype(np.uint8)
            n, components, stats, _ = cv2.connectedComponentsWithStats(below, connectivity=4)
            if n < 2:
                continue
            on_left = stats[1:, cv2.CC_STAT_LEFT] >= sides[1].start
            overlap = np.bincount(components.ravel(), weights, n)[1:]
            agreement = 2 * overlap / (stats[1:, cv2.CC_STAT_AREA] + np.where(on_left, areas[1], areas[0]))
            right, left = np.where(on_left, 0.0, agreement), np.where(on_left, agreement, 0.0)
            kept = np.zeros(n, np.uint8)
            for each in (right, left):
                kept[1 + each.argmax()] = each.max() > 0
            candidates = kept[components]
            contours, _ = cv2.findContours(candidates, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            yield cv2.drawContours(candidates, contours, -1, (1,), cv2.FILLED), (float(right.max()), float(left.max()))


def _bulged(region: _Region, lung: int) -> _Region:
    """One lung with its outer edge made convex; its other edges stay."""
    outward = region if lung == RIGHT else region[:, ::-1]  # outer edge on the left
    rows = np.flatnonzero(outward.any(axis=1))
    if rows.size == 0:
        return region
    outer, inner = outward.argmax(axis=1), int(np.flatnonzero(outward.any(axis=0))[-1])
    edge = [*zip(outer[rows], rows, strict=True), (inner, rows[0]), (inner, rows[-1])]
    hull = np.zeros(region.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.array(edge, np.int32)), (1,))
    beyond = (np.arange(region.shape[1]) < outer[:, None]) & outward.any(axis=1, keepdims=True)
    bulged = outward | (hull & beyond)
    return bulged if lung == RIGHT else bulged[:, ::-1]
