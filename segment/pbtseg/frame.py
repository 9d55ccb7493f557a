"""The part of a radiograph that shows the patient, without the even borders of a collimator or a digitiser."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import Image

_QUIET = 0.15  # range of grey below which a row or column is border, as a fraction of the image's range
_MOST = 0.35  # widest border on each side, as a fraction of the image
_SHARE = 0.8  # share of a border's rows or columns that must be quiet; the rest may carry letters


def find_frame(small: Image) -> tuple[float, float, float, float]:
    """Finds top, left, bottom and right of the area within the even borders, as fractions of the image.

    Args:
        small: (h, w), float32 in [0, 1], a whole radiograph on a grid of a hundred rows and columns or slightly more.

    Example:
        >>> film = np.ones((100, 100), np.float32)
        >>> film[25:, :75] = np.random.default_rng(0).random((75, 75))
        >>> find_frame(film)
        (0.25, 0.0, 1.0, 0.75)
    """
    quiet = _QUIET * float(np.ptp(small))
    turned = np.asarray(cv2.transpose(small), np.float32)  # the range along columns is found several times as fast
    top, bottom = _borders(_range(turned) < quiet)
    left, right = _borders(_range(small[top:bottom]) < quiet)
    rows, columns = small.shape
    if right - left < columns:  # again, without the borders at the sides
        top, bottom = _borders(_range(turned[left:right]) < quiet)
    return top / rows, left / columns, bottom / rows, right / columns


def _range(small: Image) -> npt.NDArray[np.float32]:
    """Returns the largest minus the smallest grey in every column."""
    highest, lowest = (cv2.reduce(small, 0, which) for which in (cv2.REDUCE_MAX, cv2.REDUCE_MIN))
    return np.asarray(np.subtract(highest, lowest)[0], np.float32)


def _borders(quiet: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Returns the first line after the leading border and the first line of the trailing border."""
    return (_border(quiet), len(quiet) - _border(quiet[::-1])) if quiet.any() else (0, len(quiet))


def _border(quiet: npt.NDArray[np.bool_]) -> int:
    """Counts the leading lines that are border: the longest run that is mostly quiet and ends with a quiet line."""
    quiet = quiet[: round(_MOST * len(quiet))]
    mostly = np.cumsum(quiet) >= _SHARE * np.arange(1, len(quiet) + 1)
    last = np.flatnonzero(quiet & mostly)
    return int(last[-1]) + 1 if last.size else 0
