"""A thorax in voxels: one tissue after the other is added, and every voxel gets the name of its structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artasyn.arrays import Hounsfield, VolumeLabels
from artasyn.phantom.heart import CHAMBERS, chambers
from artasyn.phantom.intervals import RayInterval, interval_share, length
from artasyn.phantom.lesions import PhantomLesion, lesion_body
from artasyn.phantom.organs import abdominal_organs, great_vessels, lobe_numbers, stomach_gas
from artasyn.phantom.sections import bare_body, beside, ray_sections
from artasyn.phantom.skeleton import Profile, bones, spine, sternum, vertebra_numbers
from artasyn.phantom.thorax import ThoraxRecord, bent, body_x, body_y
from artasyn.phantom.tissues import MU, STERNUM, coarse_grid, lung_texture, muscles
from artasyn.phantom.tubes import Tubes, airways, vessels
from artasyn.segment.ct.attenuation import attenuation, hounsfield
from artasyn.segment.structures import LOBES, RIBS, SIDES, VERTEBRAE

STRUCTURES = (
    "air",
    *("soft_tissue", "mediastinum", "abdomen"),
    *LOBES,
    *CHAMBERS,
    *("pulmonary_artery", "aorta", "superior_vena_cava", "inferior_vena_cava", "esophagus"),
    *("trachea", "bronchus_right", "bronchus_left", "liver", "stomach", "spleen"),
    *(f"{name}_{side}" for name in ("diaphragm", "breast", "clavicula", "scapula", "humerus") for side in SIDES),
    "sternum",
    *RIBS,
    *VERTEBRAE,
    "lesion",
)
"""Names of the values of a phantom's label volume, spelled as in `artasyn.segment.structures`. The vessels of a lung
belong to its lobes; `lesion` lies inside the lungs."""

_INDEX = {name: number for number, name in enumerate(STRUCTURES)}
_SHEET = 3.5
"""Thickness of the diaphragm, mm."""


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
    """A thorax in voxels, to which one tissue after the other is added. All lengths are those of the record."""

    def __init__(self, record: ThoraxRecord, spacing: float) -> None:
        self.record, self.own_spacing, self.spacing = record, spacing, spacing / record.growth
        self._grid()
        down, across = np.meshgrid(self.z, self.x, indexing="ij")
        self.rays = ray_sections(record, across, down)
        self.y_straight = self.y[None, :] - body_y(record, self.z)[:, None]
        self.coarse = coarse_grid(record)
        body = self.share(self.rays.body)
        self.mu = np.float32(MU["wall"]) * body
        self.labels = (body > 0.5).astype(np.uint8) * np.uint8(_INDEX["soft_tissue"])
        self._large(body)
        self._organs()
        self._vessels()
        self._bones()

    def _grid(self) -> None:
        """Chooses a grid that holds the film and the body from C5 to L3."""
        record, step = self.record, self.spacing
        scale, half = record.height / 207, record.field / 2
        head, foot = min(record.middle - half, -74 * scale), max(record.middle + half, 348 * scale)
        across, down = np.meshgrid(np.arange(-320, 321, 8.0), np.arange(head, foot, 8.0))
        body = ray_sections(record, across.astype(np.float32), down.astype(np.float32)).body
        there = body[1] > body[0]
        wide = float(np.abs(across[there]).max()) + 8
        shift = body_y(record, down)
        front, back = float((body[0] + shift)[there].min()) - 4, float((body[1] + shift)[there].max()) + 4
        self.z, self.y, self.x = (
            np.arange(low + step / 2, high, step, dtype=np.float32)
            for low, high in ((head, foot), (front, back), (-wide, wide))
        )

    def share(self, part: RayInterval) -> np.ndarray:
        """Returns the share of every voxel that lies in an interval, float32 (z, y, x) in [0, 1]."""
        return interval_share(part, self.y_straight, self.spacing)

    def inside(self, part: RayInterval) -> np.ndarray:
        """Tells which voxels have their centre in an interval, bool (z, y, x)."""
        y = self.y_straight[:, :, None]
        return np.asarray((y > part[0][:, None]) & (y < part[1][:, None]))

    def _name(self, where: np.ndarray, name: str) -> None:
        self.labels[where] = _INDEX[name]

    def _sides(self, where: np.ndarray, name: str) -> None:
        """Names voxels by the side of the body on which they lie."""
        left = self.rays.left[:, None]
        self._name(where & ~left, f"{name}_right")
        self._name(where & left, f"{name}_left")

    def _large(self, body: np.ndarray) -> None:
        record, rays = self.record, self.rays
        flesh = self.labels > 0
        if record.breast > 0:
            bare, _ = bare_body(record, rays.x, rays.z)
            thick = (bare[0] - rays.body[0] > 2.0)[:, None]
            self._sides(flesh & thick & (self.y_straight[:, :, None] < bare[0][:, None] + 4), "breast")
        shadow = (length(rays.heart) > 0) | (length(rays.mediastinum) > 0)
        middle = self.inside(rays.cavity) & shadow[:, None]
        self._name(middle & flesh, "mediastinum")
        lung = self.share(rays.lung)
        for number, hole in enumerate(rays.holes):
            taken = self.share(hole)
            lung = np.minimum(lung, 1 - taken)
            if number < 3:
                self._name((taken > 0.5) & flesh, ("abdomen", "mediastinum", "mediastinum")[number])
        deep = (self.z > record.height + record.left_drop + 25)[:, None, None] & (self.labels == _INDEX["mediastinum"])
        self._name(deep, "abdomen")
        self.hearts = self.inside(rays.heart) & flesh
        self.mu += np.float32(MU["organ"] - MU["wall"]) * np.minimum(
            np.maximum(self.share(rays.heart), self.share(rays.mediastinum)), body
        )
        self.lung = lung
        self.mu += np.float32(MU["lung"] - MU["wall"]) * lung
        depth = np.maximum(rays.lung_depth, 10)
        self.mu += lung * (lung_texture(record, rays) / depth)[:, None]
        self.mu += body * (muscles(record, rays) / np.maximum(length(rays.body), 10))[:, None]
        lobes = lobe_numbers(record, rays, self.y_straight) + np.uint8(_INDEX[LOBES[0]])
        self.breathing = lung > 0.5
        self.labels[self.breathing] = lobes[self.breathing]

    def _organs(self) -> None:
        record, rays = self.record, self.rays
        below = self.labels == _INDEX["abdomen"]
        for name, part in abdominal_organs(record, rays).items():
            share = self.share(part) * below
            self.mu += np.float32(MU["organ"] - MU["wall"]) * share
            below = below & (share <= 0)
            self._name(share > 0.5, name)
        thick = stomach_gas(record, rays)
        gas = self.share(np.stack([-thick / 2, thick / 2]))
        self.mu += np.float32(MU["air"] - MU["organ"]) * gas
        self._name(gas > 0.5, "stomach")
        at = np.nonzero(self.hearts)
        box = tuple(slice(int(place.min()), int(place.max()) + 1) for place in at)
        flat = (box[0], box[2])
        found = chambers(record, rays.x[flat], self.y_straight[box[:2]], rays.z[flat])
        inside = self.hearts[box]
        self.labels[box][inside] = found[inside] + np.uint8(_INDEX[CHAMBERS[0]])
        low = np.isin(self.labels, [_INDEX[name] for name in ("abdomen", "liver", "stomach", "spleen")])
        near = self.breathing
        for number in range(max(round(_SHEET / self.spacing), 1)):
            near = _grown(near, number % 2 == 0)  # alternately a cube and its dual make a sheet of even thickness
        self._sides(near & low, "diaphragm")

    def _vessels(self) -> None:
        record = self.record
        closed = self.breathing | (self.labels == 0)
        for name, line, radii in great_vessels(record):
            if name == "esophagus":
                keep = np.isin(self.labels, [_INDEX[other] for other in ("mediastinum", "abdomen", "soft_tissue")])
            elif name in ("inferior_vena_cava", "superior_vena_cava"):
                keep = ~closed & ~self.hearts
            else:
                keep = ~closed
            self._stamp(Tubes.along(line, radius=float(radii.mean())), radii[1:], np.ones(3), name, keep)
        self._fill(vessels(record, self.coarse), np.ones(3), MU["organ"] - MU["lung"])
        for name, tubes in airways(record, self.coarse).items():
            first, part = self._fill(tubes, np.ones(3), MU["air"] - MU["organ"])
            place = first + np.flatnonzero(part > 0.35)
            labels = self.labels.reshape(-1)
            labels[place[~self.breathing.reshape(-1)[place] & (labels[place] > 0)]] = _INDEX[name]

    def _bones(self) -> None:
        record, rays = self.record, self.rays
        flesh = self.labels > 0
        plate = sternum(record, rays)
        self.mu += np.float32(STERNUM * record.bone) * self.share(plate)
        self._name(self.inside(plate) & flesh & ~self.breathing, "sternum")
        groups: dict[Profile, list[Tubes]] = {}
        for bone in bones(record):
            groups.setdefault(bone.profile, []).append(bone.tubes)
            brush = np.array([bone.profile.outside[0], bone.profile.outside[0], bone.profile.outside[1]])
            self._stamp(bone.tubes, np.ones(len(bone.tubes.points)), brush, bone.name, flesh)
        for profile, tubes in groups.items():
            mean = MU["cortex"] * (1 - profile.core) + MU["marrow"] * profile.core - MU["wall"]
            brush = np.array([profile.outside[0], profile.outside[0], profile.outside[1]])
            self._fill(Tubes.joined(*tubes), brush, record.bone * profile.mineral * mean)
        self._spine(flesh)

    def _spine(self, flesh: np.ndarray) -> None:
        record, rays = self.record, self.rays
        x = rays.x - beside(record, self.z)[:, None]
        columns = np.flatnonzero((np.abs(x) < 36).any(axis=0))
        box = slice(int(columns[0]), int(columns[-1]) + 1)
        depths = np.flatnonzero(((self.y_straight > 12) & (self.y_straight < 128)).any(axis=0))
        deep = slice(int(depths[0]), int(depths[-1]) + 1)
        number = vertebra_numbers(record, x[:, box], self.y_straight[:, deep], self.z)
        number[~flesh[:, deep, box]] = 0
        named = number > 0
        self.labels[:, deep, box][named] = (number[named] - 1 + _INDEX[VERTEBRAE[0]]).astype(np.uint8)
        bone = spine(record, rays)[:, box]
        column = (np.abs(self.y_straight[:, deep] - 66) < 18)[:, :, None]
        solid = np.where(named.any(axis=1, keepdims=True), named, column).astype(np.float32)
        solid /= np.maximum(solid.sum(axis=1, keepdims=True) * np.float32(self.spacing), 10.0)
        self.mu[:, deep, box] += solid * bone[:, None]

    def _stamp(self, tubes: Tubes, radii: np.ndarray, brush: np.ndarray, name: str, keep: np.ndarray) -> None:
        """Names the voxels in tubes; every point of a centreline covers an ellipsoid with the half widths `brush`."""
        step = 0.7 * self.spacing
        most = brush * float(radii.max())
        lattice = [np.arange(-np.floor(a / step), np.floor(a / step) + 1) * step / a for a in most]
        offsets = np.stack([part.ravel() for part in np.meshgrid(*lattice, indexing="ij")], axis=1)
        offsets = offsets[(offsets**2).sum(axis=1) <= 1] * brush
        stride = max(1, int(0.5 * step / max(float(np.median(tubes.lengths)), 1e-6)))
        stride = stride if len(tubes.points) > 200 and tubes.lengths.std() < tubes.lengths.mean() else 1
        centre = bent(self.record, tubes.points[::stride])
        places = centre[:, None] + offsets[None] * radii[::stride][:, None, None]
        index, inside = np.zeros(places.shape[:2], np.intp), np.ones(places.shape[:2], bool)
        for axis, grid in ((2, self.z), (1, self.y), (0, self.x)):
            cell = np.rint((places[..., axis] - grid[0]) / self.spacing).astype(np.intp)
            inside &= (cell >= 0) & (cell < len(grid))
            index = index * len(grid) + cell
        index = index[inside]
        self.labels.reshape(-1)[index[keep.reshape(-1)[index]]] = _INDEX[name]

    def _fill(self, tubes: Tubes, brush: np.ndarray, mu: float) -> tuple[int, np.ndarray]:
        """Adds the attenuation of tubes; returns the share of voxels in them, (n,), from a first voxel on."""
        thin = tubes.radii * brush.max() < self.spacing / 2
        found = [
            self._spread(tubes.kept(chosen), brush, samples)
            for chosen, samples in ((thin, 3), (~thin, int(np.clip(250 / self.spacing**2, 9, 40))))
            if chosen.any()
        ]
        index, volume = (np.concatenate(parts) for parts in zip(*found, strict=True))
        first = int(index.min())
        part = np.minimum(np.bincount(index - first, volume), 1).astype(np.float32)
        self.mu.reshape(-1)[first : first + len(part)] += np.float32(mu) * part
        return first, part

    def _spread(self, tubes: Tubes, brush: np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns voxels and the share of each that points fill: every point spreads its volume over an ellipsoid."""
        number = np.arange(samples) + 0.5
        radius, height = np.cbrt(number / samples), 1 - 2 * number / samples
        # every point has a different turn, because equal turns would leave gaps between neighbours
        turn = 2.39996 * number + 0.61 * np.arange(len(tubes.points))[:, None]
        ring = np.sqrt(1 - height**2)
        ball = [ring * np.cos(turn), ring * np.sin(turn), np.broadcast_to(height, turn.shape)]
        centre = bent(self.record, tubes.points)
        index, keep = np.zeros(turn.shape, np.intp), np.ones(turn.shape, bool)
        for axis, places in ((2, self.z), (1, self.y), (0, self.x)):
            spread = ball[axis] * (radius * brush[axis]) * tubes.radii[:, None]
            cell = np.rint((centre[:, axis, None] + spread - places[0]) / self.spacing).astype(np.intp)
            keep &= (cell >= 0) & (cell < len(places))
            index = index * len(places) + cell
        volume = tubes.lengths * (np.pi * brush[0] * brush[2] / samples / self.spacing**3) * tubes.radii**2
        return index[keep], np.broadcast_to(volume[:, None], keep.shape)[keep]

    def add_lesion(self, lesion: PhantomLesion, centre: np.ndarray) -> None:
        """Replaces air of the lungs by a lesion around a centre, straight mm."""
        level = np.asarray(centre[2], dtype=np.float32)
        x, y = self.x - body_x(self.record, level), self.y - body_y(self.record, level)
        body = lesion_body(lesion, x - centre[0], y - centre[1], self.z - centre[2])
        part = body * self.lung
        self.mu += part * np.maximum(float(attenuation(np.float32(lesion.hu))) - self.mu, 0)
        self._name(part > 0.25, "lesion")

    def finished(self) -> PhantomVolume:
        """Returns the volume in Hounsfield units, with the thorax in its own size."""
        grown = self.record.growth
        hu = hounsfield(self.mu).astype(np.float32)
        origin = (float(self.z[0]) * grown, float(self.y[0]) * grown, float(self.x[0]) * grown)
        return PhantomVolume(hu, self.labels, STRUCTURES, self.own_spacing, origin)


def _grown(mask: np.ndarray, corners: bool) -> np.ndarray:
    """Adds the neighbours of all voxels of a mask: the six across faces, or all 26 with `corners`."""
    wide = mask.copy()
    for axis in range(3):
        ahead, behind = ([slice(None)] * 3 for _ in range(2))
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        source = wide.copy() if corners else mask
        wide[tuple(ahead)] |= source[tuple(behind)]
        wide[tuple(behind)] |= source[tuple(ahead)]
    return np.asarray(wide)
