"""Training a detector: a Lightning module and a data module on folders of normal radiographs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset
from tqdm import tqdm

from artasyn.bulk.sources import Source, claim
from artasyn.detection.detector import Detector, Kind, score, smoothed
from artasyn.detection.reconstruction import ReconstructionNet
from artasyn.errors import DataError
from artasyn.synthesis import LungOpacity
from artasyn.training.calibration import Calibration
from artasyn.training.film_variation import FilmVariation
from artasyn.training.losses import discriminative, feature_alignment, region_focused, soft_dice, soft_mask
from artasyn.training.normals import Normals, Sample, Synthesis, SyntheticAnomalies, load_normals, prepare_normals
from artasyn.version import __version__

DIFFERENCE_BLUR = 0.02
"""Standard deviation of the Gaussian on image minus reconstruction before the soft mask, as a share of the side."""

PASSES = 3
"""Passes through the normal films from which the detector learns what is normal as a whole; one leaves them as they
are."""

Precision = Literal["32-true", "bf16-mixed", "16-mixed", "64-true"]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of `artasyn.training.losses`.

    Attributes:
        region: of the error inside the anomaly.
        image: of the error over the whole image.
        alignment: of the features' alignment.
        dice: of the overlap between the softly thresholded difference and the mask.
        head: of the head's logits against the mask.

    Source: ART-ASyn (arXiv 2512.00310) has 2, 1, 1, 1; squared errors of images in [0, 1] are small beside the other
    two, hence the larger weights here.
    """

    region: float = 20.0
    image: float = 10.0
    alignment: float = 0.3
    dice: float = 1.0
    head: float = 1.0


