"""How often PBTSeg tells films that cannot be judged, and how often it refuses films that can.

``python -m benchmarks.score_refusals``. All frontal films, healthy and diseased, children and adults, are judged as
they are, turned by 90, 180 and 270 degrees, inverted, and inverted and turned upside down. Side views and hands are
judged as they are; phantoms in every pose. A turned or inverted film is told if a warning names its fault.

Tuning: the thresholds were chosen on all of these films, by shares of films. The mean chests to which films are
compared are simulated (`mean_chests.py`), so that no radiograph is part of them. `halves` gives the shares for the
first, third, fifth ... film of each set and for the others. Phantoms have other seeds than those of the mean chests.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from artasyn.arrays import Image
from artasyn.cautions import UNUSABLE
from artasyn.files.radiograph import read_radiograph
from artasyn.phantom.film import Phantom
from artasyn.segment import PBTSeg

ROOT = Path(__file__).parent.parent
FRONTAL = {
    "children, healthy": "zhanglab/train/healthy",
    "children, pneumonia": "zhanglab/val/diseased",
    "NIH, no finding": "nih_normal",
    "NIH, opacity": "opacity_boxes",
    "JSRT": "lung_masks/jsrt/images",
    "wingspan": "lung_masks/wingspan/images",
    "V7-COVID": "lung_masks/v7covid/images",
    "lesions": "lesions/images",
    "openist": "openist/images",
    "Hannover": "covid_hannover",
}
SUFFIXES = (".png", ".jpg", ".jpeg")
PHANTOMS = (96, 128, 256, 512)
"""Sizes of the phantoms, 15 of each, in pixels."""

POSES: dict[str, tuple[Callable[[Image], np.ndarray], tuple[str, ...]]] = {
    "untouched": (lambda film: film, ()),
    "turned by 90 degrees": (lambda film: np.rot90(film), ("turned",)),
    "turned by 180 degrees": (lambda film: np.rot90(film, 2), ("turned",)),
    "turned by 270 degrees": (lambda film: np.rot90(film, 3), ("turned",)),
    "inverted": (lambda film: 1 - film, ("inverted",)),
    "inverted and turned by 180 degrees": (lambda film: 1 - np.rot90(film, 2), ("inverted", "turned")),
}
"""What is done to a film, and the words of which one must be told."""


def faults(image: np.ndarray, segment: PBTSeg) -> frozenset[str]:
    """The words for which PBTSeg calls an image unusable; empty for a usable image."""
    return frozenset(segment(np.ascontiguousarray(image, np.float32)).warnings) & UNUSABLE


def figures(found: Sequence[frozenset[str]], expected: Sequence[str]) -> dict[str, Any]:
    """How many films are unusable, how many are told by an expected word, and how often each word was told."""
    words = Counter(word for each in found for word in sorted(each))
    shares = {"unusable": sum(map(bool, found)) / len(found)}
    if expected:
        shares["told"] = sum(not each.isdisjoint(expected) for each in found) / len(found)
    rounded = {name: round(share, 5) for name, share in shares.items()}
    return {"films": len(found), **rounded, "words": dict(sorted(words.items()))}


def films_of(folder: Path) -> Iterator[Image]:
    """The radiographs of a folder, in the order of their names."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            yield read_radiograph(path)


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "refusals.json")
    given = options.parse_args()
    cv2.setNumThreads(1)
    segment = PBTSeg()
    sets = {name: films_of(Path(given.data) / folder) for name, folder in FRONTAL.items()}
    sets["phantoms"] = (Phantom(size=size)(seed).image for size in PHANTOMS for seed in range(100, 115))
    found: dict[str, dict[str, list[frozenset[str]]]] = {name: {pose: [] for pose in POSES} for name in sets}
    for name, films in sets.items():
        for film in tqdm(films, desc=name, unit="film"):
            for pose, (change, _) in POSES.items():
                found[name][pose].append(faults(change(film), segment))
    real = {pose: [each for name in FRONTAL for each in found[name][pose]] for pose in POSES}
    halves = {
        half: {pose: [each for name in FRONTAL for each in found[name][pose][first::2]] for pose in POSES}
        for half, first in (("odd", 0), ("even", 1))
    }
    result = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "packages": {package: version(package) for package in ("artasyn", "numpy", "opencv-python-headless")},
        },
        "frontal": {
            name: {pose: figures(words, POSES[pose][1]) for pose, words in of.items()}
            for name, of in {**found, "all real films": real}.items()
        },
        "halves": {
            half: {pose: figures(words, POSES[pose][1]) for pose, words in of.items()} for half, of in halves.items()
        },
        "others": {
            name: figures([faults(film, segment) for film in films_of(Path(given.data) / name)], [word])
            for name, word in (("lateral", "lateral"), ("other", "not_a_chest"))
        },
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
