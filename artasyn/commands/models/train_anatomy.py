"""The command that trains a reader of anatomy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

from artasyn.bulk.lock import claimed
from artasyn.bulk.sources import processes
from artasyn.commands.project import CTS, LABELS, NAMES, RESAMPLE
from artasyn.commands.stock import StockOptions, stock
from artasyn.console.devices import Devices, first_process
from artasyn.console.options import flag, option, paths, several, spread
from artasyn.console.results import Done
from artasyn.errors import DataError
from artasyn.stock.making import Plan
from artasyn.stock.packed import Stock
from artasyn.training.anatomy_run import AnatomyRun


@dataclass(frozen=True)
class TrainAnatomyOptions:
    """Options of `train-anatomy`.

    Raises:
        DataError: a stock that is there and something to make a stock of, or neither.
    """

    inputs: Sequence[Path] | None = field(default=None, metadata=paths(f"{CTS}; none for phantoms alone", least=0))
    _: KW_ONLY
    out: Path = field(metadata=option("the folder to write to"))
    labels: Path | None = field(default=None, metadata=option(LABELS, main=True))
    names: Path | None = field(default=None, metadata=option(NAMES, main=True))
    plan: Plan = field(default=Plan(), metadata=spread("seed", main=("phantoms", "variants")))
    resample_labels: bool = field(default=False, metadata=flag(RESAMPLE))
    stock: Sequence[Path] | None = field(
        default=None,
        metadata=several(
            "folders that `artasyn stock` wrote to, in place of CTs and phantoms; each gives the same share of the "
            "films",
            of=Path,
            metavar="DIR",
            main=True,
        ),
    )
    training: AnatomyRun = field(default=AnatomyRun(), metadata=spread(main=("steps", "pretrained", "seed")))
    on: Devices = field(default=Devices(), metadata=spread(main=("devices",)))
    trainer: dict[str, Any] | None = field(
        default=None, metadata=option("""further options of lightning.Trainer, as '{"accelerator": "gpu"}'""")
    )
    workers: int = field(
        default=0, metadata=option("processes that project and compose films; 0 takes every core", main=True)
    )

    def __post_init__(self) -> None:
        if bool(self.stock) == bool(self.inputs or self.plan.phantoms):
            raise DataError("give CTs and a number of phantoms to project, or a stock that is there with --stock")

    def making(self) -> StockOptions:
        """Returns the options of the stock that is made in the folder of the training."""
        return StockOptions(
            self.inputs,
            out=self.out / "stock",
            labels=self.labels,
            names=self.names,
            plan=dataclasses.replace(self.plan, seed=self.training.seed),
            resample_labels=self.resample_labels,
            workers=self.workers,
        )


def train_anatomy(options: TrainAnatomyOptions) -> Done:
    """Trains a reader of anatomy on films that are composed from projections of phantoms and CTs alone.

    For example: artasyn train-anatomy --phantoms 1000 --out reader
    Or with CTs, eight patients of each: artasyn train-anatomy cts/ --labels segmentations/ --names names.csv
    --variants 8 --phantoms 1000 --out reader

    Writes to OUT: model/ (config.json and model.safetensors, for `artasyn anatomy --model OUT/model`; README.md, the
    card), checkpoints/
    (last.ckpt), logs/ (CSV), stock/ (as `artasyn stock` writes it, unless --stock names others),
    settings.json. The thresholds of the model, and the agreement that counts as usual, come from films of patients who
    trained nothing. The same command continues a training that was killed.

    With --devices 2, two GPUs share the batches; on several machines, --nodes tells their number, and the stock is made
    beforehand.

    Args:
        options: what to read, where to write, and how to train.
    """
    out, first = options.out, first_process()
    with claimed(out):
        made = Done(())
        folders = tuple(options.stock or ())
        if not folders:
            making = options.making()
            made, folders = stock(making) if first else made, (making.out,)
        views = Stock.read(*folders, weights=[1.0] * len(folders))
        workers = processes(options.workers)
        options.training.fit(views, out, workers=workers, trainer=options.on.trainer(options.trainer))
    if not first:
        return Done(())
    return dataclasses.replace(
        made, written=(out / "model", *made.written), said=f"trained on {len(views.views)} views"
    )
