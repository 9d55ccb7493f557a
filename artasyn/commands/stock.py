"""The command that makes a stock of projected patients, from which a training of anatomy composes its films."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from artasyn.bulk.patients import labels_of, search_patients
from artasyn.bulk.run import Outcome
from artasyn.bulk.sources import Found, Source
from artasyn.commands.project import CTS, LABELS, MOST, NAMES, RESAMPLE
from artasyn.console.machines import Machines, placed, portion_done
from artasyn.console.options import OUT, PRUNE, WORKERS, flag, option, paths, remote, spread
from artasyn.console.results import Done, bulk_run, note_gone, note_passed_over, without
from artasyn.errors import DataError
from artasyn.files import atomic
from artasyn.files.texts import read_text
from artasyn.pictures.overlays import contact_sheet, overlay_structures, write_picture
from artasyn.remote.urls import shown
from artasyn.segment.structures import ANATOMY
from artasyn.stock.films import plain_film
from artasyn.stock.making import COLUMNS, FILES, RECORDS, REJECTED, MakeViews, Plan
from artasyn.stock.patients import CTRecord, PatientRecord
from artasyn.stock.views import StockView

SHOWN, TILE = 40, 256
"""Largest number of views on the sheet, and the longer side of each."""

OUTLINED = {
    "lung_right": ("visible_lung_right", "lung_right"),
    "lung_left": ("visible_lung_left", "lung_left"),
    "heart": ("drawn_heart", "heart"),
}
"""What the sheet outlines, by its colour: the first channel that is known."""


@dataclass(frozen=True)
class StockOptions:
    """Options of `stock`."""

    inputs: Sequence[Path] | None = field(default=None, metadata=paths(f"{CTS}; none for phantoms alone", least=0))
    _: KW_ONLY
    out: Path = field(metadata=remote("results", option(OUT)))
    labels: Path | None = field(default=None, metadata=option(LABELS, main=True))
    names: Path | None = field(default=None, metadata=option(NAMES, main=True))
    plan: Plan = field(default=Plan(), metadata=spread(main=("phantoms", "variants", "seed")))
    resample_labels: bool = field(default=False, metadata=flag(RESAMPLE))
    prune: bool = field(default=False, metadata=flag(PRUNE))
    workers: int = field(default=0, metadata=option(f"{WORKERS}, each needs about 1.5 GB for a large CT", main=True))
    machines: Machines = field(default=Machines(), metadata=spread("merging"))

    def settings(self) -> dict[str, Any]:
        """Returns the settings that every patient depends on. More phantoms or variants are added to a stock."""
        return {name: getattr(self.plan, name) for name in ("size", "spacing", "views", "seed")}


def stock(options: StockOptions) -> Done:
    """Projects phantoms and CTs as a stock of views, from which the training of a reader of anatomy composes films.

    For example: artasyn stock --phantoms 1000 --out stock
    Or with CTs, eight patients of each: artasyn stock cts/ --labels segmentations/ --names names.csv --variants 8
    --phantoms 1000 --out stock

    Writes to OUT, for each patient P, which is phantom_00000 and so on or NAME_000 and so on of a CT: records/P.json
    (remakes the patient), views/P_0.npz and so on (a view: thickness of every structure in mm, thickness float16
    (k, h, w); line integrals of attenuation of eight kinds of tissue, integrals float16 (8, h, w); about, JSON).

    For the whole stock: manifest.csv (every patient and view with its outcome; quality control rejects patients and
    views, with reasons, and their views are not written), sheet-1.png (some views as films with lungs and heart),
    passed_over.csv (if files were not read), settings.json. The same seed gives the same files for any number of
    workers. More phantoms or variants are added to a stock that is there.

    Args:
        options: what to read, where to write, and what to make.
    """
    out, plan = options.out, options.plan
    if not (options.inputs or plan.phantoms):
        raise DataError("nothing to project; give CTs, or a number of phantoms with --phantoms")
    found = Found([])
    if options.inputs:
        found = search_patients(options.inputs, labels=options.labels, names=options.names, leave=out)
    batch = min(MOST, plan.variants) if options.inputs else 1
    run = bulk_run(
        "stock", out, COLUMNS, options.settings(), files=FILES, workers=options.workers, batch=batch,
        prune=options.prune, own=True, where=placed("stock", options),
    )  # fmt: skip
    with run.claimed():
        run.claim()  # before the first record is written
        sources = list(_sources(options, found))
        if options.prune:
            _prune(out, sources)
        outcomes = run.run(MakeViews(out), sources, title="stock")
        if run.portion:
            return portion_done(run, outcomes)
        sheets = _write_sheet(out, [row["view"] for outcome in outcomes for row in outcome.rows if row["view"]])
        notes = (*_rejections(outcomes), *note_passed_over(out, found), *note_gone(run, outcomes))
    views = sum(bool(row["view"]) for outcome in outcomes for row in outcome.rows)
    return Done((*sheets, run.manifest), tuple(outcomes), notes=notes, tally={"views made": views}, unit="patient")


def _sources(options: StockOptions, found: Found) -> Iterator[Source]:
    """Writes the records of all patients, and yields each as a source; a CT without labels becomes a faulty source."""
    for ct in found.sources:
        try:
            labels = labels_of(ct, options.labels, alone=len(found.sources) == 1)
        except DataError as error:
            yield Source(ct.path, ct.name, inputs=ct.inputs, fault=ct.fault or str(error))
            continue
        names = str(options.names.absolute()) if options.names and not labels.is_dir() else ""
        files = [shown(file) for file in (str(ct.path.absolute()), str(labels.absolute()), names)]
        kept = CTRecord(files[0], files[1], files[2], options.resample_labels)
        for name, record in options.plan.ct_records(kept, ct.name):
            path = _written(options.out, name, record)
            yield Source(path, name, inputs=(ct.path, *ct.inputs), fault=ct.fault)
    for name, record in options.plan.phantom_records():
        yield Source(_written(options.out, name, record), name)


def _written(out: Path, name: str, record: PatientRecord) -> Path:
    """Writes a record unless the file holds it already, and returns the file."""
    path, text = out / RECORDS / f"{name}.json", record.to_json()
    if not (path.is_file() and read_text(path) == text):
        atomic.write_text(path, text)
    return path


def _prune(out: Path, sources: Sequence[Source]) -> None:
    """Deletes the records of patients that are gone."""
    wanted = {source.path for source in sources}
    for path in (out / RECORDS).rglob("*.json"):
        if path not in wanted:
            path.unlink()


def _write_sheet(out: Path, files: Sequence[str]) -> tuple[Path, ...]:
    """Writes a sheet of some views as films, evenly chosen, and returns its path; without views deletes an old one."""
    if not files:
        return without(out, "sheet-1.png")
    chosen = [files[n] for n in np.unique(np.linspace(0, len(files) - 1, min(SHOWN, len(files))).round().astype(int))]
    pictures = [_outlined(StockView.read(out / file)) for file in chosen]
    sheet = contact_sheet(pictures, [Path(file).stem for file in chosen], columns=8, tile=TILE)
    write_picture(out / "sheet-1.png", sheet)
    return (out / "sheet-1.png",)


def _outlined(view: StockView) -> np.ndarray:
    """Returns a view as a film with the outlines of lungs and heart."""
    masks, known = view.channels()
    places = {shown: [ANATOMY.index(name) for name in names] for shown, names in OUTLINED.items()}
    chosen = {shown: next((n for n in numbers if known[n]), None) for shown, numbers in places.items()}
    outlines = {shown: masks[number] for shown, number in chosen.items() if number is not None}
    return overlay_structures(plain_film(view), {}, outlines)


def _rejections(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yields a sentence that counts what quality control has rejected."""
    rows = [row for outcome in outcomes for row in outcome.rows]
    counts = Counter(bool(row["number"]) for row in rows if row["status"] == REJECTED)
    if counts:
        said = [f"{counts[kind]} {what}" for kind, what in ((False, "patients"), (True, "views")) if counts[kind]]
        yield f"quality control rejected {' and '.join(said)}; the manifest says why"
