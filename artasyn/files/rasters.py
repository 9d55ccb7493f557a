"""Picture files (PNG, TIFF, JPEG, BMP, WebP) as grey integers or regions; incomplete files are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import PIL.BmpImagePlugin
import PIL.ExifTags
import PIL.Image
import PIL.ImageFile
import PIL.ImageOps
import PIL.JpegImagePlugin
import PIL.PngImagePlugin
import PIL.TiffImagePlugin
import PIL.WebPImagePlugin
from numpy.typing import NDArray

from artasyn.arrays import Mask
from artasyn.errors import RadiographError
from artasyn.files.turns import Turn, exif_turn
from artasyn.pixels.codestreams import check_jpeg, read_jpeg
from artasyn.pixels.quiet import quiet
from artasyn.pixels.regions import region_of, region_of_palette
from artasyn.pixels.wholeness import CUT, check_pixels, check_tiff, webp_size

PICTURE_SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".tif", ".tiff", ".bmp", ".dib", ".webp"}
)
"""Suffixes, in lower case, of picture files."""

PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_END = b"IEND\xaeB`\x82"
JPEG_START = b"\xff\xd8\xff"
READERS: dict[bytes, Callable[[BytesIO], PIL.ImageFile.ImageFile]] = {
    b"\x89PNG": PIL.PngImagePlugin.PngImageFile,
    JPEG_START: PIL.JpegImagePlugin.jpeg_factory,
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), PIL.TiffImagePlugin.TiffImageFile),
    b"BM": PIL.BmpImagePlugin.BmpImageFile,
    b"RIFF": PIL.WebPImagePlugin.WebPImageFile,
}
"""Pillow's readers by the first bytes of a file. `PIL.Image.open` has a limit of its own on the number of pixels."""

UNPROCESSED = re.compile(r"\((\d+) bytes not processed\)")
"""What Pillow says of data that a scan had no use for yet; 0 after the last scan that is whole."""
DECODED = (0xC0, 0xC1, 0xC2)
"""Kinds of JPEG that Pillow decodes: baseline, extended and progressive."""
COLOURS = ("L", "P", "LA", "PA", "RGB", "RGBA", "RGBX", "YCbCr")
"""Modes of Pillow that are grey or colours of red, green and blue."""

Pixels = NDArray[Any]
"""Integers as a file holds them: (h, w), or (h, w, 3) in colour."""


class _Whole(BytesIO):
    """Bytes whose end is an error once pixels are decoded: other libraries let Pillow go on with grey there."""

    decoding = False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if self.decoding and not data and size != 0:
            raise OSError("the file ends within its pixels")
        return data


@dataclass(frozen=True, eq=False)
class Raster:
    """A decoded picture.

    Attributes:
        pixels: grey integers (h, w), turned as the EXIF orientation says.
        full: the largest value that the file's bits can hold.
        turn: from the stored grid to the grid of the pixels.
    """

    pixels: Pixels
    full: int
    turn: Turn


def is_picture(data: bytes) -> bool:
    """Returns whether bytes begin like a picture of a kind that is read.

    Args:
        data: the first bytes of a file, 18 or more.
    """
    if data.startswith(b"BM"):  # two letters are little: the size of the header must follow
        return data[6:10] == bytes(4) and int.from_bytes(data[14:18], "little") in (12, 40, 52, 56, 64, 108, 124)
    return data.startswith(PICTURES) or (data.startswith(b"RIFF") and data[8:12] == b"WEBP")


def decode_picture(data: bytes) -> tuple[Pixels, int]:
    """Decodes a picture as `decode_raster` does; returns grey integers (h, w) and the largest value of the file's bits.

    Args:
        data: the whole file.
    """
    raster = decode_raster(data)
    return raster.pixels, raster.full


def decode_raster(data: bytes) -> Raster:
    """Decodes a picture, turned as its EXIF orientation says.

    Args:
        data: the whole file.

    Raises:
        RadiographError: the file is damaged, coloured or of an unknown range. The message continues a sentence that
            begins with the file's name.
    """
    picture, turn = _loaded(data)
    return Raster(*_grey_pixels(picture, data, turn), turn)


def is_lossy(data: bytes) -> bool:
    """Returns whether a picture is compressed in a way that changes its values: JPEG, or WebP with losses.

    Args:
        data: the whole file.
    """
    return data.startswith(JPEG_START) or (data.startswith(b"RIFF") and b"VP8 " in data[12:64])


def decode_labels(data: bytes) -> Pixels:
    """Decodes a picture of labels to the numbers that it holds (h, w); of a palette, to its indices.

    Args:
        data: the whole file.

    Raises:
        RadiographError: the file is damaged, or pixels are transparent: their numbers may be lost. The message
            continues a sentence that begins with the file's name.
    """
    picture, turn = _loaded(data)
    if picture.mode in ("LA", "PA", "RGBA") and picture.getchannel("A").getextrema() != (255, 255):
        raise RadiographError("is transparent in places, so its labels may be lost; save them in one channel")
    if picture.mode in ("I", "F"):
        return np.asarray(picture)
    return _grey_pixels(picture, data, turn, indices=True)[0]


