"""Portions of a run: divided evenly, made side by side, resumed, refused, and joined to what one run gives."""

from __future__ import annotations

import dataclasses
import errno
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from artasyn.bulk.lock import claimed
from artasyn.bulk.merging import Merging
from artasyn.bulk.portions import PORTIONS, Portion, delete_portions, portions_in
from artasyn.bulk.run import BulkRun, Outcome, Row, read_manifest
from artasyn.bulk.sources import Source, available_cores, find_sources
from artasyn.bulk.stores import Shards, StoredImage
from artasyn.errors import DataError, OutputError
from artasyn.files.radiograph import read_radiograph, write_image
from tests.bulk.test_run import COLUMNS, Halves, made_films
from tests.trees import tree


@dataclass(frozen=True)
class Portioned:
    """A collection of films whose halves are made, as a whole or in portions."""

    films: Path
    out: Path
    log: Path
    prune: bool = False

    def run(self, portion: str = "", merging: Merging = "", **work: float) -> list[Outcome]:
        run = BulkRun(
            *(self.out, {"work": "halves", **work}, COLUMNS, ("file",)),
            prune=self.prune, portion=Portion.parse(portion) if portion else None, merging=merging,
        )  # fmt: skip
        return run.run(Halves(self.out, self.log), find_sources([self.films]), title="halve")

    def merge(self) -> list[Outcome]:
        outcomes = self.run(merging="all")
        delete_portions(self.out)
        return outcomes


@pytest.fixture
def portioned(tmp_path: Path) -> Portioned:
    return Portioned(made_films(tmp_path / "films", 8, bad=(5,)), tmp_path / "out", tmp_path / "log")


def whole(portioned: Portioned) -> dict[str, bytes]:
    """The files of one run on the whole collection."""
    alone = dataclasses.replace(portioned, out=portioned.out.with_name("whole"), log=portioned.log.with_name("other"))
    alone.run()
    return tree(alone.out)


@pytest.mark.parametrize(("count", "of", "together"), [(0, 3, 1), (1, 4, 1), (10, 3, 1), (1001, 7, 10), (12, 12, 5)])
def test_portions_are_disjoint_complete_and_even(count: int, of: int, together: int) -> None:
    shares = [range(count)[portion.share(count, together)] for portion in Portion(1, of).others()]
    assert [place for share in shares for place in share] == list(range(count))
    assert all(share.start % together == 0 for share in shares if share)
    groups = [-(-len(share) // together) for share in shares]
    assert max(groups) - min(groups) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "1", "-1/4", "1/4/2", "a/b", "1.0/2"])
def test_a_portion_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"write --portion I/N with I from 1 to N, such as 1/8"):
        Portion.parse(text)


def test_portions_side_by_side_give_the_bytes_of_one_run(portioned: Portioned) -> None:
    available_cores()  # imports joblib, which threads cannot do at the same time
    with ThreadPoolExecutor(3) as threads:
        made = [*threads.map(portioned.run, ("1/3", "2/3", "3/3"))]
    assert [len(outcomes) for outcomes in made] == [2, 3, 3]
    assert not (portioned.out / "manifest.csv").exists()
    outcomes = portioned.merge()
    assert [outcome.source.name for outcome in outcomes] == [source.name for source in find_sources([portioned.films])]
    assert tree(portioned.out) == whole(portioned)
    assert sum(Halves(portioned.out, portioned.log).calls().values()) == 8
    portioned.run()  # the folder is that of a whole run now: the bad film is tried again, and nothing else
    assert Halves(portioned.out, portioned.log).calls().most_common(1) == [("b/film 05", 2)]


def test_more_portions_than_sources_leave_some_empty(portioned: Portioned) -> None:
    for portion in Portion(1, 11).others():
        portioned.run(str(portion))
    portioned.merge()
    assert tree(portioned.out) == whole(portioned)


@dataclass(frozen=True)
class Stopped(Halves):
    """Work that finds the disk full at one film."""

    at: str = ""

    def __call__(self, source: Source) -> list[Row]:
        if source.name == self.at:
            raise OutputError(errno.ENOSPC, "the disk is full")
        return super().__call__(source)


def test_missing_and_unfinished_portions_are_named_and_a_portion_resumes(portioned: Portioned) -> None:
    out, sources = portioned.out, find_sources([portioned.films])
    with pytest.raises(DataError, match="holds no portions"):
        portioned.run(merging="all")
    portioned.run("1/3")
    run = BulkRun(out, {"work": "halves"}, COLUMNS, ("file",), portion=Portion(3, 3))
    work = Stopped(out, portioned.log, at=sources[-1].name)
    with pytest.raises(OutputError):
        run.run(work, sources, title="halve")
    with pytest.raises(DataError, match=r"unfinished portions: 2/3 \(missing\), 3/3 \(\d left\); run them"):
        portioned.run(merging="all")
    there = portioned.run(merging="there")
    assert 2 <= len(there) <= 4
    assert len({row["name"] for row in read_manifest(out / "manifest.csv")}) == len(there)
    assert portions_in(out) == [Portion(1, 3), Portion(3, 3)]
    portioned.run("3/3")
    portioned.run("2/3")
    portioned.merge()
    calls = Halves(out, portioned.log).calls()
    assert all(calls[source.name] == 1 for source in sources if source.name != "b/film 05")
    assert tree(out) == whole(portioned)


