"""Films from collections of CT: what is written is what the projection says; what is refused; the same bytes always."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO

from artasyn.bulk.run import read_manifest
from artasyn.cli.main import main
from artasyn.commands.project import ProjectOptions
from artasyn.commands.project import project as make_films
from artasyn.files.ct import read_label_map
from artasyn.files.radiograph import read_labels, read_mask, read_radiograph
from artasyn.pictures.overlays import read_picture
from artasyn.segment.ct.volume import Volume
from artasyn.segment.projection.projection import Projection, project
from artasyn.segment.projection.randomisation import Film, ProjectionRecord
from artasyn.segment.projection.view import View
from tests.chest import NUMBERS, chest, write_chest, write_names, write_nifti
from tests.trees import tree

PIXEL = 3.0
SPACING = (6.0, 5.0, 5.0)


def run(inputs: Path | str, out: Path, *options: str | Path, workers: int = 1, pixel: float = PIXEL) -> int:
    given = [inputs, "--out", out, "--workers", workers, "--pixel", pixel, *options]
    return main(["project", *map(str, given)])


def rows_of(out: Path) -> list[dict[str, str]]:
    return [row for row in read_manifest(out / "manifest.csv") if row["status"] == "ok"]


def quality_of(out: Path) -> dict[str, dict[str, str]]:
    with (out / "quality.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def levels(image: np.ndarray, bits: int = 8) -> np.ndarray:
    """The integers that a film is stored as."""
    return np.asarray(np.rint(image.astype(np.float64) * (2**bits - 1)).astype(int))


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_names(tmp_path_factory.mktemp("names") / "names.csv")


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT with its label map beside it."""
    path = tmp_path_factory.mktemp("ct") / "ann.nii.gz"
    write_chest(path, chest(SPACING, length=330.0))
    return path


@pytest.fixture(scope="module")
def volume(ct: Path, names: Path) -> Volume:
    return Volume.read(ct, ct.with_name("ann_labels.nii.gz"), names)


