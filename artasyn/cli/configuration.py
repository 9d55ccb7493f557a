"""Files of options, which are refused where they would need much time or memory."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from artasyn.errors import DataError
from artasyn.limits import limits

LONGEST = 1_000_000
"""Largest number of characters of a configuration."""


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
