"""Thresholds against brute force over every threshold, on plain arrays."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import f1_score, precision_recall_curve

from artasyn.arrays import Heatmap, Mask
from artasyn.detection.calibration import LEVELS, Calibration

Film = tuple[Heatmap, Mask, float]


def films(seed: int, count: int = 12) -> list[Film]:
    """Heatmaps that are warmer inside an anomaly; every third film is healthy. None is a candidate."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        shape = (int(rng.integers(5, 12)), int(rng.integers(5, 12)))
        mask = (rng.random(shape) < 0.2) & (number % 3 > 0)
        heatmap = np.clip(0.3 * rng.random(shape) ** 2 + 0.1 * mask + 1e-5, 0, 1).astype(np.float32)
        made.append((heatmap, mask, float(heatmap.max())))
    return made


def calibrated(of: list[Film], counts: npt.NDArray[np.int64] | None = None) -> Calibration:
    calibration = Calibration(counts)
    for heatmap, mask, score in of:
        calibration.add(heatmap, mask, score)
    return calibration


def pooled(of: list[Film]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    return np.concatenate([f[0].ravel() for f in of]), np.concatenate([f[1].ravel() for f in of])


@pytest.mark.parametrize("seed", range(3))
def test_no_threshold_has_a_better_dice(seed: int) -> None:
    of = films(seed)
    threshold, dice = calibrated(of).best_dice()
    values, truth = pooled(of)
    assert dice == pytest.approx(f1_score(truth, values >= threshold))  # what a detector reaches with it
    candidates = [f1_score(truth, values >= level / LEVELS) for level in range(0, LEVELS // 2, 32)]
    assert dice >= max(candidates) - 1e-12
    precision, recall, _ = precision_recall_curve(truth, values)  # at every value that occurs
    best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
    assert best - 0.01 < dice <= best + 1e-12


def test_best_dice_worked_out_by_hand() -> None:
    heatmap = np.array([[0.0, 0.25, 0.25], [0.5, 0.5, 0.75]], np.float32)
    mask = np.array([[False, False, True], [False, True, True]])
    calibration = calibrated([(heatmap, mask, 0.0)])
    # at 0.25 5 pixels are marked, 3 rightly; at 0.5 3 and 2; at 0.75 1 and 1; at 0 6 and 3
    threshold, dice = calibration.best_dice()
    assert dice == pytest.approx(max(6 / (5 + 3), 4 / (3 + 3), 2 / (1 + 3), 6 / (6 + 3)))
    assert 0 < threshold <= 0.25
    assert ((heatmap >= threshold) == (heatmap >= 0.25)).all()


@pytest.mark.parametrize("value", [0.0, 0.25, 0.5, 4095 / 4096, 1.0])
def test_a_value_on_a_candidate_belongs_to_those_that_reach_it(value: float) -> None:
    heatmap = np.array([[value, np.nextafter(np.float32(value), np.float32(-1))]], np.float32).clip(0)
    threshold, dice = calibrated([(heatmap, np.array([[True, False]]), 0.0)]).best_dice()
    if 0 < value < 1:
        assert (threshold, dice) == (value, 1.0)
    else:  # no candidate lies between the two
        assert dice == pytest.approx(2 / 3)
        assert (heatmap >= threshold).all()


def test_only_anomaly_and_wrong_everywhere() -> None:
    heatmap = np.full((3, 4), 0.5, np.float32)
    everything = np.ones((3, 4), bool)
    assert calibrated([(heatmap, everything, 0.5)]).best_dice()[1] == 1
    inverted = np.eye(4, dtype=np.float32)
    threshold, dice = calibrated([(1 - inverted, inverted > 0, 0.5)]).best_dice()
    assert threshold == 0  # marking all is the best there is
    assert dice == pytest.approx(2 * 4 / (16 + 4))


def test_without_anomalies_or_healthy_films_nothing_is_marked() -> None:
    healthy = [film for film in films(0) if not film[1].any()]
    for of in ([], healthy):
        threshold, dice = calibrated(of).best_dice()
        assert threshold == 1
        assert math.isnan(dice)
    diseased = [film for film in films(0) if film[1].any()]
    for of in ([], diseased):
        assert calibrated(of).image_threshold(0.05) == 1
        assert calibrated(of).pixel_threshold(0.2) == 1


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_pixel_threshold_is_the_lowest_that_healthy_lungs_keep_to(seed: int, rate: float) -> None:
    of, rng = films(seed), np.random.default_rng(seed)
    lungs = [rng.random(heatmap.shape) < 0.6 for heatmap, _, _ in of]
    calibration = Calibration()
    for (heatmap, mask, score), inside in zip(of, lungs, strict=True):
        calibration.add(heatmap, mask, score, inside)
    healthy = np.concatenate([film[0][inside] for film, inside in zip(of, lungs, strict=True) if not film[1].any()])
    threshold = calibration.pixel_threshold(rate)
    assert np.mean(healthy >= threshold) <= rate
    allowed = [level for level in range(LEVELS) if np.mean(healthy >= level / LEVELS) <= rate]
    assert threshold == min(allowed) / LEVELS
    if 0 < rate < 1:
        assert threshold == pytest.approx(np.quantile(healthy, 1 - rate), abs=0.02)


def test_pixel_threshold_worked_out_by_hand() -> None:
    healthy = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.9]], np.float32)
    lungs = np.array([[True, True, True], [True, True, False]])
    nothing, hot = np.zeros((2, 3), bool), np.ones((2, 3), np.float32)
    calibration = Calibration()
    calibration.add(healthy, nothing, 0.5, lungs)
    calibration.add(hot, lungs, 1.0, lungs)  # an anomaly: its pixels do not count, nor does its score
    above = 1 / LEVELS
    # of five pixels one may be marked, which is 0.5; then two; then none; the 0.9 lies beside the lungs
    assert 0.4 < calibration.pixel_threshold(0.2) <= 0.4 + above
    assert 0.3 < calibration.pixel_threshold(0.4) <= 0.3 + above
    assert 0.5 < calibration.pixel_threshold(0.19) <= 0.5 + above
    assert 0.5 < calibration.image_threshold(0.0) <= 0.5 + above
    whole = calibrated([(healthy, nothing, 0.5)])
    assert 0.5 < whole.pixel_threshold(0.19) <= 0.5 + above  # without lungs all six count, and the 0.9 is one of them
    assert 0.9 < whole.pixel_threshold(0.1) <= 0.9 + above


