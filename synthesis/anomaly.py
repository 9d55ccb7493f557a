"""An anomaly on a radiograph: the new image, the exact mask and the added attenuation; and the part that changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np

from artasyn.arrays import Attenuation, Image, Mask
from artasyn.segment import Lungs
from artasyn.shapes import Float32
from artasyn.synthesis.context import Window
from artasyn.synthesis.lesions import OpacityRecord


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
    """The change that an anomaly makes to the part of an image that it reaches.

    Attributes:
        film: rows and columns of the part on the image.
        image: the part with the anomaly.
        mask: the pixels of the part that changed.
        attenuation: the attenuation that was added to the part.
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

    def placed(self, part: Any, whole: Any) -> Any:
        """Writes an array of the part into an array of the whole image, and returns the whole."""
        whole[self.film] = part
        return whole

    def findings(self) -> dict[str, Mask]:
        """Returns the changed pixels of each finding, decided on the grid.

        A pixel belongs to a finding that reaches the tolerance by itself, or that adds no less than any other finding.
        """
        if len(self.air_left) == 1:
            return dict.fromkeys(self.air_left, self.mask)
        parts = [(1 - air) * self.step for air in self.air_left.values()]
        most = np.maximum.reduce(parts)
        size = (self.window.side, self.window.side)
        masks = []
        for part in parts:
            there = (part >= np.float32(self.tolerance)) | (part == most)
            pixels = cv2.resize(there.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
            masks.append(self.mask & (pixels[self.inner] > 0))
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
