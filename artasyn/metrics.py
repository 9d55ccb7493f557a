"""How good anomaly scores and heatmaps are over a set of radiographs of any sizes, with bootstrap intervals.

Heatmaps are judged at native resolution and never held: a histogram of each radiograph stays, over fixed
levels 1/256 octave wide toward 0 and toward 1 alike (see `quantise`). Every figure is one function of those
histograms and of a weight for each radiograph: weights of one give its value, resampled ones its interval.

What is undefined (no lesion, no healthy pixel, one class only) is NaN, never silently 0 or 1:

- Dice is the mean over radiographs *with* lesion pixels; an empty prediction there scores 0. The others do
  not enter it: healthy ones give `false_positive_pixels_on_healthy` and `flagged_healthy` instead.
- A diseased radiograph whose mask is empty counts as diseased, and all its pixels as healthy ones. A mask
  that is missing there is an error, unless no diseased radiograph has one: what needs masks is NaN then.
- Resamples in which a figure is undefined do not enter its interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import Heatmap, Mask, generator
from artasyn.errors import DataError, ImageError

Floats = npt.NDArray[np.float64]
Figures = dict[str, Floats]

FPR_LIMIT = 0.3
"""AUPRO is integrated up to this false-positive rate."""

ERROR_LIMIT = 0.05
"""Pixel figures are NaN where quantising could have moved the AUROC by more: a nearly constant heatmap."""

_SHIFT = 15  # float32 has 23 bits of mantissa: 8 stay, 256 levels an octave
_FLOOR = (127 - 32) << 8  # 2**-32, below which all values but 0 share one level
_HALF = ((127 - 1) << 8) - _FLOOR + 2  # the level of 0.5
_NEAREST = (127 - 24) << 8  # 2**-24, the smallest distance to 1 that float32 knows
_LEVELS = _HALF + ((127 - 1) << 8) - _NEAREST + 2
_LESION, _LUNG = 1, 2  # kinds of pixels: their sum, 0 to 3
_OVERLAP, _DICE, _KINDS = 4, 5, 6  # the other two of a table: shares of lesion regions, Dice
_RADIOGRAPHS, _RESAMPLES = 128, 256  # in memory at a time


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval over radiographs; NaN where undefined.

    Attributes:
        value: the figure on the set as it is.
        low: 2.5th percentile over the resamples.
        high: 97.5th percentile over the resamples.
    """

    value: float
    low: float = math.nan
    high: float = math.nan


UNDEFINED = Interval(math.nan)


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The figures of one evaluation, all in [0, 1]; average precisions are read beside their base rate.

    Attributes:
        images: radiographs in the set.
        diseased: of them, those labelled diseased.
        image_auroc: area under the ROC curve of the scores.
        image_ap: average precision of the scores.
        image_base_rate: share of diseased radiographs, the average precision of chance.
        sensitivity: share of diseased radiographs with a score of at least the image threshold.
        flagged_healthy: share of healthy radiographs with a score of at least the image threshold.
        pixel_auroc: of all pixels of all radiographs, pooled.
        pixel_auroc_in_lungs: of those inside the lungs, pooled: in part "this film is sick".
        pixel_auroc_in_lungs_per_image: inside the lungs of each radiograph with both classes there, the mean.
        pixel_ap: average precision of all pixels, pooled.
        pixel_ap_in_lungs: of those inside the lungs.
        pixel_base_rate: share of lesion pixels.
        pixel_base_rate_in_lungs: share of lesion pixels inside the lungs.
        aupro: mean overlap with each lesion region (8-connected) against the false-positive rate of all
            healthy pixels, area up to a rate of 0.3, divided by 0.3.
        dice: at the stored threshold, mean over the radiographs with lesion pixels.
        oracle_dice: the same at the one threshold that is best for this very set: a limit, not a result.
        oracle_threshold: that threshold.
        false_positive_pixels_on_healthy: share of pixels at or above the stored threshold, mean over healthy
            radiographs.
        pixel_auroc_error: both pooled pixel AUROCs lie within this of those of unquantised heatmaps.
        pixel_ap_error: the same for both pooled pixel APs; a worst case, the error met is far smaller.
    """

    images: int
    diseased: int
    image_auroc: Interval
    image_ap: Interval
    image_base_rate: Interval
    sensitivity: Interval
    flagged_healthy: Interval
    pixel_auroc: Interval = UNDEFINED
    pixel_auroc_in_lungs: Interval = UNDEFINED
    pixel_auroc_in_lungs_per_image: Interval = UNDEFINED
    pixel_ap: Interval = UNDEFINED
    pixel_ap_in_lungs: Interval = UNDEFINED
    pixel_base_rate: Interval = UNDEFINED
    pixel_base_rate_in_lungs: Interval = UNDEFINED
    aupro: Interval = UNDEFINED
    dice: Interval
    oracle_dice: Interval = UNDEFINED
    oracle_threshold: Interval = UNDEFINED
    false_positive_pixels_on_healthy: Interval
    pixel_auroc_error: float = math.nan
    pixel_ap_error: float = math.nan

    def to_json(self) -> dict[str, Any]:
        """The figures by name, ready for `json.dumps`: intervals as value, low and high, NaN as null."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: plain(inner) for name, inner in value.items()}
            return None if math.isnan(value) else value

        figures: dict[str, Any] = plain(asdict(self))
        return figures


