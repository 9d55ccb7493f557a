"""One process at a time writes into a folder of results."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from artasyn.errors import DataError, OutputError

LOCK = ".lock"
"""The file, in a folder of results, that the writing process locks; it is deleted at the end."""

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
"""Environment variables that number the processes of one distributed training."""

UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""Errors of file systems that know no locks; the folder is then used without one."""

_HELD: set[tuple[Path, int]] = set()
"""The claims of this process, each with its thread."""


@contextmanager
def claimed(out: Path, *, ranks: bool = True) -> Iterator[None]:
    """Claims a folder of results for this thread of this process.

    The claim ends with the block, and it dies with the process. A claim inside a claim of the same folder does nothing.
    The processes of one distributed training share the claim of the first of them.

    Args:
        out: the folder; created if it is missing.
        ranks: whether the processes of one distributed training share the claim.

    Raises:
        DataError: another process or thread has claimed the folder, or the path is no folder.
        OutputError: the folder cannot be made or written to.
    """
    key = out.resolve(), threading.get_ident()
    if key in _HELD or (ranks and any(os.environ.get(name, "0") not in ("", "0") for name in RANKS)):
        yield
        return
    descriptor = _open(out)
    _HELD.add(key)
    try:
        yield
    finally:
        _HELD.discard(key)
        with suppress(OSError):
            (out / LOCK).unlink()  # while it is locked, so that no one else has locked the file that is deleted
        os.close(descriptor)


def _open(out: Path) -> int:
    """Makes the folder, and opens and locks the file in it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(out / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock(descriptor)
                if _is_still_there(descriptor, out / LOCK):  # the process before may have deleted it by now
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(f"{out} is a file or lies below one; name a folder for the results") from error
    except BlockingIOError as error:
        raise DataError(
            f"{out} is in use by another artasyn; wait until that has ended, or choose another folder"
        ) from error
    except OSError as error:
        raise OutputError.of(out, error) from error


def _is_still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _lock(descriptor: int) -> None:
    """Locks an open file for as long as it is open.

    Raises:
        BlockingIOError: another process has locked it.
    """
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
    else:
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
