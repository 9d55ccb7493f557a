"""Sources that kill their worker, lack memory or fill the disk: who is blamed, and what goes on."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import current_process, get_context
from pathlib import Path

import pytest

from artasyn.bulk import workers
from artasyn.bulk.run import BulkRun, Outcome, Row, attempt, read_manifest
from artasyn.bulk.sources import Source
from artasyn.bulk.stores import KINDS, Shards, StoredImage
from artasyn.errors import DataError, OutputError, RadiographError
from artasyn.files import atomic
from tests.trees import tree

COLUMNS = ("file",)
TITLE = {"title": "x"}


def sources_in(folder: Path, count: int) -> list[Source]:
    """Small files; the work reads none of them."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"{number}.png").write_text(str(number))
    return [Source(folder / f"{number}.png", str(number)) for number in range(count)]


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> None:
    os._exit(3)


def quit_python() -> None:
    sys.exit(4)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Fatal:
    """Work that writes a file for each source, and dies on some."""

    out: Path
    deadly: dict[str, Callable[[], None]]

    def __call__(self, source: Source) -> list[Row]:
        if source.name in self.deadly:
            self.deadly[source.name]()
        atomic.write_text(self.out / f"{source.name}.txt", source.path.read_text())
        return [{"file": f"{source.name}.txt"}]


@pytest.mark.parametrize(("workers", "batch"), [(1, 1), (2, 4)])
def test_a_source_that_kills_its_worker_takes_no_other_with_it(tmp_path: Path, workers: int, batch: int) -> None:
    sources = sources_in(tmp_path / "films", 40)
    deadly = {"3": crash, "20": leave} if workers == 2 else {"3": quit_python, "39": killed}
    run = BulkRun(tmp_path / "out", {}, COLUMNS, ("file",), workers, batch)
    outcomes = run.run(Fatal(run.out, deadly), sources, title="x")
    failed = {outcome.source.name: outcome.reason for outcome in outcomes if outcome.reason}
    assert failed.keys() == deadly.keys()
    ends = {
        crash: "SIGSEGV",
        leave: "exit status 3",
        quit_python: "exit status 1",
        killed: "SIGKILL, perhaps out of memory",
    }
    for name, end in deadly.items():
        assert failed[name].startswith(f"{tmp_path / 'films' / name}.png killed the reader ({ends[end]})")
    assert [row["status"] for row in read_manifest(run.manifest)].count("ok") == 38
    before = tree(run.out)
    healed = run.run(Fatal(run.out, {}), sources, title="x")  # they are tried again
    assert not any(outcome.reason for outcome in healed)
    assert before.items() - tree(run.out).items() <= {
        (name, before[name]) for name in (".journal.jsonl", "manifest.csv")
    }


@dataclass(frozen=True)
class Samples:
    """Makes one sample of each source, and dies on some."""

    deadly: dict[str, Callable[[], None]]

    def __call__(self, source: Source) -> list[StoredImage]:
        if source.name in self.deadly:
            self.deadly[source.name]()
        if source.name == "5":
            raise RadiographError("no film")
        return [StoredImage(dict.fromkeys(KINDS, source.name.encode()), {"copy": 1})]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_is_made_of_the_films_that_do_not_kill(tmp_path: Path, workers: int) -> None:
    sources, columns = sources_in(tmp_path / "films", 8), ("copy", *Shards.columns)

    def made(out: Path, deadly: dict[str, Callable[[], None]], count: int) -> list[Outcome]:
        run = BulkRun(out, {}, columns, Shards.files, count, batch=4, sealed=True)
        return run.run_batches(Shards(out, 4).work(Samples(deadly), columns), sources, title="x")

    outcomes = made(tmp_path / "out", {"1": crash, "2": leave, "7": leave}, workers)
    reasons = {outcome.source.name: outcome.reason for outcome in outcomes if outcome.reason}
    assert [name for name, reason in reasons.items() if "killed the reader" in reason] == ["1", "2", "7"]
    assert reasons["5"] == "no film"
    assert [row["record"][:9] for outcome in outcomes for row in outcome.rows] == [
        "0000000_0", "0000003_3", "0000004_4", "0000006_6"
    ]  # fmt: skip
    whole = made(tmp_path / "whole", {}, 1)
    assert made(tmp_path / "out", {}, workers) == whole
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def no_worker_begins(number: int, sources: Sequence[Source]) -> list[Outcome]:
    os._exit(9)