@dataclass(frozen=True, eq=False)
class _Record:
    """What stays of one radiograph: of its histogram the occupied places (kind * levels + level) and sums."""

    score: float
    diseased: bool
    places: npt.NDArray[np.uint32]
    sums: Floats
    dice: float = math.nan
    false_positives: float = math.nan


class Evaluation:
    """Gathers scores, heatmaps and truth one radiograph at a time, and turns them into `Metrics`.

    Memory grows with the number of radiographs (some 100 kB each), not with their pixels.

    Args:
        threshold: a pixel is called lesion where the heatmap is at least this (as float32); None leaves Dice
            NaN. It stands here, before the first radiograph, because it must not be chosen from them.
        image_threshold: a radiograph is flagged if its score is at least this; None leaves the shares NaN.

    Example:
        >>> evaluation = Evaluation(threshold=0.5)
        >>> lesions = np.zeros((2, 3), bool)
        >>> evaluation.add("normal", 0.1, diseased=False, heatmap=lesions.astype(np.float32))
        >>> lesions[0] = True
        >>> heatmap = np.array([[0.9, 0.9, 0.2], [0.0, 0.0, 0.0]], np.float32)
        >>> evaluation.add("sick", 0.9, diseased=True, heatmap=heatmap, lesions=lesions)
        >>> metrics = evaluation.result(bootstrap=100, seed=1)
        >>> metrics.image_auroc.value, metrics.pixel_auroc.value, round(metrics.dice.value, 3)
        (1.0, 1.0, 0.8)
    """

    def __init__(self, *, threshold: float | None = None, image_threshold: float | None = None) -> None:
        self.threshold = threshold
        self.image_threshold = image_threshold
        self._records: dict[str, _Record] = {}
        self._given: dict[str, bool] = {}
        self._seen = np.full(_LEVELS, np.nan, np.float32)  # one value of each level, and
        self._mixed = np.zeros(_LEVELS, bool)  # whether there were others: only there quantising loses

    def add(
        self,
        name: str,
        score: float,
        *,
        diseased: bool,
        heatmap: Heatmap | None = None,
        lesions: Mask | None = None,
        lungs: Mask | None = None,
    ) -> None:
        """Adds one radiograph; nothing of the arrays is kept but their histogram.

        Args:
            name: of the radiograph, once only.
            score: evidence that it is diseased, finite, any unit.
            diseased: its label.
            heatmap: (h, w) in [0, 1]; given for all radiographs or for none.
            lesions: the true lesions, (h, w); may be missing where healthy.
            lungs: (h, w), inside which to judge as well; given for all radiographs or for none.

        Raises:
            ImageError: values outside [0, 1], or arrays of different shapes.
            DataError: a name twice, a score that is not finite, a healthy radiograph with lesions; or a
                heatmap, lungs or (of diseased ones) a lesion mask that others have and this one lacks, or the
                reverse.
        """
        if name in self._records:
            raise DataError(f"{name} was added before; give every radiograph a name of its own")
        if not math.isfinite(score):
            raise DataError(f"the score of {name} must be finite, not {score}")
        if lesions is not None and not diseased and lesions.any():
            raise DataError(f"{name} is labelled healthy but has lesions; correct the label or the mask")
        _check_arrays(name, heatmap, lesions, lungs)
        kinds = {"a heatmap": heatmap is not None, "lungs": lungs is not None}
        if diseased:
            kinds["a lesion mask"] = lesions is not None
        for kind, given in kinds.items():
            if self._given.setdefault(kind, given) != given:
                came = f"{name} comes {'with' if given else 'without'} {kind}, unlike others before"
                raise DataError(
                    f"{came}; give all or none" + " (of the diseased)" * (kind == "a lesion mask")
                )
        nothing = _Record(score, diseased, np.zeros(0, np.uint32), np.zeros(0))
        self._records[name] = nothing if heatmap is None else self._reduce(nothing, heatmap, lesions, lungs)

    def result(self, *, bootstrap: int = 1000, seed: int = 0) -> Metrics:
        """All figures of the radiographs added so far.

        Args:
            bootstrap: resamples of the radiographs, with replacement; 0 leaves the intervals NaN.
            seed: of the resamples, not negative.

        Raises:
            DataError: no radiograph was added.

        Source: percentile bootstrap: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter
            13; AUPRO: Bergmann et al., The MVTec Anomaly Detection Dataset (IJCV 2021), section 5; AUROC and
            average precision: as scikit-learn defines them.
        """
        records = list(self._records.values())
        if not records:
            raise DataError("nothing to evaluate; add radiographs first")
        weights = resample_weights(len(records), bootstrap, seed)
        figures = _intervals(_image_statistic(records, self.image_threshold), weights)
        errors = (math.nan, math.nan)
        if self._given["a heatmap"] and self._given.get("a lesion mask", True):
            tables = _Tables(records, self._mixed)
            errors = tables.errors()
            if not errors[0] > ERROR_LIMIT:
                figures |= _intervals(tables.statistic, weights)
        return Metrics(
            images=len(records),
            diseased=sum(record.diseased for record in records),
            pixel_auroc_error=errors[0],
            pixel_ap_error=errors[1],
            **figures,
        )

    def _reduce(self, record: _Record, heatmap: Heatmap, lesions: Mask | None, lungs: Mask | None) -> _Record:
        """The record with the histogram of the pixels, and with Dice and false positives at the threshold."""
        levels = quantise(heatmap)
        self._note_mixed(heatmap, levels)
        truth = np.zeros(heatmap.shape, bool) if lesions is None else lesions
        kinds = truth.astype(np.int32) * _LESION
        if lungs is not None:
            kinds += lungs.astype(np.int32) * _LUNG
        _, regions, stats, _ = cv2.connectedComponentsWithStats(truth.astype(np.uint8), connectivity=8)
        shares = 1 / stats[regions[truth], cv2.CC_STAT_AREA]
        histograms = (
            np.bincount((kinds * _LEVELS + levels).ravel(), minlength=_OVERLAP * _LEVELS),
            np.bincount(levels[truth], shares, minlength=_LEVELS),
        )
        sums = np.concatenate(histograms).astype(np.float64)
        places = np.flatnonzero(sums)
        record = replace(record, places=places.astype(np.uint32), sums=sums[places])
        if self.threshold is None:
            return record
        called = heatmap >= np.float32(self.threshold)
        if truth.any():
            return replace(record, dice=2 * int((called & truth).sum()) / int(called.sum() + truth.sum()))
        return record if record.diseased else replace(record, false_positives=float(called.mean()))

    def _note_mixed(self, heatmap: Heatmap, levels: npt.NDArray[np.int32]) -> None:
        """Notes the levels that hold more than one value, in this heatmap or in all so far."""
        values = np.full(_LEVELS, np.nan, np.float32)
        values[levels] = heatmap
        self._mixed[levels[values[levels] != heatmap]] = True
        unseen = np.isnan(self._seen)
        self._mixed |= ~unseen & ~np.isnan(values) & (self._seen != values)
        self._seen[unseen] = values[unseen]


