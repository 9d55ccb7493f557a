"""URLs among options: films, files and results each become the right thing on this machine."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from artasyn.bulk.lock import claimed
from artasyn.commands.project import ProjectOptions
from artasyn.console.options import option, paths, read_options, remote
from artasyn.console.places import here, sent
from artasyn.errors import DataError
from artasyn.remote.urls import place_of
from tests.trees import tree


@dataclass(frozen=True)
class Options:
    """Options of a command that may write to a URL."""

    inputs: Sequence[Path] = field(metadata=remote("films", paths("films")))
    out: Path = field(metadata=remote("results", option("results")))
    names: Path | None = field(default=None, metadata=option("a table"))
    model: str = field(default="", metadata=option("a model"))


@dataclass(frozen=True)
class Here:
    """Options of a command that writes to this machine alone."""

    out: Path = field(metadata=option("results"))


def test_each_url_becomes_what_its_option_needs(memory: Any, cached: Path) -> None:
    memory.pipe_file("/films/a.png", b"pixels")
    memory.pipe_file("/films/out/b.png", b"pixels")
    memory.pipe_file("/tables/names.csv", b"id,name")
    given = {"inputs": [Path("memory://films"), Path("here")], "names": Path("memory://tables/names.csv")}
    found = read_options(Options, given | {"out": Path("memory://films/out"), "model": "memory://model"})
    assert found.inputs == (place_of("memory://films", "films"), Path("here"))
    assert tree(found.inputs[0]).keys() == {"a.png"}
    assert b"pixels" not in tree(found.inputs[0])["a.png"]
    assert found.names.read_bytes() == b"id,name"
    assert found.out == place_of("memory://films/out", "results")
    assert found.model == "memory://model"


def test_films_where_the_results_go_are_refused(memory: Any, cached: Path) -> None:
    memory.pipe_file("/bucket/films/a.png", b"pixels")
    for out in ("memory://bucket/films", "memory://bucket"):
        with pytest.raises(DataError, match=f"{out} holds the radiographs; choose another folder for the results"):
            read_options(Options, {"inputs": [Path("memory://bucket/films")], "out": Path(out)})


def test_a_command_that_writes_to_this_machine_alone_refuses_a_url() -> None:
    with pytest.raises(DataError, match="memory://out: this command writes to folders of this machine alone"):
        read_options(Here, {"out": Path("memory://out")})


def test_settings_are_the_same_with_every_cache(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.pipe_file("/cts/a.nii", b"voxels")
    given = {"inputs": [Path("memory://cts")], "labels": Path("memory://cts"), "masks": [Path("memory://cts")]}
    options = {field.name: field.default for field in dataclasses.fields(ProjectOptions)} | given
    told = []
    for cache in ("one", "two"):
        monkeypatch.setenv("ARTASYN_CACHE", str(tmp_path / cache))
        found = here(ProjectOptions, options | {"out": Path("memory://out")})
        told.append(ProjectOptions(**found).settings())
    assert told[0] == told[1]
    assert (told[0]["labels"], told[0]["masks"], told[0]["names"]) == ("memory://cts", ["memory://cts"], None)


@pytest.mark.parametrize("rank", ["", "1"])
def test_two_commands_do_not_write_to_one_url_at_once(
    rank: str, memory: Any, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sent(None), sent(cached):  # which are no URLs
        pass
    out = place_of("memory://out", "results")
    with sent(out):
        (out / "a.txt").write_text("a")
    assert memory.cat_file("/out/a.txt") == b"a"
    with claimed(out):
        monkeypatch.setenv("SLURM_PROCID", rank)
        raised: list[Exception] = []

        def other() -> None:
            try:
                with sent(out):
                    pass
            except DataError as error:
                raised.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "is in use by another artasyn" in str(raised[0])
