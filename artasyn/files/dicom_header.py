"""Spacing and unique identifiers of a radiograph from its DICOM header; nothing is guessed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from pydicom import Dataset
from pydicom.multival import MultiValue

from artasyn.files.turns import Turn

SpacingSource = Literal["PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"]
"""The attribute that a spacing comes from: in the patient or uncalibrated, at the detector, on a scanned film."""
Calibration = Literal["GEOMETRY", "FIDUCIAL"]
"""How PixelSpacing was calibrated to the patient: by the known magnification, or by an object of known size."""

UIDS = {
    "sop_class_uid": "SOPClassUID",
    "sop_instance_uid": "SOPInstanceUID",
    "study_instance_uid": "StudyInstanceUID",
    "series_instance_uid": "SeriesInstanceUID",
    "frame_of_reference_uid": "FrameOfReferenceUID",
}
"""Fields of an `artasyn.files.opened.Reference` and the attributes that they come from."""

TOLERANCE = 0.01
"""How far two magnifications may differ, or one may lie below 1, because decimal strings are rounded."""


@dataclass(frozen=True)
class Spacing:
    """The pixel spacing that a header states.

    Attributes:
        rows_columns: from row to row and from column to column, mm; None if the header does not state it.
        source: the attribute that the spacing comes from.
        calibration: how PixelSpacing was calibrated to the patient; None if the header does not state it.
    """

    rows_columns: tuple[float, float] | None = None
    source: SpacingSource | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True)
class Header:
    """The properties that a file states about its pixels; for a raster, only the turn differs from its default.

    Attributes:
        turn: from the stored grid to the image's grid.
        spacing: of the stored grid.
        uids: the fields of `UIDS` that the file has.
        sided: whether the file states the patient's sides.
    """

    turn: Turn = field(default_factory=Turn)
    spacing: Spacing = field(default_factory=Spacing)
    uids: dict[str, str] = field(default_factory=dict)
    sided: bool = False


PERSON = {
    "patient": "PatientID",
    "sex": "PatientSex",
    "age": "PatientAge",
    "view": "ViewPosition",
    "site": "InstitutionName",
}
"""Columns of groups of films and the attributes that they come from."""


def read_person(film: Dataset) -> dict[str, str]:
    """Reads the attributes of `PERSON` as texts, by column; missing or empty ones are left out.

    Args:
        film: the data set.
    """
    values = {column: str(_value(film, name) or "").strip() for column, name in PERSON.items()}
    return {column: value for column, value in values.items() if value}


def read_spacing(film: Dataset) -> Spacing:
    """Reads the spacing of the stored grid.

    PixelSpacing comes first, then ImagerPixelSpacing, then NominalScannedPixelSpacing. An attribute that does not
    hold two finite positive numbers is ignored. A PixelSpacing that equals ImagerPixelSpacing and has no calibration
    type was not calibrated; its source is then ImagerPixelSpacing. The magnification from the patient to the detector
    must be at least 1, and the same along rows and columns. The spacing is None if PixelSpacing and ImagerPixelSpacing
    contradict this.

    Args:
        film: the data set.

    Source: DICOM PS3.3 10.7.1 (spacing, calibration types, order and valid values), C.8.6.2 (nominal spacing).
    """
    pixel, imager, nominal = (
        _pair(film, name) for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
    )
    if pixel and imager and _contradictory(pixel, imager):
        return Spacing()
    calibration = _calibration(film)
    if pixel and (pixel != imager or calibration):
        return Spacing(pixel, "PixelSpacing", calibration)
    if imager:
        return Spacing(imager, "ImagerPixelSpacing")
    return Spacing(nominal, "NominalScannedPixelSpacing") if nominal else Spacing()


def read_uids(film: Dataset) -> dict[str, str]:
    """Reads the unique identifiers of a data set unchanged; missing or empty ones are left out.

    Args:
        film: the data set.
    """
    values = {field: _value(film, name) for field, name in UIDS.items()}
    return {field: str(value) for field, value in values.items() if isinstance(value, str) and value}


def _value(film: Dataset, name: str) -> Any:
    """Returns an attribute, or None if it is missing or cannot be parsed: no radiograph is refused for it."""
    try:
        return film.get(name)
    except Exception:  # parsers raise nearly anything for damaged values
        return None


def _pair(film: Dataset, name: str) -> tuple[float, float] | None:
    """Returns the two finite positive numbers of an attribute, or None."""
    value = _value(film, name)
    if not isinstance(value, MultiValue) or len(value) != 2:
        return None
    try:
        rows, columns = float(value[0]), float(value[1])
    except (TypeError, ValueError):
        return None
    usable = all(math.isfinite(number) and number > 0 for number in (rows, columns))
    return (rows, columns) if usable else None


def _calibration(film: Dataset) -> Calibration | None:
    """Returns the calibration type if it is one of the two that the standard defines."""
    kind = str(_value(film, "PixelSpacingCalibrationType") or "").strip().upper()
    if kind == "GEOMETRY":
        return "GEOMETRY"
    return "FIDUCIAL" if kind == "FIDUCIAL" else None


def _contradictory(pixel: tuple[float, float], imager: tuple[float, float]) -> bool:
    """Returns whether no magnification can relate the two spacings."""
    down, across = imager[0] / pixel[0], imager[1] / pixel[1]
    return min(down, across) < 1 - TOLERANCE or not math.isclose(down, across, rel_tol=TOLERANCE)
