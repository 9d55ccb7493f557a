"""Lesions in a CT: where they lie, what they replace, what they leave, and the same on every grid."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.findings import LesionKind
from artasyn.segment.ct.lesion import CTLesion, insert_lesion
from artasyn.segment.ct.volume import Volume
from tests.chest import chest

KINDS: tuple[LesionKind, ...] = get_args(LesionKind)
NODULE = CTLesion(
    kind="nodule",
    structure="lung_left",
    centre=(-70.0, -20.0, 20.0),
    radius=15.0,
    hu=40.0,
    density=1.0,
    edge=1.0,
    irregularity=0.0,
    airways=False,
    seed=3,
)


@pytest.fixture(scope="module")
def patient() -> Volume:
    return chest()


def places(volume: Volume) -> np.ndarray:
    index = np.indices(volume.hu.shape).reshape(3, -1).T
    at = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    return np.asarray(at.reshape(*volume.hu.shape, 3))


def millilitres(volume: Volume, lesion: CTLesion) -> tuple[float, float]:
    """Of the lesion's voxels, and of air that it has replaced."""
    ill = insert_lesion(volume, lesion)
    added = (ill.hu.astype(np.float64) - volume.hu).sum() / 890
    return float(ill.mask("lesion").sum()) * volume.voxel_volume / 1000, float(added) * volume.voxel_volume / 1000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_a_drawn_lesion_changes_its_structure_alone(patient: Volume, kind: LesionKind, seed: int) -> None:
    before = patient.hu.copy()
    lesion = CTLesion.draw(patient, np.random.default_rng(seed), kind=kind)
    ill = insert_lesion(patient, lesion)
    changed = ill.hu != patient.hu
    assert (changed == ill.mask("lesion")).all()
    assert changed.any()
    assert not (changed & ~patient.mask(lesion.structure)).any()
    assert (ill.hu >= patient.hu).all()
    assert ill.hu.max() == patient.hu.max()
    assert ill.structures.keys() == {*patient.structures, "lesion"}
    assert ill.affine is patient.affine
    assert (patient.hu == before).all()
    assert "lesion" not in patient.structures


@pytest.mark.parametrize("kind", KINDS)
def test_lesions_depend_on_the_generator_and_their_record_alone(patient: Volume, kind: LesionKind) -> None:
    state: Any = np.random.get_state()  # noqa: NPY002
    before = state[1].copy()
    one, two, other = (CTLesion.draw(patient, np.random.default_rng(seed), kind=kind) for seed in (5, 5, 6))
    assert one == two
    assert one != other
    again = CTLesion(**dataclasses.asdict(one))
    assert (insert_lesion(patient, one).hu == insert_lesion(patient, again).hu).all()
    state = np.random.get_state()  # noqa: NPY002
    assert (state[1] == before).all()


def test_a_record_is_plain_numbers(patient: Volume) -> None:
    lesion = CTLesion.draw(patient, np.random.default_rng(0), kind="consolidation")
    for value in dataclasses.asdict(lesion).values():
        assert type(value) in (str, float, bool, int, tuple)
    assert all(type(mm) is float for mm in lesion.centre)


def test_a_structure_is_chosen_by_volume(patient: Volume) -> None:
    rng = np.random.default_rng(0)
    found = [CTLesion.draw(patient, rng, kind="ground_glass_opacity").structure for _ in range(300)]
    lobes = [name for name in patient.structures if "lobe" in name]
    assert set(found) == set(lobes)
    sizes = np.array([patient.structures[name].voxels for name in lobes])
    shares = np.array([found.count(name) for name in lobes]) / 300
    np.testing.assert_allclose(shares, sizes / sizes.sum(), atol=0.1)
    with pytest.raises(DataError, match="no structure and no group 'lung_middle'"):
        CTLesion.draw(patient, rng, kind="nodule", structure="lung_middle")


def test_nodules_are_placed_in_their_structure(patient: Volume) -> None:
    for seed in range(20):
        lesion = CTLesion.draw(patient, np.random.default_rng(seed), kind="nodule", structure="lung_upper_lobe_right")
        voxel = np.linalg.inv(patient.affine) @ [*lesion.centre, 1]
        assert patient.mask("lung_upper_lobe_right")[tuple(np.rint(voxel[:3]).astype(int))]


def test_a_smooth_nodule_is_a_ball() -> None:
    fine = chest((3.0, 2.5, 2.5), length=120.0)
    lobes, vessels = fine.mask("lung_left"), fine.mask("vessels_left")
    ill = insert_lesion(fine, NODULE)
    mask, away = ill.mask("lesion"), np.linalg.norm(places(fine) - NODULE.centre, axis=-1)
    assert not mask[away > 17].any()
    assert mask[(away < 14) & lobes & ~vessels].all()
    assert np.median(ill.hu[(away < 12) & lobes & ~vessels]) == pytest.approx(40, abs=60)
    least, most = (((away < radius) & lobes & ~vessels).sum() for radius in (14.5, 15.5))  # its edge is 1 mm wide
    assert least < mask.sum() <= most


