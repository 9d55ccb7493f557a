"""Progress on a terminal and in a file, and messages of the package."""

from __future__ import annotations

import io
import logging
import subprocess
import sys

import pytest

from artasyn.bulk import progress as module
from artasyn.bulk.progress import LOG, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_file_gets_few_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := io.StringIO())
    monkeypatch.setattr(module, "SECONDS", 0.0)
    assert list(progress(range(1000), title="work", unit="batch")) == list(range(1000))
    lines = screen.getvalue().splitlines()
    assert lines[0] == "work: 0 of 1000 batches, 00:00 so far"
    assert lines[-1] == "work: 1000 of 1000 batches, 00:00 so far"
    assert 10 < len(lines) <= module.LINES + 2
    assert "\r" not in screen.getvalue()
    assert len(set(lines)) == len(lines)


def test_lines_are_ten_seconds_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := io.StringIO())
    with progress(title="work", unit="film", total=300, initial=100) as shown:
        for _ in range(200):
            shown.update()
    assert [line.split(",")[0] for line in screen.getvalue().splitlines()] == [
        "work: 100 of 300 films",
        "work: 300 of 300 films",
    ]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    list(progress([1, 2], title="work", unit="film"))
    assert "\rwork: 100%|" in screen.getvalue()


@pytest.mark.parametrize("screen", [io.StringIO(), Terminal()])
def test_the_level_of_the_logger_hides_progress(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(LOG, "level", logging.ERROR)
    assert list(progress([1, 2], title="work", unit="film")) == [1, 2]
    assert screen.getvalue() == ""


def test_the_package_says_nothing_where_a_program_sets_up_no_logging() -> None:
    code = "import logging, artasyn; logging.getLogger('artasyn.any').warning('said')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
