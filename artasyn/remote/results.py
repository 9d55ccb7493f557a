"""Results that go to a store: written into a folder of this machine, and copied to the store while a command runs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artasyn.errors import ArtasynError, DataError, StoreError
from artasyn.remote.objects import each, listed, version_of
from artasyn.remote.urls import asking, cache, opened, whole

LOG = logging.getLogger("artasyn")

SECONDS = 60.0
"""Seconds between two copies to the store while a command runs."""

KEPT = 1000
"""Files, at least, that are copied between two records of what is alike here and there."""

LAST = (".journal.jsonl", "manifest.csv")
"""Files that tell of other files; they are copied after those, so that the store never tells of what it lacks."""

PORTIONS = ".portions/"
"""What the names begin with of all files in which portions of a run tell of themselves."""

MERGED = f"{PORTIONS}merged"
"""An object that is there while a merge deletes the portions: those that are still there do not count."""

Needs = Callable[[], Iterable[Callable[[str], bool]]]
"""Returns whether a file of this name is needed here; each is taken when what those before it chose is here."""


def everything() -> Iterable[Callable[[str], bool]]:
    """Returns the need for all files."""
    return (lambda name: True,)


OURS = re.compile(r"\.lock|\.begun|\.artasyn-.*\.tmp")
"""Names of locks, marks and temporary files, which are no results."""


@dataclass
class Staging:
    """A folder of this machine with the results of a URL.

    Every file that artasyn writes is whole or not there, so that a folder can be copied while a command writes to it.

    Attributes:
        url: where the results go.
        folder: the folder.
        needs: which files are needed here; the others are other commands' results.
        mine: whether a file of this name is sent and deleted; the others tell of other commands.
        known: of each file that is alike here and there: its size and time here, and its version there.
        others: sizes and times of files here that are not needed and not alike; they are sent when they have changed.
    """

    url: str
    folder: Path
    needs: Needs = everything
    mine: Callable[[str], bool] = lambda name: True
    known: dict[str, list[Any]] = field(default_factory=dict)
    others: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.system, self.root = opened(self.url)
        with suppress(OSError, ValueError):
            self.known = dict(json.loads(self._record.read_text("utf-8")))

    @property
    def _record(self) -> Path:
        name = hashlib.blake2b(str(self.folder).encode(), digest_size=16).hexdigest()
        return cache() / "staged" / f"{name}.json"

    def check(self) -> None:
        """Refuses a store that cannot be written to, before hours of work.

        Raises:
            DataError: there is no such bucket, or the store tells nothing of what it holds.
            StoreError: nothing can be written there.
        """
        with asking(self.url):
            name = f"{self.root}/.artasyn-{os.urandom(8).hex()}.tmp"
            self.system.pipe_file(name, b"artasyn")
            about = self.system.info(name)
            self.system.rm_file(name)
        version_of({**about, "name": self.url})

    def pull(self) -> None:
        """Copies from the store what has changed there since the last copy, and deletes what is gone there.

        What has changed there and is not needed is deleted here, so that it is neither taken for right nor sent.

        Raises:
            StoreError: the store does not answer.
        """
        there = listed(self.url)
        versions = {name: version_of(there.pop(name)) for name in [*there] if not OURS.fullmatch(Path(name).name)}

        def fetch(name: str) -> None:
            path = self.folder / name
            with asking(f"{self.url}/{name}"), whole(path) as temporary:
                self.system.get_file(f"{self.root}/{name}", str(temporary))
            self.known[name] = [*_state(path), versions[name]]

        dead = [name for name in versions if name.startswith(PORTIONS)] if MERGED in versions else []
        left = {name: [0, 0, versions.pop(name)] for name in dead}
        for name in self.known.keys() - versions.keys():
            self._drop(name)
        if LAST[0] in versions and not any(name.startswith(PORTIONS) for name in versions):  # they are merged
            shutil.rmtree(self.folder / PORTIONS, ignore_errors=True)
        alike = {name for name, known in self.known.items() if versions[name] == known[2]}
        lacking = {name for name in versions if name not in alike or not (self.folder / name).is_file()}
        newer = False
        for number, needed in enumerate(self.needs()):
            names = {*filter(needed, lacking)}
            if not newer and (newer := any(Path(name).name in LAST for name in names)):
                for name in lacking:  # first, so that a kill leaves no file that is older than what tells of it
                    self._drop(name)
            lacking -= names
            if number and not newer:  # the files here are those that are told of here
                for name in [name for name in names if (self.folder / name).is_file()]:
                    self.known.pop(name, None)
                    names.remove(name)
            self._all(fetch, [*names])
        for name in lacking:
            self._drop(name)
        self.known |= left  # the next push deletes them
        if self.needs is not everything and self.folder.is_dir():
            here = {name: _state(path) for name, path in self._files()}
            self.others = self._not_needed({name: state for name, state in here.items() if self._differs(name, state)})

    def _not_needed(self, states: dict[str, list[int]]) -> dict[str, list[int]]:
        """Returns those of some files here that are not needed now."""
        needs = [*self.needs()] if states else []
        return {name: state for name, state in states.items() if not any(needed(name) for needed in needs)}

    def _drop(self, name: str) -> None:
        """Forgets a file, and deletes it here, with the folders that hold no results then."""
        self.known.pop(name, None)
        path = self.folder / name
        with suppress(OSError):  # it is not here
            path.unlink()
            for folder in path.parents[: name.count("/")]:
                with os.scandir(folder) as there:
                    if not all(OURS.fullmatch(each.name) for each in there):
                        break
                shutil.rmtree(folder)

    def push(self) -> None:
        """Copies to the store what has changed here since the last copy, and deletes there what is gone here.

        Raises:
            StoreError: the store does not answer, or an object differs from its file.
            OSError: a folder cannot be listed; nothing is deleted in the store then.
        """
        merged = (self.folder / LAST[0]).exists() and not (self.folder / PORTIONS).exists()
        told = {name: _state(path) for name, path in self._files() if path.name in LAST}
        with self._copied([name for name, state in told.items() if self._differs(name, state)]) as copies:
            here = {name: _state(path) for name, path in self._files() if path.name not in LAST}  # listed after those
            still = self._not_needed({name: state for name, state in self.others.items() if here.get(name) == state})
            names = [name for name, state in here.items() if name not in still and self._differs(name, state)]
            self._all(self._send, names, here)
            try:
                for name, copy in copies.items():
                    self._send(name, {name: [copy.stat().st_size, told[name][1]]}, copy)
                    self._keep()
                gone = {name for name in self.known.keys() - here.keys() - told.keys() if self.mine(name)}
                self._delete(gone, merged)
            finally:
                self._keep()

    @contextmanager
    def _copied(self, names: Sequence[str]) -> Iterator[dict[str, Path]]:
        """Copies files as they are now, because a journal grows while the files that it tells of are sent."""
        copies = {name: self._record.with_suffix(f".{number}") for number, name in enumerate(names)}
        self._record.parent.mkdir(parents=True, exist_ok=True)
        try:
            for name, copy in copies.items():
                shutil.copyfile(self.folder / name, copy)
            yield copies
        finally:  # a disk that is full gets its space back
            for copy in copies.values():
                copy.unlink(missing_ok=True)

    def _delete(self, names: set[str], merged: bool) -> None:
        """Deletes objects; a mark tells meanwhile that portions which a merge has joined do not count."""
        joined = {name for name in names if name.startswith(PORTIONS)}
        if joined and not merged and not (self.folder / PORTIONS).exists():
            names -= joined  # a merge has ended since the files were listed; the next copy deletes them
        elif joined and merged:
            with asking(f"{self.url}/{MERGED}"):
                self.system.pipe_file(f"{self.root}/{MERGED}", b"")
            self.known.setdefault(MERGED, [])
            names.add(MERGED)

        def remove(name: str) -> None:
            with asking(f"{self.url}/{name}"), suppress(FileNotFoundError):
                self.system.rm_file(f"{self.root}/{name}")
            del self.known[name]

        self._all(remove, sorted(names - {MERGED}))
        if MERGED in names:
            remove(MERGED)

    def _all(self, copy: Callable[..., None], names: Sequence[str], *further: Any) -> None:
        """Copies files, and keeps what is alike from time to time, so that a killed command copies little twice."""
        count = max(KEPT, (len(self.known) + len(names)) // 50)
        for start in range(0, max(len(names), 1), count):
            try:
                each(copy, names[start : start + count], *further)
            finally:
                self._keep()

    def _differs(self, name: str, state: list[int]) -> bool:
        return self.known.get(name, [])[:2] != state

    def _send(self, name: str, states: Mapping[str, list[int]], copy: Path | None = None) -> None:
        """Copies one file, or a copy of it, to the store, and checks that it arrived."""
        url, there = f"{self.url}/{name}", f"{self.root}/{name}"
        try:
            with asking(url):
                self.system.put_file(str(copy or self.folder / name), there)
                about = self.system.info(there)
        except DataError:
            if not copy and not (self.folder / name).exists():  # it was deleted since it was listed
                return
            raise
        if about["size"] != states[name][0]:
            raise StoreError(f"{url} holds {about['size']} bytes, not {states[name][0]}; run the same command again")
        self.known[name] = [*states[name], version_of(about)]

    def _files(self) -> Iterator[tuple[str, Path]]:
        """Yields the files that are sent, by their names below the folder."""

        def stop(error: OSError) -> None:
            raise error  # files that cannot be listed are not gone

        for place, folders, names in os.walk(self.folder, onerror=stop):
            folders[:] = [name for name in folders if not OURS.fullmatch(name)]
            for name in names:
                path = Path(place, name)
                if not OURS.fullmatch(name) and self.mine(below := path.relative_to(self.folder).as_posix()):
                    yield below, path

    def _keep(self) -> None:
        with whole(self._record) as temporary:
            temporary.write_text(json.dumps(self.known), "utf-8")


def _state(path: Path) -> list[int]:
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


@contextmanager
def published(
    url: str,
    folder: Path,
    needs: Needs = everything,
    mine: Callable[[str], bool] = lambda name: True,
) -> Iterator[None]:
    """Copies results from a store before a block, and to the store during the block, at its end and when it fails.

    Args:
        url: where the results go.
        folder: the folder that the block writes to; the same for every command with this URL.
        needs: which results are copied before the block, see `Staging`.
        mine: which results are copied to the store, see `Staging`.

    Raises:
        DataError: there is no such bucket.
        StoreError: the store does not answer, or does not let this user in; the results stay in the folder, and the
            same command goes on.
    """
    staging, stop = Staging(url, folder, needs, mine), threading.Event()
    staging.check()
    staging.pull()

    def follow() -> None:
        pause = SECONDS
        while not stop.wait(pause):
            begun = time.monotonic()
            try:
                staging.push()
            except FileNotFoundError:  # a file that was deleted while the files were listed
                pass
            except (ArtasynError, OSError) as error:
                LOG.warning("%s; the run goes on, and results are copied later", error)
            pause = max(SECONDS, 10 * (time.monotonic() - begun))

    thread = threading.Thread(target=follow, daemon=True, name="copy results")
    thread.start()
    try:
        yield
    except BaseException as error:
        stop.set()
        thread.join()
        if not isinstance(error, StoreError):
            try:
                staging.push()
            except (ArtasynError, OSError) as failed:
                LOG.warning("%s; the last results are on this machine alone", failed)
        raise
    stop.set()
    thread.join()
    staging.push()
