"""Opened radiographs: masks go back to the stored grid in every orientation; spacing and identity, nothing guessed."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import ComputedRadiographyImageStorage

import artasyn
from artasyn.arrays import identity
from artasyn.errors import ImageError, RadiographError
from artasyn.files.opened import Radiograph, open_radiograph, read_person, read_turn
from artasyn.files.radiograph import is_radiograph_file, read_radiograph
from artasyn.files.turns import EXIF_TURNS, Turn, patient_turn
from tests.files.made import Array, dicom, film, saved, stored_as

DIRECTIONS = [["L", "F"], ["R", "F"], ["L", "H"], ["R", "H"], ["F", "L"], ["F", "R"], ["H", "L"], ["H", "R"]]
"""All that PatientOrientation says of frontal films: where rows run to, and where columns do."""
WRITERS: dict[str, dict[str, Any]] = {
    ".png": {},
    ".jpg": {"quality": 100},
    ".webp": {"lossless": True},
    ".tif": {},
    "deflate.tif": {"compression": "tiff_adobe_deflate"},
}
EXIF: dict[int, Callable[[Array], Array]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.T,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).T,
    8: lambda stored: np.rot90(stored, 1),
}
"""What the standard asks a reader to do: 6 is a quarter clockwise, 8 one the other way."""
SIZES = st.tuples(st.integers(16, 40), st.integers(16, 40))
SEEDS = st.integers(0, 2**32 - 1)


def noise(shape: tuple[int, int], seed: int) -> Array:
    """Stored pixels that no turn leaves as they are, and that span their range."""
    stored = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    stored[0, :2] = 0, 255
    return stored


def with_exif(path: Path, stored: Array, orientation: int) -> Path:
    """A picture of stored pixels with an EXIF orientation; Pillow turns nothing when it writes."""
    kind = path.name.removeprefix("film")
    if path.suffix == ".tif":
        return saved(path, stored, tiffinfo={274: orientation}, **WRITERS[kind])
    exif = PIL.Image.Exif()
    exif[274] = orientation
    return saved(path, stored, exif=exif, **WRITERS[kind])


def check_restored(radiograph: Radiograph, stored: Array, seed: int) -> None:
    """What is drawn on the stored grid, seen on the image's grid, comes back exactly: the image, masks and labels."""
    np.testing.assert_array_equal(radiograph.restored(radiograph.image) * 255, stored)
    assert (radiograph.reference.rows, radiograph.reference.columns) == stored.shape
    drawn = np.random.default_rng(seed).random(stored.shape) < 0.3
    at = {int(value): np.argwhere(radiograph.image == np.float32(value / 255)) for value in np.unique(stored)}
    mask = np.zeros(radiograph.image.shape, bool)
    for value, places in at.items():  # a mask of grey levels is the same region on both grids
        mask[tuple(places.T)] = value % 3 == 0
    np.testing.assert_array_equal(radiograph.restored(mask), stored % 3 == 0)
    for array in (drawn, drawn.astype(np.uint8) * 2, drawn.astype(np.float32), np.dstack([drawn, ~drawn, drawn])):
        back = radiograph.restored(radiograph.turn.turned(array))
        np.testing.assert_array_equal(back, array)
        assert back.dtype == array.dtype
        assert back.flags.c_contiguous


@pytest.mark.parametrize("directions", DIRECTIONS)
@given(size=SIZES, seed=SEEDS)
@settings(max_examples=10, deadline=None)
def test_masks_go_back_to_the_stored_grid_of_dicom(directions: list[str], size: tuple[int, int], seed: int) -> None:
    stored = noise(size, seed)
    with TemporaryDirectory() as folder:
        ds = dicom(stored, bits=8, PatientOrientation=directions, PixelSpacing=[0.125, 0.25])
        radiograph = open_radiograph(stored_as(Path(folder) / "film.dcm", ds))
        assert read_turn(Path(folder) / "film.dcm") == radiograph.turn
    check_restored(radiograph, stored, seed)
    transposed = directions[0] in "FH"
    assert radiograph.image.shape == (size[::-1] if transposed else size)
    assert radiograph.spacing == ((0.25, 0.125) if transposed else (0.125, 0.25))


