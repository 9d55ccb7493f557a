"""Films composed from a stock of views: every film is another patient, exposure and detector.

Attenuation factors make tissues denser or lighter. Warps move image and masks alike. Opacities and effusions hide lung
that stays lung in the masks. Tone, local contrast, devices, letters, borders, noise and inversion follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypedDict

import cv2
import numpy as np

from artasyn.arrays import Image
from artasyn.errors import ArtasynError, DataError
from artasyn.fields import Interval, Share, Within, check_fields
from artasyn.segment.anatomy.window import Window
from artasyn.segment.lungs import Lungs
from artasyn.segment.structures import ANATOMY
from artasyn.shapes import Bool, Float32, UInt8
from artasyn.stock.finish import Finish
from artasyn.stock.packed import LUNG_DEPTHS, Packed, Stock
from artasyn.stock.views import TISSUES, StockView
from artasyn.synthesis.opacity import LungOpacity

Grid = Float32[np.ndarray, "h w"]

SPREAD = {
    "lung": 0.3, "heart": 0.12, "abdomen": 0.12, "breast": 0.4, "ribs": 0.4, "spine": 0.3, "girdle": 0.4, "soft": 0.12,
}  # fmt: skip
"""Standard deviation of the logarithm of each tissue's attenuation factor."""

WIDE = np.array([0.35, 0.7, 0.35, 0.35])
"""Most that the margins above, below, left and right of the lungs grow on a wide film, as shares of the lungs' box."""

Margin = Annotated[float, Within(-0.5, 1)]
"""A margin around the lungs' box, as a share of its sides."""


class FilmSample(TypedDict):
    """One film with its masks, as a training takes it.

    Keys:
        image: (1, s, s), as the network expects it.
        masks: how many of the four pixels under each pixel of half the size belong to each mask, (s / 2, s / 2, k).
        known: which masks are known.
        angle: sine and cosine of the view's angle.
        window: the film's place in the square.
    """

    image: Float32[np.ndarray, "1 h w"]
    masks: UInt8[np.ndarray, "y x k"]
    known: Bool[np.ndarray, " k"]
    angle: Float32[np.ndarray, " 2"]
    window: Window