def test_workers_that_die_before_any_file_end_the_run_with_a_sentence(tmp_path: Path) -> None:
    run = BulkRun(tmp_path / "out", {}, COLUMNS)
    with pytest.raises(DataError, match=r"ended twice before it read a file \(exit status 9\)"):
        run.run_batches(no_worker_begins, sources_in(tmp_path / "films", 2), title="x")
    assert not run.manifest.exists()


@dataclass(frozen=True)
class Faulty:
    """Work that raises an error on source 1: always, or only while a marker is missing, which it then writes."""

    error: BaseException
    once: Path | None = None

    def __call__(self, source: Source) -> list[Row]:
        if source.name == "1" and not (self.once and self.once.exists()):
            if self.once:
                self.once.touch()
            try:
                raise self.error
            except BaseException as error:
                if isinstance(error, OSError):
                    raise RadiographError(f"{source.path} is out of reach ({error.strerror})") from error
                raise
        return [{"file": ""}]


PASSING = [MemoryError(), *(OSError(n, os.strerror(n)) for n in (errno.ENOMEM, errno.EMFILE))]


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_a_fault_that_passes_is_tried_again_alone_at_the_end(tmp_path: Path, error: BaseException) -> None:
    sources = sources_in(tmp_path / "films", 3)
    run = BulkRun(tmp_path / "out", {}, COLUMNS)
    outcomes = run.run(Faulty(error, tmp_path / "once"), sources, title="x")
    assert [outcome.reason for outcome in outcomes] == [""] * 3


def test_a_fault_that_may_pass_is_not_remembered_in_sealed_batches(tmp_path: Path) -> None:
    run = BulkRun(tmp_path / "out", {}, COLUMNS, batch=3, sealed=True)

    def work(number: int, batch: Sequence[Source]) -> list[Outcome]:
        if number == 1:
            raise TypeError("the program breaks off")
        return [attempt(Faulty(MemoryError()), COLUMNS, source) for source in batch]

    with pytest.raises(TypeError, match="breaks off"):
        run.run_batches(work, sources_in(tmp_path / "films", 6), title="x")
    assert '"1"' not in (run.out / ".journal.jsonl").read_text()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_stops_the_run_and_is_no_films_fault(tmp_path: Path, number: int) -> None:
    sources = sources_in(tmp_path / "films", 3)
    run = BulkRun(tmp_path / "out", {}, COLUMNS)
    with pytest.raises(OutputError, match="free space, then go on with the same command"):
        run.run(Faulty(OSError(number, os.strerror(number))), sources, title="x")
    assert not run.manifest.exists()
    assert not any(outcome.reason for outcome in run.run(Faulty(OSError(), tmp_path), sources, title="x"))


