"""An anomaly on a radiograph: the new image, the exact mask and the added attenuation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from artasyn.arrays import Attenuation, Image, Mask
from artasyn.segment import Lungs
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
