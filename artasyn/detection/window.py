"""From a radiograph of any size and exposure to what a network sees, alike in training and detection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from artasyn.arrays import LEFT, RIGHT, Heatmap, Image, LungLabels
from artasyn.segment import Lungs
from artasyn.shapes import Float32

MARGIN = 0.08
"""Around the lungs' box, as a share of its height above and below and of its width left and right."""

BORDER = 0.03
"""Of the lungs' region beyond their hulls, and how softly it ends, as a share of the window's side."""

NEIGHBOURHOOD = 0.15
"""Standard deviation of the neighbourhood in which contrast is normalised, as a share of the window's side."""

LEAST_DEVIATION = 0.05
"""Added to the grey's deviation in the neighbourhood, so that noise is not raised where there is nothing else."""


@dataclass(frozen=True)
class LungWindow:
    """The part of a film that a network sees, in whole pixels: the lungs' box and a margin; it may reach beyond.

    Lungs of all patients and collimations come to lie in the same place, so that the network learns what is normal
    there; what is far from the lungs, as letters and borders, is not seen at all.

    Attributes:
        top: its first row.
        left: its first column.
        height: its rows.
        width: its columns.

    Example:
        >>> labels = np.zeros((100, 80), np.uint8)
        >>> labels[20:70, 10:30], labels[20:70, 40:60] = 1, 2
        >>> LungWindow.around(Lungs.from_labels(labels), margin=0.1)
        LungWindow(top=15, left=5, height=60, width=60)
    """

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def around(cls, lungs: Lungs, margin: float = MARGIN) -> LungWindow:
        """The window of some lungs; the whole film where not both were found.

        Args:
            lungs: of the film.
            margin: as `MARGIN`.
        """
        if not lungs.found:
            return cls(0, 0, *lungs.labels.shape)
        left, top, width, height = cv2.boundingRect(lungs.labels)
        above, beside = round(margin * height), round(margin * width)
        return cls(top - above, left - beside, height + 2 * above, width + 2 * beside)

    def cut(self, values: Any) -> Any:
        """The pixels of the window; beyond the film its border goes on.

        Args:
            values: (h, w), an image or labels.

        Returns:
            (height, width), of the same kind.
        """
        rows, columns = (
            np.clip(np.arange(first, first + count), 0, length - 1)
            for first, count, length in zip((self.top, self.left), (self.height, self.width), values.shape, strict=True)
        )
        return values.take(rows, axis=0).take(columns, axis=1)

    def restore(self, values: Float32[np.ndarray, "size size"], shape: tuple[int, int]) -> Heatmap:
        """Puts a map of the window back on the film; 0 beside the window.

        Args:
            values: float32 (size, size), what a network says of the window.
            shape: rows and columns of the film.

        Returns:
            float32 (h, w).
        """
        there = cv2.resize(values, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        film = np.zeros(shape, np.float32)
        top, left = max(self.top, 0), max(self.left, 0)
        bottom, right = min(self.top + self.height, shape[0]), min(self.left + self.width, shape[1])
        film[top:bottom, left:right] = there[top - self.top : bottom - self.top, left - self.left : right - self.left]
        return film


def lung_region(labels: LungLabels, size: int) -> Float32[np.ndarray, "{size} {size}"]:
    """How much each pixel of a window counts as lung: about 1 in the convex hulls of both lungs, falling to 0 beyond.

    The hulls take in what the heart, the diaphragm and dense disease cut out of the lungs that are seen.

    Args:
        labels: uint8 (h, w), the lungs in their window.
        size: rows and columns of the result.

    Returns:
        float32 (size, size) in [0, 1].
    """
    square = cv2.resize(labels, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
    hulls = np.zeros((size, size), np.uint8)
    for side in (RIGHT, LEFT):
        places = cv2.findNonZero((square == side).astype(np.uint8))
        if places is not None:
            cv2.fillConvexPoly(hulls, cv2.convexHull(places), 1)
    reach = round(BORDER * size)
    wider = cv2.dilate(hulls, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    soft = cv2.GaussianBlur(wider.astype(np.float32), (0, 0), max(1, reach))
    return np.asarray(np.minimum(soft, 1), np.float32)


def prepare(image: Image, size: int) -> Float32[np.ndarray, "{size} {size}"]:
    """Resizes a film, or a part of one, to a square and normalises its contrast.

    Proportions are given up, as public collections do; masks and heatmaps are resized back to the film's own grid.

    Args:
        image: float32 (h, w) in [0, 1].
        size: rows and columns of the result.

    Returns:
        float32 (size, size) in [0, 1].

    Example:
        >>> film = np.linspace(0.2, 0.4, 64 * 96, dtype=np.float32).reshape(64, 96)
        >>> bool(np.abs(prepare(film, 32) - prepare(0.5 * film, 32)).max() < 1e-4)
        True
    """
    square = resized(image, size)
    return normalised(square, square)


def resized(image: Image, size: int) -> Float32[np.ndarray, "{size} {size}"]:
    """A film as a square: averaged where it is larger, interpolated where it is smaller."""
    rows, columns = (min(length, size) for length in image.shape)
    averaged = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(averaged, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def normalised(image: Image, like: Image) -> Image:
    """Normalises the contrast of a film locally, as another one asks for.

    The first and the 99th percentile of that film's grey become 0 and 1, unless they differ by less than 0.001: there
    is no contrast to stretch any further then. After that the mean and the standard deviation of the neighbourhood,
    a Gaussian one, become 0.5 and nearly 0.2: exposure, tone curve and the patient's size matter less.

    Args:
        image: float32 (h, w) in [0, 1].
        like: the film that says how; the same, or the one with the anomaly.

    Returns:
        float32 (h, w) in [0, 1].
    """
    low, high = np.quantile(like, (0.01, 0.99))
    film, other = (
        np.clip((each - np.float32(low)) / np.float32(max(high - low, 1e-3)), 0, 1) for each in (image, like)
    )
    sigma = NEIGHBOURHOOD * like.shape[0]
    mean = cv2.GaussianBlur(other, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    square = cv2.GaussianBlur(other * other, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    deviation = np.sqrt(np.maximum(square - mean * mean, 0))
    return np.asarray(np.clip(0.5 + 0.2 * (film - mean) / (deviation + LEAST_DEVIATION), 0, 1), np.float32)
