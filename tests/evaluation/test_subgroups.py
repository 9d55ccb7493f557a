"""Figures of groups are those of the group alone; gaps are differences on the same resamples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from artasyn.evaluation.bootstrap import resample_weights
from artasyn.evaluation.subgroups import subgroups
from tests.evaluation.collected import collected

FILMS = collected(120)
SEX = ["female" if number % 3 else "male" for number in range(120)]


def test_figures_of_a_group_are_those_of_its_films() -> None:
    groups, _ = subgroups(FILMS, SEX, resample_weights(120, 50, 0))
    assert [group.name for group in groups] == ["female", "male"]
    for group in groups:
        inside = np.array([name == group.name for name in SEX])
        labels, scores = FILMS.diseased[inside], FILMS.scores[inside]
        assert (group.films, group.diseased) == (inside.sum(), labels.sum())
        assert group.figures["image_auroc"].value == pytest.approx(roc_auc_score(labels, scores))
        assert group.figures["sensitivity"].value == pytest.approx((scores[labels] >= 0.6).mean())
        assert group.figures["flagged_healthy"].value == pytest.approx((scores[~labels] >= 0.6).mean())
        assert group.figures["dice"].value == pytest.approx(FILMS.dice[inside][labels].mean())
        assert "pointing" in group.reasons


def test_a_gap_is_a_paired_difference() -> None:
    weights = resample_weights(120, 60, 0)
    _, gaps = subgroups(FILMS, SEX, weights)
    gap = next(each for each in gaps if each.figure == "image_auroc")
    draws = []
    for row in weights:
        drawn = np.repeat(np.arange(120), row)
        parts = [[i for i in drawn if SEX[i] == name] for name in (gap.highest, gap.lowest)]
        one, other = (roc_auc_score(FILMS.diseased[part], FILMS.scores[part]) for part in parts)
        draws.append(one - other)
    assert gap.difference.value > 0
    assert (gap.difference.low, gap.difference.high) == pytest.approx(np.percentile(draws, (2.5, 97.5)).tolist())


def test_small_groups_are_named_and_not_judged() -> None:
    names = ["", *["small"] * 8, *["one label"] * 0, *["large"] * 111]
    groups, gaps = subgroups(FILMS, names, resample_weights(120, 10, 0))
    large, small = groups
    assert (small.name, small.films, dict(small.figures)) == ("small", 8, {})
    assert "healthy films" in small.reasons["flagged_healthy"]
    assert set(large.figures) == {"image_auroc", "sensitivity", "flagged_healthy", "dice"}
    assert gaps == ()  # nothing to compare with


def test_a_group_of_many_films_of_few_patients_is_too_small() -> None:
    patients = [f"patient {number % 5}" if name == "male" else f"film {number}" for number, name in enumerate(SEX)]
    (female, male), _ = subgroups(FILMS, SEX, resample_weights(120, 10, 0, patients), patients)
    assert (male.films, dict(male.figures)) == (40, {})
    assert male.reasons["sensitivity"] == "5 diseased patients"
    assert male.reasons["image_auroc"] == "5 healthy patients and 5 diseased patients"
    assert male.reasons["dice"] == "5 patients with lesions drawn"
    assert {"image_auroc", "sensitivity"} <= set(female.figures)


def test_a_share_of_nothing_has_an_honest_gap() -> None:
    flagged = np.where(np.array(SEX) == "male", 0.0, FILMS.flagged)
    _, gaps = subgroups(replace(FILMS, flagged=flagged), SEX, resample_weights(120, 200, 0))
    gap = next(each for each in gaps if each.figure == "flagged_healthy")
    assert (gap.highest, gap.lowest) == ("female", "male")
    assert gap.difference.low < gap.difference.value < gap.difference.high
    everyone = np.zeros(120)
    _, gaps = subgroups(replace(FILMS, flagged=everyone), SEX, resample_weights(120, 50, 0))
    gap = next(each for each in gaps if each.figure == "flagged_healthy")
    assert gap.difference.value == 0
    assert gap.difference.low < 0 < gap.difference.high


def test_without_a_threshold_nothing_is_flagged_or_not() -> None:
    groups, _ = subgroups(collected(120, threshold=None), SEX, resample_weights(120, 10, 0))
    assert {group.reasons["sensitivity"] for group in groups} == {"no threshold of films"}
