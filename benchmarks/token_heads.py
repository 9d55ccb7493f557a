"""Rows for the open word: maps as a few films teach them, and the answers that they should have had.

`TokenSegmenter.adapt` learns a new word as one linear layer on the anatomy network's features. From a handful of films
it makes rough maps. So the decoder learns beforehand, on structures that it knows, to write the right answer from such
maps: layers that learnt one structure, or two as one, from 1 to 20 films, look at other films. Some maps are those of
random blobs, since new words may have any shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.anatomy.window import STRIDE
from artasyn.segment.tokens.answers import LOCATIONS
from artasyn.segment.tokens.codec import MaskCodec
from artasyn.segment.tokens.crops import box_of, cropped, in_bins, in_pixels, placed
from artasyn.segment.tokens.learning import Examples, WordMap, fitted
from artasyn.shapes import Bool, Float32
from benchmarks.token_films import ABSENT, TokenFilms, beside

FILMS = (1, 2, 3, 5, 10, 20)
"""Numbers of films that a layer may learn from."""
UNIONS = 0.35
"""Share of the layers that learn two structures as one."""
BLOBS = 0.25
"""Share of the open rows whose maps are random blobs."""
STEPS, RATE = 60, 5e-3
"""Steps and highest learning rate of the training of a layer: less than a new word has, which leaves maps rougher."""
TRIES = 20
"""Films that are tried for one that tells all structures of a layer."""


@dataclass(frozen=True, eq=False)
class OpenRows:
    """Rows of a step for the open word.

    Attributes:
        film: place of the film in the batch.
        maps: (rows, size / 2, size / 2), what the new word makes of the film, in [0, 1].
        tokens: (rows, 24), as `TokenFilms.tokens`.
    """

    film: Tensor
    maps: Tensor
    tokens: np.ndarray


@dataclass(frozen=True, eq=False)
class Bank:
    """Linear layers that have learnt from a few films of a pool.

    Attributes:
        structures: what each layer has learnt: places in the pool's tokens.
        layers: the layers.
        size: rows and columns of the films.
        codec: writes and reads the masks.
    """

    structures: Sequence[tuple[int, ...]]
    layers: Sequence[WordMap]
    size: int
    codec: MaskCodec

    @classmethod
    def learnt(cls, films: TokenFilms, anatomy: AnatomyNetwork, codec: MaskCodec, count: int, seed: int) -> Bank:
        """Teaches layers.

        Args:
            films: the pool.
            anatomy: the network whose features the layers see.
            codec: reads the masks of the pool.
            count: number of layers.
            seed: of everything that is drawn.
        """
        size = films.images.shape[1]
        bank = cls([], [], size, codec)
        known = np.flatnonzero((films.tokens[..., 0] >= 0).any(axis=0))
        structures, layers = list[tuple[int, ...]](), list[WordMap]()
        for number in tqdm(range(count), "layers"):
            rng = np.random.default_rng((seed, 11, number))
            chosen = tuple(map(int, rng.choice(known, 2 if rng.random() < UNIONS else 1, replace=False)))
            shown = np.flatnonzero((films.tokens[:, chosen, 0] >= 0).all(axis=1))
            if not shown.size:
                continue
            few = rng.choice(shown, min(len(shown), int(rng.choice(FILMS))), replace=False)
            targets = torch.from_numpy(np.stack([bank.mask(films.tokens[n], chosen) for n in few])).float()
            with torch.no_grad():
                images = torch.from_numpy(films.images[few])[:, None].float() / 255
                _, shallow, _ = anatomy.trunk(images.contiguous(memory_format=torch.channels_last))
            seen = Examples(shallow.contiguous(), F.avg_pool2d(targets[:, None], 2 * STRIDE)[:, 0])
            layers.append(fitted(seen, steps=STEPS, seed=number, rate=RATE))
            structures.append(chosen)
        return cls(structures, layers, size, codec)

    def mask(self, tokens: np.ndarray, chosen: Sequence[int]) -> Bool[np.ndarray, "h w"]:
        """The mask of structures on a film, at twice the size of the film."""
        shape = (2 * self.size, 2 * self.size)
        found = np.zeros(shape, bool)
        shown = [place for place in chosen if tokens[place, 0] >= 0]
        if shown:
            crops = self.codec.decoder.decode(tokens[shown, 2 * LOCATIONS :].astype(np.int64))
            for place, crop in zip(shown, crops, strict=True):
                edges = tuple(int(edge) for edge in tokens[place, LOCATIONS : 2 * LOCATIONS])
                found |= placed(crop, in_pixels((edges[0], edges[1], edges[2], edges[3]), shape), shape)
        return found

    def rows(
        self, films: TokenFilms, batch: np.ndarray, shallow: Tensor, each: int, rng: np.random.Generator
    ) -> OpenRows:
        """Draws open rows about the films of a batch.

        Args:
            films: the pool.
            batch: numbers of the films.
            shallow: their features.
            each: rows for each film.
            rng: the random choices.
        """
        place, maps, masks = [], [], []
        for film, number in enumerate(batch):
            for _ in range(each):
                if rng.random() < BLOBS:
                    mask = blob(rng, 2 * self.size)
                    found = torch.from_numpy(rough(rng, mask))
                else:
                    layer = self._known(films.tokens[number], rng)
                    mask = self.mask(films.tokens[number], self.structures[layer])
                    with torch.no_grad():
                        found = torch.sigmoid(self.layers[layer](shallow[film : film + 1])[0])
                place.append(film)
                maps.append(found)
                masks.append(mask)
        return OpenRows(torch.tensor(place), torch.stack(maps), self._tokens(masks, rng))

    def _known(self, tokens: np.ndarray, rng: np.random.Generator) -> int:
        """A layer whose structures the film tells; most often ones that it shows."""
        for attempt in range(TRIES):
            layer = int(rng.integers(len(self.layers)))
            first = tokens[list(self.structures[layer]), 0]
            if (first >= 0).all() or (attempt == 0 and (first >= ABSENT).all()):
                return layer
        return layer

    def _tokens(self, masks: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """The tokens of masks, as `TokenFilms.tokens`."""
        shape = (2 * self.size, 2 * self.size)
        tokens = np.full((len(masks), 2 * LOCATIONS + self.codec.codes), ABSENT, np.int16)
        shown = [(row, box) for row, mask in enumerate(masks) if (box := box_of(mask)) is not None]
        if shown:
            given = [beside(box, 2 * self.size, rng) for _, box in shown]
            crops = np.stack([cropped(masks[row], box) for (row, _), box in zip(shown, given, strict=True)])
            assert self.codec.encoder is not None
            for (row, box), near, codes in zip(shown, given, self.codec.encoder.encode(crops), strict=True):
                tokens[row] = (*in_bins(box, shape), *in_bins(near, shape), *codes)
        return tokens


def blob(rng: np.random.Generator, side: int) -> Bool[np.ndarray, "h w"]:
    """One to three random ellipses with wavy edges on a square, from a nodule's size to a lung's."""
    rows, columns = np.mgrid[:side, :side].astype(np.float32) / side
    field = np.full((side, side), -1.0, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        middle, size = rng.uniform(0.15, 0.85, 2), np.exp(rng.uniform(np.log(0.03), np.log(0.3), 2))
        turn = rng.uniform(0, np.pi)
        y, x = rows - middle[0], columns - middle[1]
        along, across = y * np.cos(turn) + x * np.sin(turn), x * np.cos(turn) - y * np.sin(turn)
        field = np.maximum(field, 1.0 - np.hypot(along / size[0], across / size[1]))
    wavy = cv2.resize(rng.standard_normal((9, 9)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field + 0.1 * wavy > np.minimum(0.2, field.max() / 2))


def rough(rng: np.random.Generator, mask: np.ndarray) -> Float32[np.ndarray, "size size"]:
    """A rough map of a mask at a quarter of its size: blurred, uneven, and with something beside it."""
    side = mask.shape[0] // (2 * STRIDE)
    soft = cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    widest = 0.25 * np.sqrt(soft.sum())  # a small mask would vanish under a wide blur
    logit = 8 * cv2.GaussianBlur(soft, (0, 0), rng.uniform(0.3, 0.5 + widest)) - rng.uniform(3, 5)
    for cells, strength in ((5, 1.5), (17, 1.0), (65, 0.6)):
        noise = rng.standard_normal((cells, cells)).astype(np.float32)
        logit = logit + rng.uniform(0, strength) * cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(1 / (1 + np.exp(-logit)), np.float32)
