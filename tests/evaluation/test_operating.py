"""Figures at the threshold and curves against scikit-learn and torchmetrics."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_curve, roc_curve
from torchmetrics.classification import BinaryConfusionMatrix

from artasyn.errors import DataError
from artasyn.evaluation.bootstrap import Interval, exact_at_edges, resample_weights
from artasyn.evaluation.operating import check_prevalences, confusion, operating_figures, precision_recall, roc
from tests.evaluation.collected import collected

FILMS = collected(80)
WEIGHTS = np.random.default_rng(5).integers(1, 4, 80).astype(float)


def test_the_confusion_matrix_is_that_of_torchmetrics() -> None:
    found = confusion(FILMS)
    assert found is not None
    matrix = BinaryConfusionMatrix(threshold=0.6 - 1e-6)(torch.tensor(FILMS.scores), torch.tensor(FILMS.diseased))
    assert [[found.cleared, found.false_alarms], [found.missed, found.found]] == matrix.tolist()
    assert confusion(collected(9, threshold=None)) is None


def test_curves_are_those_of_scikit_learn() -> None:
    across, up, _ = roc_curve(FILMS.diseased, FILMS.scores, sample_weight=WEIGHTS, drop_intermediate=False)
    found = roc(FILMS, WEIGHTS)
    assert found[0] == pytest.approx(across)
    assert found[1] == pytest.approx(up)
    precision, recall, _ = precision_recall_curve(FILMS.diseased, FILMS.scores, sample_weight=WEIGHTS)
    recalled, precise = precision_recall(FILMS, WEIGHTS)
    known = ~np.isnan(precise)
    assert recalled[known] == pytest.approx(recall[::-1][1:][known])
    assert precise[known] == pytest.approx(precision[::-1][1:][known])


def test_predictive_values_are_those_of_a_population_with_the_prevalence() -> None:
    found = operating_figures(FILMS, resample_weights(80, 100, 0), (0.05, float(FILMS.diseased.mean())))
    counts = confusion(FILMS)
    assert counts is not None
    own = f"{FILMS.diseased.mean():g}"
    assert found[f"ppv_at_{own}"].value == pytest.approx(counts.found / (counts.found + counts.false_alarms))
    assert found[f"npv_at_{own}"].value == pytest.approx(counts.cleared / (counts.cleared + counts.missed))
    sick = 1000 * 0.05 * counts.found / (counts.found + counts.missed)
    well = 1000 * 0.95 * counts.false_alarms / (counts.false_alarms + counts.cleared)
    assert found["ppv_at_0.05"].value == pytest.approx(sick / (sick + well))
    for figure in found.values():
        assert 0 <= figure.low < figure.value < figure.high <= 1


def test_a_perfect_share_is_not_known_for_certain() -> None:
    perfect = collected(40, threshold=2.0)  # nothing is flagged
    found = operating_figures(perfect, resample_weights(40, 100, 0), (0.2,))
    healthy = int((~perfect.diseased).sum())
    exact = binomtest(healthy, healthy).proportion_ci(0.95, method="exact")
    assert (found["specificity"].value, found["specificity"].high) == (1, 1)
    assert found["specificity"].low == pytest.approx(exact.low)
    assert np.isnan([found["ppv_at_0.2"].value, found["ppv_at_0.2"].low, found["ppv_at_0.2"].high]).all()
    assert found["npv_at_0.2"].low < found["npv_at_0.2"].value == pytest.approx(0.8)
    assert exact_at_edges(Interval(0.0, 0.0, 0.0), 10).high == pytest.approx(binomtest(0, 10).proportion_ci().high)
    for unchanged in (Interval(1.0, 0.9, 1.0), Interval(0.5, 0.5, 0.5), Interval(1.0)):
        assert exact_at_edges(unchanged, 10) is unchanged


def test_a_predictive_value_of_nothing_is_not_known_for_certain() -> None:
    films, some, weights = collected(40), np.arange(40) % 3 > 0, resample_weights(40, 100, 0)
    flagged = np.where(films.diseased, 0.0, some)  # no diseased film is flagged
    found = operating_figures(replace(films, flagged=flagged), weights, (0.2,))
    sick, well = 0.2 * found["sensitivity"].high, 0.8 * (1 - found["specificity"].high)
    assert found["sensitivity"].value == 0
    assert astuple(found["ppv_at_0.2"]) == (0, 0, pytest.approx(sick / (sick + well)))
    flagged = np.where(films.diseased, some, 1.0)  # every healthy film is flagged
    found = operating_figures(replace(films, flagged=flagged), weights, (0.2,))
    sick, well = 0.2 * (1 - found["sensitivity"].high), 0.8 * found["specificity"].high
    assert found["specificity"].value == 0
    assert astuple(found["npv_at_0.2"]) == (0, 0, pytest.approx(well / (sick + well)))


@pytest.mark.parametrize("wrong", [0.0, 1.0, 5.0, float("nan")])
def test_a_prevalence_is_a_share(wrong: float) -> None:
    with pytest.raises(DataError, match="between 0 and 1"):
        check_prevalences((0.1, wrong))
