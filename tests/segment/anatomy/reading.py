"""Films whose anatomy is known, and a network that reads it from their grey: every step but the learnt one is real."""

from __future__ import annotations

import numpy as np

from artasyn.arrays import Image
from artasyn.segment.anatomy.looks import LookMaps, Squares, Turns
from artasyn.segment.anatomy.settings import AnatomySettings

NAMES = (
    *("visible_lung_right", "visible_lung_left", "whole_lung_right", "whole_lung_left"),
    *("drawn_heart", "spine"),
)
GREYS = {"lung": 0.0, "heart": 0.9, "spine": 1.0, "tissue": 0.5}
"""Grey of what a film shows."""


def disc(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    """The share of every pixel that a disc covers, to a hundredth of a pixel."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    away = np.hypot(rows - centre[0], columns - centre[1])
    return np.asarray(np.clip(radius + 0.5 - away, 0, 1), np.float32)


def film(shape: tuple[int, int] = (240, 200), *, turn: float = 0.0) -> tuple[Image, dict[str, np.ndarray]]:
    """A film with two round lungs, a heart and a spine, and the truth.

    Args:
        shape: rows and columns.
        turn: makes the left lung smaller by this share; the network takes it for a turn of the patient.
    """
    h, w = shape
    parts = {
        "visible_lung_right": disc(shape, (0.45 * h, 0.27 * w), 0.17 * w),
        "visible_lung_left": disc(shape, (0.45 * h, 0.73 * w), 0.17 * w * (1 - turn)),
        "drawn_heart": disc(shape, (0.72 * h, 0.52 * w), 0.14 * w),
    }
    image = np.full(shape, GREYS["tissue"], np.float32)
    for name, part in parts.items():
        grey = GREYS["heart" if name == "drawn_heart" else "lung"]
        image += part * (grey - GREYS["tissue"])
    spine = np.zeros(shape, np.float32)
    spine[: round(0.5 * h), round(0.47 * w) : round(0.53 * w)] = 1
    image = np.where(spine > 0, np.float32(GREYS["spine"]), image)
    grain = np.random.default_rng(0).normal(0, 0.04, shape)
    return (0.1 + 0.8 * image + grain).clip(0, 1).astype(np.float32), parts | {"spine": spine}


class GreyNetwork:
    """Reads `film` in any pose that keeps it upright: mirrored, inverted, in a window with padding.

    Args:
        settings: names may be any of `NAMES`.
        doubt: how much less sure it is of a mirrored film.
    """

    def __init__(self, settings: AnatomySettings, doubt: float = 0.0) -> None:
        self.settings, self.doubt, self.digest = settings, doubt, "grey"
        self.seen: list[tuple[Squares, Turns]] = []

    def read(self, images: Squares, turns: Turns) -> tuple[LookMaps, Turns]:
        """Reads films by their grey; a bright middle of the upper half tells that dense is bright."""
        self.seen.append((images, turns))
        maps, found = zip(*(self._one(image) for image in images[:, 0]), strict=True)
        return np.stack(maps), np.array(found, np.float32)

    def _one(self, square: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
        side = len(square)
        rows, columns = (square.any(axis=axis) for axis in (1, 0))
        inside = np.outer(rows, columns).astype(np.float32)
        negative = square[side // 4, side // 2] < 0.5
        grey = 1 - square if negative else square
        lung = np.clip(1 - grey / GREYS["tissue"], 0, 1) * inside
        heart = np.clip((grey - 0.5) / 0.4, 0, 1) * (np.arange(side) > 0.55 * side)[:, None] * inside
        spine = np.clip((grey - 0.5) / 0.5, 0, 1) * (np.arange(side) < 0.5 * side)[:, None] * inside
        right = lung * (np.arange(side) < side / 2)
        left = lung - right
        sure = 1 - self.doubt * negative
        all_maps = dict(zip(NAMES, (right, left, right, left, heart, spine), strict=True))
        found = [
            sure * all_maps[name].reshape(side // 2, 2, side // 2, 2).mean(axis=(1, 3)) for name in self.settings.names
        ]
        more = 2 * float(right.sum() - left.sum()) / max(1.0, float(lung.sum()))
        return np.stack(found).astype(np.float32), (more, 1.0)
