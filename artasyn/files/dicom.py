"""DICOM files as radiographs: as a workstation would show them, the patient's right on the left, head up."""

from __future__ import annotations

import re
import warnings
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, uid
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut, apply_windowing
from pydicom.pixels.utils import pixel_array

from artasyn.arrays import Image
from artasyn.errors import RadiographError
from artasyn.files.dicom_header import Header, read_spacing, read_uids
from artasyn.files.rasters import Pixels, brief, grey, jpeg_ends
from artasyn.files.turns import Turn, patient_turn

DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
"""Suffixes, in lower case, of DICOM files."""

MODALITIES = ("CR", "DX", "DR", "RG", "OT", "SC")
STORAGE_CLASSES = (
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
    uid.SecondaryCaptureImageStorage,
)
PHOTOMETRIC = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
JPEG_SYNTAXES = (*uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes)
LATERAL = re.compile(r"^[LR]LO?$|(?:^|[^A-Z])[LR]?LAT(?!.*DECUB)")


def is_dicom(data: bytes) -> bool:
    """Returns whether bytes are DICOM: by the prefix ``DICM``, or else by a first element of group 2 or 8."""
    return data[128:132] == b"DICM" or (data[:2] in (b"\x02\x00", b"\x08\x00") and data[3:4] == b"\x00")


