"""Lesions inserted into a CT: nodules, consolidation and ground glass, within the borders of the lung."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from scipy import ndimage

from artasyn.arrays import HIGHEST, LOWEST, Rng, VolumeMask, VoxelMap, as_generator
from artasyn.errors import DataError
from artasyn.fields import Seed, Within, check_fields
from artasyn.findings import LesionKind
from artasyn.segment.ct.lesion_ranges import LESION_RANGES
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.structures import members

MOST_KNOTS = 20_000_000
"""Most points that the noise of a lesion is computed on."""

WIDEST = 10
"""Largest width of a lesion's border, in radii."""

Place = Annotated[float, Within(-1e5, 1e5)]
"""A coordinate, mm."""

_LATTICE = 24  # points along each side of the noise, which is periodic
_CANDIDATES = 64  # places to try for a nodule
_AIRWAY = 0.09  # width of the air bronchograms, in standard deviations of two noises


@dataclass(frozen=True)
class CTLesion:
    """One lesion as plain numbers: everything that `insert_lesion` needs besides the volume.

    Attributes:
        kind: ``nodule``, ``consolidation`` or ``ground_glass_opacity``.
        structure: the structure or group that contains the lesion and bounds it, such as a lobe or a lung.
        centre: RAS+ mm.
        radius: mean radius, mm. A radius beyond the structure fills the structure, as in lobar pneumonia.
        hu: Hounsfield units of the tissue.
        density: share of the air that the tissue replaces, in (0, 1].
        edge: width of the border's slope, mm.
        irregularity: irregularity of the border, relative to the radius.
        airways: whether bronchi stay filled with air.
        seed: seed of the irregular border and of the texture inside.

    Raises:
        DataError: an unknown kind, or numbers out of range.
    """

    kind: LesionKind
    structure: str
    centre: tuple[Place, Place, Place]
    radius: Annotated[float, Within(0.1, 400)]
    hu: Annotated[float, Within(LOWEST, HIGHEST)]
    density: Annotated[float, Within(1e-6, 1)]
    edge: Annotated[float, Within(1e-3, 4000)]
    irregularity: Annotated[float, Within(0, 10)]
    airways: bool
    seed: Seed

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        if self.edge > WIDEST * self.radius:  # the noise would have too many bumps in the reach of the lesion
            raise DataError(f"CTLesion: edge is {self.edge:g} mm, more than {WIDEST} times the radius {self.radius:g}")

    @classmethod
    def draw(cls, volume: Volume, rng: Rng, *, kind: LesionKind, structure: str = "lungs") -> CTLesion:
        """Draws a lesion; the only place where randomness is used.

        Args:
            volume: the patient.
            rng: the source of randomness, a generator or a seed.
            kind: the kind of lesion.
            structure: a structure or a group. One structure of a group such as ``lungs`` is drawn, weighted by volume.

        Raises:
            DataError: there is no such structure.

        Source: the table of sizes and densities in `artasyn.segment.ct.lesion_ranges`.
        """
        names, rng = members(structure, volume.structures), as_generator(rng)
        sizes = np.array([volume.structures[name].voxels for name in names], float)
        name = names[int(rng.choice(len(names), p=sizes / sizes.sum()))]
        ranges = LESION_RANGES[kind].ct
        radius = ranges.radius[0] * (ranges.radius[1] / ranges.radius[0]) ** rng.uniform()
        if kind == "consolidation" and rng.uniform() < _LOBAR:
            radius = 400.0  # the whole lobe, to its fissures
        centre = _place(volume, volume.structures[name], radius if kind == "nodule" else 0.0, rng)
        return cls(
            kind=kind,
            structure=name,
            centre=centre,
            radius=float(radius),
            hu=float(rng.uniform(*ranges.hu)),
            density=float(rng.uniform(*ranges.density)),
            edge=float(rng.uniform(*ranges.edge)),
            irregularity=float(rng.uniform(*ranges.irregularity)),
            airways=bool(kind == "consolidation" and rng.uniform() < 0.7),
            seed=int(rng.integers(2**31)),
        )


_LOBAR = 0.3  # share of consolidations that fill their lobe


