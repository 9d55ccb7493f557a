"""Trains the writer of masks that ships: ``python -m benchmarks.train_tokens OUT --stock STOCK``.

The films are composed from a stock that `artasyn stock` wrote, and kept in OUT/films. The features are those of the
bundled anatomy network, which stays as it is. A run that was cut off goes on from its last checkpoint with the same
command. OUT/model is for `TokenSegmenter.from_pretrained`; its weights are a running mean over the last steps.

A step takes some words about some films. The loss is the cross-entropy of every token, given the tokens before it. An
edge may miss its bin by a little: its target is a bell of `BELL` bins. A structure that the film does not show has the
end of the answer as its first token. Some rows of every step are about the open word, as which words begin that
`TokenSegmenter.adapt` learns: see `token_heads`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from artasyn.arrays import generator
from artasyn.errors import DataError
from artasyn.networks.stored import digest_of
from artasyn.segment.anatomy.footprints import frontal_turn
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.structures import ANATOMY, RIBS, VERTEBRAE
from artasyn.segment.tokens.answers import LOCATIONS
from artasyn.segment.tokens.codec import MaskCodec
from artasyn.segment.tokens.crops import BINS
from artasyn.segment.tokens.decoder import CODE, END, LOCATION, VIEW, TokenNetwork
from artasyn.segment.tokens.settings import LATERAL, OBLIQUE, TokenSettings
from artasyn.segment.tokens.settings import View as SaidView
from artasyn.stock.films import Films
from artasyn.stock.packed import Stock
from benchmarks.token_films import ABSENT, UNKNOWN, TokenFilms, pooled
from benchmarks.token_heads import Bank, OpenRows

FILMS, WORDS, OPEN = 8, 8, 4
"""Films of a step, structures that are asked for on each, and rows of the open word about each."""
LAYERS = 400
"""Linear layers that learn from a few films, for the open word."""
LEARNING_RATE = 1e-3
BELL = 5.0
"""Standard deviation of the target of an edge, in bins; a pixel of the square is eight."""
SELDOM = {**dict.fromkeys((*RIBS, *VERTEBRAE), 0.35)}
"""How often a structure is asked for, where not as often as the others: ribs and vertebrae are many and alike."""
RARE = 0.25
"""How often a structure is asked for on a film that does not show it, compared with films that do."""
MEAN = 0.998
"""Share of the running mean of the weights that a step keeps."""
EVERY = 200
"""Steps between checkpoints."""
CHECKED = 10
"""Batches of films held out that a checkpoint is measured on."""
HELD_OUT = 10
"""One patient in so many tells how the training goes."""


@dataclass(frozen=True)
class Rows:
    """Words about films: the rows of a step.

    Attributes:
        film: place of the film in the batch.
        word: number of the structure; the one after the last asks for the view, and the next is the open word.
        boxes: true edges, (rows, 4), in bins; the first is `ABSENT` for a structure that is not shown.
        given: edges of the box that the codes describe.
        codes: (rows, 16).
        view: number of the view, for rows that ask for it; -1 for others.
        first: first maps of the rows about the open word, which are the last; None if there are none.
    """

    film: Tensor
    word: Tensor
    boxes: Tensor
    given: Tensor
    codes: Tensor
    view: Tensor
    first: Tensor | None = None

    @classmethod
    def drawn(cls, films: TokenFilms, names: Sequence[str], chosen: np.ndarray, rng: np.random.Generator) -> Rows:
        """Draws words about films.

        Args:
            films: the pool.
            names: its structures.
            chosen: numbers of the films.
            rng: the random choices.
        """
        usual = np.array([SELDOM.get(name, 1.0) for name in names])
        film, word, tokens, view = [], [], [], []
        for place, number in enumerate(chosen):
            of = films.tokens[number]
            shares = usual * np.where(of[:, 0] == ABSENT, RARE, 1.0) * (of[:, 0] != UNKNOWN)
            words = rng.choice(len(names), WORDS, replace=False, p=shares / shares.sum())
            film += [place] * (WORDS + 1)
            word += [*words, len(names)]
            tokens += [*of[words], np.zeros_like(of[0])]
            view += [-1] * WORDS + [view_of(films.turns[number])]
        return cls(torch.tensor(film), torch.tensor(word), *parts_of(np.stack(tokens)), torch.tensor(view))

    def opened(self, rows: OpenRows, word: int) -> Rows:
        """These rows, and others about the open word behind them.

        Args:
            rows: the others.
            word: number of the open word.
        """
        count = len(rows.film)
        others = (rows.film, torch.full((count,), word), *parts_of(rows.tokens), torch.full((count,), -1))
        own = (self.film, self.word, self.boxes, self.given, self.codes, self.view)
        film, words, boxes, given, codes, view = (torch.cat(both) for both in zip(own, others, strict=True))
        return Rows(film, words, boxes, given, codes, view, rows.maps)


def parts_of(tokens: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """The true edges, the given ones and the codes of tokens, as `TokenFilms` holds them."""
    every = torch.from_numpy(tokens.astype(np.int64))
    edges, given, codes = every.tensor_split([LOCATIONS, 2 * LOCATIONS], dim=1)
    return edges, given.clamp(min=0), codes.clamp(min=0)


def view_of(turn: np.ndarray) -> int:
    """The number of the view of a patient's turn, as sine and cosine."""
    angle = frontal_turn(float(np.degrees(np.arctan2(turn[0], turn[1]))))
    said: SaidView = "frontal" if angle < OBLIQUE else "oblique" if angle <= LATERAL else "lateral"
    return get_args(SaidView).index(said)


