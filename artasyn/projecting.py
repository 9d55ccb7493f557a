"""The command that makes radiographs with anatomy masks from CT."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from artasyn import atomic
from artasyn.arrays import Picture, generator
from artasyn.bulk import Outcome, Row, reason_of
from artasyn.coco import outlined, write_coco
from artasyn.collection import Source
from artasyn.commands import Done, as_picture, bulk_run, on_grid, thumbnail, write_sheets
from artasyn.ctfiles import find_cts
from artasyn.errors import DataError
from artasyn.patients import called, read_patient
from artasyn.pictures import STRUCTURE_COLOURS, overlay_structures, write_picture
from artasyn.radiograph import write_image, write_labels, write_mask
from artasyn.segment.ctlesion import LesionKind
from artasyn.segment.filmlook import FilmLook
from artasyn.segment.measures import measure
from artasyn.segment.projection import THRESHOLD
from artasyn.segment.quality import Quality, check_projection
from artasyn.segment.randomisation import DomainRandomisation, Film, ProjectionRecord
from artasyn.segment.structures import find_members
from artasyn.segment.variation import Variation
from artasyn.segment.view import View
from artasyn.segment.volume import Volume
from artasyn.version import __version__

ATTEMPTS = 5
"""Records drawn for a film before it counts as one that cannot be made."""

BONES = ("ribs", "spine", "clavicles")
"""What an overlay tints; of the rest it draws the contours."""

FILES = ("image", "record", "overlay", "lungs", "thickness", "annotations")
"""Columns of the manifest that name a file."""

COLUMNS = (
    *("ct", "view", "copy", *FILES, "masks", "healthy", "lesion", "width", "height", "spacing"),
    *("cardiothoracic_ratio", "redrawn", "notes"),
)


def project(
    inputs: Sequence[Path],
    out: Path,
    *,
    labels: Path | None = None,
    names: Path | None = None,
    masks: Sequence[Path] | None = None,
    views: Sequence[str] = ("pa",),
    randomise: int = 0,
    lesions: Sequence[LesionKind] | None = None,
    pixel: float = 0.7,
    threshold: float = THRESHOLD,
    frame: Literal["film", "covered", "full"] = "film",
    seed: int = 0,
    bits: Literal[8, 16] = 8,
    keep_rejected: bool = False,
    randomisation: DomainRandomisation = DomainRandomisation(),
    workers: int = 0,
) -> Done:
    """Makes radiographs at any angle from CT, with a mask of every labelled structure.

    For example: artasyn project ct.nii.gz --labels labels.nii.gz --names names.csv --views pa,lateral,30 --out films
    Or a collection, each CT with 50 randomised films and a nodule in half of the views' pairs:
    artasyn project cts/ --labels segmentations/ --views pa --randomise 50 --lesions nodule --out films

    Writes to OUT, for each film NAME_VIEW (randomised: NAME_VIEW_K): images/F.png; masks/F/STRUCTURE.png (0 and 255;
    structures overlap, so each has its own); thickness/F.npz (mm that every ray runs in each structure: thickness
    float16 (k, h, w), names); lungs/F.png (visible lungs: 1 the patient's right, 2 the left); annotations/F.json
    (COCO, run-length encoded); records/F.json (remakes the film; with spacing, measures and quality); overlays/F.png;
    with lesions also healthy/F.png (the same film without) and lesions/F.png (exactly the pixels that changed).

    And of the whole collection: annotations.json (COCO), quality.csv (what quality control found, with reasons),
    sheet-1.png and following (the overlays), manifest.csv, settings.json. The same seed gives the same files for any
    number of workers.

    Args:
        inputs: CT volumes (NIfTI, NRRD, MetaImage, folders of DICOM series) and folders of them, walked recursively.
        out: the folder to write to. A run that was killed goes on there.
        labels: for one CT its label map, or a folder with a mask for each structure, as TotalSegmentator writes them;
            for many CTs a folder that has NAME.nii.gz, NAME_labels.nii.gz or a folder of masks NAME for each. Left
            out: NAME_labels.nii.gz beside each CT.
        names: a CSV or JSON file with the label map's numbers and names.
        masks: further masks of the one CT, each a structure called by its file, a lesion for instance.
        views: pa, ap, lateral, right_lateral or angles in degrees (0 PA, 90 left lateral), several with commas.
        randomise: films to make of each view with drawn anatomy, geometry and look; 0 for one as it is.
        lesions: what to put into the lungs of every film: nodule, consolidation, ground_glass.
        pixel: size of the detector's pixels, mm.
        threshold: mm that a ray must run in a structure for its pixel to be in the mask.
        frame: what is shown: the field of a chest film around the lungs, all that the scan covers, or the detector.
        seed: another seed, other films.
        bits: depth of the images, 8 or 16.
        keep_rejected: whether films are made of volumes, and kept, that quality control rejects.
        randomisation: what is drawn, and from where.
        workers: processes; 0 takes every core, each needs about 1.5 GB for a large CT.
    """
    wanted = [name for text in views for name in text.split(",") if name]
    usual = {name: View.named(name, size=None, pixel=pixel) for name in wanted}
    if randomise < 0 or seed < 0 or not usual:
        raise DataError(
            f"randomise and seed must be at least 0, and a view is needed; not {randomise}, {seed}, {wanted}"
        )
    cts = find_cts(inputs)
    if len(cts) > 1 and (masks or (labels and labels.is_file())):
        raise DataError(
            f"{len(cts)} CTs were found, but labels of one; give a folder with labels of each, and no masks"
        )
    tasks = {
        f"{ct.name}_{view}" + (f"_{copy}" if copy else ""): _Task(ct, view, copy)
        for ct in cts
        for view in usual
        for copy in (range(1, randomise + 1) if randomise else [0])
    }
    options: dict[str, Any] = {"labels": labels and str(labels), "names": names and str(names)}
    options |= {"masks": list(map(str, masks or ())), "views": wanted, "randomise": randomise}
    options |= {"lesions": lesions, "pixel": pixel, "threshold": threshold, "frame": frame, "seed": seed, "bits": bits}
    options |= {"keep_rejected": keep_rejected, "randomisation": randomisation}
    run = bulk_run("project", out, COLUMNS, options, files=FILES, workers=workers, batch=16)
    draw = _Draw(usual, randomise, tuple(lesions or ()), frame, seed, keep_rejected, randomisation)
    work = _Make(out, tasks, draw, labels, names, tuple(masks or ()), threshold, bits, len(cts) == 1)
    sources = sorted((Source(task.ct.path, name) for name, task in tasks.items()), key=lambda source: source.name)
    outcomes = run.run(work, sources, title="project")
    done = Done((), tuple(outcomes))
    summary = _summarise(out, done, tasks)
    return dataclasses.replace(done, written=(*summary, run.manifest))


@dataclass(frozen=True)
class _Task:
    """One film to be made."""

    ct: Source
    view: str
    copy: int


@dataclass(frozen=True)
class _Draw:
    """Draws and makes a film of a patient, anew where quality control rejects it."""

    views: dict[str, View]
    randomise: int
    lesions: tuple[LesionKind, ...]
    frame: Literal["film", "covered", "full"]
    seed: int
    keep_rejected: bool
    randomisation: DomainRandomisation

    def __call__(self, volume: Volume, task: _Task) -> tuple[Film, Quality, list[str]]:
        """The film, what quality control says of it, and why earlier ones were rejected."""
        rejected: list[str] = []
        for attempt in range(ATTEMPTS if self.randomise or self.lesions else 1):
            try:
                film = Film.of(volume, self._record(volume, task, attempt))
            except DataError as error:
                rejected.append(reason_of(error))
                continue
            quality = check_projection(film.projection)
            if quality.ok or self.keep_rejected:
                return film, quality, rejected
            rejected.append("; ".join(quality.reasons))
        raise DataError(f"rejected by quality control, {len(rejected)} times: {' | '.join(dict.fromkeys(rejected))}")

    def _record(self, volume: Volume, task: _Task, attempt: int) -> ProjectionRecord:
        name = f"{task.ct.name} {task.view}".encode().hex()
        rng = generator(self.seed, *(int(name[n : n + 15], 16) for n in range(0, len(name), 15)), task.copy, attempt)
        view = self.views[task.view]
        if self.randomise:
            record = self.randomisation.draw(volume, rng, view=view, lesions=self.lesions)
            return dataclasses.replace(record, look=dataclasses.replace(record.look, frame=self.frame))
        lesions = DomainRandomisation.draw_lesions(volume, rng, self.lesions)
        return ProjectionRecord(Variation(lesions=lesions), view, FilmLook(frame=self.frame))


@dataclass(frozen=True)
class _Make:
    """Makes and writes one film."""

    out: Path
    tasks: dict[str, _Task]
    draw: _Draw
    labels: Path | None
    names: Path | None
    masks: tuple[Path, ...]
    threshold: float
    bits: Literal[8, 16]
    alone: bool

    def __call__(self, source: Source) -> list[Row]:
        task = self.tasks[source.name]
        volume, quality = read_patient(task.ct, self.labels, self.names, self.masks, alone=self.alone)
        if not (quality.ok or self.draw.keep_rejected):
            raise DataError(f"{task.ct.path}: rejected by quality control: {'; '.join(quality.reasons)}")
        film, seen, rejected = self.draw(volume, task)
        row: Row = {"ct": task.ct.name, "view": task.view, "copy": task.copy or "", "redrawn": len(rejected)}
        row |= self._write(source.name, film)
        measures = measure(film.projection).to_dict()
        about = {"ct": str(task.ct.path), "view": task.view, "copy": task.copy, "seed": self.draw.seed}
        about |= {"threshold": self.threshold, "spacing": film.projection.spacing, "version": __version__}
        about |= {"spacing_isocentre": film.projection.spacing_isocentre, "measures": measures, "rejected": rejected}
        about["quality"] = {"volume": dataclasses.asdict(quality), "projection": dataclasses.asdict(seen)}
        record = {**dataclasses.asdict(film.record), "about": about}
        atomic.write_text(self.out / row["record"], json.dumps(record, indent=1) + "\n")
        ratio = measures.get("cardiothoracic_ratio") or {}
        row["cardiothoracic_ratio"] = f"{ratio['value']:.4f}" if ratio else ""
        row["notes"] = "; ".join((*quality.reasons, *seen.reasons, *quality.notes))
        row["spacing"] = f"{film.projection.spacing:.4f}"
        return [row]

    def _write(self, name: str, film: Film) -> Row:
        """Writes all but the record, the overlay last."""
        row: Row = {kind: f"{kind}s/{name}.png" for kind in ("image", "overlay")} | {"record": f"records/{name}.json"}
        row |= {"lungs": f"lungs/{name}.png", "masks": f"masks/{name}", "thickness": f"thickness/{name}.npz"}
        row["annotations"] = f"annotations/{name}.json"
        row["height"], row["width"] = film.image.shape
        write_image(self.out / row["image"], film.image, bits=self.bits)
        footprints = dict(zip(film.projection.names, film.masks(self.threshold), strict=True))
        for structure, mask in footprints.items():
            write_mask(self.out / row["masks"] / f"{structure}.png", mask)
        labels = film.projection.lungs("visible", self.threshold).labels * film.field
        write_labels(self.out / row["lungs"], labels.astype(np.uint8))
        buffer = BytesIO()
        thickness = film.projection.thickness.astype(np.float16)
        np.savez_compressed(buffer, thickness=thickness, names=np.array(film.projection.names))
        atomic.write_bytes(self.out / row["thickness"], buffer.getvalue())
        atomic.write_text(self.out / row["annotations"], json.dumps(outlined(footprints)) + "\n")
        if film.healthy is not None and film.lesions is not None:
            row |= {"healthy": f"healthy/{name}.png", "lesion": f"lesions/{name}.png"}
            write_image(self.out / row["healthy"], film.healthy, bits=self.bits)
            write_mask(self.out / row["lesion"], film.lesions)
        write_picture(self.out / row["overlay"], _overlay(film, self.masks))
        return row


def _overlay(film: Film, masks: tuple[Path, ...]) -> Picture:
    """A small film beside itself with its main structures."""
    small = thumbnail(film.image)
    projection = film.projection
    lesions = np.zeros(film.image.shape, bool) if film.lesions is None else film.lesions
    for path in masks:
        lesions = lesions | projection.mask(called(path))
    seen = {name: projection.mask(name) for name in STRUCTURE_COLOURS if find_members(name, projection.names)}
    seen = {name: on_grid(mask, small) for name, mask in (seen | {"lesions": lesions}).items()}
    bones = {name: seen.pop(name) for name in [*seen] if name in BONES}
    return np.hstack([as_picture(small), overlay_structures(small, bones, seen)])


def _summarise(out: Path, done: Done, tasks: dict[str, _Task]) -> list[Path]:
    """Writes what is said of the whole collection; gives what to look at."""
    rows = done.rows
    _write_quality(out / "quality.csv", done.outcomes, tasks)
    if not rows:
        return [out / "quality.csv"]
    names: dict[str, None] = {}

    def described() -> Iterator[list[dict[str, Any]]]:
        for _, row in tqdm(rows, desc="annotations", unit="film"):
            yield json.loads((out / row["annotations"]).read_text(encoding="utf-8"))

    for each in described():
        names |= dict.fromkeys(region["structure"] for region in each)
    images = ({"file_name": r["image"], "width": int(r["width"]), "height": int(r["height"])} for _, r in rows)
    write_coco(out / "annotations.json", list(names), images, described(), of="structure")
    sheets = write_sheets(out, [(name, row["overlay"]) for name, row in rows])
    return [*sheets, out / "quality.csv", out / "annotations.json"]


def _write_quality(path: Path, outcomes: Sequence[Outcome], tasks: dict[str, _Task]) -> None:
    """Writes what quality control found in every film, and in those that were rejected."""
    text = io.StringIO()
    table = csv.DictWriter(text, ["name", "ct", "view", "ok", "reasons", "redrawn", "notes"], lineterminator="\n")
    table.writeheader()
    for outcome in outcomes:
        task = tasks[outcome.source.name]
        row = outcome.rows[0] if outcome.rows else {}
        about = {"name": outcome.source.name, "ct": task.ct.name, "view": task.view, "reasons": outcome.reason}
        about |= {
            "ok": str(not outcome.reason).lower(),
            "redrawn": row.get("redrawn", ""),
            "notes": row.get("notes", ""),
        }
        table.writerow(about)
    atomic.write_text(path, text.getvalue())
