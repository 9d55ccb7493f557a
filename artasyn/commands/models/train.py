"""The command that trains a detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Literal

from artasyn.bulk.lock import claimed
from artasyn.bulk.memory import keep_freed
from artasyn.bulk.run import Outcome, read_manifest
from artasyn.bulk.sources import processes, search_sources
from artasyn.console.devices import Devices, first_process
from artasyn.console.lungs import LungOptions
from artasyn.console.options import FILES, option, several, spread
from artasyn.console.results import Done, note_passed_over
from artasyn.errors import DataError
from artasyn.synthesis import LungOpacity
from artasyn.synthesis.anomaly import OneOf, Synthesis
from artasyn.synthesis.diffusion import Imagined
from artasyn.testsets.tables import read_table
from artasyn.training.run import RECIPE, TrainingRun


@dataclass(frozen=True)
class TrainOptions:
    """Options of `train`."""

    normal: Sequence[Path] = field(metadata=several(f"normal {FILES}", of=Path))
    out: Path = field(metadata=option("the folder to write to"))
    _: KW_ONLY
    training: TrainingRun = field(default=RECIPE, metadata=spread(main=("epochs", "batch_size", "start", "seed")))
    by: LungOptions = field(default=LungOptions(), metadata=spread(main=("lungs",)))
    on: Devices = field(default=Devices(), metadata=spread(main=("devices",)))
    trainer: dict[str, Any] | None = field(
        default=None,
        metadata=option("""further options of lightning.Trainer, as '{"accelerator": "gpu"}'"""),
    )
    synthesis: Literal["opacity", "imagined", "both"] = field(
        default="opacity",
        metadata=option("what makes the anomalies: findings drawn at random, sentences, or both alike", main=True),
    )
    prompts: Path | None = field(
        default=None,
        metadata=option(
            "the sentences of imagined and both: a CSV file with a column prompt; thirty usual ones without"
        ),
    )
    workers: int = field(
        default=0, metadata=option("processes that prepare and synthesise; 0 takes every core", main=True)
    )

    def __post_init__(self) -> None:
        if self.prompts is not None and self.synthesis == "opacity":
            raise DataError("prompts are for --synthesis imagined or both")

    def maker(self) -> Synthesis:
        """Returns what makes the anomalies.

        Raises:
            DataError: the file of prompts cannot be read, or has no column prompt.
            PromptError: a sentence cannot be read.
        """
        if self.synthesis == "opacity":
            return LungOpacity()
        said = [row["prompt"] for row in read_table(self.prompts, ["prompt"])] if self.prompts else []
        imagined = Imagined.of(*said) if said else Imagined()
        return imagined if self.synthesis == "imagined" else OneOf((LungOpacity(), imagined))


def train(options: TrainOptions) -> Done:
    """Trains a detector on normal radiographs alone, with synthetic anomalies made on the fly.

    For example: artasyn train --normal normals/ --out training

    Writes to OUT: model/ (config.json and model.safetensors, for `artasyn detect --model OUT/model`; README.md, the
    card: data, recipe, thresholds, figures, limits), checkpoints/
    (last.ckpt, best.ckpt; checkpoints-1/ and so on where several trainings are averaged), logs/ (CSV and TensorBoard),
    cache/ (prepared radiographs; manifest.csv lists the radiographs left out, with reasons), passed_over.csv (if files
    were not read), settings.json. The same command continues a training that was killed.

    The recipe is the last round of the detector that comes with artasyn, and begins with that detector. Another
    encoder, other levels, another kind or another size begin anew: --start null, and perhaps --pretrained true.

    A detector sees the window around the lungs. Train it with the lungs that it will be used with: `artasyn detect`
    takes those of PBTSeg, unless --lungs says otherwise.

    With --devices 2, two GPUs share the radiographs of every epoch; on several machines, --nodes tells their number.
    A batch has --batch-size radiographs on each device.

    Args:
        options: what to read, where to write, and how to train.
    """
    keep_freed()
    out, workers, first = options.out, processes(options.workers), first_process()
    found = search_sources(options.normal, leave=out)
    sources, lungs = options.by.sources(found.sources), options.by.finder()
    with claimed(out):
        options.training.fit(
            sources, out, workers=workers, trainer=options.on.trainer(options.trainer), synthesis=options.maker(),
            lungs=lungs,
        )  # fmt: skip
        if not first:
            return Done(())
        notes = note_passed_over(out, found)
    manifest = out / "cache" / "manifest.csv"
    reasons = {row["name"]: row["reason"] for row in read_manifest(manifest)}
    outcomes = tuple(Outcome(source, reason=reasons[source.name]) for source in sources)
    tally = {"used": sum(not outcome.reason for outcome in outcomes)}
    return Done((out / "model", manifest), outcomes, notes=notes, tally=tally)
