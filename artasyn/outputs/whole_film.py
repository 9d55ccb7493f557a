"""Films of chests that never existed: a phantom or a CT, projected and developed as a drawn record says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from artasyn.arrays import Image, generator
from artasyn.bulk.patients import Patients
from artasyn.bulk.sources import Source
from artasyn.errors import DataError
from artasyn.fields import Seed, Within, check_fields
from artasyn.phantom.film import Phantom, ThoraxRecord
from artasyn.records import read_record, record_text
from artasyn.remote.urls import copy_of
from artasyn.segment.ct.volume import Volume
from artasyn.segment.projection.projection import Projection
from artasyn.segment.projection.quality import check_projection
from artasyn.segment.projection.randomisation import DomainRandomisation, Film
from artasyn.segment.projection.view import View

SPACING = 2.0
"""Size of the voxels of a phantom that is projected, mm."""

PIXEL = 0.7
"""Size of the film's pixels on the detector, mm."""

ATTEMPTS = 5
"""Films that are drawn of one chest before it counts as one without a usable film."""

GROWN = 0.85
"""Least growth of an adult; quality control knows the sizes of adults."""

FRONTAL = DomainRandomisation(
    attenuation_share=0.0,
    turn_range=(-4.0, 4.0),
    tilt_range=(-3.0, 3.0),
    roll_range=(-2.0, 2.0),
    gamma_range=(0.8, 1.25),
    contrast_range=(0.8, 1.3),
    invert_share=0.0,
    extras_share=0.15,
)
"""How films of a ward differ: less than films that a network is trained to read."""


@dataclass(frozen=True)
class WholeFilm:
    """The record of a healthy film of a phantom or a CT; it remakes the film and its anatomy bit for bit.

    Attributes:
        seed: the seed of the view, the look and the change of a CT.
        copy: which film of this seed it is.
        thorax: the phantom; None for a CT.
        ct: the file of the CT, or its URL; empty for a phantom.
        labels: the label map of the CT, or a folder of masks.
        names: the file with the names of the label map's numbers; empty if the labels hold them.

    Raises:
        DataError: a number is out of range, or there is neither a phantom nor a CT, or both.
    """

    seed: Seed
    copy: Annotated[int, Within(0, 2**31)]
    thorax: ThoraxRecord | None = None
    ct: str = ""
    labels: str = ""
    names: str = ""

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        if (self.thorax is None) != bool(self.ct):
            raise DataError("a healthy film is that of a phantom or of a CT")

    @classmethod
    def draw(cls, seed: int, digest: str, copy: int) -> WholeFilm:
        """Draws a phantom of an adult.

        Args:
            seed: the seed that the user gave.
            digest: of the prompt that the film is made for.
            copy: which film of the prompt it is.
        """
        rng = generator(seed, digest, copy, 1)
        thorax = Phantom().draw(rng)
        while thorax.growth < GROWN:
            thorax = Phantom().draw(rng)
        return cls(seed, copy, thorax)

    def volume(self) -> Volume:
        """Makes the phantom, or reads the CT.

        Raises:
            DataError: the CT cannot be read, or quality control rejects it.
            SynthesisError: the numbers give no thorax.
        """
        if self.thorax is not None:
            return Volume.of_phantom(Phantom().volume(self.thorax, spacing=SPACING))
        names = copy_of(self.names) if self.names else None
        path = copy_of(self.ct)
        volume, quality = Patients(copy_of(self.labels), names, alone=True).read(Source(path, path.name))
        if not quality.ok:
            raise DataError(f"{path}: rejected by quality control: {'; '.join(quality.reasons)}")
        return volume

    def film(self) -> tuple[Image, Projection]:
        """Makes the film, and its projection with the masks of every structure, on one grid.

        The grey values are multiples of 1/65535, so that a PNG of 16 bits holds them exactly.

        Raises:
            DataError: quality control rejects every film that is drawn.
            SynthesisError: the numbers give no thorax.
        """
        volume = self.volume()
        ways = FRONTAL if self.thorax is not None else replace(FRONTAL, deformation_share=1.0)
        rejected: list[str] = []
        for attempt in range(ATTEMPTS):
            rng = generator(self.seed, self.copy, attempt, 2)
            record = ways.draw(volume, rng, view=View(size=None, pixel=PIXEL))
            try:
                made = Film.of(volume, replace(record, look=replace(record.look, frame="film")))
            except DataError as error:
                rejected.append(str(error))
                continue
            quality = check_projection(made.projection)
            if quality.ok:
                return np.asarray(np.rint(made.image * 65535) / np.float32(65535), np.float32), made.projection
            rejected.append("; ".join(quality.reasons))
        raise DataError(f"none of {ATTEMPTS} films of this chest can be used: {' | '.join(dict.fromkeys(rejected))}")

    def to_json(self) -> str:
        """Returns this record as JSON; `from_json` reads the JSON back."""
        return record_text(self)

    @classmethod
    def from_json(cls, text: str) -> WholeFilm:
        """Reads a record that `to_json` wrote.

        Raises:
            DataError: the text is no such record.
        """
        return read_record(text, cls, what="the record of a healthy film", error=DataError)
