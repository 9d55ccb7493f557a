"""Names of anatomical structures, and groups of structures."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from artasyn.errors import DataError

GROUPS: dict[str, tuple[str, ...]] = {
    "lungs": ("lung_*_lobe_*", "*_lobe", "lung_right", "lung_left", "right_lung", "left_lung", "lung"),
    "lung_right": ("lung_*_lobe_right", "right_*_lobe", "lung_right", "right_lung"),
    "lung_left": ("lung_*_lobe_left", "left_*_lobe", "lung_left", "left_lung"),
    "ribs": ("rib_*", "rib"),
    "ribs_right": ("rib_right_*",),
    "ribs_left": ("rib_left_*",),
    "spine": ("vertebrae_*", "vertebra_*", "vertebra", "sacrum", "spine"),
    "clavicles": ("clavicula_*", "clavicle_*", "clavicle"),
    "scapulae": ("scapula_*",),
    "bones": (
        *("rib_*", "vertebrae_*", "vertebra_*", "sacrum", "spine", "clavicula_*", "clavicle_*", "scapula_*"),
        *("humerus_*", "sternum", "hip_*", "femur_*", "skull"),
    ),
    "heart": ("heart", "heart_*", "atrial_appendage_*"),
    "great_vessels": (
        *("aorta", "superior_vena_cava", "inferior_vena_cava", "pulmonary_*", "brachiocephalic_*"),
        *("subclavian_artery_*", "common_carotid_artery_*"),
    ),
    "mediastinum": (
        *("heart", "heart_*", "atrial_appendage_*", "aorta", "trachea", "esophagus"),
        *("superior_vena_cava", "pulmonary_*", "brachiocephalic_*"),
    ),
    "airways": ("trachea", "bronchus*", "airway"),
    "abdomen": (
        *("liver", "spleen", "stomach", "kidney_*", "colon", "small_bowel", "duodenum", "pancreas", "gallbladder"),
    ),
}
"""Groups of structures, as patterns for names of TotalSegmentator and of other label sets."""

SIDES = ("right", "left")
"""The patient's sides, as names of structures end."""

VERTEBRAE = tuple(
    f"vertebrae_{level}"
    for level in (*(f"C{n}" for n in (5, 6, 7)), *(f"T{n}" for n in range(1, 13)), "L1", "L2", "L3")
)
"""The vertebrae that a chest radiograph may show, from head to foot."""

RIBS = tuple(f"rib_{side}_{number}" for side in SIDES for number in range(1, 13))

LOBES = (
    *(f"lung_{level}_lobe_right" for level in ("upper", "middle", "lower")),
    *(f"lung_{level}_lobe_left" for level in ("upper", "lower")),
)

CONVENTIONS = ("visible", "whole")
"""Lungs as readers draw them: beside the heart and above the domes of the diaphragm, or behind the heart too."""

READ = (*(f"{convention}_lung_{side}" for convention in CONVENTIONS for side in SIDES), "drawn_heart")
"""What readers draw on radiographs, where it differs from the footprint of the structure."""

ANATOMY = (
    "body",
    *(f"lung_{side}" for side in SIDES),
    *LOBES,
    *("heart", "heart_atrium_right", "heart_atrium_left", "heart_ventricle_right", "heart_ventricle_left"),
    *("aorta", "pulmonary_artery", "superior_vena_cava", "inferior_vena_cava"),
    *("trachea", "bronchus_right", "bronchus_left", "esophagus", "mediastinum"),
    *("diaphragm_right", "diaphragm_left", "abdomen", "liver", "stomach", "spleen"),
    *(f"{name}_{side}" for name in ("breast", "clavicula", "scapula", "humerus") for side in SIDES),
    "sternum",
    *(f"ribs_{side}" for side in SIDES),
    *RIBS,
    "spine",
    *VERTEBRAE,
    *READ,
)
"""What `AnatomyNet` reads on a radiograph, in the order of its channels. All but `READ` are footprints of structures
and groups."""

TOLD_BY: dict[str, tuple[tuple[str, ...], ...]] = {
    **{f"lung_{side}": (tuple(lobe for lobe in LOBES if lobe.endswith(side)),) for side in SIDES},
    "heart": (
        (
            "heart_atrium_right",
            "heart_atrium_left",
            "heart_ventricle_right",
            "heart_ventricle_left",
            "heart_myocardium",
        ),
    ),
    "mediastinum": (("heart", "aorta", "superior_vena_cava", "trachea", "esophagus"),),
    "abdomen": (("liver", "spleen", "stomach", "kidney_right", "kidney_left", "colon", "small_bowel"),),
    **{f"ribs_{side}": (tuple(f"rib_{side}_{number}" for number in range(1, 13)),) for side in SIDES},
    "spine": (tuple(name for name in VERTEBRAE if "_T" in name),),
    **{f"visible_lung_{side}": (("lung_right", "lung_left", "heart"),) for side in SIDES},
    **{f"whole_lung_{side}": (("lung_right", "lung_left", "spine"),) for side in SIDES},
    "drawn_heart": (("heart",),),
}
"""What tells a channel of `ANATOMY` beside a structure of its name: lists of structures and channels, each of which is
enough if the whole list is known."""

