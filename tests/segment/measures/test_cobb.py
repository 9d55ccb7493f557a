"""The Cobb angle against arcs of known angles, and the places of vertebrae."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artasyn.errors import DataError
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.measures.cobb import CobbAngle, cobb_angle
from artasyn.segment.places import whole_place
from artasyn.segment.projection.projection import project
from artasyn.segment.projection.view import View
from tests.segment.measures.shapes import arc, largest_angle, turned


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


def test_centroids_are_those_of_whole_structures_without_strays() -> None:
    def place(depth: np.ndarray, covered: np.ndarray | None = None) -> tuple[float, float] | None:
        return whole_place(depth, depth > 2, covered)

    depth = np.zeros((60, 40), np.float32)
    assert place(depth) is None
    depth[30:34, 10:15], depth[30:34, 15:20] = 30, 10
    depth[50, 30] = 30  # stray
    assert place(depth) == pytest.approx((31.5, 0.75 * 12 + 0.25 * 17))
    assert whole_place(np.ones_like(depth), depth > 2) == (31.5, 14.5)
    covered = np.ones((60, 40), bool)
    covered[34:] = False
    assert place(depth, covered) is not None
    covered[33:] = False
    assert place(depth, covered) is None
    assert place(np.roll(depth, -30, axis=0)) is None  # at the border


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
