"""The options of a command: a frozen dataclass whose fields carry the metadata that the command line needs.

    out: Path = field(metadata=option("the folder to write to"))

A field without a default must be given. The functions of this module make the metadata for other kinds of fields:
several values, a flag, a dataclass whose fields are options themselves, a field that only Python can set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from artasyn.console.places import REMOTE, here
from artasyn.errors import DataError
from artasyn.remote.urls import Kind

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

FILES = (
    "radiographs (PNG, JPEG, TIFF, DICOM) and folders of them, which are walked recursively; or their URLs "
    "(s3://bucket/films), with pip install artasyn[cloud]"
)

OUT = (
    "the folder to write to, or its URL (s3://bucket/results). A run that was stopped or killed goes on there. Sources "
    "that have changed, by size, time and content, are worked on anew"
)

MODEL = (
    "bundled is the one that comes with artasyn; or the folder that `artasyn train` wrote as OUT/model, the file that "
    "`artasyn export` wrote, or the id of a model on the Hugging Face hub"
)

MASKS = "the formats of the masks: png, a picture for each structure; npz, one file with all; coco, run lengths"

DICOM = (
    "also write DICOM objects that refer to each film: seg, its regions; sc, its overlay as a picture; sr, its "
    "figures. Films that are no DICOM are refused. Needs pip install artasyn[dicom]"
)

ANONYMOUS = "leave name, identifiers and dates of the patient and the study out of the DICOM objects"

DEVICE = "cpu, cuda, cuda:1, mps; auto takes cuda if it is there, otherwise cpu"

WORKERS = "processes; 0 takes every core"

PRUNE = "delete the results of sources that are gone; without it they are left, and named at the end"

POSITIONAL, SPREAD, PYTHON_ONLY, MAIN = "positional", "spread", "python_only", "main"
"""Keys of a field's metadata that are not arguments of ``add_argument``."""

About = dict[str, Any]
"""A field's metadata."""


def option(help: str, *, main: bool = False, positional: bool = False) -> About:
    """Returns the metadata of an option with one value, which is read as the type of the field.

    Args:
        help: the help text.
        main: whether the short help shows the option. It always shows what must be given.
        positional: the value stands on the command line without the option's name.
    """
    return {"help": help, MAIN: main} | ({POSITIONAL: True} if positional else {})


def flag(help: str, *, main: bool = False) -> About:
    """Returns the metadata of an option without a value; the field is False if the option is not given.

    Args:
        help: the help text.
        main: whether the short help shows the option.
    """
    return {"help": help, "action": "store_true", MAIN: main}


def several(
    help: str,
    *,
    of: Any = None,
    count: int | Literal["+", "*"] = "+",
    metavar: str | tuple[str, ...] | None = None,
    positional: bool = False,
    main: bool = False,
) -> About:
    """Returns the metadata of an option with several values, which the field holds as a tuple.

    Args:
        help: the help text.
        of: the type of each value; None keeps each value as the parser read it.
        count: the number of values; "+" for one or more, "*" for any number.
        metavar: the name of a value in the help, or a name for each value.
        positional: the values stand on the command line without the option's name.
        main: whether the short help shows the option.
    """
    about: About = {"help": help, "nargs": count, MAIN: main}
    about |= {"type": of} if of else {}
    about |= {"metavar": metavar} if metavar else {}
    return about | ({POSITIONAL: True} if positional else {})


def paths(help: str, *, least: Literal[0, 1] = 1) -> About:
    """Returns the metadata of the files and folders that a command reads, given without the option's name.

    Args:
        help: the help text.
        least: the fewest that must be given; the field has the default None if that is 0.
    """
    return several(help, of=Path, count="+" if least else "*", positional=True, main=True)


def remote(kind: Kind, about: About) -> About:
    """Returns the metadata of an option whose paths may be URLs.

    Without it, URLs of inputs are copied as files, and `out` must be a folder of this machine.

    Args:
        kind: films, which are read when they are needed; or results, which are copied to the store.
        about: the metadata of the option.
    """
    return about | {REMOTE: kind}


