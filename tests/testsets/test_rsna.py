"""RSNA pneumonia: which films are opaque or normal, boxes, damaged lists."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from artasyn.errors import DataError
from artasyn.testsets.layouts import find
from tests.testsets.builders import by_name, film, labels, write_rsna


def test_rsna(tmp_path: Path) -> None:
    write_rsna(tmp_path / "rsna")
    test = find(tmp_path)
    assert (test.layout, labels(test)) == ("rsna", {"one": True, "two": False, "four": False})
    assert by_name(test)["one"].boxes == ((8.0, 4.0, 24.0, 16.0), (9.0, 40.0, 11.0, 10.0))
    assert by_name(test)["one"].boxes_on((1024, 1024)) == by_name(test)["one"].boxes
    assert by_name(test)["one"].boxes_on((256, 256))[0] == (2.0, 1.0, 6.0, 4.0)
    assert "1 of class No Lung Opacity / Not Normal (three); 1 listed but not on disk (gone)" in test.summary
    (tmp_path / "rsna/stage_2_detailed_class_info.csv").unlink()
    alone = find(tmp_path)
    assert labels(alone) == {"one": True}
    assert "3 of class unknown" in alone.summary


def test_rsna_that_is_damaged(tmp_path: Path) -> None:
    write_rsna(tmp_path)
    csv = tmp_path / "stage_2_train_labels.csv"
    whole = csv.read_text()
    csv.write_text(whole.replace("width", "breadth", 1))
    with pytest.raises(DataError, match=r"stage_2_train_labels.csv: no column width; its columns are patientId, x"):
        find(tmp_path)
    csv.write_text(whole.replace("16.0", "", 1))
    with pytest.raises(DataError, match="width is '', not a number"):
        find(tmp_path)
    csv.write_text(whole.replace("24.0", "-24.0", 1))
    with pytest.raises(DataError, match=r"a box of negative size in the row one,4.0,8.0,16.0,-24.0,1"):
        find(tmp_path)
    csv.write_text(f"{whole}two,1,1,5,5,1\n")
    with pytest.raises(DataError, match=r"class_info.csv: two is of the class Normal but has boxes in stage_2_train"):
        find(tmp_path)
    csv.write_text(whole)
    shutil.rmtree(tmp_path / "stage_2_train_images")
    with pytest.raises(DataError, match="no folder stage_2_train_images with its films"):
        find(tmp_path)
    film(tmp_path / "stage_2_train_images/else.dcm")
    with pytest.raises(DataError, match=r"none of the 4 healthy or diseased films .* among the 1 on disk \(one, ...\)"):
        find(tmp_path)
