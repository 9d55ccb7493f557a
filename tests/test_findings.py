"""One vocabulary of findings: every room uses it, and older spellings are read."""

from __future__ import annotations

from typing import get_args

import pytest

from artasyn.errors import DataError
from artasyn.findings import FindingName, LesionKind, finding_name, lesion_kind
from artasyn.phantom.lesions import KINDS
from artasyn.synthesis import FINDINGS


def test_every_room_spells_findings_alike() -> None:
    assert tuple(FINDINGS) == get_args(FindingName)
    assert set(get_args(LesionKind)) == set(KINDS) <= set(FINDINGS)


def test_names_are_spelled_as_they_are() -> None:
    for name in get_args(FindingName):
        assert finding_name(name) == name


@pytest.mark.parametrize("older", ["ground glass", "ground_glass", "Ground-glass", "ground glass opacity"])
def test_older_spellings_are_read(older: str) -> None:
    assert finding_name(older) == lesion_kind(older) == "ground_glass_opacity"


@pytest.mark.parametrize("name", ["mass", "cyst", ""])
def test_what_cannot_be_made_in_three_dimensions_is_refused(name: str) -> None:
    assert finding_name(name) == name
    with pytest.raises(DataError, match=f"no lesion '{name}'; choose from nodule, consolidation, ground_glass_opacity"):
        lesion_kind(name)
