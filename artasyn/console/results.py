"""Results of a command, and the notes and sheets about a collection; the command line prints them."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from artasyn.bulk.progress import LOG
from artasyn.bulk.run import BulkRun, Outcome, Row
from artasyn.bulk.sources import Found
from artasyn.cautions import usable
from artasyn.files.tables import write_table
from artasyn.pictures.overlays import contact_sheet, read_picture, write_picture
from artasyn.pictures.report import Section
from artasyn.pictures.thumbnails import fitted_picture
from artasyn.remote.urls import shown
from artasyn.version import __version__

if TYPE_CHECKING:
    from artasyn.detection.examination import Detection
    from artasyn.segment import Lungs
    from artasyn.segment.anatomy.anatomy import Anatomy

UNUSABLE = "unusable"
"""The status of a radiograph that was read but cannot be judged, see `artasyn.cautions`."""

SHEET = 120
"""Largest number of overlays on a sheet."""

SHEETS = 20
"""Largest number of sheets of a run. A sheet takes about a second and 5 MB, and nobody looks at a thousand of them."""

NAMED = 10
"""Largest number of names in a sentence."""


@dataclass(frozen=True)
class Done:
    """The results of a command.

    Attributes:
        written: the paths to open or read, most useful first.
        outcomes: the outcome of every source.
        sections: the sections for a report.
        notes: sentences about the collection, for the end of the screen.
        tally: for the last line, how many of the sources became what: the words and their numbers, without the unusable
            and the failed ones.
        unit: for the last line, what a source is, in the singular.
        said: the last line, where counts do not tell the result.
        strict: whether unusable radiographs count as failures in the exit status.
    """

    written: tuple[Path, ...]
    outcomes: tuple[Outcome, ...] = ()
    sections: tuple[Section, ...] = ()
    notes: tuple[str, ...] = ()
    tally: Mapping[str, int] = field(default_factory=dict)
    unit: str = "film"
    said: str = ""
    strict: bool = False

    @property
    def failures(self) -> list[Outcome]:
        """The outcomes of the sources that failed."""
        return [outcome for outcome in self.outcomes if outcome.reason]

    @property
    def unusable(self) -> list[tuple[Outcome, Row]]:
        """The outcomes of the radiographs that were read but are unusable, each with its row."""
        return [(outcome, row) for outcome in self.outcomes for row in outcome.rows if row.get("status") == UNUSABLE]

    @property
    def paths(self) -> list[tuple[Path, Row]]:
        """The paths of the sources that did not fail, with their manifest rows."""
        return [(outcome.source.path, row) for outcome in self.outcomes for row in outcome.rows]

    @property
    def rows(self) -> list[tuple[str, Row]]:
        """The names of the sources that did not fail, with their manifest rows."""
        return [(outcome.source.name, row) for outcome in self.outcomes for row in outcome.rows]


def bulk_run(
    command: str,
    out: Path,
    columns: tuple[str, ...],
    options: Mapping[str, Any],
    *,
    files: tuple[str, ...],
    workers: int,
    batch: int = 1,
    sealed: bool = False,
    prune: bool = False,
    own: bool = False,
    where: Mapping[str, Any] = MappingProxyType({}),
) -> BulkRun:
    """Returns a bulk run whose settings are the command's options and the version; 0 workers take every core.

    Where it works, see `artasyn.console.machines.placed`.
    """
    settings: dict[str, Any] = {"command": command, "version": __version__}
    for name, option in options.items():
        is_record = dataclasses.is_dataclass(option) and not isinstance(option, type)
        settings[name] = dataclasses.asdict(option) if is_record else option
    return BulkRun(out, settings, columns, files, workers, batch=batch, sealed=sealed, prune=prune, own=own, **where)


def note_passed_over(out: Path, found: Found) -> tuple[str, ...]:
    """Writes passed_over.csv, which lists the files that are not read; returns a sentence that counts them.

    Args:
        out: the folder of results. Without such files, an older list in it is deleted.
        found: what the search has found.
    """
    table = out / "passed_over.csv"
    if not found.passed_over:
        table.unlink(missing_ok=True)
        return ()
    write_table(table, ("file", "kind"), ({"file": shown(path), "kind": kind} for path, kind in found.passed_over))
    kinds = Counter(kind for _, kind in found.passed_over)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0])))
    return (f"passed over: {len(found.passed_over)} files ({counts}); all are listed in {table}",)


def note_gone(run: BulkRun, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Returns a sentence that names the sources that are gone, but whose results are left.

    Args:
        run: the run that has just ended.
        outcomes: its outcomes.
    """
    names = run.gone(outcomes)
    listed = ", ".join(names[:NAMED]) + ", ..." * (len(names) > NAMED)
    return (
        f"{len(names)} results of sources that are gone are left in {run.out}: {listed}; --prune deletes them",
    ) * bool(names)


