"""Several devices: each takes its share, all agree, the first one speaks, and a killed training goes on."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only

from artasyn.bulk.progress import LOG
from artasyn.bulk.run import read_manifest
from artasyn.console.devices import Devices, first_process
from artasyn.detection.network import DetectorNetwork
from artasyn.errors import DataError
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.training.data import Order, share
from tests.conftest import ROOT


def test_devices_share_an_epoch_and_take_nothing_twice() -> None:
    places = [5, 3, 3, 0, 9, 7, 1]
    shares = [[*share(places, rank, 3)] for rank in range(3)]
    assert shares == [[5, 0], [3, 9], [3, 7]]
    assert [*share(places)] == places
    assert len(Order(range(4))) == 4
    with pytest.raises(DataError, match="8 devices cannot share 7 samples; take fewer devices"):
        share(places, 0, 8)


def test_devices_become_options_of_the_trainer_and_the_users_own_come_first() -> None:
    assert Devices().trainer(None) == {"devices": "auto", "num_nodes": 1, "strategy": "auto"}
    assert Devices(2, 3, "fsdp").trainer({"devices": 4, "max_time": "1:0"}) == {
        "devices": 4, "num_nodes": 3, "strategy": "fsdp", "max_time": "1:0",
    }  # fmt: skip
    with pytest.raises(DataError, match="devices is -1, not from 0 to 1024"):
        Devices(-1)


def test_all_processes_but_the_first_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOG, "level", logging.INFO)
    for rank, level in ((0, logging.INFO), (1, logging.ERROR)):
        monkeypatch.setattr(rank_zero_only, "rank", rank, raising=False)
        assert first_process() == (rank == 0)
        assert LOG.level == level


SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from artasyn.bulk.sources import find_sources
from artasyn.training.module import ReconstructionTraining
from artasyn.training.run import TrainingRun
rank, seen = int(os.environ.get("LOCAL_RANK", 0)), []
usual = ReconstructionTraining.training_step
def step(self, batch, index):
    films = [float(film.double().sum()) for film in batch["normal"]]
    seen.append([self.current_epoch, films, float(batch["image"].double().sum())])
    return usual(self, batch, index)
ReconstructionTraining.training_step = step
run = TrainingRun(size=64, epochs=2, batch_size=1, held_out=0.34, seed=3, nuisances=0)
detector = run.fit(find_sources([Path(sys.argv[1])]), Path(sys.argv[2]), trainer={"devices": 2, "accelerator": "cpu"})
network = detector.network
state = {name: [float(value.double().sum()), float(value.double().abs().sum())]
         for name, value in network.state_dict().items() if "running" not in name and "tracked" not in name}
held = [network.settings.threshold, network.settings.image_threshold, sorted(network.settings.healthy_scores)]
Path(sys.argv[2], f"rank-{rank}.json").write_text(json.dumps([seen, state, held]))
"""


@pytest.mark.extras
def test_two_processes_train_one_detector_on_different_films(phantoms: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    out = tmp_path / "out"
    subprocess.run(
        [sys.executable, str(script), str(phantoms / "train"), str(out)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True, timeout=240,
    )  # fmt: skip
    (first, one, told), (second, other, also_told) = (
        json.loads((out / f"rank-{rank}.json").read_text()) for rank in range(2)
    )
    assert len(first) == len(second) == 4  # two of four films in each of two epochs
    for epoch in (0, 1):
        films = [film for seen in (first, second) for at, films, _ in seen if at == epoch for film in films]
        assert len(films) == len(set(films)) == 4
    assert len({image for seen in (first, second) for _, _, image in seen}) == 8  # no film is synthesised alike
    assert one == other
    assert told == also_told
    assert len(told[2]) == 2  # the healthy films held out, each once
    assert len(read_manifest(out / "cache" / "manifest.csv")) == 6
    assert sorted(path.name for path in (out / "logs").iterdir()) == ["run_1"]


@pytest.mark.extras
def test_a_command_on_two_processes_speaks_once_and_goes_on_after_a_kill(phantoms: Path, tmp_path: Path) -> None:
    def start(out: Path) -> subprocess.Popen[str]:
        command = ["train", "--normal", phantoms / "train", "--out", out, "--devices", 2, "--start", "null"]
        command += ["--epochs", 2, "--batch-size", 1, "--size", 64, "--held-out", 0.34, "--workers", 1]
        command += ["--trainer", '{"accelerator": "cpu"}']
        return subprocess.Popen(
            [sys.executable, "-m", "artasyn", *map(str, command)],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(whole)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert out.splitlines() == [str(whole / "model"), str(whole / "cache" / "manifest.csv")]
    assert err.count("6 films: 6 used") == 1
    assert err.count("train: 0 of 4 batches") == 1
    process = start(killed)
    end = time.monotonic() + 120
    while not (killed / "checkpoints" / "last.ckpt").exists() and time.monotonic() < end:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert not (killed / "model").exists()
    process = start(killed)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "train: 0 of 4 batches" not in err
    states = [DetectorNetwork.from_pretrained(folder / "model").state_dict() for folder in (whole, killed)]
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-3, atol=1e-4)


@pytest.mark.extras
def test_two_processes_train_one_reader_of_anatomy(tmp_path: Path) -> None:
    command = ["train-anatomy", "--phantoms", 3, "--out", tmp_path / "reader", "--devices", 2, "--pretrained", "false"]
    command += ["--sizes", "[32]", "--shares", "[1.0]", "--steps", 4, "--epoch", 2, "--batch-size", 2]
    command += ["--calibration", 2, "--workers", 1, "--trainer", '{"accelerator": "cpu"}']
    done = subprocess.run(
        [sys.executable, "-m", "artasyn", *map(str, command)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(tmp_path / "reader" / "model")
    assert len(re.findall(r"trained on \d+ views", done.stderr)) == 1
    assert AnatomyNetwork.from_pretrained(tmp_path / "reader" / "model").settings.size == 32
    last = torch.load(tmp_path / "reader" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 2  # four batches on two devices
