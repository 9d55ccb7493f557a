"""The whole chain on real radiographs: children and adults, JPEG and every DICOM, real lesions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from artasyn.bulk.run import read_manifest
from artasyn.cli.main import main
from artasyn.files.radiograph import read_heatmap, read_mask, read_radiograph

FOLDERS = {"zhanglab/train/healthy": 8, "nih_normal": 8, "lesions/images": 4, "dicom": 5}


@pytest.fixture(scope="module")
def films(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few films of each collection, and every DICOM file."""
    folder = tmp_path_factory.mktemp("films")
    for name, count in FOLDERS.items():
        paths = sorted((data / name).iterdir())
        (folder / name).mkdir(parents=True)
        for path in paths[:: max(1, len(paths) // count)][:count]:
            shutil.copy(path, folder / name)
    return folder


@pytest.mark.realdata
@pytest.mark.slow
def test_segment_synthesise_train_and_detect_on_real_films(films: Path, tmp_path: Path) -> None:
    assert main(["segment", str(films), "--out", str(tmp_path / "lungs"), "--workers", "1"]) == 0
    rows = read_manifest(tmp_path / "lungs" / "manifest.csv")
    assert len(rows) == sum(FOLDERS.values())
    assert sum(row["found"] == "true" for row in rows) >= 23

    normals = [str(films / "zhanglab"), str(films / "nih_normal")]
    status = main(["synthesise", *normals, "--out", str(tmp_path / "synthetic"), "--workers", "1"])
    rows = read_manifest(tmp_path / "synthetic" / "manifest.csv")
    made = [row for row in rows if row["status"] == "ok"]
    assert len(made) >= 14
    assert status == (len(made) < len(rows))
    assert all("lungs not found" in row["reason"] for row in rows if row["status"] == "failed")
    for row in made:
        changed = read_radiograph(tmp_path / "synthetic" / row["image"]) != read_radiograph(row["source"])
        assert (changed == read_mask(tmp_path / "synthetic" / row["mask"])).all()
        assert 0.002 < changed.mean() < 0.4

    training = ["--out", str(tmp_path / "training"), "--start", "null", "--epochs", "1", "--size", "64"]
    training += ["--workers", "1"]
    assert main(["train", "--normal", *normals, *training]) == status

    detected = [str(films / "lesions"), str(films / "dicom"), "--out", str(tmp_path / "found"), "--workers", "1"]
    assert main(["detect", *detected, "--model", str(tmp_path / "training" / "model")]) == 0
    rows = read_manifest(tmp_path / "found" / "manifest.csv")
    assert len(rows) == 9
    for row in rows:
        heatmap = read_heatmap(tmp_path / "found" / row["heatmap"])
        assert heatmap.shape == read_radiograph(row["source"]).shape
        assert heatmap.any()
