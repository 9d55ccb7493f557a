"""Evaluation of anomaly scores and heatmaps over a set of radiographs of any sizes, with bootstrap intervals.

Heatmaps are evaluated at native resolution, but never stored. Only a histogram of each radiograph is kept. Its fixed
levels are 1/256 octave wide toward 0 and toward 1 (see `artasyn.evaluation.levels`). Every figure is a function of
the histograms and of a weight for each radiograph. Weights of 1 give the value of the figure; resampled weights give
its interval (see `artasyn.evaluation.bootstrap`).

Undefined figures (no lesion, no healthy pixel, one class only) are NaN, never silently 0 or 1:

- Dice is the mean over radiographs *with* lesion pixels; an empty prediction for such a radiograph scores 0.
  Radiographs without lesion pixels are not included. Healthy radiographs enter `false_positive_pixels_on_healthy`
  and `flagged_healthy` instead.
- A diseased radiograph with an empty mask counts as diseased, but all of its pixels count as healthy. A missing mask
  of a diseased radiograph is an error if other diseased radiographs have masks. If no diseased radiograph has a
  mask, all figures that need masks are NaN.
- Pointing is the mean over diseased radiographs *with* boxes; other radiographs are not included.
- The interval of a share of flagged radiographs that is exactly 0 or 1 is exact (Clopper and Pearson), because no
  resample differs.
- The interval of a figure excludes resamples in which the figure is undefined.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from artasyn.arrays import Heatmap, Mask
from artasyn.errors import DataError, ImageError
from artasyn.evaluation.bootstrap import UNDEFINED, clusters, intervals, resample_weights
from artasyn.evaluation.bootstrap import Interval as Interval
from artasyn.evaluation.boxes import Box, pointing
from artasyn.evaluation.films import Films, film_statistic
from artasyn.evaluation.froc import Marks, marks
from artasyn.evaluation.histograms import Histogram, Tables, histogram
from artasyn.evaluation.levels import MixedLevels, quantise
from artasyn.evaluation.overlap import dice

ERROR_LIMIT = 0.05
"""Pixel figures are NaN if quantising could change the AUROC by more than this, as for nearly constant heatmaps."""


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The figures of one evaluation, all in [0, 1]; compare average precisions with their base rates.

    Attributes:
        images: number of radiographs in the set.
        diseased: number of radiographs labelled diseased.
        image_auroc: area under the ROC curve of the scores.
        image_ap: average precision of the scores.
        image_base_rate: share of diseased radiographs, which is the average precision of chance.
        sensitivity: share of diseased radiographs with a score of at least the image threshold.
        flagged_healthy: share of healthy radiographs with a score of at least the image threshold.
        pixel_auroc: of all pixels of all radiographs, pooled.
        pixel_auroc_in_lungs: of all pixels inside the lungs, pooled; in part it measures how well a heatmap separates
            whole diseased and healthy radiographs.
        pixel_auroc_in_lungs_per_image: of the pixels inside the lungs of each radiograph, mean over the radiographs
            with both classes inside the lungs.
        pixel_ap: average precision of all pixels, pooled.
        pixel_ap_in_lungs: average precision of the pixels inside the lungs, pooled.
        pixel_base_rate: share of lesion pixels among all pixels.
        pixel_base_rate_in_lungs: share of lesion pixels among the pixels inside the lungs.
        aupro: area under the curve of the mean overlap with each lesion region (8-connected) against the
            false-positive rate of all healthy pixels, up to a rate of 0.3, divided by 0.3.
        dice: at the stored threshold, mean over the radiographs with lesion pixels.
        oracle_dice: the same at the one threshold that is best for this set; an upper limit, not a result.
        oracle_threshold: the threshold of `oracle_dice`.
        false_positive_pixels_on_healthy: share of pixels at or above the stored threshold, mean over healthy
            radiographs.
        pointing: how often the highest point of a heatmap lies inside one of the boxes, mean over the diseased
            radiographs with boxes; see `artasyn.evaluation.boxes.pointing`.
        pixel_auroc_error: largest possible difference of both pooled pixel AUROCs from unquantised heatmaps.
        pixel_ap_error: the same for both pooled pixel APs; this is a worst case, actual errors are far smaller.
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
    pointing: Interval = UNDEFINED
    pixel_auroc_error: float = math.nan
    pixel_ap_error: float = math.nan

    def to_json(self) -> dict[str, Any]:
        """Returns the figures by name, ready for `json.dumps`: intervals as value, low and high; NaN as None."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: plain(inner) for name, inner in value.items()}
            return None if math.isnan(value) else value

        figures: dict[str, Any] = plain(asdict(self))
        return figures


