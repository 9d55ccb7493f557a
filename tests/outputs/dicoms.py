"""Films as DICOM files with a patient, stored in every pose, and the verdict of an independent validator."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from numpy.typing import NDArray

from artasyn.files.opened import Radiograph, open_radiograph
from artasyn.outputs.dicom_instance import Maker
from artasyn.outputs.dicom_source import SourceFilm
from tests.files.made import dicom, stored_as

MAKER = Maker("artasyn test", (("model", "bundled"), ("weights", "00ff")))

POSES = [["L", "F"], ["R", "F"], ["L", "H"], ["R", "H"], ["F", "L"], ["F", "R"], ["H", "L"], ["H", "R"]]
"""The directions of rows and columns of every way in which a frontal film may be stored."""

PATIENT: dict[str, Any] = {
    "PatientName": "Roe^Jane",
    "PatientID": "4711",
    "PatientBirthDate": "19500102",
    "PatientSex": "F",
    "StudyDate": "20200304",
    "StudyTime": "101112",
    "AccessionNumber": "A1",
    "StudyID": "S1",
    "ReferringPhysicianName": "Doe^John",
    "StudyInstanceUID": "1.2.3.4",
    "SeriesInstanceUID": "1.2.3.4.5",
    "InstanceNumber": 3,
    "OtherPatientIDs": "0815",
    "PatientComments": "private",
    "InstitutionName": "General",
}
SAID = ("Roe", "4711", "19500102", "20200304", "Doe", "0815", "private", "General", "A1")
"""Texts of `PATIENT` that tell who and when."""


def blot(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    """Stored pixels with a bright L that no turn maps to itself."""
    stored = np.full((height, width), 40, np.uint8)
    stored[5:25, 8:14] = stored[20:25, 8:31] = 200
    return stored


def filmed(path: Path, stored: NDArray[Any] | None = None, **elements: Any) -> Radiograph:
    """Writes a film with a patient and opens it."""
    ds = dicom(blot() if stored is None else stored, bits=8, **{**PATIENT, **elements})
    return open_radiograph(stored_as(path, ds))


def source(radiograph: Radiograph, *, anonymous: bool = False) -> SourceFilm:
    return SourceFilm.of(radiograph, anonymous=anonymous)


def complaints(path: Path) -> list[str]:
    """What ``dciodvfy`` of dicom3tools calls an error; skips where it is not installed."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", timeout=60)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("Error", "Abort"))]


def group_of(path: Path) -> Any:
    """The only group of measurements of a structured report, as highdicom reads it."""
    content: Any = highdicom.sr.srread(path).content
    groups = content.get_image_measurement_groups()
    assert len(groups) == 1
    return groups[0]
