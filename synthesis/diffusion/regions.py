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
from artasyn.synthesis.finding import FINDINGS
from artasyn.synthesis.places import Found, Place
from artasyn.synthesis.prompts.said import PromptFinding

HEIGHTS = {"apical": (0.0, 0.25), "basal": (0.75, 1.0), "costophrenic_angle": (0.75, 1.0)}
"""The uppermost and lowermost part of a lung, as shares of its height."""

LINGULA = 0.5
"""The part of the left upper lobe's height above the lingula."""

MIDDLE_LOBE = 0.65
"""The part of the right lung's height below the upper lobe that stands for the middle lobe."""

LEAST_BELOW = 0.2
"""Least share of the right lung below the upper lobe, for the middle lobe to be told so."""

SOFT_EDGE, OBLIQUE, FISSURE = 0.08, 0.03, 0.01
"""Width of the fade inside a region's edge, in heights of the lungs: of a zone or a lobe that nothing ends sharply on a
frontal film; of what stands for the middle lobe; and of the right upper lobe, whose fissure runs along the rays."""

GAP = 0.02
"""Width of the gap beside a lung's outline that a finding may fill, in heights of the lungs."""

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
        edge = SOFT_EDGE
        if FINDINGS[asked.finding].dependent:
            _check_fluid(asked)
        else:
            if asked.lobe:
                lobe, edge, note = _lobe(asked, found, lungs)
                region = region & lobe
                notes += [note] * bool(note)
            if asked.zone:
                region = region & _level(asked.zone, lungs)
            if asked.area:
                region = region & _area(asked, found, lungs)
        if np.count_nonzero(region) < LEAST * np.count_nonzero(lungs.labels):
            raise SynthesisError(f"this radiograph shows no such part of the lungs: {asked.words()!r}")
        part = " ".join(filter(None, (asked.side, asked.lobe, asked.zone, asked.area))) or "lungs"
        place = Place(lungs, np.asarray(region), whole.hidden, part, convention)
        return cls(place, edge, tuple(notes))

    @cached_property
    def fade(self) -> Heatmap:
        """1 inside the part, falling to 0 at its edges within a lung, float32 (h, w); the lungs' own edges stay."""
        return _fade(self.place, self.edge)

    @cached_property
    def gap(self) -> Heatmap:
        """The gap between the part and what bounds the lung, float32 (h, w): 1 near the part, falling to 0 beyond.

        The outline of a lung runs a little beside the edge of the heart or the dome that bounds it. Disease fills that
        gap; only bright pixels bound it.
        """
        region, lungs = self.place.region, self.place.lungs.mask
        rows = np.flatnonzero(lungs.any(axis=1))
        reach = max(1.0, GAP * (rows[-1] + 1 - rows[0]))
        outward = cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 3)
        return np.asarray(~lungs * np.clip(2 - 2 * outward / np.float32(reach), 0, 1), np.float32)

    @property
    def stated(self) -> Mask:
        """The pixels that the finding may change, bool (h, w): the part and the gap beside it."""
        return np.asarray(self.place.region | (self.gap > 0))

    def filled(self, soft: Heatmap) -> Heatmap:
        """Returns a soft map (h, w) of the part that goes on into the gap beside it.

        The gap holds the mean of what is near, and no more than the pixel of the part beside it: nothing in the gap is
        apart from what is in the lung.
        """
        sigma = max(1.0, GAP * np.count_nonzero(self.place.lungs.mask.any(axis=1)))
        near = cv2.GaussianBlur(soft * self.place.region, (0, 0), sigma)
        wide = near / np.maximum(cv2.GaussianBlur(self.place.region.astype(np.float32), (0, 0), sigma), 1e-3)
        outside = (~self.place.region).astype(np.uint8)
        _, nearest = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        beside = np.zeros(int(nearest.max()) + 1, np.float32)
        beside[nearest[self.place.region]] = soft[self.place.region]
        return np.asarray(np.where(self.place.region, soft, np.minimum(wide, beside[nearest]) * self.gap), np.float32)


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
    if (
        asked.zone in ("apical", "upper", "middle")
        or asked.lobe in ("upper", "middle", "lingula")
        or asked.area
        in (
            "central",
            "retrocardiac",
        )
    ):
        raise SynthesisError(
            f"{asked.words()!r}: artasyn draws free fluid, which lies at the base; leave the place out, or say the base"
        )


def _lobe(asked: PromptFinding, found: Found, lungs: Lungs) -> tuple[Mask, float, str]:
    """Returns a lobe, the width of its fade, and a note where something else stands for it."""
    level = "upper" if asked.lobe == "lingula" else str(asked.lobe)
    sides = [asked.side] if asked.side else ["right", "left"]
    names = [f"lung_{level}_lobe_{side}" for side in sides if not (level == "middle" and side == "left")]
    lobe = np.zeros(lungs.labels.shape, bool)
    for name in names:
        lobe |= _structure(name, found) & lungs.mask
    if lobe.any():
        rows = np.flatnonzero(lobe.any(axis=1))
        if asked.lobe == "lingula":
            lobe[: rows[0] + round(LINGULA * rows.size)] = False
        elif level in ("upper", "lower"):  # the far end of a lobe lies in front of or behind the other lobe
            lobe &= ~lungs.zone("lower" if level == "upper" else "upper")
        return lobe, FISSURE if names == ["lung_upper_lobe_right"] else SOFT_EDGE, ""
    above = _structure("lung_upper_lobe_right", found) & lungs.right
    below = lungs.right & ~above
    if level == "middle" and above.any() and np.count_nonzero(below) >= LEAST_BELOW * np.count_nonzero(lungs.right):
        rows = np.flatnonzero(below.any(axis=1))
        below[rows[0] + round(MIDDLE_LOBE * rows.size) :] = False
        return (
            below,
            OBLIQUE,
            "the anatomy does not show the middle lobe: the lung below the upper lobe stands for it",
        )
    third = _LEVELS[str(asked.lobe)]
    what = "lungs alone do not show lobes" if isinstance(found, Lungs) else "the anatomy does not show this lobe"
    note = f"{what}: the {third} third of the lung stands for {asked.words()!r}"
    return lungs.zone(third), SOFT_EDGE, note


def _structure(name: str, found: Found) -> Mask:
    """Returns a structure of an anatomy or a projection; empty where it does not show it."""
    if isinstance(found, Lungs) or not find_members(name, found.names):
        shape = found.labels.shape if isinstance(found, Lungs) else found.lungs("visible").labels.shape
        return np.zeros(shape, bool)
    return found.mask(name)


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
    """Returns a part of the lungs by its neighbours; behind the heart, that is its lower third, beside the spine.

    Raises:
        SynthesisError: lungs alone do not show what lies behind the heart.
    """
    if asked.area == "retrocardiac":
        if isinstance(found, Lungs) or not find_members("heart", found.names):
            raise SynthesisError(
                f"{asked.words()!r}: lungs alone do not show what lies behind the heart; read the anatomy "
                "(--lungs anatomy), or leave the place out"
            )
        return np.asarray(found.mask("heart") & lungs.zone("lower"))
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
