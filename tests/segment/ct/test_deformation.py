"""Deformed patients: each number does what it says, nothing folds, and labels go where their tissue goes."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.segment.ct.deformation import LEAST_VOLUME, Bend, Deformation, Lattice
from artasyn.segment.ct.truth import known
from artasyn.segment.ct.variation import Variation
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.projection.film_look import FilmLook
from artasyn.segment.projection.projection import project
from artasyn.segment.projection.quality import check_projection, check_volume
from artasyn.segment.projection.randomisation import DomainRandomisation, ProjectionRecord
from artasyn.segment.projection.view import View
from tests.chest import chest

ROUGH = Deformation(
    width=1.1, diaphragm=25.0, heart_width=1.3, scoliosis=Bend(15.0, 400.0, 0.3), seed=5, grain=60.0, strength=3.0
)


@pytest.fixture(scope="module")
def volume() -> Volume:
    return chest((4.0, 4.0, 4.0), length=280.0)


def ends(volume: Volume, name: str, axis: int) -> tuple[float, float]:
    """The first and last place of a structure along an axis, mm, relative to the middle of the volume."""
    inside = np.flatnonzero(volume.mask(name).any(axis=tuple({0, 1, 2} - {axis})))
    middle = (volume.hu.shape[axis] - 1) / 2
    return float((inside[0] - middle) * volume.spacing[axis]), float((inside[-1] - middle) * volume.spacing[axis])


def test_no_deformation_is_the_patient(volume: Volume) -> None:
    assert Deformation()(volume) is volume
    assert Variation(deformation=Deformation())(volume) is volume


def test_a_record_makes_the_same_patient_again(volume: Volume) -> None:
    first, again = ROUGH(volume), ROUGH(volume)
    assert np.array_equal(first.hu, again.hu)
    assert list(first.structures) == list(volume.structures)
    for name, structure in first.structures.items():
        assert structure.start == again.structures[name].start
        assert np.array_equal(structure.mask, again.structures[name].mask)
    other = dataclasses.replace(ROUGH, seed=6)(volume)
    assert not np.array_equal(other.hu, first.hu)


@pytest.mark.parametrize("name", ["lung_lower_lobe_right", "lung_upper_lobe_left", "heart", "liver"])
def test_labels_go_where_their_tissue_goes(volume: Volume, name: str) -> None:
    painted = dataclasses.replace(volume, hu=np.where(volume.mask(name), 1000, 0).astype(np.int16))
    other = ROUGH(painted)
    tissue, label = other.hu >= 500, other.mask(name)
    assert 2 * np.count_nonzero(tissue & label) / (tissue.sum() + label.sum()) > 0.95
    moved = np.count_nonzero(label & volume.mask(name)) / np.count_nonzero(label)
    assert moved < 0.95


def test_overlapping_structures_stay_overlapping(volume: Volume) -> None:
    other = ROUGH(volume)
    vessels = other.mask("vessels_right")
    assert np.count_nonzero(vessels & other.mask("lungs")) > 0.9 * np.count_nonzero(vessels)


def test_a_scale_changes_voxels_and_not_their_values(volume: Volume) -> None:
    other = Deformation(width=1.2, depth=0.9, height=1.1)(volume)
    assert other.hu is volume.hu
    assert other.spacing == pytest.approx((4.4, 3.6, 4.8))
    assert other.centre == pytest.approx(volume.centre)


@pytest.mark.parametrize("lower", [-15.0, 30.0])
def test_the_diaphragm_moves_and_apices_and_spine_stay(lower: float) -> None:
    volume = chest((4.0, 4.0, 4.0), length=360.0)
    other = Deformation(diaphragm=lower)(volume)
    liver = [each.structures["liver"].centroid()[0] * 4 for each in (volume, other)]
    assert liver[1] - liver[0] == pytest.approx(lower, rel=0.25)
    assert ends(other, "lungs", 0)[0] == pytest.approx(ends(volume, "lungs", 0)[0], abs=4)
    assert ends(other, "lungs", 0)[1] - ends(volume, "lungs", 0)[1] == pytest.approx(lower, abs=9)
    for level in ("vertebrae_T8", "vertebrae_T9"):
        assert other.structures[level].centroid()[0] == pytest.approx(volume.structures[level].centroid()[0], abs=3)


@pytest.mark.parametrize(("width", "height"), [(1.4, 1.0), (0.75, 0.9), (1.0, 1.2)])
def test_the_heart_is_scaled_about_its_middle(volume: Volume, width: float, height: float) -> None:
    other = Deformation(heart_width=width, heart_height=height)(volume)
    for axis, factor in ((2, width), (0, height)):
        before, after = (np.ptp(ends(each, "heart", axis)) + 4 for each in (volume, other))
        assert after / before == pytest.approx(factor, abs=0.12)
    assert other.structures["heart"].centroid() == pytest.approx(volume.structures["heart"].centroid(), abs=1.5)
    for side in (0, 1):
        assert ends(other, "lungs", 2)[side] == pytest.approx(ends(volume, "lungs", 2)[side], abs=9)


@pytest.mark.parametrize("raised", [-20.0, 25.0])
def test_shoulders_move_and_the_midline_stays(volume: Volume, raised: float) -> None:
    other = Deformation(shoulders=raised)(volume)
    marker = [each.structures["marker"].centroid()[0] * 4 for each in (volume, other)]
    assert 0.3 < (marker[0] - marker[1]) / raised <= 1.0
    assert other.structures["trachea"].centroid() == pytest.approx(volume.structures["trachea"].centroid(), abs=0.5)


@pytest.mark.parametrize(("field", "axis"), [("scoliosis", 2), ("kyphosis", 1)])
def test_a_bend_has_its_angle_and_vertebrae_tilt_with_it(field: str, axis: int) -> None:
    shape, size = (150, 70, 70), 3.0
    affine = np.diag([0.0, 0.0, 0.0, 1.0])
    affine[[2, 1, 0], [0, 1, 2]] = -size
    spine, plate = np.zeros(shape, bool), np.zeros(shape, bool)
    spine[:, 30:40, 30:40] = True
    plate[73:76, 28:42, 28:42] = True  # in the middle, where the wave is steepest
    bend = Bend(30.0, 360.0, 0.25)
    record = Deformation(scoliosis=bend) if field == "scoliosis" else Deformation(kyphosis=bend)
    other = record(Volume(np.where(spine, 1000, 0).astype(np.int16), affine, {"vertebrae_T8": Structure.of(plate)}))
    line = [float(np.arange(shape[axis]) @ each) / each.sum() for each in other.hu.astype(float).sum(axis=3 - axis)]
    slopes = np.degrees(np.arctan(np.gradient(line)))[8:-8]
    assert np.ptp(slopes) == pytest.approx(30, abs=3)
    places = np.argwhere(other.mask("vertebrae_T8"))
    tilt = np.polyfit(places[:, axis], places[:, 0], 1)[0]
    along = math.tan(math.radians(slopes[75 - 8]))
    assert tilt == pytest.approx(-along, abs=0.06)
    assert abs(along) > 0.2


def test_what_would_fold_is_damped_and_noted(volume: Volume) -> None:
    other = Deformation(seed=1, grain=20.0, strength=30.0)(volume)
    assert any(note.startswith("deformed by ") for note in other.notes)
    assert not Deformation(seed=1, grain=60.0, strength=3.0)(volume).notes


def test_volumes_are_those_of_an_affine_map(volume: Volume) -> None:
    lattice = Lattice.over(volume)
    z, y, x = np.broadcast_arrays(*lattice.axes)
    stretched = np.stack([0.1 * z + 0.2 * x, -0.3 * y, 0.05 * x - 0.1 * z]).astype(np.float32)
    expected = np.linalg.det([[1.1, 0, 0.2], [0, 0.7, 0], [-0.1, 0, 1.05]])
    assert lattice.volumes(stretched) == pytest.approx(np.full(z.shape, expected), abs=1e-4)
    assert lattice.is_smooth(stretched)
    assert not lattice.is_smooth(np.stack([0 * z, -(1 - LEAST_VOLUME / 2) * y, 0 * x]).astype(np.float32))


def test_drawn_deformations_differ_widely_and_are_seldom_damped(volume: Volume) -> None:
    drawn = [Deformation.draw(np.random.default_rng(seed)) for seed in range(40)]
    assert drawn[3] == Deformation.draw(np.random.default_rng(3))
    for field in ("width", "heart_width", "diaphragm", "shoulders", "strength"):
        assert len({getattr(each, field) for each in drawn}) == 40
    assert np.mean([each.diaphragm for each in drawn]) > 5  # the domes of a CT stand too high
    assert sum(any("deformed by" in note for note in each(volume).notes) for each in drawn[:8]) <= 1


def test_what_is_not_labelled_is_refused_and_not_drawn(volume: Volume) -> None:
    bare = dataclasses.replace(volume, structures={"liver": volume.structures["liver"]})
    with pytest.raises(DataError, match="no lungs are labelled"):
        Deformation(shoulders=5.0)(bare)
    with pytest.raises(DataError, match="no heart is labelled"):
        Deformation(heart_width=1.2)(bare)
    drawn = Deformation.draw(np.random.default_rng(0), bare.structures)
    assert (drawn.heart_width, drawn.heart_height, drawn.diaphragm, drawn.shoulders) == (1.0, 1.0, 0.0, 0.0)
    assert not np.array_equal(drawn(bare).hu, bare.hu)


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match=r"Deformation: heart_width is 3"):
        Deformation(heart_width=3.0)
    with pytest.raises(DataError, match=r"Bend: angle is 90"):
        Bend(90.0)


def test_a_structure_that_is_gone_is_noted_and_its_tissue_does_not_vary(volume: Volume) -> None:
    low = np.zeros(volume.hu.shape, bool)
    low[-2:, 30:34, 50:54] = True
    small = volume.with_structures(small=Structure.of(low))
    variation = Variation((("small", 2.0),), deformation=Deformation(diaphragm=60.0))
    other = variation(small)
    assert "small" not in other.structures
    assert other.notes == ("deformed, nothing is left of small",)


def test_records_without_a_deformation_are_read_and_drawn_as_before(volume: Volume) -> None:
    generators = [np.random.default_rng(3) for _ in range(2)]
    record = DomainRandomisation().draw(volume, generators[0])
    assert record.variation.deformation is None
    old = json.loads(record.to_json())
    del old["variation"]["deformation"]
    assert ProjectionRecord.from_json(json.dumps(old)) == record
    other = DomainRandomisation(deformation_share=1.0).draw(volume, generators[1])
    assert other.variation.deformation is not None
    assert ProjectionRecord.from_json(other.to_json()) == other


def test_the_lesions_of_a_deformed_patient_lie_in_its_lungs(volume: Volume) -> None:
    randomisation = DomainRandomisation(deformation_share=1.0)
    record = randomisation.draw(volume, np.random.default_rng(2), lesions=("nodule",))
    patient = record.variation(volume)
    lesion = patient.mask("lesion_1")
    assert np.count_nonzero(lesion & patient.mask("lungs")) > 0.9 * np.count_nonzero(lesion)
    assert ProjectionRecord(Variation(), View(), FilmLook()).variation.deformation is None


@pytest.mark.realdata
def test_a_real_patient_stays_usable(data: Path) -> None:
    ct = data / "ct"
    volume = Volume.read(ct / "lidc_0001.nii.gz", ct / "lidc_0001_labels.nii.gz", ct / "structures.csv").resampled(2.8)
    for seed in range(3):
        drawn = Deformation.draw(np.random.default_rng(seed), volume.structures)
        other = dataclasses.replace(drawn, prolonged=(40.0, 40.0))(volume)
        assert check_volume(other).ok
        assert check_projection(project(other, View(size=(256, 256)), structures=["lungs", "heart", "spine"])).ok
        assert known(other) == known(volume)
