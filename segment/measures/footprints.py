"""What all measures share: the structures of a projection or an anatomy, and functions on their footprints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from artasyn.arrays import Heatmap, Mask
from artasyn.errors import DataError
from artasyn.segment.lungs import Lungs
from artasyn.segment.places import Point, main_parts
from artasyn.segment.structures import CONVENTIONS, SIDES, members

FRONTAL = 20.0
"""Largest turn or tilt of a view that is measured as frontal, degrees from straight through the chest."""
EDGE = 0.5
"""Value of a soft mask at its edge."""
SURE = 0.3
"""Confidence of a structure below which nothing is measured on it."""

Choices = Sequence[Sequence[str]]
"""Names of one structure: first those that readers draw, then others, of which the last may be groups."""


def lung_names(*conventions: str) -> Choices:
    """Returns the names of both lungs, those that readers draw by some conventions first."""
    return tuple(f"{convention}_lung_{side}" for convention in conventions for side in SIDES), ("lungs",)


HEARTS: Choices = (("drawn_heart",), ("heart",))
"""Names of the heart."""
THORAX = lung_names(*CONVENTIONS)
"""Names of the lungs, whose outer edges are the inner edges of the thorax."""


@runtime_checkable
class Structures(Protocol):
    """The structures of a chest, as measures need them. `Projection` and `Anatomy` have all this."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the structures."""

    @property
    def pose(self) -> tuple[float, float, float]:
        """Turn and tilt of the patient, and roll in the image, degrees, as in `View`."""

    @property
    def pixel(self) -> float | None:
        """Size of a pixel, mm; None if it is unknown."""

    def sure(self, name: str) -> float:
        """Returns the confidence of a structure or a group, in [0, 1]."""

    def soft_mask(self, name: str) -> Heatmap:
        """Returns the footprint of a structure or a group with a soft border, float32 (h, w): its edge is at 0.5."""

    def place(self, name: str) -> Point | None:
        """Returns the centroid of a structure; None if it is not there, or if image or scan cut it."""

    def lungs(self, convention: Any = "visible") -> Lungs:
        """Returns the lungs by one of the conventions."""


def chosen(structures: Structures, choices: Choices, what: str) -> list[str]:
    """Returns the names of one structure that a projection or an anatomy has and that are sure.

    Args:
        structures: of a projection or an anatomy.
        choices: names, the best first.
        what: the structure with its article, for the message.

    Raises:
        DataError: there are none of the structures, or none of them is sure.
    """
    *better, last = choices
    names = [name for choice in better for name in choice if name in structures.names] or list(last)
    for name in names:
        members(name, structures.names)
    sure = [name for name in names if structures.sure(name) >= SURE]
    if not sure:
        most = max(structures.sure(name) for name in names)
        raise DataError(f"{what} not sure on this picture (confidence {most:.2f})")
    return sure


def footprint(structures: Structures, choices: Choices, what: str) -> Heatmap:
    """Returns the union of the structures of `chosen`, as `Structures.soft_mask` gives each.

    Raises:
        DataError: there are none of the structures, they are not sure, or they are not in the picture.
    """
    found = np.maximum.reduce([structures.soft_mask(name) for name in chosen(structures, choices, what)])
    if not (found >= EDGE).any():
        raise DataError(f"{what} not in the picture")
    return np.asarray(found, np.float32)


def largest_parts(soft: Heatmap) -> Heatmap:
    """Removes the stray components of `main_parts` from a soft mask.

    Args:
        soft: (h, w), float32, with its edge at 0.5.
    """
    inside = np.asarray(soft >= EDGE)
    return np.where(inside & ~main_parts(inside), np.float32(0), soft)


def outline(soft: Heatmap | Mask) -> npt.NDArray[np.float64]:
    """Returns the points where the outline of a mask crosses the lines between neighbouring pixel centres, (n, 2).

    The value is interpolated along such a line, so the outline of a soft mask is finer than a pixel. That of a mask
    runs midway between pixels.

    Args:
        soft: (h, w), float32 with its edge at 0.5, or bool.

    Example:
        >>> soft = np.zeros((3, 5), np.float32)
        >>> soft[1, 1:4] = 1.0, 1.0, 0.75
        >>> outline(soft)[:2].round(3).tolist()
        [[1.0, 0.5], [1.0, 3.333]]
    """
    values = soft.astype(np.float32)
    inside = values >= EDGE
    rows, columns = np.nonzero(inside[:, 1:] != inside[:, :-1])
    across = columns + share(values[rows, columns], values[rows, columns + 1])
    upper, places = np.nonzero(inside[1:] != inside[:-1])
    down = upper + share(values[upper, places], values[upper + 1, places])
    return np.stack([np.concatenate([rows, down]), np.concatenate([across, places])], axis=1).astype(np.float64)


def share(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Returns the share of the way from one value to the other at which the edge lies."""
    return (EDGE - first.astype(np.float64)) / (second.astype(np.float64) - first)


def check_frontal(structures: Structures) -> None:
    """Refuses a view in which left and right cannot be measured."""
    angle, tilt, _ = structures.pose
    turned = math.degrees(math.acos(min(1.0, abs(math.cos(math.radians(angle))))))
    if turned > FRONTAL or abs(tilt) > FRONTAL:
        raise DataError(
            f"not a frontal view: turned by {angle:.3g} and tilted by {tilt:g} degrees; "
            f"take PA or AP, within {FRONTAL:g} degrees"
        )


def check_masks(masks: dict[str, Any]) -> None:
    """Refuses masks, bool or soft, of another dtype or shape, and empty masks."""
    shapes = [mask.shape for mask in masks.values()]
    for name, mask in masks.items():
        if mask.dtype not in (np.bool_, np.float32) or mask.ndim != 2:
            raise DataError(f"the mask of the {name} must be bool or float32 (h, w), not {mask.dtype} {mask.shape}")
        if len(set(shapes)) > 1:
            raise DataError(f"{' and '.join(masks)} must be of one shape, not {' and '.join(map(str, shapes))}")
        if not (mask >= EDGE).any():
            raise DataError(f"the mask of the {name} is empty: nothing to measure")
