"""Doors: names that a package offers, and imports when they are first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping


def later(package: str, places: Mapping[str, str]) -> Callable[[str], object]:
    """A package's ``__getattr__`` that imports what is heavy, or needs packages that may be missing, on demand.

    Args:
        package: its name, ``__name__``.
        places: the module of each name.

    Example:
        >>> later("letters", {"digits": "string"})("digits")
        '0123456789'
    """

    def get(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(places[name]), name)

    return get
