"""Kills commands at random and aimed moments, and compares their final files: ``python -m benchmarks.kills``.

Every trial starts a command, stops it several times and lets it finish. The final tree must have the same bytes as the
tree of a run that nobody stopped, and no process of the command may live `PATIENCE` seconds after a stop. A stop is
SIGKILL of the command or of one of its workers, SIGINT or SIGTERM. It comes after a random time, or just when a file
appears that is half of something: a temporary file, a shard, a checkpoint, the first file of a model.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from artasyn import Phantom
from artasyn.files.radiograph import write_image
from benchmarks.speed_stages import RESULTS, machine

PATIENCE = 10.0
"""Seconds after which no process of a stopped command may live."""

MARK = "ARTASYN_KILLS"
"""The environment variable by which the processes of one trial are found."""

SAID = "said.txt"
"""The file with the messages of the command that runs."""

RUN_ALONE = ("logs", "checkpoints", "checkpoints-1")
"""Folders whose files tell times and paths, so that no two runs write the same bytes."""

FILMS, SIZE = 24, 128
"""Number and size of the phantoms that the commands read."""


@dataclass(frozen=True)
class Command:
    """A command to stop.

    Attributes:
        arguments: without ``--out`` and its folder.
        aims: patterns of file names at whose appearance the command may be stopped.
    """

    arguments: tuple[str, ...]
    aims: tuple[str, ...] = (".artasyn-*.tmp", ".journal.jsonl", "*.png", "manifest.csv")


COMMANDS = {
    "segment": Command(("segment", "films")),
    "synthesise, folders": Command(("synthesise", "films", "--per-image", "2")),
    "synthesise, shards": Command(
        ("synthesise", "films", "--format", "shards", "--samples-per-shard", "4"),
        (".artasyn-*.tmp", "*.tar", "annotations.json"),
    ),
    "detect": Command(("detect", "films")),
    "train": Command(
        ("train", "--normal", "films", "--size", "64", "--epochs", "3", "--averaged", "2"),
        ("last.ckpt", "best.ckpt", "config.json", "model.safetensors", ".artasyn-*.tmp", "*.npz"),
    ),
}
"""The commands by name; they run in a folder with the folder ``films``."""

STOPS = ("kill", "kill", "kill a worker", "interrupt", "terminate")
"""How a command is stopped; SIGKILL twice as often."""


@dataclass
class Trial:
    """What came of one command that was stopped.

    Attributes:
        command: its name in `COMMANDS`.
        stops: for every stop the way, what it was aimed at or the seconds, and the exit status.
        faults: what was not as it should be, in words; empty if all was right.
    """

    command: str
    stops: list[tuple[str, str, int | None]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def start(command: Command, place: Path, out: Path, mark: str) -> subprocess.Popen[bytes]:
    """Starts a command with two workers; its processes carry a mark, and write their messages to the file `SAID`."""
    line = [sys.executable, "-m", "artasyn", *command.arguments, "--out", str(out), "--workers", "2"]
    environment = os.environ | {MARK: mark}
    with (place / SAID).open("wb") as said:  # workers that outlive the command would keep a pipe open
        return subprocess.Popen(line, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=said)


def finished(running: subprocess.Popen[bytes], place: Path, seconds: float | None = None) -> str:
    """Waits for a command and returns what it said."""
    running.wait(seconds)
    return (place / SAID).read_text(errors="replace")


def living(mark: str) -> list[int]:
    """The processes that carry a mark, without those that wait to be collected."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:  # it has ended, or belongs to somebody else
                continue
    return found


