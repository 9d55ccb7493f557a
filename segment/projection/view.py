"""The geometry of a radiograph: the source, the detector, and the orientation of the image."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from artasyn.arrays import Vector
from artasyn.errors import DataError
from artasyn.fields import Within, check_fields

LEFT_SIDE, FRONT, HEAD = np.array([-1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0])

LARGEST = 8192
"""Most rows or columns of a detector."""

PATIENT_TO_DETECTOR = 200.0
"""Distance from the isocentre to the detector, mm, if a view does not give it."""

Degrees = Annotated[float, Within(-3600, 3600)]
"""An angle, degrees."""

Side = Annotated[int, Within(16, LARGEST)]
"""Rows or columns of a detector."""

Place = Annotated[float, Within(-1e5, 1e5)]
"""A coordinate, mm."""


@dataclass(frozen=True)
class View:
    """One exposure, as plain numbers.

    A view has a turn about the body axis (0 PA, 90 left lateral, 180 AP, -90 right lateral, or any angle between), a
    tilt and a roll. The image is shown as seen from the detector, or mirrored. As radiographs are hung, the patient's
    left is at image right in every view that separates left and right. In exact laterals the spine is at image right.

    Attributes:
        angle: turn about the body axis, degrees. At 0 the rays run from back to front, at 90 from the patient's right
            to the left, at 45 from the right back to the left front.
        tilt: tilt of the beam toward the head, degrees.
        roll: roll of the patient in the image, clockwise, degrees.
        source_to_detector: distance from source to detector, mm; None for parallel rays.
        source_to_patient: distance from source to isocentre, mm; None for 200 mm less than `source_to_detector`.
        size: rows and columns of the detector; None for as many as cover the volume.
        pixel: size of a detector's pixel, mm; None for the size with which `size` pixels cover the volume. If `size` is
            None too, a pixel at the isocentre has the volume's finest spacing.
        shift: shift of the detector toward the feet and toward image right, mm.
        isocentre: point on the central ray, RAS+ mm; None for the middle of the volume.
        mirror: whether the image is shown as seen from the source; None for the rule above.

    Raises:
        DataError: a number is out of range, or the patient is not between source and detector.

    Example:
        >>> View.named("pa").angle, View.named("lateral").angle, View.named("30").angle
        (0.0, 90.0, 30.0)
    """

    angle: Degrees = 0.0
    tilt: Annotated[float, Within(-60, 60)] = 0.0
    roll: Degrees = 0.0
    source_to_detector: Annotated[float, Within(1, 1e7)] | None = 1800.0
    source_to_patient: Annotated[float, Within(0.5, 1e7)] | None = None
    size: tuple[Side, Side] | None = (512, 512)
    pixel: Annotated[float, Within(1e-3, 100)] | None = None
    shift: tuple[Place, Place] = (0.0, 0.0)
    isocentre: tuple[Place, Place, Place] | None = None
    mirror: bool | None = None

    NAMES: ClassVar[dict[str, tuple[float, float]]] = {
        "pa": (0.0, 1800.0),
        "ap": (180.0, 1100.0),
        "lateral": (90.0, 1800.0),
        "left_lateral": (90.0, 1800.0),
        "right_lateral": (-90.0, 1800.0),
    }
    """Angle and source-detector distance of the usual views."""

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        if self.source_to_detector is None:
            if self.source_to_patient is not None:
                raise DataError("parallel rays have no source: leave out source_to_patient")
        elif not 0 < self.to_patient < self.source_to_detector:
            raise DataError(
                f"the patient must be between source and detector: source_to_patient {self.to_patient:g}, "
                f"source_to_detector {self.source_to_detector:g} mm"
            )

    @classmethod
    def named(cls, name: str, **options: object) -> View:
        """Makes a usual view from its name, or a view at an angle in degrees.

        Args:
            name: a key of `NAMES`, or a number.
            **options: other attributes.

        Raises:
            DataError: neither a name nor a number.
        """
        if name.lower() in cls.NAMES:
            angle, distance = cls.NAMES[name.lower()]
            return cls(**{"angle": angle, "source_to_detector": distance, **options})  # type: ignore[arg-type]
        try:
            return cls(angle=float(name), **options)  # type: ignore[arg-type]
        except ValueError as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"no view {name!r}; give one of {', '.join(cls.NAMES)} or an angle in degrees") from error

    @property
    def parallel(self) -> bool:
        """Whether the rays are parallel."""
        return self.source_to_detector is None

    @property
    def to_patient(self) -> float:
        """Distance from the source to the isocentre, mm; infinite for parallel rays."""
        if self.source_to_detector is None:
            return math.inf
        if self.source_to_patient is None:
            return self.source_to_detector - PATIENT_TO_DETECTOR
        return self.source_to_patient

    @property
    def magnification(self) -> float:
        """Magnification of an object at the isocentre on the detector; 1 for parallel rays."""
        return 1.0 if self.source_to_detector is None else self.source_to_detector / self.to_patient

    @property
    def mirrored(self) -> bool:
        """Whether the image is shown as seen from the source, not from the detector."""
        if self.mirror is not None:
            return self.mirror
        turn = math.radians(self.angle)
        return math.cos(turn) < -1e-9 or (abs(math.cos(turn)) <= 1e-9 and math.sin(turn) < 0)

    def axes(self) -> tuple[Vector, Vector, Vector]:
        """Returns unit vectors in RAS+: down and right in the image, and from the source to the detector."""
        turn, tilt, roll = (math.radians(angle) for angle in (self.angle, self.tilt, self.roll))
        right = math.cos(turn) * LEFT_SIDE - math.sin(turn) * FRONT
        ray = math.cos(turn) * FRONT + math.sin(turn) * LEFT_SIDE
        down = math.sin(tilt) * ray - math.cos(tilt) * HEAD
        ray = math.cos(tilt) * ray + math.sin(tilt) * HEAD
        right = -right if self.mirrored else right
        down, right = math.cos(roll) * down + math.sin(roll) * right, math.cos(roll) * right - math.sin(roll) * down
        return down, right, ray


@dataclass(frozen=True, eq=False)
class Exposure:
    """A view of one volume: source and detector in RAS+ millimetres.

    Pixel (r, c) has its centre at ``corner + r * row + c * column``.

    Attributes:
        source: position of the source; for parallel rays, their direction.
        parallel: whether the rays are parallel.
        corner: centre of the first pixel.
        row: step from a pixel to the pixel below.
        column: step from a pixel to the pixel at its right.
        size: rows and columns.
    """

    source: Vector
    parallel: bool
    corner: Vector
    row: Vector
    column: Vector
    size: tuple[int, int]

    @classmethod
    def of(cls, view: View, affine: np.ndarray, shape: tuple[int, int, int]) -> Exposure:
        """Places source and detector around a volume.

        Args:
            view: the view.
            affine: affine of the volume, (4, 4).
            shape: shape of the volume.
        """
        corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in shape])).reshape(3, 8)
        corners = (affine[:3, :3] @ corners).T + affine[:3, 3]
        centre = np.asarray(view.isocentre, float) if view.isocentre else corners.mean(axis=0)
        down, right, ray = view.axes()
        source, middle = ray, centre
        if view.source_to_detector is not None:
            source = centre - view.to_patient * ray
            middle = centre + (view.source_to_detector - view.to_patient) * ray
        size, pixel = view.size, view.pixel
        if size is None or pixel is None:
            seen = _seen(corners, source, middle, ray, view.parallel)
            extent = 2 * np.abs(seen @ np.stack([down, right], axis=1)).max(axis=0)
            if pixel is None and size is None:
                pixel = float(np.linalg.norm(affine[:3, :3], axis=0).min()) * view.magnification
            pixel = pixel or float((extent / np.array(size)).max())
            size = size or (math.ceil(extent[0] / pixel - 1e-6), math.ceil(extent[1] / pixel - 1e-6))
        if max(size) > LARGEST:
            raise DataError(
                f"a detector of {size[0]} x {size[1]} pixels of {pixel:g} mm is too large; take larger pixels"
            )
        middle = middle + view.shift[0] * down + view.shift[1] * right
        corner = middle - pixel * ((size[0] - 1) / 2 * down + (size[1] - 1) / 2 * right)
        return cls(source, view.parallel, corner, pixel * down, pixel * right, size)

    def cropped(self, rows: slice, columns: slice) -> Exposure:
        """Returns the exposure of a part of the detector."""
        corner = self.corner + rows.start * self.row + columns.start * self.column
        size = rows.stop - rows.start, columns.stop - columns.start
        return dataclasses.replace(self, corner=corner, size=size)

    @property
    def pixel(self) -> float:
        """Size of a pixel on the detector, mm."""
        return float(np.linalg.norm(self.row))


def _seen(points: np.ndarray, source: Vector, middle: Vector, ray: Vector, parallel: bool) -> np.ndarray:
    """Projects points to the plane of the detector, relative to its middle, mm (n, 3)."""
    if parallel:
        return np.asarray(points - middle)
    ahead = (points - source) @ ray
    if ahead.min() <= 0:
        raise DataError("the source is inside the volume; move it away: source_to_patient is too short")
    return np.asarray(source + (points - source) * (((middle - source) @ ray) / ahead)[:, None] - middle)
