"""Fields of a dataclass as options of a command line, of the commands and of a dataclass made up here."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from jsonargparse import ActionConfigFile, ArgumentParser  # type: ignore[attr-defined]

from artasyn.cli.catalogue import command_function
from artasyn.console.options import (
    add_options,
    flag,
    instantiated,
    option,
    paths,
    python_only,
    read_options,
    several,
    spread,
)
from artasyn.errors import DataError
from artasyn.segment import PBTSeg

Shade = Literal["dark", "bright"]


@dataclass(frozen=True)
class Inner:
    """What is spread.

    Attributes:
        steps: how many.
        rate: how fast.
        seed: of everything.
    """

    steps: int = 3
    rate: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class Everything:
    """One field of every sort."""

    files: Sequence[Path] = field(metadata=paths("what to read"))
    out: Path = field(metadata=option("where to write"))
    _: KW_ONLY
    names: Sequence[str] | None = field(default=None, metadata=several("names", metavar="NAME"))
    shades: Sequence[Shade] = field(default=("dark",), metadata=several("shades", of=Shade))
    pair: tuple[float, float] | None = field(default=None, metadata=several("low and high", of=float, count=2))
    loud: bool = field(default=False, metadata=flag("say more"))
    careful: bool = field(default=True, metadata=option("look twice"))
    inner: Inner = field(default=Inner(steps=7), metadata=spread("seed"))
    segmenter: PBTSeg = field(default=PBTSeg(), metadata=option("options of PBTSeg"))
    hidden: int = field(default=5, metadata=python_only())

    def __post_init__(self) -> None:
        if self.pair and self.pair[0] > self.pair[1]:
            raise DataError("low before high")


def read(options: Any, *given: str) -> Any:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile)
    add_options(parser, options)
    return read_options(options, vars(instantiated(parser, parser.parse_args(list(given)))))


def test_what_is_not_given_is_as_in_python() -> None:
    assert read(Everything, "a.png", "--out", "o") == Everything((Path("a.png"),), Path("o"))


def test_every_sort_of_field_is_read_from_the_command_line() -> None:
    given = ["--names", "x", "y", "--shades", "bright", "dark", "--pair", "0.5", "1", "--loud", "--careful", "false"]
    given += ["--steps", "9", "--segmenter.clip", "3"]
    assert read(Everything, "a.png", "b.png", "--out", "o", *given) == Everything(
        (Path("a.png"), Path("b.png")),
        Path("o"),
        names=("x", "y"),
        shades=("bright", "dark"),
        pair=(0.5, 1.0),
        loud=True,
        careful=False,
        inner=Inner(steps=9),
        segmenter=PBTSeg(clip=3.0),
    )


def test_every_sort_of_field_is_read_from_a_file_where_one_value_may_stand_alone(tmp_path: Path) -> None:
    config = tmp_path / "options.yaml"
    config.write_text("out: o\nnames: x\npair: [0.5, 1]\nloud: true\nrate: 2\nsegmenter:\n  size: 96\n")
    assert read(Everything, "a.png", "--config", str(config)) == Everything(
        (Path("a.png"),),
        Path("o"),
        names=("x",),
        pair=(0.5, 1.0),
        loud=True,
        inner=Inner(steps=7, rate=2.0),
        segmenter=PBTSeg(size=96),
    )


@pytest.mark.parametrize(
    "given",
    [
        ["a.png"],
        ["--out", "o"],
        ["a.png", "--out", "o", "--pair", "1"],
        ["a.png", "--out", "o", "--shades", "grey"],
        ["a.png", "--out", "o", "--seed", "3"],
        ["a.png", "--out", "o", "--hidden", "3"],
    ],
)
def test_what_is_missing_wrong_or_no_option_is_refused(given: list[str]) -> None:
    with pytest.raises((SystemExit, ArgumentError)):  # the parser refuses it, before the dataclass does
        read(Everything, *given)


def test_the_dataclass_itself_refuses_what_cannot_be() -> None:
    with pytest.raises(DataError, match="low before high"):
        read(Everything, "a.png", "--out", "o", "--pair", "1", "0.5")


def test_training_options_lie_flat_in_a_file_of_the_commands_that_train(tmp_path: Path) -> None:
    config = tmp_path / "options.yaml"
    config.write_text("epochs: 4\nsize: 64\nweights:\n  dice: 2.5\nlevels: 3\n")
    for command, more in {"train": ["--normal", "a.png", "--out", "o"], "demo": []}.items():
        _, options = command_function(command)
        run = read(options, *more, "--config", str(config), "--batch_size", "2", "--seed", "6").training
        assert (run.epochs, run.size, run.levels, run.batch_size, run.weights.dice) == (4, 64, 3, 2, 2.5)
        assert run.weights.region == 20.0
        assert run.seed == (6 if command == "train" else 0)
    assert read(command_function("demo")[1]).training.epochs == 20
