"""NIH ChestX-ray14: boxes of lung findings, healthy films of the test list, damaged lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from artasyn.errors import DataError
from artasyn.testsets.layouts import find
from tests.testsets.builders import by_name, labels, text, write_nih


def test_nih(tmp_path: Path) -> None:
    write_nih(tmp_path)
    test = find(tmp_path)
    assert (test.layout, labels(test)) == ("nih", {"00000001_000": True, "00000004_000": False})
    found = by_name(test)["00000001_000"]
    assert found.boxes == ((256.0, 128.0, 64.0, 512.5), (32.0, 16.0, 64.0, 48.0))
    assert found.boxes_on((64, 64))[1] == (2.0, 1.0, 4.0, 3.0)  # the film was made smaller: published are 1024 pixels
    for part in (
        "1 with boxes of other findings alone (00000002_000)",
        "1 healthy but not in test_list.txt (00000003_000)",
        "1 listed but not on disk (00000009_000)",
    ):
        assert part in test.summary
    (tmp_path / "test_list.txt").unlink()
    assert not labels(find(tmp_path))["00000003_000"]
    (tmp_path / "Data_Entry_2017_v2020.csv").unlink()
    alone = find(tmp_path)
    assert labels(alone) == {"00000001_000": True}
    assert "healthy films are not known" in alone.summary


def test_nih_with_a_mended_header_and_a_damaged_one(tmp_path: Path) -> None:
    write_nih(tmp_path)
    csv = tmp_path / "BBox_List_2017.csv"
    whole = csv.read_text()
    csv.write_text(whole.replace("Bbox [x,y,w,h],,,", '"Bbox [x,y,w,h]",,,', 1))
    assert by_name(find(tmp_path))["00000001_000"].boxes[0] == (256.0, 128.0, 64.0, 512.5)
    csv.write_text(whole.replace("Finding Label", "Label", 1))
    with pytest.raises(DataError, match=r"no column of Image Index, Finding Label, Bbox \[x,y,w,h\]; its columns are"):
        find(tmp_path)
    csv.write_text(whole.replace("512.5,64,,,", "512.5", 1))
    with pytest.raises(DataError, match="h is '', not a number"):
        find(tmp_path)
    csv.write_text(f"{whole}00000003_000.png\n")
    with pytest.raises(DataError, match=r"x is '', not a number, in the row 00000003_000.png"):
        find(tmp_path)
    csv.write_text(whole)
    text(tmp_path / "Data_Entry_2017_v2020.csv", "Image,Labels\na,b\n")
    with pytest.raises(DataError, match=r"Data_Entry_2017_v2020.csv: no column Image Index"):
        find(tmp_path)
