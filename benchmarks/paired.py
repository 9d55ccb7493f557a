"""Differences of two methods on the same films, with bootstrap intervals over films or patients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from artasyn.evaluation.bootstrap import Interval, intervals, resample_weights
from artasyn.evaluation.curves import Floats, mean

RESAMPLES = 2000

Figure = dict[str, float | None]


def as_figure(found: Interval) -> Figure:
    """An interval for JSON; None where undefined."""
    values = {"value": found.value, "low": found.low, "high": found.high}
    return {name: round(value, 4) if math.isfinite(value) else None for name, value in values.items()}


def mean_difference(ours: Sequence[float], theirs: Sequence[float], seed: int = 0) -> Figure:
    """The mean of the differences film by film, over films on which both are defined."""
    apart = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    apart = apart[np.isfinite(apart)]
    if not apart.size:
        return as_figure(Interval(math.nan))
    weights = resample_weights(len(apart), RESAMPLES, seed)
    return as_figure(intervals(lambda rows: {"difference": mean(rows, apart)}, weights)["difference"])


def aurocs(
    scores: dict[str, npt.NDArray[np.float64]],
    diseased: npt.NDArray[np.bool_],
    patients: Sequence[str],
    against: str,
    seed: int = 0,
) -> dict[str, dict[str, Figure]]:
    """The AUROC of every method, and its difference from one of them, resampled by patient.

    Args:
        scores: (films,) of every method, higher for diseased.
        diseased: (films,).
        patients: the patient of every film; all films of a patient are drawn together.
        against: the method that the others are compared with.
        seed: of the bootstrap.

    Returns:
        For every method ``auroc`` and ``difference``.
    """
    groups = np.unique(np.asarray(patients), return_inverse=True)[1]

    def statistic(rows: Floats) -> dict[str, Floats]:
        weights = rows[:, groups]
        found = {name: weighted_auroc(values, diseased, weights) for name, values in scores.items()}
        return found | {f"{name} - {against}": found[name] - found[against] for name in scores}

    found = intervals(statistic, resample_weights(int(groups.max()) + 1, RESAMPLES, seed))
    return {
        name: {"auroc": as_figure(found[name]), "difference": as_figure(found[f"{name} - {against}"])}
        for name in scores
    }


def weighted_auroc(scores: npt.NDArray[np.float64], diseased: npt.NDArray[np.bool_], weights: Floats) -> Floats:
    """The AUROC (rows,) of scores (films,) under weights (rows, films); pairs with equal scores count half."""
    levels = np.unique(scores, return_inverse=True)[1]
    count = int(levels.max()) + 1
    totals = []
    for part in (diseased, ~diseased):
        summed = np.zeros((len(weights), count))
        np.add.at(summed.T, levels[part], weights[:, part].T)
        totals.append(summed)
    sick, well = totals
    below = np.cumsum(well, axis=1) - well / 2
    pairs = sick.sum(axis=1) * well.sum(axis=1)
    return np.asarray(np.divide((sick * below).sum(axis=1), pairs, out=np.full(len(weights), np.nan), where=pairs > 0))
