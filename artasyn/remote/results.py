"""Results that go to a store: written into a folder of this machine, and copied to the store while a command runs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
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
"""Files that are copied between two records of what is alike here and there."""

LAST = (".journal.jsonl", "manifest.csv")
"""Files that tell of other files; they are copied after those, so that the store never tells of what it lacks."""

OURS = re.compile(r"\.lock|\.begun|\.artasyn-.*\.tmp")
"""Names of locks, marks and temporary files, which are no results."""


@dataclass
class Staging:
    """A folder of this machine with the results of a URL.

    Every file that artasyn writes is whole or not there, so that a folder can be copied while a command writes to it.

    Attributes:
        url: where the results go.
        folder: the folder.
        known: of each file that is alike here and there: its size and time here, and its version there.
    """

    url: str
    folder: Path
    known: dict[str, list[Any]] = field(default_factory=dict)

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
            DataError: there is no such bucket.
            StoreError: nothing can be written there.
        """
        with asking(self.url):
            name = f"{self.root}/.artasyn-{os.urandom(8).hex()}.tmp"
            self.system.pipe_file(name, b"artasyn")
            self.system.rm_file(name)

    def pull(self, needs: Iterable[Callable[[str], bool]] = (lambda name: True,)) -> None:
        """Copies from the store what has changed there since the last copy, and deletes what is gone there.

        Args:
            needs: whether a file of this name is copied. Each is taken when what those before it chose is here.

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

        for name in self.known.keys() - versions.keys():
            (self.folder / name).unlink(missing_ok=True)
            del self.known[name]
        alike = {name for name, known in self.known.items() if versions[name] == known[2]}
        for needed in needs:
            names = filter(needed, versions)
            self._all(fetch, [name for name in names if name not in alike or not (self.folder / name).is_file()])

    def push(self) -> None:
        """Copies to the store what has changed here since the last copy, and deletes there what is gone here.

        Raises:
            StoreError: the store does not answer, or an object differs from its file.
            OSError: a folder cannot be listed; nothing is deleted in the store then.
        """
        told = {name: (_state(path), path.read_bytes()) for name, path in self._files() if path.name in LAST}
        here = {name: _state(path) for name, path in self._files() if path.name not in LAST}  # listed after those
        self._all(self._send, [name for name, state in here.items() if self._differs(name, state)], here)
        try:
            for name, (state, data) in told.items():
                if self._differs(name, state):
                    self._send(name, {name: [len(data), state[1]]}, data)
                    self._keep()
            for name in self.known.keys() - here.keys() - told.keys():
                with asking(f"{self.url}/{name}"), suppress(FileNotFoundError):
                    self.system.rm_file(f"{self.root}/{name}")
                del self.known[name]
        finally:
            self._keep()

    def _all(self, copy: Callable[..., None], names: Sequence[str], *further: Any) -> None:
        """Copies files, and keeps what is alike from time to time, so that a killed command copies little twice."""
        for start in range(0, max(len(names), 1), KEPT):
            try:
                each(copy, names[start : start + KEPT], *further)
            finally:
                self._keep()

    def _differs(self, name: str, state: list[int]) -> bool:
        return self.known.get(name, [])[:2] != state

    def _send(self, name: str, states: Mapping[str, list[int]], data: bytes | None = None) -> None:
        """Copies one file to the store, and checks that it arrived."""
        url, there = f"{self.url}/{name}", f"{self.root}/{name}"
        with asking(url):
            if data is None:
                self.system.put_file(str(self.folder / name), there)
            else:
                self.system.pipe_file(there, data)
            about = self.system.info(there)
        if about["size"] != states[name][0]:
            raise StoreError(f"{url} holds {about['size']} bytes, not {states[name][0]}; run the same command again")
        self.known[name] = [*states[name], version_of(about)]

    def _files(self) -> Iterator[tuple[str, Path]]:
        """Yields the files that belong to the results, by their names below the folder."""

        def stop(error: OSError) -> None:
            raise error  # files that cannot be listed are not gone

        for place, _, names in os.walk(self.folder, onerror=stop):
            for name in names:
                if not OURS.fullmatch(name):
                    yield Path(place, name).relative_to(self.folder).as_posix(), Path(place, name)

    def _keep(self) -> None:
        with whole(self._record) as temporary:
            temporary.write_text(json.dumps(self.known), "utf-8")


def _state(path: Path) -> list[int]:
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


@contextmanager
def published(url: str, folder: Path, needs: Iterable[Callable[[str], bool]] = (lambda name: True,)) -> Iterator[None]:
    """Copies results from a store before a block, and to the store during the block, at its end and when it fails.

    Args:
        url: where the results go.
        folder: the folder that the block writes to; the same for every command with this URL.
        needs: which results are copied before the block, see `Staging.pull`.

    Raises:
        DataError: there is no such bucket.
        StoreError: the store does not answer, or does not let this user in; the results stay in the folder, and the
            same command goes on.
    """
    staging, stop = Staging(url, folder), threading.Event()
    staging.check()
    staging.pull(needs)

    def follow() -> None:
        pause = SECONDS
        while not stop.wait(pause):
            begun = time.monotonic()
            try:
                staging.push()
            except (DataError, FileNotFoundError):  # a file that was deleted meanwhile
                pass
            except (StoreError, OSError) as error:
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
