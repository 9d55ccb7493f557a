"""The truth of a radiograph's channels, from the projection of a volume: footprints, and lungs and heart as drawn.

Readers draw the lungs where a radiograph shows them: beside the heart, above the domes of the diaphragm, outside the
spine. Two helper structures of the volume tell where that is. ``below`` is the tissue under the lungs and the heart in
the same column of voxels. ``between`` is the tissue between both lungs in the same row of voxels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from artasyn.arrays import Mask, RayMap, Thickness, VolumeMask
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.places import main_parts
from artasyn.segment.projection.projection import THRESHOLD
from artasyn.segment.structures import ANATOMY, READ, find_members
from artasyn.shapes import Bool

BELOW, BETWEEN = "below", "between"
"""Structures that `with_landmarks` adds to a volume."""

SHOWN = 0.15
"""Share of the lung's deepest ray from which readers see lung: they draw its border inside that of its footprint."""

UNDER, RECESS = 8.0, 0.15
"""A dome hides lung from this length of the ray in `BELOW` on, mm, and from this share of the length in lung."""

MIDDLE = {"right": 75.0, "left": 32.0}
"""Length of the ray in `BETWEEN` from which the mediastinum hides the lung of a side, mm. The right border of the
mediastinum is thin veins, the left one is the aorta."""

FRONTAL_LUNGS, FRONTAL_HEART = 60.0, 45.0
"""Largest turn from a frontal view, degrees, at which lungs and heart as drawn on frontal radiographs are known."""

SOLID, SMOOTH = 20.0, 0.012
"""Length of a ray in the spine from which it hides the lungs, mm, and radius of the filter that smooths drawn lungs, as
a share of their height."""

FLAT, ROUND = 0.15, 0.1
"""Share of the heart's height that readers leave out below, and radius of the opening that rounds it, as a share."""


def with_landmarks(volume: Volume) -> Volume:
    """Returns a volume with the structures `BELOW` and `BETWEEN`.

    Args:
        volume: a volume with lungs by their sides.

    Raises:
        DataError: there are no lungs.
    """
    right, left = volume.mask("lung_right"), volume.mask("lung_left")
    chest = right | left
    if find_members("heart", volume.structures):
        chest |= volume.mask("heart")
    inside = _box(chest)
    deep = chest[:, inside[1], inside[2]]
    bottom = deep.shape[0] - 1 - deep[::-1].argmax(axis=0)
    below = (np.arange(deep.shape[0])[:, None, None] > bottom) & deep.any(axis=0)
    below &= volume.hu[:, inside[1], inside[2]] > -900
    found = {BELOW: Structure.of(below, (0, inside[1].start, inside[2].start))}
    right, left = right[inside], left[inside]
    columns = np.arange(right.shape[2])
    last = right.shape[2] - 1 - right[:, :, ::-1].argmax(axis=2)
    first = left.argmax(axis=2)
    both = np.asarray(right.any(axis=2) & left.any(axis=2))
    between = (columns > last[..., None]) & (columns < first[..., None]) & both[..., None]
    if between.any():
        found[BETWEEN] = Structure.of(between, (inside[0].start, inside[1].start, inside[2].start))
    return volume.with_structures(**found)


def _box(mask: VolumeMask) -> tuple[slice, slice, slice]:
    return Structure.of(mask).box


def frontal_turn(angle: float) -> float:
    """Returns how far a view is turned from straight through the chest, degrees in [0, 90]."""
    return math.degrees(math.acos(min(1.0, abs(math.cos(math.radians(angle))))))


