"""Bulk work on a collection: runs in parallel, resumes after a kill, skips bad files and writes a manifest."""

from __future__ import annotations

import errno
import hashlib
import traceback
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2

from artasyn.bulk.clusters import Backend, Where
from artasyn.bulk.journal import Entry, Journal, Seen, fingerprints_of, gone, lean, settled
from artasyn.bulk.lock import claimed
from artasyn.bulk.merging import Merging, any_portion, joined_portions, read_portions
from artasyn.bulk.portions import COMMAND, Portion, check_place
from artasyn.bulk.progress import LOG, progress
from artasyn.bulk.sources import SETTINGS, Source, claim, processes, swept, with_names_for
from artasyn.bulk.survival import Batch, refusal_of, survive
from artasyn.bulk.workers import begin
from artasyn.errors import FULL, ArtasynError, DataError, OutputError, StoreError
from artasyn.files import atomic
from artasyn.files.tables import read_table, write_table
from artasyn.remote.urls import shown

Row = dict[str, Any]
"""One line of a manifest: column to value."""

FAILURES = (ArtasynError, OSError, MemoryError, cv2.error)
"""Exceptions that one bad file may raise; any other exception is a bug and stops the program."""

PASSING = frozenset({errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EIO, errno.ESTALE, errno.ETIMEDOUT})
"""Numbers of the errors that may pass: out of memory or of open files, a disk or a network that does not answer."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one source.

    Attributes:
        source: the source.
        rows: the source's rows of the manifest, every value as text.
        reason: why the source has no rows.
        seen: the source's files before they were read.
        passing: whether the failure may be none of the source's own, so that a second try may succeed.
    """

    source: Source
    rows: tuple[Row, ...] = ()
    reason: str = ""
    seen: Seen = field(default=(), repr=False, compare=False)
    passing: bool = field(default=False, repr=False, compare=False)


BatchWork = Callable[[int, Sequence[Source]], list[Outcome]]
"""The work on one batch, in a worker process: takes the batch's number and sources, returns each source's outcome."""


def attempt(work: Callable[[Source], Sequence[Row]], columns: Sequence[str], source: Source) -> Outcome:
    """Works on one source and reports a bad file instead of raising.

    Args:
        work: returns the source's rows.
        columns: the columns that the rows may have.
        source: the file.

    Raises:
        OutputError, StoreError: no result can be written, or no store answers, which is not the fault of the source.
    """
    if refusal := refusal_of(source):
        return Outcome(source, reason=refusal)
    begin(source.name)
    seen = fingerprints_of(source)
    try:
        rows = work(source)
    except FAILURES as error:
        return _failure(source, error, seen)
    for row in rows:
        if not row.keys() <= set(columns):
            raise ValueError(f"rows have the columns {tuple(columns)}, not {tuple(row)}")
    return Outcome(source, tuple({c: _text(row.get(c)) for c in columns} for row in rows), seen=seen)


def _failure(source: Source, error: BaseException, seen: Seen) -> Outcome:
    """Returns the outcome of a failure, unless the failure is one of the place that the results are written to."""
    passing = False
    for each in _causes(error):
        number = each.errno if isinstance(each, OSError) else None
        if isinstance(each, (OutputError, StoreError)):
            raise each
        if number in FULL:
            assert isinstance(each, OSError)
            raise OutputError.of(each.filename or "a temporary file", each) from error
        passing |= (
            isinstance(each, MemoryError) or number in PASSING or getattr(each, "code", 0) == cv2.Error.STS_NO_MEM
        )
    return Outcome(source, reason=reason_of(error), seen=seen, passing=passing)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an exception and the exceptions that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def reason_of(error: BaseException) -> str:
    """Returns the reason of a failure for the manifest, on one line."""
    return shown(" ".join((str(error).strip() or traceback.format_exception_only(error)[-1]).split()))


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


def _text(value: Any) -> str:
    return "" if value is None else str(value)


