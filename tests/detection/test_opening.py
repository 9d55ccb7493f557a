"""A detector from whatever holds it, and the scale of its heatmaps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from artasyn.detection.detector import Detector
from artasyn.detection.opening import heat_scale, open_detector
from artasyn.errors import ModelError


def test_a_folder_is_opened_and_a_missing_file_is_refused(trained: Path, tmp_path: Path) -> None:
    opened = open_detector(str(trained / "model"), "cpu")
    assert opened.digest == Detector.from_pretrained(trained / "model").digest
    with pytest.raises(ModelError, match=r"none\.onnx"):
        open_detector(str(tmp_path / "none.onnx"), "cpu")


def test_the_scale_ends_at_six_thresholds_or_at_one(trained: Path) -> None:
    detector = open_detector(str(trained / "model"), "cpu")
    for threshold, top in ((0.1, 0.6), (0.5, 1.0)):
        detector.network.settings = dataclasses.replace(detector.settings, threshold=threshold)
        scale = heat_scale(detector)
        assert scale.threshold == threshold
        assert scale.top == pytest.approx(top)
