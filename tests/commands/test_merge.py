"""`artasyn merge`: the portions of every kind of command become what one run writes, or are refused by name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from artasyn.bulk.portions import COMMAND, Portion
from artasyn.cli.catalogue import command_function
from artasyn.cli.main import main
from artasyn.cli.parsing import parser
from artasyn.commands import merge
from artasyn.commands.synthesise import SynthesiseOptions, synthesise
from artasyn.console.machines import Machines, options_of, placed
from artasyn.console.options import instantiated, read_options
from artasyn.errors import DataError
from artasyn.files.radiograph import write_image
from artasyn.phantom.film import Phantom
from artasyn.synthesis import LungOpacity
from tests.trees import touched, tree


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for number in range(3):
        write_image(folder / "a" / f"{number}.png", Phantom(size=96)(number).image)
    (folder / "bad.png").write_bytes(b"no film")
    return folder


@pytest.mark.parametrize("arguments", ["segment", "synthesise", "synthesise --format=shards --samples_per_shard=1"])
def test_portions_become_what_one_run_writes(
    arguments: str, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *options = arguments.split()
    given = [command, str(films), *options, "--workers=1", "--quiet"]
    assert main([*given, f"--out={tmp_path / 'whole'}"]) == 1  # a film is bad
    out = tmp_path / "out"
    assert main([*given, f"--out={out}", "--portion=2/2"]) == 1
    capsys.readouterr()
    assert main(["merge", str(out)]) == 2
    assert "unfinished portions: 1/2 (missing)" in capsys.readouterr().err
    assert main(["merge", str(out), "--unfinished"]) == 1
    assert "they can go on, and then artasyn merge" in capsys.readouterr().err
    assert main([*given, f"--out={out}", "--portion=1/2"]) == 0
    assert main(["merge", str(out)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "manifest.csv")
    touched(out, ".artasyn-merged.tmp/1-of-2/settings.json")  # as if the merge had been killed at its end
    assert main(["merge", str(out)]) == 2
    assert f"{out} holds no portions" in capsys.readouterr().err
    assert tree(out) == tree(tmp_path / "whole")


WITH_VALUES: dict[str, list[str]] = {
    "segment": ["films", "--lungs=given", "--lungs_dir=lungs", "--dicom", "seg", "sr", "--compare"],
    "anatomy": ["films", "--structures", "heart", "lungs", "--outputs", "png", "--angle=-90"],
    "tokens": ["films", "--prompt=segment heart ; right lung", "--adapter", "words"],
    "synthesise": ["films", "--findings", "nodule", "--severity", "0.3", "0.6", "--part=upper", "--format=shards"],
    "imagine": ["--prompt", "small nodule", "--normal", "films", "--lungs=pbtseg", "--seed=3"],
    "project": ["cts", "--views", "pa", "30", "--lesions", "nodule", "--randomise=2", "--names=names.csv"],
    "stock": ["cts", "--phantoms=3", "--views.frontal=1"],
    "detect": ["films", "--restrict_to_lungs=false", "--date=2024-05-01"],
}

LEAST = {"imagine": [], "stock": [], "tokens": ["films", "--prompt=view"]}
"""What must be given, besides films."""


def parsed(command: str, *given: str) -> Any:
    reader = parser(command)
    values = instantiated(reader, reader.parse_args([command, *given, "--out=out"]))
    return read_options(command_function(command)[1], vars(values[command]))


@pytest.mark.parametrize("command", merge.COMMANDS)
def test_the_options_of_a_command_come_back_from_a_portion(command: str) -> None:
    for given in (WITH_VALUES[command], LEAST.get(command, ["films"])):
        options = parsed(command, *given, "--portion=2/3", "--workers=3", "--prune")
        assert options.machines == Machines("2/3")
        where = placed(command, options)
        assert where["portion"] == Portion(2, 3)
        kept = json.loads(where["asked"])
        assert kept["command"] == command
        again = options_of(type(options), kept["options"], "all")
        assert again == dataclasses.replace(options, machines=Machines(merging="all"))


def test_a_value_that_only_python_can_set_is_refused_before_any_work(films: Path, tmp_path: Path) -> None:
    options = SynthesiseOptions(
        [films], tmp_path / "out", synthesis=LungOpacity(tolerance=0.5), machines=Machines("1/2")
    )
    with pytest.raises(DataError, match="synthesis is no option that a portion can keep"):
        synthesise(options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"command": "os"}, "names no command that works on portions"),
        ({"place": "/"}, "were run in /; run artasyn merge there too"),
        ({"options": {"out": "elsewhere"}}, "was elsewhere when its portions were run"),
        ({"options": {"out": 3}}, "missing or damaged"),
        ({"options": {"out": "out", "inputs": 3.5, "workers": "x"}}, "options that a portion has kept are damaged"),
    ],
)
def test_what_a_portion_has_kept_is_checked(
    changes: dict[str, Any], told: str, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Portion(1, 1).folder(tmp_path / "out") / COMMAND
    path.parent.mkdir(parents=True)
    kept = {"command": "segment", "place": str(tmp_path), "options": {"out": "out", "inputs": [str(films)]}}
    path.write_text(json.dumps(kept | changes))
    with pytest.raises(DataError, match=told):
        merge.merge(merge.MergeOptions(Path("out")))
    assert path.exists()
