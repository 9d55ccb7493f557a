"""Stocks in memory: packed masks, patients apart, shares of the folders."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.segment.projection.view import View
from artasyn.segment.structures import ANATOMY
from artasyn.stock.packed import Packed, Stock
from artasyn.stock.views import TISSUES, Patient, StockView


def test_a_packed_view_holds_the_maps_and_masks_of_the_view(frontal: StockView) -> None:
    packed = Packed.of(frontal)
    masks, known = frontal.channels()
    np.testing.assert_array_equal(np.unpackbits(packed.bits, axis=-1, count=len(ANATOMY)), np.moveaxis(masks, 0, -1))
    np.testing.assert_array_equal(packed.known, known)
    np.testing.assert_array_equal(packed.maps[..., : len(TISSUES)], np.moveaxis(frontal.integrals, 0, -1))
    right = frontal.thickness[frontal.names.index("lung_right")]
    np.testing.assert_allclose(1000 * packed.maps[..., len(TISSUES)], right, rtol=2e-3)
    drawn = np.asarray(masks[[ANATOMY.index(f"visible_lung_{side}") for side in ("right", "left")]].any(axis=0))
    rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
    assert packed.box == (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)


@pytest.mark.parametrize(
    ("angle", "frontal"), [(0.0, True), (-25.0, True), (185.0, True), (35.0, False), (90.0, False)]
)
def test_a_view_is_frontal_up_to_a_turn(ellipsoids: Patient, angle: float, frontal: bool) -> None:
    packed = Packed.of(ellipsoids.seen(View(), 32)[0])
    assert dataclasses.replace(packed, angle=angle).frontal == frontal


def test_a_view_without_lungs_is_refused(ellipsoids: Patient) -> None:
    view, _ = ellipsoids.seen(View(), 32)
    with pytest.raises(DataError, match="without lungs"):
        Packed.of(dataclasses.replace(view, thickness=np.zeros_like(view.thickness)))


def test_lungs_place_the_film_even_where_labels_do_not_tell_how_they_are_drawn(frontal: StockView) -> None:
    packed = Packed.of(dataclasses.replace(frontal, told=("heart",)))
    lungs = [frontal.thickness[frontal.names.index(f"lung_{side}")] > 2 for side in ("right", "left")]
    rows, columns = (np.flatnonzero(np.any(lungs, axis=(0, axis))) for axis in (2, 1))
    assert packed.box == (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
    assert packed.known.sum() == 1


@pytest.fixture(scope="module")
def folder(ellipsoids: Patient, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stock of three views of two patients, and one of one view."""
    folder = tmp_path_factory.mktemp("stocks")
    view, _ = ellipsoids.seen(View(), 32)
    for name, patient in (("a/views/one_0", "one"), ("a/views/deep/two_0", "two"), ("a/views/two_1", "two")):
        dataclasses.replace(view, patient=patient).write(folder / f"{name}.npz")
    dataclasses.replace(view, patient="three").write(folder / "b/views/three_0.npz")
    return folder


def test_stocks_are_read_and_their_patients_are_held_out_whole(folder: Path) -> None:
    stock = Stock.read(folder / "a", folder / "b")
    assert sorted(view.patient for view in stock.views) == ["one", "three", "two", "two"]
    assert stock.shares.tolist() == [0.25] * 4
    rest, held = stock.split(["two"])
    assert [view.patient for view in held.views] == ["two", "two"]
    assert {view.patient for view in rest.views} == {"one", "three"}
    assert (rest.shares.sum(), held.shares.sum()) == pytest.approx((1, 1))
    for patients in (["none"], ["one", "two", "three"]):
        with pytest.raises(DataError, match="hold out some, but not all"):
            stock.split(patients)


def test_folders_give_their_shares_of_the_films(folder: Path) -> None:
    stock = Stock.read(folder / "a", folder / "b", weights=(1.0, 3.0))
    assert stock.shares[[view.patient == "three" for view in stock.views]].tolist() == pytest.approx([0.75])
    assert stock.identity() == Stock.read(folder / "a", folder / "b", weights=(2.0, 6.0)).identity()
    others = {Stock.read(folder / "a").identity(), Stock.read(folder / "b").identity(), stock.identity()}
    assert len(others) == 3
    with pytest.raises(DataError, match="no views of a stock"):
        Stock.read(folder)
