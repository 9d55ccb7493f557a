"""The command that detects: what it writes of films with any name, and of films that cannot be judged."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from artasyn.bulk.run import read_manifest
from artasyn.bulk.sources import Source
from artasyn.cli.main import main
from artasyn.commands.detect import DetectOptions, detect, detect_sources
from artasyn.detection.network import has_bfloat16
from artasyn.errors import DataError
from artasyn.files.radiograph import read_radiograph, write_image

ODD = 'ward/film "A", lying\nturned'


def test_scores_hold_names_with_quotes_commas_and_line_breaks(tmp_path: Path, phantoms: Path) -> None:
    films = sorted((phantoms / "test" / "healthy").iterdir())[:2]
    sources = [Source(films[0], ODD), Source(films[1], "plain")]
    out = tmp_path / "out"
    done = detect_sources(sources, out, model="bundled", device="cpu", workers=1)
    with (out / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} == {ODD, "plain"}
    expected = dict(done.rows)
    for row in rows:
        assert row["score"] == expected[row["name"]]["score"]
        assert row["lungs_found"] in ("true", "false")
    plain = next(row for row in rows if row["name"] == "plain")
    line = ",".join(['"plain"', *(plain[column] for column in list(plain)[1:])])
    assert f"{line}\n" in (out / "scores.csv").read_text(encoding="utf-8")
    for folder in ("heatmaps", "masks", "lungs", "overlays"):
        assert (out / folder / f"{ODD}.png").is_file()


def test_unusable_films_come_last_with_their_reason_and_are_never_abnormal(
    trained: Path, phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    good = sorted((phantoms / "test" / "healthy").iterdir())
    film = read_radiograph(good[0])
    write_image(films / "a inverted.png", 1 - film)
    write_image(films / "b turned.png", np.ascontiguousarray(film[::-1]))
    write_image(films / "c noise.png", np.random.default_rng(0).random((128, 128), np.float32))
    for path in good:
        shutil.copy(path, films / f"d {path.name}")
    command = ["detect", str(films), "--model", str(trained / "model"), "--out", str(out), "--workers", "1"]
    assert main(command) == 0
    printed = capsys.readouterr().err
    assert f"3 of {3 + len(good)} are unusable" in printed
    assert f"{films / 'b turned.png'}: the image seems to be upside down" in printed
    with (out / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok"] * len(good) + ["unusable"] * 3
    bad = {row["name"]: row for row in rows[len(good) :]}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count(">not judged</td>") == 3
    assert page.count('class="zoom"') == len(rows)
    assert page.index(f'aria-label="enlarge {rows[0]["name"]}"') < page.index('aria-label="enlarge b turned"')
    assert "the image seems to be upside down" in page
    assert {row["warnings"] for row in bad.values()} == {"inverted", "turned", "not_a_chest"}
    assert {row["abnormal"] for row in bad.values()} == {"false"}
    manifest = {row["name"]: row for row in read_manifest(out / "manifest.csv")}
    for name, row in bad.items():
        assert row["reason"]
        assert 0 <= float(row["score"]) <= 1
        assert all(manifest[name][column] == row[column] for column in ("status", "warnings", "reason"))
    written = (out / "heatmaps" / "a inverted.png").stat().st_mtime_ns
    scores = (out / "scores.csv").read_bytes()
    assert main(command) == 0  # what is unusable is finished, and told again
    assert (out / "heatmaps" / "a inverted.png").stat().st_mtime_ns == written
    assert (out / "scores.csv").read_bytes() == scores
    assert "3 of" in capsys.readouterr().err


def test_segment_names_unusable_films_last(phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    good = sorted((phantoms / "test" / "healthy").iterdir())[0]
    write_image(films / "a.png", 1 - read_radiograph(good))
    shutil.copy(good, films / "b.png")
    assert main(["segment", str(films), "--out", str(out), "--workers", "1"]) == 0
    first, second = read_manifest(out / "manifest.csv")
    assert (first["status"], first["warnings"], first["found"]) == ("unusable", "inverted", "false")
    assert first["reason"] == "the image seems to be inverted; bright must be dense"
    assert (second["status"], second["warnings"], second["found"], second["reason"]) == ("ok", "", "true", "")
    assert "1 of 2 are unusable" in capsys.readouterr().err
    bad = ["synthesise", str(films), "--out", str(tmp_path / "synthetic"), "--workers", "1"]
    assert main(bad) == 1
    refused = read_manifest(tmp_path / "synthetic" / "manifest.csv")[0]
    assert refused["status"] == "failed"
    assert "inverted: the image seems to be inverted" in refused["reason"]


def test_a_run_in_bfloat16_is_another_run(tmp_path: Path, phantoms: Path) -> None:
    film = min((phantoms / "test" / "healthy").iterdir())
    if not has_bfloat16(torch.device("cpu")):
        pytest.skip("this processor does not compute in bfloat16")
    detect(DetectOptions([film], tmp_path / "out", device="cpu", precision="bf16", workers=1))
    assert json.loads((tmp_path / "out" / "settings.json").read_text())["precision"] == "bf16"
    with pytest.raises(DataError, match=r"precision|weights"):
        detect(DetectOptions([film], tmp_path / "out", device="cpu", workers=1))