def spread(*without: str, main: Collection[str] = ()) -> About:
    """Returns the metadata of a dataclass whose fields are options of the command itself.

    The docstring of the dataclass documents the options.

    Args:
        without: fields that are not options.
        main: fields that the short help shows.
    """
    return {SPREAD: frozenset(without), MAIN: frozenset(main)}


def python_only() -> About:
    """Returns the metadata of a field that is not an option of the command line."""
    return {PYTHON_ONLY: True}


def add_options(parser: ArgumentParser, options: Any) -> None:
    """Adds the options that belong to the fields of a dataclass.

    Args:
        parser: the parser that gets the options.
        options: the dataclass.
    """
    hints = get_type_hints(options, localns={"KW_ONLY": object})  # which is no type in Python 3.10
    for field in dataclasses.fields(options):
        about, hint = dict(field.metadata), hints[field.name]
        if PYTHON_ONLY in about:
            continue
        if SPREAD in about:
            parser.add_class_arguments(hint, skip=set(about[SPREAD]))
            inner = {each.name: (each.default, getattr(field.default, each.name)) for each in dataclasses.fields(hint)}
            parser.set_defaults({name: here for name, (usual, here) in inner.items() if here != usual})
            continue
        positional = about.pop(POSITIONAL, False)
        for key in (MAIN, REMOTE):
            about.pop(key, None)
        if field.default is dataclasses.MISSING:
            about |= {} if positional else {"required": True}
        elif not positional:  # a positional one without values is None
            about["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
        if not about.keys() & {"action", "nargs"}:
            about["type"] = hint
        parser.add_argument(field.name if positional else f"--{field.name}", **about)


def main_options(options: Any) -> frozenset[str]:
    """Returns the names of the options that the short help shows.

    Args:
        options: the dataclass of a command.
    """
    found: set[str] = set()
    for field in dataclasses.fields(options):
        main = field.metadata.get(MAIN, False)
        if SPREAD in field.metadata:
            found |= main
        elif main or (field.default is dataclasses.MISSING and PYTHON_ONLY not in field.metadata):
            found.add(field.name)
    return frozenset(found)


def instantiated(parser: ArgumentParser, parsed: Namespace) -> Namespace:
    """Returns what a parser found, with an object of its class for each option that is a dataclass.

    Releases of jsonargparse before 4.49, which other libraries ask for, have the method under its older name.

    Args:
        parser: the parser.
        parsed: what its ``parse_args`` returned.
    """
    instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes
    found: Namespace = instantiate(parsed)
    return found


def read_options(options: Any, values: Mapping[str, Any]) -> Any:
    """Returns the dataclass with the values that a parser found.

    Args:
        options: the dataclass.
        values: the values by the names of the parser's options.

    Raises:
        ArtasynError: the dataclass refuses a value, or there is nothing at a URL.
    """
    values, given = here(options, values), {}
    for field in dataclasses.fields(options):
        if SPREAD in field.metadata:
            usual: Any = field.default
            names = {each.name for each in dataclasses.fields(usual)} - field.metadata[SPREAD]
            given[field.name] = dataclasses.replace(usual, **{name: values[name] for name in names})
        elif PYTHON_ONLY not in field.metadata:
            value = values[field.name]
            given[field.name] = _several(field, value) if "nargs" in field.metadata else value
    return options(**given)


def _several(field: dataclasses.Field[Any], value: Any) -> tuple[Any, ...] | None:
    """Returns the values of an option, None if there are none; a configuration file may hold a single value."""
    values = tuple(value) if isinstance(value, (list, tuple)) else () if value is None else (value,)
    if any(each is None or isinstance(each, (list, tuple, Mapping)) for each in values):
        raise DataError(f"{field.name} holds {str(value)[:80]}; give single values")
    if not values and field.default is not None:
        raise DataError(f"{field.name} holds nothing; give at least one value, or leave it out")
    return values or None