def test_lungs_do_not_matter_for_the_best_dice() -> None:
    of = films(2)
    restricted = Calibration()
    for heatmap, mask, score in of:
        restricted.add(heatmap, mask, score, np.zeros_like(mask))
    assert restricted.best_dice() == calibrated(of).best_dice()
    assert restricted.pixel_threshold(0.2) == 1  # of no pixels


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.1, 0.3, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_image_threshold_is_the_lowest_that_keeps_the_rate(seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.beta(2, 20, 40)
    scores[:8] = scores[0]  # ties
    empty = np.zeros((4, 4), bool)
    calibration = calibrated([(np.zeros((4, 4), np.float32), empty, float(score)) for score in scores])
    threshold = calibration.image_threshold(rate)
    assert np.mean(scores >= threshold) <= rate
    allowed = [level for level in range(LEVELS) if np.mean(scores >= level / LEVELS) <= rate]
    assert threshold == min(allowed) / LEVELS


@pytest.mark.parametrize(("rate", "flagged"), [(0.05, 1), (0.15, 3), (0.149, 2)])
def test_a_rate_that_is_met_exactly_is_kept(rate: float, flagged: int) -> None:
    empty, heatmap = np.zeros((4, 4), bool), np.zeros((4, 4), np.float32)
    scores = [number / 32 for number in range(20)]
    threshold = calibrated([(heatmap, empty, score) for score in scores]).image_threshold(rate)
    assert sum(score >= threshold for score in scores) == flagged


def test_scores_of_one_leave_a_threshold_of_one() -> None:
    empty, heatmap = np.zeros((4, 4), bool), np.ones((4, 4), np.float32)
    assert calibrated([(heatmap, empty, 1.0)]).image_threshold(0.5) == 1
    assert calibrated([(heatmap, empty, 1.0)]).pixel_threshold(0.5) == 1


def test_the_counts_of_two_devices_add_up_to_the_whole() -> None:
    of = films(7, count=20)
    halves = [calibrated(of[0::2]), calibrated(of[1::2])]
    added, whole = Calibration(halves[0].counts + halves[1].counts), calibrated(of)
    assert (added.counts == whole.counts).all()
    assert added.best_dice() == whole.best_dice()
    assert added.pixel_threshold(0.2) == whole.pixel_threshold(0.2)
    assert added.image_threshold(0.2) == whole.image_threshold(0.2)
    _, truth = pooled(of)
    healthy = [film[1].size for film in of if not film[1].any()]
    assert whole.counts.sum(axis=1).tolist() == [truth.sum(), (~truth).sum(), len(healthy), sum(healthy)]


def test_counting_goes_on_from_counts_without_changing_them() -> None:
    of = films(3)
    first = calibrated(of[:5]).counts
    before = first.copy()
    assert (calibrated(of[5:], first).counts == calibrated(of).counts).all()
    assert (first == before).all()
