"""Films of CTs, as `artasyn project` writes them: drawn, checked, measured and written, one by one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np

from artasyn.arrays import Picture, generator
from artasyn.bulk.patients import Patients
from artasyn.bulk.run import Row, reason_of
from artasyn.bulk.sources import Source
from artasyn.errors import DataError
from artasyn.files import atomic
from artasyn.files.radiograph import write_image, write_labels, write_mask
from artasyn.findings import LesionKind
from artasyn.outputs.coco import outlined
from artasyn.pictures.measures import draw_measures
from artasyn.pictures.overlays import STRUCTURE_COLOURS, grey_picture, overlay_structures, write_picture
from artasyn.pictures.thumbnails import on_grid, thumbnail
from artasyn.remote.urls import shown
from artasyn.segment.ct.variation import Variation
from artasyn.segment.ct.volume import Volume
from artasyn.segment.measures.measures import Measures, measure
from artasyn.segment.projection.film_look import FilmLook
from artasyn.segment.projection.projection import Frame
from artasyn.segment.projection.quality import Quality, check_projection
from artasyn.segment.projection.randomisation import DomainRandomisation, Film, ProjectionRecord
from artasyn.segment.projection.view import View
from artasyn.segment.structures import find_members
from artasyn.version import __version__

DETAIL = 0.8
"""`FilmLook.detail` of the films that are not randomised: how much they raise fine structure."""

ATTEMPTS = 5
"""Largest number of records drawn for a film; the film fails if none of them gives a usable film."""

BONES = ("ribs", "spine", "clavicles")
"""Structures that an overlay tints; the other structures are drawn as contours."""

FILES = ("image", "record", "overlay", "lungs", "thickness", "annotations", "masks", "healthy", "lesion", "measured")
"""Columns of the manifest that name a file; the column of the masks names a folder."""

COLUMNS = (
    *("ct", "view", "copy", *FILES, "width", "height", "spacing"),
    *("cardiothoracic_ratio", "redrawn", "quality", "notes"),
)


@dataclass(frozen=True)
class FilmTask(Source):
    """One film to make: `name` is the name of the film, `path` the file of its CT.

    Attributes:
        ct: the CT's name.
        view: the view's name.
        copy: the number of the randomised film, from 1; 0 for a film that is not randomised.
    """

    ct: str
    view: str
    copy: int


@dataclass(frozen=True)
class DrawFilm:
    """Draws and makes a film of a patient, and draws another one if quality control rejects the film."""

    views: dict[str, View]
    randomise: int
    lesions: tuple[LesionKind, ...]
    frame: Frame
    seed: int
    keep_rejected: bool
    randomisation: DomainRandomisation

    def __call__(self, volume: Volume, task: FilmTask) -> tuple[Film, Quality, list[str]]:
        """Returns the film, its quality, and the reasons why earlier films were rejected."""
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

    def _record(self, volume: Volume, task: FilmTask, attempt: int) -> ProjectionRecord:
        name = hashlib.blake2b(f"{task.ct} {task.view}".encode(), digest_size=8).hexdigest()
        rng = generator(self.seed, name, task.copy, attempt)
        view = self.views[task.view]
        if self.randomise:
            record = self.randomisation.draw(volume, rng, view=view, lesions=self.lesions)
            return dataclasses.replace(record, look=dataclasses.replace(record.look, frame=self.frame))
        lesions = DomainRandomisation.draw_lesions(volume, rng, self.lesions)
        return ProjectionRecord(Variation(lesions=lesions), view, FilmLook(frame=self.frame, detail=DETAIL))


@dataclass(frozen=True)
class MakeFilm:
    """Makes and writes one film."""

    out: Path
    patients: Patients
    draw: DrawFilm
    threshold: float
    bits: Literal[8, 16]

    def __call__(self, task: Source) -> list[Row]:
        """Returns the film's row of the manifest."""
        assert isinstance(task, FilmTask)
        volume, quality = self.patients.read(Source(task.path, task.ct))
        if not (quality.ok or self.draw.keep_rejected):
            reasons = "; ".join(quality.reasons)
            raise DataError(f"{task.path}: rejected by quality control: {reasons} (--keep-rejected takes it)")
        film, seen, rejected = self.draw(volume, task)
        projection = film.projection
        measures = measure(projection)  # before the first file is written, so that a failure leaves no files
        row = self._write(task.name, film, measures)
        about = {
            "ct": shown(str(task.path)),
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
        """Writes all files of a film except its record, the overlay last, and returns the film's row."""
        row: Row = {"image": f"images/{name}.png", "overlay": f"overlays/{name}.png", "record": f"records/{name}.json"}
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
        """Returns the reduced film, beside the same film with its main structures."""
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
    """Returns a film with its measurements drawn on it."""
    projection = film.projection
    lungs = projection.lungs().labels if measures.lung_areas else None
    heart = projection.mask("heart") if measures.cardiothoracic_ratio else None
    return draw_measures(film.image, measures, lungs=lungs, heart=heart)
