"""Patients of a stock as records: drawn once, the same for ever, each another one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.segment.ct.deformation import Deformation
from artasyn.segment.ct.truth import known
from artasyn.segment.ct.volume import Volume
from artasyn.segment.projection.view import View
from artasyn.stock.making import Plan
from artasyn.stock.patients import PROLONGED, CTRecord, PatientRecord, Views, draw_phantom, draw_variant
from tests.chest import chest, write_chest, write_names


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> CTRecord:
    folder = tmp_path_factory.mktemp("ct")
    write_chest(folder / "ann.nii.gz", chest((6.0, 5.0, 5.0), length=330.0))
    names = write_names(folder / "names.csv")
    return CTRecord(str(folder / "ann.nii.gz"), str(folder / "ann_labels.nii.gz"), str(names))


def test_records_are_drawn_from_seed_and_number_alone(ct: CTRecord) -> None:
    assert draw_phantom(Views(), 1, 4) == draw_phantom(Views(), 1, 4)
    assert draw_variant(ct, "ann", Views(), 1, 4) == draw_variant(ct, "ann", Views(), 1, 4)
    phantoms = {draw_phantom(Views(), seed, number).to_json() for seed in (1, 2) for number in (0, 1)}
    variants = {
        draw_variant(ct, name, Views(), seed, number).to_json()
        for name in ("ann", "bea")
        for seed in (1, 2)
        for number in (0, 1)
    }
    assert len(phantoms) == 4
    assert len(variants) == 8


def test_views_are_drawn_as_many_and_as_frontal_as_asked_for() -> None:
    views = Views(frontal=40, around=40, turn=3.0, anteroposterior=0.5).draw(np.random.default_rng(0))
    turns = np.array([view.angle for view in views[:40]])
    front = np.abs(turns) < 90
    assert 10 < front.sum() < 30
    assert np.abs(np.where(front, turns, turns - 180)).max() < 15
    assert np.ptp([view.angle for view in views[40:]]) > 300
    with pytest.raises(DataError, match="one view at least"):
        Views(frontal=0, around=0)


def test_a_plan_gives_more_patients_and_leaves_the_first_as_they_are(ct: CTRecord) -> None:
    few, many = (Plan(phantoms=n, variants=n, size=64, spacing=6.0) for n in (1, 3))
    for records in (Plan.phantom_records, lambda plan: plan.ct_records(ct, "ann")):
        assert list(records(many))[:1] == list(records(few))
        assert len(dict(records(many))) == 3
    names = [name for name, _ in many.ct_records(ct, "ann")]
    assert names == ["ann_000", "ann_001", "ann_002"]
    assert {record.name for _, record in many.ct_records(ct, "ann")} == {"ann"}  # one patient
    assert [(r.size, r.spacing) for _, r in many.phantom_records()] == [(64, 6.0)] * 3


def test_the_first_variant_is_the_ct_and_the_others_are_deformed(ct: CTRecord) -> None:
    first, other = (dataclasses.replace(draw_variant(ct, "ann", Views(), 0, n), spacing=6.0) for n in (0, 2))
    volume, quality = first.volume()
    assert quality.ok
    read = Volume.read(ct.path, ct.labels, ct.names).resampled(6.0)
    np.testing.assert_array_equal(volume.hu, read.prolonged(*PROLONGED).hu)
    assert first.told(volume) == known(volume)
    changed, _ = other.volume()
    assert changed.structures["heart"].voxels != volume.structures["heart"].voxels
    again, _ = other.volume()
    np.testing.assert_array_equal(again.hu, changed.hu)
    assert other.patient().name == "ann"


def test_a_heart_without_label_stays_and_a_rejected_ct_is_not_changed(ct: CTRecord, tmp_path: Path) -> None:
    whole = chest((6.0, 5.0, 5.0), length=330.0)
    bare = Volume(whole.hu, whole.affine, {n: s for n, s in whole.structures.items() if n != "heart"})
    write_chest(tmp_path / "bare.nii.gz", bare)
    there = CTRecord(str(tmp_path / "bare.nii.gz"), str(tmp_path / "bare_labels.nii.gz"), ct.names)
    record = dataclasses.replace(draw_variant(there, "bare", Views(), 0, 1), spacing=6.0)
    assert record.variation.deformation is not None
    assert record.variation.deformation.heart_width != 1
    volume, quality = record.volume()
    assert quality.ok
    assert "lung_upper_lobe_right" in volume.structures
    lungless = Volume(whole.hu, whole.affine, {"heart": whole.structures["heart"]})
    write_chest(tmp_path / "none.nii.gz", lungless)
    there = CTRecord(str(tmp_path / "none.nii.gz"), str(tmp_path / "none_labels.nii.gz"), ct.names)
    _, quality = draw_variant(there, "none", Views(), 0, 1).volume()
    assert "no lungs are labelled" in quality.reasons


def test_a_record_is_of_one_kind_and_its_numbers_are_in_range(ct: CTRecord) -> None:
    phantom = draw_phantom(Views(), 0, 0).phantom
    for wrong in ({}, {"ct": ct, "phantom": phantom}):
        with pytest.raises(DataError, match="a phantom or a CT"):
            PatientRecord("a", **wrong)  # type: ignore[arg-type]
    for number in ({"size": 8}, {"spacing": 0.1}, {"views": ()}):
        with pytest.raises(DataError, match=next(iter(number))):
            PatientRecord("a", ct=ct, **number)
    record = PatientRecord("a", ct=ct, views=(View(30.0),))
    assert PatientRecord.from_json(record.to_json()) == record
    assert record.variation.deformation is None
    assert Deformation() != draw_variant(ct, "a", Views(), 0, 0).variation.deformation
