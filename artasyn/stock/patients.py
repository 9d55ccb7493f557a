"""The patients of a stock as records: a phantom or a variant of a CT, and the views of it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from artasyn.errors import DataError
from artasyn.fields import Count, Interval, Share, Within, check_fields
from artasyn.phantom.film import Phantom, ThoraxRecord
from artasyn.records import read_record, record_text
from artasyn.segment.ct.variation import Variation
from artasyn.segment.ct.volume import Volume
from artasyn.segment.projection.view import View
from artasyn.stock.views import Patient

VOXEL = 2.5
"""Spacing of the volumes that are projected, mm."""


@dataclass(frozen=True)
class CTRecord:
    """A CT with its labels, by their files.

    Attributes:
        path: the CT.
        labels: its label map, or a folder of masks.
        names: the names of the label map's numbers; empty if the labels hold them.
    """

    path: str
    labels: str
    names: str = ""


@dataclass(frozen=True)
class PatientRecord:
    """A patient and its views, as plain numbers.

    Attributes:
        phantom: the thorax; None for a CT.
        ct: the CT; None for a phantom.
        variation: the change of the CT.
        views: the views.

    Raises:
        DataError: neither a phantom nor a CT, or both.
    """

    phantom: ThoraxRecord | None = None
    ct: CTRecord | None = None
    variation: Variation = Variation()
    views: Annotated[tuple[View, ...], Count(1, 1000)] = (View(),)

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

    def patient(self, name: str) -> Patient:
        """Makes the patient; deterministic.

        Args:
            name: name of the patient.

        Raises:
            DataError: a file of the CT cannot be read, or there are no lungs.
        """
        if self.phantom is not None:
            return Patient.of(Volume.of_phantom(Phantom().volume(self.phantom, spacing=VOXEL)), name)
        assert self.ct is not None
        return Patient.of(self.variation(_read(self.ct)), name)


@functools.lru_cache(maxsize=2)
def _read(ct: CTRecord) -> Volume:
    return Volume.read(ct.path, ct.labels, ct.names or None)


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

    frontal: Annotated[int, Within(0, 1000)] = 2
    around: Annotated[int, Within(0, 1000)] = 1
    turn: Annotated[float, Within(0, 45)] = 4.0
    tilt: Annotated[float, Within(0, 30)] = 4.0
    distance_range: Interval[Annotated[float, Within(600, 5000)]] = (1000.0, 2000.0)
    anteroposterior: Share = 0.25

    def __post_init__(self) -> None:
        check_fields(self, DataError)

    def draw(self, rng: np.random.Generator) -> tuple[View, ...]:
        """Draws the views of one patient."""
        views = []
        for number in range(self.frontal + self.around):
            angle = float(rng.uniform(-180, 180))
            if number < self.frontal:
                angle = 180.0 * bool(rng.random() < self.anteroposterior) + float(np.clip(rng.normal(0, self.turn), -25, 25))
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
    return PatientRecord(phantom=Phantom().draw(rng), views=views.draw(rng))
