"""The command that looks for anomalies with a trained detector."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

import numpy as np
import torch

from artasyn.bulk.run import Row
from artasyn.bulk.sources import Source, search_sources
from artasyn.console.lungs import LungOptions, described
from artasyn.console.options import DEVICE, FILES, MODEL, OUT, PRUNE, WORKERS, flag, option, paths, spread
from artasyn.console.results import UNUSABLE, Done, bulk_run, cautioned, note_gone, note_passed_over, write_sheets
from artasyn.detection.detector import Detector
from artasyn.errors import ModelError
from artasyn.files.radiograph import read_radiograph, write_image, write_labels, write_mask
from artasyn.files.tables import write_table
from artasyn.pictures.overlays import write_picture
from artasyn.pictures.panels import detection_panels
from artasyn.testsets.measured import FilmLungs

FOLDERS = {"heatmap": "heatmaps", "mask": "masks", "lungs": "lungs", "overlay": "overlays"}
"""The folder of each column of the manifest that names a picture."""


@dataclass(frozen=True)
class DetectOptions:
    """Options of `detect`."""

    inputs: Sequence[Path] = field(metadata=paths(FILES))
    out: Path = field(default=Path("detections"), metadata=option(OUT, main=True))
    _: KW_ONLY
    model: str = field(default="bundled", metadata=option(MODEL, main=True))
    restrict_to_lungs: bool = field(
        default=True,
        metadata=option("look only at the lungs, hidden and diseased parts too"),
    )
    by: LungOptions = field(default=LungOptions(), metadata=spread(main=("lungs",)))
    device: str = field(default="auto", metadata=option(DEVICE))
    prune: bool = field(default=False, metadata=flag(PRUNE))
    workers: int = field(default=0, metadata=option(f"{WORKERS}, or one on a GPU", main=True))


def detect(options: DetectOptions) -> Done:
    """Looks for anomalies on radiographs, with the detector that comes with artasyn or another one.

    For example: artasyn detect film.png
    Or a collection, with a detector of your own: artasyn detect films/ --model training/model --out detections

    Writes to OUT: heatmaps/NAME.png (16 bits, 65535 for 1), masks/NAME.png (0 and 255), lungs/NAME.png (where the
    detector looked), overlays/NAME.png (radiograph, heatmap, mask), scores.csv (highest score first), sheet-1.png and
    following, manifest.csv, passed_over.csv (if files were not read), settings.json. A radiograph that is unusable
    (inverted, turned, from the side, not a chest, without lungs) has this status with the reason, comes last and is
    never abnormal. The percentile tells how many percent of the healthy radiographs, of the training or of `artasyn
    calibrate`, have a lower score.

    PBTSeg lays the window around the lungs, and the detector itself tells where they are in it. With other lungs scores
    and thresholds fit less well; train a detector with the same --lungs for those.

    Args:
        options: what to read, where to write, and how.
    """
    found = search_sources(options.inputs, leave=options.out)
    done = detect_sources(
        options.by.sources(found.sources),
        options.out,
        model=options.model,
        lungs=None if options.by.lungs == "pbtseg" else options.by.finder(),
        restrict_to_lungs=options.restrict_to_lungs,
        device=options.device,
        workers=options.workers,
        prune=options.prune,
    )
    return dataclasses.replace(done, notes=(*note_passed_over(options.out, found), *done.notes))


def detect_sources(
    sources: Sequence[Source],
    out: Path,
    *,
    model: str,
    lungs: FilmLungs | None = None,
    restrict_to_lungs: bool = True,
    device: str = "auto",
    workers: int = 0,
    prune: bool = False,
) -> Done:
    """Looks for anomalies on the given radiographs and writes the same files as `detect`.

    Args:
        sources: the radiographs.
        out: the folder to write to.
        model: the detector.
        lungs: finds the lungs, or reads them; with None, PBTSeg finds them.
        restrict_to_lungs: look only inside the lungs.
        device: the device to run on; auto takes CUDA where available, otherwise the CPU.
        workers: number of processes; 0 takes every core, or one process on a GPU.
        prune: delete the results of sources that are gone.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    detector = open_detector(model, device)
    shown = ("score", "percentile", "novelty", "abnormal", "marked", "lungs_found", "status", "warnings", "reason")
    options = {"model": str(model), "restrict_to_lungs": restrict_to_lungs, "weights": detector.digest}
    options |= described(lungs) if lungs else {}
    workers = workers or int(device != "cpu")
    run = bulk_run("detect", out, (*FOLDERS, *shown), options, files=tuple(FOLDERS), workers=workers, prune=prune)
    work = _Detect(out, model, device, restrict_to_lungs, detector.digest, lungs)
    outcomes = run.run(work, sources, title="detect")
    done = Done((), tuple(outcomes), notes=note_gone(run, outcomes))
    ranked = sorted(done.rows, key=lambda item: (item[1]["status"] == UNUSABLE, -float(item[1]["score"]), item[0]))
    write_table(out / "scores.csv", ("name", *shown), ({**row, "name": name} for name, row in ranked), quoted=1)
    sheets = write_sheets(out, [(_caption(name, row), row["overlay"]) for name, row in ranked], columns=2)
    judged = [row["abnormal"] == "true" for _, row in ranked if row["status"] != UNUSABLE]
    tally = {"flagged": sum(judged), "not": len(judged) - sum(judged)}
    return dataclasses.replace(done, written=(*sheets, out / "scores.csv", run.manifest), tally=tally)


