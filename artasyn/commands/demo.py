"""The whole chain on the phantom: no data needed, five to ten minutes, a report at the end."""

from __future__ import annotations

import dataclasses
from collections import deque
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

import numpy as np

from artasyn.bulk.lock import claimed
from artasyn.bulk.progress import progress
from artasyn.bulk.sources import claim, find_sources, processes
from artasyn.bulk.stores import Folders
from artasyn.bulk.survival import one_thread
from artasyn.bulk.workers import Death, work_through
from artasyn.commands.evaluate import EvaluateOptions, evaluate
from artasyn.commands.segment import SegmentOptions, segment
from artasyn.commands.synthesise import SynthesiseOptions, pairs, synthesise
from artasyn.console.options import WORKERS, option, spread
from artasyn.console.results import Done
from artasyn.errors import DataError
from artasyn.evaluation.overlap import dice
from artasyn.files.radiograph import read_labels, write_image, write_labels, write_mask
from artasyn.phantom.film import Phantom
from artasyn.pictures.overlays import contact_sheet, read_picture
from artasyn.pictures.report import Section, write_report
from artasyn.training.run import TrainingRun
from artasyn.version import __version__

SHOWN = 12
"""Films in each picture of the report."""


@dataclass(frozen=True)
class _WritePhantom:
    """Draws one phantom radiograph and writes its files to their folders in the layout of a data set."""

    data: Path
    phantom: Phantom

    def __call__(self, job: tuple[str, int]) -> None:
        with one_thread():
            self._write(*job)

    def _write(self, folder: str, seed: int) -> None:
        name = f"phantom_{seed:05d}.png"
        film = self.data / folder / name
        if film.exists():  # the film is written last, so its other files exist
            return
        diseased = folder == "test/diseased"
        chest = self.phantom(seed, lesions=diseased)
        if diseased:
            write_mask(self.data / "ground_truth" / name, chest.lesions)
        if folder.startswith("test"):
            write_labels(self.data / "lungs" / folder.removeprefix("test/") / name, chest.lungs.labels)
        write_image(film, chest.image)


def write_phantoms(
    data: Path, *, seed: int, normals: int, healthy: int, diseased: int, size: int, workers: int
) -> None:
    """Writes a data set of phantoms: train/healthy, test/healthy, test/diseased, ground_truth and lungs.

    Args:
        data: the folder.
        seed: the seed of the data set; all phantoms differ, and no phantom of the training set is in the test set.
        normals: healthy films to train on.
        healthy: healthy films to test on.
        diseased: films with lesions to test on.
        size: rows and columns in pixels.
        workers: number of processes.
    """
    counts = {"train/healthy": normals, "test/healthy": healthy, "test/diseased": diseased}
    first = 100_000 * seed
    jobs = deque[tuple[str, int]]()
    for number, (folder, count) in enumerate(counts.items()):
        jobs += [(folder, first + 30_000 * number + i) for i in range(count)]
    total, work = len(jobs), _WritePhantom(data, Phantom(size=size))
    with closing(work_through(work, jobs, workers)) as done:
        for _, result in progress(done, title="draw phantoms", total=total, unit="film"):
            if isinstance(result, Death):
                raise DataError(f"a worker process ended ({result.how}); try with fewer workers")


@dataclass(frozen=True)
class DemoOptions:
    """Options of `demo`."""

    out: Path = field(default=Path("artasyn-demo"), metadata=option("the folder to write to", main=True))
    _: KW_ONLY
    seed: int = field(default=0, metadata=option("another seed, other phantoms, anomalies and weights", main=True))
    normals: int = field(default=160, metadata=option("healthy phantoms to train on"))
    healthy: int = field(default=40, metadata=option("healthy phantoms to test on"))
    diseased: int = field(default=60, metadata=option("phantoms with lesions to test on"))
    training: TrainingRun = field(default=TrainingRun(epochs=20), metadata=spread("seed", main=("epochs",)))
    workers: int = field(default=0, metadata=option(WORKERS, main=True))


