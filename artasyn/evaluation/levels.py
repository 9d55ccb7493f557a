"""The levels of the heatmap histograms, equally fine toward 0 and toward 1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from artasyn.arrays import Heatmap

_SHIFT = 15  # float32 has 23 bits of mantissa: 8 stay, 256 levels an octave
_FLOOR = (127 - 32) << 8  # 2**-32, below which all values but 0 share one level
_HALF = ((127 - 1) << 8) - _FLOOR + 2  # the level of 0.5
_NEAREST = (127 - 24) << 8  # 2**-24, the smallest distance to 1 in float32
LEVELS = _HALF + ((127 - 1) << 8) - _NEAREST + 2
"""The number of levels, from the level of exactly 0 to the level of exactly 1."""


def quantise(heatmap: Heatmap) -> npt.NDArray[np.int32]:
    """Returns the level of every pixel, (h, w).

    Levels rise with the values. There are 256 levels for each octave of the distance to the nearer of 0 and 1. A
    level is therefore at most 0.4 % of this distance wide, for heatmaps in [0, 0.001], in [0, 1] or saturated at 1.
    Exactly 0 and exactly 1 each have a separate level; the whole of (0, 2**-32) is one level.

    Args:
        heatmap: (h, w) in [0, 1].

    Example:
        >>> quantise(np.array([[0.0, 0.001, 0.00101, 0.5, 0.999, 1.0]], np.float32))
        array([[    0,  5640,  5642,  7938, 10235, 13827]], dtype=int32)
    """
    upper = heatmap >= 0.5
    distance = np.where(upper, 1 - heatmap, heatmap)
    bits = distance.view(np.int32)  # positive floats have the same order as their bits
    below = np.maximum((bits >> _SHIFT) - _FLOOR + 2, bits > 0)
    above = LEVELS - 1 - np.maximum(((bits - 1) >> _SHIFT) - _NEAREST + 2, 0)
    levels: npt.NDArray[np.int32] = np.where(upper, above, below).astype(np.int32)
    return levels


def level_thresholds(levels: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Returns the smallest float32 of each level, so that `heatmap >= threshold` equals `quantise(heatmap) >= level`.

    Args:
        levels: of any shape, from `quantise`.
    """
    low = ((np.maximum(levels - 2, 0) + _FLOOR) << _SHIFT).astype(np.int32).view(np.float32)
    low = np.where(levels == 1, np.nextafter(np.float32(0), np.float32(1)), np.where(levels == 0, 0, low))
    distance = (((126 << 8) - np.maximum(levels - _HALF, 0)) << _SHIFT).astype(np.int32).view(np.float32)
    exact = 1 - distance.astype(np.float64)
    high = exact.astype(np.float32)
    high = np.where(high < exact, np.nextafter(high, np.float32(2)), high)
    return np.where(levels >= _HALF, high, low).astype(np.float32)


class MixedLevels:
    """Records which levels hold more than one value over all heatmaps; quantising loses information only there.

    Attributes:
        mixed: bool (LEVELS,).
    """

    def __init__(self) -> None:
        self.mixed = np.zeros(LEVELS, bool)
        self._seen = np.full(LEVELS, np.nan, np.float32)  # one value of each level

    def note(self, heatmap: Heatmap, levels: npt.NDArray[np.int32]) -> None:
        """Records one more heatmap.

        Args:
            heatmap: (h, w) in [0, 1].
            levels: (h, w), the levels of the heatmap from `quantise`.
        """
        values = np.full(LEVELS, np.nan, np.float32)
        values[levels] = heatmap
        self.mixed[levels[values[levels] != heatmap]] = True
        unseen = np.isnan(self._seen)
        self.mixed |= ~unseen & ~np.isnan(values) & (self._seen != values)
        self._seen[unseen] = values[unseen]
