"""What a command writes about a whole collection stays small for any number of films."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from artasyn.bulk.run import Outcome
from artasyn.bulk.sources import Source
from artasyn.console import detected, results
from artasyn.console.results import write_sheets
from artasyn.pictures.film_list import Cell
from artasyn.pictures.overlays import write_picture


def test_sheets_show_the_first_films_and_the_rest_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(results, "SHEET", 2)
    monkeypatch.setattr(results, "SHEETS", 3)
    write_picture(tmp_path / "one.png", np.full((40, 40, 3), 99, np.uint8))
    for number in (3, 4, 5):
        (tmp_path / f"sheet-{number}.png").write_bytes(b"of an older run")
    with caplog.at_level(logging.INFO, logger="artasyn"):
        assert list(write_sheets(tmp_path, [("a", "one.png")] * 6)) == [tmp_path / "sheet-1.png"]
        assert not caplog.messages
        few = {path.name: path.read_bytes() for path in tmp_path.glob("sheet-*.png")}
        list(write_sheets(tmp_path, [("a", "one.png")] * 6 + [("b", "missing.png")] * 5))
    assert caplog.messages == ["the sheets show the first 6 of 11 films; manifest.csv lists all"]
    assert sorted(few) == ["sheet-1.png", "sheet-2.png", "sheet-3.png"]
    assert {path.name: path.read_bytes() for path in tmp_path.glob("sheet-*.png")} == few


def test_a_list_holds_the_first_films_and_counts_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detected, "LISTED", 2)
    monkeypatch.setattr(detected, "EMBEDDED", 0)
    outcomes = [Outcome(Source(tmp_path / name, name), ({"overlay": f"{name}.png"},)) for name in "abc"]
    found = detected.listed_films(tmp_path, outcomes, ("score",), lambda _: [Cell("1", 1.0)], lambda _: None)
    assert [film.name for film in found.films] == ["a", "b"]
    assert found.left == 1
    assert "1 more film is not in this list; the tables beside this page hold all" in found.note


def test_a_report_shows_the_overlay_alone_of_a_film_that_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flagged = {"status": "ok", "abnormal": "true", "overlay": "a.png"}
    write_picture(tmp_path / "a.png", np.full((40, 40, 3), 99, np.uint8))
    outcome = Outcome(Source(tmp_path / "gone.png", "a"), (flagged,))
    found = detected.listed_films(tmp_path, [outcome], ("score",), lambda _: [Cell("1", 1.0)], detected.plain_film)
    assert [caption for caption, _ in found.films[0].pictures] == ["overlay"]
    assert "the report shows the overlay of a alone" in caplog.text
    assert str(tmp_path / "gone.png") in caplog.text
