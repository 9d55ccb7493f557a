"""Sizes of the writer of masks and of its films: ``python -m benchmarks.score_token_ladder --stock STOCK``.

Each rung trains a writer as `train_tokens` does but for the open word, on the same films and for the same number of
steps, which is fewer than the bundled writer has. Decoders have about 1, 2, 4 and 8 million weights in their layers;
the second is the bundled writer's. One rung sees films of 192 pixels instead of 128, through the same anatomy network,
which has never learnt on films of that size. Every rung is measured on projections of patients held out, and on real
radiographs.
A ladder that was cut off goes on with the same command.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from artasyn.arrays import Image
from artasyn.evaluation.overlap import dice
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.footprints import frontal_turn
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.structures import ANATOMY, RIBS
from artasyn.segment.tokens import TokenSegmenter
from artasyn.segment.tokens.codec import MaskCodec
from artasyn.segment.tokens.decoder import TokenNetwork
from artasyn.segment.tokens.settings import OBLIQUE, TokenSettings
from artasyn.segment.tokens.words import name_of
from artasyn.segment.tokens.writers import SmallWriter
from artasyn.stock.films import Films
from artasyn.stock.packed import Stock
from benchmarks.projected_anatomy import Case, views
from benchmarks.real_anatomy import film_figures, summary
from benchmarks.score_tokens import about, patients, rounded
from benchmarks.token_films import pooled
from benchmarks.token_model import CAGE, LEAST, REAL, SETS
from benchmarks.train_tokens import HELD_OUT, train


@dataclass(frozen=True)
class Rung:
    """A decoder and the films that it sees.

    Attributes:
        width: channels of the decoder; each layer has about 12 times its square weights.
        size: rows and columns of the films.
    """

    width: int
    size: int = 128


RUNGS = {
    "1 M": Rung(144),
    "2 M": Rung(192),
    "4 M": Rung(288),
    "8 M": Rung(408),
    "2 M, 192 pixels": Rung(192, 192),
}
"""The rungs by their names."""


def network_of(size: int) -> AnatomyNetwork:
    """The bundled anatomy network for films of another size."""
    bundled = AnatomyNetwork.from_pretrained()
    network = AnatomyNetwork(replace(bundled.settings, size=size))
    network.load_state_dict(bundled.state_dict())
    return network.eval()


def writer_of(rung: Rung, stock: Stock, out: Path, films: int, steps: int) -> SmallWriter:
    """Trains the writer of a rung, or goes on with its training.

    Args:
        rung: the decoder and the films.
        stock: views of which the films are composed.
        out: folder that keeps the films of each size, and the checkpoint of each rung.
        films: number of films to learn.
        steps: training steps.
    """
    anatomy, codec, ranges = network_of(rung.size), MaskCodec.from_pretrained(), Films()
    learnt, held_out = stock.split(sorted({view.patient for view in stock.views})[HELD_OUT // 2 :: HELD_OUT])
    pools = (
        pooled(learnt, ranges, rung.size, codec, films, (0, 0), out / f"films-{rung.size}"),
        pooled(held_out, ranges, rung.size, codec, 250, (0, 1), out / f"films_held_out-{rung.size}"),
    )
    settings = TokenSettings(
        anatomy=anatomy.digest, names=ANATOMY, size=rung.size, width=rung.width, inner=2 * rung.width
    )
    network = train(pools, anatomy, settings, out / f"{rung.width}-{rung.size}", steps, 0)
    return SmallWriter(network, anatomy)


def weights(network: TokenNetwork) -> dict[str, int]:
    """The number of weights of the decoder's layers, and of everything."""
    layers = sum(value.numel() for value in network.layers.parameters())
    return {"layers": layers, "all": sum(value.numel() for value in network.parameters())}


def on_projections(segmenter: TokenSegmenter, cases: Sequence[Case]) -> dict[str, float]:
    """The mean Dice over structures without ribs, on all projections and on the frontal ones, and of single ribs."""
    rows: list[tuple[str, bool, float]] = []
    for case in cases:
        shown = [place for place, known in enumerate(case.known) if known and case.masks[place].sum() >= LEAST]
        found = segmenter(case.image, "segment " + " ; ".join(name_of(ANATOMY[place]) for place in shown))
        frontal = frontal_turn(case.angle) < OBLIQUE
        rows += [(ANATOMY[n], frontal, dice(found.mask(ANATOMY[n]), case.masks[n])) for n in shown]

    def mean(chosen: list[tuple[str, bool, float]]) -> float:
        names = {name for name, _, _ in chosen}
        return float(np.mean([np.mean([value for name, _, value in chosen if name == each]) for each in names]))

    plain = [row for row in rows if row[0] not in {*RIBS, *CAGE}]
    return {
        "all angles": mean(plain),
        "frontal": mean([row for row in plain if row[1]]),
        "ribs": mean([row for row in rows if row[0] in RIBS]),
    }


def on_real_films(segmenter: TokenSegmenter, data: Path) -> dict[str, float]:
    """The mean Dice of lungs and heart on every real set."""

    def read(images: Sequence[Image]) -> list[Anatomy]:
        return [segmenter(image, REAL) for image in images]

    found: dict[str, float] = {}
    for name, films in film_figures(read, data, "all", sets=SETS).items():
        figures = summary(list(films.values()))
        found |= {f"{name} lungs": figures["dice"], f"{name} heart": figures["heart"]}
    return found


def main() -> None:
    """Trains and measures every rung."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).parent
    data = Path(os.environ.get("ARTASYN_DATA", here.parent / ".." / "shared" / "data"))
    options.add_argument("--data", type=Path, default=data, help="folder of real data")
    options.add_argument("--stock", type=Path, required=True, help="folder that artasyn stock wrote to")
    options.add_argument("--work", type=Path, default=Path("token_ladder"), help="folder of films and checkpoints")
    options.add_argument("--films", type=int, default=3000, help="films to learn")
    options.add_argument("--steps", type=int, default=400, help="training steps of every rung")
    options.add_argument("--rungs", nargs="+", choices=RUNGS, default=list(RUNGS), help="rungs to measure")
    options.add_argument("--cache", type=Path, help="folder that keeps the projections")
    options.add_argument("--out", type=Path, default=here / "results" / "tokens_ladder.json")
    given = options.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    stock = Stock.read(given.stock)
    cases = list(views(patients(given.data, 6), cache=given.cache))
    result: dict[str, Any] = about() | {"steps": given.steps, "films": given.films, "rungs": {}}
    for name in given.rungs:
        writer = writer_of(RUNGS[name], stock, given.work, given.films, given.steps)
        segmenter = TokenSegmenter(writer, MaskCodec.from_pretrained(), AnatomyNet.from_pretrained())
        figures = on_projections(segmenter, cases) | on_real_films(segmenter, given.data)
        result["rungs"][name] = asdict(RUNGS[name]) | {"weights": weights(writer.network)} | rounded(figures)
        print(name, json.dumps(result["rungs"][name]), flush=True)
        given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
