"""Turns of stored pixels to an image, and of arrays on the image's grid back to the stored grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Turn:
    """One of the eight ways to turn or mirror a grid: transpose first, then reverse rows and columns.

    Attributes:
        transposed: the stored rows become the image's columns.
        rows_reversed: the image's rows are in reverse order after the transposition.
        columns_reversed: the image's columns are in reverse order after the transposition.

    Example:
        >>> import numpy as np
        >>> clockwise = Turn(transposed=True, columns_reversed=True)
        >>> clockwise.turned(np.array([[1, 2], [3, 4]])).tolist()
        [[3, 1], [4, 2]]
        >>> clockwise.restored(np.array([[3, 1], [4, 2]])).tolist()
        [[1, 2], [3, 4]]
    """

    transposed: bool = False
    rows_reversed: bool = False
    columns_reversed: bool = False

    def turned(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Turns an array from the stored grid to the image's grid, without interpolation.

        Args:
            stored: (rows, columns) or (rows, columns, channels).
        """
        return (stored.swapaxes(0, 1) if self.transposed else stored)[self._reversed]

    def restored(self, array: NDArray[Any]) -> NDArray[Any]:
        """Turns an array from the image's grid back to the stored grid: the exact inverse of `turned`.

        Args:
            array: (h, w) or (h, w, channels).
        """
        reversed_ = array[self._reversed]
        return reversed_.swapaxes(0, 1) if self.transposed else reversed_

    def swapped(self, pair: tuple[Any, Any]) -> tuple[Any, Any]:
        """Takes a pair of row and column values (a shape, a spacing) from the stored grid to the image's, or back."""
        return pair[::-1] if self.transposed else pair

    @property
    def _reversed(self) -> tuple[slice, slice]:
        return slice(None, None, -1 if self.rows_reversed else 1), slice(None, None, -1 if self.columns_reversed else 1)


def exif_turn(orientation: object) -> Turn:
    """Returns the turn of an EXIF orientation; values other than 1 to 8 turn nothing.

    Args:
        orientation: the value of tag 274.

    Source: EXIF 2.32, section 4.6.4 A, Orientation.
    """
    return EXIF_TURNS.get(orientation, Turn())


def states_sides(directions: Sequence[str]) -> bool:
    """Returns whether the directions of rows and columns tell the patient's sides in a frontal image.

    Args:
        directions: in which rows and columns run.

    Example:
        >>> states_sides(("L", "F")), states_sides(("A", "F")), states_sides(())
        (True, False, False)
    """
    return sorted(directions) in (["F", "L"], ["F", "R"], ["H", "L"], ["H", "R"])


def patient_turn(directions: Sequence[str]) -> Turn:
    """Returns the turn that brings the patient's right to the left of a frontal image, head up.

    Args:
        directions: in which rows and columns run, each L, R, H or F; with other directions, nothing is turned.

    Source: DICOM PS3.3 C.7.6.1.1.1.
    """
    if not states_sides(directions):
        return Turn()
    transposed = directions[0] in ("F", "H")
    across, down = directions[::-1] if transposed else directions
    return Turn(transposed, rows_reversed=down == "H", columns_reversed=across == "R")


EXIF_TURNS: dict[object, Turn] = {
    1: Turn(),
    2: Turn(columns_reversed=True),
    3: Turn(rows_reversed=True, columns_reversed=True),
    4: Turn(rows_reversed=True),
    5: Turn(transposed=True),
    6: Turn(transposed=True, columns_reversed=True),
    7: Turn(transposed=True, rows_reversed=True, columns_reversed=True),
    8: Turn(transposed=True, rows_reversed=True),
}
"""The turn that a reader applies for each EXIF orientation."""
