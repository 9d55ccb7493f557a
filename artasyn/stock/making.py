"""A stock on disk: the records of its patients, their views, and the check of each that decides about its use."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from artasyn.bulk.run import Row, reason_of
from artasyn.bulk.sources import Source
from artasyn.errors import DataError, SynthesisError
from artasyn.fields import Seed, Within, check_fields
from artasyn.files.texts import read_text
from artasyn.segment.projection.quality import check_projection
from artasyn.stock.packed import VIEWS
from artasyn.stock.patients import (
    SIDE,
    VOXEL,
    CTRecord,
    PatientRecord,
    Side,
    Views,
    Voxel,
    draw_phantom,
    draw_variant,
)
from artasyn.stock.views import Patient

RECORDS = "records"
"""The folder, in a stock, that holds the records of its patients."""

REJECTED = "rejected"
"""The status of a patient or a view that quality control keeps out of the stock."""

FILES = ("view",)
COLUMNS = ("status", "reason", "patient", "number", *FILES, "angle", "spacing", "known", "notes")


@dataclass(frozen=True)
class Plan:
    """What a stock is made of.

    Attributes:
        phantoms: number of phantoms.
        variants: number of patients made from each CT; the first is the CT as it is, the others are other people.
        size: rows and columns of the views.
        spacing: size of the voxels that are projected, mm.
        views: the views of a patient.
        seed: another seed, other patients.
    """

    phantoms: Annotated[int, Within(0, 100_000)] = 0
    variants: Annotated[int, Within(1, 1000)] = 1
    size: Side = SIDE
    spacing: Voxel = VOXEL
    views: Views = Views()  # noqa: RUF009 (frozen)
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_fields(self, DataError)

    def phantom_records(self) -> Iterator[tuple[str, PatientRecord]]:
        """Yields the names and records of the phantoms."""
        for number in range(self.phantoms):
            record = self._sized(draw_phantom(self.views, self.seed, number))
            yield record.name, record

    def ct_records(self, ct: CTRecord, name: str) -> Iterator[tuple[str, PatientRecord]]:
        """Yields the names and records of the patients that are made from one CT.

        Args:
            ct: the CT.
            name: name of the CT.
        """
        for number in range(self.variants):
            yield f"{name}_{number:03d}", self._sized(draw_variant(ct, name, self.views, self.seed, number))

    def _sized(self, record: PatientRecord) -> PatientRecord:
        return dataclasses.replace(record, spacing=self.spacing, size=self.size)


@dataclass(frozen=True)
class MakeViews:
    """Makes, checks and writes the views of one patient.

    Attributes:
        out: the folder of the stock.
    """

    out: Path

    def __call__(self, source: Source) -> list[Row]:
        """Returns a row of the manifest for each view, or one row for a patient that is rejected.

        Args:
            source: the record of the patient.

        Raises:
            DataError: the record, the CT or its labels cannot be read.
        """
        record = PatientRecord.from_json(read_text(source.path))
        about: Row = {"patient": record.name}
        try:
            volume, quality = record.volume()
        except SynthesisError as error:  # the numbers of a phantom give no thorax
            return [about | {"status": REJECTED, "reason": reason_of(error)}]
        about["notes"] = "; ".join(quality.notes)
        if not quality.ok:
            return [about | {"status": REJECTED, "reason": "; ".join(quality.reasons)}]
        patient = Patient.of(volume, record.name, record.told(volume))
        return [
            about | {"number": number} | self._view(patient, record, number, f"{VIEWS}/{source.name}_{number}.npz")
            for number in range(len(record.views))
        ]

    def _view(self, patient: Patient, record: PatientRecord, number: int, file: str) -> Row:
        """Makes a view, writes it unless it is rejected, and returns its columns."""
        view = record.views[number]
        seen, projection = patient.seen(view, record.size)
        row: Row = {"angle": f"{view.angle:.1f}", "spacing": f"{seen.spacing:.4f}"}
        quality = check_projection(projection, exact=record.phantom is not None)
        if not quality.ok:
            return row | {"status": REJECTED, "reason": "; ".join(quality.reasons)}
        seen.write(self.out / file)
        return row | {"status": "ok", "view": file, "known": int(seen.channels()[1].sum())}
