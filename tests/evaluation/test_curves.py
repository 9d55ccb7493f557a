"""AUPRO and average precision against plain loops and cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from artasyn.evaluation.curves import average_precision
from tests.evaluation.radiographs import EXACT, KINDS, Film, evaluate, films, naive_aupro


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_aupro_as_a_plain_loop(kind: str, seed: int) -> None:
    of = films(kind, seed)
    assert evaluate(of).aupro.value == pytest.approx(naive_aupro(of), abs=1e-12 if kind in EXACT else 0.003)


def test_aupro_worked_out_by_hand() -> None:
    lesions = np.zeros((4, 4), bool)
    lesions[0, 0] = lesions[1, 1] = True  # touch at a corner: one region of two pixels
    lesions[3, 0:2] = True  # the other, so 12 healthy pixels are left
    heatmap = np.zeros((4, 4), np.float32)
    heatmap[0, 0] = heatmap[3, 0] = heatmap[3, 1] = 0.75
    heatmap[0, 3], heatmap[1, 3], heatmap[2, 3] = 0.75, 0.5, 0.5
    film = Film(1.0, True, heatmap, lesions, np.ones((4, 4), bool))
    # (FPR, PRO): (0, 0), (1/12, 3/4) at 0.75, (3/12, 3/4) at 0.5, (1, 1) at 0; so 3/4 + 1/60 at a FPR of 0.3
    area = 1 / 12 * 3 / 8 + 2 / 12 * 3 / 4 + 0.05 * (3 / 4 + 3 / 4 + 1 / 60) / 2
    assert evaluate([film]).aupro.value == pytest.approx(area / 0.3, abs=1e-12)


def test_precision_inside_a_level_is_not_taken_from_its_end() -> None:
    counts = np.array([[10.0]]), np.array([[10.0]])
    assert average_precision(*counts, np.array([False])) == 0.5
    assert average_precision(*counts, np.array([True])) == 5.5 / 10.5
