"""The bones of a thorax: ribs, breastbone, collar bones, shoulder blades, upper arms, and the spine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from artasyn.phantom.intervals import Map, RayInterval, around
from artasyn.phantom.outlines import smooth_curve
from artasyn.phantom.sections import RaySections, beside, section
from artasyn.phantom.thorax import ThoraxRecord
from artasyn.phantom.tubes import Tubes, bend, off
from artasyn.segment.structures import SIDES, VERTEBRAE

_RIB_Z = (-4.0, 2.0, 14.0, 29.0, 48.0, 70.0, 93.0, 117.0, 142.0, 168.0, 196.0, 226.0)
_RIB_FALL = (28.0, 52.0, 66.0, 84.0, 96.0, 106.0, 114.0, 124.0, 134.0, 138.0, 140.0, 130.0)
_RIB_END = (198.0, 172.0, 160.0, 154.0, 152.0, 150.0, 147.0, 140.0, 130.0, 115.0, 85.0, 55.0)
_VERTEBRA_Z = np.array(
    (-106, -90, -74, -58, -42, -26, -8, 8, 24, 41, 60, 81, 104, 128, 153, 179, 207, 237, 268, 300, 333), np.float64
)
_FIRST_RIB = 6
"""The place of T1 in the table."""
_UNNAMED = 3
"""Vertebrae of the table above the first of `VERTEBRAE`."""
_VERTEBRA_BACK = ((-110, 34), (-58, 58), (-20, 78), (5, 84), (400, 84))
"""Depth of the back of the vertebral bodies at ``z`` before the scale of the height, mm."""


@dataclass(frozen=True)
class Profile:
    """The cross-section of long bones: half widths and half heights, mm, outside and inside the cortex.

    Attributes:
        outside: half width across (along x and y) and half height (along z) of the bone, mm.
        inside: the same of the marrow.
        mineral: share of the full mineral content.
    """

    outside: tuple[float, float]
    inside: tuple[float, float]
    mineral: float

    @property
    def core(self) -> float:
        """The share of the cross-section that is marrow."""
        return self.inside[0] * self.inside[1] / (self.outside[0] * self.outside[1])


@dataclass(frozen=True, eq=False)
class Bone:
    """Tubes of one cross-section that belong to one structure."""

    name: str
    tubes: Tubes
    profile: Profile


_RIB, _CLAVICLE = Profile((3.2, 6.0), (2.0, 5.0), 1.0), Profile((4.6, 5.4), (2.9, 3.7), 1.0)
_BLADE, _PLATE = Profile((3.0, 3.6), (2.0, 2.6), 0.7), Profile((2.2, 2.2), (1.0, 1.0), 0.5)
_SHAFT = Profile((11.5, 11.5), (7.5, 7.5), 0.55)
_HEAD, _HEAD_INSIDE = Profile((23.0, 23.0), (22.0, 22.0), 0.25), Profile((18.0, 18.0), (0.5, 0.5), 0.1)


def bones(record: ThoraxRecord) -> list[Bone]:
    """Returns all bones that are drawn as tubes: ribs, collar bones, shoulder blades and upper arms."""
    found = []
    lines = ribs(record)
    for number in range(12):
        for side, curve in zip(SIDES, lines[2 * number : 2 * number + 2], strict=True):
            found.append(Bone(f"rib_{side}_{number + 1}", _faded(curve), _RIB))
    for side, curve in zip(SIDES, clavicles(record), strict=True):
        found.append(Bone(f"clavicula_{side}", _faded(curve), _CLAVICLE))
    for side, shoulder in zip(SIDES, girdle(record), strict=True):
        found.append(Bone(f"scapula_{side}", _faded(*shoulder.borders), _BLADE))
        found.append(Bone(f"scapula_{side}", shoulder.plate, _PLATE))
        found.append(Bone(f"humerus_{side}", _faded(shoulder.arm), _SHAFT))
        found += [Bone(f"humerus_{side}", _faded(shoulder.head), profile) for profile in (_HEAD, _HEAD_INSIDE)]
    return found


def _faded(*curves: np.ndarray) -> Tubes:
    return Tubes.along(*curves).faded(len(curves[0]) - 1, 0.07)


def ribs(record: ThoraxRecord) -> list[np.ndarray]:
    """Returns the centrelines of the 24 ribs from the spine to the start of the cartilage, each (n, 3) in mm.

    The centrelines follow the ribcage's inside at the distance of half a rib. The order is right 1, left 1, right 2 ...
    """
    scale = record.height / 207
    rng = np.random.default_rng([record.seed, 1])
    curves = []
    for number, (start, fall, end) in enumerate(zip(_RIB_Z, _RIB_FALL, _RIB_END, strict=True)):
        for side in (-1, 1):
            z0 = start * scale + rng.normal(0, 1.4)
            drop = fall * scale * record.rib_slope * (1 + 0.02 * rng.normal())
            turn = np.deg2rad(np.linspace(-62, end + rng.normal(0, 3), 420))
            z = (
                z0
                + 1.12
                * drop
                * (np.maximum(turn + (0.3, 0.2, 0.1)[number] if number < 3 else turn - 0.1, 0) / np.pi) ** 1.5
            )
            cut = section(record, np.maximum(z, 5.0))
            square, gap = max(0.88 - 0.04 * number, 0.8), max(6.5 - 0.6 * number, 3.5)
            across, depth = np.sin(turn), np.cos(turn)
            across, depth = (
                np.sign(across) * np.abs(across) ** square,
                np.sign(depth) * np.abs(depth) ** square,
            )
            z = z - 5 + 0.3 * np.clip(np.sin(turn), -0.12, 1) * cut.outer
            x = cut.middle_x + np.where(turn > 0, (cut.outer + gap) * across, (cut.middle_x - 8) * across)
            y = cut.middle_y + np.where(depth > 0, cut.back + gap, cut.front + gap) * depth
            # the neck leads from the ribcage to the head, which lies above the middle of its vertebra, beside the body
            out = np.clip((turn - turn[0]) / np.deg2rad(max(95 - 18 * number, 40)), 0, 1)
            neck = out * out * (3 - 2 * out)
            level = (0.35 * _VERTEBRA_Z[_FIRST_RIB + number - 1] + 0.65 * _VERTEBRA_Z[_FIRST_RIB + number]) * scale
            head = np.array([side * 19 + float(beside(record, np.array(level))), 70, level])
            curve = np.stack([side * x, y, z], axis=1)
            curves.append(head + neck[:, None] * (curve - head))
    return curves


def clavicles(record: ThoraxRecord) -> list[np.ndarray]:
    """Returns the centrelines of the right and left clavicle, from the sternum to the shoulder, each (n, 3) in mm."""
    rng = np.random.default_rng([record.seed, 2])
    tilt = rng.normal(0, 4)
    curves = []
    for side in (-1, 1):
        rise = record.shoulder + tilt * side
        t = np.linspace(0, 1, 320)
        x = 15 + (25 + record.width) * t
        z = smooth_curve(
            t, ((0, 46), (0.12, 40), (0.4, 21 - 0.4 * rise), (0.7, 5 - 0.8 * rise), (1, 1 - rise))
        ) + rng.normal(0, 1.5)
        y = smooth_curve(t, ((0, -55), (0.3, -53), (0.75, -10), (1, 0)))
        curves.append(np.stack([side * x, record.depth * y, z], axis=1))
    return curves


@dataclass(frozen=True, eq=False)
class Shoulder:
    """Shoulder blade and upper arm of one side.

    Attributes:
        borders: lines (n, 3) along the thick borders of the blade, its spine and its two processes.
        plate: the thin blade and the wall of its spine, as tubes whose lengths stand for area.
        arm: the shaft of the humerus, (n, 3).
        head: the head of the humerus, (n, 3).
    """

    borders: list[np.ndarray]
    plate: Tubes
    arm: np.ndarray
    head: np.ndarray


def girdle(record: ThoraxRecord) -> list[Shoulder]:
    """Returns the right and the left shoulder; blades turn outwards with raised arms."""
    rng = np.random.default_rng([record.seed, 3])
    wider = record.width - 125
    found = []
    for side in (-1, 1):
        mirror = np.array([side, 1, 1])
        shift = np.array([rng.normal(4, 4) + wider, 0, -record.shoulder + rng.normal(0, 3)])
        joint, tip = np.array([160, 20, 34.0]), np.array([126 + rng.normal(0, 5), 95, 168 + rng.normal(0, 6)])
        angle, spine = np.array([98 + rng.normal(0, 5), 88, 22.0]), np.array([96, 100, 52.0])
        acromion, process = np.array([184, 26, 2.0]), np.array([148, -22, 27.0])
        turn = np.deg2rad(0.06 * max(record.arm - 30, 0))
        spin = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])

        def placed(
            line: np.ndarray,
            mirror: np.ndarray = mirror,
            spin: np.ndarray = spin,
            joint: np.ndarray = joint,
            shift: np.ndarray = shift,
        ) -> np.ndarray:
            moved = (line - joint) @ spin.T + joint + shift
            return np.asarray(moved * [1, record.depth, 1] * mirror)

        lines = [(joint, (joint + tip) / 2 + [-3, 8, 0], tip), (tip, (tip + angle) / 2 + [-12, 6, 0], angle)]
        lines.append((spine, (spine + acromion) / 2 + [0, 12, -4], acromion))
        lines.append((off(joint, 0, -5, -10), off(process, -4, 0, -6), process))
        lines.append((angle, (angle + joint) / 2 + [0, 0, -14], off(joint, -4, 0, -14)))
        lines.append((off(joint, -4, 2, -12), off(joint, -7, 3, 2), off(joint, -5, 2, 18)))  # the neck below the socket
        head = np.array([186, 8, 34.0]) + shift
        swing = np.deg2rad(record.arm)
        elbow = head + 260 * np.array([np.sin(swing), 0, np.cos(swing)])
        arm = bend(head, (head + elbow) / 2, elbow) * mirror
        ball = bend(head - [6, 6, 4], head - [6, 0, 4], head - [6, -6, 4]) * mirror
        plate = Tubes.joined(
            _plate(joint, tip, angle, placed),
            _wall((spine, acromion), (off(spine, 2, -6, 0), off(joint, -8, 4, -6)), placed),
        )
        found.append(Shoulder([placed(bend(*line)) for line in lines], plate, arm, ball))
    return found


def _plate(joint: np.ndarray, tip: np.ndarray, angle: np.ndarray, placed: Callable[[np.ndarray], np.ndarray]) -> Tubes:
    """Returns the thin blade between its three corners, hollow towards the ribs, 3 mm thick."""
    u, v = (part.ravel() for part in np.meshgrid(*(np.linspace(0, 1, 64) + 1 / 128,) * 2))
    u, v = u[u + v < 1], v[u + v < 1]
    w = 1 - u - v
    points = u[:, None] * joint + v[:, None] * tip + w[:, None] * angle
    points[:, 1] += 9 * 4 * np.minimum(np.minimum(u, v), w)
    area = np.linalg.norm(np.cross(tip - joint, angle - joint)) / 2
    return _surface(placed(points), area, 3.0)


def _wall(
    rim: tuple[np.ndarray, np.ndarray], foot: tuple[np.ndarray, np.ndarray], placed: Callable[[np.ndarray], np.ndarray]
) -> Tubes:
    """Returns the wall between two lines, 3 mm thick."""
    u, v = (part.reshape(-1, 1) for part in np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 16)))
    top = rim[0] * (1 - u) + rim[1] * u + 4 * u * (1 - u) * np.array([0, 12, -4])
    points = top * v + (foot[0] * (1 - u) + foot[1] * u) * (1 - v)
    across = np.linalg.norm((rim[0] + rim[1] - foot[0] - foot[1]) / 2)
    return _surface(placed(points), float(np.linalg.norm(rim[1] - rim[0]) * across), 3.0)


def _surface(points: np.ndarray, area: float, thick: float) -> Tubes:
    """Returns tubes of the plate's cross-section that together have the volume of a surface, mm."""
    per_length = np.pi * _PLATE.outside[0] * _PLATE.outside[1]
    return Tubes(points, np.full(len(points), area * thick / per_length / len(points)), np.ones(len(points)))


