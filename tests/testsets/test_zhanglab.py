"""The ZhangLab set as it is unpacked: its test set, once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from artasyn.errors import DataError
from artasyn.testsets.layouts import find
from tests.testsets.builders import labels, text, write_zhanglab


def test_zhanglab_wherever_it_is_given(tmp_path: Path) -> None:
    root = tmp_path / "chest_xray"
    for place in (root, root / "chest_xray"):
        write_zhanglab(place)
    text(root / "__MACOSX/chest_xray/test/PNEUMONIA/._person1_virus_test.jpeg", "no film")
    text(root / "test/NORMAL/.DS_Store", "no film")
    for data in (tmp_path, root, root / "test"):
        test = find(data)
        assert (test.layout, labels(test)) == (
            "zhanglab",
            {"NORMAL/IM-test": False, "PNEUMONIA/person1_virus_test": True},
        )
        assert {each.source.path.parent.parent for each in test.films} == {root / "test"}
    assert not test.has_masks
    assert not test.has_boxes
    shutil.rmtree(root / "test/NORMAL")
    with pytest.raises(DataError, match="no test set of layout zhanglab: test/NORMAL and test/PNEUMONIA"):
        find(root, "zhanglab")
