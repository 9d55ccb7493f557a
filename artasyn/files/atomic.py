"""Files that are there whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LEFTOVER = ".artasyn-*.tmp"
"""What a killed process may leave behind; a name of ours, so safe to delete."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside a file, renamed to it when the block ends well and deleted when it does not.

    Args:
        path: the file to write; its folder is made.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder) / "a.txt") as temporary:
        ...         _ = temporary.write_text("whole")
        ...     (Path(folder) / "a.txt").read_text()
        'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(LEFTOVER.replace("*", uuid.uuid4().hex))
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file, whole or not at all.

    Args:
        path: the file to write; its folder is made.
        data: its content.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file, whole or not at all, the same bytes on every system.

    Args:
        path: the file to write; its folder is made.
        text: its text; bytes of file names that were no UTF-8 are written as they were.
    """
    write_bytes(path, text.encode("utf-8", "surrogateescape"))
