"""Learnt shapes: their frame, what covers them, what the network that comes with artasyn draws, and what is refused."""

from __future__ import annotations

import importlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from artasyn.arrays import LEFT, RIGHT, Mask
from artasyn.errors import MissingExtra, ModelError
from artasyn.phantom.film import Phantom, PhantomRadiograph
from artasyn.synthesis.diffusion import FilmRecord, MaskSampler, Prompt
from artasyn.synthesis.diffusion.easel import GROWN, Easel
from artasyn.synthesis.diffusion.regions import Region
from artasyn.synthesis.diffusion.shapes import (
    FINE,
    Frame,
    ShapeSampler,
    ShapeSettings,
    code_of,
    discs,
    finer,
    signed,
)

TINY = ShapeSettings(side=16, channels=(8, 16), patch=2, steps=2)
COUNT = 32 * FINE


@cache
def bundled() -> ShapeSampler:
    return ShapeSampler.from_pretrained()


@cache
def chest(seed: int = 1) -> PhantomRadiograph:
    return Phantom(size=160)(seed)


def blob(seed: int) -> Mask:
    noise = np.random.default_rng(seed).standard_normal((COUNT, COUNT)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 12) > 0.03)


@pytest.mark.parametrize("seed", range(5))
def test_distances_keep_the_outline(seed: int) -> None:
    mask = blob(seed)
    again = finer(signed(mask)) > 0
    assert 2 * (mask & again).sum() / (mask.sum() + again.sum()) > 0.97
    assert signed(np.zeros((COUNT, COUNT), bool)).max() == -1
    assert signed(np.ones((COUNT, COUNT), bool)).min() > 0


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_point_of_the_box_comes_back_to_its_place_on_the_film(mirrored: bool) -> None:
    lung = np.zeros((200, 150), bool)
    lung[20:180, 30:110] = True
    spot = np.zeros_like(lung)
    spot[60:70, 40:50] = True
    frame = Frame.of(lung, mirrored, 32)
    rows, columns = np.nonzero(frame.points(spot))
    circle = np.array([[rows.mean(), columns.mean(), 5.0]])
    (row, column, tall, wide), *_ = frame.on_film(circle)
    assert (row, column) == pytest.approx((64.5, 44.5), abs=0.8)
    assert tall / wide == pytest.approx(160 / 80)
    assert (columns.mean() > COUNT / 2) == mirrored


def test_the_left_lung_is_seen_as_the_right_one() -> None:
    lung = np.zeros((120, 160), bool)
    lung[10:110, 10:70] = True
    part = lung & (np.add.outer(np.arange(120), np.arange(160)) < 90)
    there = Frame.of(lung, False, 32).points(part)
    mirror = Frame.of(lung[:, ::-1], True, 32).points(part[:, ::-1])
    assert (there != mirror).mean() < 0.01


@pytest.mark.parametrize("seed", range(5))
def test_discs_lie_in_the_shape_and_cover_it(seed: int) -> None:
    shape = blob(seed)
    rows, columns = np.mgrid[:COUNT, :COUNT]
    found = discs(shape)
    covered = np.any([(rows - r) ** 2 + (columns - c) ** 2 < (radius - 1) ** 2 for r, c, radius in found], axis=0)
    assert (np.diff(found[:, 2]) <= 0).all()
    assert (covered & ~shape).sum() <= 0.01 * shape.sum()
    assert (covered & shape).sum() > 0.6 * shape.sum()
    assert discs(np.zeros_like(shape)).shape == (0, 3)


def test_the_code_tells_kind_and_size() -> None:
    assert code_of("reader", None).tolist() == [1, 0, 0, 0, 0, 0]
    assert code_of("consolidation", "large").tolist() == [0, 1, 0, 0, 0, 1]


def test_the_bundled_network_draws_larger_shapes_where_larger_ones_are_said() -> None:
    lung = np.asarray(chest().lungs.labels == RIGHT)
    inside = Frame.of(lung, False, 32).points(lung)
    shares = []
    for size in ("small", "moderate", "large"):
        drawn = bundled().draw(signed(inside), size, np.random.default_rng(3), 12)
        found = np.array([(finer(each) > 0) for each in drawn])
        shares.append(float(np.median([(each & inside).sum() / inside.sum() for each in found])))
        assert (found & ~inside).sum() < 0.06 * found.sum()
    assert 0.04 < shares[0] < 0.25 < shares[1] < 0.5 < shares[2]


