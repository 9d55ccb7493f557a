"""From a radiograph of any size and exposure to what a network sees, alike in training and detection."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32

from artasyn.arrays import Image


def prepare(image: Image, size: int) -> Float32[np.ndarray, "{size} {size}"]:
    """Resizes the whole film to a square and stretches its contrast.

    The first and the 99th percentile of grey become 0 and 1, unless they differ by less than 0.001: there is
    no contrast to stretch any further then. The film's proportions are given up, as public collections do;
    masks and heatmaps are resized back to the film's own grid.

    Args:
        image: float32 (h, w) in [0, 1].
        size: rows and columns of the result.

    Returns:
        float32 (size, size) in [0, 1].

    Example:
        >>> film = np.linspace(0.2, 0.4, 64 * 96, dtype=np.float32).reshape(64, 96)
        >>> prepared = prepare(film, 32)
        >>> prepared.shape, float(prepared.min()), float(prepared.max())
        ((32, 32), 0.0, 1.0)
    """
    rows, columns = (min(length, size) for length in image.shape)
    averaged = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
    square = cv2.resize(averaged, (size, size), interpolation=cv2.INTER_LINEAR)
    low, high = np.quantile(square, (0.01, 0.99))
    return np.asarray(np.clip((square - low) / max(high - low, 1e-3), 0, 1), np.float32)
