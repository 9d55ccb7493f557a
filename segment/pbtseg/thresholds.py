"""Progressive binary thresholding: thresholds rise, and the components below them vote on which pixels are lung."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import LEFT, RIGHT, Heatmap, Image, Outlines

_GRID = 32  # rows and columns on which thresholds are tried
_DISK = np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)), np.uint8)
_HARDLY = 0.05  # expectation below which no pixel is lung
_NEVER = 9.0  # brighter than every threshold
_KEENNESS = 4  # power of a candidate's merit; the higher, the fewer candidates decide

_Region = npt.NDArray[np.uint8]  # 0 and 1
_Stack = npt.NDArray[np.uint8]  # (thresholds, rows, columns), 0 and 1
_Figures = npt.NDArray[np.float64]  # (thresholds, 2 lungs)


@dataclass(frozen=True)
class Thresholds:
    """Thresholds that rise step by step, and the vote of the components below them.

    On each side thresholds rise from the grey of the lung's core. The less a pixel is expected to be lung, the
    brighter it counts, which keeps out the trachea, the stomach and the air around the body. At each threshold
    the component that agrees best with the expected outline is the candidate. Candidates vote, weighted by this
    agreement and by the contrast along their edges. The vote and the expected outline together give the lung. The
    outer edge of the lung is made convex, like the ribs.

    Attributes:
        steps: number of thresholds.
        reach: how far the thresholds rise above the grey of the lung's core, as a fraction of the grey range.
        pull: grey added where no lung is expected, as a fraction of the grey range.
        blur: softness of the expected outline, as a fraction of the lungs' box.
        trust: weight of the vote, in [0, 1]; the expected outline has the rest.

    Source:
        ART-ASyn (arXiv 2512.00310), PBTSeg: rising thresholds, candidates, one lung for each side, filling. Expected
        outline, pull and vote are artasyn's own.
    """

    steps: int
    reach: float
    pull: float
    blur: float
    trust: float

    def lungs(self, grey: Image, outlines: Outlines) -> Heatmap:
        """Returns the lungs that the thresholds find: 1 inside, 0 outside, with a soft edge.

        Args:
            grey: the equalised image on a square grid.
            outlines: (2, points, 2), the expected outlines of the lungs, in pixels of the grid.
        """
        small = cv2.resize(grey, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
        coarse = (outlines + np.float32(0.5)) * np.float32(_GRID / len(grey)) - np.float32(0.5)
        whole = _taller(self._expected(coarse), cv2.BORDER_CONSTANT)
        top, bottom = np.flatnonzero((whole >= _HARDLY).any(axis=1))[[0, -1]] + (-1, 2)  # with a row without lung
        small, expected = _taller(small, cv2.BORDER_REPLICATE)[top:bottom], whole[top:bottom]
        middle = round(float(coarse[0, :, 0].max() + coarse[1, :, 0].min()) / 2)
        middle = min(max(middle, 4), _GRID - 4)
        candidates, agreement = self._candidates(self._counted(small, expected, middle), expected, middle)
        merits = (agreement * _contrasts(small, candidates, middle) ** 0.83) ** _KEENNESS
        shares = (merits / (merits.sum(axis=0) + 1e-12)).astype(np.float32)
        votes = (shares.T @ candidates.reshape(self.steps, -1).astype(np.float32)).reshape(2, *small.shape)
        vote = np.where(np.arange(_GRID) < middle, votes[0], votes[1])
        found = (np.float32(self.trust) * vote + np.float32(1 - self.trust) * expected > 0.5).astype(np.uint8)
        lungs = np.zeros(whole.shape, np.uint8)
        lungs[top:bottom, :middle] = _bulged(found[:, :middle], RIGHT)
        lungs[top:bottom, middle:] = _bulged(found[:, middle:], LEFT)
        soft = cv2.GaussianBlur(lungs[1:-1].astype(np.float32), (0, 0), _GRID / 30)
        return np.asarray(cv2.resize(soft, grey.shape[::-1]), np.float32)

    def _expected(self, outlines: Outlines) -> Heatmap:
        """Returns how much each coarse pixel is expected to be lung, in [0, 1]."""
        expected = np.zeros((_GRID, _GRID), np.float32)
        cv2.fillPoly(expected, list(np.round(outlines * 16).astype(np.int32)), (1.0,), shift=4)
        points = outlines.reshape(-1, 2)
        softness = max(0.3, self.blur * float((points.max(axis=0) - points.min(axis=0)).sum()) / 2)
        return np.asarray(cv2.GaussianBlur(expected, (0, 0), softness, borderType=cv2.BORDER_REPLICATE), np.float32)

    def _counted(self, small: Image, expected: Heatmap, middle: int) -> Heatmap:
        """Returns the grey of each pixel above its lung's core, with the pull added."""
        counted = small + np.float32(self.pull) * (1 - expected)
        for side in (slice(0, middle), slice(middle, None)):
            core = expected[:, side] >= 0.8 * expected[:, side].max()
            counted[:, side] -= _median(small[:, side][core])
        counted[expected < _HARDLY] = _NEVER
        counted[:, middle] = _NEVER  # no component on both sides
        return np.asarray(counted, np.float32)

    def _candidates(self, counted: Heatmap, expected: Heatmap, middle: int) -> tuple[_Stack, _Figures]:
        """Returns the best component of each side at each threshold, and its agreement with the expected outline.

        The images of all thresholds are stacked into one tall image, so that one call labels them all. The first and
        the last row of each image hold no lung, which keeps components apart.
        """
        below = (counted <= _rising(self.reach, self.steps)).view(np.uint8)
        found = cv2.connectedComponentsWithStats(below.reshape(-1, _GRID), connectivity=4)
        n, components, stats = found[0], np.asarray(found[1]), np.asarray(found[2], np.intp)
        overlap = np.bincount(components.ravel(), np.tile(expected.ravel(), self.steps), n)
        on_left = stats[:, cv2.CC_STAT_LEFT] >= middle
        areas = np.where(on_left, expected[:, middle:].sum(), expected[:, :middle].sum())
        agreement = 2 * overlap / (stats[:, cv2.CC_STAT_AREA] + areas)
        places = 2 * (stats[:, cv2.CC_STAT_TOP] // len(expected)) + on_left  # threshold and side
        best = np.zeros(2 * self.steps)
        np.maximum.at(best, places[1:], agreement[1:])
        kept = (agreement > 0) & (agreement == best[places])
        kept[0] = False  # the background
        candidates = kept.view(np.uint8).take(components).reshape(below.shape)
        return candidates, best.reshape(self.steps, 2)


@cache
def _rising(reach: float, steps: int) -> npt.NDArray[np.float32]:
    """Returns the thresholds, (steps, 1, 1)."""
    return np.linspace(0.0, reach, steps, dtype=np.float32)[:, None, None]


def _taller(grid: Heatmap, border: int) -> npt.NDArray[np.float32]:
    """Adds one row above and one row below."""
    return np.asarray(cv2.copyMakeBorder(grid, 1, 1, 0, 0, border), np.float32)


def _median(values: npt.NDArray[np.float32]) -> float:
    """Returns the upper median; faster than `numpy.median`, which handles more kinds of arrays."""
    middle = values.size // 2
    return float(np.partition(values, middle)[middle])


def _contrasts(small: Image, candidates: _Stack, middle: int) -> _Figures:
    """Returns how much brighter the image is just outside than just inside every candidate; at least 0."""
    stack = candidates.reshape(-1, _GRID)
    outside, inside = (
        ring.reshape(len(candidates), -1).astype(np.float32)
        for ring in (cv2.dilate(stack, _DISK) - stack, stack - cv2.erode(stack, _DISK))
    )
    weights = np.zeros((4, *small.shape), np.float32)  # grey right and left, pixels right and left
    weights[0, :, :middle], weights[1, :, middle:] = small[:, :middle], small[:, middle:]
    weights[2, :, :middle] = weights[3, :, middle:] = 1
    grey_and_pixels = weights.reshape(4, -1).T
    (grey_out, pixels_out), (grey_in, pixels_in) = (np.hsplit(ring @ grey_and_pixels, 2) for ring in (outside, inside))
    contrasts = grey_out / np.maximum(pixels_out, 1) - grey_in / np.maximum(pixels_in, 1)
    return np.asarray(np.maximum(contrasts, 0.0), np.float64)


def _bulged(region: _Region, lung: int) -> _Region:
    """Makes the outer edge of one lung convex; its other edges stay."""
    outward = region if lung == RIGHT else region[:, ::-1]  # outer edge on the left
    rows = np.flatnonzero(outward.any(axis=1))
    if rows.size == 0:
        return region
    outer, inner = outward.argmax(axis=1), int(np.flatnonzero(outward.any(axis=0))[-1])
    edge = np.empty((rows.size + 2, 2), np.int32)
    edge[:-2, 0], edge[:-2, 1] = outer[rows], rows
    edge[-2:, 0], edge[-2:, 1] = inner, rows[[0, -1]]
    hull = np.zeros(region.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(edge), (1,))
    beyond = np.arange(region.shape[1]) < outer[:, None]  # none in a row without lung, where outer is 0
    bulged = outward | (hull & beyond)
    return np.asarray(bulged if lung == RIGHT else bulged[:, ::-1])
