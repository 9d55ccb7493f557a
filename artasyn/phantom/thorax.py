"""One thorax as plain numbers.

Coordinates in millimetres: ``x`` from the patient's right (negative) to the left, 0 at the middle; ``y`` from
front to back, 0 at the middle of the chest; ``z`` from head to foot, 0 at the apices of the lungs. All lengths
are those of an adult; `ThoraxRecord.growth` scales the whole thorax with its film.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np

from artasyn.errors import SynthesisError
from artasyn.fields import STATED, Count, Seed, Share, Within, check_fields
from artasyn.findings import respelled
from artasyn.phantom.lesions import PhantomLesion
from artasyn.records import read_record
from artasyn.shapes import Float32

Rays = Float32[np.ndarray, "h w"]

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
        heart_left: how far the heart reaches to the left of the middle, mm.
        heart_right: how far the heart reaches to the right, mm.
        knob: how far the aortic arch reaches to the left, mm.
        wall: thickness of the chest wall, mm.
        waist: how much wider the trunk becomes below the lungs, mm; negative if narrower.
        breast: greatest thickness of breast tissue, mm; 0 for none.
        breast_z: ``z`` of the lower border of the breasts, mm.
        shoulder: how much higher the shoulders stand, mm.
        arm: how far the arms are held away from the trunk, degrees.
        curve: sideways curve of the spine, mm; positive to the left between `curve_start` and the next turn.
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
        growth: size of the thorax and its film relative to an adult's; every other length is before growth.
        heart_rise: how far the heart reaches above the right dome, mm.
        heart_drop: how far the heart reaches below the right dome, mm.
        heart_apex: place of the widest point of the left border between the heart's top 0 and bottom 1.
        heart_slope: shape of the left border: 1 the mean, smaller globular, larger straight.
        heart_lean: how much further to the left the heart's bottom lies than its top, beyond the mean, mm.
        apex_width: width of the upper half of the lungs, relative to the mean.
        middle_width: width of the great vessels and the tissue around them, relative to the mean.
        dome_arch: how early the domes fall to the side: 1 the mean, larger for flatter domes.
        belly: how far the abdomen bulges to the front, mm.
        curve_start: ``z`` at which the sideways curve crosses the middle, mm.
        curve_span: distance of neighbouring crossings, mm; short for two opposite curves.
        kyphosis: how far the middle of the chest lies behind its ends, mm.
        body_curve: part of the spine's sideways curve that the whole trunk follows.

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
    arm: Annotated[float, Within(-10, 175)]
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

    growth: Annotated[float, Within(0.2, 1.5)] = 1.0
    heart_rise: Annotated[float, Within(20, 200)] = 78.0
    heart_drop: Annotated[float, Within(5, 100)] = 31.0
    heart_apex: Annotated[float, Within(0.3, 0.95)] = 0.72
    heart_slope: Annotated[float, Within(0.2, 3)] = 1.0
    heart_lean: Annotated[float, Within(-80, 80)] = 0.0
    apex_width: Annotated[float, Within(0.5, 1.5)] = 1.0
    middle_width: Annotated[float, Within(0.5, 3)] = 1.0
    dome_arch: Annotated[float, Within(0.3, 3)] = 1.0
    belly: Annotated[float, Within(-40, 150)] = 0.0
    curve_start: Annotated[float, Within(-300, 500)] = 60.0
    curve_span: Annotated[float, Within(100, 1000)] = 240.0
    kyphosis: Annotated[float, Within(-40, 80)] = 0.0
    body_curve: Share = 1.0

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

    def place(self, rows: np.ndarray, columns: np.ndarray) -> tuple[Rays, Rays]:
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


def spine_x(record: ThoraxRecord, z: np.ndarray) -> np.ndarray:
    """Returns how far the spine is displaced to the left at ``z``, mm."""
    wave = np.sin((z - record.curve_start) * (np.pi / record.curve_span))
    return np.asarray((record.curve * wave).astype(np.float32))


def body_x(record: ThoraxRecord, z: np.ndarray) -> np.ndarray:
    """Returns how far the middle of the trunk is displaced to the left at ``z``, mm: it follows a part of the spine."""
    return np.asarray(np.float32(record.body_curve) * spine_x(record, z))


def body_y(record: ThoraxRecord, z: np.ndarray) -> np.ndarray:
    """Returns how far the trunk is displaced to the back at ``z``, mm."""
    level = np.clip((z / np.float32(record.height) + 0.3) / 1.7, 0, 1)
    return np.asarray((np.float32(record.kyphosis) * (np.sin(np.pi * level) - 0.5)).astype(np.float32))


def bent(record: ThoraxRecord, points: np.ndarray) -> np.ndarray:
    """Returns points (n, 3) as x, y, z of the body from points in straight mm."""
    moved = np.array(points, dtype=np.float64)
    moved[:, 0] += body_x(record, points[:, 2])
    moved[:, 1] += body_y(record, points[:, 2])
    return moved
