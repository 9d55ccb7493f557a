"""Bulk work that can be killed, resumed, put into batches and spread over processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from artasyn.bulk.run import BulkRun, Outcome, Row, attempt, read_manifest
from artasyn.bulk.sources import Source, find_sources
from artasyn.errors import DataError, RadiographError
from artasyn.files import atomic
from artasyn.files.radiograph import read_radiograph, write_image
from tests.conftest import ROOT
from tests.trees import touched, tree

COLUMNS = ("part", "file", "mean")


def made_films(folder: Path, count: int, *, bad: tuple[int, ...] = ()) -> Path:
    """A folder of films, some of which are none."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{'ab'[number % 2]}" / f"film {number:02}.png"
        write_image(path, rng.random((20, 24), np.float32))
        if number in bad:
            path.write_bytes(b"no film")
    return folder


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
    files = [row["file"] for row in rows if row["file"]]
    assert sorted(tree(out)) == sorted([".journal.jsonl", "manifest.csv", "settings.json", *files])


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
from tests.bulk.test_run import halve
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
    finished = [(name, rows) for name, _, rows, *_ in finished]
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
    b"\n" + b"[" * 100_000,
    b"\n[1, 2, 3]",
    b'\n["a/film 00", "PATH", 3, "", {}, []]',
    b'\n["a/film 00", "PATH", ["x"], "", {}, []]',
    b'\n["a/film 00", "PATH", [{"part": "0"}], "", {}, []]',
    b'\n["a/film 00", "PATH", [], "", [], []]',
    b'\n["a/film 00", "PATH", [], "", {"PATH": [1]}, []]',
    b'\n["a/film 00", "PATH", [], "", {"PATH": ["x", "y", "z"]}, []]',
    b'\n["a/film 00", "PATH", [{"part": "0", "file": "", "mean": ""}]]',  # as versions before fingerprints wrote it
    b"\n\x00\x00\x00",
    b'\n["\xff", "", [], "", {}, []]',
    b'\n["unknown", "elsewhere", [], "", {}, ["../films/a/film 00.png", "/etc/hostname", "0/a/film 02.png/x"]]',
    b'\n["a/film 00", "elsewhere", [], "", {}, ["../films/a/film 00.png", "/etc/hostname"]]',
]


