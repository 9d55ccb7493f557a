"""Measures: against rectangles, ellipses and arcs whose measures are known, and on a real CT."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artasyn.errors import DataError
from artasyn.phantom.film import Phantom
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.measures.cardiothoracic import CardiothoracicRatio, Span, cardiothoracic_ratio
from artasyn.segment.measures.cobb import CobbAngle, cobb_angle, vertebra_centroids
from artasyn.segment.measures.footprints import check_masks, main_parts
from artasyn.segment.measures.lung_areas import LungAreas, lung_areas
from artasyn.segment.measures.measures import Measures, measure
from artasyn.segment.projection.projection import Projection, project
from artasyn.segment.projection.view import View
from tests.chest import chest

PARALLEL = View(source_to_detector=None, size=(240, 240), pixel=1.5)


def boxes() -> tuple[np.ndarray, np.ndarray]:
    """A heart of two boxes that reach farthest in different rows, and two lungs."""
    heart, lungs = np.zeros((2, 100, 120), bool)
    lungs[10:90, 10:50] = lungs[10:90, 70:110] = True
    heart[50:60, 40:62] = heart[58:80, 50:85] = True
    return heart, lungs


def ellipse(centre: tuple[float, float], half: tuple[float, float], roll: float = 0.0) -> np.ndarray:
    """An ellipse in a picture of 400 x 400 pixels, both turned clockwise about the picture's middle."""
    rows, columns = np.mgrid[:400, :400] - 199.5
    angle = np.radians(roll)
    down = rows * np.cos(angle) - columns * np.sin(angle) - centre[0]
    right = columns * np.cos(angle) + rows * np.sin(angle) - centre[1]
    return np.asarray((down / half[0]) ** 2 + (right / half[1]) ** 2 <= 1)


