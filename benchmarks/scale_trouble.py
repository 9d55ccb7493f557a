"""Disks that are full or read-only, and two commands in one folder: what a run says, leaves, and goes on to.

The disk is a small one in memory, mounted in a name space of its own, so that no rights are needed and nothing is left.
``python -m benchmarks.scale_trouble FILMS`` runs all trials there and prints their figures as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.kills import digest

APART = ("unshare", "--user", "--map-root-user", "--mount")
"""Begins a command that may mount a disk which nobody else sees."""

COMMANDS = {
    "synthesise": ("--format", "shards", "--samples-per-shard", "10"),
    "segment": (),
}
"""The commands, with their options."""

ROOM = 4096
"""Megabytes of a disk that is large enough."""


@contextmanager
def disk() -> Iterator[Path]:
    """Yields a folder with a disk in memory."""
    folder = Path(os.environ["ARTASYN_DISK"])
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def again(folder: Path, *options: str) -> None:
    """Changes the options of the disk."""
    subprocess.run(["mount", "-o", ",".join(["remount", *options]), folder], check=True)


def line(name: str, films: Path, out: Path) -> list[str]:
    """Returns a command with its folder of results."""
    command = [sys.executable, "-m", "artasyn", name, str(films), *COMMANDS[name]]
    return [*command, "--out", str(out), "--workers", "2"]


def run(command: Sequence[str]) -> tuple[int, str]:
    """Runs a command and returns its exit status and the last line that it said."""
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = [each for each in done.stderr.strip().splitlines() if each.strip()]
    return done.returncode, said[-1] if said else ""


def killed(command: Sequence[str], out: Path, entries: int) -> None:
    """Starts a command and kills it with its workers when the journal has this many entries."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as running:
        wait_for(out, entries, running)
        os.killpg(running.pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        while True:  # its workers have open files until they have ended
            os.killpg(running.pid, 0)
            time.sleep(0.05)


def wait_for(out: Path, entries: int, running: subprocess.Popen[Any]) -> None:
    """Waits until the journal of a folder has this many entries, or the command has ended."""
    journal = out / ".journal.jsonl"
    while running.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n[") >= entries):
        time.sleep(0.02)


def left(out: Path, whole: dict[str, str], place: Path) -> dict[str, int]:
    """Returns what a run in trouble has left: whole files, damaged files, and temporary files.

    Args:
        out: the folder of results.
        whole: the hashes of the files of an undisturbed run.
        place: the folder in which `out` lies.
    """
    found = digest(out) if out.exists() else {}
    damaged = [name for name, each in found.items() if whole.get(name) != each]
    return {"whole": len(found) - len(damaged), "damaged": len(damaged), "temporary": len([*place.rglob("*.tmp")])}


def full_disk(name: str, films: Path, folder: Path, whole: dict[str, str], size: int) -> dict[str, Any]:
    """The disk is full after half of the results."""
    again(folder, f"size={size // 2}")
    out = folder / "out"
    status, said = run(line(name, films, out))
    found = {"status": status, "said": said, **left(out, whole, folder)}
    again(folder, f"size={ROOM}m")
    return found


def read_only(name: str, films: Path, folder: Path, whole: dict[str, str], size: int) -> dict[str, Any]:
    """The disk becomes read-only after a third of the films."""
    out = folder / "out"
    killed(line(name, films, out), out, len([*films.rglob("*.png")]) // 3)
    again(folder, "ro")
    status, said = run(line(name, films, out))
    found = {"status": status, "said": said, **left(out, whole, Path("/nowhere"))}
    again(folder, "rw")
    return found


def two_at_once(name: str, films: Path, folder: Path, whole: dict[str, str], size: int) -> dict[str, Any]:
    """Two commands begin at once in the same folder: one works, the other one is refused."""
    out = folder / "out"
    with ThreadPoolExecutor(2) as pool:
        (other, _), (status, said) = sorted(pool.map(run, [line(name, films, out)] * 2))
    return {"status": status, "said": said, "status_of_the_other": other, **left(out, whole, folder)}


TRIALS: dict[str, Callable[[str, Path, Path, dict[str, str], int], dict[str, Any]]] = {
    "full disk": full_disk,
    "read-only disk": read_only,
    "two commands": two_at_once,
}


def trials(films: Path) -> dict[str, Any]:
    """Runs every trial with every command; the same command must then go on to the same bytes.

    Args:
        films: a folder of films.
    """
    found: dict[str, Any] = {}
    for name in COMMANDS:
        with disk() as folder:
            out = folder / "out"
            if (status := run(line(name, films, out)))[0]:
                raise RuntimeError(f"{name} failed without trouble: {status[1]}")
            whole = digest(out)
            size = sum(
                path.stat().st_size for path in out.glob("*/**/*") if path.is_file()
            )  # without tables and sheets
            shutil.rmtree(out)
            for trial, of in TRIALS.items():
                figures = of(name, films, folder, whole, size)
                figures["status_afterwards"], _ = run(line(name, films, out))
                figures["same_bytes_afterwards"] = digest(out) == whole
                figures["said"] = figures["said"].replace(f"{folder}/", "")
                found[f"{name}, {trial}"] = figures
                shutil.rmtree(out)
    return found


def trouble(films: Path, place: Path) -> dict[str, Any]:
    """Runs all trials in a name space of their own.

    Args:
        films: a folder of films.
        place: gets an empty folder for the disk.

    Raises:
        RuntimeError: this machine allows no such disk, or a command failed without trouble.
    """
    folder = place / "disk"
    folder.mkdir(exist_ok=True)
    command = [*APART, sys.executable, "-m", "benchmarks.scale_trouble", str(films)]
    environment = os.environ | {"ARTASYN_DISK": str(folder), "SOURCE_DATE_EPOCH": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"the trials of full disks cannot run here: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    print(json.dumps(trials(Path(sys.argv[1]))))
