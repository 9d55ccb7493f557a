"""The names of findings: one spelling in the whole library and in all files that the library writes.

The names come from the Fleischner Society's glossary of terms for thoracic imaging (Hansell et al., Radiology
2008;246:697), in lower case, with words joined by ``_``.
"""

from __future__ import annotations

import re
from typing import Any, Literal, cast, get_args

from artasyn.errors import DataError

FindingName = Literal[
    "ground_glass_opacity",
    "consolidation",
    "nodule",
    "mass",
    "nodular_pattern",
    "reticular_pattern",
    "pleural_effusion",
    "perihilar_opacity",
    "peribronchial_thickening",
    "septal_thickening",
    "linear_atelectasis",
    "cavity",
    "miliary_pattern",
    "texture_opacity",
]
"""The findings that can be synthesised on a radiograph."""

LesionKind = Literal["nodule", "consolidation", "ground_glass_opacity"]
"""The findings that can be synthesised in three dimensions, in a CT or in a phantom."""

_OLDER = {"ground_glass": "ground_glass_opacity"}


def finding_name(spelling: str) -> str:
    """Returns a finding's name as this library spells it; files of earlier versions hold other spellings.

    Args:
        spelling: upper case, spaces and hyphens are allowed; an unknown finding keeps its name.

    Example:
        >>> finding_name("ground glass"), finding_name("ground_glass"), finding_name("Nodule")
        ('ground_glass_opacity', 'ground_glass_opacity', 'nodule')
    """
    plain = re.sub(r"[\s_-]+", "_", spelling.strip().lower())
    return _OLDER.get(plain, plain)


def lesion_kind(spelling: str) -> LesionKind:
    """Returns the three-dimensional finding that a spelling stands for.

    Args:
        spelling: as in `finding_name`.

    Raises:
        DataError: there is no such finding in three dimensions.
    """
    name = finding_name(spelling)
    if name not in get_args(LesionKind):
        raise DataError(f"no lesion {spelling!r}; choose from {', '.join(get_args(LesionKind))}")
    return cast(LesionKind, name)


def respelled(lesions: Any) -> Any:
    """Returns the values of lesions from JSON with each lesion's kind as this library spells it.

    Values that are no lesions stay as they are; the reader of the record refuses them.

    Args:
        lesions: the values.

    Example:
        >>> respelled([{"kind": "ground glass", "seed": 1}, 7])
        [{'kind': 'ground_glass_opacity', 'seed': 1}, 7]
    """
    if not isinstance(lesions, (list, tuple)):
        return lesions
    return [
        each | {"kind": finding_name(each["kind"])}
        if isinstance(each, dict) and isinstance(each.get("kind"), str)
        else each
        for each in lesions
    ]
