"""The arithmetic of the fair test of partly known labels: what is hidden and corrupted, and what is concluded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from artasyn.segment.anatomy.supervision import SUPERVISIONS
from artasyn.segment.structures import ANATOMY
from artasyn.stock.packed import Stock
from benchmarks import score_partial
from benchmarks.partial_figures import SIZE, channel_means, overlaps
from benchmarks.partial_labels import (
    CORRUPTED,
    FULL,
    SCENARIOS,
    SOURCES,
    Pool,
    by_source,
    corrupt,
    corrupted,
    opposite,
    shifted,
)
from benchmarks.score_partial import FULL_LABELS, RESULT_KEYS, labels_of, plan, summary, wins


def pool(films: int = 12, seed: int = 0) -> Pool:
    """Films of discs: every structure is a disc of its own, and the last structures lie outside."""
    rng = np.random.default_rng(seed)
    side = SIZE // 2
    masks = np.zeros((films, side, side, len(ANATOMY)), np.uint8)
    for film, channel in np.ndindex(films, len(ANATOMY) - 5):
        disc = np.zeros((side, side), np.uint8)
        place = (int(rng.integers(8, 24)), int(rng.integers(8, 24)))
        cv2.circle(disc, place, int(rng.integers(3, 7)), FULL, -1)
        masks[film, :, :, channel] = disc
    masks[..., -5:] = masks[..., 1:6]
    masks[..., -10:-5] = 0
    known = np.ones((films, len(ANATOMY)), bool)
    images = rng.random((films, SIZE, SIZE)).astype(np.float32)
    absent = np.asarray(~masks.any(axis=(1, 2)))
    return Pool(images, masks, known, absent, np.arange(films) // 2, ANATOMY)


def test_every_structure_has_exactly_one_source() -> None:
    given = by_source(pool(2 * len(SOURCES)), np.random.default_rng(0)).known
    sources = np.unique(given, axis=0)
    assert len(sources) == len(SOURCES)
    assert (sources.sum(axis=0) == 1).all()
    assert (given[::2] == given[1::2]).all()  # both films of a patient


@pytest.mark.parametrize(("name", "share"), [("by chance, 25 %", 0.25), ("by chance, 50 %", 0.5), ("all known", 0.0)])
def test_as_many_labels_are_hidden_as_said(name: str, share: float) -> None:
    films = pool(60)
    hidden = SCENARIOS[name](films, np.random.default_rng(1))
    assert 1 - hidden.known.mean() == pytest.approx(share, abs=0.02)
    assert hidden.masks is films.masks
    again = SCENARIOS[name](films, np.random.default_rng(1))
    assert (again.known == hidden.known).all()


def test_a_fifth_of_the_known_labels_is_corrupted_and_no_other() -> None:
    films = pool(40)
    made = corrupted(films, np.random.default_rng(2))
    changed = (made.masks != films.masks).any(axis=(1, 2))
    assert not changed[~made.known | films.absent].any()
    assert changed[made.known & ~films.absent].mean() == pytest.approx(CORRUPTED, abs=0.03)


def test_each_corruption() -> None:
    masks = pool(1).masks[0]
    names = list(ANATOMY)
    right, left, heart = (names.index(name) for name in ("lung_right", "lung_left", "heart"))
    found = {"swap": 0, "erode": 0, "shift": 0}
    for seed in range(40):
        made = corrupt(masks, right, names, np.random.default_rng(seed))
        if (made == masks[..., left]).all():
            found["swap"] += 1
        elif (made <= masks[..., right]).all() and made.sum() < masks[..., right].sum():
            found["erode"] += 1
        else:
            assert made.any()
            found["shift"] += 1
        alone = corrupt(masks, heart, names, np.random.default_rng(seed))
        assert not (alone == masks[..., heart]).all()  # what has no other side is moved
    assert min(found.values()) > 5


def test_moving_and_sides() -> None:
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert shifted(mask, 1, -2).tolist() == [[0, 0, 0, 0], [2, 3, 0, 0], [6, 7, 0, 0]]
    assert opposite("rib_right_3") == "rib_left_3"
    assert opposite("visible_lung_left") == "visible_lung_right"
    assert opposite("heart") == "heart"


def test_labels_as_a_training_sees_them() -> None:
    films = pool(3)
    films.masks[1, 4, 5, 7] = 1
    labels = labels_of(films, np.array([1, 2]))
    assert labels.targets[0, 7, 4, 5] == 0.25
    assert labels.targets.shape == (2, len(ANATOMY), SIZE // 2, SIZE // 2)
    assert (labels.absent.numpy() == films.absent[1:]).all()


def test_means_over_films_and_structures() -> None:
    truth = np.zeros((2, 2, 4, 4), bool)
    truth[:, 0, :2] = True
    found = np.zeros_like(truth)
    found[0, 0, 0], found[1, 0, :2], found[:, 1, 0, 0] = True, True, True
    scores = overlaps(found, truth)
    np.testing.assert_allclose(scores[:, 0], [2 * 4 / 12, 1])
    assert np.isnan(scores[:, 1]).all()
    counted = np.array([[True, True], [False, True]])
    np.testing.assert_allclose(channel_means(scores, counted), [2 / 3, np.nan])
    assert np.isnan(channel_means(scores, counted, least=2)).all()


def run(way: str, seed: int, lungs: list[float], seconds: float = 10.0, scenario: str = "by source") -> dict[str, Any]:
    """A finished run; its hearts are worse than its lungs, and its ratios wrong by one in ten."""
    both = {"JSRT": lungs[:-1], "wingspan": lungs[-1:]}
    figures = {
        "lungs": both,
        "heart": {name: [each - 0.1 for each in of] for name, of in both.items()},
        "ratio_error": {name: [0.1] * len(of) for name, of in both.items()},
    }
    projections = {"labelled": 0.8, "hidden": None, "held_out": 0.7, "worst": 0.1, "made_up": seed}
    return {
        "scenario": scenario,
        "way": way,
        "seed": seed,
        "seconds": seconds,
        "films": 10,
        "real": figures,
        "projections": projections | {"worst_structure": "stomach"},
    }


def test_the_summary_pairs_seeds_and_films() -> None:
    rng = np.random.default_rng(0)
    base = [rng.uniform(0.5, 0.9, 30).tolist() for _ in range(3)]
    runs = [run("zero_fill", seed, base[seed]) for seed in range(3)]
    runs += [run("masked", seed, [each + 0.02 for each in base[seed]], seconds=20.0) for seed in range(2)]
    runs += [run("masked_negatives", seed, [each + 0.02 * (-1) ** seed for each in base[seed]]) for seed in range(2)]
    found = summary(runs)
    assert list(found) == ["by source"]
    ways = found["by source"]
    assert list(ways) == ["zero_fill", "masked", "masked_negatives"]
    assert ways["zero_fill"]["seeds"] == 3
    assert ways["zero_fill"]["lungs"]["mean"] == pytest.approx(np.mean(base), abs=1e-4)
    assert ways["zero_fill"]["lungs"]["sets"]["wingspan"] == pytest.approx(np.mean([b[-1] for b in base]), abs=1e-4)
    assert ways["zero_fill"]["made_up"] == {"mean": 1.0, "low": 0.0, "high": 2.0}
    assert ways["zero_fill"]["hidden"]["mean"] is None
    assert ways["zero_fill"]["time"] == 0.5
    against = ways["masked"]["against"]
    assert against["way"] == "zero_fill"
    assert against["seeds"] == 2
    assert against["lungs"] == {"value": 0.02, "low": 0.02, "high": 0.02, "each_seed": [0.02, 0.02]}
    assert {"scenario": "by source", "way": "masked", "figure": "lungs", "verdict": "better"} in wins(found)
    json.dumps(found, allow_nan=False)
    negatives = ways["masked_negatives"]["against"]["lungs"]
    assert negatives["each_seed"] == [0.0, -0.04]
    assert not any(each["way"] == "masked_negatives" for each in wins(found))


def test_a_lower_error_is_better() -> None:
    runs = [run(way, seed, [0.5] * 8) for way in ("zero_fill", "masked") for seed in range(2)]
    for better in runs[2:]:
        better["real"]["ratio_error"]["JSRT"] = [0.05] * 7
    assert not wins(summary(runs[1:3]))  # one seed each, and not the same
    verdicts = wins(summary(runs))
    assert {"scenario": "by source", "way": "masked", "figure": "ratio_error", "verdict": "better"} in verdicts


def test_films_without_a_ratio_are_counted_and_left_out() -> None:
    runs = [run("zero_fill", 0, [0.5] * 8), run("masked", 0, [0.5] * 8)]
    runs[1]["real"]["ratio_error"]["JSRT"][0] = float("nan")
    ways = summary(runs)["by source"]
    assert ways["masked"]["unmeasured"] == 0.125
    assert ways["masked"]["ratio_error"]["mean"] == 0.1
    assert ways["masked"]["against"]["ratio_error"]["value"] == 0


def test_the_plan_has_every_way_before_the_next_seed() -> None:
    runs = list(plan(3))
    assert len(set(runs)) == len(runs)
    first = runs[: len(SUPERVISIONS) + 1]
    assert {seed for _, _, seed in first} == {0}
    assert {way for _, way, _ in first} == {*SUPERVISIONS, FULL_LABELS}
    assert sum(way == FULL_LABELS for _, way, _ in runs) == 3


def test_a_run_is_not_done_again_and_the_result_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Views:
        views = (type("View", (), {"patient": "one"}),)

        def split(self, names: list[str]) -> tuple[Views, Views]:
            return self, self

    monkeypatch.setattr(Stock, "read", lambda *folders: Views())
    monkeypatch.setattr(score_partial, "composed", lambda stock, films, seed: pool(films, seed))
    monkeypatch.setattr(score_partial, "RealFilms", lambda data, name: name)
    real = run("masked", 0, [0.5] * 8)["real"]
    monkeypatch.setattr(score_partial, "real_figures", lambda *given: real)
    monkeypatch.setattr(
        score_partial, "plan", lambda seeds: [("by source", way, 0) for way in ("masked", "car_sigmoid")]
    )
    runs, out = tmp_path / "runs.jsonl", tmp_path / "partial.json"
    options = [
        "--stock",
        "s",
        "--runs",
        str(runs),
        "--out",
        str(out),
        "--films",
        "24",
        "--tested",
        "12",
        "--steps",
        "4",
    ]
    monkeypatch.setattr(sys, "argv", ["score_partial", *options, "--random", "test_efficientnet"])
    threads = torch.get_num_threads()
    try:
        score_partial.main()
        first = runs.read_text()
        score_partial.main()
    finally:
        torch.set_num_threads(threads)
    assert runs.read_text() == first
    assert len(first.splitlines()) == 2
    result = json.loads(out.read_text())
    assert set(result) == set(RESULT_KEYS)
    assert set(result["scenarios"]["by source"]) == {"masked", "car_sigmoid"}
    projections = json.loads(first.splitlines()[0])["projections"]
    assert 0 <= projections["worst"] <= projections["held_out"] <= 1
