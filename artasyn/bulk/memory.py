"""Memory that a process keeps when it frees it, for the films that come next."""

from __future__ import annotations

import ctypes
import functools

_TRIM, _MMAP = -1, -3
"""Names of two settings in glibc: ``M_TRIM_THRESHOLD`` and ``M_MMAP_THRESHOLD``."""

LARGEST = 32 << 20
"""Bytes of the largest block that is kept, the most that glibc allows."""


@functools.cache
def keep_freed() -> bool:
    """Lets this process keep the memory that it frees, and returns whether it does.

    One film after the other takes and frees the same megabytes. By default glibc gives them back to the system, and
    every new page of them costs time again: a tenth of a training and of `artasyn segment`. The peak of memory stays as
    it is. Where another library manages memory (macOS, Windows, musl), nothing changes.

    Source: mallopt(3) of the Linux manual pages.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc; a function that is missing is an AttributeError
        return False
    return bool(set_option(_MMAP, LARGEST) and set_option(_TRIM, 2**31 - 1))