class _Tables:
    """The histograms of all radiographs side by side, their columns the occupied levels, hottest first."""

    def __init__(self, records: list[_Record], mixed: npt.NDArray[np.bool_]) -> None:
        self._sizes = np.cumsum([0, *(record.places.size for record in records)])
        self._kinds, levels = np.divmod(np.concatenate([record.places for record in records]), _LEVELS)
        self._sums = np.concatenate([record.sums for record in records])
        occupied = np.flatnonzero(np.bincount(levels, minlength=_LEVELS))[::-1].astype(np.int32)
        columns = np.zeros(_LEVELS, np.int32)
        columns[occupied] = np.arange(occupied.size)
        self._columns = columns[levels]
        self._mixed = mixed[occupied]
        self._thresholds = level_thresholds(occupied).astype(np.float64)
        self._records = len(records)
        self._has_lesions = np.zeros(self._records)
        self._inside = np.full(self._records, np.nan)
        for rows in self._blocks():
            table = self._table(rows)
            self._has_lesions[rows] = table[_OVERLAP].any(axis=1)
            self._inside[rows] = _auroc(table[_LUNG | _LESION], table[_LUNG])

    def _blocks(self) -> list[slice]:
        starts = range(0, self._records, _RADIOGRAPHS)
        return [slice(start, min(start + _RADIOGRAPHS, self._records)) for start in starts]

    def _table(self, rows: slice) -> Floats:
        """Of some radiographs (kinds, radiographs, levels): pixels of four kinds, regions' shares, Dice."""
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
        """The tables' weighted sums (kinds, resamples, levels) under weights (resamples, radiographs)."""
        total = np.zeros((_KINDS, len(weights), self._mixed.size))
        for rows in self._blocks():
            total += weights[:, rows] @ self._table(rows)
        return total

    def statistic(self, weights: Floats) -> Figures:
        """The pixels' figures (resamples,) under weights (resamples, radiographs)."""
        total = self.totals(weights)
        inside = total[_LUNG], total[_LUNG | _LESION]
        healthy, lesion = total[0] + inside[0], total[_LESION] + inside[1]
        dice = _share(total[_DICE], (weights @ self._has_lesions)[:, None])
        best = dice.argmax(axis=1)
        oracle = np.take_along_axis(dice, best[:, None], axis=1)[:, 0]
        return {
            "pixel_auroc": _auroc(lesion, healthy),
            "pixel_auroc_in_lungs": _auroc(inside[1], inside[0]),
            "pixel_auroc_in_lungs_per_image": _mean(weights, self._inside),
            "pixel_ap": _average_precision(lesion, healthy, self._mixed),
            "pixel_ap_in_lungs": _average_precision(inside[1], inside[0], self._mixed),
            "pixel_base_rate": _share(lesion.sum(axis=1), (lesion + healthy).sum(axis=1)),
            "pixel_base_rate_in_lungs": _share(inside[1].sum(axis=1), (inside[0] + inside[1]).sum(axis=1)),
            "aupro": _aupro(total[_OVERLAP], healthy),
            "oracle_dice": oracle,
            "oracle_threshold": np.where(np.isnan(oracle), np.nan, self._thresholds[best]),
        }

    def errors(self) -> tuple[float, float]:
        """How far quantising can have moved the pooled AUROCs and APs at most; NaN where those are.

        Only levels with several values matter, where the true order of the pixels may be any.
        """
        total = self.totals(np.ones((1, self._records)))[:, 0]
        bounds = np.full((2, 2), np.nan)
        pools = total[:2] + total[2:4], total[2:4]  # all pixels, those inside the lungs
        for bound, (healthy, lesion) in zip(bounds, pools, strict=True):
            hits, alarms = lesion.cumsum(), healthy.cumsum()
            if hits[-1] and alarms[-1]:
                best = hits / np.maximum(hits + alarms - healthy, 1)  # precision of the level's last, or
                worst = (hits - lesion + 1) / (hits - lesion + 1 + alarms)  # of its first lesion pixel
                bound[0] = (lesion * healthy)[self._mixed].sum() / (2 * hits[-1] * alarms[-1])
                bound[1] = (lesion * np.maximum(best - worst, 0))[self._mixed].sum() / hits[-1]
        auroc, ap = np.fmax(*bounds).tolist()
        return auroc, ap


