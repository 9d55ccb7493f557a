"""Attributes of a DICOM header as numbers and text; what cannot be read is refused by its name."""

from __future__ import annotations

import math
from typing import Any

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from artasyn.errors import RadiographError

LONGEST = 200
"""Characters of a value that are looked at."""


def value_of(film: Dataset, name: str) -> Any:
    """Returns the value of an attribute, its bytes if they cannot be parsed, or None without it.

    Args:
        film: the data set.
        name: the keyword of the attribute.
    """
    try:
        return film.get(name)
    except Exception:  # parsers raise nearly anything for damaged values
        return getattr(film.get_item(Tag(name)), "value", None)


def numbers(film: Dataset, name: str) -> list[float | None]:
    """Returns the values of an attribute as finite numbers, None for each that is empty, and nothing without it.

    Args:
        film: the data set.
        name: the keyword of the attribute.

    Raises:
        RadiographError: a value is no finite number. The message continues a sentence that begins with the file's
            name.
    """
    value = value_of(film, name)
    if isinstance(value, bytes):
        value = [each.decode("latin-1").strip(" \0") for each in value.split(b"\\")]
    values = list(value) if isinstance(value, (MultiValue, list, tuple)) else [value]
    found: list[float | None] = []
    for each in values:
        try:
            number = None if each is None or str(each).strip() == "" else float(each)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if number is not None and not math.isfinite(number):
            raise RadiographError(f"is DICOM whose {name} is {str(each)[:60]}, no number; correct or remove it")
        found.append(number)
    return [] if found == [None] else found


def number(film: Dataset, name: str, default: float) -> float:
    """Returns the first value of an attribute as a finite number.

    Args:
        film: the data set.
        name: the keyword of the attribute.
        default: if the attribute is missing or empty.

    Raises:
        RadiographError: the value is no finite number.
    """
    found = numbers(film, name)
    return default if not found or found[0] is None else found[0]


def whole(film: Dataset, name: str, low: int, high: int, default: int | None = None) -> int:
    """Returns the value of an attribute as a whole number.

    Args:
        film: the data set.
        name: the keyword of the attribute.
        low: the smallest value that is accepted.
        high: the largest value that is accepted.
        default: if the attribute is missing or empty; None refuses this.

    Raises:
        RadiographError: the value is missing, no whole number or out of range.
    """
    found = numbers(film, name)
    if not found or found[0] is None:
        if default is None:
            raise RadiographError(f"is DICOM without {name}; export it again")
        return default
    if not found[0].is_integer() or not low <= found[0] <= high:
        raise RadiographError(f"is DICOM whose {name} is {found[0]:g}, not {low} to {high}; export it again")
    return int(found[0])


def text(film: Dataset, name: str) -> str:
    """Returns the value of an attribute as text in upper case, several values joined by backslashes; empty without it.

    Characters that cannot be printed become ``?``, and what is longer than `LONGEST` is cut.

    Args:
        film: the data set.
        name: the keyword of the attribute.
    """
    value = value_of(film, name)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    values = value if isinstance(value, (MultiValue, list, tuple)) else [value]
    joined = "\\".join(str(each) for each in values if each is not None).strip().upper()
    return "".join(each if each.isprintable() else "?" for each in joined[:LONGEST])
