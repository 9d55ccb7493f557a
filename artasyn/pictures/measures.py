"""Measures drawn on the radiograph: widths of heart and thorax, curve of the spine, areas of the lungs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from scipy import ndimage

from artasyn.arrays import LEFT, RIGHT, Image, LungLabels, Mask, Picture, check_image
from artasyn.errors import ImageError
from artasyn.pictures.overlays import FONT, LEFT_COLOUR, RIGHT_COLOUR, RIM, Colour, check_overlay, grey_picture
from artasyn.segment.measures.cardiothoracic import CardiothoracicRatio, Span
from artasyn.segment.measures.cobb import CobbAngle
from artasyn.segment.measures.lung_areas import LungAreas
from artasyn.segment.measures.measures import Measures
from artasyn.segment.places import Point, main_parts

HEART_COLOUR: Colour = (255, 130, 50)
"""Vermilion, lighter than in Okabe and Ito's palette so that text is legible: the heart."""
THORAX_COLOUR: Colour = (60, 215, 165)
"""Bluish green, lightened: the thorax."""
SPINE_COLOUR: Colour = (240, 160, 205)
"""Reddish purple, lightened: the spine."""
SIDE = 512
"""The shorter side, in pixels, of the picture that line widths and letter sizes refer to."""


def draw_measures(
    image: Image, measures: Measures, *, lungs: LungLabels | None = None, heart: Mask | None = None
) -> Picture:
    """Draws measures on a radiograph.

    Lines and letters scale with the radiograph; they are well legible from 512 pixels on. The heart's width is drawn
    as the distances of the heart's outermost points from the midline, in the rows where they were measured: vessels at
    the hila are outlined with the heart, and not measured. The thorax' width is drawn where the thorax is
    widest. The spine is drawn as its centreline with the end-plates of the two end vertebrae.

    Args:
        image: (h, w), float32 in [0, 1], the measured radiograph.
        measures: of the radiograph. Lengths are written in mm if the measures hold the spacing.
        lungs: (h, w), uint8, 0 background, 1 right, 2 left, to be outlined; None for no outlines. Stray components are
            not outlined, because they are not measured; the same holds for `heart`.
        heart: (h, w), bool, to be outlined; None for no outline.

    Raises:
        ImageError: not an image, masks of another shape, or measures of a larger image.

    Example:
        >>> from artasyn.segment.measures.lung_areas import lung_areas
        >>> labels = np.zeros((128, 128), np.uint8)
        >>> labels[30:100, 20:50], labels[30:100, 75:105] = 1, 2
        >>> measures = Measures(lung_areas=lung_areas(labels == 1, labels == 2, 3.0))
        >>> draw_measures(np.zeros((128, 128), np.float32), measures, lungs=labels).shape
        (128, 128, 3)
    """
    check_image(image)
    for name, mask in (("lungs", lungs), ("heart", heart)):
        if mask is not None:
            check_overlay(image, mask, name)
    canvas = _Canvas(image)
    _check_places(measures, image.shape)
    if lungs is not None:
        canvas.outline(lungs == RIGHT, RIGHT_COLOUR)
        canvas.outline(lungs == LEFT, LEFT_COLOUR)
    if heart is not None:
        canvas.outline(heart, HEART_COLOUR)
    if measures.cobb_angle is not None:
        _spine(canvas, measures.cobb_angle)
    if measures.cardiothoracic_ratio is not None:
        _widths(canvas, measures.cardiothoracic_ratio, measures.spacing)
    if measures.lung_areas is not None:
        _areas(canvas, measures.lung_areas)
    return canvas.finished()


def _widths(canvas: _Canvas, ratio: CardiothoracicRatio, spacing: float | None) -> None:
    """Draws the heart's width on both sides of the midline, and the thorax' width."""
    feet = (ratio.heart_right.end, ratio.heart_left.start, _foot(ratio))
    upper, lower = min(feet), max(feet)
    canvas.line([_beyond(lower, upper, 12 * canvas.scale), lower], HEART_COLOUR, dashed=True)
    for span in (ratio.heart_right, ratio.heart_left):
        if span.length > 0:
            canvas.measure(span, HEART_COLOUR)
    canvas.measure(ratio.thorax, THORAX_COLOUR)
    length = "" if spacing is None else f" {ratio.thorax_width * spacing:.0f} mm"
    canvas.label(f"thorax{length}", _along(ratio.thorax, (0.25, 0.15, 0.8, 0.35, 0.65)), THORAX_COLOUR)
    length = "" if spacing is None else f" {ratio.heart_width * spacing:.0f} mm"
    left = ratio.heart_left if ratio.heart_left.length > ratio.heart_right.length else ratio.heart_right
    canvas.label(f"heart{length}\nCTR {ratio.value:.2f}", _along(left, (0.6, 0.5, 0.4, 0.8)), HEART_COLOUR)


