"""Line integrals along the rays of an exposure through a grid of voxels.

Rays march from slice to slice along the volume's axis that they follow most closely. The length of a ray between two
slices depends on the ray alone. Within a slice the value is interpolated bilinearly (Joseph 1982). All rays meet a
slice in a perspective image of the detector, so that each slice takes one warp of OpenCV. Neighbouring slices are added
before the warp if rays move aside by less than a pixel between them. The closer rays follow the axis, the fewer warps.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from artasyn.arrays import Affine, RayMap, Triples, Vector
from artasyn.errors import DataError
from artasyn.segment.projection.view import Exposure
from artasyn.shapes import Float32, Float64, Int64, Shaped

Tile = Float32[np.ndarray, "rows columns"]
"""A part of a detector."""

Slabs = Shaped[np.ndarray, "n v u"]
"""Sums of slices, one after the other: float32, or whole numbers for masks."""

_FLAGS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True, eq=False)
class Rays:
    """The rays of an exposure, one through the centre of every pixel, in the coordinates (z, y, x) of voxels.

    Attributes:
        exposure: source and detector in RAS+ mm.
        affine: affine of the volume, (4, 4).
        shape: shape of the volume.
        pixel: size of a pixel at the isocentre, mm; a ray may move aside this far where slices are added.

    Source: P. M. Joseph, An improved algorithm for reprojecting rays through pixel images, IEEE TMI 1 (1982).
    """

    exposure: Exposure
    affine: Affine
    shape: tuple[int, int, int]
    pixel: float

    def __post_init__(self) -> None:
        """Refuses a source inside the volume, because half of its rays would run the other way."""
        if self.exposure.parallel:
            return
        ray = np.cross(self.exposure.row, self.exposure.column)
        ahead = (self._corners() - self.exposure.source) @ ray
        if not (np.all(ahead > 0) or np.all(ahead < 0)):
            raise DataError("the source is beside or inside the volume; increase source_to_patient")

    def _corners(self) -> Float64[np.ndarray, "8 3"]:
        """The volume's corners, RAS+ mm."""
        index = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in self.shape])).reshape(3, 8)
        return np.asarray((self.affine[:3, :3] @ index).T + self.affine[:3, 3])

    @cached_property
    def _source(self) -> Vector:
        inverse = np.linalg.inv(self.affine[:3, :3])
        if self.exposure.parallel:
            return np.asarray(inverse @ self.exposure.source)
        return np.asarray(inverse @ (self.exposure.source - self.affine[:3, 3]))

    @cached_property
    def _detector(self) -> Triples:
        """The voxel coordinates of a pixel, one in each row, as linear forms in (column, row, 1)."""
        places = np.stack([self.exposure.column, self.exposure.row, self.exposure.corner - self.affine[:3, 3]], axis=1)
        return np.asarray(np.linalg.inv(self.affine[:3, :3]) @ places)

    @cached_property
    def _towards(self) -> Triples:
        """The direction of a pixel's ray in voxels, as a linear form in (column, row, 1)."""
        constant = np.zeros((3, 3))
        constant[:, 2] = self._source
        return constant if self.exposure.parallel else self._detector - constant

    @cached_property
    def _extreme(self) -> Float64[np.ndarray, "3 9"]:
        """The directions, in mm along the voxels' axes, of the rays to the volume's corners and to its middle."""
        corners = self._corners()
        ends = np.vstack([corners, corners.mean(axis=0)])
        ways = ends - self.exposure.source
        if self.exposure.parallel:
            ways = np.broadcast_to(self.exposure.source, ends.shape)
        spacing = np.linalg.norm(self.affine[:3, :3], axis=0)
        return np.asarray(spacing[:, None] * np.linalg.solve(self.affine[:3, :3], ways.T))

    @cached_property
    def axis(self) -> int:
        """The volume's axis that the central ray follows most closely."""
        return int(np.argmax(np.abs(self._extreme[:, -1])))

    @cached_property
    def together(self) -> int:
        """Number of slices that are added before a warp."""
        ways = np.delete(self._extreme, self.axis, axis=0) / self._extreme[self.axis]
        aside = float(np.hypot(*ways).max()) * float(np.linalg.norm(self.affine[:3, self.axis]))
        return (
            self.shape[self.axis] if aside * self.shape[self.axis] < self.pixel else max(1, round(self.pixel / aside))
        )

    @cached_property
    def lengths(self) -> RayMap:
        """Length of every ray from one slice to the next, mm."""
        ways = self.affine[:3, :3] @ self._towards
        if self.exposure.parallel:
            length = np.linalg.norm(ways[:, 2]) / abs(self._source[self.axis])
            return np.broadcast_to(np.float32(length), self.exposure.size)
        c, r = (np.arange(n, dtype=np.float64) for n in reversed(self.exposure.size))
        x, y, z, along = (f[0] * c + f[1] * r[:, None] + f[2] for f in (*ways, self._towards[self.axis]))
        return np.asarray(np.sqrt(x * x + y * y + z * z) / np.abs(along), np.float32)

    def cropped(self, rows: slice, columns: slice) -> Rays:
        """Returns the rays to a part of the detector."""
        return dataclasses.replace(self, exposure=self.exposure.cropped(rows, columns))

    def coverage(self, box: tuple[slice, slice, slice]) -> RayMap:
        """Returns the share of every ray's path through a prolonged box (to head and feet) that lies in the box.

        Args:
            box: a part of the volume.
        """
        c, r = (np.arange(n, dtype=np.float32) for n in reversed(self.exposure.size))
        near, far = np.float32(-np.inf), np.float32(np.inf)
        spans = []
        for axis in (1, 2, 0):
            along, start = self._towards[axis].astype(np.float32), self._starts[axis].astype(np.float32)
            along = along[2:] if self.exposure.parallel else along[0] * c + along[1] * r[:, None] + along[2]
            slowness = 1 / np.where(np.abs(along) < 1e-9, np.float32(1e-9), along)
            start = (start[0] * c + start[2]) + start[1] * r[:, None]
            first, last = (box[axis].start - 0.5 - start) * slowness, (box[axis].stop - 0.5 - start) * slowness
            near, far = np.maximum(near, np.minimum(first, last)), np.minimum(far, np.maximum(first, last))
            spans.append(np.maximum(far - near, 0))
        _, column, inside = spans
        share = np.divide(inside, column, out=np.zeros_like(column), where=column > 0)
        return np.asarray(share, np.float32)

    @cached_property
    def _starts(self) -> Triples:
        """The start of a pixel's ray, in voxels: the source, or the pixel for parallel rays."""
        if self.exposure.parallel:
            return self._detector
        return np.asarray(self._detector - self._towards)

    def homographies(self, slices: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, "n 3 3"]:
        """Maps a pixel (column, row, 1) to the point (column, row, 1) of a slice that the pixel's ray meets."""
        rows, columns = (axis for axis in range(3) if axis != self.axis)
        along = self._towards[self.axis]
        if self.exposure.parallel:  # the direction is constant, the starting point is not
            behind = -self._detector[self.axis][None] + slices[:, None] * np.array([0, 0, 1.0])
            forms = [self._detector[u] * along[2] + behind * self._source[u] for u in (columns, rows)]
            return np.asarray(np.stack([*forms, np.broadcast_to(along, (len(slices), 3))], axis=1) / along[2])
        further = (slices - self._source[self.axis])[:, None]
        forms = [self._source[u] * along + further * self._towards[u] for u in (columns, rows)]
        return np.stack([*forms, np.broadcast_to(along, (len(slices), 3))], axis=1)

    def through(self, voxels: np.ndarray, start: tuple[int, int, int]) -> tuple[tuple[slice, slice], Tile]:
        """Integrates a box of voxels along the rays.

        Args:
            voxels: (z, y, x), values without unit or per millimetre; values outside the box are 0.
            start: the volume's voxel at which the box starts.

        Returns:
            The part of the detector that the box can reach, and the integrals there, in mm or without unit.
        """
        slabs, number = _slabs(voxels, self.axis, start[self.axis], self.together)
        first, last = _boxes(slabs)
        offset = np.array([s for axis, s in enumerate(start) if axis != self.axis], float)
        numbers = slice(number, number + len(slabs))
        tiles = self._tiles(numbers, first + offset - 1, last + offset + 1)
        there = np.flatnonzero(np.all((tiles[:, 1] > tiles[:, 0]) & (last >= first), axis=1))
        if there.size == 0:
            return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), np.float32)
        (r0, c0), (r1, c1) = tiles[there, 0].min(axis=0).tolist(), tiles[there, 1].max(axis=0).tolist()
        total = np.zeros((r1 - r0, c1 - c0), np.float32)
        moved = _moved(self._warps[numbers], first + offset, tiles[:, 0])
        scratch = np.empty(total.size, np.float32)
        for n, (v0, u0), (v1, u1), ((top, left), (bottom, right)) in zip(
            there.tolist(), first[there].tolist(), last[there].tolist(), tiles[there].tolist(), strict=True
        ):
            source = np.asarray(slabs[n, v0 : v1 + 1, u0 : u1 + 1], np.float32)
            h, w = bottom - top, right - left
            warped = scratch[: h * w].reshape(h, w)
            cv2.warpPerspective(source, moved[n], (w, h), warped, _FLAGS)
            into = total[top - r0 : bottom - r0, left - c0 : right - c0]
            cv2.add(into, warped, into)
        total *= self.lengths[r0:r1, c0:c1]
        return (slice(r0, r1), slice(c0, c1)), total

    @cached_property
    def _warps(self) -> Float64[np.ndarray, "n 3 3"]:
        """The homographies of the middles of all slabs, which are `together` slices each."""
        numbers = np.arange(-(-self.shape[self.axis] // self.together))
        return self.homographies(numbers * self.together + (self.together - 1) / 2)

    @cached_property
    def _back(self) -> Float64[np.ndarray, "n 3 3"]:
        return np.asarray(np.linalg.inv(self._warps))

    def _tiles(self, numbers: slice, first: Float64[np.ndarray, "n 2"], last: Float64[np.ndarray, "n 2"]) -> np.ndarray:
        """Returns the pixels that boxes of slabs reach: first and end (exclusive), as (row, column)."""
        corners = np.ones((len(first), 3, 4))
        corners[:, 0, :2], corners[:, 0, 2:] = first[:, 1:], last[:, 1:]
        corners[:, 1, ::2], corners[:, 1, 1::2] = first[:, :1], last[:, :1]
        seen = self._back[numbers] @ corners
        seen = seen[:, 1::-1] / seen[:, 2:]
        limits = np.array(self.exposure.size)
        low = np.clip(np.floor(seen.min(axis=2)), 0, limits)
        high = np.clip(np.ceil(seen.max(axis=2)) + 1, 0, limits)
        return np.asarray(np.stack([low, high], axis=1), int)


def _slabs(voxels: np.ndarray, axis: int, start: int, together: int) -> tuple[Slabs, int]:
    """Adds slices along an axis `together` at a time, and returns the sums and the number of the first of them.

    The grouping of slices depends on the volume alone, so that a sum of boxes projects to the sum of projections. The
    sums of bool voxels are whole numbers.
    """
    counted = voxels.dtype == bool
    slices = _slices(voxels, axis) if counted or together == 1 else np.moveaxis(voxels, axis, 0)
    count, lead = len(slices), min(-start % together, len(slices))
    whole = (count - lead) // together * together
    ends = (0, lead, lead + whole, count)
    summed = _counted if counted else _summed
    parts = [
        summed(slices[first:end].reshape(-1, min(together, end - first), *slices.shape[1:]))
        for first, end in itertools.pairwise(ends)
        if end > first
    ]
    return (parts[0] if len(parts) == 1 else np.concatenate(parts)), start // together


def _slices(voxels: np.ndarray, axis: int) -> np.ndarray:
    """Returns the slices along an axis, with neighbours side by side in memory; bool voxels as 0 and 1."""
    values = voxels.view(np.uint8) if voxels.dtype == bool else voxels
    if axis < 2:
        return np.moveaxis(values, axis, 0)
    z, y, x = voxels.shape
    return np.asarray(cv2.transpose(np.reshape(values, (-1, x)))).reshape(x, z, y)  # several times as fast as numpy


def _summed(voxels: np.ndarray) -> Float32[np.ndarray, "n v u"]:
    """Sums slices (n, a, v, u) over a."""
    if voxels.shape[1] == 1:
        return np.asarray(voxels[:, 0], np.float32)
    ones = np.ones((1, voxels.shape[1]), np.float32)
    return np.asarray(np.matmul(ones, voxels.transpose(2, 0, 1, 3))[:, :, 0].swapaxes(0, 1))  # twice as fast as sum


def _counted(voxels: np.ndarray) -> np.ndarray:
    """Sums slices (n, a, v, u) of 0 and 1 over a, in few bytes."""
    total = voxels[:, 0] if voxels.shape[1] == 1 else voxels[:, 0].astype(np.min_scalar_type(voxels.shape[1]))
    for each in range(1, voxels.shape[1]):
        total += voxels[:, each]
    return np.asarray(total)


def _boxes(slabs: Slabs) -> tuple[Int64[np.ndarray, "n 2"], Int64[np.ndarray, "n 2"]]:
    """Returns the first and last filled (row, column) of every slab; last is before first in an empty slab."""
    filled = slabs > 0 if slabs.dtype != np.float32 else np.abs(slabs) > 1e-6
    rows, columns = (np.asarray(np.any(filled, axis=axis), bool) for axis in (2, 1))
    first = [np.argmax(part, axis=1) for part in (rows, columns)]
    last = [part.shape[1] - 1 - np.argmax(part[:, ::-1], axis=1) for part in (rows, columns)]
    return np.stack(first, axis=1), np.where(rows.any(axis=1, keepdims=True), np.stack(last, axis=1), -1)


def _moved(warps: np.ndarray, start: np.ndarray, corner: np.ndarray) -> Float64[np.ndarray, "n 3 3"]:
    """Shifts warps to a tile that starts at `corner` and to a box that starts at `start`, both (row, column)."""
    back, out = np.zeros_like(warps), np.zeros_like(warps)
    back[:] = out[:] = np.eye(3)
    back[:, :2, 2] = -start[:, ::-1]
    out[:, :2, 2] = corner[:, ::-1]
    return np.asarray(back @ warps @ out)
