"""The journal of a folder of results: what was made, of which files, and which files it wrote."""

from __future__ import annotations

import fnmatch
import itertools
import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from artasyn.bulk.fingerprints import Fingerprint, fingerprint, with_detached
from artasyn.bulk.sources import Source
from artasyn.errors import DataError, OutputError
from artasyn.files import atomic
from artasyn.remote.urls import shown

Seen = tuple[tuple[str, Fingerprint], ...]
"""The paths, or URLs, of files with their fingerprints; as pairs, which need a third of the memory of a dictionary."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One finished source.

    Attributes:
        name: of the source.
        path: of the source, or its URL.
        rows: the source's rows of the manifest, every value as text.
        reason: why the source has no rows.
        inputs: the source's file and its further inputs.
        files: the files that were written, relative to the folder of results.
    """

    name: str
    path: str
    rows: tuple[dict[str, Any], ...]
    reason: str
    inputs: Seen
    files: tuple[str, ...]

    def line(self) -> str:
        """Returns a line of the journal; it begins with the line break, so that a line cut short costs no other."""
        inputs = {path: [each.size, each.stamp, each.digest] for path, each in self.inputs}
        return "\n" + json.dumps([self.name, self.path, self.rows, self.reason, inputs, self.files])

    def confirmed(self, source: Source, out: Path) -> Entry | None:
        """Returns the entry with fresh fingerprints if it still belongs to a source.

        Args:
            source: the source of the same name.
            out: the folder of results.

        Returns:
            None if the source, one of its inputs or a written file has changed or is missing.
        """
        known, now = dict(self.inputs), {shown(str(path)): path for path in inputs_of(source)}
        path = shown(str(source.file))
        if self.path != path or known.keys() != now.keys():
            return None
        if not all(os.access(f"{out}/{file}", os.F_OK) for file in self.files):
            return None
        found = []
        for each, place in now.items():
            state = known[each].confirmed(place)
            if state is None:
                return None
            found.append((_same(each, path), state))
        return replace(self, name=source.name, path=path, inputs=tuple(found))  # with the texts of the source


def inputs_of(source: Source) -> list[Path]:
    """Returns every file and folder that the results of a source are made of."""
    return with_detached([source.path, *source.inputs])


def fingerprints_of(source: Source) -> Seen:
    """Returns the fingerprints of a source's inputs."""
    return tuple((shown(str(path)), fingerprint(path)) for path in inputs_of(source))


