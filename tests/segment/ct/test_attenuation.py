"""Hounsfield units and attenuation."""

from __future__ import annotations

import numpy as np
import pytest

from artasyn.arrays import HIGHEST, LOWEST
from artasyn.segment.ct.attenuation import MU_BONE, MU_WATER, attenuation, attenuations, hounsfield


@pytest.mark.parametrize(
    ("hu", "expected"),
    [(-2048, 0), (-1024, 0), (-1000, 0), (-500, 0.0096), (0, 0.0192), (500, 0.03825), (1000, 0.0573), (2000, 0.0954)],
)
def test_known_tissues(hu: int, expected: float) -> None:
    assert float(attenuation(np.array(hu))) == pytest.approx(expected, abs=1e-7)
    assert float(attenuation([hu])[0]) == pytest.approx(expected, abs=1e-7)


def test_a_hounsfield_unit_is_a_thousandth_of_waters_attenuation() -> None:
    hu = np.arange(-1000, 1)
    np.testing.assert_allclose(attenuation(hu) / MU_WATER, 1 + hu / 1000, atol=1e-6)
    assert float(attenuation(np.array(1000))) == pytest.approx(MU_BONE)


def test_whole_volumes_are_turned_into_the_same() -> None:
    hu = np.resize(np.arange(LOWEST, HIGHEST + 1), (13, 21, 19)).astype(np.int16)
    hu[3] = -1024
    hu[4, 4, :4] = 3071, 1000, 0, -1000
    for values in (hu, hu.astype(np.float32)):
        found = attenuations(values)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, attenuation(values), atol=1e-7)
    assert attenuations(np.full((2, 3, 4), -1024, np.int16)).max() < 1e-9


def test_parts_of_a_volume_need_not_be_contiguous() -> None:
    hu = np.random.default_rng(0).integers(-1000, 1500, (9, 10, 11)).astype(np.int16)
    part = hu[::2, 1:, ::3]
    np.testing.assert_allclose(attenuations(part), attenuation(part), atol=1e-7)


def test_more_is_denser() -> None:
    assert (np.diff(attenuation(np.arange(-1000, 3071))) > 0).all()


def test_the_inverse_gives_the_hounsfield_units_back() -> None:
    hu = np.arange(-1000, HIGHEST + 1)
    np.testing.assert_allclose(hounsfield(attenuation(hu).astype(np.float64)), hu, atol=1e-3)
    np.testing.assert_allclose(hounsfield([-1.0, 0.0, 0.0048, 0.03825, 0.0954]), [-1000, -1000, -750, 500, 2000])
    assert hounsfield(np.float32(0.0096)).dtype == np.float32
    assert hounsfield(np.array([0.0096])).dtype == np.float64
