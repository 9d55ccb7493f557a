"""Volumes on other grids: lengths, places, amounts and what the scan cut off stay."""

from __future__ import annotations

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.segment.ct.resampling import tents, weighed, weights_of
from artasyn.segment.ct.volume import Structure, Volume
from tests.chest import chest


@pytest.fixture(scope="module")
def volume() -> Volume:
    return chest((4.0, 3.0, 3.0))


@pytest.mark.parametrize("counts", [(7, 3), (8, 4), (5, 5), (4, 9), (1, 3), (6, 1)])
def test_shares_sum_to_one_and_keep_a_constant(counts: tuple[int, int]) -> None:
    weights = weights_of(*counts)
    assert weights.shape == counts[::-1]
    assert (weights >= 0).all()
    assert weights.sum(axis=1) == pytest.approx(1)


def test_linear_values_stay_linear() -> None:
    line = np.arange(12.0, dtype=np.float32)
    for new in (3, 4, 6, 24):
        places = (np.arange(new) + 0.5) * 12 / new - 0.5
        assert (weights_of(12, new) @ line)[1:-1] == pytest.approx(places[1:-1], abs=1e-5)
    assert tents([-3.0, 2.25, 99.0], 12) @ line == pytest.approx([0, 2.25, 11])


def test_three_axes_are_weighed_together() -> None:
    values = np.arange(4 * 6 * 8, dtype=np.int16).reshape(4, 6, 8)
    found = weighed(values, [weights_of(4, 2), weights_of(6, 3), weights_of(8, 2)])
    assert found == pytest.approx(values.reshape(2, 2, 3, 2, 2, 4).mean(axis=(1, 3, 5)))


def test_a_coarser_patient_is_the_same_patient(volume: Volume) -> None:
    other = volume.resampled(5.0)
    assert other.spacing == pytest.approx((5.0, 5.0, 5.0), rel=0.02)
    assert other.centre == pytest.approx(volume.centre)
    assert float(other.hu.mean()) == pytest.approx(float(volume.hu.mean()), abs=1)
    assert list(other.structures) == list(volume.structures)
    for name in ("heart", "liver", "lung_upper_lobe_left", "lung_lower_lobe_right"):
        before, after = volume.structures[name], other.structures[name]
        assert after.voxels * other.voxel_volume == pytest.approx(before.voxels * volume.voxel_volume, rel=0.06)
        places = [each.place(np.array(each.structures[name].centroid())) for each in (volume, other)]
        assert places[1] == pytest.approx(places[0], abs=0.5)


def test_a_structure_smaller_than_half_a_voxel_is_noted(volume: Volume) -> None:
    dot = np.zeros(volume.hu.shape, bool)
    dot[30, 30, 40] = True
    other = volume.with_structures(dot=Structure.of(dot)).resampled(6.0)
    assert "dot" not in other.structures
    assert other.notes[-1] == "at 6 mm nothing is left of dot"
    assert volume.resampled(3.0).hu.shape[1:] == volume.hu.shape[1:]


def test_the_same_spacing_is_the_same_volume() -> None:
    cubic = chest((5.0, 5.0, 5.0))
    assert cubic.resampled(5.0) is cubic


@pytest.mark.parametrize("spacing", [0.0, -1.0, float("nan"), 1e6])
def test_what_is_no_spacing_is_refused(volume: Volume, spacing: float) -> None:
    with pytest.raises(DataError, match="choose a size of voxels"):
        volume.resampled(spacing)


def test_a_prolonged_scan_repeats_its_ends_and_structures_keep_theirs(volume: Volume) -> None:
    body = volume.with_structures(body=Structure.of(volume.hu > -500))
    other = body.prolonged(10.0, 8.0)
    assert other.hu.shape[0] == volume.hu.shape[0] + 3 + 2
    assert (other.hu[:4] == volume.hu[0]).all()
    assert (other.hu[-3:] == volume.hu[-1]).all()
    assert other.notes[-1] == "the outermost slices are repeated: 12 mm at the head, 8 mm at the feet"
    assert other.mask("body")[[0, -1]].any(axis=(1, 2)).all()
    heart = [each.place(np.array(each.structures["heart"].centroid())) for each in (volume, other)]
    assert heart[1] == pytest.approx(heart[0])
    assert body.prolonged(0.0, 0.0) is body


def test_a_volume_remembers_what_its_scan_cut_off(volume: Volume) -> None:
    end = np.zeros(volume.hu.shape, bool)
    end[:6, 40:60, 40:60] = True
    cut = volume.with_structures(bone=Structure.of(end))
    assert cut.cut == (*volume.cut, "bone")
    assert cut.prolonged(30.0, 30.0).cut == (*volume.cut, "bone")
    assert cut.resampled(4.0).cut == (*volume.cut, "bone")
