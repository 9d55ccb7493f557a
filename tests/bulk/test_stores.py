"""Samples into shards and back: keys that are unique whatever the names, shards there whole or not at all."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from artasyn.bulk.sources import Source
from artasyn.bulk.stores import KINDS, Folders, Shards, StoredImage
from artasyn.errors import OutputError
from tests.trees import touched, tree

COLUMNS = ("copy", *Shards.columns)
NAMES = ["a/b", "a_b", "a.b", "Röntgen \udce9", "n" * 200]


def make(source: Source) -> list[StoredImage]:
    """Two samples whose files say what they are."""
    if source.name == "bad":
        raise OSError("no")
    text = source.name.encode("utf-8", "surrogateescape")
    return [StoredImage({kind: b"%s %d %s" % (text, n, kind.encode()) for kind in KINDS}, {"copy": n}) for n in (1, 2)]


@pytest.mark.parametrize("kind", [Folders, Shards])
def test_what_is_read_is_what_was_made(tmp_path: Path, kind: type[Folders | Shards]) -> None:
    store = kind(tmp_path, 3)
    sources = [Source(Path(name), name) for name in [*NAMES, "bad"]]
    work = store.work(make, ("copy", *store.columns))
    outcomes = [*work(0, sources[:3]), *work(1, sources[3:])]
    assert [outcome.reason for outcome in outcomes] == [""] * 5 + ["no"]
    rows = [row for outcome in outcomes for row in outcome.rows]
    for name in KINDS:
        texts = [text.decode("utf-8", "surrogateescape") for text in store.read(rows, name)]
        assert texts == [f"{source} {n} {name}" for source in NAMES for n in (1, 2)]


def test_keys_are_plain_and_unique(tmp_path: Path) -> None:
    outcomes = Shards(tmp_path, 5).work(make, COLUMNS)(2, [Source(Path(name), name) for name in NAMES])
    keys = [row["record"].removesuffix(".json") for outcome in outcomes for row in outcome.rows]
    assert keys[:3] == ["0000010_a_b_1", "0000010_a_b_2", "0000011_a_b_1"]
    assert len(set(keys)) == 10
    assert all(key.isascii() and not set(key) & set("./ ") and len(key) < 80 for key in keys)
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["000002.tar"]
    with tarfile.open(tmp_path / "shards" / "000002.tar") as tar:
        members = tar.getmembers()
    assert [member.name.split(".", 1)[1] for member in members[:4]] == [
        "image.png",
        "mask.png",
        "json",
        "annotations.json",
    ]
    assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}


def test_no_shard_of_bad_films_alone(tmp_path: Path) -> None:
    outcomes = Shards(tmp_path, 2).work(make, COLUMNS)(0, [Source(Path("bad"), "bad")])
    assert [outcome.reason for outcome in outcomes] == ["no"]
    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_cannot_be_written_is_no_fault_of_its_films(tmp_path: Path) -> None:
    (tmp_path / "shards").write_text("in the way")
    with pytest.raises(OutputError, match=r"shards/000000.tar lies below a file; move that file away"):
        Shards(tmp_path, 2).work(make, COLUMNS)(0, [Source(Path(name), name) for name in "ab"])


def test_a_folder_of_parts_holds_those_of_its_sample_alone(tmp_path: Path) -> None:
    parts = touched(tmp_path / "parts/a", "2_mass.png", "1/another.png")  # the first is of a run that was killed
    sample = StoredImage({}, {}, {"1_mass.png": b"mass"})
    Folders(tmp_path).work(lambda _: [sample], (*Folders.columns, "parts"))(0, [Source(Path("a"), "a")])
    assert tree(parts) == {"1_mass.png": b"mass", "1/another.png": b""}
