"""The settings of a detector: what they refuse, and that they come through an ONNX file's metadata."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args

import numpy as np
import pytest

from artasyn.detection.network import DetectorNetwork
from artasyn.detection.settings import DetectorSettings, Kind, quantiles
from artasyn.detection.stored import BUNDLED
from artasyn.errors import ModelError
from artasyn.training.run import TrainingRun

FILE = DetectorSettings(size=96, kind="reconstruction", threshold=0.25, healthy_scores=(0.1, 0.2)).to_metadata()
"""The metadata of an ONNX file."""


def test_settings_survive_the_metadata() -> None:
    settings = DetectorSettings(
        "resnet18",
        96,
        "reconstruction",
        3,
        1 / 3,
        0.1 + 0.2,
        0.02,
        0.05,
        False,
        0.7,
        0.2,
        False,
        2,
        (0.1, 1 / 3),
        "hulls",
    )
    assert all(getattr(settings, f.name) != f.default for f in dataclasses.fields(settings))
    assert DetectorSettings.from_metadata(settings.to_metadata()) == settings
    assert DetectorSettings.from_metadata(DetectorSettings().to_metadata()) == DetectorSettings()


def test_healthy_scores_are_kept_as_quantiles() -> None:
    scores = np.random.default_rng(0).random(5000)
    kept = quantiles(scores.tolist())
    assert len(kept) == 201
    settings = DetectorSettings(healthy_scores=kept)
    assert settings.percentile(float(np.quantile(scores, 0.973))) == pytest.approx(97.3, abs=0.2)
    assert (settings.percentile(-1.0), settings.percentile(2.0)) == (0.0, 100.0)
    assert quantiles([0.3, 0.1]) == (0.1, 0.3)
    assert np.isnan(DetectorSettings().percentile(0.5))


@pytest.mark.parametrize("name", FILE)
def test_metadata_that_lack_what_every_file_states_are_refused(name: str) -> None:
    rest = {key: value for key, value in FILE.items() if key != name}
    with pytest.raises(ModelError, match=f"there is no {name} in its metadata"):
        DetectorSettings.from_metadata(rest)
    with pytest.raises(ModelError, match=f"its {name} is 'much'"):
        DetectorSettings.from_metadata(FILE | {name: "much"})


def test_a_kind_that_there_is_not_is_named() -> None:
    kind: Any = "classification"
    with pytest.raises(Exception, match="kind"):  # beartype's, where the tests' hints are checked, or ours
        DetectorSettings(kind=kind)
    with pytest.raises(ModelError, match="kind is 'other'; choose from discriminative, reconstruction"):
        DetectorSettings.from_metadata(FILE | {"artasyn.kind": '"other"'})


def test_every_kind_has_a_decoder_a_head_or_both() -> None:
    parts = {kind: DetectorSettings(kind=kind) for kind in get_args(Kind)}
    assert {kind: (s.has_decoder, s.has_head) for kind, s in parts.items()} == {
        "reconstruction": (True, False),
        "discriminative": (True, True),
        "segmentation": (False, True),
    }


def test_a_networks_settings_are_what_is_saved(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bundled")
    DetectorNetwork.from_pretrained().save_pretrained(folder)
    for name in ("config.json", "model.safetensors"):
        assert (folder / name).read_bytes() == (BUNDLED / name).read_bytes()
    assert json.loads((folder / "config.json").read_text()).keys() == {
        f.name for f in dataclasses.fields(DetectorSettings)
    }


def test_a_model_that_lacks_settings_has_their_defaults(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("older")
    settings = DetectorSettings(size=64, threshold=0.25)
    DetectorNetwork(settings).save_pretrained(folder)
    (folder / "config.json").write_text('{"size": 64, "threshold": 0.25}')
    assert DetectorNetwork.from_pretrained(folder).settings == settings


def test_a_training_starts_from_the_same_defaults() -> None:
    run, settings = TrainingRun(), DetectorSettings()
    assert (run.encoder, run.levels, run.kind, run.size) == (
        settings.encoder,
        settings.levels,
        settings.kind,
        settings.size,
    )
