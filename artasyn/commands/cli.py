"""The command line: reads the options, runs one command, and prints the paths written and the failures."""

from __future__ import annotations

import argparse
import importlib
import inspect
import itertools
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import yaml
from jsonargparse import (  # type: ignore[attr-defined]
    ActionConfigFile,
    ArgumentParser,
    DefaultHelpFormatter,
    Namespace,
    get_loader,
    set_loader,
)

from artasyn.console.options import add_options, instantiated, read_options
from artasyn.errors import ArtasynError, DataError, OutputError
from artasyn.limits import Limits, limits, using
from artasyn.version import __version__

if TYPE_CHECKING:
    from artasyn.console.results import Done

DESCRIPTION = """Realistic lung anomalies with exact masks on normal chest radiographs, and detectors trained from them
that find real anomalies they have never seen. Start with: artasyn demo. Options may be written with - or _."""

LISTED = 20
"""Largest number of different failures that are printed, each once; the manifest lists all failures."""

LONGEST = 1_000_000
"""Largest number of characters of a configuration."""

COMMANDS = {
    "demo": "the whole chain on phantoms, no data needed, five to ten minutes",
    "segment": "find the lungs",
    "anatomy": "read structures at any angle, and measure them",
    "tokens": "ask in words for masks, boxes, names and views",
    "synthesise": "make anomalies with exact masks on normal radiographs",
    "imagine": "make films from sentences, with exact masks and filters",
    "project": "make radiographs with anatomy masks from CT, at any angle",
    "stock": "project phantoms and CTs as a stock, from which training composes films",
    "train": "train a detector on normal radiographs",
    "train-anatomy": "train a reader of anatomy on projections alone",
    "calibrate": "fit a trained detector to the healthy radiographs of another hospital",
    "detect": "look for anomalies with a trained detector",
    "evaluate": "measure a detector on a test set",
    "export": "write a trained detector as one ONNX file, which runs without torch",
}
"""The name of each command with a summary. The command's module and function have the same name, with ``_`` for a
hyphen."""


def command_function(name: str) -> tuple[Callable[[Any], Done], Any]:
    """Returns the function of a command and the dataclass of its options.

    The module of the command is imported only now, because some modules take seconds to import.
    """
    name = name.replace("-", "_")
    function: Callable[[Any], Done] = getattr(importlib.import_module(f"artasyn.commands.{name}"), name)
    return function, get_type_hints(function)["options"]


