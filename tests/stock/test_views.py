"""Views of a stock: their maps are those of the projection, their masks claim what is known, and they come back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.segment.ct.volume import Volume
from artasyn.segment.projection.projection import project
from artasyn.segment.projection.quality import check_projection
from artasyn.segment.projection.view import View
from artasyn.segment.structures import ANATOMY, READ
from artasyn.stock.views import TISSUES, Patient, StockView
from tests.chest import chest
from tests.stock.conftest import SIZE


def mask(view: StockView, name: str) -> np.ndarray:
    masks, known = view.channels()
    assert known[ANATOMY.index(name)], name
    return np.asarray(masks[ANATOMY.index(name)])


def known_of(view: StockView) -> set[str]:
    masks, known = view.channels()
    assert not masks[~known].any()
    return {name for name, each in zip(ANATOMY, known, strict=True) if each}


def test_a_phantom_tells_every_channel_of_a_frontal_film(frontal: StockView) -> None:
    assert known_of(frontal) == set(ANATOMY)
    columns = {side: np.nonzero(mask(frontal, f"visible_lung_{side}"))[1].mean() for side in ("right", "left")}
    assert columns["right"] < SIZE / 2 < columns["left"]
    heart = mask(frontal, "heart")
    for side in ("right", "left"):
        footprint, whole, visible = (mask(frontal, f"{kind}lung_{side}") for kind in ("", "whole_", "visible_"))
        assert not (visible & heart).sum() > 0.02 * visible.sum()  # the outline is smoothed
        assert (visible & footprint).sum() > 0.98 * visible.sum()
        assert (visible & whole).sum() > 0.95 * visible.sum()
        assert 0.4 * footprint.sum() < visible.sum() < footprint.sum()
    assert visible.sum() < whole.sum()  # the heart hides much of the left lung
    drawn = mask(frontal, "drawn_heart")
    assert 0.7 * heart.sum() < (drawn & heart).sum() <= drawn.sum() <= heart.sum()


def test_nothing_is_drawn_on_a_lateral_film(phantom: Patient) -> None:
    assert known_of(phantom.seen(View(90.0), 64)[0]) == set(ANATOMY) - set(READ)


def test_unlabelled_structures_are_unknown_and_labels_that_a_scan_cuts_too(ellipsoids: Patient) -> None:
    volume = chest((6.0, 5.0, 5.0), length=330.0)
    without = Volume(volume.hu, volume.affine, {n: s for n, s in volume.structures.items() if n != "heart"})
    view, _ = Patient.of(without, "no heart").seen(View(), 64)
    assert known_of(view).isdisjoint({"heart", "drawn_heart", "visible_lung_right", "aorta", "ribs_right"})
    assert {"lung_right", "whole_lung_right"} <= known_of(view)
    with_heart, _ = ellipsoids.seen(View(), 64)
    assert {"heart", "drawn_heart", "visible_lung_right"} <= known_of(with_heart)
    told = dataclasses.replace(with_heart, told=("lung_right", "aorta"))
    assert known_of(told) == {"lung_right"}


@pytest.mark.parametrize("view", [View(), View(63.0, tilt=5.0)])
def test_the_maps_are_those_of_the_projection(ellipsoids: Patient, view: View) -> None:
    seen, same = ellipsoids.seen(view, 64)
    placed = ellipsoids.placed(view, 64)
    projection = project(ellipsoids.volume, placed)
    assert seen.integrals.shape == (len(TISSUES), 64, 64)
    attenuation = seen.integrals.astype(np.float32).sum(axis=0)  # the liver is cut to 55 HU
    np.testing.assert_allclose(attenuation, projection.attenuation, rtol=0.02, atol=0.02)
    np.testing.assert_allclose(seen.thickness[seen.names.index("heart")], projection.depth("heart"), rtol=1e-3)
    lung = seen.thickness[seen.names.index("lung_right")].astype(np.float32)
    np.testing.assert_allclose(lung, projection.depth("lung_right"), rtol=1e-3, atol=1e-2)
    assert seen.spacing == projection.spacing_isocentre
    np.testing.assert_allclose(same.coverage, projection.coverage, atol=1e-5)
    np.testing.assert_array_equal(same.depth("lungs"), projection.depth("lungs"))
    assert check_projection(same).reasons == check_projection(projection).reasons
    lungs = projection.mask("lungs")
    assert not np.concatenate([lungs[0], lungs[-1], lungs[:, 0], lungs[:, -1]]).any()


def test_a_view_comes_back_from_its_file_and_a_damaged_file_is_refused(ellipsoids: Patient, tmp_path: Path) -> None:
    view = dataclasses.replace(ellipsoids.seen(View(-20.0, isocentre=None), 32)[0], told=("body", "heart"))
    path = tmp_path / "deep" / "view.npz"
    view.write(path)
    again = StockView.read(path)
    for field in dataclasses.fields(view):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(view, field.name))
    assert again.view == view.view
    first = path.read_bytes()
    again.write(path)
    assert path.read_bytes() == first
    for bad in (first[:-200], b"", b"no archive"):
        path.write_bytes(bad)
        with pytest.raises(DataError, match=r"view.npz: cannot be read .*make the stock again"):
            StockView.read(path)
    dataclasses.replace(view, names=view.names[1:]).write(path)
    with pytest.raises(DataError, match="is no view of a stock"):
        StockView.read(path)
    with pytest.raises(DataError, match="cannot be read"):
        StockView.read(tmp_path / "none.npz")
