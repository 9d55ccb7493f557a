"""Pictures for people: overlays on a radiograph, contact sheets, and pictures inside HTML pages.

All colours remain distinguishable with the common kinds of colour blindness: they follow Okabe and Ito's palette, and
the lightness of the colour map rises steadily. Contours have a dark rim, so they are visible on air and on bone.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from numpy.typing import NDArray

from artasyn.arrays import LEFT, RIGHT, Heatmap, Image, LungLabels, Mask, Picture, check_image
from artasyn.errors import ImageError
from artasyn.files.atomic import replacing

Colour = tuple[int, int, int]

RIGHT_COLOUR: Colour = (86, 180, 233)
"""Sky blue: the patient's right lung."""
LEFT_COLOUR: Colour = (240, 228, 66)
"""Yellow: the patient's left lung."""
MASK_COLOUR: Colour = (230, 97, 0)
"""Vermilion: a marked region."""
RIM = 0.6
"""The share of brightness that the rim of a contour removes."""
PAPER: Colour = (24, 24, 26)
INK: Colour = (225, 225, 225)
FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")  # has accents, Greek and Cyrillic


def overlay_lungs(image: Image, labels: LungLabels) -> Picture:
    """Draws the contours of the lungs: the patient's right lung in sky blue, the left lung in yellow.

    Args:
        image: (h, w), float32 in [0, 1].
        labels: (h, w), uint8, 0 background, 1 right, 2 left.

    Raises:
        ImageError: not an image, or labels of another shape.

    Example:
        >>> labels = np.zeros((64, 64), np.uint8)
        >>> labels[16:48, 8:28], labels[16:48, 36:56] = 1, 2
        >>> overlay_lungs(np.full((64, 64), 0.5, np.float32), labels).shape
        (64, 64, 3)
    """
    check_overlay(image, labels, "labels")
    picture = grey_picture(image)
    draw_outline(picture, labels == RIGHT, RIGHT_COLOUR)
    draw_outline(picture, labels == LEFT, LEFT_COLOUR)
    return picture


def overlay_mask(image: Image, mask: Mask) -> Picture:
    """Tints a region lightly in vermilion and draws its contour.

    Args:
        image: (h, w), float32 in [0, 1].
        mask: (h, w), bool.

    Raises:
        ImageError: not an image, or a mask of another shape.
    """
    check_overlay(image, mask, "mask")
    picture = grey_picture(image)
    tint = 0.8 * picture[mask] + 0.2 * np.array(MASK_COLOUR)
    picture[mask] = np.rint(tint).astype(np.uint8)
    draw_outline(picture, mask, MASK_COLOUR)
    return picture


STRUCTURE_COLOURS: dict[str, Colour] = {
    "lungs": (225, 225, 225),  # if the sides are not known
    "lung_right": RIGHT_COLOUR,
    "lung_left": LEFT_COLOUR,
    "heart": (0, 158, 115),
    "spine": (230, 159, 0),
    "ribs": (204, 121, 167),
    "clavicles": (0, 114, 178),
    "lesions": MASK_COLOUR,
}
"""The colours of the structures that an overlay may show."""


def overlay_structures(
    image: Image,
    tints: Mapping[str, Mask],
    contours: Mapping[str, Mask],
    colours: Mapping[str, Colour] = STRUCTURE_COLOURS,
) -> Picture:
    """Tints some structures, such as bones, and draws the contours of others, each in its own colour.

    Args:
        image: (h, w), float32 in [0, 1].
        tints: maps keys of `colours` to masks, (h, w) bool, of structures to tint.
        contours: the same, of structures to outline.
        colours: the colour of each structure.

    Raises:
        ImageError: not an image, or a mask of another shape.
    """
    check_image(image)
    picture = grey_picture(image)
    for name, mask in tints.items():
        check_overlay(image, mask, name)
        tint = 0.72 * picture[mask] + 0.28 * np.array(colours[name])
        picture[mask] = np.rint(tint).astype(np.uint8)
    for name, mask in contours.items():
        check_overlay(image, mask, name)
        draw_outline(picture, mask, colours[name])
    return picture


def overlay_heatmap(image: Image, heatmap: Heatmap, *, top: float, opacity: float = 0.8) -> Picture:
    """Overlays a heatmap on a radiograph: transparent at 0, then violet, red and yellow with growing evidence.

    Args:
        image: (h, w), float32 in [0, 1].
        heatmap: (h, w), float32 in [0, 1].
        top: the evidence, above 0, that gets the hottest colour; use the same value for pictures to compare.
        opacity: the share of the radiograph that the hottest colour hides, in [0, 1].

    Raises:
        ImageError: not an image, a heatmap of another shape or with NaN or infinity, or a top that is not positive.
    """
    check_overlay(image, heatmap, "heatmap")
    if not (math.isfinite(top) and top > 0):
        raise ImageError(f"top must be a number above 0, not {top}; it is the evidence shown as fully hot")
    if not np.isfinite(heatmap).all():
        raise ImageError("heatmap holds NaN or infinity; there is no colour for them")
    heat = np.clip(heatmap / np.float32(top), 0, 1)
    levels = np.rint(64 + 191 * heat).astype(np.uint8)  # the darkest quarter of the map would look like air
    hot = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    cover = np.float32(opacity) * np.sqrt(heat)[:, :, None]
    return np.asarray(np.rint((1 - cover) * grey_picture(image) + cover * hot), np.uint8)


