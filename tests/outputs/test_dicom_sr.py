"""Structured reports read back by highdicom: figures with units, the verdict, what is missing and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom
import pytest
from pydicom import Dataset, dcmread

from artasyn.outputs.dicom_sr import Figure, Report, measured, spacing_remark, structured_report
from tests.outputs.dicoms import MAKER, complaints, filmed, group_of, source

FIGURES = (
    Figure("score", 0.123456789),
    Figure("cobb_angle", 9.5, "degrees"),
    Figure("heart_width", 131.25, "mm"),
    Figure("lung_area_left", 210.0, "cm2"),
    Figure("carinal_angle", None, "degrees", "the bronchi are not there"),
)


def comments(ds: Dataset) -> list[str]:
    """The texts of all comments of a report."""
    found = (
        [ds.TextValue] if ds.get("ValueType") == "TEXT" and ds.ConceptNameCodeSequence[0].CodeValue == "121106" else []
    )
    return found + [text for item in ds.get("ContentSequence", ()) for text in comments(item)]


def test_figures_come_back_with_names_and_units_and_missing_ones_as_reasons(tmp_path: Path) -> None:
    radiograph, path = filmed(tmp_path / "a.dcm"), tmp_path / "a.sr.dcm"
    path.write_bytes(structured_report(source(radiograph), Report(FIGURES, True, ("é is no letter of ASCII.",)), MAKER))
    group = group_of(path)
    found = {(each.name.value, each.value, each.unit.value) for each in group.get_measurements()}
    assert found == {
        ("score", 0.123457, "1"),
        ("285285000", 9.5, "deg"),
        ("heart_width", 131.25, "mm"),
        ("lung_area_left", 210.0, "cm2"),
    }
    verdict = group.get_qualitative_evaluations()[0]
    assert (verdict.name.value, verdict.value.value) == ("111017", "111242")
    said = comments(dcmread(path))
    assert said == [
        "For research use only, not for diagnosis.",
        "The film does not state the patient's sides; they follow the convention that the right is at image left.",
        "? is no letter of ASCII.",
        "Carinal angle is missing: the bronchi are not there",
    ]
    text = path.read_bytes()
    for word in (b"artasyn test", b"model=bundled", b"weights=00ff", b"99ARTASYN"):
        assert word in text
    evidence = highdicom.sr.srread(path).get_evidence()
    assert [each[2] for each in evidence] == [dcmread(tmp_path / "a.dcm").SOPInstanceUID]
    assert complaints(path) == []


@pytest.mark.parametrize(("abnormal", "codes"), [(None, []), (False, ["111241"])])
def test_the_verdict_is_there_only_where_a_detector_gave_one(
    tmp_path: Path, abnormal: bool | None, codes: list[str]
) -> None:
    radiograph, path = filmed(tmp_path / "a.dcm"), tmp_path / "a.sr.dcm"
    path.write_bytes(structured_report(source(radiograph), Report((Figure("score", 0.5),), abnormal), MAKER))
    assert [each.value.value for each in group_of(path).get_qualitative_evaluations()] == codes


def test_a_report_without_any_figure_says_why(tmp_path: Path) -> None:
    radiograph, path = filmed(tmp_path / "a.dcm"), tmp_path / "a.sr.dcm"
    report = Report((Figure("cobb_angle", None, "degrees", "no spine"),))
    path.write_bytes(structured_report(source(radiograph), report, MAKER))
    assert group_of(path).get_measurements() == []
    assert comments(dcmread(path))[1:] == ["Cobb angle is missing: no spine"]
    assert complaints(path) == []


def test_sides_that_the_film_states_are_no_convention(tmp_path: Path) -> None:
    radiograph, path = filmed(tmp_path / "a.dcm", PatientOrientation=["R", "H"]), tmp_path / "a.sr.dcm"
    report = Report((Figure("lung_area_left", 210.0, "cm2"),))
    path.write_bytes(structured_report(source(radiograph), report, MAKER))
    assert comments(dcmread(path)) == ["For research use only, not for diagnosis."]


def test_a_figure_that_is_not_finite_is_missing(tmp_path: Path) -> None:
    radiograph, path = filmed(tmp_path / "a.dcm"), tmp_path / "a.sr.dcm"
    figures = (Figure("score", float("nan")), Figure("novelty", float("inf"), reason="no healthy films"))
    path.write_bytes(structured_report(source(radiograph), Report(figures), MAKER))
    assert group_of(path).get_measurements() == []
    said = ["Score is missing: its value is nan, not a finite number", "Novelty is missing: no healthy films"]
    assert comments(dcmread(path))[1:] == said


def test_lengths_in_pixels_are_missing() -> None:
    table: dict[str, dict[str, Any]] = {
        "heart_width": {"value": 300.0, "unit": "px", "reason": ""},
        "cardiothoracic_ratio": {"value": 0.5, "unit": "", "reason": ""},
        "cobb_angle": {"value": None, "unit": "", "reason": "no spine"},
    }
    width, ratio, angle = measured(table)
    assert (width.value, width.reason) == (None, "the film does not state one size of its pixels")
    assert (ratio.value, ratio.unit) == (0.5, "")
    assert (angle.value, angle.reason) == (None, "no spine")


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({}, "does not state the size of a pixel"),
        ({"ImagerPixelSpacing": [0.2, 0.2]}, "ImagerPixelSpacing of the film and hold at the detector"),
        ({"PixelSpacing": [0.2, 0.2]}, "PixelSpacing of the film; the film does not say how it was calibrated"),
        (
            {"PixelSpacing": [0.2, 0.2], "PixelSpacingCalibrationType": "FIDUCIAL"},
            "PixelSpacing of the film, calibrated in the patient (FIDUCIAL)",
        ),
        ({"NominalScannedPixelSpacing": [0.2, 0.2]}, "NominalScannedPixelSpacing and hold on the film"),
    ],
)
def test_the_source_of_lengths_is_told(tmp_path: Path, elements: dict[str, Any], said: str) -> None:
    assert said in spacing_remark(filmed(tmp_path / "a.dcm", **elements))
