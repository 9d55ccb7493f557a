"""Robustness of the writer of masks beside the anatomy network, for the part ``robustness`` of `score_tokens`.

Films of JSRT are turned, scaled down or shifted, and their masks with them; what comes into the frame is black. Both
read every film. A film on which one reads nothing, because it says that the film is turned or shows no chest, counts
with a Dice of 0, and the share of such films stands beside it. Other hospitals: wingspan, V7-COVID and `lesions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from artasyn.arrays import Image, Mask
from artasyn.evaluation.overlap import dice
from artasyn.files.radiograph import read_mask, read_radiograph
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.segment.tokens import TokenSegmenter
from benchmarks.real_anatomy import SETS

FILMS = 40
"""Films of JSRT, evenly from all; and at most as many of every other hospital."""
SIDE = 256
TURNS = (0, 5, 10, 15, 20, 30, 40)
SCALES = (1.0, 0.9, 0.8, 0.7)
SHIFTS = (0.0, 0.05, 0.1, 0.15)
PARTS = {"visible": ("visible_lung_right", "visible_lung_left"), "whole": ("whole_lung_right", "whole_lung_left")}
HEART = "drawn_heart"
WHO = ("writer", "network")


@dataclass(frozen=True, eq=False)
class Film:
    """A film with the masks that readers drew: lungs, and the heart where there is one."""

    image: Image
    masks: Mapping[str, Mask]

    def moved(self, turn: float = 0, scale: float = 1, shift: float = 0) -> Film:
        """The film turned by degrees, scaled about its middle, and shifted right and down by a share of its side."""
        rows, columns = self.image.shape
        matrix = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), turn, scale)
        matrix[:, 2] = matrix[:, 2] + shift * np.array([columns, rows])

        def warp(values: Image) -> Image:
            return np.asarray(cv2.warpAffine(values, matrix, (columns, rows), flags=cv2.INTER_LINEAR), np.float32)

        masks = {name: np.asarray(warp(mask.astype(np.float32)) >= 0.5) for name, mask in self.masks.items()}
        return Film(warp(self.image).clip(0, 1), masks)


def films_of(data: Path, name: str) -> list[Film]:
    """Films of a set at 256 pixels."""
    folder = data / SETS[name].folder
    files = sorted((folder / "images").iterdir())
    found = []
    for file in files[:: max(1, len(files) // FILMS)][:FILMS]:
        image = cv2.resize(read_radiograph(file), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        masks = {}
        for kind in ("lungs", "heart"):
            path = folder / kind / f"{file.stem}.png"
            if path.exists():
                drawn = cv2.resize(read_mask(path).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
                masks[kind] = np.asarray(drawn >= 0.5)
        found.append(Film(np.asarray(image.clip(0, 1), np.float32), masks))
    return found


def readings(film: Film, lungs: tuple[str, ...], segmenter: TokenSegmenter, net: AnatomyNet) -> Iterator[Anatomy]:
    """The anatomy that the writer and the network read."""
    asked = " ; ".join(name.replace("_", " ") for name in (*lungs, HEART))
    yield segmenter(film.image, f"segment {asked}")
    yield net(film.image)


def scored(films: list[Film], convention: str, segmenter: TokenSegmenter, net: AnatomyNet) -> dict[str, Any]:
    """Mean Dice of lungs and heart, and the share of films on which nothing is read, for both."""
    lungs = PARTS[convention]
    figures: dict[str, dict[str, list[float]]] = {who: {"lungs": [], "heart": [], "nothing": []} for who in WHO}
    for film in films:
        for who, found in zip(WHO, readings(film, lungs, segmenter, net), strict=True):
            both = found.mask(lungs[0]) | found.mask(lungs[1])
            figures[who]["nothing"].append(float(not both.any()))
            figures[who]["lungs"].append(dice(both, film.masks["lungs"]))
            if "heart" in film.masks:
                figures[who]["heart"].append(dice(found.mask(HEART), film.masks["heart"]))
    means = {who: {name: float(np.mean(each)) for name, each in of.items() if each} for who, of in figures.items()}
    return {"films": len(films)} | means


def robustness_figures(segmenter: TokenSegmenter, net: AnatomyNet, data: Path) -> dict[str, Any]:
    """The figures of the part ``robustness``.

    Args:
        segmenter: the writer.
        net: the anatomy network.
        data: folder of real data.
    """
    base = films_of(data, "JSRT")
    ways: dict[str, tuple[str, tuple[float, ...]]] = {
        "turn": ("turn", TURNS),
        "scale": ("scale", SCALES),
        "shift": ("shift", SHIFTS),
    }
    found: dict[str, Any] = {}
    for name, (option, values) in ways.items():
        found[name] = {
            str(value): scored([film.moved(**{option: value}) for film in base], "visible", segmenter, net)
            for value in tqdm(values, desc=name)
        }
    hospitals = ("JSRT", "wingspan", "V7-COVID", "lesions")
    found["hospitals"] = {
        name: scored(films_of(data, name), SETS[name].convention, segmenter, net) for name in tqdm(hospitals)
    }
    return found


def picture(found: Mapping[str, Any], out: Path) -> None:
    """Draws the curves of turns, scales and shifts."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True)
    labels = {"turn": "turned, degrees", "scale": "scaled", "shift": "shifted, share of the film's side"}
    for axis, (name, label) in zip(axes, labels.items(), strict=True):
        values = [float(value) for value in found[name]]
        for who, colour in zip(WHO, ("tab:orange", "tab:blue"), strict=True):
            for part, style in (("lungs", "-"), ("heart", "--")):
                line = [of[who][part] for of in found[name].values()]
                axis.plot(values, line, style, color=colour, marker="o", markersize=3, label=f"{who}, {part}")
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("Dice on JSRT")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    plt.close(figure)
