"""Lungs and heart as readers draw them, on depths that are known at every pixel."""

from __future__ import annotations

import numpy as np
import pytest

from artasyn.segment.anatomy.footprints import BELOW, BETWEEN, MIDDLE, SHOWN, drawn

SHAPE = (200, 240)


def depths() -> dict[str, np.ndarray]:
    """Two square lungs of 200 mm, a heart before the left one, a spine between them, the abdomen below row 150."""
    names = ("lung_right", "lung_left", "heart", "spine", BELOW, BETWEEN)
    found = {name: np.zeros(SHAPE, np.float32) for name in names}
    found["lung_right"][20:180, 20:110] = found["lung_left"][20:180, 130:220] = 200
    found["heart"][90:170, 125:170] = 90
    found["spine"][:, 112:128] = 40
    found[BELOW][150:, :] = 120
    return found


def test_lungs_end_at_the_heart_the_domes_and_where_little_lung_is_left() -> None:
    maps = depths()
    maps["lung_right"][20:180, 20:30] = 0.9 * SHOWN * 200
    found = drawn(maps.get, 0.0)
    visible, whole = found["visible_lung_left"], found["whole_lung_left"]
    assert visible[60, 180]
    assert not visible[60, 60]
    assert not visible[120, 150]
    assert not visible[160, 200]
    assert not found["visible_lung_right"][100, 25]
    assert found["visible_lung_right"][100, 40]
    assert whole[120, 150]  # behind the heart
    assert whole[160, 150]
    assert not whole[160, 200]
    assert not found["whole_lung_right"][160, 60]
    rows = np.flatnonzero(found["drawn_heart"].any(axis=1))
    assert rows[0] == pytest.approx(90, abs=2)
    assert 150 < rows[-1] < 163  # readers leave out its lowest part


def test_a_recess_with_much_lung_before_little_abdomen_is_lung() -> None:
    maps = depths()
    maps[BELOW][150:, :60] = 15
    found = drawn(maps.get, 0.0)["visible_lung_right"]
    assert found[165, 45]
    assert not found[165, 90]


def test_the_mediastinum_hides_less_of_the_right_lung() -> None:
    maps = depths()
    maps[BETWEEN][20:90, 90:150] = (MIDDLE["right"] + MIDDLE["left"]) / 2
    found = drawn(maps.get, 0.0)
    assert found["visible_lung_right"][60, 100]
    assert not found["visible_lung_left"][60, 140]


def test_nothing_is_drawn_from_the_side() -> None:
    assert drawn(depths().get, 90.0) == {}
