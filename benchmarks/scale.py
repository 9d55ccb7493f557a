"""Runs over 100,000 films: time, memory, kills, full disks, and ten million on paper: ``python -m benchmarks.scale``.

The work has stages. The figures of a stage are stored in the work folder as soon as they are there, and the same
command goes on with the first stage that is missing. Films are made of real normal films, no two alike. Commands are
real subprocesses, watched from outside. A killed run is killed with its workers, at random moments over the whole run,
and must end with the bytes of the run that nobody killed. All stages take about an hour and a half of two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artasyn.files import atomic
from benchmarks import scale_names
from benchmarks.many_films import write_films
from benchmarks.scale_paper import curves, on_paper
from benchmarks.scale_trouble import trouble
from benchmarks.scale_watch import figures, tree_figures, watched
from benchmarks.speed_stages import RESULTS, machine

PICTURE = Path(__file__).parent.parent / "docs" / "scale.png"

COMMANDS: dict[str, tuple[str, ...]] = {
    "synthesise": ("synthesise", "films", "--format", "shards", "--samples-per-shard", "{shard}"),
    "segment": ("segment", "films"),
    "detect": ("detect", "detected-films"),
}
"""The commands that are measured, as they run in the work folder; `Scale.shard` is filled in."""

KILLED = ("synthesise", "segment")
"""The commands that are killed."""


@dataclass(frozen=True)
class Scale:
    """The sizes of a measurement.

    Attributes:
        films: of the collection.
        detected: how many of them `artasyn detect` looks at.
        troubled: how many of them the trials of full disks use.
        size: of a side of a film, in pixels.
        workers: processes.
        kills: of each command that is killed.
        seed: of the moments of the kills.
        names: numbers of made-up names.
        shard: synthetic images in a shard.
    """

    films: int
    detected: int
    troubled: int
    size: int
    workers: int
    kills: int
    seed: int
    names: tuple[int, ...]
    shard: int = 500

    def line(self, name: str) -> list[str]:
        """Returns the arguments of a command."""
        return [each.format(shard=self.shard) for each in COMMANDS[name]]

    def count(self, name: str) -> int:
        """Returns the number of films that a command works on."""
        return self.detected if name == "detect" else self.films


def make_films(work: Path, scale: Scale) -> dict[str, Any]:
    """Makes the films, and folders with links to the first of them."""
    began = time.monotonic()
    folder = work / "films"
    shutil.rmtree(folder, ignore_errors=True)
    write_films(folder, films=scale.films, size=scale.size, workers=scale.workers)
    seconds = time.monotonic() - began
    paths = sorted(folder.rglob("*.png"))
    for name, count in {"detected-films": scale.detected, "troubled-films": scale.troubled}.items():
        shutil.rmtree(work / name, ignore_errors=True)
        for path in paths[:count]:
            link = work / name / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, link)
    size = sum(path.stat().st_size for path in paths)
    return {"films": len(paths), "bytes": size, "seconds": round(seconds, 1)}


def undisturbed(name: str, work: Path, scale: Scale) -> dict[str, Any]:
    """Runs a command from its start to its end."""
    out = work / name
    shutil.rmtree(out, ignore_errors=True)
    seen = watched(scale.line(name), out, work, workers=scale.workers)
    if seen.status not in (0, 1):
        raise RuntimeError(f"artasyn {name} ended with {seen.status}: {seen.said.strip()[-500:]}")
    return (
        figures(seen, scale.count(name))
        | tree_figures(out)
        | {"said": seen.said.strip().splitlines()[-1].replace(f"{work}/", "")}
    )


def hashes(out: Path) -> dict[str, str]:
    """Returns a hash of every file below a folder, journal included, by its path."""
    paths = [path for path in sorted(out.rglob("*")) if path.is_file()]

    def one(path: Path) -> str:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()

    with ThreadPoolExecutor(2) as pool:
        return dict(zip((path.relative_to(out).as_posix() for path in paths), pool.map(one, paths), strict=True))


def killed(name: str, work: Path, scale: Scale) -> dict[str, Any]:
    """Runs a command that is killed again and again, and compares its files with those of the undisturbed run.

    The films are divided into as many parts as there are kills. A kill comes a random time after its part has begun, or
    after the start, if the run begins behind that place.
    """
    whole, out, total = work / name, work / f"{name}-killed", scale.count(name)
    shutil.rmtree(out, ignore_errors=True)
    calm = json.loads(_stored(work, name).read_text())
    most, rng = calm["seconds"] / scale.kills, random.Random(scale.seed)
    kills: list[dict[str, Any]] = []
    for number in range(scale.kills + 1):
        last = number == scale.kills
        after = rng.uniform(0, most)
        reached: list[float] = []

        def due(seconds: float, films: int, number: int = number, after: float = after, reached: Any = reached) -> bool:
            if films >= number * total / scale.kills:
                reached.append(seconds)
            return bool(reached) and seconds >= reached[0] + after

        stop: Callable[[float, int], bool] = (lambda seconds, films: False) if last else due
        seen = watched(scale.line(name), out, work, workers=scale.workers, stop=stop)
        ended = seen.progress[-1][1] if seen.progress else seen.before
        about = {"films_before": seen.before, "films_after": ended, "status": seen.status}
        times = {"seconds": seen.seconds, "seconds_until_ready": seen.ready, "seconds_until_first": seen.first}
        kills.append(about | {key: None if value is None else round(value, 2) for key, value in times.items()})
    expected, found = hashes(whole), hashes(out)
    differing = sorted(file for file in expected.keys() | found.keys() if expected.get(file) != found.get(file))
    seconds = sum(each["seconds"] for each in kills)
    if not differing:
        shutil.rmtree(out)
    return {
        "kills": sum(each["status"] == -9 for each in kills),
        "runs": kills,
        "files_compared": len(expected),
        "files_that_differ": len(differing),
        "differing": differing[:10],
        "seconds": round(seconds, 1),
        "seconds_beyond_undisturbed": round(seconds - calm["seconds"], 1),
    }


def names(work: Path, scale: Scale) -> dict[str, Any]:
    """Measures what names cost."""
    found: dict[str, Any] = {}
    for count in scale.names:
        with tempfile.TemporaryDirectory(dir=work, prefix="names-") as folder:
            scale_names.make_names(Path(folder), count)
            found[str(count)] = {part: scale_names.measured(Path(folder), part) for part in scale_names.PARTS}
    return found


Stage = Callable[[Path, Scale], dict[str, Any]]


def _command(name: str) -> Stage:
    return lambda work, scale: undisturbed(name, work, scale)


def _kills(name: str) -> Stage:
    return lambda work, scale: killed(name, work, scale)


STAGES: dict[str, Stage] = {
    "films": make_films,
    "trouble": lambda work, scale: trouble(work / "troubled-films", work),
    **{name: _command(name) for name in COMMANDS},
    **{f"{name}, killed": _kills(name) for name in KILLED},
    "names": names,
}
"""The stages in their order; each returns its figures."""


def _stored(work: Path, stage: str) -> Path:
    """Returns the file of a stage's figures."""
    return work / "figures" / f"{stage}.json"


