"""NRRD and MetaImage: the same voxels and places as ITK reads, and everything else refused in one sentence."""

from __future__ import annotations

import bz2
import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artasyn.errors import DataError
from artasyn.files.ct import Grid, read_ct, read_label_map, read_label_maps
from tests.files.test_ct_volumes import AFFINE, VALUES, edited, refused, write_itk

DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
FLAT = VALUES.tobytes()

NRRD = """NRRD0004
type: short
dimension: 3
space: left-posterior-superior
sizes: 22 18 20
space directions: (0.8,0,0) (0,0.9,0) (0,0,-2.5)
endian: little
encoding: raw
space origin: (-120,-95,40)
"""
META = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
TransformMatrix = 1 0 0 0 1 0 0 0 -1
Offset = -120 -95 40
ElementSpacing = 0.8 0.9 2.5
DimSize = 22 18 20
ElementType = MET_SHORT
ElementDataFile = LOCAL
"""


def nrrd(path: Path, data: bytes = FLAT, **changed: str | None) -> Path:
    """An NRRD file; changed fields have ``_`` for blanks, None leaves a field out."""
    given = (line.partition(": ") for line in NRRD.splitlines()[1:])
    fields: dict[str, str | None] = {name: value for name, _, value in given}
    fields |= {name.replace("_", " "): value for name, value in changed.items()}
    text = "".join(f"{name}: {value}\n" for name, value in fields.items() if value is not None)
    path.write_bytes(f"NRRD0004\n{text}\n".encode() + data)
    return path


def meta(path: Path, data: bytes = FLAT, **changed: str | None) -> Path:
    """A MetaImage file; None leaves a field out, and ElementDataFile comes last."""
    given = (line.partition(" = ") for line in META.splitlines())
    fields: dict[str, str | None] = {name: value for name, _, value in given}
    fields |= changed
    last = fields.pop("ElementDataFile")
    text = "".join(f"{name} = {value}\n" for name, value in {**fields, "ElementDataFile": last}.items() if value)
    path.write_bytes(text.encode() + data)
    return path


def same(grid: Grid) -> None:
    np.testing.assert_array_equal(grid.values, VALUES)
    np.testing.assert_allclose(grid.affine, AFFINE)


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        step, (a, b) = np.eye(3), [other for other in range(3) if other != axis]
        step[[a, a, b, b], [a, b, a, b]] = [np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)]
        turn = turn @ step
    return turn


# As ITK ---------------------------------------------------------------------------------------------------

turns = st.tuples(*[st.floats(-3.2, 3.2)] * 3)
triples = st.tuples(*[st.floats(0.3, 5)] * 3)
places = st.tuples(*[st.floats(-500, 500)] * 3)


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(DTYPES),
    suffix=st.sampled_from([".nrrd", ".nhdr", ".mha", ".mhd"]),
    packed=st.booleans(),
    angles=turns,
    spacing=triples,
    origin=places,
    flip=st.booleans(),
    seed=st.integers(0, 99),
)
def test_files_of_itk_are_read_as_itk_reads_them(
    tmp_path_factory: pytest.TempPathFactory,
    dtype: str,
    suffix: str,
    packed: bool,
    angles: tuple[float, float, float],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    flip: bool,
    seed: int,
) -> None:
    import SimpleITK

    values = np.random.default_rng(seed).integers(0, 120, (5, 4, 3)).astype(dtype)
    image: Any = SimpleITK.GetImageFromArray(values)
    direction = rotation(angles) @ np.diag([1, 1, -1 if flip else 1])
    image.SetDirection(direction.ravel().tolist())
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    path = tmp_path_factory.getbasetemp() / f"itk{suffix}"
    SimpleITK.WriteImage(image, str(path), packed)
    read: Any = SimpleITK.ReadImage(str(path))
    grid = read_label_map(path)
    assert sorted(grid.values.ravel()) == sorted(values.ravel())
    for place in np.ndindex(grid.values.shape):
        world = (grid.affine @ [*place, 1])[:3] * [-1, -1, 1]  # LPS
        index = read.TransformPhysicalPointToIndex(world.tolist())
        assert values[index[::-1]] == grid.values[place]
        np.testing.assert_allclose(read.TransformIndexToPhysicalPoint(index), world, atol=1e-3)


# NRRD -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "data"),
    [
        ({}, FLAT),
        ({"encoding": "gzip"}, gzip.compress(FLAT)),
        ({"encoding": "gz"}, gzip.compress(FLAT[:999]) + gzip.compress(FLAT[999:])),
        ({"encoding": "bz2"}, bz2.compress(FLAT)),
        ({"encoding": "bzip2"}, bz2.compress(FLAT[:999]) + bz2.compress(FLAT[999:])),
        ({"encoding": "gzip", "byte_skip": "5"}, gzip.compress(b"12345" + FLAT)),
        ({"encoding": "gzip"}, gzip.compress(FLAT) + bytes(700)),  # as tapes fill blocks
        ({"encoding": "ascii"}, " ".join(map(str, VALUES.ravel())).encode()),
        ({"encoding": "text", "endian": None}, "\n".join(map(str, VALUES.ravel())).encode() + b"\n"),
        ({"endian": "big"}, VALUES.astype(">i2").tobytes()),
        ({"line_skip": "2", "byte_skip": "3"}, b"one\ntwo\n345" + FLAT),
        ({"byte_skip": "-1"}, b"whatever" + FLAT),
        ({"type": "float"}, VALUES.astype("<f4").tobytes()),
        ({"type": "Signed  Short"}, FLAT),
        ({"sizes": "1 22 18 20", "dimension": "4", "space_directions": "none (0.8,0,0) (0,0.9,0) (0,0,-2.5)"}, FLAT),
        ({"space_directions": "(0.8, 0, 0)  (0, 0.9, 0) (0, 0, -2.5)"}, FLAT),
        ({"spacings": "nan nan nan", "old_min": "NaN", "kinds": "domain domain domain", "content": "a: b"}, FLAT),
        ({"space": "LPS", "space_units": '"mm" "mm" "mm"'}, FLAT),
        (
            {
                "space": "RAS",
                "space_directions": "(-0.8,0,0) (0,-0.9,0) (0,0,-2.5)",
                "space_origin": "(120,95,40)",
            },
            FLAT,
        ),
        (
            {"space": "LAS", "space_directions": "(0.8,0,0) (0,-0.9,0) (0,0,-2.5)", "space_origin": "(-120,95,40)"},
            FLAT,
        ),
    ],
)
def test_the_same_volume_as_nrrd(tmp_path: Path, changed: dict[str, str], data: bytes) -> None:
    same(read_ct(nrrd(tmp_path / "a.nrrd", data, **changed)))


def test_lines_of_nrrd_may_end_as_on_windows(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes((NRRD + "\n").replace("\n", "\r\n").encode() + FLAT)
    same(read_ct(tmp_path / "a.nrrd"))


def test_a_volume_without_origin_is_read_with_a_note(tmp_path: Path) -> None:
    for path in (
        nrrd(tmp_path / "a.nrrd", space_origin=None),
        meta(tmp_path / "a.mha", Offset=None, BinaryDataByteOrderMSB=None),
    ):
        grid = read_ct(path)
        np.testing.assert_array_equal(grid.values, VALUES)
        assert (grid.affine[:3, 3] == 0).all()
        assert any("no origin" in note for note in grid.notes)
    assert any("no byte order" in note for note in grid.notes)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
def test_voxels_of_nrrd_in_other_files(tmp_path: Path, encoding: str) -> None:
    pack: Any = {"raw": bytes, "gzip": gzip.compress, "bzip2": bz2.compress}[encoding]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "all of it.bin").write_bytes(pack(FLAT))
    for n, plane in enumerate(VALUES):
        (tmp_path / f"p{2 * n + 3:03d}.raw").write_bytes(pack(plane.tobytes()))
        (tmp_path / f"r{n}.raw").write_bytes(pack(plane.tobytes()))
    (tmp_path / "front").write_bytes(pack(VALUES[:10].tobytes()))
    (tmp_path / "back").write_bytes(pack(VALUES[10:].tobytes()))
    files = "\n".join(f"r{n}.raw" for n in range(20))
    for files_given in (
        "sub/all of it.bin",
        f"{tmp_path}/sub/all of it.bin",
        "../" + tmp_path.name + "/sub/all of it.bin",
        "p%03d.raw 3 41 2",
        "p%03d.raw 3 42 2 2",
        f"LIST\n{files}",
        f"LIST 2\n{files}\n\n",
        "LIST 3\nfront\nback",
    ):
        same(read_ct(nrrd(tmp_path / "a.nhdr", b"", encoding=encoding, data_file=files_given)))


LAYERED = np.stack([VALUES > 1000, VALUES > 1500]).astype(np.uint8) * 3


@pytest.mark.parametrize("first", [True, False])
def test_segments_of_3d_slicer_have_layers_and_names(tmp_path: Path, first: bool) -> None:
    space = "(0.8,0,0) (0,0.9,0) (0,0,-2.5)"
    path = nrrd(
        tmp_path / "a.seg.nrrd",
        gzip.compress(np.moveaxis(LAYERED, 0, -1).tobytes() if first else LAYERED.tobytes()),
        **{"type": "unsigned char", "encoding": "gzip", "dimension": "4", "endian": None},
        sizes="2 22 18 20" if first else "22 18 20 2",
        space_directions=f"none {space}" if first else f"{space} none",
    )
    pairs = {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segment0_Name": "left lung",
        "Segment1_Name": "a: b",
    }
    pairs |= {"Segment0_LabelValue": "3", "Segment0_Layer": "0", "Segment1_LabelValue": "3", "Segment1_Layer": "1"}
    text = "".join(f"{key}:={value}\n" for key, value in pairs.items()).encode()
    edited(path, lambda data: data.replace(b"\n\n", b"\n" + text + b"\n", 1))
    grids = read_label_maps(path)
    for grid, layer, name in zip(grids, LAYERED, ("left lung", "a: b"), strict=True):
        np.testing.assert_array_equal(grid.values, layer)
        np.testing.assert_allclose(grid.affine, AFFINE)
        assert grid.names == {3: name}
    with pytest.raises(DataError, match="has 2 layers"):
        read_label_map(path)
    refused(path, "holds 2 numbers per voxel")
    edited(path, lambda data: data.replace(b"Segment0_LabelValue:=3", b"Segment0_LabelValue:=x"))
    damaged = read_label_maps(path)[0]
    assert not damaged.names
    assert "its table of segments has 'x'" in damaged.notes[0]
    edited(path, lambda data: data.replace(b"Binary labelmap", b"Fractional labelmap"))
    with pytest.raises(DataError, match="holds a Fractional labelmap; export"):
        read_label_maps(path)


@pytest.mark.parametrize(
    ("changed", "data", "found"),
    [
        ({"type": "block"}, FLAT, "has voxels of type block"),
        ({"type": None}, FLAT, "has voxels of type none"),
        ({"endian": None}, FLAT, "has the byte order none"),
        ({"endian": "middle"}, FLAT, "has the byte order middle"),
        ({"encoding": "hex"}, FLAT, "has the encoding hex; save it with one of"),
        ({"encoding": None}, FLAT, "has the encoding none"),
        ({"dimension": "4"}, FLAT, "has dimension 4 and 3 sizes"),
        ({"dimension": "99999999999"}, FLAT, "has dimension 99999999999 and 3 sizes"),
        ({"sizes": "22 18 -20"}, FLAT, "claims 22 x 18 x -20 voxels"),
        ({"sizes": "22 18 0"}, FLAT, "claims 22 x 18 x 0 voxels"),
        ({"sizes": "22 18 x"}, FLAT, "has '22 18 x' as its sizes"),
        ({"sizes": "22 18 " + "9" * 5000}, FLAT, "as its sizes"),
        ({"sizes": "2200 18000 20000"}, FLAT, "claims 792000000000 voxels, more than 600000000; if this is right"),
        ({"sizes": "22 18 21"}, FLAT, "holds 15840 bytes of voxels, but the header says 16632"),
        ({"sizes": "22 18 19"}, FLAT, "holds 15840 bytes of voxels, but the header says 15048"),
        ({"space_directions": "(1,0) (0,1) (0,0)"}, FLAT, "has the space directions"),
        ({"space_directions": "(1,0,0) (0,1,0) (0,0,1) junk"}, FLAT, "has the space directions"),
        ({"space_directions": "(1,0,0) (0,1,0) (0,0,x)"}, FLAT, "as its space directions"),
        ({"space_directions": "(1,0,0) (0,1,0) (0,0,nan)"}, FLAT, "no usable orientation and spacing"),
        ({"space_directions": "(1,0,0) (0,1,0) (0,0,1e300)"}, FLAT, "no usable orientation|must be 0.05 to 10"),
        ({"space_origin": "(1,2)"}, FLAT, "has the space origin"),
        ({"space_units": '"cm" "cm" "cm"'}, FLAT, "convert it to mm"),
        ({"spacings": "1 1 1"}, FLAT, "beside its space directions"),
        ({"old_max": "3000"}, FLAT, "beside its space directions"),
        ({"colour": "red"}, FLAT, "has the field 'colour', which NRRD does not know"),
        ({"byte_skip": "-2"}, FLAT, "as its byteskip"),
        ({"byte_skip": "1 2"}, FLAT, "as its byteskip"),
        ({"byte_skip": "99999999999"}, FLAT, "as its byteskip"),
        ({"byte_skip": "-1", "encoding": "gzip"}, gzip.compress(FLAT), "before compressed voxels"),
        ({"byte_skip": "-1", "sizes": "22 18 30"}, FLAT, "holds 15840 bytes of voxels"),
        ({"encoding": "text"}, b"1 2 3", "holds 6 bytes of voxels, but the header says 15840"),
        ({"encoding": "text"}, b"1 " * 99999, "holds at least"),
        ({"encoding": "text"}, b"1 2 70000", "no int16"),
        ({"encoding": "text"}, b"1 2 x", "is damaged or cut short"),
        ({"encoding": "text"}, b"9" * 3_000_000, "is damaged or cut short"),
        ({"data_file": "none.raw"}, b"", "needs the file .*none.raw, which does not exist"),
        ({"data_file": "/dev/zero"}, b"", "needs the file /dev/zero, which is no regular file"),
        ({"data_file": "pipe"}, b"", "pipe, which is no regular file"),
        ({"data_file": "link"}, b"", "link, which is no regular file"),
        ({"data_file": "s%s.raw 1 20 1"}, b"", "names its files 's%s.raw'"),
        ({"data_file": "s%n%s.raw 1 20 1"}, b"", "names its files"),
        ({"data_file": "s%99999d.raw 1 20 1"}, b"", "names its files"),
        ({"data_file": "s%d.raw 1 999999999 1"}, b"", "names 999999999 files by 's%d.raw', but needs 20"),
        ({"data_file": "s%d.raw 1 20 0"}, b"", "names 0 files"),
        ({"data_file": "LIST\na\nb"}, b"", "names 2 files, but its voxels need 20"),
        ({"data_file": "LIST 9\na\nb"}, b"", "as its data file"),
        ({"data_file": "LIST 3\na\nb\nc"}, b"", "names 3 files"),
        ({"data_file": "a\0b"}, b"", "zero byte"),
    ],
)
def test_nrrd_that_is_refused(tmp_path: Path, changed: dict[str, str], data: bytes, found: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    refused(nrrd(tmp_path / "a.nrrd", data, **changed), found)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda data: data.replace(b"sizes", b"sizes: 22 18 21\nsizes"), "says 'sizes' twice, and not alike"),
        (lambda data: data.replace(b"sizes", b"no field\nsizes"), "its header has the line 'no field'"),
        (lambda data: data.replace(b"NRRD0004", b"NRRD0009"), "begins with b'NRRD0009', which is no NRRD"),
        (lambda data: data[:100], "its header does not end"),
        (lambda data: data.replace(b"\n\n", b"\n" + b"#" * (1 << 22) + b"\n\n"), "its header does not end"),
    ],
)
def test_headers_of_nrrd_that_are_refused(tmp_path: Path, change: Callable[[bytes], bytes], found: str) -> None:
    refused(edited(nrrd(tmp_path / "a.nrrd"), change), found)


# MetaImage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "data"),
    [
        ({}, FLAT),
        ({"CompressedData": "True"}, zlib.compress(FLAT)),
        ({"CompressedData": "True", "CompressedDataSize": f"{len(zlib.compress(FLAT))}"}, zlib.compress(FLAT)),
        ({"CompressedData": "true", "CompressedDataSize": "0"}, gzip.compress(FLAT)),
        ({"BinaryData": "False"}, " ".join(map(str, VALUES.ravel())).encode()),
        ({"BinaryDataByteOrderMSB": "True"}, VALUES.astype(">i2").tobytes()),
        ({"BinaryDataByteOrderMSB": None, "ElementByteOrderMSB": "1"}, VALUES.astype(">i2").tobytes()),
        ({"HeaderSize": "4"}, b"1234" + FLAT),
        ({"HeaderSize": "-1"}, b"12345678" + FLAT),
        ({"TransformMatrix": None, "Orientation": "1 0 0 0 1 0 0 0 -1"}, FLAT),
        ({"TransformMatrix": None, "Rotation": "1 0 0 0 1 0 0 0 -1", "Offset": None, "Position": "-120 -95 40"}, FLAT),
        ({"ElementSpacing": None, "ElementSize": "0.8 0.9 2.5", "Offset": None, "Origin": "-120 -95 40"}, FLAT),
        ({"Orientation": "1 0 0 0 1 0 0 0 -1", "ElementSize": "9 9 9"}, FLAT),
        ({"ElementType": "MET_DOUBLE", "Comment": "= a", "0008|0060": "CT"}, VALUES.astype("<f8").tobytes()),
        ({"ElementNumberOfChannels": "1", "ElementToIntensityFunctionSlope": "1.0", "DistanceUnits": "mm"}, FLAT),
        (
            {
                "NDims": "4",
                "DimSize": "22 18 20 1",
                "ElementSpacing": "0.8 0.9 2.5 1",
                "Offset": "-120 -95 40 0",
                "TransformMatrix": "1 0 0 0 0 1 0 0 0 0 -1 0 0 0 0 1",
            },
            FLAT,
        ),
    ],
)
def test_the_same_volume_as_metaimage(tmp_path: Path, changed: dict[str, str], data: bytes) -> None:
    path = meta(tmp_path / "a.mha", data, **{name: value for name, value in changed.items() if "|" not in name})
    if "0008|0060" in changed:
        edited(path, lambda data: data.replace(b"NDims", b"0008|0060 = CT\nNDims"))
    same(read_ct(path))


@pytest.mark.parametrize("packed", [False, True])
def test_voxels_of_metaimage_in_other_files(tmp_path: Path, packed: bool) -> None:
    pack: Any = zlib.compress if packed else bytes
    (tmp_path / "all of it.raw").write_bytes(pack(FLAT))
    for n, plane in enumerate(VALUES):
        (tmp_path / f"p{n + 1}.raw").write_bytes(pack(plane.tobytes()))
        (tmp_path / f"q{2 * n:04d}.raw").write_bytes(pack(plane.tobytes()))
    files = "\n".join(f"p{n}.raw" for n in range(1, 21))
    for files_given in (
        "all of it.raw",
        f"{tmp_path}/all of it.raw",
        f"LIST\n{files}",
        f"LIST 2D\n{files}\n",
        "LIST 3\nall of it.raw",
        "p%d.raw",
        "p%d.raw 1 20 1",
        "q%04d.raw 0 38 2",
    ):
        same(read_ct(meta(tmp_path / "a.mhd", b"", ElementDataFile=files_given, CompressedData=str(packed))))


@pytest.mark.parametrize(
    ("changed", "data", "found"),
    [
        ({"NDims": "1000000000"}, FLAT, "has NDims 1000000000 and 3 sizes"),
        ({"NDims": "-3"}, FLAT, "has NDims -3"),
        ({"NDims": "x"}, FLAT, "as its NDims"),
        ({"NDims": None}, FLAT, "has NDims none"),
        ({"NDims": "2", "DimSize": "22 18"}, FLAT, "has shape 22 x 18; one volume has three axes"),
        ({"NDims": "99", "DimSize": "1 " * 99}, FLAT, "claims 99 axes of voxels"),
        ({"DimSize": "22 18 21"}, FLAT, "holds 15840 bytes of voxels, but the header says 16632"),
        ({"DimSize": "22 18 19"}, FLAT, "but the header says 15048"),
        ({"DimSize": "22 18 2000000000"}, FLAT, "claims 792000000000 voxels"),
        ({"DimSize": "22 18 21", "CompressedData": "True"}, zlib.compress(FLAT), "holds 15840 bytes of voxels"),
        ({"DimSize": "22 18 19", "CompressedData": "True"}, zlib.compress(FLAT), "holds at least 15840 bytes"),
        ({"CompressedData": "True"}, zlib.compress(FLAT)[:-4], "have no end"),
        ({"CompressedData": "True"}, zlib.compress(FLAT)[:-4] + b"abcd", "incorrect data check"),
        ({"CompressedData": "True"}, zlib.compress(FLAT) + b"abcd", "is damaged or cut short"),
        ({"CompressedData": "True"}, b"", "is damaged or cut short"),
        ({"CompressedData": "True", "CompressedDataSize": "17"}, zlib.compress(FLAT), "but the header says 17"),
        ({"CompressedData": "True", "CompressedDataSize": "-21"}, zlib.compress(FLAT), "but the header says -21"),
        ({"CompressedData": "True", "HeaderSize": "-1"}, zlib.compress(FLAT), "before compressed voxels"),
        ({"CompressedData": "True", "BinaryData": "False"}, zlib.compress(FLAT), "text that is compressed"),
        ({"CompressedData": "perhaps"}, FLAT, "as its CompressedData, not True or False"),
        ({"ElementType": "MET_STRING"}, FLAT, "has voxels of type MET_STRING"),
        ({"ElementType": "MET_FLOAT_ARRAY"}, FLAT, "has voxels of type MET_FLOAT_ARRAY"),
        ({"ElementNumberOfChannels": "3"}, FLAT, "holds 3 numbers per voxel"),
        ({"ElementToIntensityFunctionSlope": "2"}, FLAT, "must be rescaled first"),
        ({"ElementToIntensityFunctionOffset": "-1024"}, FLAT, "must be rescaled first"),
        ({"DistanceUnits": "cm"}, FLAT, "convert it to mm"),
        ({"TransformMatrix": "1 0 0 0 1 0"}, FLAT, "has 6 numbers as its TransformMatrix, not 9"),
        ({"TransformMatrix": "1 0 0 0 1 0 0 0 x"}, FLAT, "as its TransformMatrix"),
        ({"Orientation": "1 0 0 0 1 0 0 0 1"}, FLAT, "says 'TransformMatrix' twice, and not alike"),
        ({"ElementByteOrderMSB": "True"}, FLAT, "says 'ByteOrderMSB' twice"),
        ({"ElementSpacing": "0.8 0.9 -2.5"}, FLAT, "has the ElementSpacing 0.8 0.9 -2.5"),
        ({"ElementSpacing": "0.8 0.9 0"}, FLAT, "no usable orientation and spacing"),
        ({"Offset": "1 2 inf"}, FLAT, "no usable orientation and spacing"),
        ({"ElementDataFileOffset": "4"}, FLAT, "'ElementDataFileOffset', which MetaImage does not know"),
        ({"HeaderSize": "x"}, FLAT, "as its HeaderSize"),
        ({"ElementDataFile": "%s%n"}, FLAT, "names its files '%s%n'"),
        ({"ElementDataFile": "%d%n.raw"}, FLAT, "names its files"),
        ({"ElementDataFile": "%.999999999d.raw"}, FLAT, "names its files"),
        ({"ElementDataFile": "a%d.raw 1 999999999 1"}, FLAT, "names 999999999 files"),
        ({"ElementDataFile": "a%d.raw x"}, FLAT, "as its ElementDataFile"),
        ({"ElementDataFile": "LIST\na"}, FLAT, "names .* files, but its voxels need 20"),
        ({"ElementDataFile": "LIST 9"}, b"", "but its voxels need"),
        ({"ElementDataFile": "none.raw"}, b"", "needs the file .*none.raw, which does not exist"),
        ({"ElementDataFile": "/dev/zero"}, b"", "/dev/zero, which is no regular file"),
        ({"ElementDataFile": "pipe"}, b"", "pipe, which is no regular file"),
        ({"ElementDataFile": "."}, b"", "no regular file"),
    ],
)
def test_metaimage_that_is_refused(tmp_path: Path, changed: dict[str, str], data: bytes, found: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(meta(tmp_path / "a.mha", data, **changed), found)


def test_metaimage_without_data_file_is_refused(tmp_path: Path) -> None:
    path = edited(meta(tmp_path / "a.mha"), lambda data: data.replace(b"ElementDataFile = LOCAL\n", b""))
    refused(path, "is damaged or cut short: its header has no ElementDataFile before")


def attempted(path: Path) -> Grid | str:
    try:
        return read_ct(path)
    except DataError as error:
        return str(error)


# Damage ---------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["gzip", "bzip2", "mha"]), where=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255)
)
def test_no_damaged_byte_of_compressed_voxels_gives_other_voxels(
    tmp_path_factory: pytest.TempPathFactory, kind: str, where: float, mask: int
) -> None:
    path = tmp_path_factory.getbasetemp() / ("damaged.mha" if kind == "mha" else "damaged.nrrd")
    pack: Any = {"gzip": gzip.compress, "bzip2": bz2.compress, "mha": zlib.compress}[kind]
    damaged = bytearray(pack(FLAT))
    damaged[int(where * len(damaged))] ^= mask
    if kind == "mha":
        meta(path, bytes(damaged), CompressedData="True")
    else:
        nrrd(path, bytes(damaged), encoding=kind)
    read = attempted(path)
    if isinstance(read, Grid):  # the name and time in a gzip header may differ
        np.testing.assert_array_equal(read.values, VALUES)


@settings(max_examples=200, deadline=None)
@given(
    suffix=st.sampled_from([".mha", ".nrrd"]),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=0, max_size=6)), max_size=4),
    cut=st.one_of(st.none(), st.floats(0, 1)),
)
def test_a_damaged_header_is_refused_in_one_sentence_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, edits: list[tuple[float, bytes]], cut: float | None
) -> None:
    path = tmp_path_factory.getbasetemp() / f"edited{suffix}"
    data = (meta if suffix == ".mha" else nrrd)(path).read_bytes()
    head = data[: -len(FLAT)]
    for where, new in edits:
        place = int(where * len(head))
        head = head[:place] + new + head[place + len(new) :]
    path.write_bytes((head + FLAT)[: None if cut is None else int(cut * len(data))])
    read = attempted(path)
    if isinstance(read, Grid):
        assert read.values.size == VALUES.size
    else:
        assert read.startswith(f"{path} ")
        assert len(read) < 1000


@pytest.mark.parametrize("compressed", [False, True])
def test_a_header_that_claims_more_or_less_is_refused(tmp_path: Path, compressed: bool) -> None:
    for name in ("a.nrrd", "a.mha", "a.nhdr", "a.mhd"):
        for claim in (b"22 18 21", b"22 18 19", b"23 18 20", b"22 1800 20"):
            path = write_itk(tmp_path / name, VALUES, compressed=compressed)
            refused(edited(path, lambda data, claim=claim: data.replace(b"22 18 20", claim)), "damaged or cut short")  # type: ignore[misc]
