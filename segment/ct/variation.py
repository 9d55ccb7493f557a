"""Variants of the patient of one CT: another shape, tissues of other density, more fat, lesions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np

from artasyn.arrays import HIGHEST, LOWEST, Hounsfield
from artasyn.errors import DataError
from artasyn.fields import Count, Within, check_fields
from artasyn.segment.ct.attenuation import attenuation, hounsfield
from artasyn.segment.ct.body import find_body
from artasyn.segment.ct.deformation import Deformation
from artasyn.segment.ct.lesion import CTLesion, insert_lesion
from artasyn.segment.ct.volume import Volume

FAT = -100
"""Hounsfield units of fat."""

ROOM = -500
"""Hounsfield units below which a voxel counts as air around the patient, where fat may be added."""


Fat = Annotated[float, Within(0, 1000)]
"""A thickness of fat, mm."""


@dataclass(frozen=True)
class Variation:
    """A change of a patient, as plain numbers.

    Attributes:
        attenuations: names of structures, each with the factor that multiplies its attenuation.
        fat: thickness of the fat that is added around the patient in every axial slice, within the volume, mm.
        lesions: lesions that are inserted last, in this order. Their structures are called ``lesion_1`` and so on.
        deformation: the change of the patient's shape, which comes first; None for none.

    Raises:
        DataError: a number is out of range.
    """

    attenuations: Annotated[tuple[tuple[str, Annotated[float, Within(0, 1000)]], ...], Count(0, 10_000)] = ()
    fat: Fat = 0.0
    lesions: Annotated[tuple[CTLesion, ...], Count(0, "lesions")] = ()
    deformation: Deformation | None = None

    def __post_init__(self) -> None:
        check_fields(self, DataError)

    def __call__(self, volume: Volume) -> Volume:
        """Returns the changed patient with the lesions.

        Args:
            volume: the patient.

        Raises:
            DataError: the patient lacks one of the structures, or a lesion changes no voxel.
        """
        return self.diseased(self.healthy(volume))

    def healthy(self, volume: Volume) -> Volume:
        """Returns the changed patient without the lesions.

        Raises:
            DataError: the patient lacks one of the structures.
        """
        missing = [name for name, _ in self.attenuations if name not in volume.structures]
        if missing:
            raise DataError(f"no {', '.join(missing)} in this volume; the record belongs to another one")
        if self.deformation:
            volume = self.deformation(volume)
        if not (self.attenuations or self.fat):
            return volume
        hu = volume.hu.copy()
        for name, factor in self.attenuations:
            if name not in volume.structures:  # lost by the deformation, which notes it
                continue
            structure = volume.structures[name]
            part = hu[structure.box]
            part[structure.mask] = _multiplied(factor)[part[structure.mask].astype(np.intp) - LOWEST]
        if self.fat:
            _add_fat(hu, volume.spacing, self.fat)
        return dataclasses.replace(volume, hu=hu)

    def diseased(self, healthy: Volume) -> Volume:
        """Inserts the lesions into the result of `healthy`."""
        for number, lesion in enumerate(self.lesions, 1):
            healthy = insert_lesion(healthy, lesion, f"lesion_{number}")
        return healthy


def _multiplied(factor: float) -> np.ndarray:
    """Returns, for every Hounsfield unit from the lowest on, the unit with `factor` times the attenuation."""
    mu = factor * attenuation(np.arange(LOWEST, HIGHEST + 1)).astype(np.float64)
    return np.asarray(np.clip(np.rint(hounsfield(mu)), LOWEST, HIGHEST), np.int16)


def _add_fat(hu: Hounsfield, spacing: tuple[float, float, float], thickness: float) -> None:
    """Adds fat around the patient, in place."""
    size = (spacing[1] + spacing[2]) / 2
    within = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(_SKIN / size) + 1,) * 2)
    for part, body in zip(hu, find_body(hu, spacing), strict=True):
        beyond = 1 - cv2.erode(body.view(np.uint8), within)
        away = cv2.distanceTransform(beyond, cv2.DIST_L2, 3) * np.float32(size)
        part[(away > 0) & (away <= thickness + _SKIN) & (part < ROOM)] = FAT


_SKIN = 4.0  # largest distance of the patient's mask from the skin, mm
