"""The cardiothoracic ratio against boxes and ellipses of known widths."""

from __future__ import annotations

import math

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.segment.ct.volume import Volume
from artasyn.segment.measures.cardiothoracic import CardiothoracicRatio, Span, cardiothoracic_ratio, without_spurs
from artasyn.segment.measures.footprints import check_masks
from artasyn.segment.places import main_parts
from artasyn.segment.projection.projection import project
from artasyn.segment.projection.view import View
from tests.segment.measures.shapes import PARALLEL, thorax, turned


def boxes() -> tuple[np.ndarray, np.ndarray]:
    """A heart of two boxes that reach farthest in different rows, and two lungs."""
    heart, lungs = np.zeros((2, 100, 120), bool)
    lungs[10:90, 10:50] = lungs[10:90, 70:110] = True
    heart[40:60, 40:62] = heart[52:80, 50:85] = True
    return heart, lungs


def spur(heart: np.ndarray, side: int, height: float, row: int) -> np.ndarray:
    """A heart with a vessel of 20 pixels at image left (-1) or right (1)."""
    found, columns = heart.copy(), np.flatnonzero(heart.any(axis=0))
    rows = slice(row, row + round(height))
    found[rows, columns[0] - 20 : 200] |= side < 0
    found[rows, 200 : columns[-1] + 21] |= side > 0
    return np.asarray(found)


def test_the_heart_counts_from_its_outermost_places_in_whichever_rows() -> None:
    ratio = cardiothoracic_ratio(*boxes())
    assert ratio.value == 0.45
    assert (ratio.heart_width, ratio.thorax_width) == (45, 100)
    assert ratio.heart_right == Span((49.5, 39.5), (49.5, 59.5))
    row = ratio.heart_left.end[0]
    assert ratio.heart_left == Span((row, 59.5), (row, 84.5))
    assert row == pytest.approx(65.5, abs=1.5)  # the upper corner of the box may be taken for a vessel
    assert ratio.thorax == Span((50.0, 9.5), (50.0, 109.5))
    assert ratio.thorax.length == 100


@pytest.mark.parametrize(("column", "parts"), [(45.5, (6, 39)), (0.0, (0, 45)), (110.0, (45, 0)), (59.5, (20, 25))])
def test_the_midline_divides_the_heart_and_leaves_the_ratio(column: float, parts: tuple[float, float]) -> None:
    ratio = cardiothoracic_ratio(*boxes(), midline=(30.0, column))
    assert ratio.value == 0.45
    assert (ratio.heart_right.length, ratio.heart_left.length) == parts


def test_the_thorax_is_widest_where_the_lungs_edges_are_farthest_apart() -> None:
    heart, lungs = boxes()
    lungs[70, 9], lungs[30, 110:112] = True, True  # in different rows: a line across has only one of them
    ratio = cardiothoracic_ratio(heart, lungs)
    assert ratio.thorax_width == 102
    assert ratio.thorax.start == (30.0, 9.5)


@pytest.mark.parametrize("roll", [0.0, 5.0, -12.0, 30.0])
def test_ellipses_in_any_roll(roll: float) -> None:
    ratio = cardiothoracic_ratio(*thorax(roll), roll=roll)
    assert ratio.value == pytest.approx(120 / 260, abs=0.006)
    assert ratio.thorax_width == pytest.approx(260, abs=2)
    (row, column), (to_row, to_column) = ratio.thorax
    assert math.degrees(math.atan2(to_row - row, to_column - column)) == pytest.approx(roll, abs=1e-6)
    assert ratio.heart_right.length + ratio.heart_left.length == pytest.approx(ratio.heart_width)
    middle = np.mean(ratio.thorax, axis=0) - 199.5
    along, across = turned(middle[None], roll)[0]  # both ends turned about the middle
    assert abs(along) < 10
    assert abs(across) < 1


def test_a_roll_that_is_not_told_makes_another_ratio() -> None:
    heart, lungs = thorax(30.0)
    assert abs(cardiothoracic_ratio(heart, lungs).value - 120 / 260) > 0.02


def test_size_and_side_do_not_matter() -> None:
    heart, lungs = boxes()
    ratio = cardiothoracic_ratio(heart, lungs, midline=(0.0, 59.5))
    large = cardiothoracic_ratio(*(np.kron(mask, np.ones((3, 3))).astype(bool) for mask in (heart, lungs)))
    assert large.value == ratio.value
    flipped = cardiothoracic_ratio(heart[:, ::-1], lungs[:, ::-1], midline=(0.0, 59.5))
    assert flipped.value == ratio.value
    assert flipped.heart_left.length == ratio.heart_right.length


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("height", [4, 10, 24])
def test_vessels_at_the_hila_are_not_the_heart(side: int, height: int) -> None:
    heart, lungs = thorax()
    plain, vessel = cardiothoracic_ratio(heart, lungs), spur(heart, side, height, 215)
    ratio = cardiothoracic_ratio(vessel, lungs)
    assert ratio.value == pytest.approx(plain.value, abs=1.01 / 260)
    drawn = ratio.heart_right.start if side < 0 else ratio.heart_left.end
    assert drawn[0] > 215 + height  # below the vessel
    assert not without_spurs(vessel.astype(np.float32))[215:219, [145, 295]].any()


