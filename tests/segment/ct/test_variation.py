"""Other patients: only what is named changes, by the factor named; fat lies around; lesions come last."""

from __future__ import annotations

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.segment.ct.attenuation import attenuation
from artasyn.segment.ct.lesion import CTLesion
from artasyn.segment.ct.variation import Variation
from artasyn.segment.ct.volume import Volume
from artasyn.segment.projection.projection import project
from artasyn.segment.projection.view import View
from tests.chest import chest


@pytest.fixture(scope="module")
def volume() -> Volume:
    return chest()


def test_nothing_is_nothing(volume: Volume) -> None:
    assert Variation()(volume) is volume


@pytest.mark.parametrize("factor", [0.1, 0.7, 1.0, 1.9])
def test_a_structures_attenuation_is_multiplied_and_no_other(volume: Volume, factor: float) -> None:
    other = Variation((("heart", factor), ("vertebrae_T8", factor)))(volume)
    changed = volume.mask("heart") | volume.mask("vertebrae_T8")
    assert np.array_equal(other.hu[~changed], volume.hu[~changed])
    wanted = factor * attenuation(volume.hu[changed])
    assert np.allclose(attenuation(other.hu[changed]), wanted, atol=2.1e-5)  # of a Hounsfield unit
    assert volume.hu[changed].max() == 300  # the original is as it was


def test_the_projection_follows(volume: Volume) -> None:
    view = View(source_to_detector=None, size=(96, 96))
    before, after = project(volume, view), project(Variation((("liver", 1.5),))(volume), view)
    added = after.attenuation - before.attenuation
    mu = float(attenuation(np.array(60)))
    assert np.allclose(added, 0.5 * mu * before.depth("liver"), atol=0.01)


def test_more_fat_widens_the_patient_by_what_was_asked(volume: Volume) -> None:
    air = np.full((volume.hu.shape[0], 20, volume.hu.shape[2]), -1000, np.int16)
    roomy = Volume(np.ascontiguousarray(np.concatenate([air, volume.hu, air], axis=1)), volume.affine)
    other = Variation(fat=16.0)(roomy)
    added = other.hu != roomy.hu
    assert (other.hu[added] == -100).all()
    assert (roomy.hu[added] < -500).all()
    middle = (roomy.hu.shape[0] // 2, slice(None), roomy.hu.shape[2] // 2)
    depth = np.ptp(np.flatnonzero(other.hu[middle] > -500)) - np.ptp(np.flatnonzero(roomy.hu[middle] > -500))
    assert depth * 4.0 == pytest.approx(2 * 16, abs=8)  # a voxel on either side
    lungs = volume.mask("lungs")
    assert not added[:, 20:-20][lungs].any()


def test_lesions_are_put_into_the_other_patient(volume: Volume) -> None:
    rng = np.random.default_rng(0)
    lesions = tuple(CTLesion.draw(volume, rng, kind=kind) for kind in ("consolidation", "ground_glass_opacity"))
    variation = Variation((("heart", 0.5),), lesions=lesions)
    other = variation(volume)
    assert {"lesion_1", "lesion_2"} <= other.structures.keys()
    healthy = variation.healthy(volume)
    assert "lesion_1" not in healthy.structures
    assert np.array_equal(other.hu, variation.diseased(healthy).hu)
    assert ((other.hu != healthy.hu) <= (other.mask("lesion_1") | other.mask("lesion_2"))).all()


def test_a_record_of_another_patient_is_refused(volume: Volume) -> None:
    with pytest.raises(DataError, match="no rib_left_1 in this volume"):
        Variation((("heart", 0.5), ("rib_left_1", 2.0)))(volume)
