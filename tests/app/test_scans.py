"""Films of a CT on the page: the views, the names, and files that are no CT."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from artasyn.app.scans import Scan, film_picture, phantom_scan, read_scan, views_of
from artasyn.errors import DataError
from artasyn.segment import Volume
from tests.chest import chest, write_chest, write_names

Read = Callable[..., Scan]


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small CT with labels and their names."""
    folder = tmp_path_factory.mktemp("ct")
    write_chest(folder / "ct.nii.gz", chest((6.0, 6.0, 6.0), length=330.0), labels=folder / "labels.nii.gz")
    write_names(folder / "names.csv")
    return folder


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a CT, and unpacks ZIPs to a folder of the test."""

    def reading(path: Path, labels: Path | None = None, names: Path | None = None) -> Scan:
        return read_scan(path, labels, names, folder=tmp_path / "unpacked", most=10**8)

    return reading


def test_a_ct_with_labels_is_projected_with_the_name_of_every_structure(ct: Path, read: Read) -> None:
    scan = read(ct / "ct.nii.gz", ct / "labels.nii.gz", ct / "names.csv")
    assert (scan.name, scan.frame) == ("ct.nii.gz", "film")
    films = scan.films(views_of(["pa", "left_lateral"], "30"))
    assert [each.view for each in films] == ["pa", "left_lateral", "30"]
    assert films[0].measures.cardiothoracic_ratio is not None
    assert any("not a frontal view" in note for note in films[1].notes)
    svg = film_picture(films[0])
    names = re.findall('aria-label="([^"]*)"', svg)
    assert {"right lung", "left lung", "heart"} <= set(names)
    assert re.findall('class="mark".*?>(.)</text>', svg) == ["R", "L"]
    assert re.findall('class="mark".*?>(.)</text>', film_picture(films[1])) == ["A", "P"]


def test_a_ct_without_labels_shows_all_that_the_scan_covers(ct: Path, read: Read) -> None:
    scan = read(ct / "ct.nii.gz")
    assert scan.frame == "covered"
    assert "no lungs are labelled" in scan.doubts[0]
    (film,) = scan.films(views_of(["pa"], ""))
    assert "no labels were given" in film_picture(film)
    assert set(film.measures.reasons) >= {"cardiothoracic_ratio", "lung_areas"}


def test_masks_in_a_zip_are_labels(ct: Path, read: Read, tmp_path: Path) -> None:
    volume = Volume.read(ct / "ct.nii.gz", ct / "labels.nii.gz", ct / "names.csv")
    from tests.chest import write_nifti

    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        for name in ("lung_right", "lung_left", "heart"):
            write_nifti(tmp_path / f"{name}.nii.gz", volume.mask(name).astype(np.uint8), volume.affine)
            archive.write(tmp_path / f"{name}.nii.gz", f"masks/{name}.nii.gz")
    scan = read(ct / "ct.nii.gz", tmp_path / "masks.zip")
    assert sorted(scan.volume.structures) == ["heart", "lung_left", "lung_right"]


@pytest.mark.usefixtures("small")
def test_a_phantom_is_a_ct() -> None:
    scan = phantom_scan(2)
    assert scan.name == "CT of phantom 2"
    assert scan.volume.spacing == (6.0, 6.0, 6.0)
    assert scan.frame == "film"


@pytest.mark.parametrize(
    ("names", "angles", "reason"),
    [
        ([], "", "0 views"),
        (["pa"], "1 2 3 4 5 6", "7 views"),
        ([], "north", "north"),
        ([], "nan", "nan"),
        ([], "9999", "angle"),
    ],
)
def test_views_that_are_none_are_refused(names: list[str], angles: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        views_of(names, angles)


def test_views_are_told_apart() -> None:
    assert list(views_of(["pa", "pa"], "0, 30°;-45".replace(";", " "))) == ["pa", "0", "30", "-45"]


def test_files_that_are_no_ct_are_refused_by_their_own_names(ct: Path, read: Read, tmp_path: Path) -> None:
    (tmp_path / "text.nii.gz").write_text("no CT")
    with zipfile.ZipFile(tmp_path / "texts.zip", "w") as archive:
        archive.writestr("a.txt", "no slice")
    for path in (tmp_path / "text.nii.gz", tmp_path / "texts.zip"):
        with pytest.raises(DataError) as caught:
            read(path)
        assert path.name in str(caught.value)
        assert str(tmp_path) not in str(caught.value)
    with pytest.raises(DataError, match=r"text\.nii\.gz"):
        read(ct / "ct.nii.gz", tmp_path / "text.nii.gz")
    with pytest.raises(DataError, match=r"names\.csv names labels, but no labels"):
        read(ct / "ct.nii.gz", None, ct / "names.csv")


def test_a_view_that_the_scan_does_not_cover_is_named(ct: Path, read: Read) -> None:
    whole = read(ct / "ct.nii.gz").volume
    thin = Scan("thin", Volume(whole.hu[20:21], whole.affine), ())
    with pytest.raises(DataError, match="thin, view pa: fewer than 16 rows"):
        thin.films(views_of(["pa"], ""))
