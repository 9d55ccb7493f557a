"""A detector from whatever holds it, and the scale of its heatmaps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from artasyn.detection.detector import Detector
from artasyn.detection.network import has_bfloat16
from artasyn.detection.opening import heat_scale, open_detector
from artasyn.errors import ModelError
from artasyn.phantom.film import Phantom


def test_a_folder_is_opened_and_a_missing_file_is_refused(trained: Path, tmp_path: Path) -> None:
    opened = open_detector(str(trained / "model"), "cpu")
    assert opened.digest == Detector.from_pretrained(trained / "model").digest
    with pytest.raises(ModelError, match=r"none\.onnx"):
        open_detector(str(tmp_path / "none.onnx"), "cpu")


def test_bfloat16_is_near_and_known_by_its_digest(trained: Path) -> None:
    exact = open_detector(str(trained / "model"), "cpu")
    if not has_bfloat16(torch.device("cpu")):
        pytest.skip("this processor does not compute in bfloat16")
    rounded = open_detector(str(trained / "model"), "cpu", "bf16")
    assert rounded.digest == f"{exact.digest}-bf16"
    film = Phantom(size=128)(1, lesions=True).image
    found, near = exact(film), rounded(film)
    assert near.heatmap.dtype == found.heatmap.dtype
    assert 0 < np.abs(near.heatmap - found.heatmap).max() < 0.1
    assert near.score == pytest.approx(found.score, abs=0.1)


def test_precisions_that_are_not_there_are_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(trained / "model")
    with pytest.raises(ModelError, match=r"leave out --precision bf16"):
        open_detector(str(tmp_path / "some.onnx"), "cpu", "bf16")
    monkeypatch.setattr("artasyn.detection.network.has_bfloat16", lambda device: False)
    with pytest.raises(ModelError, match=r"does not compute in bfloat16 on cpu; take precision fp32"):
        open_detector(model, "cpu", "bf16")


def test_a_batch_gives_what_each_film_gives(trained: Path) -> None:
    detector = open_detector(str(trained / "model"), "cpu")
    films = [Phantom(size=96)(seed, lesions=seed % 2 == 1).image for seed in range(6)]
    for together, film in zip(detector(films), films, strict=True):
        alone = detector(film)
        assert together.score == pytest.approx(alone.score, abs=1e-5)
        assert np.allclose(together.heatmap, alone.heatmap, atol=1e-5)


def test_the_scale_ends_at_six_thresholds_or_at_one(trained: Path) -> None:
    detector = open_detector(str(trained / "model"), "cpu")
    for threshold, top in ((0.1, 0.6), (0.5, 1.0)):
        detector.network.settings = dataclasses.replace(detector.settings, threshold=threshold)
        scale = heat_scale(detector)
        assert scale.threshold == threshold
        assert scale.top == pytest.approx(top)
