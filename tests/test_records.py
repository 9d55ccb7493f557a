"""What all records share: their JSON, lists as tuples, and one wording of what is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from artasyn.errors import DataError, SynthesisError
from artasyn.phantom.thorax import ThoraxRecord
from artasyn.records import parse_json, read_record, record_text
from artasyn.segment import ProjectionRecord
from artasyn.synthesis import OpacityRecord, Recipe


@dataclass(frozen=True)
class Place:
    name: str
    at: tuple[tuple[int, int], ...]


def test_a_record_is_written_and_read() -> None:
    place = Place("hilum", ((1, 2), (3, 4)))
    text = record_text(place)
    assert text == '{\n "name": "hilum",\n "at": [\n  [\n   1,\n   2\n  ],\n  [\n   3,\n   4\n  ]\n ]\n}\n'
    assert read_record(text, Place, what="a place", error=DataError) == place


@pytest.mark.parametrize("text", ["", "nothing", "[]", "{}", '{"name": "hilum"}'])
def test_what_is_wrong_is_named_with_the_beginning_of_the_text(text: str) -> None:
    with pytest.raises(SynthesisError, match=r"^not a place: ") as found:
        read_record(text, Place, what="a place", error=SynthesisError)
    assert str(found.value).endswith(f" in {text!r}")
    assert found.value.__cause__ is not None


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (ThoraxRecord, "a thorax record"),
        (ProjectionRecord, "the record of a projection"),
        (OpacityRecord, "the record of a lung opacity"),
        (Recipe, "the recipe of a synthetic image"),
    ],
)
@pytest.mark.parametrize("text", ["nothing", "{}", "[]", "7", "null"])
def test_every_record_refuses_other_text_in_the_same_words(
    record: type[ThoraxRecord | ProjectionRecord | OpacityRecord | Recipe], what: str, text: str
) -> None:
    with pytest.raises((DataError, SynthesisError), match=f"^not {what}: .* in '"):
        record.from_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "[NaN]",
        "[-Infinity]",
        '{"a": 1e999}',
        "[" + "9" * 10_000 + "]",
        "[" * 65 + "]" * 65,
    ],
)
def test_json_that_would_harm_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"levels of brackets|no number|digits"):
        parse_json(text)


def test_brackets_in_strings_are_no_depth() -> None:
    text = '{"a": "' + "[" * 100 + '", "b": "\\"[{", "c": [' + "[]," * 99 + "[]]}"
    assert parse_json(text)["c"] == [[]] * 100
