"""Bulk work on a collection: runs in parallel, resumes after a kill, skips bad files and writes a manifest."""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from artasyn.bulk.sources import SETTINGS, Source, claim
from artasyn.errors import ArtasynError, DataError
from artasyn.files.tables import write_table

Row = dict[str, Any]
"""One line of a manifest: column to value."""

FAILURES = (ArtasynError, OSError, MemoryError, cv2.error)
"""Exceptions that one bad file may raise; any other exception is a bug and stops the program."""


@dataclass(frozen=True)
class Outcome:
    """The result of one source.

    Attributes:
        source: the source.
        rows: the source's rows of the manifest, every value as text.
        reason: why the source has no rows.
    """

    source: Source
    rows: tuple[Row, ...] = ()
    reason: str = ""


BatchWork = Callable[[int, Sequence[Source]], list[Outcome]]
"""The work on one batch, in a worker process: takes the batch's number and sources, returns each source's outcome."""


def attempt(work: Callable[[Source], Sequence[Row]], columns: Sequence[str], source: Source) -> Outcome:
    """Works on one source and reports a bad file instead of raising.

    Args:
        work: returns the source's rows.
        columns: the columns that the rows may have.
        source: the file.
    """
    try:
        rows = work(source)
    except FAILURES as error:
        return Outcome(source, reason=reason_of(error))
    for row in rows:
        if not row.keys() <= set(columns):
            raise ValueError(f"rows have the columns {tuple(columns)}, not {tuple(row)}")
    return Outcome(source, tuple({c: _text(row.get(c)) for c in columns} for row in rows))


def reason_of(error: BaseException) -> str:
    """Returns the reason of a failure for the manifest, on one line."""
    return " ".join((str(error).strip() or traceback.format_exception_only(error)[-1]).split())


@dataclass(frozen=True)
class Each:
    """Works through a batch source by source.

    Attributes:
        work: returns one source's rows.
        columns: the columns that the rows may have.
    """

    work: Callable[[Source], Sequence[Row]]
    columns: tuple[str, ...]

    def __call__(self, number: int, sources: Sequence[Source]) -> list[Outcome]:
        """Returns an outcome for each source."""
        return [attempt(self.work, self.columns, source) for source in sources]


