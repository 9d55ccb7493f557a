"""The program for a GPU, on a CPU with tiny sizes: it runs, it measures what it says, and its table is complete."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from artasyn import BatchLungOpacity
from artasyn.arrays import generator
from benchmarks.speed_gpu import QUICK, agreement, main, phantoms, precision, rates, repeated
from benchmarks.tables import speed_gpu as table


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["speed_gpu", *options])
    main()


def test_it_runs_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "speed_gpu.json"
    run(monkeypatch, "--device", "cpu", "--quick", "--out", str(out))
    result = json.loads(out.read_text())
    assert result["machine"]["device"] == "cpu"
    assert result["machine"]["packages"]["torch"] == torch.__version__.split("+")[0]
    made = result["synthesis"]
    assert set(made["images_per_second"]) == {"eager, batches of 4", "eager, batches of 4, 2 threads"}
    assert not made["reached"]
    assert made["agreement"]["eager"]["within_1_255"]
    assert made["agreement"]["eager"]["largest_difference"] < 1e-4
    cost = result["detection"]["precisions"]["bfloat16"]["beside_32_bits"]
    assert 0 < cost["score_largest"] < 0.05
    assert result["detection"]["precisions"]["32 bits"]["beside_32_bits"]["score_largest"] == 0
    losses = [of["last_loss"] for of in result["training"]["precisions"].values()]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    rows = table(result)
    assert all(row.count("|") == 4 for row in rows)
    assert len(rows) == 2 + 3 + 2 * 3 + 2


def test_a_result_is_only_written_where_it_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "--device", "cpu", "--quick")
    assert "name a file with --out" in capsys.readouterr().err
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        run(monkeypatch, "--out", str(tmp_path / "none.json"))
    assert "no GPU" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_rates_are_images_a_second() -> None:
    assert rates([0.5, 0.5, 0.5], 10) == {"median": 20, "q1": 20, "q3": 20}
    assert rates([1.0, 2.0, 4.0], 8)["median"] == 4


def test_disagreement_is_seen() -> None:
    plan = replace(QUICK, chests=1)
    images, lungs = phantoms(plan)
    batch = (repeated(images, 2, torch.device("cpu")), repeated([lungs[0].labels], 2, torch.device("cpu")))
    made = BatchLungOpacity(at_once=True)(*batch, generator(0))
    assert agreement(images, lungs, made, 2)["within_1_255"]
    made.images[1, 0, :8] += 0.1
    found = agreement(images, lungs, made, 2)
    assert not found["within_1_255"]
    assert found["largest_difference"] == pytest.approx(0.1, abs=1e-3)
    assert found["pixels_beyond_0.0001"] == pytest.approx(8 / 512)


def test_precisions_are_left_as_they_were() -> None:
    def allowed() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = allowed()
    for name, dtype, tf32 in (("bfloat16", torch.bfloat16, True), ("32 bits", torch.float32, False)):
        with precision(name, torch.device("cpu")):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
            assert allowed() == (tf32, tf32)
        assert allowed() == before
