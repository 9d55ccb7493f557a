"""Results on their way to a store: copied whole, once, in both directions, and told of last."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from artasyn.bulk import portions
from artasyn.bulk.portions import Portion
from artasyn.cli.main import main
from artasyn.errors import DataError, StoreError
from artasyn.files import atomic
from artasyn.files.radiograph import image_png, write_image
from artasyn.phantom.film import Phantom
from artasyn.remote import results
from artasyn.remote.results import Staging, published
from artasyn.remote.urls import asking
from tests.trees import tree

URL = "memory://out"


def stored(memory: Any) -> dict[str, bytes]:
    """The objects of the store, by their names below the URL."""
    return {path.removeprefix("/out/"): memory.cat_file(path) for path in memory.find("/out")}


def test_a_command_reads_and_writes_urls(memory: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = image_png(Phantom(size=64)(1).image)
    memory.pipe_file("/films/a.png", data)
    (tmp_path / "a.png").write_bytes(data)
    assert main(["segment", "memory://films", "--out", URL]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [f"{URL}/sheet-1.png", f"{URL}/manifest.csv"]
    assert "open memory://out/sheet-1.png" in said.err
    assert main(["segment", str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]) == 0
    here, there = tree(tmp_path / "out"), stored(memory)
    assert here.keys() == there.keys()
    told = {".journal.jsonl", "manifest.csv"}
    assert {name: there[name] for name in there.keys() - told} == {name: here[name] for name in here.keys() - told}
    assert there["manifest.csv"] == here["manifest.csv"].replace(str(tmp_path).encode(), b"memory://films")
    memory.pipe_file("/films/a.png", image_png(Phantom(size=64)(2).image))
    assert main(["segment", "memory://films", "--out", URL]) == 0
    assert stored(memory)["labels/a.png"] != there["labels/a.png"]


def test_a_film_whose_name_no_store_takes_fails_alone(
    memory: Any, tmp_path: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("artasyn"), "propagate", False)  # pytest-xdist can send no such name
    for name in (b"caf\xe9.png", "café.png".encode()):
        write_image(tmp_path / "films" / os.fsdecode(name), Phantom(size=64)(1).image)
    assert main(["segment", str(tmp_path / "films"), "--out", URL, "--workers", "1"]) == 1
    assert b"caf\xe9.png has a name that is no UTF-8, which stores need; rename it" in stored(memory)["manifest.csv"]
    assert [name for name in stored(memory) if name.startswith("labels/")] == ["labels/café.png"]
    assert main(["segment", str(tmp_path / "films"), "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    with pytest.raises(DataError, match="has a name that is no UTF-8"), asking(URL):
        "\udcff".encode()


def test_another_machine_goes_on_where_one_stopped(memory: Any, tmp_path: Path) -> None:
    with published(URL, tmp_path / "a"):
        atomic.write_text(tmp_path / "a" / "x" / "1.txt", "one")
        atomic.write_text(tmp_path / "a" / "manifest.csv", "1")
        (tmp_path / "a" / ".lock").touch()
        (tmp_path / "a" / ".artasyn-1.tmp").touch()
        atomic.write_text(tmp_path / "a" / ".artasyn-merged.tmp" / "1-of-2" / "manifest.csv", "1")
    assert stored(memory) == {"x/1.txt": b"one", "manifest.csv": b"1"}
    with published(URL, tmp_path / "b"):
        assert tree(tmp_path / "b") == stored(memory)
        atomic.write_text(tmp_path / "b" / "2.txt", "two")
        (tmp_path / "b" / "x" / "1.txt").unlink()
    assert stored(memory) == {"2.txt": b"two", "manifest.csv": b"1"}
    (tmp_path / "a" / ".lock").unlink()
    (tmp_path / "a" / ".artasyn-1.tmp").unlink()
    shutil.rmtree(tmp_path / "a" / ".artasyn-merged.tmp")
    with published(URL, tmp_path / "a"):
        assert tree(tmp_path / "a") == stored(memory)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a command with its own cache: a portion of `segment` on six films, or a merge of all."""
    for number in range(6):
        write_image(tmp_path / "films" / f"{number}.png", Phantom(size=64)(number).image)

    def command(machine: str, *options: str) -> int:
        monkeypatch.setenv("ARTASYN_CACHE", str(tmp_path / machine))
        if options == ("merge",):
            return main(["merge", URL])
        return main(["segment", str(tmp_path / "films"), "--out", URL, "--workers", "1", *options])

    return command


def test_stores_know_the_folder_of_portions() -> None:
    assert f"{portions.PORTIONS}/" == results.PORTIONS


