"""DICOM objects by the commands: one film each in a subprocess, refused films, the same bytes for any workers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import highdicom
import numpy as np
import pytest
from pydicom import dcmread

from artasyn.bulk.run import read_manifest
from artasyn.cli.main import main
from artasyn.commands.segment import SegmentOptions
from artasyn.commands.segment import _maker as segment_maker
from artasyn.console.lungs import LungOptions
from artasyn.errors import MissingExtra
from artasyn.files.opened import open_radiograph
from artasyn.files.radiograph import read_labels, read_mask, write_image
from artasyn.outputs.dicom_files import DicomFiles
from artasyn.phantom.film import Phantom
from artasyn.segment.anatomy.segmenters import AnatomyReader
from artasyn.testsets.measured import FilmLungs
from tests.conftest import ROOT
from tests.outputs.dicoms import MAKER, complaints, filmed, group_of

KINDS = ("seg", "sc", "sr")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chest that is stored upside down and mirrored, and the same as a picture of another name."""
    folder = tmp_path_factory.mktemp("films")
    stored = np.rint(255 * Phantom(size=192)(seed=1).image[::-1, ::-1]).astype(np.uint8)
    filmed(folder / "film.dcm", np.ascontiguousarray(stored), PatientOrientation=["R", "H"], PixelSpacing=[1.5, 1.5])
    return folder


def run(command: str, films: Path, out: Path, *more: str) -> None:
    """Runs a command of its own process, which must succeed."""
    words = [command, str(films), "--out", str(out), "--workers", "1", "--dicom", *KINDS, *more]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "artasyn", *words], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    row = read_manifest(out / "manifest.csv")[0]
    assert [row[kind] for kind in KINDS] == [f"dicom/film.{kind}.dcm" for kind in KINDS]
    assert row["dicom_reason"] == ""
    for kind in KINDS:
        assert complaints(out / row[kind]) == []


def regions(path: Path) -> dict[str, np.ndarray]:
    """The regions of a segmentation by their labels, on the stored grid."""
    seg = highdicom.seg.segread(path)
    frames = dcmread(path).pixel_array.reshape(-1, seg.Rows, seg.Columns) > 0
    return {item.SegmentLabel: frame for item, frame in zip(seg.SegmentSequence, frames, strict=True)}


def test_segment_lays_the_lungs_over_the_stored_film(films: Path, tmp_path: Path) -> None:
    run("segment", films, tmp_path / "out")
    labels = read_labels(tmp_path / "out" / "labels" / "film.png")[::-1, ::-1]
    found = regions(tmp_path / "out" / "dicom" / "film.seg.dcm")
    np.testing.assert_array_equal(found["lung_right"], labels == 1)
    np.testing.assert_array_equal(found["lung_left"], labels == 2)
    stored = dcmread(films / "film.dcm").pixel_array
    assert stored[found["lung_right"]].mean() < stored.mean() - 20  # the lungs are dark
    assert found["lung_right"][:, 96:].sum() > found["lung_right"][:, :96].sum()  # the film is mirrored


def test_an_object_names_the_model_without_the_folders_above_it() -> None:
    options = SegmentOptions([Path("films")], Path("out"), by=LungOptions("anatomy", lungs_model="jane/second"))
    reader = AnatomyReader(options.by.lungs_model, "cpu", "00ff")
    assert segment_maker(options, FilmLungs(reader)).settings == "lungs=anatomy, model=second, weights=00ff"


@pytest.mark.slow
def test_detect_writes_the_marked_region_and_the_score(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("detect", films, out)
    row = read_manifest(out / "manifest.csv")[0]
    mask = read_mask(out / row["mask"])[::-1, ::-1]
    np.testing.assert_array_equal(regions(out / row["seg"])["opacity"], mask)
    group = group_of(out / row["sr"])
    figures = {each.name.value: each.value for each in group.get_measurements()}
    assert figures["score"] == pytest.approx(float(row["score"]), abs=1e-6)
    assert (figures["score"] >= figures["threshold"]) == (row["abnormal"] == "true")
    assert figures["marked"] == pytest.approx(100 * float(row["marked"]), abs=0.01)


@pytest.mark.slow
def test_anatomy_writes_overlapping_structures_and_measures(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("anatomy", films, out, "--outputs", "png", "--structures", "lungs", "drawn_heart", "spine", "mediastinum")
    row = read_manifest(out / "manifest.csv")[0]
    found = regions(out / row["seg"])
    for name, mask in found.items():
        drawn = read_mask(out / row["masks"] / f"{name}.png")[::-1, ::-1]
        np.testing.assert_array_equal(mask, drawn)
    assert {"lungs", "drawn_heart"} <= found.keys()
    assert dcmread(out / row["seg"]).SegmentsOverlap == "YES"
    group = group_of(out / row["sr"])
    units = {each.name.value: each.unit.value for each in group.get_measurements()}
    assert units["cardiothoracic_ratio"] == "1"
    assert units["heart_width"] == "mm"


def test_pictures_are_refused_and_the_rest_goes_on_with_the_same_bytes(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = tmp_path / "films"
    shutil.copytree(films, both)
    shutil.copy(films / "film.dcm", both / "second.dcm")
    image = open_radiograph(films / "film.dcm").image
    write_image(both / "picture.png", image)
    write_image(both / "inverted.png", 1 - image)
    command = ["segment", str(both), "--dicom", *KINDS, "--anonymous", "--out"]
    for workers in (1, 2):
        assert main([*command, str(tmp_path / f"out{workers}"), "--workers", str(workers)]) == 1
    printed = capsys.readouterr().err
    assert "1 of 4 failed" in printed
    assert f"{both / 'picture.png'} is no DICOM file, and a DICOM object must refer to one" in printed
    rows = {row["name"]: row for row in read_manifest(tmp_path / "out1" / "manifest.csv")}
    assert rows["picture"]["dicom_reason"].startswith("refused: ")
    assert rows["inverted"]["dicom_reason"].startswith("unusable: ")
    for name in ("picture", "inverted"):
        assert (tmp_path / "out1" / rows[name]["labels"]).is_file()
        assert not any(rows[name][kind] for kind in KINDS)
    written = sorted(path.name for path in (tmp_path / "out1" / "dicom").iterdir())
    assert written == sorted(f"{name}.{kind}.dcm" for name in ("film", "second") for kind in KINDS)
    for name in written:
        content = (tmp_path / "out1" / "dicom" / name).read_bytes()
        assert content == (tmp_path / "out2" / "dicom" / name).read_bytes()
        assert b"Roe" not in content


def test_a_folder_without_dicom_is_as_before(films: Path, tmp_path: Path) -> None:
    assert main(["segment", str(films), "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    assert "dicom_reason" not in read_manifest(tmp_path / "out" / "manifest.csv")[0]
    assert not (tmp_path / "out" / "dicom").exists()


def test_highdicom_is_needed_only_where_objects_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    assert DicomFiles(Path("out"), (), False, MAKER).columns == ()
    with pytest.raises(MissingExtra, match=r"pip install artasyn\[dicom\]"):
        DicomFiles(Path("out"), ("seg",), False, MAKER)
