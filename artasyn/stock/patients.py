"""The patients of a stock as records: a phantom or a variant of a CT, and the views of it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from artasyn.arrays import generator
from artasyn.bulk.patients import Patients
from artasyn.bulk.sources import Source
from artasyn.errors import DataError
from artasyn.fields import Count, Interval, Share, Within, check_fields
from artasyn.phantom.film import Phantom, ThoraxRecord
from artasyn.records import read_record, record_text
from artasyn.remote.urls import copy_of
from artasyn.segment.ct.deformation import Deformation
from artasyn.segment.ct.truth import known
from artasyn.segment.ct.variation import Variation
from artasyn.segment.ct.volume import Volume
from artasyn.segment.projection.quality import Quality
from artasyn.segment.projection.view import View
from artasyn.segment.structures import find_members
from artasyn.stock.views import Patient

Voxel = Annotated[float, Within(1, 6)]
"""Spacing of the volumes that are projected, mm."""

Side = Annotated[int, Within(32, 1024)]
"""Rows and columns of a view."""

SHALLOW, HEARTS, RAISED = 0.45, 0.5, 0.2
"""Shares of the phantoms with a shallow breath, with a heart of another size, and with raised arms."""

VOXEL, SIDE = 2.5, 224
"""The usual spacing, mm, and the usual rows and columns."""

PROLONGED = (60.0, 60.0)
"""What is added to a CT at the head and at the feet, mm, so that rays at a film's margins stay in tissue."""

FAT_SHARE, FAT = 0.3, (3.0, 25.0)
"""Share of the variants of a CT with more fat, and its thickness, mm."""


@dataclass(frozen=True)
class CTRecord:
    """A CT with its labels, by their files or URLs.

    Attributes:
        path: the CT.
        labels: its label map, or a folder of masks.
        names: the names of the label map's numbers; empty if the labels hold them.
        resample: whether labels on another grid are resampled to the CT.
    """

    path: str
    labels: str
    names: str = ""
    resample: bool = False


@dataclass(frozen=True)
class PatientRecord:
    """A patient and its views, as plain numbers.

    Attributes:
        name: name of the patient; all variants of a CT are one patient.
        phantom: the thorax; None for a CT.
        ct: the CT; None for a phantom.
        variation: the change of the CT.
        views: the views.
        spacing: spacing of the volume that is projected, mm.
        size: rows and columns of the views.

    Raises:
        DataError: a number is out of range, or there is neither a phantom nor a CT, or both.
    """

    name: str
    phantom: ThoraxRecord | None = None
    ct: CTRecord | None = None
    variation: Variation = Variation()  # noqa: RUF009 (frozen)
    views: Annotated[tuple[View, ...], Count(1, 1000)] = (View(),)
    spacing: Voxel = VOXEL
    size: Side = SIDE

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        if (self.phantom is None) == (self.ct is None):
            raise DataError("a patient is a phantom or a CT")

    def to_json(self) -> str:
        """Returns the record as JSON."""
        return record_text(self)

    @classmethod
    def from_json(cls, text: str) -> PatientRecord:
        """Reads a record that `to_json` wrote.

        Raises:
            DataError: the text is not a record.
        """
        return read_record(text, cls, what="the record of a patient", error=DataError)

    def volume(self) -> tuple[Volume, Quality]:
        """Makes the volume, deterministic, and checks its quality.

        A CT is checked before it is changed. A phantom's labels are exact, and nothing in it is checked.

        Raises:
            DataError: a file of the CT cannot be read, or the CT cannot be changed so.
            SynthesisError: the numbers give no thorax.
        """
        if self.phantom is not None:
            return Volume.of_phantom(Phantom().volume(self.phantom, spacing=self.spacing)), Quality()
        assert self.ct is not None
        volume, quality = _read(self.ct)
        if not quality.ok:
            return volume, quality
        return _suited(self.variation, volume)(_resampled(volume, self.spacing)), quality

    def told(self, volume: Volume) -> tuple[str, ...] | None:
        """Returns the channels that the labels of the volume tell; None for all: a phantom is labelled throughout."""
        return None if self.phantom is not None else known(volume)

    def patient(self) -> Patient:
        """Makes the patient, whatever its quality.

        Raises:
            DataError: there are no lungs, or under the conditions of `volume`.
            SynthesisError: the numbers give no thorax.
        """
        volume, _ = self.volume()
        return Patient.of(volume, self.name, self.told(volume))


