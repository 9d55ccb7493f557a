"""Bulk work on collections of radiographs: find them, work on all cores, resume, go on past a bad file."""

from __future__ import annotations

import csv
import io
import json
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from artasyn import atomic
from artasyn.errors import ArtasynError, DataError, RadiographError
from artasyn.radiograph import is_radiograph_file

Row = dict[str, Any]
"""One line of a manifest: column to value."""

SETTINGS = "settings.json"
"""In a folder of results, what they depend on."""

FAILURES = (ArtasynError, OSError, MemoryError, cv2.error)
"""What one bad file may raise; anything else is a fault of the program and stops it."""


@dataclass(frozen=True)
class Source:
    """A radiograph's file and the name that everything made from it carries.

    Attributes:
        path: the file.
        name: its path below the folder that was given, without suffix, with ``/``; unique in the collection.
    """

    path: Path
    name: str


def find_sources(inputs: Iterable[Path]) -> list[Source]:
    """The radiograph files among some files and folders, folders walked recursively, sorted by name.

    A file that is named outright is taken whatever its suffix; hidden files are left out of folders. Files
    whose names would be alike, but for upper and lower case, keep their suffix (``a_png``) and then get a
    number. A file that is met twice counts once.

    Raises:
        DataError: an input does not exist, or there is nothing to read.
    """
    inputs = list(inputs)
    found: dict[Path, tuple[Path, Path]] = {}  # where it really is: as it was given, below what was given
    for given in inputs:
        if given.is_dir():
            inner = sorted(path.relative_to(given) for path in given.rglob("*"))
            for below in inner:
                if _visible(below) and _is_wanted(given / below):
                    found.setdefault(given.resolve() / below, (given / below, below))
        elif given.exists():
            found.setdefault(given.parent.resolve() / given.name, (given, Path(given.name)))
        else:
            raise DataError(f"{given}: no such file or folder")
    if not found:
        raise DataError(f"no radiographs in {', '.join(map(str, inputs))}; PNG, JPEG, TIFF and DICOM are read")
    names = _unique_names([below for _, below in found.values()])
    sources = [Source(path, name) for (path, _), name in zip(found.values(), names, strict=True)]
    return sorted(sources, key=lambda source: source.name)


def _visible(path: Path) -> bool:
    return not any(part.startswith(".") for part in path.parts)


def _is_wanted(path: Path) -> bool:
    """Whether a folder's file is to be read; one out of reach is, so that it is reported, not passed over."""
    try:
        return is_radiograph_file(path)
    except RadiographError:
        return True


def _unique_names(paths: Sequence[Path]) -> list[str]:
    """A name for each path, its own without the suffix wherever no other path claims that too."""
    bare = [path if path.suffix[1:].isdigit() else path.with_suffix("") for path in paths]  # 1.2.840 is a UID
    alike = Counter(name.as_posix().casefold() for name in bare)
    taken = {name for name, count in alike.items() if count == 1}
    names = []
    for path, name in zip(paths, bare, strict=True):
        chosen = name.as_posix()
        if alike[chosen.casefold()] > 1:
            kept = path.suffix.replace(".", "_", 1).lower() if name != path else ""
            wanted = chosen = f"{chosen}{kept}"
            number = 1
            while chosen.casefold() in taken:
                number += 1
                chosen = f"{wanted}_{number}"
            taken.add(chosen.casefold())
        names.append(chosen)
    return names


def available_cores() -> int:
    """Cores that this process may use, by its affinity and its container's limits."""
    return int(joblib.cpu_count())


