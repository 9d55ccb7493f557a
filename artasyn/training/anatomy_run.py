"""A whole training of a reader of anatomy: the settings that its result depends on, and how it resumes after a kill."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import lightning
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only

from artasyn.bulk.sources import claim
from artasyn.errors import DataError
from artasyn.fields import Count, Seed, Share, Within, check_fields
from artasyn.networks.stored import is_complete
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.anatomy.settings import MULTIPLE, AnatomySettings
from artasyn.stock.films import Films
from artasyn.stock.packed import Stock
from artasyn.training.anatomy_calibration import calibrate
from artasyn.training.anatomy_data import SHARES, FilmBatches, StockData, shares_of_pixels
from artasyn.training.anatomy_module import AnatomyTraining
from artasyn.training.card import anatomy_card, write_card
from artasyn.training.checkpoints import LAST, Checkpoints, check_checkpoint, going_on, resumable
from artasyn.training.progress import Progress
from artasyn.version import __version__

Side = Annotated[int, Within(32, 1024)]


@dataclass(frozen=True)
class AnatomyRun:
    """Holds the settings of a training that reads anatomy: everything that the result depends on besides the stock.

    Attributes:
        encoder: any timm model with feature maps at 1/4, 1/8 and 1/16.
        sizes: rows and columns of the films, one stage of the training after the other; the last is the model's.
        shares: share of the steps of each stage.
        steps: batches of the whole training; several devices share them.
        epoch: batches between two checkpoints.
        batch_size: films in a batch.
        learning_rate: highest learning rate of AdamW.
        held_out: share of the patients for validation and calibration.
        calibration: number of films of patients held out for calibration.
        seed: of weights and films.
        pretrained: start from weights learnt on photographs: those of efficientnet_lite0 come with
            artasyn[pretrained], others are downloaded.
        films: the ranges of the films.
    """

    encoder: str = AnatomySettings.encoder
    sizes: Annotated[tuple[Side, ...], Count(1, 16)] = (64, 96, 128)
    shares: Annotated[tuple[Share, ...], Count(1, 16)] = (0.2, 0.35, 0.45)
    steps: Annotated[int, Within(1, 10_000_000)] = 8_000
    epoch: Annotated[int, Within(1, 1_000_000)] = 250
    batch_size: Annotated[int, Within(1, 65536)] = 16
    learning_rate: Annotated[float, Within(1e-9, 10)] = 2e-3
    held_out: Share = 0.04
    calibration: Annotated[int, Within(1, 1_000_000)] = 256
    seed: Seed = 0
    pretrained: bool = True
    films: Films = Films()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        if len(self.sizes) != len(self.shares) or any(size % MULTIPLE for size in self.sizes):
            raise DataError(f"give a share for each size, and sizes that are multiples of {MULTIPLE}")
        if self.steps % self.epoch:
            raise DataError(f"steps is {self.steps}; give a multiple of epoch, {self.epoch}")

    def schedule(self) -> tuple[int, ...]:
        """Returns the size of the films of every batch."""
        ends = [round(self.steps * sum(self.shares[: n + 1]) / sum(self.shares)) for n in range(len(self.shares))]
        starts = [0, *ends[:-1]]
        return tuple(size for size, a, b in zip(self.sizes, starts, ends, strict=True) for _ in range(b - a))

    def fit(
        self, stock: Stock, out: Path, *, workers: int = 1, trainer: Mapping[str, Any] | None = None
    ) -> AnatomyNetwork:
        """Trains on films of a stock, or resumes a killed training in the same folder.

        Writes ``checkpoints/`` (last), ``logs/run_N/`` (CSV) and, at the end, ``model/`` for
        `AnatomyNet.from_pretrained`, with a card. The model holds the averaged weights at the end of the training. Its
        thresholds and usual agreements come from films of patients held out.

        Args:
            stock: the views.
            out: the folder to write to.
            workers: processes that compose films.
            trainer: further options of `lightning.Trainer`.

        Raises:
            DataError: the folder holds another training or one on another stock, a checkpoint is damaged, or memory or
                disk are used up.
        """
        about = {"command": "train-anatomy", "version": __version__, "stock": stock.identity()}
        rank_zero_only(claim)(out, about | dataclasses.asdict(self))  # it deletes temporary files
        if is_complete(out / "model"):
            return AnatomyNetwork.from_pretrained(out / "model")
        threads = cv2.getNumThreads()
        try:
            with going_on(out):
                network = self._fit(stock, out, workers, trainer or {})
                _, held_out = stock.split(self.patients_held_out(stock))
                calibrate(network, held_out, self.films, count=self.calibration, seed=self.seed)
                rank_zero_only(self._write)(network, stock, out / "model")
        finally:
            cv2.setNumThreads(threads)  # `StockData` takes one
        return network

    def _write(self, network: AnatomyNetwork, stock: Stock, folder: Path) -> None:
        """Writes the model with its card."""
        card = anatomy_card(network.settings, stock, self.patients_held_out(stock), dataclasses.asdict(self))
        write_card(folder, card)
        network.save_pretrained(folder)

    def patients_held_out(self, stock: Stock) -> list[str]:
        """Returns the names of the patients held out: evenly spread over all names, and one at least."""
        names = sorted({view.patient for view in stock.views})
        count = max(1, round(self.held_out * len(names)))
        return [names[(2 * number + 1) * len(names) // (2 * count)] for number in range(count)]

    def _fit(self, stock: Stock, out: Path, workers: int, options: Mapping[str, Any]) -> AnatomyNetwork:
        lightning.seed_everything(self.seed, workers=True, verbose=False)
        settings = AnatomySettings(encoder=self.encoder, size=self.sizes[-1])
        network = AnatomyNetwork(settings, pretrained=self.pretrained)
        held_out = self.patients_held_out(stock)
        first = FilmBatches(stock.split(held_out)[0], self.films, [self.sizes[0]] * 8, 16, (self.seed, SHARES))
        network.start_at(shares_of_pixels(first))
        module = AnatomyTraining(network, learning_rate=self.learning_rate, seed=self.seed)
        data = StockData(
            stock, held_out, self.films, self.schedule(), epoch=self.epoch, batch_size=self.batch_size,
            workers=workers, seed=self.seed,
        )  # fmt: skip
        folder = out / "checkpoints"
        checkpoints = ModelCheckpoint(folder, Path(LAST).stem, enable_version_counter=False)  # the latest epoch
        version = f"run_{sum(1 for _ in out.glob('logs/run_*')) + 1}"  # a resumed training keeps the earlier logs
        usual: dict[str, Any] = {
            "max_epochs": self.steps // self.epoch,
            "logger": [CSVLogger(out, "logs", version)],
            "enable_model_summary": False,
            "log_every_n_steps": 10,
            "gradient_clip_val": 1.0,
        }
        given = dict(options)
        plugins = given.pop("plugins", None) or []
        fitting = lightning.Trainer(
            **usual | given,
            callbacks=[checkpoints, Progress("train")],
            plugins=[Checkpoints(), *(plugins if isinstance(plugins, (list, tuple)) else [plugins])],
            enable_progress_bar=False,
            default_root_dir=out,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")  # it goes on there
            if earlier := resumable(folder):
                check_checkpoint(earlier, module.state_dict(), thresholds=False)
            fitting.fit(module, data, ckpt_path=earlier, weights_only=True)
        found = module.averaged.module
        assert isinstance(found, AnatomyNetwork)
        return found.cpu().eval()