@dataclass(frozen=True)
class Journal:
    """The journal of one folder: one line for each finished source. The last line of a source counts.

    Attributes:
        out: the folder of results.
        columns: of the manifest's rows.
        files: the columns that name a file or folder.
        folder: the folder that the journal lies in; None for `out`.
    """

    out: Path
    columns: tuple[str, ...]
    files: tuple[str, ...]
    folder: Path | None = None

    @property
    def path(self) -> Path:
        """The journal's file."""
        return (self.folder or self.out) / ".journal.jsonl"

    @property
    def mark(self) -> Path:
        """The file that names the source that a command works on in its own process; it stays if that does not end."""
        return self.path.with_name(".begun")

    def read(self, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, Entry]:
        """Returns the entries by name; lines that are damaged or cut short are left out.

        Args:
            wanted: whether an entry of this name is returned; other entries need no memory.

        Raises:
            DataError: a pipe or a device lies in the place of the journal.
        """
        if not self.path.exists():
            return {}
        if not self.path.is_file():
            raise DataError(f"{self.path} is no regular file; delete it, and all results are made again")
        entries: dict[str, Entry] = {}
        with self.path.open(encoding="utf-8", errors="replace") as lines:
            for text in lines:
                with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    values = json.loads(text)
                    if wanted(str(values[0])):
                        entry = self._parsed(values)
                        entries[entry.name] = entry
        return entries

    def _parsed(self, values: Any) -> Entry:
        name, path, rows, reason, inputs, files = values
        path = str(path)
        seen = tuple(
            (_same(str(each), path), Fingerprint(int(size), str(stamp), str(digest)))
            for each, (size, stamp, digest) in inputs.items()
        )
        each = lean([{column: str(row[column]) for column in self.columns} for row in rows], self.columns)
        texts = tuple({tuple(row.items()): row for row in each}.values())  # no row comes twice
        if any(file.startswith("/") or ".." in file.split("/") for file in files):
            raise ValueError("artasyn writes inside its folder only")
        cells = {cell: cell for row in texts for cell in row.values()}
        written = (str(file) for file in files)
        return Entry(str(name), path, texts, str(reason), seen, tuple(cells.get(file, file) for file in written))

    def entry(self, source: Source, rows: tuple[dict[str, Any], ...], reason: str, seen: Seen) -> Entry:
        """Returns the entry of a source that is finished now.

        Args:
            source: the source.
            rows: its rows.
            reason: of its failure.
            seen: the fingerprints of its inputs, from before they were read.
        """
        named = dict.fromkeys(row[column] for row in rows for column in self.files if row[column])
        written = [file for name in named for file in _inside(self.out, name)]
        path = shown(str(source.file))
        inputs = tuple((_same(each, path), now) for each, now in seen)
        return Entry(source.name, path, rows, reason, inputs, tuple(written))

    def write(self, entries: Iterable[Entry]) -> None:
        """Writes the journal anew."""
        atomic.write_texts(self.path, itertools.chain((entry.line() for entry in entries), ("\n",)))

    @contextmanager
    def growing(self) -> Iterator[Callable[[Iterable[Entry]], None]]:
        """Yields a function that adds entries at the end of the journal.

        Raises:
            OutputError: the journal cannot be written, for example because the disk is full.
        """
        with _written(self.path):
            file = self.path.open("a", encoding="utf-8")

        def add(entries: Iterable[Entry]) -> None:
            with _written(self.path):
                file.writelines(entry.line() for entry in entries)
                file.flush()

        try:
            yield add
        finally:
            with _written(self.path):
                file.close()

    def delete(self, entries: Sequence[Entry], kept: Iterable[Entry]) -> None:
        """Notes that entries hold no longer, and deletes the files that they list, and folders that are empty then.

        Without the note an entry would hold again if the run is killed after it has written other results, and the
        source then becomes what it was.

        Args:
            entries: of the results to delete.
            kept: entries whose files stay, even if they are listed twice.
        """
        if entries:
            with self.growing() as add:
                add(replace(entry, inputs=()) for entry in entries)
        stay = {file for entry in kept for file in entry.files}
        for file in (file for entry in entries for file in entry.files if file not in stay):
            with suppress(OSError):
                (self.out / file).unlink(missing_ok=True)
            for folder in [*PurePosixPath(file).parents][:-1]:
                with suppress(OSError):
                    (self.out / folder).rmdir()


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Names the file in errors of writing it, because the system may not name it."""
    try:
        yield
    except OSError as error:
        raise OutputError.of(path, error) from error


def written(folder: Path) -> set[str]:
    """Returns the files that a journal lists, relative to the folder of results, without a check of their entries.

    Args:
        folder: that the journal lies in.
    """
    path, files = Journal(folder, (), ()).path, set[str]()
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as lines:
            for text in lines:
                with suppress(ValueError, TypeError, IndexError, RecursionError):
                    files.update(map(str, json.loads(text)[5]))
    return files


SHORT = 8
"""The most characters of a cell that many rows are likely to have in common, such as ``ok``."""


def lean(rows: Iterable[Mapping[str, str]], columns: Sequence[str]) -> tuple[dict[str, str], ...]:
    """Returns rows that share the names of their columns and short cells, so that a million rows need less memory.

    Args:
        rows: column to text.
        columns: the columns that are kept, in this order.
    """
    return tuple(
        {name: sys.intern(row[name]) if len(row[name]) <= SHORT else row[name] for name in columns} for row in rows
    )


def _same(text: str, other: str) -> str:
    """Returns the other text if it is equal, so that only one of both stays in memory."""
    return other if text == other else text


def _inside(out: Path, name: str) -> Sequence[str]:
    """Returns the name of a file, or the names of the files in a folder; not what a killed run has left there."""
    if not (out / name).is_dir():
        return [name]
    files = (file.name for file in (out / name).iterdir() if not file.is_dir())
    return sorted(f"{name}/{file}" for file in files if not fnmatch.fnmatch(file, atomic.LEFTOVER))


def gone(entries: Mapping[str, Entry], names: Collection[str], out: Path) -> list[Entry]:
    """Returns the entries whose source is no longer there, but some of whose files are.

    Args:
        entries: by name.
        names: of the sources that are there.
        out: the folder of results.
    """
    left = [entry for name, entry in sorted(entries.items()) if name not in names]
    return [entry for entry in left if any(os.access(f"{out}/{file}", os.F_OK) for file in entry.files)]


def settled(
    sources: Iterable[Source], known: dict[str, Entry], own: dict[str, Entry], out: Path
) -> tuple[dict[str, Entry], list[Entry]]:
    """Takes the entries of sources out of dictionaries, so that an entry and its successor are not both in memory.

    Args:
        sources: the sources.
        known: entries by name, from all journals that know the sources.
        own: likewise, from the own journal; it may be the same dictionary.
        out: the folder of results.

    Returns:
        The entries that still belong to their sources, by name, and those that do not.
    """
    kept, changed = dict[str, Entry](), list[Entry]()
    for source in sources:
        entry = known.pop(source.name, None)
        own.pop(source.name, None)
        if entry and (now := entry.confirmed(source, out)):
            kept[source.name] = now
        elif entry:
            changed.append(entry)
    return kept, changed