def _foot(ratio: CardiothoracicRatio) -> Point:
    """Returns the point where the midline crosses the line of the thorax' width."""
    start, end, middle = (np.array(place) for place in (*ratio.thorax, ratio.heart_left.start))
    return _between(ratio.thorax, float((middle - start) @ (end - start) / ratio.thorax.length**2))


def _spine(canvas: _Canvas, cobb: CobbAngle) -> None:
    """Draws the centreline, and the end-plates of the end vertebrae."""
    canvas.line(cobb.centroids, SPINE_COLOUR)
    for place in cobb.centroids:
        canvas.dot(place, SPINE_COLOUR)
    reach = 0.09 * min(canvas.picture.shape[:2])
    for end in (cobb.upper, cobb.lower):
        (row, column), (down, right) = end.place, end.endplate
        plate = Span(
            (row - reach * down, column - reach * right),
            (row + reach * down, column + reach * right),
        )
        canvas.line(plate, SPINE_COLOUR)
        canvas.label(end.name.removeprefix("vertebrae_"), _along(plate, (1.0, 0.0)), SPINE_COLOUR)
    shares = (0.25, 0.35, 0.15, 0.5, 0.65, 0.8)
    canvas.label(f"Cobb {cobb.angle:.0f}°", _along(Span(cobb.upper.place, cobb.lower.place), shares), SPINE_COLOUR)


def _areas(canvas: _Canvas, areas: LungAreas) -> None:
    """Labels each lung with its area, preferably above the lung's centre, where little else is drawn.

    Where the size of a pixel is unknown, the label is the lung's share of both.
    """
    for area, share, (row, column), colour in (
        (areas.right, 1 - areas.left_share, areas.right_centre, RIGHT_COLOUR),
        (areas.left, areas.left_share, areas.left_centre, LEFT_COLOUR),
    ):
        label = f"{100 * share:.0f} %" if area is None else f"{area:.0f} cm²"
        canvas.label(label, [(row - canvas.size * n, column) for n in (3, 1.5, 0, 4.5)], colour)


def _between(span: Span, share: float) -> Point:
    """Returns the point at a share of a line: 0 at its start, 1 at its end."""
    (row, column), (to_row, to_column) = span
    return row + share * (to_row - row), column + share * (to_column - column)


def _along(span: Span, shares: Iterable[float]) -> list[Point]:
    return [_between(span, share) for share in shares]


def _beyond(start: Point, end: Point, extra: float) -> Point:
    """Returns the point some pixels beyond the end of a line."""
    length = Span(start, end).length
    return _between(Span(start, end), 1 + extra / length) if length else (end[0] - extra, end[1])


def _check_places(measures: Measures, shape: tuple[int, ...]) -> None:
    """Refuses measures that do not fit into an image of this shape."""
    places: list[Point] = []
    if measures.cardiothoracic_ratio is not None:
        places += measures.cardiothoracic_ratio.thorax
    if measures.cobb_angle is not None:
        places += measures.cobb_angle.centroids
    if measures.lung_areas is not None:
        places += [measures.lung_areas.right_centre, measures.lung_areas.left_centre]
    if any(not (-1 <= row <= shape[0] and -1 <= column <= shape[1]) for row, column in places):
        raise ImageError(f"these measures lie outside of an image of {shape}; take the one that was measured")


