"""The pixels of DICOM, each transfer syntax by one decoder, whatever other decoders are installed."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.pixels.decoders.base import Decoder, DecodeRunner
from pydicom.pixels.utils import as_pixel_options, pixel_array

from artasyn.errors import RadiographError
from artasyn.pixels.codestreams import JPEG_LS, read_jpeg

JPEG_SYNTAXES = (*uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes)
"""Transfer syntaxes of JPEG with 8 or 12 bits, lossless JPEG and JPEG-LS."""
OTHERS = (*uid.JPEG2000TransferSyntaxes, uid.RLELossless)
"""Transfer syntaxes that `pylibjpeg` decodes."""
TAILS = (b"\x00" * 16, b"\xff\x00" * 8, b"\x55" * 16)
"""Zeros, ones and both in turn: a decoder that has all of its data needs no bit of them."""
END = b"\xff\xd9"
LABEL = "imagecodecs"


def pixels_of(film: Dataset, *, index: int | None = None, correct_unused_bits: bool = True) -> NDArray[Any]:
    """Decodes the pixels of a data set, in the words and the colours that pydicom returns.

    Other decoders that pydicom finds are never used: some end the process where a file is unusual, and a result must
    not depend on the packages that are installed.

    Args:
        film: with pixel data and transfer syntax.
        index: of the frame; None decodes all frames.
        correct_unused_bits: whether bits above the stored ones are cleared.

    Returns:
        (h, w), (h, w, 3) for colours, with the frames before them where there are several.

    Raises:
        Exception: nearly any; the data are damaged.

    Source: DICOM PS3.5, annex A.4.
    """
    syntax = film.file_meta.TransferSyntaxUID
    if syntax not in JPEG_SYNTAXES:
        plugin = "pylibjpeg" if syntax in OTHERS else ""
        return pixel_array(film, index=index, decoding_plugin=plugin, correct_unused_bits=correct_unused_bits)
    options = as_pixel_options(film, correct_unused_bits=correct_unused_bits)
    try:
        return _decoder(syntax).as_array(film, index=index, **options)[0]
    except RuntimeError as error:  # says in its last line what the decoder said
        raise RadiographError(str(error).splitlines()[-1].strip()) from error


@functools.cache
def _decoder(syntax: uid.UID) -> Decoder:
    """Returns a decoder of pydicom that calls `decode_frame`; those that other code uses stay as they are."""
    decoder = Decoder(syntax)
    decoder.add_plugin(LABEL, (__name__, decode_frame.__name__))
    return decoder


def is_available(syntax: str) -> bool:
    """Returns whether `decode_frame` decodes a transfer syntax; pydicom asks for it."""
    return syntax in JPEG_SYNTAXES


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """Decodes one frame of JPEG or JPEG-LS for pydicom.

    Args:
        source: the frame.
        runner: what the header says; gets the size of the words, and how colours are arranged.

    Returns:
        The words, pixel by pixel.

    Raises:
        RadiographError: the frame is cut short.
        RuntimeError: the frame is damaged.
    """
    import imagecodecs  # takes a third of a second, and few films are JPEG

    jpeg = read_jpeg(source)
    if jpeg.end is None:  # CharLS would look for the rest for ever
        raise RadiographError("is cut short")
    if jpeg.kind == JPEG_LS:
        pixels = imagecodecs.jpegls_decode(source)
    else:
        space = "ycbcr" if jpeg.header.samples == 3 else None  # the same twice: colours stay as they are
        whole = source[: jpeg.end].rstrip(b"\xff")  # fill bytes
        pixels, *others = (
            imagecodecs.jpeg8_decode(whole + tail + END, colorspace=space, outcolorspace=space) for tail in TAILS
        )
        if not all(np.array_equal(pixels, other) for other in others):  # missing data were made up
            raise RadiographError("is cut short")
    runner.set_option("bits_allocated", 8 * pixels.itemsize)
    runner.set_option("planar_configuration", 0)
    return pixels.tobytes()
