"""Quantised heatmaps: their order stays, and figures change by no more than is said."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from artasyn.arrays import Heatmap
from artasyn.evaluation.levels import level_thresholds, quantise
from tests.evaluation.radiographs import Film, evaluate, films


@pytest.mark.parametrize("top", [1.0, 0.1, 1e-6])
def test_quantising_costs_little_wherever_the_values_lie(top: float) -> None:
    rng = np.random.default_rng(0)
    lesions = rng.random((300, 400)) < 0.1
    heatmap = (top / (1 + np.exp(-rng.normal(size=lesions.shape) - lesions))).astype(np.float32)
    found = evaluate([Film(1.0, True, heatmap, lesions, ~lesions)])
    assert found.pixel_auroc.value == pytest.approx(roc_auc_score(lesions.ravel(), heatmap.ravel()), abs=1e-5)
    assert found.pixel_ap.value == pytest.approx(average_precision_score(lesions.ravel(), heatmap.ravel()), abs=1e-4)
    assert found.pixel_auroc_error < 2e-3


def test_a_nearly_constant_heatmap_is_undefined_rather_than_chance() -> None:
    film = films("random")[1]
    narrow = (0.4 + 1e-5 * film.heatmap).astype(np.float32)
    found = evaluate([Film(film.score, True, narrow, film.lesions, film.lungs)])
    assert found.pixel_auroc_error == pytest.approx(0.5)
    assert math.isnan(found.pixel_auroc.value)
    constant = evaluate([Film(film.score, True, np.full_like(narrow, 0.4), film.lesions, film.lungs)])
    assert constant.pixel_auroc.value == 0.5


unit = st.floats(0, 1, width=32)


@given(st.lists(unit, min_size=2, max_size=30))
def test_levels_keep_the_order_and_start_at_their_threshold(values: list[float]) -> None:
    heatmap = np.sort(np.array([values], np.float32))
    levels = quantise(heatmap)
    assert (np.diff(levels) >= 0).all()
    threshold = level_thresholds(levels)
    assert (threshold <= heatmap).all()
    assert (quantise(threshold) == levels).all()
    below = np.nextafter(threshold, np.float32(-1))[threshold > 0]
    assert (quantise(below[None])[0] < levels[threshold > 0]).all()
    room = np.minimum(heatmap, 1 - heatmap)
    assert (heatmap - threshold <= np.where(heatmap < 2**-32, 2**-32, room / 128 + 2**-24)).all()


TRANSFORMS: dict[str, Callable[[Heatmap], Heatmap]] = {
    "square": lambda heatmap: heatmap**2,
    "root": lambda heatmap: heatmap**0.5,
    "faint": lambda heatmap: heatmap / 100,
    "inverted": lambda heatmap: 1 - heatmap,
}


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(TRANSFORMS)))
@settings(max_examples=25, deadline=None)
def test_rising_transforms_change_ranks_by_no_more_than_quantising(seed: int, transform: str) -> None:
    of = films("random", seed, count=4)
    heatmaps = [TRANSFORMS[transform](film.heatmap).astype(np.float32) for film in of]
    changed = [Film(f.score, f.diseased, h, f.lesions, f.lungs) for f, h in zip(of, heatmaps, strict=True)]
    before, after = evaluate(of), evaluate(changed)
    room = before.pixel_auroc_error + after.pixel_auroc_error + 1e-5  # float32 rounding may tie two values
    for name in ("pixel_auroc", "pixel_auroc_in_lungs"):
        first, second = getattr(before, name).value, getattr(after, name).value
        assert second == pytest.approx(1 - first if transform == "inverted" else first, abs=room)
    if transform != "inverted":
        room = before.pixel_ap_error + after.pixel_ap_error + 1e-3
        assert after.pixel_ap.value == pytest.approx(before.pixel_ap.value, abs=room)
        assert after.aupro.value == pytest.approx(before.aupro.value, abs=0.01)
