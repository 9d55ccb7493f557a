"""Outlines that move to edges, on films drawn from known outlines."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from artasyn.arrays import Heatmap, Image, Outlines
from artasyn.segment.pbtseg.bending import (
    _COARSE,
    _LUNG,
    _PASSES,
    _fitted,
    _moved,
    _movements,
    _normals,
    _profiles,
    _rim,
    _untangled,
    bend,
    choose,
    edge_steps,
)
from artasyn.segment.pbtseg.outline import ABOVE_HEART, COSTAL, DIAPHRAGM, HEART, MEAN, POINTS, Boxes

SIZE = 192  # a unit of length is one pixel
BOX = (0.15, 0.1, 0.85, 0.9)
EVEN = np.full((SIZE, SIZE), 0.5, np.float32)


def outlines_in(top: float, left: float, bottom: float, right: float, size: int = SIZE) -> Outlines:
    boxes = Boxes(np.array([[top, left, bottom, right]], np.float32), np.ones(1, np.float32))
    return np.asarray(boxes.outlines(size)[0])


TRUE = outlines_in(*BOX)


def inside(outlines: Outlines, size: int = SIZE) -> Heatmap:
    """1 inside outlines, 0 outside, with an edge as sharp as pixels allow."""
    fine = np.zeros((4 * size, 4 * size), np.float32)
    places = (outlines + np.float32(0.5)) * 4 - np.float32(0.5)
    cv2.fillPoly(fine, list(np.round(places * 16).astype(np.int32)), (1.0,), shift=4)
    return np.asarray(cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA), np.float32)


def film(outlines: Outlines, dark: float = 0.2, bright: float = 0.8, size: int = SIZE) -> Image:
    return np.asarray(bright - np.float32(bright - dark) * inside(outlines, size), np.float32)


def soft(lungs: Heatmap) -> Heatmap:
    return np.asarray(cv2.GaussianBlur(lungs, (0, 0), len(lungs) / 30), np.float32)


def placed(across: float, down: float, scale: float, turn: float, size: int = SIZE) -> Outlines:
    """The true outlines moved by fractions of the film, scaled and turned about their middle."""
    true = outlines_in(*BOX, size)
    middle = true.reshape(-1, 2).mean(axis=0)
    turned = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return np.asarray(scale * (true - middle) @ turned + middle + size * np.array([across, down]), np.float32)


def apart(outlines: Outlines, others: Outlines) -> float:
    """Mean distance of points from other outlines."""
    return float(
        np.mean(
            [
                abs(cv2.pointPolygonTest(other[:, None], (float(column), float(row)), True))
                for outline, other in zip(outlines, others, strict=True)
                for column, row in outline
            ]
        )
    )


# Normals and steps ------------------------------------------------------------------------------------------


def test_normals_have_unit_length() -> None:
    assert np.abs(_normals(TRUE)) == pytest.approx(np.ones((2, POINTS)), abs=1e-4)
    assert (_normals(TRUE) == _normals(np.stack([TRUE, TRUE + 1]))).all()


def test_normals_point_outwards() -> None:
    angle = set(range(COSTAL.stop - 1, DIAPHRAGM.start + 3))  # so narrow that a step inwards leaves it
    for far in (1.0, -1.0):
        moved = _moved(TRUE, np.full((2, POINTS), far, np.float32), _normals(TRUE))
        for lung in range(2):
            for point, (column, row) in enumerate(moved[lung]):
                deep = cv2.pointPolygonTest(TRUE[lung][:, None], (float(column), float(row)), True)
                assert far * deep < 0 or (far < 0 and point in angle)


def test_steps_at_middle_grey_are_those_of_the_film() -> None:
    grey = film(TRUE, 0.45, 0.55)
    smooth = np.r_[COSTAL.start + 3 : COSTAL.stop - 3, HEART.start + 3 : HEART.stop - 3]
    steps = edge_steps(grey, TRUE, window=4)
    assert steps.shape == (2, POINTS)
    assert np.median(steps[:, smooth]) == pytest.approx(0.1, abs=0.015)
    assert steps[:, smooth] == pytest.approx(0.1, abs=0.04)
    assert edge_steps(1 - grey, TRUE, window=4) == pytest.approx(-steps, abs=0.005)


def test_steps_vanish_on_an_even_film_and_away_from_the_edge() -> None:
    assert edge_steps(EVEN, TRUE, window=4) == pytest.approx(0, abs=1e-5)
    away = outlines_in(0.3, 0.3, 0.6, 0.4)
    assert edge_steps(film(TRUE), away + np.float32(SIZE), window=4) == pytest.approx(0, abs=1e-5)


def test_steps_between_dark_tones_count_for_more_most_of_all_at_the_diaphragm() -> None:
    dark, middle = (edge_steps(film(TRUE, low, low + 0.1), TRUE, window=4) for low in (0.05, 0.45))
    more = {
        name: np.median(dark[:, part]) / np.median(middle[:, part])
        for name, part in {"ribs": COSTAL, "diaphragm": DIAPHRAGM, "heart": HEART, "above": ABOVE_HEART}.items()
    }
    assert 1.05 < more["ribs"] < min(more["heart"], more["above"]) < more["diaphragm"] < 5


def test_steps_of_several_outlines_are_those_of_each() -> None:
    several = np.stack([TRUE, placed(0.02, 0.01, 1.0, 0.0), placed(0.0, 0.0, 0.95, 0.02)])
    grey = film(TRUE)
    together = edge_steps(grey, several, window=3)
    for steps, outlines in zip(together, several, strict=True):
        assert steps == pytest.approx(edge_steps(grey, outlines, window=3), abs=1e-6)


# Bending ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [160, 192])
@pytest.mark.parametrize(
    "start",
    [
        (0.0, 0.0, 1.0, 0.0),
        (0.02, 0.015, 1.0, 0.0),
        (-0.03, -0.02, 1.0, 0.0),
        (0.0, 0.0, 1.05, 0.0),
        (0.0, 0.0, 0.95, 0.0),
        (0.0, 0.0, 1.0, 0.04),
        (0.015, -0.015, 0.96, -0.03),
    ],
    ids=str,
)
def test_outlines_come_back_to_the_edges_of_a_film(start: tuple[float, float, float, float], size: int) -> None:
    true = outlines_in(*BOX, size)
    begin, grey = placed(*start, size), film(true, size=size)
    bent = bend(grey, soft(inside(true, size)), begin)
    goal = _moved(true, _rim() * np.float32(size / 192), _normals(true))
    assert bent.shape == begin.shape
    assert apart(bent, goal) < min(0.8, 0.5 * apart(begin, goal))


def test_a_faint_edge_is_found_too() -> None:
    begin, goal = placed(-0.03, 0.02, 1.0, 0.0), _moved(TRUE, _rim(), _normals(TRUE))
    assert apart(bend(film(TRUE, 0.45, 0.55), soft(inside(TRUE)), begin), goal) < 0.8


def test_a_dent_is_followed() -> None:
    """Narrower than the waves by which outlines are bent at first."""
    dented, dent = TRUE.copy(), slice(COSTAL.start + 8, COSTAL.start + 13)
    dented[0, dent, 0] += np.array([2, 4, 5, 4, 2], np.float32)
    goal = _moved(dented, _rim(), _normals(TRUE))
    bent = bend(film(dented), soft(inside(dented)), TRUE)
    assert np.abs(bent - goal)[0, dent, 0].mean() < 0.7


def test_one_lung_moves_without_the_other() -> None:
    true = TRUE.copy()
    true[1] += np.array([5, -4], np.float32)
    goal = _moved(true, _rim(), _normals(true))
    assert apart(bend(film(true), soft(inside(true)), TRUE), goal) < 1.0


def test_an_even_film_leaves_outlines_where_they_are() -> None:
    undecided = np.full((SIZE, SIZE), _LUNG, np.float32)
    goal = _moved(TRUE, _rim(), _normals(TRUE))
    assert apart(bend(EVEN, undecided, TRUE), goal) < 0.3


@pytest.mark.parametrize(("scale", "grows"), [(1.08, True), (0.92, False)])
def test_what_thresholds_hold_to_be_lung_draws_outlines(scale: float, grows: bool) -> None:
    voted = soft(inside(placed(0.0, 0.0, scale, 0.0)))
    bent, left = (bend(EVEN, lungs, TRUE) for lungs in (voted, np.full((SIZE, SIZE), _LUNG, np.float32)))
    assert (inside(bent).sum() > 1.04 * inside(left).sum()) == grows
    assert (inside(bent).sum() < 0.99 * inside(left).sum()) != grows


def test_outlines_on_a_film_of_noise_stay_near() -> None:
    noise = np.random.default_rng(0).random((SIZE, SIZE), np.float32)
    bent = bend(noise, soft(inside(TRUE)), TRUE)
    assert np.isfinite(bent).all()
    assert np.abs(bent - TRUE).max() < 0.12 * SIZE


# Choice -----------------------------------------------------------------------------------------------------


def test_the_start_at_the_edges_is_chosen_and_moved_half_of_the_way() -> None:
    near, wrong = placed(0.02, 0.01, 1.0, 0.0), placed(0.0, 0.15, 0.9, 0.0)
    for pairs in (np.stack([near, wrong]), np.stack([wrong, near])):
        chosen = choose(film(TRUE), pairs, np.ones(2, np.float32))
        assert apart(near, TRUE) > apart(chosen, TRUE) > 0.2 * apart(near, TRUE)
        assert apart(chosen, near) < apart(near, TRUE)


def test_a_better_fit_decides_where_the_film_does_not() -> None:
    pairs = np.stack([placed(-0.05, 0.0, 1.0, 0.0), placed(0.05, 0.0, 1.0, 0.0)])
    for best in range(2):
        fit = np.array([0.5, 0.5], np.float32)
        fit[best] = 0.6
        assert choose(EVEN, pairs, fit) == pytest.approx(pairs[best], abs=0.05)


# Movements --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bends", [1, 3, 4])
def test_movements_are_independent_of_one_another(bends: int) -> None:
    movements, penalties = _movements(bends)
    ways = 3 + 2 * (3 + 2 * (bends - 1))
    assert movements.shape == (2 * POINTS, ways)
    assert penalties.shape == (2 * ways, 2 * ways)
    own = movements[:, 3:]  # those of both lungs are sums of these
    assert np.linalg.matrix_rank(own.astype(float)) == ways - 3
    assert np.linalg.eigvalsh(penalties).min() > 0
    assert (penalties[3:ways, 3:ways].diagonal() > penalties[0, 0]).all()


def test_movements_do_not_depend_on_the_film() -> None:
    before = [(movements.copy(), penalties.copy()) for movements, penalties in map(_movements, (1, 3, 4))]
    for grey in (film(TRUE), EVEN):
        bend(grey, soft(inside(TRUE)), placed(0.02, 0.0, 1.0, 0.0))
    for (movements, penalties), bends in zip(before, (1, 3, 4), strict=True):
        assert (_movements(bends)[0] == movements).all()
        assert (_movements(bends)[1] == penalties).all()


def test_movements_of_both_lungs_shift_and_scale() -> None:
    both = _movements(1)[0][:, :3].astype(float)
    for wanted in (np.ones(2 * POINTS), MEAN[..., 0].ravel(), MEAN[..., 1].ravel()):
        amounts = np.linalg.lstsq(both, wanted, rcond=None)[0]
        assert both @ amounts == pytest.approx(wanted, abs=1e-5)


def test_movements_of_one_lung_leave_the_other() -> None:
    right, left = _movements(4)[0].reshape(2, POINTS, -1)[:, :, 3:]
    assert ((right == 0).all(axis=0) != (left == 0).all(axis=0)).all()


@pytest.mark.parametrize("step", [_COARSE, *_PASSES])
def test_outlines_follow_by_weighted_least_squares(step: object) -> None:
    assert isinstance(step, type(_COARSE))
    begin = placed(0.02, 0.01, 0.97, 0.01)
    profiles = _profiles(film(TRUE), soft(inside(TRUE)), begin, step, 1.0)
    movements, penalties = _movements(step.bends)
    best = profiles.costs.argmin(axis=-1)
    steps = np.take_along_axis(profiles.steps, best[..., None], axis=-1).ravel().clip(0.02, 0.5).astype(float)
    normals = profiles.normals.ravel()
    along = np.hstack([normals.real[:, None] * movements, normals.imag[:, None] * movements]).astype(float)
    rows = np.vstack([np.sqrt(steps)[:, None] * along, np.sqrt(penalties)])
    far = np.concatenate([np.sqrt(steps) * step.pace * (best.ravel() - step.reach), np.zeros(len(penalties))])
    across, down = np.linalg.lstsq(rows, far, rcond=None)[0].reshape(2, -1)
    expected = begin.reshape(-1, 2) + np.stack([movements @ across, movements @ down], axis=-1)
    assert _fitted(begin, profiles, step, 1.0).reshape(-1, 2) == pytest.approx(expected, abs=0.02)


# Tangles ----------------------------------------------------------------------------------------------------


def test_a_diaphragm_beyond_the_ribs_is_brought_back() -> None:
    tangled = TRUE.copy()
    tangled[0, DIAPHRAGM.start + 1 : DIAPHRAGM.start + 5, 0] -= 15
    tangled[1, DIAPHRAGM.start + 1 : DIAPHRAGM.start + 5, 0] += 15
    untangled = _untangled(tangled)
    for lung, outwards in ((0, -1), (1, 1)):
        ribs, diaphragm = untangled[lung][COSTAL], untangled[lung][DIAPHRAGM]
        assert (outwards * tangled[lung][DIAPHRAGM, 0] > outwards * TRUE[lung][DIAPHRAGM, 0]).any()
        for column, row in diaphragm:
            there = np.interp(row, ribs[:, 1], ribs[:, 0])
            assert outwards * column <= outwards * there + 1e-3
        others = np.delete(np.arange(POINTS), np.r_[DIAPHRAGM])
        assert (untangled[lung][others] == tangled[lung][others]).all()


def test_what_is_not_tangled_is_left_alone() -> None:
    before = TRUE.copy()
    assert _untangled(TRUE) == pytest.approx(before, abs=1e-4)
    assert (before == TRUE).all()
