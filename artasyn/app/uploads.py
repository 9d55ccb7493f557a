"""The folder of a server: what users send and fetch, by session, gone when the session or the server ends."""

from __future__ import annotations

import contextlib
import lzma
import shutil
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from artasyn.errors import FULL, DataError

PREFIX = "artasyn-serve-"
"""The beginning of the name of a server's folder."""

MOST_FILES = 20_000
"""Most files in a ZIP; a CT series has hundreds to some thousands."""

PIECE = 2**20
"""Bytes that are unpacked at once."""

DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, RuntimeError, OSError, ValueError),
)
"""What `zipfile` raises for a file that is no whole ZIP."""


@dataclass(frozen=True)
class Desk:
    """The folder of a server, with a part for each session.

    Two sessions may send the same file, which is then stored once, each time anew. It is deleted when the last of them
    ends.

    Attributes:
        folder: only its owner can read it.
    """

    folder: Path
    _places: dict[str, Path] = field(default_factory=dict, repr=False)
    _users: dict[Path, set[str]] = field(default_factory=dict, repr=False)
    _sent: dict[Path, int] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def session(self, name: str) -> Path:
        """Returns the folder of a session, which exists; nobody can guess its name.

        Args:
            name: of the session, as the server gives it.
        """
        with self._lock:
            place = self._places.get(name)
            if place is None or not place.is_dir():
                place = self._places[name] = Path(tempfile.mkdtemp(dir=self.folder))
            return place

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Yields a folder of a session for the time of the block.

        Args:
            name: of the session.
        """
        with tempfile.TemporaryDirectory(dir=self.session(name), ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    def claim(self, name: str, path: Path) -> None:
        """Notes that a session has sent a file, as soon as it is there.

        Args:
            name: of the session.
            path: of the file.
        """
        with self._lock, contextlib.suppress(FileNotFoundError):  # the user has left before
            self._sent[path] = path.stat().st_mtime_ns
            self._users.setdefault(path, set()).add(name)

    def leave(self, name: str) -> None:
        """Deletes everything that belongs to a session alone; a file that was sent again just now stays.

        Args:
            name: of the session.
        """
        with self._lock:
            for path, users in list(self._users.items()):
                users.discard(name)
                if not users:
                    del self._users[path]
                    self._remove(path, self._sent.pop(path))
            place = self._places.pop(name, None)
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)

    def _remove(self, path: Path, sent: int) -> None:
        """Deletes a file, unless it was stored anew after a time in nanoseconds, by a session that will claim it."""
        with contextlib.suppress(OSError):  # it is gone, or another file lies in the folder
            if path.stat().st_mtime_ns <= sent:
                path.unlink()
                path.parent.rmdir()

    def sweep(self, age: float) -> None:
        """Deletes every file that is older than an age, whoever it belongs to.

        Args:
            age: in seconds.
        """
        oldest = time.time() - age
        for path in [each for each in self.folder.rglob("*") if each.is_file()]:
            with contextlib.suppress(FileNotFoundError):  # another thread was faster
                if path.stat().st_mtime <= oldest:
                    path.unlink()


@contextmanager
def desk() -> Iterator[Desk]:
    """Yields the folder of a new server, and deletes it with everything in it at the end of the block.

    Example:
        >>> with desk() as here:
        ...     there = here.session("a").is_dir()
        >>> there, here.folder.exists()
        (True, False)
    """
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        yield Desk(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unpacked(path: Path, folder: Path, most: int) -> Path:
    """Unpacks a ZIP with the files of one folder, such as the slices of a DICOM series.

    Folders inside the ZIP lose their names, and so does everything that would lie elsewhere.

    Args:
        path: the ZIP.
        folder: a new folder for the files.
        most: bytes that the files may have together.

    Returns:
        The folder.

    Raises:
        DataError: this is no ZIP, it is damaged or encrypted, holds several folders of files, no file or too many, or
            more bytes than are allowed.
        OSError: the disk is full.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path.name, most)
            folder.mkdir(parents=True)
            for member in members:
                target = folder / PurePosixPath(member.filename).name
                with archive.open(member) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file, PIECE)
    except DAMAGED as error:
        if isinstance(error, DataError) or getattr(error, "errno", None) in FULL:
            raise
        raise DataError(f"{path.name} is no whole ZIP ({error}); pack its files again") from error
    return folder


def _members(archive: zipfile.ZipFile, name: str, most: int) -> list[zipfile.ZipInfo]:
    """Returns the files of an archive after a check of what it claims; `ZipFile` reads no more than that."""
    members = [each for each in archive.infolist() if not each.is_dir() and not _is_clutter(each.filename)]
    if not members or len(members) > MOST_FILES:
        raise DataError(f"{name} holds {len(members)} files; pack the slices of one series, {MOST_FILES} at most")
    if any(each.flag_bits & 1 for each in members):
        raise DataError(f"{name} is encrypted; pack its files without a password")
    size = sum(each.file_size for each in members)
    if size > most:
        raise DataError(f"{name} claims {size} bytes unpacked, more than {most}; start the server with a larger limit")
    folders = sorted({str(PurePosixPath(each.filename).parent) for each in members})
    if len(folders) > 1:
        raise DataError(
            f"{name} holds {len(folders)} folders of files ({', '.join(folders[:3])}); pack the folder of one series"
        )
    names = [PurePosixPath(each.filename).name for each in members]
    if len(set(names)) < len(names):
        raise DataError(f"{name} holds two files of one name; pack the folder again")
    return members


def _is_clutter(name: str) -> bool:
    """Whether a packer has added a file for itself."""
    path = PurePosixPath(name)
    return "__MACOSX" in path.parts or path.name.startswith(".") or path.name.upper() == "DICOMDIR"