@pytest.mark.parametrize("line", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_line_of_the_journal_costs_one_film_at_most(tmp_path: Path, line: bytes) -> None:
    films, out = made_films(tmp_path / "films", 3), tmp_path / "out"
    first, _ = halve(films, out, tmp_path / "log")
    before = tree(tmp_path / "films") | tree(out)
    lines = (out / ".journal.jsonl").read_bytes().splitlines()
    entry = next(each for each in lines if each.startswith(b'["b/film 01"'))
    line = line.replace(b"PATH", str(films / "a/film 00.png").encode())
    (out / ".journal.jsonl").write_bytes(line + b"\n" + entry + line)
    outcomes, calls = halve(films, out, tmp_path / "log")
    assert calls == Counter(["a/film 00", "a/film 02"])
    assert (outcomes, tree(tmp_path / "films") | tree(out)) == (first, before)


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


@pytest.mark.parametrize("text", [None, "", "name,source\na/film 00,x\n", "status,name,source\nok\n"])
def test_a_manifest_that_someone_has_changed_is_written_again(tmp_path: Path, text: str | None) -> None:
    films, out = made_films(tmp_path / "films", 2), tmp_path / "out"
    first, _ = halve(films, out, tmp_path / "log")
    before = tree(out)
    (out / "manifest.csv").unlink() if text is None else (out / "manifest.csv").write_text(text)
    outcomes, calls = halve(films, out, tmp_path / "log")
    assert (outcomes, tree(out)) == (first, before)
    assert not calls


def test_results_without_fingerprints_are_made_again(tmp_path: Path) -> None:
    films, out = made_films(tmp_path / "films", 2), tmp_path / "out"
    first, calls = halve(films, out, tmp_path / "log")
    before = tree(out)
    (out / ".journal.jsonl").unlink()
    assert halve(films, out, tmp_path / "log") == (first, calls)
    assert tree(out) == before


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
        (OSError("odd"), "odd"),
        (MemoryError(), "MemoryError"),  # after a second try alone
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


def test_outcomes_of_workers_hold_no_copies_of_sources_and_columns(tmp_path: Path) -> None:
    films, out = made_films(tmp_path / "films", 4, bad=(2,)), tmp_path / "out"
    sources = find_sources([films])
    run = BulkRun(out, {}, COLUMNS, ("file",), workers=2)
    outcomes = run.run(Halves(out, tmp_path / "log"), sources, title="halve")
    assert all(outcome.source is source for outcome, source in zip(outcomes, sources, strict=True))
    rows = [row for outcome in outcomes for row in outcome.rows]
    assert len(rows) == 6
    assert {id(name) for row in rows for name in row} == {id(name) for name in COLUMNS}


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
        import torch  # here, so that other tests' worker processes do without

        pools = {info["num_threads"] for info in threadpool_info()}
        if self.fails:
            raise OSError("no")
        return [{"part": cv2.getNumThreads(), "mean": torch.get_num_threads(), "file": str(pools)}]


@pytest.mark.parametrize("fails", [False, True])
def test_work_has_one_thread_and_the_caller_gets_its_own_back(tmp_path: Path, fails: bool) -> None:
    import torch

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


# Batches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_give_the_same_files_and_a_bad_film_spoils_no_other(tmp_path: Path, workers: int) -> None:
    films = made_films(tmp_path / "films", 11, bad=(4,))
    one, _ = halve(films, tmp_path / "one", tmp_path / "log")
    run = BulkRun(tmp_path / "out", {"work": "halves"}, COLUMNS, ("file",), workers, batch=3)
    work = Halves(tmp_path / "out", tmp_path / "log of batches")
    assert run.run(work, find_sources([films]), title="halve") == one
    assert work.calls() == Counter({outcome.source.name: 1 for outcome in one})
    assert tree(tmp_path / "out") == tree(tmp_path / "one")


@dataclass(frozen=True)
class Sealed:
    """Work on a batch: one file with the means of its films, and a log of the batches."""

    out: Path
    log: Path

    def __call__(self, number: int, sources: Sequence[Source]) -> list[Outcome]:
        with self.log.open("a") as log:
            log.write(f"{number}\n")

        def mean(source: Source) -> list[Row]:
            return [{"file": f"{number}.txt", "mean": float(read_radiograph(source.path).mean())}]

        outcomes = [attempt(mean, COLUMNS, source) for source in sources]
        atomic.write_text(self.out / f"{number}.txt", str([row["mean"] for o in outcomes for row in o.rows]))
        return outcomes


def seal(films: Path, out: Path, *, workers: int = 1) -> tuple[list[Outcome], list[str]]:
    """Runs `Sealed` on batches of three and gives the batches that were worked on."""
    log = out.parent / f"{out.name}.log"
    log.write_text("")
    run = BulkRun(out, {}, COLUMNS, ("file",), workers, batch=3, sealed=True)
    outcomes = run.run_batches(Sealed(out, log), find_sources([films]), title="seal")
    return outcomes, sorted(log.read_text().split())


def test_sealed_batches_are_made_whole_and_only_where_something_is_missing(tmp_path: Path) -> None:
    films, out = made_films(tmp_path / "films", 8, bad=(1,)), tmp_path / "out"  # the last but third by name
    first, batches = seal(films, out)
    assert batches == ["0", "1", "2"]
    assert [bool(outcome.reason) for outcome in first] == [False] * 4 + [True] + [False] * 3
    before = tree(out)
    assert seal(films, out, workers=2) == (first, ["1"])  # the film may have been repaired
    assert tree(out) == before
    (out / "0.txt").unlink()
    assert seal(films, out) == (first, ["0", "1"])
    assert tree(out) == before
    assert seal(films, tmp_path / "two", workers=2)[0] == first
    assert tree(tmp_path / "two") == before


@dataclass(frozen=True)
class BreaksSealed(Sealed):
    """The same work with a fault of the program in the last batch."""

    def __call__(self, number: int, sources: Sequence[Source]) -> list[Outcome]:
        if number == 2:
            raise TypeError("a fault")
        return super().__call__(number, sources)


def test_a_run_that_breaks_off_keeps_sealed_batches_with_their_failures(tmp_path: Path) -> None:
    films, out = made_films(tmp_path / "films", 8, bad=(1,)), tmp_path / "out"
    run = BulkRun(out, {}, COLUMNS, ("file",), batch=3, sealed=True)
    with pytest.raises(TypeError, match="a fault"):
        run.run_batches(BreaksSealed(out, tmp_path / "log"), find_sources([films]), title="seal")
    with (out / ".journal.jsonl").open("a") as journal:
        journal.write('\n["b/film 07", "cut')
    first, batches = seal(films, out)
    assert batches == ["2"]
    assert (seal(films, tmp_path / "whole")[0], tree(tmp_path / "whole")) == (first, tree(out))
    made_films(films, 8)  # the bad film is repaired
    assert seal(films, out)[1] == ["1"]


def test_sealed_batches_belong_to_one_collection(tmp_path: Path) -> None:
    films, out = made_films(tmp_path / "films", 4), tmp_path / "out"
    seal(films, out)
    made_films(films, 5)
    with pytest.raises(DataError, match=r"other settings \(collection: 4 films, \w+ there, 5 films, \w+ now\)"):
        seal(films, out)