def features(anatomy: AnatomyNetwork, images: np.ndarray) -> tuple[Tensor, Tensor]:
    """The features of films, uint8 (b, size, size), as the decoder sees them."""
    with torch.no_grad():
        given = torch.from_numpy(images)[:, None].float().div_(255).contiguous(memory_format=torch.channels_last)
        deep, shallow, _ = anatomy.trunk(given)
    return deep, shallow


def loss_of(logits: Tensor, rows: Rows) -> dict[str, Tensor]:
    """The cross-entropy of the tokens, by their kind.

    Args:
        logits: (rows, 20, vocabulary).
        rows: the truth.
    """
    asked = rows.view < 0
    shown = asked & (rows.boxes[:, 0] >= 0)
    first = torch.cat([logits[:, 0, LOCATION : LOCATION + BINS + 1], logits[:, 0, END : END + 1]], dim=1)
    others = logits[:, 1:LOCATIONS, LOCATION : LOCATION + BINS + 1].log_softmax(dim=2)[shown]
    bins = torch.arange(BINS + 1)
    bell = torch.exp(-(((rows.boxes[shown][..., None] - bins) / BELL) ** 2) / 2)
    bell = bell / bell.sum(dim=2, keepdim=True)
    start = F.cross_entropy(first[shown], F.pad(bell[:, 0], (0, 1)))
    absent = F.cross_entropy(first[asked & ~shown], torch.full((int((asked & ~shown).sum()),), BINS + 1))
    said = logits[:, LOCATIONS:, CODE:END][shown]
    return {
        "edges": (start - 3 * (bell[:, 1:] * others).sum(dim=2).mean()) / 4,
        "absent": 0.1 * absent if (asked & ~shown).any() else logits.new_zeros(()),
        "codes": F.cross_entropy(said.flatten(0, 1), rows.codes[shown].flatten()),
        "view": 0.1 * F.cross_entropy(logits[~asked, 0, VIEW:], rows.view[~asked]),
    }


@torch.no_grad()
def quality(network: TokenNetwork, anatomy: AnatomyNetwork, films: TokenFilms, bank: Bank | None) -> dict[str, float]:
    """The losses on films held out, the mean distance of edges in bins, and the shares of right codes and views."""
    network.eval()
    found: dict[str, list[float]] = {}
    for number in range(CHECKED):
        rng = generator(1, number)
        chosen = rng.integers(len(films.images), size=FILMS)
        rows = Rows.drawn(films, network.settings.names, chosen, rng)
        deep, shallow = features(anatomy, films.images[chosen])
        known = len(rows.film)
        if bank is not None:
            rows = rows.opened(bank.rows(films, chosen, shallow, OPEN, rng), len(network.settings.names) + 1)
        logits = network(deep, shallow, rows.film, rows.word, rows.given, rows.codes, rows.first)
        new = (rows.boxes[:, 0] >= 0) & (torch.arange(len(rows.film)) >= known)
        if new.any():
            right = logits[new, LOCATIONS:, CODE:END].argmax(dim=2) == rows.codes[new]
            found.setdefault("right codes of the open word", []).append(right.float().mean().item())
        shown = (rows.view < 0) & (rows.boxes[:, 0] >= 0) & (torch.arange(len(rows.film)) < known)
        edges = logits[shown, :LOCATIONS, LOCATION : LOCATION + BINS + 1].argmax(dim=2)
        codes = logits[shown, LOCATIONS:, CODE:END].argmax(dim=2)
        asked = rows.view >= 0
        each = {name: value.item() for name, value in loss_of(logits, rows).items()}
        each["off"] = (edges - rows.boxes[shown]).abs().float().mean().item()
        each["right codes"] = (codes == rows.codes[shown]).float().mean().item()
        each["right views"] = (logits[asked, 0, VIEW:].argmax(dim=1) == rows.view[asked]).float().mean().item()
        for name, value in each.items():
            found.setdefault(name, []).append(value)
    network.train()
    return {name: float(np.mean(values)) for name, values in found.items()}


