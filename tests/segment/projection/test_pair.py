"""Pairs of projections: they differ by the lesion alone, exactly in its mask."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.findings import LesionKind
from artasyn.segment.ct.lesion import CTLesion, insert_lesion
from artasyn.segment.ct.volume import Volume
from artasyn.segment.projection.pair import Pair
from artasyn.segment.projection.projection import project
from artasyn.segment.projection.view import View
from tests.chest import chest
from tests.segment.ct.test_lesion import KINDS, NODULE

VIEW = View(size=(128, 128))


@pytest.fixture(scope="module")
def patient() -> Volume:
    return chest()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["pa", "lateral", "130"])
def test_images_differ_exactly_in_the_mask(patient: Volume, kind: LesionKind, name: str) -> None:
    lesion = CTLesion.draw(patient, np.random.default_rng(8), kind=kind)
    pair = Pair.of(patient, lesion, View.named(name, size=(128, 128)))
    assert pair.mask.any()
    assert ((pair.healthy.image != pair.diseased.image) == pair.mask).all()
    assert (np.abs(pair.diseased.image - pair.healthy.image)[pair.mask] >= 1 / 255 - 1e-6).all()
    assert (pair.diseased.image >= pair.healthy.image).all()
    assert (pair.change[~pair.mask] == 0).all()
    assert (pair.change[pair.mask] > 0).all()
    np.testing.assert_allclose(pair.diseased.attenuation, pair.healthy.attenuation + pair.change, atol=1e-6)


def test_the_diseased_one_is_the_projection_of_the_diseased(patient: Volume) -> None:
    pair = Pair.of(patient, NODULE, VIEW)
    direct = project(insert_lesion(patient, NODULE), VIEW, tone=pair.healthy.tone)
    np.testing.assert_allclose(pair.diseased.attenuation[pair.mask], direct.attenuation[pair.mask], rtol=1e-4)
    assert np.abs(pair.diseased.image - direct.image).max() < 1.1 / 255
    np.testing.assert_allclose(pair.diseased.depth("lesion"), direct.depth("lesion"), atol=1e-4)
    assert pair.diseased.names == direct.names


def test_the_healthy_one_is_the_projection_of_the_healthy(patient: Volume) -> None:
    pair, direct = Pair.of(patient, NODULE, VIEW), project(patient, VIEW)
    assert (pair.healthy.image == direct.image).all()
    assert pair.healthy.names == direct.names
    assert pair.diseased.names == (*direct.names, "lesion")
    assert (pair.healthy.thickness == direct.thickness).all()
    assert (pair.diseased.thickness[:-1] == direct.thickness).all()
    assert pair.healthy.tone == pair.diseased.tone


def test_the_lesion_lies_where_its_mask_is(patient: Volume) -> None:
    pair = Pair.of(patient, NODULE, VIEW)
    depth = pair.diseased.depth("lesion")
    assert 15 < depth.max() < 40
    assert (depth[pair.mask] > 0).all()
    assert pair.mask[depth > 10].all()
    columns = np.flatnonzero(pair.mask.any(axis=0))
    assert columns.min() > 64  # the patient's left is at image right
    # lung at -850 HU becomes 40 HU: 0.0171 a millimetre more
    assert np.median(pair.change[depth > 20] / depth[depth > 20]) == pytest.approx(0.0171, rel=0.05)


def test_a_higher_tolerance_leaves_out_what_hardly_shows(patient: Volume) -> None:
    lesion = dataclasses.replace(NODULE, edge=12.0, irregularity=0.3)
    few, many = (Pair.of(patient, lesion, VIEW, tolerance=t).mask for t in (8 / 255, 1 / 255))
    assert 0 < few.sum() < many.sum()
    assert not (few & ~many).any()
    with pytest.raises(DataError, match="nothing of the lesion shows in this view"):
        Pair.of(patient, lesion, VIEW, tolerance=0.9)


def test_what_lies_beside_the_detector_does_not_show(patient: Volume) -> None:
    with pytest.raises(DataError, match="nothing of the lesion shows in this view"):
        Pair.of(patient, NODULE, View(size=(64, 64), pixel=1.0, shift=(0.0, -120.0)))


def test_several_lesions_between_two_volumes(patient: Volume) -> None:
    healthy = project(patient, VIEW)
    one = insert_lesion(patient, NODULE, name="nodule_1")
    two = insert_lesion(
        one, dataclasses.replace(NODULE, structure="lung_right", centre=(70.0, -20.0, 50.0)), "nodule_2"
    )
    pair = Pair.between(healthy, patient, two)
    assert pair.diseased.names[-2:] == ("nodule_1", "nodule_2")
    for name, side in (("nodule_1", np.s_[:, 64:]), ("nodule_2", np.s_[:, :64])):
        assert pair.mask[side][pair.diseased.depth(name)[side] > 15].all()
    assert (pair.mask == ((pair.diseased.depth("nodule_1") + pair.diseased.depth("nodule_2") > 0) & pair.mask)).all()


def test_a_pair_of_films_is_a_part_of_the_pair(patient: Volume) -> None:
    whole = Pair.of(patient, NODULE, VIEW)
    film = project(patient, VIEW, frame="film", tone=whole.healthy.tone)
    part = Pair.between(film, patient, insert_lesion(patient, NODULE))
    assert part.mask.shape < whole.mask.shape
    assert (part.mask == whole.mask[film.field]).all()
    np.testing.assert_allclose(part.diseased.image, whole.diseased.image[film.field], atol=1e-5)
    np.testing.assert_allclose(part.diseased.depth("lesion"), whole.diseased.depth("lesion")[film.field], atol=1e-3)


def test_structures_that_were_not_projected_are_not_in_the_pair(patient: Volume) -> None:
    healthy = project(patient, VIEW, structures=["lungs"])
    pair = Pair.between(healthy, patient, insert_lesion(patient, NODULE))
    assert pair.diseased.names == (*healthy.names, "lesion")


def test_volumes_that_are_alike_make_no_pair(patient: Volume) -> None:
    with pytest.raises(DataError, match="both volumes are alike"):
        Pair.between(project(patient, VIEW), patient, patient)
