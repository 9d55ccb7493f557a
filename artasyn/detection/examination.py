"""Detection around the network: from radiographs to prepared squares, and from maps back to the radiographs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from artasyn.arrays import Heatmap, Image, Mask, Prepared, check_image
from artasyn.cautions import CAUTIONS, Caution, usable
from artasyn.detection.settings import DetectorSettings
from artasyn.detection.window import LungWindow, lung_region, prepare
from artasyn.errors import ImageError, ModelError
from artasyn.segment import Lungs, PBTSeg
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.segmenters import visible_lungs
from artasyn.shapes import Float32

Squares = Float32[np.ndarray, "b 1 size size"]
"""A batch of prepared radiographs, or of maps of them."""

Novelties = Float32[np.ndarray, " b"]
"""How unusual each radiograph of a batch is, see `artasyn.detection.novelty`."""

Maps = Callable[[Squares], tuple[Squares, Squares, Novelties]]
"""A network: prepared radiographs in; unclipped reconstructions, heatmaps in [0, 1] and novelties out."""


@dataclass(frozen=True, eq=False)
class Detection:
    """The result of a detector for one radiograph, on that radiograph's own grid.

    Attributes:
        score: how abnormal the whole image is, in [0, 1]: the mean of the heatmap's highest values, with the weighted
            novelty added to its log-odds.
        novelty: how far the whole image is from normal ones, in standard deviations of held-out normal radiographs. It
            is high for disease, and for radiographs of another kind than the detector was trained on.
        heatmap: float32 (h, w) in [0, 1], evidence for an anomaly in every pixel.
        mask: bool (h, w), where the heatmap reaches the threshold that was fixed before the test.
        reconstruction: float32 (h, w) in [0, 1], the radiograph as a healthy chest would give it, with the normalised
            contrast that the network sees.
        lungs: the lungs that the heatmap is restricted to; None where the heatmap covers all that the network sees: the
            lungs' window or, where not both lungs were found, the whole image.
        warnings: what speaks against the radiograph or its lungs, by the words of `artasyn.cautions`.
        reasons: the same in sentences.
        abnormal: whether the score reaches the threshold that was fixed before the test; never for an unusable
            radiograph, whose score means nothing.
    """

    score: float
    novelty: float
    heatmap: Heatmap
    mask: Mask
    reconstruction: Image
    lungs: Lungs | None
    warnings: tuple[Caution, ...] = ()
    reasons: tuple[str, ...] = ()
    abnormal: bool = False

    @property
    def status(self) -> Literal["ok", "unusable"]:
        """``unusable`` for a radiograph that cannot be judged: inverted, turned, not frontal, no chest or no lungs."""
        return "ok" if usable(self.warnings) else "unusable"

    @property
    def reason(self) -> str:
        """The reasons on one line; empty if there are none."""
        return "; ".join(self.reasons)


def examine(images: Sequence[Any], lungs: Sequence[Any], settings: DetectorSettings, maps: Maps) -> list[Detection]:
    """Examines a batch of radiographs of any sizes: every step of a detector except the network itself.

    Args:
        images: float32 (h, w) in [0, 1].
        lungs: the lungs of each image, on its grid, or its anatomy, whose visible lungs count; where None, PBTSeg finds
            them. The view is checked by PBTSeg even where the lungs are given.
        settings: of the detector.
        maps: the network.

    Returns:
        A `Detection` for each image.

    Raises:
        ImageError: an image is not valid, or its lungs are on another grid.
        ModelError: the network gives values that are not finite.

    Example:
        >>> film = np.random.default_rng(0).random((40, 50), np.float32)
        >>> maps = lambda images: (images, 0 * images + 0.25, np.zeros(len(images), np.float32))
        >>> (found,) = examine([film], [None], DetectorSettings(size=32, restrict_to_lungs=False), maps)
        >>> found.score, found.heatmap.shape, bool(found.mask.any())
        (0.25, (40, 50), False)
    """
    lungs = [visible_lungs(each) if isinstance(each, Anatomy) else each for each in lungs]
    _check(images, lungs)
    if not len(images):
        return []
    seen = [PBTSeg()(image) for image in images]
    found = [mine if known is None else _checked(known, mine) for mine, known in zip(seen, lungs, strict=True)]
    windows = [LungWindow.around(each) for each in found]
    cuts = [prepare(window.cut(image), settings.size) for window, image in zip(windows, images, strict=True)]
    reconstructions, heatmaps, novelties = maps(np.stack(cuts)[:, None])
    if not all(np.isfinite(found).all() for found in (reconstructions, heatmaps, novelties)):
        raise ModelError("the network gives values that are not finite; its weights are damaged")
    return [
        _detection(settings, image.shape, *each)
        for image, *each in zip(
            images, found, windows, reconstructions[:, 0], heatmaps[:, 0], novelties.tolist(), strict=True
        )
    ]


def _checked(known: Lungs, seen: Lungs) -> Lungs:
    """Adds to given lungs the cautions about the image itself that PBTSeg sees; its doubts about lungs do not count."""
    about_lungs = ("no_lungs", "one_lung", "uncertain")
    words = tuple(word for word in seen.warnings if word not in (*about_lungs, *known.warnings))
    if not words:
        return known
    sentences = dict(zip(seen.warnings, seen.reasons, strict=True)) if not seen.usable else CAUTIONS
    said = tuple(sentences[word] for word in words)
    return replace(known, warnings=known.warnings + words, reasons=known.reasons + said)


def _check(images: Sequence[Any], lungs: Sequence[Any]) -> None:
    """Refuses arrays that are not images, and lungs that do not belong to the images."""
    if len(lungs) != len(images):
        raise ImageError(f"{len(images)} images, but lungs for {len(lungs)}")
    for number, (image, known) in enumerate(zip(images, lungs, strict=True)):
        check_image(image, f"image {number}")
        if known is not None and not isinstance(known, Lungs):
            raise ImageError(f"lungs must be Lungs, not {type(known).__name__}; use Lungs.from_labels")
        if known is not None and known.labels.shape != image.shape:
            raise ImageError(f"lungs are {known.labels.shape}, image {number} is {image.shape}")


def _detection(
    settings: DetectorSettings,
    shape: tuple[int, int],
    lungs: Lungs,
    window: LungWindow,
    reconstruction: Prepared,
    heatmap: Prepared,
    novelty: float,
) -> Detection:
    """Brings the network's maps to the radiograph's own grid and restricts the heatmap to the lungs."""
    region = np.ones_like(heatmap)
    restricted = settings.restrict_to_lungs and lungs.found
    if restricted:
        region = lung_region(window.cut(lungs.labels), settings.size)
    heatmap = heatmap * region
    whole = window.restore(heatmap, shape)
    healthy = window.restore(np.clip(reconstruction, 0, 1), shape)
    inside = region >= min(0.5, float(region.max()))  # lungs of a few pixels have a faint region
    rated = score(heatmap[inside], settings.top, settings.novelty_weight * novelty)
    return Detection(
        rated,
        novelty,
        whole,
        whole >= settings.threshold,
        healthy,
        lungs if restricted else None,
        lungs.warnings,
        lungs.reasons,
        abnormal=lungs.usable and rated >= settings.image_threshold,
    )


def score(values: np.ndarray, top: float, evidence: float = 0.0) -> float:
    """Computes a score from the highest heatmap values and further evidence for disease.

    Args:
        values: heatmap values of the pixels that count, any shape, in [0, 1].
        top: the share of the values that is averaged, the highest ones; at least one value.
        evidence: added to the log-odds of the mean.

    Example:
        >>> score(np.array([0.1, 0.2, 0.3, 0.5], np.float32), top=0.5)
        0.4
        >>> score(np.array([0.1, 0.2, 0.3, 0.5], np.float32), top=0.5, evidence=1.0)
        0.644405
    """
    flat = values.ravel()
    count = max(1, round(top * flat.size))
    mean = float(np.partition(flat, flat.size - count)[flat.size - count :].mean())
    return round(mean / (mean + (1 - mean) * math.exp(-min(max(evidence, -700.0), 700.0))), 7)
