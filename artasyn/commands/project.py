"""The command that makes radiographs with anatomy masks from CT."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from artasyn.arrays import Picture, generator
from artasyn.bulk.patients import Patients, called
from artasyn.bulk.run import Outcome, Row, reason_of
from artasyn.bulk.sources import Source, find_cts
from artasyn.commands.shared import Done, bulk_run, write_sheets
from artasyn.errors import DataError
from artasyn.files import atomic
from artasyn.files.ct import read_names
from artasyn.files.radiograph import write_image, write_labels, write_mask
from artasyn.findings import LesionKind, lesion_kind
from artasyn.outputs.coco import outlined, write_coco
from artasyn.pictures.measures import draw_measures
from artasyn.pictures.overlays import STRUCTURE_COLOURS, grey_picture, overlay_structures, write_picture
from artasyn.pictures.thumbnails import on_grid, thumbnail
from artasyn.segment.ct.variation import Variation
from artasyn.segment.ct.volume import Volume
from artasyn.segment.measures.measures import Measures, measure
from artasyn.segment.projection.film_look import FilmLook
from artasyn.segment.projection.projection import THRESHOLD
from artasyn.segment.projection.quality import Quality, check_projection
from artasyn.segment.projection.randomisation import DomainRandomisation, Film, ProjectionRecord
from artasyn.segment.projection.view import View
from artasyn.segment.structures import find_members
from artasyn.version import __version__

DETAIL = 0.8
"""How much films that are not randomised raise fine structure, see `FilmLook.detail`."""

ATTEMPTS = 5
"""Records drawn for a film before it counts as one that cannot be made."""

BONES = ("ribs", "spine", "clavicles")
"""What an overlay tints; of the rest it draws the contours."""

FILES = ("image", "record", "overlay", "lungs", "thickness", "annotations", "masks", "healthy", "lesion", "measured")
"""Columns of the manifest that name a file; the masks' a folder."""

COLUMNS = (
    *("ct", "view", "copy", *FILES, "width", "height", "spacing"),
    *("cardiothoracic_ratio", "redrawn", "quality", "notes"),
)

TOGETHER, MOST = 16, 64
"""Films that a worker takes at once: those of whole CTs, so that each is read once, this many or some more."""


