"""The figures of one network on composed films and on real films, for `benchmarks.score_partial`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from artasyn.evaluation.overlap import dice
from artasyn.segment.anatomy.supervision import Supervision
from artasyn.segment.anatomy.window import Window, resample
from benchmarks.partial_labels import FULL, Pool
from benchmarks.real_anatomy import files, ratio, read_film

SIZE, GRID = 64, 256
"""Pixels of the network's input, and of the longer side on which real films are scored."""

THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
LEAST = 2
"""Pixels of the network's maps from which on a structure that the film does not show counts as made up."""

Run = dict[str, Any]


@torch.no_grad()
def predicted(network: nn.Module, way: Supervision, images: np.ndarray) -> np.ndarray:
    """The probabilities (n, k, y, x) of films (n, s, s)."""
    parts = torch.split(torch.from_numpy(images)[:, None], 32)
    return torch.cat([way.probabilities(network(part)[0]) for part in parts]).numpy()


def overlaps(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The Dice (n, k) of masks (n, k, y, x); NaN where the film shows nothing of the structure."""
    both, total = (found & truth).sum(axis=(2, 3)), found.sum(axis=(2, 3)) + truth.sum(axis=(2, 3))
    return np.where(truth.any(axis=(2, 3)), 2 * both / np.maximum(total, 1), np.nan)


def channel_means(scores: np.ndarray, counted: np.ndarray, least: int = 1) -> np.ndarray:
    """The mean (k,) of scores (n, k) where they count and are defined; NaN for channels with fewer than `least`."""
    counted = counted & np.isfinite(scores)
    count = counted.sum(axis=0)
    total = np.where(counted, scores, 0).sum(axis=0)
    return np.where(count >= least, total / np.maximum(count, 1), np.nan)


def projection_figures(network: nn.Module, way: Supervision, hidden: Pool, truth: Pool, held_out: Pool) -> Run:
    """The figures on composed films.

    Args:
        network: the trained network.
        way: the way it was trained in.
        hidden: films of the training, with what the training saw of their labels.
        truth: the same films with all their labels.
        held_out: films of other patients, with all their labels.
    """
    maps, drawn = predicted(network, way, held_out.images), np.moveaxis(held_out.masks, 3, 1) >= FULL // 2
    choice = {
        each: np.nanmean(channel_means(overlaps(maps[::2] >= each, drawn[::2]), held_out.known[::2]))
        for each in THRESHOLDS
    }
    threshold = max(choice, key=lambda each: choice[each])
    known, shown = held_out.known[1::2], maps[1::2] >= threshold
    means = channel_means(overlaps(shown, drawn[1::2]), known, least=5)
    made_up = known & ~held_out.masks[1::2].any(axis=(1, 2)) & (shown.sum(axis=(2, 3)) >= LEAST)
    seen = predicted(network, way, truth.images) >= threshold
    scores = overlaps(seen, np.moveaxis(truth.masks, 3, 1) >= FULL // 2)
    worst = int(np.nanargmin(means))
    return {
        "threshold": threshold,
        "held_out": float(np.nanmean(means)),
        "worst": float(means[worst]),
        "worst_structure": held_out.names[worst],
        "made_up": float(made_up.sum(axis=1).mean()),
        "labelled": _mean(channel_means(scores, hidden.known)),
        "hidden": _mean(channel_means(scores, truth.known & ~hidden.known)),
    }


def _mean(values: np.ndarray) -> float | None:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


class RealFilms:
    """The real films of one set, with lungs and heart as readers drew them.

    Args:
        data: folder of the real data.
        name: name of the set.
    """

    def __init__(self, data: Path, name: str) -> None:
        read = [read_film(file, ("lungs", "heart"), GRID) for file in tqdm(files(data, name), desc=name, unit="film")]
        self.windows = [Window.of((image.shape[0], image.shape[1]), SIZE) for image, _ in read]
        self.images = np.stack([window.prepare(image) for window, (image, _) in zip(self.windows, read, strict=True)])
        self.truths = [truth for _, truth in read]
        self.ratios = np.array([ratio(truth["heart"], truth["lungs"]) for truth in self.truths])

    def maps(self, network: nn.Module, way: Supervision, names: Sequence[str]) -> list[dict[str, np.ndarray]]:
        """The probabilities of lungs and heart of every film, on the grid of the truth."""
        found = []
        probabilities = predicted(network, way, self.images)
        sides = [names.index(f"visible_lung_{side}") for side in ("right", "left")]
        parts = {"lungs": probabilities[:, sides].max(axis=1), "heart": probabilities[:, names.index("drawn_heart")]}
        for number, (window, truth) in enumerate(zip(self.windows, self.truths, strict=True)):
            shape = (truth["lungs"].shape[0], truth["lungs"].shape[1])
            found.append({part: resample(window.cut(maps[number]), shape) for part, maps in parts.items()})
        return found


def real_figures(network: nn.Module, way: Supervision, sets: dict[str, RealFilms], names: Sequence[str]) -> Run:
    """The figures of every reported real film: Dice of lungs and heart, and the error of the cardiothoracic ratio."""
    maps = {name: films.maps(network, way, names) for name, films in sets.items()}

    def scores(part: str, threshold: float, half: slice) -> dict[str, list[float]]:
        return {
            name: [
                dice(found[part] >= threshold, truth[part])
                for found, truth in zip(maps[name][half], films.truths[half], strict=True)
            ]
            for name, films in sets.items()
        }

    chosen: dict[str, float] = {}
    for part in ("lungs", "heart"):
        choice = {
            each: sum(statistics.mean(of) for of in scores(part, each, slice(0, None, 2)).values())
            for each in THRESHOLDS
        }
        chosen[part] = max(choice, key=lambda each: choice[each])
    odd = slice(1, None, 2)
    figures: Run = {part: scores(part, chosen[part], odd) for part in chosen}
    figures["ratio_error"] = {
        name: [
            abs(ratio(*(found[part] >= chosen[part] for part in ("heart", "lungs"))) - float(true))
            for found, true in zip(maps[name][odd], films.ratios[odd], strict=True)
        ]
        for name, films in sets.items()
    }
    return {"thresholds": chosen} | figures
