"""The command that detects: what it writes of films with any name."""

from __future__ import annotations

import csv
from pathlib import Path

from artasyn.bulk.sources import Source
from artasyn.commands.detect import detect_sources

ODD = 'ward/film "A", lying\nturned'


def test_scores_hold_names_with_quotes_commas_and_line_breaks(tmp_path: Path, phantoms: Path) -> None:
    films = sorted((phantoms / "test" / "healthy").iterdir())[:2]
    sources = [Source(films[0], ODD), Source(films[1], "plain")]
    out = tmp_path / "out"
    done = detect_sources(sources, out, model="bundled", device="cpu", workers=1)
    with (out / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} == {ODD, "plain"}
    expected = dict(done.rows)
    for row in rows:
        assert row["score"] == expected[row["name"]]["score"]
        assert row["lungs_found"] in ("true", "false")
    plain = next(row for row in rows if row["name"] == "plain")
    line = ",".join(['"plain"', *(plain[column] for column in list(plain)[1:])])
    assert f"{line}\n" in (out / "scores.csv").read_text(encoding="utf-8")
    for folder in ("heatmaps", "masks", "lungs", "overlays"):
        assert (out / folder / f"{ODD}.png").is_file()
