"""The anatomy of one radiograph: a probability for every structure on the radiograph's own grid."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from artasyn.arrays import LEFT, RIGHT, Heatmap, Mask, SoftMasks
from artasyn.cautions import Caution, usable
from artasyn.errors import DataError
from artasyn.segment.anatomy.window import resample
from artasyn.segment.lungs import Lungs, Zone
from artasyn.segment.measures.measures import Measures, measure
from artasyn.segment.places import Point, main_parts, whole_place
from artasyn.segment.structures import CONVENTIONS, SIDES, members

Convention = Literal["visible", "whole"]
"""Extent of the lungs as readers draw them: beside the heart, or behind the heart too; both end at the domes."""

SQUARE = 0.01
"""Largest difference between the sides of a pixel, as a share, for which a pixel has one size."""

_ZONE = re.compile(rf"({'|'.join(get_args(Zone))})_zone(?:_({'|'.join(SIDES)}))?")


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The structures of one radiograph, which may overlap.

    The maps may be coarser than the radiograph. Whatever is asked for is resampled to the radiograph's grid then, so
    that 87 structures of a film of 3000 x 3000 pixels need no memory until they are used.

    Attributes:
        names: names of the k structures, see `artasyn.segment.structures.ANATOMY`.
        maps: probability of each structure, float32 (k, r, c) in [0, 1], on any grid over the radiograph.
        angle: the turn of the patient about the body's axis, degrees, as in `View`: 0 PA, 180 AP, 90 and -90 lateral.
        confidence: confidence of each structure, (k,) in [0, 1]; 0 for a structure that the radiograph does not show.
        spacing: size of a pixel, mm, rows and columns; None if the radiograph does not tell.
        reasons: reasons to doubt the radiograph or this result, in sentences.
        warnings: the same reasons by the words of `artasyn.cautions`, each once.
        shape: rows and columns of the radiograph; None for those of the maps.

    Example:
        >>> maps = np.zeros((2, 40, 50), np.float32)
        >>> maps[0, 5:35, 5:20] = maps[1, 5:35, 30:45] = 1
        >>> anatomy = Anatomy(("visible_lung_right", "visible_lung_left"), maps, 0.0, (0.9, 0.8), shape=(80, 100))
        >>> lungs = anatomy.lungs()
        >>> lungs.confidence, int(lungs.labels[40, 20]), int(anatomy.mask("visible_lung_left").sum())
        ((0.9, 0.8), 1, 1800)
    """

    names: tuple[str, ...]
    maps: SoftMasks
    angle: float
    confidence: tuple[float, ...]
    spacing: tuple[float, float] | None = None
    reasons: tuple[str, ...] = ()
    warnings: tuple[Caution, ...] = ()
    shape: tuple[int, int] | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the radiograph."""
        return self.shape or (self.maps.shape[1], self.maps.shape[2])

    @property
    def usable(self) -> bool:
        """Whether the radiograph can be judged: no warning is one of `artasyn.cautions.UNUSABLE`."""
        return usable(self.warnings)

    @property
    def doubts(self) -> str:
        """The words of the warnings and the reasons, on one line; empty if there are none."""
        return ": ".join(filter(None, (" ".join(self.warnings), "; ".join(self.reasons))))

    @property
    def probabilities(self) -> SoftMasks:
        """The probability of every structure, float32 (k, h, w) in [0, 1], on the radiograph's grid; made anew."""
        found = np.empty((len(self.names), *self.grid), np.float32)
        for place, each in enumerate(self.maps):
            found[place] = resample(each, self.grid)
        return found

    @property
    def soft_masks(self) -> SoftMasks:
        """The same as `probabilities`: footprints with soft borders, whose edges are at 0.5. Made anew."""
        return self.probabilities

    @property
    def pose(self) -> tuple[float, float, float]:
        """Turn, tilt and roll of the patient, degrees; tilt and roll are not known and taken for 0."""
        return self.angle, 0.0, 0.0

    @property
    def pixel(self) -> float | None:
        """Size of a pixel, mm; None if it is unknown, or if pixels are not square."""
        if self.spacing is None or abs(self.spacing[0] / self.spacing[1] - 1) > SQUARE:
            return None
        return sum(self.spacing) / 2

    def sure(self, name: str) -> float:
        """Returns the confidence of a structure, or the mean confidence of a group's, in [0, 1].

        Raises:
            DataError: there is no structure and no group of this name.
        """
        chosen = self._chosen(name)
        return sum(self.confidence[each] for each in chosen) / len(chosen)

    def soft_mask(self, name: str) -> Heatmap:
        """Returns the probability of a structure, or of the union of a group, float32 (h, w): its edge is at 0.5.

        Args:
            name: name of a structure, or a key of `artasyn.segment.structures.GROUPS`.

        Raises:
            DataError: there is no structure and no group of this name.
        """
        return resample(np.maximum.reduce(self.maps[self._chosen(name)]), self.grid)

    def mask(self, name: str, threshold: float = 0.5) -> Mask:
        """Returns a structure, the union of a group, or a zone of the lungs, bool (h, w).

        Args:
            name: name of a structure, a key of `artasyn.segment.structures.GROUPS`, or a zone such as
                ``upper_zone_right``, see `zone`.
            threshold: least probability of a pixel; zones are those of the lungs at 0.5.

        Raises:
            DataError: there is no structure, no group and no zone of this name.
        """
        if found := _ZONE.fullmatch(name):
            zone: Zone = found[1]  # type: ignore[assignment]
            lungs = self._lungs_behind()
            side = {"right": lungs.right, "left": lungs.left}.get(found[2], lungs.mask)
            return np.asarray(lungs.zone(zone) & side)
        return np.asarray(self.soft_mask(name) >= threshold)

    @property
    def heart(self) -> Mask:
        """The heart as readers draw it, or else its footprint, bool (h, w).

        Raises:
            DataError: there is no heart among the structures.
        """
        return self.mask("drawn_heart" if "drawn_heart" in self.names else "heart")

    def zone(self, name: Zone) -> Mask:
        """Returns a part of both whole lungs, bool (h, w); see `artasyn.segment.lungs.Lungs.zone`.

        Raises:
            ValueError: the name is not a zone.
            DataError: there are no lungs among the structures.
        """
        return self._lungs_behind().zone(name)

    def lungs(self, convention: Convention = "visible") -> Lungs:
        """Returns the lungs; a pixel of both lungs counts for the more probable one.

        Of each lung, the largest part and parts with at least 5 % of its area are kept.

        Args:
            convention: ``visible`` beside the heart, or ``whole``, behind the heart too.

        Returns:
            Lungs with the confidence, the reasons and the warnings of this anatomy. A lung that is not seen has the
            confidence 0; its absence is a warning.

        Raises:
            DataError: there is no such convention, or there are no such lungs among the structures.
        """
        if convention not in CONVENTIONS:
            raise DataError(f"no convention {convention!r} of lungs; choose from {', '.join(CONVENTIONS)}")
        names = [f"{convention}_lung_{side}" for side in SIDES]
        right, left = (self.soft_mask(name) for name in names)
        labels = np.zeros(self.grid, np.uint8)
        labels[main_parts((right >= 0.5) & (right >= left))] = RIGHT
        labels[main_parts((left >= 0.5) & (left > right))] = LEFT
        seen = Lungs.from_labels(labels)
        sure = tuple(self.sure(name) * there for name, there in zip(names, seen.confidence, strict=True))
        words = tuple(dict.fromkeys((*self.warnings, *seen.warnings)))
        reasons = tuple(dict.fromkeys((*self.reasons, *(each.replace("labelled", "seen") for each in seen.reasons))))
        return Lungs(labels, (sure[0], sure[1]), reasons, words)

    def measure(self, convention: Convention = "visible") -> Measures:
        """Measures the radiograph; measures that it does not allow are None, with a reason.

        Args:
            convention: lungs whose areas are measured.
        """
        return measure(self, convention)

    def place(self, name: str) -> Point | None:
        """Returns the centroid of a structure or a group; None if it is not there, or if the image's border cuts it.

        Raises:
            DataError: there is no structure and no group of this name.
        """
        soft = np.maximum.reduce(self.maps[self._chosen(name)])
        found = whole_place(soft, np.asarray(soft >= 0.5))
        if found is None:
            return None
        scales = (film / coarse for film, coarse in zip(self.grid, soft.shape, strict=True))
        row, column = ((place + 0.5) * scale - 0.5 for place, scale in zip(found, scales, strict=True))
        return row, column

    def _chosen(self, name: str) -> list[int]:
        return [self.names.index(each) for each in members(name, self.names)]

    @property
    def extent(self) -> Convention:
        """The widest extent of the lungs that is among the structures."""
        return "whole" if f"whole_lung_{SIDES[0]}" in self.names else "visible"

    def _lungs_behind(self) -> Lungs:
        """Returns the whole lungs; the visible ones where the whole ones are not among the structures."""
        return self.lungs(self.extent)
