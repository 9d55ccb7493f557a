"""Organs below the diaphragm, great vessels, gullet, and the fissures between the lobes of the lungs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from artasyn.phantom.intervals import Map, RayInterval, around, length, overlap, root
from artasyn.phantom.sections import RaySections, beside, section
from artasyn.phantom.thorax import ThoraxRecord


def abdominal_organs(record: ThoraxRecord, rays: RaySections) -> dict[str, RayInterval]:
    """Returns liver, spleen and stomach along the rays of a film.

    The liver fills the right dome and reaches across the middle in front of the stomach under the left dome.
    The spleen lies behind and beside the stomach.

    Args:
        record: the thorax.
        rays: the large structures along the rays.
    """
    rng = np.random.default_rng([record.seed, 11])
    x, below = rays.x, rays.z - record.height
    left = below - record.left_drop
    cut = section(record, np.maximum(rays.z, 5.0))
    edge = 88 - 0.42 * x + rng.normal(0, 8)  # the lower border rises to the left
    tip = 62 + rng.normal(0, 10)
    inside = (below < edge) & (x < tip)
    back = np.where(x < -12, np.inf, 34 - 0.8 * (x + 12) + 0.3 * below)
    front = -cut.front - 10
    high = np.where(inside, back, -np.inf)
    liver = overlap(np.stack([np.broadcast_to(front, x.shape), high]).astype(np.float32), rays.dome)
    wide = record.width / 125
    middle = ((94 + rng.normal(0, 4)) * wide, 44 + rng.normal(0, 6), 30.0)
    spleen = _tilted(x, left, middle, (26 * wide, 46.0, 34.0), 0.25)
    size = 0.9 + 0.004 * record.bubble
    stomach = _tilted(
        x, left, (58 * wide + rng.normal(0, 4), 48.0, -2.0), (42 * size * wide, 56 * size, 40 * size), 0.35
    )
    return {"liver": liver, "stomach": overlap(stomach, rays.dome), "spleen": overlap(spleen, rays.dome)}


def _tilted(
    x: Map, z: Map, centre: tuple[float, float, float], half: tuple[float, float, float], lean: float
) -> RayInterval:
    """Returns an ellipsoid around (x, z, y) whose lower part leans to the middle."""
    down = (z - centre[1]) / half[1]
    across = (x - centre[0] + lean * (z - centre[1])) / half[0]
    return around(centre[2], (half[2] * root(1 - across**2 - down**2, 2.0)).astype(np.float32))


def stomach_gas(record: ThoraxRecord, rays: RaySections) -> Map:
    """Returns the thickness of the gas above the fluid of the stomach, below the left dome, mm."""
    rng = np.random.default_rng([record.seed, 8])
    wide = max(record.bubble, 1e-3)
    high = wide * rng.uniform(0.45, 0.75)
    top = record.height + record.left_drop + rng.uniform(7, 12)
    x, z = (rays.x - 68 - rng.normal(0, 6)) / wide, (rays.z - top - high) / high
    gas = 1.1 * wide * np.sqrt(np.clip(1 - x * x - z * z, 0, None)) * np.clip((0.45 - z) * high / 2, 0, 1)
    return np.minimum(gas, 0.7 * length(rays.dome)).astype(np.float32)


def great_vessels(record: ThoraxRecord) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields name, straight centreline (n, 3) and radii (n,) of each part of the great vessels and the gullet.

    Args:
        record: the thorax.
    """
    s, wide, deep = record.height / 207, record.knob / 38, record.depth
    rng = np.random.default_rng([record.seed, 14])
    top = record.height - record.heart_rise
    root_z = max(top + 12, 100 * s)
    out = 25 * wide + 2

    def line(*points: tuple[float | int, float | int, float | int]) -> np.ndarray:
        return _spline(np.array(points) * [1, deep, 1] + rng.normal(0, 1.0, (len(points), 3)))

    bottom = record.height + 150
    side = float(beside(record, np.array(150.0)))
    arch = line(
        (-4, -22, root_z + 8), (-12, -34, 98 * s), (-7, -30, 78 * s), (6, -10, 64 * s), (out - 5, 18, 64 * s),
        (out, 40, 80 * s), (22, 48, 100 * s),
    )  # fmt: skip
    yield "aorta", arch, np.linspace(15.5, 12.5, len(arch)) * wide
    down = np.linspace(96 * s, bottom, 60)
    fall = np.stack([22 - 0.055 * (down - 90), np.full(60, 48.0), down], axis=1)
    fall[:, 0] += beside(record, down)
    yield "aorta", fall, np.linspace(12.5, 9.5, 60) * wide
    trunk = line((14, -42, root_z + 12), (20, -30, 110 * s), (20, -8, 96 * s))
    yield "pulmonary_artery", trunk, np.full(len(trunk), 13.0)
    left = line((20, -8, 97 * s), (32, 10, 93 * s), (46, 26, 100 * s))
    yield "pulmonary_artery", left, np.linspace(11.5, 8, len(left))
    right = line((18, -8, 100 * s), (-8, -8, 106 * s), (-36, 4, 112 * s))
    yield "pulmonary_artery", right, np.linspace(11, 8, len(right))
    upper = line((-13, -22, 38 * s), (-15, -22, 80 * s), (-18, -20, top + 24))
    yield "superior_vena_cava", upper, np.full(len(upper), 8.5)
    lower = line((-18, 0, record.height - 16), (-20, 14, record.height + 30), (-14, 34, record.height + 130))
    yield "inferior_vena_cava", lower, np.full(len(lower), 11.0)
    gullet = line((0, 10, -110), (1, 34, 40 * s), (-1, 36, 110 * s), (8, 34, 170 * s), (20, 20, record.height + 36))
    gullet[:, 0] += 0.5 * side * np.clip(gullet[:, 2] / 150, 0, 1)
    yield "esophagus", gullet, np.full(len(gullet), 6.5)