def demo(options: DemoOptions) -> Done:
    """Runs the whole chain without any data: phantoms, lungs, synthetic anomalies, training, unseen lesions, report.

    For example: artasyn demo --out artasyn-demo

    Draws radiographs of parametric thoraces, finds their lungs and makes anomalies on healthy ones. Trains a detector
    with synthetic anomalies alone. Tests the detector on phantoms with lesions of another kind that the detector has
    never seen: nodules, consolidations and ground glass that were put into the volume before projection.

    Writes to OUT: report.html (open this one), data/ (a data set in the layout of `artasyn evaluate`), lungs/,
    synthetic/, training/ (with the model in training/model), evaluation/ (with metrics.json). Five to ten minutes on
    two cores. The same command continues a run that was killed.

    Args:
        options: where to write, how much to draw, and how to train.
    """
    with claimed(options.out):
        return _demo(options)


def _demo(options: DemoOptions) -> Done:
    out, seed, workers = options.out, options.seed, processes(options.workers)
    sizes = {"normals": options.normals, "healthy": options.healthy, "diseased": options.diseased}
    claim(out, {"command": "demo", "version": __version__, "seed": seed} | sizes)
    data = out / "data"
    write_phantoms(data, seed=seed, **sizes, size=256, workers=workers)
    train = data / "train" / "healthy"
    lungs = segment(SegmentOptions([data / "test"], out / "lungs", workers=workers))
    first = [source.path for source in find_sources([train])[:SHOWN]]
    synthetic = synthesise(SynthesiseOptions(first, out / "synthetic", seed=seed, workers=workers))
    dataclasses.replace(options.training, seed=seed).fit(find_sources([train]), out / "training", workers=workers)
    model = str(out / "training" / "model")
    measured = evaluate(EvaluateOptions(data, out / "evaluation", model=model, seed=seed, workers=workers))
    parts = [
        _lungs_section(lungs, out, data),
        _synthetic_section(synthetic, out),
        *(part.moved("evaluation") for part in measured.sections),
    ]
    write_report(out / "report.html", "artasyn on phantoms", parts)
    outcomes = (*lungs.outcomes, *synthetic.outcomes, *measured.outcomes)
    written = (out / "report.html", out / "evaluation" / "metrics.json", out / "training" / "model")
    return Done(written, outcomes, said=measured.said)


def _lungs_section(lungs: Done, out: Path, data: Path) -> Section:
    """Returns the section that compares the lungs found by PBTSeg with the exact lungs of the phantoms."""
    overlaps = []
    for name, row in lungs.rows:
        found = read_labels(out / "lungs" / row["labels"]) > 0
        exact = read_labels(data / "lungs" / f"{name.removeprefix('test/')}.png") > 0
        overlaps.append(dice(found, exact))
    both = np.mean([row["found"] == "true" for _, row in lungs.rows])
    text = (
        f"PBTSeg needs no training. On {len(overlaps)} phantoms it found both lungs in {both:.0%}; mean Dice with the "
        f"exact visible lungs {np.mean(overlaps):.3f}, lowest {min(overlaps):.3f}. Blue: the patient's right lung."
    )
    shown = lungs.rows[:SHOWN]
    pictures = [read_picture(out / "lungs" / row["overlay"]) for _, row in shown]
    return Section("Lungs", text, pictures=[("", contact_sheet(pictures, [n for n, _ in shown], columns=6, tile=180))])


def _synthetic_section(synthetic: Done, out: Path) -> Section:
    """Returns the section that shows synthetic anomalies with their masks."""
    text = (
        "Synthetic opacities on healthy phantoms, as attenuation added inside the lungs, each with its exact mask: "
        "the only anomalies that the detector is trained on."
    )
    rows = [row for _, row in synthetic.rows]
    pictures = list(pairs(Folders(out / "synthetic"), rows))
    sheet = contact_sheet(
        pictures, [row["findings"].replace(" ", ", ").replace("_", " ") for row in rows], columns=3, tile=380
    )
    return Section("Synthetic anomalies", text, pictures=[("", sheet)])
