"""Checked fields: every number, name and list of a record or of settings is checked by the annotations of its class.

    @dataclass(frozen=True)
    class Stroke:
        width: Annotated[float, Within(0, 1)]
        places: Annotated[tuple[Place, ...], Count(1, 64)]

        def __post_init__(self) -> None:
            check_fields(self, SynthesisError)

`check_fields` refuses values that Python code or a command's options give. `artasyn.records.read_record` makes an
instance from JSON with the same checks, and names the place of a fault, such as ``lesions[3].severity``.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import numbers
import reprlib
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from artasyn.errors import ArtasynError
from artasyn.limits import limits

Reader = Callable[[Any], Any]
"""Returns a value as a field holds it, or raises `Fault`."""


class Fault(ValueError):
    """A value that a field cannot hold.

    Args:
        said: what is wrong, without the place.
        place: where the value stands, such as ``lesions[3].severity``.
    """

    def __init__(self, said: str, place: str = "") -> None:
        super().__init__(said, place)
        self.said, self.place = said, place

    def __str__(self) -> str:
        return f"{self.place} {self.said}" if self.place else self.said

    def within(self, outer: str) -> Fault:
        """Returns the same fault, seen from the value that holds the faulty one."""
        joint = "." if self.place and not self.place.startswith("[") else ""
        return Fault(self.said, f"{outer}{joint}{self.place}")


@dataclasses.dataclass(frozen=True)
class Within:
    """The range of a number, both ends included.

    Attributes:
        low: the smallest value.
        high: the largest value.
    """

    low: int | float
    high: int | float

    def check(self, value: Any) -> None:
        """Refuses a number outside the range."""
        if not self.low <= value <= self.high:
            raise Fault(f"is {shown(value)}, not from {self.low:g} to {self.high:g}")


@dataclasses.dataclass(frozen=True)
class Count:
    """The range of the number of items in a list, both ends included.

    Attributes:
        low: the fewest.
        high: the most, or the name of a limit of `artasyn.limits.Limits`.
    """

    low: int
    high: int | str

    def check(self, value: Any) -> None:
        """Refuses a list that is too short or too long."""
        high = self.high if isinstance(self.high, int) else int(getattr(limits(), self.high))
        if not self.low <= len(value) <= high:
            limit = "" if isinstance(self.high, int) else f"; if this is right, raise --limits.{self.high}"
            raise Fault(f"holds {len(value)} items, not {self.low} to {high}{limit}")


@dataclasses.dataclass(frozen=True)
class Ordered:
    """The rule that the numbers of a list do not fall."""

    def check(self, value: Any) -> None:
        """Refuses a list in which a number is followed by a smaller one."""
        if any(first > second for first, second in itertools.pairwise(value)):
            raise Fault(f"is {shown(value)}; low comes before high")


STATED = {"stated": True}
"""Metadata of a field that JSON must state although the field has a default."""

Share = Annotated[float, Within(0, 1)]
"""A number in [0, 1]."""

_Number = TypeVar("_Number")

Interval = Annotated[tuple[_Number, _Number], Ordered()]
"""A range to draw from, both ends included, such as ``Interval[Share]``."""

Seed = Annotated[int, Within(0, 2**63 - 1)]
"""The seed of a random choice."""


def check_fields(record: Any, error: type[ArtasynError], name: str = "") -> None:
    """Refuses a dataclass whose fields hold values other than their annotations allow.

    Args:
        record: an instance of a dataclass.
        error: the class of the error to raise.
        name: of the instance, for the message; the name of the class if it is empty.

    Raises:
        ArtasynError: an `error`; the message names the field, its value and its range.
    """
    kind: Any = type(record)
    for field, read in readers(kind).items():
        try:
            read(getattr(record, field))
        except Fault as fault:
            raise error(f"{name or type(record).__name__}: {fault.within(field)}") from None


@functools.cache
def readers(kind: Any) -> dict[str, Reader]:
    """Returns the reader of every field of a dataclass, by the field's name."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: reader(hints[field.name]) for field in dataclasses.fields(kind)}


