"""Training: losses go down, thresholds are calibrated and stored, a killed run goes on, workers change nothing."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch

from artasyn.arrays import Image
from artasyn.bulk.run import read_manifest
from artasyn.bulk.sources import find_sources
from artasyn.detection.calibration import LEVELS
from artasyn.detection.detector import Detector
from artasyn.detection.network import DetectorNetwork
from artasyn.detection.settings import DetectorSettings, Kind
from artasyn.errors import DataError, ModelError
from artasyn.segment import Lungs
from artasyn.synthesis import LungOpacity
from artasyn.synthesis.anomaly import Made
from artasyn.training.data import NormalsData
from artasyn.training.module import LossWeights, ReconstructionTraining
from artasyn.training.run import RECIPE, TrainingRun
from artasyn.training.samples import Sample, SyntheticAnomalies
from tests.conftest import ROOT

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
    assert len(dice) == 3  # each epoch, and the best one with the novelty
    assert all(0 <= value <= 1 for value in dice)


def test_the_model_is_the_last_epoch_and_knows_what_is_normal(trained: Path, phantoms: Path) -> None:
    last = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=False)
    network = DetectorNetwork.from_pretrained(trained / "model")
    assert 0 < network.settings.threshold < 1
    stored = {name.removeprefix("detector."): value for name, value in last["state_dict"].items()}
    for name, value in network.state_dict().items():
        if not name.startswith(("novelty.", "regions")):
            torch.testing.assert_close(value, stored[name])
    data = NormalsData(
        find_sources([phantoms / "train"]), trained / "cache", size=64, batch_size=4, seed=3, held_out=0.34
    )
    loaders = {held_out: data.healthy(held_out=held_out) for held_out in (False, True)}
    films = {held_out: torch.cat([batch["image"] for batch in loader]) for held_out, loader in loaders.items()}
    assert (len(films[False]), len(films[True])) == (3 * 4, 2)
    with torch.inference_mode():
        maps = {held_out: network(images) for held_out, images in films.items()}
    assert float(maps[True][2].mean()) == pytest.approx(0, abs=1e-2)
    assert maps[False][2].mean() < -0.5  # of so few films it knows these by heart
    assert network.settings.groups == 1
    assert len(network.settings.healthy_scores) == 2


def test_thresholds_are_those_of_the_healthy_among_the_held_out_films(trained: Path, phantoms: Path) -> None:
    network = DetectorNetwork.from_pretrained(trained / "model")
    data = NormalsData(
        find_sources([phantoms / "train"]), trained / "cache", size=64, batch_size=2, seed=3, held_out=0.34
    )
    heatmaps, masks, regions, further = [], [], [], []
    with torch.inference_mode():
        for batch in data.val_dataloader():
            _, found, unusual, own = network(batch["image"])
            heatmaps.append(found * own)
            further.append(network.settings.novelty_weight * unusual)
            masks.append(batch["mask"].bool())
            regions.append(own >= 0.5)
    heatmap, mask, region = torch.cat(heatmaps), torch.cat(masks), torch.cat(regions)
    healthy = ~mask.any(dim=(1, 2, 3))
    assert healthy.tolist() == [True, True, False, False]  # two films are held out, each healthy and ill
    lungs = heatmap[healthy][region[healthy]]
    assert (lungs >= network.settings.threshold).float().mean() <= 0.05
    assert (lungs >= network.settings.threshold - 1.01 / LEVELS).float().mean() > 0.05
    means = torch.stack(
        [h[r].sort().values[-round(0.1 * int(r.sum())) :].mean() for h, r in zip(heatmap, region, strict=True)]
    )
    scores = torch.sigmoid(torch.logit(means) + torch.cat(further)).tolist()
    most = max(score for score, well in zip(scores, healthy, strict=True) if well)
    assert most < network.settings.image_threshold < most + 1.01 / LEVELS  # of so few films none may be flagged

    def dice(threshold: float) -> float:
        marked = heatmap >= threshold
        return float(2 * (marked & mask).sum() / (marked.sum() + mask.sum()))

    best = max(dice(level / LEVELS) for level in range(0, LEVELS, 8))
    metrics = read_manifest(trained / "logs" / "run_1" / "metrics.csv")
    reached = [float(row["val/dice"]) for row in metrics if row["val/dice"]][-1]
    assert best - 1e-6 <= reached < best + 0.01


def test_finished_training_is_not_done_again_and_other_options_are_refused(trained: Path, phantoms: Path) -> None:
    sources = find_sources([phantoms / "train"])
    before = (trained / "model" / "model.safetensors").read_bytes()
    RUN.fit(sources, trained)
    assert (trained / "model" / "model.safetensors").read_bytes() == before
    with pytest.raises(DataError, match="epochs"):
        TrainingRun(size=64, epochs=3, batch_size=2, held_out=0.34, seed=3).fit(sources, trained)


def test_trainings_are_averaged(phantoms: Path, tmp_path: Path) -> None:
    run = dataclasses.replace(RUN, averaged=2)
    detector = run.fit(find_sources([phantoms / "train"]), tmp_path)
    files = [tmp_path / name for name in ("checkpoints-1/last.ckpt", "checkpoints/last.ckpt")]
    checkpoints = [torch.load(file, weights_only=False) for file in files]
    assert checkpoints[0]["epoch"] == 0
    first, last = (checkpoint["state_dict"] for checkpoint in checkpoints)
    name = "network.bottleneck.0.weight"
    mean = (first[f"detector.{name}"] + last[f"detector.{name}"]) / 2
    assert not torch.allclose(mean, last[f"detector.{name}"], atol=1e-6)
    for each in (detector, Detector.from_pretrained(tmp_path / "model")):
        assert isinstance(each.network, DetectorNetwork)
        torch.testing.assert_close(each.network.state_dict()[name], mean)
        assert each.network.novelty.spread.isfinite().all()
    with pytest.raises(DataError, match="averaged is 0"):
        dataclasses.replace(RUN, averaged=0).fit(find_sources([phantoms / "train"]), tmp_path / "none")
    with pytest.raises(DataError, match="synthesis"):
        run.fit(find_sources([phantoms / "train"]), tmp_path, synthesis=LungOpacity(tolerance=0.5))


def test_weights_of_photographs_are_refused_beside_a_detector_to_begin_with() -> None:
    with pytest.raises(DataError, match=r"begins with the detector bundled or .* give --start null too"):
        dataclasses.replace(RECIPE, pretrained=True)
    assert dataclasses.replace(RECIPE, pretrained=True, start=None).pretrained


def test_a_training_begins_with_a_detector_and_keeps_half_of_what_it_knew(
    trained: Path, phantoms: Path, tmp_path: Path
) -> None:
    sources = find_sources([phantoms / "train"])
    run = dataclasses.replace(RUN, epochs=1, start=str(trained / "model"))
    detector = run.fit(sources, tmp_path / "on")
    name = "network.bottleneck.0.weight"
    known = DetectorNetwork.from_pretrained(trained / "model").state_dict()[name]
    last = torch.load(tmp_path / "on/checkpoints/last.ckpt", weights_only=False)["state_dict"][f"detector.{name}"]
    assert not torch.allclose(known, last, atol=1e-6)
    assert (known - last).abs().max() < 0.1  # a step away from it, not from other weights
    assert isinstance(detector.network, DetectorNetwork)
    torch.testing.assert_close(detector.network.state_dict()[name], (known + last) / 2)
    assert detector.network.novelty.spread.isfinite().all()
    card = (tmp_path / "on/model/README.md").read_text(encoding="utf-8")
    digest = DetectorNetwork.from_pretrained(trained / "model").digest
    assert f"began with the detector `{trained.name}/model` with the digest {digest}. The final weights are" in card
    assert str(trained) not in card
    with pytest.raises(DataError, match="epochs: 1 there, 2 now"):
        dataclasses.replace(run, epochs=2).fit(sources, tmp_path / "on")
    with pytest.raises(DataError, match="model is a detector with size 64, not 96: give the options that it has"):
        dataclasses.replace(run, size=96).fit(sources, tmp_path / "none")
    with pytest.raises(ModelError, match="nothing"):
        dataclasses.replace(run, start=str(tmp_path / "nothing")).fit(sources, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@dataclasses.dataclass(frozen=True)
class Using:
    """A synthesis that another function makes."""

    make: Callable[..., Made]

    def __call__(self, image: Image, lungs: Lungs, rng: np.random.Generator) -> Made:
        return self.make(image, lungs, rng)


def test_training_with_a_synthesis_that_holds_a_function_goes_on_in_another_process(
    phantoms: Path, tmp_path: Path
) -> None:
    def made_anew() -> Using:
        def opacity(image: Image, lungs: Lungs, rng: np.random.Generator) -> Made:
            return LungOpacity()(image, lungs, rng)

        return Using(opacity)

    here, there = made_anew(), made_anew()
    assert repr(here) != repr(there)  # the function lies elsewhere, as in another process
    run, sources = dataclasses.replace(RUN, epochs=1), find_sources([phantoms / "train"])
    run.fit(sources, tmp_path, synthesis=here)
    run.fit(sources, tmp_path, synthesis=there)
    with pytest.raises(DataError, match="synthesis"):
        run.fit(sources, tmp_path, synthesis=Using(LungOpacity()))


SCRIPT = """
import sys, os, signal
from pathlib import Path
from typing import Any
from artasyn.bulk.sources import find_sources
from artasyn.training.run import TrainingRun
from artasyn.training.progress import Progress
old = Progress.on_train_batch_end
def on_train_batch_end(self, trainer, *rest):
    old(self, trainer, *rest)
    if trainer.global_step == 3:  # in the second epoch
        os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[3] == "kill":
    Progress.on_train_batch_end = on_train_batch_end