def _spline(points: np.ndarray, count: int = 24) -> np.ndarray:
    """Returns a smooth line through points, (n, 3), a parabola between the middles of neighbouring pieces."""
    ends = np.concatenate([points[:1], (points[1:-2] + points[2:-1]) / 2, points[-1:]])
    pieces = []
    for start, control, end in zip(ends[:-1], points[1:-1], ends[1:], strict=True):
        t = np.linspace(0, 1, count)[:, None]
        pieces.append(start * (1 - t) ** 2 + control * 2 * t * (1 - t) + end * t**2)
    return np.concatenate(pieces)


def lobe_numbers(record: ThoraxRecord, rays: RaySections, y: np.ndarray) -> np.ndarray:
    """Returns the lobe that every point would belong to, as an index into `artasyn.segment.structures.LOBES`, uint8.

    Args:
        record: the thorax.
        rays: the large structures on the rows and columns of a volume.
        y: straight depths of every row, (h, d), mm.

    Source:
        The oblique fissure runs from the third or fourth thoracic vertebra to the diaphragm behind its front end; the
        horizontal fissure meets it in the axilla near the fourth rib.
    """
    rng = np.random.default_rng([record.seed, 15])
    s = record.height / 207
    depth = (y / np.float32(record.depth))[:, :, None]
    lower = []
    for left in (False, True):
        steep = np.float32((1.1 + 0.1 * left + rng.normal(0, 0.12)) * s)
        middle = np.float32((134 + rng.normal(0, 9)) * s)
        turned = np.float32(rng.normal(0.1, 0.08)) * np.abs(rays.x)
        lower.append((rays.z + turned - middle)[:, None] + steep * depth > 0)
    level = np.float32((108 + rng.normal(0, 7)) * s)
    slope, fall = np.float32(rng.normal(0.06, 0.08)), np.float32(rng.normal(-0.1, 0.1))
    middle_lobe = (rays.z - level + slope * (np.abs(rays.x) - 70))[:, None] + fall * depth > 0
    lobes = np.maximum(middle_lobe.view(np.uint8), 2 * lower[0].view(np.uint8))
    return np.asarray(np.where(rays.left[:, None], 3 + lower[1].view(np.uint8), lobes))
