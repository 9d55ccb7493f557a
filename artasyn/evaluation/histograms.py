"""Histograms of heatmap values by kind of pixel, one for each radiograph, and the pixel figures from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import Mask
from artasyn.evaluation.bootstrap import Figures
from artasyn.evaluation.curves import Floats, aupro, auroc, average_precision, mean, share
from artasyn.evaluation.levels import LEVELS, level_thresholds

_LESION, _LUNG = 1, 2  # flags whose sum, 0 to 3, is the kind of a pixel
_OVERLAP, _DICE, _KINDS = 4, 5, 6  # further kinds of a table: shares of lesion regions, Dice
_RADIOGRAPHS = 128  # in memory at once


@dataclass(frozen=True, eq=False)
class Histogram:
    """The sparse histogram of one radiograph's heatmap.

    Attributes:
        places: indices of the occupied bins, kind * LEVELS + level, ascending.
        sums: the sum in each occupied bin: pixels of the four kinds, or shares of lesion regions.
    """

    places: npt.NDArray[np.uint32]
    sums: Floats


def histogram(levels: npt.NDArray[np.int32], lesions: Mask, lungs: Mask | None) -> Histogram:
    """Counts a radiograph's pixels by level and kind, and adds up the shares of its lesion regions.

    Args:
        levels: (h, w), of the heatmap (see `artasyn.evaluation.levels.quantise`).
        lesions: the true lesions, (h, w); the shares of each 8-connected region add up to 1.
        lungs: (h, w), or None if not known: then all pixels count as outside the lungs.
    """
    kinds = lesions.astype(np.int32) * _LESION
    if lungs is not None:
        kinds += lungs.astype(np.int32) * _LUNG
    _, regions, stats, _ = cv2.connectedComponentsWithStats(lesions.astype(np.uint8), connectivity=8)
    shares = 1 / stats[regions[lesions], cv2.CC_STAT_AREA]
    parts = (
        np.bincount((kinds * LEVELS + levels).ravel(), minlength=_OVERLAP * LEVELS),
        np.bincount(levels[lesions], shares, minlength=LEVELS),
    )
    sums = np.concatenate(parts).astype(np.float64)
    places = np.flatnonzero(sums)
    return Histogram(places.astype(np.uint32), sums[places])


class Tables:
    """The histograms of all radiographs as tables, whose columns are the occupied levels, hottest first."""

    def __init__(self, histograms: Sequence[Histogram], mixed: npt.NDArray[np.bool_]) -> None:
        self._sizes = np.cumsum([0, *(one.places.size for one in histograms)])
        self._kinds, levels = np.divmod(np.concatenate([one.places for one in histograms]), LEVELS)
        self._sums = np.concatenate([one.sums for one in histograms])
        occupied = np.flatnonzero(np.bincount(levels, minlength=LEVELS))[::-1].astype(np.int32)
        columns = np.zeros(LEVELS, np.int32)
        columns[occupied] = np.arange(occupied.size)
        self._columns = columns[levels]
        self._mixed = mixed[occupied]
        self._thresholds = level_thresholds(occupied).astype(np.float64)
        self._radiographs = len(histograms)
        self._has_lesions = np.zeros(self._radiographs)
        self._inside = np.full(self._radiographs, np.nan)
        for rows in self._blocks():
            table = self._table(rows)
            self._has_lesions[rows] = table[_OVERLAP].any(axis=1)
            self._inside[rows] = auroc(table[_LUNG | _LESION], table[_LUNG])

    def _blocks(self) -> list[slice]:
        starts = range(0, self._radiographs, _RADIOGRAPHS)
        return [slice(start, min(start + _RADIOGRAPHS, self._radiographs)) for start in starts]

    def _table(self, rows: slice) -> Floats:
        """Returns a table (kinds, radiographs, levels): pixels of four kinds, shares of lesion regions, Dice."""
        sizes = self._sizes[rows.start : rows.stop + 1]
        part = slice(sizes[0], sizes[-1])
        table = np.zeros((_KINDS, rows.stop - rows.start, self._mixed.size))
        row = np.repeat(np.arange(table.shape[1]), np.diff(sizes))
        table[self._kinds[part], row, self._columns[part]] = self._sums[part]
        lesion = table[_LESION] + table[_LESION | _LUNG]
        hit, called = lesion.cumsum(axis=1), table[:_OVERLAP].sum(axis=0).cumsum(axis=1)
        table[_DICE] = 2 * hit / np.maximum(called + lesion.sum(axis=1, keepdims=True), 1)
        return table

    def totals(self, weights: Floats) -> Floats:
        """Returns the weighted sums of the tables (kinds, resamples, levels) for weights (resamples, radiographs)."""
        total = np.zeros((_KINDS, len(weights), self._mixed.size))
        for rows in self._blocks():
            total += weights[:, rows] @ self._table(rows)
        return total

    def statistic(self, weights: Floats) -> Figures:
        """Returns the pixel figures (resamples,) for weights (resamples, radiographs)."""
        total = self.totals(weights)
        inside = total[_LUNG], total[_LUNG | _LESION]
        healthy, lesion = total[0] + inside[0], total[_LESION] + inside[1]
        dice = share(total[_DICE], (weights @ self._has_lesions)[:, None])
        best = dice.argmax(axis=1)
        oracle = np.take_along_axis(dice, best[:, None], axis=1)[:, 0]
        return {
            "pixel_auroc": auroc(lesion, healthy),
            "pixel_auroc_in_lungs": auroc(inside[1], inside[0]),
            "pixel_auroc_in_lungs_per_image": mean(weights, self._inside),
            "pixel_ap": average_precision(lesion, healthy, self._mixed),
            "pixel_ap_in_lungs": average_precision(inside[1], inside[0], self._mixed),
            "pixel_base_rate": share(lesion.sum(axis=1), (lesion + healthy).sum(axis=1)),
            "pixel_base_rate_in_lungs": share(inside[1].sum(axis=1), (inside[0] + inside[1]).sum(axis=1)),
            "aupro": aupro(total[_OVERLAP], healthy),
            "oracle_dice": oracle,
            "oracle_threshold": np.where(np.isnan(oracle), np.nan, self._thresholds[best]),
        }

    def curves(self, points: int = 200) -> dict[str, list[float]]:
        """Returns the curves behind the pooled pixel figures, at some of the thresholds, the highest first.

        Args:
            points: number of points of each curve.

        Returns:
            recall, precision, false_positive_rate and overlap with the lesion regions (PRO), all of the same length,
            at most `points`.
        """
        total = self.totals(np.ones((1, self._radiographs)))[:, 0]
        healthy, lesion = total[0] + total[_LUNG], total[_LESION] + total[_LUNG | _LESION]
        hits, alarms, overlap = lesion.cumsum(), healthy.cumsum(), total[_OVERLAP].cumsum()
        along = np.unique(np.searchsorted(hits + alarms, np.linspace(0, (hits + alarms)[-1], points)))
        at = np.minimum(along, hits.size - 1)
        shares = {
            "recall": share(hits, hits[-1:]),
            "precision": share(hits, hits + alarms),
            "false_positive_rate": share(alarms, alarms[-1:]),
            "overlap": share(overlap, overlap[-1:]),
        }
        return {name: curve[at].tolist() for name, curve in shares.items()}

    def errors(self) -> tuple[float, float]:
        """Returns how far quantising can have moved the pooled AUROCs and APs at most; NaN if both are undefined.

        Only levels with several values matter, because quantising loses the order of the pixels inside them.
        """
        total = self.totals(np.ones((1, self._radiographs)))[:, 0]
        bounds = np.full((2, 2), np.nan)
        pools = total[:2] + total[2:4], total[2:4]  # all pixels, pixels inside the lungs
        for bound, (healthy, lesion) in zip(bounds, pools, strict=True):
            hits, alarms = lesion.cumsum(), healthy.cumsum()
            if hits[-1] and alarms[-1]:
                best = hits / np.maximum(hits + alarms - healthy, 1)  # precision of the last lesion, if they come first
                worst = (hits - lesion + 1) / (hits - lesion + 1 + alarms)  # of the first, if they come last
                bound[0] = (lesion * healthy)[self._mixed].sum() / (2 * hits[-1] * alarms[-1])
                bound[1] = (lesion * np.maximum(best - worst, 0))[self._mixed].sum() / hits[-1]
        of_auroc, of_ap = np.fmax(*bounds).tolist()
        return of_auroc, of_ap
