"""Radiographs, masks and lung labels as files: the only place where pixels enter and leave the library.

For every format, `read_radiograph` returns one intensity unit: float32 (h, w) in [0, 1], bright = dense.
The conversion depends on the properties that a file *states* about its pixels, never on the pixel values:

* PNG, TIFF, JPEG, BMP, WebP: the pixel value is divided by the largest value of the file's bits: 255, 65535, or
  4095 in a TIFF of 12 bits. ``sBIT`` of PNG and ``MaxSampleValue`` of TIFF are informative and are ignored.
  Transparent pixels are composited over black.
* DICOM: the modality LUT or rescale is applied, then the first VOI LUT or else the first window. The output range
  becomes [0, 1]. Without a VOI LUT and a window, the range of the stored bits becomes [0, 1]. ``MONOCHROME1``
  inverts the values, and so does a presentation LUT shape of ``INVERSE``. A radiograph that states both, as the
  standard requires, is inverted once. Padding pixels become 0. ``PatientOrientation`` turns the radiograph so that
  the patient's right is on the image's left, head up. Empty attributes count as missing ones.

DICOM headers contradict their pixels in known ways; then the pixels' true range counts: the bits of a JPEG or JPEG 2000
codestream against BitsStored (`artasyn.pixels.stored`), and the entries of a lookup table against its LUTDescriptor
(`artasyn.pixels.tones`). A window or table that makes most of a film black or white is refused.

Claims are compared with `artasyn.limits.Limits` before anything is decoded.
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import PIL.Image

from artasyn.arrays import LEFT, Heatmap, Image, LungLabels, Mask, check_image
from artasyn.errors import ImageError, RadiographError
from artasyn.files.atomic import write_bytes
from artasyn.files.dicom import DICOM_SUFFIXES, is_dicom
from artasyn.files.opened import naming, open_radiograph, read_whole
from artasyn.files.rasters import (
    PICTURE_SUFFIXES,
    Pixels,
    decode_labels,
    decode_picture,
    decode_region,
    is_lossy,
    is_picture,
)
from artasyn.remote.objects import HEAD, pointer_at

RADIOGRAPH_SUFFIXES = PICTURE_SUFFIXES | DICOM_SUFFIXES
"""Suffixes, in lower case, of the files that `read_radiograph` reads."""
FEW_LEVELS = 100
"""With fewer grey levels than this, steps between them show, and noise and faint findings are lost."""
LOSSLESS_SUFFIXES = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}


def read_radiograph(path: str | os.PathLike[str]) -> Image:
    """Reads one frontal radiograph: float32 (h, w) in [0, 1], bright = dense; the image of `open_radiograph`.

    The content of a file determines its format. PNG, TIFF, JPEG, BMP and WebP may have 8 or 16 bits (TIFF also 12),
    in greyscale or in colour with equal channels; their EXIF orientation is applied. DICOM may be compressed or not,
    with or without preamble.

    Args:
        path: the file.

    Raises:
        RadiographError: the file is missing, damaged, cut short or no image; or it is coloured, constant, spans
            at most a sixteenth of its range or has fewer than 16 rows or columns; or it holds several pages or
            frames, floating point pixels, another modality, a lateral view, another body part, or a window or table
            that leaves no film; or it claims more pixels than `artasyn.limits.Limits` allows. The message states the
            file, what was found and what to do.

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
    return open_radiograph(path).image


def read_mask(path: str | os.PathLike[str]) -> Mask:
    """Reads a region: bool (h, w), turned as the EXIF orientation says.

    The region may be painted in one channel, in one colour, with a palette, or in the alpha channel, with any depth.
    If a file holds 0 and one other value (0 and 255, 0 and 1), the other value is the region. More values are read
    where they are shades at an edge (JPEG, smoothing); those above half of the range are the region (in 8 bits: above
    127). What has no reading or several is refused: a class apart such as 255 for "ignore", several colours, or
    information that is transparent. White is the region and black is not.

    Args:
        path: a PNG or another picture.

    Raises:
        RadiographError: the picture is not readable or has no single reading. The message states what was found.
    """
    with naming(path):
        return decode_region(read_whole(path))


def read_heatmap(path: str | os.PathLike[str]) -> Heatmap:
    """Reads a heatmap that `write_image` wrote: float32 (h, w) in [0, 1]; the heatmap may be 0 everywhere.

    Args:
        path: a PNG or TIFF of one channel.

    Raises:
        RadiographError: the picture is not readable.
    """
    with naming(path):
        pixels, full = decode_picture(read_whole(path))
        return np.asarray(pixels / np.float32(full), np.float32)


