"""What the commands without a model do, and what all share: files in, files out; `artasyn.cli` prints the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from artasyn import atomic
from artasyn.arrays import Picture
from artasyn.collection import BulkRun, Outcome, Row, Source, available_cores, find_sources
from artasyn.errors import DataError
from artasyn.pictures import contact_sheet, overlay_lungs, overlay_mask, read_picture, write_picture
from artasyn.radiograph import read_radiograph, write_image, write_labels, write_mask
from artasyn.recipe import Recipe
from artasyn.report import Section
from artasyn.segment import PBTSeg
from artasyn.synthesis import LungOpacity
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
    run = bulk_run("segment", out, columns, files=("labels", "overlay"), workers=workers, segmenter=segmenter)
    outcomes = run.run(_Segment(out, segmenter), find_sources(inputs), title="segment")
    done = Done((run.manifest,), tuple(outcomes))

    def confidence(item: tuple[str, Row]) -> float:
        return min(float(item[1]["confidence_right"]), float(item[1]["confidence_left"]))

    shown = [(f"{confidence(item):.2f} {item[0]}", item[1]["overlay"]) for item in sorted(done.rows, key=confidence)]
    return dataclasses.replace(done, written=(*write_sheets(out, shown), run.manifest))


@dataclass(frozen=True)
class _Segment:
    out: Path
    segmenter: PBTSeg

    def __call__(self, source: Source) -> list[Row]:
        film = read_radiograph(source.path)
        lungs = self.segmenter(film)
        labels, overlay = f"labels/{source.name}.png", f"overlays/{source.name}.png"
        write_labels(self.out / labels, lungs.labels)
        small = thumbnail(film)
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
    run = bulk_run("synthesise", out, columns, files=files, workers=workers, **options)
    work = _Synthesise(out, per_image, seed, bits, synthesis, segmenter)
    done = Done((run.manifest,), tuple(run.run(work, find_sources(inputs), title="synthesise")))
    shown = [(f"{name} {row['copy']}", row["overlay"]) for name, row in done.rows[:SHEET]]
    return dataclasses.replace(done, written=(*write_sheets(out, shown), run.manifest))


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
            small = thumbnail(anomaly.image)
            write_picture(
                self.out / row["overlay"],
                np.hstack([as_picture(small), overlay_mask(small, on_grid(anomaly.mask, small))]),
            )
            atomic.write_text(self.out / row["record"], recipe.to_json())
            area = anomaly.mask.sum() / max(1, lungs.mask.sum())
            rows.append(row | {"area": f"{area:.4f}", "severity": f"{anomaly.record.severity:.4f}"})
        return rows


def bulk_run(
    command: str, out: Path, columns: tuple[str, ...], *, files: tuple[str, ...], workers: int, **options: Any
) -> BulkRun:
    """A bulk run whose settings are the command's options and the version."""
    settings: dict[str, Any] = {"command": command, "version": __version__}
    for name, option in options.items():
        is_record = dataclasses.is_dataclass(option) and not isinstance(option, type)
        settings[name] = dataclasses.asdict(option) if is_record else option
    return BulkRun(out, settings, columns, files, workers or available_cores())


def write_sheets(out: Path, shown: Sequence[tuple[str, str]], *, columns: int = 10) -> Iterator[Path]:
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


def thumbnail(film: np.ndarray) -> np.ndarray:
    """A film no longer than `TILE` on its longer side."""
    scale = min(1.0, TILE / max(film.shape))
    shape = (max(1, round(film.shape[1] * scale)), max(1, round(film.shape[0] * scale)))
    return np.clip(cv2.resize(film, shape, interpolation=cv2.INTER_AREA), 0, 1)


def on_grid(values: np.ndarray, film: np.ndarray) -> np.ndarray:
    """A heatmap or mask on the grid of a smaller film."""
    shape = film.shape[::-1]
    if values.dtype == bool:
        return cv2.resize(values.astype(np.uint8), shape, interpolation=cv2.INTER_NEAREST_EXACT) > 0
    return np.asarray(cv2.resize(values, shape, interpolation=cv2.INTER_AREA))


def as_picture(film: np.ndarray) -> Picture:
    """A film as a picture."""
    return np.repeat(np.rint(255 * film).astype(np.uint8)[:, :, None], 3, axis=2)
