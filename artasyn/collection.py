"""Bulk work on collections of radiographs: find them, work on all cores, resume, go on past a bad file."""

from __future__ import annotations

import csv
import io
import json
import os
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
from tqdm import tqdm

from artasyn import atomic
from artasyn.errors import ArtasynError, DataError
from artasyn.radiograph import is_radiograph_file

Row = dict[str, Any]
"""One line of a manifest: column to value."""

FAILURES = (ArtasynError, OSError, MemoryError, cv2.error)
"""What one bad file may raise; anything else is a fault of the program and stops it."""


@dataclass(frozen=True)
class Source:
    """A radiograph's file and the name that everything made from it carries.

    Attributes:
        path: the file.
        name: its path below the folder that was given, without suffix, unique in the collection, with ``/``.
    """

    path: Path
    name: str


def find_sources(inputs: Iterable[Path]) -> list[Source]:
    """The radiograph files among some files and folders, folders walked recursively, sorted by name.

    A file that is named outright is taken whatever its suffix; hidden files are left out of folders. Files whose
    names would be alike keep their suffix (``a_png``), then get a number.

    Raises:
        DataError: an input does not exist, or there is nothing to read.
    """
    paths: dict[Path, str] = {}
    for given in inputs:
        if given.is_dir():
            below = sorted(p for p in given.rglob("*") if p.is_file() and _visible(p.relative_to(given)))
            for path in below:
                if is_radiograph_file(path):
                    paths.setdefault(path, path.relative_to(given).with_suffix("").as_posix())
        elif given.exists():
            paths.setdefault(given, given.stem)
        else:
            raise DataError(f"{given}: no such file or folder")
    if not paths:
        raise DataError(f"no radiographs in {', '.join(map(str, inputs))}; PNG, JPEG, TIFF and DICOM are read")
    alike = Counter(paths.values())
    names = {p: n if alike[n] == 1 else f"{n}_{p.suffix[1:].lower()}" for p, n in paths.items()}
    seen: Counter[str] = Counter()
    sources = []
    for path, name in names.items():
        seen[name] += 1
        sources.append(Source(path, name if seen[name] == 1 else f"{name}_{seen[name]}"))
    return sorted(sources, key=lambda source: source.name)


def _visible(path: Path) -> bool:
    return not any(part.startswith(".") for part in path.parts)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def claim(out: Path, settings: Mapping[str, Any]) -> None:
    """Takes a folder for results of some settings, which it keeps in ``settings.json``, and clears what a killed run
    left half written.

    Args:
        out: the folder; made where it is missing.
        settings: whatever the results depend on.

    Raises:
        DataError: the folder holds results of other settings.
    """
    path = out / "settings.json"
    wanted = json.loads(json.dumps(dict(settings)))
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        names = sorted(n for n in found.keys() | wanted.keys() if found.get(n) != wanted.get(n))
        if names:
            changed = "; ".join(f"{name}: {found.get(name)} there, {wanted.get(name)} now" for name in names)
            raise DataError(f"{out} holds results of other settings ({changed}); choose another folder or delete that one")
    else:
        atomic.write_text(path, json.dumps(wanted, indent=2, sort_keys=True) + "\n")
    for leftover in out.rglob(atomic.LEFTOVER):
        leftover.unlink(missing_ok=True)