run = TrainingRun(size=64, epochs=2, batch_size=2, held_out=0.34, seed=3)
run.fit(find_sources([Path(sys.argv[1])]), Path(sys.argv[2]), workers=int(sys.argv[4]))
"""


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_weights_and_so_does_one_with_more_workers(
    phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    def train(mode: str, workers: int) -> int:
        command = [sys.executable, "-c", SCRIPT, str(phantoms / "train"), str(tmp_path), mode, str(workers)]
        return subprocess.run(command, capture_output=True, cwd=ROOT, timeout=300).returncode

    assert train("kill", 0) == -9
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
    assert not (tmp_path / "model").exists()
    assert train("run", 2) == 0
    states = [DetectorNetwork.from_pretrained(folder / "model").state_dict() for folder in (trained, tmp_path)]
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-3, atol=1e-4)
    configs = [json.loads((folder / "model" / "config.json").read_text()) for folder in (trained, tmp_path)]
    scores = [config.pop("healthy_scores") for config in configs]
    assert scores[0] == pytest.approx(scores[1], abs=2e-3)
    assert configs[0] == pytest.approx(configs[1], abs=2e-3)


def test_the_last_epoch_is_kept_where_it_is_worse_than_an_earlier_one(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_dict = ReconstructionTraining.log_dict

    def worsening(self: ReconstructionTraining, values: dict[str, Any], **options: Any) -> None:
        worse = {"val/dice": -float(self.current_epoch)} if "val/dice" in values else {}
        log_dict(self, values | worse, **options)

    monkeypatch.setattr(ReconstructionTraining, "log_dict", worsening)
    RUN.fit(find_sources([phantoms / "train"]), tmp_path)
    kept = [
        torch.load(tmp_path / "checkpoints" / name, weights_only=True)["epoch"] for name in ("best.ckpt", "last.ckpt")
    ]
    assert kept == [0, 1]  # a killed training goes on from the last


@pytest.fixture
def batch(phantoms: Path, trained: Path) -> Sample:
    data = NormalsData(
        find_sources([phantoms / "train"]), trained / "cache", size=64, batch_size=4, seed=3, held_out=0.34
    )
    first: Sample = next(iter(data.train_dataloader()))
    return first


def test_a_batch_learnt_by_heart_is_reconstructed(batch: Sample) -> None:
    torch.manual_seed(0)
    module = ReconstructionTraining(
        DetectorNetwork(DetectorSettings(size=64)), weights=LossWeights(region=20.0, head=3.0)
    )
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
    assert last["head"] < 0.8 * first["head"]
    assert last["total"] == pytest.approx(
        20 * last["region"] + 10 * last["image"] + 0.3 * last["alignment"] + last["dice"] + 3 * last["head"]
        + 0.5 * last["lungs"],
        rel=1e-5,
    )  # fmt: skip
    assert last["lungs"] < 0.8 * first["lungs"]


RECONSTRUCTION = {"region", "image", "alignment", "dice"}


@pytest.mark.parametrize(
    ("kind", "terms"),
    [
        ("reconstruction", RECONSTRUCTION),
        ("discriminative", RECONSTRUCTION | {"head", "lungs"}),
        ("segmentation", {"head", "lungs"}),
    ],
)
def test_each_kind_learns_what_its_heatmap_is_made_of(batch: Sample, kind: Kind, terms: set[str]) -> None:
    torch.manual_seed(0)
    network = DetectorNetwork(DetectorSettings(size=64, kind=kind))
    losses = ReconstructionTraining(network).losses(batch)
    assert losses.keys() == terms | {"total"}
    torch.autograd.backward(losses["total"])
    reached = {name.split(".")[0] for name, p in network.network.named_parameters() if p.grad is not None}
    decoder = {"bottleneck", "gates", "levels", "last_gate", "head"}
    assert reached == {"encoder"} | (set() if kind == "segmentation" else decoder)
    head = [name for name, p in network.named_parameters() if name.startswith("head.") and p.grad is not None]
    assert bool(head) == (kind != "reconstruction")


def test_a_trainer_that_does_not_tell_the_epoch_is_refused(phantoms: Path, trained: Path) -> None:
    data = NormalsData(find_sources([phantoms / "train"]), trained / "cache", size=64, batch_size=2)
    module = ReconstructionTraining(DetectorNetwork(DetectorSettings(size=64)))
    trainer = lightning.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    with pytest.raises(DataError, match="reload_dataloaders_every_n_epochs=1"):
        trainer.fit(module, data)


@pytest.mark.parametrize("clip", [None, 1.0])
def test_the_optimizer_is_fused_unless_gradients_are_clipped_which_mixed_precision_would_refuse(
    phantoms: Path, trained: Path, clip: float | None
) -> None:
    data = NormalsData(find_sources([phantoms / "train"]), trained / "cache", size=64, batch_size=2)
    module = ReconstructionTraining(DetectorNetwork(DetectorSettings(size=64)))
    trainer = lightning.Trainer(
        max_epochs=1, precision="bf16-mixed", gradient_clip_val=clip, reload_dataloaders_every_n_epochs=1,
        limit_train_batches=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    before = [weights.clone() for weights in module.parameters()]
    trainer.fit(module, data)
    assert trainer.optimizers[0].param_groups[0]["fused"] == (clip is None)
    assert any(not torch.equal(now, then) for now, then in zip(module.parameters(), before, strict=True))


def test_validation_is_the_same_every_time_and_films_vary_in_training_alone(phantoms: Path, trained: Path) -> None:
    data = NormalsData(find_sources([phantoms / "train"]), trained / "cache", size=64, batch_size=4)
    validation = [next(iter(data.val_dataloader())) for _ in range(2)]
    assert torch.equal(validation[0]["image"], validation[1]["image"])
    assert data.normals is not None
    plain = [SyntheticAnomalies(part, 64, LungOpacity(), seed=0, healthy_probability=1.0) for part in data.normals]
    shown = [torch.stack([part[i]["lungs"] for i in range(len(part))]) for part in plain]
    assert torch.equal(validation[0]["lungs"], torch.cat([shown[1], shown[1]]))
    varied = next(iter(data.train_dataloader()))["lungs"]
    assert not any(torch.equal(lungs, other) for lungs in varied for other in shown[0])


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_disturbed_films_are_those_of_the_first_healthy_pass_with_nuisances_alone(
    phantoms: Path, trained: Path, probability: float
) -> None:
    data = NormalsData(
        find_sources([phantoms / "train"]),
        trained / "cache",
        size=64,
        batch_size=4,
        held_out=0.34,
        nuisances=probability,
    )
    healthy, disturbed = (
        {key: torch.cat([batch[key] for batch in loader]) for key in ("image", "lungs", "group")}
        for loader in (data.healthy(held_out=False), data.disturbed())
    )
    count = len(disturbed["image"])
    assert 3 * count == len(healthy["image"])
    for key in ("lungs", "group"):
        assert torch.equal(disturbed[key], healthy[key][:count])
    moved = (disturbed["image"] - healthy["image"][:count]).abs().amax(dim=(1, 2, 3))
    assert (moved > 0.05).all() if probability else (moved == 0).all()


def test_a_small_folder_is_gone_through_as_often_as_a_large_one(phantoms: Path, trained: Path) -> None:
    data = NormalsData(find_sources([phantoms / "train"]), trained / "cache", size=64, batch_size=5, held_out=0.1)
    data.setup("fit")
    assert data.normals is not None
    training, held_out = data.normals
    data.normals = dataclasses.replace(training, folders=("one", *["many"] * 4)), held_out
    loader = data.train_dataloader()
    films = [int(i) % 5 for i in loader.sampler]
    assert films.count(0) in (2, 3)
    (batch,) = loader
    assert len({image.numpy().tobytes() for image in batch["image"]}) == 5  # none twice, though one film is