def insert_lesion(volume: Volume, lesion: CTLesion, name: str = "lesion") -> Volume:
    """Inserts a lesion into a CT.

    The lesion's tissue replaces air. Denser voxels, such as vessels, keep their density. Voxels outside the structure
    do not change, so that pleura and fissures end a lesion.

    Args:
        volume: the patient.
        lesion: the lesion to insert.
        name: name of the new structure, which holds exactly the voxels that changed.

    Returns:
        A new volume; `volume` does not change.

    Raises:
        DataError: there is no such structure, or none of its voxels changes.

    Example:
        >>> from artasyn import Phantom
        >>> phantom = Phantom()
        >>> healthy = Volume.of_phantom(phantom.volume(phantom.draw(np.random.default_rng(0)), spacing=4.0))
        >>> lesion = CTLesion.draw(healthy, np.random.default_rng(1), kind="nodule", structure="lung_left")
        >>> ill = insert_lesion(healthy, lesion)
        >>> bool((ill.mask("lesion") == (ill.hu != healthy.hu)).all())
        True
    """
    box = _reached(volume, lesion)
    inside = np.zeros([part.stop - part.start for part in box], bool)
    for place in members(lesion.structure, volume.structures):
        _paste(inside, box, volume.structures[place])
    before = volume.hu[box].astype(np.float32)
    share = _share(volume, box, lesion) * inside
    after = before + share * np.maximum(np.float32(lesion.hu) - before, 0)
    changed = np.rint(after).astype(np.int16)
    mask = changed != volume.hu[box]
    if not mask.any():
        raise DataError(f"no voxel changes: {lesion.structure} does not reach {lesion.centre}, or is dense there")
    hu = volume.hu.copy()
    hu[box] = changed
    z, y, x = (part.start for part in box)
    return dataclasses.replace(volume, hu=hu).with_structures(**{name: Structure.of(mask, (z, y, x))})


