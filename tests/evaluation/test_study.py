"""A study of films: the same resamples everywhere, patients whole, and JSON without NaN."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from artasyn.evaluation.bootstrap import band, clusters, resample_weights
from artasyn.evaluation.evaluation import Evaluation
from artasyn.evaluation.froc import Marks
from artasyn.evaluation.study import Plan, study
from tests.evaluation.collected import collected


def test_patients_are_drawn_whole() -> None:
    patients = ["a", "b", "a", "c", "b", "a"]
    weights = resample_weights(6, 50, 3, patients)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert len(np.unique(weights, axis=0)) > 5
    assert clusters(["a", "b"], {}) is None


def test_films_of_one_patient_widen_the_intervals() -> None:
    films = collected(200, seed=2)
    alone, together = Evaluation(image_threshold=0.6), {}
    for name, score, diseased in zip(films.names, films.scores, films.diseased, strict=True):
        for copy in range(4):
            alone.add(f"{name} {copy}", score, diseased=bool(diseased))
            together[f"{name} {copy}"] = name
    by_film, by_patient = (alone.result(bootstrap=300, patients=each) for each in ({}, together))
    assert by_film.image_auroc.value == by_patient.image_auroc.value
    for figure in ("image_auroc", "sensitivity", "flagged_healthy"):
        narrow, wide = getattr(by_film, figure), getattr(by_patient, figure)
        assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(2, rel=0.3)  # sqrt of four copies


def test_a_study_agrees_with_the_evaluation_and_has_no_nan_in_json() -> None:
    films = collected(60)
    evaluation = Evaluation(image_threshold=0.6)
    for name, score, diseased in zip(films.names, films.scores, films.diseased, strict=True):
        evaluation.add(name, score, diseased=bool(diseased))
    patients = {name: f"p{number // 2}" for number, name in enumerate(films.names)}
    groups = {"sex": {name: "fm"[number % 2] for number, name in enumerate(films.names)}}
    plan = Plan(100, 4, patients, (0.1,), groups)
    found = study(evaluation.films(), plan)
    assert found.patients == 30
    metrics = evaluation.result(bootstrap=100, seed=4, patients=patients)
    assert found.operating["sensitivity"] == metrics.sensitivity
    assert set(found.curves) == {"roc", "precision_recall"}
    for curve in found.curves.values():
        known = ~np.isnan(curve.low)
        assert known.sum() > 80
        assert (curve.low[known] <= curve.high[known]).all()
    text = json.dumps(found.to_json(), allow_nan=False)
    assert json.loads(text)["confusion"]["found"] == found.confusion.found  # type: ignore[union-attr]
    assert {group.name for group in found.groups["sex"]} == {"f", "m"}


def test_lesions_of_some_films_and_one_class_alone() -> None:
    films = collected(30, diseased=1.0)
    marks = tuple(Marks(np.array([0.5]), np.zeros(0)) if number % 2 else None for number in range(30))
    found = study(replace(films, marks=marks), Plan(20))
    assert set(found.curves) == {"froc"}
    assert (found.lesions, found.froc["found_at_1"].value, found.patients) == (15, 1, None)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["operating"]["specificity"]["value"] is None


def test_a_band_holds_percentiles_of_heights_in_steps() -> None:
    weights = np.array([[1], [2], [3], [4], [5]])
    places = np.array([0.0, 0.5, 1.0, 1.5])
    low, high = band(lambda w: (np.array([0.5, 1.0]), np.array([w[0], 10 * w[0]])), weights, places)
    assert np.isnan(low[0])
    assert low[1:].tolist() == pytest.approx([1.1, 11.0, 11.0])
    assert high[1:].tolist() == pytest.approx([4.9, 49.0, 49.0])
    assert np.isnan(band(lambda w: (w, w), weights[:0], places)).all()
