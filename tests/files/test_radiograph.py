"""Reading and writing films, masks and labels; every file is made here, or comes with pydicom, or is real."""

from __future__ import annotations

import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFile
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    generate_uid,
)

import artasyn.files.radiograph as module
from artasyn.errors import ArtasynError, ImageError, RadiographError
from artasyn.files.radiograph import (
    RADIOGRAPH_SUFFIXES,
    is_radiograph_file,
    read_labels,
    read_mask,
    read_radiograph,
    write_image,
    write_labels,
    write_mask,
)

Array = NDArray[Any]
GREYS = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
RNG = np.random.default_rng(1)


def film(height: int = 48, width: int = 40) -> Array:
    """A smooth 8-bit film that differs in all four corners."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.asarray(40 + 3 * rows + columns + 20 * np.sin(rows / 5), np.uint8)


def tiled(pattern: list[list[int]], dtype: type = np.uint16) -> Array:
    """A hand-computed 4 x 4 pattern, tiled to 16 x 16."""
    return np.tile(np.array(pattern, dtype), (4, 4))


def saved(path: Path, array: Array, mode: str | None = None, **options: Any) -> Path:
    picture = PIL.Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def tiff(path: Path, data: bytes, shape: tuple[int, int], *, bits: int, photometric: int = 1) -> Path:
    """A minimal little-endian TIFF of one uncompressed strip."""
    tags = {
        256: shape[1],
        257: shape[0],
        258: bits,
        259: 1,
        262: photometric,
        273: 134,
        277: 1,
        278: shape[0],
    }
    tags[279] = len(data)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    path.write_bytes((head + body + struct.pack("<I", 0)).ljust(134, b"\0") + data)
    return path


def dicom(stored: Array, *, bits: int = 12, **elements: Any) -> Dataset:
    """A computed radiograph."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["artasyn"])
    ds.SOPClassUID = ComputedRadiographyImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID
    ds.Modality = "CR"
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape[:2]
    ds.SamplesPerPixel = 1
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8 * stored.dtype.itemsize, bits, bits - 1
    ds.PixelRepresentation = int(stored.dtype.kind == "i")
    ds.PixelData = stored.tobytes()
    for name, value in elements.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    return ds


def table(levels: list[int], first: int, bits: int, *, words: bool = True) -> Sequence:
    """A lookup table as a sequence of one."""
    item = Dataset()
    item.LUTDescriptor = [len(levels), first, bits]
    if words:
        item.add_new("LUTData", "OW", np.array(levels, "<u2").tobytes())
    else:
        item.add_new("LUTData", "US", levels)
    return Sequence([item])


def stored_as(path: Path, ds: Dataset) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these datasets are invalid on purpose
        ds.save_as(path, enforce_file_format=True)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(RadiographError) as caught:
        read_radiograph(path)
    message = str(caught.value)
    assert message.startswith(str(path)), message
    assert caught.value.__cause__ is None or not isinstance(caught.value.__cause__, ArtasynError)
    return message.removeprefix(str(path))


# Pictures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
def test_lossless_8_bit_values_are_exact(tmp_path: Path, suffix: str) -> None:
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    path = saved(tmp_path / f"a{suffix}", GREYS, **options)
    image = read_radiograph(path)
    assert image.dtype == np.float32
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, GREYS / np.float32(255))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_values_span_all_bits(tmp_path: Path, suffix: str) -> None:
    deep = tiled(
        [
            [0, 1, 256, 4095],
            [4096, 16383, 16384, 32767],
            [32768, 40000, 50000, 60000],
            [65000, 65533, 65534, 65535],
        ]
    )
    image = read_radiograph(saved(tmp_path / f"a{suffix}", deep))
    np.testing.assert_allclose(image[0, :4] * 65535, [0, 1, 256, 4095], atol=1e-3)
    assert image[3, 3] == 1.0


def test_significant_bits_of_a_png_change_nothing(tmp_path: Path) -> None:
    deep = tiled([[0, 16, 4080, 65520]] * 4)
    path = saved(tmp_path / "a.png", deep)
    plain = read_radiograph(path)
    data, chunk = path.read_bytes(), b"sBIT\x0c"
    sbit = struct.pack(">I", 1) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(data[:33] + sbit + data[33:])
    np.testing.assert_array_equal(read_radiograph(path), plain)
    assert plain[0, 3] == np.float32(65520) / np.float32(65535)


def test_tiff_of_12_bits(tmp_path: Path) -> None:
    values = tiled([[0, 1, 2048, 4095], [5, 6, 7, 8], [0, 0, 4095, 4095], [9, 9, 9, 9]])
    pairs = values.reshape(-1, 2).astype(int)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    path = tiff(tmp_path / "a.tif", packed.astype(np.uint8).tobytes(), (16, 16), bits=12)
    np.testing.assert_allclose(read_radiograph(path) * 4095, values, atol=1e-3)


