"""Reader of Kermany's paediatric films (ZhangLab) as published."""

from __future__ import annotations

from pathlib import Path

from artasyn.bulk.sources import find_sources
from artasyn.testsets.tables import located
from artasyn.testsets.testset import TestFilm, TestSet


def zhanglab(data: Path) -> TestSet | None:
    """Reads Kermany's paediatric films (ZhangLab): chest_xray/test/NORMAL and PNEUMONIA, or these two folders alone.

    If the archive holds the same films twice (chest_xray/chest_xray), the outermost films are used.
    """
    tests = [place for place in located(data, "test", depth=3, folders=True) if (place / "PNEUMONIA").is_dir()]
    place = next(iter(tests), data)
    if not (place / "NORMAL").is_dir() or not (place / "PNEUMONIA").is_dir():
        return None
    films = [film for film in find_sources([place]) if film.name.split("/")[0] in ("NORMAL", "PNEUMONIA")]
    return TestSet("zhanglab", tuple(TestFilm(film, film.name.startswith("PNEUMONIA/")) for film in films))
