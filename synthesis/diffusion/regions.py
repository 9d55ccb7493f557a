"""Where the findings of a prompt may lie on one radiograph: lobes, zones and areas as regions of its lungs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from artasyn.arrays import LEFT, RIGHT, Heatmap, Mask
from artasyn.errors import SynthesisError
from artasyn.segment.anatomy.anatomy import Convention
from artasyn.segment.lungs import Lungs, Zone
from artasyn.segment.structures import find_members
from artasyn.synthesis.diffusion.said import PromptFinding
from artasyn.synthesis.finding import FINDINGS
from artasyn.synthesis.places import Found, Place

HEIGHTS = {"apical": (0.0, 0.25), "basal": (0.75, 1.0), "costophrenic_angle": (0.75, 1.0)}
"""The uppermost and lowermost part of a lung, as shares of its height."""

LINGULA = 0.5
"""The part of the left upper lobe's height above the lingula."""

SOFT_EDGE, FISSURE = 0.08, 0.01
"""Width of the fade inside a region's edge, in heights of the lungs: of a zone, which nothing in the lung ends, and of
a lobe, which ends at a fissure."""

LEAST = 0.004
"""Smallest region that counts as shown, as a share of the lungs."""

_SIDES = {"right": RIGHT, "left": LEFT}
_LEVELS: dict[str, Zone] = {"upper": "upper", "middle": "middle", "lower": "lower", "lingula": "middle"}


@dataclass(frozen=True, eq=False)
class Region:
    """The part of the lungs that one finding of a prompt may change.

    Attributes:
        place: the lungs and the part.
        edge: width of the fade inside those edges of the part that lie within a lung, in heights of the lungs.
        notes: what the lungs do not show, and what stands for it, in sentences.
    """

    place: Place
    edge: float = SOFT_EDGE
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, asked: PromptFinding, found: Found, convention: Convention = "visible") -> Region:
        """Finds the region of a finding; without a side, the region lies in both lungs.

        A lobe is read from an `Anatomy` or a `Projection`. Lungs alone do not show lobes: the third of the lung with
        the lobe's name stands for it, and a note says so.

        Args:
            asked: the finding.
            found: the lungs, the anatomy or the projection of a radiograph.
            convention: the extent of the lungs.

        Raises:
            SynthesisError: the radiograph does not show the lung or the part, or the finding cannot lie there.
        """
        whole = Place.of(found, "lungs", convention)
        lungs, notes = whole.lungs, []
        region = lungs.mask if asked.side is None else np.asarray(lungs.labels == _SIDES[asked.side])
        if not region.any():
            raise SynthesisError(f"this radiograph shows no {asked.side or ''} lung for {asked.words()!r}")
        sharp = False
        if FINDINGS[asked.finding].dependent:
            _check_fluid(asked)
        else:
            if asked.lobe:
                lobe, sharp = _lobe(asked, found, lungs)
                region = region & lobe
                if not sharp:
                    notes.append(
                        f"lungs alone do not show lobes: the {_LEVELS[asked.lobe]} third of the lung stands for "
                        f"{asked.words()!r}"
                    )
            if asked.zone:
                region = region & _level(asked.zone, lungs)
            if asked.area:
                region = region & _area(asked, found, lungs)
        if np.count_nonzero(region) < LEAST * np.count_nonzero(lungs.labels):
            raise SynthesisError(f"this radiograph shows no such part of the lungs: {asked.words()!r}")
        part = " ".join(filter(None, (asked.side, asked.lobe, asked.zone, asked.area))) or "lungs"
        place = Place(lungs, np.asarray(region), whole.hidden, part, convention)
        return cls(place, FISSURE if sharp else SOFT_EDGE, tuple(notes))

    @cached_property
    def fade(self) -> Heatmap:
        """1 inside the part, falling to 0 at its edges within a lung, float32 (h, w); the lungs' own edges stay."""
        return _fade(self.place, self.edge)


