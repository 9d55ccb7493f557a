"""Answers as files: the record of a film comes back, a damaged one is told, and the table has a row for a structure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from artasyn.errors import DataError
from artasyn.files.tables import read_table
from artasyn.outputs.answered import answers_text, read_answers, write_answers
from artasyn.segment.tokens import Request
from artasyn.segment.tokens.replies import Reply
from artasyn.segment.tokens.writers import Said
from tests.anatomies import seen


def reply() -> Reply:
    said = (Said("heart", (0, 512, 1023, 1023), (7,) * 16, 0.93), Said("aorta", sure=0.1))
    return Reply(Request("segment", ("heart", "aorta")), said, seen()[1], (100, 80))


def test_a_record_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(answers_text(reply(), {"writer": "w", "anatomy": "n"}))
    whole = json.loads(path.read_text())
    assert (whole["prompt"], whole["writer"], whole["anatomy"]) == ("segment heart ; aorta", "w", "n")
    heart, aorta = read_answers(path)
    assert heart == {
        "structure": "heart", "answer": reply().texts[0], "confidence": 0.93, "box": [0, 40, 100, 80],
    }  # fmt: skip
    assert aorta == {"structure": "aorta", "answer": "", "confidence": 0.0, "box": None}


def test_the_table_has_a_row_for_each_structure_and_each_failure(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(answers_text(reply(), {}))
    known = {"name": "a", "source": "a.png", "status": "ok"}
    failed = {"name": "b", "source": "b.png", "status": "failed", "reason": "cut short"}
    write_answers(tmp_path / "answers.csv", [(known, tmp_path / "a.json"), (failed, None)])
    heart, aorta, gone = read_table(tmp_path / "answers.csv")
    assert [heart[edge] for edge in ("top", "left", "bottom", "right")] == ["0", "40", "100", "80"]
    assert (heart["confidence"], aorta["confidence"], aorta["top"]) == ("0.9300", "0.0000", "")
    assert (gone["name"], gone["structure"], gone["reason"]) == ("b", "", "cut short")


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "no", '{"answers": [{"structure": "heart", "answer": "", "confidence": 1, "box": [1, 2, 3]}]}'],
)
def test_a_damaged_record_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json: is damaged .* delete it, and the same command writes it again"):
        read_answers(tmp_path / "a.json")