@pytest.mark.parametrize(("bits", "dtype"), [(8, "u1"), (16, "<u2")])
def test_tiff_where_white_is_zero(tmp_path: Path, bits: int, dtype: str) -> None:
    values = tiled([[0, 100, 200, 255]] * 4).astype(dtype)
    values[1] *= 2 ** (bits - 8)
    path = tiff(tmp_path / "a.tif", values.tobytes(), (16, 16), bits=bits, photometric=0)
    full = 2**bits - 1
    np.testing.assert_allclose(read_radiograph(path), (full - values.astype(float)) / full, atol=1e-6)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_colours_are_read_as_grey(tmp_path: Path, mode: str) -> None:
    path = saved(tmp_path / "a.png", film(), mode)
    np.testing.assert_array_equal(read_radiograph(path), film() / np.float32(255))


def test_transparent_pixels_are_dark(tmp_path: Path) -> None:
    alpha = np.full_like(film(), 255)
    alpha[:10] = 0
    expected = np.where(alpha > 0, film(), 0)
    colours = np.dstack([film()] * 3 + [alpha])
    np.testing.assert_array_equal(read_radiograph(saved(tmp_path / "a.png", colours)) * 255, expected)
    path = saved(tmp_path / "b.png", GREYS, transparency=200)  # one grey level is declared transparent
    np.testing.assert_array_equal(np.rint(read_radiograph(path) * 255), np.where(GREYS == 200, 0, GREYS))


def test_an_index_picture_uses_its_palette(tmp_path: Path) -> None:
    picture = PIL.Image.new("P", (16, 16))
    picture.putpalette([200] * 3 + [40] * 3)
    picture.putdata([0, 1] * 128)
    picture.save(tmp_path / "a.png")
    image = read_radiograph(tmp_path / "a.png")
    np.testing.assert_array_equal(np.rint(image[0, :2] * 255), [200, 40])