def quantise(heatmap: Heatmap) -> npt.NDArray[np.int32]:
    """The level of every pixel, (h, w): monotone, 256 an octave of the distance to the nearer of 0 and 1.

    So a level is at most 0.4 % of that distance wide, whether a heatmap lives in [0, 0.001], in [0, 1] or
    saturates at 1. Exactly 0 and exactly 1 have levels of their own; all of (0, 2**-32) is one level.

    Args:
        heatmap: (h, w) in [0, 1].

    Example:
        >>> quantise(np.array([[0.0, 0.001, 0.00101, 0.5, 0.999, 1.0]], np.float32))
        array([[    0,  5640,  5642,  7938, 10235, 13827]], dtype=int32)
    """
    upper = heatmap >= 0.5
    distance = np.where(upper, 1 - heatmap, heatmap)
    bits = distance.view(np.int32)  # floats above 0 are ordered as their bits are
    below = np.maximum((bits >> _SHIFT) - _FLOOR + 2, bits > 0)
    above = _LEVELS - 1 - np.maximum(((bits - 1) >> _SHIFT) - _NEAREST + 2, 0)
    levels: npt.NDArray[np.int32] = np.where(upper, above, below).astype(np.int32)
    return levels


def level_thresholds(levels: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """The smallest float32 of each level, so that `heatmap >= threshold` is `quantise(heatmap) >= level`.

    Args:
        levels: of any shape, as `quantise` gives them.
    """
    low = ((np.maximum(levels - 2, 0) + _FLOOR) << _SHIFT).astype(np.int32).view(np.float32)
    low = np.where(levels == 1, np.nextafter(np.float32(0), np.float32(1)), np.where(levels == 0, 0, low))
    distance = (((126 << 8) - np.maximum(levels - _HALF, 0)) << _SHIFT).astype(np.int32).view(np.float32)
    exact = 1 - distance.astype(np.float64)
    high = exact.astype(np.float32)
    high = np.where(high < exact, np.nextafter(high, np.float32(2)), high)
    return np.where(levels >= _HALF, high, low).astype(np.float32)


def resample_weights(images: int, resamples: int, seed: int) -> npt.NDArray[np.int64]:
    """How often each resample holds each radiograph: (resamples, images), every row adding up to `images`.

    Args:
        images: radiographs in the set.
        resamples: sets of that size, drawn with replacement.
        seed: not negative.
    """
    return generator(seed).multinomial(images, np.full(images, 1 / images), size=resamples)


def anatomy_prior(lungs: Mask) -> Heatmap:
    """The heatmap of a detector that has learnt nothing, 1 inside the lungs, for an `Evaluation` of its own.

    Args:
        lungs: the true lungs, (h, w).
    """
    return lungs.astype(np.float32)


def _check_arrays(name: str, heatmap: Any, lesions: Any, lungs: Any) -> None:
    if heatmap is None:
        return
    if heatmap.ndim != 2 or heatmap.dtype != np.float32 or heatmap.size == 0:
        raise ImageError(f"the heatmap of {name} must be float32 (h, w), not {heatmap.dtype} {heatmap.shape}")
    low, high = float(heatmap.min()), float(heatmap.max())
    if not (low >= 0 and high <= 1):  # also catches NaN
        raise ImageError(f"the heatmap of {name} must lie in [0, 1]; found values from {low:g} to {high:g}")
    for what, mask in (("lesions", lesions), ("lungs", lungs)):
        if mask is not None and (mask.shape != heatmap.shape or mask.dtype != np.bool_):
            raise ImageError(
                f"the {what} of {name} must be bool {heatmap.shape} like the heatmap, not {mask.dtype}"
                f" {mask.shape}; resize masks by nearest neighbour"
            )


def _image_statistic(records: list[_Record], threshold: float | None) -> Callable[[Floats], Figures]:
    """The statistic of what radiographs have one each of: scores, labels, Dice, shares."""
    scores = np.array([record.score for record in records])
    diseased = np.array([record.diseased for record in records])
    dice = np.array([record.dice for record in records])
    false_positives = np.array([record.false_positives for record in records])
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))  # of groups with equal scores
    flagged = np.full(scores.size, np.nan) if threshold is None else (scores >= threshold).astype(np.float64)

    def statistic(weights: Floats) -> Figures:
        positive = np.add.reduceat((weights * diseased)[:, order], starts, axis=1)
        negative = np.add.reduceat((weights * ~diseased)[:, order], starts, axis=1)
        return {
            "image_auroc": _auroc(positive, negative),
            "image_ap": _average_precision(positive, negative, np.zeros(starts.size, bool)),
            "image_base_rate": _mean(weights, diseased.astype(np.float64)),
            "sensitivity": _mean(weights, np.where(diseased, flagged, np.nan)),
            "flagged_healthy": _mean(weights, np.where(diseased, np.nan, flagged)),
            "dice": _mean(weights, dice),
            "false_positive_pixels_on_healthy": _mean(weights, false_positives),
        }

    return statistic