def decode_dicom(data: bytes) -> tuple[Image, Header]:
    """Decodes a DICOM radiograph to float32 (h, w) in [0, 1], bright = dense, and reads its header.

    Args:
        data: the whole file, with or without preamble.

    Raises:
        RadiographError: the file is damaged or is not one frontal radiograph. The message continues a sentence that
            begins with the file's name.

    Source: see `artasyn.files.radiograph.read_radiograph`.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")  # values that the standard forbids
        try:
            film = dcmread(BytesIO(data), force=True)
            _check_film(film)
            if "TransferSyntaxUID" not in film.file_meta:  # no preamble, no header
                syntaxes = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian)
                film.file_meta.TransferSyntaxUID = syntaxes[bool(film.original_encoding[0])]
            syntax = film.file_meta.TransferSyntaxUID
            if syntax in JPEG_SYNTAXES and not jpeg_ends(film.PixelData):
                raise RadiographError("is DICOM whose JPEG is cut short; export it again")
            turn = patient_turn(_directions(film))
            image = turn.turned(_shown(film, pixel_array(film))).astype(np.float32)
            return image, Header(turn, read_spacing(film), read_uids(film))
        except RadiographError:
            raise
        except BaseException as error:  # parsers and decoders raise nearly anything for damaged files
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # a panic in Rust code
                raise
            raise RadiographError(f"is DICOM but not readable ({brief(error)}); export it again") from error


def dicom_turn(data: bytes) -> Turn:
    """Reads the turn of a DICOM file from its header.

    Args:
        data: the whole file, with or without preamble.

    Raises:
        RadiographError: the header is damaged. The message continues a sentence that begins with the file's name.
    """
    try:
        return patient_turn(_directions(dcmread(BytesIO(data), stop_before_pixels=True, force=True)))
    except Exception as error:  # parsers raise nearly anything for damaged files
        raise RadiographError(f"is DICOM but not readable ({brief(error)}); export it again") from error


def _check_film(film: Dataset) -> None:
    """Refuses DICOM that is not one frontal radiograph."""
    modality = str(film.get("Modality") or "").strip().upper()
    if modality not in MODALITIES and (modality or film.get("SOPClassUID") not in STORAGE_CLASSES):
        found = f"modality {modality}" if modality else "no modality"
        raise RadiographError(f"is DICOM of {found}; radiographs have {', '.join(MODALITIES)}")
    if "PixelData" not in film:
        raise RadiographError("is DICOM without pixels: a report, or cut short; export the image again")
    frames = int(film.get("NumberOfFrames") or 1)
    if frames > 1:
        raise RadiographError(f"is DICOM of {frames} frames; export the one to use")
    if film.PhotometricInterpretation not in PHOTOMETRIC:
        raise RadiographError(f"is DICOM in {film.PhotometricInterpretation}; export it as MONOCHROME2")
    codes = film.get("ViewCodeSequence") or ()
    meanings = (film.get("ViewPosition"), *(code.get("CodeMeaning") for code in codes))
    views = [str(meaning) for meaning in meanings if meaning and LATERAL.search(str(meaning).upper())]
    if not film.get("ViewPosition") and {"A", "P"}.intersection(_directions(film)):
        views.append("PatientOrientation " + "\\".join(film.PatientOrientation))
    if views:
        raise RadiographError(f"is a lateral view ({views[0]}); only frontal films (PA, AP) can be used")


def _directions(film: Dataset) -> tuple[str, ...]:
    """Returns the directions of rows and columns by main letter (L, R, A, P, H, F), or () if not known."""
    orientation = film.get("PatientOrientation")
    if isinstance(orientation, MultiValue) and len(orientation) == 2:
        return tuple(str(direction)[:1].upper() for direction in orientation)
    return ()


def _shown(film: Dataset, stored: Pixels) -> NDArray[np.float64]:
    """Returns stored values as a workstation shows them: 0 black, 1 white."""
    if stored.ndim == 3:
        if stored.dtype != np.uint8:
            raise RadiographError("is DICOM in colours of more than 8 bits; export it as MONOCHROME2")
        return grey(stored) / 255
    values, low, high = _of_interest(film, *_modality_values(film, stored))
    if high == low:
        raise RadiographError("is DICOM whose rescale slope is 0; export it again")
    inverse = film.PhotometricInterpretation == "MONOCHROME1" or film.get("PresentationLUTShape") == "INVERSE"
    shown = np.clip((high - values if inverse else values - low) / (high - low), 0, 1)
    padding = film.get("PixelPaddingValue")
    if padding is not None:
        limit = film.get("PixelPaddingRangeLimit")
        words = np.int16 if film.PixelRepresentation else np.uint16  # some files confuse the two
        ends = np.array([padding, padding if limit is None else limit], np.int64).astype(words)
        shown[(stored >= ends.min()) & (stored <= ends.max())] = 0
    return shown


def _modality_values(film: Dataset, stored: Pixels) -> tuple[Pixels, float, float]:
    """Returns the output of the modality LUT or rescale, with the ends of its range."""
    values = apply_modality_lut(stored, film)
    if film.get("ModalityLUTSequence"):
        return values, 0.0, 2.0 ** film.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    half = 2 ** (film.BitsStored - 1)
    low, high = (-half, half - 1) if film.PixelRepresentation else (0, 2 * half - 1)
    ends = apply_modality_lut(np.array([low, high]), film)
    return values, float(ends.min()), float(ends.max())


def _of_interest(film: Dataset, values: Pixels, low: float, high: float) -> tuple[Pixels, float, float]:
    """Returns the output of the first VOI LUT, or else window, with the ends of its range; without both, the input."""
    if film.get("VOILUTSequence"):
        table = film.VOILUTSequence[0]
        entries, first, bits = table.LUTDescriptor
        entries, levels = entries or 65536, table.LUTData
        if isinstance(levels, bytes):
            words = "<u2" if film.original_encoding[1] else ">u2"
            levels = np.frombuffer(levels, words if len(levels) >= 2 * entries else np.uint8)
        at = np.clip(np.rint(values) - first, 0, entries - 1).astype(np.intp)
        return np.asarray(levels, np.float64)[at], 0.0, 2.0**bits - 1
    center, width = (_first(film.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if center is None or width is None:
        return values, low, high
    ends = np.array([center - 50 * width, center + 50 * width])
    with np.errstate(over="ignore"):  # the exponential of a sigmoid window far below its centre
        below, above = apply_windowing(ends, film)
        return apply_windowing(values, film), below, above


def _first(value: Any) -> float | None:
    """Returns the first of one, several or no values."""
    values = value if isinstance(value, MultiValue) else [value]
    return float(values[0]) if values and values[0] not in (None, "") else None
