"""Files that are whole or not at all."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from artasyn.errors import OutputError
from artasyn.files import atomic
from tests.trees import tree


def test_a_file_is_replaced_as_a_whole_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    atomic.write_text(path, "one")
    with atomic.replacing(path) as temporary:
        temporary.write_text("two")
        assert path.read_text() == "one"
        assert temporary.parent == path.parent  # the same file system, or renaming would copy
        assert temporary.match(atomic.LEFTOVER)
    assert tree(tmp_path) == {"new/folder/a.txt": b"two"}


@pytest.mark.parametrize("written", [True, False])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, written: bool) -> None:
    (tmp_path / "a.txt").write_text("old")

    def write() -> None:
        with atomic.replacing(tmp_path / "a.txt") as temporary:
            if written:
                temporary.write_text("ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert tree(tmp_path) == {"a.txt": b"old"}


def test_nothing_written_is_an_error_and_no_empty_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.txt cannot be written"), atomic.replacing(tmp_path / "a.txt"):
        pass
    assert tree(tmp_path) == {}


def test_two_writers_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic.replacing(path) as first, atomic.replacing(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert tree(tmp_path) == {"a.txt": b"first"}  # the last to end


def test_long_names_and_other_alphabets(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / ("n" * 250), "Röntgen\n\udce9\r\n")
    assert tree(tmp_path) == {"n" * 250: "Röntgen\n".encode() + b"\xe9\r\n"}


def test_a_place_where_nothing_can_be_written_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "a.txt", tmp_path / "file" / "deep" / "a.txt"):
        with pytest.raises(OutputError, match=r"a.txt lies below a file; move that file away"):
            atomic.write_text(path, "x")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OutputError, match="folder is a folder"):
        atomic.write_text(tmp_path / "folder", "x")
    with pytest.raises(OSError, match="too long") as refusal:  # a fault of the name, not of the place
        atomic.write_text(tmp_path / ("n" * 300), "x")
    assert not isinstance(refusal.value, OutputError)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder", "inside"]


def test_a_long_text_is_written_part_by_part(tmp_path: Path) -> None:
    parts = [f"{number} \udcfc\n" for number in range(3)]
    atomic.write_texts(tmp_path / "short.txt", parts)
    assert (tmp_path / "short.txt").read_bytes() == b"0 \xfc\n1 \xfc\n2 \xfc\n"
    tracemalloc.start()
    try:
        atomic.write_texts(tmp_path / "long.txt", (f"{number:999d}\n" for number in range(2000)))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "long.txt").stat().st_size == 2_000_000
    assert most < 200_000