def test_colour_noise_of_jpeg_is_tolerated_and_colours_are_not(tmp_path: Path) -> None:
    noisy = np.clip(film()[:, :, None] + RNG.integers(-3, 4, (48, 40, 3)), 0, 255).astype(np.uint8)
    image = read_radiograph(saved(tmp_path / "a.jpg", noisy, quality=90))
    assert np.abs(image * 255 - film()).mean() < 4
    drawn = noisy.copy()
    drawn[10:20, 10] = (255, 0, 0)  # a thin red line
    assert "is coloured" in refusal(saved(tmp_path / "b.png", drawn))
    assert "greyscale" in refusal(saved(tmp_path / "c.jpg", np.dstack([film(), film() // 2, film()])))
    assert "CMYK" in refusal(saved(tmp_path / "d.jpg", film(), "CMYK"))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_orientation_is_honoured(tmp_path: Path, suffix: str) -> None:
    exif = PIL.Image.Exif()
    exif[274] = 6  # the camera was turned: rotate by 90 degrees clockwise
    options = {"lossless": True} if suffix == ".webp" else {"quality": 100} if suffix == ".jpg" else {}
    if suffix == ".tif":
        picture = PIL.Image.fromarray(film().astype(np.uint16) * 257)
        picture.save(tmp_path / "a.tif", tiffinfo={274: 6})
    else:
        saved(tmp_path / f"a{suffix}", film(), exif=exif, **options)
    image = read_radiograph(tmp_path / f"a{suffix}")
    assert image.shape == (40, 48)
    np.testing.assert_allclose(image * 255, np.rot90(film(), -1), atol=3)


def test_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    saved(tmp_path / "a.png", film()).rename(path)
    np.testing.assert_array_equal(read_radiograph(str(path)), film() / np.float32(255))


# Refusals ---------------------------------------------------------------------------------------------------


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.png")
    assert "is a folder" in refusal(tmp_path)
    assert "out of reach" in refusal(tmp_path / ("x" * 300 + ".png"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"These are the findings, not the film.", "begins with b'These are th', so is no PNG"),
        (b"GIF89a" + bytes(64), "so is no PNG"),
        (b"\x89PNG\r\n\x1a\n", "is damaged, cut short"),
        (b"\x08\x00\x05\x00nonsense and nothing else", "no modality"),
        (bytes(128) + b"DICM", "no modality"),
        (bytes(128) + b"DICM" + b"\xff" * 40, "DICOM"),
    ],
)
def test_what_is_no_image(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert reason in refusal(path)


@pytest.mark.parametrize("tolerant", [False, True])
@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "bmp", "webp", "16.png", "deflate.tif", "progressive.jpg"])
def test_a_cut_picture_is_refused(
    tmp_path: Path,
    kind: str,
    tolerant: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options: dict[str, dict[str, Any]] = {
        "deflate.tif": {"compression": "tiff_adobe_deflate"},
        "progressive.jpg": {"progressive": True},
    }
    pixels = film(64, 64) + RNG.integers(0, 9, (64, 64), np.uint8)
    if kind == "16.png":
        pixels = pixels.astype(np.uint16) * 257
    path = saved(tmp_path / f"a.{kind}", pixels, **options.get(kind, {}))
    monkeypatch.setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)
    whole = path.read_bytes()
    read_radiograph(path)
    for end in (len(whole) // 4, len(whole) // 2, 9 * len(whole) // 10, len(whole) - 1):
        if end == len(whole) - 1 and kind in ("deflate.tif", "tif"):
            continue  # the index stands at the end there
        path.write_bytes(whole[:end])
        assert "cut short" in refusal(path)
    assert PIL.ImageFile.LOAD_TRUNCATED_IMAGES is tolerant


def test_a_file_whose_end_was_never_copied_is_refused(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        path = saved(tmp_path / name, film(200, 200))
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2].ljust(len(whole), b"\0"))
        assert "cut short" in refusal(path)


def test_several_frames_are_refused(tmp_path: Path) -> None:
    pages = [PIL.Image.fromarray(film()), PIL.Image.fromarray(255 - film())]
    for suffix in (".tif", ".png", ".webp"):
        path = tmp_path / f"a{suffix}"
        pages[0].save(path, save_all=True, append_images=pages[1:])
        assert "holds 2 pages or frames" in refusal(path)


def test_pixels_without_a_known_range_are_refused(tmp_path: Path) -> None:
    assert "floating point" in refusal(saved(tmp_path / "f.tif", film() / np.float32(255)))
    assert "32-bit" in refusal(saved(tmp_path / "i.tif", film().astype(np.int32)))
    assert "1 bit per pixel" in refusal(saved(tmp_path / "b.png", film() > 100))
    path = tiff(tmp_path / "ten.tif", bytes(320), (16, 16), bits=10)
    assert "of an unusual kind" in refusal(path)


def test_what_cannot_be_a_film_is_refused(tmp_path: Path) -> None:
    assert "15 x 40" in refusal(saved(tmp_path / "s.png", film(15, 40)))
    assert "is constant (0 everywhere)" in refusal(saved(tmp_path / "c.png", np.zeros((32, 32), np.uint8)))
    twelve = (film().astype(np.uint16) * 16).clip(0, 4095)
    assert "12 bits: times 16" in refusal(saved(tmp_path / "t.png", twelve))


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", film())
    for limit in (1500, 500):  # a warning and an error of Pillow
        monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", limit)
        assert "too large" in refusal(path)


# DICOM: values ----------------------------------------------------------------------------------------------

PATTERN = [[0, 512, 1023, 1024], [1536, 2047, 2048, 2560], [3071, 3072, 3583, 3584], [4000, 4094, 4095, 4095]]


def test_without_a_window_the_stored_bits_span_the_range(tmp_path: Path) -> None:
    image = read_radiograph(stored_as(tmp_path / "a", dicom(tiled(PATTERN))))
    np.testing.assert_allclose(image[:4, :4], np.array(PATTERN) / 4095, atol=1e-7)
    signed = tiled(PATTERN, np.int16) - np.int16(2048)
    image = read_radiograph(stored_as(tmp_path / "b", dicom(signed)))
    np.testing.assert_allclose(image[:4, :4], np.array(PATTERN) / 4095, atol=1e-7)


def test_linear_window_by_hand(tmp_path: Path) -> None:
    # PS3.3 C.11.2.1.2.1: black up to c - 0.5 - (w - 1) / 2 = 1024, white above c - 0.5 + (w - 1) / 2 = 3072
    ds = dicom(tiled(PATTERN), WindowCenter=2048.5, WindowWidth=2049)
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    expected = np.array([[0, 0, 0, 0], [512, 1023, 1024, 1536], [2047, 2048, 2048, 2048], [2048] * 4]) / 2048
    np.testing.assert_allclose(image[:4, :4], expected, atol=1e-7)


def test_linear_exact_and_sigmoid_windows_by_hand(tmp_path: Path) -> None:
    ds = dicom(tiled(PATTERN), WindowCenter=[2048, 9], WindowWidth=[2048, 9], VOILUTFunction="LINEAR_EXACT")
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    np.testing.assert_allclose(image[1, :4], [0.25, 1023 / 2048, 0.5, 0.75], atol=1e-7)
    ds.VOILUTFunction = "SIGMOID"
    image = read_radiograph(stored_as(tmp_path / "b.dcm", ds))
    np.testing.assert_allclose(image[1, [0, 2, 3]], np.array([0.26894142, 0.5, 0.73105858]), atol=1e-6)
    ds.WindowWidth = 1  # so steep that the exponential overflows
    assert read_radiograph(stored_as(tmp_path / "c.dcm", ds))[0, 0] == 0


def test_an_empty_window_is_no_window(tmp_path: Path) -> None:
    ds = dicom(tiled(PATTERN), WindowCenter="", WindowWidth="")
    plain = read_radiograph(stored_as(tmp_path / "a.dcm", dicom(tiled(PATTERN))))
    np.testing.assert_array_equal(read_radiograph(stored_as(tmp_path / "b.dcm", ds)), plain)
    ds.WindowCenter = 5
    del ds.WindowWidth
    np.testing.assert_array_equal(read_radiograph(stored_as(tmp_path / "c.dcm", ds)), plain)


@pytest.mark.parametrize("windowed", [False, True])
def test_rescaled_values(tmp_path: Path, windowed: bool) -> None:
    elements: dict[str, Any] = {"RescaleSlope": 2, "RescaleIntercept": -1000}
    if windowed:  # in rescaled units: 2 * 1024 - 1000 = 1048 to 2 * 3072 - 1000 = 5144
        elements |= {"WindowCenter": 3096.5, "WindowWidth": 4097}
    image = read_radiograph(stored_as(tmp_path / "a.dcm", dicom(tiled(PATTERN), **elements)))
    stored = np.array(PATTERN)
    expected = np.clip((stored - 1024) / 2048, 0, 1) if windowed else stored / 4095
    np.testing.assert_allclose(image[:4, :4], expected, atol=1e-6)


@pytest.mark.parametrize("windowed", [False, True])
def test_a_negative_slope_inverts_once(tmp_path: Path, windowed: bool) -> None:
    elements: dict[str, Any] = {"RescaleSlope": -1, "RescaleIntercept": 4095}
    if windowed:
        elements |= {"WindowCenter": 2048, "WindowWidth": 4096}
    image = read_radiograph(stored_as(tmp_path / "a.dcm", dicom(tiled(PATTERN), **elements)))
    np.testing.assert_allclose(image[:4, :4], 1 - np.array(PATTERN) / 4095, atol=1e-6)


@pytest.mark.parametrize("words", [False, True])
def test_modality_and_voi_tables(tmp_path: Path, words: bool) -> None:
    stored = tiled([[0, 1, 2, 3], [4, 5, 6, 7], [7, 7, 7, 7], [0, 0, 0, 0]])
    ds = dicom(stored, bits=8, VOILUTSequence=table([0, 100, 900, 1023], 3, 10, words=words))
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    np.testing.assert_allclose(image[0, :4], 0)  # up to the first mapped value, 3
    np.testing.assert_allclose(image[1, :4] * 1023, [100, 900, 1023, 1023], atol=1e-3)
    ds.ModalityLUTSequence = table([7, 6, 5, 4, 3, 2, 1, 0], 0, 16, words=words)
    image = read_radiograph(stored_as(tmp_path / "b.dcm", ds))
    np.testing.assert_allclose(image[0, :4] * 1023, [1023, 1023, 900, 100], atol=1e-3)
    del ds.VOILUTSequence
    ds.ModalityLUTSequence = table([0, 10, 20, 30, 40, 50, 60, 65535], 0, 16, words=words)
    image = read_radiograph(stored_as(tmp_path / "c.dcm", ds))
    np.testing.assert_allclose(image[1, :4] * 65535, [40, 50, 60, 65535], atol=0.1)


def test_a_voi_table_of_8_bits_and_many_entries(tmp_path: Path) -> None:
    levels = (np.arange(4096) // 16).tolist()
    ds = dicom(tiled(PATTERN), VOILUTSequence=table(levels, 0, 8))
    expected = np.array(PATTERN) // 16 / 255
    np.testing.assert_allclose(read_radiograph(stored_as(tmp_path / "a.dcm", ds))[:4, :4], expected, atol=1e-7)
    ds.VOILUTSequence[0].add_new("LUTData", "OW", np.array(levels, np.uint8).tobytes())  # two in each word
    np.testing.assert_allclose(read_radiograph(stored_as(tmp_path / "b.dcm", ds))[:4, :4], expected, atol=1e-7)


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME2", "INVERSE", True),
    ],
)
@pytest.mark.parametrize("window", [None, (2048, 4096)])
def test_polarity(
    tmp_path: Path, photometric: str, shape: str | None, inverted: bool, window: tuple[int, int] | None
) -> None:
    ds = dicom(tiled(PATTERN), PhotometricInterpretation=photometric)
    if shape:
        ds.PresentationLUTShape = shape
    if window:
        ds.WindowCenter, ds.WindowWidth = window
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    expected = np.array(PATTERN) / 4095
    np.testing.assert_allclose(image[:4, :4], 1 - expected if inverted else expected, atol=1e-6)


def test_padding_is_dark_and_leaves_the_range_alone(tmp_path: Path) -> None:
    ds = dicom(tiled(PATTERN), PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    expected = 1 - np.array(PATTERN) / 4095
    expected[0, 0] = 0
    np.testing.assert_allclose(image[:4, :4], expected, atol=1e-7)
    ds.PixelPaddingRangeLimit = 1023
    expected[0, :3] = 0
    np.testing.assert_allclose(read_radiograph(stored_as(tmp_path / "b.dcm", ds))[:4, :4], expected, atol=1e-7)
    signed = tiled(PATTERN, np.int16) - np.int16(2048)
    ds = dicom(signed, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=-2048)
    image = read_radiograph(stored_as(tmp_path / "c.dcm", ds))
    assert image[0, 0] == 0
    assert image[0, 1] > 0.8


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (["L", "F"], lambda a: a),
        (["R", "F"], lambda a: a[:, ::-1]),
        (["L", "H"], lambda a: a[::-1]),
        (["R", "H"], lambda a: a[::-1, ::-1]),
        (["F", "L"], lambda a: a.T),
        (["H", "R"], lambda a: a.T[::-1, ::-1]),
        (["RF", "FL"], lambda a: a[:, ::-1]),
        (["L", "L"], lambda a: a),
        (["L"], lambda a: a),
        ("", lambda a: a),
    ],
)
def test_the_patients_right_comes_to_the_left(tmp_path: Path, orientation: Any, turn: Any) -> None:
    ds = dicom(film(), bits=8, PatientOrientation=orientation)
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    np.testing.assert_array_equal(image, turn(film() / np.float32(255)))
    assert image.flags.c_contiguous