def test_the_eight_orientations_differ_and_bring_the_right_to_the_left() -> None:
    turns = [patient_turn(directions) for directions in DIRECTIONS]
    assert len(set(turns)) == len(set(EXIF_TURNS.values())) == 8
    rows, columns = np.mgrid[0:3, 0:5]
    for directions, turn in zip(DIRECTIONS, turns, strict=True):
        along = {directions[0]: columns, directions[1]: rows}  # grows towards its letter
        towards = {letter: grid for letter, grid in along.items() if letter in "LF"}
        towards |= {{"R": "L", "H": "F"}[letter]: -grid for letter, grid in along.items() if letter in "RH"}
        assert (np.diff(turn.turned(towards["L"]), axis=1) == 1).all()
        assert (np.diff(turn.turned(towards["F"]), axis=0) == 1).all()


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("orientation", range(1, 9))
@given(size=SIZES, seed=SEEDS)
@settings(max_examples=4, deadline=None)
def test_masks_go_back_to_the_stored_grid_of_rasters(
    kind: str, orientation: int, size: tuple[int, int], seed: int
) -> None:
    stored = noise(size, seed)
    with TemporaryDirectory() as folder:
        path = with_exif(Path(folder) / f"film{kind}", stored, orientation)
        radiograph = open_radiograph(path)
        assert read_turn(path) == radiograph.turn
    if kind == ".jpg":
        stored = np.rint(radiograph.restored(radiograph.image) * 255).astype(np.uint8)  # up to the losses of JPEG
        np.testing.assert_allclose(stored.astype(int), noise(size, seed), atol=3)
    check_restored(radiograph, stored, seed)
    np.testing.assert_array_equal(radiograph.image * 255, EXIF[orientation](stored))
    assert radiograph.spacing is None
    assert radiograph.spacing_source is None


@pytest.mark.parametrize("orientation", [0, 9, 300])
@pytest.mark.parametrize("kind", [".png", ".tif"])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path: Path, kind: str, orientation: int) -> None:
    radiograph = open_radiograph(with_exif(tmp_path / f"film{kind}", film(), orientation))
    assert radiograph.turn == Turn()
    np.testing.assert_array_equal(radiograph.image, film() / np.float32(255))


def test_an_orientation_after_the_pixels_of_a_png_counts(tmp_path: Path) -> None:
    data = with_exif(tmp_path / "film.png", film(), 6).read_bytes()
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    tail = data.index(b"IEND") - 4
    (tmp_path / "film.png").write_bytes(data[:start] + data[end:tail] + data[start:end] + data[tail:])
    radiograph = open_radiograph(tmp_path / "film.png")
    assert radiograph.turn == read_turn(tmp_path / "film.png") == Turn(transposed=True, columns_reversed=True)
    np.testing.assert_array_equal(radiograph.restored(radiograph.image) * 255, film())


def test_a_turn_is_refused_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "film.png").write_bytes(b"no picture")
    for name, reason in (("none.png", "does not exist"), ("film.png", "so is no PNG")):
        with pytest.raises(RadiographError, match=reason):
            read_turn(tmp_path / name)


def test_arrays_of_another_grid_are_refused(tmp_path: Path) -> None:
    radiograph = open_radiograph(with_exif(tmp_path / "film.png", film(48, 40), 6))
    assert radiograph.restored(np.zeros((40, 48), bool)).shape == (48, 40)
    for shape in ((48, 40), (40, 47), (40,), (1, 40, 48), (40, 48, 3, 1)):
        with pytest.raises(ImageError, match="must lie on the image's grid"):
            radiograph.restored(np.zeros(shape, bool))


