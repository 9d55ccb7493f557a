"""A picture of a film as a DICOM Secondary Capture image, in colour."""

from __future__ import annotations

from pydicom import Dataset

from artasyn.arrays import Picture
from artasyn.codes import Code
from artasyn.outputs.dicom_instance import RESEARCH, Maker, concept, encoded, identifiers, library, plain
from artasyn.outputs.dicom_source import LOSSES, SourceFilm

SOURCE = Code("121322", "DCM", "Source image for image processing operation")
"""Why an image is referred to. Source: DICOM PS3.16, CID 7202."""

UPRIGHT = ("L", "F")
"""The directions of the rows and columns of an image: the patient's right on the left, head up."""


def secondary_capture(picture: Picture, film: SourceFilm, maker: Maker) -> bytes:
    """Returns the file of a Secondary Capture image that shows a picture and refers to its film.

    The picture is upright. Its orientation is stated only if that of the film tells the patient's sides, because
    nothing is known otherwise. The picture has another grid than the film, so it has no spacing.

    Args:
        picture: uint8 (rows, columns, 3), RGB.
        film: the source.
        maker: what made the picture.

    Raises:
        MissingExtra: highdicom is not installed.

    Source: DICOM PS3.3 A.8.1 (secondary capture image), C.7.6.1 (general image).
    """
    instance = library().sc.SCImage(
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=UPRIGHT,
        study_instance_uid=film.header.StudyInstanceUID,
        **identifiers(film, maker, "sc"),
    )
    if not film.sided:
        instance.PatientOrientation = []
    instance.ConversionType, instance.Laterality = "WSD", ""  # a chest is no paired structure
    instance.DerivationDescription = plain(f"Picture by {maker.name} ({maker.settings}). {RESEARCH}")
    source = Dataset()
    source.ReferencedSOPClassUID = film.header.SOPClassUID
    source.ReferencedSOPInstanceUID = film.header.SOPInstanceUID
    source.PurposeOfReferenceCodeSequence = [concept(SOURCE)]
    instance.SourceImageSequence = [source]
    for name in LOSSES:
        if value := film.reference.get(name):
            setattr(instance, name, value)
    return encoded(instance, film)