def test_grey_colours_in_dicom(tmp_path: Path) -> None:
    grey = np.dstack([film()] * 3)
    rgb = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}
    path = stored_as(tmp_path / "a.dcm", dicom(grey, bits=8, Modality="OT", **rgb))
    np.testing.assert_array_equal(read_radiograph(path), film() / np.float32(255))
    deep = grey.astype(np.uint16)
    assert "more than 8 bits" in refusal(stored_as(tmp_path / "b.dcm", dicom(deep, bits=16, **rgb)))
    grey[:, :, 1] //= 2
    assert "is coloured" in refusal(stored_as(tmp_path / "c.dcm", dicom(grey, bits=8, **rgb)))
    name = get_testdata_file("SC_rgb_rle.dcm")
    assert "is coloured" in refusal(Path(str(name)))


# DICOM: files -----------------------------------------------------------------------------------------------


def baseline(stored: Array) -> Dataset:
    buffer = BytesIO()
    PIL.Image.fromarray(stored).save(buffer, "JPEG", quality=98)
    ds = dicom(stored, bits=8)
    ds.PixelData = encapsulate([buffer.getvalue()])
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    return ds


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, ImplicitVRLittleEndian, "deflated", "big"])
def test_transfer_syntaxes_give_the_same_pixels(tmp_path: Path, syntax: str) -> None:
    stored = film(64, 64).astype(np.uint16) * 16
    ds = dicom(stored)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if syntax in (RLELossless, JPEG2000Lossless):
            ds.compress(syntax, generate_instance_uid=False)
        elif syntax == "deflated":
            ds.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
        elif syntax == "big":
            ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
            ds.PixelData = stored.byteswap().tobytes()
        else:
            ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    np.testing.assert_allclose(image * 4095, stored, atol=1e-3)


