"""Collections that are found, folders that are claimed."""

from __future__ import annotations

import itertools
import json
import os
import tracemalloc
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import artasyn.bulk.sources as module
from artasyn.bulk.sources import Source, available_cores, claim, find_cts, find_sources, processes
from artasyn.errors import DataError, RadiographError
from artasyn.files import atomic
from tests.files.test_ct import series_at
from tests.trees import touched, tree


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
    assert (processes(0), processes(3)) == (1, 3)


def named(sources: list[Source]) -> Mapping[str, str]:
    return {source.name: source.path.name for source in sources}


def test_volumes_and_series_are_found(tmp_path: Path) -> None:
    touched(tmp_path, "a.nii.gz", "b/c.nrrd", "b/d.1.mha", "b/.hidden.nii", ".h/a.nii", "e.txt", "e.raw", "e.nii.txt")
    labels = ("labels", "seg", "segmentation", "label", "mask", "nodule", "lunglabels", "wholelung")
    touched(tmp_path, *(f"b/c_{label}.nrrd" for label in labels), "a_LABELS.nii.gz", "b/c.seg.nrrd")
    series_at(tmp_path / "Dr. Who" / "1.2.840")
    series_at(tmp_path / "Dr. Who" / "scan v1.5")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert named(find_cts([tmp_path])) == {
        "a": "a.nii.gz",
        "b/c": "c.nrrd",
        "b/d.1": "d.1.mha",
        "Dr. Who/1.2.840": "1.2.840",
        "Dr. Who/scan v1.5": "scan v1.5",
    }


def test_names_of_volumes_are_unique(tmp_path: Path) -> None:
    touched(tmp_path, "a.nii.gz", "a.nii", "a.nrrd")
    series_at(tmp_path / "A")
    assert sorted(named(find_cts([tmp_path]))) == ["A_dcm", "a_nii", "a_nii_2", "a_nrrd"]


def test_what_is_named_outright_is_taken_once(tmp_path: Path) -> None:
    touched(tmp_path, "x/a_seg.nrrd", "x/b.nii.gz")
    series_at(tmp_path / "x" / "series.old")
    inputs = [tmp_path / "x" / "a_seg.nrrd", tmp_path / "x" / "series.old", tmp_path / "x"]
    assert named(find_cts(inputs)) == {"a_seg": "a_seg.nrrd", "series.old": "series.old", "b": "b.nii.gz"}


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no CT volumes in .*; NIfTI"):
        find_cts([tmp_path])
    with pytest.raises(DataError, match="none: no such file or folder"):
        find_cts([tmp_path / "none"])


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


def test_a_listed_name_needs_little_memory(tmp_path: Path) -> None:
    names = 4000
    touched(tmp_path, *(f"{number // 1000:05d}/{number:08d}.png" for number in range(names)))
    find_sources([tmp_path])  # loads what a first search loads
    tracemalloc.start()
    try:
        found = find_sources([tmp_path])
        held, most = (each / names for each in tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()
    assert len(found) == names
    assert held < 250 + len(str(tmp_path))  # bytes, of a path as text and its name
    assert most < 360 + len(str(tmp_path))
