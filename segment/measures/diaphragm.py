"""The heights of the domes of the diaphragm on a frontal radiograph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from artasyn.arrays import Heatmap
from artasyn.errors import DataError
from artasyn.segment.measures.footprints import EDGE, Structures, check_frontal, footprint, largest_parts, share
from artasyn.segment.places import Point
from artasyn.segment.structures import SIDES

BELOW = {"right": ("liver",), "left": ("spleen", "stomach")}
"""Organs whose upper edges are the domes where the diaphragm itself is not labelled."""

INNER = 0.2
"""Share of a lung's width that is left out on each side, where the lung ends at the chest wall or the mediastinum."""

SMOOTH = 0.1
"""Width of the median along the base of a lung, as a share of the lung's width."""


@dataclass(frozen=True)
class DiaphragmHeights:
    """The heights of the domes of the diaphragm.

    A dome is the highest place of a lung's base. Its height is counted from the lowest place of the same lung, the
    costophrenic angle: a flat diaphragm has low domes.

    Attributes:
        right: height of the patient's right dome, pixels.
        left: height of the left dome, pixels.
        difference: how much higher the right dome lies than the left one, pixels; negative if it lies lower.
        right_mm: the same as `right` in mm; None if the size of a pixel is unknown, as the next two.
        left_mm: the same as `left`, mm.
        difference_mm: the same as `difference`, mm.
        right_dome: the place of the right dome.
        left_dome: the place of the left dome.
    """

    right: float
    left: float
    difference: float
    right_mm: float | None
    left_mm: float | None
    difference_mm: float | None
    right_dome: Point
    left_dome: Point

    @classmethod
    def of(cls, structures: Structures) -> DiaphragmHeights:
        """Measures the heights on a frontal projection or radiograph.

        Args:
            structures: a projection or an anatomy. Whole lungs as readers draw them end at the domes. The lungs of a CT
                reach behind the domes, so the footprints of the diaphragm and of the organs `BELOW` are taken off.

        Raises:
            DataError: the view is not frontal, or a lung is missing, not sure or cut by the image's lower border.
        """
        check_frontal(structures)
        right, left = (_lung(structures, side) for side in SIDES)
        return diaphragm_heights(right, left, structures.pixel)


def diaphragm_heights(right: Heatmap, left: Heatmap, spacing: float | None) -> DiaphragmHeights:
    """Measures the heights of the domes from the bases of the lungs.

    Args:
        right: the patient's right lung down to the dome, behind the heart too, (h, w), float32 with the edge at 0.5.
        left: the left lung, the same.
        spacing: size of a pixel, mm; None if it is unknown.

    Raises:
        DataError: the image's lower border cuts a lung.

    Example:
        >>> rows, columns = np.mgrid[:100, :40]
        >>> lung = (rows < 60 + ((columns - 20) / 4) ** 2) & (columns > 4) & (columns < 36)
        >>> lower = np.roll(lung, 5, axis=0)
        >>> found = diaphragm_heights(lung.astype(np.float32), lower.astype(np.float32), 2.0)
        >>> found.difference, found.difference_mm, round(found.right_dome[1])
        (5.0, 10.0, 20)
    """
    (dome, height), (left_dome, left_height) = _dome(right, "right"), _dome(left, "left")
    right_height, left_height, difference = heights = height, left_height, left_dome[0] - dome[0]
    right_mm, left_mm, difference_mm = (None if spacing is None else each * spacing for each in heights)
    return DiaphragmHeights(right_height, left_height, difference, right_mm, left_mm, difference_mm, dome, left_dome)


def _lung(structures: Structures, side: str) -> Heatmap:
    """Returns the lung that ends at the dome of the diaphragm."""
    named = f"whole_lung_{side}"
    lung = footprint(structures, ((named,), (f"lung_{side}",)), f"the {side} lung is")
    if named in structures.names:
        return lung
    below = [name for name in (f"diaphragm_{side}", *BELOW[side]) if name in structures.names]
    if not below:
        organs = " and ".join(BELOW[side])
        raise DataError(f"the recesses of the {side} lung hide the dome; label the diaphragm, or {organs}")
    hidden = np.maximum.reduce([structures.soft_mask(name) for name in below])
    return np.asarray(np.where(hidden >= EDGE, np.float32(0), lung))


def _dome(soft: Heatmap, side: str) -> tuple[Point, float]:
    """Returns the place of the highest point of a lung's base, and its height over the lowest one in pixels."""
    lung = largest_parts(soft)
    inside = lung >= EDGE
    if inside[-1].any():
        raise DataError(f"the picture's border cuts the base of the {side} lung; take a larger field")
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    last = len(inside) - 1 - inside[::-1, columns].argmax(axis=0)
    base = last + share(lung[last, columns], lung[last + 1, columns])
    low = np.flatnonzero(inside[(rows[0] + rows[-1]) // 2 :].any(axis=0))  # the lower half, wider than the apex
    first, width = low[0], low[-1] + 1 - low[0]
    inner = (columns >= first + INNER * width) & (columns < first + (1 - INNER) * width)
    smooth = ndimage.median_filter(base, max(1, round(SMOOTH * width)), mode="nearest")
    places = np.flatnonzero(inner & (smooth <= smooth[inner].min() + 1e-6))
    dome = int(places[len(places) // 2])
    return (float(smooth[dome]), float(columns[dome])), float(base.max() - smooth[dome])
