"""The portions of a run become one: what each has made, why sources failed, and which portions are not finished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from artasyn.bulk.journal import Entry, Journal, gone
from artasyn.bulk.portions import Portion, portions_in
from artasyn.bulk.sources import Source
from artasyn.errors import DataError
from artasyn.files.tables import read_table

Merging = Literal["", "all", "there"]
"""What a run joins: nothing, all portions, or those that are there, finished or not."""


def read_portions(
    journal: Journal, wanted: Callable[[str], bool] = lambda name: True
) -> dict[Portion, dict[str, Entry]]:
    """Returns the entries of each portion by name.

    Args:
        journal: of the folder of results, or of any of its portions.
        wanted: whether an entry of this name is returned.
    """
    there = portions_in(journal.out)
    return {each: replace(journal, folder=each.folder(journal.out)).read(wanted) for each in there}


def any_portion(made: Mapping[Portion, Mapping[str, Entry]]) -> dict[str, Entry]:
    """Returns the entries of all portions by name; a source that several portions have made is there once."""
    found: dict[str, Entry] = {}
    for entries in made.values():
        found |= entries
    return found


def joined_portions(
    journal: Journal, sources: Sequence[Source], together: int, merging: Merging
) -> tuple[dict[str, Entry], list[Entry], dict[str, str]]:
    """Joins the portions of a folder of results.

    Args:
        journal: of the whole folder.
        sources: the collection.
        together: size of the groups of sources that no division takes apart.
        merging: all or there.

    Returns:
        The entries by name, the entries of sources that are gone, and the reasons of the sources that failed by name.

    Raises:
        DataError: a portion is missing or not finished, and all are wanted.
    """
    out = journal.out
    there = portions_in(out)
    if not there:
        raise DataError(f"{out} holds no portions; run a command with --portion and this --out first")
    made = read_portions(journal)
    known, entries, reasons, lacking = any_portion(made), dict[str, Entry](), dict[str, str](), Counter[Portion]()
    for portion in there[0].others():
        own = made.pop(portion, {})
        failed = _failures(portion.folder(out) / "manifest.csv")
        if failed is None:
            lacking[portion] += 0
        for source in sources[portion.share(len(sources), together)]:
            each = (found[source.name].confirmed(source, out) for found in (own, known) if source.name in found)
            entry = next(filter(None, each), None)
            if entry:
                entries[source.name] = known[source.name] = entry  # the old one needs memory no longer
            elif source.name in (failed or {}):
                reasons[source.name] = (failed or {})[source.name]
            else:
                lacking[portion] += 1
    if lacking and merging == "all":
        told = [
            f"{portion} ({lacking[portion]} left)" if portion in there else f"{portion} (missing)"
            for portion in sorted(lacking)
        ]
        raise DataError(
            f"{out} has unfinished portions: {', '.join(told)}; run them to their end, or merge with --unfinished"
        )
    return entries, gone(known, {source.name for source in sources}, out), reasons


def _failures(manifest: Path) -> Mapping[str, str] | None:
    """Returns the reasons of the sources that failed in a portion, by name; None if the portion is not finished."""
    if not manifest.exists():
        return None
    return {row["name"]: row["reason"] for row in read_table(manifest) if row["status"] == "failed"}
