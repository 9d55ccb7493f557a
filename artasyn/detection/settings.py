"""The settings of a detector: one frozen record, as config.json and as the metadata of an ONNX file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np

from artasyn.errors import ModelError
from artasyn.fields import Count, Share, Within, check_fields
from artasyn.networks.metadata import from_metadata, settings_of, to_metadata

Kind = Literal["reconstruction", "discriminative", "segmentation"]
"""How the heatmap is made. ``reconstruction`` takes the difference from the reconstruction. ``discriminative`` uses a
head on that difference and the features. ``segmentation``, for comparison, uses the same head on the features alone."""

Precision = Literal["fp32", "bf16"]
"""The numbers that a network computes with. Thresholds and novelty hold for ``fp32``, 32 bits. ``bf16``, bfloat16, is
faster on processors and GPUs that have instructions for it, and moves scores a little."""

Region = Literal["network", "hulls"]
"""Who tells where the lungs are."""

Size = Annotated[int, Within(16, 1024)]
"""Rows and columns that a network sees."""

Levels = Annotated[int, Within(1, 32)]
"""A number of feature maps."""

Weight = Annotated[float, Within(0, 100)]
"""The weight of a novelty."""

Groups = Annotated[int, Within(1, 16)]
"""A number of groups of normal radiographs."""

Percentiles = Annotated[tuple[Share, ...], Count(0, 1001)]
"""Scores of healthy radiographs, ascending and evenly spaced from the lowest to the highest."""


@dataclass(frozen=True)
class DetectorSettings:
    """Holds everything that defines a detector except the weights of its network.

    Attributes:
        encoder: the timm encoder of `artasyn.detection.reconstruction.ReconstructionNet`.
        size: rows and columns that the network sees.
        kind: how the heatmap is made, see `Kind`.
        levels: number of feature maps of the encoder that are used, finest first; None for all.
        threshold: heatmap value from which a pixel belongs to the mask; training calibrates it.
        image_threshold: score from which a radiograph counts as abnormal; training calibrates it.
        smoothing: standard deviation of the heatmap's Gaussian as a fraction of the window's side.
        top: share of the pixels whose mean enters the score, those with the highest values.
        restrict_to_lungs: examine only the lungs, see `region`.
        region: who tells where the lungs are. ``hulls`` are the convex hulls of the lungs that PBTSeg finds or that are
            given, with a soft border. ``network`` lets the head tell, where no lungs are given. In both ways, lung that
            is hidden by disease or the heart is examined too.
        novelty_weight: weight of the novelty in the score's log-odds.
        novelty_prior: weight of the novelty in the log-odds of every pixel of a head's heatmap: the same shadow means
            more on an unusual radiograph.
        mirrored: whether heatmap and novelty are averaged over the radiograph and the mirrored radiograph, which is
            steadier and takes twice the time.
        groups: number of groups of normal radiographs that the novelty knows.
        healthy_scores: scores of held-out healthy radiographs, for `DetectorSettings.percentile`; empty if unknown.

    Raises:
        ModelError: there is no such kind, or a number is out of range.

    Example:
        >>> settings = DetectorSettings(size=96, image_threshold=0.3)
        >>> settings.to_metadata()["artasyn.size"]
        '96'
        >>> DetectorSettings.from_metadata(settings.to_metadata()) == settings
        True
    """

    encoder: str = "test_resnet"
    size: Size = 128
    kind: Kind = "discriminative"
    levels: Levels | None = None
    threshold: Share = 0.5
    image_threshold: Share = 0.5
    smoothing: Share = 0.015
    top: Share = 0.1
    restrict_to_lungs: bool = True
    novelty_weight: Weight = 2.0
    novelty_prior: Weight = 0.3
    mirrored: bool = True
    groups: Groups = 1
    healthy_scores: Percentiles = ()
    region: Region = "network"

    def __post_init__(self) -> None:
        check_fields(self, ModelError)

    @property
    def has_decoder(self) -> bool:
        """Whether the network reconstructs the radiograph; otherwise the reconstruction is the radiograph itself."""
        return self.kind != "segmentation"

    @property
    def tells_lungs(self) -> bool:
        """Whether the network itself tells where the lungs are."""
        return self.has_head and self.region == "network"

    @property
    def has_head(self) -> bool:
        """Whether a head makes the heatmap; otherwise the heatmap is the difference from the reconstruction."""
        return self.kind != "reconstruction"

    def calibrated(
        self, threshold: float, image_threshold: float, healthy_scores: Sequence[float] | None = None
    ) -> DetectorSettings:
        """Returns the same settings with other thresholds.

        Args:
            threshold: heatmap value from which a pixel belongs to the mask.
            image_threshold: score from which a radiograph counts as abnormal.
            healthy_scores: scores of healthy radiographs, in any order; None keeps those that are there.
        """
        known = self.healthy_scores if healthy_scores is None else quantiles(healthy_scores)
        return replace(self, threshold=float(threshold), image_threshold=float(image_threshold), healthy_scores=known)

    def percentile(self, score: float) -> float:
        """Returns the percentage of healthy radiographs whose score is lower, in [0, 100]; NaN if none are known.

        Example:
            >>> DetectorSettings(healthy_scores=(0.1, 0.2, 0.3)).percentile(0.25)
            75.0
        """
        if not self.healthy_scores:
            return math.nan
        ranks = np.linspace(0, 100, len(self.healthy_scores))
        return round(float(np.interp(score, self.healthy_scores, ranks)), 2)

    def to_metadata(self) -> dict[str, str]:
        """Returns the names and values of an ONNX file's metadata, each value as JSON."""
        return to_metadata(self)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> DetectorSettings:
        """Reads the settings from an ONNX file's metadata.

        Args:
            metadata: names and values.

        Raises:
            ModelError: a setting is missing, or a value cannot be read or is out of range.
        """
        return from_metadata(cls, metadata)

    @classmethod
    def of(cls, values: Any, place: str) -> DetectorSettings:
        """Makes settings from the values that JSON holds; where one is missing, its default is taken.

        Args:
            values: the settings by their names.
            place: where the values stand, for the message.

        Raises:
            ModelError: a setting is unknown, or its value is of another type or out of range. The message continues a
                sentence that begins with the file's name.
        """
        return settings_of(cls, values, place)


KEPT = 201
"""Most scores of healthy radiographs that the settings keep."""


def quantiles(scores: Sequence[float]) -> tuple[float, ...]:
    """Returns at most `KEPT` quantiles of scores, ascending and evenly spaced from the lowest to the highest.

    Example:
        >>> quantiles([0.3, 0.1, 0.2])
        (0.1, 0.2, 0.3)
    """
    count = min(len(scores), KEPT)
    if not count:
        return ()
    return tuple(np.quantile(np.asarray(scores, np.float64), np.linspace(0, 1, count)).round(7).tolist())
