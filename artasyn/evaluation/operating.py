"""Figures at the stored threshold of films, and the curves over all thresholds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from artasyn.errors import DataError
from artasyn.evaluation.bootstrap import Figures, Interval, intervals
from artasyn.evaluation.curves import Floats, mean, share
from artasyn.evaluation.films import Films


class Confusion(NamedTuple):
    """The films by label and verdict at the stored threshold.

    Attributes:
        found: diseased and flagged.
        missed: diseased and not flagged.
        false_alarms: healthy and flagged.
        cleared: healthy and not flagged.
    """

    found: int
    missed: int
    false_alarms: int
    cleared: int


def confusion(films: Films) -> Confusion | None:
    """Counts the films by label and verdict; None without a threshold.

    Args:
        films: of the evaluation.
    """
    if np.isnan(films.flagged).any():
        return None
    flagged, diseased = films.flagged > 0, films.diseased
    pairs = ((diseased, flagged), (diseased, ~flagged), (~diseased, flagged), (~diseased, ~flagged))
    return Confusion(*(int(np.count_nonzero(label & verdict)) for label, verdict in pairs))


def check_prevalences(prevalences: Sequence[float]) -> None:
    """Refuses prevalences outside of (0, 1).

    Args:
        prevalences: shares of diseased patients.

    Raises:
        DataError: a prevalence is not above 0 and below 1.
    """
    wrong = [value for value in prevalences if not 0 < value < 1]
    if wrong:
        raise DataError(f"a prevalence lies between 0 and 1, such as 0.05 for 5 %, not {wrong[0]:g}")


def operating_figures(
    films: Films,
    weights: npt.NDArray[np.int64],
    prevalences: Sequence[float],
    patients: Sequence[str] | None = None,
) -> dict[str, Interval]:
    """Returns sensitivity and specificity, and the predictive values at given prevalences, with intervals.

    The predictive values follow from sensitivity and specificity by Bayes' theorem, so that they hold for a clinic
    with that prevalence and not for the test set.

    Args:
        films: of the evaluation.
        weights: (resamples, films) from `artasyn.evaluation.bootstrap.resample_weights`.
        prevalences: shares of diseased patients, each in (0, 1).
        patients: the patient of each film; None where patients are not known.

    Returns:
        ``sensitivity``, ``specificity``, and ``ppv_at_P`` and ``npv_at_P`` for every prevalence P. If
        sensitivity or specificity is exactly 0 or 1, the intervals of the predictive values reach from the values at
        the lower ends of both to those at the upper ends. A predictive value that is not defined has no interval.

    Source: Altman and Bland, Diagnostic tests 2: predictive values (BMJ 1994;309:102).
    """

    def statistic(weighted: Floats) -> Figures:
        sensitivity = mean(weighted, np.where(films.diseased, films.flagged, np.nan))
        specificity = mean(weighted, np.where(films.diseased, np.nan, 1 - films.flagged))
        return {"sensitivity": sensitivity, "specificity": specificity} | _predictive(
            sensitivity, specificity, prevalences
        )

    found = intervals(statistic, weights)
    edged = films.edged(found, patients)
    if edged != found and not any(math.isnan(edged[name].low) for name in ("sensitivity", "specificity")):
        ends = {name: np.array([edged[name].low, edged[name].high]) for name in ("sensitivity", "specificity")}
        for name, (low, high) in _predictive(**ends, prevalences=prevalences).items():
            one = edged[name]
            if not math.isnan(one.value):
                edged[name] = replace(one, low=float(np.fmin(one.low, low)), high=float(np.fmax(one.high, high)))
    return edged


def _predictive(sensitivity: Floats, specificity: Floats, prevalences: Sequence[float]) -> Figures:
    """Returns the predictive values at every prevalence."""
    figures = {}
    for prevalence in prevalences:
        sick, well = prevalence * sensitivity, (1 - prevalence) * specificity
        figures[f"ppv_at_{prevalence:g}"] = share(sick, sick + (1 - prevalence) - well)
        figures[f"npv_at_{prevalence:g}"] = share(well, well + prevalence - sick)
    return figures


def roc(films: Films, weights: Floats) -> tuple[Floats, Floats]:
    """Returns the ROC curve: shares of healthy and of diseased films flagged, from (0, 0) on, highest threshold first.

    Args:
        films: of the evaluation, of both classes.
        weights: (films,), how often each film counts.
    """
    hits, alarms = _cumulated(films, weights)
    return np.concatenate([np.zeros(1), share(alarms, alarms[-1:])]), np.concatenate(
        [np.zeros(1), share(hits, hits[-1:])]
    )


def precision_recall(films: Films, weights: Floats) -> tuple[Floats, Floats]:
    """Returns recall, ascending, and precision, highest threshold first.

    Args:
        films: of the evaluation.
        weights: (films,), how often each film counts.
    """
    hits, alarms = _cumulated(films, weights)
    return share(hits, hits[-1:]), share(hits, hits + alarms)


def _cumulated(films: Films, weights: Floats) -> tuple[Floats, Floats]:
    """Returns the weighted numbers of diseased and of healthy films at or above every different score."""
    order = np.argsort(-films.scores, kind="stable")
    ends = np.flatnonzero(np.diff(films.scores[order], append=-np.inf))
    counted, diseased = weights[order], films.diseased[order]
    return np.cumsum(counted * diseased)[ends], np.cumsum(counted * ~diseased)[ends]
