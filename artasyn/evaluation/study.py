"""The figures behind a report that go beyond `Metrics`: at the stored threshold, lesion by lesion, group by group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from artasyn.evaluation.bootstrap import Interval, band, clusters, intervals, resample_weights
from artasyn.evaluation.curves import Floats
from artasyn.evaluation.films import Films
from artasyn.evaluation.froc import RATES, at_rates, froc, froc_statistic
from artasyn.evaluation.operating import Confusion, confusion, operating_figures, precision_recall, roc
from artasyn.evaluation.reliability import Reliability, reliability
from artasyn.evaluation.subgroups import Gap, Group, subgroups

GRID = np.linspace(0, 1, 101)
"""Where the bands of curves from 0 to 1 are known."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve with its 95 % band.

    Attributes:
        across: places, ascending.
        up: heights, one for each place.
        places: where the band is known.
        low: lower edge of the band.
        high: upper edge of the band.
    """

    across: Floats
    up: Floats
    places: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Study:
    """Figures and curves of one method on a test set.

    Attributes:
        patients: how many patients were resampled; None where films were.
        confusion: films by label and verdict; None without a threshold.
        operating: figures at the stored threshold, see `artasyn.evaluation.operating.operating_figures`.
        reliability: whether scores are probabilities.
        froc: shares of lesions found, see `artasyn.evaluation.froc.froc_statistic`; empty where no lesion is known.
        lesions: how many lesions are known.
        groups: by column, such as sex, the figures of each group.
        gaps: by column, the largest gap of each figure.
        curves: ``roc``, ``precision_recall`` and ``froc``, those that are defined.
    """

    patients: int | None
    confusion: Confusion | None
    operating: Mapping[str, Interval]
    reliability: Reliability
    froc: Mapping[str, Interval] = field(default_factory=dict)
    lesions: int = 0
    groups: Mapping[str, tuple[Group, ...]] = field(default_factory=dict)
    gaps: Mapping[str, tuple[Gap, ...]] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns all figures, ready for `json.dumps`; figures that are not defined become None."""
        return {
            "patients": self.patients,
            "confusion": self.confusion._asdict() if self.confusion else None,
            "operating": _plain({name: asdict(one) for name, one in self.operating.items()}),
            "reliability": _plain(asdict(self.reliability)),
            "froc": _plain({"lesions": self.lesions} | {name: asdict(one) for name, one in self.froc.items()}),
            "groups": _plain({column: [asdict(one) for one in groups] for column, groups in self.groups.items()}),
            "gaps": _plain({column: [asdict(one) for one in gaps] for column, gaps in self.gaps.items()}),
        }


@dataclass(frozen=True)
class Plan:
    """How films are studied.

    Attributes:
        bootstrap: number of resamples.
        seed: of the resamples.
        patients: the patient of each film by its name; films that are not listed are patients of their own.
        prevalences: shares of diseased patients, for predictive values.
        groups: by column, the group of each film by its name.
    """

    bootstrap: int = 1000
    seed: int = 0
    patients: Mapping[str, str] = field(default_factory=dict)
    prevalences: Sequence[float] = ()
    groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def study(films: Films, plan: Plan) -> Study:
    """Returns figures and curves of films, all with intervals from the same resamples as `Evaluation.result`.

    Args:
        films: of the evaluation.
        plan: how to study them.
    """
    patients = clusters(films.names, plan.patients)
    weights = resample_weights(len(films.names), plan.bootstrap, plan.seed, patients)
    curves = {}
    if films.both_classes:
        curves["roc"] = _curve(*roc(films, _once(films)), *band(lambda w: roc(films, w), weights, GRID))
        curves["precision_recall"] = _curve(
            *precision_recall(films, _once(films)), *band(lambda w: precision_recall(films, w), weights, GRID)
        )
    known = [place for place, one in enumerate(films.marks) if one is not None]
    marks = [one for one in films.marks if one is not None]
    lesions = sum(one.found.size for one in marks)
    found: dict[str, Interval] = {}
    if lesions:
        found = intervals(froc_statistic(marks), weights[:, known])
        rates = np.geomspace(RATES[0], RATES[-1], 49)
        edges = band(lambda w: (rates, at_rates(*froc(marks, w), rates)), weights[:, known], rates)
        curves["froc"] = Curve(*froc(marks, np.ones(len(marks))), rates, *edges)
    by_column = {
        column: subgroups(films, [groups.get(name, "") for name in films.names], weights, patients)
        for column, groups in plan.groups.items()
    }
    return Study(
        len(set(patients)) if patients else None,
        confusion(films),
        operating_figures(films, weights, plan.prevalences, patients),
        reliability(films, weights, patients),
        found,
        lesions,
        {column: groups for column, (groups, _) in by_column.items()},
        {column: gaps for column, (_, gaps) in by_column.items()},
        curves,
    )


def _once(films: Films) -> Floats:
    """Returns weights in which every film counts once."""
    return np.ones(len(films.names))


def _curve(across: Floats, up: Floats, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> Curve:
    """Returns a curve from 0 to 1 with its band."""
    return Curve(across, up, GRID, low, high)


def _plain(value: Any) -> Any:
    """Returns a value with None for every NaN."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