def test_jpeg_in_dicom(tmp_path: Path) -> None:
    path = stored_as(tmp_path / "a.dcm", baseline(film(64, 64)))
    np.testing.assert_allclose(read_radiograph(path) * 255, film(64, 64), atol=4)


@pytest.mark.parametrize("name", ["MR_small_jpeg_ls_lossless.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm"])
def test_compressed_files_of_pydicom(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Path(str(get_testdata_file("MR_small.dcm")))
    assert "modality MR" in refusal(plain)
    monkeypatch.setattr("artasyn.files.dicom.MODALITIES", ("MR",))
    np.testing.assert_array_equal(read_radiograph(str(get_testdata_file(name))), read_radiograph(plain))


@pytest.mark.parametrize("implicit", [False, True])
def test_dicom_without_preamble(tmp_path: Path, implicit: bool) -> None:
    ds = dicom(film(), bits=8)
    path = tmp_path / "no suffix"
    meta = ds.file_meta
    del ds.file_meta
    ds.save_as(path, implicit_vr=implicit, little_endian=True)
    assert path.read_bytes()[:2] == b"\x08\x00"
    np.testing.assert_array_equal(read_radiograph(path), film() / np.float32(255))
    ds.file_meta = meta
    whole = stored_as(tmp_path / "whole", ds).read_bytes()
    path.write_bytes(whole[132:])  # the header of group 2 without the preamble
    np.testing.assert_array_equal(read_radiograph(path), film() / np.float32(255))


@pytest.mark.parametrize("kind", ["plain", "rle", "jpeg", "jpeg2000"])
def test_cut_dicom_is_refused(tmp_path: Path, kind: str) -> None:
    stored = film(64, 64) + RNG.integers(0, 9, (64, 64), np.uint8)
    ds = baseline(stored) if kind == "jpeg" else dicom(stored, bits=8)
    if kind in ("rle", "jpeg2000"):
        ds.compress(RLELossless if kind == "rle" else JPEG2000Lossless, generate_instance_uid=False)
    path = stored_as(tmp_path / "a.dcm", ds)
    read_radiograph(path)
    whole = path.read_bytes()
    for end in (100, 131, 140, 200, 400, len(whole) // 2, len(whole) - 300, len(whole) - 9):
        path.write_bytes(whole[:end])
        refusal(path)


@pytest.mark.parametrize("kind", ["jpeg", "jpeg2000", "rle"])
def test_a_cut_stream_in_whole_dicom_is_refused(tmp_path: Path, kind: str) -> None:
    stored = film(64, 64) + RNG.integers(0, 9, (64, 64), np.uint8)
    ds = baseline(stored) if kind == "jpeg" else dicom(stored, bits=8)
    if kind != "jpeg":
        ds.compress(RLELossless if kind == "rle" else JPEG2000Lossless, generate_instance_uid=False)
    stream = next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1))
    ds.PixelData = encapsulate([stream[: len(stream) // 2]])
    reason = refusal(stored_as(tmp_path / "a.dcm", ds))
    assert ("cut short" if kind == "jpeg" else "not readable") in reason


def test_a_run_length_beyond_the_image_is_refused(tmp_path: Path) -> None:
    ds = dicom(GREYS.astype(np.uint16), bits=16)
    runs = bytes([129, 7]) * 3  # 3 x 128 bytes in each of two segments, where the image has 2 x 256
    ds.PixelData = encapsulate([struct.pack("<16I", 2, 64, 64 + len(runs), *[0] * 13) + 2 * runs])
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = RLELossless
    assert "not readable" in refusal(stored_as(tmp_path / "a.dcm", ds))


def test_an_interruption_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(film: Dataset) -> Array:
        raise KeyboardInterrupt

    monkeypatch.setattr("artasyn.files.dicom.pixel_array", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_radiograph(stored_as(tmp_path / "a.dcm", dicom(GREYS, bits=8)))


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "CT", "SOPClassUID": CTImageStorage}, "modality CT"),
        ({"Modality": "MG"}, "modality MG"),
        ({"Modality": None, "SOPClassUID": CTImageStorage}, "no modality"),
        ({"NumberOfFrames": 3}, "3 frames"),
        ({"PixelData": None}, "without pixels"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"ViewPosition": "LL"}, "lateral view (LL)"),
        ({"ViewPosition": "RL"}, "lateral view"),
        ({"ViewPosition": "LATERAL"}, "lateral view"),
        ({"PatientOrientation": ["A", "F"]}, "lateral view (PatientOrientation A\\F)"),
        ({"RescaleSlope": 0, "RescaleIntercept": 1}, "slope is 0"),
        ({"WindowCenter": 9, "WindowWidth": 0}, "Window Width"),
        ({"WindowCenter": 9, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}, "CUBIC"),
        ({"BitsStored": None}, "not readable"),
        ({"WindowCenter": 9000, "WindowWidth": 10}, "is constant (0 everywhere)"),
    ],
)
def test_dicom_that_is_no_frontal_film(tmp_path: Path, elements: dict[str, Any], reason: str) -> None:
    assert reason in refusal(stored_as(tmp_path / "a.dcm", dicom(tiled(PATTERN), **elements)))


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    ds = dicom(tiled(PATTERN))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.RescaleSlope, ds.RescaleIntercept = "nan", 0
    assert "no numbers" in refusal(stored_as(tmp_path / "a.dcm", ds))


