"""VinDr-CXR: boxes of lung findings by any reader, damaged lists."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from artasyn.errors import DataError
from artasyn.testsets.layouts import find
from tests.testsets.builders import by_name, labels, text, turned_film, write_vindr


def test_vindr(tmp_path: Path) -> None:
    write_vindr(tmp_path)
    write_vindr(tmp_path, "annotations/annotations_train.csv", "train")
    test = find(tmp_path)
    assert (test.layout, labels(test)) == ("vindr", {"a1": True, "b2": False, "d4": True})
    assert by_name(test)["a1"].boxes == ((8.0, 4.0, 24.0, 16.0), (30.0, 30.0, 4.5, 3.0))
    assert {each.source.path.parent for each in test.films} == {tmp_path / "test"}
    for part in (
        "1 with other findings alone (c3)",
        "1 listed but not on disk (e5). From annotations_test",
    ):
        assert part in test.summary
    shutil.rmtree(tmp_path / "test")
    assert find(tmp_path).summary.endswith("From annotations_train.csv.")


def write_copies(data: Path, shape: tuple[int, int]) -> Path:
    """The Kaggle set with PNG copies of its films, resized, some to a square."""
    csv = write_vindr(data, "train.csv", "train")
    for dicom in (data / "train").glob("*.dicom"):
        turned_film(dicom.with_suffix(".png"), shape, 1)
        dicom.unlink()
    return csv


@pytest.mark.parametrize("shape", [(32, 32), (32, 16)])
def test_boxes_of_copies_are_scaled_by_the_list_of_sizes(tmp_path: Path, shape: tuple[int, int]) -> None:
    write_copies(tmp_path, shape)
    with pytest.raises(DataError, match=r"train.csv: .* but a1.png is a copy, perhaps resized; put train_meta"):
        find(tmp_path)
    text(tmp_path / "train_meta.csv", "image_id,dim0,dim1\na1,128,64\nb2,128,64\nzz,9,9\n")
    test = find(tmp_path)
    assert labels(test) == {"a1": True, "b2": False}
    assert "1 without a size in train_meta.csv (d4)" in test.summary
    down, across = shape[0] / 128, shape[1] / 64
    assert by_name(test)["a1"].boxes_on(shape)[0] == (8 * down, 4 * across, 24 * down, 16 * across)
    for content, reason in (
        ("image_id,dim0\na1,3\n", "no columns dim0, dim1; its columns are image_id, dim0"),
        ("image_id,dim0,dim1\na1,128,x\n", "dim1 is 'x', not a number"),
        ("image_id,dim0,dim1\na1,128,-4\n", "no size in the row a1,128,-4"),
        ("image_id,dim0,dim1\na1,128,64.5\n", "no size in the row a1,128,64.5"),
        ("image_id,dim0,dim1\na1,128,64\na1,64,128\n", "two sizes of a1"),
    ):
        text(tmp_path / "train_meta.csv", content)
        with pytest.raises(DataError, match=f"train_meta.csv: {reason}"):
            find(tmp_path)


def test_the_list_of_boxes_may_hold_the_sizes(tmp_path: Path) -> None:
    csv = write_copies(tmp_path, (32, 32))
    header, *rows = csv.read_text().splitlines()
    csv.write_text("\n".join([f"{header},width,height", *(f"{row},64,128" for row in rows)]))
    test = find(tmp_path)
    assert labels(test) == {"a1": True, "b2": False, "d4": True}
    assert by_name(test)["a1"].boxes_on((32, 32))[0] == (2.0, 2.0, 6.0, 8.0)


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
    csv.write_text(whole.replace("4,8,20,32", "20,8,4,32", 1))
    with pytest.raises(DataError, match="corners in the wrong order in the row a1,R1,Consolidation,20,8,4,32"):
        find(tmp_path)
    csv.write_text("id,label\n1,2\n")  # of another data set
    with pytest.raises(DataError, match="no test set of layout vindr"):
        find(tmp_path, "vindr")
