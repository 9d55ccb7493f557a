"""A radiograph as SVG: outlines of named regions over the picture, each with its name where the pointer is."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from artasyn.arrays import Image, Mask, check_image
from artasyn.pictures.overlays import Colour, check_overlay, data_uri, grey_picture

BAND = 26
"""Height of the band above the picture that shows the name of a region, for a picture of 512 columns."""

DETAIL = 0.6
"""Largest distance of an outline from the border of its region, in pixels."""

QUIET: Colour = (235, 235, 235)
"""The colour of a region that is drawn only where the pointer is."""

STYLE = """
.artasyn-hover .region path{fill:transparent;stroke:transparent;vector-effect:non-scaling-stroke;stroke-width:1.4}
.artasyn-hover .drawn path{stroke:var(--colour);paint-order:stroke}
.artasyn-hover .region:hover path,.artasyn-hover .region:focus path{fill:var(--colour);fill-opacity:.3;
stroke:var(--colour);stroke-width:2}
.artasyn-hover .region{outline:none;cursor:crosshair}
.artasyn-hover .name{visibility:hidden;pointer-events:none}
.artasyn-hover .region:hover .name,.artasyn-hover .region:focus .name{visibility:visible}
.artasyn-hover text{font-family:inherit}
"""
"""The look of the regions; the rules touch nothing else on a page."""


@dataclass(frozen=True, eq=False)
class Region:
    """A named region on a radiograph.

    Attributes:
        name: what the picture shows where the pointer is.
        mask: (h, w), bool.
        colour: of the outline; None draws the outline only where the pointer is.
    """

    name: str
    mask: Mask
    colour: Colour | None = None


def hover_picture(
    image: Image, regions: Sequence[Region], *, hint: str = "", marks: Mapping[str, str] | None = None
) -> str:
    """Draws regions over a radiograph as one SVG, which needs no other file and no script.

    The name of a region stands above the radiograph while the pointer, or a finger, is on the region. Small regions
    lie over large ones, so that each can be reached.

    Args:
        image: (h, w), float32 in [0, 1].
        regions: on the image's grid; empty ones are left out.
        hint: what stands above the radiograph while no region is pointed at.
        marks: letters above the ``left`` and the ``right`` border that tell the patient's sides.

    Returns:
        The text of an ``svg`` element; names may hold any characters.

    Raises:
        ImageError: not an image, or a region of another shape.

    Example:
        >>> mask = np.zeros((32, 32), bool)
        >>> mask[8:24, 8:24] = True
        >>> text = hover_picture(np.zeros((32, 32), np.float32), [Region("heart & vessels", mask)])
        >>> text.count("<path"), "heart &amp; vessels" in text
        (1, True)
    """
    check_image(image)
    for region in regions:
        check_overlay(image, region.mask, region.name)
    rows, columns = image.shape
    band = BAND * columns / 512
    found = sorted((each for each in regions if each.mask.any()), key=lambda each: -np.count_nonzero(each.mask))
    parts = [
        f'<svg class="artasyn-hover" role="img" xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 {-band:.1f} {columns} {rows + band:.1f}" width="100%" style="display:block">',
        f"<style>{STYLE}</style>",
        f'<rect x="0" y="{-band:.1f}" width="{columns}" height="{band:.1f}" fill="#101214"/>',
        _text(hint, columns / 2, band, fill="#8b949e"),
        f'<image href="{data_uri(grey_picture(image))}" width="{columns}" height="{rows}"/>',
        *(_region(each, columns, band) for each in found),
        *_marks(marks or {}, columns, band),
    ]
    return "".join(parts) + "</svg>"


def outline_path(mask: Mask) -> str:
    """Returns the outlines of a region, holes included, as the path of an SVG whose fill rule is ``evenodd``.

    Args:
        mask: (h, w), bool.

    Example:
        >>> mask = np.zeros((8, 8), bool)
        >>> mask[2:5, 3:7] = True
        >>> outline_path(mask)
        'M3 2L3 4L6 4L6 2Z'
    """
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    lines = (cv2.approxPolyDP(contour, DETAIL, True)[:, 0] for contour in contours)
    return "".join("M" + "L".join(f"{column} {row}" for column, row in line) + "Z" for line in lines)


def _region(region: Region, columns: int, band: float) -> str:
    """Returns a region with the name that it shows above the picture."""
    colour = "rgb({},{},{})".format(*(region.colour or QUIET))
    name = html.escape(region.name)
    drawn = " drawn" if region.colour else ""
    return (
        f'<g class="region{drawn}" style="--colour:{colour}" tabindex="0" aria-label="{name}">'
        f'<path fill-rule="evenodd" transform="translate(.5 .5)" d="{outline_path(region.mask)}"/>'
        f'<g class="name"><rect x="0" y="{-band:.1f}" width="{columns}" height="{band:.1f}" fill="#101214"/>'
        f"{_text(region.name, columns / 2, band, fill=colour)}</g></g>"
    )


def _text(text: str, middle: float, band: float, *, fill: str) -> str:
    size = 0.56 * band
    return (
        f'<text x="{middle:.1f}" y="{-0.32 * band:.1f}" font-size="{size:.1f}" text-anchor="middle" fill="{fill}">'
        f"{html.escape(text)}</text>"
    )


def _marks(marks: Mapping[str, str], columns: int, band: float) -> list[str]:
    """Returns the letters at both ends of the band, where they hide nothing of the radiograph."""
    places = {"left": 0.03 * columns, "right": 0.97 * columns}
    return [
        f'<text class="mark" x="{places[end]:.1f}" y="{-0.25 * band:.1f}" font-size="{0.72 * band:.1f}" '
        f'font-weight="700" text-anchor="middle" fill="#fff" pointer-events="none">{html.escape(letter)}</text>'
        for end, letter in marks.items()
    ]