def _alone(work: BatchWork, number: int, sources: Sequence[Source]) -> list[Outcome]:
    """Works on one batch with one thread."""
    with _one_thread():
        return work(number, sources)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limits OpenCV, PyTorch and linear algebra to one thread: another number may change the rounding of sums.

    PyTorch is limited only if the module of the work has imported it.
    """
    torch = sys.modules.get("torch")
    before = cv2.getNumThreads(), torch.get_num_threads() if torch else 1
    cv2.setNumThreads(1)
    if torch:
        torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before[0])
        if torch:
            torch.set_num_threads(before[1])


@dataclass(frozen=True)
class BulkRun:
    """One command on one collection, writing into one folder.

    A manifest lists every source. During the run, a journal records each finished source, so a killed run continues
    where it stopped. The same settings give the same files for any number of workers.

    Attributes:
        out: the folder that is written to.
        settings: all settings that the results depend on; a folder with results of other settings is refused.
        columns: the manifest's columns after ``name, source, status, reason``. With ``status`` and ``reason`` among
            them, the rows give their own, as for a film that was read but is unusable; otherwise the status is ``ok``.
        files: the subset of `columns` that holds the name of a written file, relative to `out`.
        workers: number of processes; each has one thread.
        batch: largest number of sources that a worker takes at once. The journal records a batch when all of its
            sources are done.
        sealed: whether every batch becomes one file, and is finished as a whole or not at all. Batches are then
            consecutive sources of the whole collection, and the collection is one of the settings.
    """

    out: Path
    settings: Mapping[str, Any]
    columns: tuple[str, ...]
    files: tuple[str, ...] = ()
    workers: int = 1
    batch: int = 1
    sealed: bool = False

    @property
    def manifest(self) -> Path:
        """The path of the manifest, the table of every source and its result."""
        return self.out / "manifest.csv"

    def run(self, work: Callable[[Source], Sequence[Row]], sources: Sequence[Source], *, title: str) -> list[Outcome]:
        """Works through the sources and writes the manifest.

        Args:
            work: the work on one source, in a worker process; returns the source's manifest rows, at least one.
            sources: the collection; files that an earlier run wrote to `out` are left out.
            title: of the progress bar.

        Returns:
            An outcome for each source, in the order of the sources.

        Raises:
            DataError: the folder holds results of other settings, or holds the collection.
        """
        return self.run_batches(Each(work, self.columns), sources, title=title)

    def run_batches(self, work: BatchWork, sources: Sequence[Source], *, title: str) -> list[Outcome]:
        """Works through the sources batch by batch and writes the manifest; otherwise like `run`.

        Args:
            work: the work on one batch.
            sources: the collection.
            title: of the progress bar.
        """
        sources = self._outside(sources)
        claim(self.out, {**self.settings, "collection": _digest(sources)} if self.sealed else self.settings)
        outcomes = {o.source.name: o for o in self._finished(sources)}
        todo = self._todo(sources, outcomes.keys())
        there = len(sources) - sum(len(batch) for _, batch in todo)
        parallel = joblib.Parallel(n_jobs=self.workers, batch_size=1, return_as="generator_unordered")
        done = parallel(joblib.delayed(_alone)(work, number, batch) for number, batch in todo)
        with (
            self._journal.open("a", encoding="utf-8") as journal,
            tqdm(desc=title, total=len(sources), initial=there, unit="film") as bar,
        ):
            for batch in done:
                outcomes |= {outcome.source.name: outcome for outcome in batch}
                journal.write("".join(map(_line, batch if self.sealed else [o for o in batch if not o.reason])))
                journal.flush()
                bar.update(len(batch))
        ordered = [outcomes[source.name] for source in sources]
        first = ("name", "source", "status", "reason")
        write_table(self.manifest, (*first, *(c for c in self.columns if c not in first)), _lines(ordered))
        self._journal.unlink()
        return ordered

    def _todo(self, sources: Sequence[Source], finished: Collection[str]) -> list[tuple[int, Sequence[Source]]]:
        """Returns the batches to work on, each with its number."""
        size = self.batch
        if not self.sealed:
            sources = [source for source in sources if source.name not in finished]
            size = max(1, min(size, len(sources) // (4 * self.workers)))  # so that no worker is idle at the end
        batches = [sources[start : start + size] for start in range(0, len(sources), size)]
        return [(n, batch) for n, batch in enumerate(batches) if any(s.name not in finished for s in batch)]

    @property
    def _journal(self) -> Path:
        return self.out / ".journal.jsonl"

    def _outside(self, sources: Sequence[Source]) -> list[Source]:
        """Returns the sources that are not results of an earlier run."""
        out = self.out.resolve()
        inside = {folder: folder.resolve().is_relative_to(out) for folder in {s.path.parent for s in sources}}
        outside = [s for s in sources if not inside[s.path.parent]]
        if len(outside) < len(sources) and not (self.out / SETTINGS).exists():
            raise DataError(f"{self.out} holds the radiographs; choose another folder for the results")
        return outside

    def _finished(self, sources: Sequence[Source]) -> list[Outcome]:
        """Returns outcomes of an earlier run, from its journal and manifest, if all of their files still exist."""
        known = {(source.name, str(source.path)): source for source in sources}
        found: dict[tuple[str, str], tuple[list[Row], str]] = {}
        if self.manifest.exists():
            for line in read_manifest(self.manifest):
                if line.get("status") in ("ok", "unusable") and line.keys() >= set(self.columns):
                    row = {column: line[column] or "" for column in self.columns}
                    found.setdefault((line["name"], line["source"]), ([], ""))[0].append(row)
        if self._journal.exists():
            for text in self._journal.read_text(encoding="utf-8", errors="replace").splitlines():
                found.update(self._entry(text))
        there = functools.cache(lambda name: os.access(f"{self.out}/{name}", os.F_OK))
        return [
            Outcome(known[key], tuple(rows), reason)
            for key, (rows, reason) in found.items()
            if key in known and all(there(row[column]) for row in rows for column in self.files)
        ]

    def _entry(self, text: str) -> dict[tuple[str, str], tuple[list[Row], str]]:
        """Parses a line of the journal; a line that is blank, or incomplete after a kill, gives an empty dict."""
        try:
            name, path, rows, *reason = json.loads(text)
            return {(str(name), str(path)): ([{c: str(row[c]) for c in self.columns} for row in rows], "".join(reason))}
        except (ValueError, TypeError, KeyError):
            return {}


def _lines(outcomes: Sequence[Outcome]) -> Iterator[Row]:
    """Yields the rows of the manifest."""
    for outcome in outcomes:
        about = {"name": outcome.source.name, "source": str(outcome.source.path)}
        if outcome.reason:
            yield about | {"status": "failed", "reason": outcome.reason}
        for row in outcome.rows:
            yield about | {"status": "ok"} | row


def _line(outcome: Outcome) -> str:
    """Returns a line of the journal."""
    entry = [outcome.source.name, str(outcome.source.path), outcome.rows]
    return "\n" + json.dumps([*entry, outcome.reason] if outcome.reason else entry)


def _digest(sources: Sequence[Source]) -> str:
    """Returns a fingerprint of a collection: the number of radiographs and a hash of their names."""
    names = "\0".join(source.name for source in sources).encode("utf-8", "surrogateescape")
    return f"{len(sources)} films, {hashlib.blake2b(names, digest_size=4).hexdigest()}"


def read_manifest(path: Path) -> list[dict[str, str]]:
    """Reads the rows of a manifest, every value as text."""
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return list(csv.DictReader(io.StringIO(text, newline="")))
