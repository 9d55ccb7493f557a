"""Regions of a frontal radiograph by name, as radiologists speak of them, and features pooled over them.

The lungs are those of the convention ``whole``, so that a region reaches behind the heart and into dense lung.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import cv2
import numpy as np

from artasyn.arrays import LEFT, RIGHT, Mask
from artasyn.errors import DataError
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.footprints import frontal_turn
from artasyn.segment.lungs import Lungs
from artasyn.segment.measures.footprints import FRONTAL
from artasyn.segment.structures import LOBES, SIDES
from artasyn.shapes import Float32

Parts = Literal["zones", "lobes"]
"""How the lungs are divided: into thirds of their height, or into lobes, which overlap on a radiograph."""

LEVELS = ("upper", "middle", "lower")
ZONES = tuple(f"{level}_zone_{side}" for side in SIDES for level in LEVELS)

PLACES = ("heart", *(f"{name}_{side}" for name in ("hilum", "costophrenic_angle") for side in SIDES))
"""The regions beside the parts of the lungs."""

INNER = 1 / 3
"""A hilum is the inner share of the lung's width, in the middle third of its height, with as much mediastinum again."""
CORNER = 0.12
"""Radius of a costophrenic angle's region, as a share of the lung's height."""

Pooled = Float32[np.ndarray, "regions c"]
"""The mean of c features in every region."""


def region_names(parts: Parts = "zones") -> tuple[str, ...]:
    """Returns the names of all regions, in the order of `regions`.

    Example:
        >>> region_names()[:3], len(region_names("lobes"))
        (('upper_zone_right', 'middle_zone_right', 'lower_zone_right'), 10)
    """
    return (*(ZONES if parts == "zones" else LOBES), *PLACES)


def regions(anatomy: Anatomy, parts: Parts = "zones") -> dict[str, Mask]:
    """Returns the regions of a frontal radiograph, bool (h, w) each; they may overlap.

    - The zones are the thirds of each lung's own height; the lobes are as the network reads them.
    - The heart is as readers draw it.
    - A hilum lies at the inner edge of the lung beside the mediastinum, in the middle third of its height.
    - A costophrenic angle is a disc around the lowest outer corner of the lung; it holds the ribs and the diaphragm
      beside the corner too, because an effusion blunts the corner itself.

    A region that the radiograph does not show is empty.

    Args:
        anatomy: the anatomy, with the channels of whole and of visible lungs.
        parts: how the lungs are divided.

    Raises:
        DataError: the radiograph is not frontal, or the anatomy lacks a channel.
    """
    turn = frontal_turn(anatomy.angle)
    if turn > FRONTAL:
        raise DataError(
            f"not a frontal view: turned by {anatomy.angle:.0f} degrees; regions are those of frontal radiographs"
        )
    whole, visible = anatomy.lungs("whole"), anatomy.lungs("visible")
    found: dict[str, Mask] = {}
    for side, label in zip(SIDES, (RIGHT, LEFT), strict=True):
        for level in LEVELS if parts == "zones" else ():
            found[f"{level}_zone_{side}"] = whole.zone(level) & (whole.labels == label)  # type: ignore[arg-type]
        found[f"hilum_{side}"] = _hilum(visible, label)
        found[f"costophrenic_angle_{side}"] = _corner(np.asarray(whole.labels == label), outer_is_left=label == RIGHT)
    if parts == "lobes":
        found |= {name: anatomy.mask(name) for name in LOBES}
    found["heart"] = anatomy.mask("drawn_heart")
    return {name: found[name] for name in region_names(parts)}


def _hilum(visible: Lungs, label: int) -> Mask:
    """Returns the hilum of one lung: a band along its inner edge, on both sides of the edge."""
    lung = visible.labels == label
    rows = np.flatnonzero(lung.any(axis=1))
    band = np.zeros(lung.shape, bool)
    if rows.size == 0:
        return band
    inward = lung if label == LEFT else lung[:, ::-1]  # the inner edge is the first column
    first = inward.argmax(axis=1)
    width = lung.shape[1] - inward[:, ::-1].argmax(axis=1) - first
    reach = (INNER * width)[:, None]
    columns = np.arange(lung.shape[1])
    band = (columns >= first[:, None] - reach) & (columns < first[:, None] + reach) & lung.any(axis=1, keepdims=True)
    height = rows[-1] + 1 - rows[0]
    band[: rows[0] + round(height / 3)], band[rows[0] + round(2 * height / 3) :] = False, False
    return band if label == LEFT else np.asarray(band[:, ::-1])


def _corner(lung: Mask, *, outer_is_left: bool) -> Mask:
    """Returns a disc around the lowest outer corner of a lung; nothing without a lung."""
    rows, columns = np.nonzero(lung)
    if rows.size == 0:
        return np.zeros(lung.shape, bool)
    outward = -columns if outer_is_left else columns
    lowest = int(np.argmax(rows + outward))
    radius = CORNER * (np.ptp(rows) + 1)
    down, across = np.ogrid[: lung.shape[0], : lung.shape[1]]
    return np.asarray((down - rows[lowest]) ** 2 + (across - columns[lowest]) ** 2 <= radius**2)


def pool(features: Float32[np.ndarray, "c rows columns"], masks: Mapping[str, Mask]) -> Pooled:
    """Returns the mean of features in every region, float32 (regions, c); NaN for an empty region.

    A pixel of the features counts by the share of it that a region covers.

    Args:
        features: float32 (c, rows, columns), over the same field as the masks, on any grid.
        masks: regions, (h, w), bool.

    Example:
        >>> right, none = np.zeros((2, 8, 8), bool)
        >>> right[:, :4] = True
        >>> ramp = np.arange(4, dtype=np.float32).reshape(1, 1, 4).repeat(4, axis=1)
        >>> pool(ramp, {"right": right, "nothing": none}).ravel().tolist()
        [0.5, nan]
    """
    shape = (features.shape[1], features.shape[2])
    soft = [mask.astype(np.float32) for mask in masks.values()]
    weights = np.stack([cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_AREA).ravel() for mask in soft])
    totals = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, totals, out=np.full_like(weights, np.nan), where=totals > 0)
    return np.asarray(weights @ features.reshape(len(features), -1).T, np.float32)
