"""The large structures that every ray from back to front meets, in millimetres.

Each large structure (body, lungs, organs below the diaphragm, heart, mediastinum, spine, aorta) is given as the
interval of depth that a ray of a frontal projection spends in the structure. The interval is a closed formula of the
position of the ray. The structures are therefore sharp at every image size, and a CT volume of any spacing samples
the same formulas.

Coordinates in millimetres of `ThoraxRecord`; ``x`` and ``y`` are straight: measured from an axis that follows
`body_x` and `body_y`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artasyn.phantom.heart import heart
from artasyn.phantom.intervals import Map, RayInterval, RayMask, around, covered, length, root
from artasyn.phantom.outlines import (
    BACK,
    DOME_Z,
    FRONT,
    INNER,
    KNOB,
    LEFT_BORDER,
    MEDIASTINUM_BACK,
    MEDIASTINUM_FRONT,
    MIDDLE_Y,
    OUTER,
    RIGHT_BORDER,
    TRUNK,
    TRUNK_BACK,
    TRUNK_FRONT,
    Knots,
    smooth_curve,
    wave,
)
from artasyn.phantom.thorax import ThoraxRecord, body_x, spine_x


@dataclass(frozen=True, eq=False)
class RaySections:
    """The structures that the rays of one grid meet.

    Attributes:
        x: straight mm from the middle, of every ray.
        z: mm below the apices, of every ray.
        body: the whole body.
        lung: the inside of the ribcage; the lungs are this interval without `holes`.
        holes: the structures that take the place of lung: organs below the diaphragm, heart, great vessels with the
            tissue around them, spine, descending aorta.
        cavity: the inside of the ribcage without a gap between its halves.
        left: rays on the side of the left lung.
        lung_depth: length of every ray in lung, mm.
    """

    x: Map
    z: Map
    body: RayInterval
    lung: RayInterval
    cavity: RayInterval
    holes: tuple[RayInterval, ...]
    left: RayMask
    lung_depth: Map

    @property
    def visible(self) -> RayMask:
        """The rays that cross lung, but not the heart, the mediastinum or the organs below the diaphragm."""
        hidden = [hole[1] - hole[0] > 2.0 for hole in self.holes[:3]]
        return np.asarray((self.lung_depth > 4.0) & ~np.any(hidden, axis=0))

    @property
    def dome(self) -> RayInterval:
        """The organs below the diaphragm, within the ribcage."""
        return self.holes[0]

    @property
    def heart(self) -> RayInterval:
        """The heart."""
        return self.holes[1]

    @property
    def mediastinum(self) -> RayInterval:
        """The great vessels with the tissue around them, from neck to diaphragm."""
        return self.holes[2]


def ray_sections(record: ThoraxRecord, x: Map, z: Map) -> RaySections:
    """Returns the large structures of a thorax along the rays of a frontal projection.

    Args:
        record: the thorax.
        x: mm from the middle of the film's thorax, of every ray, (h, w); the trunk bends with `body_x`.
        z: mm below the apices, of every ray, (h, w).

    Source:
        Proportions of the lungs, heart and mediastinum: standard radiographic anatomy of the adult chest
        (cardiothoracic ratio below 0.5, right dome at the tenth posterior rib, left dome 1-2 cm lower).
    """
    x = x - body_x(record, z)
    left = x > 0
    lung, dome, cavity = _lungs(record, np.abs(x), z, left)
    back = x - beside(record, z)
    holes = (dome, heart(record, x, z), _mediastinum(record, x, z), _spine(back), _descending_aorta(record, back, z))
    depth = np.maximum(length(lung) - covered(lung, holes), 0)
    return RaySections(x, z, _body(record, x, z), lung, cavity, holes, left, depth)


def beside(record: ThoraxRecord, z: np.ndarray) -> np.ndarray:
    """Returns how far the spine lies to the left of the middle of the trunk, mm."""
    return np.asarray(spine_x(record, z) - body_x(record, z))


def straight_grid(record: ThoraxRecord, x: np.ndarray, z: np.ndarray) -> RaySections:
    """Returns the large structures on a regular grid that follows the trunk: rows of `z`, columns of `x`.

    Args:
        record: the thorax.
        x: (w,), straight mm from the middle.
        z: (h,), mm below the apices.
    """
    down, across = np.meshgrid(z.astype(np.float32), x.astype(np.float32), indexing="ij")
    return ray_sections(record, across + body_x(record, down), down)


@dataclass(frozen=True, eq=False)
class RibcageSection:
    """Half of the ribcage's inside, cut at given ``z``: its extents around (`middle_x`, `middle_y`), mm."""

    middle_x: np.ndarray
    middle_y: np.ndarray
    outer: np.ndarray
    inner: np.ndarray
    front: np.ndarray
    back: np.ndarray


