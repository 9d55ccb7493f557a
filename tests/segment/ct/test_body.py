"""The patient, told from the table."""

from __future__ import annotations

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.phantom.solids import Solid
from artasyn.segment.ct.body import find_body
from artasyn.segment.ct.volume import Volume
from tests.chest import BODY, chest, grid

SPACING = (5.0, 2.0, 2.0)
TABLE = {"apart": -115.0, "touching": -99.0}
"""Where its plate is, mm to the back; the body ends at -95."""


@pytest.fixture(scope="module")
def patient() -> tuple[np.ndarray, np.ndarray]:
    """Hounsfield units of a chest with lungs, and its voxels' places."""
    _, places = grid(SPACING, (120.0, 260.0, 330.0))
    hu = np.where(BODY.holds(places), 30, -1000)
    for side in (-1, 1):
        hu[Solid((side * 68.0, 0, 0), (50, 65, 300)).holds(places)] = -850
    return hu.astype(np.int16), places


def with_table(patient: tuple[np.ndarray, np.ndarray], y: float, thick: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """The patient on a curved plate with a sheet of cloth, and the plate's mask."""
    hu, places = patient
    low = y + (places[..., 0] / 45) ** 2  # a trough
    plate = (places[..., 1] < low) & (places[..., 1] > low - thick) & ~BODY.holds(places)
    return np.where(plate, np.int16(150), hu), plate


@pytest.mark.parametrize("where", TABLE)
def test_the_table_is_cut_off_and_lungs_are_kept(patient: tuple[np.ndarray, np.ndarray], where: str) -> None:
    hu, plate = with_table(patient, TABLE[where])
    body = find_body(hu, SPACING)
    truth = BODY.holds(patient[1])
    assert (body & truth).sum() > 0.999 * truth.sum()  # lungs included
    assert (body & plate).sum() < (0.0001 if where == "apart" else 0.35) * plate.sum()
    assert (body & ~truth).sum() < 0.1 * truth.sum()  # but for a margin for the skin


def test_a_margin_of_some_millimetres_is_kept(patient: tuple[np.ndarray, np.ndarray]) -> None:
    body = find_body(patient[0], SPACING)
    _, places = patient
    near, far = (Solid(BODY.centre, (150 + mm, 95 + mm, 400)).holds(places) for mm in (1, 10))
    assert body[near].all()
    assert not body[~far].any()


def test_air_in_the_patient_is_filled_slice_by_slice(patient: tuple[np.ndarray, np.ndarray]) -> None:
    hu = patient[0].copy()
    hu[Solid((0, 0, 0), (20, 20, 20)).holds(patient[1])] = -1000
    assert find_body(hu, SPACING)[BODY.holds(patient[1])].all()


def test_the_largest_part_is_the_patient(patient: tuple[np.ndarray, np.ndarray]) -> None:
    hu, places = patient
    arm = Solid((-158, 110, 0), (6, 18, 300)).holds(places) & ~BODY.holds(places)
    body = find_body(np.where(arm, np.int16(50), hu), SPACING)
    assert not (body & arm).any()


def test_nothing_as_dense_as_a_body_is_refused() -> None:
    with pytest.raises(DataError, match="nothing in the volume is denser than -200 HU"):
        find_body(np.full((20, 40, 40), -900, np.int16), SPACING)


def test_a_volume_without_its_table_has_air_there(patient: tuple[np.ndarray, np.ndarray]) -> None:
    hu, plate = with_table(patient, TABLE["apart"])
    affine, _ = grid(SPACING, (120.0, 260.0, 330.0))
    volume = Volume(hu, affine)
    found = volume.without_table()
    assert (found.hu[plate] == -1024).all()
    assert (found.hu[patient[0] > -1000] == patient[0][patient[0] > -1000]).all()
    assert (volume.hu == hu).all()


def test_structures_stay_where_the_table_goes() -> None:
    healthy = chest((8.0, 5.0, 5.0))
    assert healthy.without_table().structures.keys() == healthy.structures.keys()
