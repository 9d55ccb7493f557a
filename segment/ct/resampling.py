"""Volumes on other grids: means where voxels become larger, linear interpolation where they become smaller."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artasyn.arrays import Affine, VolumeMask, VoxelMap
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.shapes import Bool

Weights = NDArray[np.float32]
"""The share of each old voxel in every new one along one axis, (new, old); rows sum to 1."""


def resampled(volume: Volume, spacing: float) -> Volume:
    """Returns a volume with cubic voxels, see `Volume.resampled`."""
    old, sizes = volume.hu.shape, volume.spacing
    new = [max(1, round(count * size / spacing)) for count, size in zip(old, sizes, strict=True)]
    if tuple(new) == old:
        return volume
    weights = [weights_of(*counts) for counts in zip(old, new, strict=True)]
    parts = {name: filled(each.mask, each.box, weights) for name, each in volume.structures.items()}
    found = {name: Structure.of(mask, start) for name, (start, mask) in parts.items() if mask.any()}
    affine = rescaled(volume.affine, [a / b for a, b in zip(old, new, strict=True)], old, new)
    notes = (*volume.notes, *lost(f"at {spacing:g} mm", volume.structures, found))
    return Volume(np.rint(weighed(volume.hu, weights)).astype(np.int16), affine, found, notes, volume.cut)


def prolonged(volume: Volume, up: float, down: float) -> Volume:
    """Returns a volume with its outermost slices repeated, see `Volume.prolonged`."""
    size = volume.spacing[0]
    above, below = (math.ceil(each / size - 1e-6) for each in (up, down))
    if above <= 0 and below <= 0:
        return volume
    ends = ((above, below), (0, 0), (0, 0))
    affine = volume.affine.copy()
    affine[:3, 3] -= above * affine[:3, 0]
    found = {n: dataclasses.replace(s, start=(s.start[0] + above, *s.start[1:])) for n, s in volume.structures.items()}
    if "body" in found:
        found["body"] = Structure.of(np.pad(volume.mask("body"), ends, mode="edge"))
    note = f"the outermost slices are repeated: {above * size:.0f} mm at the head, {below * size:.0f} mm at the feet"
    return Volume(np.pad(volume.hu, ends, mode="edge"), affine, found, (*volume.notes, note), volume.cut)


def lost(where: str, before: Iterable[str], after: Container[str]) -> tuple[str, ...]:
    """Returns a note that names the structures without a voxel left."""
    gone = ", ".join(name for name in before if name not in after)
    return (f"{where} nothing is left of {gone}",) if gone else ()


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


def tents(places: Sequence[float] | NDArray[np.floating[Any]], old: int) -> Weights:
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


def filled(
    mask: Bool[np.ndarray, "depth height width"], box: Sequence[slice], weights: Sequence[Weights]
) -> tuple[tuple[int, int, int], VolumeMask]:
    """Returns the new voxels of which a mask fills at least half, in a box, and the first voxel of the box.

    Args:
        mask: in a box of the old grid, bool (z, y, x).
        box: the place of that box.
        weights: along z, y and x.
    """
    parts = [each[:, part] for each, part in zip(weights, box, strict=True)]
    used = [np.flatnonzero(part.any(axis=1)) for part in parts]
    within = weighed(mask, [part[rows] for part, rows in zip(parts, used, strict=True)]) >= 0.5 - 1e-4
    return (int(used[0][0]), int(used[1][0]), int(used[2][0])), np.asarray(within)


def rescaled(affine: Affine, factors: Sequence[float], old: Sequence[int], new: Sequence[int]) -> Affine:
    """Returns the affine of a grid whose voxels have another size; the middle of the grid stays.

    Args:
        affine: of the old grid.
        factors: new size of a voxel along z, y and x, relative to the old.
        old: number of old voxels along z, y and x.
        new: number of new voxels.
    """
    scaled = affine.copy()
    scaled[:3, :3] *= factors
    scaled[:3, 3] += affine[:3, :3] @ ((np.array(old) - 1) / 2) - scaled[:3, :3] @ ((np.array(new) - 1) / 2)
    return np.asarray(scaled)
