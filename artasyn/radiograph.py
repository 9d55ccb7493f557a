"""Radiographs, masks and lung labels as files: the only place where pixels enter and leave the library.

Whatever the format, `read_radiograph` returns one intensity unit: float32 (h, w) in [0, 1], bright = dense.
It follows from what a file *says* about its pixels, never from the values that it happens to hold:

* PNG, TIFF, JPEG, BMP, WebP: the value over the largest one of the file's bits: 255, 65535, or 4095 in a TIFF
  of 12 bits. ``sBIT`` of PNG and ``MaxSampleValue`` of TIFF are informative there and change nothing.
  Transparent pixels are laid over black.
* DICOM: modality LUT or rescale, then the first VOI LUT or else window, whose output range becomes [0, 1];
  without either, the range of the stored bits. ``MONOCHROME1`` inverts, and so does a presentation LUT shape
  of ``INVERSE``; a film that says both, as the standard asks for, is inverted once. Padding pixels become 0.
  ``PatientOrientation`` turns the film so that the patient's right is on the image's left, head up.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.ImageOps
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, uid
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut, apply_windowing
from pydicom.pixels.utils import pixel_array

from artasyn.arrays import LEFT, Image, LungLabels, Mask, check_image
from artasyn.atomic import replacing
from artasyn.errors import ImageError, RadiographError

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
RADIOGRAPH_SUFFIXES = PICTURE_SUFFIXES | DICOM_SUFFIXES
"""Endings, in lower case, of the files that `read_radiograph` reads."""
LOSSLESS_SUFFIXES = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}

SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", b"RIFF")
PNG_END = b"IEND\xaeB`\x82"

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

Pixels = NDArray[Any]


def read_radiograph(path: str | os.PathLike[str]) -> Image:
    """Reads one frontal radiograph: float32 (h, w) in [0, 1], bright = dense.

    The kind of file is told from its content: PNG, TIFF, JPEG, BMP or WebP of 8 or 16 bits (also 12 in TIFF),
    in grey or in colours that are all grey, turned as its EXIF orientation says; or DICOM, compressed or not,
    with or without preamble. Colours of 16 bits are read with a precision of 8.

    Args:
        path: the file.

    Raises:
        RadiographError: the file is missing, damaged, cut short or no image; it is coloured, constant, spans
            at most a sixteenth of its range or has less than 16 rows or columns; it holds several pages or
            frames, floating point pixels, another modality or a lateral view. The message names the file,
            what was found and what to do.

    Source:
        DICOM PS3.3 C.7.5.1.1.2 (padding), C.7.6.1.1.1 (patient orientation), C.7.6.3.1.2 (photometric
        interpretation), C.8.11.3 (DX image: presentation LUT shape), C.11.1 (modality LUT), C.11.2 (VOI LUT).
        PNG specification: sample depth scaling. TIFF 6.0 section 8: MaxSampleValue.

    Example:
        >>> import tempfile
        >>> ramp = np.arange(256, dtype=np.float32).reshape(16, 16) / np.float32(255)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_image(Path(folder) / "ramp.png", ramp)
        ...     bool((read_radiograph(Path(folder) / "ramp.png") == ramp).all())
        True
    """
    with _naming(path):
        data = Path(path).read_bytes()
        if _is_dicom(data):
            return _checked(_dicom_image(data))
        pixels, full = _decoded(data)
        if full == 1:
            raise RadiographError("holds 1 bit per pixel; this is a mask, read it with read_mask")
        return _checked(pixels.astype(np.float32) / np.float32(full))


def read_mask(path: str | os.PathLike[str]) -> Mask:
    """Reads a region: bool (h, w).

    Where a file holds 0 and at most one other value (0 and 255, 0 and 1), the other value is the region.
    Where it holds more (JPEG, smoothed edges), values above half of the range are, in 8 bits those above 127.

    Args:
        path: a PNG or another picture, of one channel or grey.

    Raises:
        RadiographError: no readable picture, or several values of which none lies above half of the range.
    """
    with _naming(path):
        pixels, full = _decoded(Path(path).read_bytes())
        values = np.unique(pixels)
        if np.count_nonzero(values) <= 1:
            return pixels > 0
        if values[-1] <= full // 2:
            raise RadiographError(
                f"holds {values.size} values, none above {full // 2}; save a mask as 0 and {full}, "
                "read lung labels with read_labels"
            )
        return pixels > full // 2


def read_labels(path: str | os.PathLike[str]) -> LungLabels:
    """Reads lung labels: uint8 (h, w), 0 background, 1 the patient's right lung, 2 the patient's left lung.

    Args:
        path: a PNG or another lossless picture of raw values; with a palette, its indices are the labels.

    Raises:
        RadiographError: no readable picture, or other values than 0, 1 and 2.
    """
    with _naming(path):
        data = Path(path).read_bytes()
        if data.startswith(b"\xff\xd8\xff"):
            raise RadiographError("is a JPEG, which does not keep labels; save them as PNG")
        pixels, _ = _decoded(data, indices=True)
        values = np.unique(pixels)
        if values[-1] > LEFT:
            found = ", ".join(str(v) for v in values[:6]) + (", ..." if values.size > 6 else "")
            raise RadiographError(
                f"holds the values {found}; lung labels are 0, 1 (right) and 2 (left) in a PNG"
            )
        return pixels.astype(np.uint8)


def write_image(path: str | os.PathLike[str], image: Image, *, bits: Literal[8, 16] = 8) -> None:
    """Writes a radiograph without loss beyond rounding to 8 or 16 bits; the same image gives the same bytes.

    Args:
        path: a ``.png``, ``.tif`` or ``.tiff`` file, written whole or not at all; its folder is made.
        image: (h, w), float32 in [0, 1].
        bits: 8 or 16 per pixel.

    Raises:
        RadiographError: another suffix, or a place where nothing can be written.
        ImageError: not an image (see `artasyn.arrays`), or another number of bits.
    """
    if bits not in (8, 16):
        raise ImageError(f"bits must be 8 or 16, not {bits}")
    check_image(image)
    pixels = np.rint(image.astype(np.float64) * (2**bits - 1))
    _write(path, pixels.astype(np.uint8 if bits == 8 else np.uint16), LOSSLESS_SUFFIXES)


def write_mask(path: str | os.PathLike[str], mask: Mask) -> None:
    """Writes a region as a PNG of 0 and 255.

    Args:
        path: a ``.png`` file, written whole or not at all; its folder is made.
        mask: bool (h, w).

    Raises:
        RadiographError: another suffix (JPEG would smear the edge), or a place where nothing can be written.
        ImageError: not a bool array of shape (h, w).
    """
    _check_plane(mask, np.dtype(np.bool_), "mask")
    _write(path, mask.astype(np.uint8) * 255, {".png": "PNG"})


def write_labels(path: str | os.PathLike[str], labels: LungLabels) -> None:
    """Writes lung labels as a PNG of the raw values 0, 1 and 2.

    Args:
        path: a ``.png`` file, written whole or not at all; its folder is made.
        labels: uint8 (h, w), 0 background, 1 right, 2 left.

    Raises:
        RadiographError: another suffix, or a place where nothing can be written.
        ImageError: not a uint8 array of shape (h, w), or other values.
    """
    _check_plane(labels, np.dtype(np.uint8), "lung labels")
    if int(labels.max()) > LEFT:
        raise ImageError(f"lung labels must be 0, 1 (right) or 2 (left); found {int(labels.max())}")
    _write(path, labels, {".png": "PNG"})


def is_radiograph_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is one to read when a folder is searched for radiographs.

    By its suffix (one of `RADIOGRAPH_SUFFIXES`, in either case), or with none of them by the DICOM magic, as
    exported films often bear their UID as name. Hidden files and the index ``DICOMDIR`` are left out.

    Args:
        path: a file or folder.
    """
    path = Path(path)
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    if path.suffix.lower() in RADIOGRAPH_SUFFIXES:
        return True
    with _naming(path), path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Lets errors name the file."""
    name = os.fspath(path)
    try:
        yield
    except RadiographError as error:
        raise RadiographError(f"{name} {error}") from error.__cause__
    except FileNotFoundError as error:
        raise RadiographError(f"{name} does not exist; check the path") from error
    except IsADirectoryError as error:
        raise RadiographError(f"{name} is a folder; name a file") from error
    except OSError as error:
        raise RadiographError(f"{name} is out of reach ({error.strerror}); check its permissions") from error


def _checked(image: Image) -> Image:
    """Refuses what cannot be a radiograph although it could be decoded."""
    rows, columns = image.shape
    if min(rows, columns) < 16:
        raise RadiographError(f"is {rows} x {columns} pixels; a radiograph has at least 16 x 16")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # NaN
        raise RadiographError("holds values that are no numbers; check its rescale slope and window")
    if low == high:
        raise RadiographError(f"is constant ({low:g} everywhere); there is no radiograph in it")
    if high - low <= 1 / 16:
        raise RadiographError(
            f"spans only {low:.3f} to {high:.3f} of its range, perhaps 12 bits in a file of 16; "
            "scale its values up (12 bits: times 16), or in DICOM set WindowCenter and WindowWidth"
        )
    return np.ascontiguousarray(image)


def _brief(error: BaseException) -> str:
    """The first line of what a decoder complains about."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].split(" - ")[0][:160]


