"""Where stored detectors lie and how their files are read."""

from __future__ import annotations

from pathlib import Path

from artasyn.detection.settings import DetectorSettings
from artasyn.networks.stored import ModelKind

BUNDLED = Path(__file__).parents[1] / "model"
"""The folder of the detector that comes with artasyn."""

DETECTOR = ModelKind(
    noun="a detector",
    settings=DetectorSettings,
    bundled=BUNDLED,
    command="artasyn train",
    from_onnx="Detector.from_onnx",
    unbounded=("novelty.spread",),  # infinite before the novelty is fitted
)
"""The detectors among the stored models."""