@pytest.fixture(scope="module")
def three_views(ct: Path, names: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command makes of three views."""
    out = tmp_path_factory.mktemp("three") / "out"
    assert run(ct, out, "--names", names, "--views", "pa,lateral,30") == 0
    return out


def expected(volume: Volume, name: str) -> Projection:
    return project(volume, View.named(name, size=None, pixel=PIXEL), frame="film")


def test_every_file_of_a_film_says_what_the_projection_says(three_views: Path, volume: Volume) -> None:
    rows = rows_of(three_views)
    assert [(row["name"], row["view"]) for row in rows] == [(f"ann_{view}", view) for view in ("pa", "lateral", "30")]
    for row in rows:
        projection = expected(volume, row["view"])
        film = Film.of(volume, ProjectionRecord.from_json((three_views / row["record"]).read_text()))
        np.testing.assert_array_equal(film.projection.attenuation, projection.attenuation)
        np.testing.assert_array_equal(levels(read_radiograph(three_views / row["image"])), levels(film.image))
        assert film.image.shape == (int(row["height"]), int(row["width"]))
        written = {path.stem: read_mask(path) for path in (three_views / row["masks"]).iterdir()}
        assert written.keys() == set(projection.names) == NUMBERS.keys()
        for name, mask in zip(projection.names, projection.masks(), strict=True):
            np.testing.assert_array_equal(written[name], mask)
        with np.load(three_views / row["thickness"]) as thickness:
            assert tuple(thickness["names"]) == projection.names
            assert thickness["thickness"].dtype == np.float16
            np.testing.assert_allclose(thickness["thickness"], projection.thickness, rtol=2**-11, atol=2**-20)
        lungs = projection.lungs("visible").labels
        np.testing.assert_array_equal(read_labels(three_views / row["lungs"]), lungs)
        assert (np.diff(lungs.astype(int), axis=1) != 0).any()
        described = json.loads((three_views / row["annotations"]).read_text())
        assert {each["structure"] for each in described} == {name for name, mask in written.items() if mask.any()}
        for each in described:
            np.testing.assert_array_equal(rle.decode(each["segmentation"]) > 0, written[each["structure"]])
            assert each["area"] == written[each["structure"]].sum()
        assert read_picture(three_views / row["overlay"]).shape[1] == 2 * round(
            min(1, 256 / max(film.image.shape)) * film.image.shape[1]
        )
        assert (row["healthy"], row["lesion"], row["copy"]) == ("", "", "")


def test_left_is_left_and_the_heart_hides_lung(three_views: Path) -> None:
    def columns(mask: np.ndarray) -> float:
        return float(np.nonzero(mask)[1].mean())

    lungs = read_labels(three_views / "lungs" / "ann_pa.png")
    masks = three_views / "masks" / "ann_pa"
    assert columns(lungs == 1) < columns(lungs == 2) < columns(read_mask(masks / "marker.png"))
    assert columns(read_mask(masks / "heart.png")) > columns(read_mask(masks / "vertebrae_T8.png"))
    assert not lungs[read_mask(masks / "heart.png")].any()
    lateral = three_views / "masks" / "ann_lateral"
    assert columns(read_mask(lateral / "vertebrae_T8.png")) > columns(read_mask(lateral / "heart.png"))


def test_a_record_tells_how_a_film_was_made_and_what_it_measures(three_views: Path, ct: Path) -> None:
    rows = {row["view"]: row for row in rows_of(three_views)}
    about = {view: json.loads((three_views / row["record"]).read_text())["about"] for view, row in rows.items()}
    assert (about["pa"]["ct"], about["pa"]["view"], about["pa"]["copy"], about["pa"]["seed"]) == (str(ct), "pa", 0, 0)
    assert about["pa"]["spacing"] == pytest.approx(PIXEL) == pytest.approx(float(rows["pa"]["spacing"]))
    assert about["pa"]["spacing_isocentre"] == pytest.approx(PIXEL * 1600 / 1800)
    assert about["pa"]["threshold"] == 2.0
    assert about["pa"]["rejected"] == []
    assert about["pa"]["quality"] == {
        "volume": {"reasons": [], "notes": ["bones are labelled, but no ribs"]},
        "projection": {"reasons": [], "notes": []},
    }
    ratio = about["pa"]["measures"]["cardiothoracic_ratio"]["value"]
    assert ratio == pytest.approx(100 / 240, abs=0.03)  # of the ellipsoids, the heart a little magnified
    assert rows["pa"]["cardiothoracic_ratio"] == f"{ratio:.4f}"
    assert rows["lateral"]["cardiothoracic_ratio"] == ""
    assert "front" in about["lateral"]["measures"]["reasons"]["cardiothoracic_ratio"]


def test_a_collection_has_coco_a_quality_table_a_sheet_and_settings(
    three_views: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco = COCO(three_views / "annotations.json")
    rows = rows_of(three_views)
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == [row["image"] for row in rows]
    assert {category["name"] for category in coco.loadCats(coco.getCatIds())} == NUMBERS.keys()
    for image, row in zip(coco.loadImgs(coco.getImgIds()), rows, strict=True):
        for each in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]])):
            mask = read_mask(three_views / row["masks"] / f"{coco.cats[each['category_id']]['name']}.png")
            np.testing.assert_array_equal(coco.annToMask(each) > 0, mask)
    quality = quality_of(three_views)
    assert {(name, each["ok"], each["reasons"]) for name, each in quality.items()} == {
        (f"ann_{view}", "true", "") for view in ("pa", "lateral", "30")
    }
    sheet = read_picture(three_views / "sheet-1.png")
    overlays = [read_picture(three_views / row["overlay"]) for row in rows]
    assert sheet.shape[1] >= sum(overlay.shape[1] for overlay in overlays)
    settings = json.loads((three_views / "settings.json").read_text())
    assert (settings["command"], settings["views"], settings["pixel"]) == ("project", ["pa", "lateral", "30"], PIXEL)
    assert settings["randomisation"]["tilt_range"] == [-5.0, 5.0]
    top = {path.name for path in three_views.iterdir()}
    assert top == {
        *("images", "masks", "thickness", "lungs", "annotations", "records", "overlays", "measured"),
        *("annotations.json", "quality.csv", "sheet-1.png", "manifest.csv", "settings.json", ".journal.jsonl"),
    }
    measured = {row["view"]: row["measured"] for row in rows}
    assert (measured["lateral"], measured["30"]) == ("", "")
    assert read_picture(three_views / measured["pa"]).shape[:2] == read_radiograph(three_views / rows[0]["image"]).shape
    capsys.readouterr()


def test_what_to_look_at_is_printed(ct: Path, names: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ct, tmp_path, "--names", names) == 0
    written = ("sheet-1.png", "quality.csv", "annotations.json", "manifest.csv")
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / name) for name in written]


@pytest.mark.parametrize(
    ("views", "made"),
    [
        (["pa", "lateral", "-30"], ["pa", "lateral", "-30"]),
        (["-30,0.5,30"], ["-30", "0.5", "30"]),
        (["PA, ap", "pa,"], ["pa", "ap"]),
        (["-90"], ["-90"]),
    ],
)
def test_views_are_names_and_angles(ct: Path, names: Path, tmp_path: Path, views: list[str], made: list[str]) -> None:
    assert run(ct, tmp_path, "--names", names, "--views", *views, pixel=6) == 0
    assert [row["name"] for row in rows_of(tmp_path)] == [f"ann_{name}" for name in made]
    for row in rows_of(tmp_path):
        record = ProjectionRecord.from_json((tmp_path / row["record"]).read_text())
        assert record.view == View.named(row["view"], size=None, pixel=6.0)


def test_options_come_from_a_file_too(ct: Path, names: Path, tmp_path: Path) -> None:
    config = tmp_path / "options.yaml"
    config.write_text(f"names: {names}\nviews: [pa, -30]\nkeep_rejected: true\nmasks:\nbits: 16\n")
    assert run(ct, tmp_path / "out", "--config", config) == 0
    assert [row["view"] for row in rows_of(tmp_path / "out")] == ["pa", "-30"]
    config.write_text(f"names: {names}\nviews: ap\n")
    assert run(ct, tmp_path / "one", "--config", config) == 0
    assert [row["view"] for row in rows_of(tmp_path / "one")] == ["ap"]


def test_randomised_films_are_the_same_for_any_number_of_workers(ct: Path, names: Path, tmp_path: Path) -> None:
    options: list[str | Path] = ["--names", names, "--views", "pa,lateral", "--randomise", "3", "--lesions", "nodule"]
    for workers in (1, 2):
        assert run(ct, tmp_path / str(workers), *options, "--seed", "5", workers=workers) == 0
    first = tree(tmp_path / "1")
    assert first == tree(tmp_path / "2")
    rows = rows_of(tmp_path / "1")
    assert [row["name"] for row in rows] == [f"ann_{view}_{copy}" for view in ("pa", "lateral") for copy in (1, 2, 3)]
    assert len({first[row["image"]] for row in rows}) == 6
    assert run(ct, tmp_path / "1", *options, "--seed", "5") == 0
    assert tree(tmp_path / "1") == first
    assert run(ct, tmp_path / "other", *options, "--seed", "6") == 0
    other = tree(tmp_path / "other")
    assert not {first[row["image"]] for row in rows} & {other[row["image"]] for row in rows}


def test_randomised_films_are_remade_from_their_records(ct: Path, names: Path, volume: Volume, tmp_path: Path) -> None:
    options: list[str | Path] = ["--names", names, "--randomise", "4", "--lesions", "consolidation", "--bits", "16"]
    assert run(ct, tmp_path, *options, "--threshold", "5") == 0
    for row in rows_of(tmp_path):
        record = ProjectionRecord.from_json((tmp_path / row["record"]).read_text())
        film = Film.of(volume, record)
        np.testing.assert_array_equal(levels(read_radiograph(tmp_path / row["image"]), 16), levels(film.image, 16))
        assert film.healthy is not None
        assert film.lesions is not None
        np.testing.assert_array_equal(levels(read_radiograph(tmp_path / row["healthy"]), 16), levels(film.healthy, 16))
        np.testing.assert_array_equal(read_mask(tmp_path / row["lesion"]), film.lesions)
        assert film.projection.names[-1] == "lesion_1"
        for name, mask in zip(film.projection.names, film.masks(5.0), strict=True):
            np.testing.assert_array_equal(read_mask(tmp_path / row["masks"] / f"{name}.png"), mask)
        lungs = read_labels(tmp_path / row["lungs"])
        np.testing.assert_array_equal(lungs, film.projection.lungs("visible", 5.0).labels * film.field)
        assert record.look.frame == "film"
        assert abs(record.view.angle) <= 8


def test_films_differ_by_their_lesions_alone(ct: Path, names: Path, tmp_path: Path) -> None:
    assert run(ct, tmp_path, "--names", names, "--lesions", "nodule", "consolidation", "--bits", "16") == 0
    [row] = rows_of(tmp_path)
    image, healthy = (read_radiograph(tmp_path / row[kind]) for kind in ("image", "healthy"))
    lesion = read_mask(tmp_path / row["lesion"])
    assert lesion.any()
    np.testing.assert_array_equal(image != healthy, lesion)
    footprints = [read_mask(tmp_path / row["masks"] / f"lesion_{number}.png") for number in (1, 2)]
    assert all(footprint.any() for footprint in footprints)
    assert np.any(footprints, axis=0)[lesion].mean() > 0.9
    structures = {each["structure"] for each in json.loads((tmp_path / row["annotations"]).read_text())}
    assert structures >= {"lesion_1", "lesion_2"}
    record = ProjectionRecord.from_json((tmp_path / row["record"]).read_text())
    assert [each.kind for each in record.variation.lesions] == ["nodule", "consolidation"]


def test_lesions_may_be_spelled_as_before_and_others_are_refused(
    ct: Path, names: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ct, tmp_path / "old", "--names", names, "--lesions", "ground_glass") == 0
    [row] = rows_of(tmp_path / "old")
    record = ProjectionRecord.from_json((tmp_path / "old" / row["record"]).read_text())
    assert [each.kind for each in record.variation.lesions] == ["ground_glass_opacity"]
    assert run(ct, tmp_path / "none", "--names", names, "--lesions", "nodule", "cyst") == 2
    assert "no lesion 'cyst'; choose from nodule, consolidation, ground_glass_opacity" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_labels_on_another_grid_are_resampled_on_request(
    ct: Path, names: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = read_label_map(ct.with_name("ann_labels.nii.gz"))
    start = labels.affine.copy()
    start[:3, 3] = (labels.affine @ [3, 0, 0, 1])[:3]
    write_nifti(tmp_path / "cropped.nii.gz", labels.values[3:], start)
    given = ("--names", names, "--labels", tmp_path / "cropped.nii.gz")
    assert run(ct, tmp_path / "refused", *given) == 1
    assert "on another grid than the CT: shape" in capsys.readouterr().err
    assert run(ct, tmp_path / "out", *given, "--resample-labels") == 0
    note = "cropped.nii.gz: the labels were resampled to the CT (shape"
    assert f"1 film: {note}" in capsys.readouterr().err
    [row] = rows_of(tmp_path / "out")
    assert note in row["notes"]
    assert note in quality_of(tmp_path / "out")["ann_pa"]["notes"]


@pytest.mark.parametrize("value", [1, 255])
def test_a_further_mask_is_a_structure_called_by_its_file(
    ct: Path, names: Path, volume: Volume, tmp_path: Path, value: int
) -> None:
    nodule = np.zeros(volume.hu.shape)
    nodule[20:24, 20:24, 14:18] = value
    write_nifti(tmp_path / "Nodule.nii.gz", nodule, volume.affine)
    out = tmp_path / "out"
    assert run(ct, out, "--names", names, "--masks", tmp_path / "Nodule.nii.gz") == 0
    marked = volume.labelled(tmp_path / "Nodule.nii.gz", prefix="nodule")
    [name] = marked.structures.keys() - volume.structures.keys()
    mask = read_mask(out / "masks" / "ann_pa" / f"{name}.png")
    np.testing.assert_array_equal(mask, expected(marked, "pa").mask(name))
    assert mask.any()
    [row] = rows_of(out)
    overlay = read_picture(out / row["overlay"])
    plain, drawn = overlay[:, : overlay.shape[1] // 2], overlay[:, overlay.shape[1] // 2 :]
    orange = (drawn == (230, 97, 0)).all(axis=2)
    assert orange.any()
    assert mask[orange].all()
    assert (plain[..., 0] == plain[..., 1]).all()


def test_frame_pixel_bits_and_threshold_are_as_asked_for(ct: Path, names: Path, volume: Volume, tmp_path: Path) -> None:
    shapes = {}
    for frame in ("full", "covered", "film"):
        out = tmp_path / frame
        assert run(ct, out, "--names", names, "--frame", frame, "--bits", "16", "--threshold", "20", pixel=4) == 0
        [row] = rows_of(out)
        whole = project(volume, View(size=None, pixel=4.0))
        part = {"full": whole, "covered": whole.in_coverage(), "film": whole.as_film()}[frame]
        np.testing.assert_array_equal(read_mask(out / row["masks"] / "heart.png"), part.mask("heart", 20.0))
        shapes[frame] = (int(row["height"]), int(row["width"]))
        assert shapes[frame] == part.attenuation.shape
        assert row["spacing"] == "4.0000"
        with PIL.Image.open(out / row["image"]) as picture:
            assert picture.mode.startswith("I;16")
        assert np.unique(read_radiograph(out / row["image"])).size > 256
    assert shapes["full"] > shapes["covered"] > shapes["film"]


def test_a_collection_has_labels_in_a_folder(names: Path, tmp_path: Path) -> None:
    cts, labels = tmp_path / "cts", tmp_path / "labels"
    for number, length in enumerate((330.0, 342.0, 348.0)):
        write_chest(
            cts / "ward" / f"p{number}.nii.gz", chest(SPACING, length=length), labels=tmp_path / f"{number}.nii.gz"
        )
    (labels / "ward").mkdir(parents=True)
    (tmp_path / "0.nii.gz").rename(labels / "ward" / "p0.nii.gz")
    (tmp_path / "1.nii.gz").rename(labels / "p1_labels.nii.gz")
    third = chest(SPACING, length=348.0)
    for name, structure in third.structures.items():
        mask = np.zeros(third.hu.shape)
        mask[structure.box][structure.mask] = 1
        write_nifti(labels / "p2" / f"{name}.nii.gz", mask, third.affine)
    assert run(cts, tmp_path / "out", "--labels", labels, "--names", names, "--views", "pa,lateral") == 0
    rows = rows_of(tmp_path / "out")
    assert [row["name"] for row in rows] == [f"ward/p{n}_{view}" for n in range(3) for view in ("pa", "lateral")]
    assert {len(list((tmp_path / "out" / row["masks"]).iterdir())) for row in rows} == {len(NUMBERS)}
    assert (tmp_path / "out" / "images" / "ward" / "p2_lateral.png").is_file()


def test_the_layout_of_totalsegmentators_data_set_is_understood(tmp_path: Path) -> None:
    for subject in ("s0001", "s0002"):
        volume = chest(SPACING, length=330.0)
        write_nifti(tmp_path / subject / "ct.nii.gz", volume.hu, volume.affine)
        for name in volume.structures:
            mask = volume.mask(name).astype(np.uint8)
            write_nifti(tmp_path / subject / "segmentations" / f"{name}.nii.gz", mask, volume.affine)
    assert run(tmp_path, tmp_path / "out", pixel=4) == 0
    rows = rows_of(tmp_path / "out")
    assert [row["name"] for row in rows] == ["s0001/ct_pa", "s0002/ct_pa"]
    assert (tmp_path / "out" / rows[0]["masks"] / "heart.png").is_file()


def test_labels_in_a_folder_below_the_cts_are_no_cts(ct: Path, names: Path, tmp_path: Path) -> None:
    cts = tmp_path / "cts"
    (cts / "labels").mkdir(parents=True)
    shutil.copy(ct, cts / "ann.nii.gz")
    shutil.copy(ct.with_name("ann_labels.nii.gz"), cts / "labels" / "ann.nii.gz")
    for number, inputs in enumerate((cts, cts / "ann.nii.gz")):
        assert run(inputs, tmp_path / str(number), "--labels", cts / "labels", "--names", names, pixel=6) == 0
        assert [row["name"] for row in rows_of(tmp_path / str(number))] == ["ann_pa"]
    beside = shutil.copy(ct.with_name("ann_labels.nii.gz"), cts)
    assert run(cts / "ann.nii.gz", tmp_path / "same", "--labels", cts, "--names", names, pixel=6) == 0
    shutil.move(beside, cts / "labels" / "ct.nii.gz")
    (cts / "ann.nii.gz").unlink()
    assert run(cts, tmp_path / "none", "--labels", cts / "labels", "--names", names) == 2


@pytest.fixture
def troubled(ct: Path, volume: Volume, tmp_path: Path) -> Path:
    """Two good CTs among seven bad ones."""
    folder = tmp_path / "cts"
    labels = ct.with_name("ann_labels.nii.gz")
    folder.mkdir()
    for name in ("ann", "zoe", "truncated", "text", "other_grid", "half"):
        shutil.copy(ct, folder / f"{name}.nii.gz")
        shutil.copy(labels, folder / f"{name}_labels.nii.gz")
    shutil.copy(ct, folder / "alone.nii.gz")
    whole = ct.read_bytes()
    (folder / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "text.nii.gz").write_text("this is no volume")
    write_nifti(folder / "other_grid_labels.nii.gz", np.ones((30, 30, 30)), volume.affine)
    (folder / "half_labels.nii.gz").write_bytes(labels.read_bytes()[:200])
    write_chest(folder / "short.nii.gz", chest(SPACING, length=180.0))
    lungless = {name: part for name, part in volume.structures.items() if not name.startswith("lung")}
    write_chest(folder / "lungless.nii.gz", dataclasses.replace(volume, structures=lungless))
    return folder


REASONS = {
    "alone": "no labels; looked for",
    "truncated": "truncated.nii.gz",
    "text": "text.nii.gz",
    "other_grid": "the labels are on another grid than the CT: shape",
    "half": "half_labels.nii.gz",
    "short": "rejected by quality control: the scan cuts the lungs off",
    "lungless": "rejected by quality control: no lungs are labelled",
}


def test_bad_cts_are_named_with_reasons_and_the_rest_is_complete(
    troubled: Path, ct: Path, names: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, views = tmp_path / "out", ["--names", str(names), "--views", "pa,lateral"]
    assert run(troubled, out, *views) == 1
    shown = capsys.readouterr().err
    failed = {row["name"]: row["reason"] for row in read_manifest(out / "manifest.csv") if row["status"] == "failed"}
    assert failed.keys() == {f"{name}_{view}" for name in REASONS for view in ("pa", "lateral")}
    quality = quality_of(out)
    for name, reason in REASONS.items():
        for view in ("pa", "lateral"):
            assert reason in failed[f"{name}_{view}"]
            assert quality[f"{name}_{view}"]["ok"] == "false"
            assert quality[f"{name}_{view}"]["reasons"] == failed[f"{name}_{view}"]
        assert shown.count(f"{failed[f'{name}_pa']} (2 times)") == 1
    assert "14 of 18 failed" in shown
    assert quality["zoe_lateral"]["ok"] == "true"
    assert {row["name"] for row in rows_of(out)} == {
        f"{name}_{view}" for name in ("ann", "zoe") for view in ("pa", "lateral")
    }
    assert len(list((out / "images").iterdir())) == 4
    coco = json.loads((out / "annotations.json").read_text())
    assert len(coco["images"]) == 4
    assert run(ct, tmp_path / "alone", *views) == 0
    alone = tree(tmp_path / "alone")
    for kind in ("images", "masks", "thickness", "lungs", "annotations", "overlays"):
        for path in sorted((tmp_path / "alone" / kind).rglob("*.*")):
            assert (out / path.relative_to(tmp_path / "alone")).read_bytes() == alone[
                str(path.relative_to(tmp_path / "alone"))
            ]


def test_what_quality_control_rejects_can_be_kept(troubled: Path, names: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(troubled, out, "--names", names, "--keep-rejected", "--frame", "covered") == 1
    quality, kept = quality_of(out), {row["name"]: row for row in rows_of(out)}
    assert kept.keys() == {"ann_pa", "zoe_pa", "short_pa", "lungless_pa"}
    for name, reason in (("short", "the scan cuts the lungs off"), ("lungless", "no lungs are labelled")):
        assert quality[f"{name}_pa"]["ok"] == "false"
        assert reason in quality[f"{name}_pa"]["reasons"]
        assert reason in kept[f"{name}_pa"]["quality"]
        about = json.loads((out / kept[f"{name}_pa"]["record"]).read_text())["about"]
        assert reason in about["quality"]["volume"]["reasons"][0]
    assert kept["lungless_pa"]["lungs"] == ""
    assert not (out / "lungs" / "lungless_pa.png").exists()
    assert read_labels(out / kept["short_pa"]["lungs"]).any()


def test_films_that_cannot_be_made_leave_nothing_but_a_reason(ct: Path, names: Path, tmp_path: Path) -> None:
    options = ["--names", str(names), "--randomise", "1", "--randomisation.tilt_range", "[55,60]"]
    assert run(ct, tmp_path, *options) == 1
    assert sorted(tree(tmp_path)) == [".journal.jsonl", "manifest.csv", "quality.csv", "settings.json"]
    [row] = read_manifest(tmp_path / "manifest.csv")
    assert row["reason"].startswith(f"{ct}: none of 5 films drawn can be used: ")
    assert "covered" in row["reason"]


def test_films_that_are_rejected_are_drawn_again(ct: Path, names: Path, tmp_path: Path) -> None:
    options = ["--names", str(names), "--randomise", "8", "--randomisation.tilt_range", "[-45,45]"]
    run(ct, tmp_path, *options, pixel=6)
    rows = rows_of(tmp_path)
    redrawn = [row for row in rows if row["redrawn"] != "0"]
    assert redrawn
    for row in redrawn:
        about = json.loads((tmp_path / row["record"]).read_text())["about"]
        assert len(about["rejected"]) == int(row["redrawn"]) <= 4
        assert quality_of(tmp_path)[row["name"]]["redrawn"] == row["redrawn"]


def test_numbers_without_names_are_explained(ct: Path, tmp_path: Path) -> None:
    assert run(ct, tmp_path) == 1
    assert "have no names: give them with --names" in quality_of(tmp_path)["ann_pa"]["reasons"]


def test_files_that_vanished_are_made_again(ct: Path, names: Path, tmp_path: Path) -> None:
    options = ["--names", str(names), "--views", "pa,lateral,ap", "--lesions", "consolidation"]
    assert run(ct, tmp_path, *options) == 0
    whole = tree(tmp_path)
    (tmp_path / "lesions" / "ann_pa.png").unlink()
    shutil.rmtree(tmp_path / "masks" / "ann_lateral")
    (tmp_path / "records" / "ann_ap.json").unlink()
    assert run(ct, tmp_path, *options) == 0
    assert tree(tmp_path) == whole


def test_other_settings_are_refused(
    ct: Path, names: Path, three_views: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(three_views)
    assert run(ct, three_views, "--names", names, "--views", "pa,lateral,30", "--threshold", "3") == 2
    assert "holds results of other settings (threshold: 2.0 there, 3.0 now)" in capsys.readouterr().err
    assert tree(three_views) == before


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--views", "oblique"], "no view 'oblique'; give one of pa, ap"),
        (["--views", ","], "a view is needed"),
        (["--randomise", "-1"], "must be at least 0"),
        (["--seed", "-1"], "must be at least 0"),
        (["--threshold", "-2"], "must be at least 0"),
        (["--pixel", "0"], "pixel is 0.0, not from 0.001 to 100"),
        (["--labels", "none.nii.gz"], "none.nii.gz does not exist"),
        (["--masks", "none.nii.gz"], "none.nii.gz does not exist"),
        (["--names", "none.csv"], "none.csv does not exist"),
        (["--randomisation.tilt_range", "[5,-5]"], "low comes before high"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], reason: str
) -> None:
    assert run(ct, tmp_path / "out", *options) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_labels_and_masks_of_one_ct_are_refused_for_two(
    ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        shutil.copy(ct, tmp_path / f"{name}.nii.gz")
    mask = ct.with_name("ann_labels.nii.gz")
    for option in ("--labels", "--masks"):
        assert main(["project", *(str(tmp_path / f"{n}.nii.gz") for n in "ab"), "--out", "out", option, str(mask)]) == 2
        assert "2 CTs were found, but labels of one" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    shutil.copy(mask, tmp_path / "other" / "Ann_Labels.nii.gz")
    assert run(ct, tmp_path / "out", "--masks", mask, tmp_path / "other" / "Ann_Labels.nii.gz") == 2
    assert "two masks are called alike" in capsys.readouterr().err


def test_films_that_would_have_one_name_are_refused(
    ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("x", "x_right"):
        shutil.copy(ct, tmp_path / f"{name}.nii.gz")
    assert run(tmp_path, tmp_path / "out", "--views", "right_lateral,lateral") == 2
    assert "two films would have one name" in capsys.readouterr().err


def test_it_is_a_function_too(ct: Path, names: Path, tmp_path: Path) -> None:
    done = make_films(ProjectOptions([ct], tmp_path, names=names, views=["pa", 30], pixel=PIXEL, workers=1))
    assert not done.failures
    assert [name for name, _ in done.rows] == ["ann_pa", "ann_30"]
    assert done.written[0] == tmp_path / "sheet-1.png"


def test_help_names_every_file_and_option_and_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as asked:
        main(["project", "--help-all"])
    assert asked.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for file in ("images", "masks/F/STRUCTURE", "thickness", "lungs", "annotations", "records", "overlays", "healthy"):
        assert f"{file}/F" in shown or f"{file}.png" in shown, file
    for file in ("lesions/F.png", "annotations.json", "quality.csv", "sheet-1.png", "manifest.csv", "settings.json"):
        assert file in shown
    for option in ("labels", "names", "masks", "views", "randomise", "lesions", "pixel", "threshold", "frame", "seed"):
        assert f"--{option} " in shown
    for option in ("--bits", "--keep_rejected", "--workers", "--randomisation.tilt_range", "--out OUT", "inputs"):
        assert option in shown
    assert (
        "artasyn project ct.nii.gz --labels labels.nii.gz --names names.csv --views pa,lateral,30 --out films" in shown
    )
    assert "CT volumes (NIfTI, NRRD" in shown
    assert "nodule, consolidation, ground_glass_opacity" in shown
    assert "radiographs (PNG" not in shown


@pytest.mark.slow
def test_killed_half_way_and_started_again_it_ends_in_the_same_files(
    ct: Path, names: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cts = tmp_path / "cts"
    cts.mkdir()
    for name in ("a", "b", "broken"):
        shutil.copy(ct, cts / f"{name}.nii.gz")
        shutil.copy(ct.with_name("ann_labels.nii.gz"), cts / f"{name}_labels.nii.gz")
    (cts / "broken.nii.gz").write_bytes(ct.read_bytes()[:3000])
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = ["--names", str(names), "--randomise", "8", "--lesions", "nodule"]
    assert run(cts, whole, *options) == 1
    given = [cts, "--out", killed, "--pixel", PIXEL, *options, "--workers"]
    command = [sys.executable, "-m", "artasyn", "project", *map(str, given)]
    with subprocess.Popen([*command, "1"], cwd=tmp_path, stdout=-3, stderr=-3, start_new_session=True) as process:
        deadline = time.monotonic() + 300
        while len(list(killed.glob("records/*.json"))) < 9 and time.monotonic() < deadline:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
    finished = {path: path.stat().st_mtime_ns for path in killed.glob("records/*.json")}
    assert 9 <= len(finished) < len(list(whole.glob("records/*.json")))
    assert not (killed / "manifest.csv").exists()
    for path in finished:  # nothing is half written
        for kind in ("images", "lungs", "overlays"):
            with PIL.Image.open(killed / kind / f"{path.stem}.png") as picture:
                picture.verify()
    capsys.readouterr()
    assert run(cts, killed, *options) == 1
    again = capsys.readouterr()
    assert "8 of 24 failed" in again.err
    assert again.err.count("(8 times)") == 1
    assert again.out.splitlines()[-1] == str(killed / "manifest.csv")
    assert tree(killed) == tree(whole)
    assert any(path.stat().st_mtime_ns == when for path, when in finished.items())  # what the journal has stays


@pytest.mark.realdata
def test_a_real_ct_with_a_real_nodule(data: Path, tmp_path: Path) -> None:
    ct, nodule = data / "ct" / "lidc_0001.nii.gz", data / "ct" / "lidc_0001_nodule.nii.gz"
    options: list[Any] = ["--names", data / "ct" / "structures.csv", "--masks", nodule]
    assert run(ct, tmp_path / "plain", *options, "--views", "pa,lateral", pixel=1.5) == 0
    rows = {row["view"]: row for row in rows_of(tmp_path / "plain")}
    assert 0.42 < float(rows["pa"]["cardiothoracic_ratio"]) < 0.46
    for row in rows.values():
        mask = read_mask(tmp_path / "plain" / row["masks"] / "lidc_0001_nodule.png")
        across = np.ptp(np.nonzero(mask), axis=1) * 1.5
        assert (across > 12).all()
        assert (across < 40).all()
        assert len(list((tmp_path / "plain" / row["masks"]).iterdir())) == 90
    lungs = read_labels(tmp_path / "plain" / rows["pa"]["lungs"])
    nodule_pa = read_mask(tmp_path / "plain" / rows["pa"]["masks"] / "lidc_0001_nodule.png")
    assert (lungs[nodule_pa] != 1).all()  # it is in the left lower lobe
    assert "contrast agent" in rows["pa"]["notes"]
