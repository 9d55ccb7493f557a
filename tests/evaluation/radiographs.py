"""Radiographs with scores, heatmaps, lesions and boxes, and plain loops that figures are measured against."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from skimage.measure import label
from torchmetrics.functional.classification import binary_f1_score

from artasyn.arrays import Heatmap, Mask
from artasyn.evaluation.boxes import Box
from artasyn.evaluation.evaluation import Evaluation, Metrics

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Film:
    """One radiograph as `Evaluation.add` takes it."""

    score: float
    diseased: bool
    heatmap: Heatmap
    lesions: Mask
    lungs: Mask
    boxes: tuple[Box, ...] = ()


def draw(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> Heatmap:
    heatmap = {
        "random": rng.random(shape),
        "tied": rng.integers(0, 9, shape) / 8,
        "binary": rng.integers(0, 2, shape) / 1,
        "zero": np.zeros(shape),
        "one": np.ones(shape),
        "low": 0.1 * rng.random(shape) ** 3,
        "saturated": 1 / (1 + np.exp(-8 * rng.normal(size=shape))),
    }[kind]
    return heatmap.astype(np.float32)


def films(kind: str, seed: int = 0, count: int = 7) -> list[Film]:
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        rows, columns = rng.integers(6, 15, 2).tolist()
        diseased = number % 2 == 1
        lesions = (rng.random((rows, columns)) < 0.2) & diseased
        lesions[2, 2] = diseased
        lungs = rng.random((rows, columns)) < 0.5
        lungs[2, 2:4] = True
        heatmap = draw(kind, (rows, columns), rng)
        score, boxes = rng.integers(0, 5) / 4 + 0.5 * diseased, ((1.0, 2.0, 3.0 + number % 4, 5.0),) * diseased
        made.append(Film(score, diseased, heatmap, lesions, lungs, boxes))
    return made


def evaluation(of: list[Film], threshold: float | None = 0.5, image_threshold: float | None = 0.75) -> Evaluation:
    made = Evaluation(threshold=threshold, image_threshold=image_threshold)
    for number, film in enumerate(of):
        made.add(
            str(number),
            film.score,
            diseased=film.diseased,
            heatmap=film.heatmap,
            lesions=film.lesions,
            lungs=film.lungs,
            boxes=film.boxes,
        )
    return made


def evaluate(of: list[Film], bootstrap: int = 0, seed: int = 0, threshold: float | None = 0.5) -> Metrics:
    return evaluation(of, threshold).result(bootstrap=bootstrap, seed=seed)


def pooled(of: list[Film], lungs: bool = False) -> tuple[npt.NDArray[np.bool_], Values]:
    insides = [film.lungs if lungs else np.ones_like(film.lungs) for film in of]
    truth = np.concatenate([film.lesions[inside] for film, inside in zip(of, insides, strict=True)])
    values = np.concatenate([film.heatmap[inside] for film, inside in zip(of, insides, strict=True)])
    return truth, values.astype(np.float64)


def naive_aupro(of: list[Film], limit: float = 0.3) -> float:
    """By the definition: every threshold, every region, one after the other."""
    healthy = sum((~film.lesions).sum() for film in of)
    regions = []
    for film in of:
        labels = label(film.lesions, connectivity=2)  # type: ignore[no-untyped-call]
        regions += [film.heatmap[labels == region] for region in range(1, labels.max() + 1)]
    points = [(0.0, 0.0)]
    for threshold in sorted({float(v) for film in of for v in film.heatmap.ravel()}, reverse=True):
        alarms = sum(((film.heatmap >= threshold) & ~film.lesions).sum() for film in of)
        points.append((alarms / healthy, float(np.mean([(region >= threshold).mean() for region in regions]))))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 < limit and x1 > x0:
            end = min(x1, limit)
            y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
            area += (end - x0) * (y0 + y_end) / 2
    return area / limit


def dice(prediction: Mask, truth: Mask) -> float:
    return binary_f1_score(torch.from_numpy(prediction).int(), torch.from_numpy(truth).int()).item()


def naive_pointing(film: Film) -> float:
    """Every pixel one after the other."""
    hits = []
    for (row, column), value in np.ndenumerate(film.heatmap):
        if value == film.heatmap.max():
            inside = [r <= row < r + h and c <= column < c + w for r, c, h, w in film.boxes]  # of whole pixels
            hits.append(any(inside))
    return sum(hits) / len(hits)


def mean_dice(of: list[Film], threshold: float) -> float:
    return float(np.mean([dice(f.heatmap >= np.float32(threshold), f.lesions) for f in of if f.lesions.any()]))


EXACT = ["tied", "binary", "zero", "one"]  # nothing is lost by quantising

KINDS = [*EXACT, "random", "low", "saturated"]