@dataclass(frozen=True)
class Writes:
    """Work that writes a file of a size, with a limit on the size of files that stands for a full disk."""

    out: Path
    limit: int

    def __call__(self, source: Source) -> list[Row]:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        usual = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, usual[1]))
        try:
            atomic.write_bytes(self.out / f"{source.name}.txt", bytes(1000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        return [{"file": f"{source.name}.txt"}]


def test_files_that_cannot_be_written_stop_the_run_and_leave_nothing(tmp_path: Path) -> None:
    sources = sources_in(tmp_path / "films", 3)
    run = BulkRun(tmp_path / "out", {}, COLUMNS, ("file",))
    with pytest.raises(OutputError, match=r"0.txt cannot be written \(File too large\)"):
        run.run(Writes(run.out, 500), sources, title="x")
    assert sorted(tree(run.out)) == [".journal.jsonl", "settings.json"]
    assert not any(outcome.reason for outcome in run.run(Writes(run.out, 5000), sources, title="x"))
    assert sorted(tree(run.out)) == [".journal.jsonl", "0.txt", "1.txt", "2.txt", "manifest.csv", "settings.json"]


@dataclass(frozen=True)
class HalfWritten:
    """Work: one film finds a full disk while the file of another one is half written."""

    out: Path

    def __call__(self, source: Source) -> list[Row]:
        if source.name == "0":
            while not [*self.out.glob(atomic.LEFTOVER)]:
                time.sleep(0.01)
            raise OutputError(errno.ENOSPC, "the disk is full")
        with atomic.replacing(self.out / f"{source.name}.txt") as temporary:
            temporary.write_text("half")
            time.sleep(60)
        return []


def test_a_full_disk_is_not_filled_by_what_other_workers_were_writing(tmp_path: Path) -> None:
    run = BulkRun(tmp_path / "out", {}, COLUMNS, workers=2)
    with pytest.raises(OutputError, match="the disk is full"):
        run.run(HalfWritten(run.out), sources_in(tmp_path / "films", 2), title="x")
    assert sorted(tree(run.out)) == [".journal.jsonl", "settings.json"]


def where(source: Source) -> list[Row]:
    return [{"file": Path.cwd().name}]


def test_a_waiting_worker_goes_where_its_parent_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        outcomes = BulkRun(Path("out"), {}, COLUMNS).run(where, sources_in(Path("films"), 2), title="where")
        assert [outcome.rows for outcome in outcomes] == [({"file": name},)] * 2


def test_a_daemonic_process_says_that_it_may_start_no_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    monkeypatch.setattr(workers, "_IDLE", [])
    with pytest.raises(DataError, match="may start no workers"):
        BulkRun(tmp_path / "out", {}, COLUMNS).run(where, sources_in(tmp_path / "films", 2), title="where")


def test_a_negative_number_of_workers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="workers is -1; give 1 or more, or 0 for every core"):
        BulkRun(tmp_path / "out", {}, COLUMNS, workers=-1)


def who(source: Source) -> list[Row]:
    return [{"file": str(os.getpid())}]


@pytest.mark.parametrize(("films", "here"), [(1, True), (2, False)])
def test_a_single_source_needs_no_further_process(tmp_path: Path, films: int, here: bool) -> None:
    outcomes = BulkRun(tmp_path / "out", {}, COLUMNS, workers=1).run(
        who, sources_in(tmp_path / "films", films), title=""
    )
    assert {row["file"] == str(os.getpid()) for outcome in outcomes for row in outcome.rows} == {here}


def test_a_single_source_that_lacked_memory_gets_a_process_of_its_own(tmp_path: Path) -> None:
    run = BulkRun(tmp_path / "out", {}, COLUMNS, workers=4)
    (source,) = sources_in(tmp_path / "films", 2)[1:]
    (outcome,) = run.run(Faulty(MemoryError(), tmp_path / "once"), [source], title="x")
    assert outcome.reason == ""


def test_a_single_film_left_over_that_kills_its_reader_does_not_kill_the_command(tmp_path: Path) -> None:
    run, sources = BulkRun(tmp_path / "out", {}, COLUMNS, ("file",)), sources_in(tmp_path / "films", 3)
    for _ in range(2):
        outcomes = run.run(Fatal(run.out, {"1": crash}), sources, title="x")
        assert [bool(outcome.reason) for outcome in outcomes] == [False, True, False]
        assert "killed the reader (SIGSEGV)" in outcomes[1].reason


def test_a_film_that_killed_its_command_gets_a_process_of_its_own(tmp_path: Path) -> None:
    run, (source,) = BulkRun(tmp_path / "out", {}, COLUMNS, ("file",)), sources_in(tmp_path / "films", 1)
    command = get_context("fork").Process(target=run.run, args=(Fatal(run.out, {"0": killed}), [source]), kwargs=TITLE)
    command.start()
    command.join()
    assert command.exitcode == -signal.SIGKILL
    for _ in range(2):
        (outcome,) = run.run(Fatal(run.out, {"0": crash}), [source], title="x")
        assert "killed the reader (SIGSEGV)" in outcome.reason
    mark = run.out / ".begun"
    assert mark.exists()
    run.run(Fatal(run.out, {"0": crash}), sources_in(tmp_path / "films", 2), title="x")
    assert not mark.exists()  # among others, no film is read by the command itself
    (healed,) = run.run(Fatal(run.out, {}), [source], title="x")
    assert not healed.reason
    assert run.run(who, sources_in(tmp_path / "others", 1)[:1], title="x")[0].rows == ({"file": str(os.getpid())},)


INTERRUPTED = """
import os, signal, sys, time
from collections import deque
from artasyn.bulk import workers

def work(job):
    blocked = next(line for line in open("/proc/self/status") if line.startswith("SigBlk"))
    for _ in range(20):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
    return int(blocked.split()[1], 16) >> (signal.SIGINT - 1) & 1

print([result for _, result in workers.work_through(work, deque(range(6)), 2)])
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="blocked signals are read in /proc")
def test_no_worker_hears_ctrl_c_from_its_first_moment_on() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{[1] * 6}\n"  # blocked before the worker can ignore the signal
