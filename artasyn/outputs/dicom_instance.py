"""What all DICOM objects share: unique identifiers from their content, dates of their film, and the words of the maker.

Two runs with the same settings on the same film give the same bytes. No identifier is drawn, and no clock is read.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from pydicom import Dataset, dcmwrite
from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID

from artasyn.codes import PRIVATE, Code
from artasyn.doors import required
from artasyn.outputs.dicom_source import SourceFilm
from artasyn.pixels.quiet import quiet
from artasyn.version import __version__

Made = Literal["seg", "sc", "sr"]
"""A kind of object: segmentation, secondary capture, structured report."""

SERIES = {"seg": 9101, "sc": 9102, "sr": 9103}
"""The number of the series of each kind of object, far from those of the films of a study."""

NAME = "artasyn"
RESEARCH = "For research use only, not for diagnosis"
DEIDENTIFIED = "artasyn --anonymous: patient, study, dates out; UIDs kept"

SCHEME = tag_for_keyword("CodingSchemeDesignator")

ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
MORPHOLOGICAL = Code("123104", "DCM", "Morphological Operations")
"""Families of algorithms. Source: DICOM PS3.16, CID 7162."""


@dataclass(frozen=True)
class Maker:
    """What made the results that are written.

    Attributes:
        name: the command.
        parameters: the settings that the results depend on, by name: the model, the digest of its weights and so on.
        family: of the algorithm.
    """

    name: str
    parameters: tuple[tuple[str, str], ...] = ()
    family: Code = ARTIFICIAL_INTELLIGENCE

    @property
    def settings(self) -> str:
        """The parameters on one line, in ASCII."""
        return plain(", ".join(f"{name}={value}" for name, value in self.parameters))


def model_parameters(model: str | Path, digest: str) -> tuple[tuple[str, str], ...]:
    """Returns the parameters that tell a model; the folders above it are left out, because they may name people.

    Args:
        model: its path, or its name.
        digest: of its weights, which identifies it.

    Example:
        >>> model_parameters("jane/models/second", "00ff")
        (('model', 'second'), ('weights', '00ff'))
    """
    return ("model", Path(model).absolute().name), ("weights", digest)


def library() -> Any:
    """Returns highdicom.

    Raises:
        MissingExtra: highdicom is not installed.
    """
    return required("highdicom", extra="dicom")


def concept(code: Code) -> Any:
    """Returns a code as highdicom writes it."""
    return library().sr.CodedConcept(code.value, code.scheme, plain(code.meaning)[:64])


def plain(text: str) -> str:
    """Returns a text in ASCII, which every character set of DICOM holds; other characters become ``?``."""
    return text.encode("ascii", "replace").decode("ascii")


def uid_of(*parts: str) -> str:
    """Returns the unique identifier of a text, the same for the same parts.

    Args:
        parts: that tell one thing from another.

    Source: DICOM PS3.5 B.2 (UUID derived UID); RFC 4122 section 4.3 (name-based UUID).

    Example:
        >>> uid_of("series", "1.2.3") == uid_of("series", "1.2.3"), uid_of("series", "1.2.3")[:5]
        (True, '2.25.')
    """
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, chr(0).join((NAME, *parts))).int}"


def identifiers(film: SourceFilm, maker: Maker, kind: Made) -> dict[str, Any]:
    """Returns the arguments of highdicom that every object takes. `encoded` replaces the identifier of the object.

    Args:
        film: the source.
        maker: what made the results.
        kind: of the object.
    """
    series = uid_of("series", kind, film.header.SeriesInstanceUID, maker.name, __version__, maker.settings)
    return {
        "series_instance_uid": series,
        "series_number": SERIES[kind],
        "sop_instance_uid": uid_of("instance"),
        "instance_number": film.number,
        "manufacturer": NAME,
        "manufacturer_model_name": maker.name,
        "software_versions": __version__,
        "device_serial_number": __version__,
        "content_qualification": "RESEARCH",
        "series_description": plain(f"{maker.name}, {RESEARCH.lower()}")[:64],
    }


def encoded(instance: Dataset, film: SourceFilm) -> bytes:
    """Finishes an object and returns the bytes of its file.

    The object gets the patient, the study and the date of its film, and an identifier that depends on all of its
    content. What depends on the clock or on chance is replaced or taken out.

    Args:
        instance: the object from highdicom, which is changed.
        film: the source.
    """
    film.identify(instance)
    for name in ("InstanceCreationDate", "InstanceCreationTime", "DateOfSecondaryCapture", "TimeOfSecondaryCapture"):
        if name in instance:
            delattr(instance, name)
    for item in instance.get("ContributingEquipmentSequence", ()):
        item.pop("ContributionDateTime", None)
    instance.ContentDate, instance.ContentTime = film.dated
    if film.anonymous and instance.Modality != "OT":  # a picture may show the patient's name
        instance.PatientIdentityRemoved, instance.DeidentificationMethod = "YES", DEIDENTIFIED
    _name_private_codes(instance)
    organization = uid_of("dimensions", instance.SeriesInstanceUID)
    for item in _dimensions(instance):
        item.DimensionOrganizationUID = organization
    instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = UID(uid_of("instance"))
    digest = hashlib.blake2b(_bytes(instance), digest_size=16).hexdigest()
    instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = UID(uid_of("instance", digest))
    return _bytes(instance)


def _name_private_codes(instance: Dataset) -> None:
    """Says in an object whose its private codes are, if it has any."""
    if not any(element.tag == SCHEME and element.value == PRIVATE for element in instance.iterall()):
        return
    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeName = PRIVATE, NAME
    scheme.CodingSchemeVersion = __version__
    instance.CodingSchemeIdentificationSequence = [scheme]


def _dimensions(instance: Dataset) -> Iterator[Dataset]:
    for name in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        yield from instance.get(name, ())


def _bytes(instance: Dataset) -> bytes:
    buffer = BytesIO()
    with quiet():
        dcmwrite(buffer, instance, enforce_file_format=True)
    return buffer.getvalue()
