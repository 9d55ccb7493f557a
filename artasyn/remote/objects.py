"""Objects of a store as files of this machine: films as pointers that are read on demand, other files as copies."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from artasyn.doors import required
from artasyn.errors import DataError, RadiographError, StoreError
from artasyn.remote.urls import Kind, asking, cache, opened, place_of, url_of, whole

VERSIONS = ("md5Hash", "ETag", "etag", "crc32c", "generation", "LastModified", "last_modified", "mtime", "created")
"""What stores say of an object's content, the best first: the first that a store tells is the object's version."""

HEAD = 132
"""Bytes of a file that tell whether it is a picture or DICOM."""

TOGETHER = 16
"""Objects that are asked for at once."""


@dataclass(frozen=True)
class Pointer:
    """An object of a store; a file with these fields as JSON stands for it on this machine.

    Attributes:
        url: of the object.
        size: bytes.
        version: changes with the content.
        head: the first bytes, in hexadecimal, where the name does not tell what the object is.
    """

    url: str
    size: int
    version: str
    head: str = ""

    def text(self) -> str:
        """Returns the text of the file."""
        return json.dumps(asdict(self))

    def read(self) -> bytes:
        """Reads the object.

        Raises:
            RadiographError: the object is gone, or another than when it was listed, or cannot be read although this
                user is let in. The message continues a sentence that begins with the file's name.
            StoreError: the store does not answer.
        """
        system, path = opened(self.url)
        try:
            with asking(self.url):
                data: bytes = system.cat_file(path)
                now = version_of(system.info(path))
        except DataError as error:
            raise RadiographError("is gone from the store since it was listed; run the same command again") from error
        except StoreError as error:
            why = error.__cause__
            if isinstance(why, PermissionError) and _is_told(system, path):  # an archived film, which stops no others
                raise RadiographError(
                    f"cannot be read from the store ({why}); restore it from its archive, or check the rights to it"
                ) from why
            raise
        if len(data) != self.size or now != self.version:
            raise RadiographError("has changed in the store since it was listed; run the same command again")
        return data


def _is_told(system: Any, path: str) -> bool:
    """Returns whether the store tells of an object, so that the credentials are right."""
    try:
        return bool(system.info(path))
    except Exception:  # every store has its own exceptions
        return False


def pointer_at(path: Path) -> Pointer | None:
    """Returns what a file stands for; None for a file that holds its own content.

    Args:
        path: any path.
    """
    if not url_of(path, "films") or not path.is_file():
        return None
    return Pointer(**json.loads(path.read_text("utf-8")))


def version_of(about: Mapping[str, Any]) -> str:
    """Returns the version of an object's content.

    Args:
        about: what fsspec tells of the object.

    Raises:
        DataError: the store tells nothing of the kind.
    """
    told = next((f"{name} {_text(about[name])}" for name in VERSIONS if about.get(name)), "")
    if not told:
        raise DataError(
            f"{about.get('name', 'the object')}: the store tells neither checksum nor date, so that no change would be "
            "noticed; copy its files to a folder of this machine, or results from one, and give that folder"
        )
    return told


def _text(value: Any) -> str:
    """Returns a checksum or a date as text; a date may come as a date or as seconds."""
    return str(value.timestamp() if isinstance(value, datetime) else value)


def listed(url: str) -> dict[str, Mapping[str, Any]]:
    """Lists the objects below a URL, or the one object there.

    Args:
        url: the URL.

    Returns:
        What fsspec tells of each object, by its path below the URL; "" for the URL itself. Marks of folders, whose
        names end with a slash, are left out.

    Raises:
        DataError: there is no such bucket, or an object has a name that no file can have, or that of a folder.
        StoreError: the store does not answer.
    """
    system, root = opened(url)
    with asking(url):
        found = system.find(root, detail=True)
    objects = {}
    for path, about in found.items():
        below = str(path).removeprefix(root).removeprefix("/")
        if below.endswith("/"):
            continue
        if (below and PurePosixPath(below).as_posix() != below) or ".." in PurePosixPath(below).parts:
            raise DataError(f"{url}: the object {below!r} has a name that no file can have; rename it")
        objects[below] = about
    folders = {below.rpartition("/")[0] for below in objects}
    folders |= {str(parent) for folder in folders for parent in PurePosixPath(folder).parents}
    if both := folders & objects.keys() - {""}:
        raise DataError(f"{url}: {min(both)!r} is an object and a folder of objects, which no disk has; rename one")
    return objects


def stand_in(url: str, *, lazy: Collection[str] | None = None, leave: str = "") -> Path:
    """Lists a URL, and makes the file or folder of this machine that stands for it.

    Args:
        url: of an object, or of all objects that begin with it and a slash.
        lazy: suffixes, in lower case, that tell that an object is a film. Then pointers stand for the objects, and
            their content is read when it is needed. None copies all objects.
        leave: the URL of results, which are left out.

    Returns:
        The path. The files below it have the names of the objects below the URL.

    Raises:
        DataError: there is nothing.
        StoreError: the store does not answer.
        MissingExtra: a package is missing.
    """
    url = url.rstrip("/")
    kind: Kind = "files" if lazy is None else "films"
    place, results = place_of(url, kind), f"{leave.rstrip('/')}/"
    with _alone(url, kind):
        wanted = {
            place / below: Pointer(name, int(about["size"] or 0), version_of(about))
            for below, about in listed(url).items()
            if not (name := f"{url}/{below}".rstrip("/")).startswith(results)
        }
        if not wanted:
            raise DataError(f"{url} does not exist; check the bucket and the name")
        _forget(place, wanted)
        changed = {path: pointer for path, pointer in wanted.items() if not _stands(path, pointer, kind)}
        if lazy is None:
            _copy(changed)
        else:
            _point(changed, lazy)
    return place


@contextmanager
def _alone(url: str, kind: Kind) -> Iterator[None]:
    """Waits until no other command or process of a training makes what stands for this bucket, and keeps them out."""
    filelock = required("filelock", extra="cloud")
    protocol, _, rest = url.partition("://")
    path = cache() / "locks" / kind / protocol / rest.partition("/")[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path):
        yield


def _forget(place: Path, there: Collection[Path]) -> None:
    """Deletes the files below a place whose objects are gone."""
    for folder, _, names in os.walk(place, topdown=False):
        for name in names:
            if (path := Path(folder, name)) not in there:
                path.unlink(missing_ok=True)
        with suppress(OSError):  # it is not empty
            Path(folder).rmdir()


def _note(path: Path) -> Path:
    """Returns the file that says which object a copy was made of."""
    return cache() / "versions" / path.relative_to(cache() / "files").with_name(f"{path.name}.json")


def _stands(path: Path, pointer: Pointer, kind: Kind) -> bool:
    """Returns whether a file stands for an object as it is now."""
    try:
        said = json.loads((path if kind == "films" else _note(path)).read_text("utf-8"))
        sound = kind == "films" or path.stat().st_size == pointer.size
        return sound and Pointer(**{**said, "head": ""}) == pointer
    except (OSError, ValueError, TypeError):
        return False


def _point(pointers: Mapping[Path, Pointer], suffixes: Collection[str]) -> None:
    """Writes pointers; those whose names tell nothing get the first bytes of their objects."""

    def write(path: Path) -> None:
        pointer = pointers[path]
        if path.suffix.lower() not in suffixes and pointer.size:
            with asking(pointer.url):
                system, there = opened(pointer.url)
                head = system.cat_file(there, start=0, end=min(HEAD, pointer.size))
            pointer = replace(pointer, head=head.hex())
        with whole(path) as temporary:
            temporary.write_text(pointer.text(), "utf-8")

    each(write, pointers)


def _copy(pointers: Mapping[Path, Pointer]) -> None:
    """Copies objects, and notes of each copy what it was made of."""

    def write(path: Path) -> None:
        pointer, note = pointers[path], _note(path)
        note.unlink(missing_ok=True)
        with asking(pointer.url), whole(path) as temporary:
            system, there = opened(pointer.url)
            system.get_file(there, str(temporary))
            if temporary.stat().st_size != pointer.size:
                raise DataError(f"{pointer.url} has changed while it was read; run the same command again")
        with whole(note) as temporary:
            temporary.write_text(pointer.text(), "utf-8")

    each(write, pointers)


def each(work: Callable[..., None], items: Iterable[Any], *further: Any) -> None:
    """Calls a function for each item, several at once because a store takes its time.

    Args:
        work: the function; the first exception that it raises is raised here.
        items: its first arguments.
        *further: its further arguments, the same for all items.
    """
    with ThreadPoolExecutor(TOGETHER) as pool:
        try:
            for _ in pool.map(lambda item: work(item, *further), items):
                pass
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