def section(record: ThoraxRecord, z: np.ndarray) -> RibcageSection:
    """Returns half of the ribcage's inside, cut at given ``z``.

    Args:
        record: the thorax.
        z: mm below the apices, of any shape.
    """
    level = np.sqrt(np.maximum(z, 0) * (DOME_Z / record.height))  # the square root makes the apices smooth

    def along(knots: Knots) -> np.ndarray:
        return smooth_curve(level, tuple((float(np.sqrt(k)), v) for k, v in knots))

    upper = 1 + (record.apex_width - 1) * np.clip(1.2 - np.maximum(z, 0) / (0.8 * record.height), 0, 1)
    outer = along(OUTER) * (np.float32(record.width / 126) * upper).astype(np.float32)
    inner = along(INNER)
    middle_x = inner + 0.46 * (outer - inner)
    return RibcageSection(
        middle_x, along(MIDDLE_Y), outer - middle_x, middle_x - inner,
        along(FRONT) * np.float32(record.depth), along(BACK) * np.float32(record.depth),
    )  # fmt: skip


def _lungs(record: ThoraxRecord, side_x: Map, z: Map, left: RayMask) -> tuple[RayInterval, RayInterval, RayInterval]:
    """Returns the inside of the ribcage and, within it, the organs below the diaphragm; and the whole cavity."""
    cut = section(record, z)
    away = side_x - cut.middle_x
    across = np.abs(away) / np.maximum(np.where(away > 0, cut.outer, cut.inner), 1e-3)
    depth = root(1 - across**2.5)
    floor = record.height + record.sulcus + record.left_drop * left
    lung = np.stack([cut.middle_y - cut.front * depth, cut.middle_y + cut.back * depth])
    lung[1][(z <= 0) | (z > floor) | (across >= 1)] = -np.inf
    hull = np.where(away > 0, depth, 1)
    cavity = np.stack([cut.middle_y - cut.front * hull, cut.middle_y + cut.back * hull])
    cavity[1][(z <= 0) | (hull <= 0)] = -np.inf
    top = (z - floor) / record.sulcus + 1  # 0 at the dome, 1 at the bottom of the costophrenic angle
    fall = np.clip(top, 0, 1)
    flat = np.float32(0.8 * record.dome_arch**2.5)
    reach = (fall + np.sqrt(fall * (fall + 4 * flat * (1 + flat)))) / (
        2 * (1 + flat)
    )  # round at the top, then straight
    wide = reach**2.5
    across = np.where(away > 0, across, 0.5 * across)  # the domes hardly fall towards the heart
    below = root(wide - across**2.5)
    ahead = np.minimum(1.3 * below, 1.02)  # the front ends of the lungs lie higher than the back ends
    dome = np.stack([cut.middle_y - cut.front * ahead, cut.middle_y + cut.back * below])
    dome[1][(top <= 0) | (below <= 0)] = -np.inf
    return lung.astype(np.float32), dome.astype(np.float32), cavity.astype(np.float32)