# Pictures ---------------------------------------------------------------------------------------------------


def _decoded(data: bytes, *, indices: bool = False) -> tuple[Pixels, int]:
    """Decodes a picture to grey integers (h, w) and the largest value that its bits can hold."""
    picture = _loaded(data)
    mode, alpha = picture.mode, "transparency" in picture.info or picture.mode in ("LA", "PA", "RGBA")
    if mode == "1":
        return np.asarray(picture).astype(np.uint8), 1
    if mode.startswith("I;16") or (mode == "I" and picture.format == "PNG"):
        return _deep(picture)
    if mode in ("I", "F"):
        kind = "32-bit or signed integers" if mode == "I" else "floating point numbers"
        raise RadiographError(f"holds {kind}, whose black and white are unknown; save it with 16 bits")
    if (mode == "L" and not alpha) or (mode == "P" and indices):
        return np.asarray(picture), 255
    if mode not in ("L", "P", "LA", "PA", "RGB", "RGBA", "RGBX", "YCbCr"):
        raise RadiographError(f"holds {mode} colours; convert it to greyscale")
    if alpha:
        picture = picture.convert("RGBA")
        picture = PIL.Image.alpha_composite(PIL.Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
    return _grey(np.asarray(picture.convert("RGB"))), 255


def _loaded(data: bytes) -> PIL.Image.Image:
    """Decodes a whole picture, refusing whatever is cut short, and turns it as its EXIF orientation says."""
    tolerant = PIL.ImageFile.LOAD_TRUNCATED_IMAGES
    PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False  # others switch it on, and then the missing part becomes grey
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")  # oddities of metadata
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            picture = _opened(data)
            frames = getattr(picture, "n_frames", 1)
            if frames > 1:
                raise RadiographError(f"holds {frames} pages or frames; save the one to use on its own")
            if picture.format == "PNG":
                _opened(data).verify()  # checksums
            if not {"PNG": PNG_END in data, "JPEG": _jpeg_ends(data)}.get(str(picture.format), True):
                raise RadiographError("has no end marker, it is cut short; copy or export it again")
            picture.load()  # before turning: loading a TIFF turns it already
            PIL.ImageOps.exif_transpose(picture, in_place=True)
            return picture
    except RadiographError:
        raise
    except (PIL.Image.DecompressionBombWarning, PIL.Image.DecompressionBombError) as error:
        raise RadiographError(f"is too large to be a radiograph ({_brief(error)}); scale it down") from error
    except PIL.UnidentifiedImageError as error:
        if data.startswith(SIGNATURES):
            raise RadiographError("is damaged, cut short or of an unusual kind; export it again") from error
        found = f"begins with {data[:12]!r}" if data else "is empty"
        raise RadiographError(
            f"{found}, so is no PNG, TIFF, JPEG, BMP, WebP or DICOM; export it anew"
        ) from error
    except Exception as error:  # decoders raise nearly anything for damaged files
        raise RadiographError(f"is damaged or cut short ({_brief(error)}); export it again") from error
    finally:
        PIL.ImageFile.LOAD_TRUNCATED_IMAGES = tolerant


def _opened(data: bytes) -> PIL.Image.Image:
    return PIL.Image.open(BytesIO(data), formats=("PNG", "TIFF", "JPEG", "BMP", "WEBP"))


def _jpeg_ends(data: bytes) -> bool:
    """Whether an end marker follows the last scan of a JPEG; decoders make up what is missing before it."""
    return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")


def _deep(picture: PIL.Image.Image) -> tuple[Pixels, int]:
    """The pixels of a picture with more than 8 bits, and the largest value of its bits."""
    pixels = np.asarray(picture).astype(np.uint16)
    tags = getattr(picture, "tag_v2", {})  # TIFF only
    full = 2 ** int(tags.get(258, (16,))[0]) - 1
    white_is_zero = tags.get(262) == 0  # Pillow inverts these in 8 bits only
    return (full - pixels if white_is_zero else pixels), full


def _grey(colours: Pixels) -> Pixels:
    """One channel of 8-bit (h, w, 3) whose three say the same, up to the colour noise of JPEG."""
    spread = np.ptp(colours, axis=2)
    if spread.mean() > 8 or (spread > 32).mean() > 0.001:
        raise RadiographError(
            f"is coloured (its channels differ by up to {int(spread.max())} of 255); "
            "if it is a radiograph with no drawings on it, convert it to greyscale"
        )
    grey: Pixels = np.rint(colours.mean(axis=2, dtype=np.float32)).astype(np.uint8)
    return grey


# DICOM ------------------------------------------------------------------------------------------------------


def _is_dicom(data: bytes) -> bool:
    """Whether bytes are DICOM: by the magic, or without preamble by a first element of group 2 or 8."""
    return data[128:132] == b"DICM" or (data[:2] in (b"\x02\x00", b"\x08\x00") and data[3:4] == b"\x00")


def _dicom_image(data: bytes) -> Image:
    """Reads a DICOM radiograph into the library's unit."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")  # values that the standard does not allow
        try:
            film = dcmread(BytesIO(data), force=True)
            _check_film(film)
            if "TransferSyntaxUID" not in film.file_meta:  # no preamble, no header
                syntaxes = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian)
                film.file_meta.TransferSyntaxUID = syntaxes[bool(film.original_encoding[0])]
            syntax = film.file_meta.TransferSyntaxUID
            if syntax in JPEG_SYNTAXES and not _jpeg_ends(film.PixelData):
                raise RadiographError("is DICOM whose JPEG is cut short; export it again")
            return _turned(_shown(film, pixel_array(film)), film)
        except RadiographError:
            raise
        except BaseException as error:  # parsers and decoders raise nearly anything for damaged files
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # that of Rust
                raise
            raise RadiographError(f"is DICOM but not readable ({_brief(error)}); export it again") from error


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
    """Where rows and columns run to, each by its main letter (L, R, A, P, H, F), or nothing if not known."""
    orientation = film.get("PatientOrientation")
    if isinstance(orientation, MultiValue) and len(orientation) == 2:
        return tuple(str(direction)[:1].upper() for direction in orientation)
    return ()


def _turned(shown: NDArray[np.float64], film: Dataset) -> Image:
    """The film with the patient's right on the left of the image, head up."""
    directions = _directions(film)
    if sorted(directions) in (["F", "L"], ["F", "R"], ["H", "L"], ["H", "R"]):
        if directions[0] in "HF":
            shown, directions = shown.T, directions[::-1]
        shown = shown[:: -1 if directions[1] == "H" else 1, :: -1 if directions[0] == "R" else 1]
    return shown.astype(np.float32)


def _shown(film: Dataset, stored: Pixels) -> NDArray[np.float64]:
    """Stored values as a workstation shows them: 0 black, 1 white."""
    if stored.ndim == 3:
        if stored.dtype != np.uint8:
            raise RadiographError("is DICOM in colours of more than 8 bits; export it as MONOCHROME2")
        return _grey(stored) / 255
    values, low, high = _of_interest(film, *_modality_values(film, stored))
    if high == low:
        raise RadiographError("is DICOM whose rescale slope is 0; export it again")
    inverse = film.PhotometricInterpretation == "MONOCHROME1" or film.get("PresentationLUTShape") == "INVERSE"
    shown = np.clip((high - values if inverse else values - low) / (high - low), 0, 1)
    padding = film.get("PixelPaddingValue")
    if padding is not None:
        limit = film.get("PixelPaddingRangeLimit")
        words = np.int16 if film.PixelRepresentation else np.uint16  # either may be written for the other
        ends = np.array([padding, padding if limit is None else limit], np.int64).astype(words)
        shown[(stored >= ends.min()) & (stored <= ends.max())] = 0
    return shown


def _modality_values(film: Dataset, stored: Pixels) -> tuple[Pixels, float, float]:
    """The output of the modality LUT or rescale, with the ends of its range."""
    values = apply_modality_lut(stored, film)
    if film.get("ModalityLUTSequence"):
        return values, 0.0, 2.0 ** film.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    half = 2 ** (film.BitsStored - 1)
    low, high = (-half, half - 1) if film.PixelRepresentation else (0, 2 * half - 1)
    ends = apply_modality_lut(np.array([low, high]), film)
    return values, float(ends.min()), float(ends.max())


def _of_interest(film: Dataset, values: Pixels, low: float, high: float) -> tuple[Pixels, float, float]:
    """The output of the first VOI LUT or else window, with the ends of its range; else its input."""
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
    with np.errstate(over="ignore"):  # far below the centre of a sigmoid window
        below, above = apply_windowing(ends, film)
        return apply_windowing(values, film), below, above


def _first(value: Any) -> float | None:
    """The first of one, several or no values."""
    values = value if isinstance(value, MultiValue) else [value]
    return float(values[0]) if values and values[0] not in (None, "") else None


# Writing ----------------------------------------------------------------------------------------------------


def _check_plane(array: object, dtype: np.dtype[Any], name: str) -> None:
    """Refuses whatever is not a non-empty (h, w) array of a dtype."""
    if not isinstance(array, np.ndarray):
        raise ImageError(f"{name} must be a numpy array, not {type(array).__name__}")
    if array.ndim != 2 or array.dtype != dtype or array.size == 0:
        raise ImageError(f"{name} must be {dtype} of shape (h, w), not {array.dtype} {array.shape}")


def _write(path: str | os.PathLike[str], pixels: Pixels, formats: dict[str, str]) -> None:
    """Encodes pixels and puts the finished file in place."""
    path = Path(path)
    if path.suffix.lower() not in formats:
        raise RadiographError(f"{path} would not keep its values; end its name in {' or '.join(formats)}")
    buffer = BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, format=formats[path.suffix.lower()])
    with _naming(path), replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
