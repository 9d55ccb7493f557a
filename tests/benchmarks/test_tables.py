"""The tables of the README and the pages are generated from the results."""

from __future__ import annotations

import re

from benchmarks.tables import AWAITED, DOCUMENTS, SAME, TABLES, with_tables
from tests.conftest import ROOT


def test_the_tables_are_generated_from_the_results() -> None:
    results = ROOT / "benchmarks" / "results"
    documents = [(ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS]
    for text in documents:
        assert with_tables(text, results) == text, "run python -m benchmarks.tables"
    marks = set(re.findall(r"<!-- results:(\w+) -->", "".join(documents)))
    assert marks == set(TABLES)
    named = {SAME.get(name, name) for name in TABLES}
    there = {path.stem for path in results.glob("*.json")}
    assert named - AWAITED <= there <= named
