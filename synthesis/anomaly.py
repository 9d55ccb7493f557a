"""An anomaly on a radiograph: the image with it, the exact mask, and what was added."""

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
        attenuation: float32 (h, w), what was added: ``image - normal``; at least the tolerance inside the
            mask and 0 outside.
        record: what remakes this anomaly on the same radiograph.
        findings: the mask of every finding by its name, bool (h, w). They may overlap; together they are `mask`.
    """

    image: Image
    mask: Mask
    attenuation: Attenuation
    record: OpacityRecord
    findings: Mapping[str, Mask] = field(default_factory=dict)


def expose(image: Image, attenuation: Attenuation, *, tolerance: float) -> tuple[Image, Mask, Attenuation]:
    """Adds attenuation to a radiograph and tells exactly which pixels it changed.

    A radiograph's grey value is close to linear in the line integral of attenuation, so what lies in front
    of or behind the added tissue keeps its contrast: ribs, vessels and noise show through.

    Args:
        image: float32 (h, w) in [0, 1].
        attenuation: float32 (h, w), not negative, in image units.
        tolerance: pixels that would brighten by less are left as they are.

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
    """An anomaly, as far as training asks: `artasyn.synthesis.Anomaly` is one."""

    @property
    def image(self) -> Image:
        """The film with the anomaly."""

    @property
    def attenuation(self) -> Attenuation:
        """How much it is there; it belongs to the mask from the tolerance on."""


Synthesis = Callable[[Image, Lungs, np.random.Generator], Made]
"""What makes anomalies: `LungOpacity`, or something else to compare with."""
