"""Thresholds that are fixed before the test, from synthetic anomalies on held-out normal radiographs."""

from __future__ import annotations

import numpy as np

from artasyn.arrays import Heatmap, Mask
from artasyn.shapes import Int64

LEVELS = 4096
"""Candidate thresholds, evenly spaced over the heatmap's range from 0 to 1."""


class Calibration:
    """Counts heatmap values inside and outside of known anomalies, and the scores of healthy images.

    Only counts are kept. Any number of images therefore fits, and the counts of several devices can be added.

    Args:
        counts: int64 (4, LEVELS) to start from: pixels inside anomalies, pixels outside, healthy images, pixels of the
            lungs of healthy images.

    Example:
        >>> calibration = Calibration()
        >>> heatmap = np.array([[0.1, 0.1], [0.2, 0.4]], np.float32)
        >>> calibration.add(heatmap, heatmap > 0.15, score=0.4)
        >>> threshold, dice = calibration.best_dice()
        >>> 0.1 < threshold <= 0.2, dice
        (True, 1.0)
    """

    def __init__(self, counts: Int64[np.ndarray, "4 levels"] | None = None) -> None:
        self.counts = np.zeros((4, LEVELS), np.int64) if counts is None else counts.copy()

    def add(self, heatmap: Heatmap, mask: Mask, score: float, lungs: Mask | None = None) -> None:
        """Counts one image.

        Args:
            heatmap: float32 (h, w) in [0, 1].
            mask: bool (h, w), the anomaly; empty in a healthy image.
            score: the image's score in [0, 1]; it counts if the image is healthy.
            lungs: bool (h, w), the pixels that count as lung if the image is healthy; None for all.
        """
        inside, outside, healthy, tissue = self.counts
        level = _level(heatmap)
        inside += np.bincount(level[mask], minlength=LEVELS)
        outside += np.bincount(level[~mask], minlength=LEVELS)
        if not mask.any():
            healthy[_level(np.array(score))] += 1
            tissue += np.bincount(level.ravel() if lungs is None else level[lungs], minlength=LEVELS)

    def best_dice(self) -> tuple[float, float]:
        """Returns the threshold with the best Dice coefficient over all pixels together, and the coefficient.

        Without any anomaly the coefficient is NaN and the threshold 1.
        """
        inside, outside, _, _ = self.counts
        if not inside.any():
            return 1.0, float("nan")
        found = inside[::-1].cumsum()[::-1]
        flagged = found + outside[::-1].cumsum()[::-1]
        dice = 2 * found / (flagged + inside.sum())
        best = int(dice.argmax())
        return best / LEVELS, float(dice[best])

    def pixel_threshold(self, false_positive_rate: float) -> float:
        """Returns the lowest threshold that at most this share of the pixels of healthy lungs reaches.

        Real disease is fainter and wider than synthetic anomalies. The threshold with the best Dice coefficient on
        synthetic anomalies is several times too high for real disease. Healthy lungs are known from real radiographs.
        """
        return _reached(self.counts[3], false_positive_rate)

    def image_threshold(self, false_positive_rate: float) -> float:
        """Returns the lowest threshold that at most this share of the healthy images reaches.

        Both thresholds are 1 where no candidate is high enough, and without any healthy image.
        """
        return _reached(self.counts[2], false_positive_rate)


def _reached(counts: Int64[np.ndarray, " levels"], share: float) -> float:
    """Returns the lowest threshold that at most a share of the counted values reaches."""
    if not counts.any():
        return 1.0
    flagged = counts[::-1].cumsum()[::-1] / counts.sum()
    allowed = np.flatnonzero(flagged <= share)
    return float(allowed[0] / LEVELS) if allowed.size else 1.0


def _level(values: np.ndarray) -> np.ndarray:
    """Returns the number of the highest candidate threshold that each value reaches."""
    return np.asarray(np.clip((values * LEVELS).astype(np.int64), 0, LEVELS - 1))
