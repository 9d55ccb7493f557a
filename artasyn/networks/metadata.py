"""Settings of a network as the metadata of an ONNX file, and as the values that JSON holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from artasyn.errors import ModelError
from artasyn.fields import Fault, build
from artasyn.records import parse_json
from artasyn.version import __version__

PREFIX = "artasyn."
"""Prefix of the settings' names in an ONNX file's metadata."""

ABOUT_FILE = {"version": __version__, "license": "MIT"}
"""Further metadata of an ONNX file: the version of artasyn that wrote it and the license of the weights."""

_Settings = TypeVar("_Settings")


def to_metadata(settings: Any) -> dict[str, str]:
    """Returns the names and values of an ONNX file's metadata, each value as JSON.

    Args:
        settings: a dataclass of plain values.
    """
    return {f"{PREFIX}{name}": json.dumps(value) for name, value in (asdict(settings) | ABOUT_FILE).items()}


def from_metadata(kind: type[_Settings], metadata: Mapping[str, str]) -> _Settings:
    """Reads settings from an ONNX file's metadata.

    Args:
        kind: the class of the settings.
        metadata: names and values.

    Raises:
        ModelError: a setting is missing, or a value cannot be read or is out of range.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    for name in (*names, *ABOUT_FILE):
        key = f"{PREFIX}{name}"
        if key not in metadata:
            raise ModelError(f"there is no {key} in its metadata")
        try:
            found[name] = parse_json(metadata[key])
        except ValueError as error:
            raise ModelError(f"its {key} is {metadata[key]!r}") from error
    return settings_of(kind, {name: value for name, value in found.items() if name in names}, PREFIX.rstrip("."))


def settings_of(kind: type[_Settings], values: Any, place: str) -> _Settings:
    """Makes settings from the values that JSON holds; where one is missing, its default is taken.

    Args:
        kind: the class of the settings.
        values: the settings by their names.
        place: where the values stand, for the message.

    Raises:
        ModelError: a setting is unknown, or its value is of another type or out of range. The message continues a
            sentence that begins with the file's name.
    """
    try:
        settings: _Settings = build(kind, values)
    except Fault as fault:
        raise ModelError(f"its {fault.within(place)}") from fault
    return settings
