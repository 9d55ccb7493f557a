"""Picture files (PNG, TIFF, JPEG, BMP, WebP) as grey integers; incomplete files are refused."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageFile
import PIL.ImageOps
from numpy.typing import NDArray

from artasyn.errors import RadiographError
from artasyn.files.turns import Turn, exif_turn

PICTURE_SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".tif", ".tiff", ".bmp", ".dib", ".webp"}
)
"""Suffixes, in lower case, of picture files."""

SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", b"RIFF")
PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_END = b"IEND\xaeB`\x82"

Pixels = NDArray[Any]
"""Integers as a file holds them: (h, w), or (h, w, 3) in colour."""


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


def decode_picture(data: bytes, *, indices: bool = False) -> tuple[Pixels, int]:
    """Decodes a picture as `decode_raster` does; returns grey integers (h, w) and the largest value of the file's bits.

    Args:
        data: the whole file.
        indices: return the raw indices of a picture with a palette.
    """
    raster = decode_raster(data, indices=indices)
    return raster.pixels, raster.full


def decode_raster(data: bytes, *, indices: bool = False) -> Raster:
    """Decodes a picture, turned as its EXIF orientation says.

    Args:
        data: the whole file.
        indices: return the raw indices of a picture with a palette, instead of their grey values.

    Raises:
        RadiographError: the file is damaged, coloured or of an unknown range. The message continues a sentence that
            begins with the file's name.
    """
    picture, turn = _loaded(data)
    return Raster(*_grey_pixels(picture, indices=indices), turn)


def _grey_pixels(picture: PIL.Image.Image, *, indices: bool) -> tuple[Pixels, int]:
    """Returns the grey integers of a picture and the largest value of its bits."""
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
    return grey(np.asarray(picture.convert("RGB"))), 255


def _loaded(data: bytes) -> tuple[PIL.Image.Image, Turn]:
    """Decodes a whole picture, refuses incomplete files, and turns the picture as its EXIF orientation says."""
    tolerant = PIL.ImageFile.LOAD_TRUNCATED_IMAGES
    PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False  # other libraries enable it; missing parts then become grey
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")  # unusual metadata
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            picture = _opened(data)
            frames = getattr(picture, "n_frames", 1)
            if frames > 1:
                raise RadiographError(f"holds {frames} pages or frames; save the one to use on its own")
            if picture.format == "PNG":
                _opened(data).verify()  # checksums
            if not {"PNG": PNG_END in data, "JPEG": jpeg_ends(data)}.get(str(picture.format), True):
                raise RadiographError("has no end marker, it is cut short; copy or export it again")
            turn = _exif_turn(picture) if picture.format == "TIFF" else None  # loading a TIFF turns it already
            picture.load()
            turn = _exif_turn(picture) if turn is None else turn  # a PNG may store it after its pixels
            PIL.ImageOps.exif_transpose(picture, in_place=True)
            return picture, turn
    except RadiographError:
        raise
    except (PIL.Image.DecompressionBombWarning, PIL.Image.DecompressionBombError) as error:
        raise RadiographError(f"is too large to be a radiograph ({brief(error)}); scale it down") from error
    except PIL.UnidentifiedImageError as error:
        if data.startswith(SIGNATURES):
            raise RadiographError("is damaged, cut short or of an unusual kind; export it again") from error
        found = f"begins with {data[:12]!r}" if data else "is empty"
        raise RadiographError(f"{found}, so is no PNG, TIFF, JPEG, BMP, WebP or DICOM; export it anew") from error
    except Exception as error:  # decoders raise nearly anything for damaged files
        raise RadiographError(f"is damaged or cut short ({brief(error)}); export it again") from error
    finally:
        PIL.ImageFile.LOAD_TRUNCATED_IMAGES = tolerant


def _opened(data: bytes) -> PIL.Image.Image:
    return PIL.Image.open(BytesIO(data), formats=("PNG", "TIFF", "JPEG", "BMP", "WEBP"))


def _exif_turn(picture: PIL.Image.Image) -> Turn:
    """Returns the turn that Pillow applies for a picture's EXIF orientation."""
    return exif_turn(picture.getexif().get(PIL.ExifTags.Base.Orientation))


def jpeg_ends(data: bytes) -> bool:
    """Returns whether an end marker follows the last scan of a JPEG; without it, decoders invent missing pixels."""
    return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")


def _deep(picture: PIL.Image.Image) -> tuple[Pixels, int]:
    """Returns the pixels of a picture with more than 8 bits, and the largest value of its bits."""
    pixels = np.asarray(picture).astype(np.uint16)
    tags = getattr(picture, "tag_v2", {})  # TIFF only
    full = 2 ** int(tags.get(258, (16,))[0]) - 1
    white_is_zero = tags.get(262) == 0  # Pillow inverts only 8-bit pictures
    return (full - pixels if white_is_zero else pixels), full


def grey(colours: Pixels) -> Pixels:
    """Reduces 8-bit (h, w, 3) to one channel; the three must be equal, up to the colour noise of JPEG."""
    spread = np.ptp(colours, axis=2)
    if spread.mean() > 8 or (spread > 32).mean() > 0.001:
        raise RadiographError(
            f"is coloured (its channels differ by up to {int(spread.max())} of 255); "
            "if it is a radiograph with no drawings on it, convert it to greyscale"
        )
    grey: Pixels = np.rint(colours.mean(axis=2, dtype=np.float32)).astype(np.uint8)
    return grey


def brief(error: BaseException) -> str:
    """Returns the first line of a decoder's error message."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].split(" - ")[0][:160]
