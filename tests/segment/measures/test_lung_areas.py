"""Lung areas against rectangles and ellipses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.segment.ct.volume import Volume
from artasyn.segment.measures.lung_areas import LungAreas, lung_areas
from artasyn.segment.projection.projection import project
from tests.segment.measures.shapes import PARALLEL, ellipse


def test_areas_of_rectangles_and_ellipses() -> None:
    right, left = ellipse((0, -70), (110, 60)), ellipse((0, 70), (90, 45))
    areas = lung_areas(right, left, 0.5)
    assert areas.right == pytest.approx(math.pi * 55 * 30 / 100, rel=0.005)
    assert areas.left == pytest.approx(math.pi * 45 * 22.5 / 100, rel=0.005)
    assert areas.total == pytest.approx(math.pi * (55 * 30 + 45 * 22.5) / 100, rel=0.005)
    assert areas.left_share == pytest.approx(90 * 45 / (90 * 45 + 110 * 60), abs=0.002)
    assert areas.right_size == pytest.approx((110, 60), abs=1)
    assert areas.right_centre == pytest.approx((199.5, 129.5))
    doubled = lung_areas(right, left, 1.0)
    assert doubled.total == pytest.approx(4 * (areas.total or 0))
    unknown = lung_areas(right, left, None)
    assert (unknown.right, unknown.left, unknown.total, unknown.right_size) == (None, None, None, None)
    assert (unknown.left_share, unknown.left_centre) == (areas.left_share, areas.left_centre)
    assert areas.left_to_right == pytest.approx(areas.left_share / (1 - areas.left_share))
    right[2, 2] = True
    assert lung_areas(right, left, 0.5) == areas


def test_what_has_no_areas() -> None:
    mask = np.ones((20, 20), bool)
    with pytest.raises(DataError, match="the mask of the left lung is empty"):
        lung_areas(mask, ~mask, 1.0)
    for spacing in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(DataError, match="spacing must be"):
            lung_areas(mask, mask, spacing)


def test_projected_lungs_have_the_area_of_ellipses(volume: Volume) -> None:
    structures = {name: each for name, each in volume.structures.items() if name.startswith("lung")}
    areas = LungAreas.of(project(Volume(volume.hu, volume.affine, structures), PARALLEL), "projected")
    assert areas.left == pytest.approx(math.pi * 52 * 110 / 100, rel=0.12)  # less what organs take of it
    assert areas.left_size == pytest.approx((220, 104), abs=8)
