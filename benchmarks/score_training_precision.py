"""What a training in bfloat16 costs in accuracy: ``python -m benchmarks.score_training_precision --data DIR``.

DIR is the folder of development sets (see `benchmarks.development`). Detectors are trained in 32 bits and in bfloat16
with equal settings, seeds and normals, in two ways: begun anew, and begun with the bundled detector. All of them detect
in 32 bits. Figures of one seed differ from those of another by more than precisions do, so each has several seeds. A
killed run resumes. Trained detectors are kept in --work.

Writes results/speed_training_precision.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from artasyn.detection.detector import Detector
from artasyn.files import atomic
from artasyn.testsets.measured import Method
from artasyn.training.normals import prepare_normals
from artasyn.training.run import RECIPE, Precision
from benchmarks import train_bundled
from benchmarks.development import training_normals
from benchmarks.score_ladder import figures_of
from benchmarks.score_zeroshot import network
from benchmarks.speed_stages import RESULTS, machine

PRECISIONS: tuple[Precision, ...] = ("32-true", "bf16-mixed")

WAYS = {
    "begun anew": dataclasses.replace(RECIPE, start=None, pretrained=True, epochs=2),
    "begun with the bundled detector": dataclasses.replace(RECIPE, epochs=2),
}
"""The trainings; the recipe that ships has more epochs."""


def trained(data: Path, work: Path, seeds: list[int], workers: int) -> dict[str, Detector]:
    """Returns the detectors by ``way, precision#number``; trains those that are missing."""
    normals = training_normals(data)
    prepare_normals(normals, work / "normals", size=RECIPE.size, workers=max(1, workers))
    detectors = {}
    for number, seed in enumerate(seeds):
        for way, settings in WAYS.items():
            for precision in PRECISIONS:
                run = dataclasses.replace(settings, precision=precision, seed=seed)
                out = work / f"{way} {precision}".replace(" ", "-") / f"seed-{seed}"
                model = train_bundled.fit(run, normals, out, work / "normals", workers)
                detectors[f"{way}, {precision}#{number}"] = Detector.from_pretrained(model)
    return detectors


def main() -> None:
    """Trains, measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, help="the folder of development sets")
    options.add_argument("--work", type=Path, default=Path("training_precision"), help="folder for the trainings")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    options.add_argument("--workers", type=int, default=1)
    options.add_argument("--train-only", action="store_true", help="measure nothing: another process will")
    options.add_argument("--out", type=Path, default=RESULTS / "speed_training_precision.json")
    given = options.parse_args()
    detectors = trained(given.data, given.work, given.seeds, given.workers)
    if given.train_only:
        return
    methods: dict[str, Method | None] = {name: network(each) for name, each in detectors.items()}
    found = figures_of(given.data, detectors, methods)
    ways = {way: {precision: found[f"{way}, {precision}"] for precision in PRECISIONS} for way in WAYS}
    epochs = {way: run.epochs for way, run in WAYS.items()}
    result = {"machine": machine(), "seeds": given.seeds, "epochs": epochs, "ways": ways}
    atomic.write_text(given.out, json.dumps(result, indent=1, allow_nan=False) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
