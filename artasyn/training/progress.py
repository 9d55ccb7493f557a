"""The progress of a training."""

from __future__ import annotations

from typing import Any

import lightning

from artasyn.bulk.progress import progress


class Progress(lightning.Callback):
    """Shows the progress of the whole training, one step per batch, with the loss and the last validation's Dice.

    Args:
        title: of the training.
    """

    def __init__(self, title: str = "train") -> None:
        self.title = title

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Opens the bar at the training's current step."""
        self.bar = progress(
            title=self.title,
            total=int(trainer.estimated_stepping_batches),
            initial=trainer.global_step,
            unit="batch",
            hidden=not trainer.is_global_zero,
        )

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advances the bar by one step."""
        metrics = trainer.callback_metrics
        shown = {n: f"{metrics[k]:.3f}" for n, k in (("loss", "loss"), ("dice", "val/dice")) if k in metrics}
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update()

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Closes the bar."""
        self.bar.close()
