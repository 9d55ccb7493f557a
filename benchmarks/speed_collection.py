"""Images a second of ``artasyn synthesise`` from files to files: ``python -m benchmarks.speed_collection``.

The figures are medians of repeated runs in which folders and shards alternate. A run with a few films before each run
measures the start-up time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from artasyn.bulk.run import read_manifest
from benchmarks.many_films import write_films
from benchmarks.speed_stages import RESULTS, machine

FEW = 20
"""Films of the runs that measure the start-up time: interpreters, imports, textures."""


def processor_seconds() -> float:
    """The processor time, in seconds, of all child processes so far."""
    times = os.times()
    return times.children_user + times.children_system


def seconds(films: Path, out: Path, workers: int, form: str) -> tuple[float, float, int]:
    """The command's wall-clock seconds, its processor seconds, and the number of images it makes."""
    command = [sys.executable, "-m", "artasyn", "synthesise", str(films), "--out", str(out)]
    before, start = processor_seconds(), time.perf_counter()
    done = subprocess.run([*command, "--workers", str(workers), "--format", form], stdout=-3, stderr=-3)
    took, busy = time.perf_counter() - start, processor_seconds() - before
    if done.returncode == 2:
        raise RuntimeError("artasyn synthesise could not run")
    return took, busy, sum(row["status"] == "ok" for row in read_manifest(out / "manifest.csv"))


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--films", type=int, default=3000)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--size", type=int, default=256)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--out", type=Path, default=RESULTS / "speed_collection.json")
    given = options.parse_args()
    runs: dict[str, list[dict[str, float]]] = {"folders": [], "shards": []}
    with tempfile.TemporaryDirectory() as folder:
        films, few = Path(folder, "films"), Path(folder, "few")
        write_films(films, films=given.films, size=given.size)
        write_films(few, films=FEW, size=given.size)
        for repeat in range(given.repeats):
            for form, measured in runs.items():
                start, start_busy, _ = seconds(few, Path(folder, f"few-{form}-{repeat}"), given.workers, form)
                out = Path(folder, f"{form}-{repeat}")
                took, busy, images = seconds(films, out, given.workers, form)
                shutil.rmtree(out)
                measured.append(
                    {
                        "images": images,
                        "images_per_second": images / took,
                        "images_per_second_after_start": (images - FEW) / (took - start),
                        "processor_ms_per_image": 1000 * (busy - start_busy) / (images - FEW),
                    }
                )
    formats = {
        form: {name: round(statistics.median(run[name] for run in measured), 2) for name in measured[0]}
        for form, measured in runs.items()
    }
    sizes = {"films": given.films, "size": given.size, "workers": given.workers, "repeats": given.repeats}
    given.out.write_text(json.dumps({"machine": machine(), **sizes, "formats": formats}, indent=1) + "\n")
    print(json.dumps(formats, indent=1), given.out, sep="\n")


if __name__ == "__main__":
    main()
