"""A detector without a network: how far each pixel lies above the mean normal film in the lungs' window."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from artasyn.arrays import Heatmap, Image
from artasyn.detection.examination import score
from artasyn.detection.window import LungWindow, lung_region, resized
from artasyn.segment import Lungs
from artasyn.shapes import Float32
from artasyn.training.normals import Normals

LARGEST = 6.0
"""Standard deviations above the mean at which the heatmap is 1."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """Mean and standard deviation of normal films in the lungs' window, after each film is standardised.

    Attributes:
        mean: float32 (size, size).
        deviation: float32 (size, size).
    """

    mean: Float32[np.ndarray, "size size"]
    deviation: Float32[np.ndarray, "size size"]

    @classmethod
    def of(cls, normals: Normals, size: int) -> Atlas:
        """The atlas of prepared normals.

        Args:
            normals: from the cache of a training.
            size: rows and columns that the network of that training sees.
        """
        edge = (normals.images.shape[1] - size) // 2
        middle = slice(edge, edge + size)
        films = np.stack([_standardised(normals.image(i)[middle, middle]) for i in range(len(normals))])
        return cls(films.mean(axis=0), films.std(axis=0))

    def __call__(self, image: Image, lungs: Lungs) -> tuple[float, Heatmap]:
        """Score and heatmap of a film: positive deviations, smoothed, at the lungs."""
        size, window = len(self.mean), LungWindow.around(lungs)
        film = _standardised(resized(window.cut(image), size))
        above = cv2.GaussianBlur((film - self.mean) / (self.deviation + np.float32(0.1)), (0, 0), 0.03 * size)
        region = lung_region(window.cut(lungs.labels), size) if lungs.found else np.ones_like(film)
        heatmap = np.clip(above / LARGEST, 0, 1) * region
        return score(heatmap[region >= 0.5], 0.1), window.restore(heatmap, image.shape)


def _standardised(film: Image) -> Image:
    return np.asarray((film - film.mean()) / (film.std() + 1e-3), np.float32)
