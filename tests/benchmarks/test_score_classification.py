"""Classification with anatomy: patients, folds, reasons and the comparison of methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from artasyn.errors import DataError
from artasyn.segment.anatomy.regions import ZONES
from artasyn.segment.anatomy.window import Window
from benchmarks import score_classification
from benchmarks.paired import aurocs, mean_difference, weighted_auroc
from benchmarks.score_classification import (
    Film,
    by_region,
    cropped,
    examples,
    out_of_fold,
    patient_of,
    reasons_right,
    spread,
    squared,
    zones_of_boxes,
)


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person1003_virus_1685.jpg", "person1003"),
        ("person101_bacteria_5.jpg", "person101"),
        ("IM-0115-0001.jpg", "IM-0115"),
        ("NORMAL2-IM-1427-0001.jpg", "NORMAL2-IM-1427"),
        ("00000766_010.jpg", "00000766"),
    ],
)
def test_names_tell_patients(name: str, patient: str) -> None:
    assert patient_of(Path(name)) == patient


def test_a_name_without_a_patient_is_refused() -> None:
    with pytest.raises(DataError, match="does not tell"):
        patient_of(Path("film.png"))


def test_a_sample_spreads_over_the_list() -> None:
    films = [Film(Path(f"{n}"), str(n), diseased=False) for n in range(100)]
    assert [film.patient for film in spread(films, 3)] == ["0", "50", "99"]
    assert spread(films, None) == films


@pytest.fixture(scope="module")
def cohort() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """120 films of 40 patients; the second of two features tells the class, patients differ in the first."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 3).astype(str)
    diseased = np.repeat(np.arange(40) % 2 == 0, 3)
    features = np.stack([np.repeat(rng.normal(size=40), 3), diseased + 0.5 * rng.normal(size=120)], axis=1)
    return features, diseased, patients


@pytest.fixture
def few_penalties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_classification, "PENALTIES", (1e-2, 1e-1))
    monkeypatch.setattr(score_classification, "INNER_FOLDS", 2)


@pytest.mark.usefixtures("few_penalties")
def test_scores_are_of_unseen_patients_and_add_up(cohort: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    features, diseased, patients = cohort
    scores, parts = out_of_fold(features, diseased, patients)
    assert roc_auc_score(diseased, scores) > 0.85
    rest = scores - parts.sum(axis=1)  # the intercept of the fold's classifier
    assert len(np.unique(rest.round(6))) <= 5
    assert np.abs(parts[:, 1]).mean() > 3 * np.abs(parts[:, 0]).mean()


@pytest.mark.usefixtures("few_penalties")
def test_labels_of_patients_cannot_be_learnt_by_heart() -> None:
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(60), 2).astype(str)
    diseased = np.repeat(rng.random(60) < 0.5, 2)
    features = np.repeat(rng.normal(size=(60, 30)), 2, axis=0)  # both films of a patient are alike
    scores, _ = out_of_fold(features, diseased, patients)
    assert abs(roc_auc_score(diseased, scores) - 0.5) < 0.2


def test_reasons_are_sums_over_a_regions_features() -> None:
    parts = np.array([[1.0, 2.0, -4.0], [0.5, 0.0, 1.0]])
    found = by_region(parts, ["heart", "lungs", "heart"])
    assert {name: values.tolist() for name, values in found.items()} == {"heart": [-3.0, 1.5], "lungs": [2.0, 0.0]}
    films = [Film(Path(f"{n}.png"), str(n), diseased=n == 0) for n in range(2)]
    (first, last) = examples(films, np.array([2.0, -1.0]), found, count=1)
    assert first == {"film": "0.png", "diseased": True, "log_odds": 2.0, "reasons": {"heart": -3.0, "lungs": 2.0}}
    assert last["film"] == "1.png"


def test_reasons_are_compared_with_the_zones_of_the_boxes() -> None:
    masks = {}
    for place, name in enumerate(ZONES):
        masks[name] = np.zeros((60, 60), bool)
        masks[name][place * 10 : place * 10 + 10] = True
    marked = np.zeros((60, 60), bool)
    marked[18:30, :20] = True  # a third of the third zone, and 7 % of the second
    first = zones_of_boxes(marked, masks)
    assert first == [False, False, True, False, False, False]
    reasons = {name: np.zeros(4) for name in ZONES}
    reasons[ZONES[2]][:2], reasons[ZONES[4]][2] = 1, 1
    found = reasons_right(reasons, [first, [True, False, False, False, False, False], [True] * 6, None])
    assert found == {
        "films": 3, "zone": 0.6667, "best_single_zone": 0.6667, "mean_zone": 0.4444, "films_one_side": 2, "side": 1.0,
    }  # fmt: skip
    assert reasons_right(reasons, [None] * 4) == {"films": 0}


def test_masks_follow_their_film_into_the_square() -> None:
    mask = np.zeros((100, 50), bool)
    mask[:, 25:] = True
    found = squared(mask, Window.of(mask.shape, 64))
    assert found[:, 32:48].all()
    assert found.sum() == 64 * 16
    image = np.random.default_rng(0).random((100, 50)).astype(np.float32)
    assert cropped(image, mask).shape == (100, 30)
    assert cropped(image, np.zeros_like(mask)) is image


def test_auroc_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    scores, diseased = rng.integers(0, 8, 60).astype(float), rng.random(60) < 0.4
    weights = rng.integers(0, 3, (4, 60)).astype(float)
    expected = [roc_auc_score(diseased, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(weighted_auroc(scores, diseased, weights), expected, rtol=1e-12)


def test_differences_are_paired() -> None:
    rng = np.random.default_rng(3)
    diseased = np.arange(80) % 2 == 0
    good = diseased + 0.4 * rng.normal(size=80)
    found = aurocs(
        {"base": good, "same": good + 5, "random": rng.normal(size=80)}, diseased, list(map(str, range(80))), "base"
    )
    assert found["same"]["difference"] == {"value": 0, "low": 0, "high": 0}
    high = found["random"]["difference"]["high"]
    assert high is not None
    assert high < 0
    apart = mean_difference([0.9, 0.8, float("nan")], [0.8, 0.7, 0.1])
    assert apart == {"value": 0.1, "low": 0.1, "high": 0.1}
    assert mean_difference([float("nan")], [0.0])["value"] is None
