"""The end of a command: the paths written, the failures, and the exit status."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artasyn.console.results import Done

LISTED = 20
"""Largest number of different failures that are printed, each once; the manifest lists all failures."""


def show(done: Done) -> int:
    """Prints the results of a command; returns its exit status, 1 if a source failed.

    Args:
        done: the results.
    """
    for path in done.written:
        print(path)
    _list_unusable(done)
    failures = done.failures
    if failures:
        print(f"\n{len(failures)} of {len(done.outcomes)} failed; all are listed in the manifest:", file=sys.stderr)
        counts = Counter((str(outcome.source.path), outcome.reason) for outcome in failures)
        for (source, reason), count in itertools.islice(counts.items(), LISTED):
            line = reason if reason.startswith(source) else f"{source}: {reason}"
            print(f"  {line}" + f" ({count} times)" * (count > 1), file=sys.stderr)
    for note in done.notes:
        print(note, file=sys.stderr)
    return 1 if failures or (done.strict and done.unusable) else 0


def _list_unusable(done: Done) -> None:
    """Prints the radiographs that were read but not judged, with their reasons."""
    unusable = done.unusable
    if unusable:
        print(f"\n{len(unusable)} of {len(done.outcomes)} are unusable, and listed last:", file=sys.stderr)
    for outcome, row in unusable[:LISTED]:
        print(f"  {outcome.source.path}: {row['reason']}", file=sys.stderr)
    if len(unusable) > LISTED:
        print(f"  ... and {len(unusable) - LISTED} more, see the manifest", file=sys.stderr)