def test_what_does_not_go_together_is_refused(portioned: Portioned) -> None:
    portioned.run("1/3")
    before = tree(portioned.out)
    with pytest.raises(DataError, match=r"holds portions of 3, not of 4; go on with --portion I/3"):
        portioned.run("1/4")
    with pytest.raises(DataError, match=r"holds portions of a run \(1/3\); finish them with --portion"):
        portioned.run()
    with pytest.raises(DataError, match="results of other settings"):
        portioned.run("2/3", size=2)
    with claimed(Portion(1, 3).folder(portioned.out)), ThreadPoolExecutor(1) as thread:
        other = thread.submit(portioned.run, "1/3")
    with pytest.raises(DataError, match="1-of-3 is in use by another artasyn"):
        other.result()
    assert {name: data for name, data in tree(portioned.out).items() if "2-of-3" not in name} == before
    (portioned.out / PORTIONS / "1-of-9").mkdir()
    with pytest.raises(DataError, match="holds portions of 3 and of 9"):
        portioned.run("2/3")


def test_a_portion_beside_a_whole_run_is_refused(portioned: Portioned) -> None:
    portioned.run()
    before = tree(portioned.out)
    with pytest.raises(DataError, match="holds the results of a whole run"):
        portioned.run("1/3")
    assert tree(portioned.out) == before
    assert not (portioned.out / PORTIONS).exists()


def test_a_collection_that_changes_moves_no_work_and_is_pruned(portioned: Portioned) -> None:
    portions = ("1/2", "2/2")
    for portion in portions:
        portioned.run(portion)
    sources = find_sources([portioned.films])
    sources[0].path.unlink()
    shutil.copy(sources[3].path, portioned.films / "b" / "zzz.png")
    write_image(sources[2].path, read_inverted(sources[2].path))  # same name, other content
    before = Halves(portioned.out, portioned.log).calls()
    for portion in portions:
        portioned.run(portion)
    again = Halves(portioned.out, portioned.log).calls() - before
    assert set(again) == {sources[2].name, "b/zzz", "b/film 05"}
    pruned = dataclasses.replace(portioned, prune=True)
    assert any(sources[0].name in name for name in tree(portioned.out))
    for portion in reversed(portions):
        pruned.run(portion)
    assert not any(sources[0].name in name for name in tree(portioned.out))
    portioned.merge()
    mine, other = tree(portioned.out), whole(portioned)
    assert mine == other


def test_a_source_that_changed_after_its_portion_is_not_joined(portioned: Portioned) -> None:
    for portion in ("1/2", "2/2"):
        portioned.run(portion)
    changed = find_sources([portioned.films])[-1]
    write_image(changed.path, read_inverted(changed.path))
    with pytest.raises(DataError, match=r"unfinished portions: 2/2 \(1 left\)"):
        portioned.run(merging="all")
    portioned.run("2/2")
    portioned.merge()
    assert tree(portioned.out) == whole(portioned)


def test_portions_go_on_after_a_merge_that_broke_off(portioned: Portioned) -> None:
    for portion in ("1/2", "2/2"):
        portioned.run(portion)
    portioned.run(merging="all")  # and the disk was full when the sheets were written, so the portions are still there
    changed = find_sources([portioned.films])[-1]
    write_image(changed.path, read_inverted(changed.path))
    with pytest.raises(DataError, match=r"unfinished portions: 2/2 \(1 left\); run them to their end"):
        portioned.run(merging="all")
    portioned.run("2/2")
    portioned.merge()
    assert tree(portioned.out) == whole(portioned)


def test_a_merge_that_is_killed_while_it_deletes_the_portions_leaves_nothing(
    portioned: Portioned, monkeypatch: pytest.MonkeyPatch
) -> None:
    portioned.run("1/1")
    with monkeypatch.context() as killed:
        killed.setattr(shutil, "rmtree", lambda *_, **__: None)
        portioned.merge()
    assert len(tree(portioned.out)) > len(whole(portioned))
    portioned.run()
    assert tree(portioned.out) == whole(portioned)


def read_inverted(path: Path) -> np.ndarray:
    return 1 - read_radiograph(path)


@dataclass(frozen=True)
class Sample:
    """Makes one sample of each film."""

    def __call__(self, source: Source) -> list[StoredImage]:
        return [StoredImage({"image": source.path.read_bytes()}, {"copy": 1})]


def test_shards_of_portions_have_the_bytes_of_one_run(tmp_path: Path) -> None:
    sources = find_sources([made_films(tmp_path / "films", 11)])
    made = {}
    for name in ("whole", "out"):
        store = Shards(tmp_path / name, 2)
        columns = ("copy", *store.columns)
        run = BulkRun(tmp_path / name, {}, columns, store.files, batch=2, sealed=True)
        portions = Portion(1, 4).others() if name == "out" else [None]
        for portion in reversed(portions):
            dataclasses.replace(run, portion=portion).run_batches(store.work(Sample(), columns), sources, title="x")
        if name == "out":
            dataclasses.replace(run, merging="all").run_batches(store.work(Sample(), columns), sources, title="x")
            delete_portions(run.out)
        made[name] = tree(run.out)
    assert len([name for name in made["out"] if name.endswith(".tar")]) == 6
    assert made["out"] == made["whole"]
