"""Tables of the anatomy's results: every row has the columns of its head, and figures stand where they belong."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import anatomy_tables

SCORES = {
    "films": 10, "dice": 0.95, "right": 0.96, "left": 0.94, "sides": 1.0, "worst_5_percent": 0.8, "heart": 0.9,
    "heart_worst_5_percent": 0.7, "ctr_mae": 0.02, "ctr_bias": -0.01, "ctr_measured": 1.0, "ctr_r": 0.9,
}  # fmt: skip
SETS = {"JSRT": SCORES, "V7-COVID": {"films": 4, "dice": 0.9, "worst_5_percent": 0.7}, "all": SCORES}
BESIDE = {name: {"films": 10, "dice": 0.85, "sides": 0.9, "worst_5_percent": 0.6} for name in SETS}
JUDGED = {
    "films": 5, "unusable": 1.0, "told": 0.8, "with_a_reason": 1.0, "median_turn": None, "median_confidence": 0.1,
    "lung_pixels": 0.0,
}  # fmt: skip
FIGURE = {"value": 0.9, "low": 0.8, "high": 0.95}
RESULTS: dict[str, dict[str, Any]] = {
    "anatomy": {
        "sets": {half: {**SETS, "own grid": SETS} for half in ("odd", "even")},
        "pbtseg": {"odd": BESIDE, "even": BESIDE},
        "difference": {"even": dict.fromkeys(SETS, FIGURE)},
    },
    "anatomy_unreadable": {"poses": {"even": {"inverted": {**JUDGED, "dice": {"JSRT": 0.9}}}}, "others": {"x": JUDGED}},
    "anatomy_projections": {
        "frontal": 0.9, "all_angles": 0.8, "loss_at_40": None, "missed": 0.1, "turns": {"0": 0.9, "90": 0.7},
        "patients": {
            "phantom": {
                "frontal": 0.9, "all_angles": 0.8, "loss_at_40": 0.02,
                "structures": {"rib_right_1": 0.4, "rib_left_2": 0.6, "heart": 0.9},
            },
        },
        "cobb": {
            "films": 3, "measured": 2, "mae": 3.0, "bias": -1.0, "10 to 25": {"films": 2, "mae": 3.0, "bias": -1.0},
        },
    },
    "speed_anatomy": {
        "ms": {name: {"mean": 5.0, "median": 4.0, "q1": 3.0, "q3": 6.0} for name in ("PBTSeg", "anatomy, torch")},
    },
    "anatomy_classification": {
        "sets": {
            name: {
                "healthy": 4, "diseased": 5,
                "ways": {way: {"auroc": FIGURE, "difference": FIGURE} for way in ("whole film", "regions")},
                "reasons_and_boxes": {"films": 0},
            }
            for name in ("children", "adults")
        },
    },
    "anatomy_ablation": {
        "budget": "600 steps", "arms": {"everything": {"scores": SETS}, "no CT": {"scores": {"JSRT": {"dice": 0.8}}}},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_every_row_has_the_columns_of_the_head(name: str) -> None:
    rows = getattr(anatomy_tables, name)(RESULTS[name])
    assert len(rows) > 3
    assert {row.count("|") for row in rows} == {rows[0].count("|")}
    assert all(row.startswith("|") and row.endswith("|") for row in rows)


def test_figures_stand_where_they_belong() -> None:
    rows = anatomy_tables.anatomy(RESULTS["anatomy"])
    assert "| **JSRT**: lungs, Dice | 20 | 0.950 | 0.950 | 0.950 | 0.850 | 0.900 (0.800 to 0.950) |" in rows
    assert "| its bias | | -0.010 | -0.010 | -0.010 |  | |" in rows
    projected = anatomy_tables.anatomy_projections(RESULTS["anatomy_projections"])
    assert "| phantoms: single ribs | 0.500 | | |" in projected
    speeds = anatomy_tables.speed_anatomy(RESULTS["speed_anatomy"])
    assert speeds[-1].endswith("| 1.0 |")