def sternum(record: ThoraxRecord, rays: RaySections) -> RayInterval:
    """Returns the breastbone, manubrium and body, along the rays of a film.

    Args:
        record: the thorax.
        rays: the large structures along the rays.
    """
    level = rays.z / np.float32(record.height / 207)
    half = smooth_curve(level, ((36, 20), (42, 29), (52, 30), (76, 17), (82, 15), (120, 18), (150, 19), (172, 12)))
    middle = section(record, np.maximum(rays.z, 30.0))
    front = middle.middle_y - middle.front - 7
    inside = (level > 36) & (level < 172) & (np.abs(rays.x) < half)
    return around(front, np.where(inside, 5.5, 0).astype(np.float32))


def vertebra_places(record: ThoraxRecord) -> dict[str, float]:
    """Returns ``z`` of the middle of every named vertebra, mm."""
    return dict(zip(VERTEBRAE, (_VERTEBRA_Z[_UNNAMED:] * record.height / 207).tolist(), strict=True))


def spine(record: ThoraxRecord, rays: RaySections) -> Map:
    """Returns the part of the line integral that vertebrae add: bodies, end plates, pedicles and processes."""
    place = _place(record, rays.z)
    off_ = place - np.rint(place)  # from -0.5 to 0.5 in every vertebra
    gap, x = np.abs(off_), np.abs(rays.x - beside(record, rays.z))
    wide = _half_width(rays.z)
    edge = wide * (0.88 + gap**2)
    within = np.clip((edge - x) / 1.5, 0, 1)
    total = 0.13 * within * np.clip((0.43 - gap) / 0.05, 0, 1)
    total += 0.08 * within * np.exp(-(((gap - 0.41) / 0.035) ** 2))
    total += 0.08 * np.exp(-(((x - edge + 1.0) / 1.2) ** 2)) * (gap < 0.42)
    pedicle = np.hypot((x - wide + 3.5) / 3.2, (off_ + 0.12) / 0.16)
    total += 0.10 * np.exp(-(((pedicle - 1) / 0.35) ** 2))
    total += 0.16 * np.clip(1.3 - np.hypot(x / 2.8, (off_ - 0.3) / 0.2), 0, 1)
    transverse = np.clip((33 - x) / 4, 0, 1) * np.clip((x - 8) / 4, 0, 1)
    total += 0.09 * transverse * np.exp(-(((off_ + 0.14 + 0.002 * (x - 20)) / 0.13) ** 2))
    total += 0.05 * np.clip((11 - x) / 3, 0, 1) * np.exp(-(((off_ - 0.05) / 0.25) ** 2))
    return np.asarray((record.bone * total * np.clip(0.55 + rays.z / 350, 0.45, 1)).astype(np.float32))


