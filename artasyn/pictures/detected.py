"""A detector's result drawn on its radiograph at reading size, with the colour bar, the sides and a legend below.

Heat has one scale for all radiographs of a detector. A radiograph that is not flagged is shown plain: faint heat
and contours would draw the eye to what is no finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from artasyn.arrays import LEFT as LEFT_LUNG
from artasyn.arrays import RIGHT as RIGHT_LUNG
from artasyn.arrays import Heatmap, Image, LungLabels, Mask, Picture
from artasyn.pictures.overlays import (
    FONT,
    INK,
    PAPER,
    RIM,
    Colour,
    check_overlay,
    draw_outline,
    grey_picture,
    overlay_heatmap,
)
from artasyn.pictures.thumbnails import on_grid, thumbnail
from artasyn.shapes import UInt8

LARGEST, SMALLEST = 1024, 512
"""The longer side of the drawn radiograph in pixels: a larger one is reduced, a smaller one enlarged."""

CONTOUR: Colour = (64, 224, 255)
"""Cyan, which the colours of the heat do not hold: the contour of the marked region."""

HEAT = 0.4
"""The most that heat hides of the radiograph."""

Sides = Literal["header", "convention"]
"""How the sides of a radiograph are known: stated in its header, or by the convention that the patient's right is on
the image's left."""

SIDES: dict[Sides, str] = {
    "header": "R, L: the patient's sides as the DICOM header states them",
    "convention": "R, L: the patient's sides by convention; the file does not state them",
}


@dataclass(frozen=True)
class Scale:
    """The scale of the heat, which is the same for all radiographs of a detector.

    Attributes:
        threshold: heat from which a region is marked.
        top: heat with the hottest colour.
    """

    threshold: float
    top: float


@dataclass(frozen=True)
class Verdict:
    """What the legend says about one radiograph.

    Attributes:
        flagged: whether the detector flags the radiograph.
        score: of the radiograph.
        threshold: the score from which radiographs are flagged.
        unusable: why the radiograph cannot be judged; empty where it can.
        sides: how the sides are known.
    """

    flagged: bool
    score: float
    threshold: float
    unusable: str = ""
    sides: Sides = "convention"


