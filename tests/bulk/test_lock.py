"""A folder of results is used by one process at a time, and a claim dies with its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from artasyn.bulk.lock import LOCK, RANKS, claimed
from artasyn.errors import DataError, OutputError
from tests.conftest import ROOT

HOLD = """
import sys
from pathlib import Path
from artasyn.bulk.lock import claimed
with claimed(Path(sys.argv[1])):
    print("claimed", flush=True)
    sys.stdin.read()
"""


def holder(out: Path) -> subprocess.Popen[str]:
    """Another process that holds the folder until its input ends."""
    command = [sys.executable, "-c", HOLD, str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "claimed\n"
    return process


@pytest.mark.parametrize("end", [signal.SIGKILL, None])
def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path: Path, end: signal.Signals | None) -> None:
    process = holder(tmp_path)
    try:
        with pytest.raises(DataError, match="is in use by another artasyn"), claimed(tmp_path):
            pass
    finally:
        if end:
            process.send_signal(end)
        process.communicate("")
    with claimed(tmp_path):
        assert (tmp_path / LOCK).exists()
    assert not list(tmp_path.iterdir())


def test_a_claim_inside_a_claim_counts_once_and_another_thread_is_refused(tmp_path: Path) -> None:
    refused: list[str] = []

    def other() -> None:
        try:
            with claimed(tmp_path / "out"):
                pass
        except DataError as error:
            refused.append(str(error))

    with claimed(tmp_path / "out"), claimed(tmp_path / "x" / ".." / "out"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1
    other()
    assert len(refused) == 1


@pytest.mark.parametrize("name", RANKS)
def test_the_processes_of_a_distributed_training_share_a_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    process = holder(tmp_path)
    try:
        monkeypatch.setenv(name, "1")
        with claimed(tmp_path):
            pass
        monkeypatch.setenv(name, "0")
        with pytest.raises(DataError, match="in use"), claimed(tmp_path):
            pass
    finally:
        process.communicate("")


@pytest.mark.parametrize("below", ["file", "file/a", "file/a/b"])
def test_a_file_in_the_way_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is a file or lies below one"), claimed(tmp_path / below):
        pass


def test_a_folder_that_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # tests may run as root, whom no permission stops
    refused = pytest.raises(OutputError, match=r"cannot be written \(Permission denied\); check the folder")
    with refused, claimed(tmp_path):
        pass
