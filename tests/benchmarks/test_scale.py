"""Runs over many films: the films, what is seen from outside, what is told on paper, and a small measurement."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmarks import many_films, scale, scale_names, scale_tables
from benchmarks.many_films import write_films
from benchmarks.scale_paper import on_paper
from benchmarks.scale_trouble import APART
from benchmarks.scale_watch import Follower, Watched, Weight, figures, tree_figures


def test_no_two_films_are_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_films, "DATA", tmp_path / "missing")
    monkeypatch.setattr(many_films, "PHANTOMS", 3)
    monkeypatch.setattr(many_films, "TOGETHER", 4)
    write_films(tmp_path / "films", films=10, size=64)
    found = sorted((tmp_path / "films").rglob("*.png"))
    assert [path.relative_to(tmp_path / "films").as_posix() for path in found[3:5]] == [
        "00000/0000003.png",
        "00001/0000004.png",
    ]
    assert len({path.read_bytes() for path in found}) == len(found) == 10


def test_entries_are_counted_while_they_come_and_not_when_the_journal_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with closing(Follower(path)) as follower, path.open("a") as journal:
        assert follower.look() == 0
        journal.write('\n["a"]\n["b"]')
        journal.flush()
        assert follower.look() == 2
        (tmp_path / "new").write_text('\n["a"]\n["b"]\n["c"]\n')
        journal.write('\n["c"]')
        journal.flush()
        (tmp_path / "new").replace(path)
        assert follower.look() == follower.look() == 3
    with closing(Follower(path)) as again:
        assert again.films == 3


def seen() -> Watched:
    """A run of 100 films: ready after 2 s, then 10 films a second, slower in the second half, 5 s at the end."""
    progress = [(2 + each / 10, each) for each in range(10, 51, 10)]
    progress += [(7 + (each - 50) / 5, each) for each in range(60, 101, 10)]
    weights = [Weight(0, 50, 0), *(Weight(each, 100 + each, 200) for each in range(10, 100, 10)), Weight(100, 400, 0)]
    return Watched(0, 22, 0, 2.0, progress, weights, "said")


def test_figures_of_a_run() -> None:
    found = figures(seen(), 100)
    assert found["films_per_second_by_tenth"] == [10.0] * 5 + [5.0] * 5
    assert found["films_per_second_working"] == pytest.approx(100 / 15, abs=0.01)
    assert (found["seconds_until_ready"], found["seconds_until_first"], found["seconds_after_last"]) == (2, 3, 5)
    memory = found["memory"]
    assert memory["at"]["50%"] == {"main_mb": 150, "workers_mb": 200}
    assert memory["growth_mb_per_100000"] == {"main": 100_000, "workers": 0}
    assert (memory["most_main_mb"], memory["most_mb"]) == (400, 400)
    assert [point["films_per_second"] for point in found["curve"]] == [10.0] * 5 + [5.0] * 4


def test_files_of_a_run_by_kind(tmp_path: Path) -> None:
    for name, size in {
        "manifest.csv": 7,
        ".journal.jsonl": 5,
        "sheet-1.png": 3,
        "sheet-2.png": 4,
        "a/b.png": 2,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    found = tree_figures(tmp_path)
    assert (found["files"], found["bytes"], found["sheets"], found["sheet_bytes"]) == (5, 21, 2, 7)
    assert (found["manifest_bytes"], found["journal_bytes"]) == (7, 5)
    assert "report_bytes" not in found


def test_ten_million_films_on_paper() -> None:
    figures_of = {
        "films": 100_000,
        "files": 200_020,
        "sheets": 20,
        "bytes": 1_000_100,
        "sheet_bytes": 100,
        "manifest_bytes": 10,
        "journal_bytes": 20,
        "films_per_second_working": 100,
        "seconds_after_last": 38.0,
        "sheet_seconds": 2.0,
    }
    told = on_paper({"segment": figures_of})["commands"]["segment"]
    assert told["files"] == 20_000_020
    assert told["bytes"] == 100_000_100
    assert told["manifest_bytes"] == 1000
    assert told["end_hours"] == 1.0  # 36 s grow, and 2 s of sheets do not
    assert told["hours"] == {"1": 28.78, "10": 3.78, "100": 1.28}


def names_by_part(folder: Path, count: int) -> dict[str, Any]:
    scale_names.make_names(folder, count)
    return {name: {"start_mb": 0.0} | part(folder) for name, part in scale_names.PARTS.items()}


def test_made_up_names_are_listed_resumed_and_merged(tmp_path: Path) -> None:
    sizes = {str(count): names_by_part(tmp_path / f"{count}", count) for count in (40, 1030)}
    for count in sizes:
        whole, parts = tmp_path / count / "whole/manifest.csv", tmp_path / count / "parts/manifest.csv"
        assert len(whole.read_text().splitlines()) == int(count) + 1
        assert whole.read_bytes() == parts.read_bytes()
    told = on_paper({"names": sizes})
    assert told["names"]["manifest_bytes"] > 100
    assert len(scale_tables.names({"stages": {"names": sizes}, "paper": told})) == 2 + 2 + 1


@pytest.mark.extras
def test_a_small_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_films, "DATA", tmp_path / "missing")
    out, picture = tmp_path / "scale.json", tmp_path / "scale.png"
    apart = shutil.which(APART[0]) and not subprocess.run([*APART, "true"], stderr=subprocess.DEVNULL).returncode
    stages = [
        "films",
        *["trouble"] * bool(apart),
        "synthesise",
        "segment",
        "synthesise, killed",
        "segment, killed",
        "names",
    ]
    line = f"--films 60 --troubled 40 --size 128 --kills 2 --shard 10 --names 20 40 --work {tmp_path / 'work'}".split()
    line += ["--out", str(out), "--picture", str(picture), "--stages", *stages]
    scale.main(line)
    first = out.read_text()
    result = json.loads(first)
    for name in ("synthesise", "segment"):
        of = result["stages"][f"{name}, killed"]
        assert of["kills"] >= 1
        assert of["files_that_differ"] == 0, of["differing"]
        assert of["files_compared"] == result["stages"][name]["files"]
    for name, of in result["stages"].get("trouble", {}).items():
        assert (of["damaged"], of["temporary"]) == (0, 0), name
        assert (of["status_afterwards"], of["same_bytes_afterwards"]) == (0, True), name
        assert of["status"] == 2, name
    for table in (scale_tables.commands, scale_tables.kills, scale_tables.trouble, scale_tables.paper):
        rows = table(result)
        assert len({row.count("|") for row in rows}) == 1
    assert picture.stat().st_size > 1000
    monkeypatch.setattr(scale, "STAGES", dict.fromkeys(scale.STAGES))
    scale.main(line)  # every stage has its figures
    assert out.read_text() == first
    with pytest.raises(RuntimeError, match="figures of other sizes"):
        scale.main([*line, "--films", "61"])
