"""New words from a few films, and their rivals: ``python -m benchmarks.score_few_shots --stock STOCK --without RUN``.

Three targets. The heart is learnt from projections and read on JSRT; the writer and the anatomy network of this part
have never been told the heart, its parts or the mediastinum (`train_without`, and `train_tokens --without`). They were
told the visible lungs, whose inner borders follow the heart. Lung opacity is learnt from films of
`lesions`, nodules from films of JSRT, and read on films of other patients, the same for every draw. The films that
teach are drawn anew five times for every number. The rivals learn from the same films and the same varied copies:
the anatomy network's last layer anew, all of this network, and the same network from random weights. For lung opacity
there is also the bundled detector, which has learnt no target, with PBTSeg. Beside both targets of the lungs stands
the prior, everything inside the lungs.

The result is written after every draw, and a run that was cut off goes on with the same command. It also draws
docs/tokens_few_shots.png.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from tqdm import tqdm

from artasyn.errors import DataError
from artasyn.evaluation.overlap import dice
from artasyn.segment.tokens import MaskCodec
from artasyn.segment.tokens.writers import SmallWriter
from artasyn.stock.packed import Stock
from benchmarks.few_shots import Learners, Predict, Shot, detected, drawn, projected_shots, real_shots, whole_lungs
from benchmarks.score_tokens import about, rounded
from benchmarks.train_without import KEPT_OUT

ROOT = Path(__file__).parent.parent
SHOTS = (1, 2, 5, 10, 50)
DRAWS = 5
WAYS = ("word", "head", "all", "scratch")
"""The learnt word, and its rivals."""
DETECTOR, PRIOR = "detector", "lungs"
"""What learns from no film: the bundled detector, and everything inside the lungs."""
NAMES = {
    "word": "new word",
    "head": "anatomy network, new last layer",
    "all": "anatomy network, all retrained",
    "scratch": "the same from random weights",
    DETECTOR: "detector and PBTSeg, no film",
    PRIOR: "everything inside the lungs, no film",
}
"""What tables and pictures call them."""
TESTED = {"opacity": 0.5, "nodule": 0.35}
"""Share of the patients whose films are read and never learnt."""


class Draw(Protocol):
    """Draws films that teach."""

    def __call__(self, *, count: int, seed: int) -> list[Shot]:
        """Returns as many films as there are, at most `count`."""


@dataclass(frozen=True, eq=False)
class Target:
    """A new target.

    Attributes:
        learners: what learns it.
        draw: draws the films that teach.
        tests: films on which it is read.
    """

    learners: Learners
    draw: Draw
    tests: Sequence[Shot]


def real_target(writer: SmallWriter, codec: MaskCodec, shots: Sequence[Shot], tested: float) -> Target:
    """A target on real films: some patients are held out for the test, the others teach.

    Numbers of steps and learning rates were chosen on films that teach.
    """
    names = sorted({shot.name for shot in shots})
    last = set(np.random.default_rng(0).permutation(names)[-round(tested * len(names)) :].tolist())
    rest = {shot.patient for shot in shots if shot.name not in last}
    draw = partial(drawn, shots, sorted(rest))
    return Target(Learners(writer, codec), draw, [shot for shot in shots if shot.patient not in rest])


def targets(given: argparse.Namespace) -> dict[str, Target]:
    """The targets that were asked for, by their names."""
    codec, data = MaskCodec.from_pretrained(), given.data
    found = {}
    if "heart" in given.targets:
        writer = SmallWriter.from_pretrained(given.without / "tokens" / "model", given.without / "anatomy" / "model")
        if told := {*writer.names} & {*KEPT_OUT}:
            raise DataError(f"{given.without}: this writer has been told {', '.join(sorted(told))}")
        draw = partial(projected_shots, Stock.read(given.stock), "drawn_heart")
        tests = list(real_shots(data, "lung_masks/jsrt/images", "lung_masks/jsrt/heart"))
        found["heart"] = Target(Learners(writer, codec), draw, tests)
    folders = {"opacity": ("lesions/images", "lesions/masks")}
    folders["nodule"] = ("lung_masks/jsrt/images", "lung_masks/jsrt/nodule")
    for name in ("opacity", "nodule"):
        if name in given.targets:
            writer = SmallWriter.from_pretrained()
            found[name] = real_target(writer, codec, list(real_shots(data, *folders[name])), TESTED[name])
    return found


def scored(predict: Predict, tests: Sequence[Shot]) -> float:
    """The mean Dice on films."""
    return float(np.mean([dice(predict(shot.image), shot.mask) for shot in tests]))


def picture(result: Mapping[str, Any], out: Path) -> None:
    """Draws mean and range of the draws over the number of films."""
    figure, axes = plt.subplots(1, len(result), figsize=(4 * len(result), 3.4), squeeze=False)
    for axis, (name, of) in zip(axes[0], result.items(), strict=True):
        for way in WAYS:
            shots = sorted({int(count) for count in of["films"].values()})
            values = [next(each[way] for key, each in of["shots"].items() if of["films"][key] == n) for n in shots]
            (line,) = axis.plot(shots, [np.mean(each) for each in values], marker="o", markersize=3, label=NAMES[way])
            axis.fill_between(shots, list(map(min, values)), list(map(max, values)), alpha=0.15, color=line.get_color())
        for way, style in ((DETECTOR, ":"), (PRIOR, "--")):
            if way in of:
                axis.axhline(of[way], color="grey", linestyle=style, label=NAMES[way])
        axis.set_xscale("log")
        axis.set_xticks(shots, [str(count) for count in shots])
        axis.minorticks_off()
        axis.set_xlabel("films that teach")
        axis.set_title(f"{name}, {of['tests']} films read")
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("Dice")
    handles = {text: line for axis in axes[0] for line, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=3, fontsize=8)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    figure.savefig(out, dpi=110)
    plt.close(figure)


def main() -> None:
    """Measures every target, and writes one result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data"))
    options.add_argument("--data", type=Path, default=data, help="folder of real data")
    options.add_argument("--stock", type=Path, help="folder that artasyn stock wrote to, for the heart")
    options.add_argument("--without", type=Path, help="folder of the trainings without the heart: anatomy/, tokens/")
    options.add_argument("--targets", nargs="+", choices=("heart", "opacity", "nodule"), default=["opacity", "nodule"])
    options.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="what is measured")
    options.add_argument("--draws", type=int, default=DRAWS, help="draws of the films that teach")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "tokens_few_shots.json")
    given = options.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    result: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else about() | {"targets": {}}
    for name, target in targets(given).items():
        about_target = {"tests": len(target.tests), "writer": target.learners.writer.digest}
        of = result["targets"].setdefault(name, about_target | {"shots": {}, "films": {}})
        if any(of[key] != value for key, value in about_target.items()):
            raise DataError(f"{given.out}: {name} was measured with another writer or other films; give another --out")
        if name == "opacity" and DETECTOR not in of:
            of[DETECTOR] = scored(detected(), target.tests)
        if name != "heart" and PRIOR not in of:
            of[PRIOR] = scored(whole_lungs(), target.tests)
        for count in tqdm(SHOTS, name):
            found = of["shots"].setdefault(str(count), {})
            for seed in range(given.draws):
                shots = target.draw(count=count, seed=seed)
                of["films"][str(count)] = len(shots)
                for way in given.ways:
                    if len(values := found.setdefault(way, [])) <= seed:
                        start = time.process_time()
                        predict = getattr(target.learners, way)(shots, seed)
                        used = time.process_time() - start
                        values.append(scored(predict, target.tests))
                        of.setdefault("seconds", {}).setdefault(way, []).append(used)
                given.out.write_text(json.dumps(rounded(result), indent=1) + "\n")
    if given.ways == list(WAYS):
        picture(result["targets"], ROOT / "docs" / "tokens_few_shots.png")
    print(given.out)


if __name__ == "__main__":
    main()