def thorax(roll: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A heart of 120 pixels in a thorax of 260."""
    lungs = ellipse((0, -70), (110, 60), roll) | ellipse((0, 70), (110, 60), roll)
    return ellipse((50, 20), (45, 60), roll), lungs


def arc(angle: float, count: int, radius: float = 300.0) -> np.ndarray:
    """Places on an arc, from head to foot, bulging to image right; its inner end-plates span all but two steps."""
    bend = np.radians(np.linspace(-angle / 2, angle / 2, count))
    return np.stack([radius * np.sin(bend), radius * np.cos(bend)], axis=1)


def largest_angle(places: np.ndarray) -> float:
    """The largest angle between bisectors of neighbouring segments, pair by pair."""
    steps = np.diff(places, axis=0)
    units = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    bisectors = units[:-1] + units[1:]
    bisectors /= np.linalg.norm(bisectors, axis=1, keepdims=True)
    return float(np.degrees(np.arccos(np.clip(bisectors @ bisectors.T, -1, 1))).max())


def turned(places: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(places @ turn.T)


def test_the_heart_counts_from_its_outermost_places_in_whichever_rows() -> None:
    ratio = cardiothoracic_ratio(*boxes())
    assert ratio.value == 0.45
    assert (ratio.heart_width, ratio.thorax_width) == (45, 100)
    assert ratio.heart_right == Span((54.5, 39.5), (54.5, 59.5))
    assert ratio.heart_left == Span((68.5, 59.5), (68.5, 84.5))
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


@pytest.mark.parametrize(("angle", "count"), [(40.0, 9), (16.0, 5), (60.0, 16), (100.0, 12)])
def test_an_arc_has_the_angle_between_its_inner_ends(angle: float, count: int) -> None:
    found = cobb_angle(arc(angle, count))
    assert found.angle == pytest.approx(angle * (count - 3) / (count - 1), abs=1e-9)
    assert (found.upper.name, found.lower.name) == ("2", str(count - 1))
    assert found.convex == "image right"
    assert found.upper.tilt == pytest.approx(-found.lower.tilt)
    assert cobb_angle(arc(angle, count) * [1, -1]).convex == "image left"


def test_a_straight_spine_has_none() -> None:
    places = np.stack([np.arange(8.0) * 30, np.full(8, 50.0)], axis=1)
    assert cobb_angle(places).angle == 0
    assert cobb_angle(turned(places, 33.0)).angle == pytest.approx(0, abs=1e-9)


def test_of_two_curves_the_strongest_counts() -> None:
    courses = np.radians([0, 10, 20, 10, 0, -5, -10, -5, 0])
    places = np.concatenate([[[0, 0]], np.cumsum(30 * np.stack([np.cos(courses), np.sin(courses)], axis=1), axis=0)])
    found = cobb_angle(places, [f"T{n}" for n in range(1, 11)])
    # bisectors: 5 15 15 5 -2.5 -7.5 -7.5 -2.5, of T2 to T9
    assert found.angle == pytest.approx(22.5)
    assert found.upper.tilt == pytest.approx(15)
    assert found.lower.tilt == pytest.approx(-7.5)
    assert found.upper.name in ("T3", "T4")
    assert found.lower.name in ("T7", "T8")
    assert found.convex == "image right"


def test_endplates_stand_across_the_spine() -> None:
    found = cobb_angle(arc(40.0, 9))
    for end in (found.upper, found.lower):
        along = np.array(end.place) / np.linalg.norm(end.place)  # of an arc about (0, 0), the normal is the radius
        np.testing.assert_allclose(end.endplate, along, atol=1e-9)


def test_vertebrae_may_be_missing() -> None:
    places = arc(40.0, 9)
    found = cobb_angle(np.delete(places, 4, axis=0), list("abcdfghi"))
    assert found.angle == pytest.approx(30)
    assert (found.upper.name, found.lower.name) == ("b", "h")


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(-25, 25), min_size=4, max_size=16),
    st.floats(-180, 180),
    st.floats(0.1, 10),
    st.floats(-500, 500),
)
def test_turning_scaling_and_moving_change_nothing(
    degrees: list[float], turn: float, scale: float, shift: float
) -> None:
    courses = np.radians(degrees)
    steps = 30 * np.stack([np.cos(courses), np.sin(courses)], axis=1)
    places = np.concatenate([[[0, 0]], np.cumsum(steps, axis=0)])
    expected = largest_angle(places)
    assert cobb_angle(places).angle == pytest.approx(expected, abs=1e-5)
    assert cobb_angle(scale * turned(places, turn) + shift).angle == pytest.approx(expected, abs=1e-5)
    assert cobb_angle(places * [1, -1]).angle == pytest.approx(expected, abs=1e-5)


def test_what_has_no_cobb_angle() -> None:
    with pytest.raises(DataError, match="needs 5 whole vertebrae, found 4"):
        cobb_angle(arc(40.0, 4))
    with pytest.raises(DataError, match="rows and columns"):
        cobb_angle(np.zeros((5, 3)))
    with pytest.raises(DataError, match="finite"):
        cobb_angle(arc(40.0, 6) * np.nan)
    with pytest.raises(DataError, match="6 vertebrae cannot have 2 names"):
        cobb_angle(arc(40.0, 6), ["a", "b"])
    with pytest.raises(DataError, match="not in order"):
        cobb_angle(arc(40.0, 6)[[0, 1, 3, 2, 4, 5]])
    with pytest.raises(DataError, match="not in order"):
        cobb_angle(arc(40.0, 6)[[0, 1, 2, 2, 4, 5]])


def test_centroids_from_head_to_foot() -> None:
    names = ["vertebrae_L1", "heart", "vertebrae_T12", "vertebrae_T11", "vertebrae_T10", "vertebrae_T9"]
    thickness = np.zeros((6, 60, 40), np.float32)
    thickness[0, 40:44, 10:20] = 30
    thickness[1, 10:50, 5:35] = 90
    thickness[2, 30:34, 10:15], thickness[2, 30:34, 15:20] = 30, 10
    thickness[3, :4, 10:20] = 30  # at the border
    thickness[4, 10:14, 10:20] = 30
    thickness[4, 50, 30] = 30  # stray
    found = vertebra_centroids(thickness, names)
    assert list(found) == ["vertebrae_T10", "vertebrae_T12", "vertebrae_L1"]  # nothing of T9
    assert found["vertebrae_T10"] == (11.5, 14.5)
    assert found["vertebrae_T12"] == pytest.approx((31.5, 0.75 * 12 + 0.25 * 17))
    masks = vertebra_centroids(thickness > 2, names)
    assert masks["vertebrae_T12"] == (31.5, 14.5)
    covered = np.ones((60, 40), bool)
    covered[43:] = False
    assert list(vertebra_centroids(thickness, names, covered=covered)) == ["vertebrae_T10", "vertebrae_T12"]


def test_areas_of_rectangles_and_ellipses() -> None:
    right, left = ellipse((0, -70), (110, 60)), ellipse((0, 70), (90, 45))
    areas = lung_areas(right, left, 0.5)
    assert areas.right == pytest.approx(math.pi * 55 * 30 / 100, rel=0.005)
    assert areas.left == pytest.approx(math.pi * 45 * 22.5 / 100, rel=0.005)
    assert areas.total == areas.right + areas.left
    assert areas.left_share == pytest.approx(90 * 45 / (90 * 45 + 110 * 60), abs=0.002)
    assert areas.right_size == pytest.approx((110, 60), abs=1)
    assert areas.right_centre == pytest.approx((199.5, 129.5))
    doubled = lung_areas(right, left, 1.0)
    assert doubled.total == pytest.approx(4 * areas.total)
    right[2, 2] = True
    assert lung_areas(right, left, 0.5) == areas


def test_what_has_no_areas() -> None:
    mask = np.ones((20, 20), bool)
    with pytest.raises(DataError, match="the mask of the left lung is empty"):
        lung_areas(mask, ~mask, 1.0)
    for spacing in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(DataError, match="spacing must be"):
            lung_areas(mask, mask, spacing)


@pytest.fixture(scope="module")
def volume() -> Volume:
    return chest((4.0, 3.0, 3.0))


@pytest.mark.parametrize("view", [PARALLEL, View(180.0, source_to_detector=None, size=(240, 240), pixel=1.5)])
def test_a_chest_of_ellipsoids_seen_from_back_and_front(volume: Volume, view: View) -> None:
    measures = measure(project(volume, view))
    ratio, areas = measures.cardiothoracic_ratio, measures.lung_areas
    assert ratio is not None
    assert ratio.value == pytest.approx(100 / 240, abs=0.012)  # the heart's half axis is 50, the lungs reach to 120
    assert ratio.thorax_width * 1.5 == pytest.approx(240, abs=4)
    assert ratio.heart_left.length > ratio.heart_right.length  # most of it lies at image right
    assert ratio.heart_right.length * 1.5 == pytest.approx(25, abs=4)  # to the spine
    assert areas is not None
    assert areas.left < areas.right  # the heart hides more of it
    assert list(measures.reasons) == ["cobb_angle"]
    assert "needs 5 whole vertebrae, found 2" in measures.reasons["cobb_angle"]


def test_projected_lungs_have_the_area_of_ellipses(volume: Volume) -> None:
    structures = {name: each for name, each in volume.structures.items() if name.startswith("lung")}
    areas = LungAreas.of(project(Volume(volume.hu, volume.affine, structures), PARALLEL), "projected")
    assert areas.left == pytest.approx(math.pi * 52 * 110 / 100, rel=0.12)  # less what organs take of it
    assert areas.left_size == pytest.approx((220, 104), abs=8)


def test_a_rolled_patient_has_the_same_ratio(volume: Volume) -> None:
    rolled = View(0.0, 0.0, 12.0, None, size=(280, 280), pixel=1.5)
    ratio = CardiothoracicRatio.of(project(volume, rolled))
    assert ratio.value == pytest.approx(CardiothoracicRatio.of(project(volume, PARALLEL)).value, abs=0.01)
    (row, column), (to_row, to_column) = ratio.thorax
    assert math.degrees(math.atan2(to_row - row, to_column - column)) == pytest.approx(12, abs=1e-6)


@pytest.mark.parametrize("view", [View(90.0), View(45.0), View(0.0, 25.0), View(-90.0)])
def test_other_than_frontal_views_are_not_measured(volume: Volume, view: View) -> None:
    projection = project(volume, View(view.angle, view.tilt, size=(64, 64)))
    for measured in (CardiothoracicRatio, CobbAngle, LungAreas):
        with pytest.raises(DataError, match="not a frontal view"):
            measured.of(projection)
    measures = measure(projection)
    assert (measures.cardiothoracic_ratio, measures.cobb_angle, measures.lung_areas) == (None, None, None)
    assert len(measures.reasons) == 3


def test_what_is_missing_is_left_out_with_a_reason(volume: Volume) -> None:
    whole = project(volume, PARALLEL)
    only = project(volume, PARALLEL, structures=["lungs"])
    assert "no structure and no group 'heart'" in measure(only).reasons["cardiothoracic_ratio"]
    without = {name: each for name, each in volume.structures.items() if not name.startswith("vertebrae")}
    ratio = CardiothoracicRatio.of(project(Volume(volume.hu, volume.affine, without), PARALLEL))
    assert ratio.value == CardiothoracicRatio.of(whole).value  # the midline from the thorax
    left = whole.cropped(slice(None), slice(60, None))
    assert "border cuts the lungs" in measure(left).reasons["lung_areas"]
    assert "border cuts the lungs" in measure(left).reasons["cardiothoracic_ratio"]
    above = whole.cropped(slice(0, 60), slice(None))
    assert measure(above).reasons["cardiothoracic_ratio"] == "the heart is not in the picture"


def bent_spine() -> Volume:
    """Nine vertebrae as boxes on an arc, the first cut by the end of the scan."""
    places = np.array([70.0, -140.0]) + arc(40.0, 9, radius=200.0)  # z and x in mm, from head to foot
    grid = np.stack(np.meshgrid(np.arange(70), np.arange(40), np.arange(60), indexing="ij"), axis=-1) * 2.0
    structures = {
        f"vertebrae_T{number + 3}": Structure.of((np.abs(grid - [z, 40, x]) <= [6, 14, 12]).all(axis=-1))
        for number, (z, x) in enumerate(places)
    }
    hu = np.full((70, 40, 60), 30, np.int16)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = -2
    affine[3, 3] = 1
    return Volume(hu, affine, structures)


def test_the_spine_of_a_volume() -> None:
    volume = bent_spine()
    found = CobbAngle.of(project(volume, View(source_to_detector=None, size=(160, 128), pixel=1.0)))
    assert found.names == tuple(f"vertebrae_T{number}" for number in range(4, 12))[: len(found.names)]
    bends = len(found.names) - 3
    assert found.angle == pytest.approx(5 * bends, abs=2.0)  # voxels of 2 mm in steps of 17 mm
    assert found.convex == "image right"
    cone = CobbAngle.of(project(volume, View(source_to_detector=1800.0, size=(160, 128), pixel=1.1)))
    assert abs(cone.angle - 5 * (len(cone.names) - 3)) < 2.5


def test_measures_are_plain(volume: Volume) -> None:
    measures = measure(project(volume, PARALLEL))
    plain = measures.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["cardiothoracic_ratio"]["value"] == measures.cardiothoracic_ratio.value  # type: ignore[union-attr]
    assert plain["cobb_angle"] is None
    assert plain["spacing"] == 1.5
    assert json.loads(json.dumps(Measures(cobb_angle=cobb_angle(arc(40.0, 9))).to_dict()))["spacing"] is None


def test_the_phantom() -> None:
    phantom = Phantom()
    volume = Volume.of_phantom(phantom.volume(phantom.draw(np.random.default_rng(0)), spacing=4.0))
    lungs = {
        f"lung_{side}": next(each for name, each in volume.structures.items() if side in name and "lung" in name)
        for side in ("right", "left")
    }
    measures = measure(project(Volume(volume.hu, volume.affine, lungs), View(size=(192, 192))))
    areas = measures.lung_areas
    assert areas is not None
    assert 300 < areas.total < 700
    assert 0.35 < areas.left_share < 0.52
    assert sorted(measures.reasons) == ["cardiothoracic_ratio", "cobb_angle"]


@pytest.fixture(scope="module")
def patient(real_ct: Volume) -> Volume:
    return real_ct


def across(lungs: np.ndarray) -> np.ndarray:
    """Whether there is lung in a row of voxels from front to back, (z, x)."""
    return np.asarray(lungs.any(axis=1))


def seen(patient: Volume, view: View) -> Projection:
    return project(patient, view, structures=["lungs", "heart", "spine"])


@pytest.mark.realdata
def test_a_real_patient(patient: Volume) -> None:
    parallel = seen(patient, View(source_to_detector=None))
    cone = seen(patient, View())
    for projection, expected in ((parallel, 0.527), (cone, 0.519)):
        measures = measure(projection, "projected")
        ratio, cobb, areas = measures.cardiothoracic_ratio, measures.cobb_angle, measures.lung_areas
        assert ratio is not None
        assert ratio.value == pytest.approx(expected, abs=0.002)
        assert cobb is not None
        assert 12.5 < cobb.angle < 14
        assert (cobb.upper.name, cobb.lower.name) == ("vertebrae_T5", "vertebrae_T11")
        assert cobb.convex == "image left"
        assert areas is not None
        assert areas.left < areas.right  # the heart is on the left
        assert measures.reasons == {}
    near, far = (LungAreas.of(projection, "projected").total for projection in (parallel, cone))
    assert far == pytest.approx(near, rel=0.04)


@pytest.mark.realdata
def test_a_real_patient_measured_in_three_dimensions(patient: Volume) -> None:
    projection = seen(patient, View(source_to_detector=None))
    ratio, cobb = CardiothoracicRatio.of(projection), CobbAngle.of(projection)
    lungs = np.zeros(patient.hu.shape, bool)
    for name, structure in patient.structures.items():
        if name.startswith("lung_"):
            lungs[structure.box] |= structure.mask
    outer = np.array([[columns[0], columns[-1] + 1] for columns in map(np.flatnonzero, across(lungs)) if columns.size])
    widest = float(np.diff(outer).max())
    assert ratio.value == pytest.approx(patient.structures["heart"].mask.shape[2] / widest, abs=0.006)
    assert ratio.thorax_width * projection.spacing == pytest.approx(widest * patient.spacing[2], abs=2.5)
    places = [patient.structures[name].centroid() for name in cobb.names]
    flat = np.array([[z * patient.spacing[0], x * patient.spacing[2]] for z, _, x in places])
    assert cobb.angle == pytest.approx(largest_angle(flat), abs=0.15)