def measure(work: Path, scale: Scale, stages: Sequence[str] = tuple(STAGES)) -> dict[str, Any]:
    """Runs the stages whose figures are missing and returns the figures of all that are there.

    Args:
        work: the work folder.
        scale: the sizes; a work folder of other sizes is refused.
        stages: names in `STAGES`.

    Raises:
        RuntimeError: the work folder has figures of other sizes, or a command failed.
    """
    sizes = {"films": scale.films, "size": scale.size, "workers": scale.workers, "seed": scale.seed}
    sizes["shard"] = scale.shard
    kept = work / "figures" / "sizes.json"
    if kept.exists() and json.loads(kept.read_text()) != sizes:
        raise RuntimeError(f"{work} holds figures of other sizes; give the same sizes, or another --work")
    atomic.write_text(kept, json.dumps(sizes))
    for stage in STAGES:
        if stage in stages and not _stored(work, stage).exists():
            began = time.monotonic()
            print(f"{stage} ...", flush=True)
            found = STAGES[stage](work, scale)
            atomic.write_text(_stored(work, stage), json.dumps(found, indent=1) + "\n")
            print(f"{stage}: {time.monotonic() - began:.0f} s", flush=True)
    there = {stage: json.loads(_stored(work, stage).read_text()) for stage in STAGES if _stored(work, stage).exists()}
    return {"machine": machine(), **sizes, "stages": there}


@contextmanager
def _work(folder: Path | None) -> Iterator[Path]:
    """Yields the work folder: the given one, which stays, or a temporary one."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and writes the result and the picture."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--films", type=int, default=100_000)
    options.add_argument("--detected", type=int, default=20_000, help="films that artasyn detect looks at")
    options.add_argument("--troubled", type=int, default=120, help="films of the trials of full disks")
    options.add_argument("--size", type=int, default=256)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--kills", type=int, default=10, help="of each command that is killed")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--names", type=int, nargs="+", default=scale_names.SIZES, help="made-up names")
    options.add_argument("--shard", type=int, default=500, help="synthetic images in a shard")
    options.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    options.add_argument("--work", type=Path, help="a folder that keeps films, results and figures")
    options.add_argument("--out", type=Path, default=RESULTS / "scale.json")
    options.add_argument("--picture", type=Path, default=PICTURE)
    given = options.parse_args(arguments)
    scale = Scale(
        films=given.films,
        detected=min(given.detected, given.films),
        troubled=min(given.troubled, given.films),
        size=given.size,
        workers=given.workers,
        kills=given.kills,
        seed=given.seed,
        names=tuple(given.names),
        shard=given.shard,
    )
    with _work(given.work) as work:
        result = measure(work, scale, given.stages)
    result["paper"] = on_paper(result["stages"])
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    curves(result, given.picture)
    print(given.out, given.picture, sep="\n")


if __name__ == "__main__":
    main()
