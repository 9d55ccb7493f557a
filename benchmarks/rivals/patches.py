"""Patches of films around real and synthetic anomalies: the input of the discriminator.

Both kinds of patch are cut from NIH's postero-anterior films in the same way. Synthetic patches are taken at the places
of real opacities, as nearly as the anomalies allow.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from artasyn.arrays import Image, Mask, generator, identity
from artasyn.segment import Lungs
from artasyn.shapes import Float32
from benchmarks.rivals.realism import MaskedRadiograph, read_film

PATCH = 128
OPACITIES = ("Lung Opacity", "Pneumonia", "Infiltrate")
"""Labels of boxes that are opacities."""
SMALLEST = 64
"""Pixels; smaller components of a mask are ignored where there are larger ones."""
Patch = Float32[np.ndarray, "rows columns"]
Place = tuple[float, float]
"""Row and column in the box around both lungs, as fractions; columns run from the outer edge to the middle."""
Made = list[tuple[Image, Mask]]
"""One film's anomalies."""


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches of one kind, each with the film that it is from."""

    films: tuple[str, ...]
    pixels: Float32[np.ndarray, "n rows columns"]


def cut(image: Image, row: float, column: float) -> Patch:
    """The patch around a place; near the film's border the patch is moved inside the film."""
    top, first = (
        int(np.clip(round(at - PATCH / 2), 0, length - PATCH))
        for at, length in zip((row, column), image.shape, strict=True)
    )
    return image[top : top + PATCH, first : first + PATCH]


def places(mask: Mask) -> list[tuple[float, float]]:
    """Row and column of the middle of each component's box."""
    _, _, parts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return [(y + h / 2, x + w / 2) for x, y, w, h, area in parts[1:].tolist() if area >= SMALLEST] or [
        (float(np.nonzero(mask)[0].mean()), float(np.nonzero(mask)[1].mean()))
    ]


def in_lungs(lungs: Lungs, row: float, column: float) -> Place:
    """A place relative to the box around both lungs, the left half mirrored onto the right one."""
    rows, columns = (np.flatnonzero(lungs.mask.any(axis=axis)) for axis in (1, 0))
    across = (column - columns[0]) / max(1, np.ptp(columns))
    return (row - rows[0]) / max(1, np.ptp(rows)), min(across, 1 - across)


def nearest(
    candidates: Sequence[tuple[Image, float, float, Place]], wanted: Place
) -> tuple[Image, float, float, Place]:
    """The candidate (image, row, column, place in the lungs) whose place is nearest to the wanted place."""
    return min(candidates, key=lambda candidate: np.hypot(*np.subtract(candidate[3], wanted)))


def patch_of(
    film: MaskedRadiograph, images: Iterable[tuple[Image, Iterable[tuple[float, float]]]], wanted: Place
) -> Image | None:
    """The patch whose place in the lungs is nearest to the wanted place, of all images of a film and their places."""
    found = [(image, *place, in_lungs(film.lungs, *place)) for image, of in images for place in of]
    return cut(*nearest(found, wanted)[:3]) if found else None


def postero_anterior(data: Path) -> set[str]:
    """Films that the manifest calls postero-anterior."""
    with (data / "manifest.csv").open(encoding="utf-8") as file:
        return {row["file"] for row in csv.DictReader(file) if row["view"] == "PA" or "view PA" in row["notes"]}


def real_patches(data: Path) -> tuple[Patches, list[Place]]:
    """A patch around every box of an opacity, and the place of each box in the lungs."""
    known = postero_anterior(data)
    films: dict[str, MaskedRadiograph] = {}
    names, pixels, where = [], [], []
    with (data / "opacity_boxes" / "boxes.csv").open(encoding="utf-8") as file:
        boxes = [row for row in csv.DictReader(file) if row["label"] in OPACITIES]
    for box in tqdm(boxes, desc="real patches", unit="box"):
        name = f"opacity_boxes/images/{box['file']}"
        if name not in known:
            continue
        film = films.setdefault(name, read_film(data / name))
        row, column = (float(box[at]) / 2 + float(box[length]) / 4 for at, length in (("y", "h"), ("x", "w")))
        names.append(name)
        pixels.append(cut(film.image, row, column))
        where.append(in_lungs(film.lungs, row, column))
    return Patches(tuple(names), np.stack(pixels)), where


def synthetic_patches(films: list[MaskedRadiograph], made: list[Made] | None, where: list[Place], seed: int) -> Patches:
    """A patch of every film, near the place of a randomly drawn real opacity. Without `made` the patches are normal."""
    names, pixels = [], []
    for at, film in enumerate(films):
        rng = generator(seed, identity(film.image))
        if made is None:
            spots = np.argwhere(film.lungs.mask)
            images = [
                (film.image, [(float(row), float(column)) for row, column in spots[rng.integers(len(spots), size=99)]])
            ]
        else:
            images = [(image, places(mask)) for image, mask in made[at]]
        patch = patch_of(film, images, where[rng.integers(len(where))])
        if patch is not None:
            names.append(film.name)
            pixels.append(patch)
    return Patches(tuple(names), np.stack(pixels))
