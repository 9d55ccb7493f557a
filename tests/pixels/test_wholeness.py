"""Pictures that were cut or damaged in ways that decoders pass over, and claims that are refused before decoding."""

from __future__ import annotations

import os
import re
import struct
import threading
import time
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.TiffImagePlugin
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from artasyn.errors import RadiographError
from artasyn.files.opened import open_radiograph
from artasyn.files.radiograph import read_mask, read_radiograph
from artasyn.files.rasters import decode_raster
from artasyn.limits import VARIABLE
from artasyn.pixels.codestreams import read_codestream, read_jpeg
from artasyn.pixels.quiet import quiet
from tests.files.made import Array, dicom, film, refusal, stored_as

PIXELS = film(128, 120) // 2 + np.random.default_rng(3).integers(0, 60, (128, 120), np.uint8)
END = b"\xff\xd9"
JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "colours": {"subsampling": 2},
    "progressive colours": {"progressive": True},
}


def encoded(kind: str, form: str, pixels: Array = PIXELS, **options: Any) -> bytes:
    buffer = BytesIO()
    picture = PIL.Image.fromarray(pixels)
    (picture.convert("RGB") if "colours" in kind else picture).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", JPEGS)
@given(share=st.floats(0.1, 0.985))
@settings(max_examples=15, deadline=None)
def test_a_jpeg_that_ends_too_early_is_refused(kind: str, share: float) -> None:
    whole = encoded(kind, "JPEG", quality=90, **JPEGS[kind])
    decode_raster(whole)
    with pytest.raises(RadiographError, match=r"cut short|damaged"):
        decode_raster(whole[: int(share * len(whole))] + END)


@pytest.mark.parametrize("kind", JPEGS)
def test_a_whole_jpeg_is_read_as_pillow_reads_it(kind: str) -> None:
    whole = encoded(kind, "JPEG", quality=90, **JPEGS[kind])
    plain = np.asarray(PIL.Image.open(BytesIO(whole)).convert("L"))
    np.testing.assert_array_equal(decode_raster(whole).pixels, plain)
    np.testing.assert_array_equal(decode_raster(whole + b"\0 something after the end \xff\xd9").pixels, plain)


def test_restart_intervals_that_are_missing() -> None:
    whole = encoded("restarts", "JPEG", quality=90, restart_marker_rows=1)
    marks = [match.start() for match in re.finditer(rb"\xff[\xd0-\xd7]", whole)]
    with pytest.raises(RadiographError, match="restart markers"):
        decode_raster(whole[: marks[3]] + whole[marks[4] :])


def test_a_thumbnail_is_not_the_end(tmp_path: Path) -> None:
    exif = b"Exif\0\0" + encoded("baseline", "JPEG", PIXELS[:16, :16])
    whole = encoded("baseline", "JPEG", quality=90)
    inside = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + whole[2:]
    assert decode_raster(inside).pixels.shape == PIXELS.shape
    with pytest.raises(RadiographError, match="cut short"):
        decode_raster(inside[: len(exif) + 400])


def test_a_jpeg_in_dicom_that_ends_too_early(tmp_path: Path) -> None:
    whole = encoded("baseline", "JPEG", quality=90)
    ds = dicom(PIXELS, bits=8)
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    for end in (len(whole), len(whole) // 2):
        ds.PixelData = encapsulate([whole[:end] + END])
        ds["PixelData"].VR = "OB"
        path = stored_as(tmp_path / "a.dcm", ds)
        if end == len(whole):
            read_radiograph(path)
    assert "damaged or cut short" in refusal(path)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "zstd", "jpeg"])
@pytest.mark.parametrize("how", ["zeros", "beyond", "fewer"])
def test_a_tiff_without_some_of_its_strips(compression: str, how: str) -> None:
    whole = encoded("plain", "TIFF", compression=compression, strip_size=2048)
    np.testing.assert_allclose(decode_raster(whole).pixels.astype(int), PIXELS, atol=40 if compression == "jpeg" else 0)
    with PIL.Image.open(BytesIO(whole)) as picture:
        assert isinstance(picture, PIL.TiffImagePlugin.TiffImageFile)
        starts, counts = picture.tag_v2[273], picture.tag_v2[279]
    assert len(starts) > 2
    damaged = bytearray(whole)
    if how == "zeros":
        middle = starts[1] + counts[1] // 2
        damaged[middle : starts[1] + counts[1]] = bytes(starts[1] + counts[1] - middle)
    elif how == "beyond":
        at = whole.index(struct.pack("<2I", *starts[:2]))
        damaged[at + 4 : at + 8] = struct.pack("<I", len(whole) - 3)
    else:
        at = whole.index(struct.pack("<HHI", 273, 4, len(starts)))
        damaged[at + 4 : at + 8] = struct.pack("<I", len(starts) - 1)
    with pytest.raises(RadiographError, match=r"cut short|damaged|lists"):
        decode_raster(bytes(damaged))


