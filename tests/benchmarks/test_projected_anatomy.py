"""Figures of anatomy on projections: films with their truth, overlap, turns and Cobb angles; and the ICRP phantoms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from artasyn.arrays import Image
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.structures import ANATOMY
from artasyn.stock.views import Patient
from benchmarks.projected_anatomy import (
    FIRST_SEED,
    Case,
    angle_errors,
    bent,
    cobb_figures,
    cobb_scores,
    projected_scores,
    scores_of,
    views,
)
from benchmarks.reference_volumes import ICRP, icrp_volume, in_our_names
from tests.chest import chest


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """The chest of ellipsoids from the back and from the side, made and then read from the cache."""
    cache = tmp_path_factory.mktemp("cache")
    made = list(views({"chest": lambda: Patient.of(chest((8.0, 6.0, 6.0)), "chest")}, (0.0, 90.0), cache))
    read = list(views({"chest": lambda: pytest.fail("made again")}, (0.0, 90.0), cache))
    for one, other in zip(made, read, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.masks, other.masks)
    return made


def test_a_film_shows_the_lungs_with_a_margin(cases: list[Case]) -> None:
    for case in cases:
        lungs = case.masks[ANATOMY.index("lung_right")] | case.masks[ANATOMY.index("lung_left")]
        rows, columns = (np.flatnonzero(lungs.any(axis=axis)) for axis in (1, 0))
        assert case.image.shape == lungs.shape
        assert 0 < columns[0] < 0.15 * lungs.shape[1]
        assert rows[0] > 0
        assert 0 <= case.image.min() < case.image.max() <= 1


def test_the_truth_scores_1_and_nothing_scores_0(cases: list[Case]) -> None:
    by_shape = {case.image.tobytes(): case for case in cases}

    def truth(images: Sequence[Image]) -> list[Anatomy]:
        found = [by_shape[image.tobytes()] for image in images]
        return [Anatomy(ANATOMY, case.masks.astype(np.float32), case.angle, (1.0,) * len(ANATOMY)) for case in found]

    def nothing(images: Sequence[Image]) -> list[Anatomy]:
        return [
            Anatomy(ANATOMY, np.zeros((len(ANATOMY), *image.shape), np.float32), 90.0, (0.0,) * len(ANATOMY))
            for image in images
        ]

    best, worst = projected_scores(truth, cases), projected_scores(nothing, cases)
    assert (best["frontal"], best["all_angles"], best["turns"]) == (1.0, 1.0, {"0": 1.0, "90": 1.0})
    assert worst["all_angles"] == 0.0
    assert best["angle_error"]["mean"] == 0
    assert worst["angle_error"]["mean"] == 45
    structures = best["patients"]["chest"]["structures"]
    assert {"heart", "liver", "lung_right", "visible_lung_left", "trachea"} <= set(structures)
    assert cobb_scores(truth, [cases[0]])["films"] == 0  # two vertebrae have no curve


def test_a_loss_with_the_turn_is_over_what_both_views_show() -> None:
    rows = [("p_1", 0.0, "heart", 0.9), ("p_1", 40.0, "heart", 0.8), ("p_1", -40.0, "heart", 0.9)]
    rows += [("p_1", 40.0, "liver", 0.1), ("q", 0.0, "heart", 0.5)]
    found = scores_of(rows)
    assert found["loss_at_40"] == pytest.approx(0.05)
    assert found["frontal"] == pytest.approx(0.7)
    assert found["turns"]["40"] == pytest.approx((0.85 + 0.1) / 2)
    assert set(found["patients"]) == {"p", "q"}
    assert found["patients"]["q"]["loss_at_40"] is None


def test_angles_are_compared_on_the_circle() -> None:
    assert angle_errors([(180.0, -170.0), (-150.0, 150.0), (0.0, 5.0)]) == {"median": 10.0, "mean": 25.0}
    assert angle_errors([(0.0, math.nan)]) == {}


def test_cobb_figures_count_what_is_not_measured() -> None:
    found = cobb_figures([(12.0, 15.0), (30.0, 26.0), (45.0, math.nan), (math.nan, 3.0), (20.0, 21.0)])
    assert (found["films"], found["measured"]) == (4, 3)
    assert found["mae"] == pytest.approx(8 / 3, abs=0.01)
    assert found["bias"] == 0
    assert found["10 to 25"] == {"films": 2, "mae": 2.0, "bias": 2.0}
    assert "above 40" not in found


def test_bent_spines_have_other_seeds_than_stocks() -> None:
    found = bent(3)
    assert found == sorted(set(found))
    assert FIRST_SEED > 100_000


def test_organs_of_a_reference_adult_are_joined_and_split() -> None:
    names = ("lung_right_tissue", "lung_left_tissue", "heart_wall", "heart_contents_blood", "trachea", "ribs_cortical")
    masks = np.zeros((len(names) + 1, 20, 20, 40), bool)
    masks[0, :, 5:15, 5:15] = masks[1, :, 5:15, 25:35] = True
    masks[2, 8:12, 5:9, 16:24] = True
    masks[3, 8:12, 9:12, 16:24] = True
    masks[4, :6, 12:17, 18:22] = True
    masks[4, :6, 13:16, 19:21] = False  # the air
    masks[5, 4, 2:4, 3:37] = True
    masks[6, :, 15:19, 18:22] = True
    structures = {name: Structure.of(mask) for name, mask in zip((*names, "thoracic_spine_x"), masks, strict=True)}
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = -5, -5, -5, 1
    found = in_our_names(Volume(np.zeros((20, 20, 40), np.int16), affine, structures)).structures
    assert set(found) == {"lung_right", "lung_left", "heart", "trachea", "ribs_right", "ribs_left", "spine"}
    assert found["heart"].voxels == 4 * 7 * 8
    assert found["trachea"].voxels == 6 * 5 * 4
    assert found["ribs_right"].voxels == found["ribs_left"].voxels == 2 * 17


@pytest.mark.realdata
def test_reference_adults_lie_as_patients_do(data: Path) -> None:
    for who in ICRP:
        volume = icrp_volume(data, who)
        right, left, heart, liver = (
            volume.structures[name].centroid() for name in ("lung_right", "lung_left", "heart", "liver")
        )
        assert right[2] < heart[2] < left[2]
        assert liver[0] > heart[0] > volume.structures["trachea"].centroid()[0]
        assert liver[2] < heart[2]
        assert volume.structures["sternum"].centroid()[1] < volume.structures["spine"].centroid()[1]
