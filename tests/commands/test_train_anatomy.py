"""The training of a reader of anatomy as a command: from phantoms to a model, or from stocks that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from artasyn.bulk.run import read_manifest
from artasyn.cli.main import main
from artasyn.segment.anatomy.net import AnatomyNet
from tests.trees import tree

STOCK = ("--phantoms", "2", "--size", "48", "--spacing", "6", "--views.frontal", "1", "--views.around", "0")
RUN = (
    *("--encoder", "test_efficientnet", "--sizes", "[32]", "--shares", "[1]", "--steps", "2", "--epoch", "2"),
    *("--batch-size", "2", "--calibration", "2", "--pretrained", "false", "--workers", "1"),
)


def test_phantoms_become_a_model_and_the_stock_serves_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["train-anatomy", "--out", str(out), *STOCK, *RUN]) == 0
    written = capsys.readouterr().out.splitlines()
    assert written[0] == str(out / "model")
    assert {row["status"] for row in read_manifest(out / "stock" / "manifest.csv")} == {"ok"}
    assert AnatomyNet.from_pretrained(out / "model").settings.size == 32
    card = (out / "model" / "README.md").read_text()
    assert "| held out for thresholds and usual agreements | " in card
    assert "| sizes | `(32,)` |" in card
    assert "| drawn_heart | 0.50 |" in card
    before = tree(out)
    assert main(["train-anatomy", "--out", str(out), *STOCK, *RUN]) == 0  # nothing is done again
    assert tree(out) == before
    assert main(["train-anatomy", "--out", str(out), "--stock", str(out / "stock"), *RUN]) == 0  # it is the same stock
    assert tree(out) == before


def test_neither_and_both_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train-anatomy", "--out", str(tmp_path / "out"), *RUN]
    for given in ((), ("--stock", str(tmp_path), "--phantoms", "1")):
        assert main([*command, *given]) == 2
        assert "or a stock that is there with --stock" in capsys.readouterr().err
    assert main([*command, "--stock", str(tmp_path)]) == 2
    assert "no views of a stock" in capsys.readouterr().err
