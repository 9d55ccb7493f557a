"""The anatomy of one radiograph: a probability for every structure on the radiograph's own grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artasyn.arrays import Mask, SoftMasks
from artasyn.cautions import Caution
from artasyn.segment.structures import members


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The structures of one radiograph, which may overlap.

    Attributes:
        names: names of the k structures, see `artasyn.segment.structures.ANATOMY`.
        probabilities: float32 (k, h, w) in [0, 1], on the grid of the radiograph.
        angle: the turn of the patient about the body's axis, degrees, as in `View`: 0 PA, 180 AP, 90 and -90 lateral.
        confidence: confidence of each structure, float32 (k,) in [0, 1]; 0 for a structure that the view does not show.
        spacing: size of a pixel, mm, rows and columns; None if the radiograph does not tell.
        reasons: reasons to doubt the radiograph or this result, in sentences.
        warnings: the same reasons by the words of `artasyn.cautions`, each once.
    """

    names: tuple[str, ...]
    probabilities: SoftMasks
    angle: float
    confidence: tuple[float, ...]
    spacing: tuple[float, float] | None = None
    reasons: tuple[str, ...] = ()
    warnings: tuple[Caution, ...] = ()

    def mask(self, name: str, threshold: float = 0.5) -> Mask:
        """Returns a structure, or the union of a group, bool (h, w).

        Args:
            name: name of a structure, or a key of `artasyn.segment.structures.GROUPS`.
            threshold: least probability of a pixel.

        Raises:
            DataError: there is no structure and no group of this name.
        """
        chosen = [self.names.index(each) for each in members(name, self.names)]
        return np.asarray((self.probabilities[chosen] >= threshold).any(axis=0))