RUNNING = ("body", "spine", "aorta", "inferior_vena_cava", "trachea", "esophagus", "mediastinum", "abdomen")
"""Channels that run on beyond every chest scan. An end of the scan spoils them no more than the border of a film."""

HIDING = ("heart", "liver", "spleen", "stomach")
"""Structures that hide lung on a frontal radiograph; lungs drawn on radiographs end at their shadows."""

SPINE_ORDER = (
    *(f"C{n}" for n in range(1, 8)),
    *(f"T{n}" for n in range(1, 13)),
    *(f"L{n}" for n in range(1, 6)),
    "S1",
)
"""The vertebrae from head to foot."""


SPELLINGS: tuple[tuple[str, str], ...] = (
    (r"(left|right)_(.+)", r"\2_\1"),
    (r"(.+_(?:left|right))_patient", r"\1"),
    (r"lungs", "lung"),
    (r"(upper|middle|lower)_lobe_(left|right)", r"lung_\1_lobe_\2"),
    (r"(atrium|ventricle)_(left|right)", r"heart_\1_\2"),
    (r"main_bronchus_(left|right)", r"bronchus_\1"),
    (r"(?:breast_tissue|mamma)_(left|right)", r"breast_\1"),
    (r"clavicle_(left|right)", r"clavicula_\1"),
    (r"rib_?(\d+)_(left|right)", r"rib_\2_\1"),
    (r"rib_(left|right)_?0*(\d+)", r"rib_\1_\2"),
    (r"vertebra_([ctls]\d+)", r"vertebrae_\1"),
    (r"oesophagus", "esophagus"),
    (r"svc", "superior_vena_cava"),
    (r"ivc", "inferior_vena_cava"),
    (r"trachea_above_carina", "trachea"),
    (r"air_cavity_trachea_throat", "airway"),
    (r"bronchi_tree", "bronchi"),
    (r"body_soft_tissue", "body"),
)
"""Patterns of whole names in other label sets, with TotalSegmentator's spelling; applied in this order."""


def canonical(name: str) -> str:
    """Spells a structure's name in this library's way: lower case except a vertebra's level, words joined by ``_``.

    Names of other label sets become those of TotalSegmentator, see `SPELLINGS`.

    Example:
        >>> canonical("Left Lung"), canonical("vertebra T4"), canonical("clavicle_left")
        ('lung_left', 'vertebrae_T4', 'clavicula_left')
    """
    plain = re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")
    for other, ours in SPELLINGS:
        plain = re.sub(f"^(?:{other})$", ours, plain)
    return re.sub(r"(?<=vertebrae_)([ctls])(?=\d)", lambda found: found[1].upper(), plain)


def members(wanted: str, names: Iterable[str]) -> list[str]:
    """Returns the structures that a name stands for: the structure itself, or all structures of a group.

    Args:
        wanted: a structure or a key of `GROUPS`.
        names: the available structures.

    Raises:
        DataError: there is no structure of this name and none of this group.

    Example:
        >>> members("lungs", ["heart", "lung_upper_lobe_left", "lung_lower_lobe_right"])
        ['lung_upper_lobe_left', 'lung_lower_lobe_right']
    """
    found = find_members(wanted, names)
    if not found:
        listed = ", ".join(names) or "none"
        raise DataError(f"no structure and no group {wanted!r}; there are: {listed}; groups are: {', '.join(GROUPS)}")
    return found


def find_members(wanted: str, names: Iterable[str]) -> list[str]:
    """Returns the same as `members`, but an empty list if there are none."""
    names = list(names)
    if wanted in names and wanted not in GROUPS:
        return [wanted]
    patterns = (wanted, *GROUPS.get(wanted, ()))
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def vertebra(name: str) -> int | None:
    """Returns the index of a vertebra in `SPINE_ORDER`; None for other structures."""
    level = re.fullmatch(r"vertebrae?_([CTLS]\d+)", name)
    return SPINE_ORDER.index(level[1]) if level and level[1] in SPINE_ORDER else None
