"""Quality of PBTSeg's lungs on real radiographs with masks: ``python -m benchmarks.score_lungs``.

Tuning: PBTSeg's mean outline and the parameters that shape its lungs were chosen on the first, third, fifth ... film of
each folder ("tuned"), by mean figures and by looking at the worst of these films. The other films ("unseen") were not
used for this. The terms of the confidence, and the figures below which PBTSeg reports nothing, were chosen on all
films.

Masks: JSRT and wingspan masks leave out the lung behind the heart; V7-COVID and lesions masks include it. Figures of
the two kinds of mask cannot be compared. V7-COVID and lesions therefore have a second figure that leaves the region
behind the heart out of the score. This region is the mean place of the heart in JSRT and wingspan films, in the box
around the true lungs.

Nothing is drawn at random, so there is no seed. The published algorithm (`published_pbtseg.py`) is scored too.
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

from artasyn.arrays import Heatmap, Image, Mask
from artasyn.evaluation.overlap import dice
from artasyn.files.radiograph import read_mask, read_radiograph
from artasyn.segment import Lungs, PBTSeg
from benchmarks.rivals.published_pbtseg import SIZE, published_pbtseg

ROOT = Path(__file__).parent.parent
SETS = {
    "JSRT": "lung_masks/jsrt",
    "wingspan": "lung_masks/wingspan",
    "V7-COVID": "lung_masks/v7covid",
    "lesions": "lesions",
}


BEHIND_HEART = ("V7-COVID", "lesions")
"""Sets whose masks include the lung behind the heart."""


@dataclass(frozen=True)
class Score:
    """The figures of PBTSeg and of the published algorithm on one radiograph."""

    dice: float
    without_heart: float
    found: bool
    sides: bool
    confidence: float
    milliseconds: float
    published_dice: float
    published_found: bool


def timed(image: Image, segment: PBTSeg) -> tuple[Lungs, float]:
    """The lungs and the milliseconds they took."""
    start = time.perf_counter()
    lungs = segment(image)
    return lungs, 1e3 * (time.perf_counter() - start)


def heart_map(data: Path) -> Heatmap:
    """How often the heart lies at each place of the box around both lungs, over JSRT and wingspan films."""
    maps = []
    for name in SETS.keys() - set(BEHIND_HEART):
        for file in sorted((data / SETS[name] / "heart").iterdir()):
            heart = read_mask(file)
            box = lung_box(read_mask(file.parent.parent / "lungs" / file.name))
            maps.append(cv2.resize(heart[box].astype(np.float32), (128, 128)))
    return np.asarray(np.mean(maps, axis=0), np.float32)


def lung_box(union: Mask) -> tuple[slice, slice]:
    """Rows and columns of both lungs."""
    rows, columns = (np.flatnonzero(union.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def score(file: Path, segment: PBTSeg, hearts: Heatmap | None) -> Score:
    """Compares the lungs of a radiograph with the masks that lie beside its file."""
    folder, name = file.parent.parent, f"{file.stem}.png"
    image = read_radiograph(file)
    lungs, milliseconds = timed(image, segment)
    union = read_mask(folder / "lungs" / name)
    if (folder / "right_lung").is_dir():
        right, left = read_mask(folder / "right_lung" / name), read_mask(folder / "left_lung" / name)
    else:
        known = Lungs.from_mask(union)
        right, left = known.right, known.left
    sides = dice(lungs.right, right) > dice(lungs.right, left) and dice(lungs.left, left) > dice(lungs.left, right)
    scored = np.ones(union.shape, bool)
    if hearts is not None:
        rows, columns = lung_box(union)
        shape = columns.stop - columns.start, rows.stop - rows.start
        scored[rows, columns] = cv2.resize(hearts, shape) < 0.25
    small = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    published = Lungs.from_labels(published_pbtseg(np.round(small * 255).astype(np.uint8)))
    return Score(
        dice(lungs.mask, union),
        dice(lungs.mask & scored, union & scored),
        lungs.found,
        sides,
        min(lungs.confidence),
        milliseconds,
        dice(published.resized(union.shape).mask, union),
        published.found,
    )


def summary(scores: list[Score]) -> dict[str, object]:
    """The figures of one set of radiographs."""
    sorted_dice = np.sort([s.dice for s in scores])
    figures = {
        "mean_dice": sorted_dice.mean(),
        "mean_dice_without_heart": np.mean([s.without_heart for s in scores]),
        "worst_5_percent_dice": sorted_dice[: max(1, round(len(scores) / 20))].mean(),
        "both_found": np.mean([s.found for s in scores]),
        "sides_right": np.mean([s.sides for s in scores]),
        "spearman_confidence_dice": spearmanr([s.confidence for s in scores], [s.dice for s in scores]).statistic,
        "ms_per_image": statistics.median(s.milliseconds for s in scores),
        "published_mean_dice": np.mean([s.published_dice for s in scores]),
        "published_both_found": np.mean([s.published_found for s in scores]),
    }
    return {"images": len(scores), **{name: round(float(v), 4) for name, v in figures.items()}}


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")
    options.add_argument("--data", type=Path, default=data, help="folder of real radiographs")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "lungs.json")
    given = options.parse_args()
    cv2.setNumThreads(1)
    segment = PBTSeg()
    hearts = heart_map(given.data)
    files = {name: sorted((given.data / folder / "images").iterdir()) for name, folder in SETS.items()}
    scores: dict[str, list[Score]] = {name: [] for name in files}
    with tqdm(total=sum(map(len, files.values())), unit="image") as bar:
        for name, images in files.items():
            for file in images:
                scores[name].append(score(file, segment, hearts if name in BEHIND_HEART else None))
                bar.update()
    scores["all"] = [each for name in files for each in scores[name]]
    halves = {
        half: {
            name: [each for other in files for each in scores[other][first::2]] if name == "all" else of[first::2]
            for name, of in scores.items()
        }
        for half, first in (("tuned", 0), ("unseen", 1))
    }
    packages = ("artasyn", "numpy", "opencv-python-headless", "scikit-image")
    result = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "threads": 1,
            "packages": {package: version(package) for package in packages},
        },
        "configuration": dataclasses.asdict(segment),
        "sets": {
            name: summary(of) | {half: summary(each[name]) for half, each in halves.items()}
            for name, of in scores.items()
        },
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