def _place(volume: Volume, structure: Structure, radius: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Draws voxels of a structure, and returns the one whose surrounding ball lies inside most, RAS+ mm."""
    found = np.argwhere(structure.mask)
    found = found[rng.integers(len(found), size=_CANDIDATES if radius else 1)]
    around = np.array(np.meshgrid(*[(-1, 0, 1)] * 3)).reshape(3, -1).T.astype(float)
    around *= radius / np.maximum(np.linalg.norm(around, axis=1, keepdims=True), 1)
    near = np.rint(found[:, None] + around / np.array(volume.spacing)).astype(int)
    limits = np.array(structure.mask.shape) - 1
    there = np.all((near >= 0) & (near <= limits), axis=2) & structure.mask[tuple(np.clip(near, 0, limits).T)].T
    best = found[int(np.argmax(there.sum(axis=1)))] + np.array(structure.start)
    right, front, head = (float(mm) for mm in volume.place(best.astype(np.float64)))
    return right, front, head


def _reached(volume: Volume, lesion: CTLesion) -> tuple[slice, slice, slice]:
    """Returns the part of the structure's box that the lesion can reach."""
    boxes = [volume.structures[name].box for name in members(lesion.structure, volume.structures)]
    middle = np.linalg.inv(volume.affine) @ np.array([*lesion.centre, 1.0])
    reach = lesion.radius * (1 + 2.5 * lesion.irregularity) + lesion.edge
    parts = []
    for axis in range(3):
        first = max(min(box[axis].start for box in boxes), int(middle[axis] - reach / volume.spacing[axis]))
        last = min(max(box[axis].stop for box in boxes), int(middle[axis] + reach / volume.spacing[axis]) + 2)
        parts.append(slice(first, max(first, last)))
    z, y, x = parts
    return z, y, x


def _paste(into: VolumeMask, box: tuple[slice, slice, slice], structure: Structure) -> None:
    """Marks the voxels of a structure in the array `into`, which covers a box of the volume."""
    common = [slice(max(b.start, s.start), min(b.stop, s.stop)) for b, s in zip(box, structure.box, strict=True)]
    if all(part.stop > part.start for part in common):
        here = tuple(slice(part.start - b.start, part.stop - b.start) for part, b in zip(common, box, strict=True))
        there = tuple(slice(p.start - s, p.stop - s) for p, s in zip(common, structure.start, strict=True))
        into[here] |= structure.mask[there]


def _share(volume: Volume, box: tuple[slice, slice, slice], lesion: CTLesion) -> VoxelMap:
    """Returns the share of the air that a lesion replaces, for every voxel of a box, in any tissue."""
    noise = functools.partial(_noise, volume, box, lesion)
    level = noise(0, 0.9 * min(lesion.radius, 40.0))
    level *= np.float32(lesion.irregularity * lesion.radius)
    level += np.float32(lesion.radius)
    level -= _distance(volume, box, lesion)
    share = np.clip(level / np.float32(lesion.edge) + np.float32(0.5), 0, 1)
    patchiness = np.float32(LESION_RANGES[lesion.kind].ct.patchiness)
    share *= np.clip(1 + patchiness * noise(1, 9.0), 0, 1) * np.float32(lesion.density)
    if lesion.airways:
        away = noise(2, 26.0) ** 2 + noise(3, 26.0) ** 2
        share *= 1 - np.float32(0.95) * np.exp(away / np.float32(-2 * _AIRWAY**2))
    return np.asarray(share, np.float32)


def _places(volume: Volume, lesion: CTLesion, index: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns voxel positions relative to the lesion's centre, RAS+ mm, as arrays that broadcast over z, y and x."""
    z, y, x = np.meshgrid(*[each.astype(np.float32) for each in index], indexing="ij", sparse=True)
    rows = volume.affine.astype(np.float32)
    rows[:3, 3] -= np.array(lesion.centre, np.float32)
    parts = [[a * b for a, b in zip(row[:3], (z, y, x), strict=True) if a] for row in rows[:3]]
    return [sum(part, start=row[3]) for part, row in zip(parts, rows[:3], strict=True)]


def _distance(volume: Volume, box: tuple[slice, slice, slice], lesion: CTLesion) -> VoxelMap:
    """Returns the distance of the voxels of a box from the lesion's centre, mm."""
    away = _places(volume, lesion, [np.arange(part.start, part.stop) for part in box])
    return np.asarray(np.sqrt(sum((part * part for part in away), start=np.float32(0))), np.float32)


def _noise(volume: Volume, box: tuple[slice, slice, slice], lesion: CTLesion, layer: int, size: float) -> VoxelMap:
    """Returns smooth noise of mean 0 and deviation about 1 in a box, about the same on every grid.

    Args:
        volume: the patient.
        box: part of the volume.
        lesion: gives seed and centre.
        layer: number of the noise; every number gives different noise.
        size: size of a bump, mm.
    """
    lattice = np.random.default_rng([lesion.seed, layer]).normal(size=(_LATTICE,) * 3).astype(np.float32)
    lattice = ndimage.gaussian_filter(lattice, 0.7, mode="wrap")
    lattice /= lattice.std()
    coarse = [
        np.linspace(part.start, part.stop - 1, 2 + int((part.stop - part.start) * step / (0.2 * size)))
        for part, step in zip(box, volume.spacing, strict=True)
    ]
    if math.prod(map(len, coarse)) > MOST_KNOTS:
        raise DataError(
            f"a lesion with a radius of {lesion.radius:g} mm is too small for voxels of {max(volume.spacing):g} mm"
        )
    at = np.stack(np.broadcast_arrays(*_places(volume, lesion, coarse))) / np.float32(0.6 * size)
    values = ndimage.map_coordinates(lattice, at, order=1, mode="grid-wrap")
    for axis, (part, knots) in enumerate(zip(box, coarse, strict=True)):
        values = np.moveaxis(np.tensordot(_between(part, knots), values, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(values, np.float32)


def _between(part: slice, knots: np.ndarray) -> np.ndarray:
    """Returns the weights, (voxels, knots), of a linear interpolation between knots."""
    at = np.arange(part.start, part.stop)
    return np.stack([np.interp(at, knots, row) for row in np.eye(len(knots))], axis=1).astype(np.float32)
