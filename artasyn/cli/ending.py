"""The end of a command: the paths written, the failures, one line of result, and the exit status."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from typing import TYPE_CHECKING

from artasyn.cli.screen import LOG
from artasyn.remote.urls import shown

if TYPE_CHECKING:
    from artasyn.console.results import Done

LISTED = 20
"""Largest number of different failures that are printed, each once; the manifest lists all failures."""


def show(done: Done) -> int:
    """Prints the paths on stdout and everything else on stderr; returns the exit status, 1 if a source failed.

    Args:
        done: the results of a command.
    """
    for path in done.written:
        print(shown(str(path)))
    status = 1 if done.failures or (done.strict and done.unusable) else 0
    _list_unusable(done)
    _list_failures(done)
    for note in done.notes:
        LOG.info(note)
    LOG.info(result(done))
    return status


def result(done: Done) -> str:
    """Returns the last line of a command: what came of it, and the file to open.

    Args:
        done: the results of the command.
    """
    said = done.said or _counted(done)
    if not done.written:
        return said
    first = done.written[0]
    return f"{said}; {'open' if first.suffix in ('.png', '.html') else 'see'} {first}"


def _counted(done: Done) -> str:
    """Returns how many sources there were, and what became of them."""
    total, unusable, failed = len(done.outcomes), len(done.unusable), len(done.failures)
    tally = done.tally or {"done": total - unusable - failed}
    parts = [f"{count} {word}" for word, count in tally.items()]
    parts += [f"{count} {word}" for word, count in (("unusable", unusable), ("failed", failed)) if count]
    return f"{total} {done.unit}{'s' * (total != 1)}: {', '.join(parts)}"


def _list_unusable(done: Done) -> None:
    """Lists the radiographs that were read but not judged, with their reasons; as errors where they count as such."""
    unusable, level = done.unusable, logging.ERROR if done.strict else logging.INFO
    if unusable:
        LOG.log(level, "\n%d of %d are unusable, and listed last:", len(unusable), len(done.outcomes))
    for outcome, row in unusable[:LISTED]:
        LOG.log(level, "  %s: %s", outcome.source.path, row["reason"])
    if len(unusable) > LISTED:
        LOG.log(level, "  ... and %d more, see the manifest", len(unusable) - LISTED)


def _list_failures(done: Done) -> None:
    """Lists the failures, each reason once for a source."""
    failures = done.failures
    if failures:
        LOG.error("\n%d of %d failed; all are listed in the manifest:", len(failures), len(done.outcomes))
    counts = Counter((str(outcome.source.path), outcome.reason) for outcome in failures)
    for (source, reason), count in itertools.islice(counts.items(), LISTED):
        line = reason if reason.startswith(source) else f"{source}: {reason}"
        LOG.error("  %s%s", line, f" ({count} times)" * (count > 1))
