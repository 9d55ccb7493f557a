"""Patients: told from headers and paths, and never on both sides of a split."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from artasyn.arrays import generator
from artasyn.errors import DataError
from artasyn.training.normals import Normals
from artasyn.training.patients import patient_of
from artasyn.training.run import TrainingRun


def blank(*patients: str) -> Normals:
    count = len(patients)
    names = tuple(f"{number * 7919:016x}" for number in range(count))
    labels = np.zeros((count, 16, 16), np.uint8)
    return Normals(names, ("a",) * count, np.zeros((count, 16, 16), np.uint16), labels, labels, patients)


@pytest.mark.parametrize(
    ("path", "patient"),
    [
        ("nih/images_001/images/00000013_005.png", "00000013"),
        ("00000013_026.png", "00000013"),
        ("CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg", "patient00001"),
        ("mimic/files/p10/p10000032/s50414267/02aa804e-bde0afdd.jpg", "p10000032"),
        ("brax/id_0a1b2c3d-1111-2222-3333-444455556666/Study_1.2/Series_1.3/image-1.png",
         "id_0a1b2c3d-1111-2222-3333-444455556666"),
        ("healthy/0001.png", ""),
        ("00000013_0055.png", ""),
        ("20240101_005/a.png", ""),
        ("patients/a.png", ""),
    ],
)  # fmt: skip
def test_the_paths_of_published_collections_tell_the_patient(path: str, patient: str) -> None:
    assert patient_of(Path(path), "auto") == patient
    assert patient_of(Path(path), "file") == ""


def test_folders_and_patterns_tell_the_patient() -> None:
    assert patient_of(Path("a/b/1.png"), "folder") == patient_of(Path("a/b/2.png"), "folder")
    assert patient_of(Path("a/b/1.png"), "folder") != patient_of(Path("a/c/1.png"), "folder")
    pattern = r"/([a-z]+)-\d+\.png$"
    assert [patient_of(Path(f"films/{name}.png"), pattern) for name in ("li-1", "li-2", "wu-1", "9")] == [
        "li", "li", "wu", "",
    ]  # fmt: skip


@pytest.mark.parametrize("patients", ["", "name", "(", r"(a)(b)", "file "])
def test_what_tells_no_patients_is_refused(patients: str) -> None:
    with pytest.raises(DataError, match="patients is"):
        TrainingRun(patients=patients)


def test_a_header_tells_the_patient_and_only_a_hash_is_kept(tmp_path: Path) -> None:
    film = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    found = []
    for number, name in enumerate(("Miller^1", "Miller^1", "Smith", "", " ")):
        film.PatientID = name
        film.save_as(tmp_path / f"{number}.dcm")
        found.append(patient_of(tmp_path / f"{number}.dcm", "auto"))
    del film.PatientID
    film.save_as(tmp_path / "none.dcm")
    assert found[0] == found[1] != found[2]
    assert found[3] == found[4] == patient_of(tmp_path / "none.dcm", "auto") == ""
    assert "Miller" not in found[0]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    patients=st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=2, max_size=30),
    share=st.floats(0, 1),
    seed=st.integers(0, 5),
)
def test_no_patient_is_on_both_sides(patients: list[str], share: float, seed: int) -> None:
    normals = blank(*patients)
    if len(set(patients) - {""}) + patients.count("") < 2:
        with pytest.raises(DataError, match="are of one patient"):
            normals.split(share, seed=seed)
        return
    training, held_out = normals.split(share, seed=seed)
    assert len(training)
    assert len(held_out)
    assert sorted((*training.identities, *held_out.identities)) == sorted(normals.identities)
    assert not (set(training.patients) & set(held_out.patients)) - {""}
    largest = max([patients.count(name) for name in set(patients) if name], default=1)
    assert len(held_out) <= max(round(share * len(patients)), largest)
    shuffled = list(range(len(patients)))
    random.Random(seed).shuffle(shuffled)
    assert set(normals.subset(shuffled).split(share, seed=seed)[1].identities) == set(held_out.identities)


@pytest.mark.parametrize("share", [0.0, 0.15, 0.34, 0.9, 1.0])
def test_where_each_file_is_its_own_patient_the_split_is_the_one_of_earlier_versions(share: float) -> None:
    for normals in (blank(*[""] * 23), blank(*map(str, range(23)))):
        order = sorted(range(23), key=lambda i: generator(4, normals.identities[i]).random())
        count = min(max(1, round(share * 23)), 22)
        expected = {normals.identities[i] for i in order[:count]}
        assert set(normals.split(share, seed=4)[1].identities) == expected
