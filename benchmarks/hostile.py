"""Damaged and hostile files for every reader: ``python -m benchmarks.hostile``.

Each case is a file, or a folder of files, that is damaged by chance: the seed, the reader and the case's number decide.
The case is right if the reader refuses it with one of artasyn's errors, or reads it. Another exception, a process that
dies, more than `SECONDS`, `WAIT` or `MEGABYTES`, and wrong values under a right checksum are faults.

The cases run in processes of their own; one that dies takes only its case with it. ``--only READER:NUMBER --keep DIR``
makes one case again and keeps its files.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import multiprocessing
import os
import pickle
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.hostile_cases import BAD, OUTCOMES, READERS, Watched, available, judged, made, prepare

RESULTS = Path(__file__).parent / "results"
SECONDS = 20.0
"""Most time of a processor for one case: other programs do not count."""
WAIT = 180.0
"""Longest time on the clock for one case; readers that wait forever use no processor."""
MEGABYTES = 2000.0
"""Most memory that the process of a case may need beyond what it had before."""
BATCH = 50
"""Cases that one process takes one after the other."""

Result = dict[str, Any]


# In the processes that read -----------------------------------------------------------------------------


def memory(key: str) -> float:
    """Megabytes of this process: "VmRSS" now, "VmHWM" at most."""
    text = Path("/proc/self/status").read_text()
    return float(text.partition(f"{key}:")[2].split()[0]) / 1024


def quiet(work: Path) -> None:
    """Sends the output of native code to nowhere, and the traces of crashes to a file."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    trace = (work / f"trace-{os.getpid()}").open("w")
    faulthandler.enable(trace)
    globals()["_trace"] = trace  # faulthandler keeps no reference
    warnings.simplefilter("ignore")


@dataclass(frozen=True)
class Limits:
    """What one case may need.

    Attributes:
        seconds: most time of a processor.
        wait: most time on the clock.
        megabytes: most memory beyond what the process had before; the process is killed at twice as much.
    """

    seconds: float = SECONDS
    wait: float = WAIT
    megabytes: float = MEGABYTES


def work_on(name: str, numbers: Sequence[int], seed: int, work: Path, most: float, pipe: connection.Connection) -> None:
    """Runs the cases of one reader and sends the number of each before, and its result after it."""
    quiet(work)
    import cv2

    cv2.setNumThreads(1)
    with contextlib.suppress(ImportError, RuntimeError):
        sys.modules["torch"].set_num_threads(1) if "torch" in sys.modules else None
    watched = Watched()
    intact = pickle.loads((work / f"{name}.pickle").read_bytes())
    for number in numbers:
        pipe.send(number)
        folder = work / f"case-{os.getpid()}"
        kind, tree = made(name, number, seed, intact)
        folder.mkdir()
        os.chdir(folder)
        path = tree.write(folder)
        Path("/proc/self/clear_refs").write_text("5")
        before = memory("VmRSS")
        pipe.send((kind, tree.damage, before))
        watched.seen.clear()
        result = judged(READERS[name], tree, path, intact[kind][1])
        result["megabytes"] = max(0.0, memory("VmHWM") - before)
        if watched.seen:
            result |= {"outcome": "leak", "message": watched.seen[0], "where": ""}
        elif result["megabytes"] > most and result["outcome"] in ("refused", "unclear", "leak"):
            result["outcome"] = "memory"
        os.chdir(work)
        shutil.rmtree(folder, ignore_errors=True)
        pipe.send(result)
    pipe.send(None)


def prepared(names: tuple[str, ...], work: Path, pipe: connection.Connection) -> None:
    """Makes the intact trees and sends the error, or None."""
    try:
        prepare(names, work)
        pipe.send(None)
    except BaseException as error:
        pipe.send(f"{type(error).__name__}: {error}")


# In the process that watches ----------------------------------------------------------------------------


