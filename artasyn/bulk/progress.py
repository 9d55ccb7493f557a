"""The progress of long work: a bar on a terminal, and a few plain lines where the screen is a file or a pipe."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterable, Sized
from typing import Any

from tqdm import tqdm

LOG = logging.getLogger("artasyn")
"""The logger of the package. Where its level is above INFO, no progress is shown."""

SECONDS, LINES = 10.0, 50
"""The least time between two plain lines, and about the largest number of lines of one piece of work."""


class _Lines:
    """A stream that writes a line to a text stream for every state of a bar that is drawn on it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.last = ""

    def write(self, text: str) -> None:
        """Writes a state of the bar, unless it is the last one again."""
        state = text.strip()
        if state and state != self.last:
            self.stream.write(state + "\n")
            self.last = state

    def flush(self) -> None:
        """Flushes the stream."""
        self.stream.flush()


def progress(
    items: Iterable[Any] | None = None,
    *,
    title: str,
    unit: str,
    total: int | None = None,
    initial: int = 0,
    hidden: bool = False,
) -> tqdm[Any]:
    """Shows on stderr how far work is.

    A terminal shows a bar. Elsewhere there is a line at the start, a line at the end and a line every ten seconds at
    most in between, fewer where the work takes long. Nothing is shown where the logger ``artasyn`` has a level above
    INFO.

    Args:
        items: what the work iterates over; without it, call `update` of the result.
        title: of the work.
        unit: one step of the work, in the singular.
        total: number of steps; None for the number of items.
        initial: number of steps that are done already.
        hidden: show nothing.

    Returns:
        A bar of tqdm: an iterable, and a context manager.

    Example:
        >>> import io
        >>> from contextlib import redirect_stderr
        >>> with redirect_stderr(io.StringIO()) as log:
        ...     done = list(progress([1, 2], title="count", unit="number"))
        >>> print(log.getvalue().split(",")[0])
        count: 0 of 2 numbers
    """
    stream = sys.stderr
    options: dict[str, Any] = {
        "desc": title,
        "unit": unit,
        "initial": initial,
        "disable": hidden or LOG.level > logging.INFO,
    }
    options["total"] = len(items) if total is None and isinstance(items, Sized) else total
    if not stream.isatty():
        units = unit + ("es" if unit.endswith("ch") else "s")
        options |= {
            "file": _Lines(stream),
            "mininterval": SECONDS,
            "maxinterval": math.inf,
            "miniters": max(1, (options["total"] or 0) // LINES),
            "bar_format": f"{{desc}}: {{n_fmt}} of {{total_fmt}} {units}, {{elapsed}} so far{{postfix}}",
        }
    return tqdm(items, **options)
