"""CSV files: names that would break a table come back, and the bytes of usual ones."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artasyn.bulk.run import BulkRun, Row, read_manifest
from artasyn.bulk.sources import Source
from artasyn.files.tables import read_table, write_table

ODD = '=ward 1/film "A", lying\nturned\ragain'


def read(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_bytes().decode().splitlines(keepends=True)))


def test_usual_names_give_the_same_bytes_as_ever(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"name": "ward/film 1", "score": "0.5", "note": None},
        {"name": "b", "score": "", "other": 3},
    ]
    write_table(tmp_path / "a.csv", ("name", "score", "note"), rows)
    assert (tmp_path / "a.csv").read_bytes() == b"name,score,note\nward/film 1,0.5,\nb,,\n"
    write_table(tmp_path / "b.csv", ("name", "score", "note"), rows, quoted=1)
    assert (tmp_path / "b.csv").read_bytes() == b'name,score,note\n"ward/film 1",0.5,\n"b",,\n'


ODDEST = "=+-@\t\r\n＝＋－＠' \",;1.e"


@pytest.mark.parametrize("quoted", [0, 1, 2])
@given(cells=st.lists(st.tuples(st.text(ODDEST, max_size=4), st.text(ODDEST, max_size=4))))
def test_whatever_cells_hold_comes_back_and_no_spreadsheet_runs_it(
    tmp_path_factory: pytest.TempPathFactory, quoted: int, cells: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("tables") / "a.csv"
    write_table(path, ("x", "y"), ({"x": x, "y": y} for x, y in cells), quoted=quoted)
    assert [(row["x"], row["y"]) for row in read_table(path)] == cells
    with path.open(encoding="utf-8", newline="") as file:
        stored = [cell for row in list(csv.reader(file))[1:] for cell in row]
    for cell in stored:
        assert not cell or cell[0] not in "=+-@\t\r\n＝＋－＠" or is_number(cell)


def is_number(cell: str) -> bool:
    try:
        return bool(math.isfinite(float(cell)))
    except ValueError:
        return False


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1+cmd", "'+1+cmd"),
        ("-film/a", "'-film/a"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("'quoted'", "'quoted'"),
        ("'=quoted", "''=quoted"),
        ("a=b", "a=b"),
        ("-0.5", "-0.5"),
        ("+2e-3", "+2e-3"),
        (-0.5, "-0.5"),
        (-3, "-3"),
        ("-1-2", "'-1-2"),
    ],
)
def test_formulas_are_texts_and_numbers_stay_numbers(tmp_path: Path, value: object, cell: str) -> None:
    write_table(tmp_path / "a.csv", ("x",), [{"x": value}])
    assert read(tmp_path / "a.csv") == [["x"], [cell]]
    assert read_table(tmp_path / "a.csv") == [{"x": str(value)}]


def test_one_column_of_nothing_is_still_a_row(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", ("x",), [{}, {"x": "1"}])
    assert read(tmp_path / "a.csv") == [["x"], [""], ["1"]]


def test_a_manifest_holds_names_with_quotes_commas_and_line_breaks(tmp_path: Path) -> None:
    def work(source: Source) -> list[Row]:
        return [{"score": "1, 2"}]

    run = BulkRun(tmp_path / "out", {}, ("score",))
    sources = [Source(tmp_path / "a.png", ODD), Source(tmp_path / "b.png", "b")]
    run.run(work, sources, title="work")
    rows: list[dict[str, Any]] = [*read_manifest(run.manifest)]
    assert [(row["name"], row["status"], row["score"]) for row in rows] == [(ODD, "ok", "1, 2"), ("b", "ok", "1, 2")]
    again = run.run(lambda source: [{"score": "another"}], sources, title="work")
    assert [outcome.rows[0]["score"] for outcome in again] == ["1, 2", "1, 2"]