def test_view_codes(tmp_path: Path) -> None:
    code = Dataset()
    code.CodeMeaning = "Right lateral projection"
    ds = dicom(tiled(PATTERN), ViewCodeSequence=Sequence([code]))
    assert "lateral view (Right lateral projection)" in refusal(stored_as(tmp_path / "a.dcm", ds))
    for meaning in ("Postero-anterior", "Left lateral decubitus"):
        code.CodeMeaning = meaning
        read_radiograph(stored_as(tmp_path / "b.dcm", ds))


@pytest.mark.parametrize(
    "elements",
    [
        {"Modality": "DX"},
        {"Modality": "OT"},
        {"Modality": "RG"},
        {"Modality": None},
        {"ViewPosition": "AP"},
        {"ViewPosition": "PA", "PatientOrientation": ["P", "F"]},
        {"ViewPosition": "LLD"},
        {"NumberOfFrames": 1},
        {
            "WindowCenter": "2048",
            "WindowWidth": "4096",
            "PatientAge": "forty",
        },  # a value against the standard
    ],
)
def test_dicom_that_is_a_frontal_film(tmp_path: Path, elements: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = dicom(tiled(PATTERN), **elements)
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    np.testing.assert_allclose(image[:4, :4], np.array(PATTERN) / 4095, atol=1e-6)


# Masks, labels and writing ----------------------------------------------------------------------------------


def test_a_mask_comes_back(tmp_path: Path) -> None:
    mask = film() > 120
    for array in (mask, np.zeros_like(mask), np.ones_like(mask)):
        write_mask(tmp_path / "m.png", array)
        np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), array)
    with PIL.Image.open(tmp_path / "m.png") as picture:
        assert np.unique(np.asarray(picture)).tolist() == [255]


