"""The steps of a training: losses, optimiser and calibration of thresholds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from artasyn.bulk.progress import progress
from artasyn.detection.calibration import Calibration
from artasyn.detection.examination import score
from artasyn.detection.network import DetectorNetwork, smoothed
from artasyn.detection.novelty import Novelty
from artasyn.errors import DataError
from artasyn.fields import Within, check_fields
from artasyn.training.data import NormalsData
from artasyn.training.losses import discriminative, feature_alignment, region_focused, soft_dice, soft_mask
from artasyn.training.samples import Sample

DIFFERENCE_BLUR = 0.02
"""Standard deviation of the Gaussian on image minus reconstruction before the soft mask, as a share of the side."""


Weight = Annotated[float, Within(0, 1e6)]
"""The weight of a loss."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of `artasyn.training.losses`.

    Attributes:
        region: of the error inside the anomaly.
        image: of the error over the whole image.
        alignment: of the features' alignment.
        dice: of the overlap between the softly thresholded difference and the mask.
        head: of the head's logits against the mask.
        lungs: of the head's lungs against those of the anatomy.

    Source: ART-ASyn (arXiv 2512.00310) has 2, 1, 1, 1. Squared errors of images in [0, 1] are small compared with the
    other two terms, hence the larger weights here.
    """

    region: Weight = 20.0
    image: Weight = 10.0
    alignment: Weight = 0.3
    dice: Weight = 1.0
    head: Weight = 1.0
    lungs: Weight = 0.5

    def __post_init__(self) -> None:
        check_fields(self, DataError)


class ReconstructionTraining(lightning.LightningModule):
    """Trains the network of a detector to undo synthetic anomalies, and calibrates the detector's thresholds.

    Args:
        detector: the detector's network; its thresholds are calibrated in place at the end of every validation.
        weights: of the losses.
        learning_rate: of AdamW, annealed by a cosine to 0 over the whole training after a short warm-up.
        weight_decay: of AdamW.
        false_positive_rate: share of held-out normal radiographs that may be flagged at the stored image threshold.
        false_positive_pixels: share of these radiographs' lung pixels that may be marked at the stored pixel threshold.
    """

    def __init__(
        self,
        detector: DetectorNetwork,
        *,
        weights: LossWeights | None = None,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        false_positive_rate: float = 0.04,
        false_positive_pixels: float = 0.05,
    ) -> None:
        super().__init__()
        self.detector = detector
        if not detector.settings.has_decoder:  # several devices would wait for gradients of the unused decoder
            for name, parameter in detector.network.named_parameters():
                parameter.requires_grad_(name.startswith("encoder."))
        self.weights = weights or LossWeights()
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.false_positive_rate, self.false_positive_pixels = false_positive_rate, false_positive_pixels
        self.calibration = Calibration()
        self.healthy_scores: list[float] = []

    def training_step(self, batch: Sample, index: int) -> Tensor:
        """Returns the weighted total loss of one batch."""
        losses = self.losses(batch)
        self.log_dict(
            {f"train/{name}": value.detach() for name, value in losses.items()}, batch_size=len(batch["image"])
        )
        self.log("loss", losses["total"].detach(), prog_bar=True, logger=False)
        return losses["total"]

    def losses(self, batch: Sample) -> dict[str, Tensor]:
        """Returns every term of the loss and their weighted total."""
        detector, image, normal, mask = self.detector, batch["image"], batch["normal"], batch["mask"]
        seen = detector.look(image)
        terms: dict[str, Tensor] = {}
        if detector.settings.has_decoder:
            with torch.no_grad():
                normal_features = detector.network.encode(normal)
            difference = smoothed(image - seen.reconstructions, DIFFERENCE_BLUR)
            terms = {
                "region": region_focused(seen.reconstructions, normal, mask),
                "image": (seen.reconstructions - normal).square().mean(),
                "alignment": feature_alignment(seen.features[-1], normal_features[-1]),
                "dice": soft_dice(soft_mask(difference), mask),
            }
        if seen.logits is not None:
            terms["head"] = discriminative(seen.logits, mask)
        if seen.lungs is not None:
            terms["lungs"] = F.binary_cross_entropy_with_logits(seen.lungs, batch["lungs"])
        total = torch.stack([getattr(self.weights, name) * value for name, value in terms.items()]).sum()
        return terms | {"total": total}

    def on_validation_epoch_start(self) -> None:
        """Forgets the previous validation."""
        self.calibration, self.healthy_scores = Calibration(), []

    def validation_step(self, batch: Sample, index: int) -> None:
        """Adds a batch's heatmaps to the calibration."""
        settings = self.detector.settings
        _, heatmaps, novelties, lungs = self.detector(batch["image"])
        if not settings.tells_lungs:  # as for lungs that are given
            lungs = batch["lungs"]
        region = lungs if settings.restrict_to_lungs else torch.ones_like(heatmaps)
        arrays = ((heatmaps * region).float(), batch["mask"].bool(), region >= 0.5)
        films = zip(*(each[:, 0].cpu().numpy() for each in arrays), novelties.tolist(), strict=True)
        for heatmap, mask, inside, novelty in films:
            there = inside if inside.any() else np.ones_like(inside)
            rated = score(heatmap[there], settings.top, settings.novelty_weight * novelty)
            self.calibration.add(heatmap, mask, rated, there)
            if not mask.any():
                self.healthy_scores.append(rated)

    def on_validation_epoch_end(self) -> None:
        """Fixes the thresholds from the held-out radiographs, and logs Dice on their anomalies."""
        calibration = self.calibration  # every device has seen all of them
        threshold, (_, dice) = calibration.pixel_threshold(self.false_positive_pixels), calibration.best_dice()
        flagged = calibration.image_threshold(self.false_positive_rate)
        self.detector.calibrate(threshold, flagged, self.healthy_scores)
        self.log_dict({"val/dice": dice, "val/threshold": threshold}, prog_bar=True, sync_dist=False)

    @torch.inference_mode()
    def learn_normal(self, data: NormalsData) -> None:
        """Fits the detector's novelty to normal radiographs; call it after the network's training."""
        detector, count = self.detector.eval(), data.groups
        detector.settings = replace(detector.settings, groups=count)
        detector.novelty = Novelty(detector.channels, count).to(detector.device)
        loaders = data.healthy(held_out=False), data.healthy(held_out=True), data.disturbed()
        # every device fits the same, so only one shows the progress
        hidden = self._trainer is not None and not self.trainer.is_global_zero
        with progress(title="learn normal films", total=sum(map(len, loaders)), unit="batch", hidden=hidden) as bar:
            detector.look_at(torch.cat([batch["lungs"] for batch in loaders[1]]).mean(dim=0, keepdim=True))
            normal, held_out, disturbed = (self._statistics(loader, bar) for loader in loaders)
        # the first pass through the normal radiographs shows the same ones without nuisances
        moved = disturbed[0] - normal[0][: len(disturbed[0])], disturbed[1]
        detector.novelty.fit(*(_grouped(*each, count) for each in (normal, held_out, moved)))

    def _statistics(self, loader: DataLoader[Sample], bar: Any) -> tuple[Tensor, Tensor]:
        """Returns the statistics of a loader's radiographs, each followed by its mirror image, and their groups."""
        found, groups = [], []
        for batch in loader:
            images = batch["image"].to(self.detector.device)
            views = torch.stack([images, images.flip(-1)], dim=1).flatten(0, 1)
            found.append(self.detector.statistics(self.detector.network.encode(views)).float())
            groups.append(batch["group"].repeat_interleave(2))
            bar.update()
        return torch.cat(found), torch.cat(groups)

    def optimizer(self, *, fused: bool = True) -> torch.optim.Optimizer:
        """Returns AdamW over all weights.

        Args:
            fused: whether one kernel makes the whole step, in half of the time on a processor. Not every device has it,
                and Lightning does not clip gradients in mixed precision then.
        """
        return torch.optim.AdamW(self.parameters(), self.learning_rate, weight_decay=self.weight_decay, fused=fused)

    def configure_optimizers(self) -> Any:
        """Returns AdamW with a warm-up and a cosine schedule, stepped every batch."""
        has_fused = self.device.type in ("cpu", "cuda")
        optimizer = self.optimizer(fused=has_fused and not self.trainer.gradient_clip_val)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            self.learning_rate,
            total_steps=max(2, int(self.trainer.estimated_stepping_batches)),
            pct_start=0.1,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the thresholds in the checkpoint."""
        settings = self.detector.settings
        checkpoint["thresholds"] = (settings.threshold, settings.image_threshold)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the thresholds from the checkpoint."""
        self.detector.calibrate(*checkpoint["thresholds"])


def _grouped(statistics: Tensor, groups: Tensor, count: int) -> list[Tensor]:
    """Returns the statistics of each group; those of all radiographs where a group has none."""
    own = [statistics[(groups == group).to(statistics.device)] for group in range(count)]
    return [each if len(each) else statistics for each in own]