@pytest.mark.parametrize("form", ["BMP", "WEBP", "PNG", "TIFF"])
@pytest.mark.parametrize("tolerant", [False, True])
def test_cut_files_of_other_formats(form: str, tolerant: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)
    whole = encoded("plain", form)
    decode_raster(whole)
    for share in (0.2, 0.6, 0.95):
        with pytest.raises(RadiographError, match=r"cut short|damaged"):
            decode_raster(whole[: int(share * len(whole))])


def png_of(columns: int, rows: int, bits: int = 8, colours: int = 0) -> bytes:
    """A PNG of zeros that claims any size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", columns, rows, bits, colours, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )


def sized(form: str, columns: int, rows: int) -> bytes:
    """A picture whose header claims another size."""
    if form == "PNG":
        return png_of(columns, rows)
    whole = bytearray(encoded("plain", form))
    if form == "JPEG":
        at = whole.index(b"\xff\xc0") + 5
        whole[at : at + 4] = struct.pack(">HH", rows, columns)
    elif form == "BMP":
        whole[18:26] = struct.pack("<ii", columns, rows)
    elif form == "WEBP":
        whole[26:30] = struct.pack("<HH", columns, rows)
    else:
        for tag, value in ((256, columns), (257, rows)):
            at = next(
                m.start() for m in re.finditer(struct.pack("<H", tag), bytes(whole)) if whole[m.start() + 2] in (3, 4)
            )
            whole[at + 2 : at + 12] = struct.pack("<HII", 4, 1, value)
    return bytes(whole)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
def test_claims_are_refused_at_once(form: str, tmp_path: Path) -> None:
    side = 16383 if form == "WEBP" else 65000
    (tmp_path / "a.png").write_bytes(sized(form, side, side))
    start = time.perf_counter()
    for reader in (read_radiograph, read_mask):
        with pytest.raises(RadiographError, match=f"claims {side * side} pixels .{side} x {side}.*--limits.pixels"):
            reader(tmp_path / "a.png")
    assert time.perf_counter() - start < 1


def test_a_higher_limit_is_not_contradicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    path = tmp_path / "a.png"
    path.write_bytes(encoded("plain", "PNG"))
    assert open_radiograph(path).image.shape == PIXELS.shape
    monkeypatch.setenv(VARIABLE, f'{{"pixels": {PIXELS.size - 1}}}')
    assert "--limits.pixels" in refusal(path)


def test_a_deflated_dicom_that_grows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = dicom(PIXELS, bits=8)
    ds.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    path = stored_as(tmp_path / "a.dcm", ds)
    np.testing.assert_allclose(read_radiograph(path), PIXELS / 255, atol=1e-6)
    ds.add_new(0x00091001, "OB", bytes(10**7))
    monkeypatch.setenv(VARIABLE, '{"pixels": 1000000}')
    path = stored_as(tmp_path / "b.dcm", ds)
    assert path.stat().st_size < 10**5
    assert "bytes of DICOM or more, deflated" in refusal(path)


def test_nested_sequences_and_absurd_lengths(tmp_path: Path) -> None:
    whole = stored_as(tmp_path / "a.dcm", dicom(PIXELS, bits=8)).read_bytes()
    at = whole.index(b"\x08\x00\x60\x00CS")
    nest = (b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * 100_000
    (tmp_path / "b.dcm").write_bytes(whole[:at] + nest + whole[at:])
    start = time.perf_counter()
    assert "DICOM" in refusal(tmp_path / "b.dcm")
    long = whole.replace(
        b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", PIXELS.size), b"\xe0\x7f\x10\x00OW\0\0" + b"\xf0\xff\xff\xff"
    )
    (tmp_path / "c.dcm").write_bytes(long[:-8])
    assert "DICOM" in refusal(tmp_path / "c.dcm")
    assert time.perf_counter() - start < 5


def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    for name in ("a.png", "b.png"):
        assert "is a pipe or a device" in refusal(tmp_path / name)


def test_headers_of_codestreams() -> None:
    assert read_codestream(encoded("baseline", "JPEG")).rows == 128
    stream = read_codestream(encoded("plain", "JPEG2000"))
    assert (stream.rows, stream.columns, stream.samples, stream.bits) == (128, 120, 1, 8)
    assert len(read_jpeg(encoded("progressive", "JPEG", progressive=True)).scans) > 3
    for junk in (b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\xff\xff", b"nothing"):
        with pytest.raises(RadiographError, match="without a readable header"):
            read_codestream(junk)


@given(st.binary(max_size=200), st.integers(0, 400))
@settings(max_examples=100, deadline=None)
def test_damaged_markers_end_in_a_refusal_or_a_structure(junk: bytes, at: int) -> None:
    whole = encoded("baseline", "JPEG")
    for data in (b"\xff\xd8" + junk, whole[:at] + junk + whole[at:]):
        try:
            read_jpeg(data)
        except RadiographError:
            continue


def test_filters_of_warnings_are_restored_by_threads() -> None:
    before = list(warnings.filters)
    gate = threading.Barrier(4)

    def enter(number: int) -> None:
        gate.wait()
        for _ in range(50):
            with quiet():
                time.sleep(0.0001 * (number % 3))

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
