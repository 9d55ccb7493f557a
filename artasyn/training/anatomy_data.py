"""The data of a training that reads anatomy: films composed on the fly, the same for any number of workers."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import TypedDict

import cv2
import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from artasyn.errors import DataError
from artasyn.segment.anatomy.partial import PartialLabels
from artasyn.shapes import Bool, Float32
from artasyn.stock.films import Films
from artasyn.stock.packed import Stock
from artasyn.training.data import Loader, Order, device_of, follow_training, share

HELD_OUT, SHARES = 1, 3
"""Streams of the seeds of films for validation, and for the shares of the pixels (`shares_of_pixels`)."""


class FilmBatch(TypedDict):
    """A batch of composed films.

    Keys:
        image: (b, 1, s, s), as the network expects it.
        masks: (b, k, s / 2, s / 2) in [0, 1].
        known: (b, k).
        angle: sine and cosine of the view's angle, (b, 2).
    """

    image: Float32[Tensor, "b 1 h w"]
    masks: Float32[Tensor, "b k y x"]
    known: Bool[Tensor, "b k"]
    angle: Float32[Tensor, "b 2"]


def labels_of(batch: FilmBatch) -> PartialLabels:
    """Returns the labels of a batch; a structure that a volume knows and a view does not show is an empty mask."""
    return PartialLabels(batch["masks"], batch["known"], torch.zeros_like(batch["known"]))


class FilmBatches(Dataset[FilmBatch]):
    """Batches of composed films by their number.

    Args:
        stock: the views.
        films: the ranges of the films.
        sizes: rows and columns of each batch's films.
        batch_size: films in a batch.
        seed: the films of a batch follow from it and the batch's number alone.
    """

    def __init__(
        self, stock: Stock, films: Films, sizes: Sequence[int], batch_size: int, seed: tuple[int, ...]
    ) -> None:
        self.stock, self.films, self.sizes, self.batch_size, self.seed = stock, films, sizes, batch_size, seed

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, number: int) -> FilmBatch:
        """Composes a batch."""
        made = [
            self.films.compose(self.stock, self.sizes[number], (*self.seed, number, place))
            for place in range(self.batch_size)
        ]
        masks = torch.from_numpy(np.stack([each["masks"] for each in made])).permute(0, 3, 1, 2)
        return {
            "image": torch.from_numpy(np.stack([each["image"] for each in made])),
            "masks": masks.float() / 4,
            "known": torch.from_numpy(np.stack([each["known"] for each in made])),
            "angle": torch.from_numpy(np.stack([each["angle"] for each in made])),
        }


def shares_of_pixels(batches: FilmBatches) -> Float32[Tensor, " k"]:
    """Returns the mean share of the pixels of each structure over the films that tell it; 0 where none does."""
    films = [batches[number] for number in range(len(batches))]
    shown = torch.stack([(film["masks"].mean(dim=(2, 3)) * film["known"]).sum(dim=0) for film in films]).sum(dim=0)
    told = torch.stack([film["known"].sum(dim=0) for film in films]).sum(dim=0)
    return shown / told.clamp(min=1)


class StockData(lightning.LightningDataModule):
    """Films composed from a stock, for a training, and from patients held out, for its validation.

    The trainer must be made with ``reload_dataloaders_every_n_epochs=1``: every epoch has films of its own. Several
    devices share the batches of an epoch, see `artasyn.training.data.share`; each validates on all films.

    Args:
        stock: the views; the patients of `held_out` train nothing.
        held_out: names of patients for the validation.
        films: the ranges of the films.
        sizes: rows and columns of every batch of the training, in order.
        validation: batches of the validation.
        epoch: batches of an epoch.
        batch_size: films in a batch.
        workers: processes that compose.
        seed: of all films.
    """

    def __init__(
        self,
        stock: Stock,
        held_out: Sequence[str],
        films: Films,
        sizes: Sequence[int],
        *,
        validation: int = 4,
        epoch: int = 250,
        batch_size: int = 16,
        workers: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.parts = stock.split(held_out)
        self.films, self.sizes, self.validation, self.epoch = films, sizes, validation, epoch
        self.batch_size, self.workers, self.seed = batch_size, workers, seed

    def train_dataloader(self) -> DataLoader[FilmBatch]:
        """Returns the batches of the current epoch."""
        current = 0
        if self.trainer is not None:
            current = self.trainer.current_epoch
            if getattr(self.trainer, "reload_dataloaders_every_n_epochs", 0) != 1:
                raise DataError("make the Trainer with reload_dataloaders_every_n_epochs=1")
        batches = FilmBatches(self.parts[0], self.films, self.sizes, self.batch_size, (self.seed, 0))
        first = current * self.epoch
        return self._loader(
            batches, share(range(first, min(first + self.epoch, len(self.sizes))), *device_of(self.trainer))
        )

    def val_dataloader(self) -> DataLoader[FilmBatch]:
        """Returns films of the patients held out, of the size that the training has reached."""
        current = self.trainer.current_epoch if self.trainer is not None else 0
        sizes = [self.sizes[min(current * self.epoch, len(self.sizes) - 1)]] * self.validation
        batches = FilmBatches(self.parts[1], self.films, sizes, self.batch_size, (self.seed, HELD_OUT))
        return self._loader(batches, Order(range(len(sizes))))

    def _loader(self, batches: FilmBatches, order: Order) -> DataLoader[FilmBatch]:
        cv2.setNumThreads(1)  # threads of OpenCV that exist when a worker is forked stop it for ever
        return Loader(
            batches,
            batch_size=None,
            sampler=order,
            num_workers=self.workers,
            prefetch_factor=4 if self.workers else None,
            worker_init_fn=functools.partial(follow_training, os.getpid()),
        )
