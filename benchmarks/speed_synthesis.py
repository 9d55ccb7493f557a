"""Time of an anomaly beside the published synthesis, lungs given, one core: ``python -m benchmarks.speed_synthesis``.

Every call draws and renders a new anomaly with a new seed, on NIH's normal films in turn, square and at several sizes.
The published synthesis (`published_synthesis.py`) is made for 256 pixels and runs at that size only, in blocks that
alternate with artasyn's. Reading, resizing and the lungs are not timed. Compare the ratio within one run only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from artasyn.arrays import Image, generator
from artasyn.files.radiograph import read_radiograph
from artasyn.segment import Lungs, PBTSeg
from artasyn.synthesis import BatchLungOpacity, LungOpacity
from benchmarks.rivals.published_synthesis import SIZE, published_synthesis
from benchmarks.score_lungs import ROOT
from benchmarks.speed_lungs import figures, resized

SIZES = (256, 512, 1024, 2048)
Segmented = tuple[Image, Lungs]
Synthesis = Callable[[Image, Lungs, np.random.Generator], object]


def milliseconds(synthesis: Synthesis, films: list[Segmented], calls: int, seed: int) -> list[float]:
    """The time of each call, in ms. The calls use the films in turn."""
    times = []
    for call in range(calls):
        image, lungs = films[call % len(films)]
        rng = generator(seed, call)
        start = time.perf_counter()
        synthesis(image, lungs, rng)
        times.append(1e3 * (time.perf_counter() - start))
    return times


def batches(films: list[Segmented], *, repeats: int = 40) -> dict[str, Any]:
    """Times per image of whole batches in torch and of one image at a time. Every batch has new anomalies.

    On a CPU a batch holds the given films. On a CUDA device a batch holds 1024 films, and transfers are not timed.
    """
    images = torch.stack([torch.from_numpy(image)[None] for image, _ in films])
    lungs = torch.stack([torch.from_numpy(found.labels)[None] for _, found in films])
    opacity, plain, at_once = LungOpacity(), BatchLungOpacity(), BatchLungOpacity(at_once=True)
    ways: dict[str, tuple[Callable[[np.random.Generator], object], int]] = {
        f"one by one, {SIZE} px": (lambda rng: [opacity(*film, rng) for film in films], len(films)),
        f"BatchLungOpacity on a CPU, {SIZE} px": (
            lambda rng: plain(images, lungs, rng),
            len(films),
        ),
        f"BatchLungOpacity at once on a CPU, {SIZE} px": (
            lambda rng: at_once(images, lungs, rng),
            len(films),
        ),
    }
    if torch.cuda.is_available():
        on_device = BatchLungOpacity().to("cuda")
        many = [torch.cat([part] * (1024 // len(films) + 1))[:1024].to("cuda") for part in (images, lungs)]

        def wait(rng: np.random.Generator) -> None:
            on_device(many[0], many[1], rng)
            torch.cuda.synchronize()

        ways[f"BatchLungOpacity on {torch.cuda.get_device_name()}, {SIZE} px"] = (wait, 1024)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in tqdm(range(repeats + 2), unit="batch"):
        for name, (way, count) in ways.items():
            rng = generator(repeat)
            start = time.perf_counter()
            way(rng)
            if repeat >= 2:  # warm-up
                times[name].append(1e3 * (time.perf_counter() - start) / count)
    return {name: figures(of) | {"batches": len(of)} for name, of in times.items()}


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--blocks", type=int, default=6, help="how often each way and size takes its turn")
    options.add_argument("--calls", type=int, default=120, help="anomalies a block; of the published ones a tenth")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "speed_synthesis.json")
    given = options.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core for every library
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    files = sorted((given.data / "nih_normal").iterdir())[::18]
    originals = [read_radiograph(file) for file in files]
    found = [PBTSeg()(image) for image in originals]
    pairs = [(image, lungs) for image, lungs in zip(originals, found, strict=True) if lungs.found]
    films = {size: [(resized(image, size), lungs.resized((size, size))) for image, lungs in pairs] for size in SIZES}
    ours: dict[int, list[float]] = {size: [] for size in SIZES}
    published: list[float] = []
    opacity = LungOpacity()
    for size in SIZES:
        milliseconds(opacity, films[size], len(pairs), seed=0)  # warm-up
    milliseconds(published_synthesis, films[SIZE], 2, seed=0)
    for block in tqdm(range(1, given.blocks + 1), unit="block"):
        for size in SIZES:
            calls = given.calls * SIZE // size
            ours[size] += milliseconds(opacity, films[size], calls, seed=block)
        published += milliseconds(published_synthesis, films[SIZE], max(1, given.calls // 10), seed=block)
    times = {str(size): figures(of) | {"calls": len(of)} for size, of in ours.items()}
    beside = figures(published) | {"calls": len(published)}
    result = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "cores": 1,
            "packages": {name: version(name) for name in ("artasyn", "numpy", "opencv-python-headless", "pillow")},
        },
        "films": len(pairs),
        "blocks": given.blocks,
        "ms": times,
        "published_ms": {str(SIZE): beside},
        "ratio": {name: round(beside[name] / times[str(SIZE)][name], 1) for name in ("mean", "median")},
        "batches": batches(films[SIZE]),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1), given.out, sep="\n")


if __name__ == "__main__":
    main()
