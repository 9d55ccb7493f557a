"""Nuisances: shadows on radiographs that are no disease of the lungs, which a network learns to leave alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from artasyn.arrays import Image
from artasyn.segment.lungs import Lungs
from artasyn.shapes import Float32
from artasyn.synthesis.noise import clouds

SHIFT = 4
"""Bits of a pixel's fraction in the coordinates that OpenCV draws with."""

Points = Float32[np.ndarray, "... 2"]
"""Places as (column, row), in pixels."""


@dataclass(frozen=True)
class Field:
    """The box of the lungs on a radiograph, in which nuisances are drawn.

    Attributes:
        shape: rows and columns of the radiograph.
        left: first column of the lungs' box.
        top: its first row.
        width: its columns.
        height: its rows.
    """

    shape: tuple[int, int]
    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, lungs: Lungs) -> Field:
        """Returns the field around both lungs, or the whole image where there are none."""
        left, top, width, height = cv2.boundingRect(lungs.labels)
        rows, columns = lungs.labels.shape
        if not width:
            left, top, width, height = 0, 0, columns, rows
        return cls((rows, columns), left, top, width, height)

    def at(self, places: np.ndarray) -> Points:
        """Returns places in the lungs' box, (across, down) from 0 to 1, in pixels of the radiograph."""
        return np.asarray(places * (self.width, self.height) + (self.left, self.top), np.float32)

    def grid(self) -> tuple[Float32[np.ndarray, "1 w"], Float32[np.ndarray, "h 1"]]:
        """Returns the columns and the rows of all pixels, from 0 to 1 in the lungs' box."""
        rows, columns = self.shape
        across = (np.arange(columns, dtype=np.float32) - np.float32(self.left)) / np.float32(self.width)
        down = (np.arange(rows, dtype=np.float32) - np.float32(self.top)) / np.float32(self.height)
        return across[None], down[:, None]

    def drawn(self, points: Points, width: float) -> Image:
        """Returns an anti-aliased line through points, 1 on the line, of a width in heights of the lungs."""
        canvas = np.zeros(self.shape, np.uint8)
        thickness = max(1, round(width * self.height))
        line = np.rint(points * 2**SHIFT).astype(np.int32)
        cv2.polylines(canvas, [line], False, 255, thickness, cv2.LINE_AA, SHIFT)
        return self._scaled(canvas)

    def filled(self, outline: Points) -> Image:
        """Returns an anti-aliased area, 1 inside its outline."""
        canvas = np.zeros(self.shape, np.uint8)
        cv2.fillPoly(canvas, [np.rint(outline * 2**SHIFT).astype(np.int32)], 255, cv2.LINE_AA, SHIFT)
        return self._scaled(canvas)

    @staticmethod
    def _scaled(canvas: np.ndarray) -> Image:
        return np.asarray(canvas / np.float32(255), np.float32)


Shadow = Callable[[Field, np.random.Generator], Image]
"""Draws the grey that a nuisance adds to a radiograph, float32 (h, w)."""


def breasts(field: Field, rng: np.random.Generator) -> Image:
    """Draws breasts of any size, or one of them: dense above their lower edge, which may fold."""
    across, down = field.grid()
    shadow = np.zeros(field.shape, np.float32)
    sides = (-1, 1) if rng.random() < 0.75 else (int(rng.choice((-1, 1))),)
    height, width = rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.36)
    middle, out, sharp = rng.uniform(0.5, 0.85), rng.uniform(0.24, 0.36), rng.uniform(3, 25)
    grey, fold = rng.uniform(0.03, 0.16), rng.uniform(0, 0.06) * (rng.random() < 0.4)
    for side in sides:
        place = 0.5 + side * (out + rng.uniform(-0.03, 0.03))
        inside = 1 - ((across - place) / width) ** 2 - ((down - middle - rng.uniform(-0.05, 0.05)) / height) ** 2
        edge = 1 / (1 + np.exp(-sharp * np.clip(inside, -3, 3)))
        thick = 0.5 + 0.5 * np.clip((down - middle + height) / (2 * height), 0, 1)
        rim = fold * np.exp(-((inside / 0.06) ** 2)) * (down > middle)
        shadow += (grey * edge * thick + rim).astype(np.float32)
    return shadow


