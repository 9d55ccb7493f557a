"""One command: its options are read, it runs, and its results are shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from artasyn.cli.catalogue import COMMANDS, command_function
from artasyn.cli.configuration import check_config, guard_yaml
from artasyn.cli.ending import show
from artasyn.cli.parsing import ALL, parser, plain
from artasyn.cli.screen import on_screen
from artasyn.cli.stops import stoppable
from artasyn.console.options import instantiated, read_options
from artasyn.console.places import sent
from artasyn.errors import ArtasynError, DataError, OutputError
from artasyn.limits import using
from artasyn.remote.urls import shown

if TYPE_CHECKING:
    from artasyn.console.results import Done


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: the arguments of the command line without the program's name; None takes those of the process.

    Returns:
        The exit status: 0 if every file succeeded, 1 if a file failed, 2 if the command could not run or none was
        given, 130 or 143 if it
        was stopped by Ctrl-C or by SIGTERM. A radiograph that was read but is unusable has not failed, except for
        `anatomy` and `tokens`.
    """
    with stoppable() as stops:
        try:
            return _main([plain(argument) for argument in (sys.argv[1:] if arguments is None else arguments)])
        except ArtasynError as error:
            print(f"artasyn: {shown(str(error))}", file=sys.stderr)
        except OSError as error:
            print(f"artasyn: {shown(str(OutputError.of(error.filename or 'a file', error)))}", file=sys.stderr)
        except (KeyboardInterrupt, SystemExit) as end:  # Lightning turns an interrupt into an exit
            if not stops:
                raise
            done = f"; {end}" if isinstance(end, KeyboardInterrupt) and end.args else ""
            print(f"artasyn: stopped{done}; go on with the same command", file=sys.stderr)
            return 128 + stops[0]
    return 2


def _main(given: Sequence[str]) -> int:
    """Runs one command and prints its results."""
    guard_yaml()
    check_config(given)
    everything = plain(ALL) in given
    reader = parser(next((argument for argument in given if argument in COMMANDS), None), everything=everything)
    if not given:
        reader.print_help(sys.stderr)
        return 2
    given = ["--help" if argument == plain(ALL) else argument for argument in given]
    try:
        parsed = reader.parse_args(given)
    except UnicodeDecodeError as error:
        raise DataError(f"the configuration is no text in UTF-8 (byte {error.start}); save it as UTF-8") from error
    chosen = instantiated(reader, parsed)
    with on_screen(quiet=chosen[chosen.command].quiet), using(chosen[chosen.command].limits):
        return show(_run(chosen))


def _run(parsed: Any) -> Done:
    """Calls the chosen command with its options."""
    function, kind = command_function(parsed.command)
    options = read_options(kind, vars(parsed[parsed.command]))
    machines = getattr(options, "machines", None)
    with sent(getattr(options, "out", None), getattr(machines, "portion", "")):
        return function(options)
