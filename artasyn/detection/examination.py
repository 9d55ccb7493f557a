"""Detection around the network: from radiographs to prepared squares, and from maps back to the radiographs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from artasyn.arrays import Heatmap, Image, Mask, Prepared, check_image
from artasyn.cautions import CAUTIONS, Caution, usable
from artasyn.detection.settings import DetectorSettings
from artasyn.detection.window import LungWindow, lung_region, prepare
from artasyn.errors import ImageError, ModelError
from artasyn.segment import Lungs, PBTSeg
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.shapes import Float32

Squares = Float32[np.ndarray, "b 1 size size"]
"""A batch of prepared radiographs, or of maps of them."""

Novelties = Float32[np.ndarray, " b"]
"""One number for each radiograph of a batch."""


class Maps(NamedTuple):
    """What a network tells about a batch of prepared radiographs.

    Attributes:
        reconstructions: (b, 1, size, size), not clipped.
        heatmaps: (b, 1, size, size) in [0, 1].
        novelties: (b,), see `artasyn.detection.novelty`.
        lungs: (b, 1, size, size) in [0, 1], how much each pixel counts as lung.
    """

    reconstructions: Squares
    heatmaps: Squares
    novelties: Novelties
    lungs: Squares


Look = Callable[[Squares], Maps]
"""A network: prepared radiographs in, `Maps` out."""


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
        lungs: the lungs that the window was laid around; None where the heatmap covers all that the network sees: the
            lungs' window or, where not both lungs were found, the whole image.
        region: float32 (h, w) in [0, 1], the region that the heatmap is restricted to: the lungs with their parts that
            disease or the heart hides.
        warnings: what speaks against the radiograph or its lungs, by the words of `artasyn.cautions`.
        reasons: the same in sentences.
        abnormal: whether the score reaches the threshold that was fixed before the test; never for an unusable
            radiograph, whose score means nothing.
        percentile: percentage of healthy radiographs like those of the training or of the calibration whose score is
            lower; NaN if the detector knows none.
    """

    score: float
    novelty: float
    heatmap: Heatmap
    mask: Mask
    reconstruction: Image
    lungs: Lungs | None
    region: Heatmap
    warnings: tuple[Caution, ...] = ()
    reasons: tuple[str, ...] = ()
    abnormal: bool = False
    percentile: float = math.nan

    @property
    def status(self) -> Literal["ok", "unusable"]:
        """``unusable`` for a radiograph that cannot be judged: inverted, turned, not frontal, no chest or no lungs."""
        return "ok" if usable(self.warnings) else "unusable"

    @property
    def reason(self) -> str:
        """The reasons on one line; empty if there are none."""
        return "; ".join(self.reasons)


def examine(images: Sequence[Any], lungs: Sequence[Any], settings: DetectorSettings, look: Look) -> list[Detection]:
    """Examines a batch of radiographs of any sizes: every step of a detector except the network itself.

    Args:
        images: float32 (h, w) in [0, 1].
        lungs: the lungs of each image, on its grid, or its anatomy, whose whole lungs count; where None, PBTSeg lays
            the window, and the network tells where the lungs are. The view is checked by PBTSeg even where the lungs
            are given.
        settings: of the detector.
        look: the network.

    Returns:
        A `Detection` for each image.

    Raises:
        ImageError: an image is not valid, or its lungs are on another grid.
        ModelError: the network gives values that are not finite.

    Example:
        >>> film = np.random.default_rng(0).random((40, 50), np.float32)
        >>> none = np.zeros(1, np.float32)
        >>> look = lambda images: Maps(images, 0 * images + 0.25, none, 0 * images + 1)
        >>> (found,) = examine([film], [None], DetectorSettings(size=32, restrict_to_lungs=False), look)
        >>> found.score, found.heatmap.shape, bool(found.mask.any())
        (0.25, (40, 50), False)
    """
    lungs = [each.lungs(each.extent) if isinstance(each, Anatomy) else each for each in lungs]
    _check(images, lungs)
    if not len(images):
        return []
    seen = [PBTSeg()(image) for image in images]
    found = [mine if known is None else _checked(known, mine) for mine, known in zip(seen, lungs, strict=True)]
    windows = [LungWindow.around(each) for each in found]
    cuts = [prepare(window.cut(image), settings.size) for window, image in zip(windows, images, strict=True)]
    maps = look(np.stack(cuts)[:, None])
    if not all(np.isfinite(each).all() for each in maps):
        raise ModelError("the network gives values that are not finite; its weights are damaged")
    detections = []
    for number, (image, mine, window) in enumerate(zip(images, found, windows, strict=True)):
        one = Maps(*(each[number] for each in maps))
        region = _region(settings, mine, window, one, given=lungs[number] is not None)
        detections.append(_detection(settings, image.shape, mine, window, one, region))
    return detections


def _region(
    settings: DetectorSettings, lungs: Lungs, window: LungWindow, maps: Maps, *, given: bool
) -> Prepared | None:
    """Returns how much each pixel of the window counts as lung; None where all that the network sees counts."""
    if not (settings.restrict_to_lungs and lungs.found):
        return None
    if given or not settings.tells_lungs:
        return lung_region(window.cut(lungs.labels), settings.size)
    return np.asarray(maps.lungs[0], np.float32)


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
    maps: Maps,
    region: Prepared | None,
) -> Detection:
    """Brings the network's maps to the radiograph's own grid and restricts the heatmap to the lungs."""
    weight = np.ones((settings.size, settings.size), np.float32) if region is None else region
    heatmap = maps.heatmaps[0] * weight
    whole = window.restore(heatmap, shape)
    healthy = window.restore(np.clip(maps.reconstructions[0], 0, 1), shape)
    inside = weight >= min(0.5, float(weight.max()))  # lungs of a few pixels have a faint region
    rated = score(heatmap[inside], settings.top, settings.novelty_weight * float(maps.novelties))
    return Detection(
        rated,
        float(maps.novelties),
        whole,
        whole >= settings.threshold,
        healthy,
        None if region is None else lungs,
        window.restore(weight, shape),
        lungs.warnings,
        lungs.reasons,
        abnormal=lungs.usable and rated >= settings.image_threshold,
        percentile=settings.percentile(rated),
    )


def score(values: np.ndarray, top: float, evidence: float = 0.0) -> float:
    """Computes a score from the highest heatmap values and further evidence for disease.

    Args:
        values: heatmap values of the pixels that count, any shape, in [0, 1].
        top: the share of the values that is averaged, the highest ones; at least one value.
        evidence: added to the log-odds of the mean, the weighted novelty.

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