def skin_fold(field: Field, rng: np.random.Generator) -> Image:
    """Draws a fold of skin: a long edge across a lung, dense on one side and fading there."""
    across, down = field.grid()
    angle = rng.uniform(-0.5, 0.5) + (math.pi / 2 if rng.random() < 0.2 else 0)
    place, bend = rng.uniform(0.05, 0.95), rng.uniform(-0.3, 0.3)
    away = (across - place) * math.cos(angle) + (down - 0.5) * math.sin(angle) + bend * (down - 0.5) ** 2
    away = away * rng.choice((-1, 1))
    return np.asarray(
        rng.uniform(0.03, 0.1) * np.where(away > 0, np.exp(-away / rng.uniform(0.03, 0.25)), 0), np.float32
    )


def pacemaker(field: Field, rng: np.random.Generator) -> Image:
    """Draws a pacemaker or a port below a clavicle, with a lead to the heart."""
    side = rng.choice((-1, 1))
    middle = np.array([0.5 + side * rng.uniform(0.22, 0.4), rng.uniform(0.05, 0.35)])
    turn = np.linspace(0, 2 * np.pi, 40)
    corner = 2 / rng.uniform(2, 4)
    outline = np.stack([np.abs(np.cos(turn)) ** corner * np.sign(np.cos(turn)),
                        np.abs(np.sin(turn)) ** corner * np.sign(np.sin(turn))], axis=1)  # fmt: skip
    device = field.filled(field.at(middle + outline * rng.uniform(0.03, 0.1) * (1, field.width / field.height)))
    end = np.array([rng.uniform(0.45, 0.65), rng.uniform(0.5, 0.9)])
    lead = _curve(middle, end, rng, bend=0.3)
    return np.asarray(
        rng.uniform(0.3, 0.8) * device + rng.uniform(0.1, 0.5) * field.drawn(field.at(lead), 0.008), np.float32
    )


def lines(field: Field, rng: np.random.Generator) -> Image:
    """Draws catheters, tubes and wires, some of them ending at a patch."""
    shadow = np.zeros(field.shape, np.float32)
    for _ in range(int(rng.integers(1, 5))):
        start, end = rng.uniform((-0.1, -0.2), (1.1, 0.3)), rng.uniform((0, 0.2), (1, 1.1))
        width, grey = rng.uniform(0.004, 0.025), rng.uniform(0.04, 0.4)
        curve = field.at(_curve(start, end, rng, bend=0.4))
        wire = field.drawn(curve, width)
        if width > 0.015:  # a tube: its walls are denser than its lumen
            wire = wire - 0.6 * field.drawn(curve, 0.5 * width)
        shadow = np.maximum(shadow, np.float32(grey) * wire)
        if rng.random() < 0.4:
            turn = np.linspace(0, 2 * np.pi, 24)
            patch = end + rng.uniform(0.01, 0.04) * np.stack([np.cos(turn), np.sin(turn)], axis=1)
            shadow = np.maximum(shadow, np.float32(rng.uniform(0.05, 0.5)) * field.filled(field.at(patch)))
    return shadow


def clips(field: Field, rng: np.random.Generator) -> Image:
    """Draws small marks of metal: clips, wires of the sternum, buttons."""
    shadow = np.zeros(field.shape, np.float32)
    middle = rng.uniform((0.1, 0.1), (0.9, 0.9))
    for _ in range(int(rng.integers(2, 9))):
        place = middle + rng.normal(0, (0.05, 0.15), 2)
        away = rng.normal(0, rng.uniform(0.005, 0.02), 2)
        mark = field.drawn(field.at(np.stack([place - away, place + away])), rng.uniform(0.004, 0.012))
        shadow = np.maximum(shadow, np.float32(rng.uniform(0.2, 0.7)) * mark)
    return shadow


def scapulae(field: Field, rng: np.random.Generator) -> Image:
    """Draws shoulder blades, or arms, that lie over the outer lung."""
    shadow = np.zeros(field.shape, np.float32)
    reach, grey, soft = rng.uniform(0.08, 0.3), rng.uniform(0.03, 0.12), rng.uniform(0.004, 0.02)
    for side in (-1, 1) if rng.random() < 0.8 else (int(rng.choice((-1, 1))),):
        inner = 0.5 - reach + rng.uniform(-0.03, 0.03)
        tip = rng.uniform(0.35, 0.8)
        corners = np.array([(inner + 0.08, -0.1), (inner, 0.25 * tip), (inner + 0.05, 0.7 * tip), (inner + 0.14, tip),
                            (0.75, 0.6 * tip), (0.8, -0.1)])  # fmt: skip
        outline = np.stack([0.5 + side * corners[:, 0], corners[:, 1]], axis=1)
        area = cv2.GaussianBlur(field.filled(field.at(outline)), (0, 0), max(0.5, soft * field.height))
        shadow += np.float32(grey) * area
    return shadow


