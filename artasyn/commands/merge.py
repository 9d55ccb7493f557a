"""The command that joins the portions of a run."""

from __future__ import annotations

import dataclasses
import importlib
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from artasyn.bulk.journal import Journal
from artasyn.bulk.lock import claimed
from artasyn.bulk.portions import COMMAND, delete_portions, portions_in
from artasyn.console.machines import options_of
from artasyn.console.options import flag, option, remote
from artasyn.console.results import Done
from artasyn.errors import DataError
from artasyn.files.texts import read_text
from artasyn.records import parse_json
from artasyn.remote.urls import place_of, url_in

COMMANDS = ("segment", "anatomy", "tokens", "synthesise", "imagine", "project", "stock", "detect")
"""The commands that work on portions."""


@dataclass(frozen=True)
class MergeOptions:
    """Options of `merge`."""

    out: Path = field(
        metadata=remote("results", option("the folder that the portions wrote to, or its URL", positional=True))
    )
    unfinished: bool = field(
        default=False,
        metadata=flag(
            "join what is there, although portions are missing or not finished; they can go on later", main=True
        ),
    )


def merge(options: MergeOptions) -> Done:
    """Joins the portions of a run, which several machines or jobs made with --portion, as if one run had made them.

    For example: artasyn merge lungs
    This joins what artasyn segment films/ --out lungs --portion I/4 wrote in four jobs, with I from 1 to 4.

    Writes to OUT, for the whole collection: what the command of the portions writes at its end, such as manifest.csv,
    sheets, tables, annotations.json and reports, with the same bytes as one run without --portion. No radiograph is
    worked on again. The folder is that of a whole run then, and the command goes on there without --portion.

    Portions that are missing or not finished are refused by name. With --unfinished, the files are about what is there,
    and the portions stay, so that the others can go on and `artasyn merge` can run again.

    Run it where the portions were run: in a folder from which the same paths lead to the radiographs.

    Args:
        options: the folder, and whether to wait for all portions.
    """
    out = options.out
    portions = portions_in(out)
    if not portions and Journal(out, (), ()).path.exists():
        delete_portions(out)  # what a merge has left that was killed when it was done
        raise DataError(f"{out} holds no portions, but the results of a whole run or of a merge; go on without merge")
    if not portions:
        raise DataError(f"{out} holds no portions; run a command with --portion I/N and --out {out} first")
    with claimed(out), ExitStack() as stack:
        for portion in portions:
            stack.enter_context(claimed(portion.folder(out), ranks=False))
        kept = _kept(portions[0].folder(out) / COMMAND, out)
        command = importlib.import_module(f"artasyn.commands.{kept['command']}")
        function = getattr(command, kept["command"])
        again = options_of(
            get_type_hints(function)["options"], kept["options"], "there" if options.unfinished else "all"
        )
        done: Done = function(again)
        if not options.unfinished:
            stack.close()
            delete_portions(out)
            return done
    notes = (
        *done.notes,
        f"the portions in {out} are not joined for good; they can go on, and then artasyn merge {out}",
    )
    return dataclasses.replace(done, notes=notes)


def _kept(path: Path, out: Path) -> dict[str, Any]:
    """Returns the command of the portions and its options.

    Raises:
        DataError: the file is damaged, or its paths do not lead to the same places from here.
    """
    try:
        kept = dict(parse_json(read_text(path)))
        command, place, options = kept["command"], Path(kept["place"]), dict(kept["options"])
        there = Path(options["out"])
        there = place_of(url, "results") if (url := url_in(there)) else there
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path} is missing or damaged; run its portion again") from error
    if command not in COMMANDS:
        raise DataError(f"{path} names no command that works on portions; run its portion again")
    if place.resolve() != Path.cwd().resolve():
        raise DataError(f"the portions in {out} were run in {place}; run artasyn merge there too, so that paths agree")
    if there.resolve() != out.resolve():
        raise DataError(f"{out} was {there} when its portions were run; run artasyn merge {there}")
    return kept
