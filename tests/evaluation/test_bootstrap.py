"""Intervals against a plain loop over resamples."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from artasyn.evaluation.bootstrap import clusters, resample_weights
from artasyn.evaluation.evaluation import Interval
from tests.evaluation.radiographs import evaluate, films, mean_dice, naive_aupro, naive_pointing, pooled


def test_bootstrap_as_a_plain_loop_over_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    of, seed, resamples = films("tied", count=8), 6, 40  # both classes in each
    monkeypatch.setattr("artasyn.evaluation.histograms._RADIOGRAPHS", 3)
    monkeypatch.setattr("artasyn.evaluation.bootstrap._RESAMPLES", 7)
    found = evaluate(of, bootstrap=resamples, seed=seed)
    draws: dict[str, list[float]] = {}
    weights = resample_weights(len(of), resamples, seed)
    assert weights.shape == (resamples, len(of))
    assert (weights.sum(axis=1) == len(of)).all()
    for row in weights:
        drawn = [of[i] for i in np.repeat(np.arange(len(of)), row)]
        sick = [film for film in drawn if film.diseased]
        labels, scores = [film.diseased for film in drawn], [film.score for film in drawn]
        thresholds = np.arange(8, -1, -1) / 8
        values = [mean_dice(drawn, t) for t in thresholds.tolist()]
        each = [roc_auc_score(f.lesions[f.lungs], f.heatmap[f.lungs]) for f in sick]
        for name, value in {
            "image_auroc": roc_auc_score(labels, scores),
            "image_ap": average_precision_score(labels, scores),
            "image_base_rate": np.mean(labels),
            "flagged_healthy": np.mean([film.score >= 0.75 for film in drawn if not film.diseased]),
            "pixel_auroc": roc_auc_score(*pooled(drawn)),
            "pixel_auroc_in_lungs": roc_auc_score(*pooled(drawn, lungs=True)),
            "pixel_auroc_in_lungs_per_image": np.mean(each),
            "pixel_ap": average_precision_score(*pooled(drawn)),
            "pixel_ap_in_lungs": average_precision_score(*pooled(drawn, lungs=True)),
            "pixel_base_rate": pooled(drawn)[0].mean(),
            "aupro": naive_aupro(drawn),
            "dice": mean_dice(drawn, 0.5),
            "pointing": np.mean([naive_pointing(film) for film in sick]),
            "oracle_dice": max(values),
            "oracle_threshold": thresholds[int(np.argmax(np.round(values, 5)))],
        }.items():
            draws.setdefault(name, []).append(float(value))
    for name, values in draws.items():
        low, high = np.percentile(values, (2.5, 97.5))
        interval = getattr(found, name)
        assert (interval.low, interval.high) == (
            pytest.approx(low, abs=1e-6),
            pytest.approx(high, abs=1e-6),
        ), name
        assert low < high


def test_one_patient_of_all_radiographs_tells_nothing_about_patients() -> None:
    assert clusters(["a", "b"], {"a": "ANON", "b": "ANON"}) is None
    assert clusters(["a"], {"a": "ANON"}) == ["patient ANON"]
    assert clusters(["a", "b"], {"a": "ANON"}) == ["patient ANON", "film b"]


def test_intervals_follow_the_seed_and_hold_the_value() -> None:
    of = films("random", count=30)
    first, again, other = (evaluate(of, bootstrap=200, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.image_auroc.value == other.image_auroc.value
    assert first.image_auroc.low != other.image_auroc.low
    for field in fields(first):
        figure = getattr(first, field.name)
        if isinstance(figure, Interval):
            assert 0 <= figure.low <= figure.high <= 1
            assert figure.low <= figure.value <= figure.high or field.name.startswith("oracle")


def test_resamples_of_one_class_do_not_enter_the_interval() -> None:
    found = evaluate(films("tied", count=2), bootstrap=100)
    assert found.image_auroc.low == found.image_auroc.high == found.image_auroc.value