def test_masks_of_others(tmp_path: Path) -> None:
    mask = film() > 120
    for number, array in enumerate([mask.astype(np.uint8), mask, mask * np.uint8(7), mask * np.uint16(65535)]):
        np.testing.assert_array_equal(read_mask(saved(tmp_path / f"{number}.png", array)), mask)
    soft = np.array([[0, 127, 128, 255]] * 2, np.uint8)
    assert read_mask(saved(tmp_path / "soft.png", soft))[0].tolist() == [False, False, True, True]
    block = np.kron(np.eye(4), np.ones((16, 16))).astype(np.uint8) * 255
    block[:5] = 255
    np.testing.assert_array_equal(read_mask(saved(tmp_path / "m.jpg", block, quality=95)), block > 0)
    colours = np.dstack([mask * np.uint8(255)] * 3)
    np.testing.assert_array_equal(read_mask(saved(tmp_path / "rgb.png", colours)), mask)


def test_what_is_no_mask(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 2]] * 2, np.uint8)
    with pytest.raises(RadiographError, match=r"l\.png holds 3 values.*read_labels"):
        read_mask(saved(tmp_path / "l.png", labels))
    with pytest.raises(RadiographError, match="does not exist"):
        read_mask(tmp_path / "none.png")


def test_labels_come_back(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 2]] * 2, np.uint8)
    path = tmp_path / "l.png"
    write_labels(path, labels)
    np.testing.assert_array_equal(read_labels(path), labels)
    with PIL.Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture), labels)
    coloured = PIL.Image.new("P", (3, 2))
    coloured.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    coloured.putdata(labels.ravel().tolist())
    coloured.save(path)
    np.testing.assert_array_equal(read_labels(path), labels)


