"""Radiographs from CT, with the thickness of every structure along the rays and the masks that follow from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np

from artasyn.arrays import LEFT, RIGHT, Heatmap, Image, Mask, RayMap, SoftMasks, StructureMasks, Thickness
from artasyn.errors import DataError
from artasyn.fields import Within
from artasyn.segment.ct.volume import Volume
from artasyn.segment.lungs import Lungs
from artasyn.segment.places import Point, whole_place
from artasyn.segment.projection.rays import Rays
from artasyn.segment.projection.tone import BODY, Tone
from artasyn.segment.projection.view import Exposure, View
from artasyn.segment.structures import HIDING, find_members, members

THRESHOLD = 2.0
"""Length of a ray in a structure, mm, above which its pixel belongs to the mask."""

COVERED = 0.98
"""Share of a ray's path through the patient that the scan must hold for its pixel to count as covered."""

Frame = Literal["full", "covered", "film"]
"""Part of the detector that a projection shows."""

Margin = Annotated[float, Within(0, 10)]
Margins = tuple[Margin, Margin, Margin, Margin]
"""Margins above, below, left and right of the lungs' box, as shares of the box's longer side."""

MARGINS: Margins = (0.08, 0.08, 0.08, 0.08)

Convention = Literal["visible", "projected"]
"""Extent of the lungs: the part visible beside heart and abdomen, or all lung along the rays."""


