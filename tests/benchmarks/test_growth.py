"""How costs grow: fits to known costs, ways that take turns, and the tables of both."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.growth import growth_of, steps
from benchmarks.speed_growth import Cost, collection, grown, megabytes, over_films, pictures
from benchmarks.speed_rivals import present
from benchmarks.speed_tables import speed_growth, speed_growth_films, speed_rivals, speed_rivals_projection
from benchmarks.turns import Seconds, Way, beside, in_turns

PIXELS = [size**2 for size in (64, 128, 256, 512, 1024, 2048, 4096)]


def test_a_straight_line_is_found() -> None:
    growth = growth_of(PIXELS, [3 + 2e-6 * each for each in PIXELS])
    assert growth.fixed == pytest.approx(3)
    assert growth.each == pytest.approx(2e-6)
    assert growth.exponent == 1
    assert growth.deviation < 1e-6


@pytest.mark.parametrize("exponent", [0.5, 1.25, 2.0])
def test_a_power_beside_a_fixed_cost_is_found(exponent: float) -> None:
    costs = 5 + 40 * (np.array(PIXELS) / PIXELS[-1]) ** exponent
    growth = growth_of(PIXELS, (costs * np.random.default_rng(1).normal(1, 0.01, len(PIXELS))).tolist())
    assert growth.exponent == pytest.approx(exponent, abs=0.08)
    assert growth.deviation > 0.02


def test_a_cost_that_does_not_grow_has_only_a_fixed_part() -> None:
    growth = growth_of(PIXELS, [50.0] * len(PIXELS))
    assert growth.fixed == pytest.approx(50)
    assert growth.each * PIXELS[-1] < 1e-6


def test_few_amounts_are_refused() -> None:
    with pytest.raises(ValueError, match="3 amounts do not tell a fixed cost from a power"):
        growth_of([1, 2, 3], [1, 2, 3])


def test_steps_are_the_cost_of_one_more() -> None:
    assert steps([10, 100, 1000], [3, 12, 111]) == pytest.approx([0.1, 0.11])


def test_ways_take_turns_and_long_ones_rest() -> None:
    called: list[tuple[str, int]] = []

    def slow(number: int) -> None:
        called.append(("slow", number))
        time.sleep(0.02)

    ways = {"quick": Way(lambda number: called.append(("quick", number)), images=2), "slow": Way(slow)}
    times = in_turns(ways, 6, seconds=0.05, warm_up=1)
    assert called[:4] == [("quick", 0), ("slow", 0), ("quick", 1), ("slow", 1)]
    assert len(times["quick"]) == 6
    assert len(times["slow"]) == 3
    assert min(times["slow"]) >= 20


def test_the_first_call_of_a_block_is_not_counted() -> None:
    numbers: list[int] = []
    times = in_turns({"way": Way(numbers.append)}, 2, warm_up=0, block=3)
    assert numbers == list(range(6))
    assert len(times["way"]) == 4


def test_a_program_may_bring_its_own_clock() -> None:
    times = in_turns({"way": Way(lambda number: Seconds(2.5))}, 2)
    assert times["way"] == [2500, 2500]


def test_ratios_are_those_of_medians() -> None:
    found = beside({"artasyn": [1.0, 2, 3], "other": [10.0, 30, 20, 25]}, "artasyn")
    assert found["artasyn"]["ratio"] == 1
    assert found["other"] == {"median": 22.5, "q1": 12.5, "q3": 28.75, "ratio": 11.2, "calls": 4}


def test_the_reason_of_a_missing_program_is_kept() -> None:
    def absent() -> None:
        raise ImportError("no-such-thing is needed")

    missing: dict[str, str] = {}
    assert present({"here": lambda: 3, "absent": absent}, missing) == {"here": 3}
    assert missing == {"absent": "no-such-thing is needed"}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_the_memory_of_a_process_is_seen() -> None:
    before = megabytes(os.getpid())
    held = np.ones(8_000_000)
    assert megabytes(os.getpid()) >= max(before, held.nbytes / 1e6)
    assert megabytes(2**31 - 1) == 0


def test_a_collection_holds_films_several_times(tmp_path: Path) -> None:
    film = tmp_path / "film.png"
    film.write_bytes(b"film")
    found = sorted(collection(tmp_path, [film], 3).iterdir())
    assert [path.name for path in found] == ["000000.png", "000001.png", "000002.png"]
    assert {path.read_bytes() for path in found} == {b"film"}


def result() -> dict[str, object]:
    """A result whose costs are known."""
    counts = (10, 100, 1000, 10_000)
    costs = {(count, 1): [Cost(2 + count / 100, 3 + count / 200, 300 + count / 1000)] for count in counts}
    costs[1000, 2] = [Cost(7, 9, 500)]
    sizes = {size: 2 + size**2 / 1e6 for size in (64, 256, 512, 1024, 2048, 4096)}
    return {
        "pixels": {"stages": {"lungs": grown(sizes)}},
        "films": {"commands": {"segment": over_films(costs, counts)}},
    }


def test_the_tables_show_the_fits() -> None:
    assert speed_growth(result()) == [
        "| processor's ms a film | 64² px | 256² px | 512² px | 1024² px | 2048² px | 4096² px | fixed, ms "
        "| ns a pixel | farthest from the line | exponent |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        "| lungs | 2.0 | 2.1 | 2.3 | 3.0 | 6.2 | 18.8 | 2.0 | 1.0 | 0 % | 1.00 |",
    ]
    assert speed_growth_films(result())[2:] == [
        "| `artasyn segment` | 3.0 | 3.5 | 8.0 | 53.0 | 3.0 | 5.0, 5.0, 5.0 | 0 % | 1.00 | 300, 300, 301, 310 "
        "| 1.0 | 12.0, 7.0 |",
    ]


def test_the_tables_of_others_show_ratios_and_what_is_missing() -> None:
    ours, theirs = ({"median": m, "q1": m, "q3": m, "ratio": m, "calls": 9} for m in (1.0, 250.0))
    views = {"pa": {"image": {"artasyn": ours, "other": theirs}, "image and thickness": {"artasyn": ours}}}
    found = {
        "synthesis": {"256 px": {"films": 12, "LungOpacity": ours, "other": theirs}, "1024 px": {"LungOpacity": ours}},
        "projection": {"voxels": [2, 3, 4], "structures": 5, "views": views},
        "missing": {"nanodrr": "nanodrr is needed"},
    }
    assert speed_rivals(found)[2:] == [
        "| LungOpacity | 1.0 (1.0 to 1.0) | 1.0 | 1.0 (1.0 to 1.0) | 1.0 |",
        "| other | 250 (250 to 250) | 250 | - | - |",
    ]
    assert speed_rivals_projection(found)[2:] == [
        "| artasyn | 1.0 (1.0 to 1.0) | 1.0 | 1.0 (1.0 to 1.0) | 1.0 |",
        "| other | 250 (250 to 250) | 250 | - | - |",
    ]


def test_the_curves_are_drawn(tmp_path: Path) -> None:
    for path in pictures(result(), tmp_path):
        assert path.stat().st_size > 5000