def project(
    inputs: Sequence[Path],
    out: Path,
    *,
    labels: Path | None = None,
    names: Path | None = None,
    masks: Sequence[Path] | None = None,
    views: Sequence[str | int | float] = ("pa",),
    randomise: int = 0,
    lesions: Sequence[str] | None = None,
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
    Or a collection, 50 randomised films of each CT, each with a nodule and once more without it:
    artasyn project cts/ --labels segmentations/ --names names.csv --randomise 50 --lesions nodule --out films

    Writes to OUT, for each film NAME_VIEW (randomised: NAME_VIEW_K): images/F.png; masks/F/STRUCTURE.png (0 and 255;
    structures overlap, so each has its own); thickness/F.npz (mm that every ray runs in each structure: thickness
    float16 (k, h, w), names); lungs/F.png (visible lungs: 1 the patient's right, 2 the left); annotations/F.json
    (COCO, run-length encoded); records/F.json (remakes the film; with spacing, measures and quality); overlays/F.png;
    where something was measured measured/F.png (cardiothoracic ratio, Cobb angle and lung areas, drawn on the film);
    with lesions also healthy/F.png (the same film without) and lesions/F.png (the pixels whose attenuation changed).

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
        lesions: what to put into the lungs of every film: nodule, consolidation, ground_glass_opacity.
        pixel: size of the detector's pixels, mm.
        threshold: mm that a ray must run in a structure for its pixel to be in the mask.
        frame: what is shown: the field of a chest film around the lungs, all that the scan covers, or the detector.
        seed: another seed, other films.
        bits: depth of the images, 8 or 16.
        keep_rejected: whether films are made of volumes, and kept, that quality control rejects.
        randomisation: what is drawn, and from where.
        workers: processes; 0 takes every core, each needs about 1.5 GB for a large CT.
    """
    wanted = [name.strip().lower() for view in views for name in str(view).split(",") if name.strip()]
    usual = {name: View.named(name, size=None, pixel=pixel) for name in wanted}
    if randomise < 0 or seed < 0 or not threshold >= 0 or not usual:
        raise DataError(
            "randomise, seed and threshold must be at least 0, and a view is needed; "
            f"not {randomise}, {seed}, {threshold:g}, {wanted}"
        )
    kinds = tuple(lesion_kind(name) for name in lesions or ())
    masks = tuple(masks or ())
    cts = _without_labels(find_cts(inputs), inputs, labels)
    _check_labels(len(cts), labels, names, masks)
    tasks = [
        _Task(ct.path, f"{ct.name}_{view}" + (f"_{copy}" if copy else ""), ct.name, view, copy)
        for ct in cts
        for view in usual
        for copy in (range(1, randomise + 1) if randomise else [0])
    ]
    if len({task.name for task in tasks}) < len(tasks):
        raise DataError("two films would have one name: a CT is called like another with a side; rename one of them")
    options: dict[str, Any] = {"labels": labels and str(labels), "names": names and str(names)}
    options |= {"masks": list(map(str, masks)), "views": list(usual), "randomise": randomise, "lesions": kinds or None}
    options |= {"pixel": pixel, "threshold": threshold, "frame": frame, "seed": seed, "bits": bits}
    options |= {"keep_rejected": keep_rejected, "randomisation": randomisation}
    each = len(tasks) // len(cts)
    batch = min(MOST, each * max(1, TOGETHER // each))
    run = bulk_run("project", out, COLUMNS, options, files=FILES, workers=workers, batch=batch)
    patients = Patients(labels, names, masks, alone=len(cts) == 1)
    draw = _Draw(usual, randomise, kinds, frame, seed, keep_rejected, randomisation)
    done = Done((), tuple(run.run(_Make(out, patients, draw, threshold, bits), tasks, title="project")))
    return dataclasses.replace(done, written=(*_summarise(out, done), run.manifest))


def _without_labels(cts: list[Source], inputs: Sequence[Path], labels: Path | None) -> list[Source]:
    """The CTs, but for what lies in a folder of labels below one of theirs."""
    if labels is None or not labels.is_dir() or not any(each.resolve() in labels.resolve().parents for each in inputs):
        return cts
    outside = [ct for ct in cts if not ct.path.resolve().is_relative_to(labels.resolve())]
    if not outside:
        raise DataError(f"all CTs lie in {labels}, the folder of the labels; name that folder as the input, too")
    return outside


def _check_labels(count: int, labels: Path | None, names: Path | None, masks: Sequence[Path]) -> None:
    """Refuses, before any CT is read, what would fail for each."""
    if count > 1 and (masks or (labels and labels.is_file())):
        raise DataError(f"{count} CTs were found, but labels of one; give a folder with labels of each, and no masks")
    for path in (labels, *masks):
        if path and not path.exists():
            raise DataError(f"{path} does not exist; check the path")
    if names:
        read_names(names)
    if len({called(mask) for mask in masks}) < len(masks):
        raise DataError(f"two masks are called alike: {', '.join(map(str, masks))}; rename one of the files")


@dataclass(frozen=True)
class _Task(Source):
    """One film to be made, by its own name from the file of its CT.

    Attributes:
        ct: the CT's name.
        view: the view's name.
        copy: its number, 0 where there is one alone.
    """

    ct: str
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
        drawn = f"none of {len(rejected)} films drawn" if len(rejected) > 1 else "the film"
        verb = "can be used" if len(rejected) > 1 else "cannot be used"
        raise DataError(f"{task.path}: {drawn} {verb}: {' | '.join(dict.fromkeys(rejected))}")

    def _record(self, volume: Volume, task: _Task, attempt: int) -> ProjectionRecord:
        name = hashlib.blake2b(f"{task.ct} {task.view}".encode(), digest_size=8).hexdigest()
        rng = generator(self.seed, name, task.copy, attempt)
        view = self.views[task.view]
        if self.randomise:
            record = self.randomisation.draw(volume, rng, view=view, lesions=self.lesions)
            return dataclasses.replace(record, look=dataclasses.replace(record.look, frame=self.frame))
        lesions = DomainRandomisation.draw_lesions(volume, rng, self.lesions)
        return ProjectionRecord(Variation(lesions=lesions), view, FilmLook(frame=self.frame, detail=DETAIL))


@dataclass(frozen=True)
class _Make:
    """Makes and writes one film."""

    out: Path
    patients: Patients
    draw: _Draw
    threshold: float
    bits: Literal[8, 16]

    def __call__(self, task: Source) -> list[Row]:
        assert isinstance(task, _Task)
        volume, quality = self.patients.read(Source(task.path, task.ct))
        if not (quality.ok or self.draw.keep_rejected):
            reasons = "; ".join(quality.reasons)
            raise DataError(f"{task.path}: rejected by quality control: {reasons} (--keep-rejected takes it)")
        film, seen, rejected = self.draw(volume, task)
        projection = film.projection
        measures = measure(projection)  # whatever fails does so before the first file is written
        row = self._write(task.name, film, measures)
        about = {
            "ct": str(task.path),
            "view": task.view,
            "copy": task.copy,
            "seed": self.draw.seed,
            "threshold": self.threshold,
            "version": __version__,
            "spacing": projection.spacing,
            "spacing_isocentre": projection.spacing_isocentre,
            "measures": measures.to_dict(),
            "quality": {"volume": dataclasses.asdict(quality), "projection": dataclasses.asdict(seen)},
            "rejected": rejected,
        }
        record = {**dataclasses.asdict(film.record), "about": about}
        atomic.write_text(self.out / row["record"], json.dumps(record, indent=1) + "\n")
        ratio = measures.cardiothoracic_ratio
        row |= {"ct": task.ct, "view": task.view, "copy": task.copy or "", "redrawn": len(rejected)}
        row |= {"spacing": f"{projection.spacing:.4f}", "cardiothoracic_ratio": f"{ratio.value:.4f}" if ratio else ""}
        row |= {"quality": "; ".join(quality.reasons + seen.reasons), "notes": "; ".join(quality.notes + seen.notes)}
        return [row]

    def _write(self, name: str, film: Film, measures: Measures) -> Row:
        """Writes all but the record, the overlay last."""
        row: Row = {kind: f"{kind}s/{name}.png" for kind in ("image", "overlay")} | {"record": f"records/{name}.json"}
        row |= {"masks": f"masks/{name}", "thickness": f"thickness/{name}.npz"}
        row["annotations"] = f"annotations/{name}.json"
        row["height"], row["width"] = film.image.shape
        write_image(self.out / row["image"], film.image, bits=self.bits)
        footprints = dict(zip(film.projection.names, film.masks(self.threshold), strict=True))
        for structure, mask in footprints.items():
            write_mask(self.out / row["masks"] / f"{structure}.png", mask)
        if find_members("lungs", film.projection.names):
            row["lungs"] = f"lungs/{name}.png"
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
        if measures.cardiothoracic_ratio or measures.cobb_angle or measures.lung_areas:
            row["measured"] = f"measured/{name}.png"
            write_picture(self.out / row["measured"], _measured(film, measures))
        write_picture(self.out / row["overlay"], self._overlay(film))
        return row

    def _overlay(self, film: Film) -> Picture:
        """A small film beside itself with its main structures."""
        small, projection = thumbnail(film.image), film.projection
        lesions = np.zeros(film.image.shape, bool) if film.lesions is None else film.lesions
        for name in self.patients.marked(projection.names):
            lesions = lesions | projection.mask(name, self.threshold)
        there = [name for name in STRUCTURE_COLOURS if find_members(name, projection.names)]
        if {"lung_right", "lung_left"} & set(there):
            there.remove("lungs")
        seen = {name: projection.mask(name, self.threshold) for name in there} | {"lesions": lesions}
        seen = {name: on_grid(mask & film.field, small) for name, mask in seen.items()}
        bones = {name: seen.pop(name) for name in [*seen] if name in BONES}
        return np.hstack([grey_picture(small), overlay_structures(small, bones, seen)])


def _measured(film: Film, measures: Measures) -> Picture:
    """A film with what was measured on it."""
    projection = film.projection
    lungs = projection.lungs().labels if measures.lung_areas else None
    heart = projection.mask("heart") if measures.cardiothoracic_ratio else None
    return draw_measures(film.image, measures, lungs=lungs, heart=heart)


def _summarise(out: Path, done: Done) -> list[Path]:
    """Writes what is said of the whole collection; gives what to look at."""
    rows = done.rows
    _write_quality(out / "quality.csv", done.outcomes)
    if not rows:
        return [out / "quality.csv"]

    def described(title: str) -> Iterator[list[dict[str, Any]]]:
        for _, row in tqdm(rows, desc=title, unit="film"):
            yield json.loads((out / row["annotations"]).read_text(encoding="utf-8"))

    names = dict.fromkeys(region["structure"] for each in described("structures") for region in each)
    images = ({"file_name": r["image"], "width": int(r["width"]), "height": int(r["height"])} for _, r in rows)
    write_coco(out / "annotations.json", list(names), images, described("annotations"), of="structure")
    sheets = write_sheets(out, [(name, row["overlay"]) for name, row in rows])
    return [*sheets, out / "quality.csv", out / "annotations.json"]


def _write_quality(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Writes what quality control found in every film, and in those that were rejected."""
    text = io.StringIO()
    table = csv.DictWriter(text, ["name", "ct", "view", "ok", "reasons", "redrawn", "notes"], lineterminator="\n")
    table.writeheader()
    for outcome in outcomes:
        assert isinstance(outcome.source, _Task)
        row = outcome.rows[0] if outcome.rows else {"quality": outcome.reason, "redrawn": "", "notes": ""}
        about = {"name": outcome.source.name, "ct": outcome.source.ct, "view": outcome.source.view}
        about |= {"ok": str(not row["quality"]).lower(), "reasons": row["quality"]}
        table.writerow(about | {"redrawn": row["redrawn"], "notes": row["notes"]})
    atomic.write_text(path, text.getvalue())