def test_a_vessel_is_above_in_the_body_not_in_the_picture() -> None:
    heart, lungs = thorax()
    plain = cardiothoracic_ratio(heart, lungs).value
    turns = [np.rot90(mask) for mask in (spur(heart, -1, 10, 215), lungs)]  # image left comes to the bottom
    assert cardiothoracic_ratio(*turns, roll=-90.0).value == pytest.approx(plain, abs=0.005)
    upside = without_spurs(spur(heart, -1, 10, 215).astype(np.float32), roll=180.0)
    assert upside[215:225, 145].all()


def test_corners_below_the_middle_are_the_heart() -> None:
    heart, lungs = thorax()
    apex = heart.copy()
    for row in range(255, 290):  # a pointed apex
        apex[row, 200 : 285 + (15 - abs(row - 272)) // 2] = True
    assert cardiothoracic_ratio(apex, lungs).heart_left.end[1] == np.flatnonzero(apex.any(axis=0))[-1] + 0.5
    assert (without_spurs(apex.astype(np.float32))[250:] > 0.5).sum() == apex[250:].sum()


@pytest.mark.parametrize("hole", [(220, 190), (250, 205), (270, 230)])
def test_a_hole_in_the_heart_changes_nothing(hole: tuple[int, int]) -> None:
    heart, lungs = thorax()
    vessel = spur(heart, -1, 10, 215)
    whole, kept = cardiothoracic_ratio(vessel, lungs), without_spurs(vessel.astype(np.float32))
    assert vessel[hole]
    vessel[hole] = kept[hole] = False
    assert cardiothoracic_ratio(vessel, lungs) == whole
    np.testing.assert_array_equal(without_spurs(vessel.astype(np.float32)), kept)


def test_an_empty_heart_stays_empty() -> None:
    assert not without_spurs(np.zeros((20, 30), np.float32)).any()


def test_a_heart_too_flat_for_a_vessel_is_measured_whole() -> None:
    flat = np.zeros((40, 100), np.float32)
    flat[20:26, 20:80] = 1
    np.testing.assert_array_equal(without_spurs(flat), flat)


def test_lung_behind_the_heart_does_not_matter() -> None:
    heart, lungs = boxes()
    assert cardiothoracic_ratio(heart, lungs & ~heart).value == cardiothoracic_ratio(heart, lungs | heart).value


def test_stray_components_are_not_measured() -> None:
    heart, lungs = boxes()
    expected = cardiothoracic_ratio(heart, lungs)
    heart[90:93, 20:23] = heart[5, 95] = True
    lungs[2:4, 1:119] = True
    assert cardiothoracic_ratio(heart, lungs) == expected
    parts = np.zeros((40, 40), bool)
    parts[:20, :20] = parts[30:35, 30:35] = True  # 25 of 425 pixels
    np.testing.assert_array_equal(main_parts(parts), parts)
    parts[34] = False  # 20 of 420
    assert not main_parts(parts)[30:].any()


def test_what_has_no_ratio() -> None:
    heart, lungs = boxes()
    with pytest.raises(DataError, match="the mask of the heart is empty"):
        cardiothoracic_ratio(heart & False, lungs)
    with pytest.raises(DataError, match="the mask of the lungs is empty"):
        cardiothoracic_ratio(heart, lungs & False)
    with pytest.raises(DataError, match=r"heart and lungs must be of one shape, not \(100, 120\) and \(99, 120\)"):
        check_masks({"heart": heart, "lungs": lungs[1:]})
    with pytest.raises(DataError, match="border cuts the lungs at a side"):
        cardiothoracic_ratio(heart[:, 11:], lungs[:, 11:])
    right = lungs & (np.arange(120) < 60)
    with pytest.raises(DataError, match="the heart reaches beyond the lungs"):
        cardiothoracic_ratio(heart, right)


def test_a_rolled_patient_has_the_same_ratio(volume: Volume) -> None:
    rolled = View(0.0, 0.0, 12.0, None, size=(280, 280), pixel=1.5)
    ratio = CardiothoracicRatio.of(project(volume, rolled))
    assert ratio.value == pytest.approx(CardiothoracicRatio.of(project(volume, PARALLEL)).value, abs=0.01)
    (row, column), (to_row, to_column) = ratio.thorax
    assert math.degrees(math.atan2(to_row - row, to_column - column)) == pytest.approx(12, abs=1e-6)
