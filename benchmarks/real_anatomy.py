"""Figures of anatomy on real radiographs with masks, for any predictor: ``real_scores``.

The films of every set are in the order of their names. The first, third, fifth ... film is for choosing ("odd"), the
others are for reporting ("even"). Masks of JSRT, wingspan and OpenIST leave out the lung behind the heart and are
compared with the visible lungs; masks of V7-COVID and lesions include it and are compared with the whole lungs.
Nothing is drawn at random, so there is no seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from artasyn.arrays import Image, Mask
from artasyn.errors import DataError
from artasyn.evaluation.overlap import dice
from artasyn.files.radiograph import read_mask, read_radiograph
from artasyn.segment import PBTSeg
from artasyn.segment.anatomy.anatomy import Anatomy, Convention
from artasyn.segment.lungs import Lungs
from artasyn.segment.measures.cardiothoracic import CardiothoracicRatio, cardiothoracic_ratio

Predict = Callable[[Sequence[Image]], Sequence[Anatomy]]
"""A predictor: films of any sizes in, one anatomy for each on the film's grid."""
Split = Literal["odd", "even", "all"]
"""Films for choosing, for reporting, or both."""


@dataclass(frozen=True)
class RealSet:
    """A set of real radiographs with masks.

    Attributes:
        folder: the set's folder of images and masks, below the data.
        convention: the lungs that its masks show.
        masks: folders of masks.
    """

    folder: str
    convention: Convention
    masks: tuple[str, ...] = ("lungs",)


_SIDED = ("lungs", "right_lung", "left_lung", "heart")
SETS = {
    "JSRT": RealSet("lung_masks/jsrt", "visible", _SIDED),
    "wingspan": RealSet("lung_masks/wingspan", "visible", _SIDED),
    "OpenIST": RealSet("openist", "visible"),
    "V7-COVID": RealSet("lung_masks/v7covid", "whole"),
    "lesions": RealSet("lesions", "whole", ("lungs", "cardiomediastinum", "airways")),
}

STRUCTURES = {
    "heart": ("heart", ("drawn_heart",)),
    "cardiomediastinum": ("cardiomediastinum", ("mediastinum", "drawn_heart")),
    "mediastinum": ("cardiomediastinum", ("mediastinum",)),
    "airways": ("airways", ("trachea", "bronchus_right", "bronchus_left")),
    "trachea": ("airways", ("trachea",)),
}
"""Further figures: a folder of masks, and the channels whose union is compared with it."""

Figures = dict[str, float]
"""The figures of one film; NaN where the film has no mask or the prediction no channel."""


def pbtseg_anatomies(images: Sequence[Image]) -> list[Anatomy]:
    """PBTSeg as a predictor: one pair of lungs, which stands for both conventions."""
    return [anatomy_of_lungs(PBTSeg()(image)) for image in images]


def anatomy_of_lungs(lungs: Lungs) -> Anatomy:
    """The anatomy that holds nothing but given lungs, for both conventions."""
    names = tuple(f"{convention}_lung_{side}" for convention in ("visible", "whole") for side in ("right", "left"))
    sides = np.stack([lungs.right, lungs.left] * 2).astype(np.float32)
    return Anatomy(names, sides, 0.0, lungs.confidence * 2, reasons=lungs.reasons, warnings=lungs.warnings)


def files(data: Path, name: str, split: Split = "all") -> list[Path]:
    """The films of a set, in the order of their names."""
    found = sorted((data / SETS[name].folder / "images").iterdir())
    return found[{"odd": slice(0, None, 2), "even": slice(1, None, 2), "all": slice(None)}[split]]


def resized(image: Image, size: int | None) -> Image:
    """A film whose longer side has `size` pixels; None leaves it as it is."""
    scale = size / max(image.shape) if size else 1.0
    if scale == 1.0:
        return image
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    rows, columns = (max(1, round(side * scale)) for side in image.shape)
    return np.asarray(cv2.resize(image, (columns, rows), interpolation=how).clip(0, 1), np.float32)