def resumed(checkpoint: Path, plan: list[Any], parts: dict[str, Any]) -> dict[str, Any]:
    """Puts the states of a checkpoint into the parts of a training, and returns all that it keeps.

    Raises:
        DataError: the checkpoint is that of another training.
    """
    kept: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    if kept["plan"] != plan:
        raise DataError(f"{checkpoint}: belongs to another training ({kept['plan']}, not {plan}); choose another OUT")
    for name, part in parts.items():
        part.load_state_dict(kept[name])
    return kept


def train(
    pools: tuple[TokenFilms, TokenFilms], anatomy: AnatomyNetwork, settings: TokenSettings, out: Path, steps: int,
    seed: int, bank: Bank | None = None,
) -> TokenNetwork:  # fmt: skip
    """Trains a writer, or goes on from OUT/checkpoint.pt.

    Args:
        pools: films to learn, and films of other patients; their structures are those of the settings.
        anatomy: the network whose features it sees.
        settings: of the writer.
        out: folder of the run.
        steps: number of steps.
        seed: of the weights and of the rows.
        bank: layers for the open word; None leaves this word untaught.

    Raises:
        DataError: the checkpoint is that of another training.
    """
    out.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TokenNetwork(settings).train()
    network.start_at(anatomy)
    mean = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps, pct_start=0.05)
    parts: dict[str, Any] = {"network": network, "optimiser": optimiser, "schedule": schedule}
    plan = [steps, seed, len(pools[0].images), digest_of({}, settings), len(bank.layers) if bank else 0]
    checkpoint, done, spent = out / "checkpoint.pt", 0, 0.0
    if checkpoint.exists():
        kept = resumed(checkpoint, plan, parts)
        done, spent, mean = kept["done"], kept["spent"], kept["mean"]
    start = time.process_time()
    bar = tqdm(range(done, steps), "tokens", steps, initial=done, unit="step")
    for number in bar:
        rng = generator(seed, number)
        chosen = rng.integers(len(pools[0].images), size=FILMS)
        rows = Rows.drawn(pools[0], settings.names, chosen, rng)
        deep, shallow = features(anatomy, pools[0].images[chosen])
        if bank is not None:
            rows = rows.opened(bank.rows(pools[0], chosen, shallow, OPEN, rng), len(settings.names) + 1)
        losses = loss_of(network(deep, shallow, rows.film, rows.word, rows.given, rows.codes, rows.first), rows)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        kept_share = min(MEAN, (1 + number) / (10 + number))
        for name, value in network.state_dict().items():
            mean[name].lerp_(value, 1 - kept_share)
        if (number + 1) % EVERY == 0 or number + 1 == steps:
            used = spent + time.process_time() - start
            said = quality(network, anatomy, pools[1], bank)
            bar.write(f"{number + 1}: {' '.join(f'{k} {v:.3f}' for k, v in said.items())}, {used:.0f} CPU-s")
            state: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
            state |= {"plan": plan, "done": number + 1, "spent": used, "mean": mean}
            torch.save(state, out / "partial.pt")
            (out / "partial.pt").replace(checkpoint)
    network.load_state_dict(mean)
    return network.eval()


def main() -> None:
    """Trains and writes OUT/model."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path, help="folder of the run")
    options.add_argument("--stock", type=Path, required=True, help="folder that artasyn stock wrote to")
    options.add_argument("--films", type=int, default=6000, help="films to learn")
    options.add_argument("--steps", type=int, default=2000, help="training steps")
    options.add_argument("--seed", type=int, default=0, help="seed of films, weights and rows")
    options.add_argument("--anatomy", default="bundled", help="folder of the anatomy network, or bundled")
    options.add_argument(
        "--without", nargs="*", default=[], choices=ANATOMY, metavar="NAME", help="structures that are not learnt"
    )
    given = options.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    anatomy, codec, ranges = AnatomyNetwork.from_pretrained(given.anatomy), MaskCodec.from_pretrained(), Films()
    size = anatomy.settings.size
    stock = Stock.read(given.stock)
    patients = sorted({view.patient for view in stock.views})
    learnt, held_out = stock.split(patients[HELD_OUT // 2 :: HELD_OUT])
    pools = (
        pooled(learnt, ranges, size, codec, given.films, (given.seed, 0), given.out / "films"),
        pooled(held_out, ranges, size, codec, 500, (given.seed, 1), given.out / "films_held_out"),
    )
    names = tuple(name for name in ANATOMY if name not in given.without)
    learnt_films, others = (pool.telling([ANATOMY.index(name) for name in names]) for pool in pools)
    bank = Bank.learnt(learnt_films, anatomy, codec, LAYERS, given.seed)
    settings = TokenSettings(anatomy=anatomy.digest, names=names, size=size)
    network = train((learnt_films, others), anatomy, settings, given.out, given.steps, given.seed, bank)
    network.save_pretrained(given.out / "model")


if __name__ == "__main__":
    main()