def reader(hint: Any) -> Reader:
    """Returns the reader of values with a type hint.

    A hint is a number, a string, a bool, a `Literal`, a dataclass, a tuple of hints, one of these or None, or one of
    these annotated with `Within`, `Count` or `Ordered`.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        if inner[0] is float and len(inner) == 2:
            return functools.partial(_within, inner[1], float(inner[1].low), float(inner[1].high))
        counts = [rule for rule in inner[1:] if isinstance(rule, Count)]
        return functools.partial(_checked, reader(inner[0]), counts, [rule for rule in inner[1:] if rule not in counts])
    if origin is tuple:
        endless = inner[-1] is Ellipsis
        items = [reader(each) for each in (inner[:1] if endless else inner)]
        bounded = [each.args for each in items if isinstance(each, functools.partial) and each.func is _within]
        if len(bounded) == len(items) and not endless:
            return functools.partial(_numbers, items, bounded)
        return functools.partial(_items, items, endless)
    if origin is Literal:
        return functools.partial(_one_of, inner)
    if origin in (Union, types.UnionType):
        (one,) = (each for each in inner if each is not types.NoneType)
        return functools.partial(_optional, reader(one))
    if dataclasses.is_dataclass(hint):
        return functools.partial(build, hint)
    return _PLAIN[hint]


def build(kind: Any, given: Any) -> Any:
    """Makes a dataclass from the values of its fields by their names.

    Args:
        kind: the dataclass.
        given: the values, as JSON holds them; an instance of the dataclass comes back as it is.

    Raises:
        Fault: a field is unknown, or missing without a default or although it must be stated, or cannot hold its value.
    """
    if isinstance(given, kind):
        return given
    if not isinstance(given, dict):
        raise Fault(f"is {shown(given)}, not an object with fields")
    wanted = readers(kind)
    if unknown := [name for name in given if name not in wanted]:
        raise Fault(f"is unknown; there is {', '.join(wanted)}", shown(unknown[0]).strip("'"))
    values = {}
    for name, value in given.items():
        try:
            values[name] = wanted[name](value)
        except Fault as fault:
            raise fault.within(name) from None
    for field in dataclasses.fields(kind):
        bare = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if field.name not in values and (bare or STATED.items() <= field.metadata.items()):
            raise Fault("is missing", field.name)
    try:
        return kind(**values)
    except ArtasynError as error:
        raise Fault(str(error)) from error


def shown(value: Any) -> str:
    """Returns a value as a message shows it, in at most 60 characters."""
    if isinstance(value, int) and abs(value) >= 10**18:  # Python writes no numbers of thousands of digits
        return f"a number of {value.bit_length()} bits"
    text = reprlib.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _checked(read: Reader, counts: list[Count], rules: list[Within | Ordered], value: Any) -> Any:
    """Reads a value and checks it by its rules; the items of a list are counted before they are read."""
    if isinstance(value, (tuple, list)):
        for count in counts:
            count.check(value)
    value = read(value)
    if value is not None:
        for rule in rules:
            rule.check(value)
    return value


def _within(rule: Within, low: float, high: float, value: Any) -> float:
    """Reads a number and checks its range; the usual case is one comparison: shapes have hundreds of numbers."""
    if type(value) is float and low <= value <= high:
        return value
    number = _float(value)
    rule.check(number)
    return number


def _items(inner: list[Reader], endless: bool, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, (tuple, list)):
        raise Fault(f"is {shown(value)}, not a list")
    if endless:
        inner = inner * len(value)
    if len(inner) != len(value):
        raise Fault(f"holds {len(value)} items, not {len(inner)}")
    items: list[Any] = []
    try:
        for read, item in zip(inner, value, strict=True):
            items.append(read(item))
    except Fault as fault:
        raise fault.within(f"[{len(items)}]") from None
    return tuple(items)


def _numbers(inner: list[Reader], ranges: list[tuple[Any, ...]], value: Any) -> tuple[Any, ...]:
    """Reads as many numbers as there are ranges; in the usual case they are compared and nothing else."""
    if type(value) is tuple and len(value) == len(ranges):
        for number, (_, low, high) in zip(value, ranges, strict=True):
            if type(number) is not float or not low <= number <= high:
                break
        else:
            return value
    return _items(inner, False, value)


def _one_of(known: tuple[Any, ...], value: Any) -> Any:
    if not isinstance(value, (str, int)) or value not in known:
        # in their own order, since `Side | None` may hold the equal `Literal` of another library in another order
        raise Fault(f"is {shown(value)}; choose from {', '.join(sorted(map(str, known)))}")
    return value


def _optional(read: Reader, value: Any) -> Any:
    return None if value is None else read(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise Fault(f"is {shown(value)}, not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Fault(f"is {shown(value)}, not a finite number")
    return number


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise Fault(f"is {shown(value)}, not a whole number")
    return int(value)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Fault(f"is {shown(value)}, neither true nor false")
    return value


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise Fault(f"is {shown(value)}, not text")
    return value


_PLAIN: dict[Any, Reader] = {float: _float, int: _int, bool: _bool, str: _str}
