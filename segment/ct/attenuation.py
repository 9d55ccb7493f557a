"""Conversion between Hounsfield units and linear attenuation per millimetre."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import Hounsfield, VoxelMap

MU_WATER, MU_BONE = 0.0192, 0.0573
"""Attenuation per millimetre of water (0 HU) and of bone (1000 HU) at about 70 keV."""

_BELOW, _ABOVE = MU_WATER / 1000, (MU_BONE - MU_WATER) / 1000


def attenuation(hu: npt.ArrayLike | float) -> npt.NDArray[np.float32]:
    """Returns the attenuation per millimetre: 0 up to -1000 HU, then linear to water, then linear through bone.

    Args:
        hu: Hounsfield units, of any shape. float32 is computed in single precision, other types in double precision.

    Source: mass attenuation coefficients of water and cortical bone, NIST (Hubbell and Seltzer).

    Example:
        >>> attenuation([-1000, 0, 1000]).round(4).tolist()
        [0.0, 0.019200000911951065, 0.05730000138282776]
    """
    values = _floats(hu)
    denser = MU_WATER + (MU_BONE - MU_WATER) * values / 1000
    return np.asarray(np.where(values < 0, MU_WATER * np.maximum(1 + values / 1000, 0), denser), np.float32)


def hounsfield(mu: npt.ArrayLike | float) -> npt.NDArray[np.floating[Any]]:
    """Returns the Hounsfield units of an attenuation: the inverse of `attenuation`, and -1000 at 0 or less.

    Args:
        mu: attenuation per millimetre, of any shape. float32 gives float32, other types give float64.

    Example:
        >>> hounsfield([0.0, 0.0096, 0.0192, 0.0573]).round(6).tolist()
        [-1000.0, -500.0, 0.0, 1000.0]
    """
    thousands = np.maximum(_floats(mu), 0) / MU_WATER - 1
    return np.asarray(np.where(thousands < 0, thousands * 1000, thousands * 1000 * (MU_WATER / (MU_BONE - MU_WATER))))


def attenuations(hu: Hounsfield) -> VoxelMap:
    """Computes `attenuation` fast for a whole volume.

    Args:
        hu: Hounsfield units.
    """
    result = np.empty(hu.shape, np.float32)
    for values, into in zip(hu, result, strict=True):
        air, bone = np.maximum(values, -1000), np.maximum(values, 0)
        cv2.addWeighted(air, _BELOW, bone, _ABOVE - _BELOW, MU_WATER, dst=into, dtype=cv2.CV_32F)
    return result


def _floats(values: npt.ArrayLike | float) -> npt.NDArray[np.floating[Any]]:
    """Keeps float32 values, and converts other values to float64."""
    given = np.asarray(values)
    return given if given.dtype == np.float32 else given.astype(np.float64)
