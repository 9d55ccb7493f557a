"""PBTSeg: lungs of a radiograph by progressive binary thresholding, without training."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from artasyn.arrays import Heatmap, Image, LungLabels, Outlines, check_image
from artasyn.segment.bending import bend, choose
from artasyn.segment.lungs import Lungs
from artasyn.segment.outline import better_fits, find_boxes
from artasyn.segment.thresholds import Thresholds

_STARTS = 3  # boxes of which the best is taken


@dataclass(frozen=True)
class PBTSeg:
    size: int = 192
    clip: float = 2.0
    steps: int = 8
    reach: float = 0.52
    pull: float = 0.32
    blur: float = 0.061
    trust: float = 0.526

    def __post_init__(self) -> None:
        if self.size < 64 or self.steps < 2 or not 0 <= self.trust <= 1:
            raise ValueError(f"PBTSeg needs size >= 64, steps >= 2 and trust in [0, 1], not {self}")

    def contours(self, grey):
        boxes = find_boxes(grey, _STARTS)
        start = choose(grey, boxes.outlines(len(grey)), boxes.fit)
        th = Thresholds(self.steps, self.reach, self.pull, self.blur, self.trust)
        lungs = th.lungs(grey, start)
        return bend(grey, lungs, start), boxes, lungs, start

    def _equalised(self, image: Image) -> Image:
        """The film in grey levels that depend on the order of its own only, without thin bright lines."""
        n = self.size
        small = cv2.resize(image, (n, n), interpolation=cv2.INTER_AREA)
        low, high = float(small.min()), float(small.max())
        fine = ((small - low) * np.float32(4095 / (high - low))).astype(np.uint16)
        patient = fine[n // 12 : -n // 7, n // 16 : -n // 16]  # mostly
        counts = np.bincount(patient.ravel(), minlength=4096)
        ranks = (np.cumsum(counts) * (255 / counts.sum())).astype(np.uint8).take(fine)
        local = cv2.createCLAHE(self.clip, (4, 4)).apply(ranks)
        local = cv2.GaussianBlur(cv2.morphologyEx(local, cv2.MORPH_OPEN, _CROSS), (0, 0), n / 200)
        return local.astype(np.float32) * np.float32(1 / 255)
_CROSS = np.asarray(cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), np.uint8)
