"""The reliability curve against scikit-learn, its error against torchmetrics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
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


def test_few_films_have_no_curve() -> None:
    found = reliability(collected(19), resample_weights(19, 10, 0))
    assert found.bins == ()
    assert np.isnan(found.error.value)


def test_equal_scores_share_a_bin() -> None:
    films = replace(collected(60), scores=np.full(60, 0.3))
    (one,) = reliability(films, resample_weights(60, 10, 0)).bins
    assert one.films == 60
    assert one.score == pytest.approx(0.3)
