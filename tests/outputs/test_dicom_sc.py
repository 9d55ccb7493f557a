"""Secondary captures: the picture pixel for pixel, its film, its orientation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from artasyn.outputs.dicom_sc import secondary_capture
from tests.outputs.dicoms import MAKER, complaints, filmed, source


def test_a_picture_comes_back_and_names_its_film(tmp_path: Path) -> None:
    radiograph = filmed(tmp_path / "a.dcm", PatientOrientation=["R", "H"], LossyImageCompression="01")
    picture = np.random.default_rng(0).integers(0, 256, (31, 45, 3), np.uint8)
    path = tmp_path / "a.sc.dcm"
    path.write_bytes(secondary_capture(picture, source(radiograph), MAKER))
    ds = dcmread(path)
    np.testing.assert_array_equal(ds.pixel_array, picture)
    assert ds.PhotometricInterpretation == "RGB"
    assert list(ds.PatientOrientation) == ["L", "F"]  # the picture is upright, whatever the film is
    assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == dcmread(tmp_path / "a.dcm").SOPInstanceUID
    assert (ds.LossyImageCompression, ds.ConversionType, ds.Modality) == ("01", "WSD", "OT")
    assert "research use" in ds.SeriesDescription
    assert "research use" in ds.DerivationDescription
    assert "PixelSpacing" not in ds
    assert complaints(path) == []


@pytest.mark.parametrize("stated", [{}, {"PatientOrientation": ["X", "Y"]}, {"PatientOrientation": ["F", "H"]}])
def test_the_orientation_is_empty_where_the_film_states_no_sides(tmp_path: Path, stated: dict[str, Any]) -> None:
    path = tmp_path / "a.sc.dcm"
    radiograph = filmed(tmp_path / "a.dcm", **stated)
    path.write_bytes(secondary_capture(np.zeros((16, 16, 3), np.uint8), source(radiograph), MAKER))
    assert dcmread(path)["PatientOrientation"].is_empty
    assert complaints(path) == []
