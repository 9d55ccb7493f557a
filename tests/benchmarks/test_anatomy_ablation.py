"""The arms of the ablation: each changes one thing, finished arms are kept, arms without a stock are left out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from artasyn.stock.packed import Packed, Stock
from artasyn.training.anatomy_run import AnatomyRun
from benchmarks.anatomy_ablation import ARMS, WEIGHTS, ablate, viewwise
from benchmarks.anatomy_tables import anatomy_ablation

BASE = AnatomyRun(sizes=(64, 128), shares=(0.5, 0.5), steps=20, epoch=10)


def flat(values: dict[str, Any], place: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        inner = flat(value, f"{place}{name}.") if isinstance(value, dict) else {f"{place}{name}": value}
        found |= inner
    return found


def test_every_arm_changes_what_it_says() -> None:
    base = flat(dataclasses.asdict(BASE))
    changed = {}
    for name, arm in ARMS.items():
        run = flat(dataclasses.asdict(arm.changed(BASE)))
        changed[name] = {key for key in base if run[key] != base[key]} | (
            {"stock"} if arm != ARMS["everything"] else set()
        )
        assert set(arm.stocks) <= set(WEIGHTS)
    assert changed["everything"] == set()
    assert "films.attenuation_share" in changed["no attenuation draws"]
    assert {"films.finish.tone_share", "films.finish.invert_share"} <= changed["no tone or inversion"]
    assert "pretrained" in changed["no pretrained encoder"]
    assert ARMS["larger films at the end"].changed(BASE).sizes == (64, 128, 192)
    assert len(ARMS["larger films at the end"].changed(BASE).schedule()) == BASE.steps


def test_finished_arms_are_kept_and_changed_ones_are_trained_again(tmp_path: Path) -> None:
    trained: list[Path] = []

    def train(run: AnatomyRun, stocks: Sequence[str], out: Path) -> dict[str, Any]:
        trained.append(out)
        return {"JSRT": {"dice": 0.9}, "all": {"worst_5_percent": 0.5}}

    out = tmp_path / "ablation.json"
    arms = ["everything", "no opacities", "one CT alone"]
    result = ablate(BASE, ["phantoms", "cts"], tmp_path / "work", out, train, arms)
    assert [path.name for path in trained] == ["everything", "no_opacities"]
    assert list(result["arms"]) == ["everything", "no opacities"]
    ablate(BASE, ["phantoms", "cts", "one"], tmp_path / "work", out, train, arms)
    assert [path.name for path in trained[2:]] == ["one_CT_alone"]
    ablate(dataclasses.replace(BASE, seed=1), ["phantoms", "cts"], tmp_path / "work", out, train, arms[:1])
    assert [path.name for path in trained[3:]] == ["everything"]
    rows = anatomy_ablation(json.loads(out.read_text()))
    assert rows[0].startswith("| 20 steps of 16 films of 64, 128 px")
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["everything", "no opacities", "one CT alone"]
    assert "| 0.900 |" in rows[2]


def test_a_stock_of_one_patient_can_be_split() -> None:
    maps, bits = np.zeros((8, 8, 10), np.float32), np.zeros((8, 8, 11), np.uint8)
    view = Packed(maps, bits, np.zeros(87, bool), (0.0, 0.0, 8.0, 8.0), 0.0, "ct")
    stock = viewwise(Stock((view,) * 3, np.full(3, 1 / 3)))
    assert len(BASE.patients_held_out(stock)) == 1
    rest, held = stock.split(BASE.patients_held_out(stock))
    assert (len(rest.views), len(held.views)) == (2, 1)
