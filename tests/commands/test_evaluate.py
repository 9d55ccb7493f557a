"""Measuring on a test set: the layout, the prior beside the detector, the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from artasyn.bulk.run import read_manifest
from artasyn.cli.main import main
from artasyn.errors import DataError
from artasyn.files.radiograph import read_heatmap, read_labels, read_mask, read_radiograph, write_image, write_mask
from artasyn.pictures.film_list import EMBEDDED
from artasyn.testsets.layouts import find


def run(data: Path, out: Path, trained: Path, *more: str) -> int:
    options = ["--model", str(trained / "model"), "--bootstrap", "50", "--workers", "1"]
    options += ["--date", "2026-01-31", *more]
    return main(["evaluate", "--data", str(data), "--out", str(out), *options])


def test_figures_are_those_of_the_written_heatmaps(phantoms: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(phantoms, out, trained) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    heat, lesion, lung = [], [], []
    for path in sorted((phantoms / "test").rglob("*.png")):
        name = path.relative_to(phantoms / "test")
        heat.append(read_heatmap(out / "heatmaps" / name).ravel())
        truth = phantoms / "ground_truth" / name.name
        shape = read_heatmap(out / "heatmaps" / name).shape
        lesion.append((read_mask(truth) if truth.exists() else np.zeros(shape, bool)).ravel())
        lung.append((read_labels(phantoms / "lungs" / name) > 0).ravel())
    heats, lesions, lungs = map(np.concatenate, (heat, lesion, lung))
    ours = metrics["detector"]
    assert ours["pixel_auroc"]["value"] == pytest.approx(roc_auc_score(lesions, heats), abs=2e-3)
    assert ours["pixel_auroc_in_lungs"]["value"] == pytest.approx(roc_auc_score(lesions[lungs], heats[lungs]), abs=2e-3)
    assert metrics["lungs_prior"]["pixel_ap"]["value"] == pytest.approx(
        average_precision_score(lesions, lungs), abs=1e-6
    )
    assert metrics["lungs_prior"]["pixel_auroc_in_lungs"]["value"] == 0.5
    assert (ours["images"], ours["diseased"], metrics["lungs"]) == (5, 3, "given")


def test_the_report_stands_alone_and_shows_both(phantoms: Path, trained: Path, tmp_path: Path) -> None:
    run(phantoms, tmp_path, trained)
    page = (tmp_path / "report.html").read_text()
    for text in (
        *("lungs alone", "pixel AUROC inside the lungs", "ROC curve", "worst first", "not a medical device"),
        *(
            "Precision and recall",
            "How many films have each score",
            "PPV at a prevalence of 5 %",
            "Lesions found (FROC)",
        ),
        *("Calibration needs 20 films", "weights ", "2026-01-31", "false marks on a film"),
    ):
        assert text in page
    assert page.count("data:image/png;base64,") == 4
    assert 5 <= page.count("data:image/webp;base64,") <= 10
    assert "://" not in page  # nothing is fetched; pictures hold no colon
    assert len(page) < 2_000_000 * 5 / 20


def test_the_same_run_gives_the_same_report_and_no_date_elsewhere(
    phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    run(phantoms, tmp_path, trained)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.*") if path.is_file()}
    run(phantoms, tmp_path, trained)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.*") if path.is_file()} == before
    assert [name for name, data in before.items() if b"2026-01-31" in data] == ["report.html"]


def test_groups_have_their_figures_and_small_ones_their_reason(
    phantoms: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artasyn.evaluation.subgroups.LEAST", 1)
    films = sorted((phantoms / "test").rglob("*.png"))
    rows = [f"{path.name},{'FM'[number % 2]},{50 + 20 * (number % 2)}" for number, path in enumerate(films)]
    (tmp_path / "groups.csv").write_text("\n".join(["film,sex,age", *rows]))
    out, asked = tmp_path / "out", ["--groups", str(tmp_path / "groups.csv"), "--prevalence", "0.1", "--ages", "60"]
    assert run(phantoms, out, trained, *asked) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics["groups"]) == {"sex", "age", "sex and age"}
    female, male = metrics["groups"]["sex"]
    assert (female["name"], female["films"], male["name"], male["films"]) == ("female", 3, "male", 2)
    assert {group["name"] for group in metrics["groups"]["sex and age"]} == {"female, under 60", "male, 60 and over"}
    assert {gap["figure"] for gap in metrics["gaps"]["sex"]} >= {"dice"}
    assert {"ppv_at_0.1", "npv_at_0.1", "specificity", "sensitivity"} == set(metrics["operating"])
    page = (out / "report.html").read_text()
    assert "Groups: sex and age" in page
    assert "male, 60 and over" in page
    assert run(phantoms, out, trained, "--groups", str(tmp_path / "none.csv")) == 2
    assert run(phantoms, out, trained, "--prevalence", "20") == 2


def test_films_beyond_the_first_have_links(
    phantoms: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert EMBEDDED >= 20
    monkeypatch.setattr("artasyn.console.detected.EMBEDDED", 2)
    run(phantoms, tmp_path, trained)
    page = (tmp_path / "report.html").read_text()
    assert page.count('class="zoom"') == 2
    assert "The first 2 films have their pictures inside this page; the names of the other 3 lead" in page
    assert page.count('href="overlays/') == 5


def test_unusable_films_are_listed_apart_and_count_with_their_scores(
    phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    for label in ("healthy", "diseased"):
        for path in sorted((phantoms / "test" / label).iterdir()):
            film = read_radiograph(path)
            write_image(data / label / path.name, 1 - film if label == "diseased" else film)
    assert run(data, out, trained) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["detector"]["images"] == 5
    assert (metrics["unusable"]["films"], metrics["unusable"]["diseased"]) == (3, 3)
    assert set(metrics["unusable"]["warnings"].values()) == {"inverted"}
    page = (out / "report.html").read_text()
    assert page.count("the image seems to be inverted") == 3
    assert page.count(">not judged</td>") == 3


def test_the_published_layout_without_healthy_films(phantoms: Path, trained: Path, tmp_path: Path) -> None:
    data = tmp_path / "QaTa"
    shutil.copytree(phantoms / "test/diseased", data / "test/diseased")
    for mask in (phantoms / "ground_truth").iterdir():
        write_mask(data / "ground_truth" / f"mask_{mask.name}", read_mask(mask))
    assert run(data, tmp_path / "out", trained) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["detector"]["image_auroc"]["value"] is None
    assert metrics["detector"]["pixel_auroc"]["value"] is not None
    assert metrics["lungs"] == "PBTSeg"


def test_without_ground_truth_there_are_image_figures_alone(phantoms: Path, trained: Path, tmp_path: Path) -> None:
    data = tmp_path / "labels-only"
    shutil.copytree(phantoms / "test", data / "test")
    (data / "test/diseased/broken.png").write_text("no image")
    assert run(data, tmp_path / "out", trained) == 1
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["detector"]["pixel_auroc"]["value"] is None
    assert 0 <= metrics["detector"]["image_auroc"]["value"] <= 1
    assert metrics["detector"]["images"] == 5


def test_a_missing_mask_is_an_error_and_an_unreadable_one_is_listed(
    phantoms: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    victim = min((data / "ground_truth").iterdir())
    victim.write_bytes(victim.read_bytes()[:40])
    assert run(data, tmp_path / "out", trained) == 1
    assert "ground truth" in capsys.readouterr().err
    victim.unlink()
    assert run(data, tmp_path / "out", trained) == 2
    assert "no mask for 1 of 3 diseased films" in capsys.readouterr().err


def test_a_film_with_a_mask_that_is_not_readable_is_listed_and_never_healthy(
    phantoms: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    for path in (phantoms / "test").rglob("*.png"):
        (data / "images").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, data / "images")
        truth = phantoms / "ground_truth" / path.name
        write_mask(data / "masks" / path.name, read_mask(truth) if truth.exists() else np.zeros((128, 128), bool))
    victim, other = sorted(path.name for path in (phantoms / "ground_truth").iterdir())[:2]
    (data / "masks" / victim).write_bytes(b"")
    write_mask(data / "masks" / other, read_mask(data / "masks" / other)[:100])
    assert run(data, tmp_path / "out", trained) == 1
    said = capsys.readouterr().err
    assert f"ground truth: {data / 'masks' / victim} is empty" in said
    assert "ground truth on 100 x 128 pixels is of another aspect ratio than the film of 128 x 128" in said
    figures = json.loads((tmp_path / "out/metrics.json").read_text())
    assert (figures["detector"]["images"], figures["detector"]["diseased"]) == (3, 1)
    assert f"1 with unreadable ground truth ({Path(victim).stem})" in figures["test_set"]


def test_another_layout_is_refused_with_the_one_wanted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder test/diseased; wanted are"):
        find(tmp_path)


def test_masks_of_another_size_are_brought_to_the_films_grid(phantoms: Path, trained: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    for path in (data / "ground_truth").iterdir():
        write_mask(path, np.kron(read_mask(path), np.ones((2, 2), bool)))
    assert run(data, tmp_path / "big", trained) == 0
    assert run(phantoms, tmp_path / "same", trained) == 0
    figures = [json.loads((tmp_path / o / "metrics.json").read_text())["detector"]["dice"] for o in ("big", "same")]
    assert figures[0] == figures[1]


def write_boxes(phantoms: Path, data: Path, *rows: str) -> dict[str, tuple[int, int, int, int]]:
    """The phantoms with the boxes around their lesions instead of masks: first row, first column, last ones."""
    ends = {}
    for path in sorted((phantoms / "test").rglob("*.png")):
        (data / "images").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, data / "images")
        truth = phantoms / "ground_truth" / path.name
        line = f"{path.name},,,,"
        if truth.exists():
            down, across = read_mask(truth).nonzero()
            top, left, bottom, right = ends[path.stem] = down.min(), across.min(), down.max(), across.max()
            line = f"{path.name},{left},{top},{right - left + 1},{bottom - top + 1}"
        rows += (line,)
    (data / "boxes.csv").write_text("\n".join(["file,x,y,w,h", *rows]))
    return ends


def test_a_set_with_boxes_alone(phantoms: Path, trained: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    ends = write_boxes(phantoms, data, "gone.png,1,1,5,5")
    assert run(data, out, trained, "--layout", "folder") == 0
    assert len(read_manifest(out / "manifest.csv")) == 5
    shares = []
    for name, (top, left, bottom, right) in ends.items():
        heatmap = read_heatmap(out / "heatmaps" / f"{name}.png")
        down, across = (heatmap == heatmap.max()).nonzero()
        hit = (down >= top) & (down <= bottom) & (across >= left) & (across <= right)
        shares.append(hit.mean())
    metrics = json.loads((out / "metrics.json").read_text())
    ours = metrics["detector"]
    assert ours["pointing"]["value"] == pytest.approx(np.mean(shares))
    assert 0 < metrics["lungs_prior"]["pointing"]["value"] < 1
    assert (ours["images"], ours["diseased"], metrics["layout"], metrics["lungs"]) == (5, 3, "folder", "PBTSeg")
    assert ours["image_auroc"]["value"] is not None
    assert ours["pixel_auroc"]["value"] is ours["dice"]["value"] is None
    page = (out / "report.html").read_text()
    for text in (
        "highest point inside a box",
        "Lesions found (FROC)",
        "the ground truth",
        "1 listed but not on disk (gone.png)",
    ):
        assert text in page


def test_a_box_outside_its_film_is_listed(
    phantoms: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    ends = write_boxes(phantoms, data)
    text = (data / "boxes.csv").read_text()
    (data / "boxes.csv").write_text(f"{text}\n{min(ends)},500,500,20,20")
    assert run(data, tmp_path / "out", trained) == 1
    assert "ground truth: a box at row 500, column 500 lies outside the film of 128 x 128" in capsys.readouterr().err
    assert json.loads((tmp_path / "out/metrics.json").read_text())["detector"]["images"] == 4
    assert run(data, tmp_path / "out", trained, "--layout", "rsna") == 2
    assert "no test set of layout rsna: stage_2_train_labels.csv" in capsys.readouterr().err


def test_labels_alone_rank_the_diseased_films_by_score(phantoms: Path, trained: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "chest_xray", tmp_path / "out"
    shutil.copytree(phantoms / "test/healthy", data / "test/NORMAL")
    shutil.copytree(phantoms / "test/diseased", data / "test/PNEUMONIA")
    assert run(data, out, trained) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["layout"], metrics["detector"]["images"], metrics["detector"]["diseased"]) == ("zhanglab", 5, 3)
    assert metrics["detector"]["pointing"]["value"] is None
    page = (out / "report.html").read_text()
    assert "the ground truth" not in page
    assert "(no boxes around lesions)" in page
    assert "FROC" not in page
