"""The command line: options in, what was written and what failed out."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from artasyn.commands import Done, detect, segment, synthesise, train
from artasyn.demo import demo
from artasyn.errors import ArtasynError
from artasyn.evaluation import evaluate
from artasyn.training import TrainingRun
from artasyn.version import __version__

DESCRIPTION = """Realistic lung anomalies with exact masks on normal chest radiographs, and detectors trained from them
that find real anomalies they have never seen. Start with: artasyn demo. Options may be written with - or _."""

FILES = "radiographs (PNG, JPEG, TIFF, DICOM) and folders of them, which are walked recursively"

LISTED = 20
"""Failures that are printed; all of them are in the manifest."""


COMMANDS: dict[str, tuple[Callable[..., Done], str]] = {
    "demo": (demo, "the whole chain on phantoms, no data needed, five minutes"),
    "segment": (segment, "find the lungs"),
    "synthesise": (synthesise, "make anomalies with exact masks on normal radiographs"),
    "train": (train, "train a detector on normal radiographs"),
    "detect": (detect, "look for anomalies with a trained detector"),
    "evaluate": (evaluate, "measure a detector on a test set"),
}


def parser() -> ArgumentParser:
    """The parser of the command line; every option is documented by the function it belongs to."""
    top = ArgumentParser(prog="artasyn", description=DESCRIPTION, version=__version__)
    commands = top.add_subcommands(dest="command", metavar="COMMAND")
    for name, (function, summary) in COMMANDS.items():
        description = (function.__doc__ or "").split("\n    Args:")[0]
        command = ArgumentParser(description=description)
        command.add_argument("--config", action=ActionConfigFile, help="a YAML file with options")
        parameters = inspect.signature(function).parameters
        if "inputs" in parameters:
            command.add_argument("inputs", nargs="+", type=Path, help=FILES)
        if "normal" in parameters:
            command.add_argument("--normal", nargs="+", type=Path, required=True, help=FILES)
        command.add_function_arguments(function, skip={"inputs", "normal", "training"})
        if "training" in parameters:
            command.add_class_arguments(TrainingRun, skip={"seed"} & parameters.keys())
            default = parameters["training"].default
            command.set_defaults({name: getattr(default, name) for name in ("epochs",)})
        commands.add_subcommand(name, command, help=summary)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: of the command line, without the program's name; those of the process where None.

    Returns:
        The exit status: 0, or 1 where a file failed, 2 where the command could not run.
    """
    reader = parser()
    given = [_with_underscores(argument) for argument in (sys.argv[1:] if arguments is None else arguments)]
    options = reader.instantiate(reader.parse_args(given))
    _quiet()
    try:
        done = _run(options)
    except ArtasynError as error:
        print(f"artasyn: {error}", file=sys.stderr)
        return 2
    for path in done.written:
        print(path)
    failures = done.failures
    if failures:
        print(f"\n{len(failures)} of {len(done.outcomes)} failed; all are listed in the manifest:", file=sys.stderr)
        for outcome in failures[:LISTED]:
            print(f"  {outcome.source.path}: {outcome.reason}", file=sys.stderr)
    return 1 if failures else 0


def _with_underscores(argument: str) -> str:
    """An option's name as the parser knows it: ``--per-image=2`` becomes ``--per_image=2``."""
    name, equals, value = argument.partition("=")
    return name[:2] + name[2:].replace("-", "_") + equals + value if name.startswith("--") else argument


def _run(options: Namespace) -> Done:
    """Calls the chosen command with its options."""
    arguments = dict(vars(options[options.command]))
    arguments.pop("config", None)
    function, _ = COMMANDS[options.command]
    if "training" in inspect.signature(function).parameters:
        names = {field.name for field in dataclasses.fields(TrainingRun)} & arguments.keys()
        own = names - inspect.signature(function).parameters.keys()
        training = TrainingRun(**{name: arguments[name] for name in names})
        arguments = {n: v for n, v in arguments.items() if n not in own} | {"training": training}
    return function(**arguments)


def _quiet() -> None:
    """Leaves the screen to progress and results: Lightning's advice belongs to its developers."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