def _mediastinum(record: ThoraxRecord, x: Map, z: Map) -> RayInterval:
    """Returns the great vessels and the tissue around them: one silhouette from neck to diaphragm, behind the heart."""
    level = z * (DOME_Z / record.height)
    knob = record.knob / 38
    left = tuple((k, v * knob if k in KNOB else v) for k, v in LEFT_BORDER)
    rng = np.random.default_rng([record.seed, 13])
    low = -record.middle_width * smooth_curve(level, RIGHT_BORDER) + wave(rng, z, 0.7)
    high = record.middle_width * smooth_curve(level, left) + wave(rng, z, 0.8)
    across = (2 * x - low - high) / (high - low)
    depth = root(1 - np.abs(across) ** 2.4, 1.8)
    front, back = smooth_curve(level, MEDIASTINUM_FRONT), smooth_curve(level, MEDIASTINUM_BACK)
    return around((back - front) * np.float32(record.depth / 2), (back + front) * np.float32(record.depth / 2) * depth)


def _spine(x: Map) -> RayInterval:
    half = 46 * np.maximum(1 - (x / 50) ** 2, 0) ** 2
    return np.stack([82 - half, np.where(half > 0, 82 + half, -np.inf)]).astype(np.float32)


def _descending_aorta(record: ThoraxRecord, x: Map, z: Map) -> RayInterval:
    radius = 12.5 * record.knob / 38 * np.clip((z - 78) / 25, 0.05, 1)
    middle = 22 - 0.055 * (z - 90)
    half = radius * root(1 - ((x - middle) / radius) ** 2, 2.0)
    return np.stack([48 - half, np.where(half > 0, 48 + half, -np.inf)]).astype(np.float32)


def _body(record: ThoraxRecord, x: Map, z: Map) -> RayInterval:
    """Returns the trunk, shoulders, neck and upper arms, with the breasts in front."""
    body, trunk = bare_body(record, x, z)
    body[0] -= breast(record, x, z) * (trunk > 0.2)
    return body


def bare_body(record: ThoraxRecord, x: Map, z: Map) -> tuple[RayInterval, Map]:
    """Returns the body without breasts, and the depth of the trunk relative to its middle."""
    lower = record.width * 1.1 + record.wall
    below = (
        (135.0, lower),
        (200.0, lower - 2),
        (270.0, lower - 4 + record.waist),
        (400.0, lower + 2 * record.waist),
    )
    wider = record.width - 125
    upper = tuple((k, v + (wider if k >= -22 else 0.0)) for k, v in TRUNK)
    wide = smooth_curve(z + record.shoulder * np.clip((110 - z) / 80, 0, 1), (*upper, *below))
    extra = record.wall - 22.0
    bulge = record.belly * np.clip((z - record.height + 40) / 120, 0, 1) ** 2
    front = smooth_curve(z, TRUNK_FRONT) * np.float32(record.depth) + 0.6 * extra + bulge
    back = smooth_curve(z, TRUNK_BACK) * np.float32(record.depth) + 0.4 * extra
    rounded = np.clip(2.0 + (z - 60) / 150, 2.0, 2.7)
    trunk = np.maximum(1 - (np.abs(x) / wide) ** rounded, 0) ** (1 / rounded)
    angle, joint = np.deg2rad(record.arm), 178 + wider
    out, down = np.abs(x) - joint, z - 35
    along = np.clip(out * np.sin(angle) + down * np.cos(angle), 0, 320)
    distance = np.hypot(out - along * np.sin(angle), down - along * np.cos(angle))
    radius = (50 - 0.03 * along) * (1 + 0.01 * extra)
    arm = 0.42 * root(1 - (distance / radius) ** 2, 2.0)
    depth = (trunk**4 + arm**4) ** 0.25
    low, high = 8 - (front + 8) * depth, 8 + (back - 8) * depth
    return np.stack([low, np.where(depth > 0, high, -np.inf)]).astype(np.float32), trunk.astype(np.float32)


def breast(record: ThoraxRecord, x: Map, z: Map) -> Map:
    """Returns the thickness of the breasts, mm; they are fuller and end more sharply at the lower border."""
    across = (np.abs(x) - 82 - 0.5 * (record.width - 125)) / 68
    middle = record.breast_z - 42
    down = (z - middle) / np.where(z > middle, 42, 120)
    return np.asarray((record.breast * np.maximum(1 - across**2 - down**2, 0) ** 0.6).astype(np.float32))
