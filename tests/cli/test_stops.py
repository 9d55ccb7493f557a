"""Commands as processes: stopped, killed, run twice, and put where nothing can be written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from artasyn.bulk.run import read_manifest
from artasyn.cli.main import main
from artasyn.cli.stops import stoppable
from artasyn.files.radiograph import read_radiograph, write_image
from tests.conftest import ROOT
from tests.trees import tree

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are counted in /proc")

FILMS = 40


@pytest.fixture
def films(tmp_path: Path, phantoms: Path) -> Path:
    """Many films, from few phantoms."""
    originals = [read_radiograph(path) for path in sorted((phantoms / "train/healthy").iterdir())]
    for number in range(FILMS):
        film = originals[number % len(originals)]
        write_image(tmp_path / "films" / f"{number:02}.png", np.tile(film, (8, 8))[: 700 + number, :700])
    return tmp_path / "films"


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A command in a session of its own, killed at the end."""
    command = [sys.executable, "-m", "artasyn", *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        for each in of_session(process.pid):
            os.kill(each, signal.SIGKILL)
        process.communicate()


def of_session(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                state, *_, at = (place / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(at) == session and state != "Z":
                found.append(int(place.name))
    return found


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finished(out: Path) -> int:
    journal = out / ".journal.jsonl"
    return journal.read_text().count("\n") if journal.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_stopped_command_keeps_what_is_done_leaves_no_process_and_goes_on(
    films: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    out, options = tmp_path / "out", ["--workers", "2"]
    with started("segment", films, "--out", out, *options) as process:
        until(lambda: finished(out) >= 3 or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        if number == signal.SIGINT:  # as a terminal sends it
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
        until(lambda: process.poll() is not None, 20)
        until(lambda: not of_session(process.pid), 10)
        error = process.communicate()[1].splitlines()
    assert process.returncode == status
    done = finished(out)
    assert 3 <= done < FILMS
    if status > 0:
        assert "Traceback" not in "".join(error)
        assert error[-1].startswith("artasyn: stopped; ")
        assert error[-1].endswith(f"of {FILMS} done; go on with the same command")
    assert main(["segment", str(films), "--out", str(out), *options]) == 0
    assert main(["segment", str(films), "--out", str(tmp_path / "whole"), *options]) == 0
    assert tree(out) == tree(tmp_path / "whole")


@pytest.mark.slow
def test_a_worker_that_is_killed_takes_no_film_with_it_and_a_second_command_is_refused(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with started("segment", films, "--out", out, "--workers", "2") as process:
        until(lambda: finished(out) >= 3 or process.poll() is not None)
        workers = [
            each for each in of_session(process.pid) if b"--process-name" in Path(f"/proc/{each}/cmdline").read_bytes()
        ]
        os.kill(workers[0], signal.SIGKILL)
        assert main(["segment", str(films), "--out", str(out)]) == 2
        assert "is in use by another artasyn" in capfd.readouterr().err
        error = process.communicate(timeout=300)[1]
    assert process.returncode == 0, error
    rows = read_manifest(out / "manifest.csv")
    assert len(rows) == FILMS
    assert not [row["reason"] for row in rows if row["status"] == "failed"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_an_object_is_deleted_is_not_lost(number: signal.Signals) -> None:
    class Late:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)
            time.sleep(0.01)

    def wait() -> None:
        Late()
        time.sleep(20)

    before = signal.getsignal(number), sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), stoppable() as stops:
        wait()
    assert stops == [number, number]
    assert (signal.getsignal(number), sys.unraisablehook) == before


def test_places_where_nothing_can_be_written_are_named(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = str(min((phantoms / "train/healthy").iterdir()))
    (tmp_path / "file").write_text("x")
    for out in ("file", "file/below"):
        assert main(["segment", film, "--out", str(tmp_path / out), "--workers", "1"]) == 2
        assert "is a file" in capsys.readouterr().err
    for out in ("/proc/out", "/dev/null/out"):
        assert main(["segment", film, "--out", out, "--workers", "1"]) == 2
        assert capsys.readouterr().err.startswith(f"artasyn: {out}")
    assert sorted(tree(tmp_path)) == ["file"]


def test_what_was_passed_over_and_what_is_gone_is_said_at_the_end(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    for number, path in enumerate(sorted((phantoms / "train/healthy").iterdir())[:2]):
        write_image(films / f"=film{number}.png", read_radiograph(path))
    (films / "notes.txt").write_text("x")
    command = ["segment", str(films), "--out", str(out), "--workers", "1"]
    assert main(command) == 0
    assert f"passed over: 1 files (1 .txt); all are listed in {out / 'passed_over.csv'}" in capsys.readouterr().err
    assert (out / "passed_over.csv").read_text() == f"file,kind\n{films / 'notes.txt'},.txt\n"
    assert b"\n'=film0," in (out / "manifest.csv").read_bytes()
    assert [row["name"] for row in read_manifest(out / "manifest.csv")] == ["=film0", "=film1"]
    (films / "=film1.png").unlink()
    (films / "notes.txt").unlink()
    assert main(command) == 0
    shown = capsys.readouterr().err
    assert f"1 results of sources that are gone are left in {out}: =film1; --prune deletes them" in shown
    assert not (out / "passed_over.csv").exists()
    assert main([*command, "--prune"]) == 0
    assert "gone" not in capsys.readouterr().err
    assert not [name for name in tree(out) if "film1" in name]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"workers: 1\nout: caf\xe9\n", "is no text in UTF-8"),
        (b"[" * 100_000, "nest"),
        (b"a: &a [x]\nb: [*a, *a]", "repeats another part"),
        (b"- 1", "Unexpected config"),
        (b"workers: [1", "Problems parsing config"),
        (b"a: " + b"x" * 2_000_000, "characters are no options"),
    ],
)
def test_configurations_that_cannot_be_read_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    try:
        status = main(["segment", "x", "--out", str(tmp_path / "out"), "--config", str(tmp_path / "a.yaml")])
    except SystemExit as end:
        status = int(str(end.code))
    assert status == 2
    assert message in capsys.readouterr().err