def test_what_are_no_labels(tmp_path: Path) -> None:
    with pytest.raises(RadiographError, match=r"values 0, 1, 2, 3, 4, 5, \.\.\.; lung labels are 0, 1"):
        read_labels(saved(tmp_path / "l.png", GREYS))
    with pytest.raises(RadiographError, match="holds the values 0, 255;"):
        read_labels(saved(tmp_path / "m.png", (GREYS > 9) * np.uint8(255)))
    with pytest.raises(RadiographError, match="is a JPEG"):
        read_labels(saved(tmp_path / "l.jpg", GREYS // 128))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
@pytest.mark.parametrize("bits", [8, 16])
def test_an_image_comes_back_and_bytes_repeat(tmp_path: Path, suffix: str, bits: Any) -> None:
    full = 2**bits - 1
    levels = RNG.integers(0, full + 1, (31, 57))
    image = (levels / full).astype(np.float32)
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_image(first, image, bits=bits)
    write_image(str(second), image, bits=bits)
    assert first.read_bytes() == second.read_bytes()
    np.testing.assert_array_equal(np.rint(read_radiograph(first) * np.float64(full)), levels)
    if bits == 8:
        np.testing.assert_array_equal(read_radiograph(first), levels.astype(np.float32) / np.float32(255))
    assert {p.name for p in tmp_path.iterdir()} == {first.name, second.name}


def test_what_cannot_be_written(tmp_path: Path) -> None:
    image, mask = film() / np.float32(255), film() > 100
    with pytest.raises(RadiographError, match=r"end its name in \.png or \.tif"):
        write_image(tmp_path / "a.jpg", image)
    for suffix in (".jpg", ".tif", ""):
        with pytest.raises(RadiographError, match=r"end its name in \.png$"):
            write_mask(tmp_path / f"m{suffix}", mask)
        with pytest.raises(RadiographError, match=r"end its name in \.png$"):
            write_labels(tmp_path / f"l{suffix}", mask.astype(np.uint8))
    with pytest.raises(ImageError, match="found 3"):
        write_labels(tmp_path / "l.png", mask.astype(np.uint8) * 3)
    with pytest.raises(ImageError, match="lie in"):
        write_image(tmp_path / "a.png", image * 2)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("x")
    with pytest.raises(RadiographError, match="out of reach"):
        write_mask(tmp_path / "file" / "m.png", mask)
    write_mask(tmp_path / "new" / "m.png", mask)
    assert read_mask(tmp_path / "new" / "m.png").any()


def test_arrays_of_another_kind_are_refused() -> None:
    check = module._check_plane
    for array in ([True], np.ones((4, 4)), np.ones(4, bool), np.ones((0, 4), bool)):
        with pytest.raises(ImageError, match="mask must be"):
            check(array, np.dtype(np.bool_), "mask")


def test_only_8_and_16_bits(tmp_path: Path) -> None:
    write: Any = getattr(write_image, "__wrapped__", write_image)
    with pytest.raises(ImageError, match="bits must be 8 or 16, not 12"):
        write(tmp_path / "a.png", film() / np.float32(255), bits=12)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.png"
    write_mask(path, film() > 100)
    old = path.read_bytes()

    def fails(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(RadiographError, match="No space left"):
        write_mask(path, film() > 150)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["m.png"]


def test_writing_over_a_folder(tmp_path: Path) -> None:
    (tmp_path / "m.png").mkdir()
    with pytest.raises(RadiographError, match=r"m\.png is a folder"):
        write_mask(tmp_path / "m.png", film() > 100)


def test_files_to_read_in_a_folder(tmp_path: Path) -> None:
    assert ".dcm" in RADIOGRAPH_SUFFIXES
    for name in ("a.png", "B.JPG", "c.tiff", "d.dcm", "notes.txt", ".hidden.png", "plain", "1.2.840.5"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("IM0001", "1.2.840.10008.7", "DICOMDIR"):
        stored_as(tmp_path / name, dicom(film(), bits=8))
    (tmp_path / "folder.png").mkdir()
    found = {path.name for path in tmp_path.iterdir() if is_radiograph_file(path)}
    assert found == {"a.png", "B.JPG", "c.tiff", "d.dcm", "IM0001", "1.2.840.10008.7"}
    assert not is_radiograph_file(tmp_path / "none.png")


# Real films -------------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_real_dicom_shows_dark_lungs(data: Path) -> None:
    names = sorted(path.name for path in (data / "dicom").iterdir() if is_radiograph_file(path))
    assert len(names) >= 5
    for name in names:
        image = read_radiograph(data / "dicom" / name)
        height, width = image.shape
        rows = slice(int(0.35 * height), int(0.5 * height))
        lungs = [image[rows, int(a * width) : int((a + 0.08) * width)].mean() for a in (0.24, 0.68)]
        spine = image[rows, int(0.46 * width) : int(0.54 * width)].mean()
        darker = max(lungs) < spine
        assert darker != name.startswith("txrv_fake"), name  # its tag says the opposite of its pixels
        assert image.max() - image.min() > 0.8


@pytest.mark.realdata
def test_the_same_pixels_tagged_monochrome1_are_inverted(data: Path) -> None:
    film2 = read_radiograph(data / "dicom" / "siim_cr8_mono2_chestPA_jpegbaseline.dcm")
    film1 = read_radiograph(data / "dicom" / "txrv_fake_mono1_same_pixels_as_siim.dcm")
    np.testing.assert_array_equal(np.rint(film1 * 255), 255 - np.rint(film2 * 255))


@pytest.mark.realdata
def test_real_folders(data: Path) -> None:
    folders = sorted({path.parent for pattern in ("*.jpg", "*.png") for path in data.rglob(pattern)})
    assert len(folders) > 5
    for folder in folders:
        for path in sorted(folder.iterdir())[:2]:
            if path.suffix == ".png":
                assert read_mask(path).dtype == bool
            elif path.suffix == ".jpg":
                image = read_radiograph(path)
                assert image.dtype == np.float32
                assert image.max() - image.min() > 0.5, path
