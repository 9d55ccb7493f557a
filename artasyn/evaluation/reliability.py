"""Whether scores are probabilities: the share of diseased films among films of similar scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from artasyn.evaluation.bootstrap import UNDEFINED, Figures, Interval, exact_at_edges, intervals
from artasyn.evaluation.curves import Floats, mean
from artasyn.evaluation.films import Films

BINS, LEAST = 10, 10
"""The most bins, and the fewest films in a bin."""


@dataclass(frozen=True)
class Bin:
    """Films of similar scores.

    Attributes:
        films: how many.
        score: the mean of their scores.
        diseased: the share of diseased films among them, with its interval, which is exact at 0 and 1.
    """

    films: int
    score: float
    diseased: Interval


@dataclass(frozen=True)
class Reliability:
    """The reliability curve of scores.

    Attributes:
        bins: by rising scores; empty where there are too few films.
        error: the expected calibration error, the mean distance between score and share of diseased films over the
            bins, weighted by their films. It has no interval: chance can only add to a distance, so that resamples have
            larger errors than the set itself, and their percentiles may leave out the value.
    """

    bins: tuple[Bin, ...] = ()
    error: Interval = UNDEFINED


def reliability(films: Films, weights: npt.NDArray[np.int64], patients: Sequence[str] | None = None) -> Reliability:
    """Compares the scores of films with the share of diseased films, in bins of equally many films.

    Films of equal scores share a bin. A bin that is left with fewer than `LEAST` films joins the next one.

    Args:
        films: of the evaluation, with scores in [0, 1].
        weights: (resamples, films) from `artasyn.evaluation.bootstrap.resample_weights`.
        patients: the patient of each film; None where patients are not known.

    Returns:
        Up to `BINS` bins; no bins where two bins of `LEAST` films cannot be filled.

    Source: Niculescu-Mizil and Caruana, Predicting good probabilities with supervised learning (ICML 2005); Naeini,
        Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning (AAAI 2015).
    """
    count = min(BINS, films.scores.size // LEAST)
    if count < 2:
        return Reliability()
    edges = np.quantile(films.scores, np.linspace(0, 1, count + 1)[1:-1])
    members = _large_enough(np.searchsorted(edges, films.scores))
    labels = films.diseased.astype(np.float64)
    owners = np.array(patients or films.names)

    def shares(weighted: Floats) -> Figures:
        return {str(n): mean(weighted, np.where(member, labels, np.nan)) for n, member in enumerate(members)}

    found = intervals(shares, weights)
    bins = tuple(
        Bin(
            int(member.sum()),
            math.fsum(films.scores[member]) / int(member.sum()),
            exact_at_edges(found[str(n)], np.unique(owners[member]).size),
        )
        for n, member in enumerate(members)
    )
    away = math.fsum(one.films * abs(one.diseased.value - one.score) for one in bins)
    return Reliability(bins, Interval(away / films.scores.size))


def _large_enough(place: npt.NDArray[np.int64]) -> list[npt.NDArray[np.bool_]]:
    """Returns the films of each bin by the bins' numbers; a bin with fewer than `LEAST` films joins the next one."""
    members: list[npt.NDArray[np.bool_]] = []
    held = np.zeros(place.size, np.bool_)
    for number in np.unique(place):
        held = held | (place == number)
        if np.count_nonzero(held) >= LEAST:
            members.append(held)
            held = np.zeros(place.size, np.bool_)
    members[-1] = members[-1] | held
    return members
