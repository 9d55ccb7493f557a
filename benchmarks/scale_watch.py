"""A command that is watched from outside: films done by its journal, memory of its processes, and its messages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

LOOK, WEIGH = 0.1, 1.0
"""Seconds between two looks at the journal, and between two measurements of memory."""

POINTS = 60
"""The most points of a curve."""


class Follower:
    """Counts the entries of a journal while they are appended; what replaces the journal at the end is not read."""

    def __init__(self, path: Path) -> None:
        self.path, self.films = path, 0
        self.file: BinaryIO | None = None
        self.look()

    def close(self) -> None:
        """Closes the journal."""
        if self.file:
            self.file.close()

    def look(self) -> int:
        """Returns the number of entries until now."""
        if self.file is None and self.path.exists():
            self.file = self.path.open("rb")
        while self.file and (block := self.file.read(1 << 20)):
            self.films += block.count(b"\n[")  # every entry begins with a line break
        return self.films


@dataclass(frozen=True)
class Weight:
    """Memory at one moment: proportional set sizes in MB, so that what processes share counts once.

    Attributes:
        films: done until then.
        main: of the process that was started.
        workers: of all processes that it started.
    """

    films: int
    main: float
    workers: float


@dataclass
class Watched:
    """What was seen of a command.

    Attributes:
        status: the exit status.
        seconds: from the start to the end.
        before: films that were done before it started.
        ready: seconds until it had listed the films and knew what was left; None if it did not come so far.
        progress: pairs of seconds and films done, whenever the number was another one.
        weights: memory, about once a second.
        said: its messages.
    """

    status: int = 0
    seconds: float = 0
    before: int = 0
    ready: float | None = None
    progress: list[tuple[float, int]] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    said: str = ""

    @property
    def first(self) -> float | None:
        """Seconds until the first new result; None if there was none."""
        return self.progress[0][0] if self.progress else None


def watched(
    arguments: Sequence[str],
    out: Path,
    place: Path,
    *,
    workers: int = 2,
    stop: Callable[[float, int], bool] = lambda seconds, films: False,
) -> Watched:
    """Runs a command in a session of its own and watches it.

    Args:
        arguments: of artasyn, without the folder of results and the workers.
        out: the folder of results.
        place: the working directory; gets the file of the messages.
        workers: processes.
        stop: whether to kill the command and its workers, from the seconds since the start and the films done.
    """
    command = [sys.executable, "-m", "artasyn", *arguments, "--out", str(out), "--workers", str(workers)]
    journal, found, path = Follower(out / ".journal.jsonl"), Watched(), place / f"{out.name}.txt"
    found.before = journal.films
    with path.open("wb") as said:
        running = subprocess.Popen(
            command, cwd=place, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True, env=_environment()
        )
    began, due = time.monotonic(), 0.0
    try:
        while running.poll() is None:
            seconds, films = time.monotonic() - began, journal.films
            if found.ready is None and b" of " in path.read_bytes():
                found.ready = seconds
            if journal.look() > films:
                found.progress.append((seconds, journal.films))
            if seconds >= due:
                found.weights.append(Weight(journal.films, *memory(running.pid)))
                due = seconds + WEIGH
            if stop(seconds, journal.films):
                with suppress(ProcessLookupError):
                    os.killpg(running.pid, signal.SIGKILL)
                running.wait()
                break
            time.sleep(LOOK)
    finally:  # a watcher that is stopped stops what it watches
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    found.status, found.seconds = running.returncode, time.monotonic() - began
    if journal.films < journal.look():
        found.progress.append((found.seconds, journal.films))
    journal.close()
    found.said = path.read_text(errors="replace")
    return found


def _environment() -> dict[str, str]:
    """The environment of a command: the same date in every report, so that two runs may have the same bytes."""
    return os.environ | {"SOURCE_DATE_EPOCH": "0"}


def memory(leader: int) -> tuple[float, float]:
    """Returns the memory of a process, and of the others of its session, in MB.

    Args:
        leader: the process that leads the session.
    """
    main = others = 0.0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError, StopIteration):  # a process that has ended
                stat = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                if int(stat[3]) == leader:
                    rollup = Path(entry.path, "smaps_rollup").read_text().splitlines()
                    weight = int(next(line.split()[1] for line in rollup if line.startswith("Pss:"))) * 1024 / 1e6
                    main, others = (weight, others) if int(entry.name) == leader else (main, others + weight)
    return main, others


def figures(seen: Watched, films: int) -> dict[str, Any]:
    """Returns the figures of an undisturbed command.

    Args:
        seen: the command.
        films: of the collection.
    """
    times, done = (np.array([0.0, *each]) for each in zip(*seen.progress, strict=True))
    times[0] = ready = seen.ready or 0.0
    tenths = np.interp(np.linspace(0, films, 11), done, times)
    working = [each for each in seen.weights if 0 < each.films < films]
    return {
        "films": films,
        "status": seen.status,
        "seconds": round(seen.seconds, 1),
        "films_per_second": round(films / seen.seconds, 2),
        "films_per_second_working": round(films / (times[-1] - ready), 2),
        "films_per_second_by_tenth": [round(films / 10 / took, 2) for took in np.diff(tenths)],
        "seconds_until_ready": round(ready, 2),
        "seconds_until_first": round(times[1], 2),
        "seconds_after_last": round(seen.seconds - times[-1], 2),
        "memory": _memory(seen.weights, working, films),
        "curve": _curve(working, times, done),
    }


def _memory(weights: list[Weight], working: list[Weight], films: int) -> dict[str, Any]:
    """Returns memory by films done, its growth, and the most at the end, in MB."""

    def at(share: float) -> dict[str, float]:
        near = min(working or weights, key=lambda each: abs(each.films - share * films))
        return {"main_mb": round(near.main, 1), "workers_mb": round(near.workers, 1)}

    settled = [each for each in working if each.films >= 0.1 * films]
    slopes = {"main": 0.0, "workers": 0.0}
    if len({each.films for each in settled}) > 1:
        done = [each.films for each in settled]
        slopes = {
            "main": float(np.polyfit(done, [each.main for each in settled], 1)[0]),
            "workers": float(np.polyfit(done, [each.workers for each in settled], 1)[0]),
        }
    return {
        "at": {f"{share:.0%}": at(share) for share in (0.1, 0.5, 1.0)},
        "growth_mb_per_100000": {name: round(1e5 * slope, 1) for name, slope in slopes.items()},
        "most_main_mb": round(max(each.main for each in weights), 1),
        "most_mb": round(max(each.main + each.workers for each in weights), 1),
    }


def _curve(working: list[Weight], times: Any, done: Any) -> list[dict[str, float]]:
    """Returns at most `POINTS` points with films done, films a second until then since the last point, and memory."""
    points = working[:: max(1, -(-len(working) // POINTS))]
    curve, last = [], (0.0, float(times[0]))
    for each in points:
        now = float(np.interp(each.films, done, times))
        if each.films > last[0] and now > last[1]:
            rate = (each.films - last[0]) / (now - last[1])
            rounded = {"main_mb": round(each.main, 1), "workers_mb": round(each.workers, 1)}
            curve.append({"films": each.films, "films_per_second": round(rate, 2), **rounded})
            last = each.films, now
    return curve


def tree_figures(out: Path) -> dict[str, float]:
    """Returns the number of files of a folder of results, their bytes, and those of tables and sheets."""
    sizes = {path.relative_to(out).as_posix(): path.stat().st_size for path in out.rglob("*") if path.is_file()}
    named = {"manifest": "manifest.csv", "journal": ".journal.jsonl", "annotations": "annotations.json"}
    named |= {"report": "report.html", "scores": "scores.csv"}
    sheets = [size for name, size in sizes.items() if name.startswith("sheet-")]
    times = sorted(path.stat().st_mtime for path in out.glob("sheet-*.png"))
    each = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
    return {
        "files": len(sizes),
        "bytes": sum(sizes.values()),
        "sheets": len(sheets),
        "sheet_bytes": sum(sheets),
        "sheet_seconds": round(each * len(times), 2),
        **{f"{name}_bytes": sizes[file] for name, file in named.items() if file in sizes},
    }
