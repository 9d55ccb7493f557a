"""Records as JSON: what every record of random choices shares in writing and in reading."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, TypeVar

from artasyn.errors import ArtasynError

_Record = TypeVar("_Record")


def record_text(record: Any) -> str:
    """A frozen dataclass as the text of a JSON file.

    Args:
        record: an instance of a dataclass, of plain numbers, texts, tuples and dataclasses.
    """
    return json.dumps(dataclasses.asdict(record), indent=1) + "\n"


def read_record(text: str, build: Callable[[Any], _Record], *, what: str, error: type[ArtasynError]) -> _Record:
    """A record from the text of its JSON.

    Args:
        text: JSON.
        build: makes the record of the JSON's values; lists have become tuples.
        what: the record with its article, for the message.
        error: what to raise.

    Raises:
        ArtasynError: of the kind `error`; the text is no JSON, or `build` refuses its values.
    """
    return make_record(text, lambda given: build(with_tuples(json.loads(given))), what=what, error=error)


def make_record(given: Any, build: Callable[[Any], _Record], *, what: str, error: type[ArtasynError]) -> _Record:
    """A record from whatever it is made of; what is wrong with that is said in the same words for all records.

    Args:
        given: what `build` takes.
        build: makes the record.
        what: the record with its article, for the message.
        error: what to raise.

    Raises:
        ArtasynError: of the kind `error`; `build` refuses what was given.
    """
    try:
        return build(given)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as fault:
        raise error(f"not {what}: {fault!r} in {str(given)[:80]!r}") from fault


def with_tuples(value: Any) -> Any:
    """JSON's lists as the tuples that records are made of.

    Example:
        >>> with_tuples({"shift": [1, [2, 3]]})
        {'shift': (1, (2, 3))}
    """
    if isinstance(value, list):
        return tuple(with_tuples(item) for item in value)
    return {k: with_tuples(v) for k, v in value.items()} if isinstance(value, dict) else value
