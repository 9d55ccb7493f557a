"""Results belong to the files they were made of: what changes is made anew, what is gone is named or deleted."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from artasyn.bulk.fingerprints import fingerprint, with_detached
from artasyn.bulk.journal import Journal, fingerprints_of
from artasyn.bulk.run import BulkRun, Outcome, Row, attempt, read_manifest
from artasyn.bulk.sources import Source
from artasyn.errors import DataError, OutputError
from artasyn.files import atomic
from tests.trees import tree

COLUMNS = ("file", "parts")


@dataclass(frozen=True)
class Letters:
    """Work that writes a source's text, and a folder with a file for each letter of it; empty texts fail."""

    out: Path
    log: Path

    def __call__(self, source: Source) -> list[Row]:
        with self.log.open("a") as log:
            log.write(f"{source.name} ")
        text = source.path.read_text() + "".join(path.read_text() for path in source.inputs if path.is_file())
        if not text:
            raise DataError("empty")
        atomic.write_text(self.out / f"texts/{source.name}.txt", text)
        for letter in text:
            atomic.write_text(self.out / f"parts/{source.name}/{letter}", letter)
        return [{"file": f"texts/{source.name}.txt", "parts": f"parts/{source.name}"}]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text(f"text {name}")
    return folder


def run(texts: Path, *, prune: bool = False, inputs: tuple[Path, ...] = ()) -> tuple[list[Outcome], str, list[str]]:
    """Runs `Letters` on every file; returns the outcomes, the sources that were worked on, and those that are gone."""
    out, log = texts.parent / "out", texts.parent / "log"
    log.write_text("")
    bulk = BulkRun(out, {}, COLUMNS, COLUMNS, prune=prune)
    sources = [Source(path, path.name, inputs=inputs) for path in sorted(texts.iterdir())]
    outcomes = bulk.run(Letters(out, log), sources, title="x")
    return outcomes, log.read_text().strip(), bulk.gone(outcomes)


def rewritten(path: Path) -> None:
    path.write_text("TEXT b")


def longer(path: Path) -> None:
    path.write_text("another text b")


def with_its_old_date(path: Path) -> None:
    before = path.stat()
    path.write_text("TEXT b")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def renamed_over(path: Path) -> None:
    other, before = path.parent.parent / "other", path.stat()
    other.write_text("TEXT b")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [rewritten, longer, with_its_old_date, renamed_over])
def test_a_source_that_was_replaced_is_made_anew(texts: Path, change: Callable[[Path], None]) -> None:
    assert run(texts)[1] == "a b c"
    assert run(texts)[1] == ""
    change(texts / "b")
    assert run(texts)[1] == "b"
    out = texts.parent / "out"
    assert (out / "texts/b.txt").read_text() == (texts / "b").read_text()
    assert {path.name for path in (out / "parts/b").iterdir()} == set((texts / "b").read_text())  # and no older parts
    before = tree(out)
    assert run(texts)[1] == ""
    assert tree(out) == before


def touch(path: Path) -> None:
    os.utime(path, (1, 1))


def copied(path: Path) -> None:
    shutil.copy(path, path.parent.parent / "copy")
    path.unlink()
    shutil.move(path.parent.parent / "copy", path)


@pytest.mark.parametrize("change", [touch, copied])
def test_a_new_date_or_a_copy_costs_nothing(texts: Path, change: Callable[[Path], None]) -> None:
    first = run(texts)
    before = tree(texts.parent / "out")
    change(texts / "b")
    again = run(texts)
    assert (again[0], again[1]) == (first[0], "")
    after = tree(texts.parent / "out")
    assert after.keys() == before.keys()
    assert [name for name in before if before[name] != after[name]] == [".journal.jsonl"]  # remembers the new date
    assert b"text b" not in before["manifest.csv"]


def test_further_inputs_count_as_the_source_does(texts: Path) -> None:
    labels, masks = texts.parent / "labels", texts.parent / "masks"
    labels.write_text("1")
    masks.mkdir()
    (masks / "lung").write_text("2")
    inputs = (labels, masks)
    assert run(texts, inputs=inputs)[1] == "a b c"
    assert run(texts, inputs=inputs)[1] == ""
    labels.write_text("3")
    assert run(texts, inputs=inputs)[1] == "a b c"
    (masks / "lung").write_text("4")
    assert run(texts, inputs=inputs)[1] == "a b c"
    (masks / "heart").write_text("4")
    assert run(texts, inputs=inputs)[1] == "a b c"
    os.utime(masks / "heart", (1, 1))
    assert run(texts, inputs=inputs)[1] == ""
    labels.unlink()
    assert run(texts, inputs=inputs)[1] == "a b c"
    assert run(texts)[1] == "a b c"  # other inputs


