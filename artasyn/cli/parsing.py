"""The parser of the command line, made from the options of one command."""

from __future__ import annotations

import argparse
import inspect
import re

from jsonargparse import ActionConfigFile, ArgumentParser, DefaultHelpFormatter  # type: ignore[attr-defined]

from artasyn.cli.catalogue import COMMANDS, command_function
from artasyn.console.options import add_options
from artasyn.limits import Limits, limits
from artasyn.version import __version__

DESCRIPTION = """Realistic lung anomalies with exact masks on normal chest radiographs, and detectors trained from them
that find real anomalies they have never seen. Start with: artasyn demo. Options may be written with - or _."""


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


def plain(argument: str) -> str:
    """Returns an argument as the parser expects it: ``--per-image=2`` becomes ``--per_image=2``.

    A value such as ``-30,30`` gets a leading space, so that the parser does not take the value for an option.
    """
    if re.match(r"-\d+(\.\d+)?,", argument):
        return f" {argument}"
    name, equals, value = argument.partition("=")
    return name[:2] + name[2:].replace("-", "_") + equals + value if name.startswith("--") else argument
