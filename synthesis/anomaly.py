"""An anomaly on a radiograph: the new image, the exact mask and the added attenuation; and the part that changed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from artasyn.arrays import Attenuation, Image, Mask
from artasyn.segment import Lungs
from artasyn.shapes import Bool, Float32
from artasyn.synthesis.context import Window
from artasyn.synthesis.lesions import OpacityRecord
from artasyn.synthesis.rendering import LEAST_GAIN

Part = Float32[np.ndarray, "rows columns"]
"""Attenuation of a part of a radiograph, in image units: float32 (rows, columns)."""

STRIP = 1 << 16
"""Pixels of a strip of a film."""


@dataclass(frozen=True, eq=False)
class Anomaly:
    """A radiograph with a synthetic anomaly.

    Attributes:
        image: float32 (h, w) in [0, 1], the radiograph with the anomaly.
        mask: bool (h, w), exactly the pixels that differ from the normal radiograph.
        attenuation: float32 (h, w), the attenuation that was added: ``image - normal``. It is at least the tolerance
            inside the mask and 0 outside.
        record: remakes this anomaly on the same radiograph.
        findings: the mask of every finding by its name, bool (h, w). The masks may overlap; their union is `mask`.
    """

    image: Image
    mask: Mask
    attenuation: Attenuation
    record: OpacityRecord
    findings: Mapping[str, Mask] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Change:
    """The change that an anomaly makes to an image.

    Attributes:
        film: rows and columns of the part of the image in which pixels can change.
        image: the image with the anomaly.
        mask: the pixels that changed.
        attenuation: the attenuation that was added.
        window: the window around the lungs.
        inner: rows and columns of the part in the window.
        step: from lung to soft tissue, on the grid.
        air_left: the share of air that every finding leaves, by the finding's name.
        tolerance: smallest change of a pixel.
    """

    film: tuple[slice, slice]
    image: Image
    mask: Mask
    attenuation: Attenuation
    window: Window
    inner: tuple[slice, slice]
    step: Float32[np.ndarray, "grid grid"]
    air_left: dict[str, Float32[np.ndarray, "grid grid"]]
    tolerance: float

    def among(self, there: Bool[np.ndarray, "grid grid"]) -> Mask:
        """Returns the changed pixels that lie in some places of the grid."""
        down, across = self.inner
        size = (self.window.side, len(there))
        wide = cv2.resize(there.view(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)[:, across]
        number = np.arange(len(there), dtype=np.uint8)[:, None]
        rows = cv2.resize(number, (1, self.window.side), interpolation=cv2.INTER_NEAREST_EXACT)[down, 0]
        found = np.zeros_like(self.mask)
        np.logical_and(self.mask[self.film], wide.take(rows.astype(int), axis=0).view(bool), out=found[self.film])
        return found

    def findings(self) -> dict[str, Mask]:
        """Returns the changed pixels of each finding, decided on the grid.

        A pixel belongs to a finding that reaches the tolerance by itself, or that adds no less than any other finding.
        """
        if len(self.air_left) == 1:
            return {name: self.mask.copy() for name in self.air_left}
        parts = [(1 - air) * self.step for air in self.air_left.values()]
        most = functools.reduce(np.maximum, parts)
        masks = [self.among((part >= np.float32(self.tolerance)) | (part == most)) for part in parts]
        return dict(zip(self.air_left, masks, strict=True))


def expose(image: Image, attenuation: Attenuation, *, tolerance: float) -> tuple[Image, Mask, Attenuation]:
    """Adds attenuation to a radiograph and returns exactly the pixels that changed.

    The grey value of a radiograph is close to linear in the line integral of attenuation. Structures in front of or
    behind the added tissue therefore keep their contrast: ribs, vessels and noise show through.

    Args:
        image: float32 (h, w) in [0, 1].
        attenuation: float32 (h, w), not negative, in image units.
        tolerance: pixels that would brighten by less stay unchanged.

    Returns:
        The new image, the mask of changed pixels, and the attenuation that was added after clipping to 1.
    """
    brighter = image + attenuation
    np.minimum(brighter, np.float32(1), out=brighter)
    added = brighter - image
    mask = np.asarray(added >= np.float32(tolerance))
    added *= mask
    np.copyto(brighter, image, where=~mask)
    return brighter, mask, added


def exposed(
    image: Image, film: tuple[slice, slice], more: Part, region: Mask, soft_tissue: float, *, tolerance: float
) -> tuple[Image, Mask, Attenuation]:
    """Adds attenuation to a part of a radiograph, as `expose` adds what `saturated` leaves of it.

    The part is done in strips that the processor's cache holds, since the time goes into the memory of large films.

    Args:
        image: float32 (h, w) in [0, 1].
        film: rows and columns of the part.
        more: the attenuation of the part, (rows, columns).
        region: bool (h, w), the pixels that may change.
        soft_tissue: the grey of soft tissue.
        tolerance: pixels that would brighten by less stay unchanged.
    """
    changed, mask, added = image.copy(), np.zeros(image.shape, bool), np.zeros(image.shape, np.float32)
    high = max(1, STRIP // max(1, more.shape[1]))
    buffers = np.empty((2, high, more.shape[1]), np.float32)
    for start in range(0, more.shape[0] if more.size else 0, high):
        given = more[start : start + high]
        strip = slice(film[0].start + start, film[0].start + start + len(given)), film[1]
        here, (much, brighter) = image[strip], buffers[:, : len(given)]
        cv2.add(here, given, much)  # what is above the grey of soft tissue brightens less, as `saturated` says
        much -= np.float32(soft_tissue)
        much.clip(0, 1, out=much)
        cv2.min(much, given, much)
        much *= np.float32(LEAST_GAIN - 1)
        cv2.add(much, given, much)
        cv2.add(here, much, brighter)
        cv2.threshold(brighter, 1, 0, cv2.THRESH_TRUNC, brighter)
        cv2.subtract(brighter, here, much)
        there = np.greater_equal(much, np.float32(tolerance), out=mask[strip])
        there &= region[strip]
        cv2.copyTo(brighter, there.view(np.uint8), changed[strip])
        cv2.copyTo(much, there.view(np.uint8), added[strip])
    return changed, mask, added


@runtime_checkable
class Made(Protocol):
    """Defines the two properties of an anomaly that training uses; `artasyn.synthesis.Anomaly` has them."""

    @property
    def image(self) -> Image:
        """The radiograph with the anomaly."""

    @property
    def attenuation(self) -> Attenuation:
        """The added attenuation; a pixel belongs to the mask where it is at least the tolerance."""


Synthesis = Callable[[Image, Lungs, np.random.Generator], Made]
"""A function that makes anomalies: `LungOpacity`, or another method to compare it with."""


@dataclass(frozen=True)
class OneOf:
    """Makes each anomaly by one of several syntheses, each as likely.

    Attributes:
        makers: the syntheses.
    """

    makers: tuple[Synthesis, ...]

    def __call__(self, image: Image, lungs: Lungs, rng: np.random.Generator) -> Made:
        """Draws a synthesis and makes an anomaly with it.

        Args:
            image: float32 (h, w) in [0, 1], a normal radiograph.
            lungs: its lungs.
            rng: the only source of randomness.
        """
        return self.makers[int(rng.integers(len(self.makers)))](image, lungs, rng)