@dataclass(eq=False)
class Batch:
    """Cases of one reader, and the process that works on them.

    Attributes:
        name: of the reader.
        numbers: the cases that are not finished.
        process: the process that works on them.
        pipe: what it sends.
        about: intact tree and damage of the case that it works on, and megabytes of the process before it.
        since: when it began.
        used: the time of a processor that the process had used then, seconds.
        limits: of one case.
    """

    name: str
    numbers: list[int]
    process: Any = None
    pipe: Any = None
    about: tuple[str, str, float] | None = None
    since: float = 0.0
    used: float = 0.0
    limits: Limits = Limits()

    def start(self, context: Any, seed: int, work: Path) -> None:
        """Starts a process for the cases that are left."""
        self.pipe, theirs = context.Pipe(duplex=False)
        self.process = context.Process(
            target=work_on, args=(self.name, self.numbers, seed, work, self.limits.megabytes, theirs)
        )
        self.process.start()
        theirs.close()
        self.about = None
        self._begin()

    def heard(self) -> Iterator[Result]:
        """Takes what the process has sent, and yields finished cases."""
        with contextlib.suppress(EOFError, OSError):
            while self.pipe.poll():
                said = self.pipe.recv()
                if said is None:
                    self.numbers = []
                elif isinstance(said, int):
                    self._begin()
                elif isinstance(said, tuple):
                    self.about = said
                    self._begin()
                else:
                    yield self.finished(said)

    def finished(self, result: Result) -> Result:
        """Adds what the case is, and takes it off the list."""
        number, (base, damage, _) = self.numbers.pop(0), self.about or ("", "", 0.0)
        self.about = None
        return {"reader": self.name, "number": number, "base": base, "damage": damage, **result}

    def ended(self, work: Path) -> Result | None:
        """Returns the result of a case that killed its process, or that is killed for its time or memory."""
        spent, waited = self._processor() - self.used, time.monotonic() - self.since
        size = max(0.0, self._megabytes() - self.about[2]) if self.about else 0.0
        alive = self.process.is_alive()
        outcome = (
            "crash"
            if not alive
            else "hang"
            if spent > self.limits.seconds or waited > self.limits.wait
            else "memory"
            if size > 2 * self.limits.megabytes
            else ""
        )
        if not outcome:
            return None
        self.process.kill()
        self.process.join()
        trace = work / f"trace-{self.process.pid}"
        lines = trace.read_text().splitlines() if trace.exists() else []
        where = " < ".join(line.strip() for line in lines if line.startswith("  File"))[:400]
        needed = f"{spent:.0f} s of a processor in {waited:.0f} s, {size:.0f} MB"
        message = f"ended with {self.process.exitcode}" if outcome == "crash" else needed
        shutil.rmtree(work / f"case-{self.process.pid}", ignore_errors=True)
        return self.finished(
            {"outcome": outcome, "message": message, "where": where, "seconds": spent, "megabytes": size}
        )

    def _begin(self) -> None:
        """Starts the clocks of a case."""
        self.since, self.used = time.monotonic(), self._processor()

    def _processor(self) -> float:
        """Returns the seconds of a processor that the process has used, with all its threads."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it is gone
            return self.used
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _megabytes(self) -> float:
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(
    cases: Mapping[str, Sequence[int]], *, seed: int, workers: int, limits: Limits = Limits(), shown: bool = True
) -> list[Result]:
    """Runs the cases.

    Args:
        cases: for each reader the numbers of its cases.
        seed: of the damage.
        workers: processes that read at the same time.
        limits: of one case.
        shown: whether to show the progress.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.hostile_preload"])
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        ours, theirs = context.Pipe(duplex=False)
        maker = context.Process(target=prepared, args=(tuple(cases), work, theirs))
        maker.start()
        theirs.close()
        if error := ours.recv():
            raise RuntimeError(f"the intact files are not read: {error}")
        maker.join()
        todo = deque(Batch(name, list(part), limits=limits) for name, all_ in cases.items() for part in _parts(all_))
        running: list[Batch] = []
        total = sum(map(len, cases.values()))
        with (
            contextlib.suppress(KeyboardInterrupt),  # what is finished counts
            tqdm(total=total, unit="file", mininterval=2, disable=not shown) as bar,
        ):
            while todo or running:
                while todo and len(running) < workers:
                    running.append(todo.popleft())
                    running[-1].start(context, seed, work)
                connection.wait([batch.pipe for batch in running], timeout=0.05)
                for batch in list(running):
                    new = [*batch.heard()]
                    if batch.numbers and (ended := batch.ended(work)):
                        new += [*batch.heard(), ended]
                        if batch.numbers:
                            batch.start(context, seed, work)
                    if not batch.numbers:
                        batch.process.join()
                        running.remove(batch)
                    results += new
                    bar.update(len(new))
    return sorted(results, key=lambda result: (list(READERS).index(result["reader"]), result["number"]))