def _place(record: ThoraxRecord, z: np.ndarray) -> np.ndarray:
    """Returns the place along the spine in vertebrae of the table; whole numbers are the middles of the bodies."""
    place = np.interp(z, _VERTEBRA_Z * record.height / 207, np.arange(len(_VERTEBRA_Z)))
    return np.asarray(place, dtype=np.float32)


def _half_width(z: np.ndarray) -> np.ndarray:
    return np.asarray(12.5 + 0.022 * np.clip(z, 0, None), dtype=np.float32)


def vertebra_numbers(record: ThoraxRecord, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Returns the vertebra at every point, 1 + its index in `VERTEBRAE`, 0 for none: int16 (h, d, w).

    A vertebra has a body, an arch around the canal, two transverse processes and a spinous process. Discs are no part.

    Args:
        record: the thorax.
        x: mm to the left of the spine of every row and column, (h, w).
        y: straight depths of every row, (h, d), mm.
        z: mm below the apices of every row, (h,).
    """
    place = _place(record, z)
    number = np.rint(place)
    off_ = (place - number)[:, None]
    wide = _half_width(z)[:, None]
    across, gap = np.abs(x), np.abs(off_)
    deep = 0.5 * wide + 9
    behind = y - smooth_curve(z / np.float32(record.height / 207), _VERTEBRA_BACK)[:, None]
    body = ((across / (wide * (0.92 + gap**2))) ** 3)[:, None, :] + (np.abs(behind / deep + 1) ** 3)[:, :, None] < 1
    body &= (gap < 0.43)[:, :, None]
    ring = np.hypot((across / (wide + 1))[:, None, :], ((behind - 9) / 14)[:, :, None])
    arch = (ring < 1) & (np.hypot((across / 9)[:, None, :], ((behind - 8) / 8)[:, :, None]) > 1)
    arch &= (np.abs(off_ - 0.02) < 0.36)[:, :, None] & (behind > -2)[:, :, None]
    beam = (across < 33) & (np.abs(off_ + 0.14) < 0.17)
    transverse = beam[:, None, :] & (np.abs(behind - 7 - 0.15 * 20) < 5)[:, :, None] & (across > 8)[:, None, :]
    dip = np.abs(off_[:, :, None] - (0.1 + 0.012 * (behind - 18))[:, :, None]) < 0.28
    spinous = dip & (across < 3.4)[:, None, :] & ((behind > 18) & (behind < 40))[:, :, None]
    named = (number - _UNNAMED + 1).astype(np.int16)
    named[(named < 1) | (named > len(VERTEBRAE))] = 0
    return np.where(body | arch | transverse | spinous, named[:, None, None], 0).astype(np.int16)
