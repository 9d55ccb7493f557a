"""Label maps are painted with the Hounsfield units of their tissues; an unknown tissue is told by its name."""

from __future__ import annotations

import numpy as np
import pytest

from artasyn.arrays import LOWEST
from artasyn.errors import DataError
from artasyn.segment.ct.painting import TISSUES, painted
from artasyn.segment.structures import ANATOMY, canonical

AFFINE = np.diag([-3.0, -3.0, -3.0, 1.0])


def blocks(*names: str) -> tuple[np.ndarray, dict[int, str]]:
    """A label map of one block for each name, side by side, with air around."""
    labels = np.zeros((6, 8, 2 + 4 * len(names)), np.uint8)
    for number in range(1, len(names) + 1):
        labels[1:5, 2:6, 4 * number - 3 : 4 * number + 1] = number
    return labels, dict(enumerate(names, start=1))


def test_every_voxel_has_the_units_of_its_structure_and_the_rest_is_air() -> None:
    names = ("body", "lung_upper_lobe_left", "heart", "aorta", "rib_right_4", "vertebrae_T8", "liver", "breast_left")
    labels, numbers = blocks(*names)
    before = labels.copy()
    volume = painted(labels, AFFINE, numbers)
    told = (10, TISSUES["lungs"], 40, TISSUES["great_vessels"], TISSUES["bones"], 350, 60, TISSUES["breast_*"])
    assert set(volume.structures) == set(names)
    np.testing.assert_array_equal(volume.hu, np.array([LOWEST, *told], np.int16)[labels])
    np.testing.assert_array_equal(volume.affine, AFFINE)
    np.testing.assert_array_equal(labels, before)


def test_names_are_spelled_as_elsewhere() -> None:
    labels, numbers = blocks("body", "Left Lung", "right_lung")
    volume = painted(labels, AFFINE, numbers)
    assert (
        set(volume.structures) == {canonical(name) for name in numbers.values()} == {"body", "lung_left", "lung_right"}
    )
    assert (volume.hu[labels > 1] == TISSUES["lungs"]).all()


def test_lungs_in_one_are_divided_at_the_middle_of_the_body() -> None:
    labels = np.zeros((4, 6, 24), np.uint16)
    labels[:, 1:5, 2:18] = 1  # the body's middle is column 10, the image's is 12
    labels[1:3, 2:4, 4:8] = labels[1:3, 2:4, 11:16] = 2
    volume = painted(labels, AFFINE, {1: "body", 2: "lung"})
    assert set(volume.structures) == {"body", "lung_right", "lung_left"}
    columns = np.arange(24)
    np.testing.assert_array_equal(volume.mask("lung_right"), (labels == 2) & (columns < 10))
    np.testing.assert_array_equal(volume.mask("lung_left"), (labels == 2) & (columns >= 10))
    assert (volume.hu[labels == 2] == TISSUES["lungs"]).all()


def test_a_structure_of_unknown_tissue_is_named() -> None:
    labels, numbers = blocks("body", "heart", "pacemaker")
    with pytest.raises(DataError, match="the tissue of pacemaker is unknown"):
        painted(labels, AFFINE, numbers)
    labels[labels == 3] = 0  # no voxel has the number
    assert "pacemaker" not in painted(labels, AFFINE, numbers).structures


def test_every_organ_of_the_anatomy_has_a_tissue() -> None:
    """All but what is drawn on films alone and the space between the organs, of fat and vessels."""
    read = ("drawn_", "visible_", "whole_", "mediastinum")
    organs = [name for name in ANATOMY if not name.startswith(read)]
    labels, numbers = blocks(*organs)
    assert set(painted(labels, AFFINE, numbers).structures) == set(organs)
