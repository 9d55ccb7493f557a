"""Lungs that hold too much air or too little: a warp that moves the diaphragm, shared by the image and all masks."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Annotated, Any

import cv2
import numpy as np

from artasyn.arrays import Image, LungLabels, Mask, Rng, as_generator, check_image
from artasyn.errors import ImageError, SynthesisError
from artasyn.fields import Interval, Share, Within, check_fields
from artasyn.records import read_record
from artasyn.segment.lungs import Lungs
from artasyn.shapes import Float32

BELOW = 0.6
"""Height below the lungs' base over which the warp fades out, in heights of the lungs."""

START, FULL = 0.25, 0.75
"""Heights between which the warp sets in, from the apex 0 to the base 1: the apex stays, and the domes move fully."""

MIDLINE = 0.06
"""Width of the transition between both sides, in widths of both lungs."""

Shift = Annotated[float, Within(-0.5, 0.5)]
"""Displacement of a base in heights of the lungs; positive is down."""


@dataclass(frozen=True)
class VolumeRecord:
    """One change of volume as plain numbers, independently of any radiograph.

    Attributes:
        right: displacement of the base of the patient's right lung: positive for more air, negative for less.
        left: of the left lung.
        flatness: how much more the middle of each base moves than its edges: the dome flattens.
        lucency: share of the contrast between lung and soft tissue by which the lungs become darker.
    """

    right: Shift
    left: Shift
    flatness: Share = 0.0
    lucency: Annotated[float, Within(-1, 1)] = 0.0

    def __post_init__(self) -> None:
        check_fields(self, SynthesisError)

    def to_json(self) -> str:
        """Returns this record as JSON; `from_json` reads the JSON back."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> VolumeRecord:
        """Reads a record that `to_json` wrote.

        Raises:
            SynthesisError: the text is no such record.
        """
        return read_record(text, cls, what="the record of a change of volume", error=SynthesisError)


@dataclass(frozen=True, eq=False)
class VolumeChange:
    """A radiograph whose lungs hold more or less air.

    Attributes:
        image: float32 (h, w) in [0, 1].
        lungs: the lungs after the change.
        mask: bool (h, w), exactly the pixels that differ from the radiograph before.
        record: remakes this change on the same radiograph.
        columns: float32 (h, w), where each pixel comes from.
        rows: float32 (h, w), where each pixel comes from.
    """

    image: Image
    lungs: Lungs
    mask: Mask
    record: VolumeRecord
    columns: Float32[np.ndarray, "h w"]
    rows: Float32[np.ndarray, "h w"]

    def moved(self, values: Any) -> Any:
        """Returns a map or labels of the radiograph before, moved as the radiograph: labels keep their values.

        Args:
            values: (h, w), float32, or whole numbers or truth values.
        """
        exact = values.dtype != np.float32
        flags = cv2.INTER_NEAREST if exact else cv2.INTER_LINEAR
        given = values.astype(np.uint8) if exact else values
        there = cv2.remap(given, self.columns, self.rows, flags, borderMode=cv2.BORDER_REPLICATE)
        return there.astype(values.dtype)


@dataclass(frozen=True)
class LungVolume:
    """Changes how much air the lungs hold. The defaults make hyperinflated lungs: low, flat domes and dark lungs.

    Attributes:
        shift_range: displacement of both bases, in heights of the lungs.
        difference: largest difference between both sides.
        flatness_range: how much more the middle of each base moves than its edges.
        lucency_range: share of the contrast between lung and soft tissue by which the lungs become darker.

    Example:
        >>> from artasyn import Phantom
        >>> chest = Phantom(size=128)(seed=1)
        >>> change = LungVolume()(chest.image, chest.lungs, np.random.default_rng(0))
        >>> bool((change.mask == (change.image != chest.image)).all()), change.lungs.mask.sum() > chest.lungs.mask.sum()
        (True, np.True_)
    """

    shift_range: Interval[Shift] = (0.05, 0.14)
    difference: Share = 0.02
    flatness_range: Interval[Share] = (0.2, 0.8)
    lucency_range: Interval[Annotated[float, Within(-1, 1)]] = (0.05, 0.3)

    def __post_init__(self) -> None:
        check_fields(self, SynthesisError)

    def __call__(self, image: Image, lungs: Lungs, rng: Rng) -> VolumeChange:
        """Draws a change of volume and renders it.

        Args:
            image: float32 (h, w) in [0, 1].
            lungs: its lungs, on the same grid.
            rng: the only source of randomness, a generator or a seed.

        Raises:
            ImageError: the image is not valid, or the lungs are on another grid.
            SynthesisError: there are not both lungs.
        """
        return self.render(image, lungs, self.draw(rng))

    def draw(self, rng: Rng) -> VolumeRecord:
        """Draws a record; `rng` is a generator or a seed."""
        rng = as_generator(rng)
        shift = rng.uniform(*self.shift_range)
        other = rng.uniform(-self.difference, self.difference)
        numbers = (
            shift + other / 2,
            shift - other / 2,
            rng.uniform(*self.flatness_range),
            rng.uniform(*self.lucency_range),
        )
        return VolumeRecord(*(round(float(np.clip(number, -0.5, 1)), 4) for number in numbers))

    def render(self, image: Image, lungs: Lungs, record: VolumeRecord) -> VolumeChange:
        """Renders a record; the same input always gives the same result.

        Args:
            image: float32 (h, w) in [0, 1].
            lungs: its lungs, on the same grid.
            record: from `draw`.

        Raises:
            ImageError: the image is not valid, or the lungs are on another grid.
            SynthesisError: there are not both lungs.
        """
        check_image(image)
        if lungs.labels.shape != image.shape:
            raise ImageError(
                f"lungs are {lungs.labels.shape}, the image is {image.shape}; use lungs.resized(image.shape)"
            )
        if not lungs.found:
            raise SynthesisError("a change of volume needs both lungs; find them first or leave it out")
        columns, rows = _sources(lungs.labels, record)
        warped = cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        labels = cv2.remap(lungs.labels, columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        changed = np.asarray(np.clip(warped - _darker(image, lungs, labels, record), 0, 1), np.float32)
        return VolumeChange(changed, Lungs.from_labels(labels), changed != image, record, columns, rows)


def _sources(labels: LungLabels, record: VolumeRecord) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """Returns the column and the row from which each pixel of the changed radiograph comes."""
    _, top, width, height = cv2.boundingRect(labels)
    rows, columns = np.indices(labels.shape, dtype=np.float32)
    sides = [float(np.flatnonzero((labels == side).any(axis=0)).mean()) for side in (1, 2)]
    across = (columns - np.float32(sum(sides) / 2)) * np.float32(np.sign(sides[1] - sides[0]))
    share = 1 / (1 + np.exp(-np.clip(across / np.float32(MIDLINE * width), -30, 30)))  # of the left lung
    span = np.float32(max(abs(sides[1] - sides[0]) / 2, 1))
    dome = np.exp(-(((np.abs(across) - span) / (0.6 * span)) ** 2))
    shift = ((1 - share) * record.right + share * record.left) * (1 - record.flatness * (1 - dome))
    down = (rows - np.float32(top)) / np.float32(height)
    rise = np.clip((down - START) / (FULL - START), 0, 1)
    below = min(BELOW, max((labels.shape[0] - top) / height - 1, 0.1))  # what lies beyond the image is not known
    fall = np.clip((1 + below - down) / below, 0, 1)
    weight = np.where(down <= 1, rise * rise * (3 - 2 * rise), fall * fall * (3 - 2 * fall))
    return np.asarray(columns, np.float32), np.asarray(rows - shift * weight * np.float32(height), np.float32)


def _darker(image: Image, lungs: Lungs, labels: LungLabels, record: VolumeRecord) -> Float32[np.ndarray, "h w"]:
    """Returns the grey that the changed lungs lose."""
    outside = image[~lungs.mask]
    step = float(np.quantile(outside, 0.7) - np.median(image[lungs.mask])) if outside.size else 0.0
    soft = cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), max(1.0, 0.01 * labels.shape[0]))
    return np.asarray(np.float32(record.lucency * max(step, 0.0)) * soft * (labels > 0), np.float32)
