"""NIfTI, NRRD and MetaImage as they are stored, and whatever is wrong with them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.files.ct import read_ct
from artasyn.files.ct_volumes import check_affine, decoding

VALUES = np.random.default_rng(5).integers(-1000, 2001, (20, 18, 22)).astype(np.int16)
VALUES[0, 0, :2] = -1000, 2000
"""Hounsfield units (z, y, x), all corners differ."""
AFFINE = np.array([[0, 0, -0.8, 120], [0, -0.9, 0, 95], [-2.5, 0, 0, 40], [0, 0, 0, 1.0]])
"""From (z, y, x) to RAS+: the first voxel lies at the right, the front and the head."""


def write_nifti(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def write_itk(path: Path, values: np.ndarray, *, compressed: bool = False, vector: bool = False) -> Path:
    """Writes (z, y, x) of `AFFINE`; ITK counts towards the left, the back and the head."""
    import SimpleITK

    image: Any = SimpleITK.GetImageFromArray(values, isVector=vector)
    more = image.GetDimension() - 3
    if more >= 0:
        image.SetSpacing((0.8, 0.9, 2.5) + (1.0,) * more)
        image.SetOrigin((-120.0, -95.0, 40.0) + (0.0,) * more)
        image.SetDirection(np.diag([1.0, 1.0, -1.0] + [1.0] * more).ravel().tolist())
    SimpleITK.WriteImage(image, str(path), compressed)
    return path


def edited(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


def refused(path: Path, found: str) -> None:
    with pytest.raises(DataError, match=f"(?s){found}") as caught:
        read_ct(path)
    assert str(caught.value).startswith(f"{path} ")


# Shapes and places ----------------------------------------------------------------------------------------


def test_a_fourth_axis_of_one_is_accepted(tmp_path: Path) -> None:
    assert (read_ct(write_nifti(tmp_path / "a.nii", VALUES[..., None])).values == VALUES).all()
    assert (read_ct(write_itk(tmp_path / "a.mha", VALUES[None])).values == VALUES).all()


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    refused(write_nifti(tmp_path / "a.nii", np.stack([VALUES] * 2, axis=-1)), "has shape 20 x 18 x 22 x 2; one volume")
    refused(write_nifti(tmp_path / "a.nii", VALUES[0]), "has shape 18 x 22; one volume has three axes")
    refused(write_nifti(tmp_path / "a.nii", VALUES[:15]), "has 15 x 18 x 22 voxels; a volume has at least 16")
    for name in ("a.nrrd", "a.mha"):
        refused(write_itk(tmp_path / name, np.stack([VALUES] * 2)), "has shape 22 x 18 x 20 x 2")
        refused(write_itk(tmp_path / name, VALUES[:, :15]), "has 22 x 15 x 20 voxels")
        colours = np.zeros((20, 18, 22, 3), np.uint8)
        refused(write_itk(tmp_path / name, colours, vector=True), "holds 3 numbers per voxel")
    refused(write_itk(tmp_path / "b.mha", VALUES[0]), "has shape 22 x 18")


def test_colours_and_complex_numbers_are_refused(tmp_path: Path) -> None:
    colours = np.zeros((20, 18, 22), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    refused(write_nifti(tmp_path / "a.nii", colours), "holds colours or complex numbers")
    refused(write_nifti(tmp_path / "a.nii", VALUES.astype(np.complex64)), "holds colours or complex numbers")
    refused(write_itk(tmp_path / "a.nrrd", VALUES.astype(np.complex64)), "numbers")


@pytest.mark.parametrize(
    ("affine", "found"),
    [
        (AFFINE * [[1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]], "no usable orientation and spacing"),
        (np.where(AFFINE == 95, np.nan, AFFINE), "no usable orientation and spacing .*nan"),
        (AFFINE @ np.diag([1000.0, 1000.0, 1000.0, 1.0]), "has voxels of 2500 x 900 x 800 mm; they must be 0.05 to 10"),
        (AFFINE / 1000, r"has voxels of 0.0025 x 0.0009 x 0.0008 mm"),
        (AFFINE[[0, 0, 2, 3]], "no usable orientation and spacing"),
    ],
)
def test_voxels_that_lie_nowhere_are_refused(tmp_path: Path, affine: np.ndarray, found: str) -> None:
    with pytest.raises(DataError, match=found):
        check_affine(affine)
    image = nibabel.Nifti1Image(VALUES, None)
    image.header["sform_code"] = 1
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        image.header[name] = affine[row]
    nibabel.save(image, tmp_path / "a.nii")
    refused(tmp_path / "a.nii", found)


def test_nifti_without_orientation_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    nibabel.save(nibabel.Nifti1Image(VALUES, None), tmp_path / "a.nii")
    refused(tmp_path / "a.nii", "does not say its orientation .neither sform nor qform")
    image = nibabel.Nifti1Image(VALUES, None)
    image.header.set_qform(AFFINE, 1)
    image.header["pixdim"][2] = 0
    (tmp_path / "a.nii").write_bytes(image.header.binaryblock + bytes(4) + VALUES.tobytes())
    refused(tmp_path / "a.nii", "does not say its orientation")
    assert capfd.readouterr() == ("", "")


def test_the_qform_serves_where_there_is_no_sform(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VALUES, None)
    image.set_qform(AFFINE, 1)
    nibabel.save(image, tmp_path / "a.nii")
    np.testing.assert_allclose(read_ct(tmp_path / "a.nii").affine, AFFINE, atol=1e-4)


@pytest.mark.parametrize("line", ["space", "space directions", "ElementSpacing", "TransformMatrix"])
def test_headers_of_itk_must_say_the_orientation(tmp_path: Path, line: str) -> None:
    path = write_itk(tmp_path / ("a.nrrd" if line.startswith("space") else "a.mha"), VALUES)
    lines = [
        text
        for text in path.read_bytes().split(b"\n")
        if not text.startswith((f"{line}:".encode(), f"{line} =".encode()))
    ]
    if line == "space":
        lines.insert(5, b"space dimension: 3")
    path.write_bytes(b"\n".join(lines))
    refused(path, f"does not say how it lies in the patient .no {line}")


def test_spaces_of_nrrd(tmp_path: Path) -> None:
    """The same voxels, told in the axes of DICOM, of NIfTI, and of neither."""
    path = write_itk(tmp_path / "a.nrrd", VALUES)
    told = {b"left-posterior-superior": b"RAS", b"(-120,-95,40)": b"(120,95,40)"}
    told |= {b"(0.80000000000000004,0,0)": b"(-0.8,0,0)", b"(0,0.90000000000000002,0)": b"(0,-0.9,0)"}
    for old, new in told.items():
        assert old in path.read_bytes()
        edited(path, lambda data, old=old, new=new: data.replace(old, new))  # type: ignore[misc]
    np.testing.assert_allclose(read_ct(path).affine, AFFINE)
    refused(edited(path, lambda data: data.replace(b"RAS", b"scanner-xyz")), "no space")


# Damage ---------------------------------------------------------------------------------------------------


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]


NAMES = ["a.nii", "a.nii.gz", "a.nrrd", "c.nrrd", "a.mha", "c.mha"]


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_cut_short_are_refused(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    write: Any = write_nifti if ".nii" in name else write_itk
    data = write(tmp_path / name, VALUES, **({"compressed": True} if name[0] == "c" else {})).read_bytes()
    for length in (0, 20, 200, len(data) // 2, len(data) - 20):
        (tmp_path / name).write_bytes(data[:length])
        refused(tmp_path / name, "is damaged or cut short|does not say its orientation")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.nii.gz", "c.nrrd", "c.mha"])
def test_bits_that_toppled_are_found(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    write: Any = write_nifti if ".nii" in name else write_itk
    path = write(tmp_path / name, VALUES, **({"compressed": True} if name[0] == "c" else {}))
    refused(edited(path, flipped), "is damaged or cut short")
    assert capfd.readouterr() == ("", "")


def test_the_checksum_of_nifti_is_read(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", VALUES)
    refused(edited(path, lambda data: data[:-8] + bytes(4) + data[-4:]), "is damaged or cut short .*data check")


def test_compression_of_nifti_is_told_from_the_content(tmp_path: Path) -> None:
    plain = write_nifti(tmp_path / "a.nii", VALUES).read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(plain)
    (tmp_path / "c.nii").write_bytes(gzip.compress(plain))
    for name in ("b.nii.gz", "c.nii"):
        assert (read_ct(tmp_path / name).values == VALUES).all()


def test_the_second_nifti(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti2Image(VALUES, AFFINE), tmp_path / "a.nii.gz")
    grid = read_ct(tmp_path / "a.nii.gz")
    assert (grid.values == VALUES).all()
    assert (grid.affine == AFFINE).all()


def test_pixels_elsewhere_that_are_missing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("a.mhd", "b.nhdr"):
        write_itk(tmp_path / name, VALUES)
        (tmp_path / name).with_suffix(".raw").unlink()
        refused(tmp_path / name, r"needs the file .*\.raw, which does not exist; copy all files")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.mhd"])
def test_anything_else_is_refused(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    for data in (b"no volume at all\n" * 100, bytes(1000), b"\xff" * 1000):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, "is damaged or cut short|does not say its orientation")
    assert capfd.readouterr() == ("", "")


def test_what_a_decoder_cannot_help_passes() -> None:
    with pytest.raises(KeyboardInterrupt), decoding():
        raise KeyboardInterrupt
    with pytest.raises(DataError, match=r"^is damaged or cut short \(ZeroDivisionError\)"), decoding():
        raise ZeroDivisionError
