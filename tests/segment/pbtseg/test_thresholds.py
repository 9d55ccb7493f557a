"""The vote of rising thresholds, on drawn films and against plain loops."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label

from artasyn.arrays import Heatmap, Image, Mask, Outlines
from artasyn.evaluation.overlap import dice
from artasyn.segment.pbtseg.outline import Boxes
from artasyn.segment.pbtseg.thresholds import Thresholds, _contrasts

SIZE = 160
PIXEL = SIZE // 32  # the thresholds' coarse pixel
thresholds = Thresholds(steps=6, reach=0.52, pull=0.32, blur=0.061, trust=0.73)


def outlines_in(top: float, left: float, bottom: float, right: float) -> Outlines:
    boxes = Boxes(np.array([[top, left, bottom, right]], np.float32), np.ones(1, np.float32))
    return np.asarray(boxes.outlines(SIZE)[0])


OUTLINES = outlines_in(0.12, 0.1, 0.86, 0.9)


def inside(outlines: Outlines) -> Mask:
    picture = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(picture, list(np.round(outlines).astype(np.int32)), (1,))
    return picture > 0


def film(lungs: Mask, dark: float = 0.2) -> Image:
    return cv2.GaussianBlur(np.where(lungs, dark, 0.8), (0, 0), 1).astype(np.float32)


def disc(row: float, column: float, radius: float) -> Mask:
    rows, columns = np.indices((SIZE, SIZE))
    return np.asarray((rows - row) ** 2 + (columns - column) ** 2 < radius**2)


@pytest.mark.parametrize(("dark", "around"), [(0.2, 0.8), (0.4, 0.9), (0.0, 0.6)])
def test_drawn_lungs_are_voted_for(dark: float, around: float) -> None:
    truth = inside(OUTLINES)
    grey = (dark + (around - dark) * (film(truth) - 0.2) / 0.6).clip(0, 1).astype(np.float32)
    lungs = thresholds.lungs(grey, OUTLINES)
    assert lungs.shape == grey.shape
    assert 0 <= lungs.min() < 0.01 < 0.99 < lungs.max() <= 1
    assert dice(lungs > 0.5, truth) > 0.93
    from_edge = ndimage.distance_transform_edt(truth) + ndimage.distance_transform_edt(~truth)
    assert from_edge[(lungs > 0.5) != truth].max() < 2 * PIXEL


@pytest.mark.parametrize("shift", [(6, 0), (-6, 0), (0, 6), (0, -6)])
def test_lungs_are_where_the_film_shows_them_not_where_they_are_expected(shift: tuple[int, int]) -> None:
    truth, elsewhere = inside(OUTLINES), OUTLINES + np.array(shift, np.float32)
    lungs = thresholds.lungs(film(truth), elsewhere) > 0.5
    assert dice(lungs, truth) > max(0.9, dice(lungs, inside(elsewhere)))


def test_a_bright_spot_at_the_ribs_is_bridged_by_a_convex_edge() -> None:
    truth, spot = inside(OUTLINES), disc(80, 24, 10)
    lungs = thresholds.lungs(film(truth & ~spot), OUTLINES) > 0.5
    assert dice(lungs, truth) > 0.93
    assert lungs[spot & truth].mean() > 0.75


def test_a_bright_spot_inside_leaves_the_rest_of_the_lung() -> None:
    truth, spot = inside(OUTLINES), disc(75, 42, 8)
    clear, sick = (thresholds.lungs(film(lungs), OUTLINES) > 0.5 for lungs in (truth, truth & ~spot))
    away = ~disc(75, 42, 8 + 2 * PIXEL)
    assert dice(clear & away, sick & away) > 0.98


def test_air_outside_the_expectation_is_kept_out() -> None:
    """A stomach that touches the lung, air beside the body, and the trachea between the lungs."""
    truth = inside(OUTLINES)
    stomach, beside, trachea = disc(144, 118, 12) & ~truth, np.zeros_like(truth), np.zeros_like(truth)
    beside[:, :8] = beside[:, -8:] = True
    trachea[:50, 77:83] = True
    for air in (stomach, beside, trachea):
        lungs = thresholds.lungs(film(truth | air), OUTLINES) > 0.5
        assert dice(lungs, truth) > 0.92
        assert lungs[air].mean() < 0.2


def test_without_pull_air_that_touches_a_lung_is_let_in() -> None:
    truth = inside(OUTLINES)
    air = np.zeros_like(truth)
    air[30:120, :20] = True
    grey = film(truth | air)
    let_in = [replace(thresholds, pull=pull, trust=1.0).lungs(grey, OUTLINES)[air].mean() for pull in (0.0, 0.7, 2.0)]
    assert let_in[0] > let_in[1] + 0.05
    assert let_in[1] >= let_in[2]


def test_the_more_trust_the_more_the_film_decides() -> None:
    truth, elsewhere = inside(OUTLINES), OUTLINES + np.array([7, 7], np.float32)
    lungs = [replace(thresholds, trust=trust).lungs(film(truth), elsewhere) > 0.5 for trust in (0.0, 0.55, 1.0)]
    of_film, expected = ([dice(each, mask) for each in lungs] for mask in (truth, inside(elsewhere)))
    assert of_film[0] < of_film[1] <= of_film[2]
    assert expected[0] > max(0.9, expected[2])


def test_without_trust_the_film_does_not_matter() -> None:
    blind = replace(thresholds, trust=0.0)
    noise = np.random.default_rng(0).random((SIZE, SIZE), np.float32)
    assert (blind.lungs(noise, OUTLINES) == blind.lungs(film(inside(OUTLINES)), OUTLINES)).all()


def test_a_higher_reach_takes_in_brighter_parts_of_a_lung() -> None:
    truth = inside(OUTLINES)
    grey = film(truth)
    grey[90:] += np.float32(0.25) * truth[90:]
    low, high = (replace(thresholds, reach=reach, trust=1.0).lungs(grey, OUTLINES) > 0.5 for reach in (0.1, 0.52))
    assert low[95:][truth[95:]].mean() < 0.1 < 0.6 < high[95:][truth[95:]].mean()


def test_far_from_where_lungs_are_expected_there_are_none_however_dark() -> None:
    grey = np.full((SIZE, SIZE), 0.2, np.float32)
    grey[:, 74:86] = 0.8
    lungs = replace(thresholds, pull=0.0, trust=1.0).lungs(grey, OUTLINES) > 0.5
    far = ndimage.distance_transform_edt(~inside(OUTLINES)) > 5 * PIXEL
    assert lungs.mean() > inside(OUTLINES).mean()
    assert not lungs[far].any()


def test_a_lung_that_is_expected_beyond_the_film_is_not_found() -> None:
    beyond = OUTLINES + np.array([[[0, 0]], [[SIZE, 0]]], np.float32)
    lungs = replace(thresholds, trust=1.0).lungs(film(inside(OUTLINES)), beyond)
    assert (lungs[:, 100:] < 0.01).all()
    assert lungs[:, :80].max() > 0.99


# Against plain loops ------------------------------------------------------------------------------------------


def scene(seed: int) -> tuple[Heatmap, Heatmap, int]:
    """Smooth noise on the coarse grid, counted as thresholds count it, what is expected, and the middle column."""
    rng = np.random.default_rng(seed)
    top, left, height, width = rng.uniform((0.05, 0.05, 0.55, 0.7), (0.2, 0.15, 0.75, 0.8))
    coarse = outlines_in(top, left, top + height, left + width) / np.float32(PIXEL)
    expected = thresholds._expected(coarse)
    noise = cv2.GaussianBlur(rng.standard_normal((32, 32)), (0, 0), 1)
    small = (0.45 - 0.2 * expected + 0.2 * noise / noise.std()).clip(0, 1).astype(np.float32)
    middle = round(32 * (left + width / 2))
    return thresholds._counted(small, expected, middle), expected, middle


@pytest.mark.parametrize("seed", range(8))
def test_candidates_are_the_components_that_agree_best(seed: int) -> None:
    counted, expected, middle = scene(seed)
    candidates, agreement = thresholds._candidates(counted, expected, middle)
    several = 0
    for step, level in enumerate(np.linspace(0, thresholds.reach, thresholds.steps, dtype=np.float32)):
        components = label(counted <= level, connectivity=1)  # type: ignore[no-untyped-call]
        picked = np.zeros(counted.shape, bool)
        for side, columns in enumerate((slice(0, middle), slice(middle, None))):
            best, region = 0.0, np.zeros(counted.shape, bool)
            there = [each for each in np.unique(components[:, columns]) if each]
            for each in there:
                overlap = float(expected[components == each].sum(dtype=np.float64))
                whole = float((components == each).sum() + expected[:, columns].sum(dtype=np.float64))
                if 2 * overlap / whole > best:
                    best, region = 2 * overlap / whole, components == each
            assert agreement[step, side] == pytest.approx(best, abs=1e-5)
            picked |= region
            several += len(there) > 1
        assert (candidates[step] > 0).tolist() == picked.tolist()
    assert several > 3  # it was a choice


@pytest.mark.parametrize("seed", range(8))
def test_contrasts_are_grey_just_outside_less_grey_just_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    small = rng.random((24, 32), np.float32)
    small[:, 20:] *= 0.1 if seed % 2 else 1.0
    middle = 13 + seed
    noise = cv2.GaussianBlur(rng.standard_normal((24, 32)), (0, 0), 2)
    candidates = np.stack([(noise > level).astype(np.uint8) for level in (0.0, 0.1, -0.1)])
    candidates[:, [0, -1]] = candidates[:, :, middle] = 0
    candidates[1, :, middle:] = 0
    found = _contrasts(small, candidates, middle)
    cross = ndimage.generate_binary_structure(2, 1)
    for step, candidate in enumerate(candidates > 0):
        for side, columns in enumerate((slice(0, middle), slice(middle, None))):
            outside = ndimage.binary_dilation(candidate, cross) & ~candidate
            within = candidate & ~ndimage.binary_erosion(candidate, cross, border_value=1)
            out, into = (small[:, columns][ring[:, columns]] for ring in (outside, within))
            expected = max(0.0, float(out.mean() if out.size else 0.0) - float(into.mean() if into.size else 0.0))
            assert found[step, side] == pytest.approx(expected, abs=1e-5)


def test_the_darker_candidate_has_the_higher_contrast() -> None:
    small = np.full((20, 32), 0.8, np.float32)
    small[5:15, 4:12], small[5:15, 20:28] = 0.2, 0.6
    contrasts = _contrasts(small, (small < 0.7).astype(np.uint8)[None], 16)
    assert contrasts[0] == pytest.approx([0.6, 0.2], abs=1e-5)
    assert (_contrasts(1 - small, (small < 0.7).astype(np.uint8)[None], 16) == 0).all()
