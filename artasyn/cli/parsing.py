"""The parser of the command line, made from the options of one command."""

from __future__ import annotations

import argparse
import inspect
import re

from jsonargparse import ActionConfigFile, ArgumentParser, DefaultHelpFormatter  # type: ignore[attr-defined]

from artasyn.cli.catalogue import COMMANDS, command_function
from artasyn.console.options import add_options, main_options
from artasyn.limits import Limits, limits
from artasyn.version import __version__

DESCRIPTION = """Realistic lung anomalies with exact masks on normal chest radiographs, and detectors trained from them
that find real anomalies they have never seen. Options may be written with - or _.

For example: artasyn demo
             artasyn detect film.png"""

ALL = "--help-all"
"""The option that shows the whole help."""

EPILOG = f"""artasyn COMMAND --help shows what a command does, an example and the main options; {ALL} shows all options
and every file that the command writes."""


class _Help(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the line breaks of a description, and names types by one word."""

    def _expand_help(self, action: argparse.Action) -> str:
        return re.sub(r"<class '(?:\w+\.)*(\w+)'>", lambda found: found[1].lower(), super()._expand_help(action))


def parser(chosen: str | None, *, everything: bool = True) -> ArgumentParser:
    """Returns the parser of the command line. The help of an option comes from the field that the option sets.

    Args:
        chosen: the command to run, the only one whose options are added; None adds no options.
        everything: whether the help of the command shows all options and the files that it writes; otherwise it shows
            the purpose, an example and the main options.
    """
    top = ArgumentParser(
        prog="artasyn", description=DESCRIPTION, epilog=EPILOG, version=__version__, formatter_class=_Help
    )
    commands = top.add_subcommands(dest="command", metavar="COMMAND")
    for name, summary in COMMANDS.items():
        options = _options(name, everything=everything) if name == chosen else ArgumentParser()
        commands.add_subcommand(name, options, help=summary)
    return top


def _options(name: str, *, everything: bool) -> ArgumentParser:
    """Returns the parser of one command's options."""
    function, options = command_function(name)
    description = inspect.cleandoc(function.__doc__ or "").split("\nArgs:")[0]
    if not everything:
        purpose, *more = description.split("\n\n")
        examples = [each for each in more if each.startswith("For example")]
        description = "\n\n".join([purpose, *examples])
    rest = "" if everything else f"artasyn {name} {ALL} shows all options and every file that is written."
    command = ArgumentParser(description=description, epilog=rest, formatter_class=_Help)
    command.add_argument("--config", action=ActionConfigFile, help="a YAML file with options")
    command.add_argument("--quiet", action="store_true", help="show errors and the paths written, and nothing else")
    add_options(command, options)
    command.add_class_arguments(Limits, "limits", default=limits(), help="the largest sizes that readers accept")
    if not everything:
        shown = {"help", "quiet", *main_options(options)}
        for action in command._actions:
            if action.dest not in shown:
                action.help = argparse.SUPPRESS
    return command


def plain(argument: str) -> str:
    """Returns an argument as the parser expects it: ``--per-image=2`` becomes ``--per_image=2``.

    A value such as ``-30,30`` gets a leading space, so that the parser does not take the value for an option.
    """
    if re.match(r"-\d+(\.\d+)?,", argument):
        return f" {argument}"
    name, equals, value = argument.partition("=")
    return name[:2] + name[2:].replace("-", "_") + equals + value if name.startswith("--") else argument