def test_vessels_keep_their_density(patient: Volume) -> None:
    lesion = dataclasses.replace(NODULE, kind="consolidation", radius=60.0, hu=20.0)
    ill = insert_lesion(patient, lesion)
    vessels = patient.mask("vessels_left")
    away = np.linalg.norm(places(patient) - lesion.centre, axis=-1)
    assert (vessels & (away < 50)).sum() > 100
    assert (ill.hu[vessels] == patient.hu[vessels]).all()
    assert not (ill.mask("lesion") & vessels).any()


@pytest.mark.parametrize("name", ["lung_upper_lobe_left", "lung_lower_lobe_left"])
def test_a_lobar_consolidation_ends_at_the_fissure(patient: Volume, name: str) -> None:
    lesion = dataclasses.replace(NODULE, kind="consolidation", structure=name, radius=400.0)
    ill = insert_lesion(patient, lesion)
    lobe, air = patient.mask(name), patient.hu < -500
    changed = ill.mask("lesion")
    assert (changed & lobe & air).sum() > 0.99 * (lobe & air).sum()
    assert not (changed & ~lobe).any()


def test_a_group_is_one_place(patient: Volume) -> None:
    ill = insert_lesion(patient, dataclasses.replace(NODULE, radius=40.0))
    for name in ("lung_upper_lobe_left", "lung_lower_lobe_left"):
        assert (ill.mask("lesion") & patient.mask(name)).any()


def test_ground_glass_is_thinner_than_consolidation(patient: Volume) -> None:
    base = dataclasses.replace(NODULE, radius=30.0)
    glass = insert_lesion(patient, dataclasses.replace(base, kind="ground_glass_opacity", density=0.3))
    solid = insert_lesion(patient, dataclasses.replace(base, kind="consolidation", density=0.95))
    core = (np.linalg.norm(places(patient) - base.centre, axis=-1) < 20) & (patient.hu == -850)
    assert -750 < np.median(glass.hu[core]) < -450
    assert np.median(solid.hu[core]) > -150


def test_airways_stay_open_in_consolidation(patient: Volume) -> None:
    lesion = dataclasses.replace(NODULE, kind="consolidation", radius=60.0)
    closed, opened = (
        insert_lesion(patient, dataclasses.replace(lesion, airways=airways)).hu for airways in (False, True)
    )
    core = (np.linalg.norm(places(patient) - lesion.centre, axis=-1) < 40) & (patient.hu == -850)
    assert (closed[core] < -500).mean() < 0.01
    assert 0.002 < (opened[core] < -500).mean() < 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_lesion_has_the_same_volume_on_another_grid(patient: Volume, kind: LesionKind) -> None:
    lesion = dataclasses.replace(
        NODULE,
        kind=kind,
        radius=28.0,
        irregularity=0.3,
        edge=3.0,
        density=0.5 if kind == "ground_glass_opacity" else 0.95,
    )
    fine = chest((3.0, 2.5, 2.5), length=160.0)
    for one, other in zip(millilitres(patient, lesion), millilitres(fine, lesion), strict=True):
        assert one == pytest.approx(other, rel=0.12)
    angle, turn = np.radians(40), np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turned = dataclasses.replace(patient, affine=turn @ patient.affine)
    x, y, z = (turn[:3, :3] @ lesion.centre).tolist()
    smooth = dataclasses.replace(lesion, irregularity=0.0)
    there = dataclasses.replace(smooth, centre=(x, y, z))
    assert millilitres(turned, there)[0] == pytest.approx(millilitres(patient, smooth)[0], rel=0.02)


def test_another_name_and_a_second_lesion(patient: Volume) -> None:
    one = insert_lesion(patient, NODULE, name="nodule_1")
    two = insert_lesion(one, dataclasses.replace(NODULE, centre=(-70.0, -20.0, 70.0)), name="nodule_2")
    assert (two.mask("nodule_1") == one.mask("nodule_1")).all()
    assert ((two.hu != patient.hu) == (two.mask("nodule_1") | two.mask("nodule_2"))).all()


def test_where_nothing_changes_is_refused(patient: Volume) -> None:
    far = dataclasses.replace(NODULE, centre=(70.0, -20.0, 20.0))
    with pytest.raises(DataError, match="no voxel changes: lung_left does not reach"):
        insert_lesion(patient, far)
    with pytest.raises(DataError, match="no voxel changes"):
        insert_lesion(patient, dataclasses.replace(NODULE, structure="heart", centre=(-25.0, 30.0, -40.0)))
    with pytest.raises(DataError, match="no voxel changes"):
        insert_lesion(patient, dataclasses.replace(NODULE, centre=(4000.0, 4000.0, 4000.0)))
    with pytest.raises(DataError, match="no structure and no group 'pleura'"):
        insert_lesion(patient, dataclasses.replace(NODULE, structure="pleura"))


@pytest.mark.parametrize(
    "options",
    [{"radius": 0.0}, {"radius": 500.0}, {"density": 0.0}, {"density": 1.5}, {"edge": 0.0}, {"irregularity": -0.1}],
)
def test_numbers_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"^CTLesion: .* is .*, not from"):
        dataclasses.replace(NODULE, **options)


def test_another_kind_is_refused() -> None:
    kind: Any = "cyst"
    with pytest.raises(
        Exception, match=r"kind is 'cyst'; choose from|kind='cyst'|'kind'"
    ):  # the types are checked in tests
        dataclasses.replace(NODULE, kind=kind)