def test_results_of_a_source_that_became_bad_do_not_stay(texts: Path) -> None:
    run(texts)
    (texts / "b").write_text("")
    outcomes, worked, _ = run(texts)
    assert (worked, [outcome.reason for outcome in outcomes]) == ("b", ["", "empty", ""])
    assert not [name for name in tree(texts.parent / "out") if "/b" in name]
    assert run(texts)[1] == "b"  # a failure is always tried again


def test_results_of_sources_that_are_gone_are_named_and_deleted_only_on_request(texts: Path) -> None:
    run(texts)
    out = texts.parent / "out"
    (out / "parts/b/mine.txt").write_text("of the user")
    (out / "texts/mine.txt").write_text("of the user")
    (texts / "b").unlink()
    (texts / "c").rename(texts / "d")
    outcomes, worked, gone = run(texts)
    assert ([outcome.source.name for outcome in outcomes], worked, gone) == (["a", "d"], "d", ["b", "c"])
    assert [row["name"] for row in read_manifest(out / "manifest.csv")] == ["a", "d"]
    assert (out / "texts/b.txt").exists()
    assert run(texts)[2] == ["b", "c"]  # it stays known
    assert run(texts, prune=True)[1:] == ("", [])
    left = {"manifest.csv", "settings.json", ".journal.jsonl", "parts/b/mine.txt", "texts/mine.txt"}
    assert set(tree(out)) == left | {f"texts/{n}.txt" for n in "ad"} | {
        f"parts/{name}/{letter}" for name, text in (("a", "text a"), ("d", "text c")) for letter in text
    }
    assert not (out / "parts/c").exists()
    assert run(texts)[2] == []


def test_a_source_that_comes_back_is_not_made_again(texts: Path) -> None:
    run(texts)
    (texts / "b").rename(texts.parent / "b")
    run(texts)
    (texts.parent / "b").rename(texts / "b")
    assert run(texts)[1:] == ("", [])


@dataclass(frozen=True)
class Joined:
    """Work on a batch: one file with the texts of its sources."""

    out: Path

    def __call__(self, number: int, sources: Sequence[Source]) -> list[Outcome]:
        outcomes = [attempt(lambda source: [{"file": f"{number}.txt"}], COLUMNS, source) for source in sources]
        atomic.write_text(self.out / f"{number}.txt", "".join(source.path.read_text() for source in sources))
        return outcomes


def test_sealed_batches_with_a_changed_source_are_made_anew(texts: Path) -> None:
    out = texts.parent / "out"
    bulk = BulkRun(out, {}, COLUMNS, ("file",), batch=2, sealed=True)
    sources = [Source(path, path.name) for path in sorted(texts.iterdir())]
    bulk.run_batches(Joined(out), sources, title="x")
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.txt")}
    (texts / "c").write_text("TEXT c")
    bulk.run_batches(Joined(out), sources, title="x")
    assert (out / "1.txt").read_text() == "TEXT c"
    assert (out / "0.txt").stat().st_mtime_ns == before[out / "0.txt"]