def _caption(name: str, row: Row) -> str:
    if row["status"] == UNUSABLE:
        return f"unusable ({row['warnings']}): {name}"
    return f"{float(row['score']):.6f} {name}"


@functools.lru_cache(maxsize=2)
def load_detector(model: str, device: str, digest: str) -> Detector:
    """Returns the detector that a run began with; each process loads it once.

    Args:
        model: an ONNX file, a folder or a model id.
        device: a device of torch.
        digest: of the detector that the run began with.

    Raises:
        ModelError: another model lies there now.
    """
    detector = open_detector(model, device)
    if detector.digest != digest:
        raise ModelError(f"{model}: was replaced by another model during this run; start again with another --out")
    return detector


def open_detector(model: str, device: str) -> Detector:
    """Returns the detector of an ONNX file, a folder or a model id, as it is now."""
    if model.endswith(".onnx"):
        on_cpu = device == "cpu"
        return Detector.from_onnx(model, ["CPUExecutionProvider"], 1) if on_cpu else Detector.from_onnx(model)
    return Detector.from_pretrained(model, device=device)


def hottest(detector: Detector) -> float:
    """Returns the heatmap value that overlays show in the hottest colour, so high that few values are clipped."""
    return min(1.0, 6 * detector.threshold)


@dataclass(frozen=True)
class _Detect:
    out: Path
    model: str
    device: str
    restrict_to_lungs: bool
    digest: str
    lungs: FilmLungs | None

    def __call__(self, source: Source) -> list[Row]:
        film = read_radiograph(source.path)
        detector = load_detector(self.model, self.device, self.digest)
        given = self.lungs(film, source) if self.lungs else None
        detection = detector(film, given, restrict_to_lungs=self.restrict_to_lungs)
        row: Row = {column: f"{folder}/{source.name}.png" for column, folder in FOLDERS.items()}
        labels = detection.lungs.labels if detection.lungs else np.ones(film.shape, np.uint8)
        write_image(self.out / row["heatmap"], detection.heatmap, bits=16)
        write_mask(self.out / row["mask"], detection.mask)
        write_labels(self.out / row["lungs"], labels)
        panels = detection_panels(film, detection.heatmap, detection.mask, top=hottest(detector))
        write_picture(self.out / row["overlay"], panels)
        region = labels > 0
        return [
            row
            | {
                "score": f"{detection.score:.7f}",  # exact, see `score`
                "percentile": "" if math.isnan(detection.percentile) else f"{detection.percentile:.1f}",
                "novelty": f"{detection.novelty:.2f}",
                "abnormal": str(detection.abnormal).lower(),
                "marked": f"{detection.mask[region].mean():.4f}",
                "lungs_found": str(detection.lungs is not None).lower(),
            }
            | cautioned(detection)
        ]
