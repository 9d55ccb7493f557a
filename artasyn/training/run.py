"""A whole training: the settings that its result depends on, and how it resumes after a kill."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from artasyn.bulk.memory import keep_freed
from artasyn.bulk.progress import LOG
from artasyn.bulk.run import read_manifest
from artasyn.bulk.sources import Source, claim
from artasyn.detection.detector import Detector
from artasyn.detection.network import DetectorNetwork
from artasyn.detection.reconstruction import ReconstructionNet
from artasyn.detection.settings import DetectorSettings, Kind, Levels, Size
from artasyn.errors import DataError
from artasyn.fields import Seed, Share, Within, check_fields
from artasyn.files.tables import write_table
from artasyn.networks.stored import is_complete
from artasyn.synthesis import LungOpacity
from artasyn.synthesis.anomaly import Synthesis
from artasyn.testsets.measured import FilmLungs
from artasyn.training.card import Detected, detector_card, write_card
from artasyn.training.checkpoints import BEST, LAST, Checkpoints, check_checkpoint, going_on, resumable
from artasyn.training.data import NormalsData
from artasyn.training.module import LossWeights, ReconstructionTraining
from artasyn.training.patients import check_patients
from artasyn.training.progress import Progress
from artasyn.version import __version__

NORMALS = "normals.csv"
"""The table, in a folder of a training, of the radiographs that the training began with."""

NETWORK = ("encoder", "levels", "kind", "size")
"""The settings of a detector that its network's weights depend on."""

FEWEST_FILMS, FEWEST_STEPS = 100, 200
"""The least normal radiographs, and the least steps, of a training without a warning."""

Precision = Literal["32-true", "bf16-mixed", "16-mixed", "64-true"]


