"""A network of anatomy that was never told some structures: ``python -m benchmarks.train_without OUT --stock STOCK``.

`score_few_shots` teaches the heart as a new word. That is a fair question only if nothing was told the heart before,
the anatomy network's trunk neither. This network trains as `artasyn train-anatomy` does, on a stock in which no view
tells `KEPT_OUT`. What remains is the visible lungs, whose inner borders follow the heart. The training is smaller than
the bundled network's: it has fewer steps. OUT/model holds the network.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from artasyn.segment.structures import ANATOMY
from artasyn.stock.packed import Stock
from artasyn.training.anatomy_run import AnatomyRun

KEPT_OUT = (
    *("heart", "drawn_heart", "heart_atrium_right", "heart_atrium_left", "heart_ventricle_right"),
    *("heart_ventricle_left", "mediastinum"),
)
"""The heart, its parts, and the mediastinum, whose outline is the heart's for the most part."""


def without(stock: Stock) -> Stock:
    """A stock whose views do not tell `KEPT_OUT`."""
    told = np.array([name not in KEPT_OUT for name in ANATOMY])
    return Stock(tuple(replace(view, known=view.known & told) for view in stock.views), stock.shares)


def main() -> None:
    """Trains, or goes on with a training that was stopped."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path, help="folder of the run")
    options.add_argument("--stock", type=Path, required=True, help="folder that artasyn stock wrote to")
    options.add_argument("--steps", type=int, default=1500, help="training steps")
    options.add_argument("--epoch", type=int, default=250, help="steps between checkpoints")
    options.add_argument("--workers", type=int, default=0, help="processes that compose films")
    given = options.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    run = AnatomyRun(steps=given.steps, epoch=given.epoch)
    run.fit(without(Stock.read(given.stock)), given.out, workers=given.workers)
    print(given.out / "model")


if __name__ == "__main__":
    main()
