"""The bounds of the filters, from real films: ``python -m benchmarks.measure_bounds``.

Imagined films are held against real disease. The bounds of texture and brightness come from the 42 films of `lesions`,
whose opacities were drawn by radiologists; those of the novelty from diseased films of five collections, nodules among
them. The detector must see an imagined finding at least as well as the tenth percentile of the drawn ones. A film
copies another if both are more alike than all but one in ten thousand pairs of films of different patients. The bounds
of the organs and of the contrast are set by hand. All are fixed here, before any imagined film is judged.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from artasyn import Detector
from artasyn.bulk.sources import find_sources
from artasyn.files.radiograph import read_mask, read_radiograph
from artasyn.synthesis.diffusion.filters import detected, looks, thumbnail
from benchmarks.development import patient_in

ROOT = Path(__file__).parent.parent
DISEASED = (
    "zhanglab/val/diseased",
    "opacity_boxes/images",
    "covid_hannover",
    "lesions/images",
    "lung_masks/jsrt/images",
)
NORMAL = ("nih_normal", "lung_masks/jsrt/images", "openist/images")
FILMS = 60
"""Films of each collection."""
BY_HAND = {"adherence": (1.0, 1.0), "organs": (0.8, 1.0), "contrast": (1.0, 1e9)}


def lesion_scores(data: Path, detector: Detector) -> dict[str, list[float]]:
    """Texture, brightness and what the detector sees, of the opacities that were drawn by hand."""
    found: dict[str, list[float]] = {"texture": [], "brightness": [], "detected": []}
    for file in tqdm(sorted((data / "lesions/images").iterdir()), desc="lesions", unit="film"):
        image = read_radiograph(file)
        mask, lungs = (read_mask(data / "lesions" / kind / f"{file.stem}.png") for kind in ("masks", "lungs"))
        for name, score in looks(image, mask, lungs).items():
            found[name].append(score)
        found["detected"].append(detected(detector(image).heatmap, mask, lungs))
    return found


def novelties(data: Path, detector: Detector) -> list[float]:
    """The novelty of diseased films."""
    found = []
    nodules = {path.stem for path in (data / "lung_masks/jsrt/nodule").iterdir()}
    for folder in DISEASED:
        sources = find_sources([data / folder])
        if "jsrt" in folder:
            sources = [source for source in sources if source.path.stem in nodules]
        chosen = sources[:: max(1, len(sources) // FILMS)]
        found += [detector(read_radiograph(each.path)).novelty for each in tqdm(chosen, desc=folder, unit="film")]
    return found


def likeness(data: Path) -> float:
    """The correlation that one in ten thousand pairs of films of different patients exceeds."""
    small, names = [], []
    for folder in NORMAL:
        for source in find_sources([data / folder]):
            small.append(thumbnail(read_radiograph(source.path)))
            names.append(patient_in(source.path))
    flat = np.stack(small).reshape(len(small), -1)
    other = np.array(names)[:, None] != np.array(names)
    return float(np.quantile((flat @ flat.T)[other], 0.9999))


def main() -> None:
    """Measures and writes the bounds."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--out", type=Path, default=ROOT / "synthesis" / "diffusion" / "bounds.json")
    given = options.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    detector = Detector.from_pretrained()
    scores = lesion_scores(given.data, detector)
    new = novelties(given.data, detector)
    bounds: dict[str, Any] = {name: np.nanpercentile(scores[name], (2.5, 97.5)) for name in ("texture", "brightness")}
    bounds["detected"] = (np.nanpercentile(scores["detected"], 10), 1.0)
    bounds["novelty"] = np.percentile(new, (2.5, 97.5))
    bounds["nearest"] = (-1.0, likeness(given.data))
    bounds |= BY_HAND
    films = {name: int(np.isfinite(values).sum()) for name, values in (scores | {"novelty": new}).items()}
    held = {
        "made_by": "python -m benchmarks.measure_bounds",
        "films": films,
        "bounds": {name: [round(float(end), 4) for end in ends] for name, ends in bounds.items()},
    }
    given.out.write_text(json.dumps(held, indent=1) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