class NormalsData(lightning.LightningDataModule):
    """Normal radiographs for training, a share of them held out for validation and calibration.

    Anomalies are made in the workers from (seed, image, epoch): the same for any number of workers, devices or
    restarts. The trainer must be made with ``reload_dataloaders_every_n_epochs=1``, which tells the data its epoch.

    Args:
        sources: the radiographs' files.
        cache: a folder for what is prepared once: pixels at `size` and lungs.
        size: rows and columns.
        batch_size: radiographs in a batch, on each device.
        workers: processes that prepare and synthesise.
        seed: of everything random.
        held_out: the share for validation.
        synthesis: makes the anomalies.
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
        synthesis: Synthesis | None = None,
    ) -> None:
        super().__init__()
        self.sources, self.cache, self.size = sources, cache, size
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.held_out, self.synthesis = held_out, synthesis or LungOpacity()
        self.normals: tuple[Normals, Normals] | None = None

    def prepare_data(self) -> None:
        """Reads, segments and caches the radiographs; on one process of each machine."""
        prepare_normals(self.sources, self.cache, size=self.size, workers=max(1, self.workers))

    def setup(self, stage: str) -> None:
        """Loads the cache and holds out the validation part."""
        self.normals = load_normals(self.cache).split(self.held_out, seed=self.seed)

    def train_dataloader(self) -> DataLoader[Sample]:
        """Anomalies of the current epoch."""
        epoch = 0
        if self.trainer is not None:
            epoch = self.trainer.current_epoch
            if getattr(self.trainer, "reload_dataloaders_every_n_epochs", 0) != 1:
                raise DataError(
                    "make the Trainer with reload_dataloaders_every_n_epochs=1: every epoch has anomalies of its own"
                )
        training, _ = self._loaded()
        samples = SyntheticAnomalies(
            training, self.size, self.synthesis, seed=self.seed, epoch=epoch, variation=FilmVariation()
        )
        # the order itself, for how often a loader draws from a generator depends on its workers
        order = training.order(seed=self.seed, epoch=epoch)
        drop = len(samples) >= self.batch_size
        return self._loader(samples, sampler=order, drop_last=drop)

    def val_dataloader(self) -> DataLoader[Sample]:
        """The held-out radiographs, each healthy and with an anomaly, the same at every epoch."""
        _, held_out = self._loaded()
        ill = SyntheticAnomalies(held_out, self.size, self.synthesis, seed=self.seed + 1, healthy_probability=0.0)
        return self._loader(ConcatDataset([self._normal(held_out), ill]))

    def healthy(self, *, held_out: bool) -> DataLoader[Sample]:
        """Films without anomalies, from which the detector learns what is normal as a whole.

        Args:
            held_out: those of the validation, as they are; otherwise those of the training, as many of each folder, as
                they are and varied.
        """
        training, validation = self._loaded()
        if held_out:
            return self._loader(self._normal(validation))
        parts = [
            Subset(
                self._normal(training, epoch, FilmVariation() if epoch else None),
                training.order(seed=self.seed, epoch=epoch),
            )
            for epoch in range(PASSES)
        ]
        return self._loader(ConcatDataset(parts))

    def _normal(self, normals: Normals, epoch: int = 0, variation: FilmVariation | None = None) -> SyntheticAnomalies:
        return SyntheticAnomalies(
            normals, self.size, self.synthesis, seed=self.seed, epoch=epoch, healthy_probability=1.0,
            variation=variation,
        )  # fmt: skip

    def _loaded(self) -> tuple[Normals, Normals]:
        if self.normals is None:
            self.setup("fit")
        assert self.normals is not None
        return self.normals

    def _loader(self, samples: Dataset[Sample], **options: Any) -> DataLoader[Sample]:
        batches = -(-len(samples) // self.batch_size)  # type: ignore[arg-type]
        return DataLoader(
            samples,
            self.batch_size,
            num_workers=min(self.workers, batches),
            pin_memory=torch.cuda.is_available(),
            **options,
        )


class ReconstructionTraining(lightning.LightningModule):
    """Trains the network of a detector to undo synthetic anomalies, and calibrates the detector's thresholds.

    Args:
        detector: holds the network; calibrated in place at the end of every validation.
        weights: of the losses.
        learning_rate: of AdamW, annealed by a cosine to 0 over the whole training after a short warm-up.
        weight_decay: of AdamW.
        false_positive_rate: share of held-out normals that may be flagged at the stored image threshold.
        false_positive_pixels: share of their lungs' pixels that may be marked at the stored pixel threshold.
    """

    def __init__(
        self,
        detector: Detector,
        *,
        weights: LossWeights | None = None,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        false_positive_rate: float = 0.025,
        false_positive_pixels: float = 0.2,
    ) -> None:
        super().__init__()
        self.detector = detector
        if detector.kind == "segmentation":  # has no use for a decoder, and several devices wait for its gradients
            for name, parameter in detector.network.named_parameters():
                parameter.requires_grad_(name.startswith("encoder."))
        self.weights = weights or LossWeights()
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.false_positive_rate, self.false_positive_pixels = false_positive_rate, false_positive_pixels
        self.calibration = Calibration()

    def training_step(self, batch: Sample, index: int) -> Tensor:
        """The weighted losses of one batch."""
        losses = self.losses(batch)
        self.log_dict(
            {f"train/{name}": value.detach() for name, value in losses.items()}, batch_size=len(batch["image"])
        )
        self.log("loss", losses["total"].detach(), prog_bar=True, logger=False)
        return losses["total"]

    def losses(self, batch: Sample) -> dict[str, Tensor]:
        """Every term of the loss and their weighted total."""
        detector, image, normal, mask = self.detector, batch["image"], batch["normal"], batch["mask"]
        seen = detector.look(image)
        terms: dict[str, Tensor] = {}
        if detector.kind != "segmentation":
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
        total = torch.stack([getattr(self.weights, name) * value for name, value in terms.items()]).sum()
        return terms | {"total": total}

    def on_validation_epoch_start(self) -> None:
        """Forgets the previous validation."""
        self.calibration = Calibration()

    def validation_step(self, batch: Sample, index: int) -> None:
        """Adds a batch's heatmaps to the calibration."""
        _, heatmaps, novelties = self.detector.maps(batch["image"])
        region = batch["lungs"] if self.detector.restrict_to_lungs else torch.ones_like(heatmaps)
        arrays = ((heatmaps * region).float(), batch["mask"].bool(), region >= 0.5)
        evidence = (self.detector.novelty_weight * novelties).tolist()
        for heatmap, mask, inside, also in zip(*(a[:, 0].cpu().numpy() for a in arrays), evidence, strict=True):
            self.calibration.add(heatmap, mask, score(heatmap[inside], self.detector.top, also), inside)

    def on_validation_epoch_end(self) -> None:
        """Fixes the thresholds from held-out normals, over all devices; Dice is that of synthetic anomalies on them."""
        counts: Any = self.all_gather(torch.from_numpy(self.calibration.counts).to(self.device))
        calibration = Calibration(counts.reshape(-1, *self.calibration.counts.shape).sum(0).cpu().numpy())
        threshold, (_, dice) = calibration.pixel_threshold(self.false_positive_pixels), calibration.best_dice()
        self.detector.calibrate(threshold, calibration.image_threshold(self.false_positive_rate))
        self.log_dict({"val/dice": dice, "val/threshold": threshold}, prog_bar=True, sync_dist=False)

    @torch.inference_mode()
    def learn_normal(self, data: NormalsData) -> None:
        """Fits the detector's novelty to normal films; after the network's training."""
        detector, novelty = self.detector.eval(), self.detector.novelty
        loaders = data.healthy(held_out=False), data.healthy(held_out=True)
        # fitting is the same on all devices: one shows it
        hidden = self._trainer is not None and not self.trainer.is_global_zero
        with tqdm(desc="learn normal films", total=sum(map(len, loaders)), unit="batch", disable=hidden) as bar:
            novelty.look_at(torch.cat([batch["lungs"] for batch in loaders[1]]).mean(dim=0, keepdim=True))
            found: list[list[Tensor]] = [[], []]
            for statistics, loader in zip(found, loaders, strict=True):
                for batch in loader:
                    images = batch["image"].to(detector.device)
                    for view in (images, images.flip(-1)):
                        statistics.append(novelty.statistics(detector.network.encode(view)).float())
                    bar.update()
        novelty.fit(*map(torch.cat, found))

    def configure_optimizers(self) -> Any:
        """AdamW with a warm-up and a cosine, stepped every batch."""
        optimizer = torch.optim.AdamW(self.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            self.learning_rate,
            total_steps=max(2, int(self.trainer.estimated_stepping_batches)),
            pct_start=0.1,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the thresholds in the checkpoint."""
        checkpoint["thresholds"] = (self.detector.threshold, self.detector.image_threshold)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the thresholds from the checkpoint."""
        self.detector.calibrate(*checkpoint["thresholds"])


@dataclass(frozen=True)
class TrainingRun:
    """How a detector is trained; everything that the result depends on beside the radiographs.

    Attributes:
        encoder: any timm model with feature maps.
        levels: of these that are used, finest first; None for all.
        kind: what the heatmap is: discriminative, reconstruction or, to compare with, segmentation.
        size: rows and columns that the network sees.
        epochs: passes through the normal radiographs, each with other anomalies.
        batch_size: radiographs in a batch, on each device.
        learning_rate: the highest, of AdamW.
        held_out: share of the normals for validation and calibration.
        seed: of weights, order and anomalies.
        pretrained: start from weights learnt on photographs: those of efficientnet_lite0 come with
            artasyn[pretrained], others are downloaded.
        precision: Lightning's: 32-true, bf16-mixed, 16-mixed.
        averaged: trainings whose weights are averaged at the end (Wortsman et al., "Model soups", ICML 2022): of n,
            the first takes an n-th of the epochs, the last all of them; they start from the same weights. Their mean
            marks real lesions better than either of two did, in the time of one network.
        weights: of the losses.
    """

    encoder: str = "test_resnet"
    levels: int | None = None
    kind: Kind = "discriminative"
    size: int = 128
    epochs: int = 30
    batch_size: int = 8
    learning_rate: float = 2e-3
    held_out: float = 0.15
    seed: int = 0
    pretrained: bool = False
    precision: Precision = "32-true"
    averaged: int = 1
    weights: LossWeights = LossWeights()

    def fit(
        self,
        sources: Sequence[Source],
        out: Path,
        *,
        workers: int = 0,
        trainer: Mapping[str, Any] | None = None,
        synthesis: Synthesis | None = None,
    ) -> Detector:
        """Trains on normal radiographs, or goes on where a killed training in the same folder was.

        Writes ``checkpoints/`` (last and best; of shorter trainings ``checkpoints-1/`` and so on), ``logs/run_N/``
        (CSV, TensorBoard), ``cache/`` (prepared radiographs) and, at the end, ``model/`` for
        `Detector.from_pretrained`: the best epoch by Dice on held-out synthetic anomalies, with its novelty
        (`ReconstructionTraining.learn_normal`) and its thresholds.

        Args:
            sources: normal radiographs.
            out: the folder to write to.
            workers: processes that prepare and synthesise.
            trainer: further options of `lightning.Trainer`: devices, num_nodes, strategy, max_time, ...
            synthesis: makes the anomalies; None for `LungOpacity`.

        Raises:
            DataError: too few radiographs, `averaged` below 1, or `out` holds a training with other options or
                another synthesis.
        """
        if self.averaged < 1:
            raise DataError(f"averaged must be at least 1 training, not {self.averaged}")
        synthesis = synthesis or LungOpacity()
        made_by = _described(synthesis)
        claim(out, {"command": "train", "version": __version__, "synthesis": made_by} | dataclasses.asdict(self))
        if (out / "model" / "model.safetensors").exists():
            return Detector.from_pretrained(out / "model")
        data = NormalsData(
            sources, out / "cache", size=self.size, batch_size=self.batch_size, workers=workers, seed=self.seed,
            held_out=self.held_out, synthesis=synthesis,
        )  # fmt: skip
        parts = range(1, self.averaged + 1)
        trainings = [self._train_part(part, data, out, trainer or {}) for part in parts]
        fitting, module, _ = trainings[-1]
        module.load_state_dict(_mean([state for _, _, state in trainings]))
        module.learn_normal(data)
        fitting.validate(module, data, verbose=False)  # the thresholds of the mean, with the novelty
        if fitting.is_global_zero:
            module.detector.cpu().eval().save_pretrained(out / "model")
        return module.detector

    def _train_part(
        self, part: int, data: NormalsData, out: Path, options: Mapping[str, Any]
    ) -> tuple[lightning.Trainer, ReconstructionTraining, dict[str, Tensor]]:
        """One of the trainings whose weights are averaged: its trainer, its module, its best weights."""
        lightning.seed_everything(self.seed, workers=True, verbose=False)
        detector = Detector(self.encoder, self.size, self.kind, self.levels)
        if self.pretrained:
            detector.network = ReconstructionNet(self.encoder, size=self.size, levels=self.levels, pretrained=True)
        module = ReconstructionTraining(detector, weights=self.weights, learning_rate=self.learning_rate)
        folder = out / "checkpoints" if part == self.averaged else out / f"checkpoints-{part}"
        checkpoints = ModelCheckpoint(
            folder, "best", monitor="val/dice", mode="max", save_last=True, enable_version_counter=False
        )
        version = f"run_{sum(1 for _ in out.glob('logs/run_*')) + 1}"  # a resumed training keeps the earlier logs
        usual: dict[str, Any] = {
            "max_epochs": max(1, round(self.epochs * part / self.averaged)),
            "precision": self.precision,
            "logger": [CSVLogger(out, "logs", version), TensorBoardLogger(out, "logs", version)],
            "enable_model_summary": False,
            "log_every_n_steps": 10,
        }
        title = "train" if self.averaged == 1 else f"train {part} of {self.averaged}"
        fitting = lightning.Trainer(
            **usual | dict(options),
            callbacks=[checkpoints, Progress(title)],
            enable_progress_bar=False,
            default_root_dir=out,
            reload_dataloaders_every_n_epochs=1,
        )
        last = folder / "last.ckpt"
        fitting.fit(module, data, ckpt_path=last if last.exists() else None, weights_only=False)
        best = torch.load(checkpoints.best_model_path, map_location="cpu", weights_only=False)
        return fitting, module, best["state_dict"]


def _described(synthesis: Synthesis) -> str:
    """A synthesis with its settings, the same in every process: without addresses of functions in it."""
    text = repr(synthesis) if dataclasses.is_dataclass(synthesis) else type(synthesis).__qualname__
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def _mean(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several networks' weights and statistics; of counts, the last."""
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if value.is_floating_point() else value
        for name, value in states[-1].items()
    }


class Progress(lightning.Callback):
    """One progress bar over the whole training, a step a batch, with the loss and the last validation's Dice.

    Args:
        title: in front of the bar.
    """

    def __init__(self, title: str = "train") -> None:
        self.title = title

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Opens the bar where the training stands."""
        self.bar = tqdm(
            desc=self.title,
            total=int(trainer.estimated_stepping_batches),
            initial=trainer.global_step,
            unit="batch",
            disable=not trainer.is_global_zero,
        )

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One step further."""
        metrics = trainer.callback_metrics
        self.bar.set_postfix(
            {n: f"{metrics[k]:.3f}" for n, k in (("loss", "loss"), ("dice", "val/dice")) if k in metrics}
        )
        self.bar.update()

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Closes the bar."""
        self.bar.close()
