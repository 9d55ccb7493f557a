"""A radiograph as the network sees it, a square of normalised grey, and the way of the maps back to the radiograph."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from artasyn.arrays import Heatmap, Image, Prepared
from artasyn.shapes import Float32

STRIDE = 2
"""Pixels of the square, along rows and columns, for one pixel of the network's maps."""

LEAST_RANGE = 1e-3
"""Grey that the first and the 99th percentile differ by at least; the contrast is not stretched any further."""


@dataclass(frozen=True)
class Window:
    """The place of a whole radiograph in the network's square.

    The longer side fills the square. The shorter side keeps the proportion, to the nearest even number of pixels, and
    lies in the middle, from an even pixel on: so a pixel of the maps shows the radiograph or the padding, never both.

    Attributes:
        shape: rows and columns of the radiograph.
        size: rows and columns of the square.
        top: first row of the radiograph in the square.
        left: first column of the radiograph in the square.
        height: rows of the radiograph in the square.
        width: columns of the radiograph in the square.

    Example:
        >>> Window.of((300, 200), 96)
        Window(shape=(300, 200), size=96, top=0, left=16, height=96, width=64)
    """

    shape: tuple[int, int]
    size: int
    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, shape: tuple[int, int], size: int) -> Window:
        """Places a radiograph in a square.

        Args:
            shape: rows and columns of the radiograph.
            size: rows and columns of the square, a multiple of `STRIDE`.
        """
        scale = size / max(shape)
        height, width = (max(STRIDE, STRIDE * round(side * scale / STRIDE)) for side in shape)
        top, left = ((size - side) // 2 // STRIDE * STRIDE for side in (height, width))
        return cls((int(shape[0]), int(shape[1])), size, top, left, height, width)

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the radiograph in the square."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def prepare(self, image: Image) -> Prepared:
        """Resizes a radiograph into the square and normalises its grey.

        The first and the 99th percentile of the radiograph's pixels become 0 and 1. The padding is 0.

        Args:
            image: float32 (h, w) in [0, 1].

        Returns:
            float32 (size, size) in [0, 1].
        """
        small = resample(image, (self.height, self.width))
        low, high = np.quantile(small, (0.01, 0.99))
        square = np.zeros((self.size, self.size), np.float32)
        np.clip((small - np.float32(low)) / np.float32(max(high - low, LEAST_RANGE)), 0, 1, out=square[self.inside])
        return square

    def cut(self, maps: Float32[np.ndarray, "*k n n"]) -> Float32[np.ndarray, "*k r c"]:
        """Returns the part of the network's maps that shows the radiograph, without the padding.

        Args:
            maps: float32 (..., size / `STRIDE`, size / `STRIDE`).
        """
        rows, columns = (slice(part.start // STRIDE, part.stop // STRIDE) for part in self.inside)
        return maps[..., rows, columns]


def prepare(image: Image, size: int) -> Prepared:
    """Returns a radiograph as the network sees it; see `Window.prepare`.

    Args:
        image: float32 (h, w) in [0, 1].
        size: rows and columns of the result, a multiple of `STRIDE`.

    Returns:
        float32 (size, size) in [0, 1].

    Example:
        >>> film = np.linspace(0.2, 0.4, 64 * 96, dtype=np.float32).reshape(64, 96)
        >>> square = prepare(film, 48)
        >>> square.shape, float(square[:8].max()), bool(np.abs(square - prepare(0.5 * film, 48)).max() < 1e-4)
        ((48, 48), 0.0, True)
    """
    return Window.of((image.shape[0], image.shape[1]), size).prepare(image)


def resample(values: Float32[np.ndarray, "r c"], shape: tuple[int, int]) -> Heatmap:
    """Resizes an image or a map to another grid over the same field: means where it shrinks, else interpolation.

    Args:
        values: float32 (rows, columns).
        shape: rows and columns of the result.
    """
    shrinks = values.shape[0] > shape[0] or values.shape[1] > shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(values), shape[::-1], interpolation=how), np.float32)
