"""All measures of a projection: of a chest of ellipsoids, a phantom and a real CT; what is missing has a reason."""

from __future__ import annotations

import json

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.phantom.film import Phantom
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.measures.cardiothoracic import CardiothoracicRatio
from artasyn.segment.measures.carina import CarinalAngle
from artasyn.segment.measures.cobb import CobbAngle, cobb_angle
from artasyn.segment.measures.diaphragm import DiaphragmHeights
from artasyn.segment.measures.lung_areas import LungAreas
from artasyn.segment.measures.measures import Measures, measure
from artasyn.segment.projection.projection import Projection, project
from artasyn.segment.projection.view import View
from tests.segment.measures.shapes import PARALLEL, arc, largest_angle


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
    assert areas.left_to_right < 1  # the heart hides more of it
    heights = measures.diaphragm_heights
    assert heights is not None
    assert heights.difference_mm == pytest.approx(15, abs=4)  # the liver reaches to -60, the spleen to -75
    assert heights.difference_mm == heights.difference * 1.5
    assert measures.confidence == {"cardiothoracic_ratio": 1.0, "lung_areas": 1.0, "diaphragm_heights": 1.0}
    assert sorted(measures.reasons) == ["carinal_angle", "cobb_angle"]
    assert "needs 5 whole vertebrae, found 2" in measures.reasons["cobb_angle"]


@pytest.mark.parametrize("view", [View(90.0), View(45.0), View(0.0, 25.0), View(-90.0)])
def test_other_than_frontal_views_are_not_measured(volume: Volume, view: View) -> None:
    projection = project(volume, View(view.angle, view.tilt, size=(64, 64)))
    for measured in (CardiothoracicRatio, CobbAngle, LungAreas, CarinalAngle, DiaphragmHeights):
        with pytest.raises(DataError, match="not a frontal view"):
            measured.of(projection)
    measures = measure(projection)
    assert (measures.cardiothoracic_ratio, measures.cobb_angle, measures.lung_areas) == (None, None, None)
    assert len(measures.reasons) == 5


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
    lungs = {name: Structure.of(volume.mask(name)) for name in ("lung_right", "lung_left")}
    measures = measure(project(Volume(volume.hu, volume.affine, lungs), View(size=(192, 192))))
    areas = measures.lung_areas
    assert areas is not None
    assert areas.total is not None
    assert 300 < areas.total < 700
    assert 0.35 < areas.left_share < 0.52
    assert {"cardiothoracic_ratio", "cobb_angle"} <= set(measures.reasons)


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
    for projection, expected in ((parallel, 0.449), (cone, 0.441)):
        measures = measure(projection, "projected")
        ratio, cobb, areas = measures.cardiothoracic_ratio, measures.cobb_angle, measures.lung_areas
        assert ratio is not None
        assert ratio.value == pytest.approx(expected, abs=0.002)
        assert cobb is not None
        assert 12.5 < cobb.angle < 14
        assert (cobb.upper.name, cobb.lower.name) == ("vertebrae_T5", "vertebrae_T11")
        assert cobb.convex == "image left"
        assert areas is not None
        assert areas.left_to_right < 1  # the heart is on the left
        assert sorted(measures.reasons) == ["carinal_angle", "diaphragm_heights"]  # nothing of them was projected
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
    heart = patient.structures["heart"].mask
    below = np.flatnonzero(heart[heart.shape[0] // 2 :].any(axis=(0, 1)))  # the pulmonary veins enter above
    assert ratio.value == pytest.approx((np.ptp(below) + 1) / widest, abs=0.01)
    assert ratio.thorax_width * projection.spacing == pytest.approx(widest * patient.spacing[2], abs=2.5)
    places = [patient.structures[name].centroid() for name in cobb.names]
    flat = np.array([[z * patient.spacing[0], x * patient.spacing[2]] for z, _, x in places])
    assert cobb.angle == pytest.approx(largest_angle(flat), abs=0.15)
