"""Filters: what is wrong with an imagined film, each with a score, a threshold that was fixed before, and a reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from sklearn.metrics import average_precision_score

from artasyn.arrays import Heatmap, Image, Mask
from artasyn.errors import SynthesisError
from artasyn.evaluation.overlap import dice
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.shapes import Float32
from artasyn.synthesis.diffusion.film import ImaginedAnomaly
from artasyn.synthesis.finding import FINDINGS

SIZE = 256
"""Rows and columns of the film that texture and contrast are measured on."""
SIGMA = 2.0
"""Standard deviation of the blur in pixels; a film minus the blurred film is its fine structure."""
FEW = 64
"""Pixels; figures of smaller regions are not defined, and reject nothing."""
THUMBNAIL = 32
"""Rows and columns of the films that are compared as copies."""
ORGANS = ("drawn_heart", "whole_lung_right", "whole_lung_left", "spine", "trachea")
"""The structures that must stay where they were."""
LEAST_ORGAN = 0.001
"""Share of the film; smaller structures are not compared."""

REASONS = {
    "adherence": "the masks do not show what the prompt says",
    "detected": "the detector does not see the findings where the masks say",
    "organs": "the anatomy network no longer finds the organs where they were",
    "novelty": "the film is further from normal films, or nearer to them, than real disease",
    "texture": "the fine structure within the masks is not that of real disease",
    "brightness": "the findings are brighter or darker than real disease",
    "contrast": "the findings do not stand out from the noise",
    "nearest": "the film is nearly the same as a film that is known",
}
"""What each filter finds, by the name of its score."""


class Seen(Protocol):
    """What a detector tells of a film; `artasyn.Detection` has it."""

    @property
    def heatmap(self) -> Heatmap:
        """Evidence for an anomaly in every pixel, (h, w) in [0, 1]."""

    @property
    def novelty(self) -> float:
        """How far the film is from normal ones, in standard deviations."""


@dataclass(frozen=True)
class Verdict:
    """What the filters say of one film.

    Attributes:
        ok: whether every filter accepts it.
        scores: the score of every filter that could be asked.
        reasons: what is wrong, in sentences with the score and its bounds.
    """

    ok: bool
    scores: Mapping[str, float]
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, scores: Mapping[str, float], bounds: Mapping[str, tuple[float, float]]) -> Verdict:
        """Judges scores by their bounds.

        Args:
            scores: by the names of `REASONS`.
            bounds: the lowest and the highest score that is accepted.

        Example:
            >>> Verdict.of({"contrast": 0.2}, {"contrast": (0.5, 99.0)}).reasons
            ('the findings do not stand out from the noise (contrast 0.2, not 0.5 to 99)',)
        """
        reasons = []
        for name, score in scores.items():
            low, high = bounds[name]
            if not low <= score <= high:
                reasons.append(f"{REASONS[name]} ({name} {score:.3g}, not {low:.3g} to {high:.3g})")
        return cls(not reasons, scores, tuple(reasons))


@cache
def usual_bounds() -> Mapping[str, tuple[float, float]]:
    """Returns the bounds of every score, from `bounds.json`: percentiles of real diseased films, fixed before use."""
    held = json.loads(Path(__file__).with_name("bounds.json").read_text(encoding="utf-8"))
    return {name: (float(low), float(high)) for name, (low, high) in held["bounds"].items()}


@dataclass(frozen=True, eq=False)
class Filters:
    """Judges imagined films; a filter whose network is not given is not asked.

    Attributes:
        detect: a detector, which sees the findings where the masks say; None asks none.
        read: a network that reads anatomy, which still finds the organs; None asks none.
        known: thumbnails from `thumbnail` of films that no film may copy, float32 (n, 32, 32).
        bounds: the lowest and highest accepted score of each filter; None takes `usual_bounds`.
    """

    detect: Callable[[Image], Seen] | None = None
    read: Callable[[Image], Anatomy] | None = None
    known: Float32[np.ndarray, "n 32 32"] | None = None
    bounds: Mapping[str, tuple[float, float]] | None = None

    def __call__(self, healthy: Image, film: ImaginedAnomaly, *, before: Anatomy | None = None) -> Verdict:
        """Judges a film.

        Args:
            healthy: the radiograph before, float32 (h, w) in [0, 1].
            film: the imagined film.
            before: the anatomy of the healthy radiograph, where it is known already.

        Raises:
            SynthesisError: the film shows no finding.
        """
        if not film.mask.any():
            raise SynthesisError("a film without findings cannot be judged by what its masks show")
        lungs = film.masks.place.lungs.mask
        scores = {"adherence": 1.0 if not film.masks.disagreements() else 0.0}
        scores |= looks(film.image, _tissue(film), lungs)
        scores["contrast"] = contrast(film.attenuation, film.mask, healthy, lungs)
        if self.detect is not None:
            seen = self.detect(film.image)
            scores["detected"] = detected(seen.heatmap, film.mask, lungs)
            scores["novelty"] = seen.novelty
        if self.read is not None:
            scores["organs"] = organs(before or self.read(healthy), self.read(film.image))
        if self.known is not None and len(self.known):
            scores["nearest"] = nearest(thumbnail(film.image), self.known)
        defined = {name: float(score) for name, score in scores.items() if np.isfinite(score)}
        return Verdict.of(defined, self.bounds or usual_bounds())


def _tissue(film: ImaginedAnomaly) -> Mask:
    """Returns the changed pixels without those of fluids, which are denser than any disease of the lung."""
    found, fluid = np.zeros(film.mask.shape, bool), np.zeros(film.mask.shape, bool)
    for each, region in zip(film.masks.masks, film.regions, strict=True):
        (fluid if FINDINGS[each.asked.finding].dependent else found)[region] = True
    return np.asarray(found & ~fluid)


def detected(heatmap: Heatmap, mask: Mask, lungs: Mask) -> float:
    """Returns the average precision of a heatmap against a mask, inside the lungs: 0 by chance, 1 at best.

    The share of the lungs that the mask fills is the precision by chance; what is left above it is scaled to 1, so
    that small and large findings have one bound.

    Args:
        heatmap: (h, w) in [0, 1].
        mask: (h, w), the findings.
        lungs: (h, w).
    """
    inside = lungs | mask
    truth = mask[inside]
    chance = float(truth.mean())
    if chance == 1:
        return 1.0
    return (float(average_precision_score(truth, heatmap[inside])) - chance) / (1 - chance)


def organs(before: Anatomy, after: Anatomy) -> float:
    """Returns the lowest Dice of the structures that both anatomies know; NaN where they know none.

    Args:
        before: of the healthy radiograph.
        after: of the imagined film.
    """
    found = []
    for name in ORGANS:
        if name in before.names and name in after.names:
            one = before.mask(name)
            if one.mean() >= LEAST_ORGAN:
                found.append(dice(one, after.mask(name)))
    return min(found, default=float("nan"))


def looks(image: Image, mask: Mask, lungs: Mask) -> dict[str, float]:
    """Returns texture and brightness of the findings beside the lungs around them; NaN where too few pixels are left.

    Texture is the standard deviation of the fine structure within the mask over that of the other lung. Brightness is
    the difference of their medians, in steps from there to soft tissue.

    Args:
        image: (h, w) in [0, 1].
        mask: (h, w), the findings.
        lungs: (h, w).
    """
    film = _small(image)
    inside, other = _small(mask & lungs) >= 0.5, _small(lungs & ~mask) >= 0.5
    if min(np.count_nonzero(inside), np.count_nonzero(other)) < FEW:
        return {"texture": float("nan"), "brightness": float("nan")}
    fine = film - cv2.GaussianBlur(film, (0, 0), SIGMA)
    level = float(np.median(film[other]))
    step = max(float(np.quantile(film, 0.85)) - level, 0.05)
    return {
        "texture": float(fine[inside].std()) / max(float(fine[other].std()), 1e-6),
        "brightness": (float(np.median(film[inside])) - level) / step,
    }


def contrast(attenuation: Heatmap, mask: Mask, healthy: Image, lungs: Mask) -> float:
    """Returns the contrast-to-noise ratio: what the densest tenth of a finding adds, over the lungs' fine structure.

    Args:
        attenuation: (h, w), what was added.
        mask: (h, w), the findings.
        healthy: (h, w), the radiograph before.
        lungs: (h, w).
    """
    film, there = _small(healthy), _small(lungs) >= 0.5
    if np.count_nonzero(there) < FEW:
        return float("nan")
    fine = film - cv2.GaussianBlur(film, (0, 0), SIGMA)
    return float(np.quantile(attenuation[mask], 0.9)) / max(float(fine[there].std()), 1e-6)


def thumbnail(image: Image) -> Float32[np.ndarray, "32 32"]:
    """Returns a film as 32 x 32 numbers with mean 0 and length 1, so that a product of two is their correlation."""
    small = cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    small = small - small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-6), np.float32)


def nearest(small: Float32[np.ndarray, "32 32"], known: Float32[np.ndarray, "n 32 32"]) -> float:
    """Returns the highest correlation of a thumbnail with known ones."""
    return float((known * small).sum(axis=(1, 2)).max())


def _small(values: Any) -> Float32[np.ndarray, "size size"]:
    resized = cv2.resize(np.asarray(values, np.float32), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.float32)
