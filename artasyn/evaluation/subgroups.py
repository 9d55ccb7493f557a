"""The figures of groups of films, such as women or one hospital, and the gaps between groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from artasyn.evaluation.bootstrap import Figures, Interval, intervals
from artasyn.evaluation.curves import Floats
from artasyn.evaluation.films import Films, film_statistic

LEAST = 10
"""The fewest patients of a class with which a group is judged, or films where patients are not known.

With fewer, an interval says nothing; films of one patient are alike.
"""

FIGURES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "image_auroc": ("healthy", "diseased"),
        "sensitivity": ("diseased",),
        "flagged_healthy": ("healthy",),
        "dice": ("drawn",),
        "pointing": ("boxed",),
    }
)
"""The figures of a group, with the patients or films of which each needs at least `LEAST`."""

SHARES = ("sensitivity", "flagged_healthy")
"""Shares of films; where one is 0 or 1, resamples tell too little about a difference."""

WORDS = {
    "healthy": "healthy {}",
    "diseased": "diseased {}",
    "drawn": "{} with lesions drawn",
    "boxed": "{} with boxes",
}


@dataclass(frozen=True)
class Group:
    """One group of films.

    Attributes:
        name: of the group.
        films: how many.
        diseased: how many of them are diseased.
        figures: those of `FIGURES` that are judged, with their intervals.
        reasons: why each of the others is not judged.
    """

    name: str
    films: int
    diseased: int
    figures: Mapping[str, Interval]
    reasons: Mapping[str, str]


@dataclass(frozen=True)
class Gap:
    """The largest difference of a figure between two groups.

    Attributes:
        figure: a key of `FIGURES`.
        highest: the group with the highest value.
        lowest: the group with the lowest value.
        difference: highest minus lowest; the interval is that of these two groups, on the same resamples. If one of
            two shares of films is exactly 0 or 1, the interval follows from those of both groups.
        groups: among how many groups the two were chosen.
    """

    figure: str
    highest: str
    lowest: str
    difference: Interval
    groups: int


def subgroups(
    films: Films,
    groups: Sequence[str],
    weights: npt.NDArray[np.int64],
    patients: Sequence[str] | None = None,
) -> tuple[tuple[Group, ...], tuple[Gap, ...]]:
    """Returns the figures of every group and the largest gap of every figure.

    Args:
        films: of the evaluation.
        groups: the group of every film; empty for films whose group is not known.
        weights: (resamples, films) from `artasyn.evaluation.bootstrap.resample_weights`: every group is resampled
            together with the whole set, so that differences of groups that share patients are right.
        patients: the patient of each film; None where patients are not known.

    Returns:
        The groups, sorted by name, and a gap for every figure that at least two groups have.
    """
    member = {name: np.array([each == name for each in groups]) for name in sorted(set(groups) - {""})}
    statistic = film_statistic(films)
    found = tuple(_group(films, name, inside, weights, patients) for name, inside in member.items())
    gaps = []
    for figure in FIGURES:
        judged = sorted((each for each in found if figure in each.figures), key=lambda one: one.figures[figure].value)
        if len(judged) > 1:
            low, high = judged[0].name, judged[-1].name
            between = intervals(_difference(statistic, figure, member[high], member[low]), weights)[figure]
            ends = judged[-1].figures[figure], judged[0].figures[figure]
            if figure in SHARES and {end.value for end in ends} & {0.0, 1.0}:
                between = _newcombe(*ends)
            gaps.append(Gap(figure, high, low, between, len(judged)))
    return found, tuple(gaps)


def _group(
    films: Films,
    name: str,
    inside: npt.NDArray[np.bool_],
    weights: npt.NDArray[np.int64],
    patients: Sequence[str] | None,
) -> Group:
    """Returns the figures of one group."""
    reasons = _reasons(films, inside, patients)
    statistic = film_statistic(films)
    every = films.edged(intervals(lambda weighted: statistic(weighted * inside), weights), patients, inside)
    figures = {figure: every[figure] for figure in FIGURES if figure not in reasons}
    return Group(name, int(inside.sum()), int((inside & films.diseased).sum()), figures, reasons)


def _difference(
    statistic: Callable[[Floats], Figures], figure: str, one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]
) -> Callable[[Floats], Figures]:
    """Returns the statistic of the difference of a figure between two groups."""
    return lambda weights: {figure: statistic(weights * one)[figure] - statistic(weights * other)[figure]}


def _newcombe(one: Interval, other: Interval) -> Interval:
    """Returns the difference of two shares with the interval that follows from the intervals of both.

    Source: Newcombe, Interval estimation for the difference between independent proportions (Stat Med 1998;17:873),
        method 10.
    """
    value = one.value - other.value
    down = math.hypot(one.value - one.low, other.high - other.value)
    up = math.hypot(one.high - one.value, other.value - other.low)
    return Interval(value, value - down, value + up)


def _reasons(films: Films, inside: npt.NDArray[np.bool_], patients: Sequence[str] | None) -> dict[str, str]:
    """Returns for each figure that a group is too small for, or that no film has, the reason."""
    owners, noun = np.array(patients or films.names), "patients" if patients else "films"
    members = {
        "healthy": ~films.diseased,
        "diseased": films.diseased,
        "drawn": ~np.isnan(films.dice),
        "boxed": ~np.isnan(films.pointing),
    }
    counts = {need: np.unique(owners[inside & member]).size for need, member in members.items()}
    reasons = {}
    for figure, needs in FIGURES.items():
        few = [f"{counts[need]} {WORDS[need].format(noun)}" for need in needs if counts[need] < LEAST]
        if few:
            reasons[figure] = " and ".join(few)
        elif figure in ("sensitivity", "flagged_healthy") and np.isnan(films.flagged).any():
            reasons[figure] = "no threshold of films"
    return reasons
