"""What is copied from a film, what is left out, and the films that no object can refer to."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage

from artasyn.errors import RadiographError
from artasyn.files.opened import open_radiograph
from artasyn.files.radiograph import write_image
from artasyn.outputs.dicom_sc import secondary_capture
from artasyn.outputs.dicom_seg import Segment, segmentation
from artasyn.outputs.dicom_source import UNDATED
from artasyn.outputs.dicom_sr import Figure, Report, structured_report
from artasyn.pictures.overlays import grey_picture
from tests.outputs.dicoms import MAKER, PATIENT, SAID, complaints, filmed, source

WANTED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber")


def objects(folder: Path, *, anonymous: bool = False, name: str = "a", **elements: Any) -> list[Path]:
    """One object of each kind."""
    radiograph = filmed(folder / f"{name}.dcm", **elements)
    film = source(radiograph, anonymous=anonymous)
    made = {
        "seg": segmentation(radiograph, film, [Segment.structure("heart", radiograph.image > 0.5)], MAKER),
        "sc": secondary_capture(grey_picture(radiograph.image), film, MAKER),
        "sr": structured_report(film, Report((Figure("score", 0.25),)), MAKER),
    }
    for kind, data in made.items():
        assert data is not None
        (folder / f"{name}.{kind}.dcm").write_bytes(data)
    return [folder / f"{name}.{kind}.dcm" for kind in made]


def test_patient_and_study_are_copied_and_nothing_else_that_tells_the_patient(tmp_path: Path) -> None:
    for path in objects(tmp_path):
        ds = dcmread(path)
        assert {name: str(ds[name].value) for name in WANTED} == {name: PATIENT[name] for name in WANTED}
        assert ds.StudyInstanceUID == PATIENT["StudyInstanceUID"]
        assert ds.SeriesInstanceUID != PATIENT["SeriesInstanceUID"]
        assert (ds.ContentDate, ds.ContentTime, ds.InstanceNumber) == ("20200304", "101112", 3)
        assert not {"OtherPatientIDs", "PatientComments", "InstitutionName"} & set(ds.dir())
        assert complaints(path) == []


def test_anonymous_objects_name_no_patient_and_still_refer_to_the_film(tmp_path: Path) -> None:
    for path in objects(tmp_path, anonymous=True):
        content = path.read_bytes()
        assert not [said for said in SAID if said.encode() in content]
        ds = dcmread(path)
        assert (ds.ContentDate, ds.ContentTime) == UNDATED
        assert ds.StudyInstanceUID == PATIENT["StudyInstanceUID"]
        assert dcmread(tmp_path / "a.dcm").SOPInstanceUID.encode() in content
        assert ds.get("PatientIdentityRemoved") == (None if ds.Modality == "OT" else "YES")
        assert complaints(path) == []


def test_the_same_film_gives_the_same_bytes_and_another_film_another_identifier(tmp_path: Path) -> None:
    first, again = objects(tmp_path), objects(tmp_path, name="b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    other = objects(tmp_path, name="c", PatientOrientation=["R", "F"])[0]
    uids = {dcmread(path).SOPInstanceUID for path in (*first, other)}
    assert len(uids) == 4
    assert all(uid.is_valid and len(uid) <= 64 for uid in uids)
    series = {dcmread(path).SeriesInstanceUID for path in first}
    assert len(series) == 3
    assert dcmread(other).SeriesInstanceUID in series


@pytest.mark.parametrize(
    ("elements", "empty"),
    [
        ({"PatientBirthDate": "sometime"}, "PatientBirthDate"),
        ({"PatientSex": "female"}, "PatientSex"),
        ({"StudyDate": "1995.07.20", "StudyTime": "25h"}, "StudyTime"),
        ({"PatientName": None}, "PatientName"),
    ],
)
def test_values_against_the_standard_are_left_empty(tmp_path: Path, elements: dict[str, Any], empty: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid on purpose
        kept = {name: value for name, value in elements.items() if value is not None}
        paths = objects(tmp_path, **kept)
        if len(kept) < len(elements):
            ds = dcmread(tmp_path / "a.dcm")
            del ds[empty]
            ds.save_as(tmp_path / "a.dcm")
            radiograph = open_radiograph(tmp_path / "a.dcm")
            paths = [tmp_path / "b.dcm"]
            paths[0].write_bytes(secondary_capture(grey_picture(radiograph.image), source(radiograph), MAKER))
    for path in paths:
        assert dcmread(path)[empty].is_empty
        assert complaints(path) == []


def test_a_name_in_another_alphabet_keeps_its_letters(tmp_path: Path) -> None:
    for path in objects(tmp_path, SpecificCharacterSet="ISO_IR 192", PatientName="山田^太郎"):
        assert str(dcmread(path).PatientName) == "山田^太郎"
        assert complaints(path) == []


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"StudyInstanceUID": "", "SOPInstanceUID": ""}, "is DICOM without SOPInstanceUID, StudyInstanceUID"),
        ({"StudyInstanceUID": "1.2.03"}, "is DICOM whose StudyInstanceUID is 1.2.03, no valid identifier"),
        ({"SeriesInstanceUID": "1." * 40 + "1"}, "is DICOM whose SeriesInstanceUID is 1.1.1.1"),
        ({"SOPClassUID": CTImageStorage, "Modality": "OT"}, "is DICOM of the class CT Image Storage"),
    ],
)
def test_films_that_nothing_can_refer_to(tmp_path: Path, elements: dict[str, Any], reason: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid on purpose
        radiograph = filmed(tmp_path / "a.dcm", **elements)
    with pytest.raises(RadiographError) as caught:
        source(radiograph)
    assert str(caught.value).startswith(f"{tmp_path / 'a.dcm'} {reason}")


def test_a_picture_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", filmed(tmp_path / "a.dcm").image)
    with pytest.raises(RadiographError, match="is no DICOM file"):
        source(open_radiograph(tmp_path / "a.png"))
