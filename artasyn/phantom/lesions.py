"""Lesions of the lung in three dimensions: irregular bodies of fluid, cells or tissue that replace air."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast, get_args

import numpy as np

from artasyn.arrays import HIGHEST, LEFT, LOWEST, RIGHT
from artasyn.errors import SynthesisError
from artasyn.fields import Seed, Share, Within, check_fields
from artasyn.findings import LesionKind
from artasyn.segment.ct.lesion_ranges import LESION_RANGES
from artasyn.shapes import Float32

Body = Float32[np.ndarray, "z y x"]
"""Share of the air that a lesion replaces at every point: float32 (z, y, x) in [0, 1]."""

KINDS: tuple[str, ...] = get_args(LesionKind)
FARTHEST = 250.0
"""Largest reach of a lesion, mm."""

Stretch = Annotated[float, Within(0.1, 10)]
"""A radius relative to the mean radius."""

_LATTICE = 15


@dataclass(frozen=True)
class PhantomLesion:
    """One lesion as plain numbers.

    Attributes:
        kind: one of `KINDS`.
        seed: seed of the irregular border and of the texture inside.
        side: 1 for the patient's right lung, 2 for the left.
        row: place of the centre in the visible lung from top to bottom, in [0, 1].
        column: place of the centre across the visible lung, from the patient's right, in [0, 1].
        layer: place of the centre from front to back of the lung, in [0, 1].
        size: mean radius, mm.
        stretch: radii along x, y and z relative to `size`.
        hu: density of the dense parts, Hounsfield units.
        edge: softness of the border relative to `size`.
        rough: irregularity of the border relative to `size`.
        tilt: rotation in the frontal plane, degrees.

    Raises:
        SynthesisError: an unknown kind, or a number out of range.

    Source:
        Densities and sizes: the table in `artasyn.segment.ct.lesion_ranges`.
    """

    kind: LesionKind
    seed: Seed
    side: Annotated[int, Within(RIGHT, LEFT)]
    row: Share
    column: Share
    layer: Share
    size: Annotated[float, Within(1, 100)]
    stretch: tuple[Stretch, Stretch, Stretch]
    hu: Annotated[float, Within(LOWEST, HIGHEST)]
    edge: Annotated[float, Within(0.01, 2)]
    rough: Annotated[float, Within(0, 4)]
    tilt: Annotated[float, Within(-3600, 3600)]

    def __post_init__(self) -> None:
        check_fields(self, SynthesisError)
        if self.reach > FARTHEST:
            raise SynthesisError(f"PhantomLesion: its size, stretch, rough and edge reach {self.reach:g} mm")

    @property
    def reach(self) -> float:
        """Upper bound of the distance of any part of the lesion from its centre, mm."""
        return self.size * max(self.stretch) * (1.25 + 0.6 * self.rough + 0.5 * self.edge)


def draw_lesion(rng: np.random.Generator, kind: str, severity: float) -> PhantomLesion:
    """Draws one lesion, placed anywhere in the lungs.

    Args:
        rng: the generator; the same state gives the same lesion.
        kind: one of `KINDS`.
        severity: in [0, 1], from small and faint to large and dense.
    """

    def between(low_high: tuple[float, float], shift: float = 0.0) -> float:
        low, high = low_high
        return float(low + (high - low) * np.clip(rng.uniform() ** np.exp(-shift), 0, 1))

    ranges, strong = LESION_RANGES[kind].phantom, 2.0 * (severity - 0.5)
    stretch = rng.uniform(0.8, 1.2, 3) if kind == "nodule" else rng.uniform((0.65, 0.9, 0.65), (1.4, 1.5, 1.4))
    return PhantomLesion(
        cast(LesionKind, kind), int(rng.integers(2**31)), int(rng.integers(1, 3)),
        float(rng.uniform(0.1, 0.92)), float(rng.uniform(0.12, 0.88)), float(rng.uniform(0.15, 0.85)),
        between(ranges.radius, strong), (float(stretch[0]), float(stretch[1]), float(stretch[2])),
        between(ranges.hu, strong), between(ranges.edge), between(ranges.irregularity), float(rng.uniform(-60, 60)),
    )  # fmt: skip


def lesion_body(lesion: PhantomLesion, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> Body:
    """Returns the share of its density that a lesion reaches at every point of a grid around its centre.

    Args:
        lesion: the lesion.
        x: (w,), mm to the left of its centre.
        y: (d,), mm behind its centre.
        z: (h,), mm below its centre.

    Returns:
        float32 (h, d, w) in [0, 1]; 0 farther than `PhantomLesion.reach` from the centre.
    """
    angle = np.deg2rad(lesion.tilt)
    axes = [a.astype(np.float32) / np.float32(lesion.size) for a in (z, y, x)]
    down, back, across = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    u = (np.float32(np.cos(angle)) * across + np.float32(np.sin(angle)) * down) / np.float32(lesion.stretch[0])
    v = (np.float32(np.cos(angle)) * down - np.float32(np.sin(angle)) * across) / np.float32(lesion.stretch[2])
    if lesion.kind == "consolidation":  # a segment widens from the hilum to the pleura
        u = u * (1 + 0.35 * np.clip(-v, -0.8, 0.8))
    distance = np.sqrt(u * u + (back / np.float32(lesion.stretch[1])) ** 2 + v * v)
    rng = np.random.default_rng([lesion.seed, 6])
    coarse = _noise(rng, axes, 1.1) + 0.5 * _noise(rng, axes, 0.5)
    fine = _noise(rng, axes, 0.28)
    border = 1 - distance + np.float32(0.45 * lesion.rough) * (coarse + 0.4 * fine)
    body = np.clip(border / np.float32(2 * lesion.edge) + 0.5, 0, 1)
    body = body * body * (3 - 2 * body)
    if lesion.kind != "nodule":
        body *= np.clip(0.78 + 0.25 * coarse + 0.22 * fine, 0.05, 1)
    limit = np.float32(lesion.reach / lesion.size)
    near = np.sqrt(down * down + back * back + across * across)
    return np.asarray(body * np.clip((limit - near) / np.float32(0.15), 0, 1), dtype=np.float32)


def _noise(rng: np.random.Generator, axes: list[np.ndarray], grain: float) -> np.ndarray:
    """Returns smooth noise of unit variance on a separable grid; `grain` is its coarseness in units of the axes."""
    lattice = rng.standard_normal((_LATTICE,) * 3).astype(np.float32)
    weights = [_weights(axis / np.float32(grain)) for axis in axes]
    part = np.einsum("zi,ijk->zjk", weights[0], lattice)
    part = np.einsum("yj,zjk->zyk", weights[1], part)
    return np.asarray(np.einsum("xk,zyk->zyx", weights[2], part, optimize=True))


def _weights(place: np.ndarray) -> np.ndarray:
    """Returns weights of the points of a periodic lattice at every place, (n, _LATTICE), with unit sum of squares."""
    offset = (place[:, None] - np.arange(_LATTICE) + _LATTICE / 2) % _LATTICE - _LATTICE / 2
    weight = np.where(np.abs(offset) < 1.5, np.cos(offset * (np.pi / 3)) ** 2, 0)
    return np.asarray((weight / np.sqrt((weight**2).sum(axis=1, keepdims=True))).astype(np.float32))
