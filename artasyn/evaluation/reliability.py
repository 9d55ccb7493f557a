"""Whether scores are probabilities: the share of diseased films among films of similar scores."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from artasyn.evaluation.bootstrap import UNDEFINED, Figures, Interval, intervals
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
        diseased: the share of diseased films among them, with its interval.
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
            bins, weighted by their films.
    """

    bins: tuple[Bin, ...] = ()
    error: Interval = UNDEFINED


def reliability(films: Films, weights: npt.NDArray[np.int64]) -> Reliability:
    """Compares the scores of films with the share of diseased films, in bins of equally many films.

    Args:
        films: of the evaluation, with scores in [0, 1].
        weights: (resamples, films) from `artasyn.evaluation.bootstrap.resample_weights`.

    Returns:
        Up to `BINS` bins; no bins where two bins of `LEAST` films cannot be filled.

    Source: Niculescu-Mizil and Caruana, Predicting good probabilities with supervised learning (ICML 2005); Naeini,
        Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning (AAAI 2015).
    """
    count = min(BINS, films.scores.size // LEAST)
    if count < 2:
        return Reliability()
    edges = np.quantile(films.scores, np.linspace(0, 1, count + 1)[1:-1])
    place = np.searchsorted(edges, films.scores)
    members = [place == number for number in np.unique(place)]
    labels = films.diseased.astype(np.float64)

    def statistic(weighted: Floats) -> Figures:
        shares = [mean(weighted, np.where(member, labels, np.nan)) for member in members]
        scores = [mean(weighted, np.where(member, films.scores, np.nan)) for member in members]
        sizes = [weighted[:, member].sum(axis=1) for member in members]
        away = [size * np.abs(part - score) for size, part, score in zip(sizes, shares, scores, strict=True)]
        error = np.nansum(away, axis=0) / np.sum(sizes, axis=0)
        return {str(number): part for number, part in enumerate(shares)} | {"error": error}

    found = intervals(statistic, weights)
    bins = tuple(
        Bin(int(member.sum()), math.fsum(films.scores[member]) / int(member.sum()), found[str(number)])
        for number, member in enumerate(members)
    )
    return Reliability(bins, found["error"])