def extent_of(asked: tuple[PromptFinding, ...], found: Found) -> Convention:
    """Returns the extent of the lungs that a prompt needs: behind the heart only where it names that place."""
    if any(each.area == "retrocardiac" for each in asked) and not isinstance(found, Lungs):
        return "whole"
    return "visible"


def _check_fluid(asked: PromptFinding) -> None:
    """Refuses a place above the base for a finding that lies at the base.

    Raises:
        SynthesisError: it is such a place.
    """
    if asked.zone in ("apical", "upper", "middle") or asked.lobe in ("upper", "middle", "lingula") or asked.area in (
        "central",
        "retrocardiac",
    ):
        raise SynthesisError(
            f"{asked.words()!r}: artasyn draws free fluid, which lies at the base; leave the place out, or say the base"
        )


def _lobe(asked: PromptFinding, found: Found, lungs: Lungs) -> tuple[Mask, bool]:
    """Returns a lobe, and whether the anatomy shows it; otherwise the third of the lungs that stands for it."""
    level = "upper" if asked.lobe == "lingula" else asked.lobe
    sides = [asked.side] if asked.side else ["right", "left"]
    names = [f"lung_{level}_lobe_{side}" for side in sides if not (level == "middle" and side == "left")]
    if isinstance(found, Lungs) or not all(find_members(name, found.names) for name in names):
        return lungs.zone(_LEVELS[str(asked.lobe)]), False
    lobe = np.logical_or.reduce([found.mask(name) for name in names]) & lungs.mask
    if asked.lobe == "lingula":
        rows = np.flatnonzero(lobe.any(axis=1))
        if rows.size:
            lobe[: rows[0] + round(LINGULA * rows.size)] = False
    return np.asarray(lobe), True


def _level(zone: str, lungs: Lungs) -> Mask:
    """Returns a height in both lungs: a third, or the uppermost or lowermost part."""
    if zone not in HEIGHTS:
        return lungs.zone(_LEVELS[zone])
    level = np.zeros(lungs.labels.shape, bool)
    for lung in (lungs.right, lungs.left):
        rows = np.flatnonzero(lung.any(axis=1))
        if rows.size:
            first, last = (rows[0] + round(share * (rows[-1] + 1 - rows[0])) for share in HEIGHTS[zone])
            level[first:last] |= lung[first:last]
    return level


def _area(asked: PromptFinding, found: Found, lungs: Lungs) -> Mask:
    """Returns a part of the lungs by its neighbours.

    Raises:
        SynthesisError: lungs alone do not show what lies behind the heart.
    """
    if asked.area == "retrocardiac":
        if isinstance(found, Lungs) or not find_members("heart", found.names):
            raise SynthesisError(
                f"{asked.words()!r}: lungs alone do not show what lies behind the heart; read the anatomy "
                "(--lungs anatomy), or leave the place out"
            )
        return np.asarray(found.mask("heart") & lungs.mask)
    if asked.area == "costophrenic_angle":
        return np.asarray(_level("costophrenic_angle", lungs) & lungs.zone("peripheral"))
    return lungs.zone("central" if asked.area == "central" else "peripheral")


def _fade(place: Place, width: float) -> Heatmap:
    """Returns the fade of a region, over a width in heights of the lungs."""
    region, labels = place.region, place.lungs.labels
    here = [side for side in (RIGHT, LEFT) if (region & (labels == side)).any()]
    beyond = np.isin(labels, here) & ~region
    if not beyond.any():
        return region.astype(np.float32)
    rows = np.flatnonzero((labels > 0).any(axis=1))
    reach = max(1.0, width * (rows[-1] + 1 - rows[0]))
    distance = cv2.distanceTransform((~beyond).astype(np.uint8), cv2.DIST_L2, 3)
    rise = np.minimum(distance / np.float32(reach), 1)
    return np.asarray(region * rise * rise * (3 - 2 * rise), np.float32)
