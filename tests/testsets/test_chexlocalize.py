"""CheXlocalize: segmentations of the lungs' findings, frontal films, damaged lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from artasyn.errors import DataError
from artasyn.testsets.layouts import find
from tests.testsets.builders import labels, lesions, region, text, write_chexlocalize


@pytest.mark.parametrize(("split", "folder"), [("test", "test"), ("val", "val"), ("val", "valid")])
def test_chexlocalize(tmp_path: Path, split: str, folder: str) -> None:
    write_chexlocalize(tmp_path, split, folder)
    test = find(tmp_path)
    opaque, normal = "patient1/study1/view1_frontal", "patient2/study1/view1_frontal"
    assert (test.layout, labels(test)) == ("chexlocalize", {opaque: True, normal: False})
    assert (lesions(test, opaque) == region(10) | region(12)).all()
    for part in (
        "1 not frontal (patient1/study1/view2_lateral)",
        "1 with other findings alone (patient3/",
        "1 with a finding of the lungs that is not drawn (patient4/",
        "1 without labels (patient5/",
        "2 listed but not on disk (patient8/study1/view1_frontal, patient9/study1/view1_frontal)",
    ):
        assert part in test.summary


def test_chexlocalize_with_labels_of_studies(tmp_path: Path) -> None:
    write_chexlocalize(tmp_path)
    write_chexlocalize(tmp_path, "val", "val")  # the test set comes first
    (tmp_path / "CheXpert/test_labels.csv").unlink()
    rows = ["patient1/study1,1,0", "patient2/study1,0,0", "patient3/study1,0,1", "patient4/study1,1,0"]
    lines = [f"CheXpert-v1.0/test/{row}" for row in rows]
    text(tmp_path / "CheXpert/groundtruth.csv", "\n".join(["Study,Lung Opacity,Cardiomegaly", *lines]) + "\n")
    test = find(tmp_path)
    assert labels(test) == {"patient1/study1/view1_frontal": True, "patient2/study1/view1_frontal": False}
    assert {each.source.path.parts[-4] for each in test.films} == {"test"}


def test_chexlocalize_that_is_damaged(tmp_path: Path) -> None:
    path = write_chexlocalize(tmp_path)
    whole = path.read_text()
    drawn = json.loads(whole)
    drawn["patient1_study1_view1_frontal"]["Edema"]["counts"] = "o"
    path.write_text(json.dumps(drawn))
    with pytest.raises(DataError, match="damaged run lengths"):
        lesions(find(tmp_path), "patient1/study1/view1_frontal")
    for size in ([64, 10**12], [0, 64], [-64, -64]):
        drawn["patient1_study1_view1_frontal"]["Airspace Opacity"]["size"] = size
        path.write_text(json.dumps(drawn))
        with pytest.raises(DataError, match=r"a grid .* \(from .*gt_segmentations_test.json\)"):
            lesions(find(tmp_path), "patient1/study1/view1_frontal")
    for wrong in ("[]", "{", '{"patient1_study1_view1_frontal": {"Edema": 3}}'):
        path.write_text(wrong)
        with pytest.raises(DataError, match=r"gt_segmentations_test.json is no list of segmentations"):
            find(tmp_path)
    path.write_text(whole)
    csv = tmp_path / "CheXpert/test_labels.csv"
    csv.write_text(csv.read_text().replace("Path", "File", 1))
    with pytest.raises(DataError, match="no column Path or Study; its columns are File, No Finding"):
        find(tmp_path)
    csv.unlink()
    with pytest.raises(DataError, match=r"no labels of the films in .*, as test_labels.csv"):
        find(tmp_path)
