"""Views and body parts in what DICOM headers say, in several languages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from artasyn.files.radiograph import read_radiograph
from artasyn.pixels.views import DESCRIPTIONS, view_of
from tests.files.made import dicom, film, refusal, stored_as

LATERAL = [
    "LAT", "CHEST LAT", "Chest Lateral", "W033 Thorax lat", "Thorax seitlich", "Thorax seitl.", "Thorax de profil",
    "Rx Tórax Perfil", "TORACE LL", "LL", "RL", "L LAT", "LLAT", "T_THORAX_LAT", "thoraxlat", "ChestLateral",
    "Klatka piersiowa boczna", "Thorax dwars", "Грудная клетка боковая", "胸部 側面", "Lateral projection",
]  # fmt: skip
NOT_LATERAL = [
    "", "PA", "Chest PA", "Thorax p.a.", "Thorax ap liegend", "bilateral infiltrates", "contralateral", "unilateral",
    "Left lateral decubitus", "LAT DECUB", "no lateral", "without lateral", "chest w/o lateral", "PA and lateral",
    "Chest PA/LAT", "APLAT", "AP+LAT", "XR CHEST 2 VIEWS", "Thorax 2 Ebenen", "Thorax face et profil", "PLATE", "DALL",
    "Thorax pa/seitl", "translation", "Flat panel", "LLD", "PLATINUM LUNG",
]  # fmt: skip


@pytest.mark.parametrize("said", LATERAL)
def test_words_of_a_lateral(said: str, tmp_path: Path) -> None:
    assert view_of(said) == {"lateral"}
    for name in DESCRIPTIONS[:: 2 if said == "LAT" else 5]:
        path = stored_as(tmp_path / "a.dcm", dicom(film(), bits=8, **{name: said}, SpecificCharacterSet="ISO_IR 192"))
        assert f"is a lateral view ({name} " in refusal(path)


@pytest.mark.parametrize("said", NOT_LATERAL)
def test_words_of_no_lateral(said: str, tmp_path: Path) -> None:
    assert view_of(said) != {"lateral"}
    ds = dicom(film(), bits=8, SeriesDescription=said, StudyDescription=said)
    np.testing.assert_array_equal(read_radiograph(stored_as(tmp_path / "a.dcm", ds)), film() / np.float32(255))


@pytest.mark.parametrize(
    "elements",
    [
        {"ViewPosition": "PA", "StudyDescription": "Chest lateral"},
        {"SeriesDescription": "Chest PA", "StudyDescription": "Chest lateral"},
        {"SeriesDescription": "PA and lateral", "StudyDescription": "lateral"},
        {"BodyPartExamined": "CHEST"},
        {"BodyPartExamined": "THORAX", "SeriesDescription": "hand"},
        {"BodyPartExamined": "SKULL", "SeriesDescription": "Thorax pa"},
        {"BodyPartExamined": "CHEST_TO_ABDOMEN"},
        {"BodyPartExamined": "CHESTABDOMEN"},
        {"BodyPartExamined": "LUNG"},
        {"BodyPartExamined": "RIB"},
        {"BodyPartExamined": "UNKNOWN"},
        {"BodyPartExamined": "TSPINE"},
        {"StudyDescription": "chest and hand"},
        {"StudyDescription": "portable, handed over, kneeling"},
        {"PatientOrientation": "L"},
    ],
)
def test_frontal_films_of_the_chest_are_read(elements: dict[str, Any], tmp_path: Path) -> None:
    read_radiograph(stored_as(tmp_path / "a.dcm", dicom(film(), bits=8, **elements)))


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"BodyPartExamined": "HAND"}, "is a film of another body part (BodyPartExamined HAND)"),
        ({"BodyPartExamined": "KNEE"}, "(BodyPartExamined KNEE)"),
        ({"BodyPartExamined": "ABDOMEN"}, "(BodyPartExamined ABDOMEN)"),
        ({"BodyPartExamined": "SKULL"}, "(BodyPartExamined SKULL)"),
        ({"BodyPartExamined": "LOWER_LEG"}, "(BodyPartExamined LOWER_LEG)"),
        ({"SeriesDescription": "Hand li. dp"}, "(SeriesDescription HAND LI. DP)"),
        ({"ProtocolName": "W012 Knie ap"}, "(ProtocolName W012 KNIE AP)"),
        ({"StudyDescription": "RX mano izquierda"}, "(StudyDescription RX MANO IZQUIERDA)"),
        ({"AcquisitionDeviceProcessingDescription": "ABDOMEN AP"}, "another body part"),
        ({"PatientOrientation": ["P", "F"]}, "is a lateral view (PatientOrientation P\\F)"),
        ({"ViewPosition": "LLO"}, "is a lateral view (ViewPosition LLO)"),
    ],
)
def test_other_films_are_refused(elements: dict[str, Any], reason: str, tmp_path: Path) -> None:
    assert reason in refusal(stored_as(tmp_path / "a.dcm", dicom(film(), bits=8, **elements)))


def test_the_region_in_code(tmp_path: Path) -> None:
    region = Dataset()
    region.CodeMeaning = "Hand"
    ds = dicom(film(), bits=8, AnatomicRegionSequence=Sequence([region]))
    assert "another body part (AnatomicRegionSequence HAND)" in refusal(stored_as(tmp_path / "a.dcm", ds))
    region.CodeMeaning = "Chest"
    read_radiograph(stored_as(tmp_path / "a.dcm", ds))
