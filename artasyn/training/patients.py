"""The patients of normal radiographs, so that the radiographs of one patient are never both learnt and held out."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pydicom

from artasyn.errors import DataError
from artasyn.files.dicom import is_dicom

KNOWN = (
    r"(?:^|/)(\d{8})_\d{3}\.\w+$",  # NIH ChestX-ray14: 00000013_005.png
    r"(?:^|/)(patient\d{4,6})/",  # CheXpert: patient00001/study1/view1_frontal.jpg
    r"(?:^|/)(p\d{8})/s\d{8}/",  # MIMIC-CXR: p10000032/s50414267/02aa804e.jpg
    r"(?:^|/)(id_[0-9a-f]{8}-[0-9a-f-]{27})/Study_",  # BRAX: id_<uuid>/Study_.../Series_.../image.png
)
"""Paths of published collections that name the patient."""


def check_patients(patients: str) -> None:
    """Refuses a way to tell patients that `patient_of` does not know.

    Args:
        patients: as for `patient_of`.

    Raises:
        DataError: neither a word nor a pattern with one group.
    """
    if patients in ("auto", "file", "folder"):
        return
    try:
        groups = re.compile(patients).groups
    except re.error as error:
        raise DataError(f"patients is {patients!r}, which is no regular expression ({error})") from error
    if groups != 1:
        raise DataError(
            f"patients is {patients!r}; choose auto, file or folder, or give a regular expression with one group, such "
            r"as '/(\d+)_\d+\.png$'"
        )


def patient_of(path: Path, patients: str) -> str:
    r"""Returns a name of a radiograph's patient, the same for all of the patient's radiographs; empty if unknown.

    Args:
        path: the radiograph's file.
        patients: ``file`` takes every file for another patient, ``folder`` every folder. ``auto`` takes PatientID of a
            DICOM file, of which only a hash is kept, or the patient's number in the paths of the collections in
            `KNOWN`, and otherwise every file for another patient. Anything else is a regular expression that is
            searched in the path, with ``/`` between folders; its group names the patient.

    Example:
        >>> patient_of(Path("images/00000013_005.png"), "auto"), patient_of(Path("a/b.png"), "auto")
        ('00000013', '')
        >>> patient_of(Path("films/smith-2.png"), r"/(\w+)-\d+\.png$")
        'smith'
    """
    if patients == "file":
        return ""
    if patients == "folder":
        return _hashed(path.parent.as_posix())
    if patients != "auto":
        return _in_path(path, (patients,))
    return _in_header(path) or _in_path(path, KNOWN)


def _in_path(path: Path, patterns: tuple[str, ...]) -> str:
    for pattern in patterns:
        if found := re.search(pattern, path.as_posix()):
            return found.group(1) or ""
    return ""


def _in_header(path: Path) -> str:
    """Returns a hash of PatientID; empty for a file that is not DICOM or states none."""
    try:
        with path.open("rb") as file:
            if not is_dicom(file.read(132)):
                return ""
    except FileNotFoundError:  # the path alone may tell
        return ""
    stated = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["PatientID"], force=True).get("PatientID")
    name = str(stated or "").strip()
    return _hashed(name) if name else ""


def _hashed(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
