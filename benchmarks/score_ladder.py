"""Ablation of anomalies and kinds of heatmap at one budget: ``python -m benchmarks.score_ladder --data DIR``.

Every rung is a training with the same network, steps, normals and seeds. Only the anomalies or the kind of heatmap
differ. The novelty is left out, because the rungs compare anomalies and not models of normal radiographs. The budget is
small: three seeds of every rung take three hours on one core, a third of it for the published texture. A killed run
resumes. Compare the figures with each other, not with those of the detector that ships. DIR is the folder of
development sets.

Trained detectors are kept in --work. Writes results/zeroshot_ladder.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from artasyn.detection.detector import Detector
from artasyn.files import atomic
from artasyn.testsets.measured import Method
from artasyn.training.normals import load_normals, prepare_normals
from artasyn.training.run import TrainingRun
from benchmarks import train_bundled
from benchmarks.development import SETS, training_normals
from benchmarks.rivals.atlas import Atlas
from benchmarks.rivals.presets import presets
from benchmarks.score_zeroshot import network, no_network, score_set
from benchmarks.speed_stages import RESULTS, machine

RUN = dataclasses.replace(train_bundled.RUN, size=64, epochs=2, averaged=1)
"""The budget of every rung: about 140 steps."""

KINDS: dict[str, dict[str, Any]] = {
    "artasyn: reconstruction alone": {"kind": "reconstruction"},
    "artasyn: segmentation, no reconstruction": {"kind": "segmentation"},
    "artasyn: no pretrained encoder": {"pretrained": False},
}
"""Other rungs with our anomalies."""

FIGURES = ("pixel_auroc_in_lungs", "pixel_auroc_in_lungs_per_image", "pixel_ap", "dice", "oracle_dice")


def train_rungs(
    data: Path, work: Path, seeds: list[int], *, workers: int, without: list[str]
) -> dict[str, list[Detector]]:
    """Trains the detectors that are not trained yet."""
    sources = training_normals(data)
    prepare_normals(sources, work / "normals", size=RUN.size, workers=max(1, workers))
    ways = presets(load_normals(work / "normals"))
    rungs: dict[str, tuple[Any, dict[str, Any]]] = {name: (way, {}) for name, way in ways.items()}
    rungs |= {name: (ways["artasyn"], changes) for name, changes in KINDS.items()}
    rungs["published texture"] = rungs.pop("published texture")  # last: it takes longest
    rungs = {name: rung for name, rung in rungs.items() if name not in without}
    detectors: dict[str, list[Detector]] = {}
    for seed in seeds:
        for name, (way, changes) in rungs.items():
            out = work / name.replace(":", "").replace(",", "").replace(" ", "-") / f"seed-{seed}"
            out.mkdir(parents=True, exist_ok=True)
            if not (out / "cache").exists():  # the normals are prepared once
                (out / "cache").symlink_to((work / "normals").resolve(), target_is_directory=True)
            run = TrainingRun(**vars(RUN) | {"seed": seed} | changes)
            detector = run.fit(sources, out, workers=workers, synthesis=way)
            without_novelty = dataclasses.replace(detector.settings, novelty_weight=0.0, novelty_prior=0.0)
            detector.network.settings = without_novelty  # the rungs compare anomalies alone
            detectors.setdefault(name, []).append(detector)
    return detectors


def main() -> None:
    """Trains, measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, help="the folder of development sets")
    options.add_argument("--work", type=Path, default=Path("ladder"), help="folder for the trainings")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--without", nargs="*", default=[], metavar="NAME", help="rungs to leave out")
    options.add_argument("--workers", type=int, default=1)
    options.add_argument("--out", type=Path, default=RESULTS / "zeroshot_ladder.json")
    given = options.parse_args()
    trained = train_rungs(given.data, given.work, given.seeds, workers=given.workers, without=given.without)
    detectors = {f"{name}#{k}": each for name, several in trained.items() for k, each in enumerate(several)}
    methods: dict[str, Method | None] = {name: network(each) for name, each in detectors.items()}
    methods["everything inside the true lungs#0"] = None
    methods["atlas of normals, no network#0"] = no_network(Atlas.of(load_normals(given.work / "normals"), RUN.size))
    found: dict[str, list[dict[str, float | None]]] = {name.split("#")[0]: [] for name in methods}
    for title, make in SETS.items():
        test = make(given.data)
        scored, failed = score_set(test, methods, detectors, title=title)
        if failed:
            raise SystemExit("\n".join(failed))
        for name, one in scored.items():
            metrics = one.evaluation.result(bootstrap=0)
            plain = metrics.to_json()  # null where undefined
            figures = {key: plain[key]["value"] for key in FIGURES} if test.has_masks else {}
            if not test.has_masks:
                figures = {f"{title}: image_auroc": plain["image_auroc"]["value"]}
            rung, _, seed = name.partition("#")
            while len(found[rung]) <= int(seed):
                found[rung].append({})
            found[rung][int(seed)] |= figures
    result = {"machine": machine(), "budget": {n: v for n, v in vars(RUN).items() if n != "weights"}, "rungs": found}
    atomic.write_text(given.out, json.dumps(result, indent=1, allow_nan=False) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
