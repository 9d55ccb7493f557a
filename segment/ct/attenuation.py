"""How much tissue attenuates: from Hounsfield units to attenuation a millimetre."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import Hounsfield, VoxelMap

MU_WATER, MU_BONE = 0.0192, 0.0573
"""Attenuation a millimetre of water (0 HU) and of bone (1000 HU) at about 70 keV."""

_BELOW, _ABOVE = MU_WATER / 1000, (MU_BONE - MU_WATER) / 1000


def attenuation(hu: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Attenuation a millimetre: 0 at -1000 HU and below, linear to water, and linear from there through bone.

    Args:
        hu: Hounsfield units.

    Source: mass attenuation coefficients of water and cortical bone, NIST (Hubbell and Seltzer).

    Example:
        >>> attenuation([-1000, 0, 1000]).round(4).tolist()
        [0.0, 0.019200000911951065, 0.05730000138282776]
    """
    values = np.asarray(hu, np.float64)
    return np.asarray(np.maximum(MU_WATER + np.where(values < 0, _BELOW, _ABOVE) * values, 0), np.float32)


def attenuations(hu: Hounsfield) -> VoxelMap:
    """As `attenuation`, fast for whole volumes.

    Args:
        hu: Hounsfield units.
    """
    result = np.empty(hu.shape, np.float32)
    for values, into in zip(hu, result, strict=True):
        air, bone = np.maximum(values, -1000), np.maximum(values, 0)
        cv2.addWeighted(air, _BELOW, bone, _ABOVE - _BELOW, MU_WATER, dst=into, dtype=cv2.CV_32F)
    return result
