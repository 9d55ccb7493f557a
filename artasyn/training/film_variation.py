"""Differences between radiographs of healthy patients and of hospitals, which a network learns to ignore."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from artasyn.arrays import Attenuation, Image
from artasyn.segment.projection.film_look import FilmLook
from artasyn.shapes import Float32

_KNOTS = 4  # rows and columns of the uneven light


@dataclass(frozen=True)
class FilmVariation:
    """Varies position, tone, light, sharpness and noise in the same way on radiographs that belong together.

    Attributes:
        strength: 1 varies as much as between hospitals; 0 varies only the position.
        shift: largest shift, as a share of the radiograph's side.
        scale_range: of both sides together; each side varies by a further 8 %.
        turn: largest rotation, in degrees.
        rotation: largest shift of the middle against both edges, as a share of half the side: the patient is turned
            about the body's axis.
        inspiration: largest shift of the lower edge against the middle, as a share of half the side.
        mirrored: whether left and right may be swapped.

    Example:
        >>> film = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
        >>> (one, same), _ = FilmVariation()((film, film), (film,), np.random.default_rng(0))
        >>> bool((one == same).all()), bool((one == film).all())
        (True, False)
    """

    strength: float = 1.0
    shift: float = 0.06
    scale_range: tuple[float, float] = (0.87, 1.15)
    turn: float = 7.0
    rotation: float = 0.08
    inspiration: float = 0.1
    mirrored: bool = True

    def __call__(
        self, films: tuple[Image, Image], regions: tuple[Attenuation, ...], rng: np.random.Generator
    ) -> tuple[tuple[Image, Image], tuple[Attenuation, ...]]:
        """Varies a radiograph and its normal counterpart.

        Args:
            films: float32 (h, w) in [0, 1], the radiograph with and without its anomaly. Pixels that are the same in
                both stay the same, except after adaptive equalisation and blur.
            regions: float32 (h, w), maps on the radiographs; the maps are moved with the radiographs.
            rng: the source of randomness.

        Returns:
            The varied radiographs in [0, 1] and the moved regions.
        """
        shape = films[0].shape
        move = self._places(shape, self._move(shape, rng), rng)
        light, look = self._light(shape, rng), self._look(rng)
        film, normal = (np.clip(_moved(each, move, cv2.BORDER_REPLICATE) + light, 0, 1) for each in films)
        there = tuple(_moved(region, move, cv2.BORDER_CONSTANT) for region in regions)
        quality = int(rng.integers(25, 90)) if rng.random() < 0.2 * self.strength else None
        return (_compressed(look(film, normal), quality), _compressed(look(normal), quality)), there

    def _places(
        self, shape: tuple[int, int], move: Float32[np.ndarray, "2 3"], rng: np.random.Generator
    ) -> tuple[Image, Image]:
        """Returns the column and the row on the given image for each pixel of the varied image."""
        middle = (np.array(shape[::-1], np.float32) - 1) / 2
        across = (np.arange(shape[1], dtype=np.float32)[None] - middle[0]) / middle[0]
        down = (np.arange(shape[0], dtype=np.float32)[:, None] - middle[1]) / middle[1]
        turned = np.float32(rng.uniform(-self.rotation, self.rotation)) * (1 - across**2)
        lower = np.float32(rng.uniform(-self.inspiration, self.inspiration)) * np.clip(down, 0, 1) ** 2
        columns, rows = middle[0] * (1 + across + turned), middle[1] * (1 + down + lower)
        places = [line[0] * columns + line[1] * rows + line[2] for line in move]
        return places[0], places[1]

    def _move(self, shape: tuple[int, int], rng: np.random.Generator) -> Float32[np.ndarray, "2 3"]:
        """Draws the transform from a place on the varied image, (column, row, 1), to a place on the given image."""
        low, high = (math.log(end) for end in self.scale_range)
        size = math.exp(rng.uniform(low, high))
        rows, columns = size * np.exp(rng.uniform(-0.04, 0.04, size=2))
        columns = -columns if self.mirrored and rng.random() < 0.5 else columns
        angle = math.radians(rng.uniform(-self.turn, self.turn))
        cosine, sine = math.cos(angle), math.sin(angle)
        linear = np.array([[columns * cosine, -rows * sine], [columns * sine, rows * cosine]])
        middle = (np.array(shape[::-1]) - 1) / 2
        to = middle + rng.uniform(-self.shift, self.shift, size=2) * shape[::-1]
        return np.column_stack([linear, to - linear @ middle]).astype(np.float32)

    def _light(self, shape: tuple[int, int], rng: np.random.Generator) -> Image:
        """Draws the grey that is added: a tilt, uneven light, patches of lucent lung, breasts or other soft tissue."""
        rows, columns = (np.linspace(-1, 1, length, dtype=np.float32) for length in shape)
        rows = rows[:, None]
        light = rng.uniform(-0.1, 0.1) * rows + rng.uniform(-0.1, 0.1) * columns
        if rng.random() < 0.6:
            light = light + rng.uniform(0, 0.06) * _uneven(shape, _KNOTS, rng)
        if rng.random() < 0.3:
            light = light - rng.uniform(0, 0.15) * np.clip(_uneven(shape, _KNOTS + 2, rng) - 0.6, 0, 1)
        if rng.random() < 0.25:
            height, width = rng.uniform(0.3, 0.6), rng.uniform(0.35, 0.6)
            down, out = rng.uniform(0.2, 0.7), rng.uniform(0.4, 0.65)
            inside = 1 - ((np.abs(columns) - out) / width) ** 2 - ((rows - down) / height) ** 2
            light = light + rng.uniform(0, 0.12) / (1 + np.exp(-rng.uniform(2, 12) * np.clip(inside, -6, 6)))
        return np.asarray(self.strength * light, np.float32)

    def _look(self, rng: np.random.Generator) -> FilmLook:
        """Draws how the radiograph is exposed and developed."""
        often = (rng.random(5) < (0.7, 0.2, 0.3, 0.4, 0.6)).tolist()
        return FilmLook(
            gamma=math.exp(self.strength * rng.uniform(-0.45, 0.45)),
            contrast=math.exp(self.strength * rng.uniform(-0.25, 0.25)),
            detail=self.strength * rng.uniform(-0.5, 1.2) * often[0],
            clahe=self.strength * rng.uniform(0.3, 1.0) * often[1],
            scatter=self.strength * rng.uniform(0, 0.3) * often[2],
            blur=self.strength * rng.uniform(0, 0.01) * often[3],
            noise=self.strength * rng.uniform(0, 0.025) * often[4],
            seed=int(rng.integers(2**31)),
        )


def _uneven(shape: tuple[int, int], knots: int, rng: np.random.Generator) -> Image:
    """Draws smooth noise of about unit variance."""
    coarse = rng.standard_normal((knots, knots)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _moved(values: Image, places: tuple[Image, Image], border: int) -> Image:
    """Returns the values at places, given as columns and rows."""
    return np.asarray(cv2.remap(values, *places, cv2.INTER_LINEAR, borderMode=border), np.float32)


def _compressed(film: Image, quality: int | None) -> Image:
    """Returns an image as JPEG of a quality from 0 to 100 keeps it; unchanged for None."""
    if quality is None:
        return film
    _, data = cv2.imencode(".jpg", np.rint(255 * film).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) / np.float32(255), np.float32)
