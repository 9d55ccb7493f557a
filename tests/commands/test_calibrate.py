"""The command that fits a detector to another hospital's healthy films, as a user runs it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from artasyn.cli.main import main
from artasyn.files.radiograph import write_image
from artasyn.phantom.film import Phantom
from artasyn.pictures.overlays import read_picture


@pytest.fixture(scope="module")
def normal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("healthy")
    for seed in range(700, 722):
        write_image(folder / f"{seed}.png", Phantom(size=96)(seed).image)
    (folder / "broken.png").write_text("no picture")
    return folder


def test_every_file_is_written_and_the_new_model_detects(
    normal: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "calibrated"
    options = ["--normal", str(normal), "--model", str(trained / "model"), "--out", str(out)]
    assert main(["calibrate", *options]) == 1  # one file could not be read
    said = capsys.readouterr()
    assert "median novelty" in said.out + said.err
    assert "broken.png" in said.out + said.err
    about = json.loads((out / "calibration.json").read_text())
    assert about["radiographs"] == 22
    assert about["after"]["marked"] <= 0.06
    assert about["after"]["flagged"] <= 0.04
    with (out / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    scores = [float(row["score"]) for row in rows]
    assert len(rows) == 22
    assert scores == sorted(scores, reverse=True)
    assert rows[0]["percentile"] == "100.0"
    assert min(read_picture(out / "sheet.png").shape[:2]) > 300
    found = tmp_path / "found"
    assert main(["detect", str(normal / "700.png"), "--model", str(out / "model"), "--out", str(found)]) == 0
    with (found / "scores.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert 0 <= float(row["percentile"]) <= 100


def test_too_few_films_are_refused_and_nothing_is_written(trained: Path, normal: Path, tmp_path: Path) -> None:
    out = tmp_path / "calibrated"
    options = ["--normal", str(normal / "700.png"), "--model", str(trained / "model"), "--out", str(out)]
    assert main(["calibrate", *options]) == 2
    assert not (out / "model").exists()
