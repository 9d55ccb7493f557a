"""The anatomy of one radiograph: on its own grid, finer than a pixel, and with all measures."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.window import resample
from artasyn.segment.structures import VERTEBRAE
from tests.segment.anatomy.reading import disc

SHAPE = (512, 480)
COARSE = (128, 120)


def chest(shape: tuple[int, int] = COARSE, **changes: Any) -> Anatomy:
    """A chest of discs on the grid of a film of 512 x 480, held on a coarse grid: a heart of 120 in a thorax of 360."""
    parts = {
        "visible_lung_right": disc(SHAPE, (220, 139.5), 80),
        "visible_lung_left": disc(SHAPE, (210, 339.5), 80),
        "whole_lung_right": disc(SHAPE, (220, 139.5), 80),
        "whole_lung_left": disc(SHAPE, (210, 339.5), 80),
        "drawn_heart": disc(SHAPE, (280.0, 245.25), 60),
    }
    for number, name in enumerate(VERTEBRAE[3:13]):
        bend = np.radians(4.0 * (number - 4.5))
        parts[name] = disc(SHAPE, (250 + 500 * np.sin(bend), 500 * np.cos(bend) - 260), 14)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for side, sign in (("right", -1), ("left", 1)):
        away, down = sign * (columns - 239.5), rows - 150
        along, across = away * np.sin(0.6) + down * np.cos(0.6), away * np.cos(0.6) - down * np.sin(0.6)
        parts[f"bronchus_{side}"] = ((np.abs(across) < 8) & (along > 15) & (along < 70)).astype(np.float32)
    maps = np.stack([resample(part.astype(np.float32), shape) for part in parts.values()])
    given: dict[str, Any] = {"names": tuple(parts), "maps": maps, "angle": 2.0, "confidence": (0.9,) * len(parts)}
    return Anatomy(**given | {"spacing": (0.8, 0.8), "shape": SHAPE} | changes)


def test_what_is_asked_for_lies_on_the_films_grid_without_a_shift() -> None:
    anatomy = chest()
    mask = anatomy.mask("visible_lung_left")
    assert mask.shape == SHAPE
    assert mask.dtype == np.bool_
    np.testing.assert_allclose(np.argwhere(mask).mean(axis=0), (210, 339.5), atol=0.1)
    assert anatomy.place("drawn_heart") == pytest.approx((280.0, 245.25), abs=0.2)
    probabilities = anatomy.probabilities
    assert probabilities.shape == (len(anatomy.names), *SHAPE)
    np.testing.assert_array_equal(probabilities, anatomy.soft_masks)
    np.testing.assert_array_equal(probabilities[4] >= 0.5, anatomy.heart)
    np.testing.assert_array_equal(anatomy.mask("spine"), (probabilities[5:15] >= 0.5).any(axis=0))
    plain = dataclasses.replace(anatomy, shape=None)
    assert plain.mask("drawn_heart").shape == COARSE
    with pytest.raises(DataError, match="no structure and no group 'knee'"):
        anatomy.mask("knee")


@pytest.mark.parametrize("convention", ["visible", "whole"])
def test_lungs_are_exclusive_and_without_strays(convention: Any) -> None:
    anatomy = chest()
    maps = anatomy.maps.copy()
    maps[[0, 2], 120:123, 2:5] = 1  # a stray
    maps[[1, 3], :, 30:34] = np.maximum(maps[[1, 3], :, 30:34], maps[[0, 2], :, 30:34] * 0.9)  # both claim it
    lungs = dataclasses.replace(anatomy, maps=maps).lungs(convention)
    assert lungs.confidence == (0.9, 0.9)
    assert not lungs.right[480:].any()
    np.testing.assert_array_equal(lungs.right, anatomy.lungs(convention).right)
    assert lungs.warnings == lungs.reasons == ()
    for zone in ("upper", "peripheral"):
        assert (anatomy.zone(zone) == anatomy.lungs("whole").zone(zone)).all()
        both = [anatomy.mask(f"{zone}_zone_{side}") for side in ("right", "left")]
        assert not (both[0] & both[1]).any()
        np.testing.assert_array_equal(both[0] | both[1], anatomy.mask(f"{zone}_zone"))


def test_a_lung_that_is_not_seen_is_a_caution() -> None:
    anatomy = chest(warnings=("clipped",), reasons=("saturated",))
    maps = anatomy.maps.copy()
    maps[1] = 0
    lungs = dataclasses.replace(anatomy, maps=maps).lungs()
    assert lungs.confidence == (0.9, 0.0)
    assert lungs.warnings == ("clipped", "one_lung")
    assert lungs.reasons == ("saturated", "left lung not seen")


def test_measures_are_finer_than_a_pixel_of_the_maps() -> None:
    measures = chest().measure()
    ratio, areas = measures.cardiothoracic_ratio, measures.lung_areas
    assert ratio is not None
    assert areas is not None
    assert ratio.heart_width == pytest.approx(120, abs=0.5)
    assert ratio.thorax_width == pytest.approx(360, abs=0.8)  # in different rows: 5 rows above and below
    assert ratio.value == pytest.approx(120 / 360, abs=0.002)
    assert areas.right == pytest.approx(np.pi * 64**2 / 100, rel=0.01)
    assert areas.left_to_right == pytest.approx(1, abs=0.01)
    assert measures.cobb_angle is not None
    assert measures.cobb_angle.angle == pytest.approx(4.0 * 7, abs=0.8)
    assert measures.cobb_angle.convex == "image right"
    assert measures.carinal_angle is not None
    assert measures.carinal_angle.angle == pytest.approx(np.degrees(1.2), abs=2)
    np.testing.assert_allclose(measures.carinal_angle.carina, (150, 239.5), atol=2)
    assert measures.diaphragm_heights is not None
    assert measures.diaphragm_heights.difference_mm == pytest.approx(-8, abs=0.4)
    assert measures.reasons == {}
    assert measures.confidence == pytest.approx(dict.fromkeys(measures.confidence, 0.9))
    assert len(measures.confidence) == 5


def test_what_cannot_be_measured_has_a_reason_and_the_rest_is_measured() -> None:
    anatomy = chest()
    unsure = dataclasses.replace(anatomy, confidence=tuple(0.1 if n == 4 else 0.9 for n in range(len(anatomy.names))))
    reasons = unsure.measure().reasons
    assert reasons == {"cardiothoracic_ratio": "the heart is not sure on this picture (confidence 0.10)"}
    turned = dataclasses.replace(anatomy, angle=63.2).measure()
    assert len(turned.reasons) == 5
    assert all("not a frontal view: turned by 63.2" in reason for reason in turned.reasons.values())
    assert chest(angle=180.0).measure().reasons == {}
    cut = dataclasses.replace(anatomy, maps=anatomy.maps[:, :, 20:], shape=(512, 400)).measure()
    assert "border cuts the lungs" in cut.reasons["cardiothoracic_ratio"]
    assert "border cuts the lungs" in cut.reasons["lung_areas"]
    few = dataclasses.replace(anatomy, names=anatomy.names[:2], maps=anatomy.maps[:2], confidence=(0.9, 0.8)).measure()
    assert sorted(few.reasons) == ["cardiothoracic_ratio", "carinal_angle", "cobb_angle", "diaphragm_heights"]
    assert few.confidence == {"lung_areas": 0.8}
    nothing = dataclasses.replace(anatomy, maps=0 * anatomy.maps, confidence=(0.0,) * len(anatomy.names)).measure()
    assert len(nothing.reasons) == 5


def test_without_a_spacing_lengths_are_in_pixels() -> None:
    for spacing in (None, (0.8, 0.9)):
        anatomy = chest(spacing=spacing)
        measures = anatomy.measure()
        assert anatomy.pixel is None
        assert measures.spacing is None
        assert measures.lung_areas is not None
        assert measures.lung_areas.right is None
        assert measures.lung_areas.left_size is None
        assert measures.diaphragm_heights is not None
        assert measures.diaphragm_heights.difference_mm is None
        assert measures.diaphragm_heights.difference == pytest.approx(-10, abs=0.5)
    assert chest(spacing=(0.8, 0.8001)).pixel == pytest.approx(0.80005)
