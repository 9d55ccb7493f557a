"""What each part of the recipe of the anatomy gives: ``python -m benchmarks.anatomy_ablation``.

Each arm changes one thing and is trained anew with the same budget and seed; the averaged network reads the first half
of the real films (`real_anatomy`), every threshold at 0.5. One seed says little about small differences. The result
holds every finished arm; a run that was stopped goes on with the arm that it was at.

The stocks are folders that ``artasyn stock`` wrote: ``phantoms``; ``cts`` with deformed CTs; ``rigid`` with the same
CTs as they are; ``one`` with variants of one CT alone. An arm whose stock is not given is left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2

from artasyn.arrays import Image
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.stock.films import Films
from artasyn.stock.packed import Stock
from artasyn.training.anatomy_run import AnatomyRun
from benchmarks.real_anatomy import real_scores

ROOT = Path(__file__).parent.parent
PACKAGES = ("artasyn", "lightning", "numpy", "timm", "torch")
WEIGHTS = {"phantoms": 0.7, "cts": 0.3, "rigid": 0.3, "one": 1.0}
"""Share of the films that each stock gives, in any unit."""

Train = Callable[[AnatomyRun, Sequence[str], Path], dict[str, Any]]
"""Trains with settings on stocks in a folder, and returns the scores."""


@dataclass(frozen=True)
class Arm:
    """One training of the ablation.

    Attributes:
        films: changes of the films.
        finish: changes of the films' finish.
        run: changes of the training.
        larger: whether the training goes on to the next size of films.
        stocks: names of the stocks.
    """

    films: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    finish: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    run: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    larger: bool = False
    stocks: tuple[str, ...] = ("phantoms", "cts")

    def changed(self, base: AnatomyRun) -> AnatomyRun:
        """Returns the settings of this arm."""
        films: Films = replace(base.films, finish=replace(base.films.finish, **self.finish), **self.films)
        run = replace(base, films=films, **self.run)
        if self.larger:  # the last stage is split: half of its steps are at 1.5 times the size
            *first, last = run.shares
            run = replace(run, sizes=(*run.sizes, run.sizes[-1] * 3 // 2), shares=(*first, last / 2, last / 2))
        return run


ARMS = {
    "everything": Arm(),
    "no attenuation draws": Arm(films={"attenuation_share": 0.0}),
    "no tone or inversion": Arm(finish={"tone_share": 0.0, "invert_share": 0.0}),
    "no opacities": Arm(films={"opacity_share": 0.0}),
    "no pretrained encoder": Arm(run={"pretrained": False}),
    "larger films at the end": Arm(larger=True),
    "no deformation of CTs": Arm(stocks=("phantoms", "rigid")),
    "no CT": Arm(stocks=("phantoms",)),
    "no phantom": Arm(stocks=("cts",)),
    "one CT alone": Arm(stocks=("one",)),
}
"""The arms by name; "no phantom" is what "one CT alone" is compared with."""


def ablate(
    base: AnatomyRun, stocks: Sequence[str], work: Path, out: Path, train: Train, arms: Sequence[str] = tuple(ARMS)
) -> dict[str, Any]:
    """Trains and scores every arm that is not finished, and writes the result after each.

    Args:
        base: the settings of the arm that changes nothing.
        stocks: names of the stocks that are there.
        work: folder of the trainings.
        out: the result's file; arms in it with the same settings are kept.
        train: trains an arm.
        arms: names of the arms.
    """
    result = json.loads(out.read_text()) if out.exists() else {"arms": {}}
    result |= {"machine": machine(), "budget": budget(base)}
    for name in arms:
        arm = ARMS[name]
        missing = sorted(set(arm.stocks) - set(stocks))
        if missing:
            print(f"{name} is left out: no stock {', '.join(missing)}")
            continue
        run = arm.changed(base)
        settings = json.loads(json.dumps(dataclasses.asdict(run))) | {"stocks": list(arm.stocks)}
        if result["arms"].get(name, {}).get("settings") == settings:
            continue
        start = time.perf_counter()
        scores = train(run, arm.stocks, work / name.replace(" ", "_"))
        seconds = round(time.perf_counter() - start)
        result["arms"][name] = {"settings": settings, "seconds": seconds, "scores": scores}
        result["arms"] = {each: result["arms"][each] for each in ARMS if each in result["arms"]}
        out.write_text(json.dumps(result, indent=1) + "\n")
    return result


def budget(base: AnatomyRun) -> str:
    """The budget in words."""
    sizes = ", ".join(map(str, base.sizes))
    return f"{base.steps} steps of {base.batch_size} films of {sizes} px, seed {base.seed}"


def machine() -> dict[str, Any]:
    """Where the arms are trained."""
    return {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
    }


def viewwise(stock: Stock) -> Stock:
    """A stock in which every view counts as a patient, because a stock of one CT has one patient and none to hold out.

    The validation decides nothing here: the last averaged network is scored.
    """
    views = tuple(replace(view, patient=f"{view.patient}_{number}") for number, view in enumerate(stock.views))
    return replace(stock, views=views)


def trainer_of(folders: Mapping[str, Path], data: Path, workers: int, accelerator: str) -> Train:
    """The function that trains an arm and scores it on the first half of the real films.

    Args:
        folders: the stocks' folders by name.
        data: folder of real data.
        workers: processes that compose films.
        accelerator: of lightning.
    """

    @lru_cache(maxsize=1)  # arms with the same stocks follow one another
    def read(stocks: tuple[str, ...]) -> Stock:
        return viewwise(Stock.read(*(folders[name] for name in stocks), weights=[WEIGHTS[name] for name in stocks]))

    def train(run: AnatomyRun, stocks: Sequence[str], out: Path) -> dict[str, Any]:
        network = run.fit(read(tuple(stocks)), out, workers=workers, trainer={"accelerator": accelerator})
        net = AnatomyNet(network)
        net.calibrate(thresholds=())

        def predict(images: Sequence[Image]) -> Sequence[Anatomy]:
            return net(list(images))

        return real_scores(predict, data, "odd")

    return train


def main() -> None:
    """Trains, measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data"))
    options.add_argument("--data", type=Path, default=data, help="folder of real data")
    for name in WEIGHTS:
        options.add_argument(f"--{name}", type=Path, help=f"folder of the stock {name!r}")
    options.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    options.add_argument("--steps", type=int, default=600)
    options.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128])
    options.add_argument("--shares", type=float, nargs="+", default=[0.4, 0.3, 0.3])
    options.add_argument("--epoch", type=int, default=200, help="steps between two checkpoints")
    options.add_argument("--batch-size", type=int, default=16)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--workers", type=int, default=1)
    options.add_argument("--accelerator", default="cpu")
    options.add_argument("--work", type=Path, default=Path("artasyn-ablation"), help="folder of the trainings")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "anatomy_ablation.json")
    given = options.parse_args()
    cv2.setNumThreads(1)
    base = AnatomyRun(
        sizes=tuple(given.sizes), shares=tuple(given.shares), steps=given.steps, epoch=given.epoch,
        batch_size=given.batch_size, seed=given.seed,
    )  # fmt: skip
    folders = {name: folder for name in WEIGHTS if (folder := getattr(given, name)) is not None}
    train = trainer_of(folders, given.data, given.workers, given.accelerator)
    ablate(base, list(folders), given.work, given.out, train, given.arms)
    print(given.out)


if __name__ == "__main__":
    main()
