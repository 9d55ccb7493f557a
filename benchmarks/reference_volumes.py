"""Reference patients that no training has seen: the adult man and woman of ICRP publication 110, with their organs."""

from __future__ import annotations

import csv
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from scipy import ndimage

from artasyn.arrays import VolumeMask
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.structures import canonical

ICRP = ("AM", "AF")

PARTS = {
    "lung_right": "lung_right_*",
    "lung_left": "lung_left_*",
    "heart": "heart_*",
    "trachea": "trachea",
    "esophagus": "oesophagus",
    "liver": "liver",
    "stomach": "stomach_*",
    "spleen": "spleen",
    "breast_right": "breast_right_*",
    "breast_left": "breast_left_*",
    "sternum": "sternum_*",
    "spine": "*_spine_*",
}
"""Structures, and the names of the phantoms' organs that each consists of."""

PAIRED = {"ribs": "ribs_*", "clavicula": "clavicles_*", "scapula": "scapulae_*", "humerus": "humeri_*"}
"""Structures of both sides that the phantoms do not tell apart; the midline of the spine does."""


def icrp_volume(data: Path, who: str) -> Volume:
    """Reads one of the phantoms with its structures in this library's names.

    Args:
        data: folder of real data, which holds ``phantoms``.
        who: one of `ICRP`.
    """
    stem = data / "phantoms" / f"icrp110_{who}"
    with Path(f"{stem}_names.csv").open(encoding="utf-8") as file:
        names = {int(row["id"]): canonical(row["name"]) for row in csv.DictReader(file)}
    read = Volume.read(f"{stem}_chest_synthHU.nii.gz", f"{stem}_chest_labels.nii.gz", names, table=True)
    return in_our_names(read)


def in_our_names(volume: Volume) -> Volume:
    """Returns a phantom whose organs are joined to `PARTS` and `PAIRED`, and no other structures.

    The trachea's label is its wall; the air inside it is added.

    Args:
        volume: the phantom with its own names, such as ``lung_right_tissue``.
    """
    found = {name: mask for name, pattern in PARTS.items() if (mask := _union(volume, pattern)) is not None}
    middle = round(Structure.of(found["spine"]).centroid()[2])
    for name, pattern in PAIRED.items():
        both = _union(volume, pattern)
        if both is not None:
            right, left = both.copy(), both
            right[:, :, middle:], left[:, :, :middle] = False, False
            found |= {f"{name}_right": right, f"{name}_left": left}
    if "trachea" in found:
        found["trachea"] = np.stack([ndimage.binary_fill_holes(slab) for slab in found["trachea"]])
    structures = {name: Structure.of(mask) for name, mask in found.items() if mask.any()}
    return Volume(volume.hu, volume.affine, structures)


def _union(volume: Volume, pattern: str) -> VolumeMask | None:
    names = [name for name in volume.structures if fnmatchcase(name, pattern)]
    if not names:
        return None
    mask = np.zeros(volume.hu.shape, bool)
    for name in names:
        mask[volume.structures[name].box] |= volume.structures[name].mask
    return mask
