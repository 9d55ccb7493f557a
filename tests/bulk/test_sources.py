"""Files that are whole or not at all, collections that are found, folders that are claimed."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import artasyn.bulk.sources as module
from artasyn.bulk.sources import Source, available_cores, claim, find_sources
from artasyn.errors import DataError, RadiographError
from artasyn.files import atomic


def touched(folder: Path, *names: str) -> Path:
    """A folder with empty files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """All files of a folder, hidden ones too."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# Atomic files ---------------------------------------------------------------------------------------------


def test_a_file_is_replaced_as_a_whole_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    atomic.write_text(path, "one")
    with atomic.replacing(path) as temporary:
        temporary.write_text("two")
        assert path.read_text() == "one"
        assert temporary.parent == path.parent  # the same file system, or renaming would copy
        assert temporary.match(atomic.LEFTOVER)
    assert tree(tmp_path) == {"new/folder/a.txt": b"two"}


@pytest.mark.parametrize("written", [True, False])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, written: bool) -> None:
    (tmp_path / "a.txt").write_text("old")

    def write() -> None:
        with atomic.replacing(tmp_path / "a.txt") as temporary:
            if written:
                temporary.write_text("ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert tree(tmp_path) == {"a.txt": b"old"}


def test_nothing_written_is_an_error_and_no_empty_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic.replacing(tmp_path / "a.txt"):
        pass
    assert tree(tmp_path) == {}


def test_two_writers_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic.replacing(path) as first, atomic.replacing(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert tree(tmp_path) == {"a.txt": b"first"}  # the last to end


def test_long_names_and_other_alphabets(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / ("n" * 250), "Röntgen\n\udce9\r\n")
    assert tree(tmp_path) == {"n" * 250: "Röntgen\n".encode() + b"\xe9\r\n"}


# Finding --------------------------------------------------------------------------------------------------


def names(*inputs: Path) -> list[str]:
    return [source.name for source in find_sources(inputs)]


def test_folders_are_walked_hidden_and_other_files_left_out(tmp_path: Path) -> None:
    wanted = ("b.PNG", "a/b.jpg", "a/deep/er/c.dcm", "z.v2.tiff")
    folder = touched(tmp_path, *wanted, "a/readme.txt", ".hidden.png", "a/.thumbs/d.png", "a/Thumbs.db")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "1.2.840.113").write_bytes(bytes(128) + b"DICM")
    found = find_sources([folder])
    assert {source.name: source.path for source in found} == {
        "1.2.840.113": folder / "1.2.840.113",
        "a/b": folder / "a" / "b.jpg",
        "a/deep/er/c": folder / "a" / "deep" / "er" / "c.dcm",
        "b": folder / "b.PNG",
        "z.v2": folder / "z.v2.tiff",
    }
    assert [source.name for source in found] == sorted(source.name for source in found)


def test_a_file_named_outright_is_taken_whatever_it_is(tmp_path: Path) -> None:
    touched(tmp_path, "film.dat", "bare", ".hidden.png", "1.2.840")
    for name, expected in (
        ("film.dat", "film"),
        ("bare", "bare"),
        (".hidden.png", ".hidden"),
        ("1.2.840", "1.2.840"),
    ):
        assert find_sources([tmp_path / name]) == [Source(tmp_path / name, expected)]


def test_like_names_keep_their_suffix_then_get_a_number(tmp_path: Path) -> None:
    first = touched(tmp_path / "1", "a.png", "a.jpg", "a_png.png", "b.png", "c/b.png")
    second = touched(tmp_path / "2", "a.png", "A.png", "a_png_2.png")
    assert {source.path.relative_to(tmp_path).as_posix(): source.name for source in find_sources([first])} == {
        "1/a.jpg": "a_jpg",
        "1/a.png": "a_png_2",
        "1/a_png.png": "a_png",  # its own name, which the other must not take
        "1/b.png": "b",
        "1/c/b.png": "c/b",
    }
    assert names(first, second) == ["A_png_4", "a_jpg", "a_png", "a_png_2", "a_png_3", "a_png_5", "b", "c/b"]
    assert find_sources([second, first]) != find_sources([first, second])


@pytest.mark.parametrize("seed", range(8))
def test_names_are_unique_on_any_file_system_and_stable(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = ["a", "A", "a_png", "a_png_2", "a_jpg", "a_2"]
    paths = [f"{name}{suffix}" for name, suffix in itertools.product(parts, [".png", ".jpg", ".PNG"])]
    folders = [touched(tmp_path / str(n), *(p for p in paths if rng.random() < 0.5), "z.png") for n in range(2)]
    found = find_sources(folders)
    assert len({source.name.casefold() for source in found}) == len(found)
    assert len(found) == sum(len(list(folder.iterdir())) for folder in folders)
    assert found == find_sources(iter(folders))
    alike = Counter(source.path.stem.casefold() for source in found)
    assert all(s.name == s.path.stem for s in found if alike[s.path.stem.casefold()] == 1)


def test_a_file_met_twice_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched(tmp_path, "a/b.png")
    monkeypatch.chdir(tmp_path)
    assert names(tmp_path, Path("a"), Path("a/b.png"), Path("a/../a")) == ["a/b"]


def test_what_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    touched(tmp_path, "readme.txt")
    with pytest.raises(DataError, match=r"nowhere: no such file or folder"):
        find_sources([tmp_path, tmp_path / "nowhere"])
    with pytest.raises(DataError, match=f"no radiographs in {tmp_path}; PNG"):
        find_sources(path for path in [tmp_path])
    with pytest.raises(DataError, match="no radiographs"):
        find_sources([])


def test_a_file_out_of_reach_is_found_so_that_it_can_be_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched(tmp_path, "locked", "open.png")

    def is_radiograph_file(path: Path) -> bool:
        if path.name == "locked":
            raise RadiographError(f"{path} is out of reach")
        return True

    monkeypatch.setattr(module, "is_radiograph_file", is_radiograph_file)
    assert names(tmp_path) == ["locked", "open"]


def test_cores_are_those_that_joblib_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert available_cores() == 1


# Settings -------------------------------------------------------------------------------------------------


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    out = tmp_path / "out"
    claim(out, {"seed": 1, "size": (2, 3), "bits": 8})
    claim(out, {"bits": 8, "size": [2, 3], "seed": 1})  # as JSON says it
    before = tree(out)
    with pytest.raises(DataError) as refusal:
        claim(out, {"seed": 2, "size": (2, 3), "depth": None, "new": "x"})
    assert f"{out} holds results of other settings" in str(refusal.value)
    assert "(bits: 8 there, None now; new: None there, x now; seed: 1 there, 2 now)" in str(refusal.value)
    assert tree(out) == before
    assert json.loads(before["settings.json"]) == {"seed": 1, "size": [2, 3], "bits": 8}


@pytest.mark.parametrize("content", [b"", b"{", b"3", b'["a"]', b"\xff"])
def test_damaged_settings_and_a_file_in_the_way_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "settings.json").write_bytes(content)
    with pytest.raises(DataError, match=r"settings.json is damaged; choose another folder"):
        claim(tmp_path, {"seed": 1})
    with pytest.raises(DataError, match=r"settings.json is a file; name a folder"):
        claim(tmp_path / "settings.json", {"seed": 1})


def test_leftovers_of_ours_are_cleared_and_no_one_elses(tmp_path: Path) -> None:
    mine, other = atomic.LEFTOVER.replace("*", "0f"), ".editor.tmp"
    touched(tmp_path, mine, f"a/b/{mine}", other, f"a/{other}")
    claim(tmp_path, {})
    assert sorted(tree(tmp_path)) == [other, f"a/{other}", "settings.json"]
