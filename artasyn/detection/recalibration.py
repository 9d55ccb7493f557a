"""Recalibration: a trained detector is fitted to the healthy radiographs of another hospital, without training."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from artasyn.arrays import Image
from artasyn.detection.calibration import Calibration
from artasyn.detection.examination import Squares, score
from artasyn.detection.network import DetectorNetwork
from artasyn.detection.window import LungWindow, lung_region, prepare
from artasyn.errors import DataError
from artasyn.segment import PBTSeg
from artasyn.shapes import Float32

FEWEST = 20
"""Fewest healthy radiographs that tell what is usual."""

BATCH = 32
"""Radiographs that the network sees at once."""

RARE = 2.0
"""Novelty that few normal radiographs like those of the training reach."""


@dataclass(frozen=True, eq=False)
class Recalibrated:
    """A detector that knows the healthy radiographs of another hospital.

    Attributes:
        network: the network with other thresholds and another standard of novelty; its weights are the same.
        names: the radiographs that count.
        novelty_before: float32 (n,), their novelty for the detector as it was: how far they are from its training.
        flagged_before: bool (n,), whether the detector as it was called them abnormal.
        novelty: float32 (n,), their novelty now.
        scores: float32 (n,), their scores now.
        marked_before: mean share of their lungs' pixels that the detector as it was marked.
        marked: the same now.
        left_out: names and reasons of radiographs that cannot be judged.
    """

    network: DetectorNetwork
    names: tuple[str, ...]
    novelty_before: Float32[np.ndarray, " n"]
    flagged_before: np.ndarray
    novelty: Float32[np.ndarray, " n"]
    scores: Float32[np.ndarray, " n"]
    marked_before: float
    marked: float
    left_out: tuple[tuple[str, str], ...]

    @property
    def distance(self) -> str:
        """How far the radiographs are from those of the training, in a sentence."""
        middle, rare = float(np.median(self.novelty_before)), float(np.mean(self.novelty_before > RARE))
        word = "like" if middle < 0.5 else "somewhat unlike" if middle < RARE else "unlike"
        return (
            f"these radiographs are {word} those of the training: their median novelty was {middle:.2f} standard "
            f"deviations, and {100 * rare:.0f} % were above {RARE:g}"
        )


def recalibrate(
    network: DetectorNetwork,
    films: Iterable[tuple[str, Image]],
    *,
    false_positive_rate: float = 0.04,
    false_positive_pixels: float = 0.05,
) -> Recalibrated:
    """Fits thresholds, and the standard of the novelty, to healthy radiographs.

    The novelty keeps the statistics of the training's radiographs, so that disease is as far away as before. Only its
    zero and its unit become those of the given radiographs.

    Args:
        network: of a detector; it is not changed.
        films: names and images of healthy radiographs, as many as there are; twenty at least, and better some hundreds.
        false_positive_rate: share of them that may be called abnormal.
        false_positive_pixels: share of their lungs' pixels that may be marked.

    Returns:
        The detector's network, and how the radiographs fare with it.

    Raises:
        DataError: fewer than twenty radiographs can be judged.
    """
    names, squares, regions, left_out = _prepared(films, network.settings.size)
    if len(names) < FEWEST:
        raise DataError(
            f"{len(names)} healthy radiographs can be judged, and {FEWEST} are needed to tell what is usual"
            + (f"; left out: {left_out[0][0]} ({left_out[0][1]})" if left_out else "")
        )
    before = _seen(network, squares, regions)
    fitted = copy.deepcopy(network).eval()
    fitted.novelty.adapt(_statistics(fitted, squares))
    now = _seen(fitted, squares, regions)
    calibration = Calibration()
    for heatmap, inside, rated in zip(now.heatmaps, now.inside, now.scores, strict=True):
        calibration.add(heatmap, np.zeros_like(inside), float(rated), inside)
    fitted.calibrate(
        calibration.pixel_threshold(false_positive_pixels),
        calibration.image_threshold(false_positive_rate),
        now.scores.tolist(),
    )
    return Recalibrated(
        fitted,
        tuple(names),
        before.novelty,
        before.scores >= network.settings.image_threshold,
        now.novelty,
        now.scores,
        before.marked(network.settings.threshold),
        now.marked(fitted.settings.threshold),
        tuple(left_out),
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a detector sees on radiographs: heatmaps (n, size, size), the lungs, scores and novelties."""

    heatmaps: Float32[np.ndarray, "n size size"]
    inside: np.ndarray
    scores: Float32[np.ndarray, " n"]
    novelty: Float32[np.ndarray, " n"]

    def marked(self, threshold: float) -> float:
        """Returns the mean share of the lungs' pixels that a threshold marks."""
        marked = (self.heatmaps >= threshold) & self.inside
        return float((marked.sum(axis=(1, 2)) / self.inside.sum(axis=(1, 2)).clip(1)).mean())


def _prepared(
    films: Iterable[tuple[str, Image]], size: int
) -> tuple[list[str], Squares, Squares, list[tuple[str, str]]]:
    """Returns names, windows and hulls of the radiographs that can be judged; names and reasons of the others."""
    names: list[str] = []
    squares: list[np.ndarray] = []
    regions: list[np.ndarray] = []
    left_out: list[tuple[str, str]] = []
    for name, image in films:
        lungs = PBTSeg()(image)
        if not (lungs.usable and lungs.found):
            left_out.append((name, lungs.doubts or "lungs not found"))
            continue
        window = LungWindow.around(lungs)
        names.append(name)
        squares.append(prepare(window.cut(image), size))
        regions.append(lung_region(window.cut(lungs.labels), size))
    prepared, hulls = (np.array(each, np.float32).reshape(-1, 1, size, size) for each in (squares, regions))
    return names, prepared, hulls, left_out


def _seen(network: DetectorNetwork, squares: Squares, regions: Squares) -> _Seen:
    settings = network.settings
    parts = [network.maps(squares[first : first + BATCH]) for first in range(0, len(squares), BATCH)]
    heatmaps, lungs = (np.concatenate([getattr(part, name)[:, 0] for part in parts]) for name in ("heatmaps", "lungs"))
    novelty = np.concatenate([part.novelties for part in parts])
    lungs = lungs if settings.tells_lungs else regions[:, 0]
    if settings.restrict_to_lungs:
        heatmaps = heatmaps * lungs
    inside = lungs >= np.minimum(0.5, lungs.max(axis=(1, 2)))[:, None, None]
    scores = [
        score(heatmap[there], settings.top, settings.novelty_weight * float(one))
        for heatmap, there, one in zip(heatmaps, inside, novelty, strict=True)
    ]
    return _Seen(heatmaps, inside, np.array(scores, np.float32), novelty)


@torch.inference_mode()
def _statistics(network: DetectorNetwork, squares: Float32[np.ndarray, "n 1 size size"]) -> torch.Tensor:
    """Returns the statistics of the radiographs, and those of their mirror images if the detector takes both."""
    found = []
    for first in range(0, len(squares), BATCH):
        images = torch.from_numpy(squares[first : first + BATCH]).to(network.device)
        views = (images, images.flip(-1)) if network.settings.mirrored else (images,)
        found += [network.statistics(network.network.encode(view)) for view in views]
    return torch.cat(found)
