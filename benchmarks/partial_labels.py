"""Films whose labels are hidden or corrupted in known ways, for the fair test of `benchmarks.score_partial`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import cv2
import numpy as np

from artasyn.shapes import Bool, Float32, Int64, UInt8

SOURCES: tuple[tuple[str, ...], ...] = (
    ("body", "lung_*", "heart*", "visible_lung_*", "whole_lung_*", "drawn_heart"),
    ("clavicula_*", "scapula_*", "humerus_*", "sternum", "ribs_*", "rib_*", "spine", "vertebrae_*"),
    (
        *("aorta", "pulmonary_artery", "*_vena_cava", "trachea", "bronchus_*", "esophagus", "mediastinum"),
        *("diaphragm_*", "abdomen", "liver", "stomach", "spleen", "breast_*"),
    ),
)
"""What each source of labels draws: lungs and heart; bones; airways, vessels, abdomen and breasts."""

FULL = 4
"""The value of a mask's pixel that lies in the structure as a whole: masks count quarters."""

CORRUPTED = 0.2
"""Share of the labels that are corrupted."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Films with their labels.

    Attributes:
        images: float32 (n, s, s), as the network expects them.
        masks: uint8 (n, y, x, k), quarters of a pixel, see `FULL`.
        known: bool (n, k), the labels that a training may see; the others are hidden.
        absent: bool (n, k), structures of which the film shows nothing, because they lie outside it.
        patients: int64 (n,), number of the patient.
        names: names of the k structures.
    """

    images: Float32[np.ndarray, "n s s"]
    masks: UInt8[np.ndarray, "n y x k"]
    known: Bool[np.ndarray, "n k"]
    absent: Bool[np.ndarray, "n k"]
    patients: Int64[np.ndarray, " n"]
    names: tuple[str, ...]

    def first(self, films: int) -> Pool:
        """The first films."""
        images, masks, known, absent, patients = (
            each[:films] for each in (self.images, self.masks, self.known, self.absent, self.patients)
        )
        return Pool(images, masks, known, absent, patients, self.names)


Scenario = Callable[[Pool, np.random.Generator], Pool]
"""Hides or corrupts labels."""


def as_they_are(pool: Pool, rng: np.random.Generator) -> Pool:
    """Hides nothing."""
    return pool


def by_chance(share: float) -> Scenario:
    """Hides every label with the same probability, film by film."""

    def hide(pool: Pool, rng: np.random.Generator) -> Pool:
        return replace(pool, known=pool.known & (rng.random(pool.known.shape) >= share))

    return hide


def by_source(pool: Pool, rng: np.random.Generator) -> Pool:
    """Gives every patient to one of `SOURCES`, which draws its own structures and no others."""
    drawn = np.array([[any(fnmatchcase(name, each) for each in source) for name in pool.names] for source in SOURCES])
    patients = np.unique(pool.patients)
    source = dict(zip(patients.tolist(), rng.permutation(len(patients)) % len(SOURCES), strict=True))
    return replace(pool, known=pool.known & drawn[[source[patient] for patient in pool.patients.tolist()]])


def corrupted(pool: Pool, rng: np.random.Generator) -> Pool:
    """Hides every other label by chance, and corrupts `CORRUPTED` of those that are left and show something."""
    pool = by_chance(0.5)(pool, rng)
    masks = pool.masks.copy()
    chosen = pool.known & pool.masks.any(axis=(1, 2)) & (rng.random(pool.known.shape) < CORRUPTED)
    for film, channel in np.argwhere(chosen).tolist():
        masks[film, :, :, channel] = corrupt(pool.masks[film], channel, pool.names, rng)
    return replace(pool, masks=masks)


SCENARIOS: dict[str, Scenario] = {
    "all known": as_they_are,
    "by source": by_source,
    "by chance, 50 %": by_chance(0.5),
    "by chance, 50 %, 20 % of the rest corrupted": corrupted,
    "by chance, 25 %": by_chance(0.25),
    "by chance, 75 %": by_chance(0.75),
}
"""What is hidden."""


def corrupt(
    masks: UInt8[np.ndarray, "y x k"], channel: int, names: Sequence[str], rng: np.random.Generator
) -> UInt8[np.ndarray, "y x"]:
    """Returns a mask of a film shifted, eroded, or exchanged for that of the other side; without one it is shifted."""
    mask = np.ascontiguousarray(masks[:, :, channel])
    kind = rng.choice(("shift", "erode", "swap"))
    other = opposite(names[channel])
    if kind == "swap" and other != names[channel] and other in names:
        return np.ascontiguousarray(masks[:, :, names.index(other)])
    if kind == "erode":
        return np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8), borderValue=0), np.uint8)
    reach = max(mask.shape) * rng.uniform(0.06, 0.12)
    turn = rng.uniform(0, 2 * np.pi)
    return shifted(mask, round(reach * np.sin(turn)), round(reach * np.cos(turn)))


def opposite(name: str) -> str:
    """The name of the same structure on the other side; the name itself if there is none."""
    parts = name.split("_")
    swap = {"right": "left", "left": "right"}
    return "_".join(swap.get(part, part) for part in parts)


def shifted(mask: UInt8[np.ndarray, "y x"], down: int, across: int) -> UInt8[np.ndarray, "y x"]:
    """A mask moved by whole pixels; what comes in is empty."""
    matrix = np.array([[1, 0, across], [0, 1, down]], np.float32)
    return np.asarray(cv2.warpAffine(mask, matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST), np.uint8)
