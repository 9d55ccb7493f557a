"""Objects as files: films that are read on demand, copies of other files, and objects that change or go."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artasyn.bulk.journal import fingerprints_of
from artasyn.bulk.run import attempt
from artasyn.bulk.sources import Source, find_sources
from artasyn.errors import DataError, RadiographError, StoreError
from artasyn.files.opened import HEADER
from artasyn.files.radiograph import RADIOGRAPH_SUFFIXES, image_png, is_radiograph_file, read_radiograph
from artasyn.limits import Limits, using
from artasyn.phantom.film import Phantom
from artasyn.remote.objects import listed, pointer_at, stand_in, version_of
from tests.trees import tree

FILM = Phantom(size=64)(1).image


def pointers(leave: str = "") -> Path:
    """What stands for the films of the store."""
    return stand_in("memory://films", lazy=RADIOGRAPH_SUFFIXES, leave=leave)


def test_films_have_the_names_of_a_folder_and_are_read_on_demand(memory: Any, tmp_path: Path) -> None:
    data = image_png(FILM)
    names = ("a.png", "b/a.png", "b/1.2.840", "b/c.txt", ".hidden.png", "q::file:r.png", "# ?%20ü.png")
    for name in names:
        content = b"no film" if name.endswith("txt") else data
        memory.pipe_file(f"/films/{name}", content)
        (tmp_path / "films" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "films" / name).write_bytes(content)
    place = pointers()
    found = find_sources([place])
    assert [source.name for source in found] == [source.name for source in find_sources([tmp_path / "films"])]
    assert all(data not in content for content in tree(place).values())
    for source in found:
        assert np.array_equal(read_radiograph(source.path), read_radiograph(tmp_path / "films" / "a.png"))
    assert not is_radiograph_file(place / "b" / "c.txt")
    assert pointer_at(tmp_path / "films" / "a.png") is None
    one = stand_in("memory://films/b/a.png", lazy=RADIOGRAPH_SUFFIXES)
    assert [source.name for source in find_sources([one])] == ["a"]


def test_a_fingerprint_tells_what_has_changed_and_what_has_not(memory: Any) -> None:
    for name in ("a.png", "b.png", "c.png"):
        memory.pipe_file(f"/films/{name}", image_png(FILM))
    before = {source.name: fingerprints_of(source) for source in find_sources([pointers()])}
    memory.pipe_file("/films/a.png", image_png(FILM[::-1]))
    memory.rm_file("/films/c.png")
    after = {source.name: fingerprints_of(source) for source in find_sources([pointers()])}
    assert after.keys() == {"a", "b"}
    assert after["a"] != before["a"]
    assert after["b"] == before["b"]
    for path in pointers().rglob("*.png"):  # as on another machine
        path.unlink()
    (source,) = (source for source in find_sources([pointers()]) if source.name == "b")
    ((_, fresh),), ((_, known),) = fingerprints_of(source), before["b"]
    assert known.confirmed(source.path) == fresh


def test_a_film_that_changes_or_goes_between_listing_and_reading_is_refused(memory: Any) -> None:
    for name in ("a.png", "b.png"):
        memory.pipe_file(f"/films/{name}", image_png(FILM))
    place = pointers()
    memory.pipe_file("/films/a.png", image_png(FILM[::-1]))
    memory.rm_file("/films/b.png")
    with pytest.raises(RadiographError, match=r"a\.png has changed in the store since it was listed; run the same"):
        read_radiograph(place / "a.png")
    with pytest.raises(RadiographError, match=r"b\.png is gone from the store since it was listed"):
        read_radiograph(place / "b.png")
    memory.pipe_file("/films/a.png", bytes(HEADER + 16))
    with using(Limits(pixels=1)), pytest.raises(RadiographError, match=r"a\.png is larger than"):
        read_radiograph(pointers() / "a.png")


def test_a_film_that_the_store_withholds_fails_alone_but_credentials_do_not(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("it is archived")

    memory.pipe_file("/films/a.png", image_png(FILM))
    place = pointers()
    monkeypatch.setattr(type(memory), "cat_file", refuse)
    outcome = attempt(lambda source: [{"a": read_radiograph(source.path)}], ("a",), Source(place / "a.png", "a"))
    assert "a.png cannot be read from the store (it is archived); restore it from its archive" in outcome.reason
    monkeypatch.setattr(type(memory), "info", refuse)
    with pytest.raises(StoreError, match="access is refused"):
        read_radiograph(place / "a.png")


def test_commands_that_begin_together_do_not_disturb_each_other(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        memory.pipe_file(f"/cts/{number}/a.nii", b"one")
    get = type(memory).get_file

    def slow(*arguments: Any) -> None:
        time.sleep(0.02)
        get(*arguments)

    monkeypatch.setattr(type(memory), "get_file", slow)
    with ThreadPoolExecutor(4) as pool:
        places = [pool.submit(stand_in, url) for url in ("memory://cts", "memory://cts/1") * 2]
    assert all(set(tree(place.result()).values()) == {b"one"} for place in places)
    assert len(tree(places[0].result())) == 8


def test_copies_follow_the_store(memory: Any) -> None:
    memory.pipe_file("/cts/a.nii.gz", b"one")
    memory.pipe_file("/cts/labels/a.nii.gz", b"two")
    place = stand_in("memory://cts")
    assert tree(place) == {"a.nii.gz": b"one", "labels/a.nii.gz": b"two"}
    before = (place / "a.nii.gz").stat().st_ino
    memory.pipe_file("/cts/labels/a.nii.gz", b"new")
    memory.pipe_file("/cts/b.nrrd", b"three")
    assert tree(stand_in("memory://cts")) == {"a.nii.gz": b"one", "labels/a.nii.gz": b"new", "b.nrrd": b"three"}
    assert (place / "a.nii.gz").stat().st_ino == before  # it was not copied again
    (place / "b.nrrd").write_bytes(b"thr")
    assert tree(stand_in("memory://cts"))["b.nrrd"] == b"three"
    memory.rm_file("/cts/labels/a.nii.gz")
    assert tree(stand_in("memory://cts")).keys() == {"a.nii.gz", "b.nrrd"}
    assert not (place / "labels").exists()


def test_results_below_the_films_are_no_films(memory: Any) -> None:
    for name in ("a.png", "out/labels/a.png", "output/b.png"):
        memory.pipe_file(f"/films/{name}", image_png(FILM))
    assert tree(pointers(leave="memory://films/out")).keys() == {"a.png", "output/b.png"}


def test_what_no_file_can_stand_for_is_refused(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="memory://films does not exist"):
        pointers()
    with pytest.raises(DataError, match="tells neither checksum nor date"):
        version_of({"name": "a.png", "size": 3})
    about = {"type": "file", "size": 1, "ETag": "x"}
    for name in ("a//b.png", "../b.png", "./b.png"):
        monkeypatch.setattr(type(memory), "find", lambda *_, name=name, **__: {f"/films/{name}": about})
        with pytest.raises(DataError, match="has a name that no file can have; rename it"):
            listed("memory://films")
    monkeypatch.setattr(type(memory), "find", lambda *_, **__: {"/films/a": about, "/films/a/b/c.png": about})
    with pytest.raises(DataError, match="memory://films: 'a' is an object and a folder of objects"):
        listed("memory://films")
    monkeypatch.setattr(type(memory), "find", lambda *_, **__: {"/films/folder/": about, "/films/a": about})
    assert [*listed("memory://films")] == ["a"]


def test_a_copy_of_another_size_than_listed_is_refused(
    memory: Any, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("/cts/a.nrrd", b"one")
    monkeypatch.setattr(type(memory), "get_file", lambda _, there, here: Path(here).write_bytes(b"on"))
    with pytest.raises(DataError, match=r"memory://cts/a\.nrrd has changed while it was read"):
        stand_in("memory://cts")
    assert tree(cached / "files") == {}
