"""Pointing at boxes, worked out by hand."""

from __future__ import annotations

import numpy as np

from artasyn.evaluation.boxes import inside_boxes, pointing
from artasyn.evaluation.evaluation import Evaluation, Interval


def test_pointing_worked_out_by_hand() -> None:
    heatmap = np.zeros((4, 6), np.float32)
    box = (1.0, 2.0, 2.0, 3.0)  # rows 1 and 2, columns 2 to 4
    assert inside_boxes([box], (4, 6)).nonzero()[0].tolist() == [1, 1, 1, 2, 2, 2]
    assert pointing(heatmap, [box]) == 6 / 24  # the same everywhere: chance, no lucky hit
    heatmap[0, 0] = heatmap[2, 4] = 0.25
    assert pointing(heatmap, [box]) == 0.5
    heatmap[1, 2] = 0.5
    assert pointing(heatmap, [box]) == 1
    heatmap[3, 2] = 0.75
    assert pointing(heatmap, [box]) == 0
    assert pointing(heatmap, [box, (3.5, 2.5, 4.0, 1.0)]) == 1  # from the middle of that pixel to beyond the edge
    assert pointing(heatmap, [box, (3.0, 1.5, 1.0, 1.0)]) == 0  # up to its middle
    made = Evaluation()
    made.add("normal", 0.0, diseased=False, heatmap=heatmap)
    made.add("hit", 1.0, diseased=True, heatmap=heatmap, boxes=[(3.0, 0.0, 1.0, 6.0)])
    made.add("miss", 1.0, diseased=True, heatmap=heatmap, boxes=[box])
    made.add("unmarked", 1.0, diseased=True, heatmap=heatmap)
    found = made.result(bootstrap=200, seed=1)
    assert found.pointing == Interval(0.5, 0.0, 1.0)
    assert made.result(bootstrap=0).pointing.value == 0.5
