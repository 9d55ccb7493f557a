"""What a detector takes for disease: ``python -m benchmarks.score_false_alarms --data DIR``.

DIR is the folder of development sets. Healthy radiographs of every source, none of them trained on, are counted where
they are flagged, and the share of their lungs is measured that is marked. Nuisances are drawn on healthy radiographs
one by one (`artasyn.synthesis.nuisances`): the mean change of the score's log-odds should be small beside that of a
synthetic consolidation. Radiographs that cannot be judged (from the side, hands, inverted, turned) must not be called
abnormal.

Writes results/false_alarms.json. Takes about three minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from artasyn.arrays import Image, generator, identity
from artasyn.bulk.sources import find_sources
from artasyn.detection.detector import Detector
from artasyn.files import atomic
from artasyn.files.radiograph import read_radiograph
from artasyn.segment import Lungs, PBTSeg
from artasyn.synthesis import LungOpacity, findings
from artasyn.synthesis.nuisances import NUISANCES, Field
from artasyn.testsets.testset import TestFilm
from benchmarks.development import SETS
from benchmarks.speed_stages import RESULTS, machine

FILMS = 25
"""Healthy radiographs of each source on which nuisances are drawn."""

Change = Callable[[Image, Lungs, np.random.Generator], Image]
"""Changes a radiograph."""


def healthy_films(data: Path) -> dict[str, list[Path]]:
    """The healthy radiographs of every source."""

    def paths(films: Sequence[TestFilm]) -> list[Path]:
        return [film.source.path for film in films if not film.diseased]

    found = {name: paths(SETS[name](data).films) for name in ("zhanglab", "nih", "openist")}
    found["jsrt"] = paths(SETS["jsrt and hannover"](data).films)
    return found


def by_source(detector: Detector, films: dict[str, list[Path]]) -> dict[str, dict[str, float]]:
    """How many healthy radiographs are flagged, and how much of their lungs is marked."""
    found = {}
    for name, paths in films.items():
        seen = [detector(read_radiograph(path)) for path in tqdm(paths, desc=name, unit="film")]
        marked = [each.mask[each.lungs.mask].mean() for each in seen if each.lungs is not None]
        found[name] = {
            "films": len(paths),
            "flagged": round(float(np.mean([each.abnormal for each in seen])), 4),
            "unusable": round(float(np.mean([each.status == "unusable" for each in seen])), 4),
            "lung_marked": round(float(np.mean(marked)), 4),
            "novelty": round(float(np.median([each.novelty for each in seen])), 3),
        }
    return found


def changes() -> dict[str, Change]:
    """Every nuisance, and disease to compare it with."""

    def drawn(name: str) -> Change:
        def change(image: Image, lungs: Lungs, rng: np.random.Generator) -> Image:
            shadow = NUISANCES[name](Field.of(lungs), rng)
            return np.asarray(np.clip(image + shadow, image, 1), np.float32)

        return change

    sick = LungOpacity(findings("consolidation", severity_range=(0.3, 0.6)), kinds_range=(1, 1))
    return {name: drawn(name) for name in NUISANCES} | {
        "consolidation": lambda image, lungs, rng: sick(image, lungs, rng).image
    }


def by_nuisance(detector: Detector, films: dict[str, list[Path]]) -> dict[str, dict[str, float]]:
    """The change of the score's log-odds for every nuisance."""
    chosen = [path for paths in films.values() for path in paths[:: max(1, len(paths) // FILMS)][:FILMS]]
    made = changes()
    before, after = [], {name: [] for name in made}  # type: ignore[var-annotated]
    for path in tqdm(chosen, desc="nuisances", unit="film"):
        image = read_radiograph(path)
        lungs = PBTSeg()(image)
        if not lungs.found:
            continue
        before.append(_odds(detector(image).score))
        for number, (name, change) in enumerate(made.items()):
            after[name].append(_odds(detector(change(image, lungs, generator(number, identity(image)))).score))
    limit = _odds(detector.image_threshold)
    first = np.array(before)
    return {
        name: {
            "films": len(values),
            "change": round(float(np.mean(np.array(values) - first)), 3),
            "spread": round(float(np.std(np.array(values) - first)), 3),
            "flagged": round(float(np.mean(np.array(values) >= limit)), 4),
            "flagged_before": round(float(np.mean(first >= limit)), 4),
        }
        for name, values in after.items()
    }


def unusable(detector: Detector, data: Path, films: dict[str, list[Path]]) -> dict[str, dict[str, float]]:
    """How many radiographs that cannot be judged are called abnormal, and how many are told."""
    frontal = [read_radiograph(path) for path in (*films["jsrt"], *films["nih"], *films["zhanglab"][::3])]
    kinds: dict[str, list[Image]] = {
        "lateral": [read_radiograph(source.path) for source in find_sources([data / "lateral"])],
        "hands": [read_radiograph(source.path) for source in find_sources([data / "other"])],
        "inverted": [np.asarray(1 - image, np.float32) for image in frontal],
        "turned by 90 degrees": [np.ascontiguousarray(np.rot90(image)) for image in frontal],
        "turned by 180 degrees": [np.ascontiguousarray(np.rot90(image, 2)) for image in frontal],
    }
    found = {}
    for name, images in kinds.items():
        seen = [detector(image) for image in tqdm(images, desc=name, unit="film")]
        found[name] = {
            "films": len(images),
            "told": round(float(np.mean([each.status == "unusable" for each in seen])), 4),
            "called_abnormal": round(float(np.mean([each.abnormal for each in seen])), 4),
        }
    return found


def _odds(score: float) -> float:
    limited = min(max(score, 1e-6), 1 - 1e-6)
    return float(np.log(limited / (1 - limited)))


def measured(detector: Detector, data: Path) -> dict[str, Any]:
    """All figures of one detector."""
    films = healthy_films(data)
    return {
        "sources": by_source(detector, films),
        "nuisances": by_nuisance(detector, films),
        "unusable": unusable(detector, data, films),
    }


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, help="the folder of development sets")
    options.add_argument("--model", default="bundled", help="a detector's folder or hub id")
    options.add_argument("--out", type=Path, default=RESULTS / "false_alarms.json")
    given = options.parse_args()
    result = {"machine": machine(), **measured(Detector.from_pretrained(given.model), given.data)}
    atomic.write_text(given.out, json.dumps(result, indent=1, allow_nan=False) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