def digest(out: Path) -> dict[str, str]:
    """A hash of every file below a folder, by its path; hidden files and `RUN_ALONE` are left out."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and not path.name.startswith("."))
    below = {path.relative_to(out): path for path in files}
    return {
        name.as_posix(): hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
        for name, path in below.items()
        if name.parts[0] not in RUN_ALONE
    }


def appears(out: Path, pattern: str) -> Callable[[], bool]:
    """Returns a test whether a file that matches a pattern is there that was not there when this was called."""

    def there() -> Counter[str]:
        names = (name for _, _, files in os.walk(out) for name in files)
        return Counter(name for name in names if fnmatch.fnmatch(name, pattern))

    before = there()
    return lambda: bool(there() - before)


def stop(running: subprocess.Popen[bytes], how: str, mark: str, rng: random.Random) -> None:
    """Stops a command, or one of its workers."""
    if how == "kill a worker":
        workers = [each for each in living(mark) if each != running.pid]
        if workers:
            os.kill(rng.choice(workers), signal.SIGKILL)
        return
    running.send_signal({"kill": signal.SIGKILL, "interrupt": signal.SIGINT, "terminate": signal.SIGTERM}[how])


def one_stop(trial: Trial, place: Path, out: Path, seconds: float, rng: random.Random) -> None:
    """Starts the command of a trial and stops it once, then looks for what is left of it."""
    command, mark, how = COMMANDS[trial.command], uuid.uuid4().hex, rng.choice(STOPS)
    aim = rng.choice(command.aims) if rng.random() < 0.6 else ""
    after = rng.uniform(0.2, 1.0) * seconds
    due = appears(out, aim) if aim else lambda: False
    running, began = start(command, place, out, mark), time.monotonic()
    while running.poll() is None and not due() and time.monotonic() < began + (after if not aim else 2 * seconds + 20):
        time.sleep(0.002)
    if running.poll() is None:
        stop(running, how, mark, rng)
    try:
        said = finished(running, place, 10 * seconds + 60 if how == "kill a worker" else PATIENCE)
    except subprocess.TimeoutExpired:
        trial.faults.append(f"{how}: still running after {PATIENCE:g} s or more")
        running.kill()
        said = finished(running, place)
    ended = time.monotonic()
    while living(mark) and time.monotonic() < ended + PATIENCE:
        time.sleep(0.1)
    if left := living(mark):
        trial.faults.append(f"{how}: {len(left)} processes left after {PATIENCE:g} s")
        for process in left:
            os.kill(process, signal.SIGKILL)
    if "Traceback" in said:
        trial.faults.append(f"{how}: a traceback, {said.strip().splitlines()[-1][:200]}")
    allowed = {"kill": (-9, 0), "kill a worker": (0, 1), "interrupt": (130, 0), "terminate": (143, 0)}[how]
    if running.returncode not in allowed:
        trial.faults.append(f"{how}: exit status {running.returncode}")
    trial.stops.append((how, aim or f"{after:.1f} s", running.returncode))


def one_trial(name: str, place: Path, whole: dict[str, str], seconds: float, rng: random.Random) -> Trial:
    """Stops a command one to three times, lets it finish, and compares its files."""
    trial = Trial(name)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        out = Path(folder, "out")
        for _ in range(rng.randint(1, 3)):
            one_stop(trial, place, out, seconds, rng)
        last = start(COMMANDS[name], place, out, uuid.uuid4().hex)
        said = finished(last, place)
        if last.returncode != 0:
            trial.faults.append(f"the last run ended with {last.returncode}: {said.strip()[-300:]}")
        found = digest(out)
        if found != whole:
            differing = sorted(path for path in found.keys() | whole.keys() if found.get(path) != whole.get(path))
            trial.faults.append(f"{len(differing)} files differ: {', '.join(differing[:3])}")
        if leftover := list(out.rglob(".artasyn-*.tmp")):
            trial.faults.append(f"{len(leftover)} temporary files are left")
    return trial


def main() -> None:
    """Runs the campaign and writes its result."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=12, help="of each command")
    options.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path, default=RESULTS / "kills.json")
    given = options.parse_args()
    rng = random.Random(given.seed)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for number in tqdm(range(FILMS), desc="phantoms", unit="film"):
            write_image(place / "films" / f"{number:02d}.png", Phantom(size=SIZE)(number).image)
        for name in given.commands:
            began, out = time.monotonic(), place / "whole" / name
            undisturbed = start(COMMANDS[name], place, out, uuid.uuid4().hex)
            said = finished(undisturbed, place)
            if undisturbed.returncode != 0:
                raise RuntimeError(f"{name} failed without being stopped: {said[-500:]}")
            seconds, whole = time.monotonic() - began, digest(out)
            trials = [
                one_trial(name, place, whole, seconds, rng) for _ in tqdm(range(given.trials), desc=name, unit="trial")
            ]
            bad = [trial for trial in trials if trial.faults]
            results[name] = {
                "trials": len(trials),
                "stops": dict(Counter(how for trial in trials for how, _, _ in trial.stops)),
                "right": len(trials) - len(bad),
                "faults": [{"stops": trial.stops, "faults": trial.faults} for trial in bad],
            }
            print(f"{name}: {len(trials) - len(bad)} of {len(trials)} right", flush=True)
            for trial in bad:
                print("  ", trial.faults, trial.stops, flush=True)
    given.out.write_text(json.dumps({"machine": machine(), "seed": given.seed, "commands": results}, indent=1) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
