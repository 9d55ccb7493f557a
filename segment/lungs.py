"""The lungs of one radiograph: what every segmenter returns and every later stage asks for."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from artasyn.arrays import LEFT, RIGHT, LungLabels, Mask
from artasyn.errors import ImageError


@dataclass(frozen=True, eq=False)
class Lungs:
    """Both lungs as labels, with how far they can be trusted.

    Attributes:
        labels: uint8 (h, w), 0 background, 1 the patient's right lung, 2 the patient's left lung.
        confidence: of the right and of the left lung, each in [0, 1]; 0 for a lung that was not found.
        reasons: what speaks against this result, in words; empty where nothing does.
    """

    labels: LungLabels
    confidence: tuple[float, float] = (1.0, 1.0)
    reasons: tuple[str, ...] = ()

    @classmethod
    def from_labels(cls, labels: LungLabels) -> Lungs:
        """Lungs that are known: drawn by hand, from a file or projected from a CT.

        Args:
            labels: uint8 (h, w), 0 background, 1 right, 2 left.

        Raises:
            ImageError: another dtype or shape, or other values.
        """
        if labels.ndim != 2 or labels.dtype != np.uint8:
            raise ImageError(f"lung labels must be uint8 (h, w), not {labels.dtype} {labels.shape}")
        if labels.max(initial=0) > LEFT:
            raise ImageError(f"lung labels must be 0, 1 (right) or 2 (left); found {int(labels.max())}")
        present = tuple(float((labels == side).any()) for side in (RIGHT, LEFT))
        missing = tuple(
            f"{name} lung not labelled" for name, p in zip(("right", "left"), present, strict=True) if not p
        )
        return cls(labels, (present[0], present[1]), missing)

    @classmethod
    def from_mask(cls, mask: Mask) -> Lungs:
        """Both lungs of one mask: each component goes to the side of the image that its centroid lies on.

        Components that join across the midline are cut there.

        Args:
            mask: bool (h, w), the union of both lungs.
        """
        columns = np.flatnonzero(mask.any(axis=0))
        if columns.size == 0:
            return cls.from_labels(np.zeros(mask.shape, np.uint8))
        middle = (columns[0] + columns[-1]) / 2
        _, components, stats, centroids = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        side = np.where(centroids[:, 0] <= middle, RIGHT, LEFT).astype(np.uint8)
        side[0] = 0
        labels = side[components]
        width = columns[-1] - columns[0] + 1
        for joined in np.flatnonzero(stats[1:, cv2.CC_STAT_WIDTH] > 0.7 * width) + 1:
            inside = components == joined
            labels[inside] = np.where(np.nonzero(inside)[1] <= middle, RIGHT, LEFT)
        return cls.from_labels(labels)

    @property
    def found(self) -> bool:
        """Whether both lungs were found."""
        return min(self.confidence) > 0

    @property
    def right(self) -> Mask:
        """The patient's right lung, bool (h, w)."""
        return self.labels == RIGHT

    @property
    def left(self) -> Mask:
        """The patient's left lung, bool (h, w)."""
        return self.labels == LEFT

    @property
    def mask(self) -> Mask:
        """Both lungs, bool (h, w)."""
        return self.labels > 0

    def resized(self, shape: tuple[int, int]) -> Lungs:
        """The same lungs on another grid, by nearest neighbour.

        Args:
            shape: rows and columns of the new grid.
        """
        labels = cv2.resize(self.labels, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return Lungs(np.asarray(labels, np.uint8), self.confidence, self.reasons)
