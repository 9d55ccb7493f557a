"""QaTa-COV19 as it is published: its test set, and masks for some."""

from __future__ import annotations

from pathlib import Path

import pytest

from artasyn.errors import DataError
from artasyn.testsets.layouts import find
from tests.testsets.builders import labels, lesions, region, write_qata


def test_qata_version_2_uses_its_test_set(tmp_path: Path) -> None:
    root = tmp_path / "QaTa-COV19" / "QaTa-COV19-v2"
    write_qata(root / "Train Set", "abc", "abc")
    write_qata(root / "Test Set", "xy", "xy")
    write_qata(root.with_name("QaTa-COV19-v1"), "ab", "ab")
    for data in (tmp_path, root.parent, root, root / "Test Set"):
        test = find(data)
        assert (test.layout, labels(test)) == ("qata", {"covid_x": True, "covid_y": True})
        assert (lesions(test, "covid_x") == region()).all()
    assert set(labels(find(root / "Train Set"))) == {"covid_a", "covid_b", "covid_c"}
    (root / "Test Set/Ground-truths/mask_covid_x.png").unlink()
    with pytest.raises(DataError, match="no mask for 1 of 2"):
        find(tmp_path)


def test_qata_version_1_has_masks_for_some(tmp_path: Path) -> None:
    write_qata(tmp_path / "QaTa-COV19-v1", "abcd", "ab")
    test = find(tmp_path)
    assert set(labels(test)) == {"covid_a", "covid_b"}
    assert "Left out: 2 without a mask (covid_c, covid_d)" in test.summary
