"""The data of a training: normal radiographs, a share of them held out, with anomalies made on the fly."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import lightning
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, DistributedSampler

from artasyn.bulk.sources import Source
from artasyn.bulk.workers import follow_parent, uninterrupted
from artasyn.errors import DataError
from artasyn.synthesis import LungOpacity
from artasyn.synthesis.anomaly import Synthesis
from artasyn.synthesis.nuisances import Nuisances
from artasyn.testsets.measured import FilmLungs
from artasyn.training.film_variation import FilmVariation
from artasyn.training.normals import Normals, load_normals, prepare_normals
from artasyn.training.samples import Sample, SyntheticAnomalies

T = TypeVar("T")

PASSES = 3
"""Passes through the normal radiographs for fitting what is normal; the first pass does not vary the radiographs."""

DISTURBED = 3
"""How many times as often as in training nuisances appear where their influence is measured."""


class Order(DistributedSampler[int]):
    """The samples that one device takes, in order. Lightning leaves such an order as it is.

    Args:
        places: of the samples in their data set.
    """

    def __init__(self, places: Sequence[int]) -> None:
        self.places = list(places)

    def __iter__(self) -> Iterator[int]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


class Loader(DataLoader[T]):
    """A loader whose workers never hear Ctrl-C, not even before `follow_training` has begun."""

    def __iter__(self) -> Any:
        """Returns an iterator over the batches."""
        with uninterrupted():
            return super().__iter__()


def device_of(trainer: lightning.Trainer | None) -> tuple[int, int]:
    """Returns the number of this device, from 0, and the number of devices; one without a trainer."""
    return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)


def share(places: Sequence[int], rank: int = 0, count: int = 1) -> Order:
    """Returns the share of this device in the samples of an epoch.

    The devices take the samples in turn, so that none is taken twice. Each device gets the same number; the few that
    are left over are left out.

    Args:
        places: of the samples in their data set, in the order of the epoch.
        rank: the number of this device, from 0.
        count: the number of devices.

    Raises:
        DataError: there are more devices than samples.
    """
    if len(places) < count:
        raise DataError(f"{count} devices cannot share {len(places)} samples; take fewer devices")
    return Order(places[rank : len(places) // count * count : count])


class NormalsData(lightning.LightningDataModule):
    """Normal radiographs for training, a share of them held out for validation and calibration.

    The workers make the anomalies from (seed, image, epoch), so the anomalies are the same for any number of workers,
    devices or restarts. Several devices share the radiographs of an epoch, see `share`; each validates on all that are
    held out, so that all have the same thresholds. The trainer must be made with
    ``reload_dataloaders_every_n_epochs=1``, which tells the data its epoch.

    Args:
        sources: the radiographs' files.
        cache: a folder for the radiographs and lungs, which are prepared once for `size`.
        size: rows and columns.
        batch_size: radiographs in a batch, on each device.
        workers: processes that prepare and synthesise.
        seed: seed of all random choices.
        held_out: share of the radiographs for validation; all radiographs of a patient are held out or none.
        patients: how patients are told apart, see `artasyn.training.patients.patient_of`.
        synthesis: makes the anomalies.
        lungs: finds the lungs of the radiographs, or reads them.
        anatomy: whether the network that reads anatomy corrects the lungs of PBTSeg.
        nuisances: probability of each nuisance.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        cache: Path,
        *,
        size: int = 128,
        batch_size: int = 16,
        workers: int = 0,
        seed: int = 0,
        held_out: float = 0.15,
        patients: str = "auto",
        synthesis: Synthesis | None = None,
        lungs: FilmLungs = FilmLungs(),
        anatomy: bool = True,
        nuisances: float = Nuisances.probability,
    ) -> None:
        super().__init__()
        self.sources, self.cache, self.size = sources, cache, size
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.held_out, self.patients, self.synthesis = held_out, patients, synthesis or LungOpacity()
        self.lungs, self.anatomy, self.nuisances = lungs, anatomy, Nuisances(nuisances)
        self.normals: tuple[Normals, Normals] | None = None

    def prepare_data(self) -> None:
        """Reads, segments and caches the radiographs; on one process of each machine."""
        workers = max(1, self.workers)
        prepare_normals(
            self.sources, self.cache, size=self.size, workers=workers, patients=self.patients, lungs=self.lungs,
            anatomy=self.anatomy,
        )  # fmt: skip

    def setup(self, stage: str) -> None:
        """Loads the cache and holds out the validation part."""
        self.normals = load_normals(self.cache).split(self.held_out, seed=self.seed)

    def train_dataloader(self) -> DataLoader[Sample]:
        """Returns the training radiographs with the anomalies of the current epoch."""
        epoch = 0
        if self.trainer is not None:
            epoch = self.trainer.current_epoch
            if getattr(self.trainer, "reload_dataloaders_every_n_epochs", 0) != 1:
                raise DataError(
                    "make the Trainer with reload_dataloaders_every_n_epochs=1: every epoch has anomalies of its own"
                )
        training, _ = self.parts()
        samples = self._samples(training, epoch, varied=True)
        # an order, not a generator: the number of draws that a loader makes depends on its workers
        rank, count = device_of(self.trainer)
        order = share(training.order(seed=self.seed, epoch=epoch), rank, count)
        drop = len(samples) // count >= self.batch_size
        return self._loader(samples, sampler=order, drop_last=drop)

    def val_dataloader(self) -> DataLoader[Sample]:
        """Returns the held-out radiographs, each once healthy and once with an anomaly, the same at every epoch."""
        _, held_out = self.parts()
        ill = SyntheticAnomalies(held_out, self.size, self.synthesis, seed=self.seed + 1, healthy_probability=0.0)
        films: ConcatDataset[Sample] = ConcatDataset([self._samples(held_out, healthy=1.0), ill])
        return self._loader(films, sampler=Order(range(len(films))))

    @property
    def groups(self) -> int:
        """Number of groups of normal radiographs, see `artasyn.training.normals.groups_of`."""
        return 1 + max(max(part.groups, default=0) for part in self.parts())

    def healthy(self, *, held_out: bool) -> DataLoader[Sample]:
        """Returns radiographs without anomalies, for fitting what is normal.

        Args:
            held_out: True for the validation radiographs, not varied; False for the training radiographs, first not
                varied and then varied.
        """
        training, validation = self.parts()
        if held_out:
            return self._loader(self._samples(validation, healthy=1.0))
        passes = [self._samples(training, epoch, healthy=1.0, varied=epoch > 0) for epoch in range(PASSES)]
        return self._loader(ConcatDataset(passes))

    def varied(self, epoch: int) -> DataLoader[Sample]:
        """Returns the training radiographs with the anomalies of an epoch, in the order of the cache."""
        training, _ = self.parts()
        return self._loader(self._samples(training, epoch, varied=True))

    def disturbed(self) -> DataLoader[Sample]:
        """Returns the radiographs of the first pass of `healthy`, in its order, with nuisances and nothing else."""
        training, _ = self.parts()
        often = Nuisances(min(1.0, DISTURBED * self.nuisances.probability))
        samples = SyntheticAnomalies(
            training, self.size, self.synthesis, seed=self.seed, healthy_probability=1.0, nuisances=often
        )
        return self._loader(samples)

    def _samples(
        self, normals: Normals, epoch: int = 0, *, healthy: float = 0.3, varied: bool = False
    ) -> SyntheticAnomalies:
        return SyntheticAnomalies(
            normals, self.size, self.synthesis, seed=self.seed, epoch=epoch, healthy_probability=healthy,
            variation=FilmVariation() if varied else None, nuisances=self.nuisances if varied else None,
        )  # fmt: skip

    def parts(self) -> tuple[Normals, Normals]:
        """Returns the radiographs to train on, and those held out."""
        if self.normals is None:
            self.setup("fit")
        assert self.normals is not None
        return self.normals

    def _loader(self, samples: Dataset[Sample], **options: Any) -> DataLoader[Sample]:
        batches = -(-len(samples) // self.batch_size)  # type: ignore[arg-type]
        return Loader(
            samples,
            self.batch_size,
            num_workers=min(self.workers, batches),
            worker_init_fn=functools.partial(follow_training, os.getpid()),
            pin_memory=torch.cuda.is_available(),
            **options,
        )


def follow_training(parent: int, worker: int) -> None:
    """Makes a worker of a loader end when the training ends, however that ends, and leave signals to the training.

    Args:
        parent: the process id of the training.
        worker: the number of the worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    follow_parent(parent)
