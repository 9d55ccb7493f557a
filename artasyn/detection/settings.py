"""The settings of a detector: one frozen record, as config.json and as the metadata of an ONNX file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from artasyn.errors import ModelError
from artasyn.version import __version__

Kind = Literal["reconstruction", "discriminative", "segmentation"]
"""How the heatmap is made. ``reconstruction`` takes the difference from the reconstruction. ``discriminative`` uses a
head on that difference and the features. ``segmentation``, for comparison, uses the same head on the features alone."""

PREFIX = "artasyn."
"""Prefix of the settings' names in an ONNX file's metadata."""

NEWER = ("encoder", "levels", "novelty_prior", "mirrored")
"""Settings that the first ONNX files do not state. Their effect is built into the network of the file, so the default
replaces a missing one."""

ABOUT_FILE = {"version": __version__, "license": "MIT"}
"""Further metadata of an ONNX file: the version of artasyn that wrote it and the license of the weights."""


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
        ModelError: there is no such kind.

    Example:
        >>> settings = DetectorSettings(size=96, image_threshold=0.3)
        >>> settings.to_metadata()["artasyn.size"]
        '96'
        >>> DetectorSettings.from_metadata(settings.to_metadata()) == settings
        True
    """

    encoder: str = "test_resnet"
    size: int = 128
    kind: Kind = "discriminative"
    levels: int | None = None
    threshold: float = 0.5
    image_threshold: float = 0.5
    smoothing: float = 0.015
    top: float = 0.1
    restrict_to_lungs: bool = True
    novelty_weight: float = 1.0
    novelty_prior: float = 0.2
    mirrored: bool = True

    def __post_init__(self) -> None:
        _check_kind(self.kind)

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
        return {f"{PREFIX}{name}": json.dumps(value) for name, value in (asdict(self) | ABOUT_FILE).items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> DetectorSettings:
        """Reads the settings from an ONNX file's metadata.

        Args:
            metadata: names and values; where one of `NEWER` is missing, its default is taken.

        Raises:
            ModelError: another setting is missing, or a value cannot be read.
        """
        names = [field.name for field in fields(cls)]
        found: dict[str, Any] = {}
        for name in (*names, *ABOUT_FILE):
            key = f"{PREFIX}{name}"
            if key not in metadata:
                if name in NEWER:
                    continue
                raise ModelError(f"there is no {key} in its metadata")
            try:
                found[name] = json.loads(metadata[key])
            except ValueError as error:
                raise ModelError(f"its {key} is {metadata[key]!r}") from error
        _check_kind(found["kind"])
        return cls(**{name: value for name, value in found.items() if name in names})


def _check_kind(kind: object) -> None:
    """Refuses an unknown kind."""
    if kind not in get_args(Kind):
        raise ModelError(f"no kind of detector {kind!r}; choose from {', '.join(get_args(Kind))}")
