"""The fine structures of a thorax as tubes in three dimensions: airways and pulmonary vessels.

A tube is drawn on a film along its centreline. Every point spreads its length over the tube's cross-section, as
projected along the ray. The sum is the tube's chord along the ray, sharp at every image size. A CT volume of the
thorax holds the same tube.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from artasyn.phantom.intervals import Map, RayInterval
from artasyn.phantom.sections import RaySections
from artasyn.phantom.thorax import ThoraxRecord, body_x

_LEAVES = 512
"""End branches of a vessel tree; a power of two."""


@dataclass(frozen=True, eq=False)
class Tubes:
    """Tubes as points on their centrelines.

    Attributes:
        points: (n, 3) as x, y, z in mm.
        lengths: (n,), the length of the centreline that each point represents, mm.
        radii: (n,), radius of the tube at each point, mm.
    """

    points: np.ndarray
    lengths: np.ndarray
    radii: np.ndarray

    @classmethod
    def along(cls, *curves: np.ndarray, radius: float | np.ndarray = 1.0) -> Tubes:
        """Makes tubes along polylines, each (n, 3), with one radius for all or one for each curve."""
        middle = np.concatenate([(curve[1:] + curve[:-1]) / 2 for curve in curves])
        lengths = np.concatenate([np.linalg.norm(np.diff(curve, axis=0), axis=1) for curve in curves])
        radii = np.repeat(np.broadcast_to(radius, len(curves)), [len(curve) - 1 for curve in curves])
        return cls(middle, lengths, radii.astype(np.float64))

    def faded(self, count: int, share: float) -> Tubes:
        """Fades tubes of `count` points each at both ends, over a share of their length."""
        place = np.arange(len(self.points)) % count
        fade = np.clip(np.minimum(place + 1, count - place) / (share * count), 0, 1)
        return Tubes(self.points, self.lengths * fade, self.radii)

    @classmethod
    def joined(cls, *parts: Tubes) -> Tubes:
        """Makes one of several sets of tubes."""
        points, lengths, radii = zip(*((part.points, part.lengths, part.radii) for part in parts), strict=True)
        return cls(np.concatenate(points), np.concatenate(lengths), np.concatenate(radii))

    def kept(self, keep: np.ndarray) -> Tubes:
        """Keeps only the chosen points, bool (n,)."""
        return Tubes(self.points[keep], self.lengths[keep], self.radii[keep])


def chords(record: ThoraxRecord, tubes: Tubes, brushes: tuple[tuple[float, float], ...]) -> tuple[Map, ...]:
    """Computes the length of rays inside tubes of given cross-sections, once for each cross-section.

    Args:
        record: the thorax whose film is drawn.
        tubes: the tubes; their radii are not used.
        brushes: half width across (along x and y) and half height (along z), mm.

    Returns:
        float32 (size, size) for each brush, mm.
    """
    size, pad = record.size, 4 + int(np.ceil(9.0 * record.size / record.field))
    layer = _splat(record, tubes.points, tubes.lengths, pad)
    maps = [
        cv2.filter2D(layer, cv2.CV_32F, _brush(a, b, size / record.field), borderType=cv2.BORDER_CONSTANT)
        for a, b in brushes
    ]
    return tuple(np.asarray(drawn[pad : pad + size, pad : pad + size]) for drawn in maps)


def round_chords(record: ThoraxRecord, tubes: Tubes) -> Map:
    """Computes the length of rays inside round tubes with the radii of `tubes`, mm."""
    levels = np.geomspace(0.35, max(float(tubes.radii.max(initial=0.35)), 0.6) * 1.001, 7)
    upper = np.clip(np.searchsorted(levels, tubes.radii), 1, len(levels) - 1)
    area = np.clip(tubes.radii, levels[0], None) ** 2
    part = (area - levels[upper - 1] ** 2) / (levels[upper] ** 2 - levels[upper - 1] ** 2)
    thin = tubes.lengths * np.minimum(tubes.radii / levels[0], 1) ** 2
    total = np.zeros((record.size, record.size), np.float32)
    for number, radius in enumerate(levels):
        share = np.where(upper == number, part, 0) + np.where(upper == number + 1, 1 - part, 0)
        chosen = share > 0
        if chosen.any():
            layer = Tubes(tubes.points[chosen], (thin * share)[chosen], tubes.radii[chosen])
            total += chords(record, layer, ((float(radius), float(radius)),))[0]
    return total


def _splat(record: ThoraxRecord, points: np.ndarray, lengths: np.ndarray, pad: int) -> np.ndarray:
    """Returns the length of centreline in every pixel of a film with a margin, mm per square mm."""
    side = record.size + 2 * pad
    rows, columns = record.find(points[:, 0] + body_x(record, points[:, 2]), points[:, 2])
    rows, columns = rows * record.size - 0.5 + pad, columns * record.size - 0.5 + pad
    keep = (rows > 0) & (rows < side - 1) & (columns > 0) & (columns < side - 1)
    rows, columns, weight = rows[keep], columns[keep], lengths[keep] * (record.size / record.field) ** 2
    row, column = rows.astype(np.intp), columns.astype(np.intp)
    down, right = rows - row, columns - column
    index = row * side + column
    total = np.bincount(index, weight * (1 - down) * (1 - right), side * side)
    total += np.bincount(index + 1, weight * (1 - down) * right, side * side)
    total += np.bincount(index + side, weight * down * (1 - right), side * side)
    total += np.bincount(index + side + 1, weight * down * right, side * side)
    return total.reshape(side, side).astype(np.float32)


def _brush(half_width: float, half_height: float, pixels: float) -> np.ndarray:
    """Returns an ellipse of uniform weight with soft borders; its sum is its area in square mm."""
    a, b = half_width * pixels, half_height * pixels
    reach_x, reach_y = int(np.ceil(a + 0.5)), int(np.ceil(b + 0.5))
    y, x = np.mgrid[-reach_y : reach_y + 1, -reach_x : reach_x + 1]
    distance = np.hypot(x / max(a, 0.5), y / max(b, 0.5))
    brush = np.clip((1 - distance) * max(min(a, b), 0.5) + 0.5, 0, 1)
    return np.asarray(brush * (np.pi * half_width * half_height / brush.sum()), dtype=np.float32)


def off(point: np.ndarray, x: int, y: int, z: int) -> np.ndarray:
    """Moves a point to the left, to the back and down, mm."""
    return np.asarray(point + np.array([x, y, z]))


def bend(start: np.ndarray, middle: np.ndarray, end: np.ndarray, count: int = 320) -> np.ndarray:
    """Returns a parabola through three points, (count, 3)."""
    t = np.linspace(0, 1, count)[:, None]
    return np.asarray(start * (2 * t - 1) * (t - 1) + middle * 4 * t * (1 - t) + end * t * (2 * t - 1))


def airways(record: ThoraxRecord, shape: RaySections) -> dict[str, Tubes]:
    """Returns trachea and bronchi as tubes of air, limited to the part inside the mediastinum.

    Args:
        record: the thorax.
        shape: the large structures of the thorax on a `straight_grid`.
    """
    rng = np.random.default_rng([record.seed, 4])
    scale, lean = record.height / 207, rng.normal(-2.5, 1.5)
    fork = np.array([-4 + lean, 18, 98 * scale])
    trachea = bend(np.array([0, -14, -130.0]), np.array([0, 0, -15.0]), fork)
    right = bend(fork, off(fork, -14, 4, 17), off(fork, -27, 8, 38))
    left = bend(fork, off(fork, 19, 5, 18), off(fork, 40, 12, 33))
    lower = [bend(right[-1], right[-1] + [-6, 6, 16], right[-1] + [-9, 18, 36])]
    lower += [bend(left[-1], left[-1] + [4, 6, 14], left[-1] + [6, 18, 30])]
    upper = [bend(right[40], right[40] + [-12, 2, -3], right[40] + [-24, -2, -10])]
    upper += [bend(left[-40], left[-40] + [10, -4, -3], left[-40] + [18, -10, -12])]
    radius = rng.uniform(8.8, 10.8)
    parts = {
        "trachea": Tubes.along(trachea, radius=radius),
        "bronchus_right": Tubes.along(right, lower[0], upper[0], radius=radius * np.array([0.85, 0.55, 0.42])),
        "bronchus_left": Tubes.along(left, lower[1], upper[1], radius=radius * np.array([0.75, 0.52, 0.42])),
    }
    return {name: tubes.kept(_in_mediastinum(shape, tubes.points)) for name, tubes in parts.items()}


def _in_mediastinum(shape: RaySections, points: np.ndarray) -> np.ndarray:
    cell = _cells(shape, points)
    return np.asarray(_between(shape.mediastinum, cell, points) | _between(shape.heart, cell, points))


def vessels(record: ThoraxRecord, shape: RaySections) -> Tubes:
    """Returns the branching arteries and veins of both lungs.

    A tree fills its lung. The goals of the tree are halved repeatedly, and every branch heads for the middle of its
    half. The calibre follows Murray's law, so that branches taper to the periphery.

    Args:
        record: the thorax.
        shape: the large structures of the thorax on a `straight_grid`.

    Source:
        Calibres: Murray (1926); roots of the trees at the hila, the left one higher than the right;
        veins of the lower lobes enter the left atrium below the hila and run more level than the arteries.
    """
    rng = np.random.default_rng([record.seed, 5])
    scale = record.height / 207
    fork = record.height * 98 / 207
    roots = np.array(
        [
            [-33, 8, fork + 24 * scale], [38, 14, fork + 13 * scale],
            [-27, 2, fork + 56 * scale], [40, 8, fork + 54 * scale],
        ]
    )  # fmt: skip
    sides = (False, True, False, True)
    goals = np.stack([_places(shape, side, rng) for side in sides])
    points, lengths, radii = _trees(roots, goals, rng)
    radii *= record.vessel * np.where(np.arange(len(roots)) < 2, 1.0, 0.9)[:, None, None]
    hila = _hila(fork, scale, rng)
    tubes = Tubes(
        np.concatenate([points.reshape(-1, 3), hila.points]),
        np.concatenate([lengths.ravel(), hila.lengths]),
        np.concatenate([radii.ravel(), hila.radii * record.vessel]),
    )
    return tubes.kept(inside_lung(shape, tubes.points))


def _hila(fork: float, scale: float, rng: np.random.Generator) -> Tubes:
    """Returns the large arteries and veins between the heart and the lungs."""
    curves = [
        [(-20, 4, 16), (-38, 8, 26), (-47, 20, 72)], [(24, 8, 2), (46, 16, 12), (50, 30, 60)],
        [(-30, -4, 44), (-42, -10, 22), (-58, -22, -16)], [(34, -8, 44), (45, -14, 18), (60, -24, -20)],
        [(-28, 4, 30), (-44, 4, 22), (-66, -4, 14)], [(30, 6, 22), (50, 8, 12), (68, 12, 8)],
        [(-24, 6, 60), (-42, 16, 66), (-66, 34, 84)], [(34, 10, 56), (52, 22, 62), (70, 38, 80)],
    ]  # fmt: skip
    sizes = np.array([8.0, 7.6, 4.8, 4.8, 4.4, 4.4, 5.0, 4.6])
    lines = [np.array(curve) * [1, 1, scale] + rng.normal(0, 3, (3, 3)) + [0, 0, fork] for curve in curves]
    parts = [np.array_split(bend(line[0], line[1], line[2], 90), 6) for line in lines]
    pieces = [
        np.concatenate([a, b[:1]]) for part in parts for a, b in zip(part, [*part[1:], part[-1][-1:]], strict=True)
    ]
    radii = (sizes[:, None] * np.linspace(1, 0.5, 6)).ravel()
    return Tubes.along(*pieces, radius=radii)


def inside_lung(shape: RaySections, points: np.ndarray) -> np.ndarray:
    """Tells which points lie in the lungs: bool (n,).

    Args:
        shape: the large structures of the thorax on a `straight_grid`.
        points: (n, 3) as x, y, z in mm.
    """
    cell = _cells(shape, points)
    inside = _between(shape.lung, cell, points)
    for hole in shape.holes:
        inside &= ~_between(hole, cell, points)
    return inside


def _cells(shape: RaySections, points: np.ndarray) -> np.ndarray:
    """Returns the nearest ray of a straight grid for each point, as flat indices (n,)."""
    left, top = float(shape.x[0, 0]), float(shape.z[0, 0])
    step = float(shape.z[1, 0]) - top
    rows, columns = shape.x.shape
    column = np.clip((points[:, 0] - left) / step + 0.5, 0, columns - 1).astype(np.intp)
    row = np.clip((points[:, 2] - top) / step + 0.5, 0, rows - 1).astype(np.intp)
    return np.asarray(row * columns + column)


def _between(part: RayInterval, cell: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.asarray((points[:, 1] > part[0].ravel()[cell]) & (points[:, 1] < part[1].ravel()[cell]))


def _places(shape: RaySections, side: bool, rng: np.random.Generator) -> np.ndarray:
    """Draws points spread over one lung, (_LEAVES, 3) in mm, denser toward the base."""
    depth = shape.lung_depth * (shape.left == side)
    chance = np.sqrt(depth) * (0.7 + np.clip(shape.z / 250, 0, 1))
    index = rng.choice(depth.size, _LEAVES, p=(chance / chance.sum()).ravel())
    front, back = shape.lung[0].ravel()[index], shape.lung[1].ravel()[index]
    y = front + (back - front) * rng.uniform(0.03, 0.97, _LEAVES)
    x, z = shape.x.ravel()[index], shape.z.ravel()[index]
    return np.stack([x, y, z], axis=1) + rng.uniform(-1.5, 1.5, (_LEAVES, 3))


def _trees(roots: np.ndarray, goals: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grows branches from every root to all its goals: points (t, n, k, 3), lengths and radii (t, n, k)."""
    trees = len(roots)
    groups = goals[:, None]  # (t, groups, places, 3)
    start, heading = roots[:, None], np.zeros((trees, 1, 3))
    points, lengths, radii = [], [], []
    while True:
        count, leaves = groups.shape[1:3]
        target = groups.mean(axis=2)
        reach = {_LEAVES: 0.1, _LEAVES // 2: 0.16, _LEAVES // 4: 0.25, 1: 0.9}.get(leaves, 0.36)
        way = target - start
        end = start + reach * way * rng.uniform(0.75, 1.25, (trees, count, 1))
        length = np.linalg.norm(end - start, axis=2, keepdims=True)
        end = end + rng.normal(0, 0.07, end.shape) * length
        line, out = _branch(start, heading * length, end)
        radius = 0.6 * leaves ** (1 / 2.4)
        thin = 0.6 * max(leaves / 2, 0.6) ** (1 / 2.4)
        taper = np.linspace(radius, thin + 0.3 * (radius - thin), line.shape[2] - 1)
        points.append((line[:, :, 1:] + line[:, :, :-1]) / 2)
        lengths.append(np.linalg.norm(np.diff(line, axis=2), axis=3))
        radii.append(np.broadcast_to(taper, lengths[-1].shape))
        if leaves == 1:
            break
        groups = _halves(groups, end if count < 16 else None, rng)
        start, heading = np.repeat(end, 2, axis=1), np.repeat(out, 2, axis=1)
    flat = [
        np.concatenate([a.reshape(trees, -1, *a.shape[3:]) for a in part], axis=1) for part in (points, lengths, radii)
    ]
    return flat[0][:, :, None], flat[1][:, :, None], flat[2][:, :, None].copy()


def _branch(start: np.ndarray, tangent: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns curves that leave along a tangent, (t, n, k, 3), and the unit directions at their ends."""
    span = float(np.linalg.norm(end - start, axis=2).max())
    t = np.linspace(0, 1, int(np.clip(span / 0.9, 8, 64)))[:, None]
    way = end - start
    control = start + 0.25 * way + 0.35 * tangent
    a, b, c = start[:, :, None], control[:, :, None], end[:, :, None]
    line = a * (1 - t) ** 2 + b * 2 * t * (1 - t) + c * t**2
    arrive = end - control
    return line, arrive / np.maximum(np.linalg.norm(arrive, axis=2, keepdims=True), 1e-6)


def _halves(groups: np.ndarray, seen: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Cuts every group of points in two across its longest extent: (t, n, m, 3) to (t, 2 n, m / 2, 3).

    With `seen`, (t, n, 3), groups are cut by the directions from `seen` to the points, because the branches of large
    vessels diverge like rays.
    """
    trees, count, leaves, _ = groups.shape
    looks = groups
    if seen is not None:
        looks = groups - seen[:, :, None]
        looks = looks / np.linalg.norm(looks, axis=3, keepdims=True)
    spread = looks.std(axis=2) * rng.uniform(0.7, 1.3, (trees, count, 3))
    direction = np.eye(3)[spread.argmax(axis=2)] + rng.normal(0, 0.35, (trees, count, 3))
    order = np.argsort(np.einsum("tnmi,tni->tnm", looks, direction), axis=2)
    ordered = np.take_along_axis(groups, order[..., None], axis=2)
    return ordered.reshape(trees, 2 * count, leaves // 2, 3)
