"""The command line: options in, what was written and what failed out."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import itertools
import logging
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from jsonargparse import ActionConfigFile, ArgumentParser, DefaultHelpFormatter, Namespace  # type: ignore[attr-defined]

from artasyn.commands.shared import Done
from artasyn.errors import ArtasynError
from artasyn.findings import LesionKind
from artasyn.segment.lungs import Zone
from artasyn.synthesis import FINDINGS
from artasyn.version import __version__

DESCRIPTION = """Realistic lung anomalies with exact masks on normal chest radiographs, and detectors trained from them
that find real anomalies they have never seen. Start with: artasyn demo. Options may be written with - or _."""

FILES = "radiographs (PNG, JPEG, TIFF, DICOM) and folders of them, which are walked recursively"

CTS = "CT volumes (NIfTI, NRRD, MetaImage, folders of DICOM series) and folders of them, which are walked recursively"

LISTS: dict[str, dict[str, Any]] = {
    "inputs": {"nargs": "+", "type": Path, "help": FILES},
    "normal": {"nargs": "+", "type": Path, "help": FILES, "required": True},
    "findings": {
        "nargs": "+",
        "metavar": "NAME",
        "help": f"the findings to make, instead of the usual mixture: {', '.join(FINDINGS)}",
    },
    "severity": {
        "nargs": 2,
        "type": float,
        "metavar": ("LOW", "HIGH"),
        "help": "attenuation of the densest parts of every finding, in (0, 1]; 1 is soft tissue (default: as usual "
        "for each finding)",
    },
    "zones": {
        "nargs": "+",
        "type": Zone,
        "metavar": "ZONE",
        "help": f"where the findings may lie: {', '.join(get_args(Zone))} (default: as usual for each finding)",
    },
}
"""Options that take several values."""

LISTS |= {
    "views": {
        "nargs": "+",
        "metavar": "VIEW",
        "default": ["pa"],
        "help": "pa, ap, lateral, right_lateral, or angles in degrees: 0 PA, 90 left lateral; several with commas or "
        "spaces",
    },
    "masks": {
        "nargs": "+",
        "type": Path,
        "metavar": "FILE",
        "help": "further masks of the one CT, a lesion for instance",
    },
    "lesions": {
        "nargs": "+",
        "metavar": "LESION",
        "help": f"lesions to put into the lungs of every film: {', '.join(get_args(LesionKind))}",
    },
}

FLAGS = {"keep_rejected": "make films of volumes, and keep films, that quality control rejects"}
"""Options without a value."""

PYTHON_ONLY = {"synthesis"}
"""Parameters of the functions that are no options, because several options stand for each."""

LISTED = 20
"""Failures that are printed, each once; all of them are in the manifest."""

COMMANDS = {
    "demo": "the whole chain on phantoms, no data needed, five to ten minutes",
    "segment": "find the lungs",
    "synthesise": "make anomalies with exact masks on normal radiographs",
    "project": "make radiographs with anatomy masks from CT, at any angle",
    "train": "train a detector on normal radiographs",
    "detect": "look for anomalies with a trained detector",
    "evaluate": "measure a detector on a test set",
    "export": "write a trained detector as one ONNX file, which runs without torch",
}
"""Each command's name, which its module and its function bear too, with a summary."""


def command_function(name: str) -> Callable[..., Done]:
    """The function of a command; its module is imported now, some take seconds."""
    function: Callable[..., Done] = getattr(importlib.import_module(f"artasyn.commands.{name}"), name)
    return function


class _Help(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Leaves a description's lines as they are."""


def parser(chosen: str | None) -> ArgumentParser:
    """The parser of the command line; every option is documented by the function it belongs to.

    Args:
        chosen: the command that is to be run, the only one that gets its options.
    """
    top = ArgumentParser(prog="artasyn", description=DESCRIPTION, version=__version__, formatter_class=_Help)
    commands = top.add_subcommands(dest="command", metavar="COMMAND")
    for name, summary in COMMANDS.items():
        commands.add_subcommand(name, _options(name) if name == chosen else ArgumentParser(), help=summary)
    return top


def _options(name: str) -> ArgumentParser:
    """The options of one command."""
    function = command_function(name)
    description = inspect.cleandoc(function.__doc__ or "").split("\nArgs:")[0]
    command = ArgumentParser(description=description)  # shown by the formatter of the parser above it
    command.add_argument("--config", action=ActionConfigFile, help="a YAML file with options")
    parameters = inspect.signature(function).parameters
    for option in [name for name in parameters if name in LISTS]:
        about = LISTS[option] | ({"help": CTS} if (name, option) == ("project", "inputs") else {})
        command.add_argument(option if option == "inputs" else f"--{option}", **about)
    for flag in FLAGS.keys() & parameters.keys():
        command.add_argument(f"--{flag}", action="store_true", help=FLAGS[flag])
    command.add_function_arguments(function, skip={*LISTS, *FLAGS, *PYTHON_ONLY, "training"})
    if "training" in parameters:
        training = parameters["training"].default
        command.add_class_arguments(type(training), skip={"seed"} & parameters.keys())
        command.set_defaults(epochs=training.epochs)
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: of the command line, without the program's name; those of the process where None.

    Returns:
        The exit status: 0, or 1 where a file failed, 2 where the command could not run.
    """
    given = [_plain(argument) for argument in (sys.argv[1:] if arguments is None else arguments)]
    reader = parser(next((argument for argument in given if argument in COMMANDS), None))
    parsed = reader.parse_args(given)
    _quiet()
    try:
        done = _run(reader.instantiate(parsed))
    except ArtasynError as error:
        print(f"artasyn: {error}", file=sys.stderr)
        return 2
    for path in done.written:
        print(path)
    failures = done.failures
    if failures:
        print(f"\n{len(failures)} of {len(done.outcomes)} failed; all are listed in the manifest:", file=sys.stderr)
        counts = Counter((str(outcome.source.path), outcome.reason) for outcome in failures)
        for (source, reason), count in itertools.islice(counts.items(), LISTED):
            line = reason if reason.startswith(source) else f"{source}: {reason}"
            print(f"  {line}" + f" ({count} times)" * (count > 1), file=sys.stderr)
    return 1 if failures else 0


def _plain(argument: str) -> str:
    """An option's name as the parser knows it: ``--per-image=2`` becomes ``--per_image=2``; ``-30,30`` is no option."""
    if re.match(r"-\d+(\.\d+)?,", argument):
        return f" {argument}"
    name, equals, value = argument.partition("=")
    return name[:2] + name[2:].replace("-", "_") + equals + value if name.startswith("--") else argument


def _run(options: Namespace) -> Done:
    """Calls the chosen command with its options."""
    arguments = dict(vars(options[options.command]))
    arguments.pop("config", None)
    arguments |= {name: _several(arguments[name]) for name in LISTS.keys() & arguments.keys()}
    function = command_function(options.command)
    parameters = inspect.signature(function).parameters
    if "training" in parameters:
        kind = type(parameters["training"].default)
        names = {field.name for field in dataclasses.fields(kind)} & arguments.keys()
        training = kind(**{name: arguments[name] for name in names})
        arguments = {n: v for n, v in arguments.items() if n not in names - parameters.keys()} | {"training": training}
    return function(**arguments)


def _several(value: Any) -> tuple[Any, ...] | None:
    """The values of an option; a configuration file may hold one alone."""
    values = (value,) if isinstance(value, (str, int, Path)) else tuple(value or ())
    return values or None


def _quiet() -> None:
    """Leaves the screen to progress and results: Lightning's advice belongs to its developers."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
