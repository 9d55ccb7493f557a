"""Figures of a film as a DICOM Structured Report by TID 1500: scores and measures with units, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from artasyn.codes import Code, coded
from artasyn.files.opened import Radiograph
from artasyn.outputs.dicom_instance import (
    NAME,
    RESEARCH,
    Maker,
    concept,
    encoded,
    identifiers,
    library,
    plain,
    uid_of,
)
from artasyn.outputs.dicom_source import CONVENTION, SourceFilm
from artasyn.version import __version__

Unit = Literal["", "%", "degrees", "mm", "cm2"]
"""The unit of a figure; none for a ratio, a score or a number of standard deviations."""

UNITS: dict[Unit, Code] = {
    "": Code("1", "UCUM", "no units"),
    "%": Code("%", "UCUM", "Percent"),
    "degrees": Code("deg", "UCUM", "Degree"),
    "mm": Code("mm", "UCUM", "mm"),
    "cm2": Code("cm2", "UCUM", "Centimeter**2"),
}

SUMMARY = Code("111017", "DCM", "CAD Processing and Findings Summary")
VERDICTS = {
    True: Code("111242", "DCM", "All algorithms succeeded; with findings"),
    False: Code("111241", "DCM", "All algorithms succeeded; without findings"),
}
"""Source: DICOM PS3.16, CID 6047."""

COMMENT = Code("121106", "DCM", "Comment")
DEVICE = Code("121007", "DCM", "Device")
TITLE = Code("126000", "DCM", "Imaging Measurement Report")
PROCEDURE = Code("399208008", "SCT", "Plain chest X-ray")
CHEST = Code("816094009", "SCT", "Chest")

SPACINGS = {
    "PixelSpacing": "Lengths and areas use PixelSpacing of the film{calibrated}.",
    "ImagerPixelSpacing": "Lengths and areas use ImagerPixelSpacing of the film and hold at the detector, where "
    "structures are larger than in the patient; the magnification is not corrected.",
    "NominalScannedPixelSpacing": "Lengths and areas use NominalScannedPixelSpacing and hold on the film that was "
    "scanned, where structures are larger than in the patient; the magnification is not corrected.",
}
"""What the spacing of a film means, by the attribute that it comes from. Source: DICOM PS3.3 10.7.1."""


@dataclass(frozen=True)
class Figure:
    """A figure of a report.

    Attributes:
        name: of the measure, as the table of codes has it.
        value: None where it is missing. One that is not finite is missing too, because DICOM cannot hold it.
        unit: of the value.
        reason: why the value is missing.
    """

    name: str
    value: float | None
    unit: Unit = ""
    reason: str = ""

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            object.__setattr__(self, "reason", self.reason or f"its value is {self.value:g}, not a finite number")
            object.__setattr__(self, "value", None)


@dataclass(frozen=True)
class Report:
    """What a report says about a film.

    Attributes:
        figures: the figures, also those that are missing.
        abnormal: the verdict of a detector; None without one.
        remarks: further sentences.
    """

    figures: tuple[Figure, ...]
    abnormal: bool | None = None
    remarks: tuple[str, ...] = ()


def measured(table: Mapping[str, Mapping[str, Any]]) -> tuple[Figure, ...]:
    """Returns the measures of a radiograph as figures; lengths and areas in pixels are missing, as no unit holds them.

    Args:
        table: from `artasyn.outputs.measured.table_of`.
    """
    figures = []
    for name, each in table.items():
        if each["unit"] in ("px", "px2"):
            figures.append(Figure(name, None, reason="the film does not state one size of its pixels"))
        else:
            figures.append(Figure(name, each["value"], each["unit"] or "", each["reason"]))
    return tuple(figures)


def spacing_remark(radiograph: Radiograph) -> str:
    """Returns a sentence about the source of lengths in millimetres.

    Args:
        radiograph: whose spacing is used.
    """
    if radiograph.spacing_source is None:
        return "The film does not state the size of a pixel, so lengths and areas are left out."
    kind = radiograph.spacing_calibration
    calibrated = f", calibrated in the patient ({kind})" if kind else "; the film does not say how it was calibrated"
    return SPACINGS[radiograph.spacing_source].format(calibrated=calibrated)


def structured_report(film: SourceFilm, report: Report, maker: Maker) -> bytes:
    """Returns the file of a Structured Report by TID 1500, one group of measurements that refers to the film.

    A figure without a value is no measurement; a comment names it with the reason. Another comment says where the sides
    of figures follow the convention, because the film does not state them. Nobody has verified the report.

    Args:
        film: the source.
        report: what to say.
        maker: what made the figures.

    Raises:
        MissingExtra: highdicom is not installed.

    Source: DICOM PS3.16, TID 1500 (measurement report), TID 1501 (measurement group), TID 4019 (algorithm).
    """
    hd = library()
    group = _group(film, report, maker)
    observer = hd.sr.ObserverContext(
        observer_type=concept(DEVICE),
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid_of("device", __version__), NAME, NAME, maker.name, __version__
        ),
    )
    content = hd.sr.MeasurementReport(
        hd.sr.ObservationContext(observer_device_context=observer),
        concept(PROCEDURE),
        imaging_measurements=[group],
        title=concept(TITLE),
    )
    instance = hd.sr.ComprehensiveSR(
        evidence=[film.reference],
        content=content[0],
        is_complete=True,
        **identifiers(film, maker, "sr"),
    )
    return encoded(instance, film)


def _group(film: SourceFilm, report: Report, maker: Maker) -> Any:
    """Returns the group of measurements, with the comments at its end."""
    hd = library()
    there = [figure for figure in report.figures if figure.value is not None]
    verdict = [] if report.abnormal is None else [(SUMMARY, VERDICTS[report.abnormal])]
    about = film.reference
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        hd.sr.TrackingIdentifier(uid_of("group", maker.name, film.header.SOPInstanceUID), plain(maker.name)),
        algorithm_id=hd.sr.AlgorithmIdentification(
            maker.name, __version__, parameters=[plain(f"{name}={value}") for name, value in maker.parameters] or None
        ),
        finding_sites=[hd.sr.FindingSite(concept(CHEST))],
        measurements=[_measurement(figure) for figure in there] or None,
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(*map(concept, each)) for each in verdict] or None,
        source_images=[hd.sr.SourceImageForMeasurementGroup(about.SOPClassUID, about.SOPInstanceUID)],
    )
    missing = [f"{_words(each.name)} is missing: {each.reason}" for each in report.figures if each.value is None]
    sides = [CONVENTION] * film.assumes_sides(each.name for each in report.figures)
    for remark in (f"{RESEARCH}.", *sides, *report.remarks, *missing):
        group[0].ContentSequence.append(hd.sr.TextContentItem(concept(COMMENT), plain(remark), "CONTAINS"))
    return group


def _measurement(figure: Figure) -> Any:
    """Returns a figure as a measurement; six digits tell more than any figure holds."""
    assert figure.value is not None
    value = float(f"{figure.value:.6g}")
    return library().sr.Measurement(concept(coded("measure", figure.name).code), value, concept(UNITS[figure.unit]))


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
