"""The tissues of a thorax, as attenuation along the rays of a film and as a CT."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from artasyn.arrays import LEFT, RIGHT, Hounsfield, VolumeLabels
from artasyn.phantom.thorax import (
    Anatomy,
    Map,
    RayInterval,
    ThoraxRecord,
    anatomy,
    covered,
    length,
    spine_x,
    straight_grid,
)
from artasyn.phantom.tubes import Tubes, airways, chords, clavicles, girdle, ribs, round_chords, vessels
from artasyn.segment.ct.attenuation import attenuation, hounsfield

TISSUE_HU = {"air": -1000.0, "lung": -865.0, "wall": -20.0, "organ": 45.0, "marrow": 190.0, "cortex": 1050.0}
"""Hounsfield units of healthy tissues; `lung` lies between the visible vessels, `wall` mixes muscle and fat.

Source:
    Standard CT reference ranges (for example Hounsfield 1980; lungs in inspiration -850 to -880).
"""

STRUCTURES = (
    "air", "lung_right", "lung_left", "soft_tissue", "mediastinum", "abdomen", "vessel", "airway", "gas",
    "rib", "clavicle", "shoulder", "vertebra", "lesion",
)  # fmt: skip
"""Names of the values of a phantom's label volume, spelled as in `artasyn.segment.structures`. `vessel` and `lesion`
lie inside the lungs."""

# Half widths and half heights of bones, mm, outside and inside the cortex; share of the full mineral content.
_RIB, _CLAVICLE = ((3.2, 6.0), (2.0, 5.0), 1.0), ((4.6, 5.4), (2.9, 3.7), 1.0)
_BLADE, _SHAFT = ((3.0, 3.6), (2.0, 2.6), 0.8), ((11.5, 11.5), (7.5, 7.5), 0.55)
_HEAD, _HEAD_INSIDE = ((23.0, 23.0), (22.0, 22.0), 0.25), ((18.0, 18.0), (0.5, 0.5), 0.1)
_VERTEBRA_Z = (
    -106,
    -90,
    -74,
    -58,
    -42,
    -26,
    -8,
    8,
    24,
    41,
    60,
    81,
    104,
    128,
    153,
    179,
    207,
    237,
    268,
    300,
    333,
)
_VERTEBRA_Y = (48.0, 84.0)


MU = {name: float(attenuation(np.float32(hu))) for name, hu in TISSUE_HU.items()}
"""Linear attenuation of healthy tissues, 1 / mm."""


@dataclass(frozen=True, eq=False)
class Healthy:
    """Line integrals of a healthy thorax along the rays of its film.

    Attributes:
        integral: line integral of the attenuation, float32 (size, size).
        vessels: the part of `integral` that the vessels of the lungs add.
    """

    integral: Map
    vessels: Map


def line_integral(record: ThoraxRecord, shape: Anatomy, coarse: Anatomy) -> Healthy:
    """Computes the line integrals of a healthy thorax along the rays of its film.

    Args:
        record: the thorax.
        shape: the large structures of the thorax along the rays of the film.
        coarse: the same structures on a `straight_grid`.
    """
    tree = round_chords(record, vessels(record, coarse))
    tree = np.minimum(22 * np.tanh(tree / 22), 0.6 * shape.lung_depth) * np.float32(MU["organ"] - MU["lung"])
    total = MU["wall"] * length(shape.body) + (MU["lung"] - MU["wall"]) * shape.lung_depth
    total += (MU["organ"] - MU["wall"]) * covered(shape.body, shape.holes[1:2])
    gas = round_chords(record, airways(record, coarse)) + stomach_gas(record, shape)
    total += (MU["air"] - MU["organ"]) * gas
    total += tree + lung_texture(record, shape) + muscles(record, shape)
    total += skeleton(record) + spine(record, shape)
    blurred = cv2.GaussianBlur(total.astype(np.float32), (0, 0), 0.5 * record.size / record.field)
    return Healthy(np.maximum(np.asarray(blurred), 0), tree)


def skeleton(record: ThoraxRecord) -> Map:
    """Returns the part of the line integral that ribs, clavicles, shoulder blades and upper arms add."""
    cortex, marrow = MU["cortex"] - MU["wall"], MU["marrow"] - MU["wall"]
    blades, arms, heads = girdle(record)
    parts = (
        (ribs(record), _RIB), (clavicles(record), _CLAVICLE), (blades, _BLADE),
        (arms, _SHAFT), (heads, _HEAD), (heads, _HEAD_INSIDE),
    )  # fmt: skip
    total = np.zeros((record.size, record.size), np.float32)
    for curves, (outside, inside, part) in parts:
        tubes = Tubes.along(*curves).faded(len(curves[0]) - 1, 0.07)
        whole, core = chords(record, tubes, (outside, inside))
        total += np.float32(part) * (np.float32(cortex) * (whole - core) + np.float32(marrow) * core)
    most = np.float32(0.36)  # a straight chord overestimates curved ribs that run along the ray at the chest wall
    return np.asarray(most * np.tanh(np.float32(record.bone) * total / most))


def spine(record: ThoraxRecord, shape: Anatomy) -> Map:
    """Returns the part of the line integral that vertebrae add: bodies, end plates, pedicles and processes."""
    centres = np.array(_VERTEBRA_Z) * record.height / 207
    place = np.interp(shape.z, centres, np.arange(len(centres))).astype(np.float32)
    off = place - np.rint(place)  # from -0.5 to 0.5 in every vertebra
    gap, x = np.abs(off), np.abs(shape.x)
    wide = 12.5 + 0.022 * np.clip(shape.z, 0, None)
    edge = wide * (0.88 + gap**2)
    within = np.clip((edge - x) / 1.5, 0, 1)
    total = 0.13 * within * np.clip((0.43 - gap) / 0.05, 0, 1)
    total += 0.08 * within * np.exp(-(((gap - 0.41) / 0.035) ** 2))
    total += 0.08 * np.exp(-(((x - edge + 1.0) / 1.2) ** 2)) * (gap < 0.42)
    pedicle = np.hypot((x - wide + 3.5) / 3.2, (off + 0.12) / 0.16)
    total += 0.10 * np.exp(-(((pedicle - 1) / 0.35) ** 2))
    total += 0.16 * np.clip(1.3 - np.hypot(x / 2.8, (off - 0.3) / 0.2), 0, 1)
    transverse = np.clip((33 - x) / 4, 0, 1) * np.clip((x - 8) / 4, 0, 1)
    total += 0.09 * transverse * np.exp(-(((off + 0.14 + 0.002 * (x - 20)) / 0.13) ** 2))
    total += 0.05 * np.clip((11 - x) / 3, 0, 1) * np.exp(-(((off - 0.05) / 0.25) ** 2))
    return np.asarray((record.bone * total * np.clip(0.55 + shape.z / 350, 0.45, 1)).astype(np.float32))


def stomach_gas(record: ThoraxRecord, shape: Anatomy) -> Map:
    """Returns the thickness of the gas above the fluid of the stomach, below the left dome, mm."""
    rng = np.random.default_rng([record.seed, 8])
    wide = max(record.bubble, 1e-3)
    high = wide * rng.uniform(0.45, 0.75)
    top = record.height + record.left_drop + rng.uniform(7, 12)
    x, z = (shape.x - 68 - rng.normal(0, 6)) / wide, (shape.z - top - high) / high
    gas = 1.1 * wide * np.sqrt(np.clip(1 - x * x - z * z, 0, None)) * np.clip((0.45 - z) * high / 2, 0, 1)
    return np.minimum(gas, 0.7 * length(shape.holes[0])).astype(np.float32)


def muscles(record: ThoraxRecord, shape: Anatomy) -> Map:
    """Returns the part of the line integral that pectoral muscles and the uneven chest wall add."""
    total = _uneven(
        record,
        shape,
        7,
        ((52.0, 0.05), (26.0, 0.025), (12.0, 0.012), (5.5, 0.008), (2.8, 0.006), (1.5, 0.006)),
    )
    total += 0.16 * np.exp(-(((np.abs(shape.x) - 95) / 42) ** 2) - ((shape.z - 60) / 45) ** 2)
    return total * np.clip(length(shape.body) / 100, 0, 1)


def lung_texture(record: ThoraxRecord, shape: Anatomy) -> Map:
    """Returns the part of the line integral that vessels and septa too fine to be drawn add."""
    total = _uneven(record, shape, 9, ((1.4, 0.010), (2.8, 0.012), (5.6, 0.014), (15.0, 0.02)))
    return np.asarray(np.float32(record.texture) * total * np.sqrt(shape.lung_depth / np.float32(170)))


def _uneven(record: ThoraxRecord, shape: Anatomy, stream: int, octaves: tuple[tuple[float, float], ...]) -> Map:
    """Returns noise of the body, not of the film, from octaves of grain size in mm and strength."""
    rng = np.random.default_rng([record.seed, stream])
    total = np.zeros_like(shape.x)
    for grain, strength in octaves:
        lattice = rng.standard_normal((int(600 / grain) + 4,) * 2).astype(np.float32)
        columns, rows = (shape.x + 300) / np.float32(grain), (shape.z + 200) / np.float32(grain)
        noise = cv2.remap(lattice, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        total += np.float32(strength) * noise
    return total


@dataclass(frozen=True, eq=False)
class PhantomVolume:
    """A thorax as a small CT.

    Attributes:
        hu: Hounsfield units, float32 (z, y, x): head to foot, front to back, patient's right to left.
        labels: index into `names`, uint8, on the same grid.
        names: the structures.
        spacing: distance of neighbouring voxels in every direction, mm.
        origin: z, y and x of the centre of the first voxel, mm (see `artasyn.phantom.thorax`).
    """

    hu: Hounsfield
    labels: VolumeLabels
    names: tuple[str, ...]
    spacing: float
    origin: tuple[float, float, float]


class Voxels:
    """A thorax in voxels, to which one tissue after the other is added."""

    def __init__(self, record: ThoraxRecord, spacing: float) -> None:
        half = record.field / 2
        self.record, self.spacing = record, spacing
        self.z = np.arange(record.middle - half + spacing / 2, record.middle + half, spacing, dtype=np.float32)
        self.y = np.arange(-165 + spacing / 2, 165, spacing, dtype=np.float32)
        self.x = np.arange(-210 + spacing / 2, 210, spacing, dtype=np.float32)
        down, across = np.meshgrid(self.z, self.x, indexing="ij")
        self.rays = anatomy(record, across, down)
        self.coarse = coarse_grid(record)
        self.mu = MU["wall"] * self.share(self.rays.body)
        self.labels = np.where(self.share(self.rays.body) > 0.5, 3, 0).astype(np.uint8)
        self._large()
        self._fine()

    def share(self, part: RayInterval) -> np.ndarray:
        """Returns the share of every voxel that lies in an interval, float32 (z, y, x) in [0, 1]."""
        return interval_share(part, self.y, self.spacing)

    def _large(self) -> None:
        rays = self.rays
        lung = self.share(rays.lung)
        for number, hole in enumerate(rays.holes):
            taken = self.share(hole)
            lung = np.minimum(lung, 1 - taken)
            if number < 2:
                self.labels[(taken > 0.5) & (self.labels > 0)] = (5, 4)[number]
            if number == 1:
                self.mu += (MU["organ"] - MU["wall"]) * np.minimum(taken, self.share(rays.body))
        self.lung = lung
        self.labels[lung > 0.5] = np.broadcast_to(np.where(rays.left, LEFT, RIGHT)[:, None], lung.shape)[lung > 0.5]
        self.mu += (MU["lung"] - MU["wall"]) * lung
        depth = np.maximum(rays.lung_depth, 10)[:, None]
        self.mu += lung * lung_texture(self.record, rays)[:, None] / depth
        body = np.maximum(length(rays.body), 10)[:, None]
        self.mu += self.share(rays.body) * muscles(self.record, rays)[:, None] / body
        gas = self._slab(stomach_gas(self.record, rays), 0.0)
        self.mu += (MU["air"] - MU["organ"]) * gas
        self.labels[gas > 0.5] = 8

    def _slab(self, thickness: Map, middle: float) -> np.ndarray:
        return self.share(np.stack([middle - thickness / 2, middle + thickness / 2]))

    def _fine(self) -> None:
        record = self.record
        bone = spine(record, self.rays)
        front, back = _VERTEBRA_Y
        column = self._slab(np.full_like(bone, back - front), (front + back) / 2)
        self.mu += column * bone[:, None] / (back - front)
        self.labels[(column > 0.5) & (bone[:, None] > 0.06)] = 12
        blades, arms, heads = girdle(record)
        bones = (
            (ribs(record), _RIB, 9),
            (clavicles(record), _CLAVICLE, 10),
            (blades, _BLADE, 11),
            (arms, _SHAFT, 11),
            (heads, _HEAD, 11),
        )
        for curves, (outside, inside, part), label in bones:
            core = inside[0] * inside[1] / (outside[0] * outside[1])
            mean = MU["cortex"] * (1 - core) + MU["marrow"] * core - MU["wall"]
            tubes = Tubes.along(*curves).faded(len(curves[0]) - 1, 0.07)
            self._tubes(tubes, np.array([outside[0], outside[0], outside[1]]), record.bone * part * mean, label)
        self._tubes(vessels(record, self.coarse), np.ones(3), MU["organ"] - MU["lung"], 6)
        self._tubes(airways(record, self.coarse), np.ones(3), MU["air"] - MU["organ"], 7)

    def _tubes(self, tubes: Tubes, brush: np.ndarray, mu: float, label: int) -> None:
        """Adds tubes; thin tubes need fewer samples of their cross-section."""
        thin = tubes.radii * brush.max() < self.spacing / 2
        part = self._filled(tubes.kept(thin), brush, 3) + self._filled(tubes.kept(~thin), brush, 40)
        part = np.clip(part, 0, 1).astype(np.float32)
        self.mu += mu * part
        self.labels[(part > 0.3) & (self.labels > 0)] = label

    def _filled(self, tubes: Tubes, brush: np.ndarray, samples: int) -> np.ndarray:
        """Returns the share of every voxel in tubes: every point spreads its volume over an ellipsoid."""
        number = np.arange(samples) + 0.5
        radius, height = np.cbrt(number / samples), 1 - 2 * number / samples
        # every point has a different turn, because equal turns would leave gaps between neighbours
        turn = 2.39996 * number + 0.61 * np.arange(len(tubes.points))[:, None]
        ring = np.sqrt(1 - height**2)
        ball = [ring * np.cos(turn), ring * np.sin(turn), np.broadcast_to(height, turn.shape)]
        centre = tubes.points + spine_x(self.record, tubes.points[:, 2])[:, None] * np.array([1, 0, 0])
        index, keep = np.zeros(turn.shape, np.intp), np.ones(turn.shape, bool)
        for axis, places in ((2, self.z), (1, self.y), (0, self.x)):
            spread = ball[axis] * (radius * brush[axis]) * tubes.radii[:, None]
            cell = np.rint((centre[:, axis, None] + spread - places[0]) / self.spacing).astype(np.intp)
            keep &= (cell >= 0) & (cell < len(places))
            index = index * len(places) + cell
        volume = tubes.lengths * (np.pi * brush[0] * brush[2] / samples / self.spacing**3) * tubes.radii**2
        share = np.bincount(index[keep], np.broadcast_to(volume[:, None], keep.shape)[keep], self.mu.size)
        return share.reshape(self.mu.shape)

    def finished(self) -> PhantomVolume:
        """Returns the volume in Hounsfield units."""
        hu = hounsfield(self.mu).astype(np.float32)
        origin = (float(self.z[0]), float(self.y[0]), float(self.x[0]))
        return PhantomVolume(hu, self.labels, STRUCTURES, self.spacing, origin)


def coarse_grid(record: ThoraxRecord) -> Anatomy:
    """Returns the large structures on a straight grid of 4 mm, which is fine enough to place vessels and lesions."""
    return straight_grid(record, np.arange(-160, 161, 4.0), np.arange(-140, 321, 4.0))


def interval_share(part: RayInterval, y: np.ndarray, step: float) -> np.ndarray:
    """Returns the share of slabs around the depths `y`, `step` mm thick, that lies in an interval: (h, d, w)."""
    middle, half = y.astype(np.float32)[None, :, None], np.float32(step / 2)
    low, high = part[0][:, None], part[1][:, None]
    inside = np.minimum(high, middle + half) - np.maximum(low, middle - half)
    return np.asarray(np.clip(inside, 0, step) / np.float32(step))
