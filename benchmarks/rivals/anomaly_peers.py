"""Anomalies as four papers describe them, to compare times with: CutPaste, NSA, AnatPaste and DRAEM.

Each function takes a normal film, its lungs, another normal film of the same size with its lungs, and a source of
randomness. It returns the film with an anomaly and the mask of the pixels that it may change. Lengths that a paper
gives in pixels are those of its 256 pixels. OpenCV and numpy do the work, where the authors' programs use Pillow,
scipy and imgaug: these versions are rather faster than slower. `peers.py` and `presets.py` hold versions that stay
inside the lungs, for trainings.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from artasyn.arrays import Image, Mask
from artasyn.segment import Lungs
from artasyn.shapes import Float32

SIZE = 256
"""Pixels of a side that lengths in pixels belong to."""
AREA_RANGE = (0.02, 0.15)
"""Area of a pasted patch, as a share of the film."""
NARROWEST = 0.3
"""Smallest ratio of a patch's sides."""
JITTER = 0.1
"""Largest change of a patch's brightness and contrast."""
FINEST = 6
"""Perlin noise has up to `2**(FINEST - 1)` cells along a side."""
MaskedFilm = tuple[Image, Mask]
AnomalyMaker = Callable[[Image, Lungs, Image, Lungs, np.random.Generator], MaskedFilm]


