"""Lungs that hold more or less air: a warp that image, lungs and masks share."""

from __future__ import annotations

import numpy as np
import pytest

from artasyn.errors import ImageError, SynthesisError
from artasyn.phantom.film import Phantom
from artasyn.segment import Lungs
from artasyn.synthesis.volume import LungVolume, VolumeRecord

CHEST = Phantom(size=160)(1)


def base(labels: np.ndarray, side: int) -> float:
    """The mean lowest row of a lung, over its columns."""
    columns = np.flatnonzero((labels == side).any(axis=0))
    return float(np.mean([np.flatnonzero(labels[:, column] == side).max() for column in columns]))


@pytest.mark.parametrize(("right", "left"), [(0.1, 0.1), (-0.1, 0.0), (0.0, 0.12)])
def test_each_base_moves_as_far_as_its_record_says(right: float, left: float) -> None:
    found = LungVolume().render(CHEST.image, CHEST.lungs, VolumeRecord(right, left))
    height = np.ptp(np.flatnonzero(CHEST.lungs.mask.any(axis=1)))
    for side, shift in ((1, right), (2, left)):
        moved = base(found.lungs.labels, side) - base(CHEST.lungs.labels, side)
        assert moved == pytest.approx(shift * height, abs=0.25 * abs(shift) * height + 1.5)
    tops = [np.flatnonzero(each.mask.any(axis=1)).min() for each in (CHEST.lungs, found.lungs)]
    assert abs(tops[0] - tops[1]) <= 1


def test_the_mask_is_exactly_what_changed_and_far_away_nothing_does() -> None:
    found = LungVolume()(CHEST.image, CHEST.lungs, np.random.default_rng(3))
    np.testing.assert_array_equal(found.mask, found.image != CHEST.image)
    top = np.flatnonzero(CHEST.lungs.mask.any(axis=1)).min()
    assert not found.mask[:top].any()
    assert found.image.dtype == np.float32
    assert 0 <= found.image.min() <= found.image.max() <= 1


def test_masks_move_with_the_lungs_and_labels_keep_their_values() -> None:
    found = LungVolume((0.08, 0.12))(CHEST.image, CHEST.lungs, np.random.default_rng(0))
    np.testing.assert_array_equal(found.moved(CHEST.lungs.labels), found.lungs.labels)
    assert found.moved(CHEST.lungs.mask).dtype == bool
    soft = found.moved(CHEST.lungs.mask.astype(np.float32))
    assert np.abs((soft > 0.5).astype(int) - found.lungs.mask).mean() < 0.02


def test_a_record_remakes_the_change_and_no_change_is_none() -> None:
    maker = LungVolume()
    record = maker.draw(np.random.default_rng(5))
    first, again = (maker.render(CHEST.image, CHEST.lungs, record) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    assert maker(CHEST.image, CHEST.lungs, np.random.default_rng(5)).record == record
    assert 0.03 < record.right < 0.16
    same = maker.render(CHEST.image, CHEST.lungs, VolumeRecord(0.0, 0.0))
    np.testing.assert_allclose(same.image, CHEST.image, atol=1e-6)


def test_more_air_makes_larger_and_darker_lungs() -> None:
    found = LungVolume().render(CHEST.image, CHEST.lungs, VolumeRecord(0.1, 0.1, 0.5, 0.3))
    assert found.lungs.mask.sum() > 1.05 * CHEST.lungs.mask.sum()
    core = CHEST.lungs.mask & found.lungs.mask
    upper = np.zeros_like(core)
    upper[: CHEST.image.shape[0] // 2] = True
    assert found.image[core & upper].mean() < CHEST.image[core & upper].mean() - 0.02


def test_what_cannot_be_changed_is_refused() -> None:
    maker, rng = LungVolume(), np.random.default_rng(0)
    one = Lungs.from_labels(np.where(CHEST.lungs.labels == 1, 1, 0).astype(np.uint8))
    with pytest.raises(SynthesisError, match="needs both lungs"):
        maker(CHEST.image, one, rng)
    with pytest.raises(ImageError, match=r"lungs are \(160, 160\), the image is \(80, 160\)"):
        maker(CHEST.image[:80], CHEST.lungs, rng)
    with pytest.raises(SynthesisError, match=r"right is 0\.9, not from"):
        VolumeRecord(0.9, 0.0)
