"""Quality of PBTSeg's lungs on real radiographs with masks: ``python benchmarks/score_lungs.py``.

PBTSeg's mean outline and what shapes its lungs were chosen on the first, third, fifth ... film of each folder
("tuned") by mean figures alone; the others ("unseen") took no part in that. When a lung counts as not found, and
what its confidence is made of, was looked at on all films. JSRT and wingspan masks leave out the lung behind the heart,
V7-COVID and lesions masks include it, so that figures of the one kind are not to be compared with the other's.
Nothing is drawn at random, so there is no seed. Times are of one thread, without reading the file.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from scipy.stats import spearmanr
from tqdm import tqdm

from artasyn.arrays import Image, Mask
from artasyn.radiograph import read_mask, read_radiograph
from artasyn.segment import Lungs, PBTSeg

ROOT = Path(__file__).parent.parent
SETS = {
    "JSRT": "lung_masks/jsrt",
    "wingspan": "lung_masks/wingspan",
    "V7-COVID": "lung_masks/v7covid",
    "lesions": "lesions",
}


@dataclass(frozen=True)
class Score:
    """One radiograph: Dice of the union, whether both lungs were found on their sides, confidence, time."""

    dice: float
    found: bool
    sides: bool
    confidence: float
    milliseconds: float


def dice(one: Mask, other: Mask) -> float:
    """Twice the overlap over the sum; 0 where only one of them is empty."""
    return 2 * float((one & other).sum()) / max(1.0, float(one.sum()) + float(other.sum()))


def timed(image: Image, segment: PBTSeg) -> tuple[Lungs, float]:
    """The lungs and the milliseconds they took."""
    start = time.perf_counter()
    lungs = segment(image)
    return lungs, 1e3 * (time.perf_counter() - start)


def score(file: Path, segment: PBTSeg) -> Score:
    """Compares with the masks that lie beside a radiograph."""
    folder, name = file.parent.parent, f"{file.stem}.png"
    lungs, milliseconds = timed(read_radiograph(file), segment)
    union = read_mask(folder / "lungs" / name)
    if (folder / "right_lung").is_dir():
        right, left = read_mask(folder / "right_lung" / name), read_mask(folder / "left_lung" / name)
    else:
        known = Lungs.from_mask(union)
        right, left = known.right, known.left
    sides = dice(lungs.right, right) > dice(lungs.right, left) and dice(lungs.left, left) > dice(lungs.left, right)
    return Score(dice(lungs.mask, union), lungs.found, sides, min(lungs.confidence), milliseconds)


def summary(scores: list[Score]) -> dict[str, object]:
    """The figures of one set of radiographs."""
    sorted_dice = np.sort([s.dice for s in scores])
    low, middle, high = statistics.quantiles((s.milliseconds for s in scores), n=4)
    figures = {
        "mean_dice": sorted_dice.mean(),
        "worst_5_percent_dice": sorted_dice[: max(1, round(len(scores) / 20))].mean(),
        "both_found": np.mean([s.found for s in scores]),
        "sides_right": np.mean([s.sides for s in scores]),
        "spearman_confidence_dice": spearmanr([s.confidence for s in scores], [s.dice for s in scores]).statistic,
    }
    times = {"ms_per_image": round(middle, 1), "ms_q1": round(low, 1), "ms_q3": round(high, 1)}
    return {"images": len(scores), **{name: round(float(v), 4) for name, v in figures.items()}, **times}


def speed(image: Image, segment: PBTSeg, *, repeats: int = 15) -> dict[str, dict[str, float]]:
    """Median and quartiles of the time at two sizes, after a warm-up, in ms."""
    result = {}
    for size in (256, 2048):
        grid = np.asarray(cv2.resize(image, (size, size)).clip(0, 1), np.float32)
        segment(grid)
        low, middle, high = statistics.quantiles((timed(grid, segment)[1] for _ in range(repeats)), n=4)
        result[f"{size} px"] = {"median": round(middle, 1), "q1": round(low, 1), "q3": round(high, 1)}
    return result


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "lungs.json")
    given = options.parse_args()
    cv2.setNumThreads(1)
    segment = PBTSeg()
    files = {name: sorted((given.data / folder / "images").iterdir()) for name, folder in SETS.items()}
    sets: dict[str, dict[str, object]] = {}
    with tqdm(total=sum(map(len, files.values())), unit="image") as bar:
        for name, images in files.items():
            scores = []
            for file in images:
                scores.append(score(file, segment))
                bar.update()
            sets[name] = summary(scores)
            sets[name] |= {"tuned": summary(scores[0::2]), "unseen": summary(scores[1::2])}
    packages = ("artasyn", "numpy", "opencv-python-headless")
    result = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "threads": 1,
            "packages": {package: version(package) for package in packages},
        },
        "configuration": dataclasses.asdict(segment),
        "sets": sets,
        "ms_by_size": speed(read_radiograph(files["JSRT"][0]), segment),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
