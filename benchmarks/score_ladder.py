"""Ablation at one budget: ``python -m benchmarks.score_ladder --data DIR``.

Every rung is a training with the same network, steps, normals and seeds, and differs from the first one in one thing:
the anomalies, the kind of heatmap, the nuisances, the anatomy. Further rungs use the first one's networks with other
parts of the score. The budget is small: nine trainings and their figures took an hour and a half on two cores. A killed
run resumes. Compare the figures with each other, not with those of the detector that ships. DIR is the folder of
development sets.

The rungs named with "heatmap alone" leave the novelty out: they compare anomalies, not models of normal radiographs.
--rungs chooses some of them; `results/zeroshot_parts.json` holds the second round's.

Trained detectors are kept in --work. Writes results/zeroshot_ladder.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from artasyn.detection.detector import Detector
from artasyn.files import atomic
from artasyn.synthesis import FINDINGS, LungOpacity
from artasyn.testsets.measured import Method
from artasyn.training.normals import load_normals, prepare_normals
from artasyn.training.run import TrainingRun
from benchmarks import train_bundled
from benchmarks.development import SETS, training_normals
from benchmarks.rivals.atlas import Atlas
from benchmarks.rivals.presets import presets
from benchmarks.score_zeroshot import network, no_network, score_set
from benchmarks.speed_stages import RESULTS, machine

RUN = dataclasses.replace(train_bundled.RUN, size=64, epochs=2, averaged=1, learning_rate=2e-3, nuisances=0.1)
"""The budget of every rung: about 140 steps."""

BASE = "artasyn"
"""The first rung."""

NEW = ("perihilar_opacity", "peribronchial_thickening", "septal_thickening", "linear_atelectasis", "cavity",
       "miliary_pattern")  # fmt: skip
"""Findings that the first recipe did not have."""

KINDS: dict[str, dict[str, Any]] = {
    "without nuisances": {"nuisances": 0.0},
    "without anatomy: lungs by PBTSeg alone": {"anatomy": False},
    "heatmap alone: reconstruction alone": {"kind": "reconstruction"},
    "heatmap alone: segmentation, no reconstruction": {"kind": "segmentation"},
    "heatmap alone: no pretrained encoder": {"pretrained": False},
}
"""Rungs with other settings of the training."""

ALONE: dict[str, Any] = {"novelty_weight": 0.0, "novelty_prior": 0.0}
"""Settings of a detector that knows no model of normal radiographs."""


def one_group(detector: Detector) -> None:
    """Leaves one group of normal radiographs, the largest: nobody tells children from adults."""
    novelty: Any = detector.network.novelty  # type: ignore[attr-defined]
    for name in ("mean", "whitening", "center", "spread"):
        setattr(novelty, name, getattr(novelty, name)[:1].clone())
    detector.network.settings = dataclasses.replace(detector.settings, groups=1)


def whole_lungs(detector: Detector) -> None:
    """Gives every zone the statistics of the lungs as a whole."""
    regions: torch.Tensor = detector.network.regions  # type: ignore[attr-defined]
    regions[1:] = regions[0]
    novelty: Any = detector.network.novelty  # type: ignore[attr-defined]
    for name in ("mean", "whitening", "center", "spread"):
        buffer = getattr(novelty, name)
        buffer[:, 1:] = buffer[:, :1]


PARTS: dict[str, Callable[[Detector], None] | dict[str, Any]] = {
    "heatmap alone": ALONE,
    "without the novelty in the heatmap": {"novelty_prior": 0.0},
    "lungs by the hulls of PBTSeg's": {"region": "hulls"},
    "novelty of the lungs as a whole, without zones": whole_lungs,
    "novelty of the largest group alone": one_group,
}
"""Rungs with the networks of the first one and other parts of the score."""

MEASURED = ("lesions", "zhanglab", "nih", "jsrt and hannover")
"""The development sets with disease; viral pneumonia alone is a part of ZhangLab's."""

FIGURES = ("pixel_auroc_in_lungs", "pixel_auroc_in_lungs_per_image", "pixel_ap", "dice", "oracle_dice")


