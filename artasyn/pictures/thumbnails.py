"""Small pictures of radiographs: images, heatmaps and masks on a smaller grid."""

from __future__ import annotations

import cv2
import numpy as np

from artasyn.arrays import Heatmap, Image, Mask, Picture
from artasyn.shapes import UInt8

TILE = 256
"""The longer side of an overlay, in pixels."""


def thumbnail(image: Image, side: int = TILE) -> np.ndarray:
    """Scales an image down so that its longer side is at most `side`; smaller images keep their size.

    Args:
        image: (h, w), float32 in [0, 1].
        side: in pixels.

    Returns:
        The image on its own, smaller grid, float32 in [0, 1].

    Example:
        >>> thumbnail(np.zeros((1024, 512), np.float32)).shape
        (256, 128)
    """
    scale = min(1.0, side / max(image.shape))
    shape = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(np.clip(cv2.resize(image, shape, interpolation=cv2.INTER_AREA), 0, 1))


def on_grid(values: Heatmap | Mask, image: np.ndarray) -> np.ndarray:
    """Resamples a heatmap or a mask to the grid of a smaller image.

    Args:
        values: (h, w), float32 in [0, 1] or bool; a mask stays a mask.
        image: the smaller image, with any number of rows and columns.
    """
    shape = image.shape[::-1]
    if values.dtype == bool:
        return np.asarray(cv2.resize(values.astype(np.uint8), shape, interpolation=cv2.INTER_NEAREST_EXACT) > 0)
    return np.asarray(cv2.resize(values, shape, interpolation=cv2.INTER_AREA))


def fitted_picture(picture: Picture, side: int) -> UInt8[np.ndarray, "rows columns 3"]:
    """Scales a picture down so that its longer side is at most `side`; smaller pictures keep their size.

    Args:
        picture: (h, w, 3), uint8, RGB.
        side: in pixels.
    """
    scale = min(1.0, side / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