# Spacing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elements", "spacing", "source", "calibration"),
    [
        ({}, None, None, None),
        ({"PixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "PixelSpacing", None),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "ImagerPixelSpacing", None),
        ({"NominalScannedPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "NominalScannedPixelSpacing", None),
        (
            {"PixelSpacing": [0.16, 0.08], "ImagerPixelSpacing": [0.2, 0.1], "PixelSpacingCalibrationType": "GEOMETRY"},
            (0.16, 0.08),
            "PixelSpacing",
            "GEOMETRY",
        ),
        (
            {"PixelSpacing": [0.16, 0.08], "PixelSpacingCalibrationType": "FIDUCIAL"},
            (0.16, 0.08),
            "PixelSpacing",
            "FIDUCIAL",
        ),
        ({"PixelSpacing": [0.2, 0.2], "PixelSpacingCalibrationType": "GUESS"}, (0.2, 0.2), "PixelSpacing", None),
        ({"PixelSpacing": [0.2, 0.1], "ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "ImagerPixelSpacing", None),
        (
            {"ImagerPixelSpacing": [0.2, 0.1], "NominalScannedPixelSpacing": [1, 1]},
            (0.2, 0.1),
            "ImagerPixelSpacing",
            None,
        ),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "ImagerPixelSpacing", None),
        ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.1, 0.1]}, None, None, None),  # a magnification below 1
        ({"PixelSpacing": [0.1, 0.2], "ImagerPixelSpacing": [0.2, 0.2]}, None, None, None),  # and one of two values
        ({"PixelSpacing": [0.2009, 0.2], "ImagerPixelSpacing": [0.2, 0.2]}, (0.2009, 0.2), "PixelSpacing", None),
        ({"PixelSpacing": [0.2, -0.2]}, None, None, None),
        ({"PixelSpacing": [0.2, 0]}, None, None, None),
        ({"PixelSpacing": 0.2}, None, None, None),
        ({"PixelSpacing": [0.2, 0.2, 0.2]}, None, None, None),
        ({"PixelSpacing": ["inf", "inf"]}, None, None, None),
        ({"PixelSpacing": ["nan", "nan"]}, None, None, None),
        ({"PixelSpacing": ["", ""]}, None, None, None),
        ({"PixelSpacing": ""}, None, None, None),
    ],
)
def test_spacing(
    tmp_path: Path,
    elements: dict[str, Any],
    spacing: tuple[float, float] | None,
    source: str | None,
    calibration: str | None,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = dicom(film(), bits=8, **elements)
    radiograph = open_radiograph(stored_as(tmp_path / "a.dcm", ds))
    assert radiograph.spacing == spacing
    assert (radiograph.spacing_source, radiograph.spacing_calibration) == (source, calibration)


@pytest.mark.parametrize("text", [b"abc\\def ", b"0.1\\0,1 ", b"\xff\xfe\\0.1 ", b"0.1;0.1 "])
def test_spacing_that_is_no_number_refuses_no_radiograph(tmp_path: Path, text: bytes) -> None:
    path = stored_as(tmp_path / "a.dcm", dicom(film(), bits=8, PixelSpacing=[0.12, 0.1]))
    data = path.read_bytes()
    assert data.count(b"0.12\\0.1") == 1
    path.write_bytes(data.replace(b"0.12\\0.1", text.ljust(8)))
    radiograph = open_radiograph(path)
    assert radiograph.spacing is None
    np.testing.assert_array_equal(radiograph.image, film() / np.float32(255))


def test_the_resolution_of_a_raster_is_no_spacing(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.tif"):
        path = saved(tmp_path / name, film(), dpi=(254, 254))
        with PIL.Image.open(path) as picture:
            assert picture.info["dpi"] == pytest.approx((254, 254), abs=0.1)
        assert open_radiograph(path).spacing is None


# Identity ---------------------------------------------------------------------------------------------------


def test_the_reference_of_dicom_names_the_object_and_nothing_of_the_patient(tmp_path: Path) -> None:
    uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "FrameOfReferenceUID": "1.2.3.5"}
    ds = dicom(film(48, 40), bits=8, PatientOrientation=["F", "L"], PatientID="P17", PatientName="Doe^J", **uids)
    path = stored_as(tmp_path / "a.dcm", ds)
    radiograph = open_radiograph(str(path))
    reference = radiograph.reference
    assert dataclasses.asdict(reference) == {
        "path": path,
        "rows": 48,
        "columns": 40,
        "sop_class_uid": ComputedRadiographyImageStorage,
        "sop_instance_uid": ds.SOPInstanceUID,
        "study_instance_uid": "1.2.3",
        "series_instance_uid": "1.2.3.4",
        "frame_of_reference_uid": "1.2.3.5",
    }
    assert type(reference.sop_class_uid) is str
    assert "P17" not in repr(radiograph)
    assert radiograph.identity == identity(radiograph.image)


def test_only_a_header_states_sides_and_persons(tmp_path: Path) -> None:
    sided = stored_as(tmp_path / "a.dcm", dicom(film(48, 40), bits=8, PatientOrientation=["L", "F"], PatientSex="F"))
    silent = stored_as(tmp_path / "b.dcm", dicom(film(48, 40), bits=8))
    raster = with_exif(tmp_path / "film.png", film(48, 40), 1)
    assert [open_radiograph(path).sided for path in (sided, silent, raster)] == [True, False, False]
    assert read_person(sided)["sex"] == "F"
    assert "sex" not in read_person(silent)
    assert read_person(raster) == {}


def test_the_reference_of_a_raster_is_its_path(tmp_path: Path) -> None:
    path = with_exif(tmp_path / "film.png", film(48, 40), 6)
    reference = open_radiograph(path).reference
    assert (reference.path, reference.rows, reference.columns) == (path, 48, 40)
    assert [getattr(reference, field.name) for field in dataclasses.fields(reference)[3:]] == [None] * 5


def test_identifiers_that_are_missing_or_empty_are_none(tmp_path: Path) -> None:
    path = stored_as(tmp_path / "a.dcm", dicom(film(), bits=8, StudyInstanceUID="", SeriesInstanceUID="1.2"))
    reference = open_radiograph(path).reference
    assert (reference.study_instance_uid, reference.series_instance_uid) == (None, "1.2")
    assert reference.frame_of_reference_uid is None


def test_the_doors_offer_it_and_errors_name_the_file(tmp_path: Path) -> None:
    assert artasyn.open_radiograph is open_radiograph
    assert artasyn.Radiograph is Radiograph
    with pytest.raises(RadiographError, match=r"none\.png does not exist"):
        open_radiograph(tmp_path / "none.png")


# Real films -------------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_real_dicom_goes_back_to_its_stored_grid(data: Path) -> None:
    paths = sorted(path for path in (data / "dicom").iterdir() if is_radiograph_file(path))
    opened = {path.name: open_radiograph(path) for path in paths}
    for path in paths:
        radiograph = opened[path.name]
        np.testing.assert_array_equal(radiograph.image, read_radiograph(path))
        assert radiograph.restored(radiograph.image).shape == (radiograph.reference.rows, radiograph.reference.columns)
        assert radiograph.reference.sop_instance_uid
        assert radiograph.reference.frame_of_reference_uid is None
    spacings = {name.split("_")[0]: (one.spacing, one.spacing_source) for name, one in opened.items()}
    assert spacings["siim"] == spacings["txrv"] == ((0.168, 0.168), "PixelSpacing")
    assert spacings["pydicom"] == (None, None)  # it says 0 mm
    assert spacings["gdcm"] == spacings["nih"] == (None, None)


@pytest.mark.realdata
@pytest.mark.parametrize("directions", DIRECTIONS)
def test_a_real_film_in_every_orientation_shows_the_same(data: Path, tmp_path: Path, directions: list[str]) -> None:
    upright = read_radiograph(data / "dicom" / "siim_cr8_mono2_chestPA_jpegbaseline.dcm")[:900]
    stored = np.ascontiguousarray(patient_turn(directions).restored(np.rint(upright * 255).astype(np.uint8)))
    ds = dicom(stored, bits=8, PatientOrientation=directions)
    radiograph = open_radiograph(stored_as(tmp_path / "a.dcm", ds))
    np.testing.assert_array_equal(np.rint(radiograph.image * 255), np.rint(upright * 255))
    np.testing.assert_array_equal(radiograph.restored(radiograph.image > 0.5), stored > 127)
