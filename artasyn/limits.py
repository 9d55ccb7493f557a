"""Limits on the size of what a file claims to hold, checked before it is decoded.

A file of a few kilobytes can claim a billion pixels. A reader that believes the claim fills the memory and then fails.
Every reader compares the claim with these limits first.

A limit is changed in three ways. `using` changes it inside a block. The option ``--limits.pixels`` and so on changes it
for one command. The environment variable `VARIABLE` changes it for everything; the variable holds JSON such as
``{"pixels": 400000000}``.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields

from artasyn.errors import DataError

VARIABLE = "ARTASYN_LIMITS"
"""The environment variable that changes limits."""


@dataclass(frozen=True)
class Limits:
    """The largest sizes that readers accept.

    Attributes:
        pixels: rows times columns of a radiograph or mask. The largest detectors have about 20 million.
        voxels: of a volume. A chest CT of 512 x 512 pixels and 1000 slices has 262 million.
        text: bytes of a file of JSON, CSV or YAML.
        nesting: depth of brackets in JSON or YAML.
        lesions: in one record.

    Raises:
        DataError: a limit is not a whole number of at least 1.
    """

    pixels: int = 150_000_000
    voxels: int = 600_000_000
    text: int = 200_000_000
    nesting: int = 64
    lesions: int = 1000

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) is not int or value < 1:
                raise DataError(f"the limit {name} must be a whole number of at least 1, not {value!r}")


def limits() -> Limits:
    """Returns the limits of this process.

    Raises:
        DataError: the environment variable `VARIABLE` holds no limits.

    Example:
        >>> limits().nesting
        64
    """
    return _read(os.environ.get(VARIABLE, ""))


@functools.lru_cache(maxsize=1)
def _read(text: str) -> Limits:
    """Returns the limits that the environment variable holds."""
    if not text:
        return Limits()
    try:
        values = json.loads(text)
        return Limits(**values)
    except (ValueError, TypeError, RecursionError) as error:
        names = ", ".join(field.name for field in fields(Limits))
        raise DataError(f"{VARIABLE} is {text[:80]!r}; write JSON with some of {names}") from error


@contextmanager
def using(changed: Limits) -> Iterator[None]:
    """Changes the limits inside a block, for this process and for the processes that the block starts.

    Args:
        changed: the limits of the block.
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = json.dumps(asdict(changed))
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def too_large(what: str, found: int, limit: str) -> str:
    """Returns the end of a message that refuses a claim: what was found, the limit, and how to change the limit.

    Args:
        what: what was counted, such as ``pixels``.
        found: how many the file claims.
        limit: the name of the limit, a field of `Limits`.

    Example:
        >>> too_large("pixels", 10**10, "pixels")
        'claims 10000000000 pixels, more than 150000000; if this is right, raise the limit with --limits.pixels'
    """
    allowed = getattr(limits(), limit)
    return f"claims {found} {what}, more than {allowed}; if this is right, raise the limit with --limits.{limit}"
