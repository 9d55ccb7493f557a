"""Compressed DICOM against its plain pixels, Pillow and other decoders' results; what is cut short is refused."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, uid
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder

from artasyn.errors import RadiographError
from artasyn.pixels.decoders import JPEG_SYNTAXES, pixels_of
from tests.conftest import ROOT
from tests.files.made import dicom

ROWS, COLUMNS = np.mgrid[:40, :51]
NOISE = np.random.default_rng(0).integers(0, 9, ROWS.shape)


def grey(bits: int) -> NDArray[Any]:
    """A film that uses the whole range of its bits."""
    full = 2**bits - 1
    return np.asarray(
        np.clip(full - full * (ROWS + COLUMNS) // 89 - NOISE, 0, full), np.uint8 if bits <= 8 else np.uint16
    )


def shipped(name: str) -> Dataset:
    """A file that comes with pydicom."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return dcmread(path)


def lossless_jpeg(pixels: NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.ljpeg_encode(pixels, bitspersample=bits))


def compressed(stream: bytes, pixels: NDArray[Any], bits: int, syntax: str) -> Dataset:
    film = dicom(pixels, bits=bits)
    film.file_meta.TransferSyntaxUID = uid.UID(syntax)
    film.PixelData = encapsulate([stream])
    return film


def frame(film: Dataset) -> bytes:
    return next(generate_frames(film.PixelData, number_of_frames=1))


@pytest.mark.parametrize("bits", [6, 7, 8, 10, 12, 14, 16])
def test_a_lossless_jpeg_is_exact(bits: int) -> None:
    film = compressed(lossless_jpeg(grey(bits), bits), grey(bits), bits, uid.JPEGLosslessSV1)
    found = pixels_of(film)
    assert found.dtype == grey(bits).dtype
    np.testing.assert_array_equal(found, grey(bits))


def test_fill_bytes_before_the_end_marker_change_nothing() -> None:
    stream = lossless_jpeg(grey(12), 12)
    film = compressed(stream[:-2] + b"\xff\xff" + stream[-2:], grey(12), 12, uid.JPEGLosslessSV1)
    np.testing.assert_array_equal(pixels_of(film), grey(12))


@pytest.mark.parametrize("name", ["MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "MR_small_RLE.dcm"])
def test_other_lossless_files_hold_the_pixels_of_the_plain_one(name: str) -> None:
    found = pixels_of(shipped(name))
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, pixels_of(shipped("MR_small.dcm")))


@pytest.mark.parametrize(
    ("name", "some", "total", "most"),
    [
        ("JPGExtended.dcm", [21, 23, 1, 1, 1], 3770427, 1),  # 12 bits
        ("JPEGLSNearLossless_08.dcm", [30, 15, 5, 5, 0], 25000, 0),
        ("JPEGLSNearLossless_16.dcm", [4095, 1025, 65, 15, 0], 6007250, 0),
        ("SC_rgb_jpeg_gdcm.dcm", [255, 255, 0, 64, 255], 3831000, 0),  # lossless, in colours
    ],
)
def test_values_are_those_that_libjpeg_finds(name: str, some: list[int], total: int, most: int) -> None:
    """The values come from the decoder of the JPEG committee, libjpeg, in `pylibjpeg-libjpeg` 2.5.0."""
    found = pixels_of(shipped(name)).astype(np.int64).ravel()
    assert np.abs(found[found.size // 3 :: found.size // 7] - some).max() <= most
    assert abs(found.sum() - total) <= most * found.size * 0.02


def test_a_baseline_jpeg_is_what_pillow_decodes() -> None:
    buffer = BytesIO()
    PIL.Image.fromarray(grey(8)).save(buffer, "JPEG", quality=90)
    film = compressed(buffer.getvalue(), grey(8), 8, uid.JPEGBaseline8Bit)
    np.testing.assert_array_equal(pixels_of(film), np.asarray(PIL.Image.open(buffer)))


@pytest.mark.parametrize("name", ["SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jls_lossy_line.dcm"])
def test_colours_are_those_of_the_film_before_it_was_compressed(name: str) -> None:
    found, plain = pixels_of(shipped(name)), pixels_of(shipped("SC_rgb_rle.dcm"))
    assert found.shape == plain.shape == (100, 100, 3)
    assert np.median(np.abs(found.astype(int) - plain)) <= 2
    assert np.corrcoef(found.ravel(), plain.ravel())[0, 1] > 0.98


def test_one_frame_of_several_is_decoded_alone() -> None:
    film = shipped("examples_ybr_color.dcm")
    np.testing.assert_array_equal(pixels_of(film, index=3), pixels_of(film)[3])


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("lost", [1, 3, 200])
def test_a_lossless_jpeg_that_lacks_its_last_bytes_is_refused(bits: int, lost: int) -> None:
    """Decoders make up what is missing: the end marker is there."""
    stream = lossless_jpeg(grey(bits), bits)
    film = compressed(stream[: -2 - lost] + stream[-2:], grey(bits), bits, uid.JPEGLosslessSV1)
    with pytest.raises(RadiographError, match="cut short"):
        pixels_of(film)


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEGLSNearLossless_16.dcm", "JPEG2000.dcm"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_shipped_file_that_is_cut_is_refused(name: str, share: float) -> None:
    film = shipped(name)
    stream = frame(film)
    film.PixelData = encapsulate([stream[: int(share * len(stream))] + b"\xff\xd9"])
    with pytest.raises((RadiographError, RuntimeError)):
        pixels_of(film)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.82, 0.99])
def test_jpeg_ls_without_an_end_is_refused_at_once(share: float) -> None:
    """Its decoder alone looks for the rest for ever."""
    film = shipped("MR_small_jpeg_ls_lossless.dcm")
    stream = frame(film)
    film.PixelData = encapsulate([stream[: int(share * len(stream))]])
    with pytest.raises(RadiographError, match=r"cut short|header"):
        pixels_of(film)


def test_decoders_that_other_code_uses_stay_as_they_are() -> None:
    pixels_of(compressed(lossless_jpeg(grey(8), 8), grey(8), 8, uid.JPEGLosslessSV1))
    for syntax in JPEG_SYNTAXES:
        assert "imagecodecs" not in [*get_decoder(syntax).available_plugins, *get_decoder(syntax).missing_dependencies]


def test_plain_films_need_no_decoder() -> None:
    script = (
        "import sys; from tests.files.made import *; from artasyn.pixels.decoders import pixels_of; "
        "pixels_of(dicom(film(), bits=8)); sys.exit('imagecodecs' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=120).returncode == 0
