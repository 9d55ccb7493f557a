"""The anatomy of a radiograph as a picture: the main structures in their colours, with a legend below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from artasyn.arrays import Image, Mask, Picture, check_image
from artasyn.pictures.overlays import (
    FONT,
    INK,
    LEFT_COLOUR,
    PAPER,
    RIGHT_COLOUR,
    STRUCTURE_COLOURS,
    Colour,
    overlay_structures,
)
from artasyn.pictures.thumbnails import thumbnail
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.structures import find_members
from artasyn.shapes import UInt8

SIDE = 512
"""The longer side of the picture without the legend, in pixels."""

COLOURS: dict[str, Colour] = {
    "right lung": RIGHT_COLOUR,
    "left lung": LEFT_COLOUR,
    "heart": (40, 200, 140),
    "spine": STRUCTURE_COLOURS["spine"],
    "clavicles": (204, 121, 167),
    "trachea": (240, 80, 0),
}
"""The structures that the picture shows, in the order of the legend. Colours differ also for the colour-blind; no two
that touch are alike in lightness."""

TINTED = ("spine", "clavicles")
"""Structures that are tinted; of the others the contours are drawn, because they overlap."""


def overlay_anatomy(image: Image, anatomy: Anatomy) -> UInt8[np.ndarray, "rows columns 3"]:
    """Draws the main structures of a radiograph, with a legend that names those that were found.

    Args:
        image: (h, w), float32 in [0, 1]; it is reduced to `SIDE`.
        anatomy: of the image.

    Returns:
        A `Picture`, uint8 (rows, columns, 3), with more rows than the image because of the legend.

    Raises:
        ImageError: not an image.
    """
    check_image(image)
    small = np.asarray(thumbnail(image, SIDE), np.float32)
    masks = main_structures(replace(anatomy, shape=(small.shape[0], small.shape[1])))
    seen = {name: mask for name, mask in masks.items() if mask.any()}
    tints = {name: mask for name, mask in seen.items() if name in TINTED}
    contours = {name: mask for name, mask in seen.items() if name not in TINTED}
    picture = overlay_structures(small, tints, {**tints, **contours}, COLOURS)
    return np.concatenate([picture, legend(list(seen), picture.shape[1])])


def main_structures(anatomy: Anatomy) -> dict[str, Mask]:
    """Returns the masks of the structures that `overlay_anatomy` shows, by their keys in `COLOURS`.

    Args:
        anatomy: with any of these structures.
    """
    names = anatomy.names
    found: dict[str, Mask] = {}
    if any(name in names for name in ("visible_lung_right", "visible_lung_left")):
        lungs = anatomy.lungs("visible")
        found = {"right lung": lungs.right, "left lung": lungs.left}
    if "drawn_heart" in names or find_members("heart", names):
        found["heart"] = anatomy.heart
    return found | {name: anatomy.mask(name) for name in ("spine", "clavicles", "trachea") if find_members(name, names)}


def legend(names: list[str], width: int, colours: Mapping[str, Colour] = COLOURS) -> Picture:
    """Returns a strip with the colours and names of structures, in as many lines as the width asks for.

    Args:
        names: the structures; without any, the strip says so.
        width: of the strip, in pixels.
        colours: of the structures.
    """
    size = max(9, width // 36)
    font = PIL.ImageFont.truetype(FONT, size)
    line, gap = round(1.7 * size), size // 2
    places: list[tuple[int, int]] = []
    column, row = gap, 0
    for name in names:
        wide = 2 * size + round(font.getlength(name)) + gap
        if places and column + wide > width:
            column, row = gap, row + line
        places.append((column, row))
        column += wide
    strip = PIL.Image.new("RGB", (width, row + line), PAPER)
    draw = PIL.ImageDraw.Draw(strip)
    for name, (left, top) in zip(names, places, strict=True):
        box = (left, top + (line - size) // 2, left + size, top + (line - size) // 2 + size)
        draw.rectangle(box, fill=colours[name])
        draw.text((left + size + gap, top + line / 2), name, fill=INK, font=font, anchor="lm")
    if not names:
        draw.text((gap, line / 2), "no structure was found", fill=INK, font=font, anchor="lm")
    return np.asarray(strip, np.uint8)
