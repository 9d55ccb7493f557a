"""NIfTI, NRRD and MetaImage as they are stored, and whatever is wrong with them."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.files.ct import read_ct, read_label_map
from artasyn.files.ct_volumes import VOLUME_SUFFIXES, check_affine, decoding

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


# NIfTI in detail ------------------------------------------------------------------------------------------


def nifti(path: Path, extension: bytes = b"", after: bytes = b"", packed: bool = False, **changed: Any) -> Path:
    """A NIfTI file with changed fields of its header."""
    image = nibabel.Nifti1Image(VALUES, AFFINE)
    header = image.header
    code = 0 if not extension else 1
    size = 8 + len(extension) + -(8 + len(extension)) % 16
    header["vox_offset"] = 352 + size * code
    for name, value in changed.items():
        header[name] = value
    extended = bytes([code, 0, 0, 0])
    if extension:
        extended += (size).to_bytes(4, "little") + bytes(4) + extension.ljust(size - 8, b"\0")
    data = header.binaryblock + extended + VALUES.tobytes(order="F") + after
    path.write_bytes(gzip.compress(data, 1) if packed else data)
    return path


def caret(*labels: tuple[int, str]) -> bytes:
    """The extension that TotalSegmentator writes."""
    body = "".join(f'<Label Key="{n}" Red="1.0" Alpha="1"><![CDATA[{name}]]></Label>\n' for n, name in labels)
    return (
        '<?xml version="1.0" encoding="UTF-8"?> <CaretExtension>  <Date><![CDATA[2013-07-14T05:45:09]]></Date>   '
        f'<VolumeInformation Index="0">   <LabelTable>\n{body}\n  </LabelTable>  <StudyMetaDataLinkSet>  '
        "</StudyMetaDataLinkSet>  <VolumeType><![CDATA[Label]]></VolumeType>   </VolumeInformation></CaretExtension>\n"
    ).encode()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"dim": [3, 22, 18, 30000, 1, 1, 1, 1]}, "but the header says|holds at most"),
        ({"dim": [3, 22, 18, 22, 1, 1, 1, 1]}, "but the header says"),
        ({"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, "claims 35181150961663 voxels, more than 600000000"),
        ({"dim": [3, 22, 18, -20, 1, 1, 1, 1]}, "claims 22 x 18 x -20 voxels"),
        ({"dim": [3, 22, 18, 0, 1, 1, 1, 1]}, "claims 22 x 18 x 0 voxels"),
        ({"dim": [0, 22, 18, 20, 1, 1, 1, 1]}, "is no NIfTI|damaged"),
        ({"dim": [99, 22, 18, 20, 1, 1, 1, 1]}, "is no NIfTI|damaged|claims"),
        ({"dim": [2, 22, 18, 20, 1, 1, 1, 1]}, "has shape 22 x 18; one volume"),
        ({"dim": [4, 22, 18, 10, 2, 1, 1, 1]}, "has shape 22 x 18 x 10 x 2"),
        ({"vox_offset": np.nan}, "begin at byte nan"),
        ({"vox_offset": np.inf}, "begin at byte inf"),
        ({"vox_offset": -352}, "begin at byte -352"),
        ({"vox_offset": 0}, "begin at byte 0"),
        ({"vox_offset": 352.5}, "begin at byte 352.5"),
        ({"vox_offset": 1e30}, "begin at byte 1e.30"),
        ({"vox_offset": 368}, "but the header says"),
        ({"vox_offset": 60_000_000}, "its header ends after"),
        ({"datatype": 999}, "holds colours or complex numbers"),
        ({"datatype": 0}, "holds colours or complex numbers"),
        ({"datatype": 1536, "bitpix": 128}, "holds colours or complex numbers"),
        ({"datatype": 16}, "but the header says"),
        ({"scl_slope": np.inf}, "has the scaling inf"),
        ({"scl_slope": 1, "scl_inter": np.nan}, "has the scaling 1, nan"),
        ({"magic": b"ni1"}, "only the header of a pair"),
        ({"magic": b"abc"}, "which is no NIfTI"),
        ({"sform_code": 0, "qform_code": 0}, "does not say its orientation"),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": 7}, "no usable orientation"),
        ({"srow_x": [np.nan] * 4}, "no usable orientation and spacing"),
        ({"srow_x": [3e38] * 4}, "no usable orientation|must be 0.05 to 10"),
    ],
)
def test_headers_of_nifti_that_are_refused(
    tmp_path: Path, packed: bool, changed: dict[str, Any], found: str, capfd: pytest.CaptureFixture[str]
) -> None:
    refused(nifti(tmp_path / "a.nii", packed=packed, **changed), found)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("slope", [0.0, 1.0, np.nan])
def test_a_slope_of_nothing_is_no_scaling(tmp_path: Path, slope: float) -> None:
    path = nifti(tmp_path / "a.nii", scl_slope=slope, scl_inter=0 if slope else 70)
    assert (read_ct(path).values == np.asarray(nibabel.load(path).dataobj)).all()  # type: ignore[attr-defined]


@pytest.mark.parametrize("packed", [False, True])
def test_what_follows_the_voxels_of_nifti_is_refused(tmp_path: Path, packed: bool) -> None:
    refused(nifti(tmp_path / "a.nii", after=b"12", packed=packed), "holds (at least )?15842 bytes of voxels")


def test_a_bomb_behind_the_voxels_costs_nothing(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz", packed=True)
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(1 << 24)) * 2000)  # 32 GB
    started = time.monotonic()
    refused(path, "holds at least .* bytes of voxels in|holds at least")
    assert time.monotonic() - started < 2


def test_sform_and_qform_that_disagree_are_noted(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VALUES, AFFINE)
    image.set_qform(AFFINE, 1)
    nibabel.save(image, tmp_path / "a.nii")
    assert read_ct(tmp_path / "a.nii").notes == ()
    shifted = AFFINE.copy()
    shifted[0, 3] += 4
    image.set_qform(shifted, 1)
    nibabel.save(image, tmp_path / "a.nii")
    grid = read_ct(tmp_path / "a.nii")
    assert grid.notes == ("sform and qform disagree, corners lie up to 4 mm apart; the sform is used",)
    np.testing.assert_allclose(grid.affine, AFFINE, atol=1e-4)
    grid = read_ct(nifti(tmp_path / "a.nii", qform_code=1, quatern_b=7))
    assert grid.notes == ("the qform is no rotation; the sform is used",)


def test_names_in_the_extension_of_nifti(tmp_path: Path) -> None:
    labels = np.full(VALUES.shape, 2, np.uint8)
    kinds: Any = (nibabel.Nifti1Image, nibabel.Nifti2Image)
    for kind in kinds:
        image = kind(labels, AFFINE)
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(6, b"a comment"))
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, caret((1, "spleen"), (2, "lung left"))))
        for name in ("a.nii", "a.nii.gz"):
            nibabel.save(image, tmp_path / name)
            assert read_label_map(tmp_path / name).names == {1: "spleen", 2: "lung left"}


@pytest.mark.parametrize(
    ("extension", "noted"),
    [
        (caret((1, "a"), (1, "b")), "one of the two was there before"),
        (caret((1, "a"))[:300], "is damaged"),
        (b"<!DOCTYPE a>" + caret((1, "a")), "declares entities"),
        (b"<LabelTableless", "is damaged"),
        (b"nothing", ""),
    ],
)
def test_damaged_extensions_are_noted(tmp_path: Path, extension: bytes, noted: str) -> None:
    grid = read_ct(nifti(tmp_path / "a.nii", extension))
    assert (grid.values == VALUES).all()
    assert bool(grid.notes) == bool(noted)
    assert all(noted in note and note.startswith("its table of names") for note in grid.notes)


def test_extensions_of_absurd_size_are_passed_over(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", caret((1, "a")))
    for size in (0, -1, 2**31 - 1, 7):
        edited(path, lambda data, size=size: data[:352] + size.to_bytes(4, "little", signed=True) + data[356:])  # type: ignore[misc]
        grid = read_ct(path)
        assert (grid.values == VALUES).all()
        assert not grid.names


def test_pipes_devices_and_links_to_them_are_refused(tmp_path: Path) -> None:
    for suffix in VOLUME_SUFFIXES:
        pipe, link = tmp_path / f"pipe{suffix}", tmp_path / f"link{suffix}"
        os.mkfifo(pipe)
        link.symlink_to("/dev/zero")
        refused(pipe, "which is no regular file")
        refused(link, "which is no regular file")


def test_standard_error_is_left_alone_while_threads_read(tmp_path: Path) -> None:
    """Readers of native code once turned it away, for all threads."""
    path = write_itk(tmp_path / "a.mha", VALUES, compressed=True)
    broken = edited(write_itk(tmp_path / "b.mha", VALUES, compressed=True), flipped)
    before = os.fstat(2)

    def read(number: int) -> bool:
        if number % 2:
            refused(broken, "is damaged")
        same = bool((read_ct(path).values == VALUES).all())
        return same and os.fstat(2) == before

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(40)))


def test_limits_of_voxels_can_be_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTASYN_LIMITS", '{"voxels": 7000}')
    paths = [write_nifti(tmp_path / "a.nii.gz", VALUES), write_itk(tmp_path / "a.nrrd", VALUES)]
    for path in (*paths, write_itk(tmp_path / "a.mha", VALUES)):
        refused(path, "claims 7920 voxels, more than 7000; if this is right, raise the limit with --limits.voxels")
    monkeypatch.setenv("ARTASYN_LIMITS", '{"voxels": 7920}')
    assert (read_ct(paths[0]).values == VALUES).all()
    refused(
        write_nifti(tmp_path / "a.nii", VALUES.astype(np.float64)), "claims 15840 voxels of 4 bytes, more than 7920"
    )
