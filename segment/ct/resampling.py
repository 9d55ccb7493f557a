"""Values on another grid: means where voxels become larger, linear interpolation where they become smaller."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from artasyn.arrays import VoxelMap

Weights = NDArray[np.float32]
"""The share of each old voxel in every new one along one axis, (new, old); rows sum to 1."""


def weights_of(old: int, new: int) -> Weights:
    """Returns the shares of old voxels in new ones along an axis; both fill the same length.

    Args:
        old: number of old voxels.
        new: number of new voxels.

    Example:
        >>> weights_of(4, 2)
        array([[0.5, 0.5, 0. , 0. ],
               [0. , 0. , 0.5, 0.5]], dtype=float32)
    """
    edges = np.linspace(0, old, new + 1)
    cells = np.arange(old)
    if new <= old:
        within = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
        return np.asarray(np.maximum(within, 0) * (new / old), np.float32)
    return tents((edges[1:] + edges[:-1]) / 2 - 0.5, old)


def tents(places: Sequence[float] | NDArray[np.float64], old: int) -> Weights:
    """Returns the shares of old voxels at some places by linear interpolation; beyond the ends, the ends go on.

    Args:
        places: indices, which may lie between voxels.
        old: number of old voxels.
    """
    inside = np.clip(places, 0, old - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(inside[:, None] - np.arange(old))), np.float32)


def weighed(values: NDArray[np.generic], weights: Sequence[Weights]) -> VoxelMap:
    """Returns the values of new voxels.

    Args:
        values: of the old voxels, (z, y, x).
        weights: along z, y and x.
    """
    along_z, along_y, along_x = weights
    planes = np.stack([along_y @ (np.asarray(plane, np.float32) @ along_x.T) for plane in values])
    return np.asarray(np.tensordot(along_z, planes, axes=1), np.float32)
