"""SIGINT and SIGTERM, which stop a command."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stoppable() -> Iterator[list[int]]:
    """Turns SIGINT and SIGTERM into `KeyboardInterrupt` inside a block; a second signal ends the process at once.

    Python drops an exception that is raised while an object is deleted; the signal is then sent again.

    Yields:
        The numbers of the signals that came; filled while the block runs.
    """
    stops: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    usual = sys.unraisablehook

    def stop(number: int, frame: object) -> None:
        stops.append(number)
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    def dropped(exception: sys.UnraisableHookArgs) -> None:
        if not stops or not issubclass(exception.exc_type, KeyboardInterrupt):
            usual(exception)
            return
        for each in numbers:
            signal.signal(each, stop)
        threading.Timer(0.2, os.kill, (os.getpid(), stops[0])).start()

    before = [signal.signal(number, stop) for number in numbers]
    sys.unraisablehook = dropped
    try:
        yield stops
    finally:
        sys.unraisablehook = usual
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
