"""Whole collections: what is written, in folders and shards; what is refused; the same bytes whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO

from artasyn.bulk.run import read_manifest
from artasyn.bulk.sources import find_sources
from artasyn.cli.main import main
from artasyn.commands.synthesise import SynthesiseOptions, synthesise
from artasyn.files.radiograph import read_mask, read_radiograph
from artasyn.synthesis import FINDINGS, LungOpacity
from artasyn.synthesis import findings as presets
from artasyn.synthesis.recipe import Recipe
from tests.trees import tree

FORMATS = ["folders", "shards"]


def run(films: Path | str, out: Path, *options: str, workers: int = 1) -> int:
    return main(["synthesise", str(films), "--out", str(out), "--workers", str(workers), *options])


@pytest.fixture(scope="module")
def normals(phantoms: Path) -> Path:
    return phantoms / "train" / "healthy"


def test_bad_files_are_named_and_the_rest_is_complete(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(mixed, out, "--per-image", "2", "--seed", "5") == 1
    rows = read_manifest(out / "manifest.csv")
    failed = {row["name"]: row["reason"] for row in rows if row["status"] == "failed"}
    assert failed.keys() == {"corrupt", "text", "slice"}
    assert "CT" in failed["slice"]
    shown = capsys.readouterr()
    names = ("sheet-1.png", "statistics.png", "annotations.json", "manifest.csv")
    assert shown.out.splitlines() == [str(out / name) for name in names]
    assert "3 of 6 failed" in shown.err
    assert all(reason in shown.err for reason in failed.values())
    made = [row for row in rows if row["status"] == "ok"]
    assert [(row["name"], row["copy"]) for row in made] == [(f"ward/film{n}", c) for n in range(3) for c in "12"]
    for row in made:
        normal, image = read_radiograph(row["source"]), read_radiograph(out / row["image"])
        mask = read_mask(out / row["mask"])
        np.testing.assert_array_equal(mask, image != normal)
        remade = Recipe.from_json((out / row["record"]).read_text()).remake(normal)
        np.testing.assert_array_equal(np.rint(255 * remade.image), np.rint(255 * image))
        np.testing.assert_array_equal(remade.mask, mask)


def test_coco_says_what_the_masks_and_the_records_say(
    normals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(normals, out, "--per-image", "3") == 0
    coco = COCO(out / "annotations.json")
    rows = read_manifest(out / "manifest.csv")
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == [row["image"] for row in rows]
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(FINDINGS)
    several = 0
    for image, row in zip(coco.loadImgs(coco.getImgIds()), rows, strict=True):
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        mask = read_mask(out / row["mask"])
        assert mask.shape == (image["height"], image["width"])
        regions = {coco.cats[each["category_id"]]["name"]: coco.annToMask(each) > 0 for each in found}
        assert " ".join(regions) == row["findings"]
        np.testing.assert_array_equal(np.any(list(regions.values()), axis=0), mask)
        remade = Recipe.from_json((out / row["record"]).read_text()).remake(read_radiograph(row["source"]))
        for each, (name, region) in zip(found, regions.items(), strict=True):
            np.testing.assert_array_equal(region, remade.findings[name])
            assert each["area"] == region.sum() == rle.area(each["segmentation"])
            rows_, columns = np.nonzero(region)
            low = columns.min(), rows_.min()
            assert each["bbox"] == [*low, columns.max() + 1 - low[0], rows_.max() + 1 - low[1]]
        assert float(row["severity"]) == max(each["severity"] for each in found)
        several += len(found) > 1
    assert several
    figures = json.loads((out / "statistics.json").read_text())
    assert figures["images"] == len(rows)
    assert sum(each["images"] for each in figures["findings"].values()) == len(coco.anns)
    assert figures["area"]["max"] == pytest.approx(max(float(row["area"]) for row in rows))
    assert (out / "statistics.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("format", FORMATS)
def test_one_and_two_workers_write_the_same_bytes_and_a_second_run_changes_nothing(
    mixed: Path, tmp_path: Path, format: str
) -> None:
    options = ["--format", format, "--samples-per-shard", "2"]
    for workers in (1, 2):
        assert run(mixed, tmp_path / str(workers), *options, workers=workers) == 1
    first = tree(tmp_path / "1")
    assert first == tree(tmp_path / "2")
    assert run(mixed, tmp_path / "1", *options, workers=2) == 1
    assert tree(tmp_path / "1") == first


@pytest.mark.slow
@pytest.mark.parametrize("format", ["shards"])  # folders: tests of bulk work
def test_killed_half_way_and_started_again_it_ends_in_the_same_files(
    normals: Path, tmp_path: Path, format: str
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for number, path in enumerate(sorted(normals.iterdir()) * 8):
        shutil.copy(path, films / f"{number}.png")
    (films / "00.png").write_bytes(b"no film")
    options = ["--format", format, "--samples-per-shard", "4"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(films, whole, *options) == 1
    written = "records/*.json" if format == "folders" else "shards/*.tar"
    command = [sys.executable, "-m", "artasyn", "synthesise", str(films), "--out", str(killed), "--workers", "1"]
    with subprocess.Popen([*command, *options], cwd=tmp_path, stdout=-3, stderr=-3, start_new_session=True) as process:
        deadline = time.monotonic() + 300
        while len(list(killed.glob(written))) < 4 and time.monotonic() < deadline:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
    finished = {path: path.stat().st_mtime_ns for path in killed.glob(written)}
    assert 4 <= len(finished) < len(list(whole.glob(written)))
    assert not (killed / "manifest.csv").exists()
    assert run(films, killed, *options) == 1
    assert tree(killed) == tree(whole)
    if format == "shards":  # those in the journal were not made again
        assert sum(path.stat().st_mtime_ns == when for path, when in finished.items()) >= 2


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves files to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_shards_hold_what_folders_hold_and_webdataset_reads_them(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    webdataset = pytest.importorskip("webdataset")
    folders, shards = tmp_path / "folders", tmp_path / "shards"
    assert run(mixed, folders, "--per-image", "2") == 1
    assert run(mixed, shards, "--per-image", "2", "--format", "shards", "--samples-per-shard", "4") == 1
    apart = [row for row in read_manifest(folders / "manifest.csv") if row["status"] == "ok"]
    rows = [row for row in read_manifest(shards / "manifest.csv") if row["status"] == "ok"]
    assert len(rows) == len(apart) == 6
    for row, alone in zip(rows, apart, strict=True):
        with tarfile.open(shards / row["shard"]) as tar:
            for kind in ("image", "mask", "record", "annotations"):
                member = tar.extractfile(row[kind])
                assert member is not None
                assert member.read() == (folders / alone[kind]).read_bytes()
    for name in ("statistics.json", "statistics.png", "sheet-1.png"):
        assert (shards / name).read_bytes() == (folders / name).read_bytes()
    one, other = (json.loads((out / "annotations.json").read_text()) for out in (shards, folders))
    assert one["annotations"] == other["annotations"]
    assert [image["shard"] for image in one["images"]] == [row["shard"] for row in rows]

    paths = sorted(str(path) for path in (shards / "shards").iterdir())
    assert len(paths) == 2  # of the three, one has bad films alone
    samples = list(webdataset.WebDataset(paths, shardshuffle=False).decode("l"))
    assert [sample["__key__"] for sample in samples] == [row["record"].removesuffix(".json") for row in rows]
    for sample, alone in zip(samples, apart, strict=True):
        np.testing.assert_allclose(sample["image.png"], read_radiograph(folders / alone["image"]))
        np.testing.assert_array_equal(sample["mask.png"] > 0, read_mask(folders / alone["mask"]))
        assert sample["json"]["copy"] == int(alone["copy"])
        assert " ".join(each["finding"] for each in sample["annotations.json"]) == alone["findings"]


def annotations_of(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((out / "annotations.json").read_text())["annotations"]
    return found


def test_findings_severity_and_zones_are_as_asked_for(normals: Path, tmp_path: Path) -> None:
    options = ["--findings", "nodule", "mass", "--severity", "0.5", "0.6", "--zones", "upper", "--per-image", "2"]
    assert run(normals, tmp_path / "out", *options) == 0
    found = annotations_of(tmp_path / "out")
    assert {each["finding"] for each in found} == {"nodule", "mass"}
    assert all(0.5 <= each["severity"] <= 0.6 for each in found)
    assert np.mean([each["zones"]["upper"] for each in found]) > 0.7
    sources = [source.path for source in find_sources([normals])]
    synthesis = LungOpacity(findings=presets("nodule", "mass", zones=("upper",), severity_range=(0.5, 0.6)))
    synthesise(SynthesiseOptions(sources, tmp_path / "python", synthesis=synthesis, per_image=2, workers=1))
    assert annotations_of(tmp_path / "python") == found
    own = LungOpacity(findings=presets("nodule", "mass"))
    asked = SynthesiseOptions(
        sources, tmp_path / "own", synthesis=own, zones=["upper"], severity=(0.5, 0.6), per_image=2, workers=1
    )
    synthesise(asked)
    assert annotations_of(tmp_path / "own") == found


def test_a_config_file_gives_options_and_unknown_ones_are_refused(normals: Path, tmp_path: Path) -> None:
    film, config, out = str(min(normals.iterdir())), tmp_path / "options.yaml", tmp_path / "out"
    config.write_text(
        f"seed: 4\nbits: 16\nout: {out}\nworkers: 1\nfindings: [consolidation]\nseverity: [0.5, 0.6]\nzones: [lower]\n"
    )
    assert main(["synthesise", film, "--config", str(config)]) == 0
    settings = json.loads((out / "settings.json").read_text())
    assert (settings["seed"], settings["bits"], settings["findings"]) == (4, 16, ["consolidation"])
    row = read_manifest(out / "manifest.csv")[0]
    assert 0.5 <= float(row["severity"]) <= 0.6
    config.write_text("sead: 4\n")
    with pytest.raises(SystemExit) as refused:
        main(["synthesise", film, "--config", str(config), "--out", str(tmp_path / "other")])
    assert refused.value.code == 2


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--findings", "nodul"], "no finding 'nodul'; choose from ground_glass_opacity, consolidation"),
        (["--severity", "0.5", "2"], "severity_range"),
        (["--severity", "0.6", "0.5"], "low comes before high"),
        (["--bits", "12"], "bits must be 8 or 16"),
        (["--per-image", "3", "--samples-per-shard", "2"], "must hold one radiograph's 3 images, not 2"),
    ],
)
def test_what_cannot_be_made_is_refused_with_a_reason(
    normals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], reason: str
) -> None:
    assert run(normals, tmp_path / "out", *options) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_no_zone_no_range_and_no_format_is_refused_with_the_choices(
    normals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, reason in (
        (["--severity", "0.5"], "expected 2 arguments"),
        (["--severity", "low", "high"], "low"),
        (["--format", "zip"], "folders"),
        (["--zones", "upwards", "lower"], "peripheral"),
    ):
        with pytest.raises(SystemExit) as refused:
            run(normals, tmp_path / "out", *options)
        assert refused.value.code == 2
        assert reason in capsys.readouterr().err


def test_other_settings_and_another_collection_of_shards_are_refused(
    normals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = str(min(normals.iterdir()))
    assert run(film, tmp_path / "out", "--format", "shards") == 0
    assert run(film, tmp_path / "out", "--format", "shards", "--findings", "mass") == 2
    assert "findings: None there, ['mass'] now" in capsys.readouterr().err
    assert run(normals, tmp_path / "out", "--format", "shards") == 2
    assert "collection: 1 films" in capsys.readouterr().err


def test_where_every_film_is_bad_there_is_a_manifest_and_no_summary(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.png").write_bytes(b"no film")
    for format in FORMATS:
        out = tmp_path / format
        assert run(tmp_path / "films", out, "--format", format) == 1
        assert sorted(tree(out)) == [".journal.jsonl", "manifest.csv", "settings.json"]


@pytest.mark.parametrize(("top", "options", "bits"), [(65535, (), 8), (8191, (), 16), (8191, ("--bits", "8"), 8)])
def test_a_film_of_low_range_keeps_its_grey_levels(
    normals: Path, tmp_path: Path, top: int, options: tuple[str, ...], bits: int
) -> None:
    film = read_radiograph(next(iter(sorted(normals.iterdir()))))
    deep = np.rint(film.astype(np.float64) * top).astype(np.uint16)
    (tmp_path / "films").mkdir()
    PIL.Image.fromarray(deep).save(tmp_path / "films" / "a.png")
    assert run(tmp_path / "films", tmp_path / "out", "--findings", "consolidation", *options) == 0
    (row,) = read_manifest(tmp_path / "out" / "manifest.csv")
    assert row["bits"] == str(bits)
    normal, image = (read_radiograph(path) for path in (row["source"], tmp_path / "out" / row["image"]))
    mask = read_mask(tmp_path / "out" / row["mask"])
    if bits == 16:
        np.testing.assert_array_equal(image[~mask], normal[~mask])
    np.testing.assert_allclose(image[~mask], normal[~mask], atol=0.51 / 255)
    recipe = Recipe.from_json((tmp_path / "out" / row["record"]).read_text())
    remade = recipe.remake(normal).image.astype(np.float64) * (2**bits - 1)
    np.testing.assert_array_equal(np.rint(remade), np.rint(image.astype(np.float64) * (2**bits - 1)))
