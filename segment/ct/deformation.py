"""Smooth deformations of a patient: another stature, breath, heart, spine and posture, from plain numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from artasyn.errors import DataError
from artasyn.fields import Seed, Share, Within, check_fields
from artasyn.segment.ct.resampling import lost, rescaled, tents
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.structures import find_members

Scale = Annotated[float, Within(0.5, 2)]
"""A factor of a length."""
Millimetres = Annotated[float, Within(-100, 100)]
"""A displacement, mm."""
Angle = Annotated[float, Within(-60, 60)]
"""The angle of a bend, degrees."""
Reach = Annotated[float, Within(20, 2000)]
"""The length over which something changes, mm."""
Strength = Annotated[float, Within(0, 30)]
"""A standard deviation, mm."""
More = Annotated[float, Within(0, 500)]
"""What is added at an end of the scan, mm."""

LATTICE = 8.0
"""Distance of the points at which a displacement is computed, mm; it is interpolated between them."""
LEAST_VOLUME = 0.2
"""Least ratio of the volumes of a small piece of tissue after and before, or before and after. At 0, tissue folds."""
SKIRT = 10.0
"""How far the pull of the diaphragm reaches beyond the lungs' footprint in axial planes, mm."""
BESIDE = 60.0
"""Distance from the axis, mm, beyond which planes across a bent spine tilt no farther."""
AROUND = 1.5
"""Reach of the change of the heart, relative to the heart."""
SHOULDERS = 110.0
"""How far below the apices the shoulders' shift ends, mm."""

Points = NDArray[np.float32]
"""Numbers at the points of a lattice, (z, y, x)."""


@dataclass(frozen=True)
class Bend:
    """A wave of the spine in one plane.

    Attributes:
        angle: the angle between the tangents where the wave is steepest, as Cobb measured it; degrees, with a sign.
        length: the length of the wave, mm.
        phase: the place of the wave: the middle of the lungs lies this share of a wave below a crest.
    """

    angle: Angle = 0.0
    length: Reach = 400.0
    phase: Share = 0.0

    def __post_init__(self) -> None:
        check_fields(self, DataError)

    def shift(self, along: Points) -> tuple[Points, Points]:
        """Returns the displacement across the axis, mm, and its slope along the axis.

        Args:
            along: distance below the middle of the lungs, mm.
        """
        steep = math.tan(math.radians(self.angle) / 2)
        turn = (2 * math.pi * (along / self.length + self.phase)).astype(np.float32)
        size = steep * self.length / (2 * math.pi)
        return np.asarray(np.float32(size) * np.cos(turn)), np.asarray(np.float32(-steep) * np.sin(turn))