def test_fingerprints_of_folders_leave_out_hidden_files_and_subfolders(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").write_text("slice")
    before = fingerprint(tmp_path / "series")
    (tmp_path / "series" / ".DS_Store").write_text("x")
    (tmp_path / "series" / "deeper").mkdir()
    assert fingerprint(tmp_path / "series") == before
    (tmp_path / "series" / "2.dcm").write_text("slice")
    assert fingerprint(tmp_path / "series") != before
    assert fingerprint(tmp_path / "missing").size == -1
    assert fingerprint(tmp_path / "missing").confirmed(tmp_path / "missing")


@pytest.mark.parametrize(
    ("name", "text", "data"),
    [
        ("a.mhd", "NDims = 3\nElementDataFile = a.raw\n", "a.raw"),
        ("a.MHD", "elementdatafile=b.zraw", "b.zraw"),
        ("a.nhdr", "NRRD0004\ndata file: a.raw.gz\r\n", "a.raw.gz"),
        ("a.nhdr", "NRRD0004\ndatafile:   a.raw", "a.raw"),
        ("a.mhd", "ElementDataFile = LIST\n", ""),
        ("a.nhdr", "data file: a%03d.raw 1 9 1", ""),
    ],
)
def test_the_voxels_of_a_header_belong_to_it(tmp_path: Path, name: str, text: str, data: str) -> None:
    (tmp_path / name).write_text(text)
    if data:
        (tmp_path / data).write_text("voxels")
    assert with_detached([tmp_path / name]) == [tmp_path / name, tmp_path / data]


@pytest.mark.parametrize("name", [".journal.jsonl", "settings.json"])
@pytest.mark.parametrize("content", ["/dev/zero", "[" * 100_000])
def test_settings_and_journals_that_would_harm_are_named_or_left_out(texts: Path, name: str, content: str) -> None:
    run(texts)
    file = texts.parent / "out" / name
    file.unlink()
    if content.startswith("/"):
        file.symlink_to(content)
    else:
        file.write_text(content)
    if name == ".journal.jsonl" and not content.startswith("/"):
        outcomes, _, _ = run(texts)
        assert not any(outcome.reason for outcome in outcomes)
    else:
        with pytest.raises(DataError, match=file.name):
            run(texts)


def test_a_row_that_a_journal_holds_many_times_counts_once(texts: Path) -> None:
    run(texts)
    journal = texts.parent / "out" / ".journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines() if line]
    for line in lines:
        line[2] = line[2] * 500
    journal.write_text("\n".join(map(json.dumps, lines)))
    outcomes, _, _ = run(texts)
    assert [len(outcome.rows) for outcome in outcomes] == [1, 1, 1]


def test_a_name_in_the_journal_needs_little_memory(tmp_path: Path) -> None:
    path, names = tmp_path / "film", 2000
    path.write_text("film")
    columns = ("labels", "overlay", "found", "confidence", "status", "warnings", "reason")
    journal, seen = Journal(tmp_path, columns, ("labels", "overlay")), fingerprints_of(Source(path, "film"))

    def row(name: str) -> dict[str, str]:
        files = {"labels": f"labels/{name}.png", "overlay": f"overlays/{name}.png"}
        return files | {"found": "true", "confidence": "0.9123", "status": "ok", "warnings": "", "reason": ""}

    sources = [Source(path, f"{number // 1000:05d}/{number:08d}") for number in range(names)]
    journal.write(journal.entry(each, (row(each.name),), "", seen) for each in sources)
    tracemalloc.start()
    try:
        entries = journal.read()
        held = tracemalloc.get_traced_memory()[0] / names
    finally:
        tracemalloc.stop()
    assert len(entries) == names
    assert held < 1500  # bytes; ten million names need 15 GB
    wanted = journal.read(lambda name: name.endswith("7"))
    assert wanted == {name: entry for name, entry in entries.items() if name.endswith("7")}


def test_files_of_a_result_are_those_of_its_folder_and_nothing_else_there(texts: Path) -> None:
    parts = texts.parent / "out/parts/a"
    (parts / "folder of another result").mkdir(parents=True)
    leftover = parts / atomic.LEFTOVER.replace("*", "0")
    leftover.touch()
    journal = Journal(texts.parent / "out", COLUMNS, COLUMNS)
    row = Letters(journal.out, texts.parent / "log")(Source(texts / "a", "a"))[0]
    entry = journal.entry(Source(texts / "a", "a"), (row,), "", ())
    assert entry.files == ("texts/a.txt", *(f"parts/a/{letter}" for letter in sorted({*"text a"})))


def test_a_deletion_that_was_cut_short_leaves_no_empty_folder(texts: Path) -> None:
    run(texts)
    (texts / "a").unlink()
    for path in (texts.parent / "out/parts/a").iterdir():
        path.unlink()  # and then the command was killed
    run(texts, prune=True)
    assert not (texts.parent / "out/parts/a").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
def test_a_journal_that_cannot_grow_is_named_with_what_to_do(texts: Path) -> None:
    out = texts.parent / "out"
    out.mkdir()
    journal = Journal(out, COLUMNS, COLUMNS)
    journal.path.symlink_to("/dev/full")
    entry = journal.entry(Source(texts / "a", "a"), (), "", ())
    with (
        pytest.raises(OutputError, match=r"\.journal\.jsonl cannot be written .*; free space"),
        journal.growing() as add,
    ):
        add([entry])
    journal.path.unlink()
    journal.path.mkdir()
    with pytest.raises(OutputError, match=r"\.journal\.jsonl is a folder"), journal.growing():
        pass


@dataclass(frozen=True)
class Cut(Letters):
    """Work whose disk is full when the results of a source are written."""

    def __call__(self, source: Source) -> list[Row]:
        super().__call__(source)
        raise OutputError(errno.ENOSPC, "the disk is full")


def test_a_source_that_changes_back_after_a_run_broke_off_gets_its_own_result_again(texts: Path) -> None:
    run(texts)
    out = texts.parent / "out"
    before = tree(out)
    (texts / "b").write_text("b text")
    sources = [Source(path, path.name) for path in sorted(texts.iterdir())]
    with pytest.raises(OutputError):
        BulkRun(out, {}, COLUMNS, COLUMNS).run(Cut(out, texts.parent / "log"), sources, title="x")
    assert (out / "texts/b.txt").read_text() == "b text"
    (texts / "b").write_text("text b")
    assert run(texts)[1] == "b"
    after = tree(out)
    assert after.pop("texts/b.txt") == before.pop("texts/b.txt") == b"text b"
