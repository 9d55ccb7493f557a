"""The command that fits a trained detector to the healthy radiographs of another hospital."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from artasyn.arrays import Image
from artasyn.bulk.lock import claimed
from artasyn.bulk.progress import progress
from artasyn.bulk.run import Outcome
from artasyn.bulk.sources import Source, search_sources
from artasyn.console.options import FILES, option, several
from artasyn.console.results import Done, note_passed_over
from artasyn.detection.detector import Detector
from artasyn.detection.network import DetectorNetwork
from artasyn.detection.opening import heat_scale
from artasyn.detection.recalibration import Recalibrated, recalibrate
from artasyn.fields import Share
from artasyn.files import atomic
from artasyn.files.radiograph import read_radiograph
from artasyn.files.tables import write_table
from artasyn.pictures.overlays import contact_sheet, write_picture
from artasyn.pictures.panels import detection_panels
from artasyn.testsets.measured import UNREADABLE

SHOWN = 12
"""Radiographs on the sheet, those of the highest scores."""


@dataclass(frozen=True)
class CalibrateOptions:
    """Options of `calibrate`."""

    normal: Sequence[Path] = field(metadata=several(f"healthy {FILES}", of=Path))
    out: Path = field(
        default=Path("calibrated"), metadata=option("the folder to write to; results there are replaced", main=True)
    )
    _: KW_ONLY
    model: str = field(
        default="bundled",
        metadata=option(
            "bundled is the one that comes with artasyn; or the folder that `artasyn train` wrote as OUT/model, or the "
            "id of a model on the Hugging Face hub; no ONNX file: export the calibrated model instead",
            main=True,
        ),
    )
    flagged: Share = field(default=0.04, metadata=option("share of healthy radiographs that may be called abnormal"))
    marked: Share = field(default=0.05, metadata=option("share of healthy lungs' pixels that may be marked"))


def calibrate(options: CalibrateOptions) -> Done:
    """Fits thresholds and novelty of a detector to your healthy radiographs, in about a minute and without training.

    For example: artasyn calibrate --normal healthy/ --out calibrated

    Writes to OUT: model/ (for `artasyn detect --model OUT/model`), calibration.json (how far your radiographs are from
    those that the detector was trained on; thresholds, flagged and marked shares before and after), scores.csv (every
    radiograph, the highest score first), sheet.png (the twelve highest: look whether they are healthy), passed_over.csv
    (if files were not read).

    Take some hundreds of healthy radiographs of one kind, twenty at least, of as many patients. Sick ones among them
    raise the thresholds. Scores are then also told as percentiles of these radiographs: `percentile` in scores.csv of
    `artasyn detect`.

    Args:
        options: which radiographs, which detector, and where to write.
    """
    out = options.out
    found = search_sources(options.normal, leave=out)
    with claimed(out):
        network = DetectorNetwork.from_pretrained(options.model)
        films = _Films(found.sources)
        done = recalibrate(network, films, false_positive_rate=options.flagged, false_positive_pixels=options.marked)
        done.network.save_pretrained(out / "model")
        about = described(done, network)
        atomic.write_text(out / "calibration.json", json.dumps(about, indent=1, allow_nan=False) + "\n")
        _write_scores(out / "scores.csv", done)
        _write_sheet(out / "sheet.png", done, found.sources)
        notes = note_passed_over(out, found)
    reasons = films.reasons | dict(done.left_out)
    outcomes = tuple(Outcome(source, reason=reasons.get(source.name, "")) for source in found.sources)
    written = tuple(out / name for name in ("sheet.png", "scores.csv", "calibration.json", "model"))
    tally = {"used": len(done.names)}
    return Done(written, outcomes, notes=(f"{done.distance}.", *notes), tally=tally)


def described(done: Recalibrated, before: DetectorNetwork) -> dict[str, Any]:
    """Returns the content of calibration.json.

    Args:
        done: the recalibrated detector.
        before: the detector as it was.
    """
    settings = done.network.settings
    quantiles = np.quantile(done.novelty_before, (0.05, 0.5, 0.95)).round(3).tolist()
    return {
        "radiographs": len(done.names),
        "left_out": dict(done.left_out),
        "novelty_for_the_training": dict(zip(("p5", "median", "p95"), quantiles, strict=True)),
        "distance": done.distance,
        "before": {
            "threshold": before.settings.threshold,
            "image_threshold": before.settings.image_threshold,
            "flagged": round(float(done.flagged_before.mean()), 4),
            "marked": round(done.marked_before, 4),
        },
        "after": {
            "threshold": settings.threshold,
            "image_threshold": settings.image_threshold,
            "flagged": round(float((done.scores >= settings.image_threshold).mean()), 4),
            "marked": round(done.marked, 4),
        },
        "model": done.network.digest,
    }


class _Films:
    """Reads radiographs one after the other, with progress; those that cannot be read are kept with their reasons."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources
        self.reasons: dict[str, str] = {}

    def __iter__(self) -> Iterator[tuple[str, Image]]:
        for source in progress(self.sources, title="calibrate", unit="film"):
            try:
                image = read_radiograph(source.path)
            except UNREADABLE as error:
                self.reasons[source.name] = str(error)
            else:
                yield source.name, image


def _write_scores(path: Path, done: Recalibrated) -> None:
    columns = ("name", "score", "percentile", "novelty", "novelty_before", "abnormal")
    settings = done.network.settings
    rows: list[dict[str, str]] = [
        {
            "name": name,
            "score": f"{score:.7f}",
            "percentile": f"{settings.percentile(float(score)):.1f}",
            "novelty": f"{now:.2f}",
            "novelty_before": f"{before:.2f}",
            "abnormal": str(bool(score >= settings.image_threshold)).lower(),
        }
        for name, score, now, before in zip(done.names, done.scores, done.novelty, done.novelty_before, strict=True)
    ]
    rows.sort(key=lambda row: (-float(row["score"]), row["name"]))
    write_table(path, columns, rows, quoted=1)


def _write_sheet(path: Path, done: Recalibrated, sources: Sequence[Source]) -> None:
    """Shows the radiographs of the highest scores, which are perhaps not healthy."""
    files = {source.name: source.path for source in sources}
    detector = Detector(done.network)
    order = sorted(zip(done.names, done.scores.tolist(), strict=True), key=lambda item: (-item[1], item[0]))[:SHOWN]
    views, captions = [], []
    for name, score in order:
        image = read_radiograph(files[name])
        found = detector(image)
        views.append(detection_panels(image, found.heatmap, found.mask, top=heat_scale(detector).top))
        captions.append(f"{score:.3f} {name}")
    write_picture(path, contact_sheet(views, captions, columns=2, tile=640))
