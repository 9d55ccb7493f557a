"""The tone curve that maps attenuation to the grey of a film."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from artasyn.arrays import Image, Mask, RayMap

BODY = 0.15
"""Line integral of attenuation above which a ray meets the patient: 8 mm of water."""

_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
_SAMPLES = 40000  # most pixels to sample, about
_FILM = (0.1, 0.16, 0.22, 0.3, 0.43, 0.52, 0.59, 0.65, 0.7, 0.75, 0.8, 0.85, 0.88, 0.91, 0.96)


@dataclass(frozen=True)
class Tone:
    """A tone curve: linear between knots, constant beyond.

    Attributes:
        attenuations: line integrals at the knots, increasing.
        greys: greys of the film at the knots, in [0, 1], increasing.

    Example:
        >>> Tone((0.0, 4.0), (0.0, 1.0))(np.full((16, 16), 1.0, np.float32))[0, 0]
        np.float32(0.25)
    """

    attenuations: tuple[float, ...]
    greys: tuple[float, ...]

    @classmethod
    def film(cls, attenuation: RayMap, field: Mask, *, equalisation: float = 1.0) -> Tone:
        """Makes the curve that gives a projection approximately the greys of chest radiographs.

        The curve is a mixture of two curves. One gives the patient's pixels the distribution of greys of normal
        radiographs. The other is a linear window from the thinnest to the densest of these pixels.

        Args:
            attenuation: line integrals, (h, w).
            field: the pixels to count, (h, w).
            equalisation: weight of the first curve, in [0, 1]; 1 for the distribution alone.

        Source: greys of 213 normal radiographs of NIH ChestX-ray14. Equalised projections resemble radiographs best:
            PAXRay (Seibold et al. 2022).
        """
        every = max(1, round(math.sqrt(attenuation.size / _SAMPLES)))
        attenuation, field = attenuation[::every, ::every], field[::every, ::every]
        patient = attenuation[field & (attenuation > BODY)]
        if patient.size < 16:
            return cls((0.0, 5.0), (0.0, 0.9))
        at = np.maximum.accumulate(np.quantile(patient, _SHARES).astype(np.float64))
        at += 1e-6 * np.arange(at.size)
        window = _FILM[0] + (_FILM[-1] - _FILM[0]) * (at - at[0]) / (at[-1] - at[0])
        greys = equalisation * np.array(_FILM) + (1 - equalisation) * window
        knots = np.r_[0.0, at[at > 2e-3]]
        return cls(tuple(map(float, knots)), tuple(map(float, np.r_[0.0, greys[at > 2e-3]])))

    def __call__(self, attenuation: npt.NDArray[np.float32]) -> Image:
        """Maps line integrals to an image, float32 (h, w) in [0, 1]."""
        return np.interp(attenuation, self.attenuations, self.greys).astype(np.float32)