def test_the_same_generator_gives_the_same_shape_and_the_global_one_keeps_its_state() -> None:
    lung = np.asarray(chest().lungs.labels == LEFT)
    state = torch.random.get_rng_state()
    one, same, other = (bundled().ellipses(lung, lung, True, None, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert one.shape != other.shape or (one != other).any()
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "said",
    [
        "consolidation in the right lung",
        "small ground glass opacity in the left lung",
        "large severe consolidation in the right lung",
        "ground glass opacity in both lungs",
        "consolidation in the left lower zone",
        "moderate sized mild consolidation in the right upper zone",
    ],
)
def test_learnt_masks_say_what_the_prompt_says_and_their_records_need_no_network(said: str) -> None:
    prompt, sampler = Prompt.parse(said), MaskSampler(shapes=bundled())
    plain, _ = FilmRecord.draw(chest().image, chest().lungs, prompt, seed=2, copy=1)
    record, film = FilmRecord.draw(chest().image, chest().lungs, prompt, seed=2, copy=1, sampler=sampler)
    assert film.masks.disagreements() == ()
    assert record.made != plain.made
    assert 1 <= max(len(lesion.stamps) for drawn in record.made.drawn for lesion in drawn.lesions) <= 24
    again = FilmRecord.from_json(record.to_json()).remake(chest().image)
    np.testing.assert_array_equal(again.image, film.image)


class Kept:
    """Draws shapes as the bundled network does, and keeps the last one."""

    digest = "kept"
    drawn: np.ndarray = np.zeros((0, 4))

    def ellipses(self, *given: Any) -> np.ndarray:
        self.drawn = bundled().ellipses(*given)
        return self.drawn


@pytest.mark.parametrize("said", ["ground glass opacity in the right lung", "large consolidation in the right lung"])
@pytest.mark.parametrize("seed", range(4))
def test_a_lesion_lies_where_its_shape_was_drawn_and_hardly_grows(said: str, seed: int) -> None:
    lungs, shapes = chest(seed).lungs, Kept()
    asked = Prompt.parse(said).findings[0]
    easel = Easel.of(asked, Region.of(asked, lungs, "visible"), 1.5, shapes)
    (lesion,) = easel.lesions(np.random.default_rng(seed))
    unit = easel.ground.context.height * len(easel.fade)
    row, column, outward = easel._focus(lesion)
    stamps = np.array(lesion.stamps) * unit
    factors = stamps[:, 2] / shapes.drawn[:, 2]
    places = np.stack([row + stamps[:, 0], column + outward * stamps[:, 1]], axis=1)
    away = np.hypot(*(places - shapes.drawn[:, :2]).T)
    reach = np.hypot(*(shapes.drawn[:, :2] - shapes.drawn[:, :2].mean(axis=0)).T).max()
    assert 1 / GROWN - 0.02 < factors.min() <= factors.max() < GROWN + 0.02
    assert away.max() < (GROWN - 1) * 2 * reach + 1


@pytest.mark.parametrize("said", ["two nodules in the left lung", "patchy consolidation in the right lung"])
def test_other_findings_and_several_lesions_stay_as_they_are(said: str) -> None:
    prompt = Prompt.parse(said)
    masks = [
        sampler(prompt, chest().lungs, np.random.default_rng(4))
        for sampler in (MaskSampler(), MaskSampler(shapes=bundled()))
    ]
    assert masks[0].masks[0].record == masks[1].masks[0].record


def test_damaged_models_are_refused(tmp_path: Path) -> None:
    sampler = ShapeSampler.untrained(TINY, seed=1)
    sampler.save(tmp_path)
    again = ShapeSampler.from_pretrained(tmp_path)
    assert again.settings == TINY
    assert again.digest != bundled().digest
    config = json.loads((tmp_path / "config.json").read_text())
    for change, said in (
        ({"side": 18}, "cannot be divided"),
        ({"channels": [12]}, "multiples of 8"),
        ({"steps": 0}, "not from 1 to 100"),
        ({"colour": 1}, "is unknown"),
        ({"channels": [8, 8]}, "do not belong to the config.json"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ModelError, match=said):
            ShapeSampler.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="cannot be loaded as a sampler of shapes"):
        ShapeSampler.from_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no such folder"):
        ShapeSampler.from_pretrained(tmp_path / "nowhere")


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = importlib.import_module

    def blocked(name: str, *rest: Any) -> Any:
        if name == "diffusers":
            raise ModuleNotFoundError("No module named 'diffusers'")
        return usual(name, *rest)

    monkeypatch.setattr("artasyn.doors.importlib.import_module", blocked)
    with pytest.raises(MissingExtra, match=r"pip install artasyn\[diffusion\]"):
        ShapeSampler.from_pretrained()
