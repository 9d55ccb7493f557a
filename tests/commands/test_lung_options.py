"""Who finds the lungs: PBTSeg, the network that reads anatomy, or files that are given; in every command that asks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from artasyn.bulk.run import read_manifest
from artasyn.bulk.sources import find_sources
from artasyn.cli.main import main
from artasyn.commands.detect import _Detect
from artasyn.console import lungs
from artasyn.console.lungs import LungOptions, described
from artasyn.detection.opening import open_detector
from artasyn.errors import DataError
from artasyn.evaluation.overlap import dice
from artasyn.files.radiograph import read_labels, read_mask, read_radiograph, write_image, write_labels, write_mask
from artasyn.outputs.dicom_files import DicomFiles
from artasyn.outputs.dicom_instance import Maker
from artasyn.phantom.film import Phantom
from artasyn.segment import PBTSeg
from artasyn.segment.anatomy.segmenters import AGREEMENT, visible_lungs
from artasyn.synthesis.recipe import Recipe
from artasyn.testsets.measured import FilmLungs
from artasyn.training.normals import load_normals, prepare_normals
from tests.anatomies import Exact, ExactReader, seen


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network of the commands reads without fault, also in their worker processes."""
    monkeypatch.setattr(lungs, "AnatomyReader", ExactReader)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three phantoms in films/, with labels or a mask of both lungs for two of them in lungs/."""
    folder = tmp_path_factory.mktemp("given")
    for seed, name in enumerate(("one", "two", "three")):
        chest = Phantom(size=128)(seed)
        write_image(folder / "films" / f"{name}.png", chest.image)
        if name == "one":
            write_labels(folder / "lungs" / "one.png", chest.lungs.labels)
        if name == "two":
            write_mask(folder / "lungs" / "two_mask.png", chest.lungs.mask)
    return folder


def given(films: Path) -> list[str]:
    return ["--lungs", "given", "--lungs-dir", str(films / "lungs"), "--workers", "1"]


def test_given_lungs_are_taken_and_a_film_without_is_refused(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["segment", str(films / "films"), "--out", str(out), *given(films)]) == 1
    assert "three.png: no lungs are given for it" in capsys.readouterr().err
    for seed, name in enumerate(("one", "two")):
        np.testing.assert_array_equal(read_labels(out / "labels" / f"{name}.png"), Phantom(size=128)(seed).lungs.labels)
    rows = read_manifest(out / "manifest.csv")
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    # lungs that change are read anew
    write_labels(films / "lungs" / "one.png", np.flipud(Phantom(size=128)(0).lungs.labels).copy())
    main(["segment", str(films / "films"), "--out", str(out), *given(films)])
    expected = np.flipud(Phantom(size=128)(0).lungs.labels)
    np.testing.assert_array_equal(read_labels(out / "labels" / "one.png"), expected)
    write_labels(films / "lungs" / "one.png", Phantom(size=128)(0).lungs.labels)


def test_synthesis_in_given_lungs_is_remade_from_the_recipe_alone(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    chosen = ["--part", "lower_zone_right", "--bits", "16", "--findings", "consolidation"]
    assert main(["synthesise", str(films / "films"), "--out", str(out), *given(films), *chosen]) == 1
    lungs = Phantom(size=128)(0).lungs
    mask = read_mask(out / "masks" / "one_1.png")
    assert mask.any()
    assert not (mask & ~(lungs.zone("lower") & lungs.right)).any()
    recipe = Recipe.from_json((out / "records" / "one_1.json").read_text())
    assert recipe.segmenter is None
    remade = recipe.remake(read_radiograph(films / "films" / "one.png"))
    np.testing.assert_array_equal(remade.mask, mask)


def test_training_prepares_given_lungs(films: Path, tmp_path: Path) -> None:
    options = LungOptions("given", films / "lungs")
    outcomes = prepare_normals(
        options.sources(find_sources([films / "films"])), tmp_path, size=64, lungs=options.finder()
    )
    assert [bool(outcome.reason) for outcome in outcomes] == [False, True, False]
    assert len(load_normals(tmp_path)) == 2
    with pytest.raises(DataError, match="other settings"):
        prepare_normals(find_sources([films / "films"]), tmp_path, size=64)


def test_lungs_by_the_network_and_a_comparison_with_pbtseg(exact: None, films: Path, tmp_path: Path) -> None:
    image, _ = seen(320)
    write_image(tmp_path / "films" / "chest.png", image)
    write_image(tmp_path / "films" / "phantom.png", Phantom(size=128)(1).image)
    out = tmp_path / "out"
    options = ["--lungs", "anatomy", "--compare", "--workers", "1"]
    assert main(["segment", str(tmp_path / "films"), "--out", str(out), *options]) == 0
    rows = {row["name"]: row for row in read_manifest(out / "manifest.csv")}
    truth = Exact()(image).lungs()
    np.testing.assert_array_equal(read_labels(out / "labels" / "chest.png"), truth.labels)
    read = read_radiograph(tmp_path / "films" / "chest.png")
    agree = dice(truth.mask, PBTSeg()(read).mask) >= AGREEMENT
    assert ("lungs_disagree" in rows["chest"]["warnings"]) != agree
    assert rows["phantom"]["warnings"].split() == ["not_a_chest", "no_lungs", "lungs_disagree"]
    assert "Dice 0.00, below 0.8" in rows["phantom"]["reason"]
    assert rows["phantom"]["status"] == "unusable"


def test_synthesis_in_a_lobe(exact: None, tmp_path: Path) -> None:
    image, _ = seen(320)
    write_image(tmp_path / "film.png", image)
    out = tmp_path / "out"
    options = ["--lungs", "anatomy", "--part", "lung_lower_lobe_left", "--convention", "whole", "--workers", "1"]
    assert main(["synthesise", str(tmp_path / "film.png"), "--out", str(out), *options]) == 0
    film = read_radiograph(tmp_path / "film.png")
    anatomy = Exact()(film)
    mask = read_mask(out / "masks" / "film_1.png")
    assert mask.any()
    assert not (mask & ~anatomy.mask("lung_lower_lobe_left")).any()
    recipe = Recipe.from_json((out / "records" / "film_1.json").read_text())
    np.testing.assert_array_equal(recipe.remake(film).mask, mask)


def test_detection_in_given_lungs(films: Path, tmp_path: Path) -> None:
    options = LungOptions("given", films / "lungs")
    source = next(each for each in options.sources(find_sources([films / "films"])) if each.name == "one")
    digest = open_detector("bundled", "cpu").digest
    objects = DicomFiles(tmp_path, (), False, Maker("artasyn detect"))
    (row,) = _Detect(tmp_path, "bundled", "cpu", "fp32", True, digest, options.finder(), objects)(source)
    assert row["lungs_found"] == "true"
    np.testing.assert_array_equal(read_labels(tmp_path / row["lungs"]), Phantom(size=128)(0).lungs.labels)


def test_options_that_contradict_each_other_are_refused(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in (["--lungs", "given"], ["--lungs-dir", str(films / "lungs")]):
        assert main(["segment", str(films / "films"), "--out", str(tmp_path / "out"), *wrong]) == 2
        assert "--lungs given --lungs-dir FOLDER" in capsys.readouterr().err
    nowhere = ["--lungs", "given", "--lungs-dir", str(tmp_path / "nowhere")]
    assert main(["segment", str(films / "films"), "--out", str(tmp_path / "out"), *nowhere]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err
    assert LungOptions().finder(PBTSeg(clip=3.0)) == FilmLungs(PBTSeg(clip=3.0))


def test_a_mask_of_one_side_is_not_guessed(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chest = Phantom(size=128)(1)
    write_image(tmp_path / "films" / "x.png", chest.image)
    write_labels(tmp_path / "lungs" / "x.png", (chest.lungs.labels == 2).astype(np.uint8))
    options = ["--lungs", "given", "--lungs-dir", str(tmp_path / "lungs"), "--workers", "1"]
    assert main(["segment", str(tmp_path / "films"), "--out", str(tmp_path / "out"), *options]) == 1
    assert "in the right half of the image" in capsys.readouterr().err


def test_the_finder_is_a_setting_of_a_run() -> None:
    assert described(FilmLungs()) == {}
    assert "ExactReader" in described(FilmLungs(ExactReader()))["lungs"]
    lungs = visible_lungs(FilmLungs(ExactReader())(seen(320)[0], find_sources([Path(__file__)])[0]))
    assert dataclasses.replace(lungs).found
