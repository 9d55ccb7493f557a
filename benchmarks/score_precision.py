"""What bfloat16 and onnxruntime cost in AUROC and Dice: ``python -m benchmarks.score_precision --data DIR``.

DIR is the folder of development sets (see `benchmarks.development`). Every set gives at most --films films,
evenly spaced.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from artasyn.detection.detector import Detector
from artasyn.files import atomic
from artasyn.files.radiograph import read_radiograph
from artasyn.testsets.testset import TestSet
from benchmarks.development import SETS
from benchmarks.speed_stages import ENGINES, RESULTS, engine, machine

CHOSEN = ("lesions", "zhanglab", "nih")


def figures(test: TestSet, detectors: dict[str, Detector], most: int) -> dict[str, Any]:
    """Scores, AUROC and mean Dice on a set by every detector; the first one is what the others are compared with."""
    films = [test.films[place] for place in np.unique(np.linspace(0, len(test.films) - 1, most).astype(int))]
    diseased = np.array([film.diseased for film in films])
    scores: dict[str, list[float]] = {name: [] for name in detectors}
    dice: dict[str, list[float]] = {name: [] for name in detectors}
    apart: dict[str, float] = dict.fromkeys(detectors, 0.0)
    judged: dict[str, list[bool]] = {name: [] for name in detectors}
    for film in tqdm(films, unit="film"):
        image = read_radiograph(film.source.path)
        lesions = film.lesions(image.shape) if test.has_masks and film.diseased else None
        exact = None
        for name, detector in detectors.items():
            found = detector(image)
            exact = found if exact is None else exact
            scores[name].append(found.score)
            judged[name].append(found.abnormal)
            apart[name] = max(apart[name], float(np.abs(found.heatmap - exact.heatmap).max()))
            if lesions is not None:
                total = int(found.mask.sum()) + int(lesions.sum())
                dice[name].append(2 * int((found.mask & lesions).sum()) / max(total, 1))
    first, *_ = detectors
    both = 0 < diseased.sum() < len(films)
    return {
        "films": len(films),
        "diseased": int(diseased.sum()),
        "precisions": {
            name: {
                "auroc": round(float(roc_auc_score(diseased, scores[name])), 5) if both else None,
                "dice": round(float(np.mean(dice[name])), 5) if dice[name] else None,
                "score_largest": round(float(np.abs(np.subtract(scores[name], scores[first])).max()), 7),
                "heatmap_largest": round(apart[name], 7),
                "judged_otherwise": int(np.not_equal(judged[name], judged[first]).sum()),
            }
            for name in detectors
        },
    }


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, required=True, help="the folder of development sets")
    options.add_argument("--films", type=int, default=200, help="most films of a set")
    options.add_argument("--out", type=Path, default=RESULTS / "speed_precision.json")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        detectors = {name: engine(name, Path(folder)) for name in ENGINES}
        sets = {name: figures(SETS[name](given.data), detectors, given.films) for name in CHOSEN}
    result = {"machine": machine(), "model": detectors[ENGINES[0]].digest, "sets": sets}
    atomic.write_text(given.out, json.dumps(result, indent=1, allow_nan=False) + "\n")
    print(json.dumps(sets, indent=1), given.out, sep="\n")


if __name__ == "__main__":
    main()
