"""What the commands do: files in, files out. `artasyn.cli` gives them their options and prints what they return."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from artasyn import atomic
from artasyn.arrays import Picture
from artasyn.collection import BulkRun, Outcome, Row, Source, available_cores, find_sources, read_manifest
from artasyn.detector import Detector
from artasyn.errors import DataError
from artasyn.pictures import contact_sheet, overlay_heatmap, overlay_lungs, overlay_mask, read_picture, write_picture
from artasyn.radiograph import read_radiograph, write_image, write_labels, write_mask
from artasyn.recipe import Recipe
from artasyn.report import Section
from artasyn.segment import PBTSeg
from artasyn.synthesis import LungOpacity
from artasyn.training import TrainingRun
from artasyn.version import __version__

TILE = 256
"""The longer side of an overlay, in pixels."""

SHEET = 120
"""Overlays on a sheet."""


@dataclass(frozen=True)
class Done:
    """What a command has done.

    Attributes:
        written: what to open or read, most useful first.
        outcomes: of every source.
        sections: for a report.
    """

    written: tuple[Path, ...]
    outcomes: tuple[Outcome, ...] = ()
    sections: tuple[Section, ...] = ()

    @property
    def failures(self) -> list[Outcome]:
        """The sources that failed."""
        return [outcome for outcome in self.outcomes if outcome.reason]

    @property
    def rows(self) -> list[tuple[str, Row]]:
        """The names of the sources that did not fail, with their manifest rows."""
        return [(outcome.source.name, row) for outcome in self.outcomes for row in outcome.rows]


def segment(inputs: Sequence[Path], out: Path, *, segmenter: PBTSeg = PBTSeg(), workers: int = 0) -> Done:
    """Finds the lungs on radiographs, without training.

    Writes to OUT: labels/NAME.png (0 background, 1 the patient's right lung, 2 the left lung), overlays/NAME.png,
    sheet-1.png and following (the overlays, least confident first), manifest.csv, settings.json.

    Args:
        inputs: radiographs (PNG, JPEG, TIFF, DICOM) and folders of them, which are walked recursively.
        out: the folder to write to. A run that was killed goes on there.
        segmenter: options of PBTSeg.
        workers: processes; 0 takes every core.
    """
    columns = ("labels", "overlay", "found", "confidence_right", "confidence_left", "warnings")
    run = _bulk("segment", out, columns, files=("labels", "overlay"), workers=workers, segmenter=segmenter)
    outcomes = run.run(_Segment(out, segmenter), find_sources(inputs), title="segment")
    done = Done((run.manifest,), tuple(outcomes))

    def confidence(item: tuple[str, Row]) -> float:
        return min(float(item[1]["confidence_right"]), float(item[1]["confidence_left"]))

    shown = [(f"{confidence(item):.2f} {item[0]}", item[1]["overlay"]) for item in sorted(done.rows, key=confidence)]
    return dataclasses.replace(done, written=(*_sheets(out, shown), run.manifest))


@dataclass(frozen=True)
class _Segment:
    out: Path
    segmenter: PBTSeg

    def __call__(self, source: Source) -> list[Row]:
        film = read_radiograph(source.path)
        lungs = self.segmenter(film)
        labels, overlay = f"labels/{source.name}.png", f"overlays/{source.name}.png"
        write_labels(self.out / labels, lungs.labels)
        small = _small(film)
        write_picture(self.out / overlay, overlay_lungs(small, lungs.resized(small.shape).labels))
        right, left = lungs.confidence
        return [
            {
                "labels": labels,
                "overlay": overlay,
                "found": str(lungs.found).lower(),
                "confidence_right": f"{right:.4f}",
                "confidence_left": f"{left:.4f}",
                "warnings": "; ".join(lungs.reasons),
            }
        ]


def synthesise(
    inputs: Sequence[Path],
    out: Path,
    *,
    per_image: int = 1,
    seed: int = 0,
    bits: int = 8,
    synthesis: LungOpacity = LungOpacity(),
    segmenter: PBTSeg = PBTSeg(),
    workers: int = 0,
) -> Done:
    """Makes lung anomalies with exact masks on normal radiographs.

    Writes to OUT: images/NAME_K.png, masks/NAME_K.png (0 and 255: exactly the pixels that changed),
    records/NAME_K.json (remakes the image bit for bit), overlays/NAME_K.png, sheet-1.png (the first of them),
    manifest.csv, settings.json. The same seed gives the same files for any number of workers.

    Args:
        inputs: normal radiographs (PNG, JPEG, TIFF, DICOM) and folders of them, which are walked recursively.
        out: the folder to write to. A run that was killed goes on there.
        per_image: anomalous images made of each radiograph.
        seed: another seed, other anomalies.
        bits: depth of the images written, 8 or 16.
        synthesis: options of the lung opacities.
        segmenter: options of PBTSeg.
        workers: processes; 0 takes every core.
    """
    if bits not in (8, 16) or per_image < 1 or seed < 0:
        raise DataError(f"bits must be 8 or 16, per_image at least 1, seed at least 0; not {bits}, {per_image}, {seed}")
    columns = ("copy", "image", "mask", "record", "overlay", "area", "severity")
    files = ("image", "mask", "record", "overlay")
    options = {"per_image": per_image, "seed": seed, "bits": bits, "synthesis": synthesis, "segmenter": segmenter}
    run = _bulk("synthesise", out, columns, files=files, workers=workers, **options)
    work = _Synthesise(out, per_image, seed, bits, synthesis, segmenter)
    done = Done((run.manifest,), tuple(run.run(work, find_sources(inputs), title="synthesise")))
    shown = [(f"{name} {row['copy']}", row["overlay"]) for name, row in done.rows[:SHEET]]
    return dataclasses.replace(done, written=(*_sheets(out, shown), run.manifest))


@dataclass(frozen=True)
class _Synthesise:
    out: Path
    per_image: int
    seed: int
    bits: int
    synthesis: LungOpacity
    segmenter: PBTSeg

    def __call__(self, source: Source) -> list[Row]:
        film = read_radiograph(source.path)
        lungs = self.segmenter(film)
        if not lungs.found:
            raise DataError(f"{source.path}: lungs not found ({'; '.join(lungs.reasons)}); no anomaly can be placed")
        rows = []
        for copy in range(1, self.per_image + 1):
            recipe, anomaly = Recipe.draw(
                film, lungs, seed=self.seed, copy=copy, segmenter=self.segmenter, synthesis=self.synthesis
            )
            row: Row = {"copy": copy}
            row |= {
                kind: f"{kind}s/{source.name}_{copy}{suffix}"
                for kind, suffix in (("image", ".png"), ("mask", ".png"), ("record", ".json"), ("overlay", ".png"))
            }
            write_image(self.out / row["image"], anomaly.image, bits=16 if self.bits == 16 else 8)
            write_mask(self.out / row["mask"], anomaly.mask)
            small = _small(anomaly.image)
            write_picture(self.out / row["overlay"], np.hstack([_grey(small), overlay_mask(small, _like(anomaly.mask, small))]))
            atomic.write_text(self.out / row["record"], recipe.to_json())
            area = anomaly.mask.sum() / max(1, lungs.mask.sum())
            rows.append(row | {"area": f"{area:.4f}", "severity": f"{anomaly.record.severity:.4f}"})
        return rows


def train(
    normal: Sequence[Path],
    out: Path,
    *,
    training: TrainingRun = TrainingRun(),
    trainer: dict[str, Any] | None = None,
    workers: int = 0,
) -> Done:
    """Trains a detector on normal radiographs alone, with synthetic anomalies made on the fly.

    Writes to OUT: model/ (config.json and model.safetensors, for `artasyn detect --model OUT/model`), checkpoints/
    (last.ckpt, best.ckpt), logs/ (CSV and TensorBoard), cache/ (prepared radiographs; manifest.csv lists those left
    out, with reasons), settings.json. A training that was killed goes on there.

    Args:
        normal: normal radiographs (PNG, JPEG, TIFF, DICOM) and folders of them, which are walked recursively.
        out: the folder to write to.
        training: what the result depends on.
        trainer: further options of lightning.Trainer, as '{"devices": 2, "strategy": "ddp"}'.
        workers: processes that prepare and synthesise; 0 takes every core.
    """
    sources = find_sources(normal)
    training.fit(sources, out, workers=workers or available_cores(), trainer=trainer)
    manifest = out / "cache" / "manifest.csv"
    reasons = {row["name"]: row["reason"] for row in read_manifest(manifest)}
    return Done((out / "model", manifest), tuple(Outcome(s, reason=reasons[s.name]) for s in sources))


def detect(
    inputs: Sequence[Path],
    out: Path,
    *,
    model: str,
    restrict_to_lungs: bool = True,
    device: str = "auto",
    workers: int = 0,
) -> Done:
    """Looks for anomalies on radiographs with a trained detector.

    Writes to OUT: heatmaps/NAME.png (16 bits, 65535 for 1), masks/NAME.png (0 and 255), lungs/NAME.png (where the
    detector looked), overlays/NAME.png (film, heatmap, mask), scores.csv (highest score first), sheet-1.png and
    following, manifest.csv, settings.json.

    Args:
        inputs: radiographs (PNG, JPEG, TIFF, DICOM) and folders of them, which are walked recursively.
        out: the folder to write to. A run that was killed goes on there.
        model: the folder that `artasyn train` wrote as OUT/model, or the id of a model on the Hugging Face hub.
        restrict_to_lungs: look only inside the lungs, found by PBTSeg.
        device: cpu, cuda, cuda:1, mps; auto takes a GPU where there is one.
        workers: processes; 0 takes every core, or one on a GPU.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    detector = load_detector(model, device)
    columns = ("heatmap", "mask", "lungs", "overlay", "score", "abnormal", "marked", "lungs_found")
    files = ("heatmap", "mask", "lungs", "overlay")
    options = {"model": str(model), "restrict_to_lungs": restrict_to_lungs, "weights": fingerprint(detector)}
    workers = workers or (available_cores() if device == "cpu" else 1)
    run = _bulk("detect", out, columns, files=files, workers=workers, **options)
    outcomes = run.run(_Detect(out, model, device, restrict_to_lungs), find_sources(inputs), title="detect")
    done = Done((), tuple(outcomes))
    ranked = sorted(done.rows, key=lambda item: (-float(item[1]["score"]), item[0]))
    table = ["name,score,abnormal,marked,lungs_found"]
    table += [",".join([f'"{n}"', r["score"], r["abnormal"], r["marked"], r["lungs_found"]]) for n, r in ranked]
    atomic.write_text(out / "scores.csv", "\n".join(table) + "\n")
    sheets = _sheets(out, [(f"{row['score']} {name}", row["overlay"]) for name, row in ranked], columns=2)
    return dataclasses.replace(done, written=(*sheets, out / "scores.csv", run.manifest))


@functools.lru_cache(maxsize=2)
def load_detector(model: str, device: str) -> Detector:
    """A detector, loaded once in each process."""
    return Detector.from_pretrained(model).to(device)


def fingerprint(detector: Detector) -> str:
    """Tells two trained detectors apart."""
    total = sum(float(p.detach().double().abs().sum()) for p in detector.parameters())
    return f"{total:.6e} {detector.threshold:.6f}"


@dataclass(frozen=True)
class _Detect:
    out: Path
    model: str
    device: str
    restrict_to_lungs: bool

    def __call__(self, source: Source) -> list[Row]:
        film = read_radiograph(source.path)
        detector = load_detector(self.model, self.device)
        detector.restrict_to_lungs = self.restrict_to_lungs
        detection = detector(film)
        row: Row = {
            kind: f"{kind.removesuffix('s')}s/{source.name}.png" for kind in ("heatmap", "mask", "lungs", "overlay")
        }
        labels = detection.lungs.labels if detection.lungs else np.ones(film.shape, np.uint8)
        write_image(self.out / row["heatmap"], detection.heatmap, bits=16)
        write_mask(self.out / row["mask"], detection.mask)
        write_labels(self.out / row["lungs"], labels)
        small = _small(film)
        views = [
            _grey(small),
            overlay_heatmap(small, _like(detection.heatmap, small), top=2 * detector.threshold),
            overlay_mask(small, _like(detection.mask, small)),
        ]
        write_picture(self.out / row["overlay"], np.hstack(views))
        region = labels > 0
        return [
            row
            | {
                "score": f"{detection.score:.6f}",
                "abnormal": str(detection.score >= detector.image_threshold).lower(),
                "marked": f"{detection.mask[region].mean():.4f}",
                "lungs_found": str(detection.lungs is not None).lower(),
            }
        ]


def _bulk(
    command: str, out: Path, columns: tuple[str, ...], *, files: tuple[str, ...], workers: int, **options: Any
) -> BulkRun:
    """A bulk run whose settings are the command's options and the version."""
    settings = {"command": command, "version": __version__}
    settings |= {n: dataclasses.asdict(o) if dataclasses.is_dataclass(o) else o for n, o in options.items()}
    return BulkRun(out, settings, columns, files, workers or available_cores())


def _sheets(out: Path, shown: Sequence[tuple[str, str]], *, columns: int = 10) -> Iterator[Path]:
    """Writes contact sheets of overlays, in order, and gives their paths."""
    for number, start in enumerate(range(0, len(shown), SHEET), 1):
        page = shown[start : start + SHEET]
        pictures = [read_picture(out / file) for _, file in page]
        tile = max(max(picture.shape) for picture in pictures)
        columns_here = min(columns, max(1, 2560 // tile))
        sheet = contact_sheet(pictures, [caption for caption, _ in page], columns=columns_here, tile=tile)
        path = out / f"sheet-{number}.png"
        write_picture(path, sheet)
        yield path


def _small(film: np.ndarray) -> np.ndarray:
    """A film no longer than `TILE` on its longer side."""
    scale = min(1.0, TILE / max(film.shape))
    shape = (max(1, round(film.shape[1] * scale)), max(1, round(film.shape[0] * scale)))
    return np.clip(cv2.resize(film, shape, interpolation=cv2.INTER_AREA), 0, 1)


def _like(values: np.ndarray, film: np.ndarray) -> np.ndarray:
    """A heatmap or mask on the grid of a smaller film."""
    shape = film.shape[::-1]
    if values.dtype == bool:
        return cv2.resize(values.astype(np.uint8), shape, interpolation=cv2.INTER_NEAREST_EXACT) > 0
    return np.asarray(cv2.resize(values, shape, interpolation=cv2.INTER_AREA))


def _grey(film: np.ndarray) -> Picture:
    """A film as a picture."""
    return np.repeat(np.rint(255 * film).astype(np.uint8)[:, :, None], 3, axis=2)

