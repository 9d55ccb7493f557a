"""Other ways to make anomalies for training a detector, for comparison with artasyn's. All else is the same.

Each way takes a normal film, its lungs and a random generator, as `LungOpacity` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from artasyn.arrays import Attenuation, Image, Mask
from artasyn.segment import Lungs
from artasyn.synthesis import LungOpacity
from artasyn.synthesis.anomaly import Made, Synthesis
from artasyn.synthesis.noise import clouds
from artasyn.training.normals import Normals
from benchmarks.rivals.peers import pasted_patch
from benchmarks.rivals.published_synthesis import SIZE, published_synthesis

DRAWS = 10
"""Draws after which an empty anomaly is accepted."""


@dataclass(frozen=True, eq=False)
class Pasted:
    """A film with an anomaly, and a map that is 1 inside the anomaly."""

    image: Image
    attenuation: Attenuation


@dataclass(frozen=True, eq=False)
class Preset:
    """Makes anomalies with parts of other films.

    Attributes:
        make: gives the film with the anomaly and its mask.
        donors: normal films to take from.
    """

    make: Callable[[Image, Lungs, Image, Lungs, np.random.Generator], tuple[Image, Mask]]
    donors: Normals = field(repr=False)

    def __call__(self, image: Image, lungs: Lungs, rng: np.random.Generator) -> Made:
        """Makes an anomaly, and draws again while the anomaly is empty, at most `DRAWS` times in all."""
        for _ in range(DRAWS):
            number = int(rng.integers(len(self.donors)))
            made, mask = self.make(image, lungs, self.donors.image(number), self.donors.lungs(number), rng)
            if mask.any():
                break
        return Pasted(made.astype(np.float32), mask.astype(np.float32))


def published(
    image: Image, lungs: Lungs, donor: Image, donor_lungs: Lungs, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """The published texture synthesis, which works at 256 pixels; the donor is not needed."""
    large = np.clip(cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), 0, 1)
    made, mask = published_synthesis(large, lungs.resized((SIZE, SIZE)), rng)
    back = image.shape[::-1]
    small = cv2.resize(mask.astype(np.uint8), back, interpolation=cv2.INTER_NEAREST_EXACT) > 0
    change = cv2.resize(made - large, back, interpolation=cv2.INTER_AREA)
    return np.clip(image + change, 0, 1), small


def blended(
    image: Image, lungs: Lungs, donor: Image, donor_lungs: Lungs, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """An ellipse of another film's lung, resized and blended by Poisson's equation.

    NSA (Schlüter et al., ECCV 2022) does the same. Pixels that change by at most two grey levels of 8 bits stay as they
    were and lie outside the mask.
    """
    target, source = ((each * 255).astype(np.uint8) for each in (image, donor))
    height = max(lungs.heights)
    half = (rng.uniform(0.1, 0.35, size=2) * height).astype(int) + 2
    ellipse = np.zeros(tuple(2 * half + 1), np.uint8)
    cv2.ellipse(ellipse, (int(half[1]), int(half[0])), (int(half[1]) - 1, int(half[0]) - 1), 0, 0, 360, 255, -1)
    to, place = _inside(lungs, half, rng), _inside(donor_lungs, half, rng)
    scale = rng.uniform(0.7, 1.4)
    around = np.array([[1 / scale, 0, place[1] - half[1] / scale], [0, 1 / scale, place[0] - half[0] / scale]])
    shape = (ellipse.shape[1], ellipse.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    patch = cv2.warpAffine(source, around.astype(np.float32), shape, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    coloured = (np.dstack([each] * 3) for each in (patch, target))
    part, whole = coloured
    mixed = cv2.seamlessClone(part, whole, ellipse, (int(to[1]), int(to[0])), cv2.NORMAL_CLONE)[..., 0]
    change = (mixed.astype(np.float32) - target) / np.float32(255)
    mask = (np.abs(change) > 2 / 255) & lungs.mask
    return np.clip(image + np.where(mask, change, 0), 0, 1), mask


def perlin(
    image: Image, lungs: Lungs, donor: Image, donor_lungs: Lungs, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """Mixes another film's grey, inverted or not, into the lungs where noise exceeds a threshold.

    DRAEM (Zavrtanik et al., ICCV 2021) does the same with Perlin noise and photographs of textures.
    """
    coarsest = float(rng.choice([4, 8, 16, 32]) / 64 * image.shape[0])
    noise = clouds(image.shape, seed=int(rng.integers(2**32)), coarsest=coarsest)
    mask = (noise > np.quantile(noise, rng.uniform(0.6, 0.95))) & lungs.mask
    turned = donor[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    texture = turned if rng.random() < 0.5 else 1 - turned
    share = np.float32(rng.uniform(0.2, 1.0))
    return np.where(mask, (1 - share) * image + share * texture, image), mask


def _inside(lungs: Lungs, half: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random place in the lungs, moved so that a patch of this half size fits on the film."""
    places = np.argwhere(lungs.mask)
    place = places[rng.integers(len(places))]
    return np.asarray(np.clip(place, half + 2, np.array(lungs.labels.shape) - half - 3))


def presets(donors: Normals) -> dict[str, Synthesis]:
    """Every way by its name, artasyn's first."""
    return {
        "artasyn": LungOpacity(),
        "published texture": Preset(published, donors),
        "pasted patch": Preset(pasted_patch, donors),
        "Poisson blending": Preset(blended, donors),
        "Perlin noise": Preset(perlin, donors),
    }
