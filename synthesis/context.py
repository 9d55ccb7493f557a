"""The context of an opacity: where the lungs are, and how much attenuation each place can take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from artasyn.arrays import LEFT, RIGHT, Image
from artasyn.segment.lungs import Lungs
from artasyn.shapes import Float32, Shaped, UInt8
from artasyn.synthesis.places import Place
from artasyn.synthesis.textures import GRID

CELLS = 48
"""Rows and columns of the cells that divide the window."""

SAMPLES = 4
"""Samples along each side of a cell."""

MARGIN = 0.06
"""Margin of the window around the lungs, as a share of the lungs' longer side."""

LEVEL_BLUR, NEAR_BLUR, FADE_BLUR = 3.0, 1.0, 0.8
"""Standard deviations of three blurs, in cells: for the lung's grey level, for brighter structures such as the heart
and the borders, and for the fade at the pleura."""

SOFT_TISSUE = 0.8
"""Quantile of the window's grey that stands for soft tissue."""


LEAST_LUNG = 0.05
"""Share of visible lung around a cell, below which the mean of the lungs stands for the lung behind the heart."""

LEAST_STEP = 0.1
"""Smallest difference in grey between soft tissue and the mean of the lungs; used where the image shows less."""


Box = tuple[slice, slice]
"""Rows and columns."""

_MIDDLES = np.arange(CELLS) + 0.5  # of the cells
_SAMPLES = 2 * np.arange(CELLS * SAMPLES) + 1  # places of the samples, twice


