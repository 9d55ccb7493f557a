"""The law of the house: rooms stand on floors, and no import goes up a floor or to another room of the same floor."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from artasyn.cli.catalogue import COMMANDS, command_function
from tests.conftest import ROOT
from tests.test_packaging import FOLDERS, lines, sources

ROOMS: tuple[tuple[str, ...], ...] = (
    ("artasyn",),
    ("artasyn.pixels", "artasyn.remote"),
    ("artasyn.files", "artasyn.evaluation"),
    ("artasyn.networks", "artasyn.segment"),
    ("artasyn.segment.pbtseg", "artasyn.segment.ct"),
    ("artasyn.segment.projection",),
    ("artasyn.segment.measures",),
    ("artasyn.segment.anatomy",),
    ("artasyn.segment.tokens", "artasyn.synthesis", "artasyn.phantom", "artasyn.pictures", "artasyn.bulk"),
    ("artasyn.synthesis.prompts",),
    ("artasyn.synthesis.diffusion",),
    (
        "artasyn.transforms",
        "artasyn.outputs",
        "artasyn.testsets",
        "artasyn.detection",
        "artasyn.stock",
    ),
    ("artasyn.training", "artasyn.console", "artasyn.app"),
    ("artasyn.commands",),
    ("artasyn.commands.models",),
    ("artasyn.cli",),
)
"""Every room, floor by floor from the ground up; `docs/architecture.md` says what each is for."""

FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}

MOST_FILES, MOST_LINES, LONGEST_FUNCTION, MOST_PARAMETERS = 16, 400, 60, 6
"""Files in a room, lines of a file, lines of a function, parameters of a command."""


def room_of(module: str) -> str:
    """The room that a module lies in."""
    return module if module in FOLDERS else module.rpartition(".")[0]


def imported(file: Path) -> Iterator[str]:
    """The modules of artasyn that a file imports, at its top or inside its functions, names of modules included."""
    modules = {name for name, _ in sources()}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "artasyn")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "artasyn":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            inner = [name for name in names if name in modules]
            yield from inner
            if len(inner) < len(names):
                yield node.module or ""


def inner_modules() -> list[tuple[str, Path]]:
    """Every module but the doors: a package's ``__init__`` offers what lies above it, and imports nothing else."""
    return [(name, file) for name, file in sources() if file.stem not in ("__init__", "__main__")]


def test_imports_never_go_up() -> None:
    wrong = []
    for name, file in inner_modules():
        here = room_of(name)
        for module in imported(file):
            there = room_of(module)
            if here != there and FLOOR[there] >= FLOOR[here]:
                wrong.append(f"{name} imports {module}")
    assert not wrong


def test_every_room_is_a_folder_with_a_package_entry_and_a_docstring() -> None:
    assert set(FLOOR) == set(lines("options", "packages"))
    for room in FLOOR:
        door = FOLDERS[room] / "__init__.py"
        docstring = ast.get_docstring(ast.parse(door.read_text(encoding="utf-8")))
        assert docstring, f"{room} does not say what it is for"


def test_the_architecture_page_shows_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    missing = [room for room in FLOOR if f"`{room.removeprefix('artasyn.')}`" not in page]
    assert not missing
    files = [file.relative_to(ROOT).as_posix() for _, file in inner_modules() if f"`{file.stem}`" not in page]
    assert not files


def test_tests_import_benchmarks_only_where_they_test_them() -> None:
    folder = ROOT / "tests"
    wrong = [
        file.relative_to(ROOT).as_posix()
        for file in folder.rglob("*.py")
        if file.parent != folder / "benchmarks" and re.search(r"^\s*(from|import) benchmarks", file.read_text(), re.M)
    ]
    assert not wrong


def test_commands_take_few_parameters() -> None:
    for command in COMMANDS:
        function, _ = command_function(command)
        parameters = inspect.signature(function).parameters
        assert len(parameters) <= MOST_PARAMETERS, command


def test_rooms_files_and_functions_stay_small() -> None:
    wrong = []
    for room, folder in FOLDERS.items():
        count = len(list(folder.glob("*.py")))
        if count > MOST_FILES:
            wrong.append(f"{room}: {count} files")
    for name, file in sources():
        text = file.read_text(encoding="utf-8")
        if text.count("\n") > MOST_LINES:
            wrong.append(f"{name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    wrong.append(f"{name}.{node.name}: {length} lines")
    assert not wrong
