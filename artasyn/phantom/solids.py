"""Solids with exactly known chords, the same solids in voxels, and the errors of a projection."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.projection.projection import Projection, project, rays_of
from artasyn.segment.projection.view import Exposure, View

Floats = npt.NDArray[np.float64]
Millimetres = tuple[float | int, float | int, float | int]
"""Lengths along the body's axes: to the right, to the front and to the head."""

SPACING = (2.0, 0.9, 0.9)
"""Size of the voxels along z, y and x, mm: far from cubes, as in CTs."""
SHAPE = (62, 124, 148)


@dataclass(frozen=True)
class Solid:
    """An ellipsoid or a box, in RAS+ millimetres.

    Attributes:
        centre: middle of the solid.
        half: half widths along the solid's axes.
        turn: rotation of the solid's axes about the body axis, degrees.
        lean: rotation of the solid's axes about the axis to the right, before the turn, degrees.
        box: whether the solid is a box, not an ellipsoid.
    """

    centre: Millimetres
    half: Millimetres
    turn: float = 0.0
    lean: float = 0.0
    box: bool = False

    def own(self, vectors: Floats) -> Floats:
        """Converts vectors (..., 3) to the solid's axes, in units of its half widths."""
        turn, lean = math.radians(self.turn), math.radians(self.lean)
        about_z = np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
        about_x = np.array([[1, 0, 0], [0, math.cos(lean), -math.sin(lean)], [0, math.sin(lean), math.cos(lean)]])
        return np.asarray(vectors @ (about_z @ about_x) / np.array(self.half))

    def holds(self, points: Floats) -> npt.NDArray[np.bool_]:
        """Tells whether points (..., 3) lie in the solid."""
        at = self.own(points - np.array(self.centre))
        return np.asarray(np.abs(at).max(axis=-1) <= 1 if self.box else (at * at).sum(axis=-1) <= 1)

    def chords(self, points: Floats, directions: Floats) -> Floats:
        """Returns the lengths in the solid, mm, of infinite lines: points (..., 3) and unit directions (..., 3)."""
        at, along = np.broadcast_arrays(self.own(points - np.array(self.centre)), self.own(directions))
        if self.box:
            along = np.where(np.abs(along) < 1e-12, 1e-12, along)
            ends = np.stack([(-1 - at) / along, (1 - at) / along])
            return np.asarray(np.maximum(ends.max(axis=0).min(axis=-1) - ends.min(axis=0).max(axis=-1), 0))
        square, half, rest = (along * along).sum(-1), (at * along).sum(-1), (at * at).sum(-1) - 1
        return np.asarray(2 * np.sqrt(np.maximum(half * half - square * rest, 0)) / square)

    @property
    def volume(self) -> float:
        """Volume of the solid, mm3."""
        return float(np.prod(self.half)) * (8 if self.box else 4 / 3 * math.pi)


SOLIDS = {
    "body": Solid((0, 0, 0), (56, 46, 50)),
    "ball": Solid((-28, 8, 22), (15, 15, 15)),
    "leaning_ellipsoid": Solid((18, 14, 14), (26, 11, 15), turn=25.0, lean=35.0),
    "box": Solid((25.05, -15, -9.7), (20.25, 11.7, 16), box=True),  # its faces are faces of voxels
    "turned_box": Solid((-22, -10, -16), (14, 17, 12), turn=33.0, lean=20.0, box=True),
    "plate": Solid((0, 20, -30), (30, 4, 9), turn=-12.0, box=True),
}

VIEWS = (
    View(0.0),
    View(30.0, tilt=10.0),
    View(45.0),
    View(60.0, roll=15.0),
    View(90.0),
    View(135.0, tilt=-12.0, roll=20.0),
    View(180.0, tilt=5.0, roll=-8.0),
)
"""Seven angles, some of them with tilt and roll."""


def solid_volume(solids: dict[str, Solid] = SOLIDS) -> Volume:
    """Makes voxels of the solids: water in the solids, air around. A voxel belongs to a solid if its centre does."""
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = [-spacing for spacing in SPACING]
    affine[:3, 3] = [(n - 1) / 2 * s + 0.3 for n, s in zip(SHAPE[::-1], SPACING[::-1], strict=True)]
    affine[3, 3] = 1
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    places = index @ affine[:3, :3].T + affine[:3, 3]
    masks = {name: solid.holds(places) for name, solid in solids.items()}
    hu = np.where(np.any(list(masks.values()), axis=0), np.int16(0), np.int16(-1024))
    return Volume(hu, affine, {name: Structure.of(mask) for name, mask in masks.items()})


