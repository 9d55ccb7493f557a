"""Reader of Kermany's paediatric films (ZhangLab) as published."""

from __future__ import annotations

import re
from pathlib import Path

from artasyn.bulk.sources import Source, find_sources
from artasyn.testsets.tables import located
from artasyn.testsets.testset import TestFilm, TestSet

PATIENT = re.compile(r"(person\d+|(?:NORMAL2-)?IM-\d+)[_-]")
"""The patient in the name of a film: person100_bacteria_475 or NORMAL2-IM-0329-0001."""


def zhanglab(data: Path) -> TestSet | None:
    """Reads Kermany's paediatric films (ZhangLab): chest_xray/test/NORMAL and PNEUMONIA, or these two folders alone.

    If the archive holds the same films twice (chest_xray/chest_xray), the outermost films are used.
    """
    tests = [place for place in located(data, "test", depth=3, folders=True) if (place / "PNEUMONIA").is_dir()]
    place = next(iter(tests), data)
    if not (place / "NORMAL").is_dir() or not (place / "PNEUMONIA").is_dir():
        return None
    films = [film for film in find_sources([place]) if film.name.split("/")[0] in ("NORMAL", "PNEUMONIA")]
    return TestSet("zhanglab", tuple(_film(film) for film in films))


def _film(source: Source) -> TestFilm:
    """Returns a film with its label and its patient."""
    patient = PATIENT.search(source.path.name)
    return TestFilm(source, source.name.startswith("PNEUMONIA/"), patient=patient[1] if patient else "")
