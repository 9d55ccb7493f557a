"""A training that reads anatomy: what it leaves, who is held out, and the same weights after a kill."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import pytest
import torch

from artasyn.errors import DataError
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.anatomy.settings import AnatomySettings
from artasyn.segment.projection.view import View
from artasyn.segment.structures import ANATOMY
from artasyn.stock.films import Films
from artasyn.stock.packed import Packed, Stock
from artasyn.stock.views import Patient
from artasyn.training.anatomy_calibration import LEVELS, best_thresholds, calibrate
from artasyn.training.anatomy_data import FilmBatches, StockData, labels_of, shares_of_pixels
from artasyn.training.anatomy_module import AnatomyTraining, running_mean
from artasyn.training.anatomy_run import AnatomyRun
from artasyn.training.progress import Progress
from tests.chest import chest

RUN = AnatomyRun(
    encoder="test_efficientnet", sizes=(32, 48), shares=(0.5, 0.5), steps=4, epoch=2, batch_size=2, held_out=0.25,
    calibration=2, pretrained=False, seed=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def stock() -> Stock:
    """One chest of ellipsoids from several sides, as if it were four patients."""
    patient = Patient.of(chest((8.0, 8.0, 8.0), length=330.0), "")
    seen = {
        name: patient.seen(View(angle), 48)[0] for name, angle in (("a", 0.0), ("b", 10.0), ("c", 180.0), ("d", 70.0))
    }
    views = tuple(Packed.of(dataclasses.replace(view, patient=name)) for name, view in seen.items())
    return Stock(views, np.full(4, 0.25))


@pytest.fixture(scope="module")
def fitted(stock: Stock, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AnatomyNetwork]:
    out = tmp_path_factory.mktemp("fitted")
    threads = cv2.getNumThreads()
    network = RUN.fit(stock, out, workers=0)
    assert cv2.getNumThreads() == threads
    return out, network


def test_a_training_leaves_a_calibrated_model(fitted: tuple[Path, AnatomyNetwork], stock: Stock) -> None:
    out, network = fitted
    for file in ("checkpoints/last.ckpt", "logs/run_1/metrics.csv", "settings.json"):
        assert (out / file).is_file(), file
    assert json.loads((out / "settings.json").read_text())["stock"] == stock.identity()
    reader = AnatomyNet.from_pretrained(out / "model")
    assert reader.settings == network.settings
    assert (reader.settings.size, reader.settings.names) == (48, ANATOMY)
    assert set(reader.settings.thresholds) <= {round(float(level), 2) for level in LEVELS}
    assert len(reader.settings.agreements) == len(ANATOMY)
    assert reader(np.random.default_rng(0).random((60, 50), dtype=np.float32)).names == ANATOMY


def test_a_finished_training_is_not_done_again_and_another_one_is_refused(
    fitted: tuple[Path, AnatomyNetwork], stock: Stock
) -> None:
    out, network = fitted
    before = (out / "model" / "model.safetensors").stat().st_mtime_ns
    again = RUN.fit(stock, out, workers=0)
    assert (out / "model" / "model.safetensors").stat().st_mtime_ns == before
    assert again.settings == network.settings
    with pytest.raises(DataError, match="steps"):
        dataclasses.replace(RUN, steps=6).fit(stock, out)
    with pytest.raises(DataError, match=r"stock: 4 views, .* there, 3 views"):
        RUN.fit(Stock(stock.views[:3], np.full(3, 1 / 3)), out)


class Stopped(Exception):
    """A kill."""


def test_a_training_that_was_stopped_ends_with_the_same_weights_with_another_worker(
    fitted: tuple[Path, AnatomyNetwork], stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Progress.on_train_batch_end

    def stopping(self: Progress, trainer: lightning.Trainer, *rest: Any) -> None:
        usual(self, trainer, *rest)
        if trainer.global_step == 3:  # in the second epoch
            raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(Progress, "on_train_batch_end", stopping)
        with pytest.raises(Stopped):
            RUN.fit(stock, tmp_path, workers=0)
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
    assert not (tmp_path / "model").exists()
    network = RUN.fit(stock, tmp_path, workers=1)
    for name, value in fitted[1].state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    assert network.settings.thresholds == fitted[1].settings.thresholds


def test_the_model_is_the_average_of_the_weights(fitted: tuple[Path, AnatomyNetwork]) -> None:
    state = torch.load(fitted[0] / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert int(state["averaged.n_averaged"]) == RUN.steps
    name = "head.weight"
    torch.testing.assert_close(fitted[1].state_dict()[name], state[f"averaged.module.{name}"])
    assert not torch.equal(state[f"averaged.module.{name}"], state[f"network.{name}"])


def test_patients_held_out_train_nothing(stock: Stock) -> None:
    (held,) = RUN.patients_held_out(stock)
    data = StockData(stock, [held], Films(), RUN.schedule(), epoch=2, batch_size=2, workers=0)
    loaders = {"train": data.train_dataloader(), "validation": data.val_dataloader()}
    seen: dict[str, set[str]] = {}
    for name, loader in loaders.items():
        assert isinstance(loader.dataset, FilmBatches)
        seen[name] = {view.patient for view in loader.dataset.stock.views}
    assert seen == {"train": {"a", "b", "c", "d"} - {held}, "validation": {held}}
    many = Stock(tuple(dataclasses.replace(stock.views[0], patient=f"{n:03}") for n in range(100)), np.full(100, 0.01))
    chosen = dataclasses.replace(RUN, held_out=0.04).patients_held_out(many)
    assert chosen == ["012", "037", "062", "087"]


def test_batches_follow_from_seed_and_number_and_grow_by_schedule(stock: Stock) -> None:
    assert RUN.schedule() == (32, 32, 48, 48)
    assert dataclasses.replace(RUN, steps=10, shares=(0.3, 0.1)).schedule() == (32,) * 8 + (48,) * 2
    batches = FilmBatches(stock, Films(), RUN.schedule(), 2, (0, 0))
    shapes = [tuple(batches[number]["image"].shape) for number in range(4)]
    assert shapes == [(2, 1, 32, 32)] * 2 + [(2, 1, 48, 48)] * 2
    first, again, other = batches[0], batches[0], batches[1]
    assert torch.equal(first["image"], again["image"])
    assert not torch.equal(first["image"], other["image"])
    labels = labels_of(first)
    assert labels.targets.shape == (2, len(ANATOMY), 16, 16)
    assert labels.targets[~labels.known].max() == 0
    assert not labels.absent.any()


def test_the_running_mean_soon_forgets_the_first_steps() -> None:
    mean, counts = torch.zeros(3), torch.zeros(2, dtype=torch.long)
    for count in range(20):
        running_mean(0.998, [mean], [torch.ones(3)], count)
        running_mean(0.998, [counts], [torch.full((2,), count)], count)
    assert float(mean.min()) > 0.95
    assert counts.tolist() == [19, 19]
    running_mean(0.998, [mean], [torch.zeros(3)], torch.tensor(10**6))
    assert float(mean.min()) == pytest.approx(0.998, abs=0.002)


def test_a_training_starts_at_the_shares_of_the_pixels(stock: Stock) -> None:
    batches = FilmBatches(stock, Films(), [64] * 6, 4, (0, 5))
    shares = shares_of_pixels(batches)
    films = [batches[number] for number in range(6)]
    masks, known = (torch.cat([film[key] for film in films]) for key in ("masks", "known"))
    heart = ANATOMY.index("heart")
    assert float(shares[heart]) == pytest.approx(float(masks[known[:, heart], heart].mean()), abs=1e-6)
    network = AnatomyNetwork(AnatomySettings(encoder="test_efficientnet", size=64))
    torch.nn.init.zeros_(network.head.weight)
    network.start_at(shares)
    chance = torch.sigmoid(network(torch.zeros(1, 1, 64, 64))[0]).mean(dim=(0, 2, 3))
    torch.testing.assert_close(chance, shares.clamp(0.001, 0.9), atol=1e-5, rtol=1e-4)


def test_settings_that_do_not_fit_are_refused(stock: Stock) -> None:
    for wrong, said in (({"sizes": (33, 48)}, "multiples of 16"), ({"shares": (1.0,)}, "share for each size")):
        with pytest.raises(DataError, match=said):
            dataclasses.replace(RUN, **wrong)
    with pytest.raises(DataError, match="multiple of epoch"):
        dataclasses.replace(RUN, steps=5)
    trainer = lightning.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    module = AnatomyTraining(AnatomyNetwork(AnatomySettings(encoder="test_efficientnet", size=32)))
    with pytest.raises(DataError, match="reload_dataloaders_every_n_epochs=1"):
        trainer.fit(module, StockData(stock, ["a"], Films(), (32,), workers=0, batch_size=2))


def test_each_structure_has_the_threshold_of_its_best_dice_and_unknown_ones_do_not_count() -> None:
    rng = np.random.default_rng(0)
    shares = (rng.random((4, 4, 8, 8)) < 0.4).astype(np.float32)
    edges = (0.33, 0.5, 0.67, 0.5)
    maps = np.stack(
        [np.clip(np.where(s > 0.5, edge + 0.15, edge - 0.15), 0, 1) for s, edge in zip(shares, edges, strict=True)], 1
    ).astype(np.float32)
    films = [(np.moveaxis(maps, 1, 0)[:, n], shares[:, n].copy()) for n in range(4)]
    films[0][1][1] = np.nan
    films[0][0][1] = 1  # nonsense, on the film that does not know the structure
    for film in films:
        film[1][3] = 0  # is shown nowhere
    found = best_thresholds(iter(films), range(4))
    assert found == pytest.approx((0.5, 0.5, 0.5, 0.5), abs=0.2)
    for place, edge in enumerate(edges[:3]):
        assert edge - 0.15 < found[place] <= edge + 0.15
    assert found[3] == 0.5
    paired = best_thresholds(iter(films), (2, 1, 0, 3))
    assert found[0] < found[2]
    assert found[0] <= paired[0] == paired[2] <= found[2]
    assert paired[1] == found[1]


def test_calibration_makes_good_thresholds_of_a_network_that_is_too_sure(stock: Stock) -> None:
    torch.manual_seed(0)
    network = AnatomyNetwork(AnatomySettings(encoder="test_efficientnet", size=32))
    calibrate(network, stock, Films(), count=3, seed=1)
    first = network.settings
    assert len(first.thresholds) == len(first.agreements) == len(ANATOMY)
    assert all(0 <= each <= 1 for each in first.agreements)
    calibrate(network, stock, Films(), count=3, seed=1)
    assert network.settings == first
