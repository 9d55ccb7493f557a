"""The command that imagines films from sentences: what it writes, refuses, rejects and goes on with."""

from __future__ import annotations

import csv
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from artasyn.bulk.run import read_manifest
from artasyn.cli.main import main
from artasyn.files.radiograph import image_png, read_labels, read_mask, read_radiograph
from artasyn.segment import PBTSeg
from artasyn.synthesis.diffusion import FilmGenerator, FilmRecord, Prompt
from artasyn.synthesis.diffusion.denoiser import Denoiser, DenoiserSettings
from artasyn.synthesis.diffusion.filters import REASONS
from tests.trees import tree

SAID = "moderate consolidation in the right lung, small left pleural effusion"
LOOSE = dict.fromkeys(REASONS, (-1000000000.0, 1000000000.0))


@pytest.fixture(autouse=True)
def loose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that phantoms of 128 pixels pass; the bounds of the file are those of real films."""
    monkeypatch.setattr("artasyn.commands.imagine.usual_bounds", lambda: LOOSE)


@pytest.fixture(scope="module")
def normals(phantoms: Path) -> Path:
    return phantoms / "train" / "healthy"


def run(normals: Path, out: Path, *options: str, workers: int = 1) -> int:
    fixed = ["--normal", str(normals), "--filters", "masks", "--lungs", "pbtseg", "--workers", str(workers)]
    return main(["imagine", *fixed, "--out", str(out), *options])


def made(out: Path) -> list[dict[str, str]]:
    return [row for row in read_manifest(out / "manifest.csv") if row["status"] == "ok"]


def test_every_film_has_the_files_that_the_help_names(
    normals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(normals, out, "--prompt", SAID, "mass in the left lung", "--number", "2", "--seed", "4") == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == [str(out / n) for n in ("sheet-1.png", "captions.csv", "annotations.json", "manifest.csv")]
    rows = made(out)
    assert len(rows) == 4
    for row in rows:
        name = row["name"]
        assert row["image"] == f"images/{name}.png"
        normal, image = (
            read_radiograph(normals / f"{Path(row['normal']).name}.png"),
            read_radiograph(out / row["image"]),
        )
        mask = read_mask(out / f"masks/{name}.png")
        np.testing.assert_array_equal(mask, image != normal)
        record = FilmRecord.from_json((out / f"records/{name}.json").read_text())
        remade = record.remake(normal)
        np.testing.assert_array_equal(np.rint(255 * remade.image), np.rint(255 * image))
        prompt = Prompt.parse(row["prompt"])
        assert record.made.prompt == prompt
        assert (out / f"captions/{name}.txt").read_text() == row["caption_text"] + "\n" == prompt.text() + "\n"
        verdict = json.loads((out / f"verdicts/{name}.json").read_text())
        assert verdict["ok"]
        assert float(row["score_contrast"]) == pytest.approx(verdict["scores"]["contrast"], abs=1e-4)
        parts = sorted(path.name for path in (out / f"parts/{name}").iterdir())
        expected = ["1_consolidation_right.png", "2_pleural_effusion_left.png"]
        assert parts == (expected if "consolidation" in name else ["1_mass_left.png"])
        regions = [read_mask(out / f"parts/{name}/{part}") for part in parts]
        np.testing.assert_array_equal(np.any(regions, axis=0), mask)
        lungs = PBTSeg()(normal)
        for region, part in zip(regions, parts, strict=True):
            other = {"left": lungs.right, "right": lungs.left}[part[:-4].rpartition("_")[2]]
            assert not (region & other).any()
            assert (region & lungs.mask).sum() > 0.8 * region.sum()
        assert (row["filtered"], row["reasons"]) == ("kept", "")
    with (out / "captions.csv").open(newline="") as file:
        assert [(line["image"], line["caption"]) for line in csv.DictReader(file)] == [
            (row["image"], row["caption_text"]) for row in rows
        ]
    coco = COCO(out / "annotations.json")
    assert len(coco.imgs) == 4
    assert len(coco.anns) == 6
    codes = {each["name"]: (each.get("radlex"), each.get("snomed")) for each in coco.cats.values()}
    assert codes["pleural_effusion"] == ("RID34539", "60046008")
    assert codes["texture_opacity"] == (None, None)
    for image, row in zip(coco.loadImgs(coco.getImgIds()), rows, strict=True):
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        assert (image["caption"], image["prompt"]) == (row["caption_text"], row["prompt"])
        whole = np.any([coco.annToMask(each) > 0 for each in found], axis=0)
        np.testing.assert_array_equal(whole, read_mask(out / row["mask"]))


@pytest.mark.parametrize("format", ["folders", "shards"])
def test_one_and_two_workers_write_the_same_and_a_second_run_writes_nothing(
    normals: Path, tmp_path: Path, format: str
) -> None:
    options = ["--prompt", SAID, "two nodules", "--number", "2", "--format", format, "--samples-per-shard", "3"]
    for workers in (1, 2):
        assert run(normals, tmp_path / str(workers), *options, workers=workers) == 0
    first = tree(tmp_path / "1")
    assert first == tree(tmp_path / "2")
    images = [*(tmp_path / "1").rglob("images/**/*.png"), *(tmp_path / "1").rglob("*.tar")]
    when = {path: path.stat().st_mtime_ns for path in images}
    assert run(normals, tmp_path / "1", *options, workers=1) == 0
    assert tree(tmp_path / "1") == first
    assert when
    assert {path: path.stat().st_mtime_ns for path in images} == when
    assert run(normals, tmp_path / "1", *options, "--seed", "9") == 2


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves files to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_shards_hold_what_folders_hold_and_webdataset_reads_them(normals: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    folders, shards = tmp_path / "folders", tmp_path / "shards"
    assert run(normals, folders, "--prompt", SAID, "--number", "3") == 0
    assert run(normals, shards, "--prompt", SAID, "--number", "3", "--format", "shards") == 0
    apart = made(folders)
    for row, alone in zip(made(shards), apart, strict=True):
        with tarfile.open(shards / row["shard"]) as tar:
            for kind in ("image", "mask", "record", "annotations", "caption", "verdict"):
                member = tar.extractfile(row[kind])
                assert member is not None
                assert member.read() == (folders / alone[kind]).read_bytes()
    paths = [str(path) for path in (shards / "shards").iterdir()]
    samples = list(webdataset.WebDataset(paths, shardshuffle=False).decode("l"))
    assert [sample["txt"].strip() for sample in samples] == [row["caption_text"] for row in apart]
    for sample, alone in zip(samples, apart, strict=True):
        np.testing.assert_array_equal(sample["mask.png"] > 0, read_mask(folders / alone["mask"]))
        assert sample["verdict.json"]["ok"]
        assert "1_consolidation_right.png" in sample


def test_more_films_are_added_and_none_is_changed(normals: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(normals, out, "--prompt", "two nodules", "--number", "1") == 0
    before = {name: data for name, data in tree(out).items() if name.startswith(("images", "masks", "records"))}
    assert run(normals, out, "--prompt", "two nodules", "mass", "--number", "2") == 0
    after = tree(out)
    assert before
    assert {name: after[name] for name in before} == before
    assert len(made(out)) == 4


def test_sentences_that_cannot_be_read_are_told_and_the_others_go_on(
    normals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = tmp_path / "prompts.csv", tmp_path / "out"
    long = "consolidation in the right lower lobe with a "
    table.write_text(f'prompt,number\n"{SAID}",2\nquux in the lung,\nno mass,1\n{long}wibble,\n{long}wobble,\n')
    assert run(normals, out, "--prompts", str(table)) == 1
    rows = read_manifest(out / "manifest.csv")
    failed = [row["reason"] for row in rows if row["status"] == "failed"]
    assert len(made(out)) == 2
    for word in ("quux", "asks for no finding", "wibble", "wobble"):
        assert sum(word in reason for reason in failed) == 1, word
    assert all(reason in capsys.readouterr().err for reason in failed[:1])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--prompt", "quux in the lung"], "quux"),
        (["--prompt", "mass", "--number", "0"], "number"),
        (["--prompt", "mass", "--ct", "x.nii.gz"], "normal or ct"),
        (["--prompt", "mass", "--labels", "x.nii.gz"], "give ct"),
        (["--prompt", "mass", "--against", "."], "without normal"),
        (["--prompt", "mass", "--bits", "12"], "8 or 16"),
        (["--prompts", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_what_cannot_run_is_refused_with_a_reason(
    normals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], reason: str
) -> None:
    assert run(normals, tmp_path / "out", *options) == 2
    assert reason in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.png"))


def test_learnt_shapes_and_a_denoiser_change_the_films_and_records_remake_them(
    normals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    denoiser = Denoiser.untrained(DenoiserSettings(side=16, channels=(8, 16), steps=2), seed=5)
    denoiser.save(tmp_path / "denoiser")
    said = ("--prompt", "consolidation in the right lung", "--bits", "16")
    assert run(normals, tmp_path / "plain", *said) == 0
    assert run(normals, tmp_path / "fine", *said, "--denoiser", str(tmp_path / "denoiser"), workers=2) == 0
    assert run(normals, tmp_path / "learnt", *said, "--shapes", "learnt") == 0
    (plain,), (fine,), (learnt,) = (made(tmp_path / name) for name in ("plain", "fine", "learnt"))
    images = [read_radiograph(tmp_path / name / row["image"]) for name, row in (("plain", plain), ("fine", fine))]
    normal = read_radiograph(normals / f"{Path(fine['normal']).name}.png")
    assert (images[0] != images[1]).any()
    np.testing.assert_array_equal(images[0] != normal, images[1] != normal)
    record = FilmRecord.from_json((tmp_path / f"fine/records/{fine['name']}.json").read_text())
    remade = record.remake(normal, FilmGenerator(Denoiser.load(tmp_path / "denoiser")))
    assert image_png(remade.image, bits=16) == (tmp_path / "fine" / fine["image"]).read_bytes()
    shaped = FilmRecord.from_json((tmp_path / f"learnt/records/{learnt['name']}.json").read_text())
    assert shaped.made != record.made
    assert image_png(shaped.remake(normal).image, bits=16) == (tmp_path / "learnt" / learnt["image"]).read_bytes()
    capsys.readouterr()
    assert run(normals, tmp_path / "none", *said, "--denoiser", str(tmp_path / "nowhere")) == 2
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "none" / "manifest.csv").exists()


@pytest.mark.parametrize("keep", [False, True])
def test_rejected_films_are_listed_with_their_reasons(
    normals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], keep: bool
) -> None:
    monkeypatch.setattr("artasyn.commands.imagine.usual_bounds", lambda: LOOSE | {"contrast": (1e6, 1e9)})
    out, options = tmp_path / "out", ["--keep-rejected"] if keep else []
    assert run(normals, out, "--prompt", "mass", "--tries", "2", *options) == 0
    (row,) = made(out)
    assert row["filtered"] == "rejected"
    assert REASONS["contrast"] in row["reasons"]
    assert row["attempts"] == "2"
    assert "rejected in every draw: 1 of 1 films (1 contrast)" in capsys.readouterr().err
    assert bool(row["image"]) == keep
    assert len([*out.rglob("images/**/*.png")]) == keep
    assert (out / "captions.csv").exists() == keep


def test_a_place_that_no_film_shows_is_an_error_that_says_what_to_do(
    normals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(normals, tmp_path / "out", "--prompt", "retrocardiac consolidation", "mass") == 1
    assert "read the anatomy (--lungs anatomy)" in capsys.readouterr().err
    assert len(made(tmp_path / "out")) == 1


@pytest.mark.slow
def test_a_film_is_projected_and_judged_by_the_networks(tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = "large severe consolidation in the right lower lobe"
    options = ["--keep-rejected", "--tries", "1", "--workers", "1"]
    assert main(["imagine", "--prompt", said, "--out", str(out), *options]) == 0
    (row,) = made(out)
    parts = out / row["parts"]
    healthy, image = read_radiograph(parts / "healthy.png"), read_radiograph(out / row["image"])
    np.testing.assert_array_equal(image != healthy, read_mask(out / row["mask"]))
    assert {row["score_detected"], row["score_organs"], row["score_novelty"]}.isdisjoint({""})
    assert read_labels(parts / "lungs.png").max() == 2
    assert json.loads((parts / "anatomy.json").read_text())
    assert list((out / "chests").rglob("*.json"))
    record = FilmRecord.from_json((out / row["record"]).read_text())
    np.testing.assert_allclose(record.remake(healthy).image, image, atol=1 / 65535)
