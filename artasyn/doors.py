"""Doors: names and packages that are imported on first use."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from artasyn.errors import MissingExtra


def later(package: str, places: Mapping[str, str]) -> Callable[[str], object]:
    """Returns a package's ``__getattr__`` that imports names on first use.

    Packages use it for modules that load slowly or that need dependencies which may be missing.

    Args:
        package: the name of the package, its ``__name__``.
        places: maps each name to the module that defines it.

    Example:
        >>> later("letters", {"digits": "string"})("digits")
        '0123456789'
    """

    def get(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(places[name]), name)

    return get


def required(package: str, *, extra: str) -> Any:
    """Imports a package that only an extra of artasyn needs.

    Args:
        package: its name.
        extra: the extra that brings it.

    Raises:
        MissingExtra: the package is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtra(f"{package} is not installed ({error}); pip install artasyn[{extra}]") from error
