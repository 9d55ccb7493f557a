"""A model that is replaced behind its path is another model: for workers of a run, and for a folder of results."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from artasyn.commands import detect as module
from artasyn.commands.detect import DetectOptions, detect, load_detector
from artasyn.detection.network import DetectorNetwork
from artasyn.detection.opening import open_detector
from artasyn.detection.settings import DetectorSettings
from artasyn.errors import DataError, ModelError


def test_workers_refuse_a_model_that_was_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = tmp_path / "model"
    network = DetectorNetwork(DetectorSettings(size=32, levels=3))
    network.save_pretrained(model)
    first = module._open(str(model), "cpu").digest
    network.calibrate(0.25, 0.75)
    network.save_pretrained(model)
    assert load_detector(str(model), "cpu", first).digest == first  # this process has the one that it opened
    monkeypatch.setattr(module, "_OPENED", {})  # as in a worker
    with pytest.raises(ModelError, match="was replaced by another model during this run"):
        load_detector(str(model), "cpu", first)
    second = open_detector(str(model), "cpu").digest
    assert load_detector(str(model), "cpu", second).digest == second != first


def test_a_changed_model_behind_a_path_is_another_setting(phantoms: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, film = tmp_path / "model", min((phantoms / "test" / "healthy").iterdir())
    network = DetectorNetwork(DetectorSettings(size=32, levels=3))
    network.save_pretrained(model)
    options = DetectOptions([film], tmp_path / "out", model=str(model), device="cpu", workers=1)
    detect(options)
    detect(options)
    config = model / "config.json"
    config.write_text(config.read_text().replace('"novelty_weight": 2.0', '"novelty_weight": 0.5'))
    with pytest.raises(DataError, match="weights"):
        detect(options)
