"""The anatomy of a radiograph as a picture: the main structures in their colours, with a legend below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import cycle

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from artasyn.arrays import Image, Mask, Picture, check_image
from artasyn.pictures.measures import draw_measures
from artasyn.pictures.overlays import (
    FONT,
    INK,
    LEFT_COLOUR,
    MASK_COLOUR,
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

PALETTE: tuple[Colour, ...] = (
    *(MASK_COLOUR, (204, 121, 167), (0, 114, 178), (230, 159, 0), (225, 225, 225)),
    *(COLOURS["heart"], RIGHT_COLOUR, LEFT_COLOUR),
)
"""The colours of other structures, in this order; they repeat where a picture shows more."""

APART = 60
"""Least difference of two colours in one of their three parts, of 255."""

EXTENTS = ("visible ", "whole ", "drawn ")
"""Words before the name of a structure that do not change its colour."""


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
    masks = main_structures(reduced_to(anatomy, small))
    seen = {name: mask for name, mask in masks.items() if mask.any()}
    tints = {name: mask for name, mask in seen.items() if name in TINTED}
    contours = {name: mask for name, mask in seen.items() if name not in TINTED}
    picture = overlay_structures(small, tints, {**tints, **contours}, COLOURS)
    return np.concatenate([picture, legend(list(seen), picture.shape[1])])


def overlay_named(
    image: Image, masks: Mapping[str, Mask], names: tuple[str, ...], empty: str = "no structure was found"
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Draws the contours of named regions on a radiograph, with a legend that names those that were found.

    Args:
        image: (h, w), float32 in [0, 1].
        masks: the regions by their names, (h, w) bool; those that are empty are left out.
        names: every name that pictures of this collection may show, so that each keeps its colour.
        empty: text below a picture without any region.

    Returns:
        A `Picture`, uint8 (rows, columns, 3), with more rows than the image because of the legend.

    Raises:
        ImageError: not an image, or a mask of another shape.
    """
    colours = colours_of(names)
    seen = {name: mask for name, mask in masks.items() if mask.any()}
    picture = overlay_structures(image, {}, seen, colours)
    return np.concatenate([picture, legend(list(seen), picture.shape[1], colours, empty)])


def colours_of(names: tuple[str, ...]) -> dict[str, Colour]:
    """Returns a colour for each name: that of `COLOURS` for the first that has it, else the next free one of `PALETTE`.

    Example:
        >>> colours_of(("aorta", "visible right lung"))
        {'aorta': (230, 97, 0), 'visible right lung': (86, 180, 233)}
    """
    found: dict[str, Colour] = {}
    for name in names:
        extent = next((word for word in EXTENTS if name.startswith(word)), "")
        colour = COLOURS.get(name.removeprefix(extent))
        if colour is not None and colour not in found.values():
            found[name] = colour
    free = cycle([colour for colour in PALETTE if all(_differ(colour, each) for each in found.values())] or PALETTE)
    return {name: found[name] if name in found else next(free) for name in names}


def _differ(one: Colour, other: Colour) -> bool:
    """Returns whether two colours are easily told apart."""
    return max(abs(here - there) for here, there in zip(one, other, strict=True)) > APART


def overlay_measures(image: Image, anatomy: Anatomy, side: int) -> Picture:
    """Draws the measures of a radiograph on it, with the outlines of the lungs and the heart that they rest on.

    Args:
        image: (h, w), float32 in [0, 1].
        anatomy: of the image.
        side: the longer side of the picture, in pixels, at most.

    Raises:
        ImageError: not an image.
    """
    check_image(image)
    small = np.asarray(thumbnail(image, side), np.float32)
    reduced = reduced_to(anatomy, small)
    measures = reduced.measure()
    lungs = reduced.lungs().labels if measures.lung_areas else None
    heart: Mask | None = reduced.heart if measures.cardiothoracic_ratio else None
    return draw_measures(small, measures, lungs=lungs, heart=heart)


def reduced_to(anatomy: Anatomy, small: Image) -> Anatomy:
    """Returns an anatomy on the grid of its reduced radiograph, with the size of the larger pixels.

    Args:
        anatomy: of the whole radiograph.
        small: the reduced radiograph, (h, w).
    """
    rows, columns = (film / side for film, side in zip(anatomy.grid, small.shape, strict=True))
    spacing = anatomy.spacing and (anatomy.spacing[0] * rows, anatomy.spacing[1] * columns)
    return replace(anatomy, shape=(small.shape[0], small.shape[1]), spacing=spacing)


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


def legend(
    names: list[str], width: int, colours: Mapping[str, Colour] = COLOURS, empty: str = "no structure was found"
) -> Picture:
    """Returns a strip with the colours and names of structures, in as many lines as the width asks for.

    Args:
        names: the structures.
        width: of the strip, in pixels.
        colours: of the structures.
        empty: text of a strip without names.
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
        draw.text((gap, line / 2), empty, fill=INK, font=font, anchor="lm")
    return np.asarray(strip, np.uint8)
