"""Films that the writer of masks learns from, with the tokens of every structure: composed once, kept in shards.

A film is composed from a stock (`artasyn.stock`) at twice the size that the network sees, so that box and shape of a
mask are told finer than the network's pixels. Placement and scale are drawn anew for every film; they change location
tokens alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from artasyn.segment.structures import ANATOMY
from artasyn.segment.tokens.answers import LOCATIONS
from artasyn.segment.tokens.codec import MaskCodec
from artasyn.segment.tokens.crops import Box, box_of, cropped, in_bins
from artasyn.shapes import Float32, Int16, UInt8
from artasyn.stock.films import Films
from artasyn.stock.finish import stretched
from artasyn.stock.packed import Stock

SHARD = 250
"""Films in a file."""

ABSENT, UNKNOWN = -1, -2
"""In the place of the first token: the film does not show the structure, or the patient does not tell it."""

EXACT, BESIDE = 0.4, 7
"""Share of the boxes that are given as they are, and the stream of the seeds of the others."""

LEAST = 12
"""Least pixels of a structure that counts as shown, at the size that the network sees."""


@dataclass(frozen=True, eq=False)
class TokenFilms:
    """Films with their tokens.

    Attributes:
        images: uint8 (n, size, size), as the network sees them.
        tokens: int16 (n, k, 24) for each structure of `ANATOMY`: the four edges of its box in bins, those of a box
            that may lie up to a pixel beside it, and the 16 codes of the shape in the second box. `ABSENT` or `UNKNOWN`
            in the first place.
        turns: float32 (n, 2), sine and cosine of each patient's turn.
    """

    images: UInt8[np.ndarray, "n size size"]
    tokens: Int16[np.ndarray, "n k tokens"]
    turns: Float32[np.ndarray, "n 2"]

    def telling(self, places: Sequence[int]) -> TokenFilms:
        """The same films, which tell some structures alone.

        Args:
            places: of the structures in the tokens.
        """
        return TokenFilms(self.images, self.tokens[:, places], self.turns)


def compose(stock: Stock, films: Films, size: int, codec: MaskCodec, seed: tuple[int, ...]) -> TokenFilms:
    """One film with its tokens.

    Args:
        stock: the views.
        films: the ranges of the films.
        size: rows and columns that the network sees.
        codec: writes the masks.
        seed: of everything that is drawn.
    """
    made = films.compose(stock, 2 * size, seed)
    small = cv2.resize(made["image"][0], (size, size), interpolation=cv2.INTER_AREA)
    inside = made["window"].inside
    field = tuple(slice(part.start // 2, part.stop // 2) for part in inside)
    image = np.zeros_like(small)
    image[field] = stretched(small[field])
    masks = np.moveaxis(made["masks"] >= 2, -1, 0)
    tokens = np.zeros((len(ANATOMY), 2 * LOCATIONS + codec.codes), np.int16)
    tokens[:, 0] = UNKNOWN
    tokens[made["known"], 0] = ABSENT
    shown = [place for place in np.flatnonzero(made["known"]) if np.count_nonzero(masks[place]) >= LEAST]
    rng = np.random.default_rng((*seed, BESIDE))
    true = [box for place in shown if (box := box_of(masks[place])) is not None]
    given = [beside(box, size, rng) for box in true]
    crops = np.stack([cropped(masks[place], box) for place, box in zip(shown, given, strict=True)])
    assert codec.encoder is not None
    for place, codes, *boxes in zip(shown, codec.encoder.encode(crops), true, given, strict=True):
        tokens[place] = (*(bin for box in boxes for bin in in_bins(box, (size, size))), *codes)
    return TokenFilms(np.rint(255 * image).astype(np.uint8)[None], tokens[None], made["angle"][None])


def beside(box: Box, size: int, rng: np.random.Generator) -> Box:
    """A box whose edges may lie a pixel beside those of another one."""
    if rng.random() < EXACT:
        return box
    top, left, bottom, right = (int(edge) for edge in np.clip(np.array(box) + rng.integers(-1, 2, 4), 0, size))
    return (top, left, bottom, right) if bottom - top > 1 and right - left > 1 else box


def _joined(parts: Sequence[TokenFilms]) -> TokenFilms:
    return TokenFilms(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "tokens", "turns"))
    )


def pooled(
    stock: Stock, films: Films, size: int, codec: MaskCodec, count: int, seed: tuple[int, ...], folder: Path
) -> TokenFilms:
    """Films of a stock, kept in a folder; a run that was cut off goes on, and another plan begins anew.

    Args:
        stock: the views.
        films: the ranges of the films.
        size: rows and columns that the network sees.
        codec: writes the masks.
        count: number of films.
        seed: the films follow from it.
        folder: keeps the films.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = json.dumps({"stock": stock.identity(), "films": asdict(films), "size": size, "seed": seed})
    told = folder / "about.json"
    if not (told.exists() and told.read_text() == about):
        for file in folder.glob("films_*.npz"):
            file.unlink()
        told.write_text(about)
    return _joined(list(_shards(stock, films, size, codec, count, seed, folder)))


def _shards(
    stock: Stock, films: Films, size: int, codec: MaskCodec, count: int, seed: tuple[int, ...], folder: Path
) -> Iterator[TokenFilms]:
    for first in tqdm(range(0, count, SHARD), "films", unit="shard"):
        file = folder / f"films_{first:06d}.npz"
        if not file.exists():
            part = _joined([compose(stock, films, size, codec, (*seed, first + place)) for place in range(SHARD)])
            with (folder / "partial").open("wb") as held:
                np.savez(held, images=part.images, tokens=part.tokens, turns=part.turns)
            (folder / "partial").replace(file)
        with np.load(file) as kept:
            yield TokenFilms(kept["images"], kept["tokens"], kept["turns"])
