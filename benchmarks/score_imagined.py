"""Detectors trained on imagined films: ``python -m benchmarks.score_imagined --data DIR --records FILE --work DIR``.

Detectors are trained on `LungOpacity` alone, on the usual prompts alone, on both alike, on films that the filters keep
and on films that they reject: the same network, steps, normals and seeds as in `benchmarks.score_ladder`, whose first
rung, trained in the same folder, is taken as it is. FILE holds the random choices of kept and rejected films, from
``python -m benchmarks.score_generation --records FILE``; they are rendered on the training's own normals. A killed run
resumes. Writes results/generation_training.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from artasyn.arrays import Image
from artasyn.detection.detector import Detector
from artasyn.errors import SynthesisError
from artasyn.files import atomic
from artasyn.segment import Lungs
from artasyn.synthesis import LungOpacity
from artasyn.synthesis.anomaly import Made, OneOf
from artasyn.synthesis.diffusion import Imagined, PromptRecord
from artasyn.testsets.measured import Method
from artasyn.training.normals import prepare_normals
from benchmarks.development import training_normals
from benchmarks.score_ladder import BASE, RUN, figures_of, train_rung
from benchmarks.score_zeroshot import network
from benchmarks.speed_stages import RESULTS, machine

DRAWS = 20
"""Records that are tried on a normal before it counts as one that shows none of them."""


@dataclass(frozen=True)
class Remade:
    """Makes anomalies from records of other films.

    Attributes:
        kind: what the records have in common.
        records: the records.
    """

    kind: str
    records: tuple[PromptRecord, ...] = field(repr=False)

    def __call__(self, image: Image, lungs: Lungs, rng: np.random.Generator) -> Made:
        """Renders a record that is drawn; another one where it does not show."""
        imagined = Imagined()
        for _ in range(DRAWS):
            record = self.records[int(rng.integers(len(self.records)))]
            try:
                return imagined.render(image, lungs, record)
            except SynthesisError:
                continue
        raise SynthesisError(f"none of {DRAWS} records shows on this film")


def rungs_of(records: Path) -> dict[str, tuple[Any, dict[str, Any]]]:
    """The synthesis of every rung."""
    held = json.loads(records.read_text())
    kinds = {kind: Remade(kind, tuple(map(PromptRecord.from_json, held[kind]))) for kind in ("kept", "rejected")}
    return {
        BASE: (LungOpacity(), {}),
        "prompts": (Imagined(), {}),
        "prompts and LungOpacity": (OneOf((LungOpacity(), Imagined())), {}),
        "films that the filters keep": (kinds["kept"], {}),
        "films that the filters reject": (kinds["rejected"], {}),
    }


def main() -> None:
    """Trains, measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, help="the folder of development sets")
    options.add_argument("--records", type=Path, required=True)
    options.add_argument("--work", type=Path, default=Path("ladder"), help="folder for the trainings")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--rungs", nargs="*", default=[], metavar="NAME", help="some of them; all without it")
    options.add_argument("--workers", type=int, default=1)
    options.add_argument("--train-only", action="store_true", help="measure nothing: another process will")
    options.add_argument("--out", type=Path, default=RESULTS / "generation_training.json")
    given = options.parse_args()
    prepare_normals(training_normals(given.data), given.work / "normals", size=RUN.size, workers=given.workers)
    detectors: dict[str, Detector] = {}
    for number, seed in enumerate(given.seeds):
        for name, rung in rungs_of(given.records).items():
            if given.rungs and name not in given.rungs:
                continue
            model = train_rung(given.data, given.work, name, rung, seed, given.workers)
            detectors[f"{name}#{number}"] = Detector.from_pretrained(model)
    if given.train_only:
        return
    methods: dict[str, Method | None] = {name: network(each) for name, each in detectors.items()}
    found = figures_of(given.data, detectors, methods)
    held = json.loads(given.records.read_text())
    result = {
        "machine": machine(),
        "records": {kind: len(each) for kind, each in held.items()},
        "budget": {name: value for name, value in vars(RUN).items() if name != "weights"},
        "rungs": found,
    }
    atomic.write_text(given.out, json.dumps(result, indent=1, allow_nan=False) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
