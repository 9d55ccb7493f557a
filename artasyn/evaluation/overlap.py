"""Overlap of two masks."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from artasyn.errors import ImageError


def dice(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """Returns the Dice coefficient: twice the overlap over the sum of both areas; NaN if both masks are empty.

    Args:
        one: bool, of any shape.
        other: bool, of the same shape.

    Raises:
        ImageError: masks of different shapes.

    Source: Dice, Measures of the amount of ecologic association between species (Ecology 1945;26:297).

    Example:
        >>> dice(np.array([True, True, False]), np.array([True, False, False]))
        0.6666666666666666
    """
    if one.shape != other.shape:
        raise ImageError(f"masks must have one shape, not {one.shape} and {other.shape}; resize one of them first")
    total = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(one & other)) / total if total else math.nan
