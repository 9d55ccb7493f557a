"""VinDr-CXR: boxes of lung findings by any reader, damaged lists."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from artasyn.errors import DataError
from artasyn.testsets.layouts import find
from tests.testsets.builders import by_name, labels, write_vindr


def test_vindr(tmp_path: Path) -> None:
    write_vindr(tmp_path)
    write_vindr(tmp_path, "annotations/annotations_train.csv", "train")
    test = find(tmp_path)
    assert (test.layout, labels(test)) == ("vindr", {"a1": True, "b2": False, "d4": True})
    assert by_name(test)["a1"].boxes == ((8.0, 4.0, 24.0, 16.0), (30.0, 30.0, 4.5, 3.0))
    assert {each.source.path.parent for each in test.films} == {tmp_path / "test"}
    for part in (
        "1 with findings outside the lungs alone (c3)",
        "1 listed but not on disk (e5). From annotations_test",
    ):
        assert part in test.summary
    shutil.rmtree(tmp_path / "test")
    assert find(tmp_path).summary.endswith("From annotations_train.csv.")


def test_vindr_of_kaggle_and_damaged(tmp_path: Path) -> None:
    csv = write_vindr(tmp_path, "train.csv", "train")
    assert labels(find(tmp_path)) == {"a1": True, "b2": False, "d4": True}
    whole = csv.read_text()
    csv.write_text(whole.replace("x_max", "right", 1))
    with pytest.raises(DataError, match=r"train.csv: no column x_max"):
        find(tmp_path)
    csv.write_text(whole.replace("20,32", ",", 1))
    with pytest.raises(DataError, match="x_max is '', not a number"):
        find(tmp_path)
    csv.write_text("id,label\n1,2\n")  # of another data set
    with pytest.raises(DataError, match="no test set of layout vindr"):
        find(tmp_path, "vindr")
