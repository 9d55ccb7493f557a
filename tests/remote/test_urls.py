"""URLs: what is one, what stands for it, and one error for each thing that goes wrong."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from artasyn.errors import DataError, MissingExtra, OutputError, StoreError
from artasyn.remote.urls import asking, cache, copy_of, opened, place_of, shown, url_in, url_of, whole


def test_a_path_that_was_a_url_is_one_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("s3://bucket", "gs://bucket/a/b.png", "abfs://box@account.dfs.core.windows.net/films"):
        assert url_in(Path(url)) == url
    for path in ("films", "/films/a.png", "c:/films", "a:b/c", "../s3:/x", "s3:"):
        assert url_in(Path(path)) == ""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:" / "bucket").mkdir(parents=True)
    assert url_in(Path("s3:/bucket")) == ""  # a folder that is there


def test_urls_of_this_machine_and_urls_that_climb_are_refused() -> None:
    with pytest.raises(DataError, match=r"file:///films is a place of this machine; give the path without file://"):
        url_in(Path("file:///films"))
    with pytest.raises(DataError, match=r"s3://bucket/\.\./other has \.\. in it"):
        url_in(Path("s3://bucket/../other"))


def test_passwords_in_urls_are_refused_and_not_shown() -> None:
    with pytest.raises(DataError, match=r"^ftp://\.\.\.@host/films holds a password") as error:
        url_in(Path("ftp://me:secret@host/films"))
    assert "secret" not in str(error.value)


def test_what_stands_for_a_url_is_shown_as_the_url(cached: Path) -> None:
    place = place_of("s3://bucket/films/", "films")
    assert place == cached / "films" / "s3" / "bucket" / "films"
    assert shown(f"{place}/a.png does not exist; {place}/b.png") == (
        "s3://bucket/films/a.png does not exist; s3://bucket/films/b.png"
    )
    assert url_of(place, "films") == "s3://bucket/films"
    assert url_of(place, "results") == url_of(Path("films/a.png"), "films") == ""
    assert shown("/elsewhere/films/s3/bucket") == "/elsewhere/films/s3/bucket"
    copy = place_of("s3://bucket/a.nii.gz", "files")
    assert copy_of(shown(str(copy))) == copy
    assert copy_of("/cts/a.nii.gz") == Path("/cts/a.nii.gz")


def test_the_cache_is_in_the_home_unless_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ARTASYN_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache() == tmp_path / ".cache" / "artasyn"


def test_packages_and_protocols_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="s4://bucket: fsspec knows no s4://"):
        opened("s4://bucket")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtra, match=r"s3://bucket needs a package .*pip install artasyn\[cloud\]"):
        opened("s3://bucket")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtra, match=r"pip install artasyn\[cloud\]"):
        opened("s3://bucket")


class NoCredentialsError(Exception):
    """What a store's own package raises."""


@pytest.mark.parametrize(
    ("raised", "kind", "told"),
    [
        (FileNotFoundError("no bucket"), DataError, "s3://b does not exist (no bucket); check the bucket and the name"),
        (PermissionError("Forbidden"), StoreError, "s3://b: access is refused (Forbidden); check the credentials"),
        (NoCredentialsError("none"), StoreError, "s3://b: access is refused (none); check the credentials"),
        (TimeoutError(), StoreError, "s3://b: the store does not answer (TimeoutError); check the network, then go on"),
        (DataError("its own"), DataError, "its own"),
        (OSError(errno.ENOSPC, "No space left on device"), OutputError, f"{cache()} cannot be written (No space left"),
    ],
)
def test_one_error_names_the_url(raised: Exception, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind) as error, asking("s3://b"):
        raise raised
    assert str(error.value).startswith(told)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"

    def half() -> None:
        with whole(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert [*path.parent.iterdir()] == []
    with whole(path) as temporary:
        temporary.write_text("all")
    assert [(each.name, each.read_text()) for each in path.parent.iterdir()] == [("a.txt", "all")]
