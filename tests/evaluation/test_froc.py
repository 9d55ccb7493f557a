"""The free-response ROC against hand-counted films and a plain search for peaks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.feature import peak_local_max

from artasyn.evaluation.froc import APART, RATES, Marks, at_rates, froc, froc_statistic, marks, peaks


def bumps(*centres: tuple[int, int, float], shape: tuple[int, int] = (100, 120)) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    parts = [height * np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / 30) for r, c, height in centres]
    return np.asarray(np.max(parts, axis=0), np.float32)


def test_peaks_are_those_of_scikit_image() -> None:
    rng = np.random.default_rng(3)
    heatmap = ndimage.gaussian_filter(rng.random((90, 130)), 3).astype(np.float32)
    heatmap /= 2 * heatmap.max()
    places, heights = peaks(heatmap)
    found = {(int(r * 90), int(c * 130)) for r, c in places}
    footprint = np.ones((2 * round(APART * 130) + 1,) * 2)
    expected = peak_local_max(heatmap, footprint=footprint, exclude_border=False, threshold_abs=0)  # type: ignore[no-untyped-call]
    assert found == {(int(r), int(c)) for r, c in expected}
    assert sorted(heights) == sorted(heatmap[tuple(expected.T)].astype(float))


def test_equal_neighbours_are_one_peak_and_nothing_has_none() -> None:
    flat = np.zeros((40, 40), np.float32)
    assert peaks(flat)[1].size == 0
    flat[10:14, 20:24] = 0.5
    places, heights = peaks(flat)
    assert heights.tolist() == [0.5]
    assert flat[int(places[0, 0] * 40), int(places[0, 1] * 40)] == 0.5


def test_large_heatmaps_have_the_same_marks() -> None:
    small = bumps((20, 30, 0.9), (70, 80, 0.4))
    large = np.kron(small, np.ones((12, 12), np.float32))
    lesions = np.zeros(small.shape, bool)
    lesions[15:25, 25:35] = True
    for heatmap, truth in ((small, lesions), (large, np.kron(lesions, np.ones((12, 12), bool)))):
        found = marks(heatmap, truth)
        assert found.found == pytest.approx([0.9], abs=0.01)
        assert found.alarms == pytest.approx([0.4], abs=0.01)


def test_the_highest_mark_in_a_lesion_counts_and_others_inside_are_not_false() -> None:
    heatmap = bumps((20, 20, 0.9), (20, 60, 0.5), (80, 100, 0.7))
    lesions = np.zeros(heatmap.shape, bool)
    lesions[10:30, 10:70] = True  # holds two marks
    lesions[50:60, 10:20] = True  # holds none
    found = marks(heatmap, lesions)
    assert found.found == pytest.approx([0.9, -1])
    assert found.alarms == pytest.approx([0.7])
    boxed = marks(heatmap, None, [(10.0, 10.0, 20.0, 20.0), (15.0, 50.0, 10.0, 20.0)])
    assert boxed.found == pytest.approx([0.9, 0.5])
    assert boxed.alarms == pytest.approx([0.7])


def test_the_curve_as_a_plain_loop_over_thresholds() -> None:
    rng = np.random.default_rng(0)
    films = [
        Marks(np.where(rng.random(k) < 0.3, -1, rng.integers(0, 9, k) / 8), rng.integers(0, 9, rng.integers(0, 4)) / 8)
        for k in (0, 2, 1, 3, 0)
    ]
    weights = np.array([2.0, 0.0, 1.0, 3.0, 1.0])
    drawn = [film for film, times in zip(films, weights.astype(int), strict=True) for _ in range(times)]
    lesions = sum(film.found.size for film in drawn)
    expected = [(0.0, 0.0)]
    for threshold in np.arange(8, -1, -1) / 8:
        alarms = sum(int((film.alarms >= threshold).sum()) for film in drawn) / len(drawn)
        hits = sum(int((film.found >= threshold).sum()) for film in drawn) / lesions
        expected.append((alarms, hits))
    found = list(zip(*(values.tolist() for values in froc(films, weights)), strict=True))
    assert np.array(sorted(set(found))) == pytest.approx(np.array(sorted(set(expected))))
    at = at_rates(*froc(films, weights))
    for rate, value in zip(RATES, at, strict=True):
        assert value == pytest.approx(max(hits for alarms, hits in expected if alarms <= rate))
    figures = froc_statistic(films)(weights[None])
    assert figures["found_on_average"][0] == pytest.approx(at.mean())


def test_without_films_nothing_is_defined() -> None:
    one = Marks(np.array([0.9]), np.array([0.5]))
    assert np.isnan(np.concatenate(froc([one], np.zeros(1)))[1:]).all()
    assert np.isnan(froc_statistic([one])(np.zeros((1, 1)))["found_on_average"][0])


def test_without_lesions_nothing_is_defined() -> None:
    figures = froc_statistic([Marks(np.zeros(0), np.array([0.5]))])(np.ones((1, 1)))
    assert all(np.isnan(value).all() for value in figures.values())
