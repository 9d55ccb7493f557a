"""Percentile bootstrap intervals of figures and curves that are functions of the radiographs' weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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


def resample_weights(
    images: int, resamples: int, seed: int, patients: Sequence[str] | None = None
) -> npt.NDArray[np.int64]:
    """Returns how often each resample holds each radiograph: (resamples, images).

    Radiographs of one patient are alike. Where patients are known, each resample draws as many patients as there are,
    with all of their radiographs; radiographs that are drawn one by one would make intervals too narrow.

    Args:
        images: number of radiographs in the set.
        resamples: number of sets, drawn with replacement.
        seed: not negative.
        patients: the patient of each radiograph; None draws radiographs, and every row adds up to `images`.

    Source: Field and Welsh, Bootstrapping clustered data (J. R. Stat. Soc. B 2007;69:369).
    """
    if patients is None:
        return generator(seed).multinomial(images, np.full(images, 1 / images), size=resamples)
    names = list(dict.fromkeys(patients))
    drawn = generator(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    place = {name: number for number, name in enumerate(names)}
    return np.asarray(drawn[:, [place[patient] for patient in patients]])


def clusters(names: Sequence[str], patients: Mapping[str, str]) -> list[str] | None:
    """Returns the patient of each radiograph for `resample_weights`; None if no patient is known.

    If several radiographs all have one patient, the result is None too: no resample would differ from another.

    Args:
        names: of the radiographs.
        patients: the patient of each radiograph by its name. A radiograph that is not listed is a patient of its own.

    Example:
        >>> clusters(["a", "b", "c"], {"a": "Smith", "b": "Smith"})
        ['patient Smith', 'patient Smith', 'film c']
    """
    if not any(patients.get(name) for name in names):
        return None
    found = [f"patient {patients[name]}" if patients.get(name) else f"film {name}" for name in names]
    return None if len(set(found)) == 1 < len(found) else found


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


def exact_at_edges(figure: Interval, count: int) -> Interval:
    """Returns a share whose interval is exact where no resample differs from 0 or 1.

    If none or all of some patients are counted, every resample gives the same share, and the percentiles would claim
    that it is known for certain.

    Args:
        figure: a share with its interval.
        count: of patients, or of radiographs where patients are not known.

    Source: Clopper and Pearson, The use of confidence or fiducial limits (Biometrika 1934;26:404).

    Example:
        >>> found = exact_at_edges(Interval(1.0, 1.0, 1.0), 12)
        >>> round(found.low, 3), found.high
        (0.735, 1.0)
    """
    if count < 1 or not (figure.low == figure.high == figure.value and figure.value in (0, 1)):
        return figure
    reach = 0.025 ** (1 / count)
    return Interval(figure.value, reach, 1.0) if figure.value else Interval(figure.value, 0.0, 1 - reach)


def band(
    curve: Callable[[Floats], tuple[Floats, Floats]], weights: npt.NDArray[np.int64], places: Floats
) -> tuple[Floats, Floats]:
    """Returns the 2.5th and the 97.5th percentile of a curve over the resamples, at some places.

    Args:
        curve: returns the curve's places, ascending, and heights for weights (radiographs,). Between two places the
            curve has the height of the one before.
        weights: (resamples, radiographs) from `resample_weights`; without rows the band is NaN.
        places: (n,), where the band is wanted.
    """
    heights = np.full((max(1, len(weights)), places.size), np.nan)
    for row, weight in zip(heights, weights, strict=False):
        along, up = curve(weight.astype(np.float64))
        at = np.searchsorted(along, places, side="right") - 1
        row[:] = np.where(at >= 0, up[np.maximum(at, 0)], np.nan)
    low, high = np.full((2, places.size), np.nan)
    known = ~np.isnan(heights).all(axis=0)
    if known.any():
        low[known], high[known] = np.nanpercentile(heights[:, known], (2.5, 97.5), axis=0)
    return low, high
