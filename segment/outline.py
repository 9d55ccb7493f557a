"""The mean outline of a pair of lungs, and where it lies on a radiograph."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np

from artasyn.arrays import LEFT, RIGHT, Heatmap, Image

# Traced from the mean of adults' lungs drawn by hand (half of the JSRT/SCR and wingspan masks, without the heart).
# Corners (column, row) as fractions of the box around both lungs, from the apex once around.
_CORNERS = {
    RIGHT: (
        (0.38, 0.01), (0.32, 0.01), (0.25, 0.04), (0.17, 0.12), (0.11, 0.23),
        (0.06, 0.45), (0.01, 0.79), (0.01, 0.96), (0.07, 0.89), (0.14, 0.83),
        (0.31, 0.80), (0.38, 0.76), (0.41, 0.50), (0.45, 0.19), (0.44, 0.08),
    ),
    LEFT: (
        (0.64, 0.01), (0.59, 0.06), (0.57, 0.18), (0.61, 0.27), (0.64, 0.46),
        (0.68, 0.60), (0.77, 0.75), (0.83, 0.84), (0.99, 0.97), (0.99, 0.88),
        (0.96, 0.52), (0.91, 0.24), (0.87, 0.14), (0.80, 0.07), (0.72, 0.02),
    ),
}  # fmt: skip
_HEIGHTS = (0.48, 0.58, 0.68, 0.78, 0.88, 0.98)  # of the boxes that are tried, as fractions of the radiograph
_WIDTHS = (0.6, 0.7, 0.8, 0.9, 1.0)
_BEYOND = 0.1  # how far a box may reach beyond the film
_MARGIN = 0.06  # around a box when it is compared
_UNLIKELY = 0.015  # correlation that a box loses when one standard deviation from the usual
_ROOM = 0.06  # around a lung in its window
_GRID = 64  # rows and columns on which the film is searched and the outline drawn
_TEMPLATE = 32  # rows and columns of the picture of a box that is compared


@dataclass(frozen=True)
class LungBox:
    """The box around both lungs, as fractions of the radiograph; it may reach a little beyond it.

    Attributes:
        top: row of the upper edge.
        left: column of the left edge.
        height: rows from the upper to the lower edge.
        width: columns from the left to the right edge.
        fit: correlation of the radiograph with the mean outline in this box, in [-1, 1].
    """

    top: float
    left: float
    height: float
    width: float
    fit: float = 1.0

    def grown(self, *, above: float, below: float, beside: float) -> LungBox:
        """A larger box with the same fit; lengths are fractions of the radiograph."""
        top, left = self.top - above, self.left - beside
        return LungBox(top, left, self.height + above + below, self.width + 2 * beside, self.fit)

    def expected(self, side: int, size: int, blur: float) -> Heatmap:
        """How much each pixel is expected to be lung: the mean outline of one lung, blurred.

        Args:
            side: `RIGHT` or `LEFT`.
            size: rows and columns of the grid, which covers the whole radiograph.
            blur: standard deviation of the blur, as a fraction of the box.

        Returns:
            float32 (size, size) in [0, 1].
        """
        corners = np.asarray(_CORNERS[side]) * (self.width, self.height) + (self.left, self.top)
        coarse = np.zeros((_GRID, _GRID), np.float32)
        cv2.fillPoly(coarse, [np.round((corners * _GRID - 0.5) * 16).astype(np.int32)], (1.0,), shift=4)
        sigma = max(0.3, blur * _GRID * (self.height + self.width) / 2)
        soft = cv2.GaussianBlur(coarse, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.resize(soft, (size, size)).clip(0, 1), np.float32)

    def window(self, side: int, size: int) -> tuple[slice, slice]:
        """Rows and columns of a grid that hold one lung with some room around it.

        Args:
            side: `RIGHT` or `LEFT`.
            size: rows and columns of the grid, which covers the whole radiograph.
        """
        left = self.left - _ROOM + (self.width / 2 if side == LEFT else 0)
        right = left + self.width / 2 + 2 * _ROOM
        edges = (self.top - _ROOM, self.top + self.height + _ROOM, left, right)
        top, bottom, first, last = (round(min(max(edge, 0.0), 1.0) * size) for edge in edges)
        return slice(top, bottom), slice(first, last)


def find_box(image: Image) -> LungBox:
    """The box in which an equalised radiograph looks most like the mean outline of two lungs.

    Boxes of all likely heights and widths are compared at all positions, by normalised correlation;
    boxes far from where films have their lungs lose a little of it.

    Args:
        image: (h, w), float32 in [0, 1], bright = dense, the whole radiograph.

    Example:
        >>> film = np.full((128, 128), 0.8, np.float32)
        >>> film[30:90, 24:54] = film[30:90, 74:104] = 0.2
        >>> box = find_box(film)
        >>> box.fit > 0.6, 0.1 < box.top < 0.3, 0.4 < box.height < 0.6
        (True, True, True)
    """
    scale = 1 / (1 + 2 * _MARGIN)
    whole = LungBox(_MARGIN * scale, _MARGIN * scale, scale, scale)
    template = 1 - np.maximum(*(whole.expected(side, _TEMPLATE, 0.03) for side in (RIGHT, LEFT)))
    film = cv2.resize(image, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    best = LungBox(0.1, 0.1, 0.8, 0.8, -1.0)
    for height, width in product(_HEIGHTS, _WIDTHS):
        rows, columns = round(_TEMPLATE * scale / height), round(_TEMPLATE * scale / width)
        above, beside = _MARGIN * height, _MARGIN * width
        m, n = round((_BEYOND + above) * rows), round((_BEYOND + beside) * columns)
        small = cv2.resize(film, (columns, rows))
        small = cv2.copyMakeBorder(small, m, m, n, n, cv2.BORDER_REPLICATE)
        match = cv2.matchTemplate(small, template, cv2.TM_CCOEFF_NORMED)
        tops = ((np.arange(match.shape[0]) - m) / rows + above)[:, None]
        lefts = ((np.arange(match.shape[1]) - n) / columns + beside)[None]
        unusual = ((tops + height / 2 - 0.47) / 0.12) ** 2 + ((lefts + width / 2 - 0.50) / 0.10) ** 2
        unusual += ((height - 0.72) / 0.15) ** 2 + ((width - 0.82) / 0.12) ** 2
        _, fit, _, (column, row) = cv2.minMaxLoc(match - _UNLIKELY * unusual)
        if fit > best.fit:
            best = LungBox(float(tops[row, 0]), float(lefts[0, column]), height, width, fit)
    return best
