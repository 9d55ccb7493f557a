"""Statistics of a collection that is known by hand."""

from __future__ import annotations

from pathlib import Path

from artasyn.outputs.summary import Region, draw_statistics, statistics
from artasyn.pictures.overlays import read_picture

UPPER, LOWER = (1.0, 0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 1.0, 1.0, 0.0)
REGIONS = [
    Region("nodule", 0.1, 0.2, UPPER),
    Region("mass", 0.2, 0.4, LOWER),
    Region("mass", 0.4, 0.6, UPPER),
    Region("mass", 0.6, 0.8, UPPER),
]
AREAS = [0.1, 0.2, 0.3, 0.4, 0.5]


def test_figures_of_the_whole_and_of_each_finding() -> None:
    figures = statistics(AREAS, REGIONS, ["nodule", "mass", "consolidation"])
    assert figures["images"] == 5
    assert figures["area"] == {"min": 0.1, "q1": 0.2, "median": 0.3, "q3": 0.4, "max": 0.5}
    assert figures["severity"]["median"] == 0.5
    assert figures["zones"] == {"upper": 0.75, "middle": 0, "lower": 0.25, "central": 0.625, "peripheral": 0.375}
    mass = figures["findings"]["mass"]
    assert mass["images"] == 3
    assert mass["area"] == {"min": 0.2, "q1": 0.3, "median": 0.4, "q3": 0.5, "max": 0.6}
    assert mass["zones"]["upper"] == 0.6667
    assert figures["findings"]["consolidation"] == {"images": 0, "area": None, "severity": None, "zones": None}


def test_the_picture_is_the_same_each_time(tmp_path: Path) -> None:
    figures = statistics(AREAS, REGIONS, ["nodule", "mass"])
    for name in ("a.png", "b.png"):
        draw_statistics(tmp_path / name, AREAS, REGIONS, figures)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert read_picture(tmp_path / "a.png").std() > 10
