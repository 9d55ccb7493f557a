"""Atomic writes: a file is complete or it does not exist."""

from __future__ import annotations

import errno
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from artasyn.errors import OutputError

LEFTOVER = ".artasyn-*.tmp"
"""Name of temporary files that a killed process may leave behind; only artasyn uses it, so deleting them is safe."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside a file.

    The temporary file is renamed to the file when the block succeeds, and deleted when the block raises.

    Args:
        path: the file to write; its folder is created.

    Raises:
        OutputError: nothing can be written there; a name that is too long stays an `OSError`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder) / "a.txt") as temporary:
        ...         _ = temporary.write_text("whole")
        ...     (Path(folder) / "a.txt").read_text()
        'whole'
    """
    temporary = path.with_name(LEFTOVER.replace("*", uuid.uuid4().hex))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError) or isinstance(error, OutputError) or error.errno == errno.ENAMETOOLONG:
            raise
        raise OutputError.of(path, error) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file, whole or not at all.

    Args:
        path: the file to write; its folder is created.
        data: the content of the file.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_texts(path: Path, texts: Iterable[str]) -> None:
    """Writes a UTF-8 text file as `write_text` does, part by part, so that a long file needs little memory.

    Args:
        path: the file to write; its folder is created.
        texts: the parts of the content, in order.
    """
    options: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    with replacing(path) as temporary, temporary.open("w", **options) as file:
        file.writelines(texts)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file, whole or not at all, with the same bytes on every system.

    Args:
        path: the file to write; its folder is created.
        text: the content; surrogate escapes (bytes of file names that are not UTF-8) are written as these bytes.
    """
    write_bytes(path, text.encode("utf-8", "surrogateescape"))
