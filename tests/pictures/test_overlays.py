"""What people look at: colours where they belong, film untouched elsewhere, sheets of the right size."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFont
import pytest
from numpy.typing import NDArray

from artasyn.errors import ImageError
from artasyn.files.radiograph import read_mask, read_radiograph
from artasyn.pictures import overlays as module
from artasyn.pictures.overlays import (
    LEFT_COLOUR,
    MASK_COLOUR,
    PAPER,
    RIGHT_COLOUR,
    STRUCTURE_COLOURS,
    contact_sheet,
    data_uri,
    overlay_heatmap,
    overlay_lungs,
    overlay_mask,
    overlay_structures,
    png_bytes,
)

Array = NDArray[Any]


def film(height: int = 128, width: int = 160) -> Array:
    """A ramp of exact 8-bit greys."""
    grey = np.linspace(0, 255, height * width).reshape(height, width).round()
    return np.asarray(grey / 255, np.float32)


def grey(image: Array) -> Array:
    return np.repeat(np.rint(image * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def square(height: int = 128, width: int = 160) -> Array:
    mask = np.zeros((height, width), bool)
    mask[30:90, 20:70] = True
    return mask


def painted(picture: Array, colour: tuple[int, int, int]) -> Array:
    return np.asarray((picture == np.array(colour)).all(axis=2))


def linear(channel: Array) -> Array:
    return np.asarray(np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4))


def lightness(colours: Array) -> Array:
    """CIE L* of sRGB colours (..., 3)."""
    y = linear(colours / 255) @ np.array([0.2126, 0.7152, 0.0722])
    return np.asarray(np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y))


def test_lungs_are_drawn_in_their_colours_and_the_film_stays() -> None:
    labels = square().astype(np.uint8)
    labels[:, ::-1][square()] = 2
    image = film()
    picture = overlay_lungs(image, labels)
    right, left = painted(picture, RIGHT_COLOUR), painted(picture, LEFT_COLOUR)
    assert right[30, 25:65].all()
    assert left[30, -65:-25].all()
    assert not right[:, 80:].any()
    assert not left[:, :80].any()
    np.testing.assert_array_equal(picture[40:80, 30:60], grey(image)[40:80, 30:60])
    np.testing.assert_array_equal(overlay_lungs(image, labels * 0), grey(image))


@pytest.mark.parametrize(("side", "thickness"), [(64, 1), (256, 1), (1024, 4)])
def test_contours_grow_with_the_image(side: int, thickness: int) -> None:
    labels = np.zeros((side, side), np.uint8)
    labels[side // 4 : side // 2] = 1
    picture = overlay_lungs(np.full((side, side), 0.5, np.float32), labels)
    column = painted(picture, RIGHT_COLOUR)[: 3 * side // 8, side // 2]
    assert abs(int(column.sum()) - thickness) <= 1


def test_contours_stand_on_a_dark_rim() -> None:
    picture = overlay_mask(np.ones((128, 160), np.float32), square())
    row = lightness(picture[60, :30].astype(float))
    assert 30 < row.min() < 50  # beside the contour, on a white film
    assert (row[:10] > 99).all()


def test_a_mask_is_tinted_lightly() -> None:
    image = np.full((128, 160), 0.5, np.float32)
    picture = overlay_mask(image, square())
    inside = 0.8 * 128 + 0.2 * np.array(MASK_COLOUR)
    np.testing.assert_allclose(picture[60, 45], inside, atol=1)
    np.testing.assert_array_equal(picture[100:], grey(image)[100:])
    assert painted(picture, MASK_COLOUR)[30, 45]


def test_bones_are_tinted_and_other_structures_have_contours() -> None:
    image, ribs = film(), np.zeros((128, 160), bool)
    ribs[100:110, 10:150] = True
    picture = overlay_structures(image, {"ribs": ribs}, {"heart": square()})
    contour = painted(picture, STRUCTURE_COLOURS["heart"])
    assert contour[30, 20:70].all()
    assert contour[89, 20:70].all()
    assert not contour[40:80, 30:60].any()
    np.testing.assert_array_equal(picture[40:80, 30:60], grey(image)[40:80, 30:60])
    tinted = 0.72 * grey(image)[ribs] + 0.28 * np.array(STRUCTURE_COLOURS["ribs"])
    np.testing.assert_allclose(picture[ribs], tinted, atol=0.51)
    np.testing.assert_array_equal(picture[112:], grey(image)[112:])
    np.testing.assert_array_equal(overlay_structures(image, {}, {}), grey(image))


def test_contours_lie_over_tints_and_tints_add_up() -> None:
    image = np.full((128, 160), 0.5, np.float32)
    both = overlay_structures(image, {"ribs": square(), "spine": square()}, {"lesions": square()})
    ribs = 0.72 * 128 + 0.28 * np.array(STRUCTURE_COLOURS["ribs"])
    np.testing.assert_allclose(both[60, 45], 0.72 * ribs + 0.28 * np.array(STRUCTURE_COLOURS["spine"]), atol=1)
    assert painted(both, STRUCTURE_COLOURS["lesions"])[30, 45]


def test_structures_that_are_empty_or_full_are_drawn_too() -> None:
    image, nothing = film(), np.zeros((128, 160), bool)
    np.testing.assert_array_equal(overlay_structures(image, {"ribs": nothing}, {"heart": nothing}), grey(image))
    picture = overlay_structures(image, {"ribs": ~nothing}, {"heart": ~nothing})
    assert painted(picture, STRUCTURE_COLOURS["heart"])[0].all()


@pytest.mark.parametrize("name", STRUCTURE_COLOURS)
def test_every_structure_has_a_colour_of_its_own(name: str) -> None:
    picture = overlay_structures(np.zeros((128, 160), np.float32), {}, {name: square()})
    assert painted(picture, STRUCTURE_COLOURS[name]).any()
    apart = [np.abs(np.subtract(STRUCTURE_COLOURS[name], c)).max() for n, c in STRUCTURE_COLOURS.items() if n != name]
    assert min(apart) >= 30


def test_structures_are_drawn_on_films_alone() -> None:
    with pytest.raises(ImageError, match="lie in"):
        overlay_structures(film() + 1, {}, {})


def test_heat_is_clear_at_0_and_full_at_the_top() -> None:
    image = film()
    heat = np.zeros((128, 160), np.float32)
    np.testing.assert_array_equal(overlay_heatmap(image, heat, top=0.5), grey(image))
    heat[:64] = np.linspace(0, 1, 160)
    picture = overlay_heatmap(image, heat, top=0.5).astype(int)
    np.testing.assert_array_equal(picture[64:], grey(image)[64:])
    hottest = 0.2 * grey(image)[10, 80:].astype(float) + 0.8 * np.array([252, 255, 164])  # the end of inferno
    np.testing.assert_allclose(picture[10, 80:], hottest, atol=2)


def test_heat_grows_lighter_on_a_dark_film() -> None:
    heat = np.tile(np.linspace(0, 1, 160, dtype=np.float32), (16, 1))
    picture = overlay_heatmap(np.zeros((16, 160), np.float32), heat, top=1.0)
    assert (np.diff(lightness(picture[0].astype(float))) > -0.8).all()
    assert lightness(picture[0, -1].astype(float)) > 75


def test_colours_keep_apart_for_the_colour_blind() -> None:
    # Viénot, Brettel and Mollon (1999): linear RGB as seen without the long or the middle cones
    protan = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
    deutan = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    colours = linear(np.array([RIGHT_COLOUR, LEFT_COLOUR, MASK_COLOUR]) / 255)
    for seen in (np.eye(3), protan, deutan):
        shown = np.clip(colours @ seen.T, 0, 1) ** (1 / 2.4)
        for a, b in ((0, 1), (0, 2), (1, 2)):
            assert np.linalg.norm(shown[a] - shown[b]) > 0.3


def test_a_sheet_keeps_sizes_and_aspect() -> None:
    tall = np.full((200, 50, 3), (255, 0, 0), np.uint8)
    sheet = contact_sheet([film(), tall, film(16, 16)], ["", "b", "c"], columns=2, tile=64)
    gap, line = 4, round(1.6 * 11)
    assert sheet.shape == (gap + 2 * (64 + line + gap), gap + 2 * (64 + gap), 3)
    red = (sheet[:, :, 0] > 250) & (sheet[:, :, 1] < 5)
    rows, columns = np.nonzero(red)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (64, 16)
    np.testing.assert_array_equal(sheet[0, 0], PAPER)
    assert (sheet[gap + 64 : gap + 64 + line, :64] == PAPER).all()  # no caption, no ink
    assert (sheet[gap + 64 : gap + 64 + line, 64 + gap :] > 150).any()


def test_a_sheet_is_no_wider_than_its_pictures() -> None:
    assert contact_sheet([film()], ["one"], columns=5, tile=40).shape[1] == 48


def test_captions_are_cut_to_their_tile() -> None:
    font = PIL.ImageFont.truetype(module.FONT, 11)
    long = "a very long name of a file that fits nowhere.png"
    cut = module._cut(long, font, 64)
    assert cut.endswith("...")
    assert long.startswith(cut[:-3])
    assert 40 < font.getlength(cut) <= 64
    assert module._cut("two\n lines", font, 64) == "two lines"
    sheet = contact_sheet([np.zeros((64, 64), np.float32)] * 2, [long, ""], columns=2, tile=64)
    assert (sheet[:, 68:] == PAPER)[70:].all()  # nothing runs into the next tile


def test_captions_speak_other_languages() -> None:
    font = PIL.ImageFont.truetype(module.FONT, 20)
    missing = bytes(font.getmask("\uffff"))
    for letter in "éüßñłαЖ":
        assert bytes(font.getmask(letter)) != missing


def test_encoded_pictures_come_back() -> None:
    picture = overlay_mask(film(), square())
    assert png_bytes(picture) == png_bytes(picture.copy())
    head, code = data_uri(picture).split(",")
    assert head == "data:image/png;base64"
    with PIL.Image.open(BytesIO(base64.b64decode(code))) as again:
        np.testing.assert_array_equal(np.asarray(again), picture)


def test_what_is_refused() -> None:
    image, heat = film(), np.zeros((128, 160), np.float32)
    with pytest.raises(ImageError, match="lie in"):
        overlay_mask(image + 1, square())
    for top in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ImageError, match="top must be a number above 0"):
            overlay_heatmap(image, heat, top=top)
    with pytest.raises(ImageError, match="NaN"):
        overlay_heatmap(image, heat * np.float32("nan"), top=1.0)
    with pytest.raises(ImageError, match=r"mask must be \(128, 160\) as the image is, not \(4, 4\)"):
        module.check_overlay(image, np.ones((4, 4), bool), "mask")


@pytest.mark.parametrize(
    ("pictures", "captions", "columns", "tile", "reason"),
    [
        ([], [], 1, 64, "as many captions as pictures"),
        ([film()], [], 1, 64, "as many captions as pictures, found 0 and 1"),
        ([film()], ["a"], 0, 64, "at least 1 column"),
        ([film()], ["a"], 1, 31, "tiles of 32 pixels"),
        ([film() * 2], ["a"], 1, 64, "picture must lie in"),
        ([np.zeros((20, 20, 4), np.uint8)], ["a"], 1, 64, "picture must have shape"),
    ],
)
def test_sheets_that_are_refused(
    pictures: list[Array], captions: list[str], columns: int, tile: int, reason: str
) -> None:
    with pytest.raises(ImageError, match=reason):
        contact_sheet(pictures, captions, columns=columns, tile=tile)


@pytest.mark.realdata
def test_real_films(data: Path) -> None:
    folder = data / "lung_masks" / "jsrt"
    name = sorted(path.stem for path in (folder / "nodule").iterdir())[0]
    image = read_radiograph(folder / "images" / f"{name}.jpg")
    right, left, nodule = (read_mask(folder / part / f"{name}.png") for part in ("right_lung", "left_lung", "nodule"))
    lungs = overlay_lungs(image, (right + 2 * left).astype(np.uint8))
    marked = overlay_mask(image, nodule)
    for picture, colour, region in ((lungs, RIGHT_COLOUR, right), (marked, MASK_COLOUR, nodule)):
        rows, _ = np.nonzero(painted(picture, colour))
        assert rows.size
        drawn, expected = np.array([rows.min(), rows.max()]), np.flatnonzero(region.any(axis=1))[[0, -1]]
        assert np.abs(drawn - expected).max() <= 3
    sheet = contact_sheet([image, lungs, marked], ["film", "lungs", "nodule"], columns=3, tile=200)
    assert sheet.shape[1] == 5 + 3 * 205
