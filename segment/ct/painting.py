"""Hounsfield units for patients that are known by labels alone, such as anatomical models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from artasyn.arrays import LOWEST, Affine, VolumeLabels
from artasyn.errors import DataError
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.structures import canonical, find_members

TISSUES: dict[str, int] = {
    "body": 10,
    "lungs": -820,
    "airways": -1000,
    "bronchi": -600,
    "heart": 40,
    "great_vessels": 40,
    "abdomen": 50,
    "diaphragm_*": 50,
    "liver": 60,
    "stomach": 20,
    "esophagus": 20,
    "breast_*": -60,
    "costal_cartilages": 110,
    "ribs_*": 350,
    "bones": 350,
    "skeleton": 350,
    "brain": 35,
}
"""Hounsfield units by structure, group or pattern; later rows count more. Bones are means of cortex and marrow.

Source: usual values of tissues in CT without contrast agent."""


def painted(labels: VolumeLabels, affine: Affine, names: Mapping[int, str]) -> Volume:
    """Makes a CT from a label map: every structure has the Hounsfield units of `TISSUES`, and the rest is air.

    A structure that is both lungs in one, by the name ``lung``, is divided at the middle of the body's width.

    Args:
        labels: uint8 or uint16 (z, y, x), 0 for air.
        affine: see `Volume`.
        names: names of the numbers.

    Raises:
        DataError: a structure is of unknown tissue. The message names it.
    """
    tissues = {name: _tissue(name) for name in {canonical(name) for name in names.values()}}
    volume = Volume.of_labels(np.full(labels.shape, LOWEST, np.int16), affine, labels, names)
    if unknown := [name for name in volume.structures if tissues.get(name) is None]:
        raise DataError(f"the tissue of {', '.join(unknown)} is unknown; name them as TotalSegmentator does")
    for name, structure in volume.structures.items():
        volume.hu[structure.box][structure.mask] = tissues[name]
    lung = volume.structures.get("lung")
    if lung is None:
        return volume
    whole = Structure.of(labels > 0)
    middle = round(whole.start[2] + whole.mask.shape[2] / 2)
    right, left = volume.mask("lung"), volume.mask("lung")
    right[..., middle:], left[..., :middle] = False, False
    return Volume(
        volume.hu,
        volume.affine,
        {name: each for name, each in volume.structures.items() if name != "lung"}
        | {"lung_right": Structure.of(right), "lung_left": Structure.of(left)},
        volume.notes,
    )


def _tissue(name: str) -> int | None:
    """Returns the Hounsfield units of a structure; None if nothing is known of it."""
    rows = [hu for row, hu in TISSUES.items() if find_members(row, [name])]
    return rows[-1] if rows else None
