"""Segmentations against the stored pixels of their films, read back by pydicom and highdicom, checked by dciodvfy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from artasyn.files.dicom import is_dicom
from artasyn.files.opened import Radiograph, open_radiograph
from artasyn.outputs.dicom_seg import Segment, segmentation
from tests.outputs.dicoms import MAKER, POSES, blot, complaints, filmed, source


def written(path: Path, radiograph: Radiograph, *segments: Segment) -> Path:
    data = segmentation(radiograph, source(radiograph), segments, MAKER)
    assert data is not None
    path.write_bytes(data)
    return path


def frames(path: Path) -> NDArray[Any]:
    """The frames of a segmentation as two readers read them: pydicom by frame, highdicom by segment and source."""
    raw = dcmread(path)
    plain = raw.pixel_array.reshape(-1, raw.Rows, raw.Columns) > 0
    seg = highdicom.seg.segread(path)
    uid = raw.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID
    by_source = seg.get_pixels_by_source_instance([uid])[0]
    np.testing.assert_array_equal(np.moveaxis(by_source, -1, 0) > 0, plain)
    return np.asarray(plain)


@pytest.mark.parametrize("pose", POSES, ids="".join)
def test_a_region_lies_on_the_stored_pixels_in_every_pose(tmp_path: Path, pose: list[str]) -> None:
    radiograph = filmed(tmp_path / "a.dcm", PatientOrientation=pose)
    bright = radiograph.image > 0.5
    path = written(tmp_path / "a.seg.dcm", radiograph, Segment.structure("lung_right", bright))
    np.testing.assert_array_equal(frames(path)[0], blot() > 100)
    assert list(dcmread(path).PatientOrientation) == pose
    assert complaints(path) == []


@pytest.mark.parametrize("kind", ["MONOCHROME1", "RGB", "padded", "no orientation"])
def test_tones_and_colours_move_no_region(tmp_path: Path, kind: str) -> None:
    stored, expected = blot(), blot() > 100
    elements: dict[str, Any] = {"PatientOrientation": ["R", "H"]}
    if kind == "MONOCHROME1":
        elements["PhotometricInterpretation"], expected = kind, stored < 100
    elif kind == "RGB":
        stored = np.dstack([stored] * 3)
        elements |= {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": kind}
    elif kind == "padded":  # a shutter, whose pixels become black
        stored[:, -9:], elements["PixelPaddingValue"] = 255, 255
    else:
        elements = {}
    radiograph = filmed(tmp_path / "a.dcm", stored, **elements)
    bright = radiograph.image > 0.5
    path = written(tmp_path / "a.seg.dcm", radiograph, Segment.structure("heart", bright))
    np.testing.assert_array_equal(frames(path)[0], expected)


def test_overlapping_structures_keep_all_their_pixels_and_absent_ones_are_left_out(tmp_path: Path) -> None:
    radiograph = filmed(tmp_path / "a.dcm", blot(37, 53), PatientOrientation=["F", "L"])  # 1961 bits a frame
    draw = np.random.default_rng(0)
    masks = {name: draw.random(radiograph.image.shape) < 0.4 for name in ("heart", "spine", "rib_left_3")}
    nothing = np.zeros(radiograph.image.shape, bool)
    segments = [Segment.structure(name, mask) for name, mask in {**masks, "liver": nothing}.items()]
    path = written(tmp_path / "a.seg.dcm", radiograph, *segments)
    for frame, mask in zip(frames(path), masks.values(), strict=True):
        np.testing.assert_array_equal(frame, mask.T)
    ds = dcmread(path)
    assert ds.SegmentsOverlap == "YES"
    assert [item.SegmentLabel for item in ds.SegmentSequence] == [*masks]
    assert complaints(path) == []
    assert segmentation(radiograph, source(radiograph), segments[-1:], MAKER) is None


def test_codes_of_structures_and_findings_with_their_sides(tmp_path: Path) -> None:
    radiograph = filmed(tmp_path / "a.dcm", PatientOrientation=["L", "F"])
    labels = np.ones(radiograph.image.shape, np.uint8)
    labels[:, 30:] = 2
    right, both = labels == 1, np.ones(labels.shape, bool)
    found = [
        Segment.structure("rib_left_3", right),
        Segment.structure("breast_right", right),
        Segment.finding("opacity", right, labels),
        Segment.finding("opacity", both, labels),
        Segment.finding("opacity", ~both, labels),
    ]
    path = written(tmp_path / "a.seg.dcm", radiograph, *found)
    rib, breast, *opacities = dcmread(path).SegmentSequence
    kind = rib.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning) == ("25888004", "SCT", "Third rib")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert rib.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == "Anatomical Structure"
    assert "SegmentedPropertyTypeModifierCodeSequence" not in breast.SegmentedPropertyTypeCodeSequence[0]
    for each, side in zip(opacities, ("Right", "Bilateral", None), strict=True):
        assert each.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Opacity"
        assert each.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == "Morphologically Abnormal Structure"
        region = each.AnatomicRegionSequence[0]
        assert region.CodeMeaning == "Lung"
        sides = region.get("AnatomicRegionModifierSequence", [])
        assert [code.CodeMeaning for code in sides] == ([side] if side else [])
    assert not frames(path)[-1].any()
    assert complaints(path) == []


@pytest.mark.parametrize("stated", [{}, {"PatientOrientation": ["X", "Y"]}, {"PatientOrientation": ["F", "H"]}])
def test_a_film_without_sides_gives_none_to_findings_and_the_convention_to_structures(
    tmp_path: Path, stated: dict[str, Any]
) -> None:
    radiograph = filmed(tmp_path / "a.dcm", **stated)
    labels = np.ones(radiograph.image.shape, np.uint8)
    labels[:, 30:] = 2
    right, both = labels == 1, np.ones(labels.shape, bool)
    found = [Segment.finding("opacity", right, labels), Segment.finding("opacity", both, labels)]
    ds = dcmread(written(tmp_path / "a.seg.dcm", radiograph, *found, Segment.structure("lung_right", right)))
    one, two, lung = ds.SegmentSequence
    assert "AnatomicRegionModifierSequence" not in one.AnatomicRegionSequence[0]
    assert two.AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0].CodeMeaning == "Bilateral"
    kind = lung.SegmentedPropertyTypeCodeSequence[0]
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Right"
    assert ds.ContentDescription == "Regions by artasyn test; sides by convention"
    assert list(ds.PatientOrientation or []) == (["F", "H"] if stated.get("PatientOrientation") == ["F", "H"] else [])
    assert complaints(tmp_path / "a.seg.dcm") == []
    plain = dcmread(written(tmp_path / "b.seg.dcm", radiograph, *found, Segment.structure("heart", right)))
    assert plain.ContentDescription == "Regions by artasyn test"


@pytest.mark.realdata
def test_real_films_in_dicom(data: Path, tmp_path: Path) -> None:
    looked = 0
    for film in sorted((data / "dicom").iterdir()):
        if not is_dicom(film.read_bytes()[:132]):
            continue
        looked += 1
        radiograph = open_radiograph(film)
        dense = radiograph.image > 0.5
        path = written(tmp_path / "a.seg.dcm", radiograph, Segment.structure("spine", dense))
        stored = dcmread(film)
        assert (dcmread(path).Rows, dcmread(path).Columns) == (stored.Rows, stored.Columns)
        np.testing.assert_array_equal(frames(path)[0], dense)  # none of these is stored turned
        assert complaints(path) == []
    assert looked >= 5