@dataclass(frozen=True)
class Deformation:
    """A smooth deformation of a patient, as plain numbers.

    Attributes:
        prolonged: what is added to the scan at the head and at the feet, mm, see `Volume.prolonged`.
        width: factor of all lengths from right to left.
        depth: factor of all lengths from front to back.
        height: factor of all lengths from head to foot.
        heart_width: factor of the heart from right to left; neighbours give way.
        heart_height: factor of the heart from head to foot.
        diaphragm: how far the diaphragm and the abdomen below it move to the feet, mm; the apices stay. A CT is made
            lying, where the domes stand high.
        shoulders: how far the shoulders are raised, mm.
        scoliosis: the bend from side to side.
        kyphosis: the bend from front to back.
        seed: of the random field.
        grain: distance of the knots of the random field, mm.
        strength: standard deviation of the random displacement in each direction, mm.

    Raises:
        DataError: a number is out of range.
    """

    prolonged: tuple[More, More] = (0.0, 0.0)
    width: Scale = 1.0
    depth: Scale = 1.0
    height: Scale = 1.0
    heart_width: Scale = 1.0
    heart_height: Scale = 1.0
    diaphragm: Millimetres = 0.0
    shoulders: Millimetres = 0.0
    scoliosis: Bend = Bend()
    kyphosis: Bend = Bend()
    seed: Seed = 0
    grain: Reach = 80.0
    strength: Strength = 0.0

    def __post_init__(self) -> None:
        check_fields(self, DataError)

    @classmethod
    def draw(cls, rng: np.random.Generator, names: Collection[str] = ("lungs", "heart")) -> Deformation:
        """Draws a deformation; the only function here that uses randomness without a seed in the record.

        Args:
            rng: the source of randomness.
            names: the structures of the patient. Without heart or lungs, what needs them stays as it is.
        """
        size = rng.normal(0, 0.05)
        wide, deep, tall = (float(np.exp(np.clip(size + rng.normal(0, 0.06), -0.2, 0.2))) for _ in range(3))
        broad, high = float(np.exp(rng.uniform(-0.22, 0.42))), float(np.exp(rng.uniform(-0.15, 0.2)))
        lower, raised = float(rng.uniform(-15, 45)), float(rng.uniform(-25, 30))
        side, bow = (float(np.clip(rng.normal(0, spread), -35, 35)) for spread in (7.0, 8.0))
        waves = rng.uniform(250, 600), rng.uniform(350, 700)
        phases = rng.uniform(), rng.uniform(-0.1, 0.1) % 1
        grain = float(rng.uniform(40, 120))
        heart, lungs = bool(find_members("heart", names)), bool(find_members("lungs", names))
        return cls(
            width=wide,
            depth=deep,
            height=tall,
            heart_width=broad if heart else 1.0,
            heart_height=high if heart else 1.0,
            diaphragm=lower if lungs else 0.0,
            shoulders=raised if lungs else 0.0,
            scoliosis=Bend(side, float(waves[0]), float(phases[0])),
            kyphosis=Bend(bow, float(waves[1]), float(phases[1])),
            seed=int(rng.integers(2**31)),
            grain=grain,
            strength=grain * float(rng.uniform(0, 0.08)),
        )

    def __call__(self, volume: Volume) -> Volume:
        """Returns the deformed patient on a grid of as many voxels, but of another size where the patient is scaled.

        Where tissue would fold, the whole displacement is made smaller until none does, and a note says so. Beyond the
        ends of the scan its outermost slices go on.

        Args:
            volume: the patient. At a spacing of 2.5 mm it takes a second, see `Volume.resampled`.

        Raises:
            DataError: the heart or the lungs must change and are not labelled.
        """
        volume = _scaled(volume.prolonged(*self.prolonged), (self.height, self.depth, self.width))
        lattice = Lattice.over(volume)
        displacement = self._displacement(volume, lattice)
        if not displacement.any():
            return volume
        share = 1.0
        while not lattice.is_smooth(share * displacement):
            share *= 0.9
        if share < 1:
            volume = dataclasses.replace(
                volume, notes=(*volume.notes, f"deformed by {share:.0%}: more would fold tissue")
            )
        return _warped(volume, lattice, np.float32(share) * displacement)

    def _displacement(self, volume: Volume, lattice: Lattice) -> NDArray[np.float32]:
        """Returns from where the tissue comes at every point of the lattice, mm along (z, y, x), (3, z, y, x)."""
        z, y, x = lattice.axes
        moved = np.zeros((3, z.size, y.size, x.size), np.float32)
        if self.strength:
            moved += self._random(lattice)
        chest = _Chest.of(volume) if find_members("lungs", volume.structures) else None
        if self.diaphragm or self.shoulders:
            if chest is None:
                raise DataError("no lungs are labelled, so nothing is known of diaphragm and shoulders")
            moved[0] += self._breath(chest, lattice)
            moved[0] += self._raised(chest, lattice)
        if (self.heart_width, self.heart_height) != (1.0, 1.0):
            moved += self._heart(volume, lattice)
        middle = chest.middle if chest else [float(axis.mean()) for axis in lattice.axes]
        for bend, axis, across, at in ((self.scoliosis, 2, x, middle[2]), (self.kyphosis, 1, y, middle[1])):
            if bend.angle:
                shift, slope = bend.shift(z - np.float32(middle[0]))
                moved[axis] -= shift
                moved[0] += slope * np.float32(BESIDE) * np.tanh((across - np.float32(at) - shift) / np.float32(BESIDE))
        return moved

    def _random(self, lattice: Lattice) -> NDArray[np.float32]:
        """Returns a random displacement, a cubic B-spline through normal knots."""
        rng = np.random.default_rng(self.seed)
        knots = [axis.ravel() / self.grain + 1 for axis in lattice.axes]
        splines = [_cubic(places, int(places[-1]) + 3) for places in knots]
        random = rng.normal(0, self.strength * _SPREAD, (3, *(spline.shape[1] for spline in splines)))
        return np.asarray(np.einsum("zi,yj,xk,cijk->czyx", *splines, random, optimize=True), np.float32)

    def _breath(self, chest: _Chest, lattice: Lattice) -> Points:
        z, y, x = (axis.ravel() for axis in lattice.axes)
        spacing = chest.spacing
        footprint = (
            tents(y / spacing[1], chest.footprint.shape[0])
            @ chest.footprint
            @ tents(x / spacing[2], chest.footprint.shape[1]).T
        )
        down = _step((z - chest.top) / max(1.0, chest.dome + self.diaphragm - chest.top))
        return np.asarray(-np.float32(self.diaphragm) * down[:, None, None] * footprint)

    def _raised(self, chest: _Chest, lattice: Lattice) -> Points:
        z, _, x = lattice.axes
        above = 1 - _step((z - np.float32(chest.top)) / np.float32(SHOULDERS))
        aside = _step((np.abs(x - np.float32(chest.middle[2])) / np.float32(chest.half) - 0.25) / 0.75)
        return np.asarray(np.float32(self.shoulders) * above * aside)

    def _heart(self, volume: Volume, lattice: Lattice) -> NDArray[np.float32]:
        if not find_members("heart", volume.structures):
            raise DataError("no heart is labelled, so nothing is known of its size")
        heart = Structure.of(volume.mask("heart"))
        factors = (self.heart_height, 1.0, self.heart_width)
        away = [
            axis - np.float32(place * size)
            for axis, place, size in zip(lattice.axes, heart.centroid(), volume.spacing, strict=True)
        ]
        halves = [count * size / 2 for count, size in zip(heart.mask.shape, volume.spacing, strict=True)]
        reach = sum(
            (each / np.float32(AROUND * half * factor)) ** 2
            for each, half, factor in zip(away, halves, factors, strict=True)
        )
        near = np.exp(-(reach**3))
        return np.stack([np.float32(1 / factor - 1) * each * near for each, factor in zip(away, factors, strict=True)])