def overlay_detection(
    image: Image, heatmap: Heatmap, mask: Mask, labels: LungLabels, scale: Scale, verdict: Verdict
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Draws heat and the contour of the marked region on a flagged radiograph, and the legend below it.

    A radiograph that is not flagged is drawn plain. Every radiograph has the marks of its sides, except where the
    sides are not known because no lungs of two sides were found or it is unusable.

    Args:
        image: (h, w), float32 in [0, 1].
        heatmap: (h, w), float32 in [0, 1].
        mask: (h, w), bool, the marked region.
        labels: (h, w), uint8, the lungs: 1 right, 2 left.
        scale: of the heat.
        verdict: on the radiograph.

    Returns:
        (rows, columns, 3), uint8: the radiograph with a longer side of `SMALLEST` to `LARGEST` pixels, and the legend.

    Raises:
        ImageError: not an image, or a heatmap, mask or labels of another shape.
    """
    for name, other in (("heatmap", heatmap), ("mask", mask), ("labels", labels)):
        check_overlay(image, other, name)
    small = reading_size(image)
    region = on_grid(mask, small) if verdict.flagged else np.zeros(small.shape, bool)
    picture = grey_picture(small)
    if verdict.flagged:
        picture = overlay_heatmap(small, _smooth(heatmap, small), top=scale.top, opacity=HEAT)
        draw_outline(picture, region, CONTOUR)
    order = None if verdict.unusable else _order(labels)
    if order:
        _mark_sides(picture, order)
    return np.concatenate([picture, _legend(picture.shape[1], scale, verdict, marked=bool(mask.any()), sides=order)])


def reading_size(image: Image) -> np.ndarray:
    """Scales a radiograph so that its longer side is at most `LARGEST`, and at least `SMALLEST`.

    Args:
        image: (h, w), float32 in [0, 1].

    Example:
        >>> reading_size(np.zeros((2048, 1024), np.float32)).shape, reading_size(np.zeros((64, 128), np.float32)).shape
        ((1024, 512), (256, 512))
    """
    longest = max(image.shape)
    if longest >= SMALLEST:
        return thumbnail(image, LARGEST)
    size = tuple(max(1, round(side * SMALLEST / longest)) for side in image.shape[::-1])
    return np.asarray(np.clip(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), 0, 1))


def _smooth(heatmap: Heatmap, small: np.ndarray) -> np.ndarray:
    """Brings a heatmap to another grid: averages where it is smaller, interpolates where it is larger."""
    if small.shape[0] <= heatmap.shape[0]:
        return on_grid(heatmap, small)
    return np.asarray(np.clip(cv2.resize(heatmap, small.shape[::-1], interpolation=cv2.INTER_LINEAR), 0, 1))


def _order(labels: LungLabels) -> tuple[str, str] | None:
    """Returns the letters of the sides from the image's left to its right; None without a lung on each side."""
    right, left = ((labels == side).any(axis=0).nonzero()[0] for side in (RIGHT_LUNG, LEFT_LUNG))
    if not (right.size and left.size):
        return None
    return ("R", "L") if right.mean() < left.mean() else ("L", "R")


def _mark_sides(picture: Picture, order: tuple[str, str]) -> None:
    """Writes the letters of the sides into the upper corners."""
    size = max(14, min(picture.shape[:2]) // 24)
    font = PIL.ImageFont.truetype(FONT, size)
    sheet = PIL.Image.fromarray(picture)
    draw = PIL.ImageDraw.Draw(sheet)
    for letter, across, anchor in ((order[0], size // 2, "lt"), (order[1], picture.shape[1] - size // 2, "rt")):
        dark = tuple(round(255 * (1 - RIM) / 4) for _ in range(3))
        draw.text((across, size // 2), letter, INK, font, anchor=anchor, stroke_width=size // 8, stroke_fill=dark)
    picture[:] = np.asarray(sheet)


def _legend(
    width: int, scale: Scale, verdict: Verdict, *, marked: bool, sides: tuple[str, str] | None
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Returns the strip below a radiograph: the verdict, the colour bar and what the marks mean."""
    size = min(20, max(10, width // 42))
    font = PIL.ImageFont.truetype(FONT, size)
    gap, line = size // 2, round(1.5 * size)
    head, marks = _texts(scale, verdict, marked=marked, sides=sides)
    above, below = (wrapped(text, font, width - 2 * gap) for text in (head, marks))
    bar = round(3.2 * size) if verdict.flagged else 0
    strip = np.full((gap + line * (len(above) + len(below)) + bar + gap, width, 3), PAPER, np.uint8)
    top = gap + line * len(above)
    if bar:
        strip[top + gap // 2 : top + gap // 2 + size, gap : width - gap] = _colours(width - 2 * gap, size, scale)
    sheet = PIL.Image.fromarray(strip)
    draw = PIL.ImageDraw.Draw(sheet)
    for number, text in enumerate(above):
        draw.text((gap, gap + (number + 0.5) * line), text, INK, font, anchor="lm")
    for number, text in enumerate(below):
        draw.text((gap, top + bar + (number + 0.5) * line), text, INK, font, anchor="lm")
    if bar:
        _ticks(draw, font, (gap, top + gap // 2, width - gap, top + gap // 2 + size), scale)
    return np.asarray(sheet, np.uint8)


def _texts(
    scale: Scale, verdict: Verdict, *, marked: bool, sides: tuple[str, str] | None
) -> tuple[list[str], list[str]]:
    """Returns the sentences above and below the colour bar."""
    score = f"score {verdict.score:.3f}, threshold {verdict.threshold:.3f}"
    known = SIDES[verdict.sides] if sides else "sides not known: no lung on each side was found"
    if verdict.unusable:
        return [f"NOT JUDGED: {verdict.unusable}"], ["plain film, no marks; research use"]
    if not verdict.flagged:
        plain = "plain film: heat and contours are drawn on flagged films only"
        return [f"not flagged: {score}"], [plain, known, "research use"]
    region = (
        f"cyan contour: heat of {scale.threshold:.2f} or more"
        if marked
        else "no contour: flagged as a whole, no region reaches the threshold of heat"
    )
    return [f"FLAGGED: {score}"], [region, known, "research use"]


def _colours(width: int, height: int, scale: Scale) -> Picture:
    """Returns the colour bar as heat looks on a film of medium grey; an image has at least 16 rows."""
    ramp = np.tile(np.linspace(0, scale.top, width, dtype=np.float32), (max(height, 16), 1))
    return overlay_heatmap(np.full_like(ramp, 0.5), ramp, top=scale.top, opacity=HEAT)[:height]


def _ticks(
    draw: PIL.ImageDraw.ImageDraw, font: PIL.ImageFont.FreeTypeFont, box: tuple[int, int, int, int], scale: Scale
) -> None:
    """Writes the ends of the colour bar and its threshold below it, the threshold also as a line across it."""
    left, top, right, bottom = box
    middle = left + round((right - left) * min(1.0, scale.threshold / scale.top))
    draw.line([(middle, top - 3), (middle, bottom + 3)], fill=CONTOUR, width=3)
    below, threshold = bottom + font.size * 0.9, f"threshold {scale.threshold:.2f}"
    half = font.getlength(threshold) / 2
    ends = (("0", left, "lm"), (f"heat {scale.top:.2f}" + " or more" * (scale.top < 1), right, "rm"))
    free = [font.getlength(text) + font.size for text, _, _ in ends]
    at = min(max(middle, left + free[0] + half), right - free[1] - half)
    for text, across, anchor in (*ends, (threshold, at, "mm")):
        draw.text((across, below), text, CONTOUR if anchor == "mm" else INK, font, anchor=anchor)


def wrapped(texts: Sequence[str], font: PIL.ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Breaks texts into lines of a width; texts that fit beside each other share a line.

    Args:
        texts: to write, in order.
        font: of the texts.
        width: of a line, in pixels.
    """
    lines = [""]
    for text in texts:
        joined = f"{lines[-1]}  |  {text}" if lines[-1] else text
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        lines += [""] * bool(lines[-1])
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if font.getlength(longer) > width and lines[-1]:
                lines.append(word)
            else:
                lines[-1] = longer
    return lines
