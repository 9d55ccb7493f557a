"""Lesions found against false marks: the free-response ROC of the peaks of heatmaps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import Heatmap, Mask
from artasyn.evaluation.bootstrap import Figures
from artasyn.evaluation.boxes import Box
from artasyn.evaluation.curves import Floats

SIDE = 512
"""Peaks are searched on a grid whose longer side is at most this."""

APART = 0.05
"""Two peaks are at least this share of the longer side apart; the lower one of two that are nearer is no mark."""

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False marks on a film, on average, at which the share of found lesions is told."""


@dataclass(frozen=True, eq=False)
class Marks:
    """The peaks of one heatmap, sorted by what they lie on.

    Attributes:
        found: for each lesion its highest peak; -1 for a lesion without any.
        alarms: the peaks outside of all lesions.
    """

    found: Floats
    alarms: Floats


def peaks(heatmap: Heatmap) -> tuple[npt.NDArray[np.float64], Floats]:
    """Returns the places and heights of the peaks of a heatmap, the places in shares of the film's sides.

    A peak is above 0 and the highest point within `APART`. Equal neighbours are one peak, at one of them.

    Args:
        heatmap: (h, w) in [0, 1]; a larger one than `SIDE` is reduced by averaging before.

    Returns:
        Places (n, 2), row and column of the middle of a pixel, each in (0, 1), and heights (n,).
    """
    scale = min(1.0, SIDE / max(heatmap.shape))
    size = (max(1, round(heatmap.shape[1] * scale)), max(1, round(heatmap.shape[0] * scale)))
    small = cv2.resize(heatmap, size, interpolation=cv2.INTER_AREA) if scale < 1 else heatmap
    reach = max(1, round(APART * max(small.shape)))
    highest = cv2.dilate(small, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    count, plateaus, _, centres = cv2.connectedComponentsWithStats(((small == highest) & (small > 0)).astype(np.uint8))
    rows, columns = np.nonzero(plateaus)
    label = plateaus[rows, columns]
    distance = np.hypot(rows - centres[label, 1], columns - centres[label, 0])
    order = np.lexsort((distance, label))
    first = order[np.searchsorted(label[order], np.arange(1, count))]
    heights = small[rows[first], columns[first]].astype(np.float64)
    pixels = np.stack([rows[first], columns[first]], axis=1)
    kept: list[int] = []
    for one in np.argsort(-heights, kind="stable").tolist():  # rounding may part the top of a peak
        if not kept or (np.abs(pixels[kept] - pixels[one]).max(axis=1) > reach).all():
            kept.append(one)
    return (pixels[kept] + 0.5) / small.shape, heights[kept]


def marks(heatmap: Heatmap, lesions: Mask | None, boxes: Sequence[Box] = ()) -> Marks:
    """Sorts the peaks of a heatmap: the highest inside each lesion, and those outside of all lesions.

    Args:
        heatmap: (h, w) in [0, 1].
        lesions: the true lesions, (h, w); each 8-connected region is one. None: the boxes are the lesions.
        boxes: around lesions, on the heatmap's grid.
    """
    places, heights = peaks(heatmap)
    rows, columns = places[:, 0] * heatmap.shape[0], places[:, 1] * heatmap.shape[1]
    if lesions is not None:
        count, regions = cv2.connectedComponents(lesions.astype(np.uint8), connectivity=8)
        region = regions[rows.astype(int), columns.astype(int)]
        inside = region[None] == np.arange(1, count)[:, None]
    else:
        frames = np.array(boxes, np.float64).reshape(-1, 4, 1)
        top, left, height, width = frames[:, 0], frames[:, 1], frames[:, 2], frames[:, 3]
        inside = (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)
    found = np.where(inside, heights, -1.0).max(axis=1, initial=-1.0)
    return Marks(found, heights[~inside.any(axis=0)])


def froc(films: Sequence[Marks], weights: Floats) -> tuple[Floats, Floats]:
    """Returns the free-response ROC: false marks on a film, ascending, and the share of lesions found.

    The first point is (0, 0); then comes one point for every different height of a peak, the highest first.

    Args:
        films: the marks of every film, healthy ones too.
        weights: (films,), how often each film counts.

    Source: Bunch, Hamilton, Sanderson and Simmons, A free response approach to the measurement and characterization
        of radiographic-observer performance (Proc. SPIE 1977;127:124).

    Example:
        >>> one = Marks(np.array([0.9, -1.0]), np.array([0.5]))
        >>> [values.tolist() for values in froc([one], np.ones(1))]
        [[0.0, 0.0, 1.0], [0.0, 0.5, 0.5]]
    """
    return _Sorted(films).curve(weights)


def froc_statistic(films: Sequence[Marks]) -> Callable[[Floats], Figures]:
    """Returns the statistic of the free-response ROC: the share of lesions found at each of `RATES`, and their mean.

    Args:
        films: the marks of every film.

    Returns:
        A function from weights (resamples, films) to figures (resamples,): ``found_at_0.125`` and so on, and
        ``found_on_average``. All are NaN without lesions.
    """
    ordered = _Sorted(films)

    def statistic(weights: Floats) -> Figures:
        values = np.array([at_rates(*ordered.curve(row)) for row in weights]).reshape(len(weights), len(RATES))
        return {f"found_at_{rate:g}": values[:, place] for place, rate in enumerate(RATES)} | {
            "found_on_average": values.mean(axis=1)
        }

    return statistic


def at_rates(alarms: Floats, found: Floats, rates: Sequence[float] | Floats = RATES) -> Floats:
    """Returns the share of lesions found with at most each of some rates of false marks.

    Args:
        alarms: of `froc`.
        found: of `froc`.
        rates: false marks on a film.
    """
    return found[np.searchsorted(alarms, np.asarray(rates), side="right") - 1]


class _Sorted:
    """The marks of all films in one order, the highest first."""

    def __init__(self, films: Sequence[Marks]) -> None:
        parts = [np.concatenate([one.found[one.found >= 0], one.alarms]) for one in films]
        hits = [np.arange(part.size) < (one.found >= 0).sum() for part, one in zip(parts, films, strict=True)]
        heights = np.concatenate([np.zeros(0), *parts])
        order = np.argsort(-heights, kind="stable")
        self._film = np.repeat(np.arange(len(films)), [part.size for part in parts])[order]
        self._hit = np.concatenate([np.zeros(0, bool), *hits])[order]
        self._ends = np.flatnonzero(np.diff(heights[order], append=-np.inf))
        self._lesions = np.array([one.found.size for one in films], np.float64)

    def curve(self, weights: Floats) -> tuple[Floats, Floats]:
        """Returns false marks on a film and the share of lesions found, for weights (films,)."""
        counted = weights[self._film]
        lesions, films = weights @ self._lesions, weights.sum()
        found = np.cumsum(counted * self._hit)[self._ends] / (lesions or np.nan)
        alarms = np.cumsum(counted * ~self._hit)[self._ends] / (films or np.nan)
        nothing = np.zeros(1) if lesions else np.full(1, np.nan)
        return np.concatenate([np.zeros(1), alarms]), np.concatenate([nothing, found])
