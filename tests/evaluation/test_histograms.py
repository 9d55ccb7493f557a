"""Histograms of radiographs: neither order, blocks nor pixels matter."""

from __future__ import annotations

import tracemalloc
from dataclasses import fields

import numpy as np
import pytest

from artasyn.evaluation.evaluation import Evaluation, Interval
from tests.evaluation.radiographs import evaluate, films


def test_neither_order_nor_blocks_change_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    of = films("low", count=9)
    found, reverse = evaluate(of), evaluate(of[::-1])
    monkeypatch.setattr("artasyn.evaluation.histograms._RADIOGRAPHS", 2)
    for other in (reverse, evaluate(of)):
        for field in fields(found):
            mine, theirs = getattr(found, field.name), getattr(other, field.name)
            if isinstance(mine, Interval):
                mine, theirs = mine.value, theirs.value
            assert mine == pytest.approx(theirs, abs=1e-12)


def test_memory_does_not_grow_with_pixels() -> None:
    rng = np.random.default_rng(0)
    heatmap = rng.random((768, 768), np.float32)
    lesions = np.zeros((768, 768), bool)
    lesions[100:300, 100:300] = True
    made = Evaluation(threshold=0.5)
    tracemalloc.start()
    for number in range(8):
        made.add(str(number), 0.0, diseased=True, heatmap=heatmap, lesions=lesions, lungs=~lesions)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 8 * heatmap.nbytes / 10
