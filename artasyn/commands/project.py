"""The command that makes radiographs with anatomy masks from CT."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from artasyn.bulk.patients import Patients, search_patients
from artasyn.bulk.progress import progress
from artasyn.bulk.run import Outcome, Row
from artasyn.bulk.sources import Source
from artasyn.console.machines import Machines, placed, portion_done
from artasyn.console.options import OUT, PRUNE, WORKERS, flag, option, paths, remote, several, spread
from artasyn.console.results import Done, bulk_run, note_gone, note_passed_over, without, write_sheets
from artasyn.errors import DataError
from artasyn.files.tables import write_table
from artasyn.findings import LesionKind, lesion_kind
from artasyn.outputs.coco import write_coco
from artasyn.outputs.projected import COLUMNS, FILES, DrawFilm, FilmTask, MakeFilm
from artasyn.remote.urls import shown
from artasyn.segment.projection.projection import THRESHOLD, Frame
from artasyn.segment.projection.randomisation import DomainRandomisation
from artasyn.segment.projection.view import View

CTS = "CT volumes (NIfTI, NRRD, MetaImage, folders of DICOM series) and folders of them, which are walked recursively"

LABELS = (
    "for one CT its label map (NIfTI, NRRD, MetaImage or a DICOM segmentation), or a folder with a mask for each "
    "structure, as TotalSegmentator writes them; for many CTs a folder that has NAME.nii.gz, NAME_labels.nii.gz, "
    "NAME.dcm or a folder of masks NAME for each. Left out: NAME_labels.nii.gz beside each CT"
)

NAMES = (
    "a file with the label map's numbers and names: CSV, JSON, a colour table of 3D Slicer, or label descriptions of "
    "ITK-SNAP. Left out: the names that the label map itself holds"
)

RESAMPLE = "resample labels on another grid to the CT, each voxel to the label of the nearest voxel"

TOGETHER, MOST = 16, 64
"""Films that a worker takes at once: up to `TOGETHER`, or the films of one CT if these are more, but at most `MOST`.