def cautioned(found: Detection | Lungs | Anatomy) -> Row:
    """Returns the status, the words of the warnings and the reason of a radiograph, for the manifest."""
    words = " ".join(found.warnings)
    return {
        "status": "ok" if usable(found.warnings) else UNUSABLE,
        "warnings": words,
        "reason": "; ".join(found.reasons),
    }


def judged_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """Returns the manifest rows of the radiographs that neither failed nor are unusable.

    Args:
        outcomes: of the run.
    """
    rows = (row for outcome in outcomes if not outcome.reason for row in outcome.rows)
    return [row for row in rows if row["status"] != UNUSABLE]


def without(out: Path, *names: str) -> tuple[Path, ...]:
    """Deletes files about a whole collection that an older run wrote; returns no paths."""
    for name in names:
        (out / name).unlink(missing_ok=True)
    return ()


def write_sheets(out: Path, shown: Sequence[tuple[str, str]], *, columns: int = 10, most: int = 2560) -> Iterator[Path]:
    """Writes contact sheets of overlays, in order, and yields the path of the first: the others follow it by number.

    There are at most `SHEETS` sheets; what they leave out is told. Further sheets of an older run are deleted.

    Args:
        out: the folder of results.
        shown: the caption and the overlay's file of each.
        columns: the most overlays side by side.
        most: the largest longer side of an overlay on a sheet, in pixels.
    """
    if len(shown) > SHEETS * SHEET:
        LOG.info("the sheets show the first %d of %d films; manifest.csv lists all", SHEETS * SHEET, len(shown))
        shown = shown[: SHEETS * SHEET]
    for number, start in enumerate(range(0, len(shown), SHEET), 1):
        page = shown[start : start + SHEET]
        pictures = [fitted_picture(read_picture(out / file), most) for _, file in page]
        tile = max(max(picture.shape) for picture in pictures)
        columns_here = min(columns, max(1, 2560 // tile))
        sheet = contact_sheet(pictures, [caption for caption, _ in page], columns=columns_here, tile=tile)
        path = out / f"sheet-{number}.png"
        write_picture(path, sheet)
        if number == 1:
            yield path
    older = (out / f"sheet-{number}.png" for number in itertools.count(-(-len(shown) // SHEET) + 1))
    for path in itertools.takewhile(Path.exists, older):
        path.unlink()


def first_looks(out: Path, shown: Sequence[tuple[str, str]], text: str) -> tuple[Section, ...]:
    """Returns the section of a report that shows the least sure radiographs; none without radiographs.

    Args:
        out: the folder of results.
        shown: the caption and the overlay's file of each.
        text: of the section.
    """
    pictures = [(caption, read_picture(out / file)) for caption, file in shown]
    return (Section("Least sure", text, pictures=pictures),) if pictures else ()


def not_judged(done: Done, text: str) -> tuple[Section, ...]:
    """Returns the section of a report that lists unusable radiographs and failures with reasons; none without any.

    Args:
        done: the results of the command.
        text: of the section.
    """
    names = {UNUSABLE: done.unusable, "failed": [(outcome, {"reason": outcome.reason}) for outcome in done.failures]}
    listed = [[each.source.name, status, row["reason"]] for status, items in names.items() for each, row in items]
    header = ("radiograph", "status", "reason")
    return (Section("Unusable and not readable", text, header, listed),) if listed else ()