def _read(ct: CTRecord) -> tuple[Volume, Quality]:
    """Reads a CT, or returns the one that was read last, see `Patients.read`."""
    names = copy_of(ct.names) if ct.names else None
    patients = Patients(copy_of(ct.labels), names, alone=True, resample=ct.resample, run="stock")
    return patients.read(Source(copy_of(ct.path), ct.path))


@functools.lru_cache(maxsize=1)
def _resampled(volume: Volume, spacing: float) -> Volume:
    return volume.resampled(spacing)


def _suited(variation: Variation, volume: Volume) -> Variation:
    """Returns a variation that leaves the heart as it is where none is labelled."""
    shape = variation.deformation
    if shape is None or find_members("heart", volume.structures):
        return variation
    return dataclasses.replace(variation, deformation=dataclasses.replace(shape, heart_width=1.0, heart_height=1.0))


@dataclass(frozen=True)
class Views:
    """The ranges of the views of a patient.

    Attributes:
        frontal: number of frontal views.
        around: number of views from any side.
        turn: standard deviation of a frontal view's turn, degrees.
        tilt: standard deviation of the tilt, degrees.
        distance_range: distance from source to detector, mm.
        anteroposterior: share of the frontal views from the front.
    """

    frontal: Annotated[int, Within(0, 100)] = 2
    around: Annotated[int, Within(0, 100)] = 1
    turn: Annotated[float, Within(0, 45)] = 4.0
    tilt: Annotated[float, Within(0, 30)] = 4.0
    distance_range: Interval[Annotated[float, Within(600, 5000)]] = (1000.0, 2000.0)
    anteroposterior: Share = 0.25

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        if self.frontal + self.around == 0:
            raise DataError("a patient has one view at least; raise frontal or around")

    def draw(self, rng: np.random.Generator) -> tuple[View, ...]:
        """Draws the views of one patient."""
        views = []
        for number in range(self.frontal + self.around):
            angle = float(rng.uniform(-180, 180))
            if number < self.frontal:
                front = 180.0 * bool(rng.random() < self.anteroposterior)
                angle = front + float(np.clip(rng.normal(0, self.turn), -25, 25))
            tilt = float(np.clip(rng.normal(0, self.tilt), -20, 20))
            views.append(View(angle, tilt=tilt, source_to_detector=float(rng.uniform(*self.distance_range))))
        return tuple(views)


def draw_phantom(views: Views, seed: int, number: int) -> PatientRecord:
    """Draws a phantom and its views.

    Args:
        views: the ranges of the views.
        seed: of the stock.
        number: of the patient; every number gives another patient.
    """
    rng = np.random.default_rng([seed, number])
    thorax = Phantom().draw(rng)
    return PatientRecord(f"phantom_{number:05d}", phantom=_widened(thorax, rng), views=views.draw(rng))


def _widened(thorax: ThoraxRecord, rng: np.random.Generator) -> ThoraxRecord:
    """Returns a thorax as hospitals see it: often in shallow inspiration, with a heart of any size, or raised arms.

    A network that has only seen deep breaths and usual hearts takes their mean where a film shows little.
    """
    if rng.random() < SHALLOW:
        thorax = dataclasses.replace(
            thorax,
            height=thorax.height * rng.uniform(0.72, 1.0),
            sulcus=max(12.0, thorax.sulcus * rng.uniform(0.3, 1.1)),
        )
    if rng.random() < HEARTS:
        size = rng.uniform(0.8, 1.4, 3)
        thorax = dataclasses.replace(
            thorax,
            heart_left=min(thorax.heart_left * size[0], 0.95 * thorax.width),
            heart_right=min(thorax.heart_right * size[1], 0.6 * thorax.width),
            heart_rise=thorax.heart_rise * (0.5 + 0.5 * size[2]),
        )
    return dataclasses.replace(thorax, arm=150.0) if rng.random() < RAISED else thorax


def draw_variant(ct: CTRecord, name: str, views: Views, seed: int, number: int) -> PatientRecord:
    """Draws a variant of a CT and its views.

    Args:
        ct: the CT.
        name: name of the CT.
        views: the ranges of the views.
        seed: of the stock.
        number: of the variant; 0 for the CT as it is.
    """
    identity = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    rng = generator(seed, identity, number)
    drawn, shape = views.draw(rng), Deformation()
    fat = float(rng.uniform(*FAT)) if rng.random() < FAT_SHARE and number else 0.0
    if number:
        shape = Deformation.draw(rng)
    variation = Variation(fat=fat, deformation=dataclasses.replace(shape, prolonged=PROLONGED))
    return PatientRecord(name, ct=ct, variation=variation, views=drawn)
