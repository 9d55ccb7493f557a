"""Trains the autoencoders of masks that ship: ``python -m benchmarks.train_tokens_codec OUT``.

The shapes come from `mask_shapes`; no real mask is among them. They are made once and kept in OUT. Each grid of codes
has an autoencoder of its own, OUT/4 and OUT/8. A run that was cut off goes on from its last checkpoint with the same
command.

The codebook is the running mean of the vectors that fall to each code (van den Oord et al., arXiv 1711.00937, appendix
A.1). It starts as a k-means clustering of the vectors of a network that was trained for some steps without a codebook.
A code that hardly any vector falls to is replaced by a vector of the batch.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from artasyn.arrays import generator
from artasyn.errors import DataError
from artasyn.segment.tokens.answers import CODES, Grid
from artasyn.segment.tokens.mask_autoencoder import MaskAutoencoder, MaskAutoencoderSettings
from benchmarks.mask_shapes import Pool, ShapePlan, pooled

ROOT = Path(__file__).parent.parent
GRIDS: tuple[Grid, Grid] = (4, 8)
BATCH = 64
LEARNING_RATE = 2e-3
WITHOUT = 400
"""Steps before there is a codebook."""
DECAY = 0.99
"""Share of the running means of the codebook that a step keeps."""
DEAD = 0.05
"""A code is replaced when its running count falls below this share of the mean count."""
COMMITMENT = 0.25
"""Weight of the distance between the vectors and the codebook in the loss."""
EVERY = 250
"""Steps between checkpoints."""
HELD_OUT = ShapePlan(phantoms=8, variants=0, seed=1)
"""Phantoms whose shapes, as they are, tell how the training goes."""


@dataclass(eq=False)
class Codebook:
    """The running means that the codebook of a network follows.

    Attributes:
        counts: running number of vectors of each code, (128,).
        sums: running sum of the vectors of each code, (128, vector).
    """

    counts: Tensor
    sums: Tensor

    @classmethod
    def clustered(cls, vectors: Tensor, seed: int, rounds: int = 10) -> Codebook:
        """Starts at a k-means clustering of vectors.

        Args:
            vectors: (n, vector).
            seed: of the first centres.
            rounds: of k-means.
        """
        rng = generator(seed, CODES)
        centres = vectors[torch.from_numpy(rng.permutation(len(vectors))[:CODES])].clone()
        book = cls(torch.ones(CODES), centres)
        for _ in range(rounds):
            nearest = torch.cdist(vectors, book.means).argmin(dim=1)
            ones = F.one_hot(nearest, CODES).float()
            book.counts, book.sums = ones.sum(0), ones.T @ vectors
            book.revive(vectors, rng)
        scale = BATCH / (len(vectors) / 64)
        book.counts *= scale
        book.sums *= scale
        return book

    @property
    def means(self) -> Tensor:
        """The vectors of the codebook, (128, vector)."""
        return self.sums / self.counts.clamp(min=1e-3)[:, None]

    def follow(self, vectors: Tensor, indices: Tensor, rng: np.random.Generator) -> None:
        """Moves towards the vectors of a batch.

        Args:
            vectors: (n, vector).
            indices: the code of each.
            rng: chooses vectors for dead codes.
        """
        ones = F.one_hot(indices, CODES).float()
        self.counts.lerp_(ones.sum(0), 1 - DECAY)
        self.sums.lerp_(ones.T @ vectors, 1 - DECAY)
        self.revive(vectors, rng)

    def revive(self, vectors: Tensor, rng: np.random.Generator) -> None:
        """Replaces codes that hardly any vector falls to."""
        mean = self.counts.mean()
        dead = torch.nonzero(self.counts < DEAD * mean).flatten()
        if len(dead):
            self.sums[dead] = vectors[torch.from_numpy(rng.integers(len(vectors), size=len(dead)))] * mean
            self.counts[dead] = mean


def batch_of(pool: Pool, rng: np.random.Generator) -> Tensor:
    """A batch of crops, half of them mirrored, (b, 1, 64, 64) in [0, 1]."""
    crops = pool[rng.integers(len(pool), size=BATCH)]
    flipped = rng.random(BATCH) < 0.5
    crops[flipped] = crops[flipped, :, ::-1]
    return torch.from_numpy(crops)[:, None].float().div_(255).contiguous(memory_format=torch.channels_last)


def loss_of(logits: Tensor, crops: Tensor) -> Tensor:
    """Cross-entropy and soft Dice loss against the shares of the cells."""
    found = torch.sigmoid(logits)
    both = 2 * (found * crops).sum(dim=(1, 2, 3))
    overlap = both / ((found**2).sum(dim=(1, 2, 3)) + (crops**2).sum(dim=(1, 2, 3))).clamp(min=1)
    return F.binary_cross_entropy_with_logits(logits, crops) + (1 - overlap).mean()


@torch.no_grad()
def vectors_of(network: MaskAutoencoder, pool: Pool, rng: np.random.Generator, count: int) -> Tensor:
    """The vectors of several batches, (n, vector)."""
    found = [network.vectors(batch_of(pool, rng)).permute(0, 2, 3, 1).flatten(0, 2) for _ in range(count)]
    return torch.cat(found)


def step(network: MaskAutoencoder, book: Codebook | None, crops: Tensor, rng: np.random.Generator) -> Tensor:
    """The loss of one batch; the codebook moves."""
    with torch.autocast("cpu", torch.bfloat16):
        vectors = network.vectors(crops)
        if book is None:
            return loss_of(network.logits(vectors).float(), crops)
    vectors = vectors.float()
    indices = network.nearest(vectors.detach())
    found = network.looked_up(indices)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network.logits(vectors + (found - vectors).detach())
    flat = vectors.detach().permute(0, 2, 3, 1).flatten(0, 2)
    book.follow(flat, indices.flatten(), rng)
    network.codebook.copy_(book.means)
    return loss_of(logits.float(), crops) + COMMITMENT * F.mse_loss(vectors, found)


def quality(network: MaskAutoencoder, pool: Pool) -> float:
    """The mean Dice of crops and what their codes give, in cells."""
    crops = pool.astype(np.float32) / 255
    found = np.concatenate([network.decode(network.encode(part)) for part in np.array_split(crops, 16)]) >= 0.5
    true = crops >= 0.5
    both, total = ((found & true).sum(axis=(1, 2)), found.sum(axis=(1, 2)) + true.sum(axis=(1, 2)))
    return float((2 * both / np.maximum(total, 1)).mean())


def train(pool: Pool, held_out: Pool, grid: Grid, out: Path, steps: int, seed: int) -> MaskAutoencoder:
    """Trains an autoencoder, or goes on from OUT/checkpoint.pt.

    Args:
        pool: crops to learn.
        held_out: crops of other patients.
        grid: rows and columns of codes.
        out: folder of this autoencoder.
        steps: number of steps.
        seed: of the weights and of the batches.

    Raises:
        DataError: the checkpoint is that of another training.
    """
    out.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MaskAutoencoder(MaskAutoencoderSettings(grid=grid)).train()
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps, pct_start=0.05)
    parts: dict[str, Any] = {"network": network, "optimiser": optimiser, "schedule": schedule}
    plan = [grid, steps, seed, len(pool)]
    checkpoint, done, spent, book = out / "checkpoint.pt", 0, 0.0, None
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        if kept["plan"] != plan:
            raise DataError(
                f"{checkpoint}: belongs to another training ({kept['plan']}, not {plan}); choose another OUT"
            )
        for name, part in parts.items():
            part.load_state_dict(kept[name])
        done, spent, book = kept["done"], kept["spent"], Codebook(*kept["book"]) if kept["book"] else None
    start, mean = time.process_time(), 1.0
    bar = tqdm(range(done, steps), f"{grid} x {grid} codes", steps, initial=done, unit="step")
    for number in bar:
        rng = generator(seed, grid, number)
        if number >= WITHOUT and book is None:
            book = Codebook.clustered(vectors_of(network, pool, rng, 256 // grid**2), seed)
            network.codebook.copy_(book.means)
        loss = step(network, book, batch_of(pool, rng), rng)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        mean += 0.02 * (loss.item() - mean)
        if (number + 1) % EVERY == 0 or number + 1 == steps:
            used = spent + time.process_time() - start
            bar.write(f"{number + 1}: loss {mean:.4f}, Dice {quality(network, held_out):.4f}, {used:.0f} CPU-s")
            state: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
            state |= {"plan": plan, "done": number + 1, "spent": used, "book": [book.counts, book.sums] if book else []}
            torch.save(state, out / "partial.pt")
            (out / "partial.pt").replace(checkpoint)
    return network.eval()


def main() -> None:
    """Trains and writes OUT/4/model and OUT/8/model."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data"))
    options.add_argument("out", type=Path, help="folder of the run")
    options.add_argument("--data", type=Path, default=data, help="folder of real data, for its CT")
    options.add_argument("--grids", nargs="+", type=int, choices=GRIDS, default=list(GRIDS), help="rows of codes")
    options.add_argument("--shapes", type=int, default=48_000, help="crops to learn")
    options.add_argument("--steps", type=int, default=5000, help="training steps of each autoencoder")
    options.add_argument("--seed", type=int, default=0, help="seed of patients, weights and batches")
    given = options.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for folder in (given.out, given.out / "held_out"):
        folder.mkdir(parents=True, exist_ok=True)
    pool = pooled(ShapePlan(seed=given.seed), given.data, given.out, given.shapes)
    held_out = pooled(HELD_OUT, given.data, given.out / "held_out", 2000, plain=1.0)
    for grid in given.grids:
        network = train(pool, held_out, grid, given.out / str(grid), given.steps, given.seed)
        network.save_pretrained(given.out / str(grid) / "model")
    about = {"shapes": given.shapes, "steps": given.steps, "seed": given.seed}
    (given.out / "run.json").write_text(json.dumps(about) + "\n")


if __name__ == "__main__":
    main()