def whole_jpeg(data: bytes) -> bytes:
    """Refuses a JPEG codestream that is cut short, as far as `check_jpeg` and a decoder that lacks data can know.

    Args:
        data: the codestream from its first byte.

    Returns:
        The bytes that Pillow decodes to the picture, or fails.

    Raises:
        RadiographError: the message continues a sentence that begins with the file's name.
    """
    endless, single = check_jpeg(data)
    jpeg = read_jpeg(data)
    if jpeg.kind not in DECODED or jpeg.header.bits != 8 or single:
        return endless if single else data
    for more in (b"", b"\x55", b"\x55\0\0"):  # a scan that lacks data may end with the last of some
        try:
            _opened(endless + more).load()  # never ends well: it waits for another scan
        except OSError as error:
            left = UNPROCESSED.search(str(error))
            if left and left[1] != "0":
                raise RadiographError(CUT) from error
    return data


def check_whole_jpeg(data: bytes) -> None:
    """Refuses a JPEG codestream that is cut short.

    Args:
        data: the codestream from its first byte, of any kind of JPEG.

    Raises:
        RadiographError: the message continues a sentence that begins with the file's name.
    """
    jpeg = read_jpeg(data)
    with _refusing():
        checked = whole_jpeg(data)
        if jpeg.kind in DECODED and jpeg.header.bits == 8:
            _load(_opened(checked))


def raster_turn(data: bytes) -> Turn:
    """Reads the turn of a picture from its EXIF orientation; only a PNG that may state it after its pixels is decoded.

    Args:
        data: the whole file.

    Raises:
        RadiographError: the file is no picture. The message continues a sentence that begins with the file's name.
    """
    with _refusing():
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            check_pixels(*webp_size(data))
        picture = _opened(data)
        check_pixels(picture.height, picture.width)
        return _exif_turn(picture)


def decode_region(data: bytes) -> Mask:
    """Decodes a picture of a mask as `artasyn.pixels.regions.region_of` reads it; turned as `decode_raster` does.

    Args:
        data: the whole file.

    Raises:
        RadiographError: the file is damaged or has no reading. The message continues a sentence that begins with the
            file's name.
    """
    picture, turn = _loaded(data)
    mode = picture.mode
    if mode == "1" or mode.startswith("I") or (mode in ("L", "F") and "transparency" not in picture.info):
        pixels, full = _deep(picture) if mode.startswith("I;16") else (np.asarray(picture), 1 if mode in "1F" else 255)
        return region_of(pixels.astype(np.uint8) if mode == "1" else pixels, None, float(full), lossy=is_lossy(data))
    if mode not in COLOURS:
        raise RadiographError(f"holds {mode} colours; save the mask as 0 and 255 in one channel")
    deep = _deep_colours(picture, data, turn)
    opaque = mode == "RGB" and "transparency" not in picture.info
    shallow = picture if opaque or deep is not None else picture.convert("RGBA")
    colours, full = (np.asarray(shallow), 255) if deep is None else (deep, 65535)
    alpha = colours[..., 3] if colours.shape[2] == 4 else None
    if mode != "P":
        return region_of(colours[..., :3], alpha, float(full), lossy=is_lossy(data))
    return region_of_palette(np.asarray(picture), colours)