def test_a_portion_copies_what_it_has_made_itself(
    memory: Any, tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def portion(text: str, machine: str) -> int:
        return run(machine, "--portion", text)

    def labels(machine: str) -> set[str]:
        return {name for name in tree(tmp_path / machine / "results/memory/out") if name.startswith("labels/")}

    assert portion("1/3", "a") == portion("2/3", "b") == 0
    assert labels("b") == {"labels/2.png", "labels/3.png"}
    before = stored(memory)
    memory.rm_file("/out/labels/1.png")
    capsys.readouterr()
    assert portion("1/3", "c") == 0  # another machine goes on with the first portion
    assert "1 of 2 films were done before" in capsys.readouterr().err
    assert labels("c") == {"labels/0.png", "labels/1.png"}
    assert stored(memory).keys() == before.keys()
    assert portion("3/3", "c") == 0
    assert portion("1/2", "d") == 2
    assert "holds portions of 3, not of 2" in capsys.readouterr().err
    assert labels("d") == set()
    assert main(["merge", URL]) == 0
    assert labels("d") == {f"labels/{number}.png" for number in range(6)}
    assert portion("1/3", "e") == 2
    assert "holds the results of a whole run" in capsys.readouterr().err


def test_a_machine_sends_no_old_news_of_a_portion_that_another_has_finished(
    memory: Any, tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("a", "--portion", "1/2") == 0
    write_image(tmp_path / "films" / "0.png", Phantom(size=64)(9).image)  # a changed film, with which a begins again
    here = tmp_path / "a/results/memory/out"
    own, unsent = here / ".portions/1-of-2", here / ".portions/1-of-2/.journal.jsonl"
    (own / "manifest.csv").unlink()  # and is killed in the middle, before it has sent anything
    (here / "labels/0.png").unlink()
    atomic.write_text(unsent, unsent.read_text("utf-8")[:-100])
    (own / ".lock").touch()
    assert run("b", "--portion", "1/2") == 0
    finished = stored(memory)
    assert run("a", "--portion", "2/2") == 0
    assert {name: stored(memory)[name] for name in finished} == finished
    atomic.write_text(unsent, "lost")  # a is killed in a portion that it did not go on with
    assert run("c", "merge") == 0
    merged = stored(memory)
    capsys.readouterr()
    assert run("a") == 0
    assert "6 of 6 films were done before" in capsys.readouterr().err
    assert stored(memory) == merged


def one_of_two(folder: Path) -> Staging:
    """What the first of two portions copies, whose journal lists one file a line."""
    journal = folder / ".portions/1-of-2/.journal.jsonl"

    def needs() -> Iterator[Callable[[str], bool]]:
        yield Portion(1, 2).needs
        yield (journal.read_text("utf-8").split() if journal.exists() else []).__contains__

    return Staging(URL, folder, needs, Portion(1, 2).writes)


def test_a_portion_takes_files_from_where_its_latest_journal_is(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, journal = tmp_path / "a", ".portions/1-of-2/.journal.jsonl"
    memory.pipe_file("/out/d/1.png", b"sent without a journal by a machine that was killed")
    one_of_two(here).pull()
    atomic.write_text(here / "d/1.png", "new")
    atomic.write_text(here / journal, "d/1.png")
    one_of_two(here).pull()  # after a kill
    one_of_two(here).push()
    assert (here / "d/1.png").read_text("utf-8") == "new"
    assert stored(memory) == {"d/1.png": b"new", journal: b"d/1.png"}
    memory.pipe_file("/out/d/1.png", b"newer")
    memory.pipe_file(f"/out/{journal}", b"d/1.png d/2.png")
    get = type(memory).get_file

    def killed(self: Any, there: str, temporary: str) -> None:
        if there.endswith("/1.png"):
            raise TimeoutError
        get(self, there, temporary)

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "get_file", killed)
        with pytest.raises(StoreError):
            one_of_two(here).pull()
    one_of_two(here).pull()
    assert tree(here) == stored(memory) == {"d/1.png": b"newer", journal: b"d/1.png d/2.png"}


def test_a_portion_sends_unsent_files_of_others_only_when_its_journal_lists_them(memory: Any, tmp_path: Path) -> None:
    for name in ("d/1.png", "d/2.png"):
        atomic.write_text(tmp_path / "a" / name, "made for the second portion, before a kill")
    staging = one_of_two(tmp_path / "a")
    staging.pull()
    atomic.write_text(tmp_path / "a/.portions/1-of-2/.journal.jsonl", "d/1.png")  # which is of this portion now
    staging.push()
    assert stored(memory).keys() == {"d/1.png", ".portions/1-of-2/.journal.jsonl"}
    atomic.write_text(tmp_path / "a/d/2.png", "another, made now")
    staging.push()
    assert "d/2.png" in stored(memory)


def test_a_merge_that_ends_while_it_deletes_the_portions_is_done(
    memory: Any, run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("a", "--portion", "1/2") == run("a", "--portion", "2/2") == 0
    remove, removed = type(memory).rm_file, list[str]()

    def refuse(self: Any, path: str) -> None:
        if "/.portions/" in path:
            removed.append(path)
            if len(removed) > 3:
                raise TimeoutError
        remove(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "rm_file", refuse)
        assert run("a", "merge") == 2
    left = {name: data for name, data in stored(memory).items() if name.startswith(".portions")}
    assert len(left) == 8 - 3 + 1  # and the mark
    capsys.readouterr()
    for again in ("a", "b"):
        for name, data in left.items():
            memory.pipe_file(f"/out/{name}", data)
        assert run(again, "merge") == 2
        assert f"{URL} holds no portions, but the results of a whole run or of a merge" in capsys.readouterr().err
        assert not [name for name in stored(memory) if name.startswith(".portions")]
    assert run("c") == 0
    assert "6 of 6 films were done before" in capsys.readouterr().err


def test_portions_stay_in_the_store_until_the_journal_of_their_merge_is_there(memory: Any, tmp_path: Path) -> None:
    names = {".portions/1-of-2/command.json", ".portions/2-of-2/.journal.jsonl"}
    for name in names:
        atomic.write_text(tmp_path / "a" / name, name)
    staging = Staging(URL, tmp_path / "a")
    staging.push()
    shutil.rmtree(tmp_path / "a/.portions")
    staging.push()
    assert stored(memory).keys() == names
    atomic.write_text(tmp_path / "a/.journal.jsonl", "merged")
    staging.push()
    assert stored(memory).keys() == {".journal.jsonl"}


def test_results_that_were_deleted_in_the_store_leave_no_folders(memory: Any, tmp_path: Path) -> None:
    with published(URL, tmp_path / "a"):
        atomic.write_text(tmp_path / "a" / ".portions/1-of-2/command.json", "{}")
        atomic.write_text(tmp_path / "a" / "x/y/1.txt", "one")
        atomic.write_text(tmp_path / "a" / "x/2.txt", "two")
    (tmp_path / "a" / ".portions/1-of-2/.lock").touch()
    memory.rm_file("/out/.portions/1-of-2/command.json")
    memory.rm_file("/out/x/y/1.txt")
    Staging(URL, tmp_path / "a").pull()
    assert sorted(path.name for path in (tmp_path / "a").rglob("*")) == ["2.txt", "x"]


def test_what_is_alike_is_not_copied_again(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("1.txt", "2.txt", "manifest.csv"):
        atomic.write_text(tmp_path / "a" / name, name)
    with published(URL, tmp_path / "a"):
        pass
    sent: list[str] = []
    monkeypatch.setattr(Staging, "_send", lambda self, name, *_: sent.append(name))
    atomic.write_text(tmp_path / "a" / "2.txt", "another")
    staging = Staging(URL, tmp_path / "a")
    staging.pull()
    staging.push()
    assert sent == ["2.txt"]


def test_a_run_that_fails_or_is_stopped_leaves_what_is_done(memory: Any, tmp_path: Path) -> None:
    def stopped() -> None:
        with published(URL, tmp_path / "a"):
            atomic.write_text(tmp_path / "a" / "1.txt", "one")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert stored(memory) == {"1.txt": b"one"}


def test_results_that_cannot_be_listed_are_not_deleted_in_the_store(memory: Any, tmp_path: Path) -> None:
    def cleaned() -> None:
        with published(URL, tmp_path / "a"):
            shutil.rmtree(tmp_path / "a")

    with published(URL, tmp_path / "a"):
        atomic.write_text(tmp_path / "a" / "1.txt", "one")
    with pytest.raises(FileNotFoundError):
        cleaned()
    assert stored(memory) == {"1.txt": b"one"}


def test_what_was_sent_is_known_before_all_is_sent(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "KEPT", 2)
    put, known = type(memory).put_file, list[int]()

    def counting(*arguments: Any) -> None:
        known.append(len(Staging(URL, tmp_path / "a").known))  # as a command sees it that starts after a kill
        put(*arguments)

    monkeypatch.setattr(type(memory), "put_file", counting)
    with published(URL, tmp_path / "a"):
        for name in "12345":
            atomic.write_text(tmp_path / "a" / f"{name}.txt", name)
    assert known == [0, 0, 2, 2, 4]


def test_a_copy_that_fails_is_told_and_what_it_sent_is_not_sent_again(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stopped() -> None:
        with published(URL, tmp_path / "a"):
            for name in ("1.txt", "manifest.csv"):
                atomic.write_text(tmp_path / "a" / name, name)
            monkeypatch.setattr(type(memory), "put_file", refuse)
            raise KeyboardInterrupt

    put = type(memory).put_file

    def refuse(self: Any, here: str, there: str, **options: Any) -> None:
        if there.endswith("manifest.csv"):
            raise TimeoutError
        put(self, here, there, **options)

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert "manifest.csv: the store does not answer" in caplog.text
    assert "the last results are on this machine alone" in caplog.text
    staging = Staging(URL, tmp_path / "a")
    assert staging.known.keys() == {"1.txt"}
    assert [path.suffix for path in staging._record.parent.iterdir()] == [".json"]  # no copy is left


def test_a_full_disk_keeps_no_copy_of_a_journal(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copyfile = shutil.copyfile

    def full(source: Path, copy: Path) -> None:
        copyfile(source, copy)
        raise OSError(errno.ENOSPC, "No space left on device")

    atomic.write_text(tmp_path / "a" / "manifest.csv", "1")
    monkeypatch.setattr(shutil, "copyfile", full)
    staging = Staging(URL, tmp_path / "a")
    with pytest.raises(OSError, match="No space left"):
        staging.push()
    assert [*staging._record.parent.iterdir()] == []
    monkeypatch.setattr(shutil, "copyfile", copyfile)
    staging.push()
    assert stored(memory) == {"manifest.csv": b"1"}


def test_results_are_copied_while_a_command_runs(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(results, "SECONDS", 0.02)
    once = [StoreError("memory://out: the store does not answer (cable)")]
    push = Staging.push
    monkeypatch.setattr(Staging, "push", lambda self: (_ for _ in ()).throw(once.pop()) if once else push(self))
    with published(URL, tmp_path / "a"):
        atomic.write_text(tmp_path / "a" / "1.txt", "one")
        end = time.monotonic() + 10
        while not memory.exists("/out/1.txt") and time.monotonic() < end:
            time.sleep(0.01)
        assert stored(memory) == {"1.txt": b"one"}
    assert "(cable); the run goes on, and results are copied later" in caplog.text


def test_a_copy_is_not_ended_by_a_file_that_goes_but_a_bucket_that_goes_is_told(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put = type(memory).put_file

    def deleted(self: Any, here: str, there: str) -> None:
        if here.endswith("1.txt"):
            Path(here).unlink()
        put(self, here, there)

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "put_file", deleted)
        for name in ("1.txt", "2.txt", "manifest.csv"):
            atomic.write_text(tmp_path / "a" / name, name)
        Staging(URL, tmp_path / "a").push()
    assert stored(memory).keys() == {"2.txt", "manifest.csv"}

    def refuse(*_: Any) -> None:
        raise FileNotFoundError("no bucket")

    monkeypatch.setattr(results, "SECONDS", 0.02)
    with monkeypatch.context() as patch, published(URL, tmp_path / "a"):
        patch.setattr(type(memory), "put_file", refuse)
        atomic.write_text(tmp_path / "a" / "3.txt", "three")
        end = time.monotonic() + 10
        while "copied later" not in caplog.text and time.monotonic() < end:
            time.sleep(0.01)
        patch.undo()
    assert f"{URL}/3.txt does not exist (no bucket)" in caplog.text
    assert "3.txt" in stored(memory)


def test_files_that_tell_of_others_are_copied_after_those(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (".journal.jsonl", "a.png", "z.png", ".portions/1-of-2/.journal.jsonl"):
        atomic.write_text(tmp_path / "a" / name, name)
    put = type(memory).put_file

    def refuse(self: Any, here: str, there: str, **options: Any) -> None:
        if here.endswith("z.png"):
            raise TimeoutError
        put(self, here, there, **options)

    monkeypatch.setattr(type(memory), "put_file", refuse)
    with pytest.raises(StoreError, match=r"memory://out/z\.png: the store does not answer"):
        Staging(URL, tmp_path / "a").push()
    assert not [name for name in stored(memory) if name.endswith("jsonl")]
    monkeypatch.undo()


def test_a_store_that_cannot_be_written_and_an_object_cut_short_are_refused(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic.write_text(tmp_path / "a" / "1.txt", "one")
    monkeypatch.setattr(type(memory), "info", lambda *_: {"size": 2, "created": 1})
    with pytest.raises(StoreError, match=r"memory://out/1\.txt holds 2 bytes, not 3; run the same command again"):
        Staging(URL, tmp_path / "a").push()

    monkeypatch.setattr(type(memory), "info", lambda *_: {"size": 7})
    with pytest.raises(DataError, match="memory://out: the store tells neither"), published(URL, tmp_path / "a"):
        raise AssertionError("it begins")

    def refuse(*_: Any) -> None:
        raise FileNotFoundError("no bucket")

    monkeypatch.setattr(type(memory), "pipe_file", refuse)
    with pytest.raises(DataError, match="memory://out does not exist"), published(URL, tmp_path / "a"):
        raise AssertionError("it begins")