Up to `MOST`, all films of a CT stay together, so that the CT is read once."""


REMARKS = 10
"""Largest number of remarks at the end of the screen."""


@dataclass(frozen=True)
class ProjectOptions:
    """Options of `project`.

    Raises:
        DataError: a number, a view or a lesion is invalid.
    """

    inputs: Sequence[Path] = field(metadata=paths(CTS))
    out: Path = field(metadata=remote("results", option(OUT)))
    _: KW_ONLY
    labels: Path | None = field(default=None, metadata=option(LABELS, main=True))
    names: Path | None = field(default=None, metadata=option(NAMES, main=True))
    masks: Sequence[Path] | None = field(
        default=None,
        metadata=several(
            "further masks of the one CT, each a structure called by its file, a lesion for instance",
            of=Path,
            metavar="FILE",
        ),
    )
    views: Sequence[str | int | float] = field(
        default=("pa",),
        metadata=several(
            "pa, ap, lateral, right_lateral, or angles in degrees: 0 PA, 90 left lateral; several with commas or "
            "spaces",
            metavar="VIEW",
            main=True,
        ),
    )
    randomise: int = field(
        default=0,
        metadata=option(
            "films to make of each view with drawn anatomy, geometry and look; 0 for one as it is", main=True
        ),
    )
    lesions: Sequence[str] | None = field(
        default=None,
        metadata=several(
            f"lesions to put into the lungs of every film: {', '.join(get_args(LesionKind))}",
            metavar="LESION",
            main=True,
        ),
    )
    pixel: float = field(default=0.7, metadata=option("size of the detector's pixels, mm"))
    threshold: float = field(
        default=THRESHOLD,
        metadata=option("mm that a ray must run in a structure for its pixel to be in the mask"),
    )
    frame: Frame = field(
        default="film",
        metadata=option(
            "what is shown: the field of a chest film around the lungs, all that the scan covers, or the detector"
        ),
    )
    seed: int = field(default=0, metadata=option("another seed, other films", main=True))
    bits: Literal[8, 16] = field(default=8, metadata=option("depth of the images, 8 or 16"))
    keep_rejected: bool = field(
        default=False, metadata=flag("make films of volumes, and keep films, that quality control rejects")
    )
    resample_labels: bool = field(default=False, metadata=flag(RESAMPLE))
    randomisation: DomainRandomisation = field(
        default=DomainRandomisation(), metadata=option("what is drawn, and from where")
    )
    prune: bool = field(default=False, metadata=flag(PRUNE))
    workers: int = field(default=0, metadata=option(f"{WORKERS}, each needs about 1.5 GB for a large CT", main=True))
    machines: Machines = field(default=Machines(), metadata=spread("merging"))

    def __post_init__(self) -> None:
        usual = self.usual_views()
        if self.randomise < 0 or self.seed < 0 or not self.threshold >= 0 or not usual:
            raise DataError(
                "randomise, seed and threshold must be at least 0, and a view is needed; "
                f"not {self.randomise}, {self.seed}, {self.threshold:g}, {[*usual]}"
            )
        self.kinds()

    def usual_views(self) -> dict[str, View]:
        """Returns the views by name, as they are without randomisation."""
        names = [name.strip().lower() for view in self.views for name in str(view).split(",") if name.strip()]
        return {name: View.named(name, size=None, pixel=self.pixel) for name in names}

    def kinds(self) -> tuple[LesionKind, ...]:
        """Returns the kinds of the lesions, spelled as in `LesionKind`."""
        return tuple(lesion_kind(name) for name in self.lesions or ())

    def draw(self) -> DrawFilm:
        """Returns the object that draws and makes a film."""
        return DrawFilm(
            self.usual_views(),
            self.randomise,
            self.kinds(),
            self.frame,
            self.seed,
            self.keep_rejected,
            self.randomisation,
        )

    def settings(self) -> dict[str, Any]:
        """Returns the settings that the films depend on, besides the CTs."""
        names = ["randomise", "randomisation", "keep_rejected", "resample_labels"]
        names += ["pixel", "threshold", "frame", "seed", "bits"]
        files = {name: path and shown(str(path)) for name, path in (("labels", self.labels), ("names", self.names))}
        lists: dict[str, Any] = {
            "masks": [shown(str(path)) for path in self.masks or ()],
            "views": list(self.usual_views()),
        }
        lists |= {"lesions": self.kinds() or None}
        return {name: getattr(self, name) for name in names} | files | lists


def project(options: ProjectOptions) -> Done:
    """Makes radiographs at any angle from CT, with a mask of every labelled structure.

    For example: artasyn project ct.nii.gz --labels labels.nii.gz --names names.csv --views pa,lateral,30 --out films
    Or for a collection, 50 randomised films of each CT, each film once with a nodule and once without:
    artasyn project cts/ --labels segmentations/ --names names.csv --randomise 50 --lesions nodule --out films

    Writes to OUT, for each film F, which is NAME_VIEW (randomised: NAME_VIEW_K): images/F.png; masks/F/STRUCTURE.png
    (0 and 255; structures overlap, so each structure has a mask); thickness/F.npz (length of every ray in each
    structure in mm: thickness float16 (k, h, w), names); lungs/F.png (visible lungs: 1 the patient's right, 2 the
    left); annotations/F.json (COCO, run-length encoded); records/F.json (remakes the film; with spacing, measures and
    quality); overlays/F.png.
    If something was measured: measured/F.png (cardiothoracic ratio, Cobb angle and lung areas, drawn on the film).
    With lesions: healthy/F.png (the same film without lesions), lesions/F.png (the pixels whose attenuation changed).

    For the whole collection: annotations.json (COCO), quality.csv (results of quality control, with reasons),
    sheet-1.png and up to 19 more (the overlays), manifest.csv, passed_over.csv (if files were not read),
    settings.json. The same seed gives the same files for any number of workers.

    Args:
        options: what to read, where to write, and what to make.
    """
    out, masks = options.out, tuple(options.masks or ())
    found = search_patients(options.inputs, labels=options.labels, names=options.names, masks=masks, leave=out)
    cts = found.sources
    tasks = _tasks(cts, [*options.usual_views()], options.randomise)
    each = len(tasks) // len(cts)
    batch = min(MOST, each * max(1, TOGETHER // each))
    settings, workers, prune = options.settings(), options.workers, options.prune
    where = placed("project", options)
    run = bulk_run(
        "project", out, COLUMNS, settings, files=FILES, workers=workers, batch=batch, prune=prune, where=where
    )
    patients = Patients(options.labels, options.names, masks, alone=len(cts) == 1, resample=options.resample_labels)
    make = MakeFilm(out, patients, options.draw(), options.threshold, options.bits)
    outcomes = run.run(make, tasks, title="project")
    if run.portion:
        return portion_done(run, outcomes)
    done = Done((), tuple(outcomes))
    notes = (*_remarks(done), *note_passed_over(out, found), *note_gone(run, outcomes))
    return dataclasses.replace(
        done, written=(*_summarise(out, done), run.manifest), notes=notes, tally={"made": len(done.rows)}
    )


def _tasks(cts: Sequence[Source], views: Sequence[str], randomise: int) -> list[FilmTask]:
    """Returns the films to make: every view of every CT, once or `randomise` times with drawn anatomy."""
    tasks = [
        FilmTask(
            *(ct.path, f"{ct.name}_{view}" + (f"_{copy}" if copy else ""), ct.name, view, copy),
            inputs=ct.inputs,
            fault=ct.fault,
        )
        for ct in cts
        for view in views
        for copy in (range(1, randomise + 1) if randomise else [0])
    ]
    if len({task.name for task in tasks}) < len(tasks):
        raise DataError("two films would have one name: a CT is called like another with a side; rename one of them")
    return tasks


def _summarise(out: Path, done: Done) -> list[Path]:
    """Writes the files about the whole collection and returns the paths to look at."""
    rows = done.rows
    _write_quality(out / "quality.csv", done.outcomes)
    if not rows:
        return [out / "quality.csv", *without(out, "annotations.json"), *write_sheets(out, [])]

    def described(title: str) -> Iterator[list[dict[str, Any]]]:
        for _, row in progress(rows, title=title, unit="film"):
            yield json.loads((out / row["annotations"]).read_text(encoding="utf-8"))

    names = dict.fromkeys(region["structure"] for each in described("structures") for region in each)
    images = ({"file_name": r["image"], "width": int(r["width"]), "height": int(r["height"])} for _, r in rows)
    write_coco(out / "annotations.json", list(names), images, described("annotations"), of="structure")
    sheets = write_sheets(out, [(name, row["overlay"]) for name, row in rows])
    return [*sheets, out / "quality.csv", out / "annotations.json"]


def _remarks(done: Done) -> Iterator[str]:
    """Yields the remarks about films, each with the number of its films."""
    counts = Counter(row["notes"] for _, row in done.rows if row["notes"])
    for notes, count in itertools.islice(counts.items(), REMARKS):
        yield f"{count} film{'s' * (count > 1)}: {notes}"
    if len(counts) > REMARKS:
        yield f"{len(counts) - REMARKS} more remarks are listed in quality.csv"


def _write_quality(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Writes the results of quality control for every film, including the rejected films."""
    columns = ("name", "ct", "view", "ok", "reasons", "redrawn", "notes")
    write_table(path, columns, map(_quality_row, outcomes))


def _quality_row(outcome: Outcome) -> Row:
    """Returns the results of quality control for one film."""
    assert isinstance(outcome.source, FilmTask)
    row = outcome.rows[0] if outcome.rows else {"quality": outcome.reason, "redrawn": "", "notes": ""}
    about = {"name": outcome.source.name, "ct": outcome.source.ct, "view": outcome.source.view}
    about |= {"ok": str(not row["quality"]).lower(), "reasons": row["quality"]}
    return about | {"redrawn": row["redrawn"], "notes": row["notes"]}
