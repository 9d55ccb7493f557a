"""Stocks of projected patients on disk: what is written, what quality control keeps out, the same bytes always."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from artasyn.bulk.run import read_manifest
from artasyn.cli.main import main
from artasyn.pictures.overlays import read_picture
from artasyn.segment.ct.volume import Volume
from artasyn.stock.packed import Stock
from artasyn.stock.patients import PatientRecord
from artasyn.stock.views import StockView
from tests.chest import chest, write_chest, write_names
from tests.conftest import ROOT
from tests.trees import tree

SMALL = ("--size", "48", "--spacing", "6", "--views.frontal", "1")


def run(out: Path, *given: object, workers: int = 1) -> int:
    return main(["stock", *map(str, given), "--out", str(out), "--workers", str(workers), *SMALL])


def rows_of(out: Path) -> list[dict[str, str]]:
    return read_manifest(out / "manifest.csv")


@pytest.fixture(scope="module")
def cts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CTs with labels, of which one has lungs of another patient, and their names."""
    folder = tmp_path_factory.mktemp("cts")
    whole = chest((6.0, 5.0, 5.0), length=330.0)
    write_chest(folder / "cts" / "ann.nii.gz", whole)
    other = {"right": "left", "left": "right"}
    mirrored = {re.sub("right|left", lambda side: other[side[0]], n): s for n, s in whole.structures.items()}
    write_chest(folder / "cts" / "ward" / "bea.nii.gz", Volume(whole.hu, whole.affine, mirrored))
    write_names(folder / "names.csv")
    return folder


@pytest.fixture(scope="module")
def made(cts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "out"
    given = (cts / "cts", "--names", cts / "names.csv", "--variants", 2, "--phantoms", 2)
    assert run(out, *given, workers=2) == 0
    return out


def test_every_patient_has_a_record_and_every_view_that_passes_a_file(made: Path) -> None:
    rows = rows_of(made)
    names = ["ann_000", "ann_001", "phantom_00000", "phantom_00001", "ward/bea_000", "ward/bea_001"]
    assert sorted({row["name"] for row in rows}) == names
    assert sorted(path.relative_to(made / "records").as_posix() for path in made.rglob("records/**/*.json")) == [
        f"{name}.json" for name in names
    ]
    written = {row["view"] for row in rows if row["status"] == "ok"}
    assert written == {path.relative_to(made).as_posix() for path in made.rglob("*.npz")}
    assert {"views/ann_000_0.npz", "views/phantom_00000_0.npz"} <= written
    for row in rows:
        assert (row["status"] == "ok") == (row["reason"] == "") == bool(row["view"])
        if row["view"]:
            view = StockView.read(made / row["view"])
            assert view.patient == row["patient"] == re.sub(r"(ann)_\d+", r"\1", row["name"])
            assert int(row["known"]) == view.channels()[1].sum()
            assert view.thickness.shape[1:] == (48, 48)
    assert len(Stock.read(made).views) == len(written)
    sheet = read_picture(made / "sheet-1.png")
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 300


def test_quality_control_keeps_a_mirrored_patient_out_and_says_why(made: Path) -> None:
    rejected = [row for row in rows_of(made) if row["name"].startswith("ward/bea")]
    assert [row["status"] for row in rejected] == ["rejected"] * 2
    assert all("wrong sides" in row["reason"] for row in rejected)


def test_a_view_is_what_its_record_says(made: Path) -> None:
    record = PatientRecord.from_json((made / "records" / "phantom_00001.json").read_text())
    seen, _ = record.patient().seen(record.views[0], record.size)
    view = StockView.read(made / "views" / "phantom_00001_0.npz")
    np.testing.assert_array_equal(view.thickness, seen.thickness)
    assert view.names == seen.names
    kept = json.loads((made / "settings.json").read_text())
    assert (kept["command"], kept["size"], kept["seed"]) == ("stock", 48, 0)


def results(out: Path) -> dict[str, bytes]:
    """Every file of a stock but those that name its folder."""
    return {name: held for name, held in tree(out).items() if name not in ("manifest.csv", ".journal.jsonl")}


def test_what_was_lost_is_made_again_the_same_with_one_worker(made: Path, cts: Path) -> None:
    before, rows = results(made), rows_of(made)
    (made / "views" / "ann_001_0.npz").unlink()
    (made / "views" / "phantom_00001_0.npz").unlink()
    kept = (made / "views" / "phantom_00000_0.npz").stat().st_mtime_ns
    assert run(made, cts / "cts", "--names", cts / "names.csv", "--variants", 2, "--phantoms", 2) == 0
    assert (made / "views" / "phantom_00000_0.npz").stat().st_mtime_ns == kept
    assert results(made) == before
    assert rows_of(made) == rows


def test_a_stock_grows_and_shrinks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(out, "--phantoms", 1, "--views.around", 0) == 0
    first = (out / "views" / "phantom_00000_0.npz").stat().st_mtime_ns
    assert run(out, "--phantoms", 2, "--views.around", 0) == 0
    assert (out / "views" / "phantom_00000_0.npz").stat().st_mtime_ns == first
    assert run(out, "--phantoms", 1, "--views.around", 0, "--prune") == 0
    assert [path.name for path in sorted(out.rglob("phantom_*"))] == ["phantom_00000.json", "phantom_00000_0.npz"]
    capsys.readouterr()
    assert run(out, "--phantoms", 1) == 2
    assert "views" in capsys.readouterr().err
    assert run(tmp_path / "none") == 2
    assert "nothing to project" in capsys.readouterr().err


def test_a_ct_without_labels_fails_alone(cts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cts").mkdir()
    shutil.copy(cts / "cts" / "ann.nii.gz", tmp_path / "cts" / "bare.nii.gz")
    (tmp_path / "cts" / "notes.txt").write_text("x")
    assert run(tmp_path / "out", tmp_path / "cts", "--phantoms", 1, "--views.around", 0) == 1
    assert "no labels" in capsys.readouterr().err
    rows = rows_of(tmp_path / "out")
    assert [(row["name"], row["status"]) for row in rows] == [("bare", "failed"), ("phantom_00000", "ok")]
    assert "notes.txt" in (tmp_path / "out" / "passed_over.csv").read_text()


@pytest.mark.slow
def test_a_killed_stock_goes_on(tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    command = [sys.executable, "-m", "artasyn", "stock", "--phantoms", "3", "--out", str(out), "--workers", "1", *SMALL]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal, deadline = out / ".journal.jsonl", time.monotonic() + 120
    while not (journal.exists() and journal.read_text().count("\n") >= 1):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = journal.read_text().count("\n")
    assert 1 <= done < 3
    assert not (out / "manifest.csv").exists()
    for folder in (out, whole):
        assert run(folder, "--phantoms", 3) == 0
    assert results(out) == results(whole)