def true_chords(solid: Solid, exposure: Exposure, aside: tuple[float, float] = (0.0, 0.0)) -> Floats:
    """Returns the chord (h, w) of every ray, or of rays to shifted pixels.

    Args:
        solid: the solid that rays run through.
        exposure: the rays.
        aside: shift of the pixels on the detector, downwards and to the right, mm.
    """
    rows, columns = (np.arange(n, dtype=np.float64) for n in exposure.size)
    rows, columns = rows + aside[0] / exposure.pixel, columns + aside[1] / exposure.pixel
    pixels = exposure.corner + rows[:, None, None] * exposure.row + columns[None, :, None] * exposure.column
    directions = exposure.source if exposure.parallel else pixels - exposure.source
    return solid.chords(pixels, directions / np.linalg.norm(directions, axis=-1, keepdims=True))


@dataclass(frozen=True)
class Errors:
    """Errors of the thickness of all solids in one view.

    Attributes:
        beyond: largest distance of the thickness from the range of exact chords of rays displaced by up to one voxel,
            mm. At most one voxel's diagonal is expected, because voxels describe a solid no more exactly.
        diagonal: diagonal of a voxel, mm.
        total: relative error of the sum over the detector and all solids.
        worst_total: relative error of the sum over the detector, the largest of all solids.
        interior: mean error away from the borders, relative to the mean thickness there, over all solids.
        integral: relative error of the thickness integrated over the detector against the volume of the voxels, the
            largest of all solids; NaN for cone beams.
    """

    beyond: float
    diagonal: float
    total: float
    worst_total: float
    interior: float
    integral: float


def errors(volume: Volume, view: View, solids: dict[str, Solid] = SOLIDS) -> Errors:
    """Compares a projection of `solid_volume` with the exact chords.

    Args:
        volume: the solids in voxels.
        view: the view of the projection.
        solids: the exact solids.
    """
    film, exposure = project(volume, view), rays_of(volume, view).exposure
    voxel = volume.affine[:3, :3] * view.magnification
    wide = [float(np.abs(axis @ voxel).sum()) / exposure.pixel for axis in (exposure.row, exposure.column)]
    diagonal = float(np.linalg.norm(volume.spacing))
    thirds = [(a * exposure.pixel, b * exposure.pixel) for a in (-1 / 3, 0, 1 / 3) for b in (-1 / 3, 0, 1 / 3)]
    beyond, integral, missed, there = 0.0, 0.0, 0.0, 0.0
    sums = []
    for name, solid in solids.items():
        found, exact = film.depth(name).astype(np.float64), true_chords(solid, exposure)
        near = [true_chords(solid, exposure, (a * wide[0], b * wide[1])) for a in (-1, 0, 1) for b in (-1, 0, 1)]
        least, most = np.min(near, axis=0), np.max(near, axis=0)
        beyond = max(beyond, float(np.maximum(least - found, found - most).max()))
        inside = least > diagonal
        missed, there = missed + float(np.abs(found - exact)[inside].sum()), there + float(exact[inside].sum())
        integral = max(integral, integral_error(volume, film, name))
        sums.append((found.sum(), np.mean([true_chords(solid, exposure, aside).sum() for aside in thirds])))
    all_found, all_exact = np.sum(sums, axis=0)
    return Errors(
        beyond=beyond,
        diagonal=diagonal,
        total=float(abs(all_found / all_exact - 1)),
        worst_total=float(max(abs(found / exact - 1) for found, exact in sums)),
        interior=missed / there,
        integral=integral if view.parallel else math.nan,
    )


def integral_error(volume: Volume, film: Projection, name: str) -> float:
    """Returns the relative error of thickness, integrated over parallel rays, against the volume of the voxels."""
    found = float(film.depth(name).sum(dtype=np.float64)) * film.spacing**2
    return abs(found / (volume.structures[name].voxels * volume.voxel_volume) - 1)


def as_beam(view: View, beam: str) -> View:
    """Makes a view with parallel rays or a cone, and a detector of pixels of about a millimetre."""
    distance = {"parallel": None, "cone": 1000.0}[beam]
    return dataclasses.replace(view, size=(120, 136), source_to_detector=distance)
