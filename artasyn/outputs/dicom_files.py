"""The DICOM objects of a command: segmentation, secondary capture and structured report of every film."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from artasyn.arrays import Picture
from artasyn.bulk.run import Outcome, Row, reason_of
from artasyn.bulk.sources import Source
from artasyn.errors import RadiographError
from artasyn.files import atomic
from artasyn.files.opened import Radiograph
from artasyn.outputs.dicom_instance import Made, Maker, library
from artasyn.outputs.dicom_sc import secondary_capture
from artasyn.outputs.dicom_seg import Segment, segmentation
from artasyn.outputs.dicom_source import SourceFilm
from artasyn.outputs.dicom_sr import Report, structured_report

REFUSED = "dicom_reason"
"""The column of a manifest that says why a film has no DICOM objects, or lacks one of them."""


PREFIX = "refused: "
"""The beginning of a reason that counts as a failure."""


@dataclass(frozen=True)
class DicomFiles:
    """Writes the DICOM objects of films.

    Attributes:
        out: the folder of results.
        wanted: the kinds of objects, in any order; none writes nothing.
        anonymous: whether what tells the patient is left out.
        maker: what made the results.

    Raises:
        MissingExtra: an object is wanted, and highdicom is not installed.
    """

    out: Path
    wanted: tuple[Made, ...]
    anonymous: bool
    maker: Maker

    def __post_init__(self) -> None:
        if self.wanted:
            library()

    @property
    def files(self) -> tuple[Made, ...]:
        """The columns of the manifest that name a file."""
        return tuple(kind for kind in get_args(Made) if kind in self.wanted)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the manifest; none if no object is wanted."""
        return (*self.files, REFUSED) if self.wanted else ()

    @property
    def settings(self) -> dict[str, object]:
        """The settings of the run that the objects depend on; none if no object is wanted."""
        return {"dicom": sorted(self.wanted), "anonymous": self.anonymous} if self.wanted else {}

    def write(
        self,
        source: Source,
        radiograph: Radiograph,
        segments: Iterable[Segment],
        picture: Picture,
        report: Callable[[], Report],
        *,
        unusable: Sequence[str] = (),
    ) -> Row:
        """Writes the objects of one film.

        Args:
            source: the film, whose name the files carry.
            radiograph: the opened film.
            segments: its regions; empty structures are left out.
            picture: uint8 (rows, columns, 3), RGB.
            report: returns its figures.
            unusable: why the film cannot be judged; such a film gets no objects.

        Returns:
            The values of `columns` for the manifest.
        """
        if not self.wanted:
            return {}
        if unusable:
            return {REFUSED: f"unusable: {'; '.join(unusable)}"}
        try:
            film = SourceFilm.of(radiograph, anonymous=self.anonymous)
        except RadiographError as error:
            return {REFUSED: f"{PREFIX}{reason_of(error)}"}
        row: Row = {}
        if "seg" in self.wanted:
            regions = segmentation(radiograph, film, segments, self.maker)
            if regions is None:
                row[REFUSED] = "no segmentation: no structure was found"
            else:
                row |= self._written(source, "seg", regions)
        if "sc" in self.wanted:
            row |= self._written(source, "sc", secondary_capture(picture, film, self.maker))
        if "sr" in self.wanted:
            row |= self._written(source, "sr", structured_report(film, report(), self.maker))
        return row

    def _written(self, source: Source, kind: Made, data: bytes) -> Row:
        row: Row = {kind: f"dicom/{source.name}.{kind}.dcm"}
        atomic.write_bytes(self.out / row[kind], data)
        return row


def with_refusals(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """Returns the outcomes, with a reason where the DICOM objects of a film were refused, so that it counts as failed.

    Args:
        outcomes: of the run.
    """
    return tuple(dataclasses.replace(outcome, reason=outcome.reason or _refusal(outcome.rows)) for outcome in outcomes)


def _refusal(rows: Sequence[Row]) -> str:
    """Returns the reason why the DICOM objects of a film were refused; empty if they were not."""
    found = [row[REFUSED].removeprefix(PREFIX) for row in rows if row.get(REFUSED, "").startswith(PREFIX)]
    return found[0] if found else ""
