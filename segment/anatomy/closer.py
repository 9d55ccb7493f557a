"""A closer look: the lungs' part of a radiograph, which the network reads again with more pixels.

PBTSeg tells where the lungs are, if it is sure enough: it looks for two dark fields within a body, and so does not take
the abdomen of a wide film for lung.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from artasyn.arrays import Mask
from artasyn.segment.anatomy.window import STRIDE, Window, resample
from artasyn.segment.lungs import Lungs
from artasyn.segment.places import main_parts
from artasyn.segment.structures import CONVENTIONS, SIDES
from artasyn.shapes import Float32

MARGIN = 0.1
"""Margin around the lungs, as a share of the sides of their box."""

SURE = 0.25
"""Confidence of both lungs of PBTSeg from which their box is taken, in place of that of the network's own lungs."""

FINEST = 4.0
"""Most that the closer look enlarges; lungs that fill less than a quarter of a film's side are not read any finer."""

RAMP = 4
"""Pixels of the joined maps over which the closer look takes over from the first one, from its border on."""

Maps = Float32[np.ndarray, "k _ _"]
"""Probabilities of k structures, on any grid."""


@dataclass(frozen=True)
class Closer:
    """The part of a radiograph that is read again, and its place in the joined maps.

    The joined maps show the whole radiograph, with pixels of the size that the closer look has.

    Attributes:
        grid: rows and columns of the joined maps.
        place: rows and columns of the closer look in the joined maps.
        part: rows and columns of the closer look in the radiograph.
        window: the part's place in the network's square.
    """

    grid: tuple[int, int]
    place: tuple[slice, slice]
    part: tuple[slice, slice]
    window: Window

    @classmethod
    def at(cls, mask: Mask, shape: tuple[int, int], size: int) -> Closer | None:
        """Returns the part of a radiograph around a mask; None if the mask is empty.

        Args:
            mask: pixels of the lungs, bool, on any grid over the radiograph.
            shape: rows and columns of the radiograph.
            size: rows and columns of the network's square.
        """
        if not mask.any():
            return None
        ends = []
        for axis, length in enumerate(mask.shape):
            there = np.flatnonzero(mask.any(axis=1 - axis))
            first, last = there[0] / length, (there[-1] + 1) / length
            margin = MARGIN * (last - first)
            ends.append((max(0.0, first - margin), min(1.0, last + margin)))
        longer = max((last - first) * side for (first, last), side in zip(ends, shape, strict=True))
        scale = min(size / longer, FINEST * size / max(shape)) / STRIDE
        grid = [max(1, round(side * scale)) for side in shape]
        place = [
            slice(int(first * length), max(int(first * length) + 1, round(last * length)))
            for (first, last), length in zip(ends, grid, strict=True)
        ]
        part = [
            slice(round(each.start * side / length), max(1, round(each.stop * side / length)))
            for each, side, length in zip(place, shape, grid, strict=True)
        ]
        seen = (part[0].stop - part[0].start, part[1].stop - part[1].start)
        if min(seen) < 1:
            return None
        return cls((grid[0], grid[1]), (place[0], place[1]), (part[0], part[1]), Window.of(seen, size))

    def joined(self, first: Maps, closer: Maps, names: Sequence[str]) -> Maps:
        """Returns the maps of the whole radiograph with those of the closer look in their place.

        Lungs as readers draw them lie in the part alone: what the first look took for them elsewhere is left out.

        Args:
            first: maps of the whole radiograph, float32 (k, r, c).
            closer: maps of the part, without padding, float32 (k, p, q).
            names: names of the k structures.

        Returns:
            float32 (k, *grid).
        """
        found = np.stack([resample(each, self.grid) for each in first])
        lungs, shares = _lungs(names), self._shares()
        found[lungs] = 0
        within = found[:, self.place[0], self.place[1]]
        for place, (whole, near) in enumerate(zip(within, closer, strict=True)):
            seen = resample(near, (shares.shape[0], shares.shape[1]))
            whole += seen if place in lungs else shares * (seen - whole)
        return found

    def _shares(self) -> Float32[np.ndarray, "_ _"]:
        """Returns the share of the closer look at its own pixels: it grows from its border, but not from the film's."""
        shares = []
        for place, length in zip(self.place, self.grid, strict=True):
            count = place.stop - place.start
            steps = (np.arange(count, dtype=np.float32) + 0.5) / RAMP
            share = np.ones(count, np.float32)
            if place.start > 0:
                share = np.minimum(share, steps)
            if place.stop < length:
                share = np.minimum(share, steps[::-1])
            shares.append(share)
        return np.asarray(shares[0][:, None] * shares[1], np.float32)


def lungs_place(maps: Maps, names: Sequence[str], pbtseg: Lungs) -> Mask:
    """Returns the lungs whose box is looked at again; nothing where they are not found on both sides.

    Args:
        maps: probabilities of the k structures on the whole radiograph, float32 (k, r, c), edges at 0.5.
        names: names of the structures.
        pbtseg: what PBTSeg found on the radiograph.
    """
    chosen = _lungs(names)
    sides = [maps[[place for place in chosen if names[place].endswith(side)]] for side in SIDES]
    right, left = (main_parts(np.asarray(each.max(axis=0, initial=0) >= 0.5)) for each in sides)
    if not (right.any() and left.any()):
        return np.zeros_like(right)
    return pbtseg.mask if min(pbtseg.confidence) >= SURE else right | left


def _lungs(names: Sequence[str]) -> list[int]:
    """Returns the places of the lungs as readers draw them."""
    return [place for place, name in enumerate(names) if re.fullmatch(f"({'|'.join(CONVENTIONS)})_lung_.*", name)]
