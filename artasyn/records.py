"""Records as JSON: writes and reads the records of random choices."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from artasyn.errors import ArtasynError
from artasyn.fields import Fault, build
from artasyn.limits import limits, too_large

_Record = TypeVar("_Record")


def record_text(record: Any) -> str:
    """Returns a frozen dataclass as the text of a JSON file.

    Args:
        record: an instance of a dataclass that holds only plain numbers, strings, tuples and dataclasses.
    """
    return json.dumps(dataclasses.asdict(record), indent=1) + "\n"


def read_record(
    text: str,
    kind: type[_Record],
    *,
    what: str,
    error: type[ArtasynError],
    older: Callable[[Any], Any] | None = None,
) -> _Record:
    """Reads a record from its JSON text; every value is checked by the annotations of its class, see `artasyn.fields`.

    Args:
        text: JSON.
        kind: the class of the record.
        what: the record with its article, for the message.
        error: the class of the error to raise.
        older: brings values that an earlier version wrote to today's spelling.

    Raises:
        ArtasynError: an `error`; the text is no JSON, or its values are not those of such a record. The message names
            the place of the fault.
    """
    try:
        given = parse_json(text)
        record: _Record = build(kind, older(given) if older else given)
    except ValueError as fault:
        said = fault.within("record") if isinstance(fault, Fault) else fault
        raise error(f"not {what}: {said} in {text[:80]!r}") from fault
    return record


def make_record(given: Any, kind: type[_Record], *, what: str, error: type[ArtasynError]) -> _Record:
    """Makes a record from the values that JSON holds, with the checks of `read_record`.

    Args:
        given: the values of the fields by their names.
        kind: the class of the record.
        what: the record with its article, for the message.
        error: the class of the error to raise.

    Raises:
        ArtasynError: an `error`; the values are not those of such a record. The message names the place of the fault.
    """
    try:
        record: _Record = build(kind, given)
    except Fault as fault:
        raise error(f"not {what}: {fault.within('record')} in {str(given)[:80]!r}") from fault
    return record


def parse_json(text: str, **options: Any) -> Any:
    """Parses JSON that may come from anybody: bounded in size and depth, and without NaN and infinity.

    Numbers such as ``1e999``, which Python would read as infinity, are refused too.

    Args:
        text: JSON.
        **options: further options of `json.loads`.

    Raises:
        ValueError: the text is no JSON, is larger or nested deeper than `artasyn.limits.Limits` allows, or holds a
            number that is not finite.

    Example:
        >>> parse_json('[1, {"a": 2.5}]')
        [1, {'a': 2.5}]
        >>> parse_json("[NaN]")
        Traceback (most recent call last):
        ValueError: NaN is no number; write a finite one
    """
    if len(text) > limits().text:
        raise ValueError(too_large("characters", len(text), "text"))
    if (depth := nesting(text)) > limits().nesting:
        raise ValueError(too_large("levels of brackets", depth, "nesting"))
    return json.loads(text, parse_constant=_no_number, parse_float=_finite, **options)


def nesting(text: str) -> int:
    """Returns an upper bound of the depth of brackets in JSON; brackets inside strings count, too.

    The bound is the count of opening brackets where that is small, and the exact depth otherwise.
    """
    if text.count("[") + text.count("{") <= limits().nesting:
        return text.count("[") + text.count("{")
    bare = re.sub(r'"(?:[^"\\]|\\.)*"|[^][{}"]+', "", text)
    return max(itertools.accumulate((1 if each in "[{" else -1 for each in bare), initial=0))


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number; write a finite one")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _no_number(text)
    return value
