"""The reliability curve against scikit-learn, its error against torchmetrics."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from torchmetrics.classification import BinaryCalibrationError

from artasyn.evaluation.bootstrap import resample_weights
from artasyn.evaluation.reliability import reliability
from tests.evaluation.collected import collected


def test_bins_are_those_of_scikit_learn() -> None:
    films = collected(200)
    found = reliability(films, resample_weights(200, 100, 0))
    shares, scores = calibration_curve(films.diseased, films.scores, n_bins=10, strategy="quantile")
    assert [one.diseased.value for one in found.bins] == pytest.approx(shares.tolist())
    assert [one.score for one in found.bins] == pytest.approx(scores.tolist())
    assert sum(one.films for one in found.bins) == 200
    assert all(one.diseased.low <= one.diseased.value <= one.diseased.high for one in found.bins)


def test_the_error_is_that_of_torchmetrics_on_equal_bins() -> None:
    rng = np.random.default_rng(1)
    scores = (np.arange(100) + 0.5) / 100  # bins of equal counts are bins of equal width
    films = replace(collected(100), scores=scores, diseased=rng.random(100) < scores**2)
    found = reliability(films, resample_weights(100, 20, 0))
    oracle = BinaryCalibrationError(n_bins=10, norm="l1")(torch.tensor(scores), torch.tensor(films.diseased))
    assert found.error.value == pytest.approx(float(oracle), abs=1e-6)


def test_a_bin_of_one_label_is_not_known_for_certain() -> None:
    scores = np.repeat([0.1, 0.9], 20)
    films = replace(collected(40), scores=scores, diseased=scores > 0.5)
    low, high = reliability(films, resample_weights(40, 50, 0)).bins
    exact = binomtest(20, 20).proportion_ci(0.95, method="exact")
    assert astuple(low.diseased) == (0, 0, pytest.approx(1 - exact.low))
    assert astuple(high.diseased) == (1, pytest.approx(exact.low), 1)
    patients = [f"patient {number // 2}" for number in range(40)]
    fewer = reliability(films, resample_weights(40, 50, 0, patients), patients).bins[1]
    assert fewer.diseased.low == pytest.approx(binomtest(10, 10).proportion_ci(0.95, method="exact").low)


@pytest.mark.parametrize("sizes", [(3, 50, 3, 44), (55, 2, 2, 41), (97, 3), (6, 94)])
def test_ties_leave_no_bin_with_few_films(sizes: tuple[int, ...]) -> None:
    scores = np.repeat(np.linspace(0.1, 0.9, len(sizes)), sizes)
    bins = reliability(replace(collected(100), scores=scores), resample_weights(100, 10, 0)).bins
    assert all(one.films >= 10 for one in bins)
    assert sum(one.films for one in bins) == 100
    assert [one.score for one in bins] == sorted(one.score for one in bins)


def test_the_error_has_no_interval() -> None:
    error = reliability(collected(100), resample_weights(100, 20, 0)).error
    assert np.isnan([error.low, error.high]).all()


def test_few_films_have_no_curve() -> None:
    found = reliability(collected(19), resample_weights(19, 10, 0))
    assert found.bins == ()
    assert np.isnan(found.error.value)


def test_equal_scores_share_a_bin() -> None:
    films = replace(collected(60), scores=np.full(60, 0.3))
    (one,) = reliability(films, resample_weights(60, 10, 0)).bins
    assert one.films == 60
    assert one.score == pytest.approx(0.3)
