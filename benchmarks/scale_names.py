"""What a name costs a run: seconds and memory of listing, resuming and merging, for made-up collections.

The films are empty files and no film is worked on: everything is listed as done, by a journal and results that
`make_names` writes. Listing, journal, fingerprints, manifest and merge are those of the library. Each part is measured
in a process of its own, ``python -m benchmarks.scale_names PART FOLDER``, which prints its figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from artasyn.bulk.journal import Journal, fingerprints_of
from artasyn.bulk.portions import Portion
from artasyn.bulk.run import BulkRun
from artasyn.bulk.sources import Source, search_sources
from artasyn.console.results import note_gone, note_passed_over

SIZES = (10_000, 100_000, 1_000_000)
"""Numbers of names of the full measurement."""

PORTIONS = 8
"""Portions that are merged."""

COLUMNS = ("labels", "overlay", "found", "confidence_right", "confidence_left", "status", "warnings", "reason")
"""Columns of `artasyn segment`, whose files the made-up results have."""

FILES = ("labels", "overlay")


def film(number: int) -> str:
    """Returns the name of a made-up film; 1,000 share a folder."""
    return f"{number // 1000:05d}/{number:08d}"


def row(name: str) -> dict[str, str]:
    """Returns a row as `artasyn segment` writes it."""
    names = {"labels": f"labels/{name}.png", "overlay": f"overlays/{name}.png"}
    return names | {
        "found": "true",
        "confidence_right": "0.9123",
        "confidence_left": "0.8977",
        "status": "ok",
        "warnings": "",
        "reason": "",
    }


def make_names(folder: Path, names: int) -> None:
    """Writes empty films and results, a journal that lists them all, and the journals of portions.

    Args:
        folder: gets ``films``, ``whole`` and ``parts``; both of the latter are folders of results.
        names: the number of films.
    """
    out, parts = folder / "whole", folder / "parts"
    journal = Journal(out, COLUMNS, FILES)
    shares = [Portion(number, PORTIONS) for number in range(1, PORTIONS + 1)]
    out.mkdir(parents=True)
    numbers = range(names)
    for place in {f"{number // 1000:05d}" for number in numbers}:
        for each in (folder / "films", out / "labels", out / "overlays"):
            (each / place).mkdir(parents=True)
    parts.mkdir()
    for kind in ("labels", "overlays"):
        (parts / kind).symlink_to(out / kind)
    with journal.path.open("w", encoding="utf-8") as whole:
        for share in shares:
            share.folder(parts).mkdir(parents=True)
            own = Journal(parts, COLUMNS, FILES, share.folder(parts))
            with own.path.open("w", encoding="utf-8") as lines:
                for number in numbers[share.share(names)]:
                    name = film(number)
                    path = folder / "films" / f"{name}.png"
                    for made in (path, out / f"labels/{name}.png", out / f"overlays/{name}.png"):
                        os.close(os.open(made, os.O_CREAT | os.O_WRONLY))
                    source = Source(path, name)
                    line = journal.entry(source, (row(name),), "", fingerprints_of(source)).line()
                    whole.write(line)
                    lines.write(line)


def _refused(source: Source) -> list[dict[str, Any]]:
    raise AssertionError(f"{source.name} was worked on, although it was done")


def _run(out: Path, **options: Any) -> BulkRun:
    return BulkRun(out, {"made up": True}, COLUMNS, FILES, workers=2, **options)


def listing(folder: Path) -> dict[str, float]:
    """Lists the films, as every command does first."""
    return _timed("listing", lambda: search_sources([folder / "films"]))[1]


def resuming(folder: Path) -> dict[str, float]:
    """Starts a finished run again: listing, journal, fingerprints, results, manifest, and the note at the end."""
    found, figures = _timed("listing", lambda: search_sources([folder / "films"]))
    run = _run(folder / "whole")
    outcomes, again = _timed("run", lambda: run.run(_refused, found.sources, title="names"))
    _, noted = _timed("notes", lambda: (note_passed_over(run.out, found), note_gone(run, outcomes)))
    sizes = {"journal_bytes": run._journal.path.stat().st_size, "manifest_bytes": run.manifest.stat().st_size}
    return figures | again | noted | sizes


def merging(folder: Path) -> dict[str, float]:
    """Finishes the portions, and joins them."""
    found, figures = _timed("listing", lambda: search_sources([folder / "films"]))
    for number in range(1, PORTIONS + 1):
        run = _run(folder / "parts", portion=Portion(number, PORTIONS))
        _, one = _timed("portion", partial(run.run, _refused, found.sources, title="portion"))
        figures |= one
    run = _run(folder / "parts", merging="all")
    _, merged = _timed("merge", partial(run.run, _refused, found.sources, title="merge"))
    return figures | merged


PARTS: dict[str, Callable[[Path], dict[str, float]]] = {"listing": listing, "resume": resuming, "merge": merging}


def _resident() -> float:
    """Returns the memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _peak() -> float:
    """Returns the largest memory of this process since `_forget`, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1024 / 1e6


def _timed(name: str, call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Returns what a call returns, its seconds, and the memory at its end and at most."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the largest memory until now
    began = time.perf_counter()
    found = call()
    took = time.perf_counter() - began
    return found, {
        f"{name}_s": round(took, 3),
        f"{name}_mb": round(_resident(), 1),
        f"{name}_peak_mb": round(_peak(), 1),
    }


def measured(folder: Path, part: str) -> dict[str, float]:
    """Measures a part in a process of its own.

    Args:
        folder: of `make_names`.
        part: one of `PARTS`.
    """
    command = [sys.executable, "-m", "benchmarks.scale_names", part, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{part} of made-up names failed: {done.stderr.strip()[-500:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Measures one part and prints its figures."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("part", choices=PARTS)
    options.add_argument("folder", type=Path, help="with the names, and for the results")
    given = options.parse_args()
    start = round(_resident(), 1)
    print(json.dumps({"start_mb": start} | PARTS[given.part](given.folder)))


if __name__ == "__main__":
    main()
