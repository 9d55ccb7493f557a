"""Projections of one patient with and without a lesion, with the added attenuation and the mask of changed pixels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from artasyn.arrays import Mask, RayMap
from artasyn.errors import DataError
from artasyn.segment.ct.attenuation import attenuations
from artasyn.segment.ct.lesion import CTLesion, insert_lesion
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.projection.projection import Projection, project, rays_of, thickness_of
from artasyn.segment.projection.view import View

TOLERANCE = 1 / 255
"""Smallest change of a pixel, in image units: one grey level of 8 bits. Smaller changes are not added."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A healthy and a diseased projection of the same patient, view and tone.

    Attributes:
        healthy: the projection without the lesion.
        diseased: the projection with the lesion as its last structure. Its image differs from the healthy image
            exactly where `mask` is true.
        mask: pixels that changed, bool (h, w).
        change: line integrals of attenuation that were added, float32 (h, w); 0 outside the mask.
    """

    healthy: Projection
    diseased: Projection
    mask: Mask
    change: RayMap

    @classmethod
    def of(cls, volume: Volume, lesion: CTLesion, view: View = View(), *, tolerance: float = TOLERANCE) -> Pair:
        """Projects a patient without and with a lesion.

        Args:
            volume: the healthy patient.
            lesion: the lesion of the diseased patient.
            view: the view of both projections.
            tolerance: smallest change of a pixel that is shown.

        Raises:
            DataError: the lesion changes no voxel, see `insert_lesion`, or it does not show in this view.

        Example:
            >>> from artasyn import Phantom
            >>> phantom = Phantom()
            >>> volume = Volume.of_phantom(phantom.volume(phantom.draw(np.random.default_rng(0)), spacing=4.0))
            >>> lesion = CTLesion.draw(volume, np.random.default_rng(3), kind="consolidation", structure="lung_right")
            >>> pair = Pair.of(volume, lesion, View(size=(128, 128)))
            >>> bool(((pair.healthy.image != pair.diseased.image) == pair.mask).all())
            True
        """
        return cls.between(project(volume, view), volume, insert_lesion(volume, lesion), tolerance=tolerance)

    @classmethod
    def between(cls, healthy: Projection, volume: Volume, ill: Volume, *, tolerance: float = TOLERANCE) -> Pair:
        """Makes a pair from a healthy projection and both volumes.

        Args:
            healthy: projection of `volume`.
            volume: the healthy patient.
            ill: the same patient with a lesion.
            tolerance: smallest change of a pixel that is shown.

        Raises:
            DataError: both volumes are equal, or their difference does not show.
        """
        if np.array_equal(ill.hu, volume.hu):
            raise DataError("both volumes are alike: no lesion was put in")
        new = [name for name in ill.structures if name not in volume.structures]
        rays = rays_of(volume, healthy.view).cropped(*healthy.field)
        added = Structure.of(ill.hu != volume.hu)
        part, change = rays.through(attenuations(ill.hu[added.box]) - attenuations(volume.hu[added.box]), added.start)
        whole = np.zeros(healthy.attenuation.shape, np.float32)
        whole[part] = change
        mask = np.asarray(np.abs(healthy.tone(healthy.attenuation + whole) - healthy.image) >= tolerance)
        if not mask.any():
            raise DataError("nothing of the lesion shows in this view")
        whole *= mask
        diseased = dataclasses.replace(
            healthy,
            names=(*healthy.names, *new),
            attenuation=healthy.attenuation + whole,
            thickness=np.concatenate([healthy.thickness, thickness_of(ill, new, rays)]),
        )
        return cls(healthy, diseased, mask, whole)