def _grey_pixels(picture: PIL.Image.Image, data: bytes, turn: Turn, *, indices: bool = False) -> tuple[Pixels, int]:
    """Returns the grey integers of a picture and the largest value of its bits."""
    mode = picture.mode
    if mode == "1":
        return np.asarray(picture).astype(np.uint8), 1
    if mode.startswith("I;16") or (mode == "I" and picture.format == "PNG"):
        return _deep(picture)
    if mode in ("I", "F"):
        kind = "32-bit or signed integers" if mode == "I" else "floating point numbers"
        raise RadiographError(f"holds {kind}, whose black and white are unknown; save it with 16 bits")
    transparent = "transparency" in picture.info or mode in ("LA", "PA", "RGBA")
    if (mode == "L" and not transparent) or (mode == "P" and indices):
        return np.asarray(picture), 255
    if mode not in COLOURS:
        raise RadiographError(f"holds {mode} colours; convert it to greyscale")
    deep = _deep_colours(picture, data, turn)
    if deep is not None:
        colours, opacity = deep[..., :3], deep[..., 3:] / np.float32(65535)
        return grey(np.rint(colours * opacity).astype(np.uint16) if opacity.size else colours, 65535), 65535
    if transparent:
        picture = picture.convert("RGBA")
        picture = PIL.Image.alpha_composite(PIL.Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
    return grey(np.asarray(picture.convert("RGB"))), 255


def _loaded(data: bytes) -> tuple[PIL.Image.Image, Turn]:
    """Decodes a whole picture, refuses incomplete files, and turns the picture as its EXIF orientation says."""
    with _refusing():
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            check_pixels(*webp_size(data))
        if data.startswith(JPEG_START):
            check_pixels(*read_jpeg(data).size)
        picture = _opened(whole_jpeg(data) if data.startswith(JPEG_START) else data)
        check_pixels(picture.height, picture.width)
        if getattr(picture, "is_animated", False):
            count = "several" if picture.format == "TIFF" else getattr(picture, "n_frames", "several")
            raise RadiographError(f"holds {count} pages or frames; save the one to use on its own")
        if picture.format == "PNG":
            _opened(data).verify()  # checksums
            if PNG_END not in data:
                raise RadiographError(CUT)
        turn = None
        if isinstance(picture, PIL.TiffImagePlugin.TiffImageFile):
            check_tiff(picture.tag_v2, data)
            turn = _exif_turn(picture)  # loading a TIFF turns it already
        _load(picture)
        turn = _exif_turn(picture) if turn is None else turn  # a PNG may store it after its pixels
        PIL.ImageOps.exif_transpose(picture, in_place=True)
        return picture, turn


def _load(picture: PIL.ImageFile.ImageFile) -> None:
    """Decodes the pixels; the end of the file within them is an error."""
    if isinstance(picture.fp, _Whole):
        picture.fp.decoding = True
    picture.load()


@contextmanager
def _refusing() -> Iterator[None]:
    """Turns the errors of decoders into refusals."""
    try:
        with quiet():
            yield
    except (RadiographError, MemoryError):
        raise
    except PIL.Image.DecompressionBombError as error:  # TIFF and WebP only; its limit is the process's, not ours
        raise RadiographError(f"is too large for Pillow ({brief(error)}); save it as PNG") from error
    except Exception as error:  # decoders raise nearly anything for damaged files
        raise RadiographError(f"is damaged or cut short ({brief(error)}); export it again") from error


def _opened(data: bytes) -> PIL.ImageFile.ImageFile:
    """Opens a picture with the reader of its first bytes."""
    reader = next((reader for start, reader in READERS.items() if data.startswith(start)), None)
    if reader is None or (data.startswith(b"RIFF") and data[8:12] != b"WEBP"):
        found = f"begins with {data[:12]!r}" if data else "is empty"
        raise RadiographError(f"{found}, so is no PNG, TIFF, JPEG, BMP, WebP or DICOM; export it anew")
    try:
        return reader(_Whole(data))
    except SyntaxError as error:
        raise RadiographError("is damaged, cut short or of an unusual kind; export it again") from error


def _exif_turn(picture: PIL.Image.Image) -> Turn:
    """Returns the turn that Pillow applies for a picture's EXIF orientation."""
    return exif_turn(picture.getexif().get(PIL.ExifTags.Base.Orientation))


def jpeg_ends(data: bytes) -> bool:
    """Returns whether an end marker follows the last scan of a JPEG; without it, decoders invent missing pixels.

    Args:
        data: a JPEG, or fragments of one.
    """
    return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")


def _deep(picture: PIL.Image.Image) -> tuple[Pixels, int]:
    """Returns the pixels of a picture with more than 8 bits, and the largest value of its bits."""
    pixels = np.asarray(picture).astype(np.uint16)
    tags = getattr(picture, "tag_v2", {})  # TIFF only
    full = 2 ** int(tags.get(258, (16,))[0]) - 1
    white_is_zero = tags.get(262) == 0  # Pillow inverts only 8-bit pictures
    return (full - pixels if white_is_zero else pixels), full


def _deep_colours(picture: PIL.Image.Image, data: bytes, turn: Turn) -> Pixels | None:
    """Returns the colours of a picture of 16 bits, uint16 (h, w, 3 or 4); None if it has 8, which Pillow keeps."""
    bits = data[24] if picture.format == "PNG" else max(getattr(picture, "tag_v2", {}).get(258, (8,)))
    if bits != 16:
        return None
    colours = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if colours is None or colours.dtype != np.uint16 or colours.ndim != 3 or colours.shape[2] not in (3, 4):
        raise RadiographError("holds colours of 16 bits that cannot be decoded; convert it to greyscale")
    return np.asarray(turn.turned(colours[..., [2, 1, 0, 3][: colours.shape[2]]]))


def grey(colours: Pixels, full: int = 255) -> Pixels:
    """Reduces (h, w, 3) to one channel; the three must be equal, up to the colour noise of JPEG.

    Args:
        colours: uint8 or uint16 (h, w, 3).
        full: the value of white.
    """
    red, green, blue = (colours[..., channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return np.ascontiguousarray(red)
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    if spread.mean() * 255 > 8 * full or (spread > full / 255 * 32).mean() > 0.001:
        raise RadiographError(
            f"is coloured (its channels differ by up to {int(spread.max())} of {full}); "
            "if it is a radiograph with no drawings on it, convert it to greyscale"
        )
    grey: Pixels = np.rint(colours.mean(axis=2, dtype=np.float32)).astype(colours.dtype)
    return grey


def brief(error: BaseException) -> str:
    """Returns the first line of a decoder's error message."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].split(" - ")[0][:160]
