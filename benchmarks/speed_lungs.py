"""Time of PBTSeg beside the published algorithm, on one core: ``python -m benchmarks.speed_lungs``.

The films are every sixth film of the four sets with masks. Both algorithms run at 256 x 256 pixels, in alternating
blocks; PBTSeg alone also runs at 2048 x 2048. Compare the ratio within one run only. Reading and resizing are not
timed. The published algorithm is a direct implementation with scikit-image's regions (`published_pbtseg.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from artasyn.arrays import Image
from artasyn.files.radiograph import read_radiograph
from artasyn.segment import PBTSeg
from benchmarks.rivals.published_pbtseg import SIZE, published_pbtseg
from benchmarks.score_lungs import ROOT, SETS

LARGE = 2048


def milliseconds(call: Callable[[Any], object], films: list[Any]) -> list[float]:
    """How long a call takes on each film."""
    times = []
    for film in films:
        start = time.perf_counter()
        call(film)
        times.append(1e3 * (time.perf_counter() - start))
    return times


def resized(image: Image, size: int) -> Image:
    """A film on a square grid."""
    how = cv2.INTER_AREA if size < min(image.shape) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size, size), interpolation=how).clip(0, 1), np.float32)


def figures(times: list[float]) -> dict[str, float]:
    """Mean, median and quartiles, in ms."""
    low, middle, high = statistics.quantiles(times, n=4)
    named = {"mean": statistics.fmean(times), "median": middle, "q1": low, "q3": high}
    return {name: round(value, 2) for name, value in named.items()}


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--blocks", type=int, default=5, help="how often each algorithm goes over all films")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "speed_lungs.json")
    given = options.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core for every library
    cv2.setNumThreads(1)
    files = [file for folder in SETS.values() for file in sorted((given.data / folder / "images").iterdir())[::6]]
    films = [read_radiograph(file) for file in files]
    small = [resized(film, SIZE) for film in films]
    pixels = [np.round(film * 255).astype(np.uint8) for film in small]
    segment = PBTSeg()
    ours: list[float] = []
    published: list[float] = []
    milliseconds(segment, small[:1]), milliseconds(published_pbtseg, pixels[:1])  # warm-up
    for _ in tqdm(range(given.blocks), unit="block"):
        ours += milliseconds(segment, small)
        published += milliseconds(published_pbtseg, pixels)
    large = [resized(film, LARGE) for film in films[::8]]
    times = milliseconds(segment, large * given.blocks)
    packages = ("artasyn", "numpy", "opencv-python-headless", "scikit-image")
    result = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "cores": 1,
            "packages": {package: version(package) for package in packages},
        },
        "films": len(films),
        "blocks": given.blocks,
        f"ms_{SIZE}": {"artasyn": figures(ours), "published": figures(published)},
        "ratio": round(statistics.fmean(published) / statistics.fmean(ours), 2),
        f"ms_{LARGE}": {"films": len(large), **figures(times)},
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1), given.out, sep="\n")


if __name__ == "__main__":
    main()