def read_labels(path: str | os.PathLike[str]) -> LungLabels:
    """Reads lung labels: uint8 (h, w), 0 background, 1 the patient's right lung, 2 the patient's left lung.

    Args:
        path: a PNG or another lossless picture of raw values; in a picture with a palette, the indices are the labels.

    Raises:
        RadiographError: the picture is not readable, or holds values other than 0, 1 and 2.
    """
    with naming(path):
        data = read_whole(path)
        if is_lossy(data):
            kind = "WebP with losses" if data.startswith(b"RIFF") else "JPEG"
            raise RadiographError(f"is a {kind}, which does not keep labels; save them as PNG")
        pixels = decode_labels(data)
        values = np.unique(pixels)
        if values[-1] > LEFT or values[0] < 0 or not np.isin(values, (0, 1, LEFT)).all():
            found = ", ".join(f"{v:g}" for v in values[:6]) + (", ..." if values.size > 6 else "")
            raise RadiographError(f"holds the values {found}; lung labels are 0, 1 (right) and 2 (left) in a PNG")
        return pixels.astype(np.uint8)


def write_image(path: str | os.PathLike[str], image: Image, *, bits: Literal[8, 16] = 8) -> None:
    """Writes a radiograph, rounded to 8 or 16 bits, without compression loss; the same image gives the same bytes.

    Args:
        path: a ``.png``, ``.tif`` or ``.tiff`` file, written whole or not at all; its folder is created.
        image: (h, w), float32 in [0, 1].
        bits: 8 or 16 per pixel.

    Raises:
        RadiographError: another suffix, or a place where nothing can be written.
        ImageError: not an image (see `artasyn.arrays`), or another number of bits.
    """
    _write(path, _image_pixels(image, bits), LOSSLESS_SUFFIXES, flat=False)


def write_mask(path: str | os.PathLike[str], mask: Mask) -> None:
    """Writes a region as a PNG of 0 and 255.

    Args:
        path: a ``.png`` file, written whole or not at all; its folder is created.
        mask: bool (h, w).

    Raises:
        RadiographError: another suffix (JPEG would smear the edge), or a place where nothing can be written.
        ImageError: not a bool array of shape (h, w).
    """
    _write(path, _mask_pixels(mask), {".png": "PNG"})


def write_labels(path: str | os.PathLike[str], labels: LungLabels) -> None:
    """Writes lung labels as a PNG of the raw values 0, 1 and 2.

    Args:
        path: a ``.png`` file, written whole or not at all; its folder is created.
        labels: uint8 (h, w), 0 background, 1 right, 2 left.

    Raises:
        RadiographError: another suffix, or a place where nothing can be written.
        ImageError: not a uint8 array of shape (h, w), or other values.
    """
    _write(path, _label_pixels(labels), {".png": "PNG"})


def image_png(image: Image, *, bits: Literal[8, 16] = 8) -> bytes:
    """Encodes an image as the PNG that `write_image` writes; the same image gives the same bytes.

    Args:
        image: (h, w), float32 in [0, 1].
        bits: 8 or 16 per pixel.

    Raises:
        ImageError: not an image, or another number of bits.
    """
    return _png(_image_pixels(image, bits), flat=False)


def needed_bits(image: Image) -> Literal[8, 16]:
    """Returns the depth that keeps an image's grey levels: 16 bits if 8 would leave few and lose most, otherwise 8.

    An image of 8 bits keeps all of its levels in 8 bits, few or many. An image of more bits that spans a small part of
    its range, such as 12 bits in a file of 16, does not.

    Args:
        image: (h, w), float32 in [0, 1].

    Example:
        >>> ramp = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
        >>> needed_bits(ramp), needed_bits(ramp / 8)
        (8, 16)
    """
    few = _levels(image, 8)
    return 16 if few < FEW_LEVELS and _levels(image, 16) >= 2 * few else 8


def _levels(image: Image, bits: int) -> int:
    """Returns how many grey levels an image has in whole numbers of 8 or 16 bits."""
    return int(np.count_nonzero(np.bincount(_image_pixels(image, bits).ravel())))


