"""Time and memory of projecting a CT: ``python -m benchmarks.speed_projection``.

The volume is a real CT with 89 labelled structures. The program times:

- the image alone, and the image with the thickness of every structure;
- a volume's first view, with all its preparation, and its second view;
- the command that makes 200 randomised films with masks, as a subprocess.

Reading is timed only for the command. `speed_rivals` measures other programs beside artasyn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from artasyn.bulk.run import read_manifest
from artasyn.segment.ct.volume import Volume
from artasyn.segment.projection.projection import project, rays_of, thickness_of
from artasyn.segment.projection.view import View
from benchmarks.score_projection import ROOT

VIEWS = {"pa": 0.0, "45": 45.0, "lateral": 90.0}
SIZES = (256, 512)


def milliseconds(work: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median and quartiles of the times of repeated calls, in ms, after one warm-up call."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    low, _, high = statistics.quantiles(times, n=4)
    return {"median": round(statistics.median(times), 1), "q1": round(low, 1), "q3": round(high, 1)}


def parallel_times(volume: Volume, repeats: int) -> dict[str, Any]:
    """The aligned parallel projection at the grid of the volume."""
    view = View(source_to_detector=None, size=None)
    names, matter = list(volume.structures), volume.matter
    return {
        "integral": milliseconds(lambda: rays_of(volume, view).through(matter.attenuation, matter.start), repeats),
        "image, coverage and tone": milliseconds(lambda: project(volume, view, structures=()).image, repeats),
        "thickness": milliseconds(lambda: thickness_of(volume, names, rays_of(volume, view)), repeats),
    }


def cone_times(volume: Volume, repeats: int) -> dict[str, Any]:
    """Cone-beam views, image alone and with all structures."""
    times: dict[str, Any] = {}
    for size in SIZES:
        for name, angle in VIEWS.items():
            view = View(angle, size=(size, size))
            times[f"{name} {size}"] = {
                "image": milliseconds(lambda view=view: project(volume, view, structures=()), repeats),  # type: ignore[misc]
                "image and thickness": milliseconds(lambda view=view: project(volume, view), repeats),  # type: ignore[misc]
            }
    return times


def first_and_second(volume: Volume, labels: np.ndarray, names: dict[int, str], repeats: int) -> dict[str, Any]:
    """Times of a volume's first view, from voxels and label map on, and of its second view at another angle."""
    times: dict[str, list[float]] = {"first": [], "second": []}
    for _ in range(repeats):
        start = time.perf_counter()
        fresh = Volume.of_labels(volume.hu, volume.affine, labels, names).without_table()
        project(fresh, View(size=(256, 256)))
        middle = time.perf_counter()
        project(fresh, View(30.0, size=(256, 256)))
        times["first"].append(middle - start)
        times["second"].append(time.perf_counter() - middle)
    first, second = (1e3 * statistics.median(times[name]) for name in ("first", "second"))
    return {"first_ms": round(first, 1), "second_ms": round(second, 1), "share": round(second / first, 3)}


def memory(files: list[str]) -> float:
    """Peak memory, MB, of a process (on Linux) that reads the CT and projects it at 512 pixels with every structure."""
    code = (
        "import pathlib, sys; from artasyn.segment import Volume, View, project; "
        "volume = Volume.read(*sys.argv[1:]); project(volume, View(45.0)); project(volume, View(90.0)); "
        "print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=True)
    return round(int(done.stdout) / 1024, 0)


def command(files: list[str], films: int, workers: int) -> dict[str, Any]:
    """Time and counts of the command that makes randomised films of one CT."""
    with tempfile.TemporaryDirectory() as out:
        line = [sys.executable, "-m", "artasyn", "project", files[0], "--labels", files[1], "--names", files[2]]
        options = ["--randomise", str(films // 2), "--views", "pa,lateral", "--workers", str(workers), "--out", out]
        start = time.perf_counter()
        subprocess.run([*line, *options], capture_output=True, check=False)
        took = time.perf_counter() - start
        rows = read_manifest(Path(out, "manifest.csv"))
    made = [row for row in rows if row["status"] == "ok"]
    redrawn = sum(int(row["redrawn"] or 0) for row in made)
    times = {"films": len(made), "rejected": len(rows) - len(made), "redrawn": redrawn, "workers": workers}
    return times | {"minutes": round(took / 60, 2), "seconds_per_film": round(took / max(1, len(made)), 2)}


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data"))
    options.add_argument("--ct", type=Path, default=data / "ct", help="folder of the CT lidc_0001 with its labels")
    options.add_argument("--repeats", type=int, default=9)
    options.add_argument("--films", type=int, default=200, help="films that the command makes; 0 leaves it out")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "speed_projection.json")
    given = options.parse_args()
    files = [str(given.ct / name) for name in ("lidc_0001.nii.gz", "lidc_0001_labels.nii.gz", "structures.csv")]
    volume = Volume.read(*files)
    raw = Volume.read(files[0], table=True)
    labels, names = np.zeros(raw.hu.shape, np.uint8), {}
    for number, (name, structure) in enumerate(volume.structures.items(), 1):
        labels[structure.box][structure.mask], names[number] = number, name
    result = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "packages": {name: version(name) for name in ("artasyn", "numpy", "opencv-python-headless")},
        },
        "voxels": list(volume.hu.shape),
        "structures": len(volume.structures),
        "repeats": given.repeats,
        "parallel_ms": parallel_times(volume, given.repeats),
        "cone_ms": cone_times(volume, given.repeats),
        "first_and_second": first_and_second(raw, labels, names, given.repeats),
        "memory_mb": memory(files),
    }
    if given.films:
        result["command"] = command(files, given.films, given.workers)
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1), given.out, sep="\n")


if __name__ == "__main__":
    main()
