"""Silence about unusual metadata, for any number of threads at once."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARIES = r"(PIL|pydicom)(\.|$)"
"""The libraries whose warnings are about metadata that the standards forbid."""

_LOCK = threading.Lock()
_inside: list[warnings.catch_warnings] = []
_depth = 0


@contextmanager
def quiet() -> Iterator[None]:
    """Ignores the warnings of `LIBRARIES`; the first thread that enters changes the filters, the last restores them.

    `warnings.catch_warnings` alone leaves the filters changed for good where threads enter and leave it in turn.
    """
    global _depth  # counts over all threads
    with _LOCK:
        if _depth == 0:
            _inside.append(warnings.catch_warnings())
            _inside[-1].__enter__()
            warnings.filterwarnings("ignore", module=LIBRARIES)
        _depth += 1
    try:
        yield
    finally:
        with _LOCK:
            _depth -= 1
            if _depth == 0:
                _inside.pop().__exit__(None, None, None)