def mask_png(mask: Mask) -> bytes:
    """Encodes a mask as the PNG of 0 and 255 that `write_mask` writes.

    Args:
        mask: bool (h, w).

    Raises:
        ImageError: not a bool array of shape (h, w).
    """
    return _png(_mask_pixels(mask), flat=True)


def labels_png(labels: LungLabels) -> bytes:
    """Encodes lung labels as the PNG that `write_labels` writes.

    Args:
        labels: uint8 (h, w), 0 background, 1 right, 2 left.

    Raises:
        ImageError: not a uint8 array of shape (h, w), or other values.
    """
    return _png(_label_pixels(labels), flat=True)


def is_radiograph_file(path: str | os.PathLike[str]) -> bool:
    """Returns whether a search of a folder for radiographs should read this file.

    A file counts if its suffix is one of `RADIOGRAPH_SUFFIXES`, in either case. A file with another suffix or none
    counts if its content is DICOM or a picture, because exported radiographs are often named by their UID. DICOM
    without the prefix (``DICM``) counts only without a suffix or with a number as suffix. Hidden files and the index
    ``DICOMDIR`` do not count.

    Args:
        path: a file or folder.
    """
    path = Path(path)
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    suffix = path.suffix.lower()
    if suffix in RADIOGRAPH_SUFFIXES:
        return True
    if pointer := pointer_at(path):
        data = bytes.fromhex(pointer.head)
    else:
        with naming(path), path.open("rb") as file:
            data = file.read(HEAD)
    bare = suffix in ("", ".ima") or suffix[1:].isdigit()  # 1.2.840 is a UID
    return data[128:] == b"DICM" or is_picture(data) or (bare and is_dicom(data))


def _label_pixels(labels: LungLabels) -> LungLabels:
    """Returns lung labels after a check."""
    _check_plane(labels, np.dtype(np.uint8), "lung labels")
    if int(labels.max()) > LEFT:
        raise ImageError(f"lung labels must be 0, 1 (right) or 2 (left); found {int(labels.max())}")
    return labels


def _check_plane(array: object, dtype: np.dtype[Any], name: str) -> None:
    """Refuses anything that is not a non-empty (h, w) array of a dtype."""
    if not isinstance(array, np.ndarray):
        raise ImageError(f"{name} must be a numpy array, not {type(array).__name__}")
    if array.ndim != 2 or array.dtype != dtype or array.size == 0:
        raise ImageError(f"{name} must be {dtype} of shape (h, w), not {array.dtype} {array.shape}")


def _image_pixels(image: Image, bits: int) -> Pixels:
    """Returns an image in whole numbers of 8 or 16 bits."""
    if bits not in (8, 16):
        raise ImageError(f"bits must be 8 or 16, not {bits}")
    check_image(image)
    pixels: Pixels = np.multiply(image, 2**bits - 1, dtype=np.float64)
    np.rint(pixels, out=pixels)
    return pixels.astype(np.uint8 if bits == 8 else np.uint16)


def _mask_pixels(mask: Mask) -> Pixels:
    """Returns a region as 0 and 255."""
    _check_plane(mask, np.dtype(np.bool_), "mask")
    return np.asarray(mask.astype(np.uint8) * np.uint8(255))


def _png(pixels: Pixels, *, flat: bool) -> bytes:
    """Encodes a PNG of one channel in a tenth of Pillow's time; a radiograph becomes an eighth larger.

    Args:
        pixels: uint8 or uint16.
        flat: the picture has large regions of one value; run-length encoding suits them, but not noise.
    """
    strategy = cv2.IMWRITE_PNG_STRATEGY_RLE if flat else cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY
    return cv2.imencode(".png", pixels, (cv2.IMWRITE_PNG_STRATEGY, strategy))[1].tobytes()


def _write(path: str | os.PathLike[str], pixels: Pixels, formats: dict[str, str], *, flat: bool = True) -> None:
    """Encodes pixels and writes the file, whole or not at all."""
    path = Path(path)
    if path.suffix.lower() not in formats:
        raise RadiographError(f"{path} would not keep its values; end its name in {' or '.join(formats)}")
    if formats[path.suffix.lower()] == "PNG":
        data = _png(pixels, flat=flat)
    else:
        buffer = BytesIO()
        PIL.Image.fromarray(pixels).save(buffer, format=formats[path.suffix.lower()])
        data = buffer.getvalue()
    with naming(path):
        write_bytes(path, data)