def cut_paste(
    image: Image, lungs: Lungs, donor: Image, donor_lungs: Lungs, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """Copies a rectangle of the film to another place of the film, with another brightness and contrast.

    Source: CutPaste (Li et al., CVPR 2021, arXiv 2104.04015). The lungs and the other film are not needed.
    """
    size = _patch_size(image.shape, rng)
    patch = jittered(image[_window(image.shape, size, rng)], rng)
    place = _window(image.shape, size, rng)
    made, mask = image.copy(), np.zeros(image.shape, bool)
    made[place], mask[place] = patch, True
    return made, mask


def natural_synthetic_anomaly(
    image: Image, lungs: Lungs, donor: Image, donor_lungs: Lungs, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """Blends one to three resized rectangles of another film into the film by Poisson's equation.

    Source: NSA (Schlüter et al., ECCV 2022, arXiv 2109.15222). The sides of a rectangle follow a gamma distribution,
    and the gradients are the patch's own or the stronger ones of both films. The mask holds every pixel that changes.
    """
    target, source = ((255 * each).astype(np.uint8) for each in (image, donor))
    mixed = cv2.cvtColor(target, cv2.COLOR_GRAY2BGR)
    how = cv2.NORMAL_CLONE if rng.random() < 0.5 else cv2.MIXED_CLONE
    for _ in range(int(rng.choice([1, 2, 3], p=[0.5, 0.25, 0.25]))):
        size = tuple(int(length * min(0.06 + rng.gamma(2, 0.1), 0.7)) for length in image.shape)
        scale = float(np.clip(rng.normal(1, 0.5), 0.7, 1.3))
        cut = tuple(min(round(side / scale), length) for side, length in zip(size, image.shape, strict=True))
        patch = cv2.resize(source[_window(image.shape, cut, rng)], size[::-1], interpolation=cv2.INTER_LINEAR)
        rows, columns = _window(image.shape, (size[0] + 4, size[1] + 4), rng)
        centre = (columns.start + 2 + size[1] // 2, rows.start + 2 + size[0] // 2)
        whole = np.full(size, 255, np.uint8)
        mixed = cv2.seamlessClone(cv2.cvtColor(patch, cv2.COLOR_GRAY2BGR), mixed, whole, centre, how)
    changed = mixed[..., 0] != target
    return np.where(changed, mixed[..., 0] / np.float32(255), image), changed


def anat_paste(
    image: Image, lungs: Lungs, donor: Image, donor_lungs: Lungs, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """Copies a rectangle of the film into a lung, through a soft ellipse or rectangle that ends with the lungs.

    Source: AnatPaste (Sato et al., iScience 2023, arXiv 2205.04282). The authors find the lungs by Otsu's threshold;
    here the lungs are given, and finding them is not timed.
    """
    size = _patch_size(image.shape, rng)
    patch = jittered(image[_window(image.shape, size, rng)], rng)
    places = np.flatnonzero(lungs.mask)
    row, column = divmod(int(places[rng.integers(len(places))]), image.shape[1])
    alpha = np.zeros(image.shape, np.float32)
    pixel = image.shape[0] / SIZE
    half = [max(1, round(side / 2 - 10 * pixel)) for side in size]  # the margin keeps the soft edge inside the patch
    opacity = float(rng.uniform(150, 255) / 255)
    if rng.random() < 0.5:
        cv2.ellipse(alpha, (column, row), (half[1], half[0]), 0, 0, 360, opacity, -1)
    else:
        cv2.rectangle(alpha, (column - half[1], row - half[0]), (column + half[1], row + half[0]), opacity, -1)
    alpha = cv2.GaussianBlur(alpha, (0, 0), pixel * rng.uniform(0.5, 15)) * lungs.mask
    alpha[alpha < 1 / 255] = 0  # 8 bits hold no less
    top, first = row - size[0] // 2, column - size[1] // 2
    moved = np.array([[1, 0, first], [0, 1, top]], np.float32)
    pasted = cv2.warpAffine(patch, moved, image.shape[::-1], flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return image + alpha * (pasted - image), alpha > 0


def draem(image: Image, lungs: Lungs, donor: Image, donor_lungs: Lungs, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Mixes a texture into the film where turned Perlin noise exceeds a threshold.

    Source: DRAEM (Zavrtanik et al., ICCV 2021, arXiv 2108.07610). The texture is another film changed in three of nine
    ways, since the authors' photographs of textures are no part of this repository.
    """
    mask = perlin_mask(image.shape, rng)
    texture = donor
    for number in rng.choice(len(CHANGES), size=3, replace=False):
        texture = CHANGES[number](texture, rng)
    share = np.float32(rng.uniform(0, 0.8))
    mixed = share * image + (1 - share) * texture
    return np.where(mask, np.clip(mixed, 0, 1), image).astype(np.float32), mask


def perlin_mask(shape: tuple[int, ...], rng: np.random.Generator, threshold: float = 0.5) -> Mask:
    """The pixels where Perlin noise, turned by any angle, exceeds a threshold; drawn again while there are none."""
    while True:
        cells = tuple(2 ** int(power) for power in rng.integers(FINEST, size=2))
        noise = _turned(perlin_noise(shape, (cells[0], cells[1]), rng), rng)
        mask = noise > threshold
        if mask.any():
            return mask


def perlin_noise(
    shape: tuple[int, ...], cells: tuple[int, int], rng: np.random.Generator
) -> Float32[np.ndarray, "h w"]:
    """Perlin noise, about -1 to 1: random slopes at the corners of cells, smoothly mixed in between.

    Source: Perlin, "Improving noise", SIGGRAPH 2002.
    """
    angles = rng.uniform(0, 2 * math.pi, size=(cells[0] + 1, cells[1] + 1))
    slopes = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    places = [np.arange(length, dtype=np.float32) * count / length for length, count in zip(shape, cells, strict=True)]
    index = [np.minimum(place.astype(int), count - 1) for place, count in zip(places, cells, strict=True)]
    down, along = ((place - number).astype(np.float32) for place, number in zip(places, index, strict=True))
    fade_down, fade_along = (t**3 * (t * (6 * t - 15) + 10) for t in (down, along))
    rises = []
    for row in (0, 1):
        at = [
            slopes[0][index[0] + row][:, index[1] + column] * (down - row)[:, None]
            + slopes[1][index[0] + row][:, index[1] + column] * (along - column)
            for column in (0, 1)
        ]
        rises.append(at[0] + fade_along * (at[1] - at[0]))
    noise = rises[0] + fade_down[:, None] * (rises[1] - rises[0])
    return np.asarray(math.sqrt(2) * noise, np.float32)


def jittered(patch: Image, rng: np.random.Generator) -> Image:
    """A patch of another brightness and contrast."""
    brightness, contrast = rng.uniform(1 - JITTER, 1 + JITTER, size=2)
    brighter = np.clip(patch * np.float32(brightness), 0, 1)
    middle = brighter.mean()
    return np.asarray(np.clip(middle + (brighter - middle) * np.float32(contrast), 0, 1), np.float32)


def _patch_size(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[int, ...]:
    """Height and width of a patch: a share of the film's area, and a ratio that is even on a logarithmic scale."""
    area = rng.uniform(*AREA_RANGE) * shape[0] * shape[1]
    ratio = math.exp(rng.uniform(math.log(NARROWEST), -math.log(NARROWEST)))
    sides = math.sqrt(area / ratio), math.sqrt(area * ratio)
    return tuple(min(max(1, round(side)), length) for side, length in zip(sides, shape, strict=True))


def _window(shape: tuple[int, ...], size: tuple[int, ...], rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a window of a size, anywhere on the film."""
    starts = [int(rng.integers(length - side + 1)) for length, side in zip(shape, size, strict=True)]
    return slice(starts[0], starts[0] + size[0]), slice(starts[1], starts[1] + size[1])


def _turned(image: Image, rng: np.random.Generator) -> Image:
    """An image turned about its middle by up to 90 degrees, mirrored beyond its border."""
    height, width = image.shape
    about = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), rng.uniform(-90, 90), 1)
    turned = cv2.warpAffine(image, about, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(turned, np.float32)


def _equalised(image: Image, rng: np.random.Generator) -> Image:
    return np.asarray(cv2.equalizeHist((255 * image).astype(np.uint8)) / np.float32(255), np.float32)


def _sharpened(image: Image, rng: np.random.Generator) -> Image:
    return np.asarray(np.clip(2 * image - cv2.GaussianBlur(image, (3, 3), 0), 0, 1), np.float32)


def _stretched(image: Image, rng: np.random.Generator) -> Image:
    return np.asarray((image - image.min()) / max(float(np.ptp(image)), 1e-6), np.float32)


CHANGES: tuple[Callable[[Image, np.random.Generator], Image], ...] = (
    lambda image, rng: image ** np.float32(rng.uniform(0.5, 2)),
    lambda image, rng: np.clip(image * np.float32(rng.uniform(0.8, 1.2)) + np.float32(rng.uniform(-0.12, 0.12)), 0, 1),
    _sharpened,
    lambda image, rng: np.where(image > np.float32(rng.uniform(0.13, 0.5)), 1 - image, image),  # solarised
    lambda image, rng: np.floor(image * np.float32(15.99)) / np.float32(15),  # fewer grey levels
    lambda image, rng: 1 - image,
    _stretched,
    _equalised,
    _turned,
)
"""The ways to change a texture."""
