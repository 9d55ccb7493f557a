"""The command line on real files: what is written, what is refused, what is explained."""

from __future__ import annotations

import csv
import dataclasses
import inspect
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from artasyn.bulk.run import read_manifest
from artasyn.cli.catalogue import COMMANDS, command_function, module_of
from artasyn.cli.main import main
from artasyn.cli.parsing import parser, plain
from artasyn.console.options import POSITIONAL, PYTHON_ONLY, SPREAD, main_options
from artasyn.detection.window import LungWindow
from artasyn.evaluation.overlap import dice
from artasyn.files.radiograph import read_heatmap, read_labels, read_mask, read_radiograph, write_image
from artasyn.phantom.film import Phantom
from artasyn.segment import Lungs
from tests.conftest import ROOT


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
        assert dice(labels > 0, exact > 0) > 0.75, row["name"]
        assert row["found"] == "true"
        assert 0 < float(row["confidence_left"]) <= 1
    assert capsys.readouterr().out.splitlines() == [str(out / "sheet-1.png"), str(out / "manifest.csv")]


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
        window = LungWindow.around(Lungs.from_labels(lungs))
        assert not np.delete(heatmap, np.s_[max(window.top, 0) : window.top + window.height], axis=0).any()
        assert not np.delete(heatmap, np.s_[max(window.left, 0) : window.left + window.width], axis=1).any()
        mask = read_mask(out / "masks" / f"{row['name']}.png")
        np.testing.assert_array_equal(
            mask[abs(heatmap - model["threshold"]) > 1e-4],
            (heatmap >= model["threshold"])[abs(heatmap - model["threshold"]) > 1e-4],
        )
        assert row["abnormal"] == str(float(row["score"]) >= model["image_threshold"]).lower()
    assert (out / "sheet-1.png").is_file()


