"""Records as JSON: writes and reads the records of random choices."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, TypeVar

from artasyn.errors import ArtasynError

_Record = TypeVar("_Record")


def record_text(record: Any) -> str:
    """Returns a frozen dataclass as the text of a JSON file.

    Args:
        record: an instance of a dataclass that holds only plain numbers, strings, tuples and dataclasses.
    """
    return json.dumps(dataclasses.asdict(record), indent=1) + "\n"


def read_record(text: str, build: Callable[[Any], _Record], *, what: str, error: type[ArtasynError]) -> _Record:
    """Builds a record from its JSON text.

    Args:
        text: JSON.
        build: makes the record from the JSON's values; lists are converted to tuples first.
        what: the record with its article, for the message.
        error: the class of the error to raise.

    Raises:
        ArtasynError: an `error`; the text is no JSON, or `build` refuses its values.
    """
    return make_record(text, lambda given: build(with_tuples(json.loads(given))), what=what, error=error)


def make_record(given: Any, build: Callable[[Any], _Record], *, what: str, error: type[ArtasynError]) -> _Record:
    """Builds a record from its values and reports invalid values with the same message for all records.

    Args:
        given: the argument of `build`.
        build: makes the record.
        what: the record with its article, for the message.
        error: the class of the error to raise.

    Raises:
        ArtasynError: an `error`; `build` refuses the values.
    """
    try:
        return build(given)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as fault:
        raise error(f"not {what}: {fault!r} in {str(given)[:80]!r}") from fault


def with_tuples(value: Any) -> Any:
    """Converts JSON's lists, at any depth, to tuples, which records use.

    Example:
        >>> with_tuples({"shift": [1, [2, 3]]})
        {'shift': (1, (2, 3))}
    """
    if isinstance(value, list):
        return tuple(with_tuples(item) for item in value)
    return {k: with_tuples(v) for k, v in value.items()} if isinstance(value, dict) else value
