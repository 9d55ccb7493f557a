"""Trains the detector that ships: ``python -m benchmarks.train_bundled --data DIR --out DIR``.

DIR is the folder of development sets. Films of the patients that the tests use are left out (see
`benchmarks.development`). The training has two rounds. The first one begins with an encoder that learnt from
photographs, and its films have no nuisances. The second one begins with the first one's detector and adds nuisances;
the weights of both are averaged. The second round took 26 minutes on two cores. The weights that ship are those of an
older first round (see artasyn/model/README.md), from which the second one went on with --start. A killed run resumes.

Writes OUT/first and OUT/second; OUT/second/model is the detector.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from artasyn.bulk.sources import Source
from artasyn.synthesis.anomaly import Synthesis
from artasyn.training.run import RECIPE, TrainingRun
from benchmarks.development import training_normals

RUN = dataclasses.replace(RECIPE, epochs=12, averaged=2, pretrained=True, nuisances=0.0, start=None)
"""The first round."""

SECOND = RECIPE
"""The second round, which begins with the detector of the first one."""


def fit(
    run: TrainingRun, normals: Sequence[Source], out: Path, cache: Path, workers: int, way: Synthesis | None = None
) -> Path:
    """Trains in a folder, with the prepared normals of another one; returns the folder of the model."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "cache").exists():
        cache.mkdir(parents=True, exist_ok=True)
        (out / "cache").symlink_to(cache.resolve(), target_is_directory=True)
    run.fit(normals, out, workers=workers, synthesis=way)
    return out / "model"


def main() -> None:
    """Trains the detector, or resumes a killed run."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, help="the folder of development sets")
    options.add_argument("--out", type=Path, default=Path("bundled"), help="folder for the trainings")
    options.add_argument("--start", default="", help="a detector to begin the second round with; without it, the first")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--workers", type=int, default=1)
    given = options.parse_args()
    normals = training_normals(given.data)
    cache = given.out / "normals"
    start = given.start
    if not start:
        start = fit(dataclasses.replace(RUN, seed=given.seed), normals, given.out / "first", cache, given.workers)
    second = dataclasses.replace(SECOND, seed=given.seed, start=str(start))
    print(fit(second, normals, given.out / "second", cache, given.workers))


if __name__ == "__main__":
    main()
