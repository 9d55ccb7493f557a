"""The table of codes against pydicom's dictionaries, the names of this library and the labels of data sets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydicom.sr._concepts_dict import concepts

from artasyn import codes
from artasyn.codes import Vocabulary, coded, findings_of, labels_of, rows
from artasyn.errors import DataError
from artasyn.outputs.measured import COLUMNS
from artasyn.segment.structures import ANATOMY
from artasyn.synthesis import FINDINGS
from artasyn.synthesis.prompts import vocabulary
from artasyn.testsets.chexlocalize import CHEXPERT_FINDINGS
from artasyn.testsets.nih import NIH_FINDINGS
from artasyn.testsets.vindr import VINDR_FINDINGS
from tests.conftest import ROOT
from tests.synthesis.prompts.test_vocabulary import verhoeff

LABELS: dict[Vocabulary, tuple[str, ...]] = {
    "chexpert": CHEXPERT_FINDINGS,
    "nih": NIH_FINDINGS,
    "vindr": VINDR_FINDINGS,
}
LEAST = 70
"""The number of codes that pydicom knows; all others stand in published mappings of ribs, lobes and findings."""


def meanings(scheme: str) -> dict[str, set[str]]:
    """The meanings of every code of a scheme in pydicom, without the tag of SNOMED CT in brackets."""
    found: dict[str, set[str]] = {}
    dictionary: dict[str, Any] = concepts[scheme]
    for known in dictionary.values():
        for code, (meaning, _) in known.items():
            found.setdefault(code, set()).add(re.sub(r" \([a-z ]+\)$", "", meaning))
    return found


def test_codes_mean_what_pydicom_says() -> None:
    known = {"SCT": meanings("SCT"), "DCM": meanings("DCM")}
    looked = 0
    for row in rows().values():
        code = row.code
        if code.scheme == "DCM":
            assert code.value in known["DCM"], row.name
        if code.value in known.get(code.scheme, {}):
            looked += 1
            assert code.meaning in known[code.scheme][code.value], row.name
    assert looked >= LEAST
    for side, code in codes.SIDES.items():
        assert code.meaning in known["SCT"][code.value], side


def test_every_code_is_well_formed_and_stands_for_one_thing() -> None:
    stands: dict[tuple[str, str], str] = {}
    for row in rows().values():
        assert re.fullmatch(r"(\d{5,18})?", row.snomed)
        assert re.fullmatch(r"(RID\d+)?", row.radlex)
        assert not (row.snomed and row.dicom), row.name
        assert bool(row.meaning) == bool(row.snomed or row.dicom), row.name
        assert stands.setdefault((row.code.scheme, row.code.value), row.code.meaning) == row.code.meaning
        if row.snomed:
            assert verhoeff(row.snomed), row.name


def test_every_name_of_this_library_has_a_row() -> None:
    names = {kind: {name for one, name in rows() if one == kind} for kind in ("finding", "structure", "measure")}
    assert set(FINDINGS) <= names["finding"]
    assert set(ANATOMY) <= names["structure"]
    assert set(COLUMNS) <= names["measure"]
    without = [name for name in ANATOMY if not coded("structure", name).snomed]
    assert not without


def test_a_structure_of_one_side_says_so_once() -> None:
    for name in ANATOMY:
        row = coded("structure", name)
        side = next((side for side in ("right", "left") if side in name.split("_")), "")
        named = side in row.meaning.lower()
        assert row.side == ("" if named else side), name


def test_the_vocabulary_of_prompts_has_the_same_codes() -> None:
    looked, seen = 0, set[str]()
    for row in vocabulary.rows():
        if row["kind"] != "FINDING" or row["meaning"] in seen or "+" in row["meaning"]:
            continue
        seen.add(row["meaning"])
        here = coded("finding", row["meaning"])
        for scheme in ("radlex", "snomed"):
            if row[scheme]:
                looked += 1
                assert getattr(here, scheme) == row[scheme], row["meaning"]
    assert looked >= 8


@pytest.mark.parametrize("name", LABELS)
def test_every_label_that_test_sets_count_is_known(name: Vocabulary) -> None:
    for label in LABELS[name]:
        assert labels_of(label, name) == (label,)


def test_labels_are_found_from_any_vocabulary() -> None:
    assert labels_of("Pleural effusion", "nih") == ("Effusion",)
    assert labels_of("RID34539", "vindr") == ("Pleural effusion",)
    assert labels_of("60046008", "chexpert") == ("Pleural Effusion",)
    assert labels_of("nodule", "nih") == ("Nodule",)
    assert labels_of("Nodule/Mass", "nih") == ("Nodule", "Mass")
    assert labels_of("opacity", "chexpert") == ("Lung Opacity", "Airspace Opacity")
    assert {found.name for found in findings_of("lung opacity")} == {"ground_glass_opacity", "opacity"}
    with pytest.raises(DataError, match="no finding 'gout'; give a label of CheXpert"):
        findings_of("gout")
    with pytest.raises(DataError, match="the labels of nih have none for 'cavity'; there are"):
        labels_of("cavity", "nih")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("planet,mars,,,,,,,,", "no kind 'planet'"),
        ("finding,a,,above,,,,,,", "no side 'above'"),
        ("finding,a,,,,,,,,\nfinding,a,,,,,,,,", "'a' twice"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, reason: str) -> None:
    head = codes.TABLE.read_text(encoding="utf-8").splitlines()[0]
    (tmp_path / "codes.csv").write_text(f"{head}\n{line}\n", encoding="utf-8")
    monkeypatch.setattr(codes, "TABLE", tmp_path / "codes.csv")
    rows.cache_clear()
    try:
        with pytest.raises(DataError, match=reason):
            rows()
    finally:
        monkeypatch.undo()
        rows.cache_clear()


def cell(code: str, scheme: str) -> str:
    return f"{code} {scheme}" if code else ""


def tables() -> str:
    """The tables of docs/dicom.md: the findings with their labels, then the structures and the measures."""
    lines = ["| finding | code | RadLex | CheXpert | ChestX-ray14 | VinDr-CXR |", "|---|---|---|---|---|---|"]
    named = {kind: [row for row in rows().values() if row.kind == kind] for kind in ("finding", "structure", "measure")}
    for row in named["finding"]:
        code = cell(row.snomed, "SCT") or cell(row.dicom, "DCM")
        labels = (", ".join(row.labels_of(name)) for name in get_args(Vocabulary))
        lines.append(f"| `{row.name}` | {code} | {row.radlex} | {' | '.join(labels)} |")
    lines += ["", "| structure or measure | code | meaning | side | RadLex |", "|---|---|---|---|---|"]
    for row in (*named["structure"], *(row for row in named["measure"] if row.snomed)):
        lines.append(f"| `{row.name}` | {cell(row.snomed, 'SCT')} | {row.meaning} | {row.side} | {row.radlex} |")
    return "\n".join(lines)


def test_the_page_shows_the_table() -> None:
    page = (ROOT / "docs" / "dicom.md").read_text(encoding="utf-8")
    assert tables() in page, f"docs/dicom.md needs these tables:\n{tables()}"
