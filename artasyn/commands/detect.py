"""The command that looks for anomalies with a trained detector."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from artasyn.bulk.run import Row
from artasyn.bulk.sources import Source, search_sources
from artasyn.cautions import usable
from artasyn.console.detected import DATE, detector_facts, report_date, write_detections
from artasyn.console.lungs import LungOptions, described
from artasyn.console.machines import Machines, placed, portion_done
from artasyn.console.options import (
    ANONYMOUS,
    DEVICE,
    DICOM,
    FILES,
    MODEL,
    OUT,
    PRUNE,
    WORKERS,
    flag,
    option,
    paths,
    remote,
    several,
    spread,
)
from artasyn.console.results import (
    UNUSABLE,
    Done,
    bulk_run,
    cautioned,
    judged_rows,
    note_gone,
    note_passed_over,
    write_sheets,
)
from artasyn.detection.detector import Detector
from artasyn.detection.examination import Detection
from artasyn.detection.opening import heat_scale, open_detector
from artasyn.detection.settings import Precision
from artasyn.errors import ModelError
from artasyn.files.opened import open_radiograph
from artasyn.files.radiograph import write_image, write_labels, write_mask
from artasyn.files.tables import write_table
from artasyn.outputs.dicom_files import DicomFiles, with_refusals
from artasyn.outputs.dicom_instance import Made, Maker, model_parameters
from artasyn.outputs.dicom_seg import Segment
from artasyn.outputs.dicom_sr import Figure, Report
from artasyn.pictures.detected import Sides, Verdict, overlay_detection
from artasyn.pictures.overlays import write_picture
from artasyn.testsets.measured import FilmLungs

FOLDERS = {"heatmap": "heatmaps", "mask": "masks", "lungs": "lungs", "overlay": "overlays"}
"""The folder of each column of the manifest that names a picture."""

SHEET_TILE = 512
"""The longer side of an overlay on a sheet, in pixels."""


@dataclass(frozen=True)
class DetectOptions:
    """Options of `detect`."""

    inputs: Sequence[Path] = field(metadata=remote("films", paths(FILES)))
    out: Path = field(default=Path("detections"), metadata=remote("results", option(OUT, main=True)))
    _: KW_ONLY
    model: str = field(default="bundled", metadata=option(MODEL, main=True))
    restrict_to_lungs: bool = field(
        default=True,
        metadata=option("look only at the lungs, hidden and diseased parts too"),
    )
    by: LungOptions = field(default=LungOptions(), metadata=spread(main=("lungs",)))
    dicom: Sequence[Made] | None = field(default=None, metadata=several(DICOM, of=Made, metavar="OBJECT"))
    anonymous: bool = field(default=False, metadata=flag(ANONYMOUS))
    device: str = field(default="auto", metadata=option(DEVICE))
    precision: Precision = field(
        default="fp32",
        metadata=option("bf16 is faster where the machine has bfloat16, and moves scores a little"),
    )
    prune: bool = field(default=False, metadata=flag(PRUNE))
    date: str = field(default="", metadata=option(DATE))
    workers: int = field(default=0, metadata=option(f"{WORKERS}, or one on a GPU", main=True))
    machines: Machines = field(default=Machines(), metadata=spread("merging"))


def detect(options: DetectOptions) -> Done:
    """Looks for anomalies on radiographs, with the detector that comes with artasyn or another one.

    For example: artasyn detect film.png
    Or a collection, with a detector of your own: artasyn detect films/ --model training/model --out detections

    Writes to OUT: heatmaps/NAME.png (16 bits, 65535 for 1), masks/NAME.png (0 and 255), lungs/NAME.png (where the
    detector looked), overlays/NAME.png (the radiograph with a legend; heat and contours where it is flagged),
    report.html (the list of films), scores.csv (highest score first), sheet-1.png and up to 19 more, manifest.csv,
    passed_over.csv (if files were not read), settings.json. A radiograph that is unusable (inverted, turned, from the
    side, not a chest, without lungs) has this status with the reason, comes last and is never abnormal. The percentile
    tells how many percent of the healthy radiographs, of the training or of `artasyn calibrate`, have a lower score.

    With --dicom, also dicom/NAME.seg.dcm (what is marked, on the film's stored grid), dicom/NAME.sc.dcm (the overlay)
    and dicom/NAME.sr.dcm (score, threshold, verdict), for films that are DICOM. The manifest has the columns seg, sc
    and sr, and dicom_reason where there is no object.

    PBTSeg lays the window around the lungs, and the detector itself tells where they are in it. With other lungs scores
    and thresholds fit less well; train a detector with the same --lungs for those.

    Args:
        options: what to read, where to write, and how.
    """
    date = report_date(options.date)
    found = search_sources(options.inputs, leave=options.out)
    done = detect_sources(
        options.by.sources(found.sources),
        options.out,
        model=options.model,
        lungs=None if options.by.lungs == "pbtseg" else options.by.finder(),
        restrict_to_lungs=options.restrict_to_lungs,
        dicom=tuple(options.dicom or ()),
        anonymous=options.anonymous,
        device=options.device,
        precision=options.precision,
        workers=options.workers,
        prune=options.prune,
        where=placed("detect", options),
    )
    if options.machines.portion:
        return done
    detector = _OPENED[options.model, chosen_device(options.device), options.precision]
    facts = detector_facts(options.model, detector, date)
    report = write_detections(options.out, done, facts)
    done = dataclasses.replace(done, written=(report, *done.written))
    return dataclasses.replace(done, notes=(*note_passed_over(options.out, found), *done.notes))


def detect_sources(
    sources: Sequence[Source],
    out: Path,
    *,
    model: str,
    lungs: FilmLungs | None = None,
    restrict_to_lungs: bool = True,
    dicom: tuple[Made, ...] = (),
    anonymous: bool = False,
    device: str = "auto",
    precision: Precision = "fp32",
    workers: int = 0,
    prune: bool = False,
    where: Mapping[str, Any] = MappingProxyType({}),
) -> Done:
    """Looks for anomalies on the given radiographs and writes the same files as `detect`.

    Args:
        sources: the radiographs.
        out: the folder to write to.
        model: the detector.
        lungs: finds the lungs, or reads them; with None, PBTSeg finds them.
        restrict_to_lungs: look only inside the lungs.
        dicom: the DICOM objects to write.
        anonymous: leave out of them what tells the patient.
        device: the device to run on; auto takes CUDA where available, otherwise the CPU.
        precision: the numbers that the detector computes with.
        workers: number of processes; 0 takes every core, or one process on a GPU.
        prune: delete the results of sources that are gone.
        where: on which machines, see `artasyn.console.machines.placed`.
    """
    device = chosen_device(device)
    detector = _open(model, device, precision)
    shown = ("score", "percentile", "novelty", "abnormal", "marked", "lungs_found", "status", "warnings", "reason")
    options = {"model": str(model), "restrict_to_lungs": restrict_to_lungs, "weights": detector.digest}
    options |= described(lungs) if lungs else {}
    options |= {"precision": precision} if precision != "fp32" else {}
    maker = Maker("artasyn detect", model_parameters(model, detector.digest))
    objects = DicomFiles(out, dicom, anonymous, maker)
    options |= objects.settings
    workers = workers or int(device != "cpu")
    columns, files = (*FOLDERS, *shown, *objects.columns), (*FOLDERS, *objects.files)
    run = bulk_run("detect", out, columns, options, files=files, workers=workers, prune=prune, where=where)
    work = _Detect(out, model, device, precision, restrict_to_lungs, detector.digest, lungs, objects)
    outcomes = run.run(work, sources, title="detect")
    if run.portion:
        return portion_done(run, outcomes)
    done = Done((), tuple(outcomes), notes=note_gone(run, outcomes))
    ranked = sorted(done.rows, key=lambda item: (item[1]["status"] == UNUSABLE, -float(item[1]["score"]), item[0]))
    write_table(out / "scores.csv", ("name", *shown), ({**row, "name": name} for name, row in ranked), quoted=1)
    captions = [(_caption(name, row), row["overlay"]) for name, row in ranked]
    written = (*write_sheets(out, captions, columns=4, most=SHEET_TILE), out / "scores.csv", run.manifest)
    every = with_refusals(outcomes)
    judged = [row["abnormal"] == "true" for row in judged_rows(every)]
    tally = {"flagged": sum(judged), "not": len(judged) - sum(judged)}
    return dataclasses.replace(done, outcomes=every, written=written, tally=tally)


def _caption(name: str, row: Row) -> str:
    if row["status"] == UNUSABLE:
        return f"unusable ({row['warnings']}): {name}"
    return f"{float(row['score']):.6f} {name}"


_OPENED: dict[tuple[str, str, Precision], Detector] = {}
"""The detector that this process opened last, by its name, its device and its precision."""


def load_detector(model: str, device: str, digest: str, precision: Precision = "fp32") -> Detector:
    """Returns the detector that a run began with; each process loads it once.

    Args:
        model: an ONNX file, a folder or a model id.
        device: a device of torch.
        digest: of the detector that the run began with.
        precision: the numbers that it computes with.

    Raises:
        ModelError: another model lies there now.
    """
    detector = _OPENED.get((model, device, precision))
    if detector is not None and _digest(detector) == digest:
        return detector
    detector = _open(model, device, precision)
    if _digest(detector) != digest:
        raise ModelError(f"{model}: was replaced by another model during this run; start again with another --out")
    return detector


def _open(model: str, device: str, precision: Precision = "fp32") -> Detector:
    """Opens a detector and remembers it in place of the last one."""
    detector = open_detector(model, device, precision)
    _OPENED.clear()
    _OPENED[model, device, precision] = detector
    return detector


@functools.lru_cache(maxsize=2)
def _digest(detector: Detector) -> str:
    """Returns the digest of a detector that does not change, which takes a tenth of a second."""
    return detector.digest


def chosen_device(device: str) -> str:
    """Returns a device of torch: for auto CUDA where it is available, otherwise the CPU."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


@dataclass(frozen=True)
class _Detect:
    out: Path
    model: str
    device: str
    precision: Precision
    restrict_to_lungs: bool
    digest: str
    lungs: FilmLungs | None
    objects: DicomFiles

    def __call__(self, source: Source) -> list[Row]:
        radiograph = open_radiograph(source.path)
        film = radiograph.image
        detector = load_detector(self.model, self.device, self.digest, self.precision)
        given = self.lungs(film, source) if self.lungs else None
        detection = detector(film, given, restrict_to_lungs=self.restrict_to_lungs)
        row: Row = {column: f"{folder}/{source.name}.png" for column, folder in FOLDERS.items()}
        labels = detection.lungs.labels if detection.lungs else np.ones(film.shape, np.uint8)
        write_image(self.out / row["heatmap"], detection.heatmap, bits=16)
        write_mask(self.out / row["mask"], detection.mask)
        write_labels(self.out / row["lungs"], labels)
        sides: Sides = "header" if radiograph.sided else "convention"
        unusable = detection.reason if detection.status == UNUSABLE else ""
        said = Verdict(detection.abnormal, detection.score, detector.image_threshold, unusable, sides)
        scale = heat_scale(detector)
        overlay = overlay_detection(film, detection.heatmap, detection.mask, labels, scale, said)
        write_picture(self.out / row["overlay"], overlay)
        region = labels > 0
        marked = float(detection.mask[region].mean())
        row |= self.objects.write(
            source,
            radiograph,
            [Segment.finding("opacity", detection.mask, labels if detection.lungs else np.zeros_like(labels))],
            overlay,
            lambda: _report(detection, detector, marked),
            unusable=() if usable(detection.warnings) else detection.reasons,
        )
        return [
            row
            | {
                "score": f"{detection.score:.7f}",  # exact, see `score`
                "percentile": "" if math.isnan(detection.percentile) else f"{detection.percentile:.1f}",
                "novelty": f"{detection.novelty:.2f}",
                "abnormal": str(detection.abnormal).lower(),
                "marked": f"{marked:.4f}",
                "lungs_found": str(detection.lungs is not None).lower(),
            }
            | cautioned(detection)
        ]


def _report(detection: Detection, detector: Detector, marked: float) -> Report:
    """Returns the figures of a film for its Structured Report."""
    percentile = None if math.isnan(detection.percentile) else detection.percentile
    figures = (
        Figure("score", detection.score),
        Figure("threshold", detector.image_threshold),
        Figure("percentile", percentile, "%", "the model holds no scores of healthy films"),
        Figure("novelty", detection.novelty),
        Figure("marked", 100 * marked, "%"),
    )
    return Report(figures, detection.abnormal, detection.reasons)