@dataclass(frozen=True)
class Outcome:
    """What became of one source: its manifest rows, or the reason why there are none."""

    source: Source
    rows: tuple[Row, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class _Attempt:
    """Work that reports a bad file instead of raising."""

    work: Callable[[Source], Sequence[Row]]

    def __call__(self, source: Source) -> Outcome:
        cv2.setNumThreads(1)
        try:
            return Outcome(source, tuple(self.work(source)))
        except FAILURES as error:
            text = str(error).strip() or traceback.format_exception_only(error)[-1].strip()
            return Outcome(source, reason=" ".join(text.split()))


@dataclass(frozen=True)
class BulkRun:
    """One command on one collection, writing into one folder.

    A manifest lists every source. While the run is under way each finished source is a line in a journal, so that a
    run that was killed goes on where it was; with the same settings the same files come out, for any number of workers.

    Attributes:
        out: the folder that is written to.
        settings: whatever the results depend on; a folder with results of other settings is refused.
        columns: the manifest's columns after ``name, source, status, reason``.
        files: those of the columns that hold the name of a written file, relative to `out`.
        workers: processes; each has one thread.
    """

    out: Path
    settings: Mapping[str, Any]
    columns: tuple[str, ...]
    files: tuple[str, ...] = ()
    workers: int = 1

    @property
    def manifest(self) -> Path:
        """The table of every source and what became of it."""
        return self.out / "manifest.csv"

    def run(
        self, work: Callable[[Source], Sequence[Row]], sources: Sequence[Source], *, title: str
    ) -> list[Outcome]:
        """Works through the sources and writes the manifest.

        Args:
            work: what is done with one source, in a worker process; returns its manifest rows.
            sources: the collection.
            title: of the progress bar.

        Returns:
            An outcome for each source, in their order.

        Raises:
            DataError: the folder holds results of other settings.
        """
        claim(self.out, self.settings)
        outcomes = {o.source.name: o for o in self._finished(sources)}
        todo = [source for source in sources if source.name not in outcomes]
        with self._journal.open("a", encoding="utf-8") as journal:
            done = joblib.Parallel(n_jobs=self.workers, return_as="generator_unordered")(
                joblib.delayed(_Attempt(work))(source) for source in todo
            )
            for outcome in tqdm(done, desc=title, total=len(sources), initial=len(outcomes), unit="film"):
                outcomes[outcome.source.name] = outcome
                if not outcome.reason:
                    journal.write("\n" + json.dumps([outcome.source.name, str(outcome.source.path), outcome.rows]))
                    journal.flush()
        ordered = [outcomes[source.name] for source in sources]
        atomic.write_text(self.manifest, self._table(ordered))
        self._journal.unlink()
        return ordered

    @property
    def _journal(self) -> Path:
        return self.out / ".journal.jsonl"

    def _finished(self, sources: Sequence[Source]) -> list[Outcome]:
        """What an earlier run has finished and is still there, from its journal and its manifest."""
        known = {source.name: source for source in sources}
        rows: dict[str, list[Row]] = {}
        if self.manifest.exists():
            for line in read_manifest(self.manifest):
                if line["status"] == "ok" and str(known.get(line["name"], Source(Path(), "")).path) == line["source"]:
                    rows.setdefault(line["name"], []).append({c: line[c] for c in self.columns})
        if self._journal.exists():
            for text in self._journal.read_text(encoding="utf-8").splitlines():
                try:
                    name, path, found = json.loads(text)
                except ValueError:  # blank, or being written when the run was killed
                    continue
                if name in known and str(known[name].path) == path:
                    rows[name] = found
        return [
            Outcome(known[name], tuple(found))
            for name, found in rows.items()
            if all((self.out / row[column]).exists() for row in found for column in self.files)
        ]

    def _table(self, outcomes: Sequence[Outcome]) -> str:
        """The manifest as CSV."""
        text = io.StringIO()
        table = csv.DictWriter(text, ["name", "source", "status", "reason", *self.columns], lineterminator="\n")
        table.writeheader()
        for outcome in outcomes:
            about = {"name": outcome.source.name, "source": str(outcome.source.path)}
            if outcome.reason:
                table.writerow(about | {"status": "failed", "reason": outcome.reason})
            for row in outcome.rows:
                table.writerow(about | {"status": "ok"} | row)
        return text.getvalue()


def read_manifest(path: Path) -> list[dict[str, str]]:
    """The rows of a manifest, every value as text."""
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
