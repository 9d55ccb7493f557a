"""The commands that pages show have these options."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import shlex
from pathlib import Path

import pytest

from artasyn.cli.catalogue import COMMANDS
from artasyn.cli.parsing import parser, plain
from artasyn.console.machines import Machines
from tests.conftest import ROOT
from tests.docs.needs import DOCS

pytestmark = DOCS

PAGES = sorted((ROOT / "docs").rglob("*.md"))
OTHERS = re.compile(r"^ *(\w+=\$\()?(#SBATCH|sbatch|dask|ray) .*$", re.MULTILINE)
"""Lines with options of other programs."""

HOW_TOS = sorted((ROOT / "docs" / "how-to").glob("[!i]*.md"))


def commands(page: Path) -> list[list[str]]:
    """The arguments of every line that calls artasyn, in the blocks of a page."""
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("artasyn ")]


def test_every_command_is_read() -> None:
    shown = [arguments for page in PAGES for arguments in commands(page)]
    assert {arguments[0] for arguments in shown} > {"synthesise", "detect", "calibrate", "train", "evaluate", "project"}
    readers = {name: parser(name) for name in {arguments[0] for arguments in shown}}
    for arguments in shown:
        assert readers[arguments[0]].parse_args(list(map(plain, arguments))).command == arguments[0]


def options(command: str) -> set[str]:
    """The options of a command, as its help shows them; those of a group also by their last word."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit):
        parser(command).parse_args([command, "--help"])
    shown = {each.replace("_", "-") for each in re.findall(r"--([\w.-]+)", text.getvalue())}
    return shown | {each.rpartition(".")[2] for each in shown}


def test_every_option_of_a_how_to_exists() -> None:
    known = {name: options(name) for name in COMMANDS}
    for page in HOW_TOS:
        text = re.sub(OTHERS, "", page.read_text(encoding="utf-8"))
        said = set(re.findall(r"(?<![\w-])--([a-z][a-z-]*)", text))
        everywhere = {"help", "config", *(each.name for each in dataclasses.fields(Machines))}
        assert said <= everywhere.union(*(known[name] for name in known if re.search(rf"artasyn {name}\b", text))), page