def read_film(file: Path, masks: Sequence[str], size: int | None = None) -> tuple[Image, dict[str, Mask]]:
    """Reads a film and the masks that lie beside it.

    Args:
        file: the film, in a folder beside the folders of masks.
        masks: folders of masks; a mask that the film lacks is left out.
        size: pixels of the longer side on which film and masks are compared; None for the film's own grid.
    """
    image = read_radiograph(file)
    found = {}
    for name in masks:
        path = file.parent.parent / name / f"{file.stem}.png"
        if path.exists():
            found[name] = resized(read_mask(path).astype(np.float32), size) >= 0.5
    return resized(image, size), found


def union(anatomy: Anatomy, names: Sequence[str]) -> Mask | None:
    """The union of channels; None if one is missing."""
    if not set(names) <= set(anatomy.names):
        return None
    return np.asarray(np.any([anatomy.mask(name) for name in names], axis=0))


def lungs_of(anatomy: Anatomy, convention: Convention) -> Lungs | None:
    """The lungs of a convention; None if the anatomy lacks them."""
    sides = [f"{convention}_lung_{side}" for side in ("right", "left")]
    if not set(sides) <= set(anatomy.names):
        return None
    return anatomy.lungs(convention)


def ratio(heart: Mask, lungs: Mask) -> float:
    """The cardiothoracic ratio of two masks; NaN where it cannot be measured."""
    try:
        return cardiothoracic_ratio(heart, lungs).value
    except DataError:
        return math.nan


def ratio_of(anatomy: Anatomy) -> float:
    """The cardiothoracic ratio as the library measures it; NaN where it cannot be measured."""
    try:
        return CardiothoracicRatio.of(anatomy).value
    except DataError:
        return math.nan


def figures(anatomy: Anatomy, truth: Mapping[str, Mask], convention: Convention) -> Figures:
    """Compares the anatomy of a film with the film's masks.

    Args:
        anatomy: the predicted structures.
        truth: masks by their folder, ``lungs`` among them.
        convention: lungs that the masks show.
    """
    found: Figures = {"angle": float(anatomy.angle)}
    lungs = lungs_of(anatomy, convention)
    if lungs is not None:
        mask = lungs.mask
        found["dice"] = dice(mask, truth["lungs"])
        found["area"] = np.count_nonzero(mask) / np.count_nonzero(truth["lungs"])
        known = Lungs.from_mask(truth["lungs"])
        right, left = truth.get("right_lung", known.right), truth.get("left_lung", known.left)
        found["right"], found["left"] = dice(lungs.right, right), dice(lungs.left, left)
        told = found["right"] > dice(lungs.right, left) and found["left"] > dice(lungs.left, right)
        found["sides"] = float(told)
        places = [anatomy.names.index(f"{convention}_lung_{side}") for side in ("right", "left")]
        found["confidence"] = float(min(anatomy.confidence[place] for place in places))
    for name, (folder, channels) in STRUCTURES.items():
        drawn = union(anatomy, channels)
        if folder in truth and drawn is not None:
            found[name] = dice(drawn, truth[folder])
    if "heart" in truth:
        found["true_ctr"] = ratio(truth["heart"], truth["lungs"])
        found["ctr"] = ratio_of(anatomy)
    return found


