"""Filters: every score has a film that passes and one that fails, with a reason, and what is not known rejects none."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import artasyn.synthesis.diffusion.filters as module
from artasyn.arrays import Heatmap, Image
from artasyn.errors import SynthesisError
from artasyn.phantom.film import Phantom, PhantomRadiograph
from artasyn.synthesis.diffusion import FilmGenerator, ImaginedAnomaly, MaskSampler, Prompt
from artasyn.synthesis.diffusion.filters import (
    REASONS,
    Filters,
    Verdict,
    contrast,
    detected,
    looks,
    nearest,
    organs,
    thumbnail,
    usual_bounds,
)
from tests.anatomies import seen

WIDE = dict.fromkeys(REASONS, (-1e9, 1e9))


@cache
def chest() -> PhantomRadiograph:
    return Phantom(size=112)(1)


@cache
def film(said: str = "severe large consolidation in the right lung") -> ImaginedAnomaly:
    masks = MaskSampler()(Prompt.parse(said), chest().lungs, np.random.default_rng(0))
    return FilmGenerator()(chest().image, masks)


@dataclass(frozen=True)
class Detection:
    heatmap: Heatmap
    novelty: float


def judged(score: str, limits: tuple[float, float], made: ImaginedAnomaly | None = None, **networks: Any) -> Verdict:
    return Filters(bounds=WIDE | {score: (float(limits[0]), float(limits[1]))}, **networks)(
        chest().image, made or film()
    )


def rejects(score: str, verdict: Verdict) -> None:
    assert not verdict.ok
    (reason,) = verdict.reasons
    assert reason.startswith(REASONS[score])
    assert f"({score} {verdict.scores[score]:.3g}, not" in reason


def test_the_bounds_are_those_of_the_file() -> None:
    held = json.loads(Path(module.__file__).with_name("bounds.json").read_text())["bounds"]
    assert usual_bounds() == {name: tuple(limits) for name, limits in held.items()}
    assert set(held) == set(REASONS)
    assert all(low < high or low == high == 1 for low, high in held.values())


def test_maps_that_say_something_else_than_the_prompt_are_rejected() -> None:
    assert judged("adherence", (1, 1)).ok
    masks = film().masks
    other = Prompt.parse("severe large consolidation in the left lung").findings[0]
    wrong = dataclasses.replace(masks, masks=(dataclasses.replace(masks.masks[0], asked=other),))
    verdict = judged("adherence", (1, 1), dataclasses.replace(film(), masks=wrong))
    rejects("adherence", verdict)
    assert verdict.scores["adherence"] == 0


def test_a_detector_that_sees_nothing_there_rejects() -> None:
    def blind(image: Image) -> Detection:
        return Detection(np.zeros(image.shape, np.float32), 0.5)

    def sharp(image: Image) -> Detection:
        return Detection(film().mask.astype(np.float32), 9.0)

    good = judged("detected", (0.13, 1), detect=sharp)
    assert good.ok
    assert good.scores["detected"] == pytest.approx(1)
    assert good.scores["novelty"] == 9
    bad = judged("detected", (0.13, 1), detect=blind)
    rejects("detected", bad)
    assert bad.scores["detected"] == pytest.approx(0)
    rejects("novelty", judged("novelty", (-1, 4), detect=sharp))
    assert judged("novelty", (-1, 4), detect=blind).ok
    assert "detected" not in judged("detected", (2, 3)).scores


def test_the_precision_of_a_detector_is_known_in_cases_that_are_counted_by_hand() -> None:
    lungs = np.ones((2, 4), bool)
    mask = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], bool)
    first = np.array([[0.9, 0.8, 0.1, 0.1], [0, 0, 0, 0]], np.float32)
    last = 1 - first
    assert detected(first, mask, lungs) == pytest.approx(1)
    assert detected(np.zeros((2, 4), np.float32), mask, lungs) == pytest.approx(0)
    # the last two of eight: precisions 1/7 and 2/8, chance 1/4
    assert detected(last, mask, lungs) == pytest.approx(((1 / 7 + 2 / 8) / 2 - 0.25) / 0.75)
    assert detected(last, lungs, lungs) == 1


def test_organs_that_are_no_longer_found_reject() -> None:
    _, anatomy = seen(112)
    gone = dataclasses.replace(anatomy, maps=np.roll(anatomy.maps, 30, axis=-1))
    assert organs(anatomy, anatomy) == 1
    assert organs(anatomy, gone) < 0.8
    assert np.isnan(organs(dataclasses.replace(anatomy, maps=np.zeros_like(anatomy.maps)), anatomy))
    verdict = Filters(read=lambda _: gone, bounds=WIDE | {"organs": (0.8, 1.0)})(chest().image, film(), before=anatomy)
    rejects("organs", verdict)
    assert Filters(read=lambda _: anatomy, bounds=WIDE | {"organs": (0.8, 1.0)})(chest().image, film()).ok


def test_texture_and_brightness_that_are_not_of_disease_reject() -> None:
    limits = usual_bounds()
    image, lungs, mask = film().image, chest().lungs.mask, film().mask
    flat, noisy, white = image.copy(), image.copy(), image.copy()
    flat[mask] = np.median(image[mask])
    noisy[mask] += np.random.default_rng(0).normal(0, 0.2, mask.sum()).astype(np.float32)
    white[mask] = 1
    scores = {
        name: looks(np.clip(each, 0, 1), mask, lungs)
        for name, each in {"film": image, "flat": flat, "noisy": noisy, "white": white}.items()
    }
    assert scores["flat"]["texture"] < scores["film"]["texture"] < scores["noisy"]["texture"]
    assert scores["noisy"]["texture"] > limits["texture"][1]
    assert (
        scores["white"]["brightness"] > scores["film"]["brightness"] > looks(chest().image, mask, lungs)["brightness"]
    )
    rejects("texture", judged("texture", limits["texture"], dataclasses.replace(film(), image=np.clip(noisy, 0, 1))))
    rejects("brightness", judged("brightness", limits["brightness"], dataclasses.replace(film(), image=white)))
    assert judged("texture", (0.05, 3)).ok


def test_findings_that_do_not_stand_out_reject() -> None:
    strong = contrast(film().attenuation, film().mask, chest().image, chest().lungs.mask)
    weak = contrast(film().attenuation / 50, film().mask, chest().image, chest().lungs.mask)
    assert weak == pytest.approx(strong / 50, rel=1e-4)
    assert strong > 1 > weak
    assert judged("contrast", (1, 1e9)).ok
    faint = dataclasses.replace(film(), attenuation=film().attenuation / 50)
    rejects("contrast", judged("contrast", (1, 1e9), faint))


def test_a_film_that_is_known_rejects() -> None:
    known = np.stack([thumbnail(Phantom(size=112)(seed).image) for seed in (5, 6)])
    copies = np.concatenate([known, thumbnail(film().image)[None]])
    assert nearest(thumbnail(film().image), copies) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(known[0]) == pytest.approx(1, abs=1e-5)
    rejects("nearest", judged("nearest", (-1, 0.999), known=copies))
    verdict = judged("nearest", (-1, 0.999), known=known)
    assert verdict.ok
    assert verdict.scores["nearest"] < 0.999
    assert "nearest" not in judged("nearest", (2, 3), known=known[:0]).scores


def test_what_cannot_be_measured_rejects_nothing() -> None:
    verdict = judged("brightness", (5, 6), film("small left pleural effusion"))  # fluid alone has no tissue
    assert verdict.ok
    assert not {"texture", "brightness"} & set(verdict.scores)

    def unsure(image: Image) -> Detection:
        return Detection(film().mask.astype(np.float32), float("nan"))

    assert "novelty" not in judged("novelty", (-1, 4), detect=unsure).scores


def test_several_reasons_are_told_in_the_order_of_the_scores() -> None:
    verdict = Verdict.of({"contrast": 0.2, "organs": 0.9, "nearest": 0.99}, usual_bounds())
    assert [reason.split(" (")[0] for reason in verdict.reasons] == [REASONS["contrast"], REASONS["nearest"]]
    assert Verdict.of({}, usual_bounds()).ok


def test_a_film_without_findings_is_not_judged() -> None:
    with pytest.raises(SynthesisError, match="without findings"):
        Filters()(chest().image, film("no mass"))