def rungs_of(normals: Path) -> dict[str, tuple[Any, dict[str, Any]]]:
    """The synthesis and the changed settings of every rung that is trained."""
    ways = presets(load_normals(normals))
    ours = ways.pop("artasyn")
    older = LungOpacity(tuple(finding for name, finding in FINDINGS.items() if name not in NEW))
    rungs: dict[str, tuple[Any, dict[str, Any]]] = {BASE: (ours, {}), "without the new findings": (older, {})}
    rungs |= {name: (ours, changes) for name, changes in KINDS.items()}
    slow = ways.pop("published texture")  # last: it takes longest
    rungs |= {f"heatmap alone: {name}": (way, {}) for name, way in ways.items()}
    return rungs | {"heatmap alone: published texture": (slow, {})}


def train_rung(data: Path, work: Path, name: str, rung: tuple[Any, dict[str, Any]], seed: int, workers: int) -> Path:
    """Trains a rung's detector, if it is not trained yet; returns the folder of its model."""
    way, changes = rung
    run = TrainingRun(**vars(RUN) | {"seed": seed} | changes)
    out = work / name.replace(":", "").replace(",", "").replace(" ", "-") / f"seed-{seed}"
    cache = work / "normals" if run.anatomy else out.parent / "normals"  # the normals are prepared once
    return train_bundled.fit(run, training_normals(data), out, cache, workers, way)


def detectors_of(data: Path, work: Path, seeds: list[int], *, workers: int, chosen: list[str]) -> dict[str, Detector]:
    """Returns the detectors of all rungs and seeds, by ``rung#number``; trains those that are missing."""
    prepare_normals(training_normals(data), work / "normals", size=RUN.size, workers=max(1, workers))
    rungs = {name: rung for name, rung in rungs_of(work / "normals").items() if not chosen or name in (BASE, *chosen)}
    detectors: dict[str, Detector] = {}
    for number, seed in enumerate(seeds):
        for name, rung in rungs.items():
            model = train_rung(data, work, name, rung, seed, workers)
            detector = Detector.from_pretrained(model)
            if name.startswith("heatmap alone"):
                detector.network.settings = dataclasses.replace(detector.settings, **ALONE)
            detectors[f"{name}#{number}"] = detector
        for name, change in PARTS.items():
            detector = Detector.from_pretrained(train_rung(data, work, BASE, rungs[BASE], seed, workers))
            if callable(change):
                change(detector)
            else:
                detector.network.settings = dataclasses.replace(detector.settings, **change)
            detectors[f"{name}#{number}"] = detector
    return detectors


def figures_of(
    data: Path, detectors: Mapping[str, Detector], methods: Mapping[str, Method | None]
) -> dict[str, list[dict[str, float | None]]]:
    """Measures every detector on all development sets; a list of the seeds' figures for each rung."""
    found: dict[str, list[dict[str, float | None]]] = {name.split("#")[0]: [] for name in methods}
    for title in MEASURED:
        test = SETS[title](data)
        scored, failed = score_set(test, methods, detectors, title=title)
        if failed:
            raise SystemExit("\n".join(failed))
        for name, one in scored.items():
            plain = one.evaluation.result(bootstrap=0).to_json()  # null where undefined
            figures = {key: plain[key]["value"] for key in FIGURES} if test.has_masks else {}
            if not test.has_masks:
                figures = {f"{title}: image_auroc": plain["image_auroc"]["value"]}
            rung, _, seed = name.partition("#")
            while len(found[rung]) <= int(seed):
                found[rung].append({})
            found[rung][int(seed)] |= figures
    return found


def main() -> None:
    """Trains, measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, help="the folder of development sets")
    options.add_argument("--work", type=Path, default=Path("ladder"), help="folder for the trainings")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument(
        "--rungs", nargs="*", default=[], metavar="NAME", help="rungs beside the first; all without it"
    )
    options.add_argument("--workers", type=int, default=1)
    options.add_argument("--train-only", action="store_true", help="measure nothing: another process will")
    options.add_argument("--out", type=Path, default=RESULTS / "zeroshot_ladder.json")
    given = options.parse_args()
    detectors = detectors_of(given.data, given.work, given.seeds, workers=given.workers, chosen=given.rungs)
    if given.train_only:
        return
    methods: dict[str, Method | None] = {name: network(each) for name, each in detectors.items()}
    methods["everything inside the true lungs#0"] = None
    methods["atlas of normals, no network#0"] = no_network(Atlas.of(load_normals(given.work / "normals"), RUN.size))
    found = figures_of(given.data, detectors, methods)
    budget = {n: v for n, v in vars(RUN).items() if n != "weights"}
    result = {"machine": machine(), "budget": budget, "rungs": found}
    atomic.write_text(given.out, json.dumps(result, indent=1, allow_nan=False) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
