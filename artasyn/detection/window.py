"""The window of a radiograph that a network sees, prepared in the same way for training and detection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from artasyn.arrays import LEFT, RIGHT, Heatmap, Image, LungLabels
from artasyn.segment import Lungs
from artasyn.shapes import Float32

MARGIN = 0.08
"""Margin around the lungs' box, as a share of its height above and below and of its width left and right."""

BORDER = 0.03
"""Width of the lung region beyond the lungs' hulls, and of its soft edge, as a share of the window's side."""

NEIGHBOURHOOD = 0.15
"""Standard deviation of the neighbourhood in which contrast is normalised, as a share of the window's side."""

LEAST_DEVIATION = 0.05
"""Added to the grey's standard deviation in the neighbourhood, so that noise is not amplified in uniform regions."""


@dataclass(frozen=True)
class LungWindow:
    """The part of a radiograph that a network sees, in whole pixels; it may reach beyond the image.

    The window is the lungs' box with a margin. The lungs of all patients and collimations lie at the same place in the
    window, so the network learns what is normal there. Letters and borders far from the lungs are not seen.

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
        """Returns the window around both lungs, or around the whole image where not both were found.

        Args:
            lungs: of the radiograph.
            margin: as `MARGIN`.
        """
        if not lungs.found:
            return cls(0, 0, *lungs.labels.shape)
        left, top, width, height = cv2.boundingRect(lungs.labels)
        above, beside = round(margin * height), round(margin * width)
        return cls(top - above, left - beside, height + 2 * above, width + 2 * beside)

    def cut(self, values: Any) -> Any:
        """Returns the pixels of the window; beyond the image its border is repeated.

        Args:
            values: (h, w), an image or labels.

        Returns:
            (height, width), of the same dtype.
        """
        rows, columns = (
            np.clip(np.arange(first, first + count), 0, length - 1)
            for first, count, length in zip((self.top, self.left), (self.height, self.width), values.shape, strict=True)
        )
        return values.take(rows, axis=0).take(columns, axis=1)

    def restore(self, values: Float32[np.ndarray, "size size"], shape: tuple[int, int]) -> Heatmap:
        """Puts a map of the window back on the image's grid; pixels outside the window are 0.

        Args:
            values: float32 (size, size), a map of the window from a network.
            shape: rows and columns of the image.

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
    """Weighs each pixel of a window as lung: about 1 in the convex hulls of both lungs, falling to 0 beyond.

    The hulls include lung that is hidden by the heart, the diaphragm and dense disease.

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
    """Resizes an image, or a part of one, to a square and normalises its contrast.

    The aspect ratio is not kept, as in public collections. Masks and heatmaps are resized back to the image's own grid.

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
    """Resizes an image to a square: it averages where the image is larger and interpolates where it is smaller."""
    rows, columns = (min(length, size) for length in image.shape)
    averaged = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(averaged, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def normalised(image: Image, like: Image) -> Image:
    """Normalises the contrast of an image locally, with the statistics of a reference image.

    The first and the 99th percentile of the reference become 0 and 1. If they differ by less than 0.001, the contrast
    is not stretched any further. Then the mean and the standard deviation of a Gaussian neighbourhood become 0.5 and
    nearly 0.2. Exposure, tone curve and the patient's size matter less afterwards.

    Args:
        image: float32 (h, w) in [0, 1].
        like: the reference: the same image, or the one with the anomaly.

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
