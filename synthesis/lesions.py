"""Lesions as plain numbers, which a record keeps, and the lesions of many images as arrays, which a draw makes."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from artasyn.arrays import LEFT, RIGHT
from artasyn.errors import SynthesisError
from artasyn.records import make_record, read_record
from artasyn.shapes import Float64, Int64
from artasyn.synthesis.finding import Look, Texture

Stamp = tuple[float, float, float, float]
"""Offset down and outward from the lesion's focus, half the height and half the width; in heights of the lungs."""


@dataclass(frozen=True)
class Lesion:
    """One lesion, described independently of any radiograph.

    Attributes:
        finding: the name of its finding.
        side: the lung, 1 the patient's right, 2 the left.
        focus: its place in that lung: from apex 0 to base 1, from the mediastinum 0 to the ribs 1.
        stamps: its shape, as a union of stamps.
        severity: attenuation of the densest parts, as a share of the step from lung to soft tissue.
        look: how the attenuation follows from the shape.
        seed: fixes which pieces of the textures the lesion uses.
    """

    finding: str
    side: int
    focus: tuple[float, float]
    stamps: tuple[Stamp, ...]
    severity: float
    look: Look
    seed: int


@dataclass(frozen=True)
class OpacityRecord:
    """Holds all random choices of one anomaly as plain numbers; the record remakes the anomaly bit for bit.

    Attributes:
        lesions: in any order.
        tolerance: smallest change of a pixel, in image units.
    """

    lesions: tuple[Lesion, ...]
    tolerance: float = 1 / 255

    @property
    def findings(self) -> tuple[str, ...]:
        """The names of the findings, each once, in the order of the lesions."""
        return tuple(dict.fromkeys(lesion.finding for lesion in self.lesions))

    def to_json(self) -> str:
        """Returns this record as JSON; `from_json` reads the JSON back."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> OpacityRecord:
        """Reads a record that `to_json` wrote.

        Raises:
            SynthesisError: the text is no such record.
        """
        return read_record(text, cls._of, what="the record of a lung opacity", error=SynthesisError)

    @classmethod
    def from_dict(cls, fields: Any) -> OpacityRecord:
        """Builds a record from the dictionary that `dataclasses.asdict` made of it.

        Raises:
            SynthesisError: the fields are not those of a record.
        """
        return make_record(fields, cls._of, what="the record of a lung opacity", error=SynthesisError)

    @classmethod
    def _of(cls, fields: Any) -> OpacityRecord:
        return cls(tuple(_lesion(lesion) for lesion in fields["lesions"]), _number(fields["tolerance"], 1e-6))


@dataclass(frozen=True, eq=False)
class Draws:
    """The lesions of a batch of images, as arrays over all lesions.

    Attributes:
        kinds: name and look of each finding.
        image: int64 (n,), the image of each lesion, ascending.
        kind: int64 (n,), its finding, an index of `kinds`.
        side: int64 (n,), as in `Lesion`.
        focus: float64 (n, 2), as in `Lesion`.
        stamps: float64 (n, stamps, 4), as in `Lesion`; `ABSENT` where a lesion has fewer.
        severity: float64 (n,).
        seed: int64 (n,).
    """

    kinds: tuple[tuple[str, Look], ...]
    image: Int64[np.ndarray, " n"]
    kind: Int64[np.ndarray, " n"]
    side: Int64[np.ndarray, " n"]
    focus: Float64[np.ndarray, "n 2"]
    stamps: Float64[np.ndarray, "n stamps 4"]
    severity: Float64[np.ndarray, " n"]
    seed: Int64[np.ndarray, " n"]

    @classmethod
    def of(cls, images: Sequence[Sequence[Lesion]]) -> Draws:
        """Packs the lesions of several images; at least one image must have a lesion."""
        flat = [lesion for lesions in images for lesion in lesions]
        kinds = tuple(dict.fromkeys((lesion.finding, lesion.look) for lesion in flat))
        most = max(len(lesion.stamps) for lesion in flat)
        return cls(
            kinds,
            np.repeat(np.arange(len(images)), [len(lesions) for lesions in images]),
            np.array([kinds.index((lesion.finding, lesion.look)) for lesion in flat]),
            np.array([lesion.side for lesion in flat]),
            np.array([lesion.focus for lesion in flat], np.float64),
            np.array([lesion.stamps + (ABSENT,) * (most - len(lesion.stamps)) for lesion in flat], np.float64),
            np.array([lesion.severity for lesion in flat], np.float64),
            np.array([lesion.seed for lesion in flat]),
        )

    def lesions(self, images: int) -> list[tuple[Lesion, ...]]:
        """Returns the lesions of each image; `images` is the number of images in the batch."""
        table: list[list[Lesion]] = [[] for _ in range(images)]
        columns = (self.image, self.kind, self.side, self.focus, self.stamps, self.severity, self.seed)
        for image, kind, side, (u, v), stamps, severity, seed in zip(*(c.tolist() for c in columns), strict=True):
            name, look = self.kinds[kind]
            shape = tuple(tuple(stamp) for stamp in stamps if stamp[2] > ABSENT[2])
            table[image].append(Lesion(name, side, (u, v), shape, severity, look, seed))
        return [tuple(lesions) for lesions in table]


ABSENT: Stamp = (0.0, 0.0, 1e-4, 1e-4)
"""A stamp too small to be seen."""


def _lesion(fields: Any) -> Lesion:
    """Builds a lesion from its fields.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: the fields are not those of a lesion.
    """
    numbers = {name: _number(value, 0.0) for name, value in fields["look"].items() if name != "texture"}
    look = Look(**numbers, texture=str(fields["look"].get("texture", "none")))  # type: ignore[arg-type]
    stamps = tuple(_stamp(stamp) for stamp in fields["stamps"])
    row, column = (_number(place) for place in fields["focus"])
    side, seed = fields["side"], fields["seed"]
    if side not in (RIGHT, LEFT) or type(seed) is not int or not 0 <= seed < 2**32 or not stamps or look.edge <= 0:
        raise ValueError("side is 1 or 2, seed a whole number from 0 to 2**32 - 1, there are stamps and an edge")
    if look.texture not in get_args(Texture):
        raise ValueError(f"no texture {look.texture!r}")
    severity = _number(fields["severity"], 1e-6, 1.0)
    return Lesion(str(fields["finding"]), int(side), (row, column), stamps, severity, look, seed)


def _stamp(numbers: Any) -> Stamp:
    down, outward, height, width = numbers
    return _number(down), _number(outward), _number(height, 2e-4), _number(width, 2e-4)


def _number(value: Any, low: float = -1000.0, high: float = 1000.0) -> float:
    """Returns a value as a number; refuses numbers that are not finite or outside the range."""
    number = float(value)
    if not (math.isfinite(number) and low <= number <= high):
        raise ValueError(f"{number} is not from {low:g} to {high:g}")
    return number
