"""The command that reads the anatomy of radiographs."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from artasyn.bulk.run import Row
from artasyn.bulk.sources import Source, search_sources
from artasyn.console.machines import Machines, placed, portion_done
from artasyn.console.options import (
    ANONYMOUS,
    DEVICE,
    DICOM,
    FILES,
    MASKS,
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
    first_looks,
    judged_rows,
    not_judged,
    note_gone,
    note_passed_over,
    write_sheets,
)
from artasyn.errors import DataError
from artasyn.files import atomic
from artasyn.files.opened import open_radiograph
from artasyn.outputs.dicom_files import DicomFiles, with_refusals
from artasyn.outputs.dicom_instance import Made, Maker, model_parameters
from artasyn.outputs.dicom_seg import Segment
from artasyn.outputs.dicom_sr import Report, measured, spacing_remark
from artasyn.outputs.masks import MASK_FILES, MaskFiles, Output
from artasyn.outputs.measured import COLUMNS, measures_text, read_measures, table_of, write_measures
from artasyn.pictures.anatomy import overlay_anatomy, overlay_measures
from artasyn.pictures.overlays import write_picture
from artasyn.pictures.report import Section, write_report
from artasyn.remote.urls import shown
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.segmenters import AnatomyReader
from artasyn.segment.structures import GROUPS, find_members

FILES_OF = ("measures", "overlay", "measured", *MASK_FILES)
"""The columns of the manifest that name a file; the masks are a folder."""

SHOWN = ("angle", "confidence", "status", "warnings", "reason")
"""The columns that the manifest and the table of measures share."""

DRAWN = 1024
"""The longer side of the pictures with measures, in pixels, at most."""

LEAST_SURE = 12
"""The number of radiographs that the report shows."""


@dataclass(frozen=True)
class AnatomyOptions:
    """Options of `anatomy`.

    Raises:
        DataError: the angle is no number of degrees, or no format of masks is chosen.
    """

    inputs: Sequence[Path] = field(metadata=remote("films", paths(FILES)))
    out: Path = field(metadata=remote("results", option(OUT)))
    _: KW_ONLY
    model: str = field(
        default="bundled",
        metadata=option(
            "bundled is the one that comes with artasyn; or the folder that `artasyn train-anatomy` wrote as "
            "OUT/model, or the id of a model on the Hugging Face hub",
            main=True,
        ),
    )
    structures: Sequence[str] | None = field(
        default=None,
        metadata=several(
            f"the masks to write: structures of the model, groups ({', '.join(GROUPS)}) and zones such as "
            "upper_zone_right (default: every structure of the model, under its own name)",
            metavar="NAME",
            main=True,
        ),
    )
    outputs: Sequence[Output] = field(
        default=("png", "npz", "coco"),
        metadata=several(MASKS, of=Output, metavar="FORMAT", main=True),
    )
    angle: float | None = field(
        default=None,
        metadata=option(
            "turn of the patients about the body's axis, degrees, where it is known for all radiographs: 0 PA, 180 AP, "
            "90 or -90 lateral (default: the network estimates it for each radiograph)"
        ),
    )
    dicom: Sequence[Made] | None = field(default=None, metadata=several(DICOM, of=Made, metavar="OBJECT"))
    anonymous: bool = field(default=False, metadata=flag(ANONYMOUS))
    device: str = field(default="auto", metadata=option(DEVICE))
    prune: bool = field(default=False, metadata=flag(PRUNE))
    workers: int = field(default=0, metadata=option(f"{WORKERS}, or one on a GPU", main=True))
    machines: Machines = field(default=Machines(), metadata=spread("merging"))

    def __post_init__(self) -> None:
        if self.angle is not None and not (math.isfinite(self.angle) and abs(self.angle) <= 360):
            raise DataError(f"angle must be a number of degrees from -360 to 360, not {self.angle:g}")
        if not self.outputs:
            raise DataError("outputs names no format; choose from png, npz, coco")

    def reader(self) -> AnatomyReader:
        """Returns the reader of the model that lies there now.

        Raises:
            ModelError: there is no such model.
        """
        device = self.device
        if device == "auto":
            import torch  # takes seconds to import, which the help need not wait for

            device = "cuda" if torch.cuda.is_available() else "cpu"
        return AnatomyReader(self.model, device).pinned()

    def wanted(self, names: Sequence[str]) -> tuple[str, ...]:
        """Returns the names of the masks to write, each once.

        Args:
            names: structures of the model.

        Raises:
            DataError: the model has no such structure, group or zone.
        """
        if self.structures is None:
            return tuple(names)
        probe = Anatomy(tuple(names), np.zeros((len(names), 2, 2), np.float32), 0.0, (0.0,) * len(names))
        for name in self.structures:
            probe.mask(name)
        return tuple(dict.fromkeys(self.structures))


def anatomy(options: AnatomyOptions) -> Done:
    """Reads the structures of the chest on radiographs at any angle, and measures them.

    For example: artasyn anatomy films/ --out anatomy --structures lungs heart spine --outputs png

    Writes to OUT, for each radiograph: masks/NAME/STRUCTURE.png (0 and 255), npz/NAME.npz (names; masks, packed in
    bits: numpy.unpackbits(file["masks"], axis=0, count=len(file["names"])); confidence; angle), annotations/NAME.json
    (COCO annotations, run-length encoded), measures/NAME.json (measures with their places; confidence of every
    structure), overlays/NAME.png (lungs, heart, spine, clavicles, trachea; with a legend), measured/NAME.png (the
    measures drawn). A structure that is not there, or not sure, has no picture and an empty mask.

    With --dicom, also dicom/NAME.seg.dcm (the structures on the film's stored grid), dicom/NAME.sc.dcm (the overlay)
    and dicom/NAME.sr.dcm (the measures), for films that are DICOM. The manifest has the columns seg, sc and sr, and
    dicom_reason where there is no object.

    For the whole collection: report.html, sheet-1.png and up to 19 more (the overlays, least sure first, unusable
    radiographs at the end), measures.csv, annotations.json (COCO, for pycocotools), manifest.csv, passed_over.csv (if
    files were not read), settings.json.

    measures.csv has one row for each radiograph: cardiothoracic ratio, Cobb angle, areas of the lungs, carinal angle,
    heights of the diaphragm; each with unit, confidence from 0 to 1, and the reason where it is missing. Lengths are in
    mm where the file states the size of a pixel (DICOM), otherwise in px. ImagerPixelSpacing holds at the detector,
    where everything is larger than in the patient; ratios and angles do not depend on it.

    The confidence tells whether the network finds the same again on the mirrored and the altered radiograph. Look at
    the least sure radiographs before figures are used. A radiograph that is unusable (inverted, turned, not a chest)
    has this status with the reason, and the exit status is 1.

    Args:
        options: what to read, where to write, and how.
    """
    out, reader = options.out, options.reader()
    wanted = options.wanted(reader.net.settings.names)
    settings: dict[str, Any] = {"model": options.model, "weights": reader.digest, "structures": wanted}
    settings |= {"angle": options.angle, "outputs": sorted(options.outputs)}
    maker = Maker("artasyn anatomy", model_parameters(options.model, reader.digest))
    objects = DicomFiles(out, tuple(options.dicom or ()), options.anonymous, maker)
    columns = (*FILES_OF, "width", "height", "spacing", "structures", *SHOWN, *objects.columns)
    settings, files = settings | objects.settings, (*FILES_OF, *objects.files)
    workers, prune = options.workers or int(reader.device != "cpu"), options.prune
    where = placed("anatomy", options)
    run = bulk_run("anatomy", out, columns, settings, files=files, workers=workers, prune=prune, where=where)
    found = search_sources(options.inputs, leave=out)
    masks = MaskFiles(out, wanted, frozenset(options.outputs))
    work = _Read(out, reader, masks, options.angle, objects)
    outcomes = run.run(work, found.sources, title="anatomy")
    if run.portion:
        return portion_done(run, outcomes, strict=True)
    notes = (*note_passed_over(out, found), *note_gone(run, outcomes))
    done = Done((), tuple(outcomes), notes=notes, strict=True)
    ranked = sorted(done.rows, key=lambda item: (item[1]["status"] == UNUSABLE, float(item[1]["confidence"]), item[0]))
    tables = (_write_measures(out, done), *masks.collect(done.paths))
    sheets = tuple(write_sheets(out, [(_caption(*item), item[1]["overlay"]) for item in ranked], columns=6))
    sections = _sections(out, done, ranked)
    write_report(out / "report.html", "Anatomy of radiographs", sections)
    written = (out / "report.html", *sheets, *tables, run.manifest)
    ended = dataclasses.replace(done, outcomes=with_refusals(outcomes), written=written, sections=sections)
    return dataclasses.replace(ended, tally={"read": len(judged_rows(ended.outcomes))})


def _caption(name: str, row: Row) -> str:
    if row["status"] == UNUSABLE:
        return f"unusable ({row['warnings']}): {name}"
    return f"{float(row['confidence']):.2f} {name}"


@dataclass(frozen=True)
class _Read:
    """Reads, measures and writes one radiograph."""

    out: Path
    reader: AnatomyReader
    masks: MaskFiles
    angle: float | None
    objects: DicomFiles

    def __call__(self, source: Source) -> list[Row]:
        radiograph = open_radiograph(source.path)
        found = self.reader.net(radiograph.image, self.angle, spacing=radiograph.spacing)
        row: Row = {"measures": f"measures/{source.name}.json", "overlay": f"overlays/{source.name}.png"}
        row |= {"height": radiograph.image.shape[0], "width": radiograph.image.shape[1]}
        row["spacing"] = "" if found.pixel is None else f"{found.pixel:.4f}"
        measures = found.measure()
        row |= self.masks.write(
            source.name, found.grid, found.angle, found.mask, functools.partial(confidence_of, found)
        )
        atomic.write_text(self.out / row["measures"], measures_text(measures, found))
        if any(getattr(measures, column.of) for column in COLUMNS.values()):
            row["measured"] = f"measured/{source.name}.png"
            write_picture(self.out / row["measured"], overlay_measures(radiograph.image, found, DRAWN))
        overlay = overlay_anatomy(radiograph.image, found)
        write_picture(self.out / row["overlay"], overlay)
        row |= self.objects.write(
            source,
            radiograph,
            (Segment.structure(name, found.mask(name)) for name in self.masks.wanted),
            overlay,
            lambda: Report(measured(table_of(measures, found)), remarks=(spacing_remark(radiograph), *found.reasons)),
            unusable=() if found.usable else found.reasons,
        )
        row |= {"angle": f"{found.angle:.1f}", "confidence": f"{sureness(found):.4f}"}
        return [row | cautioned(found)]


def sureness(found: Anatomy) -> float:
    """Returns how sure the main structures of a radiograph are: the least of the lungs and the heart.

    Args:
        found: the anatomy.
    """
    names = ("visible_lung_right", "visible_lung_left", "drawn_heart")
    there = [name for name in names if name in found.names]
    if not there or not found.usable:
        return min(found.confidence, default=0.0) if found.usable else 0.0
    return min(found.sure(name) for name in there)


def confidence_of(found: Anatomy, name: str) -> float:
    """Returns the confidence of a structure, of a group, or of a zone, which is that of the lungs.

    Args:
        found: the anatomy.
        name: as for `Anatomy.mask`.
    """
    return found.sure(name if find_members(name, found.names) else "lungs")


def _write_measures(out: Path, done: Done) -> Path:
    """Writes the table of the whole collection."""
    first = ("name", "source", *SHOWN, "spacing")
    known: list[tuple[Mapping[str, str], Path | None]] = []
    for outcome in done.outcomes:
        about = {"name": outcome.source.name, "source": shown(str(outcome.source.path))}
        if outcome.reason:
            known.append(({**about, "status": "failed", "reason": outcome.reason}, None))
        known += [({**row, **about}, out / row["measures"]) for row in outcome.rows]
    write_measures(out / "measures.csv", known, first)
    return out / "measures.csv"


def _sections(out: Path, done: Done, ranked: Sequence[tuple[str, Row]]) -> tuple[Section, ...]:
    """Returns the sections of the report: what was read, the measures, the least sure and the unusable radiographs."""
    good = [(name, row) for name, row in ranked if row["status"] != UNUSABLE]
    text = (
        f"{len(done.outcomes)} radiographs: {len(good)} read, {len(done.unusable)} unusable, {len(done.failures)} not "
        "readable. The confidence of a radiograph is that of its least sure lung or of its heart, from 0 to 1. "
        "All measures of every radiograph are in measures.csv."
    )
    tables = [read_measures(out / row["measures"]) for _, row in good]
    sections = [Section("Measures", text, _MEASURED, [_summary(name, tables) for name in COLUMNS])]
    shown = [(_caption(name, row), row["overlay"]) for name, row in good[:LEAST_SURE]]
    sections += first_looks(out, shown, "The radiographs to look at first: the network is least sure of them.")
    sections += not_judged(done, "Nothing is measured on these radiographs that can be relied on.")
    return tuple(sections)


_MEASURED = ("measure", "unit", "measured", "median", "5 %", "95 %", "most frequent reason where missing")
"""The header of the table of measures in the report."""


def _summary(name: str, tables: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Returns a line about one measure; the figures are of the radiographs with its most frequent unit."""
    units = Counter(table[name]["unit"] for table in tables if table[name]["value"] is not None)
    reasons = Counter(table[name]["reason"] for table in tables if table[name]["value"] is None)
    unit = units.most_common(1)[0][0] if units else ""
    values = [each["value"] for each in (table[name] for table in tables) if each["unit"] == unit]
    values = [value for value in values if value is not None]
    figures = [f"{figure:.3g}" for figure in np.quantile(values, (0.5, 0.05, 0.95))] if values else ["-"] * 3
    why = f"{reasons.most_common(1)[0][0]} ({reasons.most_common(1)[0][1]})" if reasons else ""
    return [name.replace("_", " "), unit, str(sum(units.values())), *figures, why]
