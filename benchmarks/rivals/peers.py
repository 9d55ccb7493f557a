"""Other ways to make anomalies, as small functions for comparison: a pasted patch and Gaussian blobs."""

from __future__ import annotations

import cv2
import numpy as np

from artasyn.arrays import Image, Mask
from artasyn.segment import Lungs


def pasted_patch(
    image: Image, lungs: Lungs, donor: Image, donor_lungs: Lungs, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """Pastes an ellipse of another film's lung over the lung, with a sharp edge and another brightness.

    CutPaste (Li et al., CVPR 2021) and, inside the lungs, AnatPaste (Sato et al., iScience 2023) do the same. The mask
    is the part of the ellipse inside the lungs.

    Args:
        image: a normal film.
        lungs: its lungs.
        donor: the film that the patch is from, of the same size.
        donor_lungs: its lungs.
        rng: the source of randomness.
    """
    height = max(lungs.heights)
    (row, column), (from_row, from_column) = (_place(each, rng) for each in (lungs, donor_lungs))
    axes = rng.uniform(0.1, 0.35, size=2) * height
    ellipse = np.zeros(image.shape, np.uint8)
    box = (float(column), float(row)), (2 * axes[1], 2 * axes[0]), rng.uniform(0, 180)
    cv2.ellipse(ellipse, box, 1, -1)
    moved = np.array([[1, 0, column - from_column], [0, 1, row - from_row]], np.float32)
    patch = cv2.warpAffine(donor, moved, image.shape[::-1], borderMode=cv2.BORDER_REFLECT_101)
    mask = (ellipse > 0) & lungs.mask
    shift = image[mask].mean() - patch[mask].mean() + rng.uniform(0.05, 0.25)
    pasted = np.clip(patch + np.float32(shift), 0, 1)
    return np.where(mask, pasted, image).astype(np.float32), mask


def gaussian_blob(image: Image, lungs: Lungs, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Adds one to three Gaussians inside the lungs. The mask is where more than half of the largest value is added.

    The peak is a share of the step from lung to soft tissue, the film's 85th percentile.

    Args:
        image: a normal film.
        lungs: its lungs.
        rng: the source of randomness.
    """
    height = max(lungs.heights)
    step = max(0.1, float(np.quantile(image, 0.85) - np.median(image[lungs.mask])))
    rows, columns = np.indices(image.shape, np.float32)
    added = np.zeros(image.shape, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        row, column = _place(lungs, rng)
        sigma = rng.uniform(0.06, 0.25, size=2) * height
        bell = np.exp(-0.5 * (((rows - row) / sigma[0]) ** 2 + ((columns - column) / sigma[1]) ** 2))
        added += rng.uniform(0.2, 0.9) * step * bell
    added = np.where(lungs.mask, added, 0).astype(np.float32)
    return np.clip(image + added, 0, 1), added > 0.5 * added.max()


def _place(lungs: Lungs, rng: np.random.Generator) -> tuple[int, int]:
    """Row and column of a random pixel of the lungs."""
    rows, columns = np.nonzero(lungs.mask)
    number = rng.integers(rows.size)
    return int(rows[number]), int(columns[number])
