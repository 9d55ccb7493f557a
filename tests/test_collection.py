"""Files that are whole or not at all, and bulk work that can be killed, resumed and spread over processes."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

import artasyn.collection as module
from artasyn import atomic
from artasyn.collection import (
    BulkRun,
    Outcome,
    Row,
    Source,
    available_cores,
    claim,
    find_sources,
    read_manifest,
)
from artasyn.errors import DataError, RadiographError
from artasyn.radiograph import read_radiograph, write_image
from tests.conftest import ROOT

COLUMNS = ("part", "file", "mean")


def touched(folder: Path, *names: str) -> Path:
    """A folder with empty files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def made_films(folder: Path, count: int, *, bad: tuple[int, ...] = ()) -> Path:
    """A folder of films, some of which are none."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{'ab'[number % 2]}" / f"film {number:02}.png"
        write_image(path, rng.random((20, 24), np.float32))
        if number in bad:
            path.write_bytes(b"no film")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """All files of a folder, hidden ones too."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@dataclass(frozen=True)
class Halves:
    """Work: writes both halves of a film, inverted, and notes each call in a log outside of the results."""

    out: Path
    log: Path
    seconds: float = 0

    def __call__(self, source: Source) -> list[Row]:
        with self.log.open("a", encoding="utf-8", errors="surrogateescape") as log:
            log.write(f"{source.name}\n")
        film = read_radiograph(source.path)
        rows: list[Row] = []
        for part, half in enumerate(np.array_split(1 - film, 2, axis=1)):
            time.sleep(self.seconds / 2)
            write_image(self.out / f"{part}/{source.name}.png", np.tile(half, (1, 2)))
            rows.append({"part": part, "file": f"{part}/{source.name}.png", "mean": float(half.mean())})
        return rows

    def calls(self) -> Counter[str]:
        if not self.log.exists():
            return Counter()
        return Counter(os.fsdecode(line) for line in self.log.read_bytes().splitlines())


def halve(
    films: Path, out: Path, log: Path, *, workers: int = 1, seconds: float = 0
) -> tuple[list[Outcome], Counter[str]]:
    """Runs `Halves` and gives the calls that this run made."""
    work = Halves(out, log, seconds)
    before = work.calls()
    run = BulkRun(out, {"work": "halves"}, COLUMNS, ("file",), workers)
    outcomes = run.run(work, find_sources([films]), title="halve")
    return outcomes, work.calls() - before


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


# Bulk runs ------------------------------------------------------------------------------------------------


def test_a_manifest_lists_every_source_and_failures_with_their_reason(tmp_path: Path) -> None:
    films, out = made_films(tmp_path / "films", 4, bad=(2,)), tmp_path / "out"
    outcomes, calls = halve(films, out, tmp_path / "log")
    expected = ["a/film 00", "a/film 02", "b/film 01", "b/film 03"]
    assert [outcome.source.name for outcome in outcomes] == expected
    assert [bool(outcome.reason) for outcome in outcomes] == [False, True, False, False]
    assert calls == Counter(expected)
    rows = read_manifest(out / "manifest.csv")
    assert list(rows[0]) == ["name", "source", "status", "reason", "part", "file", "mean"]
    assert [(row["name"], row["status"], row["part"]) for row in rows] == [
        ("a/film 00", "ok", "0"),
        ("a/film 00", "ok", "1"),
        ("a/film 02", "failed", ""),
        ("b/film 01", "ok", "0"),
        ("b/film 01", "ok", "1"),
        ("b/film 03", "ok", "0"),
        ("b/film 03", "ok", "1"),
    ]
    assert rows[0]["source"] == str(films / "a" / "film 00.png")
    assert rows[0]["file"] == "0/a/film 00.png"
    left = read_radiograph(films / "a" / "film 00.png")[:, :12]
    assert float(rows[0]["mean"]) == pytest.approx(1 - left.mean())
    bad = films / "a" / "film 02.png"
    assert rows[2]["reason"].startswith(f"{bad} begins with b'no film', so is no PNG")
    assert sorted(tree(out)) == sorted(["manifest.csv", "settings.json", *(row["file"] for row in rows if row["file"])])


