"""The three tasks of MediCLIP that make anomalies, to compare times with: a pasted patch, clouds, and a swelling.

The functions have the form of those in `anomaly_peers`. Every task is applied once or twice.

Source: MediCLIP (Zhang et al., MICCAI 2024, arXiv 2405.11315), with the ranges of the authors' program.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from artasyn.arrays import Image, Mask
from artasyn.segment import Lungs
from benchmarks.rivals.anomaly_peers import SIZE, AnomalyMaker, MaskedFilm, perlin_mask


class Region(NamedTuple):
    """A part of the film: rows, columns, and the pixels of an ellipse or of a rectangle in them."""

    place: tuple[slice, slice]
    shape: Mask


def pasted(
    image: Image, lungs: Lungs, donor: Image, donor_lungs: Lungs, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """Pastes an ellipse or a rectangle of another film, turned and resized, with a sharp edge."""

    def once(film: Image, region: Region) -> Image:
        height, width = region.shape.shape
        scale = (1 + rng.exponential(0.1)) ** rng.choice([-1, 1])
        turn = rng.uniform(-math.pi / 4, math.pi / 4)
        matrix = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        middle = [rng.uniform(0.2, 0.8) * side for side in donor.shape[::-1]]
        backward = np.column_stack([matrix, middle - matrix @ [width / 2, height / 2]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        patch = cv2.warpAffine(donor, backward, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        return np.where(region.shape, np.clip(patch, donor.min(), donor.max()), film[region.place])

    return _applied(once, image, (0.3, 0.8), rng)


def intensity_changed(
    image: Image, lungs: Lungs, donor: Image, donor_lungs: Lungs, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """Adds or subtracts blurred noise where Perlin noise exceeds a threshold, faded at the edge."""
    pixel = image.shape[0] / SIZE
    made, mask = image, np.zeros(image.shape, bool)
    for _ in range(_times(rng)):
        shape = perlin_mask(image.shape, rng)
        coarse = (rng.standard_normal(image.shape, np.float32) >= 0).astype(np.float32)
        clouds = cv2.GaussianBlur(coarse, (0, 0), pixel * float(rng.choice([4, 7])))
        clouds = (clouds - clouds.min()) / np.ptp(clouds)
        faded = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), pixel * rng.uniform(1, 4))
        strength = np.float32(rng.choice([-1, 1]) * rng.uniform(0.4, 0.6))
        made = np.where(shape, np.clip(made + strength * clouds * faded, 0, 1), made)
        mask |= shape
    return np.asarray(made, np.float32), mask


def swollen(
    image: Image, lungs: Lungs, donor: Image, donor_lungs: Lungs, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """Pushes the content of an ellipse away from a point in it; the ellipse's edge stays (the paper's "source")."""

    def once(film: Image, region: Region) -> Image:
        height, width = region.shape.shape
        rows = ((np.arange(height, dtype=np.float32) + 0.5) * 2 / height - 1)[:, None]
        columns = (np.arange(width, dtype=np.float32) + 0.5) * 2 / width - 1
        away, angle = math.sqrt(rng.uniform(0, 0.9)), rng.uniform(0, 2 * math.pi)
        row, column = away * math.sin(angle), away * math.cos(angle)
        down, along = rows - row, columns - column
        # a ray from the point through a pixel meets the unit circle at `reach` times the pixel's distance
        square = np.maximum(down**2 + along**2, 1e-12)
        across = down * row + along * column
        reach = (np.sqrt(across**2 + square * (1 - away**2)) - across) / square
        factor = np.where(region.shape, np.maximum(reach, 1) ** np.float32(1 - 2 ** rng.uniform(0.5, 2)), 1)
        at = [
            ((middle + factor * offset + 1) * length / 2 - 0.5).astype(np.float32)
            for middle, offset, length in ((column, along, width), (row, down, height))
        ]
        part = np.ascontiguousarray(film[region.place])
        moved = cv2.remap(part, at[0], at[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.where(region.shape, np.clip(moved, 0, 1), part)

    return _applied(once, image, (0.2, 0.6), rng, ellipses=1.0)


def _times(rng: np.random.Generator) -> int:
    return 1 + int(rng.random() < 0.5)


def _applied(
    once: Callable[[Image, Region], Image],
    image: Image,
    sides: tuple[float, float],
    rng: np.random.Generator,
    ellipses: float = 0.5,
) -> MaskedFilm:
    """A film that a task changed in one or two regions, and these regions."""
    made, mask = image.copy(), np.zeros(image.shape, bool)
    for _ in range(_times(rng)):
        size = [round(rng.uniform(*sides) * length) for length in image.shape]
        starts = [int(rng.integers(length - side + 1)) for length, side in zip(image.shape, size, strict=True)]
        shape = np.ones(size, bool)
        if rng.random() < ellipses:
            axes = [((np.arange(side, dtype=np.float32) + 0.5) * 2 / side - 1) ** 2 for side in size]
            shape = axes[0][:, None] + axes[1] < 1
        place = slice(starts[0], starts[0] + size[0]), slice(starts[1], starts[1] + size[1])
        made[place] = once(made, Region(place, shape))
        mask[place] |= shape
    return made, mask


TASKS: dict[str, AnomalyMaker] = {"pasted patch": pasted, "intensity": intensity_changed, "source": swollen}
"""The tasks by their names."""
