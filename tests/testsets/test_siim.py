"""SIIM-ACR pneumothorax: relative run lengths, DICOM files, damaged lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from artasyn.errors import DataError
from artasyn.testsets.layouts import find
from tests.testsets.builders import by_name, labels, lesions, region, write_siim


def test_siim(tmp_path: Path) -> None:
    write_siim(tmp_path)
    test = find(tmp_path)
    assert (test.layout, labels(test)) == ("siim", {"1.2.276.0.4": True, "1.2.276.0.5": False, "1.2.276.0.6": False})
    assert (lesions(test, "1.2.276.0.4") == region(5) | region(9)).all()
    assert by_name(test)["1.2.276.0.4"].source.path.suffix == ".dcm"
    assert "1 listed but not on disk (1.2.276.0.9). Healthy means without pneumothorax" in test.summary


def test_dicom_files_may_have_no_suffix(tmp_path: Path) -> None:
    write_siim(tmp_path)
    folder = tmp_path / "dicom-images-train/1.2.2/4"
    (folder / "1.2.276.0.4.dcm").rename(folder / "1.2.276.0.4")
    assert labels(find(tmp_path)) == {"1.2.276.0.4": True, "1.2.276.0.5": False, "1.2.276.0.6": False}


def test_siim_that_is_damaged(tmp_path: Path) -> None:
    csv = write_siim(tmp_path)
    whole = csv.read_text()
    csv.write_text(whole.replace(" EncodedPixels", "Pixels", 1))
    with pytest.raises(DataError, match=r"train-rle.csv: no column EncodedPixels; its columns are ImageId, Pixels"):
        find(tmp_path)
    csv.write_text("ImageId, EncodedPixels\n1.2.276.0.4, 5 6 7\n1.2.276.0.5, -1\n")
    with pytest.raises(DataError, match=r"damaged run lengths .* \(from .*train-rle.csv\)"):
        lesions(find(tmp_path), "1.2.276.0.4")
    csv.write_text(f"ImageId, EncodedPixels\n1.2.276.0.4, {'9' * 5000} 7\n1.2.276.0.5, -1\n")
    with pytest.raises(DataError, match="damaged run lengths"):
        lesions(find(tmp_path), "1.2.276.0.4")
    csv.write_text("ImageId, EncodedPixels\n1.2.276.0.4, 5 6\n1.2.276.0.4, -1\n")
    with pytest.raises(DataError, match=r"both run lengths and -1, which means healthy, for 1.2.276.0.4"):
        find(tmp_path)
    csv.write_text("ImageId, EncodedPixels\n1.2.276.0.4,\n")
    with pytest.raises(DataError, match=r"no run lengths and no -1 for 1.2.276.0.4"):
        find(tmp_path)
