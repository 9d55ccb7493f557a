"""Views: where source and detector stand around a patient, and which way up the picture is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.segment.projection.view import Exposure, View

RIGHT, FRONT, HEAD = np.eye(3)
LEFT, BACK, FOOT = -RIGHT, -FRONT, -HEAD
AFFINE = np.array([[0, 0, -1.0, 20], [0, -2.0, 0, 30], [-4.0, 0, 0, 50], [0, 0, 0, 1]])
SHAPE = (26, 31, 41)  # the middle of the grid is at 0, 0, 0; it is 104 mm high, 62 mm deep and 41 mm wide


def exposed(**options: Any) -> Exposure:
    return Exposure.of(View(**options), AFFINE, SHAPE)


def middle(exposure: Exposure) -> np.ndarray:
    h, w = exposure.size
    return np.asarray(exposure.corner + (h - 1) / 2 * exposure.row + (w - 1) / 2 * exposure.column)


@pytest.mark.parametrize(
    ("angle", "ray", "right"),
    [
        (0.0, FRONT, LEFT),
        (90.0, LEFT, BACK),
        (180.0, BACK, LEFT),
        (-180.0, BACK, LEFT),
        (-90.0, RIGHT, BACK),
        (270.0, RIGHT, BACK),
        (45.0, (FRONT + LEFT) / math.sqrt(2), (LEFT + BACK) / math.sqrt(2)),
        (135.0, (BACK + LEFT) / math.sqrt(2), (LEFT + FRONT) / math.sqrt(2)),
        (-45.0, (FRONT + RIGHT) / math.sqrt(2), (LEFT + FRONT) / math.sqrt(2)),
    ],
)
def test_rays_run_as_named_and_the_head_is_up(angle: float, ray: np.ndarray, right: np.ndarray) -> None:
    axes = View(angle).axes()
    np.testing.assert_allclose(axes, (FOOT, right, ray), atol=1e-12)


def test_left_is_at_image_right_in_every_view_that_has_a_left_and_a_right() -> None:
    for angle in range(-360, 361, 15):
        _, right, _ = View(float(angle)).axes()
        if angle % 180 == 90:
            np.testing.assert_allclose(right, BACK, atol=1e-9)
        else:
            assert right @ LEFT > 0.2


def test_axes_are_perpendicular_whatever_the_angles() -> None:
    rng = np.random.default_rng(0)
    for angle, tilt, roll in rng.uniform((-360, -60, -180), (360, 60, 180), (50, 3)).tolist():
        axes = np.array(View(angle, tilt, roll).axes())
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 40.0, 90.0, 180.0, -120.0])
def test_a_tilted_beam_goes_toward_the_head(angle: float) -> None:
    down, right, ray = View(angle, tilt=20.0).axes()
    assert ray @ HEAD == pytest.approx(math.sin(math.radians(20)))
    assert down @ FOOT == pytest.approx(math.cos(math.radians(20)))
    assert right @ HEAD == pytest.approx(0)


@pytest.mark.parametrize("angle", [0.0, 90.0, 180.0, -90.0])
def test_a_positive_roll_turns_the_head_to_image_right(angle: float) -> None:
    down, right, _ = View(angle, roll=30.0).axes()
    assert HEAD @ right == pytest.approx(0.5)  # clockwise: what was up goes to the right
    assert HEAD @ -down == pytest.approx(math.cos(math.radians(30)))


def test_distances_are_along_the_central_ray() -> None:
    found = exposed(source_to_detector=1500.0, source_to_patient=1200.0, size=(51, 71), pixel=2.0)
    np.testing.assert_allclose(found.source, 1200 * BACK, atol=1e-9)
    np.testing.assert_allclose(middle(found), 300 * FRONT, atol=1e-9)
    np.testing.assert_allclose(found.row, 2 * FOOT, atol=1e-12)
    np.testing.assert_allclose(found.column, 2 * LEFT, atol=1e-12)
    assert found.pixel == pytest.approx(2)
    assert View(source_to_detector=1500.0, source_to_patient=1200.0).magnification == pytest.approx(1.25)


def test_without_a_distance_the_patient_is_200_mm_before_the_detector() -> None:
    assert View(source_to_detector=1800.0).to_patient == 1600
    assert View(source_to_detector=None).magnification == 1
    assert View(source_to_detector=None).to_patient == math.inf


def test_shift_moves_the_detector_and_isocentre_all() -> None:
    plain, moved = (exposed(size=(32, 32), pixel=1.0, shift=shift) for shift in ((0.0, 0.0), (7.0, -3.0)))
    np.testing.assert_allclose(moved.corner - plain.corner, 7 * FOOT - 3 * LEFT, atol=1e-9)
    np.testing.assert_allclose(moved.source, plain.source, atol=1e-9)
    elsewhere = exposed(size=(32, 32), pixel=1.0, isocentre=(5.0, -8.0, 30.0))
    for point in ("source", "corner"):
        np.testing.assert_allclose(getattr(elsewhere, point) - getattr(plain, point), (5, -8, 30), atol=1e-9)


def test_parallel_rays_have_a_direction_and_pixels_of_the_finest_spacing() -> None:
    found = exposed(source_to_detector=None, size=None)
    assert found.parallel
    np.testing.assert_allclose(found.source, FRONT, atol=1e-12)
    assert found.pixel == pytest.approx(1)
    assert found.size == (104, 41)


def test_a_size_without_pixels_just_covers_the_volume() -> None:
    assert exposed(source_to_detector=None, size=(52, 52)).pixel == pytest.approx(2)
    assert exposed(source_to_detector=None, size=(520, 41)).pixel == pytest.approx(1)
    assert exposed(source_to_detector=None, size=None, pixel=3.0).size == (35, 14)


@pytest.mark.parametrize(
    "options",
    [{}, {"angle": 35.0}, {"angle": 160.0, "tilt": 15.0}, {"angle": 90.0, "roll": 25.0}, {"tilt": -20.0, "roll": 5.0}],
)
@pytest.mark.parametrize("distance", [None, 700.0])
def test_a_fitting_detector_sees_all_corners_and_no_more(options: dict[str, float], distance: float | None) -> None:
    found = exposed(size=(200, 150), source_to_detector=distance, **options)
    index = np.array([(z, y, x) for z in (-0.5, 25.5) for y in (-0.5, 30.5) for x in (-0.5, 40.5)])
    corners = index @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    normal = np.cross(found.row, found.column)
    rays = np.broadcast_to(found.source, corners.shape) if found.parallel else corners - found.source
    hits = corners + rays * (((found.corner - corners) @ normal) / (rays @ normal))[:, None] - found.corner
    places = np.stack([hits @ axis / (axis @ axis) for axis in (found.row, found.column)])  # in pixels
    lowest, highest = places.min(axis=1) + 0.5, np.array([200, 150]) - 0.5 - places.max(axis=1)
    assert min(*lowest, *highest) > -1e-6
    assert min(*lowest, *highest) == pytest.approx(0, abs=1e-6)


def test_usual_views_by_name_and_oblique_ones_by_number() -> None:
    assert View.named("PA") == View(0.0, source_to_detector=1800.0)
    assert View.named("ap") == View(180.0, source_to_detector=1100.0)
    assert View.named("lateral") == View.named("left_lateral") == View(90.0)
    assert View.named("right_lateral", size=(64, 64)) == View(-90.0, size=(64, 64))
    assert View.named("-37.5", source_to_detector=None) == View(-37.5, source_to_detector=None)
    assert View.named("ap", source_to_detector=1500.0).source_to_detector == 1500
    with pytest.raises(DataError, match="no view 'sideways'; give one of pa, ap, lateral"):
        View.named("sideways")
    with pytest.raises(DataError, match=r"tilt is 80\.0"):
        View.named("30", tilt=80.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tilt": 61.0}, "tilt is 61.0, not from -60 to 60"),
        ({"tilt": math.nan}, "tilt is nan, not a finite"),
        ({"angle": math.inf}, "angle is inf, not a finite"),
        ({"roll": math.nan}, "roll is nan, not a finite"),
        ({"shift": (0.0, math.inf)}, r"shift\[1\] is inf, not a finite"),
        ({"isocentre": (0.0, math.nan, 0.0)}, r"isocentre\[1\] is nan, not a finite"),
        ({"size": (8, 512)}, r"size\[0\] is 8, not from 16 to 8192"),
        ({"size": (512, 9000)}, r"size\[1\] is 9000, not from 16 to 8192"),
        ({"pixel": 0.0}, "pixel is 0.0, not from 0.001 to 100"),
        ({"pixel": math.nan}, "pixel is nan"),
        ({"source_to_detector": None, "source_to_patient": 900.0}, "parallel rays have no source"),
        ({"source_to_detector": 1000.0, "source_to_patient": 1000.0}, "between source and detector"),
        ({"source_to_detector": 150.0}, "between source and detector"),
        ({"source_to_detector": 1000.0, "source_to_patient": 0.0}, "source_to_patient is 0.0, not from 0.5"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        View(**options)


def test_a_source_inside_the_volume_is_refused() -> None:
    with pytest.raises(DataError, match="source_to_patient is too short"):
        exposed(source_to_detector=300.0, source_to_patient=20.0)


def test_a_mirrored_picture_is_asked_for_outright() -> None:
    for angle in (0.0, 90.0, 180.0):
        down, right, ray = View(angle).axes()
        flipped = View(angle, mirror=not View(angle).mirrored).axes()
        np.testing.assert_allclose(flipped, (down, -right, ray), atol=1e-12)
