"""What artasyn costs a user at home: ``python -m benchmarks.at_home --label after``.

1. Time of ``import artasyn`` inside fresh processes; wall-clock time of fresh processes that print the help, and that
   segment and judge one phantom film.
2. Size of artasyn's files and of all packages that it needs, without torch and what only torch needs.
3. Bytes that a command writes where there is no terminal, and the size of the report of an evaluation of 20 films.
4. With ``--parts conflicts``, the release of another package that pip finds to go together with artasyn. This asks the
   package registry. pip takes an older release where the newest does not go together.

``--source`` names the tree that is measured, such as a clone of an older commit; ``--label`` names its column. A result
keeps what other calls measured. Each time is measured several times. The least time is the fairest on a machine that
has other work; the median is given beside it. The films are phantoms of fixed seeds.
"""

from __future__ import annotations

import argparse
import configparser
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tqdm import tqdm

from artasyn import Phantom, write_image, write_mask
from benchmarks.speed_stages import RESULTS, machine

ROOT = Path(__file__).parent.parent
LABELS = ("before", "after")
OTHERS = ("anomalib", "monai", "torchio", "torchxrayvision", "TotalSegmentator")
PARTS = ("seconds", "installed", "log", "report", "conflicts")
TORCH = "torch"
SIZE = 256
SYNTHESISED, EVALUATED = 200, 20
IMPORT = "import time; start = time.perf_counter(); import artasyn; print(time.perf_counter() - start)"


