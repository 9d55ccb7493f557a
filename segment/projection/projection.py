"""Radiographs from CT: an image, how far every ray runs in every structure, and the masks that follow from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from artasyn.arrays import LEFT, RIGHT, Image, Mask, RayMap, SoftMasks, StructureMasks, Thickness
from artasyn.errors import DataError
from artasyn.segment.ct.volume import Volume
from artasyn.segment.lungs import Lungs
from artasyn.segment.projection.rays import Rays
from artasyn.segment.projection.tone import BODY, Tone
from artasyn.segment.projection.view import Exposure, View
from artasyn.segment.structures import HIDING, find_members, members

THRESHOLD = 2.0
"""How far a ray must run in a structure, mm, for its pixel to be in the mask."""

COVERED = 0.98
"""The share of a ray's way through the patient that must be scanned for its pixel to count as covered."""

Frame = Literal["full", "covered", "film"]
"""Which part of a detector."""

Margins = tuple[float, float, float, float]
"""Above, below, left and right of the lungs' box, as shares of its longer side."""

MARGINS: Margins = (0.08, 0.08, 0.08, 0.08)

Convention = Literal["visible", "projected"]
"""Which lung: what a film shows of it beside heart and abdomen, or all that lies along the rays."""


@dataclass(frozen=True, eq=False)
class Projection:
    """A radiograph of a volume with what every ray has passed.

    Attributes:
        attenuation: line integrals of attenuation, float32 (h, w).
        thickness: mm that every ray runs in each structure, float32 (k, h, w); structures may overlap.
        names: of the k structures.
        coverage: share of every ray's way through the patient's box that lies between the first and the last slice,
            float32 (h, w) in [0, 1]; 0 beside the patient's box. Elsewhere than at 1 the image lacks tissue.
        tone: makes the image.
        view: as it was asked for.
        spacing: of pixels on the detector, mm.
        spacing_isocentre: of pixels at the isocentre, mm: what measures of the patient are close to.
        start: its first pixel (row, column) on the detector of the view.
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
        """Its rows and columns on the detector of the view."""
        (row, column), (h, w) = self.start, self.attenuation.shape
        return slice(row, row + h), slice(column, column + w)

    @property
    def covered(self) -> Mask:
        """Where rays pass the patient within the scan, bool (h, w)."""
        return np.asarray(self.coverage >= COVERED)

    def depth(self, name: str) -> RayMap:
        """How far every ray runs in a structure or a group, mm, float32 (h, w).

        Args:
            name: of a structure, or a key of `artasyn.segment.structures.GROUPS`.

        Raises:
            DataError: there is none of that name.
        """
        return self._depth(members(name, self.names))

    def _depth(self, names: Sequence[str]) -> RayMap:
        parts = [self.thickness[self.names.index(name)] for name in names]
        return np.asarray(np.add.reduce(parts) if parts else np.zeros(self.attenuation.shape, np.float32))

    def mask(self, name: str, threshold: float = THRESHOLD) -> Mask:
        """The footprint of a structure or a group, bool (h, w).

        Args:
            name: of a structure, or a key of `artasyn.segment.structures.GROUPS`.
            threshold: mm that a ray must run in it.

        Raises:
            DataError: there is none of that name.
        """
        return np.asarray(self.depth(name) > threshold)

    def masks(self, threshold: float = THRESHOLD) -> StructureMasks:
        """The footprints of all structures, bool (k, h, w); overlap is kept.

        Args:
            threshold: mm that a ray must run in a structure.
        """
        return np.asarray(self.thickness > threshold)

    def soft_masks(self, threshold: float = THRESHOLD) -> SoftMasks:
        """Footprints with soft borders, float32 (k, h, w): 0.5 at the threshold, 1 from twice as far on.

        Args:
            threshold: mm.
        """
        return np.asarray(np.clip(self.thickness / np.float32(2 * threshold), 0, 1))

    def lungs(self, convention: Convention = "visible", threshold: float = THRESHOLD, *, part: str = "lungs") -> Lungs:
        """The lungs, as synthesis and detectors ask for them; where both lie in a ray, the one it runs farther in.

        Args:
            convention: ``projected`` is all lung along the rays; ``visible`` leaves out the footprints of the heart,
                the liver, the spleen and the stomach, as masks drawn on films do (JSRT).
            threshold: mm that a ray must run in lung.
            part: of the lungs, a lobe for instance, to place anomalies there alone: a structure or a group.

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
        """A part of it.

        Args:
            rows: of this image.
            columns: of this image.
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
        """The field whose rays do not leave the patient through the first or the last slice: no rims.

        Raises:
            DataError: there is no such part of 16 rows.
        """
        rows = self._covered_rows()
        columns = np.flatnonzero((self.attenuation > BODY).any(axis=0))
        return rows, slice(int(columns[0]), int(columns[-1]) + 1)

    def in_coverage(self) -> Projection:
        """The part in `covered_field`."""
        return self.cropped(*self.covered_field())

    def _covered_rows(self) -> slice:
        """The most rows, one after the other, in which the patient is there and covered everywhere."""
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
        """The field that a chest film shows, rows and columns: around the lungs, as far as it is covered.

        Args:
            margins: above, below, left and right of the lungs' box, as shares of its longer side.

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
        """The part in `film_field`."""
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
    """Takes a radiograph of a CT, and every structure's thickness along the same rays.

    Args:
        volume: the patient.
        view: where source and detector are.
        frame: the part of the detector that is wanted: ``full``, what the scan ``covered``, or the field of a chest
            ``film``, see `Projection.film_field`.
        margins: of the film, see there.
        structures: names or groups to project; None for all.
        tone: makes the image; None for the one that suits all that is covered, whatever the frame, see
            `Tone.film`.

    Raises:
        DataError: no such structures, the source is not outside of the volume, or the scan covers no such part.

    Source: geometry and physics of digitally reconstructed radiographs; masks from projected labels: PAXRay (Seibold
        et al. 2022, 2023) and AnyCXR (Dong et al. 2025), there by density or occupancy, here in millimetres.

    Example:
        >>> from artasyn import Phantom
        >>> phantom = Phantom()
        >>> volume = Volume.of_phantom(phantom.volume(phantom.draw(np.random.default_rng(0)), spacing=6.0))
        >>> film = project(volume, View(size=(128, 128)))
        >>> film.image.shape, film.thickness.shape, bool(film.mask("lungs").any())
        ((128, 128), (11, 128, 128), True)
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
    """How far every ray runs in structures, mm, float32 (k, h, w).

    Args:
        volume: the patient.
        names: of the k structures.
        rays: through the volume.
    """
    thickness = np.zeros((len(names), *rays.exposure.size), np.float32)
    for place, name in enumerate(names):
        part, depth = rays.through(volume.structures[name].mask, volume.structures[name].start)
        thickness[place][part] = depth
    return thickness


def rays_of(volume: Volume, view: View) -> Rays:
    """The rays of a view through a volume.

    Args:
        volume: the patient.
        view: where source and detector are.

    Raises:
        DataError: the source is not outside of the volume.
    """
    exposure = Exposure.of(view, volume.affine, volume.hu.shape)
    return Rays(exposure, volume.affine, volume.hu.shape, exposure.pixel / view.magnification)
