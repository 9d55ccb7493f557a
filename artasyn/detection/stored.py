"""Where stored detectors lie and how their files are read."""

from __future__ import annotations

from artasyn.detection.settings import DetectorSettings
from artasyn.networks.stored import PACKAGE, ModelKind

BUNDLED = PACKAGE / "model"
"""The folder of the detector that comes with artasyn."""

DETECTOR = ModelKind(
    noun="a detector",
    settings=DetectorSettings,
    bundled=BUNDLED,
    command="artasyn train",
    from_onnx="Detector.from_onnx",
    unbounded=("novelty.spread", "film.spread"),  # infinite before they are fitted
)
"""The detectors among the stored models."""
