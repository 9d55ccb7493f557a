"""Percentile bootstrap intervals of figures that are functions of the radiographs' weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from artasyn.arrays import generator
from artasyn.evaluation.curves import Floats

Figures = dict[str, Floats]
"""Figures by name, with one value for every weighting."""

_RESAMPLES = 256  # in memory at once


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval over radiographs; NaN if undefined.

    Attributes:
        value: the figure on the original set.
        low: 2.5th percentile over the resamples.
        high: 97.5th percentile over the resamples.
    """

    value: float
    low: float = math.nan
    high: float = math.nan


UNDEFINED = Interval(math.nan)


def resample_weights(images: int, resamples: int, seed: int) -> npt.NDArray[np.int64]:
    """Returns how often each resample holds each radiograph: (resamples, images); every row adds up to `images`.

    Args:
        images: number of radiographs in the set.
        resamples: number of sets of the same size, drawn with replacement.
        seed: not negative.
    """
    return generator(seed).multinomial(images, np.full(images, 1 / images), size=resamples)


def intervals(statistic: Callable[[Floats], Figures], weights: npt.NDArray[np.int64]) -> dict[str, Interval]:
    """Returns each figure of a statistic with its percentile interval over the resamples in which it is defined.

    Args:
        statistic: returns the figures (resamples,) for weights (resamples, radiographs).
        weights: (resamples, radiographs) from `resample_weights`; without rows the intervals are NaN.
    """
    values = statistic(np.ones((1, weights.shape[1])))
    starts = range(0, len(weights), _RESAMPLES)
    draws = [statistic(weights[start : start + _RESAMPLES].astype(np.float64)) for start in starts]
    found = {}
    for name, value in values.items():
        drawn = np.concatenate([np.zeros(0), *(draw[name] for draw in draws)])
        drawn = drawn[~np.isnan(drawn)]
        low, high = np.percentile(drawn, (2.5, 97.5)).tolist() if drawn.size else (math.nan, math.nan)
        found[name] = Interval(value.item(), low, high)
    return found