class _Canvas:
    """A radiograph to draw on: lines are drawn at once, labels at the end, where they hide the least."""

    def __init__(self, image: Image) -> None:
        self.picture = grey_picture(image)
        self.scale = min(image.shape) / SIDE
        self.width = max(2, round(1.7 * self.scale))
        self.size = max(10, round(15 * self.scale))
        self.taken = np.zeros(image.shape, np.uint8)
        self.labels: list[tuple[str, list[Point], Colour]] = []

    def outline(self, mask: Mask, colour: Colour) -> None:
        """Draws the contours of a region, thinner than other lines."""
        if not mask.any():
            return
        contours, _ = cv2.findContours(main_parts(mask).view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        for contour in contours:
            if len(contour) > 30 * self.scale:  # shorter contours are holes of a few pixels
                places = _smoothed(contour[:, 0, ::-1].astype(float), 1 + 2 * round(2.5 * self.scale))
                self.line(places, colour, width=max(1, round(1.2 * self.scale)), rim=0.6)

    def line(
        self,
        places: Sequence[Point] | npt.NDArray[np.float64],
        colour: Colour,
        *,
        width: int | None = None,
        rim: float = 1.0,
        dashed: bool = False,
    ) -> None:
        """Draws a line through points, with a dark rim."""
        width = width or self.width
        pieces = list(_dashes(Span(*places), 5 * self.scale)) if dashed else [places]
        rim_width = width + 2 * max(1, width // 2)
        every = np.concatenate([np.asarray(piece) for piece in pieces])
        low = np.maximum(np.floor(every.min(axis=0)).astype(int) - rim_width, 0)
        high = np.maximum(np.ceil(every.max(axis=0)).astype(int) + rim_width + 1, low)
        box = slice(low[0], high[0]), slice(low[1], high[1])
        lines = [np.rint(16 * (np.asarray(piece) - low)[:, ::-1]).astype(np.int32) for piece in pieces]
        shade = np.zeros_like(self.taken[box])
        part = np.ascontiguousarray(self.picture[box])
        cv2.polylines(shade, lines, False, (255,), rim_width, cv2.LINE_AA, 4)
        self.taken[box] = np.maximum(self.taken[box], shade)
        part[:] = np.rint(part * (1 - rim * RIM / 255 * shade[:, :, None]))
        cv2.polylines(part, lines, False, colour, width, cv2.LINE_AA, 4)
        self.picture[box] = part

    def measure(self, span: Span, colour: Colour) -> None:
        """Draws a width as a line with a bar across each end."""
        self.line(span, colour)
        (row, column), (to_row, to_column) = span
        bar = 5 * self.scale / max(span.length, 1e-9)
        down, right = bar * (to_column - column), -bar * (to_row - row)
        for place in span:
            self.line([(place[0] - down, place[1] - right), (place[0] + down, place[1] + right)], colour)

    def dot(self, place: Point, colour: Colour) -> None:
        """Draws a small disc."""
        centre = (round(16 * place[1]), round(16 * place[0]))
        cv2.circle(self.picture, centre, round(16 * 3.2 * self.scale), colour, cv2.FILLED, cv2.LINE_AA, 4)

    def label(self, text: str, places: list[Point], colour: Colour) -> None:
        """Adds a label; `finished` writes it at the place that hides the least, preferring earlier places."""
        self.labels.append((text, places, colour))

    def finished(self) -> Picture:
        """Returns the picture with its labels."""
        sheet = PIL.Image.fromarray(self.picture)
        draw = PIL.ImageDraw.Draw(sheet)
        font = PIL.ImageFont.truetype(FONT, self.size)
        stroke = max(1, round(1.5 * self.scale))
        for text, places, colour in self.labels:
            width, height = (round(n) for n in draw.multiline_textbbox((0, 0), text, font, stroke_width=stroke)[2:])
            corner = min(self._corners(places, height, width), key=self._hides(height, width))
            self.taken[corner[0] : corner[0] + height, corner[1] : corner[1] + width] = 255
            draw.multiline_text(
                corner[::-1], text, colour, font, align="center", stroke_width=stroke, stroke_fill=(0, 0, 0)
            )
        return np.array(sheet, np.uint8)

    def _corners(self, places: list[Point], height: int, width: int) -> Iterator[tuple[int, int]]:
        """Yields upper left corners of a label around points (above, below, right, left), within the picture."""
        gap = round(4 * self.scale) + self.width
        for row, column in places:
            for down, right in (
                (-height - gap, -width / 2),
                (gap, -width / 2),
                (-height / 2, gap),
                (-height / 2, -width - gap),
                (-height - gap, gap),
                (gap, gap),
                (-height - gap, -width - gap),
                (gap, -width - gap),
            ):
                h, w, _ = self.picture.shape
                yield (
                    round(min(max(row + down, 0), max(0, h - height))),
                    round(min(max(column + right, 0), max(0, w - width))),
                )

    def _hides(self, height: int, width: int) -> Callable[[tuple[int, int]], int]:
        """Returns a function that counts the drawn pixels that a label at a corner would hide."""

        def hides(corner: tuple[int, int]) -> int:
            row, column = corner
            return int(np.count_nonzero(self.taken[row : row + height, column : column + width]))

        return hides


def _smoothed(places: npt.NDArray[np.float64], window: int) -> npt.NDArray[np.float64]:
    """Smooths the pixel steps of a closed line, and repeats the first point at the end."""
    smooth = ndimage.uniform_filter1d(places, window, axis=0, mode="wrap")
    return np.concatenate([smooth, smooth[:1]])


def _dashes(span: Span, length: float) -> Iterator[Span]:
    """Yields dashes along a line; dashes and gaps have the given length."""
    count = max(1, int(span.length / length))
    for number in range(0, count, 2):
        yield Span(_between(span, number / count), _between(span, (number + 1) / count))