def footprints(
    thickness: Thickness, names: Sequence[str], body: Mask, angle: float
) -> tuple[Bool[np.ndarray, "channels h w"], Bool[np.ndarray, " channels"]]:
    """Returns the masks of the channels `ANATOMY`, and which of them the projection tells.

    Args:
        thickness: length of every ray in each structure, mm, float (n, h, w), of a volume `with_landmarks`.
        names: names of the n structures.
        body: pixels whose rays meet the patient, bool (h, w).
        angle: angle of the view, degrees.

    Returns:
        bool (k, h, w) and bool (k,).
    """

    def depth(name: str) -> RayMap | None:
        places = [names.index(each) for each in find_members(name, names)]
        return thickness[places].astype(np.float32).sum(axis=0) if places else None

    masks, known = np.zeros((len(ANATOMY), *body.shape), bool), np.zeros(len(ANATOMY), bool)
    for place, name in enumerate(ANATOMY):
        found = body if name == "body" else None if name in READ else _footprint(depth(name))
        if found is not None:
            masks[place], known[place] = found, True
    for name, found in drawn(depth, angle).items():
        masks[ANATOMY.index(name)], known[ANATOMY.index(name)] = found, True
    return masks, known


def _footprint(depth: RayMap | None) -> Mask | None:
    return None if depth is None else np.asarray(depth > THRESHOLD)


def drawn(depth: Callable[[str], RayMap | None], angle: float) -> dict[str, Mask]:
    """Returns the lungs in both conventions and the heart as readers draw them, by the names `READ`.

    Args:
        depth: the length of every ray in a structure or a group, mm; None for what the volume does not tell.
        angle: angle of the view, degrees; what is not drawn at this angle is left out.
    """
    turn, found = frontal_turn(angle), {}
    heart, below, between, spine = (depth(name) for name in ("heart", BELOW, BETWEEN, "spine"))
    silhouette = None if heart is None else as_drawn(heart > THRESHOLD)
    if turn <= FRONTAL_HEART and silhouette is not None:
        found["drawn_heart"] = silhouette
    if turn > FRONTAL_LUNGS or below is None:
        return found
    for side in ("right", "left"):
        lung, other = depth(f"lung_{side}"), depth("lung_left" if side == "right" else "lung_right")
        if lung is None or other is None:
            continue
        shown = (lung > SHOWN * lung.max()) & (lung >= other)
        free = below <= np.maximum(UNDER, RECESS * lung)
        if spine is not None:
            above = free
            if side == "left" and heart is not None:  # the heart lies on the left dome, and readers draw lung behind it
                above = free | (heart > THRESHOLD)
            found[f"whole_lung_{side}"] = smooth(shown & above & ~_shaft(spine))
        if heart is not None and between is not None:
            found[f"visible_lung_{side}"] = smooth(shown & free & (heart <= THRESHOLD) & (between <= MIDDLE[side]))
    return found


def _shaft(spine: RayMap) -> Mask:
    """Returns the bodies of the vertebrae without their processes, which are lower than a body."""
    solid = (spine > SOLID).astype(np.uint8)
    rows = np.flatnonzero(solid.any(axis=1))
    if not rows.size:
        return solid > 0
    tall = np.ones((2 * round(0.03 * rows.size) + 1, 1), np.uint8)
    opened = cv2.morphologyEx(solid, cv2.MORPH_OPEN, tall)
    return np.asarray(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, tall) > 0)


def smooth(mask: Mask) -> Mask:
    """Returns a mask without stray components (`main_parts`) and with a smooth outline, as readers draw it."""
    if not mask.any():
        return mask
    rows = np.flatnonzero(mask.any(axis=1))
    size = 2 * max(1, round(SMOOTH * rows.size)) + 1
    return np.asarray(cv2.medianBlur(main_parts(mask).astype(np.uint8), size) > 0)


def as_drawn(heart: Mask) -> Mask:
    """Returns the heart as readers draw it: its lowest part, which lies in the abdomen's shadow, is cut and rounded.

    Args:
        heart: the heart's footprint, bool (h, w).
    """
    rows = np.flatnonzero(heart.any(axis=1))
    if rows.size < 8:
        return heart
    height = int(rows[-1] - rows[0] + 1)
    cut = heart.copy()
    cut[rows[-1] + 1 - round(FLAT * height) :] = False
    size = 2 * max(1, round(ROUND * height)) + 1
    opened = cv2.morphologyEx(
        cut.view(np.uint8), cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    )
    return np.asarray(opened > 0)
