"""The steps of a training that reads anatomy: loss over what is known, averaged weights, validation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.anatomy.partial import PartialLabels, channel_weights, masked_negatives
from artasyn.training.anatomy_data import FilmBatch, labels_of

HEAVY, WEIGHT = ("visible_lung_*", "whole_lung_*", "drawn_heart"), 8.0
"""Structures that weigh more, and how much: readers draw them, and measures are taken from them."""

TOLD = 0.3
"""Share of the films whose angle the network is told."""

TURN = 0.5
"""Weight of the error of the estimated turn."""


@torch.no_grad()
def running_mean(decay: float, mean: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
    """Moves a running mean of weights towards the current ones; the first steps of a training are soon forgotten.

    Args:
        decay: share of the mean that stays, after many steps; ``(1 + count) / (10 + count)`` if that is less.
        mean: weights and statistics; they are changed.
        current: those of the network.
        count: number of steps that the mean holds.
    """
    stays = min(decay, (1 + float(count)) / (10 + float(count)))
    for held, new in zip(mean, current, strict=True):
        if held.is_floating_point():
            held.lerp_(new.to(held.dtype), 1 - stays)
        else:
            held.copy_(new)


class AnatomyTraining(lightning.LightningModule):
    """Trains a network that reads anatomy.

    Args:
        network: the network.
        learning_rate: highest learning rate of AdamW, after a warm-up, annealed by a cosine to 0.
        weight_decay: of AdamW.
        ema: decay of the averaged weights, which are those of the model, see `running_mean`.
        seed: of the choice of the films whose angle is told.
    """

    weights: Tensor

    def __init__(
        self,
        network: AnatomyNetwork,
        *,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        ema: float = 0.998,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.seed = seed
        self.network = network
        self.averaged = AveragedModel(network, multi_avg_fn=partial(running_mean, ema), use_buffers=True)
        self.averaged.requires_grad_(False)
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        weights = channel_weights(network.settings.names, heavy=HEAVY, weight=WEIGHT)
        self.register_buffer("weights", weights, persistent=False)
        self.seen: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: FilmBatch, index: int) -> Tensor:
        """Returns the loss of one batch."""
        # a training that goes on tells the same films, and every device others
        rng = np.random.default_rng([self.seed, self.global_step, self.global_rank])
        told = torch.from_numpy(rng.random((len(batch["angle"]), 1)) < TOLD).to(self.device)
        logits, turn = self.network(batch["image"], torch.where(told, batch["angle"], torch.nan))
        loss = masked_negatives(logits, labels_of(batch), self.weights)
        total: Tensor = loss + TURN * (turn - batch["angle"]).square().mean()
        self.log("loss", total.detach(), prog_bar=True, on_step=True, on_epoch=False)
        return total

    def on_train_batch_end(self, outputs: Any, batch: FilmBatch, index: int) -> None:
        """Averages the weights."""
        self.averaged.update_parameters(self.network)

    def validation_step(self, batch: FilmBatch, index: int) -> None:
        """Adds the overlap of the averaged network's masks on a batch."""
        logits, _ = self.averaged.eval()(batch["image"])
        labels: PartialLabels = labels_of(batch)
        found, true = logits > 0, labels.targets > 0.5
        both, each = 2 * (found & true).sum(dim=(2, 3)), found.sum(dim=(2, 3)) + true.sum(dim=(2, 3))
        self.seen.append((both * labels.known, each * labels.known))

    def on_validation_epoch_end(self) -> None:
        """Logs the mean Dice of the structures on films of patients held out."""
        both, each = (torch.cat(parts).sum(dim=0).double() for parts in zip(*self.seen, strict=True))
        self.seen = []
        dice = both / each.clamp(min=1)
        self.log("val/dice", dice[each > 0].mean().float(), prog_bar=True)
        heavy = (self.weights > 1) & (each > 0)
        self.log("val/drawn", dice[heavy].mean().float())

    def configure_optimizers(self) -> Any:
        """Returns AdamW with a warm-up and a cosine schedule, stepped every batch."""
        optimizer = torch.optim.AdamW(self.network.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            self.learning_rate,
            total_steps=max(2, int(self.trainer.estimated_stepping_batches)),
            pct_start=0.05,
            div_factor=10,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