@dataclass(frozen=True)
class Films:
    """The ranges from which films are composed.

    Attributes:
        attenuation_share: share of the films with other attenuation of each tissue.
        margin_range: margins of the film around the lungs.
        wide_share: share of the films on which the lungs are small: the margins grow by up to `WIDE`.
        roll_range: roll of the patient, degrees.
        stretch: standard deviation of the logarithm of the film's stretch, across and along the body.
        warp: strength of the smooth warps, as a share of the lungs' box.
        opacity_share: share of the films with each of patches, effusions and `LungOpacity`.
        finish: tone, local contrast, devices, letters, borders, noise and inversion.
    """

    attenuation_share: Share = 0.8
    margin_range: Interval[Margin] = (-0.04, 0.3)
    wide_share: Share = 0.3
    roll_range: Interval[Annotated[float, Within(-180, 180)]] = (-8.0, 8.0)
    stretch: Share = 0.09
    warp: Share = 0.02
    opacity_share: Share = 0.2
    finish: Finish = Finish()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        check_fields(self, DataError)

    def compose(self, stock: Stock, size: int, seed: tuple[int, ...]) -> FilmSample:
        """Composes one film; the same seed gives the same film.

        Args:
            stock: the views.
            size: rows and columns of the network's input, even.
            seed: of everything that is drawn.
        """
        rng = np.random.default_rng(seed)
        view = stock.views[int(rng.choice(len(stock.views), p=stock.shares))]
        frame = _Frame.drawn(self, view, size, rng)
        maps = cv2.remap(view.maps, frame.columns, frame.rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        tissues, depths = maps[..., : len(TISSUES)], 1000 * maps[..., len(TISSUES) :]
        masks = frame.gathered(view.bits)
        integral = self._integral(tissues, rng)
        integral += self._opacities(depths, rng)
        inside = frame.window.inside
        film = self.finish.developed(integral, depths.sum(axis=-1) > 20, inside, rng)
        if rng.random() < self.opacity_share and view.frontal:
            film = _with_opacity(film, masks, rng)
        film = self.finish(film, inside, rng)
        turn = np.radians(view.angle)
        return {
            "image": film[None],
            "masks": pooled(masks),
            "known": view.known,
            "angle": np.array([np.sin(turn), np.cos(turn)], np.float32),
            "window": frame.window,
        }

    def _integral(self, tissues: np.ndarray, rng: np.random.Generator) -> Grid:
        """Returns the line integral of tissues (h, w, c) with other attenuation, and unevenness of the soft tissue."""
        factors = np.exp([SPREAD[name] * rng.normal() for name in TISSUES])
        if rng.random() >= self.attenuation_share:
            factors[:] = 1
        else:
            factors *= np.exp(0.12 * rng.normal())
            tissues = tissues * (1 + 0.08 * rng.random() * noise(rng, tissues.shape[:2], 4)[..., None])
        return np.asarray(tissues @ factors.astype(np.float32), np.float32)

    def _opacities(self, depths: np.ndarray, rng: np.random.Generator) -> Grid:
        """Returns the attenuation that opacities and effusions add to lungs of the given depths (h, w, 2), mm."""
        total = np.zeros(depths.shape[:2], np.float32)
        for side in range(2):
            depth = depths[..., side]
            air = np.clip(depth / max(1.0, float(depth.max())), 0, 1)
            if rng.random() < self.opacity_share:
                spots = noise(rng, depth.shape, int(rng.integers(3, 9))) - rng.uniform(-0.5, 1)
                total += rng.uniform(0.1, 1.2) * np.clip(spots, 0, 1) * np.sqrt(air)
            rows = np.flatnonzero((depth > 10).any(axis=1))
            if rows.size < 4 or rng.random() >= 0.4 * self.opacity_share:
                continue
            level = rows[0] + (rows[-1] - rows[0]) * rng.uniform(0.0, 1.0)
            soft = max(1.0, (rows[-1] - rows[0]) * rng.uniform(0.01, 0.15))
            meniscus = (rows[-1] - rows[0]) * rng.uniform(0, 0.2) * noise(rng, depth.shape, 2)
            full = 1 / (1 + np.exp(-np.clip((np.arange(len(depth))[:, None] - level + meniscus) / soft, -30, 30)))
            total += rng.uniform(0.3, 1.5) * full.astype(np.float32) * np.clip(3 * air, 0, 1)
        return total


@dataclass(frozen=True, eq=False)
class _Frame:
    """The place of every pixel of a film in its view.

    Attributes:
        rows: rows in the view, float32 (h, w).
        columns: columns in the view, float32 (h, w).
        window: the place of the film in the square; the rest pads it.
    """

    rows: Grid
    columns: Grid
    window: Window

    @classmethod
    def drawn(cls, films: Films, view: Packed, size: int, rng: np.random.Generator) -> _Frame:
        top, left, bottom, right = view.box
        tall, wide = bottom - top, right - left
        low, high = films.margin_range
        common = rng.uniform(low, high)
        spread = high - low
        above, below, before, after = np.clip(common + 0.18 * spread * rng.normal(0, 1, 4), low, high + 0.3 * spread)
        if rng.random() < films.wide_share:
            above, below, before, after = np.array([above, below, before, after]) + WIDE * rng.random(4)
        height, width = tall * (1 + above + below), wide * (1 + before + after)
        middle = np.array([top - above * tall + height / 2, left - before * wide + width / 2])
        shown = width / height * np.exp(films.stretch * rng.normal() * np.sqrt(2))
        if rng.random() < 0.15 and films.stretch:
            shown = 1.0  # collections are stored squashed to squares
        window = Window.of((1000, round(1000 * float(np.clip(shown, 0.5, 2)))), size)
        y = ((np.arange(size, dtype=np.float32) + 0.5 - window.top) / window.height - 0.5) * height
        x = ((np.arange(size, dtype=np.float32) + 0.5 - window.left) / window.width - 0.5) * width
        roll = np.radians(rng.uniform(*films.roll_range) * rng.random() ** 0.5)
        down = y[:, None] * np.cos(roll) + x * np.sin(roll)
        across = x * np.cos(roll) - y[:, None] * np.sin(roll)
        strength = films.warp * max(tall, wide)
        for cells in (2, 4, 7):
            down = down + strength * rng.random() * 2 / cells * noise(rng, down.shape, cells)
            across = across + strength * rng.random() * 2 / cells * noise(rng, down.shape, cells)
        return cls((middle[0] + down - 0.5).astype(np.float32), (middle[1] + across - 0.5).astype(np.float32), window)

    def gathered(self, bits: np.ndarray) -> UInt8[np.ndarray, "h w k"]:
        """Returns the masks of packed bits at the film's pixels, 0 or 1; nothing beside the view and the film."""
        row, column = np.rint(self.rows).astype(np.intp), np.rint(self.columns).astype(np.intp)
        h, w = bits.shape[:2]
        there = np.zeros(row.shape, bool)
        there[self.window.inside] = True
        there &= (row >= 0) & (row < h) & (column >= 0) & (column < w)
        found = bits.reshape(h * w, -1)[np.clip(row, 0, h - 1) * w + np.clip(column, 0, w - 1)]
        found[~there] = 0
        return np.unpackbits(found, axis=-1, count=len(ANATOMY))


def plain_film(view: StockView) -> Image:
    """Returns a view as a film without anything drawn, float32 (h, w) in [0, 1]."""
    plain = Finish(tone_share=0.0, extras_share=0.0, invert_share=0.0, noise=0.0)
    integral = view.integrals.astype(np.float32).sum(axis=0)
    depths = np.stack([view.thickness[view.names.index(name)] for name in LUNG_DEPTHS])
    lungs = np.asarray(depths.sum(axis=0, dtype=np.float32) > 20)
    whole = slice(0, integral.shape[0]), slice(0, integral.shape[1])
    return plain.developed(integral, lungs, whole, np.random.default_rng(0))


def pooled(masks: np.ndarray) -> UInt8[np.ndarray, "y x k"]:
    """Returns how many of the four pixels under each pixel of half the size belong to each mask, 0 to 4."""
    return np.asarray(masks[::2, ::2] + masks[1::2, ::2] + masks[::2, 1::2] + masks[1::2, 1::2])


def noise(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> Grid:
    """Returns smooth noise of mean 0 and standard deviation of about 1, with `cells` grains along a side."""
    lattice = rng.standard_normal((cells + 1, cells + 1)).astype(np.float32)
    return np.asarray(cv2.resize(lattice, shape[::-1], interpolation=cv2.INTER_CUBIC))


def _with_opacity(film: Image, masks: np.ndarray, rng: np.random.Generator) -> Image:
    """Returns the film with one of `LungOpacity` in its visible lungs, or as it is where none can be placed."""
    right, left = (masks[..., ANATOMY.index(f"visible_lung_{side}")] for side in ("right", "left"))
    lungs = Lungs.from_labels(np.where(right, np.uint8(1), 2 * left).astype(np.uint8))
    if not lungs.found:
        return film
    maker = LungOpacity()
    try:
        return maker.render(film, lungs, maker.draw(lungs, rng)).image
    except ArtasynError:  # too little lung is shown for an opacity
        return film