@dataclass(frozen=True)
class TrainingRun:
    """Holds the settings of a training: everything that the result depends on besides the radiographs.

    Attributes:
        encoder: any timm model with feature maps.
        levels: number of feature maps that are used, finest first; None for all.
        kind: how the heatmap is made: discriminative, reconstruction or, for comparison, segmentation.
        size: rows and columns that the network sees.
        epochs: passes through the normal radiographs, each with other anomalies.
        batch_size: radiographs in a batch, on each device.
        learning_rate: highest learning rate of AdamW.
        held_out: share of the normals for validation and calibration; all radiographs of a patient or none.
        patients: how patients are told apart: auto takes PatientID of DICOM files and the names of NIH ChestX-ray14,
            CheXpert, MIMIC-CXR and BRAX; file takes every file for another patient, folder every folder; anything else
            is a regular expression whose group names the patient in a path.
        seed: of weights, order and anomalies.
        pretrained: without `start`, begin with weights learnt on photographs: those of efficientnet_lite0 come with
            artasyn[pretrained], others are downloaded.
        anatomy: the network that reads anatomy tells where anomalies may lie and what the detector learns as lungs,
            where PBTSeg finds the lungs; otherwise the lungs of PBTSeg do both.
        nuisances: probability of each nuisance on a radiograph, see `artasyn.synthesis.nuisances`.
        precision: Lightning's: 32-true, bf16-mixed, 16-mixed.
        averaged: number of trainings whose weights are averaged at the end (Wortsman et al., "Model soups", ICML 2022).
            Of n trainings, the first takes an n-th of the epochs and the last takes all of them. All start from the
            same weights. The mean of two marked real lesions better than either of the two, and it runs in the time of
            one network.
        start: a trained detector to begin with: a folder, ``bundled``, or the id of a model on the Hugging Face hub;
            None begins anew, and only then may `pretrained` be given. Encoder, levels, kind and size must be those of
            that detector. Its weights are averaged with those of the trainings, so that little of what it knew is lost
            (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
        weights: of the losses.
    """

    encoder: str = DetectorSettings.encoder
    levels: Levels | None = DetectorSettings.levels
    kind: Kind = DetectorSettings.kind
    size: Size = DetectorSettings.size
    epochs: Annotated[int, Within(1, 1_000_000)] = 30
    batch_size: Annotated[int, Within(1, 65536)] = 8
    learning_rate: Annotated[float, Within(1e-9, 10)] = 2e-3
    held_out: Share = 0.15
    patients: str = "auto"
    seed: Seed = 0
    pretrained: bool = False
    anatomy: bool = True
    nuisances: Share = 0.1
    precision: Precision = "32-true"
    averaged: Annotated[int, Within(1, 100)] = 1
    start: str | None = None
    weights: LossWeights = LossWeights()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        check_patients(self.patients)
        if self.pretrained and self.start is not None:
            raise DataError(
                f"a training begins with the detector {self.start} or with pretrained weights, not with both; for the "
                "weights give --start null too"
            )

    def fit(
        self,
        sources: Sequence[Source],
        out: Path,
        *,
        workers: int = 0,
        trainer: Mapping[str, Any] | None = None,
        synthesis: Synthesis | None = None,
        lungs: FilmLungs = FilmLungs(),
    ) -> Detector:
        """Trains on normal radiographs, or resumes a killed training in the same folder.

        Writes ``checkpoints/`` (last and best; of shorter trainings ``checkpoints-1/`` and so on), ``logs/run_N/``
        (CSV, TensorBoard), ``cache/`` (prepared radiographs), ``normals.csv`` (their names and identities) and, at the
        end, ``model/`` for `Detector.from_pretrained`. The model holds the last epoch, with its novelty
        (`ReconstructionTraining.learn_normal`) and its thresholds, and a card, ``model/README.md``.

        Args:
            sources: normal radiographs.
            out: the folder to write to.
            workers: processes that prepare and synthesise.
            trainer: further options of `lightning.Trainer`: devices, num_nodes, strategy, max_time, ...
            synthesis: makes the anomalies; None for `LungOpacity`.
            lungs: finds the lungs of the radiographs, or reads them.

        Returns:
            The detector; its network is a `DetectorNetwork`.

        Raises:
            DataError: too few radiographs; `out` holds a training with other options, on other radiographs or with
                another synthesis; a checkpoint is damaged; the detector to begin with has other options; memory or disk
                are used up.
            ModelError: the detector to begin with is missing or damaged.
        """
        synthesis = synthesis or LungOpacity()
        made_by = _described(synthesis)
        known = self._known()
        made_from = known and known.digest
        own = {"command": "train", "version": __version__, "synthesis": made_by, "start": made_from}
        rank_zero_only(claim)(out, dataclasses.asdict(self) | own)  # it deletes temporary files
        data = NormalsData(
            sources, out / "cache", size=self.size, batch_size=self.batch_size, workers=workers, seed=self.seed,
            held_out=self.held_out, patients=self.patients, synthesis=synthesis, lungs=lungs, anatomy=self.anatomy,
            nuisances=self.nuisances,
        )  # fmt: skip
        with going_on(out):
            rank_zero_only(_prepare)(data, out)  # Lightning starts the other processes after that
            if is_complete(out / "model"):
                return Detector.from_pretrained(out / "model")
            return self._fit(data, out, trainer or {}, (type(synthesis).__name__, made_from or ""))

    def _fit(self, data: NormalsData, out: Path, options: Mapping[str, Any], origin: tuple[str, str]) -> Detector:
        """Runs the trainings, averages their weights and writes the model with its card."""
        keep_freed()
        rank_zero_only(self._warn_if_small)(data)
        trainings = [self._train_part(part, data, out, options) for part in range(1, self.averaged + 1)]
        fitting, module, _ = trainings[-1]
        states = [state for _, _, state in trainings]
        if self.start is not None:
            states.insert(0, ReconstructionTraining(self._network()).state_dict())
        module.load_state_dict(_mean(states))
        module.learn_normal(data)
        fitting.validate(module, data, verbose=False)  # the thresholds of the mean, with the novelty
        if fitting.is_global_zero:
            self._write_card(data, module, out / "model", origin, float(fitting.callback_metrics["val/dice"]))
            module.detector.cpu().eval().save_pretrained(out / "model")
        return Detector(module.detector)

    def _warn_if_small(self, data: NormalsData) -> None:
        """Warns of a training that is too small for a detector of use."""
        trained, held_out = data.parts()
        steps = self.epochs * max(1, len(trained.order(seed=self.seed, epoch=0)) // self.batch_size)
        if (films := len(trained) + len(held_out)) < FEWEST_FILMS:
            LOG.warning("%d normal radiographs are few; give %d or more", films, FEWEST_FILMS)
        if steps < FEWEST_STEPS:
            LOG.warning("%d steps are few; take more epochs, so that there are %d or more", steps, FEWEST_STEPS)

    def _write_card(
        self, data: NormalsData, module: ReconstructionTraining, folder: Path, origin: tuple[str, str], dice: float
    ) -> None:
        """Writes the card of the model."""
        allowed = module.false_positive_rate, module.false_positive_pixels
        synthesis, digest = origin
        started = f"the detector `{_name(self.start)}` with the digest {digest}" if self.start else ""
        about = Detected(len(data.sources), *data.parts(), synthesis, started, dice, allowed)
        recipe = dataclasses.asdict(self) | {"start": self.start and _name(self.start)}
        write_card(folder, detector_card(module.detector.settings, about, recipe))

    def _train_part(
        self, part: int, data: NormalsData, out: Path, options: Mapping[str, Any]
    ) -> tuple[lightning.Trainer, ReconstructionTraining, dict[str, Tensor]]:
        """Runs one of the trainings whose weights are averaged; returns its trainer, module and last weights."""
        lightning.seed_everything(self.seed, workers=True, verbose=False)
        module = ReconstructionTraining(self._network(), weights=self.weights, learning_rate=self.learning_rate)
        folder = out / "checkpoints" if part == self.averaged else out / f"checkpoints-{part}"
        best = ModelCheckpoint(folder, Path(BEST).stem, monitor="val/dice", mode="max", enable_version_counter=False)
        last = ModelCheckpoint(folder, Path(LAST).stem, enable_version_counter=False)  # `save_last` skips worse epochs
        version = f"run_{sum(1 for _ in out.glob('logs/run_*')) + 1}"  # a resumed training keeps the earlier logs
        usual: dict[str, Any] = {
            "max_epochs": max(1, round(self.epochs * part / self.averaged)),
            "precision": self.precision,
            "logger": [CSVLogger(out, "logs", version), TensorBoardLogger(out, "logs", version)],
            "enable_model_summary": False,
            "log_every_n_steps": 10,
        }
        given = dict(options)
        plugins = given.pop("plugins", None) or []
        plugins = plugins if isinstance(plugins, (list, tuple)) else [plugins]
        title = "train" if self.averaged == 1 else f"train {part} of {self.averaged}"
        fitting = lightning.Trainer(
            **usual | given,
            callbacks=[best, last, Progress(title)],  # the last checkpoint knows the best one
            plugins=[Checkpoints(), *plugins],
            enable_progress_bar=False,
            default_root_dir=out,
            reload_dataloaders_every_n_epochs=1,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")  # it goes on there
            if earlier := resumable(folder):
                check_checkpoint(earlier, module.state_dict())
            fitting.fit(module, data, ckpt_path=earlier, weights_only=True)
        if not (folder / LAST).exists():  # it was lost, and the best epoch was the last one
            fitting.save_checkpoint(folder / LAST)
        remedy = f"delete the folder {folder}, and the same command trains again"
        return fitting, module, check_checkpoint(folder / LAST, module.state_dict(), remedy=remedy)["state_dict"]

    def _known(self) -> DetectorNetwork | None:
        """Returns the detector that a training begins with, as it was stored; refuses one with other options."""
        if self.start is None:
            return None
        known = DetectorNetwork.from_pretrained(self.start)
        wanted, found = vars(self), vars(known.settings)
        other = [f"{n} {found[n]}, not {wanted[n]}" for n in NETWORK if found[n] != wanted[n]]
        if other:
            raise DataError(
                f"{self.start} is a detector with {'; '.join(other)}: give the options that it has, or begin anew "
                "without it (--start null)"
            )
        return known

    def _network(self) -> DetectorNetwork:
        """Returns the network that a training begins with, in training mode."""
        detector = DetectorNetwork(DetectorSettings(self.encoder, self.size, self.kind, self.levels))
        if known := self._known():
            detector.network = known.network
            if known.settings.has_head:
                detector.head = known.head
        elif self.pretrained:
            detector.network = ReconstructionNet(self.encoder, size=self.size, levels=self.levels, pretrained=True)
        return detector.train()


RECIPE = TrainingRun(
    encoder="efficientnet_lite0", levels=4, epochs=10, batch_size=16, learning_rate=1e-3, start="bundled"
)
"""The last round of the detector that comes with artasyn, which goes on from that detector."""


def _name(start: str) -> str:
    """Returns the name of a stored detector: ``bundled``, an id, or the last two parts of a folder's path."""
    folder = Path(start)
    return "/".join(folder.absolute().parts[-2:]) if start != "bundled" and folder.is_dir() else start


def _prepare(data: NormalsData, out: Path) -> None:
    """Prepares the radiographs, and refuses others than those that the folder's training began with.

    The folder keeps the names and the identities of its radiographs in ``normals.csv``.

    Raises:
        DataError: the folder holds a training on other radiographs.
    """
    record = out / NORMALS
    known = {row["name"]: row["identity"] for row in read_manifest(record)} if record.exists() else None
    if known is not None:  # names first: the cache of the training stays as it is
        _refuse_others(out, known, {source.name: known.get(source.name, "") for source in data.sources})
    data.prepare_data()
    found = {row["name"]: row["identity"] or "" for row in read_manifest(data.cache / "manifest.csv")}
    if known is None:
        write_table(record, ("name", "identity"), ({"name": n, "identity": i} for n, i in found.items()))
    else:
        _refuse_others(out, known, found)


def _refuse_others(out: Path, known: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Refuses radiographs that differ from the known ones in name or identity, and says how."""
    there = known.keys() & found.keys()
    differing = {
        "new": found.keys() - known.keys(),
        "missing": known.keys() - found.keys(),
        "changed": {name for name in there if known[name] != found[name]},
    }
    said = [f"{len(names)} {word}, such as {min(names)}" for word, names in differing.items() if names]
    if said:
        raise DataError(
            f"{out} holds a training on other radiographs ({'; '.join(said)}); choose another folder or delete that one"
        )


def _described(synthesis: Synthesis) -> str:
    """Describes a synthesis with its settings, without memory addresses, so that every process gives the same text."""
    text = repr(synthesis) if dataclasses.is_dataclass(synthesis) else type(synthesis).__qualname__
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def _mean(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Returns the mean of several networks' weights and statistics; counts are those of the last network."""
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if value.is_floating_point() else value
        for name, value in states[-1].items()
    }
