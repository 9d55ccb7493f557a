"""The part of a film that shows the patient, without what the collimator or a digitiser left around it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from artasyn.arrays import Image

_QUIET = 0.15  # range of grey below which a row or column is border, as a fraction of the film's
_MOST = 0.35  # of the film, on each side
_SHARE = 0.8  # of a border's rows or columns that must be quiet; the others may carry letters


def find_frame(small: Image) -> tuple[float, float, float, float]:
    """Top, left, bottom and right of what lies within the even borders of a film, as fractions of the film.

    Args:
        small: (h, w), float32 in [0, 1], a whole film on a grid of a hundred rows and columns or some more.

    Example:
        >>> film = np.ones((100, 100), np.float32)
        >>> film[25:, :75] = np.random.default_rng(0).random((75, 75))
        >>> find_frame(film)
        (0.25, 0.0, 1.0, 0.75)
    """
    quiet = _QUIET * float(np.ptp(small))
    top, bottom = _borders(_range(small, 1) < quiet)
    left, right = _borders(_range(small[top:bottom], 0) < quiet)
    rows, columns = small.shape
    if right - left < columns:  # again, without what stands beside
        top, bottom = _borders(_range(small[:, left:right], 1) < quiet)
    return top / rows, left / columns, bottom / rows, right / columns


def _range(small: Image, axis: int) -> npt.NDArray[np.float32]:
    """Largest less smallest grey along an axis."""
    return np.asarray(small.max(axis=axis) - small.min(axis=axis), np.float32)


def _borders(quiet: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """The first line behind the leading border and the first line of the trailing one."""
    return (_border(quiet), len(quiet) - _border(quiet[::-1])) if quiet.any() else (0, len(quiet))


def _border(quiet: npt.NDArray[np.bool_]) -> int:
    """How many leading lines are border: as many as end with a quiet one and are mostly quiet."""
    quiet = quiet[: round(_MOST * len(quiet))]
    mostly = np.cumsum(quiet) >= _SHARE * np.arange(1, len(quiet) + 1)
    last = np.flatnonzero(quiet & mostly)
    return int(last[-1]) + 1 if last.size else 0