@dataclass(frozen=True)
class Window:
    """A square around both lungs, in whole pixels; it may reach beyond the image.

    Attributes:
        top: its first row.
        left: its first column.
        side: its rows and columns.
        height: of both lungs, in rows.
    """

    top: int
    left: int
    side: int
    height: int

    @classmethod
    def around(cls, lungs: Lungs) -> Window | None:
        """Returns the window around both lungs, or None where there are no lungs."""
        left, top, width, height = cv2.boundingRect(lungs.labels)
        if not width:
            return None
        longer = max(width, height)
        side = longer + 2 * (1 + round(MARGIN * longer))
        return cls(top + (height - side) // 2, left + (width - side) // 2, side, height)

    def part(
        self, reached: tuple[slice, slice], shape: tuple[int, ...]
    ) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Returns the pixels that a part of the grid covers, as slices of the image and as slices of the window."""
        film, window = [], []
        for at, cells, length in zip((self.top, self.left), reached, shape, strict=True):
            start = max(cells.start * self.side // GRID - 1, -at, 0)
            stop = min(-(-cells.stop * self.side // GRID) + 1, length - at, self.side)
            window.append(slice(start, max(start, stop)))
            film.append(slice(at + start, at + max(start, stop)))
        return (film[0], film[1]), (window[0], window[1])

    def on_film(self, shape: tuple[int, ...]) -> Float32[np.ndarray, "cells cells"]:
        """Returns 1 for cells whose centre lies on the image and 0 for the others."""
        if min(self.top, self.left) >= 0 and self.top + self.side <= shape[0] and self.left + self.side <= shape[1]:
            return np.ones((CELLS, CELLS), np.float32)
        middle = _MIDDLES * (self.side / CELLS)
        rows, columns = (
            (at + middle >= 0) & (at + middle < length) for at, length in zip((self.top, self.left), shape, strict=True)
        )
        return (rows[:, None] & columns).astype(np.float32)

    def sampled(self, values: Shaped[np.ndarray, "h w"]) -> Shaped[np.ndarray, "samples samples"]:
        """Returns values at `SAMPLES` places along each side of every cell; beyond the image its border is repeated."""
        steps = _SAMPLES * self.side // (2 * CELLS * SAMPLES)
        rows = values.take(steps + self.top, axis=0, mode="clip")
        return rows.take(steps + self.left, axis=1, mode="clip")


@dataclass(frozen=True, eq=False)
class Context:
    """The lungs and the image's grey in the cells of the window.

    Attributes:
        share: float32 (2, cells, cells), the share of each cell that is right lung and left lung. A lung that touches
            the image's border continues beyond it.
        on_film: float32 (cells, cells), 1 for cells on the image, 0 for cells beyond.
        step: float32 (cells, cells), from the local grey of the lung to the grey of soft tissue, in image units; 0
            where the image is already as bright as soft tissue.
        height: of the lungs, as a share of the window's side.
        soft_tissue: the grey of soft tissue.
        within: as `share`, of the part of the lungs that an anomaly may change; None if it may change all of them.
    """

    share: Float32[np.ndarray, "2 cells cells"]
    on_film: Float32[np.ndarray, "cells cells"]
    step: Float32[np.ndarray, "cells cells"]
    height: float
    soft_tissue: float
    within: Float32[np.ndarray, "2 cells cells"] | None = None

    @classmethod
    def of(cls, image: Image, place: Place, window: Window) -> Context:
        """Returns the context of an image and its lungs in their window.

        Behind the heart, the step is that of the lung beside it, because the image shows the heart there.
        """
        sides = window.sampled(place.lungs.labels)
        share = _shares(sides)
        film, lung = averaged(window.sampled(image)), share[0] + share[1]
        hidden = None if place.hidden is None else averaged(window.sampled(place.hidden).astype(np.float32))
        if hidden is not None:
            lung = lung - hidden
        at = round(SOFT_TISSUE * (film.size - 1))
        within_lung = film * lung
        mean = float(within_lung.sum() / max(float(lung.sum()), 1e-3))
        soft_tissue = max(float(np.partition(film.ravel(), at)[at]), mean + LEAST_STEP)
        beside = blurred(lung, LEVEL_BLUR)
        level = blurred(within_lung, LEVEL_BLUR) / np.maximum(beside, 1e-3)
        bright = np.maximum(level, blurred(film, NEAR_BLUR, cv2.BORDER_REPLICATE))
        if hidden is not None:
            bright += hidden * (np.where(beside > LEAST_LUNG, level, np.float32(mean)) - bright)
        step = np.maximum(np.float32(soft_tissue) - bright, 0)
        within = None
        if place.part != "lungs":
            within = _shares(sides * window.sampled(place.region))
        return cls(share, window.on_film(image.shape), step, window.height / window.side, soft_tissue, within)


@dataclass(frozen=True, eq=False)
class Fade:
    """The fade of lesions at the pleura of a lung, where it is not 0.

    Attributes:
        values: float32 (rows, columns), on the grid.
        top: the first row on the grid, an even number.
        left: the first column on the grid, an even number.
    """

    values: Float32[np.ndarray, "rows columns"]
    top: int
    left: int

    @classmethod
    def of(cls, cells: Float32[np.ndarray, "cells cells"]) -> Fade:
        """Returns the fade of a lung from that in the cells of the window."""
        left, top, width, height = cv2.boundingRect((cells > 0).view(np.uint8))
        bottom, right, times = top + height + 1, left + width + 1, GRID // CELLS
        top, left = max(top - 1, 0), max(left - 1, 0)
        part = cells[top:bottom, left:right]
        size = (times * part.shape[1], times * part.shape[0])
        return cls(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR), times * top, times * left)

    def within(
        self, down: list[int], over: list[int]
    ) -> tuple[Box, Box, Box, Float32[np.ndarray, "rows columns"]] | None:
        """Returns where a lesion meets the lung; None where it does not.

        Args:
            down: the first row of points that the lesion reaches, and the one after the last.
            over: the columns.

        Returns:
            Its part of the grid; the points that the levels in this part are interpolated from; the part in twice as
            many rows and columns as there are points; and the fade.
        """
        box, points, inner, part = [], [], [], []
        for (first, last), start, length in zip((down, over), (self.top, self.left), self.values.shape, strict=True):
            low, high = max(2 * first, start), min(2 * last, start + length)
            if low >= high:
                return None
            from_, to = max(first, low // 2 - 1), min(last, high // 2 + 1)
            box.append(slice(low, high))
            points.append(slice(from_, to))
            inner.append(slice(low - 2 * from_, high - 2 * from_))
            part.append(slice(low - start, high - start))
        return (box[0], box[1]), (points[0], points[1]), (inner[0], inner[1]), self.values[part[0], part[1]]


def _shares(sides: UInt8[np.ndarray, "samples samples"]) -> Float32[np.ndarray, "2 cells cells"]:
    """Returns the share of each cell that is right lung and left lung."""
    return np.array([averaged((sides == side).astype(np.float32)) for side in (RIGHT, LEFT)])


def averaged(samples: Float32[np.ndarray, "samples samples"]) -> Float32[np.ndarray, "cells cells"]:
    """Returns the mean of each cell's samples."""
    return np.asarray(cv2.resize(samples, (CELLS, CELLS), interpolation=cv2.INTER_AREA), np.float32)


@cache
def kernel(sigma: float) -> Float32[np.ndarray, " taps"]:
    """Returns a Gaussian kernel with a sum of 1, up to three standard deviations on each side; `sigma` is in cells."""
    reach = int(np.ceil(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(taps / taps.sum(), np.float32)


def blurred(
    values: Float32[np.ndarray, "cells cells"], sigma: float, border: int = cv2.BORDER_CONSTANT
) -> Float32[np.ndarray, "cells cells"]:
    """Blurs with a Gaussian; values beyond the border are 0, or follow OpenCV's border type `border`."""
    taps = kernel(sigma)
    return np.asarray(cv2.sepFilter2D(values, -1, taps, taps, borderType=border), np.float32)
