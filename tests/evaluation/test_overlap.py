"""The Dice coefficient against torchmetrics and cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_f1_score

from artasyn.errors import ImageError
from artasyn.evaluation.overlap import dice

EMPTY, FULL = np.zeros((4, 4), bool), np.ones((4, 4), bool)
HALF = np.arange(16).reshape(4, 4) < 8


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(FULL, FULL, 1.0), (HALF, ~HALF, 0.0), (EMPTY, HALF, 0.0), (HALF, FULL, 16 / 24), (HALF, HALF.T, 8 / 16)],
)
def test_cases_worked_out_by_hand(one: np.ndarray, other: np.ndarray, expected: float) -> None:
    assert dice(one, other) == dice(other, one) == expected


def test_two_empty_masks_are_undefined() -> None:
    assert math.isnan(dice(EMPTY, EMPTY))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("shape", [(17,), (33, 20), (4, 5, 6)])
def test_it_is_what_torchmetrics_computes(share: float, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        one, other = rng.uniform(size=(2, *shape)) < share
        if one.any() or other.any():
            expected = binary_f1_score(torch.from_numpy(one).int(), torch.from_numpy(other).int())
            assert dice(one, other) == pytest.approx(float(expected), abs=1e-6)


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ImageError, match="one shape"):
        dice(FULL, FULL[:1])