class _Help(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the line breaks of a description."""


def parser(chosen: str | None) -> ArgumentParser:
    """Returns the parser of the command line. The help of an option comes from the field that the option sets.

    Args:
        chosen: the command to run, the only one whose options are added; None adds no options.
    """
    top = ArgumentParser(prog="artasyn", description=DESCRIPTION, version=__version__, formatter_class=_Help)
    commands = top.add_subcommands(dest="command", metavar="COMMAND")
    for name, summary in COMMANDS.items():
        commands.add_subcommand(name, _options(name) if name == chosen else ArgumentParser(), help=summary)
    return top


def _options(name: str) -> ArgumentParser:
    """Returns the parser of one command's options."""
    function, options = command_function(name)
    description = inspect.cleandoc(function.__doc__ or "").split("\nArgs:")[0]
    command = ArgumentParser(description=description, formatter_class=_Help)
    command.add_argument("--config", action=ActionConfigFile, help="a YAML file with options")
    add_options(command, options)
    command.add_class_arguments(Limits, "limits", default=limits(), help="the largest sizes that readers accept")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: the arguments of the command line without the program's name; None takes those of the process.

    Returns:
        The exit status: 0 if every file succeeded, 1 if a file failed, 2 if the command could not run, 130 or 143 if it
        was stopped by Ctrl-C or by SIGTERM. A radiograph that was read but is unusable has not failed, except for
        `anatomy` and `tokens`.
    """
    with stoppable() as stops:
        try:
            return _main([_plain(argument) for argument in (sys.argv[1:] if arguments is None else arguments)])
        except ArtasynError as error:
            print(f"artasyn: {error}", file=sys.stderr)
        except OSError as error:
            print(f"artasyn: {OutputError.of(error.filename or 'a file', error)}", file=sys.stderr)
        except (KeyboardInterrupt, SystemExit) as end:  # Lightning turns an interrupt into an exit
            if not stops:
                raise
            done = f"; {end}" if isinstance(end, KeyboardInterrupt) and end.args else ""
            print(f"artasyn: stopped{done}; go on with the same command", file=sys.stderr)
            return 128 + stops[0]
    return 2


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


def _main(given: Sequence[str]) -> int:
    """Runs one command and prints its results."""
    guard_yaml()
    check_config(given)
    reader = parser(next((argument for argument in given if argument in COMMANDS), None))
    try:
        parsed = reader.parse_args(given)
    except UnicodeDecodeError as error:
        raise DataError(f"the configuration is no text in UTF-8 (byte {error.start}); save it as UTF-8") from error
    _quiet()
    chosen = instantiated(reader, parsed)
    with using(chosen[chosen.command].limits):
        done = _run(chosen)
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


def _plain(argument: str) -> str:
    """Returns an argument as the parser expects it: ``--per-image=2`` becomes ``--per_image=2``.

    A value such as ``-30,30`` gets a leading space, so that the parser does not take the value for an option.
    """
    if re.match(r"-\d+(\.\d+)?,", argument):
        return f" {argument}"
    name, equals, value = argument.partition("=")
    return name[:2] + name[2:].replace("-", "_") + equals + value if name.startswith("--") else argument


def _run(parsed: Namespace) -> Done:
    """Calls the chosen command with its options."""
    function, kind = command_function(parsed.command)
    return function(read_options(kind, vars(parsed[parsed.command])))


def _quiet() -> None:
    """Hides Lightning's warnings and messages below errors, so that the screen shows progress and results."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")


def guard_yaml() -> None:
    """Makes the command line refuse YAML that would need much time or memory; options need none of it."""
    usual = get_loader("yaml")

    def load(text: str, **options: Any) -> Any:
        check_yaml(text)
        return usual(text, **options)

    if not hasattr(usual, "guarded"):
        load.guarded = True  # type: ignore[attr-defined]
        set_loader("yaml", load, exceptions=(yaml.YAMLError,))


def check_config(arguments: Sequence[str]) -> None:
    """Refuses pipes and devices as configuration files, which may never end.

    Args:
        arguments: of the command line.

    Raises:
        DataError: the option ``--config`` names something that exists but is no regular file.
    """
    joined = [argument.partition("=")[2] for argument in arguments if argument.startswith("--config=")]
    for name in [*joined, *(name for option, name in itertools.pairwise(arguments) if option == "--config")]:
        if Path(name).exists() and not Path(name).is_file():
            raise DataError(f"{name} is no regular file; save the options in a file of YAML")


def check_yaml(text: str) -> None:
    """Refuses YAML that is long or deep, or that repeats parts of itself.

    A few lines of aliases can stand for a billion values.

    Args:
        text: the YAML.

    Raises:
        yaml.YAMLError: the YAML is refused, or is none.

    Example:
        >>> check_yaml("a: [1, 2]")
        >>> check_yaml("[&a [1], *a]")
        Traceback (most recent call last):
            ...
        yaml.error.YAMLError: line 1 repeats another part (*a); write the value itself
    """
    if len(text) > LONGEST:
        raise yaml.YAMLError(f"{len(text)} characters are no options; {LONGEST} are allowed")
    depth = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1
            raise yaml.YAMLError(f"line {line} repeats another part (*{event.anchor}); write the value itself")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > limits().nesting:
            raise yaml.YAMLError(f"brackets or indents are nested deeper than {limits().nesting}; flatten them")
