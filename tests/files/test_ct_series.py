"""Series of DICOM slices: sorted into a volume, or refused where they make none."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate

from artasyn.errors import DataError
from artasyn.files.ct import read_ct
from artasyn.files.ct_series import is_slice_file
from tests.files.test_ct_volumes import AFFINE, VALUES

SERIES = "1.2.826.0.1.3680043.8.498.1"


def header(stored: np.ndarray, sop: uid.UID) -> Dataset:
    """What all slices of `AFFINE` share, with the pixels of one or several."""
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    film.file_meta.MediaStorageSOPClassUID = film.SOPClassUID = sop
    film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID = uid.generate_uid()
    film.Modality, film.SeriesInstanceUID, film.SeriesDescription = "CT", SERIES, "CHEST 2.5"
    film.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    film.Rows, film.Columns = stored.shape[-2:]
    film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
    film.BitsAllocated, film.BitsStored, film.HighBit = 16, 16, 15
    film.PixelRepresentation = int(stored.dtype.kind == "i")
    film.PixelData = stored.tobytes()
    return film


def write_series(
    folder: Path, values: np.ndarray = VALUES, change: Callable[[int, Dataset], object] | None = None
) -> Path:
    """Writes (z, y, x) of `AFFINE` with names in no order; a change that gives False leaves a slice out."""
    folder.mkdir(exist_ok=True)
    for z, plane in enumerate(values):
        film = header((plane.astype(np.int32) + 1024).astype(np.uint16), uid.CTImageStorage)
        film.RescaleSlope, film.RescaleIntercept = 1, -1024
        film.ImagePositionPatient = [-120, -95, 40 - 2.5 * z]
        film.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        film.PixelSpacing = [0.9, 0.8]
        if change is None or change(z, film) is not False:
            film.save_as(folder / f"{z * 7 % 20:02d}.dcm", enforce_file_format=True)
    return folder


def put(**attributes: Any) -> Callable[[int, Dataset], None]:
    """A change of all slices."""

    def change(_: int, film: Dataset) -> None:
        for keyword, value in attributes.items():
            setattr(film, keyword, value)

    return change


def refused(path: Path, found: str) -> None:
    with pytest.raises(DataError, match=f"(?s){found}") as caught:
        read_ct(path)
    assert str(caught.value).startswith(f"{path} ")


# What is read ---------------------------------------------------------------------------------------------


def test_a_series_becomes_a_volume(tmp_path: Path) -> None:
    grid = read_ct(write_series(tmp_path))
    assert (grid.values == VALUES).all()
    np.testing.assert_allclose(grid.affine, AFFINE)
    assert (read_ct(tmp_path / "00.dcm").values == VALUES).all()


def test_slices_may_lie_in_any_plane(tmp_path: Path) -> None:
    """Coronal slices: rows run to the left, columns to the feet, sorted from back to front."""
    for y, plane in enumerate(VALUES.swapaxes(0, 1)):
        film = header(plane, uid.CTImageStorage)
        film.ImagePositionPatient = [-120, -95 + 0.9 * y, 40]
        film.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
        film.PixelSpacing = [2.5, 0.8]
        film.save_as(tmp_path / f"{y}", enforce_file_format=True)
    grid = read_ct(tmp_path)
    assert (grid.values == VALUES).all()
    np.testing.assert_allclose(grid.affine, AFFINE)


def test_slices_may_be_scaled_each_by_its_own(tmp_path: Path) -> None:
    def change(z: int, film: Dataset) -> None:
        intercept = -1000 - z
        film.RescaleSlope, film.RescaleIntercept = "0.5", str(intercept)
        film.PixelData = ((VALUES[z].astype(np.int32) - intercept) * 2).astype(np.uint16).tobytes()

    assert (read_ct(write_series(tmp_path, change=change)).values == np.maximum(VALUES, -1024)).all()


def test_padding_is_air(tmp_path: Path) -> None:
    def change(z: int, film: Dataset) -> None:
        stored = (VALUES[z].astype(np.int32) + 1024).astype(np.uint16)
        stored[0] = 63536
        film.PixelData, film.PixelPaddingValue = stored.tobytes(), 63536

    grid = read_ct(write_series(tmp_path, change=change))
    assert (grid.values[:, 0] == -1024).all()
    assert (grid.values[:, 1:] == VALUES[:, 1:]).all()

    def signed(z: int, film: Dataset) -> None:
        stored = VALUES[z].copy()
        stored[0] = -2000
        film.PixelRepresentation, film.RescaleIntercept = 1, 0
        film.PixelData, film.PixelPaddingValue = stored.tobytes(), -2000

    grid = read_ct(write_series(tmp_path, change=signed))
    assert (grid.values[:, 0] == -1024).all()
    assert (grid.values[:, 1:] == VALUES[:, 1:]).all()


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless])
def test_compressed_slices(tmp_path: Path, syntax: uid.UID) -> None:
    values = np.tile(VALUES, (1, 2, 2))
    assert (read_ct(write_series(tmp_path, values, lambda _, film: film.compress(syntax))).values == values).all()


def test_a_tilted_gantry_stays_in_the_affine(tmp_path: Path) -> None:
    def change(z: int, film: Dataset) -> None:
        film.ImagePositionPatient = [-120, -95 + 0.5 * z, 40 - 2.5 * z]

    grid = read_ct(write_series(tmp_path, change=change))
    assert (grid.values == VALUES).all()
    np.testing.assert_allclose(grid.affine[:3, 0], [0, -0.5, -2.5])


def test_positions_may_be_rounded(tmp_path: Path) -> None:
    def change(z: int, film: Dataset) -> None:
        film.ImagePositionPatient = [-120, -95, round(40 - 0.625 * z, 2)]

    assert read_ct(write_series(tmp_path, change=change)).spacing[0] == pytest.approx(0.625, rel=0.01)


def test_what_is_no_slice_is_passed_over(tmp_path: Path) -> None:
    write_series(tmp_path)
    scout = header(VALUES[:16, 0], uid.CTImageStorage)
    scout.ImageType, scout.SeriesInstanceUID = ["ORIGINAL", "PRIMARY", "LOCALIZER"], f"{SERIES}.9"
    scout.save_as(tmp_path / "scout", enforce_file_format=True)
    report = header(VALUES[0], uid.BasicTextSRStorage)
    del report.Rows, report.PixelData
    report.Modality = "SR"
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (tmp_path / ".00.dcm").write_bytes(bytes(128) + b"DICM")
    assert (read_ct(tmp_path).values == VALUES).all()
    refused(tmp_path / "scout", "is no CT slice")
    for path in tmp_path.glob("[0-9]*"):
        path.unlink()
    refused(tmp_path, "holds nothing but localizer images")
    (tmp_path / "scout").unlink()
    refused(tmp_path, "is DICOM of modality SR; name a folder that holds CT slices")


def test_files_without_preamble(tmp_path: Path) -> None:
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        film = dcmread(path)
        film.file_meta, film.preamble = FileMetaDataset(), None
        film.save_as(path, implicit_vr=True, little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
    assert (read_ct(tmp_path).values == VALUES).all()


def test_frames_of_one_file(tmp_path: Path) -> None:
    order = np.arange(20) * 7 % 20
    film = header(np.stack([VALUES[z] for z in order]), uid.EnhancedCTImageStorage)
    film.NumberOfFrames = 20
    shared, plane, measures, rescale = Dataset(), Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient, measures.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.9, 0.8]
    rescale.RescaleSlope, rescale.RescaleIntercept = 2, -100
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    shared.PixelValueTransformationSequence = [rescale]
    film.SharedFunctionalGroupsSequence, film.PerFrameFunctionalGroupsSequence = [shared], []
    for z in order:
        position, frame = Dataset(), Dataset()
        position.ImagePositionPatient = [-120, -95, 40 - 2.5 * int(z)]
        frame.PlanePositionSequence = [position]
        film.PerFrameFunctionalGroupsSequence.append(frame)
    film.save_as(tmp_path / "frames.dcm", enforce_file_format=True)
    for path in (tmp_path, tmp_path / "frames.dcm"):
        grid = read_ct(path)
        assert (grid.values == np.clip(VALUES.astype(int) * 2 - 100, -1024, 3071)).all()
        np.testing.assert_allclose(grid.affine, AFFINE)
    del film.PerFrameFunctionalGroupsSequence
    film.save_as(tmp_path / "frames.dcm", enforce_file_format=True)
    refused(tmp_path, "holds frames.dcm without usable ImagePositionPatient")


# What is refused ------------------------------------------------------------------------------------------


def test_missing_slices_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, change=lambda z, _: z not in (4, 11, 12))
    refused(tmp_path, r"lacks 3 of its slices: 2 after 7.5 mm, 1 after 27.5 mm; export all of them")
    write_series(tmp_path / "many", change=lambda z, _: z not in (2, 5, 8, 11, 14))
    refused(tmp_path / "many", "lacks 5 of its slices: .* and at 2 other places")


def test_uneven_and_equal_positions_are_refused(tmp_path: Path) -> None:
    def place(z: int, film: Dataset, depth: float) -> None:
        film.ImagePositionPatient = [-120, -95, depth]

    write_series(tmp_path / "a", change=lambda z, film: place(z, film, 40 - 2.5 * z - (z > 9)))
    refused(tmp_path / "a", "spaced unevenly, 2.5 to 3.5 mm apart")
    write_series(tmp_path / "b", change=lambda z, film: place(z, film, 40 - 2.5 * (z // 2)))
    refused(tmp_path / "b", r"slices at the position of another, 10 in all, as at -?\d.* mm .\d\d.dcm, \d\d.dcm")
    write_series(tmp_path / "c", change=lambda z, _: z == 3)
    refused(tmp_path / "c", "holds a single CT slice")
    write_series(tmp_path / "d", change=lambda z, _: z < 12)
    refused(tmp_path / "d", "has 12 x 18 x 22 voxels; a volume has at least 16")
    write_series(tmp_path / "e", change=lambda z, film: setattr(film, "ImagePositionPatient", [z % 2, 0, z]))
    refused(tmp_path / "e", "spaced unevenly")


def test_several_series_are_listed(tmp_path: Path) -> None:
    def change(z: int, film: Dataset) -> None:
        if z == 0:
            film.SeriesInstanceUID = f"{SERIES}.5"
            del film.SeriesDescription

    write_series(tmp_path, change=change)
    found = rf"holds 2 CT series: {SERIES} \(19 files, CHEST 2.5\); {SERIES}.5 \(1 file\); name a file of one"
    refused(tmp_path, found)
    assert (read_ct(tmp_path / "07.dcm").values == VALUES[1:]).all()


@pytest.mark.parametrize(
    ("keyword", "value", "found"),
    [
        (
            "ImageOrientationPatient",
            [0, 1, 0, 0, 0, 1],
            "holds slices of differing orientation: .* has 0, 1, 0, 0, 0, 1",
        ),
        ("PixelSpacing", [0.7, 0.8], "holds slices of differing spacing: .* has 0.7, 0.8; keep those of one"),
        ("Columns", 11, "holds slices of differing size: .* has 18, 11"),
        ("PixelSpacing", None, "holds 01.dcm without usable PixelSpacing"),
        ("ImagePositionPatient", [0, 0], "holds 01.dcm without usable ImagePositionPatient"),
    ],
)
def test_slices_that_do_not_belong_together(tmp_path: Path, keyword: str, value: Any, found: str) -> None:
    write_series(tmp_path, change=lambda z, film: setattr(film, keyword, value) if z == 3 else None)
    refused(tmp_path, found)


def test_places_that_cannot_be(tmp_path: Path) -> None:
    write_series(tmp_path / "a", change=put(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]))
    refused(tmp_path / "a", "has no usable orientation .1, 0, 0, 1, 0, 0")
    write_series(tmp_path / "b", change=put(PixelSpacing=[0, 0]))
    refused(tmp_path / "b", "has no usable orientation and spacing")
    write_series(tmp_path / "c", change=put(PixelSpacing=[20, 20]))
    refused(tmp_path / "c", "has voxels of 2.5 x 20 x 20 mm")


def test_other_modalities_and_stored_values_are_refused(tmp_path: Path) -> None:
    refused(write_series(tmp_path / "a", change=put(Modality="MR")), "is DICOM of modality MR")
    write_series(tmp_path / "b", change=put(RescaleIntercept=0))
    refused(tmp_path / "b", "does not hold Hounsfield units .* the rescale intercept")

    def strip(_: int, film: Dataset) -> None:
        del film.RescaleIntercept, film.RescaleSlope

    refused(write_series(tmp_path / "c", change=strip), "does not hold Hounsfield units")
    colours = {"SamplesPerPixel": 3, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PlanarConfiguration": 0}
    change = put(**colours, PhotometricInterpretation="RGB", PixelData=bytes(18 * 22 * 3))
    refused(write_series(tmp_path / "d", change=change), "holds .*dcm, which is in colours")


def test_damaged_slices_are_refused(tmp_path: Path) -> None:
    data = write_series(tmp_path).joinpath("07.dcm").read_bytes()
    for length in (132, 400, 600, len(data) // 2, len(data) - 2):
        (tmp_path / "07.dcm").write_bytes(data[:length])
        refused(tmp_path, "07.dcm, which is damaged or cut short|07.dcm, which is cut short|lacks|07.dcm without")
    (tmp_path / "07.dcm").write_bytes(data.replace(b"2.500000", b"2.5x0000").replace(b"0.9\\0.8", b"0.9\\zzz"))
    refused(tmp_path, "holds 07.dcm, which is damaged or cut short")


def test_jpeg_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    """A decoder would make up what is missing."""

    def change(_: int, film: Dataset) -> None:
        film.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
        film.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00\xff\xd8\xff\xda"
        film["PixelData"].is_undefined_length = True

    refused(write_series(tmp_path, change=change), "holds .*dcm, whose JPEG is cut short")


def test_files_out_of_reach_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path)

    def closed(*_: object) -> object:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", closed)
        assert is_slice_file(tmp_path / "00.dcm")
    assert not is_slice_file(tmp_path)
    assert not is_slice_file(tmp_path / "none")
    (tmp_path / "a.raw").write_bytes(b"\x08\x00\x05\x00" * 99)
    (tmp_path / "a.1").write_bytes(b"\x08\x00\x05\x00" * 99)
    assert not is_slice_file(tmp_path / "a.raw")
    assert is_slice_file(tmp_path / "a.1")


# Copies, zones and claims ---------------------------------------------------------------------------------


def test_copies_of_a_slice_are_left_out_and_noted(tmp_path: Path) -> None:
    write_series(tmp_path)
    for name in ("03", "07", "12"):
        film = dcmread(tmp_path / f"{name}.dcm")
        film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid()
        film.save_as(tmp_path / f"copy of {name}.dcm", enforce_file_format=True)
    grid = read_ct(tmp_path)
    assert (grid.values == VALUES).all()
    np.testing.assert_allclose(grid.affine, AFFINE)
    assert grid.notes == ("3 slices are copies of others, with their position and their pixels, and were left out",)
    film.PixelData = bytes(2) + film.PixelData[2:]
    film.save_as(tmp_path / "copy of 12.dcm", enforce_file_format=True)
    refused(tmp_path, "holds slices at the position of another, 1 in all, as at .* mm .*12.dcm")


def write_depths(folder: Path, depths: list[float]) -> Path:
    """Slices at depths below 0, each in a file of its own."""
    folder.mkdir()
    for number, depth in enumerate(depths):
        film = header((VALUES[number % 20].astype(np.int32) + 1024).astype(np.uint16), uid.CTImageStorage)
        film.RescaleSlope, film.RescaleIntercept = 1, -1024
        film.ImagePositionPatient, film.ImageOrientationPatient = [-120, -95, -depth], [1, 0, 0, 0, 1, 0]
        film.PixelSpacing = [0.9, 0.8]
        film.save_as(folder / f"{number:02d}.dcm", enforce_file_format=True)
    return folder


def test_zones_of_spacing_are_told_from_missing_slices(tmp_path: Path) -> None:
    zones = [4.0 * n for n in range(12)] + [44 + 8.0 * n for n in range(1, 12)]
    found = "spacing changes from 8 to 4 mm at slice 12 .11.dcm, z = -44 mm"
    refused(write_depths(tmp_path / "a", zones), found)
    zones = [3.0 * n for n in range(15)] + [42 + 5.0 * n for n in range(1, 15)]
    refused(write_depths(tmp_path / "b", zones), "spacing changes from 5 to 3 mm at slice 15")
    lacking = [4.0 * n for n in range(24) if n not in (5, 12, 13)]
    refused(write_depths(tmp_path / "c", lacking), "lacks 3 of its slices")


def frames(path: Path, count: int, claimed: int) -> Path:
    film = header(VALUES[:count], uid.EnhancedCTImageStorage)
    film.NumberOfFrames = claimed
    film.ImageOrientationPatient, film.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.9, 0.8]
    film.PerFrameFunctionalGroupsSequence = []
    for z in range(count):
        position, frame = Dataset(), Dataset()
        position.ImagePositionPatient = [-120, -95, 40 - 2.5 * z]
        frame.PlanePositionSequence = [position]
        film.PerFrameFunctionalGroupsSequence.append(frame)
    film.save_as(path, enforce_file_format=True)
    return path


def test_claims_of_frames_are_bounded(tmp_path: Path) -> None:
    refused(frames(tmp_path / "a.dcm", 18, 10**9), "claims 396000000000 voxels, more than 600000000")
    refused(frames(tmp_path / "a.dcm", 18, 1000), "of each of its 1000 frames, only of 18; export")
    refused(frames(tmp_path / "a.dcm", 18, 17), "of each of its 17 frames, only of 18; export")


def test_claims_of_pixels_are_bounded(tmp_path: Path) -> None:
    refused(write_series(tmp_path / "a", change=put(Rows=65535, Columns=65535)), "claims 4294836225 voxels, more than")
    refused(write_series(tmp_path / "b", change=put(Rows=20000, Columns=20000)), "claims 400000000 pixels, more than")
    refused(write_series(tmp_path / "c", change=put(Rows=9000, Columns=9000)), "claims 1620000000 voxels, more than")
    refused(write_series(tmp_path / "d", change=put(Rows=500, Columns=500)), r"holds 13\.dcm, which is damaged")


def test_sizes_of_compressed_pixels_are_compared_before_they_are_decoded(tmp_path: Path) -> None:
    values = np.tile(VALUES, (1, 2, 2))

    def larger(z: int, film: Dataset) -> None:
        film.compress(uid.JPEG2000Lossless)
        old = struct.pack(">II", 44, 36)
        assert old in film.PixelData
        if z == 5:
            film.PixelData = film.PixelData.replace(old, struct.pack(">II", 44, 65000), 1)

    refused(
        write_series(tmp_path / "a", values, larger), "holds 15.dcm, whose compressed pixels are 65000 x 44, not 36"
    )

    def lossless(_: int, film: Dataset) -> None:
        film.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
        stream = b"\xff\xd8\xff\xc3\0\x0b\x10" + struct.pack(">HH", 65000, 65000) + b"\x01\x01\x11\0\xff\xda\xff\xd9"
        film.PixelData = encapsulate([stream])
        film["PixelData"].is_undefined_length = True

    refused(write_series(tmp_path / "b", change=lossless), "whose compressed pixels are 65000 x 65000, not 18 x 22")


def test_deflated_slices_are_read_and_bombs_refused(tmp_path: Path) -> None:
    def change(_: int, film: Dataset) -> None:
        film.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian

    write_series(tmp_path, change=change)
    assert (read_ct(tmp_path).values == VALUES).all()
    data = (tmp_path / "07.dcm").read_bytes()
    start = 144 + dcmread(tmp_path / "07.dcm").file_meta.FileMetaInformationGroupLength
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(700)) + packer.flush()
    (tmp_path / "07.dcm").write_bytes(data[:start] + bomb)
    refused(tmp_path, "holds 07.dcm, which claims 600000001 deflated bytes or more")
