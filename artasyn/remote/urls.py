"""URLs of object stores, the folders of this machine that stand for them, and what a store says when it fails."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from artasyn.doors import required
from artasyn.errors import FULL, ArtasynError, DataError, MissingExtra, OutputError, StoreError

Kind = Literal["films", "files", "results"]
"""What a folder that stands for a URL holds: pointers to films, copies of files, or results on their way to a store."""

CACHE = "ARTASYN_CACHE"
"""The environment variable with the folder for all of these; without it ``~/.cache/artasyn``."""

HERE = ("file", "local")
"""Protocols of URLs that name files of this machine."""


def cache() -> Path:
    """Returns the folder that holds what stands for URLs."""
    return _cache(os.environ.get(CACHE, ""), os.environ.get("HOME", ""))


@functools.lru_cache(maxsize=8)
def _cache(told: str, home: str) -> Path:
    """Returns the folder for these values of the environment; it is asked for with every film."""
    return Path(told or Path.home() / ".cache" / "artasyn").absolute()


def url_in(path: Path) -> str:
    """Returns the URL that a path was made from, "" if it is none. A path has one slash where the URL has two.

    Args:
        path: as a command line or a configuration gives it.

    Raises:
        DataError: the URL names a place of this machine, climbs out of its folder, or holds a password.

    Example:
        >>> url_in(Path("s3://bucket/films")), url_in(Path("films"))
        ('s3://bucket/films', '')
    """
    found = re.fullmatch(r"([a-z][a-z0-9+.-]+):/{1,2}([^/].*)", str(path), re.DOTALL)
    if not found or path.exists():
        return ""
    protocol, rest = found.groups()
    if protocol in HERE:
        raise DataError(f"{protocol}:///{rest} is a place of this machine; give the path without {protocol}://")
    if ".." in PurePosixPath(rest).parts:
        raise DataError(f"{protocol}://{rest} has .. in it; give the URL of the folder itself")
    if re.match(r"[^/]*:[^/]*@", rest):
        raise DataError(
            f"{protocol}://...@{rest.partition('@')[2]} holds a password, which would stand in manifests and messages; "
            "leave it out, and put it into fsspec's configuration"
        )
    return f"{protocol}://{rest}"


def place_of(url: str, kind: Kind) -> Path:
    """Returns the path of this machine that stands for a URL.

    Args:
        url: the URL.
        kind: of what it stands for.
    """
    protocol, _, rest = url.partition("://")
    return cache() / kind / protocol / rest.rstrip("/")


def shown(text: str) -> str:
    """Returns a text with the URLs in place of the paths of this machine that stand for them.

    Args:
        text: a path, a message, a table's cell.
    """
    place = str(cache())
    if place not in text:
        return text
    return re.sub(rf"{re.escape(place)}/(?:films|files|results)/([a-z0-9+.-]+)/", r"\1://", text)


def url_of(path: Path, kind: Kind) -> str:
    """Returns the URL that a path of this machine stands for, "" if it stands for none.

    Args:
        path: the path.
        kind: of what it stands for.
    """
    return shown(str(path)) if str(path).startswith(f"{cache() / kind}{os.sep}") else ""


def opened(url: str) -> tuple[Any, str]:
    """Returns the file system of a URL, as fsspec knows it, and the path in it; nothing is asked of the store yet.

    Args:
        url: the URL.

    Raises:
        MissingExtra: a package is missing.
        DataError: fsspec knows no such protocol.
        StoreError: the store does not let this user in.
    """
    fsspec = required("fsspec", extra="cloud")
    protocol = url.partition("://")[0]
    if protocol not in fsspec.available_protocols():
        raise DataError(f"{url}: fsspec knows no {protocol}://; s3:// and gs:// are usual")
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        raise MissingExtra(
            f"{url} needs a package ({error}); for s3:// and gs://, pip install artasyn[cloud]"
        ) from error
    host, _, below = url.partition("://")[2].partition("/")  # a name with :: in it is no chain of file systems
    with asking(url):
        system, root = fsspec.core.url_to_fs(f"{protocol}://{host}", use_listings_cache=False)
    return system, f"{str(root).rstrip('/')}/{below}".rstrip("/")


def copy_of(text: str) -> Path:
    """Returns the path of this machine that a record means: that of the copy of a URL, or the text itself.

    Args:
        text: a path or a URL, as `shown` writes it.
    """
    url = url_in(Path(text))
    return place_of(url, "files") if url else Path(text)


@contextmanager
def asking(url: str) -> Iterator[None]:
    """Turns what goes wrong between this machine and a store into one error that names the URL.

    Args:
        url: what is asked for.

    Raises:
        DataError: there is no such bucket or object, or it can have no such name.
        StoreError: the store does not answer, or does not let this user in.
        OutputError: the disk of this machine is full.
    """
    try:
        yield
    except ArtasynError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{url} does not exist ({_brief(error)}); check the bucket and the name") from error
    except UnicodeEncodeError as error:
        raise DataError(f"{url} has a name that is no UTF-8, which stores need; rename the file") from error
    except Exception as error:  # every store has its own exceptions
        if isinstance(error, OSError) and error.errno in FULL:
            raise OutputError.of(cache(), error) from error
        said = f"{type(error).__name__} {error}"
        if isinstance(error, PermissionError) or re.search(r"credential|forbidden|denied|unauthori[sz]ed", said, re.I):
            raise StoreError(
                f"{url}: access is refused ({_brief(error)}); check the credentials and their rights"
            ) from error
        raise StoreError(
            f"{url}: the store does not answer ({_brief(error)}); check the network, then go on with the same command"
        ) from error


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside a file, which takes its place when the block succeeds.

    Args:
        path: the file; its folder is created.
    """
    temporary = path.with_name(f".artasyn-{os.urandom(16).hex()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
