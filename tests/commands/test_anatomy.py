"""The command that reads anatomy, with a reader that is exact: what is written, in which order, and how runs go on."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pycocotools import mask as rle
from pycocotools.coco import COCO

from artasyn.arrays import Image
from artasyn.bulk.run import read_manifest
from artasyn.cli.main import main
from artasyn.commands.anatomy import AnatomyOptions
from artasyn.errors import ModelError
from artasyn.files.radiograph import read_mask, write_image
from artasyn.outputs.measured import COLUMNS
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.segment.anatomy.network import AnatomyNetwork
from artasyn.segment.anatomy.segmenters import AnatomyReader
from artasyn.segment.anatomy.settings import AnatomySettings
from artasyn.segment.structures import ANATOMY
from tests.anatomies import Exact, ExactReader, seen
from tests.conftest import ROOT
from tests.files.made import dicom


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command reads without fault, also in its worker processes."""
    monkeypatch.setattr(AnatomyOptions, "reader", lambda options: ExactReader(options.model))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film as PNG and as DICOM with spacing, a film of noise, and a file that is cut short."""
    folder = tmp_path_factory.mktemp("films")
    image = seen(320)[0]
    write_image(folder / "a.png", image)
    stored = np.rint(4095 * image).astype(np.uint16)
    dicom(stored, ImagerPixelSpacing=[1.5, 1.5]).save_as(folder / "b.dcm", enforce_file_format=True)
    write_image(folder / "noise.png", np.random.default_rng(0).random((200, 180), np.float32))
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:900])
    (folder / "notes.txt").write_text("not a film")
    return folder


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def decoded(annotation: Mapping[str, Any]) -> NDArray[np.bool_]:
    return np.asarray(rle.decode(annotation["segmentation"]) > 0)


def test_everything_is_written_and_the_least_sure_come_first(
    exact: None, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["anatomy", str(films), "--out", str(out), "--workers", "1"]) == 1
    said = capsys.readouterr()
    assert "cut.png" in said.err
    assert "1 of 4 are unusable" in said.err
    assert "noise.png: nothing on the image looks like a chest" in said.err
    rows = {row["name"]: row for row in read_manifest(out / "manifest.csv")}
    assert [rows[name]["status"] for name in ("a", "b", "cut", "noise")] == ["ok", "ok", "failed", "unusable"]
    assert rows["noise"]["warnings"] == "not_a_chest"
    assert (rows["noise"]["structures"], rows["noise"]["measured"]) == ("0", "")
    assert (rows["a"]["spacing"], rows["b"]["spacing"]) == ("", "1.5000")
    for file in ("report.html", "sheet-1.png", "measures.csv", "annotations.json", "settings.json", "passed_over.csv"):
        assert (out / file).is_file()
        assert str(out / file) in said.out or file in ("settings.json", "passed_over.csv")
    page = (out / "report.html").read_text()
    assert page.count("data:image/png") == 2
    assert "cardiothoracic ratio" in page
    assert "nothing on the image looks like a chest" in page
    _check_masks(out, rows["a"], seen(320)[0])
    coco = COCO(str(out / "annotations.json"))
    assert len(coco.getImgIds()) == 3
    assert {each["name"] for each in coco.loadCats(coco.getCatIds())} == set(Exact.settings.names)


def _check_masks(out: Path, row: Mapping[str, str], image: Image) -> None:
    """All formats hold the masks of the anatomy."""
    anatomy = Exact()(image)
    with np.load(out / row["npz"]) as file:
        names, packed = file["names"].tolist(), file["masks"]
        assert float(file["angle"]) == 0
        np.testing.assert_allclose(file["confidence"], [anatomy.sure(name) for name in names], atol=1e-6)
    assert tuple(names) == anatomy.names
    masks = np.unpackbits(packed, axis=0, count=len(names)) > 0
    described = {each["structure"]: each for each in json.loads((out / row["annotations"]).read_text())}
    assert len(described) == len(names) == int(row["structures"])
    for name, mask in zip(names, masks, strict=True):
        np.testing.assert_array_equal(mask, anatomy.mask(name))
        np.testing.assert_array_equal(read_mask(out / row["masks"] / f"{name}.png"), mask)
        np.testing.assert_array_equal(decoded(described[name]), mask)


def test_measures_have_units_confidence_and_reasons(exact: None, films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    main(["anatomy", str(films), "--out", str(out), "--workers", "1", "--outputs", "npz"])
    found = table(out / "measures.csv")
    assert set(found) == {"a", "b", "cut", "noise"}
    in_pixels, in_mm = found["a"], found["b"]
    truth = Exact()(seen(320)[0]).measure()
    assert truth.cardiothoracic_ratio
    assert truth.lung_areas
    assert float(in_pixels["cardiothoracic_ratio"]) == pytest.approx(truth.cardiothoracic_ratio.value, abs=1e-4)
    assert float(in_pixels["heart_width"]) == pytest.approx(truth.cardiothoracic_ratio.heart_width, abs=0.01)
    assert (in_pixels["heart_width_unit"], in_mm["heart_width_unit"]) == ("px", "mm")
    assert float(in_mm["heart_width"]) == pytest.approx(1.5 * float(in_pixels["heart_width"]), abs=0.02)
    assert (in_pixels["lung_area_right_unit"], in_mm["lung_area_right_unit"]) == ("px2", "cm2")
    right = float(in_pixels["lung_area_right"])
    assert right == pytest.approx(np.count_nonzero(Exact()(seen(320)[0]).lungs().right), rel=1e-3)
    assert float(in_mm["lung_area_right"]) == pytest.approx(right * 1.5**2 / 100, rel=1e-3)
    for row in (in_pixels, in_mm):
        assert row["cardiothoracic_ratio_unit"] == ""
        assert 0.7 <= float(row["cardiothoracic_ratio_confidence"]) < 0.9
        assert row["cobb_angle"] == row["cobb_angle_confidence"] == ""
        assert "5 whole vertebrae" in row["cobb_angle_reason"]
    for row in (found["noise"], found["cut"]):
        assert all(row[name] == "" for name in COLUMNS)
    assert found["noise"]["cardiothoracic_ratio_reason"]
    assert (found["noise"]["status"], found["cut"]["status"]) == ("unusable", "failed")
    assert "cut" in found["cut"]["reason"]
    whole = json.loads((out / "measures" / "b.json").read_text())
    assert whole["spacing"] == [1.5, 1.5]
    assert set(whole["confidence"]) == set(Exact.settings.names)


def test_chosen_structures_formats_and_angle(
    exact: None, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, film = tmp_path / "out", str(films / "a.png")
    chosen = ["--structures", "lungs", "spine", "upper_zone_right", "lungs", "--outputs", "png", "--angle", "180"]
    assert main(["anatomy", film, "--out", str(out), "--workers", "1", *chosen]) == 0
    assert sorted(path.stem for path in (out / "masks" / "a").iterdir()) == ["lungs", "spine", "upper_zone_right"]
    assert not (out / "npz").exists()
    assert not (out / "annotations.json").exists()
    anatomy = Exact()(seen(320)[0])
    for name in ("lungs", "spine", "upper_zone_right"):
        np.testing.assert_array_equal(read_mask(out / "masks" / "a" / f"{name}.png"), anatomy.mask(name))
    assert read_manifest(out / "manifest.csv")[0]["angle"] == "180.0"
    for wrong, said in (
        (["--structures", "wing"], "no structure and no group 'wing'"),
        (["--angle", "900"], "from -360 to 360"),
    ):
        assert main(["anatomy", film, "--out", str(tmp_path / "other"), *wrong]) == 2
        assert said in capsys.readouterr().err


def test_a_run_goes_on_where_it_stopped_and_prunes(
    exact: None, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs, out = tmp_path / "films", tmp_path / "out"
    inputs.mkdir()
    for name in ("a.png", "noise.png"):
        (inputs / name).write_bytes((films / name).read_bytes())
    given = ["anatomy", str(inputs), "--out", str(out), "--workers", "1", "--outputs", "coco"]
    assert main(given) == 1
    made = (out / "overlays" / "a.png").stat().st_mtime_ns
    (inputs / "noise.png").unlink()
    assert main(given) == 0
    assert (out / "overlays" / "a.png").stat().st_mtime_ns == made
    assert (out / "overlays" / "noise.png").exists()
    assert main([*given, "--prune"]) == 0
    assert not (out / "overlays" / "noise.png").exists()
    assert main([*given, "--angle", "5"]) == 2
    (out / "measures" / "a.json").write_text("{}")
    assert main(given) == 2
    assert "a.json: is damaged" in capsys.readouterr().err
    (out / "measures" / "a.json").unlink()
    assert main(given) == 0
    assert "table" in json.loads((out / "measures" / "a.json").read_text())


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of random weights, which is sure of nothing."""
    torch.manual_seed(0)
    settings = AnatomySettings(encoder="test_efficientnet", size=64)
    folder = tmp_path_factory.mktemp("anatomy") / "model"
    AnatomyNet(AnatomyNetwork(settings).eval()).save_pretrained(folder)
    return folder


