"""Training: losses go down, thresholds are calibrated and stored, a killed run goes on, workers change nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch

from artasyn.bulk import read_manifest
from artasyn.collection import find_sources
from artasyn.detector import Detector
from artasyn.errors import DataError
from artasyn.synthesis import LungOpacity
from artasyn.training import LossWeights, NormalsData, ReconstructionTraining, TrainingRun

RUN = TrainingRun(size=64, epochs=2, batch_size=2, held_out=0.34, seed=3)


def test_a_training_leaves_what_it_promises(trained: Path) -> None:
    for file in (
        "model/config.json",
        "model/model.safetensors",
        "checkpoints/last.ckpt",
        "checkpoints/best.ckpt",
        "logs/run_1/metrics.csv",
        "cache/manifest.csv",
        "settings.json",
    ):
        assert (trained / file).is_file(), file
    assert list((trained / "logs").glob("run_1/events.out.tfevents.*"))
    metrics = read_manifest(trained / "logs" / "run_1" / "metrics.csv")
    dice = [float(row["val/dice"]) for row in metrics if row["val/dice"]]
    assert len(dice) == 2
    assert all(0 <= value <= 1 for value in dice)


def test_the_stored_thresholds_are_those_of_the_best_epoch(trained: Path) -> None:
    best = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=False)
    detector = Detector.from_pretrained(trained / "model")
    assert (detector.threshold, detector.image_threshold) == best["thresholds"]
    assert 0 < detector.threshold < 1
    stored = {name.removeprefix("detector."): value for name, value in best["state_dict"].items()}
    for name, value in detector.state_dict().items():
        torch.testing.assert_close(value, stored[name])


def test_calibrated_thresholds_are_the_best_on_the_held_out_films(trained: Path, phantoms: Path) -> None:
    detector = Detector.from_pretrained(trained / "model")
    data = NormalsData(
        find_sources([phantoms / "train"]), trained / "cache", size=64, batch_size=2, seed=3, held_out=0.34
    )
    heatmaps, masks = [], []
    with torch.inference_mode():
        for batch in data.val_dataloader():
            heatmaps.append(detector.maps(batch["image"])[1] * batch["lungs"])
            masks.append(batch["mask"].bool())
    heatmap, mask = torch.cat(heatmaps), torch.cat(masks)
    assert mask.any()

    def dice(threshold: float) -> float:
        marked = heatmap >= threshold
        return float(2 * (marked & mask).sum() / (marked.sum() + mask.sum()))

    best = max(dice(float(t)) for t in np.linspace(1e-4, float(heatmap.max()), 400))
    assert dice(detector.threshold) == pytest.approx(best, abs=0.01)


def test_finished_training_is_not_done_again_and_other_options_are_refused(trained: Path, phantoms: Path) -> None:
    sources = find_sources([phantoms / "train"])
    before = (trained / "model" / "model.safetensors").read_bytes()
    RUN.fit(sources, trained)
    assert (trained / "model" / "model.safetensors").read_bytes() == before
    with pytest.raises(DataError, match="epochs"):
        TrainingRun(size=64, epochs=3, batch_size=2, held_out=0.34, seed=3).fit(sources, trained)


SCRIPT = """
import sys, os, signal, lightning
from pathlib import Path
from artasyn.collection import find_sources
from artasyn.training import TrainingRun, Progress
if sys.argv[3] == "kill":
    old = Progress.on_train_batch_end
    def on_train_batch_end(self, trainer, *rest):
        old(self, trainer, *rest)
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
    Progress.on_train_batch_end = on_train_batch_end
run = TrainingRun(size=64, epochs=3, batch_size=2, held_out=0.34, seed=3)
run.fit(find_sources([Path(sys.argv[1])]), Path(sys.argv[2]), workers=int(sys.argv[4]))
"""


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_weights_and_so_does_one_with_more_workers(
    phantoms: Path, tmp_path: Path
) -> None:
    def train(name: str, mode: str, workers: int) -> int:
        command = [sys.executable, "-c", SCRIPT, str(phantoms / "train"), str(tmp_path / name), mode, str(workers)]
        return subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=300).returncode

    assert train("whole", "run", 0) == 0
    assert train("killed", "kill", 0) == -9
    assert not (tmp_path / "killed" / "model").exists()
    assert train("killed", "run", 2) == 0
    states = [Detector.from_pretrained(tmp_path / name / "model").state_dict() for name in ("whole", "killed")]
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-3, atol=1e-4)
    configs = [json.loads((tmp_path / name / "model" / "config.json").read_text()) for name in ("whole", "killed")]
    assert configs[0] == pytest.approx(configs[1], abs=2e-3)


def test_a_batch_learnt_by_heart_is_reconstructed(phantoms: Path, trained: Path) -> None:
    data = NormalsData(
        find_sources([phantoms / "train"]), trained / "cache", size=64, batch_size=4, seed=3, held_out=0.34
    )
    torch.manual_seed(0)
    module = ReconstructionTraining(Detector(size=64), weights=LossWeights(region=20.0))
    batch = next(iter(data.train_dataloader()))
    optimizer = torch.optim.AdamW(module.parameters(), 2e-3)
    first = {name: float(value.detach()) for name, value in module.losses(batch).items()}
    for _ in range(30):
        losses = module.losses(batch)
        optimizer.zero_grad()
        torch.autograd.backward(losses["total"])
        optimizer.step()
    last = {name: float(value.detach()) for name, value in module.losses(batch).items()}
    assert last["region"] < 0.6 * first["region"]
    assert last["dice"] < first["dice"]
    assert last["total"] == pytest.approx(
        20 * last["region"] + 10 * last["image"] + last["alignment"] + last["dice"], rel=1e-5
    )


def test_a_trainer_that_does_not_tell_the_epoch_is_refused(phantoms: Path, trained: Path) -> None:
    data = NormalsData(find_sources([phantoms / "train"]), trained / "cache", size=64, batch_size=2)
    module = ReconstructionTraining(Detector(size=64))
    trainer = lightning.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    with pytest.raises(DataError, match="reload_dataloaders_every_n_epochs=1"):
        trainer.fit(module, data)


def test_epochs_have_anomalies_of_their_own(phantoms: Path, trained: Path) -> None:
    data = NormalsData(
        find_sources([phantoms / "train"]),
        trained / "cache",
        size=64,
        batch_size=4,
        synthesis=LungOpacity(tolerance=0.01),
    )
    validation = [next(iter(data.val_dataloader()))["image"] for _ in range(2)]
    assert torch.equal(*validation)
