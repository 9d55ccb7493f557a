"""Figures of anatomy on real films: the arithmetic, the halves, and PBTSeg as a predictor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from artasyn.arrays import Image
from artasyn.segment.anatomy.anatomy import Anatomy
from benchmarks.real_anatomy import (
    SETS,
    anatomy_of_lungs,
    ctr_figures,
    figures,
    files,
    film_figures,
    lungs_of,
    pbtseg_anatomies,
    real_scores,
    resized,
    summary,
    worst_mean,
)

NAMES = ("visible_lung_right", "visible_lung_left", "whole_lung_right", "whole_lung_left", "drawn_heart")


def masks(heart: slice) -> dict[str, np.ndarray]:
    """Two lungs of 40 columns between columns 10 and 150, and a heart."""
    right, left, middle = np.zeros((3, 128, 160), bool)
    right[20:100, 10:50] = left[20:100, 110:150] = middle[60:98, heart] = True
    return {"lungs": right | left, "right_lung": right, "left_lung": left, "heart": middle}


def anatomy(truth: dict[str, np.ndarray], angle: float = 0.0) -> Anatomy:
    parts = [truth[name].astype(np.float32) for name in ("right_lung", "left_lung", "right_lung", "left_lung", "heart")]
    return Anatomy(NAMES, np.stack(parts), angle, (1.0, 0.5, 1.0, 1.0, 1.0))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two films of JSRT whose pixels are their own lungs."""
    for place, heart in enumerate((slice(50, 110), slice(55, 125))):
        for name, mask in masks(heart).items():
            folder = tmp_path / SETS["JSRT"].folder / name
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"film{place}.png"), mask.astype(np.uint8) * 255)
        images = tmp_path / SETS["JSRT"].folder / "images"
        images.mkdir(exist_ok=True)
        cv2.imwrite(str(images / f"film{place}.png"), masks(heart)["lungs"].astype(np.uint8) * 100)
    return tmp_path


def test_a_perfect_anatomy_has_perfect_figures() -> None:
    truth = masks(slice(50, 120))
    found = figures(anatomy(truth), truth, "visible")
    assert {key: found[key] for key in ("dice", "right", "left", "heart", "area", "sides")} == dict.fromkeys(
        ("dice", "right", "left", "heart", "area", "sides"), 1.0
    )
    assert found["ctr"] == found["true_ctr"] == 0.5
    assert found["confidence"] == 0.5
    assert "airways" not in found


def test_swapped_sides_and_a_wider_heart_are_told() -> None:
    truth = masks(slice(50, 120))
    swapped = {**truth, "right_lung": truth["left_lung"], "left_lung": truth["right_lung"]}
    found = figures(anatomy(swapped), truth, "visible")
    assert (found["dice"], found["sides"], found["right"]) == (1.0, 0.0, 0.0)
    wider = figures(anatomy({**truth, "heart": masks(slice(43, 127))["heart"]}), truth, "visible")
    assert wider["ctr"] - wider["true_ctr"] == pytest.approx(0.1)
    assert wider["heart"] == pytest.approx(2 * 70 / (70 + 84))


def test_what_the_prediction_lacks_is_left_out() -> None:
    truth = masks(slice(50, 120))
    lungs = lungs_of(anatomy(truth), "whole")
    assert lungs is not None
    found = figures(anatomy_of_lungs(lungs), truth, "whole")
    assert found["dice"] == 1.0
    assert "heart" not in found
    assert math.isnan(found["ctr"])
    empty = Anatomy(("trachea",), np.zeros((1, 128, 160), np.float32), 0.0, (0.0,))
    assert "dice" not in figures(empty, truth, "visible")


def test_halves_share_no_film_and_keep_their_order(tree: Path) -> None:
    odd, even = files(tree, "JSRT", "odd"), files(tree, "JSRT", "even")
    assert [file.stem for file in odd] == ["film0"]
    assert [file.stem for file in even] == ["film1"]
    assert files(tree, "JSRT") == odd + even


def test_films_reach_the_predictor_in_the_size_asked_for(tree: Path) -> None:
    shapes: list[tuple[int, int]] = []

    def predict(images: Sequence[Image]) -> list[Anatomy]:
        shapes.extend(image.shape for image in images)
        return [
            Anatomy(NAMES, np.stack([image > 0.2] * 2 + [image > 2] * 3).astype(np.float32), 10.0, (1.0,) * 5)
            for image in images
        ]

    scores = real_scores(predict, tree, "all", 80, ["JSRT"])
    assert shapes == [(64, 80)] * 2
    assert scores["JSRT"]["dice"] == 1.0
    assert scores["JSRT"]["heart"] == 0.0
    assert scores["JSRT"]["angle_off_frontal"] == 10.0
    assert scores["all"]["films"] == 2
    own = film_figures(predict, tree, "odd", size=None, sets=["JSRT"])
    assert shapes[2:] == [(128, 160)]
    assert list(own["JSRT"]) == ["film0"]


def test_pbtseg_has_no_heart(tree: Path) -> None:
    scores = real_scores(pbtseg_anatomies, tree, "all", 128, ["JSRT"])["JSRT"]
    assert 0 <= scores["dice"] <= 1
    assert "heart" not in scores
    assert "ctr_mae" not in scores


def test_ratios_are_compared_where_both_are_measured() -> None:
    true = np.array([0.4, 0.5, 0.6, 0.5, np.nan])
    found = ctr_figures(np.array([0.45, 0.5, 0.55, np.nan, 0.4]), true)
    assert found["ctr_mae"] == pytest.approx(0.1 / 3)
    assert found["ctr_bias"] == pytest.approx(0, abs=1e-12)
    assert found["ctr_slope"] == pytest.approx(0.5)
    assert found["ctr_r"] == pytest.approx(1)
    assert found["ctr_measured"] == 0.75


def test_the_worst_share_counts_one_film_at_least() -> None:
    assert worst_mean([0.9, 0.2, 0.8]) == 0.2
    assert worst_mean(np.linspace(0, 1, 40).tolist()) == pytest.approx(0.5 / 39)
    films = [{"dice": value, "angle": 180.0} for value in (0.5, 1.0)]
    assert summary(films) == {
        "films": 2, "dice": 0.75, "worst_5_percent": 0.5, "lowest": 0.5, "angle_off_frontal": 0.0,
    }  # fmt: skip


def test_a_small_film_is_enlarged() -> None:
    assert resized(np.zeros((50, 100), np.float32), 200).shape == (100, 200)