def test_a_stored_network_runs_in_a_process_of_its_own(network: Path, films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = [str(films / "b.dcm"), "--out", str(out), "--model", str(network), "--outputs", "npz", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "artasyn", "anatomy", *given], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "1 of 1 are unusable" in done.stderr
    (row,) = read_manifest(out / "manifest.csv")
    assert row["status"] == "unusable"
    assert row["reason"]
    with np.load(out / row["npz"]) as file:
        assert file["names"].tolist() == list(ANATOMY)
        assert not file["masks"].any()
    found = table(out / "measures.csv")["b"]
    assert all(found[name] == "" and found[f"{name}_reason"] for name in COLUMNS)
    assert (out / "report.html").is_file()


def test_a_reader_keeps_the_network_that_it_began_with(network: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(network, folder)
    reader = AnatomyReader(str(folder)).pinned()
    image = seen()[0]
    assert reader(image).names == ANATOMY
    assert reader(image).grid == image.shape
    other = dataclasses.replace(reader, digest="another")
    with pytest.raises(ModelError, match="was replaced by another model"):
        other(image)


def test_a_collection_without_a_readable_film_still_has_its_tables(exact: None, films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["anatomy", str(films / "cut.png"), "--out", str(out), "--workers", "1"]) == 1
    assert table(out / "measures.csv")["cut"]["status"] == "failed"
    assert "Unusable and not readable" in (out / "report.html").read_text()
    assert not (out / "annotations.json").exists()
