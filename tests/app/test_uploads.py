"""The folder of a server: by session, gone with it; and ZIPs that are refused before they fill the disk."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from artasyn.app.uploads import Desk, desk, unpacked
from artasyn.errors import DataError


@pytest.fixture
def here(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def write_zip(path: Path, files: Mapping[str, bytes], packs: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packs) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_the_folder_is_private_and_gone_at_the_end_even_after_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), desk() as own:  # noqa: PT012
        (own.session("a") / "film.png").write_bytes(b"film")
        assert stat.S_IMODE(own.folder.stat().st_mode) == 0o700
        raise KeyboardInterrupt
    assert not own.folder.exists()


def test_a_session_that_leaves_takes_its_files_but_not_those_of_others(here: Desk) -> None:
    shared, own = here.folder / "hash1" / "film.png", here.folder / "hash2" / "film.png"
    for path in (shared, own):
        path.parent.mkdir()
        path.touch()
    here.claim("a", shared)
    here.claim("b", shared)
    here.claim("a", own)
    result = here.session("a") / "film.zip"
    result.touch()
    here.leave("a")
    assert shared.exists()
    assert not own.parent.exists()
    assert not result.parent.exists()
    here.leave("b")
    here.leave("b")
    assert list(here.folder.iterdir()) == []


def test_a_film_that_another_session_has_just_sent_stays_until_that_session_ends(here: Desk) -> None:
    path = here.folder / "hash" / "film.png"
    path.parent.mkdir()
    for name in "ab":
        new = here.folder / name
        new.touch()
        now = time.time_ns() + 10**9 * (name == "b")
        os.utime(new, ns=(now, now))
        new.rename(path)  # as gradio does
        if name == "a":
            here.claim(name, path)
    here.leave("a")
    assert path.exists()
    here.claim("b", path)
    here.leave("b")
    assert list(here.folder.iterdir()) == []
    here.claim("c", path)
    here.leave("c")


def test_sessions_have_folders_of_their_own_that_nobody_can_guess(here: Desk) -> None:
    assert here.session("../../etc") == here.session("../../etc")
    assert here.session("../../etc").parent == here.folder
    assert here.session("a") != here.session("b")
    assert here.session("a").name != "a"


def test_old_files_are_swept_away(here: Desk) -> None:
    old, new = here.session("a") / "old", here.session("a") / "new"
    old.touch()
    new.touch()
    os.utime(old, (time.time() - 100, time.time() - 100))
    here.sweep(60.0)
    assert (old.exists(), new.exists()) == (False, True)


def test_the_files_of_one_folder_are_unpacked(tmp_path: Path) -> None:
    files = {"scan/a.dcm": b"one", "scan/b.dcm": b"two", "__MACOSX/scan/._a.dcm": b"x", "scan/.hidden": b"x"}
    path = write_zip(tmp_path / "scan.zip", files)
    folder = unpacked(path, tmp_path / "out", 100)
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == {"a.dcm": b"one", "b.dcm": b"two"}


def test_nothing_is_unpacked_beside_the_folder(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "evil.zip", {"../../evil.dcm": b"evil"})
    unpacked(path, tmp_path / "a" / "b" / "out", 100)
    assert [each.relative_to(tmp_path).as_posix() for each in tmp_path.rglob("evil.dcm")] == ["a/b/out/evil.dcm"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "holds 0 files"),
        ({"a/1": b"x", "b/1": b"x"}, "holds 2 folders of files"),
        ({"zeros": bytes(10**6)}, "claims 1000000 bytes unpacked, more than 1000"),
    ],
)
def test_a_zip_that_holds_no_series_is_refused(tmp_path: Path, files: dict[str, bytes], reason: str) -> None:
    with pytest.raises(DataError, match=rf"scan\.zip {reason}"):
        unpacked(write_zip(tmp_path / "scan.zip", files), tmp_path / "out", 1000)
    assert not (tmp_path / "out").exists()


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("b", b"2")
    path.write_bytes(path.read_bytes().replace(b"b2", b"a2").replace(b"b", b"a"))
    with pytest.raises(DataError, match="two files of one name"):
        unpacked(path, tmp_path / "out", 100)


def test_a_lying_encrypted_or_damaged_zip_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "scan.zip", {"a": b"abcdefgh" * 50}, zipfile.ZIP_STORED)
    data = path.read_bytes()
    (tmp_path / "text.zip").write_text("no ZIP")
    (tmp_path / "cut.zip").write_bytes(data[:100])
    (tmp_path / "damaged.zip").write_bytes(data.replace(b"abcdefgh", b"abcdefgX", 1))
    central = data.index(b"PK\x01\x02")
    locked = bytearray(data)
    locked[central + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    for packs in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        packed = write_zip(tmp_path / "packed.zip", {"a": bytes(range(256)) * 9}, packs)
        packed.write_bytes(packed.read_bytes().replace(packed.read_bytes()[40:200], b"\xff" * 160))
        with pytest.raises(DataError, match=r"packed\.zip is no whole ZIP"):
            unpacked(packed, tmp_path / f"out-{packs}", 10**6)
    for name, reason in (("text", "no whole"), ("cut", "no whole"), ("damaged", "no whole"), ("locked", "encrypted")):
        with pytest.raises(DataError, match=rf"{name}\.zip is {reason}"):
            unpacked(tmp_path / f"{name}.zip", tmp_path / f"out-{name}", 10**6)


def test_a_full_disk_is_not_told_as_a_damaged_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
        archive.writestr("slice.dcm", b"0" * 100)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        unpacked(tmp_path / "series.zip", tmp_path / "series", 1000)
