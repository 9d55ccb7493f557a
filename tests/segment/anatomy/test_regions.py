"""Regions of a frontal film by name, and features pooled over them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.regions import PLACES, ZONES, pool, region_names, regions
from artasyn.segment.structures import LOBES


def film(angle: float = 0.0, *, left: bool = True) -> Anatomy:
    """Two lungs of 120 rows and 60 columns with a heart between; whole lungs reach 10 columns farther inward."""
    names = (*(f"{c}_lung_{s}" for c in ("visible", "whole") for s in ("right", "left")), "drawn_heart", *LOBES)
    parts = np.zeros((len(names), 160, 200), np.float32)
    parts[0, 20:140, 20:70] = parts[2, 20:140, 20:80] = 1
    if left:
        parts[1, 20:140, 130:180] = parts[3, 20:140, 120:180] = 1
    parts[4, 90:140, 70:130] = 1
    parts[5:, 20:140, 20:80] = 1
    return Anatomy(names, parts, angle, (1.0,) * len(names))


def test_every_region_has_its_place() -> None:
    found = regions(film())
    assert tuple(found) == region_names()
    centres = {name: np.argwhere(mask).mean(axis=0) for name, mask in found.items()}
    for side, outer, inner in (("right", 20, 70), ("left", 180, 130)):
        levels = [centres[f"{level}_zone_{side}"][0] for level in ("upper", "middle", "lower")]
        np.testing.assert_allclose(levels, [39.5, 79.5, 119.5])
        assert abs(centres[f"hilum_{side}"][1] - (inner - 0.5)) <= 1
        assert abs(centres[f"hilum_{side}"][0] - 79.5) <= 1
        assert np.abs(centres[f"costophrenic_angle_{side}"] - (139, outer)).max() <= 1.5
    assert found["heart"].sum() == 50 * 60


def test_zones_fill_the_whole_lungs_once() -> None:
    found = regions(film())
    count = np.sum([found[name] for name in ZONES], axis=0)
    np.testing.assert_array_equal(count, film().lungs("whole").mask)


def test_lobes_are_the_networks_own() -> None:
    found = regions(film(), "lobes")
    assert tuple(found) == (*LOBES, *PLACES)
    np.testing.assert_array_equal(found[LOBES[0]], film().mask(LOBES[0]))


def test_mirrored_films_have_mirrored_regions() -> None:
    given = film()
    order = [given.names.index(name) for name in given.names]
    for one, other in ((0, 1), (2, 3)):
        order[one], order[other] = other, one
    mirrored = dataclasses.replace(given, maps=given.maps[order, :, ::-1].copy())
    found, expected = regions(mirrored), regions(given)
    for name in (*ZONES, *PLACES):
        counterpart = name.replace("right", "l_ft").replace("left", "right").replace("l_ft", "left")
        np.testing.assert_array_equal(found[name], expected[counterpart][:, ::-1])


def test_a_missing_lung_leaves_its_regions_empty() -> None:
    found = regions(film(left=False))
    empty = {name for name, mask in found.items() if not mask.any()}
    assert empty == {name for name in region_names() if name.endswith("_left")}


@pytest.mark.parametrize("angle", [0, 180, -15, 165])
def test_frontal_films_have_regions(angle: float) -> None:
    assert regions(film(float(angle)))["heart"].any()


@pytest.mark.parametrize("angle", [90.0, -45.0, 120.0])
def test_side_views_are_refused(angle: float) -> None:
    with pytest.raises(DataError, match="not a frontal view"):
        regions(film(angle))


def test_pooling_is_the_mean_inside() -> None:
    rng = np.random.default_rng(0)
    features = rng.random((5, 16, 20), np.float32)
    mask = np.zeros((160, 200), bool)
    mask[40:80, 50:120] = True
    found = pool(features, {"region": mask, "everything": np.ones_like(mask), "nothing": np.zeros_like(mask)})
    np.testing.assert_allclose(found[0], features[:, 4:8, 5:12].mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(found[1], features.mean(axis=(1, 2)), rtol=1e-5)
    assert np.isnan(found[2]).all()


def test_a_region_smaller_than_a_cell_still_counts() -> None:
    features = np.arange(4, dtype=np.float32).reshape(1, 2, 2)
    mask = np.zeros((100, 100), bool)
    mask[60:62, 10:12] = True
    assert pool(features, {"speck": mask}).item() == 2