def test_what_cannot_run_says_why_and_exits_2(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, out = str(min((phantoms / "train/healthy").iterdir())), str(tmp_path / "out")
    assert main(["segment", str(tmp_path / "nowhere"), "--out", out]) == 2
    assert "nowhere: no such file or folder" in capsys.readouterr().err
    assert main(["detect", film, "--out", out, "--model", str(tmp_path)]) == 2
    assert "config.json" in capsys.readouterr().err
    assert main(["segment", film, "--out", out, "--workers", "1"]) == 0
    assert main(["segment", film, "--out", out, "--workers", "1", "--segmenter.clip", "3"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_train_command_trains_and_lists_what_it_left_out(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    anew = ["--start", "null", "--encoder", "test_resnet", "--levels", "null", "--size", "64", "--held_out", "0.4"]
    options = [*anew, "--epochs", "1", "--batch_size", "1", "--workers", "1"]
    assert main(["train", "--normal", str(mixed), "--out", str(out), *options]) == 1
    assert (out / "model" / "model.safetensors").is_file()
    card = (out / "model" / "README.md").read_text()
    for fact in (
        "| given | 6 |  |",
        "| left out, for the reasons in cache/manifest.csv | 3 |  |",
        "| trained on | 2 | 2 |",
        "| held out for the thresholds | 1 | 1 |",
        "The training began with new weights",
        "| epochs | `1` |",
        "Not a medical device",
    ):
        assert fact in card
    settings = json.loads((out / "model" / "config.json").read_text())
    assert f"| score, abnormal | {settings['image_threshold']:.4f} |" in card
    shown = capsys.readouterr().err
    assert "3 of 6 failed" in shown
    assert "artasyn: warning: 3 normal radiographs are few; give 100 or more" in shown
    assert "artasyn: warning: 2 steps are few" in shown
    assert shown.splitlines()[-1] == f"6 films: 3 used, 3 failed; see {out / 'model'}"


@pytest.mark.parametrize(
    "command",
    ["demo", "segment", "tokens", "synthesise", "project", "stock", "train", "train-anatomy", "detect", "evaluate"],
)
def test_help_names_every_option_with_a_text(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as shown:
        main([command, "--help-all"])
    assert shown.value.code == 0
    text = capsys.readouterr().out
    assert "Writes to OUT" in text
    assert "--limits.pixels" in text
    assert "--quiet" in text
    assert "--workers WORKERS" in text
    assert "processes" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_a_function_of_one_frozen_dataclass_whose_fields_are_explained(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    function, options = command_function(command)
    assert list(inspect.signature(function).parameters) == ["options"]
    assert options.__dataclass_params__.frozen
    assert options.__module__ == function.__module__ == module_of(command)
    with pytest.raises(SystemExit):
        main([command, "--help-all"])
    text = " ".join(capsys.readouterr().out.split())
    for field in dataclasses.fields(options):
        if field.metadata.keys() & {PYTHON_ONLY, SPREAD}:
            assert f" --{field.name}" not in text
            continue
        assert f" {field.name} " in text or f" --{field.name}" in text
        assert " ".join(field.metadata["help"].split())[:50] in text


@pytest.mark.parametrize("command", COMMANDS)
def test_the_short_help_shows_an_example_and_the_main_options_alone(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as shown:
        main([command, "--help"])
    assert shown.value.code == 0
    text = capsys.readouterr().out
    assert text.count(f"For example: artasyn {command} ") == 1
    assert f"artasyn {command} --help-all shows all options" in text
    assert len(text.splitlines()) <= 65
    _, options = command_function(command)
    named = {word.strip("[],").removeprefix("--") for word in text.split() if word.lstrip("[").startswith("--")}
    inputs = {field.name for field in dataclasses.fields(options) if field.metadata.get(POSITIONAL)}
    assert named | inputs == main_options(options) | {"help", "help-all", "quiet"} | set(_of_example(text))


def _of_example(text: str) -> list[str]:
    """The options in the paragraph with the example."""
    example = text[text.index("For example") :].split("\n\n")[0]
    return [word.removeprefix("--") for word in example.split() if word.startswith("--")]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_of_the_help_is_a_command_that_can_be_read(command: str) -> None:
    function, _ = command_function(command)
    example = " ".join(
        (function.__doc__ or "").partition("For example: artasyn ")[2].partition("\n\n")[0].split("\n")[:1]
    )
    if command == "imagine":  # its line goes on
        example += " --out imagined"
    given = [plain(argument) for argument in shlex.split(example)]
    assert parser(command).parse_args(given).command == command


def test_without_a_command_the_help_is_shown_and_nothing_was_done() -> None:
    done = subprocess.run([sys.executable, "-m", "artasyn"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "artasyn detect film.png" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_film_is_told_in_one_line_and_quiet_says_nothing(phantoms: Path, tmp_path: Path) -> None:
    film, out = str(min((phantoms / "train/healthy").iterdir())), tmp_path / "out"
    command = [sys.executable, "-m", "artasyn", "segment", film, "--out", str(out)]
    told, again, quiet = (
        subprocess.run(given, capture_output=True, text=True, cwd=ROOT)
        for given in (command, command, [*command, "--quiet"])
    )
    paths = f"{out / 'sheet-1.png'}\n{out / 'manifest.csv'}\n"
    result = f"1 film: 1 with lungs; open {out / 'sheet-1.png'}"
    first, last = (f"segment: {count} of 1 films, 00:" for count in (0, 1))
    assert [line[: len(first)] for line in told.stderr.splitlines()[:-1]] == [first, last]
    assert told.stderr.splitlines()[-1] == again.stderr.splitlines()[-1] == result
    assert "segment: 1 of 1 films were done before" in again.stderr
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, paths, "")
    assert told.stdout == paths


def test_quiet_still_says_what_failed(mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["segment", str(mixed / "corrupt.png"), "--out", str(tmp_path / "out")]
    assert main([*command, "--quiet"]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert said[0] == "1 of 1 failed; all are listed in the manifest:"
    assert said[1].startswith(f"  {mixed / 'corrupt.png'}")
    assert len(said) == 2


def test_the_list_of_commands_is_shown_without_importing_any_of_them() -> None:
    code = """
import sys
from artasyn.cli.catalogue import COMMANDS, module_of
from artasyn.cli.main import main
from artasyn.cli.parsing import parser, plain
try:
    main(["--help"])
except SystemExit:
    heavy = {"torch", "lightning", "matplotlib", *map(module_of, COMMANDS)}
    print("imported:", *sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "imported:"
    for name, summary in COMMANDS.items():
        assert f" {name} " in done.stdout
        assert " ".join(summary.split()[:3]) in done.stdout


def test_the_installed_program_and_the_module_are_the_same_command(tmp_path: Path) -> None:
    module = subprocess.run(
        [sys.executable, "-m", "artasyn", "--version"], capture_output=True, text=True, cwd=tmp_path
    )
    program = Path(sys.executable).parent / "artasyn"
    installed = subprocess.run([program, "--version"], capture_output=True, text=True, cwd=tmp_path)
    assert module.returncode == installed.returncode == 0
    assert module.stdout.split()[-1] == installed.stdout.split()[-1]


def test_limits_hold_in_every_worker_and_are_named_where_they_refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "films" / "a.png", Phantom(size=128)(1).image)
    command = ["segment", str(tmp_path / "films"), "--workers", "1"]
    assert main([*command, "--out", str(tmp_path / "a"), "--limits.pixels", "1000"]) == 1
    assert "claims 16384 pixels (128 x 128), more than 1000" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "a"), "--limits.pixels", "16384"]) == 0
    assert main([*command, "--out", str(tmp_path / "a"), "--limits.pixels", "0"]) == 2
    assert "the limit pixels must be a whole number of at least 1, not 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "config", "said"),
    [
        ("synthesise", "findings: {nodule: 1}", "findings holds {'nodule': 1}; give single values"),
        ("synthesise", "findings: [nodule, [mass]]", "give single values"),
        ("project", "views: null", "views holds nothing; give at least one value"),
        ("project", "views: []", "views holds nothing; give at least one value"),
    ],
)
def test_odd_values_of_a_configuration_are_refused_in_a_sentence(
    command: str, config: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "options.yaml").write_text(config)
    given = [command, str(tmp_path), "--out", str(tmp_path / "out"), "--config", str(tmp_path / "options.yaml")]
    assert main(given) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("joint", [" ", "="])
def test_a_pipe_is_no_configuration(joint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert main(["segment", str(tmp_path), "--out", "o", *f"--config{joint}{tmp_path / 'pipe'}".split(" ")]) == 2
    assert "is no regular file" in capsys.readouterr().err
