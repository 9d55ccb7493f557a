"""Patients and groups: tables in any spelling, DICOM headers, published names; nothing guessed."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from artasyn.bulk.sources import Source
from artasyn.console.groups import band_of, film_groups
from artasyn.errors import DataError
from artasyn.testsets.testset import TestFilm, TestSet


def films(folder: Path, *names: str, patients: dict[str, str] | None = None) -> TestSet:
    made = []
    for number, name in enumerate(names):
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not read here")
        made.append(TestFilm(Source(path, name), number % 2 == 1, patient=(patients or {}).get(name, "")))
    return TestSet("folder", tuple(made))


def table(folder: Path, *lines: str) -> Path:
    path = folder / "patients.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def dicom(path: Path, **attributes: str) -> None:
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID, film.SOPInstanceUID = ComputedRadiographyImageStorage, generate_uid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about values that the standard forbids
        for name, value in attributes.items():
            setattr(film, name, value)
    film.save_as(path, enforce_file_format=True)


def test_rows_belong_to_films_by_name_file_or_path_and_ages_become_bands(tmp_path: Path) -> None:
    test = films(tmp_path, "healthy/a", "diseased/b", "c", "d")
    lines = ("File,Patient ID,Gender,Patient_Age", "healthy/a,1,F,61", f"{tmp_path / 'diseased/b.png'},2,male,059Y")
    groups = film_groups(test, table(tmp_path, *lines, "c.PNG,1,M,17.5", "gone.png,9,F,50"))
    assert groups.patients == {"healthy/a": "1", "diseased/b": "2", "c": "1"}
    assert groups.groups["sex"] == {"healthy/a": "female", "diseased/b": "male", "c": "male"}
    assert groups.groups["age"] == {"healthy/a": "60 and over", "diseased/b": "40 to 59", "c": "under 18"}
    assert groups.groups["sex and age"]["healthy/a"] == "female, 60 and over"
    assert "1 of 4 rows of patients.csv belong to no film of the set" in groups.notes
    assert "1 films have no row in patients.csv" in groups.notes
    assert "1 of 4 films have no sex" in groups.notes


def test_values_without_a_reading_are_named_and_make_no_group(tmp_path: Path) -> None:
    test = films(tmp_path, "a", "b")
    groups = film_groups(test, table(tmp_path, "film;sex;age;site", "a;X;411;North", "b;f;-3;South"), cross=())
    assert groups.groups == {"sex": {"b": "female"}, "site": {"a": "North", "b": "South"}}
    assert "no reading of age: -3, 411" in groups.notes
    assert "no reading of sex: X" in groups.notes


def test_a_table_of_patients_reaches_their_films(tmp_path: Path) -> None:
    test = films(tmp_path, "p1_0", "p1_1", "p2_0", patients={"p1_0": "p1", "p1_1": "p1", "p2_0": "p2"})
    groups = film_groups(test, table(tmp_path, "patient,sex", "p1,F", "p2,M"))
    assert groups.groups["sex"] == {"p1_0": "female", "p1_1": "female", "p2_0": "male"}


def test_dicom_headers_tell_and_the_table_counts_before_them(tmp_path: Path) -> None:
    test = films(tmp_path, "a", "b", "c")
    dicom(tmp_path / "a.png", PatientID="7", PatientSex="F", PatientAge="070Y", ViewPosition="PA", InstitutionName="N")
    dicom(tmp_path / "b.png", PatientSex="", PatientAge="051")
    groups = film_groups(test, table(tmp_path, "film,sex", "a,M"))
    assert groups.patients == {"a": "7"}
    assert groups.groups["sex"] == {"a": "male"}
    assert groups.groups["age"] == {"a": "60 and over", "b": "40 to 59"}
    assert (groups.groups["view"], groups.groups["site"]) == ({"a": "PA"}, {"a": "N"})
    assert film_groups(test).groups["sex"] == {"a": "female"}


def test_an_identifier_that_all_films_share_is_no_patient(tmp_path: Path) -> None:
    names = [f"film{number}" for number in range(20)]
    groups = film_groups(films(tmp_path, *names, patients=dict.fromkeys(names, "ANON")))
    assert groups.patients == {}
    said = "20 of 20 films have the same identifier of a patient and no other one is known, so patients count as not"
    assert groups.notes == (f"{said} known",)


@pytest.mark.parametrize(("same", "noted"), [(9, False), (10, False), (11, True), (19, True)])
def test_an_identifier_that_most_films_share_is_remarked_on(tmp_path: Path, same: int, noted: bool) -> None:
    names = [f"film{number}" for number in range(20)]
    patients = {name: "0" if number < same else name for number, name in enumerate(names)}
    groups = film_groups(films(tmp_path, *names, patients=patients))
    assert groups.patients == patients
    said = f"{same} of 20 films have the same identifier of a patient; intervals are wrong if it is a placeholder"
    assert groups.notes == (said,) * noted


def test_one_patient_among_films_of_unknown_patients_stays_known(tmp_path: Path) -> None:
    groups = film_groups(films(tmp_path, "a", "b", "c", "d", patients={"a": "1", "b": "1"}))
    assert (groups.patients, groups.notes) == ({"a": "1", "b": "1"}, ())


def test_a_film_that_is_not_readable_has_no_group(tmp_path: Path) -> None:
    test = films(tmp_path, "a")
    (tmp_path / "a.png").unlink()
    assert film_groups(test).groups == {}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("film,colour", "a,red"), "no column of film or patient with one of patient or group"),
        (("sex,age", "F,3"), "no column of film or patient"),
        (("film,sex,gender", "a,F,F"), "two columns of sex"),
        (("film,sex", "z,F"), "none of its 1 rows belongs to a film of the set, such as"),
        (("film,sex", "x/a,F", "x/a,M"), "two rows about x/a differ in sex"),
        (("film,sex", "a,F"), "a may be x/a, y/a; write the path below the data folder"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, lines: tuple[str, ...], reason: str) -> None:
    test = films(tmp_path, "x/a", "y/a")
    with pytest.raises(DataError, match=reason):
        film_groups(test, table(tmp_path, *lines))


def test_ages_and_crossings_that_are_refused(tmp_path: Path) -> None:
    test = films(tmp_path, "a")
    for ages in ((40, 18), (0, 5), (18, 18)):
        with pytest.raises(DataError, match="ages must rise"):
            film_groups(test, ages=ages)
    for cross in (("sex",), ("sex", "sex"), ("sex", "patient"), ("sex", "age", "view")):
        with pytest.raises(DataError, match="cross takes two of"):
            film_groups(test, cross=cross)


@pytest.mark.parametrize(
    ("age", "band"),
    [("0", "under 18"), ("18", "18 to 39"), ("39.9", "18 to 39"), ("40", "40 to 59"), ("060Y", "60 and over"),
     ("104W", "under 18"), ("730D", "under 18"), ("240M", "18 to 39"), ("120", "60 and over"), ("121", ""),
     ("", ""), ("old", ""), ("-4", "")],
)  # fmt: skip
def test_bands_of_ages(age: str, band: str) -> None:
    assert band_of(age) == band
    assert band_of("30", (50,)) == "under 50"
    assert band_of("30", ()) == "all ages"