def claim(out: Path, settings: Mapping[str, Any]) -> None:
    """Takes a folder for results of some settings, and clears what a killed run left half written.

    The folder keeps its settings in ``settings.json``.

    Args:
        out: the folder; made where it is missing.
        settings: whatever the results depend on.

    Raises:
        DataError: the folder holds results of other settings, or is none.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; name a folder for the results")
    path = out / SETTINGS
    wanted = json.loads(json.dumps(dict(settings)))
    if path.exists():
        found = _read_settings(path)
        names = sorted(n for n in found.keys() | wanted.keys() if found.get(n) != wanted.get(n))
        if names:
            changed = "; ".join(f"{name}: {found.get(name)} there, {wanted.get(name)} now" for name in names)
            raise DataError(
                f"{out} holds results of other settings ({changed}); choose another folder or delete that one"
            )
    else:
        atomic.write_text(path, json.dumps(wanted, indent=2, sort_keys=True) + "\n")
    for leftover in out.rglob(atomic.LEFTOVER):
        leftover.unlink(missing_ok=True)


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged; choose another folder or delete {path.parent}") from error


@dataclass(frozen=True)
class Outcome:
    """What became of one source.

    Attributes:
        source: the source.
        rows: of the manifest, every value as text, as the manifest holds it.
        reason: why there are none.
    """

    source: Source
    rows: tuple[Row, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class _Attempt:
    """Work that reports a bad file instead of raising."""

    work: Callable[[Source], Sequence[Row]]
    columns: tuple[str, ...]

    def __call__(self, source: Source) -> Outcome:
        try:
            with _one_thread():
                rows = self.work(source)
        except FAILURES as error:
            text = str(error).strip() or traceback.format_exception_only(error)[-1].strip()
            return Outcome(source, reason=" ".join(text.split()))
        for row in rows:
            if not row.keys() <= set(self.columns):
                raise ValueError(f"rows have the columns {self.columns}, not {tuple(row)}")
        return Outcome(source, tuple({c: _text(row.get(c)) for c in self.columns} for row in rows))


def _text(value: Any) -> str:
    return "" if value is None else str(value)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for OpenCV, PyTorch and linear algebra: with another number, sums may round otherwise."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


@dataclass(frozen=True)
class BulkRun:
    """One command on one collection, writing into one folder.

    A manifest lists every source. While the run is under way each finished source is a line in a journal, so
    that a run that was killed goes on where it was; with the same settings the same files come out, for any
    number of workers.

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

    def run(self, work: Callable[[Source], Sequence[Row]], sources: Sequence[Source], *, title: str) -> list[Outcome]:
        """Works through the sources and writes the manifest.

        Args:
            work: what is done with one source, in a worker process; returns its manifest rows, at least one.
            sources: the collection; what an earlier run wrote to `out` is left out of it.
            title: of the progress bar.

        Returns:
            An outcome for each source, in their order.

        Raises:
            DataError: the folder holds results of other settings, or the collection.
        """
        sources = self._outside(sources)
        claim(self.out, self.settings)
        outcomes = {o.source.name: o for o in self._finished(sources)}
        todo = [source for source in sources if source.name not in outcomes]
        attempt = joblib.delayed(_Attempt(work, self.columns))
        with self._journal.open("a", encoding="utf-8") as journal:
            # one source at a time, so that what is done is in the journal at once
            parallel = joblib.Parallel(n_jobs=self.workers, batch_size=1, return_as="generator_unordered")
            done = parallel(attempt(source) for source in todo)
            for outcome in tqdm(done, desc=title, total=len(sources), initial=len(outcomes), unit="film"):
                outcomes[outcome.source.name] = outcome
                if not outcome.reason:
                    entry = [outcome.source.name, str(outcome.source.path), outcome.rows]
                    journal.write("\n" + json.dumps(entry))
                    journal.flush()
        ordered = [outcomes[source.name] for source in sources]
        atomic.write_text(self.manifest, self._table(ordered))
        self._journal.unlink()
        return ordered

    @property
    def _journal(self) -> Path:
        return self.out / ".journal.jsonl"

    def _outside(self, sources: Sequence[Source]) -> list[Source]:
        """The sources that are no results of an earlier run."""
        out = self.out.resolve()
        outside = [s for s in sources if not s.path.parent.resolve().is_relative_to(out)]
        if len(outside) < len(sources) and not (self.out / SETTINGS).exists():
            raise DataError(f"{self.out} holds the radiographs; choose another folder for the results")
        return outside

    def _finished(self, sources: Sequence[Source]) -> list[Outcome]:
        """What an earlier run has finished and is still there, from its journal and its manifest."""
        known = {(source.name, str(source.path)): source for source in sources}
        found: dict[tuple[str, str], list[Row]] = {}
        if self.manifest.exists():
            for line in read_manifest(self.manifest):
                if line.get("status") == "ok" and line.keys() >= set(self.columns):
                    row = {column: line[column] or "" for column in self.columns}
                    found.setdefault((line["name"], line["source"]), []).append(row)
        if self._journal.exists():
            for text in self._journal.read_text(encoding="utf-8", errors="replace").splitlines():
                found.update(self._entry(text))
        return [
            Outcome(known[key], tuple(rows))
            for key, rows in found.items()
            if key in known and all((self.out / row[column]).exists() for row in rows for column in self.files)
        ]

    def _entry(self, text: str) -> dict[tuple[str, str], list[Row]]:
        """A line of the journal; nothing if it is blank, or was being written when the run was killed."""
        try:
            name, path, rows = json.loads(text)
            return {(str(name), str(path)): [{c: str(row[c]) for c in self.columns} for row in rows]}
        except (ValueError, TypeError, KeyError):
            return {}

    def _table(self, outcomes: Sequence[Outcome]) -> str:
        """The manifest as CSV."""
        text = io.StringIO()
        columns = ["name", "source", "status", "reason", *self.columns]
        table = csv.DictWriter(text, columns, lineterminator="\n")
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
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return list(csv.DictReader(io.StringIO(text, newline="")))
