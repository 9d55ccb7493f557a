"""The shape of one thorax: the structures that every ray from back to front meets, in millimetres.

A thorax is a record of plain numbers. Each large structure (body, lungs, diaphragm, heart and mediastinum,
spine, aorta) is given as the interval of depth that a ray of a frontal projection spends in the structure. The
interval is a closed formula of the position of the ray. The structures are therefore sharp at every image size,
and a CT volume of any spacing samples the same formulas.

Coordinates in millimetres: ``x`` from the patient's right (negative) to the left, 0 at the spine; ``y`` from
front to back, 0 at the middle of the chest; ``z`` from head to foot, 0 at the apices of the lungs.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np

from artasyn.errors import SynthesisError
from artasyn.fields import STATED, Count, Seed, Within, check_fields
from artasyn.findings import respelled
from artasyn.phantom.lesions import PhantomLesion
from artasyn.phantom.outlines import (
    BACK,
    DOME_Z,
    FRONT,
    HEART_FROM,
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
)
from artasyn.records import read_record
from artasyn.shapes import Bool, Float32

Map = Float32[np.ndarray, "h w"]
"""A number for every ray: float32 (h, w)."""
RayInterval = Float32[np.ndarray, "2 h w"]
"""The depths at which each ray enters and leaves a structure, mm of ``y``; empty if the second is the smaller."""
RayMask = Bool[np.ndarray, "h w"]
"""A selection of rays: bool (h, w)."""


Shift = Annotated[float, Within(-300, 300)]
"""A displacement of the film, mm."""


@dataclass(frozen=True)
class ThoraxRecord:
    """One thorax and its film as plain numbers: everything an image depends on.

    Attributes:
        size: rows and columns of the film in pixels.
        seed: decides the branching of the vessels, the texture of the lungs and the noise of the film.
        field: side of the film, mm.
        shift: displacement of the film from the thorax, down the rows and across the columns, mm.
        roll: rotation of the film relative to the thorax, degrees.
        width: half the width of the lungs at half height, mm.
        height: from the apices to the top of the right dome of the diaphragm, mm.
        depth: from front to back, relative to an adult of 175 mm.
        sulcus: how deep the costophrenic angles lie below the domes, mm.
        left_drop: how much lower the left dome stands, mm.
        heart_left: how far the heart reaches to the left of the spine, mm.
        heart_right: how far the heart reaches to the right, mm.
        knob: how far the aortic arch reaches to the left, mm.
        wall: thickness of the chest wall, mm.
        waist: how much wider the trunk becomes below the lungs, mm; negative if narrower.
        breast: greatest thickness of breast tissue, mm; 0 for none.
        breast_z: ``z`` of the lower border of the breasts, mm.
        shoulder: how much higher the shoulders stand, mm.
        arm: how far the arms are held away from the trunk, degrees.
        curve: sideways curve of the spine, mm.
        rib_slope: fall of the ribs to the front, relative to the mean.
        bone: mineral of the bones, relative to the mean.
        vessel: calibre of the vessels, relative to the mean.
        texture: strength of the lungs' fine texture, relative to the mean.
        bubble: width of the gas in the stomach, mm; 0 for none.
        exposure: brightness of the lungs on the film in (0, 1).
        contrast: slope of the film's response.
        scatter: scattered radiation relative to the primary radiation.
        noise: standard deviation of quantum noise at 10 % transmission, as a fraction of the signal.
        lesions: the lesions of the lungs; empty for a healthy thorax.

    Raises:
        SynthesisError: a number is out of range.
    """

    size: Annotated[int, Within(32, 4096)]
    seed: Seed
    field: Annotated[float, Within(100, 1000)]
    shift: tuple[Shift, Shift]
    roll: Annotated[float, Within(-3600, 3600)]
    width: Annotated[float, Within(40, 250)]
    height: Annotated[float, Within(80, 400)]
    depth: Annotated[float, Within(0.3, 3)]
    sulcus: Annotated[float, Within(5, 200)]
    left_drop: Annotated[float, Within(-50, 100)]
    heart_left: Annotated[float, Within(20, 200)]
    heart_right: Annotated[float, Within(5, 120)]
    knob: Annotated[float, Within(5, 100)]
    wall: Annotated[float, Within(1, 150)]
    waist: Annotated[float, Within(-60, 100)]
    breast: Annotated[float, Within(0, 200)]
    breast_z: Annotated[float, Within(-100, 800)]
    shoulder: Annotated[float, Within(-80, 100)]
    arm: Annotated[float, Within(-10, 80)]
    curve: Annotated[float, Within(-80, 80)]
    rib_slope: Annotated[float, Within(0, 4)]
    bone: Annotated[float, Within(0, 4)]
    vessel: Annotated[float, Within(0, 4)]
    texture: Annotated[float, Within(0, 10)]
    bubble: Annotated[float, Within(0, 200)]
    exposure: Annotated[float, Within(0.01, 0.99)]
    contrast: Annotated[float, Within(0.05, 20)]
    scatter: Annotated[float, Within(1e-4, 2)]
    noise: Annotated[float, Within(0, 1)]
    lesions: Annotated[tuple[PhantomLesion, ...], Count(0, "lesions")] = dataclasses.field(default=(), metadata=STATED)

    def __post_init__(self) -> None:
        check_fields(self, SynthesisError)

    def to_json(self) -> str:
        """Returns the record as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ThoraxRecord:
        """Returns the record that `to_json` wrote.

        Args:
            text: JSON.

        Raises:
            SynthesisError: the text is not JSON, or not the JSON of a thorax record.
        """
        return read_record(text, cls, what="a thorax record", error=SynthesisError, older=_respelled)

    def place(self, rows: np.ndarray, columns: np.ndarray) -> tuple[Map, Map]:
        """Returns x and z, mm, of the rays through the film at the given fractions of its height and width."""
        angle = np.float32(np.deg2rad(self.roll))
        u, v = (columns - 0.5) * self.field, (rows - 0.5) * self.field
        x = np.cos(angle) * u - np.sin(angle) * v + self.shift[1]
        z = np.sin(angle) * u + np.cos(angle) * v + self.shift[0] + self.middle
        return x.astype(np.float32), z.astype(np.float32)

    @property
    def middle(self) -> float:
        """The ``z`` on which the film is centred, mm."""
        return 0.5 * (self.height + self.sulcus) + 15.0

    def find(self, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns where rays meet the film, as fractions of the film's height and width: the inverse of `place`."""
        angle = np.deg2rad(self.roll)
        u, v = x - self.shift[1], z - self.shift[0] - self.middle
        rows = (np.cos(angle) * v - np.sin(angle) * u) / self.field + 0.5
        columns = (np.cos(angle) * u + np.sin(angle) * v) / self.field + 0.5
        return rows, columns


def _respelled(given: Any) -> Any:
    """Returns the values of a record with today's names of lesions."""
    if not isinstance(given, dict) or "lesions" not in given:
        return given
    return given | {"lesions": respelled(given["lesions"])}


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The structures that the rays of one grid meet.

    Attributes:
        x: mm from the spine, of every ray.
        z: mm below the apices, of every ray.
        body: the whole body.
        lung: the inside of the ribcage; the lungs are this interval without `holes`.
        holes: the structures that take the place of lung: organs below the diaphragm, heart and mediastinum, spine,
            descending aorta.
        left: rays on the side of the left lung.
        lung_depth: length of every ray in lung, mm.
    """

    x: Map
    z: Map
    body: RayInterval
    lung: RayInterval
    holes: tuple[RayInterval, ...]
    left: RayMask
    lung_depth: Map

    @property
    def visible(self) -> RayMask:
        """The rays that cross lung, but not the heart, the mediastinum or the organs below the diaphragm."""
        hidden = [hole[1] - hole[0] > 2.0 for hole in self.holes[:2]]
        return np.asarray((self.lung_depth > 4.0) & ~hidden[0] & ~hidden[1])


def anatomy(record: ThoraxRecord, x: Map, z: Map) -> Anatomy:
    """Returns the large structures of a thorax along the rays of a frontal projection.

    Args:
        record: the thorax.
        x: mm from the line of a straight spine, of every ray, (h, w); the spine itself is at `spine_x`.
        z: mm below the apices, of every ray, (h, w).

    Source:
        Proportions of the lungs, heart and mediastinum: standard radiographic anatomy of the adult chest
        (cardiothoracic ratio below 0.5, right dome at the tenth posterior rib, left dome 1-2 cm lower).
    """
    x = x - spine_x(record, z)
    left = x > 0
    lung, dome = _lungs(record, np.abs(x), z, left)
    holes = (dome, _mediastinum(record, x, z), _spine(x), _descending_aorta(record, x, z))
    depth = np.maximum(length(lung) - covered(lung, holes), 0)
    return Anatomy(x, z, _body(record, x, z), lung, holes, left, depth)


def straight_grid(record: ThoraxRecord, x: np.ndarray, z: np.ndarray) -> Anatomy:
    """Returns the large structures on a regular grid that follows the spine: rows of `z`, columns of `x`.

    Args:
        record: the thorax.
        x: (w,), mm from the spine.
        z: (h,), mm below the apices.
    """
    down, across = np.meshgrid(z.astype(np.float32), x.astype(np.float32), indexing="ij")
    return anatomy(record, across + spine_x(record, down), down)


def spine_x(record: ThoraxRecord, z: np.ndarray) -> np.ndarray:
    """Returns how far the spine is displaced to the left at ``z``, mm; the spine follows a slight S."""
    return (record.curve * np.sin((z - 60) * (np.pi / 240))).astype(np.float32)


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

    outer, inner = along(OUTER) * np.float32(record.width / 126), along(INNER)
    middle_x = inner + 0.46 * (outer - inner)
    return RibcageSection(
        middle_x, along(MIDDLE_Y), outer - middle_x, middle_x - inner,
        along(FRONT) * np.float32(record.depth), along(BACK) * np.float32(record.depth),
    )  # fmt: skip


def _lungs(record: ThoraxRecord, side_x: Map, z: Map, left: RayMask) -> tuple[RayInterval, RayInterval]:
    """Returns the inside of the ribcage and, within the ribcage, the organs below the diaphragm."""
    cut = section(record, z)
    away = side_x - cut.middle_x
    across = np.abs(away) / np.maximum(np.where(away > 0, cut.outer, cut.inner), 1e-3)
    depth = _root(1 - across**2.5)
    floor = record.height + record.sulcus + record.left_drop * left
    lung = np.stack([cut.middle_y - cut.front * depth, cut.middle_y + cut.back * depth])
    lung[1][(z <= 0) | (z > floor) | (across >= 1)] = -np.inf
    top = (z - floor) / record.sulcus + 1  # 0 at the dome, 1 at the bottom of the costophrenic angle
    fall = np.clip(top, 0, 1)
    wide = (1.45 * fall - 0.45 * fall**2) ** 1.25
    across = np.where(away > 0, across, 0.5 * across)  # the domes hardly fall towards the heart
    below = _root(wide - across**2.5)
    dome = np.stack([cut.middle_y - cut.front * below, cut.middle_y + cut.back * below])
    dome[1][(top <= 0) | (below <= 0)] = -np.inf
    return lung.astype(np.float32), dome.astype(np.float32)


def _mediastinum(record: ThoraxRecord, x: Map, z: Map) -> RayInterval:
    """Returns the heart, the great vessels and the tissue around them: one silhouette from neck to diaphragm."""
    level = z * (DOME_Z / record.height)
    right_part, left_part, knob = record.heart_right / 41, record.heart_left / 94, record.knob / 38
    right = tuple((k, v * right_part if k > HEART_FROM else v) for k, v in RIGHT_BORDER)
    left = tuple((k, v * (left_part if k > HEART_FROM + 20 else knob if k in KNOB else 1.0)) for k, v in LEFT_BORDER)
    rng = np.random.default_rng([record.seed, 0])
    low = -smooth_curve(level, right) + _wave(rng, z, 0.7)
    high = smooth_curve(level, left) + _wave(rng, z, 0.8)
    across = (2 * x - low - high) / (high - low)
    depth = _root(1 - np.abs(across) ** 2.4, 1.8)
    front, back = smooth_curve(level, MEDIASTINUM_FRONT), smooth_curve(level, MEDIASTINUM_BACK)
    middle = (back - front) * np.float32(record.depth / 2)
    half = (back + front) * np.float32(record.depth / 2) * depth
    return np.stack([middle - half, np.where(half > 0, middle + half, -np.inf)]).astype(np.float32)


def _wave(rng: np.random.Generator, z: np.ndarray, size: float) -> np.ndarray:
    """Returns a slight unevenness of an outline, mm."""
    knots = tuple(
        (float(k), float(v)) for k, v in zip(range(-150, 400, 18), size * rng.standard_normal(31), strict=True)
    )
    return smooth_curve(z, knots)


def _spine(x: Map) -> RayInterval:
    half = 46 * np.maximum(1 - (x / 50) ** 2, 0) ** 2
    return np.stack([82 - half, np.where(half > 0, 82 + half, -np.inf)]).astype(np.float32)


def _descending_aorta(record: ThoraxRecord, x: Map, z: Map) -> RayInterval:
    radius = 12.5 * record.knob / 38 * np.clip((z - 78) / 25, 0.05, 1)
    middle = 22 - 0.055 * (z - 90)
    half = radius * _root(1 - ((x - middle) / radius) ** 2, 2.0)
    return np.stack([48 - half, np.where(half > 0, 48 + half, -np.inf)]).astype(np.float32)


def _body(record: ThoraxRecord, x: Map, z: Map) -> RayInterval:
    """Returns the trunk, shoulders, neck and upper arms, with the breasts in front."""
    lower = record.width * 1.1 + record.wall
    below = (
        (135.0, lower),
        (200.0, lower - 2),
        (270.0, lower - 4 + record.waist),
        (400.0, lower + 2 * record.waist),
    )
    knots = (*TRUNK, *below)
    wide = smooth_curve(z + record.shoulder * np.clip((110 - z) / 80, 0, 1), knots)
    extra = record.wall - 22.0
    front = smooth_curve(z, TRUNK_FRONT) * np.float32(record.depth) + 0.6 * extra
    back = smooth_curve(z, TRUNK_BACK) * np.float32(record.depth) + 0.4 * extra
    round_ = np.clip(2.0 + (z - 60) / 150, 2.0, 2.7)
    trunk = np.maximum(1 - (np.abs(x) / wide) ** round_, 0) ** (1 / round_)
    angle = np.deg2rad(record.arm)
    along = np.clip(((np.abs(x) - 178) * np.sin(angle) + (z - 35) * np.cos(angle)), 0, 320)
    distance = np.hypot(np.abs(x) - 178 - along * np.sin(angle), z - 35 - along * np.cos(angle))
    radius = (50 - 0.03 * along) * (1 + 0.01 * extra)
    arm = 0.42 * _root(1 - (distance / radius) ** 2, 2.0)
    depth = (trunk**4 + arm**4) ** 0.25
    low, high = 8 - (front + 8) * depth, 8 + (back - 8) * depth
    low -= _breast(record, x, z) * (trunk > 0.2)
    return np.stack([low, np.where(depth > 0, high, -np.inf)]).astype(np.float32)


def _breast(record: ThoraxRecord, x: Map, z: Map) -> Map:
    """Returns the thickness of the breasts, mm; they are fuller and end more sharply at the lower border."""
    across = (np.abs(x) - 82) / 68
    middle = record.breast_z - 42
    down = (z - middle) / np.where(z > middle, 42, 120)
    return np.asarray((record.breast * np.maximum(1 - across**2 - down**2, 0) ** 0.6).astype(np.float32))


def _root(values: np.ndarray, power: float = 2.5) -> np.ndarray:
    return np.asarray(np.maximum(values, 0) ** (1 / power))


def length(interval: RayInterval) -> Map:
    """Returns the length of every ray in an interval, mm."""
    return np.asarray(np.maximum(interval[1] - interval[0], 0))


def covered(host: RayInterval, holes: tuple[RayInterval, ...]) -> Map:
    """Returns the length of every ray that lies in `host` and in one or more of `holes`, mm."""
    low = [np.maximum(hole[0], host[0]) for hole in holes]
    high = [np.minimum(hole[1], host[1]) for hole in holes]
    for last in range(len(holes) - 1, 0, -1):  # sorts the holes by the depth at which each ray enters them
        for i in range(last):
            late = low[i] > low[i + 1]
            low[i], low[i + 1] = np.minimum(low[i], low[i + 1]), np.maximum(low[i], low[i + 1])
            high[i], high[i + 1] = np.where(late, high[i + 1], high[i]), np.where(late, high[i], high[i + 1])
    total, reached = np.zeros_like(host[0]), np.full_like(host[0], -np.inf)
    for start, end in zip(low, high, strict=True):
        total += np.maximum(end - np.maximum(start, reached), 0)
        reached = np.maximum(reached, end)
    return np.asarray(total)
