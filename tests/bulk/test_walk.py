"""Folders that are walked: links followed, each file once, circles ended."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artasyn.bulk.run import BulkRun
from artasyn.bulk.sources import find_cts, find_sources, search_cts, search_sources
from artasyn.bulk.walk import walk
from artasyn.errors import DataError
from artasyn.files.radiograph import read_radiograph
from tests.files.test_ct import series_at
from tests.trees import touched

GREY = (np.arange(40 * 60).reshape(40, 60) // 10).astype(np.uint8)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")


def picture(path: Path, kind: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(GREY).save(path, format=kind)
    return path


def names(*inputs: Path) -> list[str]:
    return [source.name for source in find_sources(inputs)]


def kinds(folder: Path) -> dict[str, str]:
    return {Path(path).relative_to(folder).as_posix(): kind for path, kind in search_sources([folder]).passed_over}


def test_linked_folders_and_files_are_read_each_once(tmp_path: Path) -> None:
    films, far = tmp_path / "films", tmp_path / "far"
    picture(films / "z" / "a.png")
    picture(far / "deep" / "b.png")
    picture(tmp_path / "c.png")
    (films / "hospital2").symlink_to(far)
    (films / "again").symlink_to(films / "z")
    (films / "linked.png").symlink_to(tmp_path / "c.png")
    (films / "a copy.png").symlink_to(films / "z" / "a.png")
    (films / "relative.png").symlink_to("linked.png")
    assert names(films) == ["hospital2/deep/b", "linked", "z/a"]
    assert kinds(films) == dict.fromkeys(["a copy.png", "again", "relative.png"], "link to what is read already")
    assert names(films, far) == names(films)
    assert names(tmp_path / "films" / "hospital2") == ["deep/b"]


def test_circles_of_links_end(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "b" / "film.png")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(".")
    (tmp_path / "x").symlink_to(tmp_path / "y")
    (tmp_path / "y").symlink_to(tmp_path / "x")
    found = search_sources([tmp_path])
    assert [source.name for source in found.sources] == ["a/b/film", "x", "y"]
    assert [bool(source.fault) for source in found.sources] == [False, True, True]


def test_a_link_that_leads_nowhere_fails_with_its_reason(tmp_path: Path) -> None:
    films = tmp_path / "films"
    picture(films / "a.png")
    (films / "b.png").symlink_to("gone.png")
    (films / "hospital").symlink_to("/nowhere/hospital")
    (films / "notes.txt").symlink_to("gone.txt")
    run = BulkRun(tmp_path / "out", {}, ())
    outcomes = run.run(lambda source: [{}], find_sources([films]), title="x")
    end = "which does not exist; mend or delete the link"
    assert {outcome.source.name: outcome.reason for outcome in outcomes} == {
        "a": "",
        "b": f"{films / 'b.png'} is a link to {films / 'gone.png'}, {end}",
        "hospital": f"{films / 'hospital'} is a link to /nowhere/hospital, {end}",
    }
    assert kinds(films) == {"notes.txt": "link that leads nowhere"}
    picture(films / "gone.png")
    assert names(films) == ["a", "gone", "hospital"]  # a link to a file that is read already counts no more


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((f"film{suffix}", "JPEG") for suffix in (".jfif", ".jpe", ".JPG", ".Jfif", ".jif", ".jpeg_old", ".dat", "")),
        *((f"film{suffix}", "PNG") for suffix in (".apng", ".PNG", ".png_", ".1", ".x")),
        *((f"film{suffix}", "TIFF") for suffix in (".TIF", ".tif8", ".img")),
        *((f"film{suffix}", "BMP") for suffix in (".dib", ".bmp2", ".bin")),
        ("film.web", "WEBP"),
    ],
)
def test_films_are_found_by_suffix_or_content_and_read(tmp_path: Path, name: str, kind: str) -> None:
    picture(tmp_path / name, kind)
    [source] = find_sources([tmp_path])
    image = read_radiograph(source.path)
    assert np.corrcoef(image.ravel(), GREY.ravel())[0, 1] > 0.98


def test_dicom_is_found_by_content_under_any_name(tmp_path: Path) -> None:
    for name in ("a.dcm", "b", "c.1.2.840", "d.xray", "e.ima"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    for name in ("f", "g.2", "h.ima", "text"):
        (tmp_path / name).write_bytes(b"\x08\x00\x05\x00CS" if name != "text" else b"notes")
    assert names(tmp_path) == ["a", "b", "c.1.2.840", "d", "e", "f", "g.2", "h"]
    assert kinds(tmp_path) == {"text": "without suffix"}


def test_what_is_passed_over_is_counted_by_its_kind(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    touched(tmp_path, "b.TXT", "c.zip", "d/e.csv", "d/.hidden.png", ".git/config", "readme", "DICOMDIR", "sound.wav")
    (tmp_path / "sound.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVEfmt ")
    (tmp_path / "letter.doc").write_bytes(b"BMW is a car, and this is no picture of one")
    os.mkfifo(tmp_path / "pipe.png")
    assert kinds(tmp_path) == {
        ".git": "hidden",
        "DICOMDIR": "without suffix",
        "b.TXT": ".txt",
        "c.zip": ".zip",
        "d/.hidden.png": "hidden",
        "d/e.csv": ".csv",
        "letter.doc": ".doc",
        "pipe.png": "no regular file",
        "readme": "without suffix",
        "sound.wav": ".wav",
    }


def test_a_folder_of_results_inside_is_no_part_of_the_collection(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    touched(tmp_path, "out/settings.json", "out/labels/a.png")
    assert search_sources([tmp_path], leave=tmp_path / "out").passed_over == ()
    assert [source.name for source in search_sources([tmp_path], leave=tmp_path / "out").sources] == ["a"]
    (tmp_path / "out" / "settings.json").unlink()
    assert len(search_sources([tmp_path], leave=tmp_path / "out").sources) == 2


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # tests may run as root, whom no permission stops
    fault = "cannot be listed (Permission denied); check its permissions"
    assert walk(tmp_path).faults == {"locked": fault}
    assert [source.fault for source in find_sources([tmp_path])] == ["", f"{tmp_path / 'locked'} {fault}"]
    with pytest.raises(DataError, match="locked cannot be listed"):
        find_sources([tmp_path / "locked"])


def test_volumes_and_series_are_found_behind_links_each_once(tmp_path: Path) -> None:
    series_at(tmp_path / "far" / "series")
    touched(tmp_path, "far/b.nii.gz", "cts/a.nrrd", "cts/a_labels.nrrd", "cts/notes.txt", "cts/c.raw")
    (tmp_path / "cts" / "c.mhd").write_text("ElementDataFile = c.raw")
    (tmp_path / "cts" / "far").symlink_to(tmp_path / "far")
    (tmp_path / "cts" / "again").symlink_to(tmp_path / "far" / "series")
    (tmp_path / "cts" / "b.nii.gz").symlink_to("../far/b.nii.gz")
    (tmp_path / "cts" / "gone.nii.gz").symlink_to("nowhere.nii.gz")
    (tmp_path / "cts" / "slices").mkdir()
    for file in (tmp_path / "far" / "series").iterdir():
        (tmp_path / "cts" / "slices" / file.name).symlink_to(file)
    (tmp_path / "far" / "series" / "notes.txt").touch()
    found = search_cts([tmp_path / "cts"])
    assert [source.name for source in found.sources] == ["a", "again", "c", "far/b", "gone"] or [
        source.name for source in found.sources
    ] == ["a", "c", "far/b", "far/series", "gone"]
    assert [source.name for source in found.sources if source.fault] == ["gone"]
    counted = {kind for _, kind in found.passed_over}
    assert counted == {".txt", "label map", "link to what is read already"}


def test_the_slices_beside_a_slice_belong_to_it(tmp_path: Path) -> None:
    series_at(tmp_path / "series")
    first = min((tmp_path / "series").iterdir())
    assert [source.inputs for source in find_cts([first])] == [(tmp_path / "series",)]
