"""The command line on real files: what is written, what is refused, the same bytes for any number of workers."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from artasyn.cli import main
from artasyn.collection import read_manifest
from artasyn.radiograph import read_heatmap, read_labels, read_mask, read_radiograph, write_image
from artasyn.recipe import Recipe


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def mixed(tmp_path: Path, phantoms: Path) -> Path:
    """Three good films among a corrupt one, a text file and a CT slice."""
    folder = tmp_path / "mixed"
    for number, path in enumerate(sorted((phantoms / "train/healthy").iterdir())[:3]):
        write_image(folder / "ward" / f"film{number}.png", read_radiograph(path))
    good = (folder / "ward" / "film0.png").read_bytes()
    (folder / "corrupt.png").write_bytes(good[: len(good) // 2])
    (folder / "text.png").write_text("this is no image")
    (folder / "slice.dcm").write_bytes(Path(str(get_testdata_file("CT_small.dcm"))).read_bytes())
    return folder


def test_segment_writes_labels_overlays_sheet_and_manifest(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["segment", str(phantoms / "test"), "--out", str(out), "--workers", "1"]) == 0
    rows = read_manifest(out / "manifest.csv")
    assert len(rows) == 5
    for row in rows:
        labels = read_labels(out / row["labels"])
        exact = read_labels(phantoms / "lungs" / f"{row['name']}.png")
        overlap = 2 * ((labels > 0) & (exact > 0)).sum() / ((labels > 0).sum() + (exact > 0).sum())
        assert overlap > 0.75, row["name"]
        assert row["found"] == "true"
        assert 0 < float(row["confidence_left"]) <= 1
    assert capsys.readouterr().out.splitlines() == [str(out / "sheet-1.png"), str(out / "manifest.csv")]


def test_synthesise_names_bad_files_and_completes_the_rest(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["synthesise", str(mixed), "--out", str(out), "--per-image", "2", "--seed", "5", "--workers", "1"]) == 1
    rows = read_manifest(out / "manifest.csv")
    failed = {row["name"]: row["reason"] for row in rows if row["status"] == "failed"}
    assert failed.keys() == {"corrupt", "text", "slice"}
    assert "CT" in failed["slice"]
    message = capsys.readouterr().err
    assert "3 of 6 failed" in message
    assert all(reason in message for reason in failed.values())
    made = [row for row in rows if row["status"] == "ok"]
    assert [(row["name"], row["copy"]) for row in made] == [(f"ward/film{n}", c) for n in range(3) for c in "12"]
    for row in made:
        normal, image = read_radiograph(row["source"]), read_radiograph(out / row["image"])
        mask = read_mask(out / row["mask"])
        np.testing.assert_array_equal(mask, image != normal)
        recipe = Recipe.from_json((out / row["record"]).read_text())
        remade = recipe.remake(normal)
        np.testing.assert_array_equal(np.rint(255 * remade.image), np.rint(255 * image))
        np.testing.assert_array_equal(remade.mask, mask)


def test_one_and_two_workers_write_the_same_bytes_and_a_second_run_changes_nothing(mixed: Path, tmp_path: Path) -> None:
    trees = []
    for workers in ("1", "2"):
        out = tmp_path / workers
        assert main(["synthesise", str(mixed), "--out", str(out), "--workers", workers]) == 1
        trees.append(tree(out))
    assert trees[0] == trees[1]
    assert main(["synthesise", str(mixed), "--out", str(tmp_path / "1"), "--workers", "2"]) == 1
    assert tree(tmp_path / "1") == trees[0]


@pytest.mark.slow
def test_killed_half_way_and_started_again_it_ends_in_the_same_files(phantoms: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    for number, path in enumerate(sorted(phantoms.glob("t*/healthy/*.png")) * 4):
        write_image(films / f"{number}.png", read_radiograph(path))

    def command(out: Path, workers: int) -> list[str]:
        return [sys.executable, "-m", "artasyn", "synthesise", str(films), "--out", str(out), "--workers", str(workers)]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert subprocess.run(command(whole, 1), cwd=tmp_path, capture_output=True).returncode == 0
    with subprocess.Popen(
        command(killed, 2), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 120
        while len(list(killed.glob("records/*.json"))) < 6 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    finished = len(list(killed.glob("records/*.json")))
    assert 6 <= finished < 32
    assert not (killed / "manifest.csv").exists()
    assert subprocess.run(command(killed, 2), cwd=tmp_path, capture_output=True).returncode == 0
    assert tree(killed) == tree(whole)


def test_detect_writes_maps_on_the_films_grid_and_ranks_the_scores(
    trained: Path, phantoms: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    inputs = [str(phantoms / "test"), "--model", str(trained / "model"), "--out", str(out), "--workers", "1"]
    assert main(["detect", *inputs]) == 0
    with (out / "scores.csv").open(newline="") as file:
        ranked = list(csv.DictReader(file))
    scores = [float(row["score"]) for row in ranked]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    model = json.loads((trained / "model" / "config.json").read_text())
    for row in ranked:
        heatmap = read_heatmap(out / "heatmaps" / f"{row['name']}.png")
        lungs = read_labels(out / "lungs" / f"{row['name']}.png")
        assert heatmap.shape == read_radiograph(phantoms / "test" / f"{row['name']}.png").shape
        assert not heatmap[lungs == 0].any()
        mask = read_mask(out / "masks" / f"{row['name']}.png")
        np.testing.assert_array_equal(
            mask[abs(heatmap - model["threshold"]) > 1e-4],
            (heatmap >= model["threshold"])[abs(heatmap - model["threshold"]) > 1e-4],
        )
        assert row["abnormal"] == str(float(row["score"]) >= model["image_threshold"]).lower()
    assert (out / "sheet-1.png").is_file()


def test_a_config_file_gives_options_and_unknown_ones_are_refused(phantoms: Path, tmp_path: Path) -> None:
    film = str(min((phantoms / "train/healthy").iterdir()))
    config = tmp_path / "options.yaml"
    config.write_text(
        f"seed: 4\nbits: 16\nout: {tmp_path / 'out'}\nworkers: 1\nsynthesis:\n  severity_range: [0.5, 0.6]\n"
    )
    assert main(["synthesise", film, "--config", str(config)]) == 0
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert (settings["seed"], settings["bits"]) == (4, 16)
    assert settings["synthesis"]["severity_range"] == [0.5, 0.6]
    row = read_manifest(tmp_path / "out" / "manifest.csv")[0]
    assert 0.5 <= float(row["severity"]) <= 0.6
    config.write_text("sead: 4\n")
    with pytest.raises(SystemExit) as refused:
        main(["synthesise", film, "--config", str(config), "--out", str(tmp_path / "other")])
    assert refused.value.code == 2


def test_what_cannot_run_says_why_and_exits_2(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, out = str(min((phantoms / "train/healthy").iterdir())), str(tmp_path / "out")
    assert main(["segment", str(tmp_path / "nowhere"), "--out", out]) == 2
    assert "nowhere: no such file or folder" in capsys.readouterr().err
    assert main(["synthesise", film, "--out", out, "--bits", "12"]) == 2
    assert "bits must be 8 or 16" in capsys.readouterr().err
    assert main(["detect", film, "--out", out, "--model", str(tmp_path)]) == 2
    assert "config.json" in capsys.readouterr().err
    assert main(["synthesise", film, "--out", out, "--workers", "1"]) == 0
    assert main(["synthesise", film, "--out", out, "--workers", "1", "--seed", "1"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_train_command_trains_and_lists_what_it_left_out(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["--size", "64", "--epochs", "1", "--batch_size", "1", "--workers", "1", "--held_out", "0.4"]
    assert main(["train", "--normal", str(mixed), "--out", str(out), *options]) == 1
    assert (out / "model" / "model.safetensors").is_file()
    assert "3 of 6 failed" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["demo", "segment", "synthesise", "train", "detect", "evaluate"])
def test_help_names_every_option_with_a_text(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as shown:
        main([command, "--help"])
    assert shown.value.code == 0
    text = capsys.readouterr().out
    assert "Writes to OUT" in text
    assert "--workers WORKERS" in text
    assert "processes" in text


def test_the_installed_program_and_the_module_are_the_same_command(tmp_path: Path) -> None:
    module = subprocess.run(
        [sys.executable, "-m", "artasyn", "--version"], capture_output=True, text=True, cwd=tmp_path
    )
    program = Path(sys.executable).parent / "artasyn"
    installed = subprocess.run([program, "--version"], capture_output=True, text=True, cwd=tmp_path)
    assert module.returncode == installed.returncode == 0
    assert module.stdout.split()[-1] == installed.stdout.split()[-1]