def film_figures(
    predict: Predict,
    data: Path,
    split: Split = "odd",
    *,
    size: int | None = 256,
    sets: Sequence[str] = tuple(SETS),
    batch: int = 8,
) -> dict[str, dict[str, Figures]]:
    """The figures of every film, by set and by the film's name.

    Args:
        predict: the predictor.
        data: folder of real radiographs.
        split: which half of each set.
        size: pixels of a film's longer side, to which films and masks are resized before prediction and comparison;
            None for the film's own grid.
        sets: keys of `SETS`.
        batch: films that the predictor gets at once.
    """
    found: dict[str, dict[str, Figures]] = {}
    for name in sets:
        kept = SETS[name]
        found[name] = {}
        for group in _groups(files(data, name, split), batch):
            films = [read_film(file, kept.masks, size) for file in group]
            anatomies = predict([image for image, _ in films])
            for file, anatomy, (_, truth) in zip(group, anatomies, films, strict=True):
                found[name][file.stem] = figures(anatomy, truth, kept.convention)
    return found


def _groups(files: Sequence[Path], batch: int) -> Iterator[Sequence[Path]]:
    for first in range(0, len(files), batch):
        yield files[first : first + batch]


def worst_mean(values: Sequence[float], share: float = 0.05) -> float:
    """The mean of the lowest share of values, of one value at least."""
    lowest = np.sort(values)[: max(1, round(share * len(values)))]
    return float(lowest.mean())


def summary(films: Sequence[Figures]) -> dict[str, float]:
    """Means over films; the figures of a set."""
    columns = {key: _column(films, key) for key in dict.fromkeys(key for film in films for key in film)}
    found: dict[str, float] = {"films": len(films)}
    for key in ("dice", "right", "left", "sides", "area", *STRUCTURES):
        if key in columns and np.isfinite(columns[key]).any():
            found[key] = float(np.nanmean(columns[key]))
    if "dice" in columns:
        found["worst_5_percent"] = worst_mean(columns["dice"].tolist())
        found["lowest"] = float(columns["dice"].min())
    if "heart" in columns:
        found["heart_worst_5_percent"] = worst_mean(columns["heart"].tolist())
    if "ctr" in columns and np.isfinite(columns["ctr"]).any():
        found |= ctr_figures(columns["ctr"], columns["true_ctr"])
    found["angle_off_frontal"] = float(np.median(np.degrees(np.arccos(np.abs(np.cos(np.radians(columns["angle"])))))))
    return {key: round(value, 4) for key, value in found.items()}


def ctr_figures(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Errors of predicted cardiothoracic ratios, over films on which both are measured.

    Args:
        predicted: (n,), NaN where not measured.
        true: (n,), of the true masks.
    """
    known = np.isfinite(true)
    both = known & np.isfinite(predicted)
    p, t = predicted[both], true[both]
    found = {
        "ctr_mae": float(np.abs(p - t).mean()),
        "ctr_bias": float((p - t).mean()),
        "ctr_measured": float(both.sum() / max(1, known.sum())),
    }
    if len(p) > 2 and np.ptp(p) > 0 and np.ptp(t) > 0:
        found |= {"ctr_r": float(np.corrcoef(p, t)[0, 1]), "ctr_slope": float(np.polyfit(t, p, 1)[0])}
    return found


def _column(films: Sequence[Figures], key: str) -> np.ndarray:
    return np.array([film.get(key, math.nan) for film in films])


def real_scores(
    predict: Predict, data: Path, split: Split = "odd", size: int | None = 256, sets: Sequence[str] = tuple(SETS)
) -> dict[str, Any]:
    """The figures of a predictor on the real sets, by set, and on all films together.

    Args:
        predict: the predictor.
        data: folder of real radiographs.
        split: which half of each set.
        size: pixels of a film's longer side; None for the film's own grid.
        sets: keys of `SETS`.
    """
    return summaries(film_figures(predict, data, split, size=size, sets=sets))


def summaries(films: Mapping[str, Mapping[str, Figures]]) -> dict[str, Any]:
    """The figures of every set, and of all films as one set."""
    found: dict[str, Any] = {name: summary(list(of.values())) for name, of in films.items()}
    pooled = [film for of in films.values() for film in of.values()]
    every = summary(pooled)
    found["all"] = {key: every[key] for key in ("films", "dice", "sides", "worst_5_percent", "lowest") if key in every}
    return found
