"""The answers to users: what is shown, what is packed, and that every fault is a sentence about the file."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from artasyn.app.answers import SEEDS, Answers, film_answer, twin_answer
from artasyn.app.cards import twin_card
from artasyn.app.reading import Models, Reading
from artasyn.app.twin import Twin
from artasyn.files.radiograph import read_heatmap, read_labels, read_mask, read_radiograph, write_image
from artasyn.phantom.film import Phantom
from artasyn.segment import ProjectionRecord
from artasyn.synthesis import Recipe
from artasyn.synthesis.diffusion.filters import Verdict
from tests.chest import chest, write_chest, write_names

WISH = ("consolidation", 0.9, "anywhere", "right", 5)


def words(text: str) -> str:
    """The text of HTML without its tags."""
    return re.sub("<[^>]*>", " ", text)


def unzipped(path: str | None, folder: Path) -> set[str]:
    """The names of the files of a ZIP, which are written to a folder."""
    assert path is not None
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
        return set(archive.namelist())


def test_a_film_is_answered_with_score_pictures_and_measures(answers: Answers, tmp_path: Path) -> None:
    path = tmp_path / "a <b>film.png"
    write_image(path, Phantom(size=256)(2).image)
    answers.sent("someone", str(path))
    found = answers.film(str(path))
    assert found.reading is not None
    assert f"{found.reading.detection.score:.3f}" in found.card
    assert "a &lt;b&gt;film.png" in found.card
    assert found.pictures.count("<figure") == 2
    assert "cardiothoracic ratio" in found.measures
    assert "in pixels" in found.measures
    answers.desk.leave("someone")
    assert not path.exists()
    answers.sent("someone", None)
    assert answers.film(None)[0] is None


def test_films_that_cannot_be_read_are_told_by_name(answers: Answers, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("this is no image")
    ct = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(ct[: len(ct) // 2])
    for name in ("text.png", "cut.dcm"):
        found = answers.film(str(tmp_path / name))
        assert found[2:] == ("", "")
        assert found.reading is None
        assert words(found.card).strip().startswith(name)
        assert "fault" in found.card


def test_a_film_that_cannot_be_judged_has_neither_heatmap_nor_measures(models: Models) -> None:
    rows, columns = np.mgrid[:160, :160] / 160
    found = film_answer(models.reading("waves", np.asarray(0.5 + 0.4 * np.sin(20 * columns + rows), np.float32)))
    assert "Not judged" in found.card
    assert found.pictures.count("<figure") == 1
    assert found.measures == ""


def test_everything_about_a_film_is_packed(answers: Answers, healthy: Reading, tmp_path: Path) -> None:
    names = unzipped(answers.packed_film("s", healthy), tmp_path)
    masks = {name for name in names if name.startswith("masks/")}
    assert names - masks == {
        *("image.png", "heatmap.png", "marked.png", "lungs.png", "annotations.json"),
        *("measures.json", "measures.csv", "record.json"),
    }
    np.testing.assert_allclose(read_heatmap(tmp_path / "heatmap.png"), healthy.detection.heatmap, atol=1e-5)
    np.testing.assert_array_equal(read_labels(tmp_path / "lungs.png"), healthy.anatomy.lungs().labels)
    np.testing.assert_array_equal(read_mask(tmp_path / "masks/heart.png"), healthy.anatomy.mask("heart"))
    record = json.loads((tmp_path / "record.json").read_text())
    assert (record["score"], record["status"]) == (healthy.detection.score, "ok")
    coco = json.loads((tmp_path / "annotations.json").read_text())
    assert len(coco["annotations"]) == len(masks)
    header, row = (tmp_path / "measures.csv").read_text().splitlines()
    assert header.startswith("name,cardiothoracic_ratio")
    assert row.startswith('"phantom 1",0.')


def test_the_same_results_are_packed_as_the_same_bytes(answers: Answers, healthy: Reading) -> None:
    first, second = (answers.packed_film(name, healthy) for name in "ab")
    assert first is not None
    assert second is not None
    assert first != second
    assert Path(first).read_bytes() == Path(second).read_bytes()


def test_a_twin_is_answered_and_packed(answers: Answers, healthy: Reading, tmp_path: Path) -> None:
    found = answers.chosen(healthy, WISH)
    assert found.twin is not None
    assert found.pictures.count("<svg") == 2
    assert f"{found.twin.detection.score:.3f}" in found.card
    names = unzipped(answers.packed_twin("s", found.twin), tmp_path)
    assert {"image.png", "original.png", "mask.png", "findings/1_consolidation.png", "record.json"} <= names
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), found.twin.mask)
    original = read_radiograph(tmp_path / "original.png")
    np.testing.assert_allclose(original, healthy.image, atol=1 / 255)
    recipe = Recipe.from_json((tmp_path / "record.json").read_text())
    np.testing.assert_array_equal(recipe.remake(healthy.image).mask, found.twin.mask)
    coco = json.loads((tmp_path / "annotations.json").read_text())
    assert [each["name"] for each in coco["categories"]] == ["consolidation"]


def test_a_described_twin_has_its_verdict(answers: Answers, healthy: Reading, described: Twin, tmp_path: Path) -> None:
    found = twin_answer(described)
    assert "consolidation" in found.card
    assert "adherence" in found.card
    assert described.verdict is not None
    assert ("All filters accept" in found.card) is described.verdict.ok
    assert "verdict.json" in unzipped(answers.packed_twin("s", described), tmp_path)
    refused = Verdict(False, {"contrast": 0.2}, ("the findings do not stand out",))
    assert "Filtered out: the findings do" in twin_card(dataclasses.replace(described, verdict=refused))
    assert "purple" in answers.described(healthy, "purple elephants", 1).card


def test_what_is_missing_or_wrong_is_told(answers: Answers, healthy: Reading) -> None:
    assert "first tab" in answers.chosen(None, WISH).card
    assert "first tab" in answers.described(None, "nodule", 0).card
    assert answers.packed_film("s", None) is None
    assert answers.packed_twin("s", None) is None
    for seed in (None, -1, 0.5, SEEDS, math.nan, math.inf):
        assert "seed must be" in answers.chosen(healthy, (*WISH[:-1], seed)).card
        assert "seed must be" in answers.phantom(seed, True).card
        assert "seed must be" in answers.phantom_scan("s", seed, ["pa"], "").card
    assert "fault" in answers.chosen(healthy, ("consolidation", None, *WISH[2:])).card


@pytest.mark.parametrize("failure", [MemoryError(), OSError(28, "No space left on device")])
def test_a_failure_of_the_machine_is_told_and_leaves_nothing_of_the_last_answer(
    answers: Answers, healthy: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    for name in ("film_answer", "chosen_twin", "described_twin", "read_scan", "phantom_scan"):
        monkeypatch.setattr(f"artasyn.app.answers.{name}", fail)
    monkeypatch.setattr(Models, "read", fail)
    monkeypatch.setattr(Models, "phantom", fail)
    path = str(tmp_path / "film.png")
    found: list[tuple[object, ...]] = [
        answers.film(path),
        answers.phantom(1, False),
        answers.chosen(healthy, WISH),
        answers.described(healthy, "nodule", 0),
        answers.scan("s", (path, None, None), ["pa"], ""),
        answers.phantom_scan("s", 1, ["pa"], ""),
    ]
    for answer in found:
        told = [each for each in answer if each]
        assert len(told) == 1
        assert "fault" in str(told[0])
        assert (str(failure) or "MemoryError") in str(told[0])
    assert "film.png: " in words(str(found[0]))


@pytest.mark.usefixtures("small")
def test_a_phantom_is_answered(answers: Answers) -> None:
    found = answers.phantom(4, True)
    assert found.reading is not None
    assert "phantom 4 with lesions" in found.card


def test_a_ct_is_answered_and_packed(answers: Answers, tmp_path: Path) -> None:
    write_chest(tmp_path / "ct.nii.gz", chest((6.0, 6.0, 6.0), length=330.0), labels=tmp_path / "labels.nii.gz")
    write_names(tmp_path / "names.csv")
    paths = (str(tmp_path / "ct.nii.gz"), str(tmp_path / "labels.nii.gz"), str(tmp_path / "names.csv"))
    found = answers.scan("s", paths, ["pa"], "30")
    assert "ct.nii.gz" in found.card
    assert "cardiothoracic ratio" in found.card
    assert found.pictures.count("<svg") == 2
    names = unzipped(found.file, tmp_path / "out")
    assert {"pa/image.png", "30/lungs.png", "pa/masks/heart.png", "pa/annotations.json", "notes.txt"} <= names
    assert ProjectionRecord.from_json((tmp_path / "out/30/record.json").read_text()).view.angle == 30
    assert answers.scan("s", (None, None, None), ["pa"], "").file is None
    assert "0 views" in answers.scan("s", (paths[0], None, None), [], "").card
    (tmp_path / "text.mha").write_text("no CT")
    assert (
        words(answers.scan("s", (str(tmp_path / "text.mha"), None, None), ["pa"], "").card).strip().startswith("text")
    )


@pytest.mark.usefixtures("small")
def test_the_ct_of_a_phantom_is_answered(answers: Answers) -> None:
    found = answers.phantom_scan("s", 1, ["pa"], "")
    assert "CT of phantom 1" in found.card
    assert found.file is not None