@dataclass(frozen=True)
class BulkRun:
    """One command on one collection, writing into one folder.

    A manifest lists every source. A journal records each finished source with the fingerprints of its files. A killed
    run continues where it stopped. A source that has changed is worked on anew. Sources that failed are tried again.
    The same settings give the same files for any number of workers.

    Attributes:
        out: the folder that is written to.
        settings: all settings that the results depend on; a folder with results of other settings is refused.
        columns: the manifest's columns after ``name, source, status, reason``. With ``status`` and ``reason`` among
            them, the rows give their own, as for a film that was read but is unusable; otherwise the status is ``ok``.
        files: the subset of `columns` that holds the name of a written file, relative to `out`.
        workers: number of processes, each with one thread; 0 takes every core. A collection of one source is worked on
            in this process, unless an earlier try there did not end.
        batch: most sources that a worker takes at once. The journal records a batch when all its sources are done.
        sealed: whether every batch becomes one file, and is finished as a whole or not at all. Batches are then
            consecutive sources of the whole collection, and the collection is one of the settings.
        prune: whether to delete the results of sources that are gone.
        own: whether the sources lie in `out`, because the command itself wrote them there.
        portion: the portion of the collection that is worked on, beside other portions in `out`; None for the whole. A
            portion has its own lock, journal and manifest.
        backend: where the worker processes run.
        merging: ``all`` and ``there`` work on nothing, but join the portions in `out`, see `artasyn.bulk.merging`.
        asked: the command with its options, as a portion keeps it for `artasyn merge`.
    """

    out: Path
    settings: Mapping[str, Any]
    columns: tuple[str, ...]
    files: tuple[str, ...] = ()
    workers: int = 1
    batch: int = 1
    sealed: bool = False
    prune: bool = False
    own: bool = False
    portion: Portion | None = None
    backend: Backend = "loky"
    merging: Merging = ""
    asked: str = ""

    @property
    def folder(self) -> Path:
        """The folder of lock, journal and manifest: `out`, or that of the portion."""
        return self.portion.folder(self.out) if self.portion else self.out

    def __post_init__(self) -> None:
        processes(self.workers or 1)  # refuses a negative number

    @property
    def manifest(self) -> Path:
        """The path of the manifest, the table of every source and its result; of a portion, of its sources."""
        return self.folder / "manifest.csv"

    def run(self, work: Callable[[Source], Sequence[Row]], sources: Sequence[Source], *, title: str) -> list[Outcome]:
        """Works through the sources and writes the manifest.

        Args:
            work: the work on one source, in a worker process; returns the source's manifest rows, at least one.
            sources: the collection; files that an earlier run wrote to `out` are left out, unless they are `own`.
            title: of the progress.

        Returns:
            An outcome for each source, in the order of the sources; of a portion, for each of its own sources.

        Raises:
            DataError: the folder holds results of other settings or other portions, holds the collection, or is in use.
            OutputError, StoreError: no result can be written, or no store answers; the journal keeps what is done.
            KeyboardInterrupt: the user stopped the run; the message says how many sources are done.
        """
        return self.run_batches(Each(work, self.columns), sources, title=title)

    def run_batches(self, work: BatchWork, sources: Sequence[Source], *, title: str) -> list[Outcome]:
        """Works through the sources batch by batch and writes the manifest; otherwise like `run`.

        Args:
            work: the work on one batch.
            sources: the collection.
            title: of the progress.
        """
        sources = list(sources) if self.own else self._outside(sources)
        sources = sources if self.sealed else with_names_for(self.out, sources)
        with self.claimed():
            self.claim({"collection": _digest(sources)} if self.sealed else {})
            share = self.portion.share(len(sources), self._together) if self.portion else slice(len(sources))
            mine, reasons = sources[share], dict[str, str]()
            if self.portion:
                self.manifest.unlink(missing_ok=True)  # a portion without a manifest is not finished
            if self.merging:
                entries, left, reasons = joined_portions(self._journal, sources, self._together, self.merging)
            else:
                entries, left = self._kept(mine, {source.name for source in sources})
            outcomes = {s.name: Outcome(s, e.rows, e.reason) for s in mine if (e := entries.get(s.name))}
            outcomes |= {s.name: Outcome(s, reason=reasons[s.name]) for s in mine if s.name in reasons}
            try:
                if not self.merging:
                    self._work(work, mine, share.start or 0, outcomes, entries, title)
            except KeyboardInterrupt as stop:
                raise KeyboardInterrupt(f"{len(outcomes)} of {len(mine)} done") from stop
            ordered = [outcomes[source.name] for source in mine if source.name in outcomes]
            first = ("name", "source", "status", "reason")
            write_table(self.manifest, (*first, *(c for c in self.columns if c not in first)), _lines(ordered))
            made = (entries[source.name] for source in mine if source.name in entries)
            if self.merging != "there":
                self._journal.write([*(entry for entry in made if not entry.reason), *left])
            return ordered

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Claims the folder of results, or the portion, for this thread; see `artasyn.bulk.lock.claimed`.

        Raises:
            DataError: the folder or the portion is in use, or the folder holds another run or other portions.
        """
        if not self.merging:
            check_place(self.out, self.portion, Journal(self.out, (), ()).path)
        alone = self.portion is None
        with claimed(self.folder, ranks=alone), swept(self.out, sweep=alone and self.merging != "there"):
            yield

    def claim(self, further: Mapping[str, str] = MappingProxyType({})) -> None:
        """Claims the folder for results of the run's settings; see `artasyn.bulk.sources.claim`.

        Args:
            further: settings beside those of the run.

        Raises:
            DataError: the folder holds results of other settings.
        """
        settings = {**self.settings, **further}
        claim(self.out, settings, sweep=self.portion is None and self.merging != "there")
        if self.portion:
            claim(self.folder, settings)
            if self.asked:
                atomic.write_text(self.folder / COMMAND, self.asked)

    def gone(self, outcomes: Sequence[Outcome]) -> list[str]:
        """Returns the names of the sources that are gone, but whose results are left in the folder.

        Args:
            outcomes: the outcomes of the run that has just ended.
        """
        names = {outcome.source.name for outcome in outcomes}
        return [entry.name for entry in gone(self._journal.read(lambda name: name not in names), names, self.out)]

    def _kept(self, mine: Sequence[Source], everything: Collection[str]) -> tuple[dict[str, Entry], list[Entry]]:
        """Returns the entries that are still right, by name, and those of sources that this run no longer works on.

        Deletes the results of sources that have changed, and with `prune` those of sources that are gone. Where the
        collection has grown or shrunk, a portion takes over what other portions have made, and leaves them theirs.

        Args:
            mine: the sources to work on.
            everything: the names of the whole collection.
        """
        own = self._journal.read()
        names = {source.name for source in mine}
        known = {**any_portion(read_portions(self._journal, names.__contains__)), **own} if self.portion else own
        kept, changed = settled(mine, known, own, self.out)
        left = gone(own, names, self.out)
        pruned = {entry.name: entry for entry in left if self.prune and entry.name not in everything}
        self._journal.delete([*changed, *pruned.values()], kept.values())
        return kept, [entry for entry in left if entry.name not in pruned]

    def _work(
        self,
        work: BatchWork,
        sources: Sequence[Source],
        start: int,
        outcomes: dict[str, Outcome],
        entries: dict[str, Entry],
        title: str,
    ) -> None:
        """Works on the sources without outcome; adds outcomes and entries, and writes the entries to the journal.

        The first source has the place `start` in the collection.
        """
        todo, named = self._todo(sources, start, outcomes.keys()), {source.name: source for source in sources}
        left = sum(len(batch.sources) for batch in todo)
        there, mark = len(sources) - left, self._journal.mark
        here = not left or (len(sources) == 1 and not mark.exists())
        if left and here:  # the source may end this process; then the next run gives it a process of its own
            atomic.write_text(mark, sources[0].name)
        if there:
            LOG.info("%s: %d of %d films were done before", title, there, len(sources))
        where = Where(self.backend, self.out / SETTINGS)
        done = survive(work, todo, workers=0 if here else self._processes(), sealed=self.sealed, where=where)
        with (
            closing(done),
            self._journal.growing() as add,
            progress(title=title, total=len(sources), initial=there, unit="film", hidden=not left) as bar,
        ):
            for batch in done:
                made = list[Entry]()
                for outcome in batch:  # copies of sources and columns would need twice the memory
                    source, rows = named[outcome.source.name], lean(outcome.rows, self.columns)
                    outcomes[source.name] = Outcome(source, rows, outcome.reason)
                    if not outcome.reason or (self.sealed and not outcome.passing):
                        made.append(self._journal.entry(source, rows, outcome.reason, outcome.seen))
                add(made)
                entries.update({entry.name: entry for entry in made})
                bar.update(len(batch))
        if here or len(sources) > 1 or not any(outcome.reason for outcome in outcomes.values()):
            mark.unlink(missing_ok=True)

    def _todo(self, sources: Sequence[Source], start: int, finished: Collection[str]) -> deque[Batch]:
        """Returns the batches to work on."""
        size, first = self.batch, start // self.batch
        if not self.sealed:
            sources = [source for source in sources if source.name not in finished]
            if size > 1:  # so small that no worker is idle at the end
                size = max(1, min(size, len(sources) // (4 * self._processes())))
        groups = (tuple(sources[start : start + size]) for start in range(0, len(sources), size))
        return deque(
            Batch(n, each) for n, each in enumerate(groups, first) if any(s.name not in finished for s in each)
        )

    def _processes(self) -> int:
        return processes(self.workers)

    @property
    def _together(self) -> int:
        """The number of sources of the collection that no division into portions takes apart."""
        return self.batch if self.sealed else 1

    @property
    def _journal(self) -> Journal:
        return Journal(self.out, self.columns, self.files, self.folder)

    def _outside(self, sources: Sequence[Source]) -> list[Source]:
        """Returns the sources that are not results of an earlier run."""
        out = self.out.resolve()
        inside = {folder: Path(folder).resolve().is_relative_to(out) for folder in {s.folder for s in sources}}
        outside = [s for s in sources if not inside[s.folder]]
        if len(outside) < len(sources) and not (self.out / SETTINGS).exists():
            raise DataError(f"{self.out} holds the radiographs; choose another folder for the results")
        return outside


def _lines(outcomes: Sequence[Outcome]) -> Iterator[Row]:
    """Yields the rows of the manifest."""
    for outcome in outcomes:
        about = {"name": outcome.source.name, "source": shown(str(outcome.source.file))}
        if outcome.reason:
            yield about | {"status": "failed", "reason": outcome.reason}
        for row in outcome.rows:
            yield about | {"status": "ok"} | row


def _digest(sources: Sequence[Source]) -> str:
    """Returns a fingerprint of a collection: the number of radiographs and a hash of their names."""
    names = hashlib.blake2b(digest_size=4)
    for number, source in enumerate(sources):
        names.update(("\0" * bool(number) + source.name).encode("utf-8", "surrogateescape"))
    return f"{len(sources)} films, {names.hexdigest()}"


def read_manifest(path: Path) -> list[dict[str, str]]:
    """Reads the rows of a manifest, every value as text."""
    return read_table(path)
