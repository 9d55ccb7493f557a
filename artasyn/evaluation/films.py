"""What is kept of every film for figures of whole films, and those figures as functions of the films' weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from artasyn.evaluation.bootstrap import Figures, Interval, exact_at_edges
from artasyn.evaluation.curves import Floats, auroc, average_precision, mean
from artasyn.evaluation.froc import Marks


@dataclass(frozen=True, eq=False)
class Films:
    """The films of one evaluation, in the order in which they were added; every array has one value for each film.

    Attributes:
        names: of the films.
        scores: evidence that a film is diseased.
        diseased: the labels, bool.
        flagged: 1 where the score reaches the threshold, otherwise 0; NaN without a threshold.
        dice: with the true lesions, at the threshold of pixels; NaN for films without lesions.
        false_positives: share of marked pixels on healthy films; NaN for diseased ones.
        pointing: whether the highest point lies in a box, see `artasyn.evaluation.boxes.pointing`; NaN without boxes.
        marks: the peaks of the heatmap by lesion; None for films without a heatmap, or where lesions are not known.
    """

    names: tuple[str, ...]
    scores: Floats
    diseased: npt.NDArray[np.bool_]
    flagged: Floats
    dice: Floats
    false_positives: Floats
    pointing: Floats
    marks: tuple[Marks | None, ...]

    def edged(
        self,
        figures: Mapping[str, Interval],
        patients: Sequence[str] | None,
        inside: npt.NDArray[np.bool_] | None = None,
    ) -> dict[str, Interval]:
        """Returns figures of which the shares of flagged films have exact intervals at 0 and 1.

        Args:
            figures: by name; those called sensitivity, specificity and flagged_healthy are changed.
            patients: the patient of each film; None where patients are not known.
            inside: the films that count; None for all.
        """
        owners = np.array(self.names if patients is None else patients)
        found = dict(figures)
        for name in ("sensitivity", "specificity", "flagged_healthy"):
            if name in found:
                label = self.diseased if name == "sensitivity" else ~self.diseased
                counted = label if inside is None else label & inside
                found[name] = exact_at_edges(found[name], np.unique(owners[counted]).size)
        return found

    @property
    def both_classes(self) -> bool:
        """Whether there are healthy and diseased films."""
        return bool(self.diseased.any() and not self.diseased.all())


def film_statistic(films: Films) -> Callable[[Floats], Figures]:
    """Returns the statistic of whole films: scores, labels, Dice, false positives and pointing.

    Args:
        films: of the evaluation.

    Returns:
        A function from weights (resamples, films) to figures (resamples,), for `intervals`.
    """
    diseased, flagged = films.diseased, films.flagged
    order = np.argsort(-films.scores, kind="stable")
    starts = np.flatnonzero(np.diff(films.scores[order], prepend=np.inf))  # start of each group of equal scores

    def statistic(weights: Floats) -> Figures:
        positive = np.add.reduceat((weights * diseased)[:, order], starts, axis=1)
        negative = np.add.reduceat((weights * ~diseased)[:, order], starts, axis=1)
        return {
            "image_auroc": auroc(positive, negative),
            "image_ap": average_precision(positive, negative, np.zeros(starts.size, bool)),
            "image_base_rate": mean(weights, diseased.astype(np.float64)),
            "sensitivity": mean(weights, np.where(diseased, flagged, np.nan)),
            "flagged_healthy": mean(weights, np.where(diseased, np.nan, flagged)),
            "dice": mean(weights, films.dice),
            "false_positive_pixels_on_healthy": mean(weights, films.false_positives),
            "pointing": mean(weights, films.pointing),
        }

    return statistic