def test_one_and_two_workers_give_the_same_files(tmp_path: Path) -> None:
    films = made_films(tmp_path / "films", 7, bad=(3,))
    one, _ = halve(films, tmp_path / "one", tmp_path / "log")
    two, calls = halve(films, tmp_path / "two", tmp_path / "log", workers=2)
    assert one == two
    assert calls == Counter({outcome.source.name: 1 for outcome in one})
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_second_run_does_nothing_but_try_failures_again(tmp_path: Path) -> None:
    films, out = made_films(tmp_path / "films", 4, bad=(2,)), tmp_path / "out"
    first, _ = halve(films, out, tmp_path / "log")
    before = tree(out)
    again, calls = halve(films, out, tmp_path / "log")
    assert (again, calls, tree(out)) == (first, Counter(["a/film 02"]), before)
    made_films(films, 4)  # repaired
    third, calls = halve(films, out, tmp_path / "log")
    assert calls == Counter(["a/film 02"])
    assert not any(outcome.reason for outcome in third)
    halve(films, tmp_path / "fresh", tmp_path / "log")
    assert tree(out) == tree(tmp_path / "fresh")


def test_results_deleted_by_hand_are_made_again(tmp_path: Path) -> None:
    films, out = made_films(tmp_path / "films", 3), tmp_path / "out"
    halve(films, out, tmp_path / "log")
    before = tree(out)
    (out / "1/b/film 01.png").unlink()
    _, calls = halve(films, out, tmp_path / "log")
    assert (calls, tree(out)) == (Counter(["b/film 01"]), before)


def test_a_collection_may_grow_shrink_and_move(tmp_path: Path) -> None:
    films, out = made_films(tmp_path / "films", 2), tmp_path / "out"
    halve(films, out, tmp_path / "log")
    made_films(films, 3)
    (films / "b/film 01.png").unlink()
    outcomes, calls = halve(films, out, tmp_path / "log")
    assert [outcome.source.name for outcome in outcomes] == ["a/film 00", "a/film 02"]
    assert calls == Counter(["a/film 02"])
    moved = films.rename(tmp_path / "moved")
    _, calls = halve(moved, out, tmp_path / "log")  # the same names, perhaps not the same films
    assert calls == Counter(["a/film 00", "a/film 02"])


