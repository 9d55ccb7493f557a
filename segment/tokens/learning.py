"""A new word from a few films: what the small writer learns of them, and how.

The word is one linear layer, which makes a map of the anatomy network's features; nothing else is trained. The rest of
the writer has learnt beforehand to write masks from such maps, which are rough where they come from few films.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artasyn.arrays import Image, Mask, Prepared, generator
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.anatomy.window import STRIDE, Window, resample
from artasyn.shapes import Float, Float32

RATE = 2e-2
"""Highest learning rate of Adam."""

BATCH = 16
"""Films of a step."""

SELDOM = -3.0
"""Logit of a pixel with which a map begins: most pixels of a film show something else."""

STEPS = 200
"""Training steps."""

COPIES = 160
"""Copies of all films together that a word learns from; every film has one at least."""

AT_ONCE = 16
"""Copies that the anatomy network sees at once."""

TURN, STRETCH, SHIFT, GAMMA, NOISE = 4.0, 0.04, 0.05, 0.25, 0.01
"""How copies vary: degrees, logarithm of width over height, share of a side, logarithm of the gamma, and grey."""

SCALES = 0.85, 1.12
"""The range of the scale of copies."""

Squares = Float[Tensor, "b 1 _ _"]
Maps = Float[Tensor, "b _ _"]


@dataclass(frozen=True, eq=False)
class Examples:
    """Films of a new word, as the anatomy network sees them.

    Attributes:
        shallow: features at 1/4 of the square's side.
        targets: share of each pixel of the maps that the masks cover.
    """

    shallow: Float[Tensor, "b n _ _"]
    targets: Maps


class WordMap(nn.Module):
    """The linear layer by which a word makes a map of the anatomy network's features.

    Args:
        shallow: channels of the features.
    """

    def __init__(self, shallow: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(shallow, STRIDE**2, 1)
        assert self.layer.bias is not None
        nn.init.zeros_(self.layer.weight)
        nn.init.constant_(self.layer.bias, SELDOM)

    def forward(self, shallow: Float[Tensor, "b n _ _"]) -> Maps:
        """Returns the logits of the map.

        Args:
            shallow: features at 1/4 of the square's side.
        """
        found: Tensor = F.pixel_shuffle(self.layer(shallow), STRIDE)
        return found[:, 0]


def overlap_loss(logits: Maps, targets: Maps) -> Float[Tensor, ""]:
    """Returns the cross-entropy of pixels, plus 1 less the soft Dice coefficient of each film.

    Args:
        logits: of the maps.
        targets: shares of the pixels, in [0, 1].
    """
    found = torch.sigmoid(logits)
    both = (found * targets).sum(dim=(1, 2))
    every = found.sum(dim=(1, 2)) + targets.sum(dim=(1, 2))
    return F.binary_cross_entropy_with_logits(logits, targets) + 1 - ((2 * both + 1) / (every + 1)).mean()


def fitted(examples: Examples, *, steps: int, seed: int, rate: float = RATE) -> WordMap:
    """Returns a map that has learnt from examples.

    Args:
        examples: the films.
        steps: training steps.
        seed: of the order of the films.
        rate: highest learning rate of Adam.
    """
    with torch.random.fork_rng(devices=[]):  # its first weights are always the same
        word = WordMap(examples.shallow.shape[1])
    optimiser = torch.optim.Adam(word.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.1)
    random = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(examples.targets), (min(BATCH, len(examples.targets)),), generator=random)
        loss = overlap_loss(word(examples.shallow[chosen]), examples.targets[chosen])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return word.eval()


def examples_of(images: Sequence[Image], masks: Sequence[np.ndarray], anatomy: AnatomyNetwork, seed: int) -> Examples:
    """Returns what a network sees of films and of varied copies of them.

    Args:
        images: float32 (h, w) in [0, 1], bright = dense.
        masks: bool (h, w), each on its film's grid.
        anatomy: the network.
        seed: of the copies.
    """
    squares, targets = copies_of(images, masks, anatomy.settings.size, seed)
    shallow = []
    with torch.no_grad():
        for first in range(0, len(squares), AT_ONCE):
            part = squares[first : first + AT_ONCE]
            shallow.append(anatomy.trunk(part.contiguous(memory_format=torch.channels_last))[1].contiguous())
    return Examples(torch.cat(shallow), targets)


def copies_of(images: Sequence[Image], masks: Sequence[np.ndarray], size: int, seed: int) -> tuple[Squares, Maps]:
    """Returns films and varied copies of them as a network sees them, and the maps that it should make.

    Args:
        images: float32 (h, w) in [0, 1], bright = dense.
        masks: bool (h, w), each on its film's grid.
        size: rows and columns of the network's square.
        seed: of the copies.
    """
    squares, targets = [], []
    for number in range(max(COPIES, len(images))):
        place = number % len(images)
        rng = None if number < len(images) else generator(seed, number)
        square, target = example(images[place], masks[place], size, rng)
        squares.append(square)
        targets.append(target)
    return torch.from_numpy(np.stack(squares))[:, None], torch.from_numpy(np.stack(targets))


def example(
    image: Image, mask: Mask, size: int, rng: np.random.Generator | None
) -> tuple[Prepared, Float32[np.ndarray, "_ _"]]:
    """Returns a film as the anatomy network sees it, and the share of each pixel of its maps that the mask covers.

    Args:
        image: float32 (h, w) in [0, 1].
        mask: bool (h, w).
        size: rows and columns of the network's square.
        rng: draws how the copy varies; None for the film as it is.
    """
    window = Window.of((image.shape[0], image.shape[1]), size)
    shape = 2 * window.height, 2 * window.width  # finer than the square, so that a copy is resampled but once
    film, soft = resample(image, shape), resample(mask.astype(np.float32), shape)
    if rng is not None:
        turn, scale = TURN * rng.normal(), rng.uniform(*SCALES)
        matrix = cv2.getRotationMatrix2D(((shape[1] - 1) / 2, (shape[0] - 1) / 2), turn, scale)
        wide = np.exp(STRETCH * rng.normal())
        matrix[0] *= wide
        matrix[0, 2] += (1 - wide) * (shape[1] - 1) / 2
        matrix[:, 2] += rng.uniform(-SHIFT, SHIFT, 2) * shape[::-1]
        film, soft = (np.asarray(cv2.warpAffine(each, matrix, shape[::-1]), np.float32) for each in (film, soft))
        film = film.clip(0, 1) ** np.float32(np.exp(GAMMA * rng.normal()))
        film = (film + NOISE * rng.standard_normal(shape, np.float32)).clip(0, 1)
    target = np.zeros((size // STRIDE, size // STRIDE), np.float32)
    window.cut(target)[:] = resample(soft, (window.height // STRIDE, window.width // STRIDE))
    return Window.of(shape, size).prepare(film), target