@dataclass(frozen=True, eq=False)
class Projection:
    """A radiograph of a volume, with the thickness of every structure along the same rays.

    Attributes:
        attenuation: line integrals of attenuation, float32 (h, w).
        thickness: length of every ray in each structure, mm, float32 (k, h, w); structures may overlap.
        names: names of the k structures.
        coverage: share of every ray's path through the patient's box that lies between the first and the last slice,
            float32 (h, w) in [0, 1]; 0 for rays beside the box. Rays through the box with less than 1 lack tissue.
        tone: the tone curve that makes the image.
        view: the view as given to `project`.
        spacing: size of a pixel on the detector, mm.
        spacing_isocentre: size of a pixel at the isocentre, mm; the scale for measures of the patient.
        start: the first pixel (row, column) of the projection on the detector of the view.
    """

    attenuation: RayMap
    thickness: Thickness
    names: tuple[str, ...]
    coverage: RayMap
    tone: Tone
    view: View
    spacing: float
    spacing_isocentre: float
    start: tuple[int, int] = (0, 0)

    @cached_property
    def image(self) -> Image:
        """The radiograph, float32 (h, w) in [0, 1], bright = dense."""
        return self.tone(self.attenuation)

    @property
    def field(self) -> tuple[slice, slice]:
        """Rows and columns of the projection on the detector of the view."""
        (row, column), (h, w) = self.start, self.attenuation.shape
        return slice(row, row + h), slice(column, column + w)

    @property
    def covered(self) -> Mask:
        """Pixels whose rays pass the patient within the scan, bool (h, w)."""
        return np.asarray(self.coverage >= COVERED)

    @property
    def pose(self) -> tuple[float, float, float]:
        """Turn, tilt and roll of the view, degrees."""
        return self.view.angle, self.view.tilt, self.view.roll

    @property
    def pixel(self) -> float:
        """Size of a pixel at the isocentre, mm."""
        return self.spacing_isocentre

    def sure(self, name: str) -> float:
        """Returns 1: the structures of a projection are known. `Anatomy` has the same method."""
        return 1.0

    def depth(self, name: str) -> RayMap:
        """Returns the length of every ray in a structure or a group, mm, float32 (h, w).

        Args:
            name: name of a structure, or a key of `artasyn.segment.structures.GROUPS`.

        Raises:
            DataError: there is no structure and no group of this name.
        """
        return self._depth(members(name, self.names))

    def _depth(self, names: Sequence[str]) -> RayMap:
        parts = [self.thickness[self.names.index(name)] for name in names]
        return np.asarray(np.add.reduce(parts) if parts else np.zeros(self.attenuation.shape, np.float32))

    def mask(self, name: str, threshold: float = THRESHOLD) -> Mask:
        """Returns the footprint of a structure or a group, bool (h, w).

        Args:
            name: name of a structure, or a key of `artasyn.segment.structures.GROUPS`.
            threshold: least length of a ray in it, mm.

        Raises:
            DataError: there is no structure and no group of this name.
        """
        return np.asarray(self.depth(name) > threshold)

    def masks(self, threshold: float = THRESHOLD) -> StructureMasks:
        """Returns the footprints of all structures, bool (k, h, w); overlap is kept.

        Args:
            threshold: least length of a ray in a structure, mm.
        """
        return np.asarray(self.thickness > threshold)

    def soft_masks(self, threshold: float = THRESHOLD) -> SoftMasks:
        """Returns footprints with soft borders, float32 (k, h, w): 0.5 at the threshold, 1 from twice the threshold on.

        Args:
            threshold: length of a ray in a structure, mm.
        """
        return np.asarray(np.clip(self.thickness / np.float32(2 * threshold), 0, 1))

    def soft_mask(self, name: str, threshold: float = THRESHOLD) -> Heatmap:
        """Returns the footprint of a structure or a group with a soft border, see `soft_masks`, float32 (h, w).

        Args:
            name: name of a structure, or a key of `artasyn.segment.structures.GROUPS`.
            threshold: length of a ray in it, mm.

        Raises:
            DataError: there is no structure and no group of this name.
        """
        return np.asarray(np.clip(self.depth(name) / np.float32(2 * threshold), 0, 1))

    def place(self, name: str) -> Point | None:
        """Returns the centroid of a structure, weighted by depth; None if it is not there, or if scan or image cut it.

        Args:
            name: name of a structure, or a key of `artasyn.segment.structures.GROUPS`.

        Raises:
            DataError: there is no structure and no group of this name.
        """
        depth = self.depth(name)
        return whole_place(depth, np.asarray(depth > THRESHOLD), self.covered)

    def lungs(self, convention: Convention = "visible", threshold: float = THRESHOLD, *, part: str = "lungs") -> Lungs:
        """Returns the lungs; a ray through both lungs counts for the lung with the longer path.

        Args:
            convention: ``projected`` is all lung along the rays; ``visible`` leaves out the footprints of the heart,
                the liver, the spleen and the stomach, as masks drawn on radiographs do (JSRT).
            threshold: least length of a ray in lung, mm.
            part: structure or group to which the lungs are limited, such as a lobe that anomalies are placed in.

        Raises:
            DataError: there are no lungs among the structures, or no such part.
        """
        members("lungs", self.names)
        right, left = (self._depth(find_members(side, self.names)) for side in ("lung_right", "lung_left"))
        if not (right.any() or left.any()):  # lungs without sides
            found = Lungs.from_mask(self.mask("lungs", threshold))
            labels = found.labels
        else:
            labels = np.where(right >= left, np.uint8(RIGHT), np.uint8(LEFT))
            labels[right + left <= threshold] = 0
        if convention == "visible":
            for name in HIDING:
                labels = np.where(self._depth(find_members(name, self.names)) > threshold, np.uint8(0), labels)
        if part != "lungs":
            labels = np.where(self.depth(part) > threshold, labels, np.uint8(0))
        return Lungs.from_labels(labels)

    def cropped(self, rows: slice, columns: slice) -> Projection:
        """Returns a part of the projection.

        Args:
            rows: rows of this image.
            columns: columns of this image.
        """
        rows, columns = (
            slice(*part.indices(n)) for part, n in zip((rows, columns), self.attenuation.shape, strict=True)
        )
        return dataclasses.replace(
            self,
            attenuation=np.ascontiguousarray(self.attenuation[rows, columns]),
            coverage=np.ascontiguousarray(self.coverage[rows, columns]),
            thickness=np.ascontiguousarray(self.thickness[:, rows, columns]),
            start=(self.start[0] + rows.start, self.start[1] + columns.start),
        )

    def covered_field(self) -> tuple[slice, slice]:
        """Returns the rows and columns whose rays do not leave the patient through the first or the last slice.

        Raises:
            DataError: this field has fewer than 16 rows.
        """
        rows = self._covered_rows()
        columns = np.flatnonzero((self.attenuation > BODY).any(axis=0))
        return rows, slice(int(columns[0]), int(columns[-1]) + 1)

    def in_coverage(self) -> Projection:
        """Returns the projection cropped to `covered_field`."""
        return self.cropped(*self.covered_field())

    def _covered_rows(self) -> slice:
        """Returns the longest run of rows that show the patient and cover the patient everywhere."""
        patient = self.attenuation > BODY
        lacking = (patient & ~self.covered).any(axis=1) | ~patient.any(axis=1)
        ends = np.flatnonzero(np.r_[True, lacking, True])
        longest = int(np.argmax(np.diff(ends)))
        first, last = int(ends[longest]), int(ends[longest + 1]) - 1
        if last - first < 16:
            raise DataError(
                "fewer than 16 rows of this view are covered by the scan; tilt less, or use a scan that reaches farther"
            )
        return slice(first, last)

    def film_field(self, margins: Margins = MARGINS) -> tuple[slice, slice]:
        """Returns the rows and columns that a chest radiograph shows: around the lungs, within the covered rows.

        Args:
            margins: margins above, below, left and right of the lungs' box, as shares of the box's longer side.

        Raises:
            DataError: there are no lungs, or they are not covered.
        """
        rows = self._covered_rows()
        lungs = self.mask("lungs")
        down, across = np.flatnonzero(lungs.any(axis=1)), np.flatnonzero(lungs.any(axis=0))
        if down.size < 16 or across.size < 16:
            raise DataError("no lungs in this view; project a view that shows them, or crop with in_coverage")
        above, below, left, right = (round(margin * max(np.ptp(down), np.ptp(across))) for margin in margins)
        top, bottom = max(rows.start, int(down[0]) - above), min(rows.stop, int(down[-1]) + below + 1)
        if bottom - top < 16:
            raise DataError("the lungs of this view are not covered by the scan; tilt less")
        width = self.attenuation.shape[1]
        return slice(top, bottom), slice(max(0, int(across[0]) - left), min(width, int(across[-1]) + right + 1))

    def as_film(self) -> Projection:
        """Returns the projection cropped to `film_field`."""
        return self.cropped(*self.film_field())