_SPREAD = (151 / 315) ** -1.5
"""Ratio of the standard deviations of knots and of the cubic B-spline in three dimensions through them."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """The points at which a displacement is computed.

    Attributes:
        axes: the places of the points along z, y and x, mm from the first voxel; they broadcast to the lattice.
    """

    axes: tuple[Points, Points, Points]

    @classmethod
    def over(cls, volume: Volume) -> Lattice:
        """Returns a lattice over all voxels of a volume."""
        axes = []
        for count, size in zip(volume.hu.shape, volume.spacing, strict=True):
            length = max((count - 1) * size, 1.0)
            axes.append(np.linspace(0, length, max(3, math.ceil(length / LATTICE) + 1), dtype=np.float32))
        return cls((axes[0][:, None, None], axes[1][:, None], axes[2]))

    @property
    def steps(self) -> tuple[float, float, float]:
        """The distances of the points along z, y and x, mm."""
        z, y, x = (float(axis.ravel()[1]) for axis in self.axes)
        return z, y, x

    def volumes(self, displacement: NDArray[np.float32]) -> Points:
        """Returns the ratio of volumes before and after at every point: the determinant of the displaced places."""
        jacobian = np.stack([np.stack(np.gradient(each, *self.steps), axis=-1) for each in displacement], axis=-2)
        return np.asarray(np.linalg.det(jacobian + np.eye(3, dtype=np.float32)))

    def is_smooth(self, displacement: NDArray[np.float32]) -> bool:
        """Tells whether no tissue folds or nearly vanishes."""
        volumes = self.volumes(displacement)
        return float(volumes.min()) > LEAST_VOLUME and float(volumes.max()) < 1 / LEAST_VOLUME


@dataclass(frozen=True, eq=False)
class _Chest:
    """Where the lungs are, mm from the first voxel.

    Attributes:
        spacing: size of a voxel along z, y and x, mm.
        top: the apices along z.
        dome: where the lungs' axial section falls below half of the largest, along z.
        middle: the middle of the lungs' box along z, y and x.
        half: half of the lungs' width.
        footprint: the share of the diaphragm's pull in an axial plane, float32 (y, x) in [0, 1].
    """

    spacing: tuple[float, float, float]
    top: float
    dome: float
    middle: tuple[float, float, float]
    half: float
    footprint: NDArray[np.float32]

    @classmethod
    def of(cls, volume: Volume) -> _Chest:
        lungs = Structure.of(volume.mask("lungs"))
        spacing = volume.spacing
        areas = lungs.mask.sum(axis=(1, 2))
        widest = int(areas.argmax())
        below = np.flatnonzero(areas[widest:] < areas[widest] / 2)
        dome = widest + int(below[0]) if below.size else len(areas) - 1
        inside = np.zeros(volume.hu.shape[1:], np.uint8)
        for name in (*find_members("lungs", volume.structures), *find_members("heart", volume.structures)):
            structure = volume.structures[name]
            inside[structure.box[1:]] |= structure.mask.any(axis=0)
        sigmas = [SKIRT / size for size in spacing[:0:-1]]
        footprint = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), sigmas[0], sigmaY=sigmas[1])
        z, y, x = (
            (first + (count - 1) / 2) * size
            for first, count, size in zip(lungs.start, lungs.mask.shape, spacing, strict=True)
        )
        top, half = lungs.start[0] * spacing[0], lungs.mask.shape[2] * spacing[2] / 2
        return cls(
            spacing, top, (lungs.start[0] + dome) * spacing[0], (z, y, x), half, np.asarray(footprint, np.float32)
        )


def _step(place: Points) -> Points:
    """Returns a smooth step from 0 to 1 between the places 0 and 1."""
    inside = np.clip(place, 0, 1)
    return np.asarray(inside * inside * (3 - 2 * inside), np.float32)


def _cubic(places: Points, count: int) -> NDArray[np.float64]:
    """Returns the weights of knots 0, 1, 2 ... at some places in a cubic B-spline, (places, knots)."""
    away = np.abs(places[:, None].astype(np.float64) - np.arange(count))
    near, far = (4 - 6 * away**2 + 3 * away**3) / 6, np.maximum(2 - away, 0) ** 3 / 6
    return np.asarray(np.where(away < 1, near, far))


def _scaled(volume: Volume, factors: tuple[float, float, float]) -> Volume:
    """Returns a volume with voxels of another size along z, y and x; the middle stays."""
    if factors == (1.0, 1.0, 1.0):
        return volume
    affine = rescaled(volume.affine, factors, volume.hu.shape, volume.hu.shape)
    return dataclasses.replace(volume, affine=affine)


def _warped(volume: Volume, lattice: Lattice, displacement: NDArray[np.float32]) -> Volume:
    """Returns a volume whose voxels are taken from displaced places: HU between voxels, structures of the nearest."""
    shape, spacing = volume.hu.shape, volume.spacing
    onto = [
        tents(np.arange(count) * (size / step), axis.size)
        for count, size, step, axis in zip(shape, spacing, lattice.steps, lattice.axes, strict=True)
    ]
    layers = _layers(volume)
    hu, warped = np.empty_like(volume.hu), [np.empty_like(layer) for layer, _ in layers]
    rows, columns = np.ogrid[: shape[1], : shape[2]]
    for z, near in enumerate(onto[0]):
        part = np.flatnonzero(near)
        planes = np.einsum("a,cayx->cyx", near[part], displacement[:, part])
        away = (onto[1] @ planes) @ onto[2].T
        places = np.stack(
            [at + each / np.float32(size) for at, each, size in zip((z, rows, columns), away, spacing, strict=True)]
        )
        np.clip(places, 0, (np.array(shape, np.float32) - 1)[:, None, None], out=places)
        values = ndimage.map_coordinates(volume.hu, places, np.float32, order=1, mode="nearest", prefilter=False)
        hu[z] = np.rint(values)
        index = np.rint(places).astype(np.int32)
        flat = (index[0] * shape[1] + index[1]) * shape[2] + index[2]
        for (layer, _), out in zip(layers, warped, strict=True):
            out[z] = layer.ravel()[flat]
    found = {}
    for layer, (_, names) in zip(warped, layers, strict=True):
        for name, box in zip(names, ndimage.find_objects(layer, len(names)), strict=True):
            if box is not None:
                found[name] = Structure(tuple(part.start for part in box), layer[box] == 1 + names.index(name))
    notes = (*volume.notes, *lost("deformed,", volume.structures, found))
    ordered = {name: found[name] for name in volume.structures if name in found}
    return dataclasses.replace(volume, hu=hu, structures=ordered, notes=notes, cut_before=volume.cut)


def _layers(volume: Volume) -> list[tuple[NDArray[np.uint16], list[str]]]:
    """Packs the structures, which may overlap, into as few label maps as come easily; numbers count from 1."""
    layers: list[tuple[NDArray[np.uint16], list[str]]] = []
    for name, structure in volume.structures.items():
        free = (each for each in layers if not each[0][structure.box][structure.mask].any())
        layer = next(free, None)
        if layer is None:
            layer = (np.zeros(volume.hu.shape, np.uint16), [])
            layers.append(layer)
        layer[1].append(name)
        layer[0][structure.box][structure.mask] = len(layer[1])
    return layers
