"""DICOM segmentations as label maps: frames in any order, few or overlapping, and whatever is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, uid
from pydicom.pixels.utils import pack_bits

from artasyn.errors import DataError
from artasyn.files.ct import read_label_map, read_label_maps
from tests.files.test_ct_series import header
from tests.files.test_ct_volumes import AFFINE

SHAPE = (20, 18, 22)
MASKS = np.zeros((2, *SHAPE), bool)
MASKS[0, 4:9, 3:9, 10:20], MASKS[1, 8:15, 10:15, 2:9] = True, True
MASKS[0, 6] = False
"""Two segments that do not overlap; the first has no frame in one plane."""


def part(**values: object) -> list[Dataset]:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return [item]


def write_segmentation(
    path: Path, masks: np.ndarray = MASKS, change: Callable[[Dataset], object] = id, *, kind: str = "BINARY"
) -> Path:
    """Writes masks (segment, z, y, x) of `AFFINE`, only the planes with voxels, from foot to head."""
    places = [(n, z) for n in range(len(masks)) for z in reversed(range(masks.shape[1])) if masks[n, z].any()]
    planes = np.stack([masks[n, z] for n, z in places]).astype(np.uint8)
    if kind == "LABELMAP":
        planes *= np.array([n + 1 for n, _ in places], np.uint8)[:, None, None]
    film = header(planes, uid.SegmentationStorage)
    film.Modality, film.SegmentationType, film.NumberOfFrames = "SEG", kind, len(places)
    film.BitsAllocated = film.BitsStored = 1 if kind == "BINARY" else 8
    film.HighBit = film.BitsStored - 1
    film.PixelData = pack_bits(planes) if kind == "BINARY" else planes.tobytes()
    film.SegmentSequence = [part(SegmentNumber=n + 1, SegmentLabel=f"Lobe {n + 1}")[0] for n in range(len(masks))]
    film.SharedFunctionalGroupsSequence = part(
        PlaneOrientationSequence=part(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        PixelMeasuresSequence=part(PixelSpacing=[0.9, 0.8], SliceThickness=2.5, SpacingBetweenSlices=2.5),
    )
    film.PerFrameFunctionalGroupsSequence = []
    for n, z in places:
        frame = part(PlanePositionSequence=part(ImagePositionPatient=[-120, -95, 40 - 2.5 * z]))
        frame[0].SegmentIdentificationSequence = part(ReferencedSegmentNumber=n + 1)
        film.PerFrameFunctionalGroupsSequence.append(frame[0])
    change(film)
    film.save_as(path, enforce_file_format=True)
    return path


def refused(path: Path, found: str) -> None:
    with pytest.raises(DataError, match=f"(?s){found}") as caught:
        read_label_maps(path)
    assert str(caught.value).startswith(f"{path} ")


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_a_segmentation_is_a_label_map_of_its_planes(tmp_path: Path, kind: str) -> None:
    grid = read_label_map(write_segmentation(tmp_path / "a.dcm", kind=kind))
    np.testing.assert_array_equal(grid.values, (MASKS[0] + MASKS[1] * 2)[4:15])
    assert grid.values.dtype == np.uint8
    np.testing.assert_allclose(grid.affine[:3, :3], AFFINE[:3, :3])
    np.testing.assert_allclose(grid.affine @ [0, 0, 0, 1], AFFINE @ [4, 0, 0, 1])
    assert grid.names == {1: "Lobe 1", 2: "Lobe 2"}


def test_segments_that_overlap_lie_in_layers(tmp_path: Path) -> None:
    masks = np.concatenate([MASKS, MASKS[:1]])
    masks[2, 4, 5, 11] = False
    path = write_segmentation(tmp_path / "a.dcm", masks)
    first, second = read_label_maps(path)
    np.testing.assert_array_equal(first.values, (MASKS[0] + MASKS[1] * 2)[4:15])
    np.testing.assert_array_equal(second.values, masks[2, 4:15] * 3)
    assert (first.names, second.names) == ({1: "Lobe 1", 2: "Lobe 2"}, {3: "Lobe 3"})
    with pytest.raises(DataError, match="has 2 layers, because its segments overlap"):
        read_label_map(path)


def test_the_distance_of_planes(tmp_path: Path) -> None:
    def unsaid(film: Dataset) -> None:
        del film.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices

    one = np.zeros((1, *SHAPE), bool)
    one[0, 7, 4:8, 4:8] = True
    assert read_label_map(write_segmentation(tmp_path / "a.dcm", one)).values.shape == (1, 18, 22)
    assert read_label_map(write_segmentation(tmp_path / "a.dcm", one, unsaid)).spacing == pytest.approx((2.5, 0.9, 0.8))
    assert read_label_map(write_segmentation(tmp_path / "a.dcm", MASKS, unsaid)).values.shape == (11, 18, 22)

    def lost(film: Dataset) -> None:
        unsaid(film)
        del film.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness

    refused(write_segmentation(tmp_path / "a.dcm", one, lost), "says no distance to the next")


def moved(film: Dataset) -> None:
    film.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence[0].ImagePositionPatient = [-120, -95, 21.2]


def far(film: Dataset) -> None:
    film.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence[0].ImagePositionPatient = [-120, -95, 25e9]


def segmentless(film: Dataset) -> None:
    del film.PerFrameFunctionalGroupsSequence[2].SegmentIdentificationSequence


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda film: setattr(film, "SegmentationType", "FRACTIONAL"), "is DICOM, SEG FRACTIONAL; labels are read from"),
        (lambda film: setattr(film, "Modality", "RTSTRUCT"), "is DICOM, RTSTRUCT"),
        (lambda film: setattr(film, "NumberOfFrames", 10**9), "claims 396000000000 voxels, more than"),
        (lambda film: setattr(film, "NumberOfFrames", 3), "of each of its 3 frames, only of"),
        (lambda film: setattr(film, "PixelData", film.PixelData[:-20]), "is damaged or cut short"),
        (moved, "do not lie on one grid of planes 2.5 mm apart"),
        (far, "claims .* voxels, more than"),
        (segmentless, "without usable ReferencedSegmentNumber"),
    ],
)
def test_what_is_no_such_segmentation_is_refused(
    tmp_path: Path, change: Callable[[Dataset], object], found: str
) -> None:
    refused(write_segmentation(tmp_path / "a.dcm", change=change), found)
