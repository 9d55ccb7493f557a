"""Fingerprints of files, which tell whether a result still belongs to the files it was made of."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

DETACHED = re.compile(rb"(?im)^(?:ElementDataFile\s*=|data ?file:)[ \t]*([^\r\n]+?)[ \t\r]*$")
"""The field of a MetaImage or NRRD header that names the file of the voxels."""

HEADERS = (".mhd", ".nhdr")
"""Suffixes, in lower case, of headers whose voxels lie in another file."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The state of a file, or of the files directly inside a folder, at one moment.

    Attributes:
        size: bytes; -1 if the file is missing.
        stamp: times and number of the file in its file system. Equal stamps mean the same content.
        digest: a hash of the content. It decides where the size is equal and the stamp is not: a copy or a new date
            changes the stamp only.
    """

    size: int
    stamp: str
    digest: str

    def confirmed(self, path: Path) -> Fingerprint | None:
        """Returns the fingerprint of the same content now; None if the content is another one.

        The content is read only if the stamp has changed and the size has not.

        Args:
            path: the file or folder.
        """
        size, stamp = _state(path)
        if (size, stamp) == (self.size, self.stamp):
            return self
        if size != self.size or not self.digest or _digest(path, stamp) != self.digest:
            return None
        return Fingerprint(size, stamp, self.digest)


def fingerprint(path: Path) -> Fingerprint:
    """Returns the fingerprint of a file or folder.

    Args:
        path: the file; or a folder, of which the files directly inside count, without hidden ones.
    """
    size, stamp = _state(path)
    return Fingerprint(size, stamp, _digest(path, stamp))


def with_detached(paths: Iterable[Path]) -> list[Path]:
    """Returns the paths, each once, with the files of the voxels that headers among them name.

    Args:
        paths: files and folders.
    """
    found: dict[Path, None] = {}
    for path in paths:
        found[path] = None
        if path.name.lower().endswith(HEADERS):
            with suppress(OSError), path.open("rb") as file:
                for name in DETACHED.findall(file.read(65536)):
                    data = path.parent / os.fsdecode(name)
                    found[data if data.is_file() else path.parent] = None  # a list or a pattern of files
    return list(found)


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    yield from sorted(each for each in path.iterdir() if not each.name.startswith(".") and not each.is_dir())


def _state(path: Path) -> tuple[int, str]:
    """Returns size and stamp."""
    try:
        own = path.stat()
        if not stat.S_ISDIR(own.st_mode):
            return own.st_size, _stamp(own)
        found = [(file.name, file.stat()) for file in _files(path)]
    except OSError:
        return -1, ""
    size = sum(state.st_size for _, state in found)
    return size, _hash(f"{name}\0{_stamp(state)}" for name, state in found)


def _stamp(state: os.stat_result) -> str:
    return f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}"


@functools.lru_cache(maxsize=256)
def _digest(path: Path, stamp: str) -> str:
    """Returns the hash of a content that had a stamp; "" if it cannot be read."""
    try:
        if not path.is_dir():
            return _file_digest(path)
        return _hash(f"{file.name}\0{_file_digest(file)}" for file in _files(path))
    except OSError:
        return ""


def _file_digest(path: Path) -> str:
    whole = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            whole.update(block)
    return whole.hexdigest()


def _hash(texts: Iterable[str]) -> str:
    whole = hashlib.blake2b(digest_size=16)
    for text in texts:
        whole.update(text.encode("utf-8", "surrogateescape") + b"\n")
    return whole.hexdigest()