def _intervals(statistic: Callable[[Floats], Figures], weights: npt.NDArray[np.int64]) -> dict[str, Interval]:
    """Each figure of a statistic with its percentile interval over the resamples in weights."""
    values = statistic(np.ones((1, weights.shape[1])))
    starts = range(0, len(weights), _RESAMPLES)
    draws = [statistic(weights[start : start + _RESAMPLES].astype(np.float64)) for start in starts]
    intervals = {}
    for name, value in values.items():
        drawn = np.concatenate([np.zeros(0), *(draw[name] for draw in draws)])
        drawn = drawn[~np.isnan(drawn)]
        low, high = np.percentile(drawn, (2.5, 97.5)).tolist() if drawn.size else (math.nan, math.nan)
        intervals[name] = Interval(value.item(), low, high)
    return intervals


def _share(part: Floats, whole: Floats) -> Floats:
    """The share, at most 1 whatever rounding did; NaN where the whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    share: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return np.minimum(share, 1)


def _mean(weights: Floats, values: Floats) -> Floats:
    """Weighted mean (resamples,) of the values (radiographs,) that are not NaN."""
    defined = ~np.isnan(values)
    return _share(weights[:, defined] @ values[defined], weights[:, defined].sum(axis=1))


def _auroc(positive: Floats, negative: Floats) -> Floats:
    """AUROC (rows,) of histograms (rows, levels), hottest level first: pairs in order, ties count half."""
    colder = negative.sum(axis=1, keepdims=True) - negative.cumsum(axis=1)
    pairs = (positive * (colder + negative / 2)).sum(axis=1)
    return _share(pairs, positive.sum(axis=1) * negative.sum(axis=1))


def _average_precision(positive: Floats, negative: Floats, mixed: npt.NDArray[np.bool_]) -> Floats:
    """AP (rows,) of histograms (rows, levels), hottest level first.

    Precision is that at the end of a level where all values are equal, as in scikit-learn, and that in the
    middle of a `mixed` one (levels,), where they are not: that takes the bias from quantising.
    """
    hits = positive.cumsum(axis=1) - np.maximum(positive - 1, 0) * mixed / 2  # from the first hit to the last
    called = hits + negative.cumsum(axis=1) - negative * mixed / 2
    precision = np.divide(hits, called, out=np.zeros(hits.shape), where=called > 0)
    total = positive.sum(axis=1) * (negative.sum(axis=1) > 0)  # one class only: undefined
    return _share((positive * precision).sum(axis=1), total)


def _aupro(overlap: Floats, negative: Floats) -> Floats:
    """AUPRO (rows,) of regions' shares and healthy pixels (rows, levels), hottest first, by trapezoids."""
    pro = _share(overlap.cumsum(axis=1), overlap.sum(axis=1, keepdims=True))
    fpr = _share(negative.cumsum(axis=1), negative.sum(axis=1, keepdims=True))
    pro, fpr = (np.pad(curve, ((0, 0), (1, 0))) for curve in (pro, fpr))
    left, right = np.minimum(fpr[:, :-1], FPR_LIMIT), np.minimum(fpr[:, 1:], FPR_LIMIT)
    width, rise = np.diff(fpr, axis=1), np.diff(pro, axis=1)
    reached = np.divide(right - left, width, out=np.zeros(width.shape), where=width > 0)  # of each segment
    area: Floats = ((right - left) * (pro[:, :-1] + rise * reached / 2)).sum(axis=1)
    return np.minimum(area / FPR_LIMIT, 1)
