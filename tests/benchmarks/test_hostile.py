"""No hostile file leaks, crashes, hangs or fills the memory; and the program that says so sees each of these."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from benchmarks.hostile import Limits, run, shares, summary
from benchmarks.hostile_cases import BAD, READERS, available, made, prepare
from benchmarks.hostile_damage import gzip_bomb, zlib_bomb

SHORT = 300


def test_no_reader_leaks_crashes_hangs_or_accepts_what_is_wrong() -> None:
    names = [name for name, reader in available().items() if not reader.slow]
    results = run(shares(SHORT, names), seed=0, workers=2, shown=False)
    assert len(results) == SHORT
    faults = [fault for fault in summary(results)["faults"] if fault["outcome"] in BAD]
    assert not faults, json.dumps(faults, indent=1)


def test_every_fault_is_seen_and_takes_only_its_case() -> None:
    numbers = (0, 1, 2, 4, 8, 9, 22)
    results = run({"itself": numbers}, seed=0, workers=2, limits=Limits(seconds=2, wait=4, megabytes=200), shown=False)
    assert tuple(result["number"] for result in results) == numbers
    seen = {result["base"]: result["outcome"] for result in results if result["damage"] == "told to"}
    assert seen == {
        "fine": "right", "leak": "leak", "crash": "crash", "hang": "hang", "busy": "hang", "memory": "memory",
        "calls": "leak",
    }  # fmt: skip
    crash = next(result for result in results if result["outcome"] == "crash")
    assert "_obeying" in crash["where"]


@pytest.mark.parametrize("name", ["picture", "series", "nrrd", "names"])
def test_a_number_makes_the_same_files_again(name: str, tmp_path: Path) -> None:
    prepare((name,), tmp_path)
    intact = pickle.loads((tmp_path / f"{name}.pickle").read_bytes())
    for number in range(30):
        one, again = (made(name, number, 3, intact) for _ in range(2))
        assert one[0] == again[0]
        assert one[1].damage == again[1].damage
        assert {n: c for n, c in one[1].files.items() if isinstance(c, bytes)} == {
            n: c for n, c in again[1].files.items() if isinstance(c, bytes)
        }


def test_cases_are_divided_among_all_readers() -> None:
    counts = shares(1000, list(available()))
    assert sum(map(len, counts.values())) == 1000
    assert set(counts) == {name for name in READERS if name != "itself"}
    assert min(map(len, counts.values())) >= 5


def test_bombs_unpack_to_what_they_promise() -> None:
    import gzip
    import io
    import zlib

    unpacker = zlib.decompressobj()
    assert unpacker.decompress(zlib_bomb(1, start=b"ab"), 100) == b"ab" + bytes(98)
    with gzip.open(io.BytesIO(gzip_bomb(b"ab", 1))) as file:
        assert file.read(100) == b"ab" + bytes(98)