@dataclass(frozen=True, eq=False)
class _Record:
    """The data that is kept of one radiograph."""

    score: float
    diseased: bool
    histogram: Histogram | None = None
    dice: float = math.nan
    false_positives: float = math.nan
    pointing: float = math.nan
    marks: Marks | None = None


class Evaluation:
    """Collects scores, heatmaps and ground truth one radiograph at a time, and computes `Metrics`.

    Memory grows with the number of radiographs (about 100 kB each), not with the number of pixels.

    Args:
        threshold: a pixel is called lesion if the heatmap is at least this (as float32). None leaves Dice and the
            false positives NaN. The threshold is fixed before the first radiograph is added, because it must not be
            chosen from the evaluated radiographs.
        image_threshold: a radiograph is flagged if its score is at least this; None leaves `sensitivity` and
            `flagged_healthy` NaN.

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
        self._levels = MixedLevels()

    def add(
        self,
        name: str,
        score: float,
        *,
        diseased: bool,
        heatmap: Heatmap | None = None,
        lesions: Mask | None = None,
        lungs: Mask | None = None,
        boxes: Sequence[Box] = (),
    ) -> None:
        """Adds one radiograph; only a histogram of the arrays is kept.

        Args:
            name: of the radiograph; unique.
            score: evidence that the radiograph is diseased, finite, in any unit.
            diseased: the label of the radiograph.
            heatmap: (h, w) in [0, 1]; given for all radiographs or for none.
            lesions: the true lesions, (h, w); optional for healthy radiographs.
            lungs: (h, w), for the additional figures inside the lungs; given for all radiographs or for none.
            boxes: around lesions; only for diseased radiographs with a heatmap.

        Raises:
            ImageError: values outside [0, 1], or arrays of different shapes.
            DataError: a name was added before, a score is not finite, a healthy radiograph has lesions or boxes, or
                a radiograph has boxes without a heatmap; or a heatmap, lungs or (for diseased radiographs) a lesion
                mask is given for some radiographs but not for others.
        """
        if name in self._records:
            raise DataError(f"{name} was added before; give every radiograph a name of its own")
        if not math.isfinite(score):
            raise DataError(f"the score of {name} must be finite, not {score}")
        if lesions is not None and not diseased and lesions.any():
            raise DataError(f"{name} is labelled healthy but has lesions; correct the label or the mask")
        if boxes and (not diseased or heatmap is None):
            raise DataError(f"{name} has boxes but {'no heatmap' if diseased else 'is labelled healthy'}")
        _check_arrays(name, heatmap, lesions, lungs)
        kinds = {"a heatmap": heatmap is not None, "lungs": lungs is not None}
        if diseased:
            kinds["a lesion mask"] = lesions is not None
        for kind, given in kinds.items():
            if self._given.setdefault(kind, given) != given:
                came = f"{name} comes {'with' if given else 'without'} {kind}, unlike others before"
                raise DataError(f"{came}; give all or none" + " (of the diseased)" * (kind == "a lesion mask"))
        nothing = _Record(score, diseased)
        if heatmap is not None and boxes:
            nothing = replace(nothing, pointing=pointing(heatmap, boxes))
        if heatmap is not None and (lesions is not None or boxes or not diseased):
            nothing = replace(nothing, marks=marks(heatmap, lesions, boxes))
        self._records[name] = nothing if heatmap is None else self._reduce(nothing, heatmap, lesions, lungs)

    def result(
        self, *, bootstrap: int = 1000, seed: int = 0, patients: Mapping[str, str] = MappingProxyType({})
    ) -> Metrics:
        """Returns all figures of the radiographs added so far.

        Args:
            bootstrap: number of resamples, with replacement; 0 leaves the intervals NaN.
            seed: of the resamples, not negative.
            patients: the patient of each radiograph by its name. Where any is known, patients are resampled with all of
                their radiographs; otherwise the radiographs are.

        Raises:
            DataError: no radiograph was added.

        Source: percentile bootstrap: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter
            13; AUPRO: Bergmann et al., The MVTec Anomaly Detection Dataset (IJCV 2021), section 5; AUROC and
            average precision: as scikit-learn defines them.
        """
        records = list(self._records.values())
        if not records:
            raise DataError("nothing to evaluate; add radiographs first")
        films, owners = self.films(), clusters(list(self._records), patients)
        weights = resample_weights(len(records), bootstrap, seed, owners)
        figures = films.edged(intervals(film_statistic(films), weights), owners)
        errors = (math.nan, math.nan)
        if self._given["a heatmap"] and self._given.get("a lesion mask", True):
            histograms = [record.histogram for record in records if record.histogram is not None]
            tables = Tables(histograms, self._levels.mixed)
            errors = tables.errors()
            if not errors[0] > ERROR_LIMIT:
                figures |= intervals(tables.statistic, weights)
        return Metrics(
            images=len(records),
            diseased=sum(record.diseased for record in records),
            pixel_auroc_error=errors[0],
            pixel_ap_error=errors[1],
            **figures,
        )

    def films(self) -> Films:
        """Returns what is kept of every radiograph for figures of whole radiographs, in the order of addition."""
        records = list(self._records.values())
        scores = np.array([record.score for record in records])
        limit = self.image_threshold
        return Films(
            tuple(self._records),
            scores,
            np.array([record.diseased for record in records], bool),
            np.full(scores.size, np.nan) if limit is None else (scores >= limit).astype(np.float64),
            np.array([record.dice for record in records]),
            np.array([record.false_positives for record in records]),
            np.array([record.pointing for record in records]),
            tuple(record.marks for record in records),
        )

    def curves(self) -> dict[str, list[float]]:
        """Returns recall, precision, false-positive rate and overlap with lesion regions at many thresholds.

        Raises:
            DataError: no heatmaps with lesions were added.
        """
        histograms = [record.histogram for record in self._records.values() if record.histogram is not None]
        if not histograms or not self._given.get("a lesion mask", False):
            raise DataError("no heatmaps with lesion masks to draw curves of; add them first")
        return Tables(histograms, self._levels.mixed).curves()

    def _reduce(self, record: _Record, heatmap: Heatmap, lesions: Mask | None, lungs: Mask | None) -> _Record:
        """Adds to a record the histogram of the pixels, and Dice or false positives at the threshold."""
        levels = quantise(heatmap)
        self._levels.note(heatmap, levels)
        truth = np.zeros(heatmap.shape, bool) if lesions is None else lesions
        record = replace(record, histogram=histogram(levels, truth, lungs))
        if self.threshold is None:
            return record
        called = heatmap >= np.float32(self.threshold)
        if truth.any():
            return replace(record, dice=dice(called, truth))
        return record if record.diseased else replace(record, false_positives=float(called.mean()))


def anatomy_prior(lungs: Mask) -> Heatmap:
    """Returns the heatmap of a detector that has learnt nothing: 1 inside the lungs, for a separate `Evaluation`.

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
