"""Names of structures and their groups."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from artasyn.errors import DataError
from artasyn.segment.structures import (
    ANATOMY,
    GROUPS,
    RUNNING,
    SPINE_ORDER,
    TOLD_BY,
    canonical,
    find_members,
    members,
    vertebra,
)

LOBES = [
    "lung_upper_lobe_left", "lung_lower_lobe_left",
    "lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right",
]  # fmt: skip
NAMES = [
    *LOBES, *(f"rib_{side}_{n}" for side in ("left", "right") for n in range(1, 13)),
    *(f"vertebrae_{level}" for level in ("C7", "T1", "T12", "L1")), "sacrum", "sternum", "heart",
    "clavicula_left", "clavicula_right", "scapula_left", "scapula_right", "humerus_left", "trachea", "liver", "spleen",
    "aorta", "pulmonary_vein", "atrial_appendage_left", "kidney_left", "esophagus", "costal_cartilages",
]  # fmt: skip


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("lungs", LOBES),
        ("lung_left", LOBES[:2]),
        ("lung_right", LOBES[2:]),
        ("ribs_left", [f"rib_left_{n}" for n in range(1, 13)]),
        ("spine", ["vertebrae_C7", "vertebrae_T1", "vertebrae_T12", "vertebrae_L1", "sacrum"]),
        ("clavicles", ["clavicula_left", "clavicula_right"]),
        ("scapulae", ["scapula_left", "scapula_right"]),
        ("heart", ["heart", "atrial_appendage_left"]),
        ("airways", ["trachea"]),
        ("abdomen", ["liver", "spleen", "kidney_left"]),
    ],
)
def test_groups_of_totalsegmentators_names(group: str, expected: list[str]) -> None:
    assert members(group, NAMES) == expected


def test_ribs_are_those_of_both_sides() -> None:
    assert set(members("ribs", NAMES)) == {*members("ribs_left", NAMES), *members("ribs_right", NAMES)}
    assert len(members("ribs", NAMES)) == 24
    bones = set(members("bones", NAMES))
    assert bones >= {*members("ribs", NAMES), *members("spine", NAMES), "sternum", "humerus_left", "scapula_left"}
    assert not bones & {*members("abdomen", NAMES), *members("mediastinum", NAMES), *LOBES}


def test_a_structure_is_a_member_of_itself_and_unknown_names_are_refused() -> None:
    assert members("liver", NAMES) == ["liver"]
    assert members("lungs", ["lung", "liver"]) == ["lung"]
    assert find_members("gallbladder", NAMES) == []
    with pytest.raises(DataError, match=r"no structure and no group 'lungz'; there are: heart; groups are: lungs, "):
        members("lungz", ["heart"])
    with pytest.raises(DataError, match="'ribs'; there are: none; groups"):
        members("ribs", [])


def test_lungs_by_side_are_lungs() -> None:
    assert members("lungs", ["lung_left", "lung_right"]) == ["lung_left", "lung_right"]
    assert members("lungs", ["left_lung", "right_lung"]) == ["left_lung", "right_lung"]
    assert members("lung_left", ["left_lung", "right_lung"]) == ["left_lung"]


def test_a_structure_called_as_a_group_belongs_to_it() -> None:
    lost = [group for group in GROUPS if find_members(group, [group, "other"]) != [group]]
    assert lost == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Lung Upper-Lobe LEFT", "lung_upper_lobe_left"),
        (" heart ", "heart"),
        ("vertebrae_T4", "vertebrae_T4"),
        ("Vertebrae T4", "vertebrae_T4"),
        ("vertebrae_l5", "vertebrae_L5"),
        ("trachea", "trachea"),
        ("rib/left.3", "rib_left_3"),
        ("Left Clavicle", "clavicula_left"),
        ("right_upper_lobe", "lung_upper_lobe_right"),
        ("lung_left (patient)", "lung_left"),
        ("left ventricle", "heart_ventricle_left"),
        ("Rib 04 right", "rib_right_4"),
        ("left_rib_12", "rib_left_12"),
        ("vertebra_t11", "vertebrae_T11"),
        ("air cavity (trachea/throat)", "airway"),
        ("body (soft tissue)", "body"),
        ("clavicle", "clavicle"),
    ],
)
def test_names_are_spelled_in_one_way(name: str, expected: str) -> None:
    assert canonical(name) == expected
    assert canonical(expected) == expected


def test_names_of_this_library_stay_as_they_are() -> None:
    assert [canonical(name) for name in ANATOMY] == list(ANATOMY)


def test_what_tells_a_channel_is_named_as_structures_or_channels_are() -> None:
    assert TOLD_BY.keys() <= set(ANATOMY)
    assert set(RUNNING) <= set(ANATOMY)
    names = {name for lists in TOLD_BY.values() for each in lists for name in each}
    assert names - set(ANATOMY) == {"heart_myocardium", "kidney_right", "kidney_left", "colon", "small_bowel"}
    assert all(canonical(name) == name for name in names)


def test_vertebrae_stand_in_order() -> None:
    assert len(SPINE_ORDER) == 7 + 12 + 5 + 1
    levels = [vertebra(f"vertebrae_{level}") for level in ("C7", "T1", "T12", "L1", "S1")]
    assert levels == [6, 7, 18, 19, 24]
    assert vertebra("vertebrae_T13") is None
    assert vertebra("rib_left_1") is None


@pytest.mark.realdata
def test_every_group_is_found_among_a_real_label_maps_names(data: Path) -> None:
    with (data / "ct" / "structures.csv").open() as file:
        names = [canonical(row["structure"]) for row in csv.DictReader(file)]
    for group in GROUPS:
        assert members(group, names), group
    assert len(members("lungs", names)) == 5
    assert len(members("ribs", names)) == 24


def test_what_lies_in_the_lungs_is_no_lung() -> None:
    names = ["lung_vessels", "lung_nodule", "lung_trachea_bronchia", "lung_upper_lobe_left", "left_lower_lobe"]
    assert find_members("lungs", names) == find_members("lung_left", names) == names[3:]
    assert find_members("lung_right", names) == []
