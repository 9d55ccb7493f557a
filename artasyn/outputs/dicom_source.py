"""The film that a DICOM object is made of: the references to it, and the attributes that the standard asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import UID

from artasyn.errors import RadiographError
from artasyn.files.dicom import STORAGE_CLASSES, is_dicom
from artasyn.files.opened import Radiograph, naming, read_whole
from artasyn.pixels.attributes import value_of
from artasyn.pixels.quiet import quiet

PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber")
"""Attributes of Type 2 of the patient and of the study: they must be there, and may be empty."""

REFERENCES = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
LOSSES = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
"""Attributes that say that a film lost information to compression; every object that is made of it repeats them."""

DATES = ("Content", "Acquisition", "Series", "Study")
"""What the dates and times of a film are of; the first date that the film states becomes that of the object."""

UNDATED = ("19000101", "000000")
"""The date and time of objects whose film states none, because the standard allows no empty ones."""

FORMS = {
    "PatientBirthDate": r"\d{8}",
    "PatientSex": "[MFO]",
    "StudyDate": r"\d{8}",
    "StudyTime": r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?",
}
"""The form of the values that the standard restricts; another value is left empty."""

DIRECTION = "[APRLHF]{1,3}"
"""The form of a direction in a biped. Source: DICOM PS3.3 C.7.6.1.1.1."""

CONVENTION = "The film does not state the patient's sides; they follow the convention that the right is at image left."
"""What an object says that names a side of a film that states none."""


@dataclass(frozen=True, eq=False)
class SourceFilm:
    """A film with what an object that refers to it needs.

    Attributes:
        header: the attributes of the file that are named in this module, as they are written there.
        rows: of the stored grid.
        columns: of the stored grid.
        anonymous: whether what tells the patient is left out.
        sided: whether the film states the patient's sides; otherwise they follow the convention.
    """

    header: Dataset
    rows: int
    columns: int
    anonymous: bool = False
    sided: bool = False

    @classmethod
    def of(cls, radiograph: Radiograph, *, anonymous: bool = False) -> SourceFilm:
        """Reads the header of a radiograph again.

        Args:
            radiograph: as `artasyn.files.opened.open_radiograph` opened it.
            anonymous: whether to leave out what tells the patient.

        Raises:
            RadiographError: the file is no DICOM, or nothing can refer to it. The message names the file and what to
                do.
        """
        about = radiograph.reference
        with naming(about.path):
            data = read_whole(about.path)
            if not is_dicom(data):
                raise RadiographError("is no DICOM file, and a DICOM object must refer to one; leave out --dicom")
            wanted = [*PATIENT, *STUDY, *REFERENCES, *LOSSES, "SpecificCharacterSet", "PatientOrientation"]
            wanted += ["InstanceNumber", "Modality", *(f"{of}{what}" for of in DATES for what in ("Date", "Time"))]
            with quiet():
                header = dcmread(BytesIO(data), force=True, stop_before_pixels=True, specific_tags=wanted)
            missing = [name for name in REFERENCES if not value_of(header, name)]
            if missing:
                raise RadiographError(
                    f"is DICOM without {', '.join(missing)}, so nothing can refer to it; export it again"
                )
            with quiet():
                wrong = [name for name in REFERENCES if not UID(_stated(header, name)).is_valid]
            if wrong:
                raise RadiographError(
                    f"is DICOM whose {wrong[0]} is {_stated(header, wrong[0])[:70]}, no valid identifier, so nothing "
                    "can refer to it; export it again"
                )
            if header.SOPClassUID not in STORAGE_CLASSES:
                raise RadiographError(
                    f"is DICOM of the class {header.SOPClassUID.name}; DICOM objects are made of CR, DX and "
                    "secondary capture images"
                )
        return cls(header, about.rows, about.columns, anonymous, radiograph.sided)

    @property
    def reference(self) -> Dataset:
        """The film as highdicom refers to it: identifiers, grid and losses; what tells the patient is empty."""
        film = Dataset()
        for name in (*REFERENCES, *LOSSES):
            if value_of(self.header, name):
                setattr(film, name, self.header[name].value)
        film.Rows, film.Columns, film.Modality = self.rows, self.columns, self.text("Modality") or "OT"
        for name in (*PATIENT, *STUDY):
            setattr(film, name, "")
        return film

    @property
    def orientation(self) -> list[str]:
        """The directions of the rows and columns of the stored grid; empty if the film does not state both validly."""
        value = value_of(self.header, "PatientOrientation")
        found = [str(each) for each in value] if isinstance(value, Sequence) and not isinstance(value, str) else []
        return found if len(found) == 2 and all(re.fullmatch(DIRECTION, each) for each in found) else []

    @property
    def number(self) -> int:
        """The number of the film in its series; 1 if the film does not state one from 1."""
        stated = self.text("InstanceNumber")
        return int(stated) if re.fullmatch(r"0*[1-9]\d{0,8}", stated) else 1

    @property
    def dated(self) -> tuple[str, str]:
        """The date and time of the film, which become those of the object."""
        if not self.anonymous:
            for of in DATES:
                date, time = self.text(f"{of}Date"), self.text(f"{of}Time")
                if re.fullmatch(FORMS["StudyDate"], date):
                    return date, time if re.fullmatch(FORMS["StudyTime"], time) else UNDATED[1]
        return UNDATED

    def identify(self, instance: Dataset) -> None:
        """Gives an object the attributes of the patient and the study; they are empty if the film is anonymous.

        Args:
            instance: the object, which is changed.
        """
        for name in (*PATIENT, *STUDY):
            known = not self.anonymous and re.fullmatch(FORMS.get(name, "(?s:.*)"), self.text(name))
            setattr(instance, name, self._value(name) if known else "")
        if not self.anonymous and self._value("SpecificCharacterSet"):
            instance.SpecificCharacterSet = self._value("SpecificCharacterSet")
        elif "SpecificCharacterSet" in instance:
            del instance.SpecificCharacterSet

    def assumes_sides(self, names: Iterable[str]) -> bool:
        """Returns whether structures or measures have a side in their names that the film does not state.

        Args:
            names: such as ``lung_area_left``.
        """
        return not self.sided and any({"left", "right"} & set(name.split("_")) for name in names)

    def text(self, name: str) -> str:
        """Returns an attribute as text without spaces around it; empty without it."""
        return str(self._value(name)).strip()

    def _value(self, name: str) -> Any:
        """Returns an attribute as it is written; an empty text without it, or if it cannot be parsed."""
        value = value_of(self.header, name)
        return "" if value is None or isinstance(value, bytes) else value


def _stated(header: Dataset, name: str) -> str:
    """Returns an identifier as it is written, also if it cannot be parsed."""
    value = value_of(header, name)
    return value.decode("latin-1").strip(" \0") if isinstance(value, bytes) else str(value)
