"""The settings of a detector: one frozen record, as config.json and as the metadata of an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from artasyn.errors import ModelError
from artasyn.fields import Share, Within, check_fields
from artasyn.networks.metadata import from_metadata, settings_of, to_metadata

Kind = Literal["reconstruction", "discriminative", "segmentation"]
"""How the heatmap is made. ``reconstruction`` takes the difference from the reconstruction. ``discriminative`` uses a
head on that difference and the features. ``segmentation``, for comparison, uses the same head on the features alone."""

Size = Annotated[int, Within(16, 1024)]
"""Rows and columns that a network sees."""

Levels = Annotated[int, Within(1, 32)]
"""A number of feature maps."""

Weight = Annotated[float, Within(0, 100)]
"""The weight of a novelty."""

NEWER = ("encoder", "levels", "novelty_prior", "mirrored")
"""Settings that the first ONNX files do not state. Their effect is built into the network of the file, so the default
replaces a missing one."""


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
        restrict_to_lungs: examine only the lungs, found by PBTSeg unless they are given. The region is their convex
            hulls with a soft border, so that lung hidden by disease or the heart is examined too.
        novelty_weight: weight of the novelty in the score's log-odds; 0 for the heatmap alone.
        novelty_prior: weight of the novelty in the log-odds of every pixel of a head's heatmap: the same shadow means
            more on an unusual radiograph.
        mirrored: whether heatmap and novelty are averaged over the radiograph and the mirrored radiograph, which is
            steadier and takes twice the time.

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
    novelty_weight: Weight = 1.0
    novelty_prior: Weight = 0.2
    mirrored: bool = True

    def __post_init__(self) -> None:
        check_fields(self, ModelError)

    @property
    def has_decoder(self) -> bool:
        """Whether the network reconstructs the radiograph; otherwise the reconstruction is the radiograph itself."""
        return self.kind != "segmentation"

    @property
    def has_head(self) -> bool:
        """Whether a head makes the heatmap; otherwise the heatmap is the difference from the reconstruction."""
        return self.kind != "reconstruction"

    def calibrated(self, threshold: float, image_threshold: float) -> DetectorSettings:
        """Returns the same settings with other thresholds."""
        return replace(self, threshold=float(threshold), image_threshold=float(image_threshold))

    def to_metadata(self) -> dict[str, str]:
        """Returns the names and values of an ONNX file's metadata, each value as JSON."""
        return to_metadata(self)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> DetectorSettings:
        """Reads the settings from an ONNX file's metadata.

        Args:
            metadata: names and values; where one of `NEWER` is missing, its default is taken.

        Raises:
            ModelError: another setting is missing, or a value cannot be read or is out of range.
        """
        return from_metadata(cls, metadata, NEWER)

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