KILLED = """
import sys
from pathlib import Path
from tests.test_collection import halve
halve(*map(Path, sys.argv[1:]), workers=2, seconds=0.2)
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups here")
def test_a_run_killed_half_way_goes_on_to_the_same_end(tmp_path: Path) -> None:
    films, out, log = made_films(tmp_path / "films", 12, bad=(4,)), tmp_path / "out", tmp_path / "log"
    uninterrupted, _ = halve(films, tmp_path / "whole", tmp_path / "other log")
    arguments = [sys.executable, "-c", KILLED, str(films), str(out), str(log)]
    process = subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True, text=True)
    journal = out / ".journal.jsonl"
    try:
        deadline = time.monotonic() + 300
        while not journal.exists() or journal.read_text().count("\n") < 3:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL

    finished = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("]]")]
    finished = [(name, rows) for name, _, rows in finished]
    assert 3 <= len(finished) < 11
    times = {row["file"]: (out / row["file"]).stat().st_mtime_ns for _, rows in finished for row in rows}
    assert not (out / "manifest.csv").exists()
    touched(out, "0/" + atomic.LEFTOVER.replace("*", "cut"))

    resumed, calls = halve(films, out, log)
    assert tree(out) == tree(tmp_path / "whole")
    assert resumed == uninterrupted
    assert set(calls) == {outcome.source.name for outcome in resumed} - {name for name, _ in finished}
    assert set(calls.values()) == {1}
    assert {file: (out / file).stat().st_mtime_ns for file in times} == times
    total = Halves(out, log).calls()
    assert all(total[name] == 1 for name, _ in finished)


DAMAGED = [
    b'\n["a/film 00", "some',
    b"\n[",
    b"\n5",
    b"\n{}",
    b"\n[1, 2, 3]",
    b'\n["a/film 00", "PATH", 3]',
    b'\n["a/film 00", "PATH", ["x"]]',
    b'\n["a/film 00", "PATH", [{"part": "0"}]]',
    b"\n\x00\x00\x00",
    b'\n["\xff", "", []]',
    b'\n["unknown", "elsewhere", []]',
    b'\n["a/film 00", "elsewhere", []]',
]


@pytest.mark.parametrize("line", DAMAGED)
def test_a_damaged_line_of_the_journal_costs_one_film_at_most(tmp_path: Path, line: bytes) -> None:
    films, out = made_films(tmp_path / "films", 3), tmp_path / "out"
    first, _ = halve(films, out, tmp_path / "log")
    before = tree(out)
    (out / "manifest.csv").unlink()  # killed before it was written
    done = next(outcome for outcome in first if outcome.source.name == "b/film 01")
    entry = json.dumps([done.source.name, str(done.source.path), done.rows]).encode()
    line = line.replace(b"PATH", str(films / "a/film 00.png").encode())
    (out / ".journal.jsonl").write_bytes(line + b"\n" + entry + line)
    outcomes, calls = halve(films, out, tmp_path / "log")
    assert calls == Counter(["a/film 00", "a/film 02"])
    assert (outcomes, tree(out)) == (first, before)


@dataclass(frozen=True)
class Breaks(Halves):
    """The same work with a fault of the program in the last film."""

    def __call__(self, source: Source) -> list[Row]:
        if source.name == "b/film 03":
            raise TypeError("a fault")
        return super().__call__(source)


def test_a_run_that_breaks_off_twice_keeps_what_both_have_done_but_no_failures(tmp_path: Path) -> None:
    films, out, log = made_films(tmp_path / "films", 4, bad=(2,)), tmp_path / "out", tmp_path / "log"
    (tmp_path / "out").mkdir()
    (out / ".journal.jsonl").write_text('["a/film 00", "so')  # cut in the middle of a line
    run = BulkRun(out, {"work": "halves"}, COLUMNS, ("file",))
    with pytest.raises(TypeError, match="a fault"):
        run.run(Breaks(out, log), find_sources([films]), title="halve")
    _, calls = halve(films, out, log)
    assert calls == Counter(["a/film 02", "b/film 03"])


@pytest.mark.parametrize("text", ["", "name,source\na/film 00,x\n", "name;status\n", "status,name,source\nok\n"])
def test_a_manifest_that_someone_has_changed_is_made_again(tmp_path: Path, text: str) -> None:
    films, out = made_films(tmp_path / "films", 2), tmp_path / "out"
    first, _ = halve(films, out, tmp_path / "log")
    before = tree(out)
    (out / "manifest.csv").write_text(text)
    outcomes, calls = halve(films, out, tmp_path / "log")
    assert (outcomes, tree(out)) == (first, before)
    assert calls.total() == 2


@dataclass(frozen=True)
class Raise:
    """Work that fails on one film."""

    error: BaseException
    name: str = "a/film 02"

    def __call__(self, source: Source) -> list[Row]:
        if source.name == self.name:
            raise self.error
        return [{"part": 0}]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RadiographError("x.png is\n  damaged"), "x.png is damaged"),
        (DataError("lungs not found"), "lungs not found"),
        (OSError(28, "No space left"), "[Errno 28] No space left"),
        (MemoryError(), "MemoryError"),
        (cv2.error("bad\tshape"), "bad shape"),
    ],
)
def test_what_a_bad_file_raises_is_its_reason(tmp_path: Path, error: Exception, reason: str) -> None:
    sources = find_sources([made_films(tmp_path / "films", 4)])
    outcomes = BulkRun(tmp_path / "out", {}, COLUMNS).run(Raise(error), sources, title="x")
    assert [outcome.reason for outcome in outcomes] == ["", reason, "", ""]
    assert [len(outcome.rows) for outcome in outcomes] == [1, 0, 1, 1]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fault_of_the_program_stops_it_and_what_is_done_is_kept(tmp_path: Path, workers: int) -> None:
    error = TypeError("a fault")
    sources = find_sources([made_films(tmp_path / "films", 4)])
    run = BulkRun(tmp_path / "out", {}, COLUMNS, workers=workers)
    with pytest.raises(TypeError, match="a fault"):
        run.run(Raise(error), sources, title="x")
    assert not run.manifest.exists()
    again = BulkRun(tmp_path / "out", {}, COLUMNS)
    if workers == 1:
        with pytest.raises(AssertionError, match="again"):
            again.run(Raise(AssertionError("again"), "b/film 01"), sources, title="x")
        journal = (tmp_path / "out" / ".journal.jsonl").read_text().split("\n")
        assert [json.loads(line)[0] for line in journal if line] == ["a/film 00", "a/film 02"]
    assert [o.reason for o in again.run(Raise(error, ""), sources, title="x")] == [""] * 4


def test_a_row_with_a_column_that_the_manifest_lacks_is_a_fault(tmp_path: Path) -> None:
    sources = find_sources([made_films(tmp_path / "films", 1)])
    with pytest.raises(ValueError, match=r"rows have the columns \('file',\), not \('part',\)"):
        BulkRun(tmp_path / "out", {}, ("file",)).run(Raise(OSError()), sources, title="x")


def given(rows: list[Row]) -> Callable[[Source], list[Row]]:
    return lambda source: rows


def test_values_come_back_as_the_manifest_holds_them(tmp_path: Path) -> None:
    sources = find_sources([made_films(tmp_path / "films", 1)])
    rows: list[Row] = [
        {"part": np.float32(0.5), "mean": 0.1, "file": None},
        {"part": True, "mean": 'a "quoted", line\nand another'},
    ]
    run = BulkRun(tmp_path / "out", {}, COLUMNS, ("file",))
    fresh = run.run(given(rows), sources, title="x")
    assert fresh[0].rows == (
        {"part": "0.5", "file": "", "mean": "0.1"},
        {"part": "True", "file": "", "mean": 'a "quoted", line\nand another'},
    )
    assert run.run(given([]), sources, title="x") == fresh
    assert [{c: row[c] for c in COLUMNS} for row in read_manifest(run.manifest)] == list(fresh[0].rows)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
def test_file_names_that_are_no_utf8(tmp_path: Path) -> None:
    films = made_films(tmp_path / "films", 1)
    write_image(films / os.fsdecode(b"caf\xe9.png"), read_radiograph(films / "a/film 00.png"))
    first, calls = halve(films, tmp_path / "out", tmp_path / "log")
    assert len(first) == calls.total() == 2
    assert b"\ncaf\xe9," in (tmp_path / "out" / "manifest.csv").read_bytes()
    assert halve(films, tmp_path / "out", tmp_path / "log") == (first, Counter())


def test_results_inside_the_collection_do_not_become_sources(tmp_path: Path) -> None:
    films = made_films(tmp_path / "films", 3)
    first, _ = halve(films, films / "out", tmp_path / "log")
    before = tree(films)
    assert len(find_sources([films])) == 9  # three films and their halves
    again, calls = halve(films, films / "out", tmp_path / "log")
    assert (again, calls, tree(films)) == (first, Counter(), before)


def test_results_among_the_films_are_refused(tmp_path: Path) -> None:
    films = made_films(tmp_path / "films", 2)
    before = tree(films)
    with pytest.raises(DataError, match="holds the radiographs; choose another folder"):
        halve(films, films, tmp_path / "log")
    assert tree(films) == before


@dataclass(frozen=True)
class Threads:
    """Work that tells the threads of its process; a fault of a file for the second film."""

    fails: bool = False

    def __call__(self, source: Source) -> list[Row]:
        pools = {info["num_threads"] for info in threadpool_info()}
        if self.fails:
            raise OSError("no")
        return [{"part": cv2.getNumThreads(), "mean": torch.get_num_threads(), "file": str(pools)}]


@pytest.mark.parametrize("fails", [False, True])
def test_work_has_one_thread_and_the_caller_gets_its_own_back(tmp_path: Path, fails: bool) -> None:
    sources = find_sources([made_films(tmp_path / "films", 1)])
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(3)
    torch.set_num_threads(2)
    try:
        outcomes = BulkRun(tmp_path / "out", {}, COLUMNS).run(Threads(fails), sources, title="x")
        assert (cv2.getNumThreads(), torch.get_num_threads()) == (3, 2)
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])
    assert outcomes[0].rows == (() if fails else ({"part": "1", "mean": "1", "file": "{1}"},))
