"""DICOM files as radiographs: as a workstation would show them, the patient's right on the left, head up."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, uid
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset, read_preamble
from pydicom.pixels.processing import apply_color_lut

from artasyn.arrays import Image
from artasyn.errors import RadiographError
from artasyn.files.dicom_header import Header, read_person, read_spacing, read_uids
from artasyn.files.rasters import brief, check_whole_jpeg, grey
from artasyn.files.turns import Turn, patient_turn, states_sides
from artasyn.limits import limits, too_large
from artasyn.pixels.attributes import text, whole
from artasyn.pixels.codestreams import Codestream, read_codestream
from artasyn.pixels.decoders import JPEG_SYNTAXES, pixels_of
from artasyn.pixels.quiet import quiet
from artasyn.pixels.stored import Layout, Values, read_stored
from artasyn.pixels.tones import shown
from artasyn.pixels.views import check_view, directions
from artasyn.pixels.wholeness import check_pixels

DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
"""Suffixes, in lower case, of DICOM files."""

MODALITIES = ("CR", "DX", "DR", "RG", "OT", "SC")
STORAGE_CLASSES = (
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
    uid.SecondaryCaptureImageStorage,
)
PALETTE = "PALETTE COLOR"
PHOTOMETRIC = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", PALETTE)
CODESTREAMS = (*JPEG_SYNTAXES, *uid.JPEG2000TransferSyntaxes)
"""Transfer syntaxes whose pixels state their own size and precision."""
INFLATED = 8
"""Bytes that a deflated file may hold for each pixel that is allowed."""


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
    with _refusing():
        film = _parsed(data)
        _check_film(film)
        check_view(film)
        stream = _check_size(film)
        words = pixels_of(film, correct_unused_bits=False)
        ways = directions(film)
        turn = patient_turn(ways)
        image = turn.turned(_tones(film, words, stream)).astype(np.float32)
        return image, Header(turn, read_spacing(film), read_uids(film), states_sides(ways))


def dicom_turn(data: bytes) -> Turn:
    """Reads the turn of a DICOM file from its header.

    Args:
        data: the whole file, with or without preamble.

    Raises:
        RadiographError: the header is damaged. The message continues a sentence that begins with the file's name.
    """
    with _refusing():
        return patient_turn(directions(_parsed(data, pixels=False)))


def dicom_person(data: bytes) -> dict[str, str]:
    """Reads patient, sex, age, view and site of a DICOM file from its header, see `read_person`.

    Args:
        data: the whole file, with or without preamble.

    Raises:
        RadiographError: the header is damaged. The message continues a sentence that begins with the file's name.
    """
    with _refusing():
        return read_person(_parsed(data, pixels=False))


@contextmanager
def _refusing() -> Iterator[None]:
    """Turns the errors of parsers and decoders into refusals."""
    try:
        with quiet():  # values that the standard forbids
            yield
    except (RadiographError, MemoryError):
        raise
    except BaseException as error:  # parsers and decoders raise nearly anything for damaged files
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # a panic in Rust code
            raise
        raise RadiographError(f"is DICOM but not readable ({brief(error)}); export it again") from error


def _parsed(data: bytes, *, pixels: bool = True) -> Dataset:
    """Parses a file; one without a header gets the transfer syntax that it was parsed with."""
    _check_deflated(data)
    film = dcmread(BytesIO(data), force=True, stop_before_pixels=not pixels)
    if "TransferSyntaxUID" not in film.file_meta:  # no preamble, no header
        syntaxes = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian)
        film.file_meta.TransferSyntaxUID = syntaxes[bool(film.original_encoding[0])]
    return film


def _check_deflated(data: bytes) -> None:
    """Refuses a deflated file that grows beyond what the largest film takes; a few kilobytes may fill the memory."""
    file = BytesIO(data)
    read_preamble(file, force=True)
    if (
        data[file.tell() : file.tell() + 2] != b"\x02\0"
        or uid.DeflatedExplicitVRLittleEndian.encode() not in data[:4096]
    ):
        return
    meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
        return
    stream, rest, size = zlib.decompressobj(-zlib.MAX_WBITS), data[file.tell() :], 0
    most = INFLATED * limits().pixels
    while rest and not stream.eof:
        size += len(stream.decompress(rest, 2**24))
        rest = stream.unconsumed_tail
        if size > most:
            raise RadiographError(too_large("bytes of DICOM or more, deflated,", size, "pixels"))


def _check_film(film: Dataset) -> None:
    """Refuses DICOM that is not one radiograph."""
    modality = text(film, "Modality")
    if modality not in MODALITIES and (modality or film.get("SOPClassUID") not in STORAGE_CLASSES):
        found = f"modality {modality[:16]}" if modality else "no modality"
        raise RadiographError(f"is DICOM of {found}; radiographs have {', '.join(MODALITIES)}")
    if "PixelData" not in film:
        raise RadiographError("is DICOM without pixels: a report, or cut short; export the image again")
    frames = whole(film, "NumberOfFrames", 0, 2**31 - 1, 1)
    if frames > 1:
        raise RadiographError(f"is DICOM of {frames} frames; export the one to use")
    photometric = text(film, "PhotometricInterpretation")
    if photometric not in PHOTOMETRIC:
        raise RadiographError(f"is DICOM in {photometric[:16] or 'no known colours'}; export it as MONOCHROME2")
    if whole(film, "BitsAllocated", 1, 64) == 1:
        raise RadiographError("is DICOM of 1 bit per pixel; this is a mask, not a radiograph")


def _check_size(film: Dataset) -> Codestream | None:
    """Compares what the header and the codestream claim with the limits and each other; returns the latter's header."""
    rows, columns = (whole(film, name, 0, 2**16 - 1) for name in ("Rows", "Columns"))
    samples = whole(film, "SamplesPerPixel", 1, 4, 1)
    check_pixels(rows, columns)
    Layout.of(film)
    syntax = film.file_meta.TransferSyntaxUID
    if syntax not in CODESTREAMS:
        return None
    frame = next(generate_frames(film.PixelData, number_of_frames=1))
    stream = read_codestream(frame)
    if (stream.rows, stream.columns, stream.samples) != (rows, columns, samples):
        raise RadiographError(
            f"is DICOM of {rows} x {columns} pixels with {samples} samples, but its compressed pixels are "
            f"{stream.rows} x {stream.columns} with {stream.samples}; export it again"
        )
    if syntax in JPEG_SYNTAXES:
        check_whole_jpeg(frame)
    return stream


def _tones(film: Dataset, words: Values, stream: Codestream | None) -> NDArray[np.float64]:
    """Returns decoded words as a workstation shows them: 0 black, 1 white."""
    if text(film, "PhotometricInterpretation") == PALETTE:
        try:
            words = apply_color_lut(words, film)
        except MemoryError:  # is no fault of the file
            raise
        except Exception as error:  # raised are nearly all kinds
            raise RadiographError(f"is DICOM in {PALETTE} without a readable palette ({brief(error)})") from error
    if words.ndim == 2:
        return shown(film, read_stored(film, words, stream))
    stated = stream.bits if stream else whole(film, "BitsStored", 1, 64)
    full = 255 if words.dtype == np.uint8 else max(2**stated - 1, int(words.max()))
    return grey(words, full) / full