def in_source(source: Path, arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Runs Python in a fresh process that imports a source tree, in a folder, without a terminal.

    Raises:
        RuntimeError: the process fails.
    """
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.decode(errors='replace')[-2000:]}")
    return done


def seconds(repeats: int, run: Callable[[int], float]) -> dict[str, float]:
    """The least and the median of several times, after one run that warms the disk's cache."""
    run(repeats)
    times = [run(repeat) for repeat in range(repeats)]
    return {"least": round(min(times), 3), "median": round(statistics.median(times), 3), "repeats": repeats}


def times(source: Path, folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Seconds of fresh processes: of the import alone, and of whole commands."""
    film = folder / "film.png"
    write_image(film, Phantom(size=SIZE)(seed=1, lesions=True).image)
    commands = {
        "help": lambda repeat: ["--help"],
        "segment": lambda repeat: ["segment", str(film), "--out", f"segment-{repeat}"],
        "detect": lambda repeat: ["detect", str(film), "--out", f"detect-{repeat}"],
    }

    def imported(repeat: int) -> float:
        return float(in_source(source, ["-c", IMPORT], folder).stdout)

    def wall(arguments: Callable[[int], list[str]]) -> Callable[[int], float]:
        def run(repeat: int) -> float:
            start = time.perf_counter()
            in_source(source, ["-m", "artasyn", *arguments(repeat)], folder)
            return time.perf_counter() - start

        return run

    runs = {"import": imported} | {name: wall(arguments) for name, arguments in commands.items()}
    return {name: seconds(repeats, run) for name, run in tqdm(runs.items(), desc="times", unit="command")}


def requirements(source: Path) -> list[str]:
    """The requirements of a source tree, as its setup.cfg states them."""
    config = configparser.ConfigParser()
    config.read(source / "setup.cfg", encoding="utf-8")
    lines = (line.split("#")[0].strip() for line in config["options"]["install_requires"].splitlines())
    return [line for line in lines if line]


def needed(wanted: Sequence[str], without: str = TORCH) -> dict[str, Distribution]:
    """The installed packages that requirements lead to, by name, not beyond one of them.

    Raises:
        RuntimeError: a package is not installed.
    """
    found: dict[str, Distribution] = {}
    reached: set[tuple[str, frozenset[str]]] = set()
    open_ends = [each for each in map(Requirement, wanted) if each.marker is None or each.marker.evaluate()]
    while open_ends:
        requirement = open_ends.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if name == without or (name, extras) in reached:
            continue
        reached.add((name, extras))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError as missing:
            raise RuntimeError(f"{name} is not installed here; install what the measured tree needs first") from missing
        for line in found[name].requires or []:
            further = Requirement(line)
            if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
                open_ends.append(further)
    return found


def megabytes(package: Distribution) -> float:
    """The size of a package's installed files, without compiled Python."""
    paths = (Path(str(package.locate_file(file))) for file in package.files or [])
    return sum(path.stat().st_size for path in paths if path.suffix != ".pyc" and path.is_file()) / 1e6


def sizes(source: Path) -> dict[str, Any]:
    """Megabytes of artasyn's own files and of the packages that it needs, without torch."""
    folders = (source / "artasyn", source / "segment", source / "synthesis")
    own = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    packages = {name: megabytes(package) for name, package in needed(requirements(source)).items()}
    largest = sorted(packages, key=lambda name: -packages[name])[:10]
    return {
        "artasyn_mb": round(sum({path.resolve(): path.stat().st_size for path in own}.values()) / 1e6, 1),
        "packages": len(packages),
        "packages_mb": round(sum(packages.values()), 1),
        "largest_mb": {name: round(packages[name], 1) for name in largest},
    }


def log_bytes(source: Path, folder: Path) -> dict[str, int]:
    """Bytes that `artasyn synthesise` writes about 200 phantoms where there is no terminal."""
    films = folder / "films"
    for seed in tqdm(range(SYNTHESISED), desc="phantoms", unit="film"):
        write_image(films / f"{seed:03d}.png", Phantom(size=128)(seed).image)
    done = in_source(source, ["-m", "artasyn", "synthesise", str(films), "--out", "synthesised"], folder)
    return {"films": SYNTHESISED, "bytes": len(done.stdout) + len(done.stderr)}


def report_megabytes(source: Path, folder: Path) -> dict[str, float]:
    """Megabytes of report.html of `artasyn evaluate` on 20 phantoms, half of them with lesions and masks."""
    data = folder / "evaluated"
    for seed in range(EVALUATED):
        film = Phantom(size=512)(seed, lesions=seed % 2 == 1)
        label = "diseased" if seed % 2 else "healthy"
        write_image(data / "test" / label / f"{seed:02d}.png", film.image)
        if seed % 2:
            write_mask(data / "ground_truth" / f"{seed:02d}.png", film.lesions)
    in_source(
        source, ["-m", "artasyn", "evaluate", "--data", str(data), "--out", "evaluation", "--bootstrap", "100"], folder
    )
    report = folder / "evaluation" / "report.html"
    return {"films": EVALUATED, "report_mb": round(report.stat().st_size / 1e6, 2)}


def conflicts(source: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Whether pip finds versions for artasyn together with each other package, and what it says where it does not."""
    found = {}
    for other in tqdm(OTHERS, desc="conflicts", unit="package"):
        report = folder / f"{other}.json"
        options = ["--dry-run", "--ignore-installed", "--quiet", "--no-input", "--report", str(report)]
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", *options, str(source), other], capture_output=True, text=True
        )
        if done.returncode:
            lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            found[other] = {"together": False, "said": lines[-12:]}
            continue
        installed: dict[str, str] = {
            canonicalize_name(each["metadata"]["name"]): each["metadata"]["version"]
            for each in json.loads(report.read_text())["install"]
        }
        names = (canonicalize_name(other), "artasyn", "lightning", "jsonargparse", "numpy", "torch")
        found[other] = {"together": True, "versions": {name: installed[name] for name in names if name in installed}}
    return found


def commit(source: Path) -> str | None:
    """The commit of a source tree; None outside of git."""
    done = subprocess.run(["git", "-C", str(source), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or None


def noted(out: Path, label: str, source: Path, figures: dict[str, Any]) -> None:
    """Writes figures into their column of the result, and leaves the others.

    Raises:
        RuntimeError: the column holds figures of another commit.
    """
    result = json.loads(out.read_text()) if out.exists() else {}
    about = {"commit": commit(source), "machine": machine()}
    column = result.get(label, about)
    if column["commit"] != about["commit"]:
        raise RuntimeError(
            f"{out}: {label} was measured at {column['commit']}, not at {about['commit']}; remove it first"
        )
    result[label] = column | about | figures
    out.write_text(json.dumps({each: result[each] for each in LABELS if each in result}, indent=1) + "\n")


def main() -> None:
    """Measures and writes one column of the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--label", choices=LABELS, required=True, help="the column that is written")
    options.add_argument("--source", type=Path, default=ROOT, help="the tree that is measured")
    options.add_argument("--repeats", type=int, default=5, help="fresh processes of each kind")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:-1], help="what is measured")
    options.add_argument("--demo-log", type=Path, help="what `artasyn demo` wrote to a file: its size is noted")
    options.add_argument("--out", type=Path, default=RESULTS / "at_home.json")
    given = options.parse_args()
    source = given.source.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ways: dict[str, Callable[[], Any]] = {
            "seconds": lambda: times(source, folder, given.repeats),
            "installed": lambda: sizes(source),
            "log": lambda: log_bytes(source, folder),
            "report": lambda: report_megabytes(source, folder),
            "conflicts": lambda: conflicts(source, folder),
        }
        for part in given.parts:
            noted(given.out, given.label, source, {part: ways[part]()})
    if given.demo_log:
        noted(given.out, given.label, source, {"demo_log_bytes": given.demo_log.stat().st_size})
    print(given.out)


if __name__ == "__main__":
    main()
