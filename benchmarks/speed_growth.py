"""How costs grow with pixels, films and workers: ``python -m benchmarks.speed_growth``.

- Pixels: lungs, opacities, detection, and the way from a file to files, on square films of 64 to 4096 pixels a side.
  The sizes take turns on one core. The networks of detection see films of one size, whatever the size of the film.
- Films: `artasyn synthesise` and `artasyn segment` on 10 to 10,000 films of 128 pixels a side, one worker. The memory
  is the most of all processes of a run together.
- Workers: the same commands with one and two workers, by the clock.

The costs of pixels and films are the processor's time. A straight line with a fixed cost is fitted to them, and a power
of the amount. ``--parts`` measures a part anew and keeps the other; without a part the program only draws the curves.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter, NullLocator
from tqdm import tqdm

from artasyn import Detector, Phantom
from artasyn.arrays import Image, generator
from artasyn.files.radiograph import read_radiograph, write_image, write_mask
from artasyn.segment import Lungs, PBTSeg
from artasyn.synthesis import LungOpacity
from benchmarks.growth import growth_of, steps
from benchmarks.many_films import write_films
from benchmarks.score_lungs import ROOT
from benchmarks.speed_lungs import resized
from benchmarks.speed_rivals import installed
from benchmarks.turns import Way, in_turns, one_core

PARTS = ("films", "pixels")
SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
FEWEST_PIXELS = 256
"""The line is fitted from this size on: two decades of pixels and more."""
BLOCK = 4
"""Calls of a stage in one turn; the films are given in turn."""
COUNTS = (10, 100, 1000, 10_000)
COMMANDS = ("synthesise", "segment")
FILM_SIZE = 128
DIFFERENT = 200
"""Different films; larger collections hold them several times, as links."""
WORKERS = (1, 2)
POLL = 0.02
"""Seconds between two looks at the memory of a run."""
DOCS = Path(__file__).parent.parent / "docs"
Film = tuple[Image, Lungs]


class Cost(NamedTuple):
    """The cost of a run: seconds by the clock and of the processor, and the most memory of its processes together."""

    seconds: float
    processor: float
    megabytes: float


def originals(data: Path, count: int = 4) -> list[Image]:
    """Normal films of NIH, or phantoms where NIH is missing, whose lungs are found at every size."""
    folder = data / "nih_normal"
    files = sorted(folder.iterdir())[::18] if folder.is_dir() else []
    films = (read_radiograph(file) for file in files) if files else (Phantom(size=512)(seed).image for seed in range(9))
    kept: list[Image] = []
    for film in films:
        if len(kept) < count and all(PBTSeg()(resized(film, size)).found for size in SIZES[:4]):
            kept.append(film)
    return kept


def stages(films: Sequence[Film], folder: Path) -> dict[str, Way]:
    """What is done to films of one size; every call does it to one film."""
    size = films[0][0].shape[0]
    for number, (image, _) in enumerate(films):
        write_image(folder / f"{size}-{number}.png", image)
    segment, opacity, detector = PBTSeg(), LungOpacity(), Detector.from_pretrained()

    def through(number: int) -> None:
        image = read_radiograph(folder / f"{size}-{number % len(films)}.png")
        made = opacity(image, segment(image), generator(0, number))
        write_image(folder / "image.png", made.image)
        write_mask(folder / "mask.png", made.mask)

    return {
        "lungs (PBTSeg)": Way(lambda number: segment(films[number % len(films)][0])),
        "opacity (LungOpacity)": Way(lambda number: opacity(*films[number % len(films)], generator(0, number))),
        "detection, lungs given": Way(lambda number: detector(*films[number % len(films)])),
        "file to files": Way(through),
    }


def pixel_growth(data: Path, rounds: int) -> dict[str, Any]:
    """Times of every stage by the films' size, and their growth with the pixels."""
    films = originals(data)
    found = [PBTSeg()(film) for film in films]
    times: dict[str, dict[int, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        ways: dict[tuple[str, int], Way] = {}
        for size in SIZES:
            here = [
                (resized(film, size), lungs.resized((size, size))) for film, lungs in zip(films, found, strict=True)
            ]
            ways |= {(name, size): way for name, way in stages(here, Path(folder)).items()}
        named = {f"{name}, {size}": way for (name, size), way in ways.items()}
        taken = in_turns(named, rounds, block=BLOCK, clock=time.process_time, name="pixels")
    for name, size in ways:
        times.setdefault(name, {})[size] = taken[f"{name}, {size}"]
    return {name: grown({size: statistics.median(each) for size, each in of.items()}) for name, of in times.items()}


def grown(medians: dict[int, float]) -> dict[str, Any]:
    """The times of a stage by size, and their growth with the pixels."""
    used = {size: ms for size, ms in medians.items() if size >= FEWEST_PIXELS}
    growth = growth_of([size**2 for size in used], list(used.values()))
    return {
        "ms": {str(size): round(ms, 3) for size, ms in medians.items()},
        "fixed_ms": round(growth.fixed, 2),
        "ns_a_pixel": round(1e6 * growth.each, 2),
        "deviation": round(growth.deviation, 3),
        "exponent": growth.exponent,
    }


def megabytes(process: int) -> float:
    """The most memory that a process has had so far, and its children with it; 0 where it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        children = Path(f"/proc/{process}/task/{process}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = float(status.partition("VmHWM:")[2].split()[0]) / 1024 if "VmHWM:" in status else 0.0
    return own + sum(megabytes(int(child)) for child in children.split())


def cost_of(command: str, films: Path, workers: int) -> Cost:
    """Runs a command on a folder in a process of its own, and removes its results.

    Raises:
        RuntimeError: the command fails.
    """
    out = films.with_name("out")
    line = [sys.executable, "-m", "artasyn", command, str(films), "--out", str(out), "--workers", str(workers)]
    start = time.perf_counter()
    process = subprocess.Popen([*line, "--quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most, ended = 0.0, 0
    while not ended:
        most = max(most, megabytes(process.pid))
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        time.sleep(0 if ended else POLL)
    took = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    shutil.rmtree(out)
    if process.returncode not in (0, 1):  # 1: a film has no lungs
        raise RuntimeError(f"{' '.join(line)} ended with status {process.returncode}")
    return Cost(took, used.ru_utime + used.ru_stime, most)


def collection(folder: Path, originals: Sequence[Path], count: int) -> Path:
    """A folder of so many films, which are links to fewer ones."""
    films = folder / f"films-{count}"
    films.mkdir()
    for number in range(count):
        os.link(originals[number % len(originals)], films / f"{number:06d}.png")
    return films


def film_growth(counts: Sequence[int], repeats: int) -> dict[str, Any]:
    """Costs of the commands by the number of films, with one worker; and by the number of workers."""
    costs: dict[str, dict[tuple[int, int], list[Cost]]] = {command: {} for command in COMMANDS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "originals").mkdir()
        write_films(folder / "originals", films=DIFFERENT, size=FILM_SIZE)
        files = sorted((folder / "originals").rglob("*.png"))
        collections = {count: collection(folder, files, count) for count in counts}
        runs = [(count, 1) for count in counts] + [(counts[-2], workers) for workers in WORKERS[1:]]
        turns = [
            (command, count, workers)
            for repeat in range(repeats)
            for count, workers in runs
            for command in COMMANDS
            if repeat == 0 or count <= counts[-2] // 10 or (repeat == 1 and count == counts[-2])
        ]
        for command, count, workers in tqdm(turns, desc="films", unit="run"):
            costs[command].setdefault((count, workers), []).append(cost_of(command, collections[count], workers))
    return {command: over_films(of, counts) for command, of in costs.items()}


def over_films(costs: dict[tuple[int, int], list[Cost]], counts: Sequence[int]) -> dict[str, Any]:
    """The medians of a command's costs, and their growth with the films."""
    medians = {key: Cost(*map(statistics.median, zip(*of, strict=True))) for key, of in costs.items()}
    processor = [medians[count, 1].processor for count in counts]
    growth = growth_of(counts, processor)
    return {
        "processor_s": {str(count): round(each, 2) for count, each in zip(counts, processor, strict=True)},
        "megabytes": {str(count): round(medians[count, 1].megabytes) for count in counts},
        "kilobytes_a_film": round(1e3 * steps(counts, [medians[count, 1].megabytes for count in counts])[-1], 1),
        "fixed_s": round(growth.fixed, 2),
        "ms_a_film": round(1e3 * growth.each, 2),
        "steps_ms": [round(1e3 * each, 2) for each in steps(counts, processor)],
        "deviation": round(growth.deviation, 3),
        "exponent": growth.exponent,
        "seconds_by_workers": {
            str(workers): round(cost.seconds, 2) for (count, workers), cost in medians.items() if count == counts[-2]
        },
    }


def pictures(result: dict[str, Any], out: Path) -> tuple[Path, Path]:
    """Draws the times over the pixels and over the films with the fitted lines; returns the paths of both pictures."""
    figure, axis = _axis("processor's ms a film", "pixels")
    for name, of in result["pixels"]["stages"].items():
        sizes = [int(size) for size in of["ms"]]
        (line,) = axis.plot([size**2 for size in sizes], list(of["ms"].values()), "o", markersize=4, label=name)
        many = np.geomspace(FEWEST_PIXELS**2, sizes[-1] ** 2)
        axis.plot(many, of["fixed_ms"] + of["ns_a_pixel"] * 1e-6 * many, color=line.get_color(), linewidth=1)
    axis.set_xticks([size**2 for size in sizes], [f"{size}²" for size in sizes])
    pixels = _written(figure, axis, out / "growth_pixels.png")
    figure, axis = _axis("processor's seconds, one worker", f"films of {FILM_SIZE}² pixels")
    for command, of in result["films"]["commands"].items():
        counts = [int(count) for count in of["processor_s"]]
        label = f"artasyn {command}"
        (line,) = axis.plot(counts, list(of["processor_s"].values()), "o", markersize=4, label=label)
        many = np.geomspace(counts[0], counts[-1])
        axis.plot(many, of["fixed_s"] + of["ms_a_film"] * 1e-3 * many, color=line.get_color(), linewidth=1)
    axis.set_xticks(counts, [f"{count:,}" for count in counts])
    return pixels, _written(figure, axis, out / "growth_films.png")


def _axis(costs: str, amounts: str) -> tuple[Any, Any]:
    """A figure with one pair of logarithmic axes."""
    figure, axis = plt.subplots(figsize=(6, 3.8))
    axis.set(xscale="log", yscale="log", ylabel=costs, xlabel=amounts)
    return figure, axis


def _written(figure: Any, axis: Any, path: Path) -> Path:
    """Writes a figure to a file and closes it."""
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def main() -> None:
    """Measures, writes the result and draws its curves."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data"))
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--rounds", type=int, default=6, help="turns of every size and stage")
    options.add_argument("--repeats", type=int, default=5, help="runs of the commands on the smallest collections")
    options.add_argument("--counts", type=int, nargs="+", default=list(COUNTS), help="films of the collections")
    options.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), help="what is measured")
    options.add_argument("--drawn", type=Path, default=DOCS, help="the folder of the pictures")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "speed_growth.json")
    given = options.parse_args()
    result = json.loads(given.out.read_text()) if set(given.parts) < set(PARTS) else {}
    if "films" in given.parts:
        result["films"] = {
            "repeats": given.repeats,
            "size": FILM_SIZE,
            "commands": film_growth(given.counts, given.repeats),
        }
    if "pixels" in given.parts:
        one_core()
        result["pixels"] = {"rounds": given.rounds, "stages": pixel_growth(given.data, given.rounds)}
    if given.parts:
        machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
        result["machine"] = machine | {"packages": installed()}
        given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1), given.out, *pictures(result, given.drawn), sep="\n")


if __name__ == "__main__":
    main()