def hair(field: Field, rng: np.random.Generator) -> Image:
    """Draws strands of hair over the upper lungs, or the folds of clothes."""
    shadow = np.zeros(field.shape, np.float32)
    middle = rng.uniform((0, -0.1), (1, 0.2))
    for _ in range(int(rng.integers(4, 14))):
        start = middle + rng.normal(0, (0.1, 0.03), 2)
        end = start + np.array([rng.normal(0, 0.1), rng.uniform(0.15, 0.6)])
        shadow = np.maximum(shadow, field.drawn(field.at(_curve(start, end, rng, bend=0.25)), 0.006))
    return np.asarray(rng.uniform(0.02, 0.09) * cv2.GaussianBlur(shadow, (0, 0), 0.7), np.float32)


def cartilage(field: Field, rng: np.random.Generator) -> Image:
    """Draws calcified cartilage of the lower ribs, as in old patients: mottled bands that climb to the sternum."""
    mottled = np.clip(
        2 * clouds(field.shape, seed=int(rng.integers(2**20)), coarsest=0.05 * field.height + 1) - 0.6, 0, 1
    )
    shadow = np.zeros(field.shape, np.float32)
    for side in (-1, 1):
        for number in range(int(rng.integers(1, 5))):
            down = 0.45 + 0.13 * number + rng.uniform(-0.03, 0.03)
            outer = np.array([0.5 + side * rng.uniform(0.2, 0.32), down + 0.08])
            inner = np.array([0.5 + side * rng.uniform(0.08, 0.16), down - 0.05])
            shadow = np.maximum(shadow, field.drawn(field.at(_curve(outer, inner, rng, bend=0.1)), 0.03))
    soft = cv2.GaussianBlur(shadow, (0, 0), max(0.5, 0.008 * field.height))
    return np.asarray(rng.uniform(0.05, 0.2) * soft * mottled, np.float32)


def letters(field: Field, rng: np.random.Generator) -> Image:
    """Draws letters and arrows that were burnt into the image."""
    canvas = np.zeros(field.shape, np.uint8)
    text = str(rng.choice(["L", "R", "AP", "PORTABLE", "->", "7:45", "ERECT"]))
    place = field.at(rng.uniform((-0.1, -0.05), (1.0, 1.05), 2))
    scale = field.height / 400 * rng.uniform(0.5, 2.5)
    at = (round(float(place[0])), round(float(place[1])))
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, max(1, round(2 * scale)), cv2.LINE_AA)
    return np.asarray(np.float32(rng.uniform(0.3, 1.0)) * (canvas / np.float32(255)), np.float32)


def _curve(start: np.ndarray, end: np.ndarray, rng: np.random.Generator, *, bend: float) -> np.ndarray:
    """Returns a smooth curve of 24 points between two places."""
    t = np.linspace(0, 1, 24)[:, None]
    first, second = (start + (end - start) * k + rng.normal(0, bend / 2, 2) for k in (1 / 3, 2 / 3))
    return np.asarray((1 - t) ** 3 * start + 3 * t * (1 - t) ** 2 * first + 3 * t**2 * (1 - t) * second + t**3 * end)


NUISANCES: Mapping[str, Shadow] = {
    "breasts": breasts,
    "skin_fold": skin_fold,
    "pacemaker": pacemaker,
    "lines": lines,
    "clips": clips,
    "scapulae": scapulae,
    "hair": hair,
    "cartilage": cartilage,
    "letters": letters,
}
"""Every nuisance by its name."""


@dataclass(frozen=True)
class Nuisances:
    """Adds shadows that are no disease to a radiograph: the same to a healthy one and to one with an anomaly.

    Attributes:
        probability: of each nuisance of `NUISANCES`.

    Example:
        >>> from artasyn import Phantom
        >>> chest = Phantom(size=96)(seed=1)
        >>> film = Nuisances(1.0)(chest.image, chest.lungs, np.random.default_rng(0))
        >>> bool((film >= chest.image).all()), bool((film > chest.image).any())
        (True, True)
    """

    probability: float = 0.1

    def __call__(self, image: Image, lungs: Lungs, rng: np.random.Generator) -> Image:
        """Returns a radiograph with nuisances.

        Args:
            image: float32 (h, w) in [0, 1].
            lungs: its lungs, on the same grid.
            rng: the source of randomness.
        """
        chosen = rng.random(len(NUISANCES)) < self.probability
        field = Field.of(lungs)
        for shadow in (shadow for shadow, drawn in zip(NUISANCES.values(), chosen, strict=True) if drawn):
            image = np.asarray(np.clip(image + shadow(field, rng), image, 1), np.float32)
        return image
