"""What a DICOM header says of a radiograph's grid and identity: spacing and unique identifiers, nothing guessed."""

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
"""Fields of a `artasyn.files.opened.Reference` and the attributes that they come from."""

TOLERANCE = 0.01
"""How far two magnifications may differ, or lie below 1, as rounding of decimal strings lets them."""


@dataclass(frozen=True)
class Spacing:
    """Millimetres from pixel to pixel, as a header gives them.

    Attributes:
        rows_columns: from row to row and from column to column, mm; None where the header does not say.
        source: the attribute.
        calibration: how PixelSpacing was calibrated to the patient, where the header says so.
    """

    rows_columns: tuple[float, float] | None = None
    source: SpacingSource | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True)
class Header:
    """What a file says of its pixels beside their values; a raster has the defaults but for the turn.

    Attributes:
        turn: from the stored grid to the image's.
        spacing: of the stored grid.
        uids: those of `UIDS` that the file has.
    """

    turn: Turn = field(default_factory=Turn)
    spacing: Spacing = field(default_factory=Spacing)
    uids: dict[str, str] = field(default_factory=dict)


def read_spacing(film: Dataset) -> Spacing:
    """Reads the spacing of the stored grid.

    PixelSpacing comes first, then ImagerPixelSpacing, then NominalScannedPixelSpacing. An attribute that does not
    hold two finite positive numbers says nothing. A PixelSpacing equal to ImagerPixelSpacing without a calibration
    type was not calibrated, so that its source is ImagerPixelSpacing. The spacing is None where the two contradict
    each other: the magnification from the patient to the detector is at least 1, and the same along rows and columns.

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
    """Reads the unique identifiers of a data set, as they stand; those that are missing or empty are left out.

    Args:
        film: the data set.
    """
    values = {field: _value(film, name) for field, name in UIDS.items()}
    return {field: str(value) for field, value in values.items() if isinstance(value, str) and value}


def _value(film: Dataset, name: str) -> Any:
    """An attribute, or None where it is missing or cannot be parsed: no radiograph is refused for it."""
    try:
        return film.get(name)
    except Exception:  # parsers raise nearly anything for damaged values
        return None


def _pair(film: Dataset, name: str) -> tuple[float, float] | None:
    """Two finite positive numbers, or None."""
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
    """The calibration type, one of the two that the standard defines."""
    kind = str(_value(film, "PixelSpacingCalibrationType") or "").strip().upper()
    if kind == "GEOMETRY":
        return "GEOMETRY"
    return "FIDUCIAL" if kind == "FIDUCIAL" else None


def _contradictory(pixel: tuple[float, float], imager: tuple[float, float]) -> bool:
    """Whether no magnification takes one spacing to the other."""
    down, across = imager[0] / pixel[0], imager[1] / pixel[1]
    return min(down, across) < 1 - TOLERANCE or not math.isclose(down, across, rel_tol=TOLERANCE)
