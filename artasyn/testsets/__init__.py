"""Test sets of films with known lesions, and readers for the disk layouts of published sets."""

from typing import TYPE_CHECKING

from artasyn.doors import later

if TYPE_CHECKING:
    from artasyn.testsets.layouts import LAYOUTS, Layout, find
    from artasyn.testsets.testset import TestFilm, TestSet

__all__ = [
    "LAYOUTS",
    "Layout",
    "TestFilm",
    "TestSet",
    "find",
]

__getattr__ = later(
    __name__,
    {
        "LAYOUTS": "artasyn.testsets.layouts",
        "Layout": "artasyn.testsets.layouts",
        "TestFilm": "artasyn.testsets.testset",
        "TestSet": "artasyn.testsets.testset",
        "find": "artasyn.testsets.layouts",
    },
)
