"""Lesions as plain numbers, which a record keeps, and the lesions of many images as arrays, which a draw makes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np

from artasyn.arrays import LEFT, RIGHT
from artasyn.errors import SynthesisError
from artasyn.fields import STATED, Count, Within, check_fields
from artasyn.records import make_record, read_record
from artasyn.segment.anatomy.anatomy import Convention
from artasyn.shapes import Float64, Int64
from artasyn.synthesis.finding import Look

MOST_STAMPS = 1024
"""Most stamps of a lesion."""

HILUM = (0.42, 0.0)
"""The place where the airways enter a lung, in the coordinates of a lesion's focus."""

Place = Annotated[float, Within(-1000, 1000)]
"""A coordinate in a lung, in lengths of the lung or in heights of both lungs."""

Radius = Annotated[float, Within(2e-4, 1000)]
"""Half the height or half the width of a stamp, in heights of the lungs."""

Stamp = tuple[Place, Place, Radius, Radius]
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
    side: Annotated[int, Within(RIGHT, LEFT)]
    focus: tuple[Place, Place]
    stamps: Annotated[tuple[Stamp, ...], Count(1, MOST_STAMPS)]
    severity: Annotated[float, Within(1e-6, 1)]
    look: Look
    seed: Annotated[int, Within(0, 2**32 - 1)]

    def __post_init__(self) -> None:
        check_fields(self, SynthesisError)


@dataclass(frozen=True)
class OpacityRecord:
    """Holds all random choices of one anomaly as plain numbers; the record remakes the anomaly bit for bit.

    Attributes:
        lesions: in any order.
        tolerance: smallest change of a pixel, in image units.
        part: the part of the lungs that they may change, as in `LungOpacity`.
        convention: the extent of the lungs, as in `LungOpacity`.
    """

    lesions: Annotated[tuple[Lesion, ...], Count(0, "lesions")]
    tolerance: Annotated[float, Within(1e-6, 1000)] = field(default=1 / 255, metadata=STATED)
    part: str = "lungs"
    convention: Convention = "visible"

    def __post_init__(self) -> None:
        check_fields(self, SynthesisError)

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
        return read_record(text, cls, what="the record of a lung opacity", error=SynthesisError)

    @classmethod
    def from_dict(cls, fields: Any) -> OpacityRecord:
        """Builds a record from the dictionary that `dataclasses.asdict` made of it.

        Raises:
            SynthesisError: the fields are not those of a record.
        """
        return make_record(fields, cls, what="the record of a lung opacity", error=SynthesisError)


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
