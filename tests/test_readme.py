"""What the README says is so: its examples run, its tables are those of the results, its picture is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from artasyn.radiograph import write_image
from benchmarks.tables import TABLES, with_tables
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
EXAMPLES = {kind: [text for k, text in BLOCKS if k == kind] for kind in ("bash", "python")}


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "LOKY_MAX_CPU_COUNT": "1"}  # no pools to start
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_three_uses_run_as_they_stand_but_for_a_shorter_training(phantoms: Path, tmp_path: Path) -> None:
    from artasyn.phantom import Phantom

    shutil.copytree(phantoms, tmp_path / "data")
    shutil.copytree(phantoms / "train/healthy", tmp_path / "normals")
    write_image(tmp_path / "normals" / "film.png", Phantom(size=128)(21).image)
    write_image(tmp_path / "films" / "film.png", Phantom(size=128)(22, lesions=True).image)
    _, benchmark, augmenting = EXAMPLES["bash"]
    shorter = benchmark.replace("--out training\n", "--out training --epochs 1 --size 64\n")
    assert shorter != benchmark
    *loops, detecting, remaking = EXAMPLES["python"]
    assert len(loops) == 3
    for command in (
        ["bash", "-ec", shorter],
        ["bash", "-ec", augmenting],
        *([sys.executable, "-c", loop] for loop in loops),
        [sys.executable, "-c", detecting],
        [sys.executable, "-c", remaking],
    ):
        done = run(command, tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
    for file in ("evaluation/report.html", "detections/scores.csv", "lungs/sheet-1.png", "synthetic/manifest.csv"):
        assert (tmp_path / file).is_file(), file


def test_the_two_commands_are_those_that_are_tested() -> None:
    commands = EXAMPLES["bash"][0]
    assert "pip install . && artasyn demo" in commands
    assert 'pip install ".[test]" && pytest' in commands
    assert "pytest" in (ROOT / ".ci" / "run").read_text()


def test_the_tables_are_generated_from_the_results() -> None:
    results = ROOT / "benchmarks" / "results"
    assert with_tables(README, results) == README, "run python benchmarks/tables.py"
    assert {path.stem for path in results.glob("*.json")} == set(TABLES)


def test_every_picture_is_in_the_repository() -> None:
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).read_bytes().startswith(b"\x89PNG")