def _parts(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    return (numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH))


def shares(files: int, names: Sequence[str]) -> dict[str, Sequence[int]]:
    """Divides a number of files among the readers; the cases of each are numbered from 0."""
    whole = sum(READERS[name].share for name in names)
    counts = {name: max(1, round(files * READERS[name].share / whole)) for name in names}
    counts[names[0]] += files - sum(counts.values())
    return {name: range(count) for name, count in counts.items()}


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """Counts of outcomes for every reader, and the distinct faults, each with the cases that show it."""
    readers: dict[str, Any] = {}
    for name in dict.fromkeys(result["reader"] for result in results):
        own = [result for result in results if result["reader"] == name]
        counts = Counter(result["outcome"] for result in own)
        readers[name] = {
            "files": len(own),
            **{outcome: counts[outcome] for outcome in OUTCOMES},
            "slowest_seconds": round(max(result["seconds"] for result in own), 2),
            "most_megabytes": round(max(result["megabytes"] for result in own)),
        }
    faults: dict[tuple[str, ...], dict[str, Any]] = {}
    for result in results:
        if result["outcome"] in (*BAD, "unclear", "cut"):
            keys = ("reader", "outcome", "message", "where")
            killed = result["outcome"] in ("hang", "memory") and not result["where"]
            what = result["damage"] if killed else result["message"][:40]
            key = (result["reader"], result["outcome"], what, result["where"])
            fault = faults.setdefault(key, {each: result[each] for each in keys} | {"cases": [], "damage": []})
            fault["cases"].append(result["number"])
            fault["damage"] = sorted({*fault["damage"], f"{result['base']}: {result['damage']}"})[:5]
    return {"readers": readers, "faults": list(faults.values())}


def again(case: str, seed: int, keep: Path) -> None:
    """Makes one case again, keeps its files, and prints its result."""
    name, _, number = case.rpartition(":")
    with tempfile.TemporaryDirectory() as work:
        prepare((name,), Path(work))
        intact = pickle.loads(Path(work, f"{name}.pickle").read_bytes())
    kind, tree = made(name, int(number), seed, intact)
    keep.mkdir(parents=True)
    path = tree.write(keep.resolve())
    print(f"{name} {number}: {kind}, {tree.damage}; {path}", flush=True)
    print(json.dumps(judged(READERS[name], tree, path, intact[kind][1]), indent=1))


def main() -> None:
    """Runs the cases and writes the result."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--readers", nargs="+", choices=list(READERS), default=list(available()))
    options.add_argument("--only", help="one case to make again, READER:NUMBER")
    options.add_argument(
        "--keep", type=Path, default=Path("hostile-case"), help="a new folder for the files of that case"
    )
    options.add_argument("--out", type=Path, default=RESULTS / "hostile.json")
    given = options.parse_args()
    if given.only:
        again(given.only, given.seed, given.keep)
        return
    from benchmarks.speed_stages import machine

    start = time.perf_counter()
    results = run(shares(given.files, given.readers), seed=given.seed, workers=given.workers)
    about = {"files": len(results), "seed": given.seed, "seconds": round(time.perf_counter() - start)}
    limits = {"seconds": SECONDS, "wait": WAIT, "megabytes": MEGABYTES}
    found = {"machine": machine(), **about, "limits": limits, **summary(results)}
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    for name, counts in found["readers"].items():
        print(f"{name:14}", "  ".join(f"{outcome} {counts[outcome]}" for outcome in OUTCOMES if counts[outcome]))
    print(given.out)


if __name__ == "__main__":
    main()
