"""Reading pictures: values of every depth and colour, turns, and what is cut short or of no known range."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest

from artasyn.files.radiograph import read_radiograph
from artasyn.limits import VARIABLE
from tests.files.made import GREYS, RNG, film, refusal, saved, tiff, tiled


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
        assert f"holds {'several' if suffix == '.tif' else 2} pages or frames" in refusal(path)


def test_pixels_without_a_known_range_are_refused(tmp_path: Path) -> None:
    assert "floating point" in refusal(saved(tmp_path / "f.tif", film() / np.float32(255)))
    assert "32-bit" in refusal(saved(tmp_path / "i.tif", film().astype(np.int32)))
    assert "1 bit per pixel" in refusal(saved(tmp_path / "b.png", film() > 100))
    path = tiff(tmp_path / "ten.tif", bytes(320), (16, 16), bits=10)
    assert "of an unusual kind" in refusal(path)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.bmp", "a.webp"])
def test_a_claim_of_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / name, film())
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)  # Pillow's own limit, which must not count
    if path.suffix in (".tif", ".webp"):
        assert "too large for Pillow" in refusal(path)
    else:
        read_radiograph(path)
    monkeypatch.setenv(VARIABLE, '{"pixels": 1919}')
    assert "claims 1920 pixels (48 x 40), more than 1919; if this is right" in refusal(path)