def grey_picture(image: Image) -> Picture:
    """Returns an image as a grey picture.

    Args:
        image: (h, w), float32 in [0, 1].

    Example:
        >>> grey_picture(np.full((1, 1), 0.5, np.float32)).tolist()
        [[[128, 128, 128]]]
    """
    grey = np.rint(image * np.float32(255)).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def check_overlay(image: Image, other: NDArray[Any], name: str) -> None:
    """Refuses an overlay that does not lie on its image.

    Args:
        image: (h, w), float32 in [0, 1].
        other: the overlay, such as a mask or a heatmap.
        name: of the overlay, for the message.

    Raises:
        ImageError: not an image, or an overlay of another shape.
    """
    check_image(image)
    if other.shape != image.shape:
        raise ImageError(f"{name} must be {image.shape} as the image is, not {other.shape}; resize it first")


def draw_outline(picture: Picture, mask: Mask, colour: Colour) -> None:
    """Draws the contours of a region onto a picture, with a dark rim; the thickness scales with the picture.

    Args:
        picture: (h, w, 3), uint8, RGB; changed in place.
        mask: (h, w), bool.
        colour: of the contours.
    """
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    thickness = max(1, round(min(mask.shape) / 256))
    smooth = cv2.LINE_AA if thickness > 1 else cv2.LINE_8  # a single smoothed pixel would fade
    rim = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(rim, contours, -1, 255, thickness + 2 * max(1, thickness // 2), smooth)
    picture[:] = np.rint(picture * (1 - RIM / 255 * rim[:, :, None]))
    cv2.drawContours(picture, contours, -1, colour, thickness, smooth)


def contact_sheet(pictures: Sequence[NDArray[Any]], captions: Sequence[str], *, columns: int, tile: int) -> Picture:
    """Arranges pictures with their captions on a dark sheet, row by row.

    Args:
        pictures: `Picture` (h, w, 3) and `Image` (h, w), also mixed and of different sizes; aspect ratios are kept.
        captions: one line for each picture, cut to the width of a tile; may be empty strings.
        columns: number of pictures side by side.
        tile: the longer side of each picture on the sheet, in pixels, at least 32.

    Raises:
        ImageError: no pictures, not one caption for each picture, an array that is no picture, fewer than 1 column, or
            a tile below 32 pixels.
    """
    if not pictures or len(pictures) != len(captions):
        raise ImageError(f"a sheet needs as many captions as pictures, found {len(captions)} and {len(pictures)}")
    if columns < 1 or tile < 32:
        raise ImageError(f"a sheet needs at least 1 column and tiles of 32 pixels, not {columns} and {tile}")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    font = PIL.ImageFont.truetype(FONT, min(22, max(11, tile // 16)))
    gap, line = max(4, tile // 40), round(1.6 * font.size)
    fitted = [_fitted(_as_picture(picture), tile) for picture in pictures]
    tall = max(small.shape[0] for small in fitted)
    size = (gap + columns * (tile + gap), gap + rows * (tall + line + gap))
    sheet = PIL.Image.new("RGB", size, PAPER)
    draw = PIL.ImageDraw.Draw(sheet)
    for number, (small, caption) in enumerate(zip(fitted, captions, strict=True)):
        left = gap + number % columns * (tile + gap)
        upper = gap + number // columns * (tall + line + gap)
        height, width = small.shape[:2]
        sheet.paste(PIL.Image.fromarray(small), (left + (tile - width) // 2, upper + (tall - height) // 2))
        middle = (left + tile / 2, upper + tall + line / 2)
        draw.text(middle, _cut(caption, font, tile), fill=INK, font=font, anchor="mm")
    return np.asarray(sheet, np.uint8)


def png_bytes(picture: Picture) -> bytes:
    """Encodes a picture as PNG; the same picture gives the same bytes.

    One filter for all rows takes a third of the time of Pillow, which tries five of them, and a tenth more bytes.

    Args:
        picture: (h, w, 3), uint8, RGB.
    """
    import imagecodecs  # here: it is needed only where pictures are written

    return bytes(imagecodecs.png_encode(np.ascontiguousarray(picture), level=2, filter=imagecodecs.PNG.FILTER.UP))


def write_picture(path: Path, picture: Picture) -> None:
    """Writes a picture as PNG, whole or not at all.

    Args:
        path: of the file; its folder is created.
        picture: (h, w, 3), uint8, RGB.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(png_bytes(picture))


def read_picture(path: Path) -> Picture:
    """Reads a picture that `write_picture` wrote.

    Args:
        path: of the file.
    """
    with PIL.Image.open(path) as file:
        return np.array(file.convert("RGB"), np.uint8)


def data_uri(picture: Picture) -> str:
    """Encodes a picture as a data URI for HTML: ``<img src="...">`` then needs no other file.

    Args:
        picture: (h, w, 3), uint8, RGB.

    Example:
        >>> data_uri(np.zeros((2, 2, 3), np.uint8))[:22]
        'data:image/png;base64,'
    """
    return "data:image/png;base64," + base64.b64encode(png_bytes(picture)).decode("ascii")


def _as_picture(array: NDArray[Any]) -> Picture:
    """Returns a picture unchanged, and an image as a grey picture."""
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8 and array.size:
        return array
    check_image(array, "picture")
    return grey_picture(array)


def _fitted(picture: Picture, tile: int) -> NDArray[np.uint8]:
    """Scales a picture so that its longer side fits the tile."""
    scale = tile / max(picture.shape[:2])
    height, width = (max(1, round(scale * side)) for side in picture.shape[:2])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=way), np.uint8)


def _cut(caption: str, font: PIL.ImageFont.FreeTypeFont, width: int) -> str:
    """Returns a caption on one line, shortened until it fits."""
    text = " ".join(caption.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."
