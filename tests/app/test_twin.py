"""Synthetic twins: they show what was asked for, their records remake them, and films without lungs are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from artasyn.app.reading import Models, Reading
from artasyn.app.twin import (
    SIDES,
    ZONES,
    Twin,
    Wish,
    chosen_twin,
    described_twin,
    original_picture,
    twin_picture,
    usual_severity,
)
from artasyn.errors import PromptError, SynthesisError
from artasyn.synthesis import FINDINGS, Recipe
from artasyn.synthesis.diffusion import FilmRecord


def test_a_wish_makes_its_finding_on_its_side_and_its_record_remakes_it(models: Models, healthy: Reading) -> None:
    twin = chosen_twin(models, healthy, Wish("consolidation", 0.8, "lower", "left", seed=3))
    assert [name for name, _ in twin.findings] == ["consolidation"]
    np.testing.assert_array_equal(twin.mask, twin.image != healthy.image)
    left = healthy.anatomy.lungs().left
    assert np.count_nonzero(twin.mask & left) > 0.9 * twin.mask.sum()
    recipe = Recipe.from_json(twin.record)
    assert {lesion.severity for lesion in recipe.record.lesions} == {0.8}
    np.testing.assert_array_equal(recipe.remake(healthy.image).image, twin.image)
    assert twin.detection.score == models.detector(twin.image).score
    other = chosen_twin(models, healthy, Wish("consolidation", 0.8, "lower", "left", seed=4))
    assert not np.array_equal(other.mask, twin.mask)


def test_every_zone_side_and_finding_can_be_chosen() -> None:
    for zone in ZONES:
        assert Wish("nodule", 0.3, zone).synthesis().findings[0].zones == (() if zone == "anywhere" else (zone,))
    assert [Wish("nodule", 0.3, side=side).synthesis().findings[0].sides for side in SIDES] == [
        ("right", "left"),
        ("right",),
        ("left",),
    ]
    for name, finding in FINDINGS.items():
        assert finding.severity_range[0] <= usual_severity(name) <= finding.severity_range[1]


@pytest.mark.parametrize("wish", [Wish("gout", 0.5), Wish("nodule", 1.5), Wish("mass", 0.0)])
def test_a_wish_out_of_range_is_refused(wish: Wish) -> None:
    with pytest.raises(SynthesisError):
        wish.synthesis()


def test_a_sentence_is_shown_filtered_and_remade(healthy: Reading, described: Twin) -> None:
    assert [name for name, _ in described.findings] == ["consolidation"]
    assert described.verdict is not None
    assert {"adherence", "detected", "organs", "novelty"} <= set(described.verdict.scores)
    assert json.loads(described.verdict_text)["ok"] is described.verdict.ok
    record = FilmRecord.from_json(described.record)
    np.testing.assert_array_equal(record.remake(healthy.image).image, described.image)


def test_a_sentence_that_cannot_be_read_is_refused(models: Models, healthy: Reading) -> None:
    with pytest.raises(PromptError, match="purple"):
        described_twin(models, healthy, "purple elephants", seed=0)
    with pytest.raises(PromptError, match="asks for no finding"):
        described_twin(models, healthy, "no consolidation", seed=0)


def test_a_film_without_lungs_has_no_twin(models: Models) -> None:
    ramp = np.linspace(0.2, 0.8, 128 * 128, dtype=np.float32).reshape(128, 128)
    reading = models.reading("ramp.png", ramp)
    with pytest.raises(SynthesisError, match=r"ramp\.png: no twin can be made"):
        chosen_twin(models, reading, Wish("nodule", 0.5))


def test_the_pictures_show_both_films(described: Twin) -> None:
    assert 'aria-label="consolidation"' in twin_picture(described)
    assert "aria-label" not in original_picture(described)
    shown, original = (text.split("base64,")[1] for text in (twin_picture(described), original_picture(described)))
    assert shown.split('"')[0] != original.split('"')[0]