def project(
    volume: Volume,
    view: View = View(),
    *,
    frame: Frame = "full",
    margins: Margins = MARGINS,
    structures: Sequence[str] | None = None,
    tone: Tone | None = None,
) -> Projection:
    """Projects a CT to a radiograph, with the thickness of every structure along the same rays.

    Args:
        volume: the patient.
        view: where source and detector are.
        frame: part of the detector: ``full``, the part that the scan ``covered``, or the field of a chest ``film``, see
            `Projection.film_field`.
        margins: margins of a ``film``, see `Projection.film_field`.
        structures: names or groups to project; None for all.
        tone: the tone curve that makes the image; None for the curve of all covered pixels, independent of the frame,
            see `Tone.film`.

    Raises:
        DataError: no such structures, the source is not outside the volume, or the scan does not cover the frame.

    Source: geometry and physics of digitally reconstructed radiographs; masks from projected labels: PAXRay (Seibold
        et al. 2022, 2023) and AnyCXR (Dong et al. 2025), there by density or occupancy, here in millimetres.

    Example:
        >>> from artasyn import Phantom
        >>> phantom = Phantom()
        >>> volume = Volume.of_phantom(phantom.volume(phantom.draw(np.random.default_rng(0)), spacing=6.0))
        >>> film = project(volume, View(size=(128, 128)))
        >>> film.image.shape, len(film.thickness) == len(volume.structures), bool(film.mask("lungs").any())
        ((128, 128), True, True)
    """
    rays = rays_of(volume, view)
    attenuation = np.zeros(rays.exposure.size, np.float32)
    part, integral = rays.through(volume.matter.attenuation, volume.matter.start)
    attenuation[part] = integral
    coverage = rays.coverage(volume.matter.box)
    tone = tone or Tone.film(attenuation, coverage >= COVERED)
    lungs = members("lungs", volume.structures) if frame == "film" else []
    depths = thickness_of(volume, lungs, rays)
    whole = Projection(attenuation, depths, tuple(lungs), coverage, tone, view, rays.exposure.pixel, rays.pixel)
    if frame != "full":
        field = whole.film_field(margins) if frame == "film" else whole.covered_field()
        whole, rays = whole.cropped(*field), rays.cropped(*field)
    names = list(volume.structures)
    if structures is not None:
        names = list(dict.fromkeys(name for wanted in structures for name in members(wanted, names)))
    return dataclasses.replace(whole, thickness=thickness_of(volume, names, rays), names=tuple(names))


def thickness_of(volume: Volume, names: Sequence[str], rays: Rays) -> Thickness:
    """Returns the length of every ray in structures, mm, float32 (k, h, w).

    Args:
        volume: the patient.
        names: names of the k structures.
        rays: the rays through the volume.
    """
    thickness = np.zeros((len(names), *rays.exposure.size), np.float32)
    for place, name in enumerate(names):
        part, depth = rays.through(volume.structures[name].mask, volume.structures[name].start)
        thickness[place][part] = depth
    return thickness


def rays_of(volume: Volume, view: View) -> Rays:
    """Returns the rays of a view through a volume.

    Args:
        volume: the patient.
        view: where source and detector are.

    Raises:
        DataError: the source is not outside the volume.
    """
    exposure = Exposure.of(view, volume.affine, volume.hu.shape)
    return Rays(exposure, volume.affine, volume.hu.shape, exposure.pixel / view.magnification)
