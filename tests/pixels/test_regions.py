"""Masks in every dress that people paint them in; what has two readings is refused, and never read as empty."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artasyn.errors import RadiographError
from artasyn.files.radiograph import read_labels, read_mask
from artasyn.files.rasters import decode_region
from tests.files.made import Array

ROWS, COLUMNS = np.mgrid[0:96, 0:112]
BOX = (ROWS >= 60) & (ROWS < 80) & (COLUMNS >= 70) & (COLUMNS < 95)
DISC = (ROWS - 32) ** 2 + (COLUMNS - 40) ** 2 < 22**2
REGION = BOX | DISC
ONE = REGION.astype(np.uint8)
WHITE = ONE * np.uint8(255)


def painted(inside: tuple[int, ...], outside: tuple[int, ...]) -> PIL.Image.Image:
    """A picture of two colours."""
    picture = np.empty((*REGION.shape, len(inside)), np.uint8)
    picture[:], picture[REGION] = outside, inside
    return PIL.Image.fromarray(picture)


def indexed(indices: Array, *colours: tuple[int, int, int]) -> PIL.Image.Image:
    picture = PIL.Image.fromarray(indices.astype(np.uint8)).convert("P")
    picture.putpalette([each for colour in colours for each in colour])
    return picture


def encoded(picture: PIL.Image.Image | Array, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    (picture if isinstance(picture, PIL.Image.Image) else PIL.Image.fromarray(picture)).save(buffer, kind, **options)
    return buffer.getvalue()


def blurred(radius: float) -> PIL.Image.Image:
    return PIL.Image.fromarray(WHITE).filter(PIL.ImageFilter.GaussianBlur(radius))


def deep(planes: list[Array]) -> bytes:
    """A PNG of 16 bits."""
    return cv2.imencode(".png", np.dstack(planes))[1].tobytes()


READ: dict[str, Callable[[], bytes]] = {
    "0 and 1": lambda: encoded(ONE),
    "0 and 7": lambda: encoded(ONE * np.uint8(7)),
    "16 and 235": lambda: encoded(np.where(REGION, 235, 16).astype(np.uint8)),
    "1 bit": lambda: encoded(REGION),
    "1 bit, TIFF": lambda: encoded(REGION, "TIFF"),
    "16 bits": lambda: encoded(REGION * np.uint16(65535)),
    "16 bits, 1": lambda: encoded(REGION * np.uint16(1)),
    "16 bits, shades up to 255": lambda: encoded(np.asarray(blurred(1)).astype(np.uint16)),
    "32 bits": lambda: encoded(REGION.astype(np.int32), "TIFF"),
    "floats": lambda: encoded(REGION.astype(np.float32), "TIFF"),
    "shades of floats": lambda: encoded(np.asarray(blurred(1)).astype(np.float32) / 255, "TIFF"),
    "alpha, black": lambda: encoded(painted((0, 0, 0, 255), (0, 0, 0, 0))),
    "alpha, white": lambda: encoded(painted((255, 255, 255, 255), (0, 0, 0, 0))),
    "alpha, white on hidden white": lambda: encoded(painted((255, 255, 255, 255), (255, 255, 255, 0))),
    "alpha, red": lambda: encoded(painted((255, 0, 0, 255), (0, 0, 0, 0))),
    "alpha, half red": lambda: encoded(painted((255, 0, 0, 128), (0, 0, 0, 0))),
    "alpha, black, TIFF": lambda: encoded(painted((0, 0, 0, 255), (0, 0, 0, 0)), "TIFF"),
    "alpha, black, WebP": lambda: encoded(painted((0, 0, 0, 255), (0, 0, 0, 0)), "WEBP", lossless=True, exact=True),
    "alpha, soft black": lambda: encoded(painted((0, 0, 0, 255), (0, 0, 0, 0)).filter(PIL.ImageFilter.BoxBlur(1))),
    "alpha, grey black": lambda: encoded(painted((0, 255), (0, 0))),
    "opaque white on black": lambda: encoded(painted((255, 255, 255, 255), (0, 0, 0, 255))),
    "half transparent white on black": lambda: encoded(painted((255, 255, 255, 128), (0, 0, 0, 128))),
    "red": lambda: encoded(painted((255, 0, 0), (0, 0, 0))),
    "dark red": lambda: encoded(painted((90, 0, 0), (0, 0, 0))),
    "red 1": lambda: encoded(painted((1, 0, 0), (0, 0, 0))),
    "red on white": lambda: encoded(painted((255, 0, 0), (255, 255, 255))),
    "yellow on white": lambda: encoded(painted((255, 255, 0), (255, 255, 255))),
    "green, JPEG": lambda: encoded(painted((0, 255, 0), (0, 0, 0)), "JPEG", quality=85, subsampling=0),
    "16 bits, red": lambda: deep([ONE * np.uint16(0)] * 2 + [REGION * np.uint16(9)]),
    "16 bits, grey 1": lambda: deep([REGION * np.uint16(1)] * 3),
    "16 bits, alpha": lambda: deep([ONE * np.uint16(0)] * 3 + [REGION * np.uint16(65535)]),
    "palette, black and red": lambda: encoded(indexed(ONE, (0, 0, 0), (255, 0, 0))),
    "palette, index 2": lambda: encoded(indexed(ONE * 2, (0, 0, 0), (128, 0, 0), (0, 128, 0))),
    "palette, all black": lambda: encoded(indexed(ONE, (0, 0, 0), (0, 0, 0))),
    "palette, two colours": lambda: encoded(indexed(ONE, (0, 0, 200), (255, 150, 0))),
    "palette, black is index 1": lambda: encoded(indexed(1 - ONE, (255, 0, 0), (0, 0, 0))),
    "palette, transparent": lambda: encoded(indexed(ONE, (0, 0, 0), (0, 0, 0)), transparency=0),
    "palette, quantised": lambda: encoded(painted((255, 0, 0), (0, 0, 0)).quantize(4)),
    "JPEG": lambda: encoded(WHITE, "JPEG", quality=75),
    "bad JPEG": lambda: encoded(WHITE, "JPEG", quality=25),
    "JPEG in colours": lambda: encoded(painted((255, 255, 255), (0, 0, 0)), "JPEG", quality=60),
    "blurred": lambda: encoded(blurred(1)),
    "blurred much": lambda: encoded(blurred(4)),
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
def test_a_region_is_read_in_every_dress(kind: str) -> None:
    region = decode_region(READ[kind]())
    assert region.dtype == bool
    assert (region != REGION).mean() < (
        0.01 if "soft" in kind or "blurred" in kind or "shades" in kind or "bad" in kind else 1e-9
    )


IGNORED = np.where(ROWS >= 90, 255, ONE).astype(np.uint8)
CLASSES = np.where(BOX, 128, DISC * 255).astype(np.uint8)
BORDER = cv2.dilate(ONE, np.ones((3, 3))) > 0

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "0, 1 and 255": (lambda: encoded(IGNORED), "3 values (0, 1, 255), more than a background and a region"),
    "a border of 255": (lambda: encoded(np.where(REGION, 1, BORDER * 255).astype(np.uint8)), "(0, 1, 255)"),
    "0, 128 and 255": (lambda: encoded(CLASSES), "(0, 128, 255)"),
    "0, 128 and 255, JPEG": (lambda: encoded(CLASSES, "JPEG", quality=90), "more than a background and a region"),
    "0, 1 and 2": (lambda: encoded(ONE + BOX), "none above 127"),
    "1 and 2": (lambda: encoded(ONE + np.uint8(1)), "none above 127"),
    "128 and 255": (lambda: encoded(np.where(REGION, 255, 128).astype(np.uint8)), "(128, 255)"),
    "many classes": (lambda: encoded((COLUMNS // 3 * 6).astype(np.uint8)), "more than a background and a region"),
    "blue on red": (lambda: encoded(painted((0, 0, 255), (255, 0, 0))), "not one colour on black or white"),
    "red and green": (lambda: encoded(np.dstack([WHITE, BOX * np.uint8(255), ONE * 0])), "(0, 0, 0), (255, 0, 0)"),
    "hidden colours": (lambda: encoded(painted((255, 255, 255, 0), (0, 0, 0, 0))), "transparent everywhere"),
    "hidden white": (lambda: encoded(painted((255, 255, 255, 0), (255, 255, 255, 0))), "transparent everywhere"),
    "black on hidden white": (lambda: encoded(painted((0, 0, 0, 255), (255, 255, 255, 0))), "brighter where it is tr"),
    "half transparent black": (lambda: encoded(painted((0, 0, 0, 99), (0, 0, 0, 99))), "black and half transparent"),
    "a palette of three": (lambda: encoded(indexed(ONE + BOX, (0, 0, 0), (128, 0, 0), (0, 128, 0))), "indices 0, 1, 2"),
    "only a white index 0": (lambda: encoded(indexed(ONE * 0, (255, 255, 255), (255, 0, 0))), "has only index 0"),
    "only a black index 1": (lambda: encoded(indexed(ONE * 0 + 1, (255, 0, 0), (0, 0, 0))), "has only index 1"),
    "not a number": (lambda: encoded(np.where(REGION, np.nan, 0).astype(np.float32), "TIFF"), "no numbers"),
    "negative": (lambda: encoded(np.where(REGION, -1, 0).astype(np.int32), "TIFF"), "negative values"),
    "floats of no range": (lambda: encoded((ROWS * 7.5).astype(np.float32), "TIFF"), "of an unknown range"),
    "CMYK": (lambda: encoded(PIL.Image.fromarray(WHITE).convert("CMYK"), "TIFF"), "CMYK colours"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_two_readings_is_refused(kind: str) -> None:
    make, reason = REFUSED[kind]
    with pytest.raises(RadiographError) as caught:
        decode_region(make())
    assert reason in str(caught.value)


@pytest.mark.parametrize("filter_", ["NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS"])
@pytest.mark.parametrize("size", [(300, 340), (61, 70), (112, 96)])
def test_a_mask_that_was_scaled(filter_: str, size: tuple[int, int]) -> None:
    scaled = PIL.Image.fromarray(WHITE).resize(size, PIL.Image.Resampling[filter_])
    plain = np.asarray(PIL.Image.fromarray(WHITE).resize(size, PIL.Image.Resampling.NEAREST)) > 0
    assert (decode_region(encoded(scaled)) != plain).mean() < 0.02


def test_empty_and_full_masks() -> None:
    for empty in (ONE * 0, painted((0, 0, 0), (0, 0, 0)), painted((0, 0, 0, 0), (0, 0, 0, 0)), REGION & False):
        assert not decode_region(encoded(empty)).any()
    for full in (ONE * 0 + 255, painted((255, 0, 0), (255, 0, 0)), indexed(ONE * 0 + 1, (0, 0, 0), (9, 0, 0))):
        assert decode_region(encoded(full)).all()


@given(
    inside=st.tuples(*[st.sampled_from([0, 1, 60, 128, 255])] * 4),
    outside=st.tuples(*[st.sampled_from([0, 128, 255])] * 4),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_no_drawn_region_is_read_as_empty_or_half(inside: tuple[int, ...], outside: tuple[int, ...]) -> None:
    if inside == outside:
        return
    try:
        region = decode_region(encoded(painted(inside, outside)))
    except RadiographError:
        return
    seen = [tuple(each * colour[3] // 255 for each in colour[:3]) for colour in (inside, outside)]
    alike = seen[0] == seen[1] and inside[3] == outside[3]
    assert (region == REGION).all() or (region == ~REGION).all() or alike


def test_masks_and_labels_turn_as_exif_says(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[274] = 6
    PIL.Image.fromarray(WHITE).save(tmp_path / "m.png", exif=exif)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), np.rot90(REGION, -1))


def test_labels_that_may_be_lost_are_refused(tmp_path: Path) -> None:
    painted((1, 1, 1, 0), (0, 0, 0, 0)).save(tmp_path / "a.png")
    with pytest.raises(RadiographError, match="is transparent in places"):
        read_labels(tmp_path / "a.png")
    PIL.Image.fromarray(ONE).save(tmp_path / "a.webp", quality=80)
    with pytest.raises(RadiographError, match="WebP with losses"):
        read_labels(tmp_path / "a.webp")
    deep = cv2.imencode(".png", np.dstack([(ONE + BOX).astype(np.uint16)] * 3))[1].tobytes()
    (tmp_path / "b.png").write_bytes(deep)
    np.testing.assert_array_equal(read_labels(tmp_path / "b.png"), ONE + BOX)
    PIL.Image.fromarray((ONE + BOX).astype(np.float32)).save(tmp_path / "c.tif")
    np.testing.assert_array_equal(read_labels(tmp_path / "c.tif"), ONE + BOX)
