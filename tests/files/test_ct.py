"""CT volumes and label maps: the same voxels at the same place from every kind of file, or a clear refusal."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel import orientations

from artasyn.bulk.sources import find_cts
from artasyn.errors import DataError
from artasyn.files.ct import Grid, is_ct_file, read_ct, read_label_map, read_names, resampled, same_grid
from tests.files.test_ct_series import write_series
from tests.files.test_ct_volumes import AFFINE, VALUES, write_itk, write_nifti
from tests.trees import touched

LABELS = (VALUES % 5).astype(np.uint8)


def moved(affine: np.ndarray, *, scale: float = 1.0, shift: float = 0.0, degrees: float = 0.0) -> np.ndarray:
    """An affine whose world is turned about the axis to the head, stretched and shifted to the right."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    world = np.diag([scale, scale, scale, 1.0])
    world[:2, :2] = scale * np.array([[cosine, -sine], [sine, cosine]])
    world[0, 3] = shift
    return np.asarray(world @ affine)


def test_axes_run_to_the_feet_the_back_and_the_left(tmp_path: Path) -> None:
    voxels = np.full((16, 18, 20), -1000, np.int16)
    voxels[-1, -1, 0] = 500  # in RAS+ axes x, y, z: far to the front and to the head, least to the right
    voxels = voxels.T.copy().T
    marked = np.full((16, 18, 20), -1000, np.int16)
    marked[0, -1, -1] = 500
    grid = read_ct(write_nifti(tmp_path / "a.nii", marked, np.diag([2.0, 1.5, 1.0, 1.0])))
    assert grid.values.shape == (20, 18, 16)
    assert grid.values[0, 0, -1] == 500
    assert grid.spacing == (1.0, 1.5, 2.0)
    assert (grid.affine @ [0, 0, 15, 1] == [0, 25.5, 19, 1]).all()


def test_all_orientations_are_read_alike(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VALUES, AFFINE)
    for axes in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            turn = np.array(list(zip(axes, flips, strict=True)), np.float64)
            nibabel.save(image.as_reoriented(turn), tmp_path / "a.nii")
            grid = read_ct(tmp_path / "a.nii")
            assert (grid.values == VALUES).all()
            assert grid.values.dtype == np.int16
            assert grid.values.flags.c_contiguous
            assert grid.affine.dtype == np.float64
            np.testing.assert_allclose(grid.affine, AFFINE, atol=1e-4)  # float32 in the file


def test_what_is_oblique_stays_in_the_affine(tmp_path: Path) -> None:
    oblique = moved(AFFINE, degrees=20)
    turn = np.array([[2.0, -1.0], [0.0, 1.0], [1.0, -1.0]])
    nibabel.save(nibabel.Nifti1Image(VALUES, oblique).as_reoriented(turn), tmp_path / "a.nii.gz")
    grid = read_ct(tmp_path / "a.nii.gz")
    assert (grid.values == VALUES).all()
    np.testing.assert_allclose(grid.affine, oblique, atol=1e-4)
    np.testing.assert_allclose(grid.spacing, (2.5, 0.9, 0.8), rtol=1e-6)


VOLUMES = ("a.nii", "a.NII.GZ", "a.nrrd", "a.nhdr", "a.mha", "a.mhd", "series")


@pytest.mark.parametrize("name", VOLUMES)
def test_every_kind_of_file_holds_the_same(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    write = write_nifti if ".nii" in name.lower() else write_itk if "." in name else write_series
    grid = read_ct(write(path, VALUES))
    assert (grid.values == VALUES).all()
    assert grid.values.dtype == np.int16
    np.testing.assert_allclose(grid.affine, AFFINE, atol=1e-4)
    assert capfd.readouterr() == ("", "")


def test_values_are_cut_off_and_do_not_wrap(tmp_path: Path) -> None:
    values = VALUES.astype(np.int32)
    values[0, 0, :6] = -3024, -2048, -1025, 3072, 40000, 70000
    for dtype in (np.int32, np.float32, np.float64):
        read = read_ct(write_nifti(tmp_path / "a.nii", values.astype(dtype))).values
        assert read[0, 0, :6].tolist() == [-1024, -1024, -1024, 3071, 3071, 3071]
        assert (read[1:] == VALUES[1:]).all()


def test_stored_values_are_scaled_exactly(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image((VALUES.astype(np.int32) + 33000).astype(np.uint16), AFFINE)
    image.header.set_slope_inter(1, -33000)
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert (read_ct(tmp_path / "a.nii.gz").values == VALUES).all()
    image = nibabel.Nifti1Image((VALUES * 2).astype(">i2"), AFFINE)
    image.header.set_slope_inter(0.5, 0)
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert (read_ct(tmp_path / "a.nii.gz").values == VALUES).all()


def test_fractions_are_rounded(tmp_path: Path) -> None:
    values = VALUES + np.float32(0.4)
    values[0] -= np.float32(0.8)
    assert (read_ct(write_itk(tmp_path / "a.nrrd", values)).values == VALUES).all()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda hu: (hu.astype(np.int32) + 1024).clip(0).astype(np.uint16), "from 24 to 3024; the rescale intercept"),
        (lambda hu: np.where(hu < 0, -2000, hu + 1024).astype(np.int16), "from -2000 to .* the rescale intercept"),
        (lambda hu: (hu / np.float32(4000)).astype(np.float32), "from -0.25 to 0.5; stored values, a normalised"),
        (lambda hu: np.clip(hu, -400, 900).astype(np.int16), "from -400 to 900"),
        (lambda hu: np.full_like(hu, -1000), "from -1000 to -1000"),
        (lambda hu: np.where(hu > 1900, np.nan, hu).astype(np.float32), "NaN or infinite"),
        (lambda hu: np.where(hu > 1900, np.inf, hu).astype(np.float32), "NaN or infinite"),
    ],
)
def test_other_than_hounsfield_units_is_refused(
    tmp_path: Path, change: Callable[[np.ndarray], np.ndarray], found: str
) -> None:
    with pytest.raises(DataError, match=rf"a\.nii .*{found}"):
        read_ct(write_nifti(tmp_path / "a.nii", change(VALUES)))


def test_what_is_no_volume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.nii does not exist"):
        read_ct(tmp_path / "none.nii")
    touched(tmp_path, "a.txt", "folder/a.txt")
    with pytest.raises(DataError, match=r"a\.txt is none of the files that are read here: NIfTI"):
        read_ct(tmp_path / "a.txt")
    with pytest.raises(DataError, match="folder holds no DICOM files"):
        read_ct(tmp_path / "folder")
    with pytest.raises(DataError, match=r"is out of reach .*too long"):
        read_ct(tmp_path / ("n" * 300))


def test_labels_are_read_on_the_grid_of_their_volume(tmp_path: Path) -> None:
    volume = read_ct(write_series(tmp_path / "series", VALUES))
    for path in (write_nifti(tmp_path / "a.nii", LABELS), write_itk(tmp_path / "a.nrrd", LABELS.astype(np.float32))):
        labels = read_label_map(path)
        assert (labels.values == LABELS).all()
        assert labels.values.dtype == np.uint8
        assert same_grid(volume, labels) == ""
    large = LABELS.astype(np.int32) * 16000
    labels = read_label_map(write_itk(tmp_path / "a.mha", large))
    assert (labels.values == large).all()
    assert labels.values.dtype == np.uint16


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (LABELS / np.float32(4), "holds 0.75|holds 0.5|holds 0.25"),
        (VALUES, "holds -"),
        (LABELS.astype(np.int32) * 20000, "holds 80000"),
        (np.where(LABELS > 3, np.nan, LABELS).astype(np.float32), "NaN"),
    ],
)
def test_other_than_labels_is_refused(tmp_path: Path, values: np.ndarray, found: str) -> None:
    with pytest.raises(DataError, match=found):
        read_label_map(write_nifti(tmp_path / "a.nii", values))


def test_a_folder_is_no_label_map(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder; name a file"):
        read_label_map(tmp_path)


def test_grids_differ_from_a_tenth_of_a_voxel_on() -> None:
    a = Grid(VALUES, AFFINE)
    assert same_grid(a, Grid(LABELS, AFFINE)) == ""
    assert same_grid(a, Grid(VALUES, moved(AFFINE, shift=0.07))) == ""
    assert same_grid(a, Grid(VALUES[1:], AFFINE)) == "shape 20 x 18 x 22 and 19 x 18 x 22"
    assert same_grid(a, Grid(VALUES, moved(AFFINE, shift=3))) == "position, corners lie up to 3 mm apart"
    assert same_grid(a, Grid(VALUES, moved(AFFINE, degrees=2))).startswith("orientation, corners lie up to ")
    stretched = Grid(VALUES, moved(AFFINE, scale=1.1))
    assert same_grid(a, stretched) == "spacing 2.5 x 0.9 x 0.8 mm and 2.75 x 0.99 x 0.88 mm"


@settings(max_examples=25, deadline=None)
@given(
    angle=st.floats(-25, 25),
    spacing=st.tuples(*[st.floats(0.7, 3)] * 3),
    shift=st.tuples(*[st.floats(-8, 8)] * 3),
    shape=st.tuples(*[st.integers(1, 14)] * 3),
)
def test_resampled_labels_are_those_of_the_nearest_voxels(
    angle: float, spacing: tuple[float, float, float], shift: tuple[float, float, float], shape: tuple[int, int, int]
) -> None:
    values = np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)
    affine = moved(AFFINE, degrees=angle) @ np.diag([*(np.array(spacing) / [2.5, 0.9, 0.8]), 1.0])
    affine[:3, 3] += shift
    labels, ct = Grid(values, affine), Grid(np.zeros((9, 11, 10), np.int16), AFFINE)
    found = resampled(labels, ct)
    index = np.array(list(np.ndindex(ct.values.shape)))
    places = (np.linalg.inv(affine) @ AFFINE @ np.column_stack([index, np.ones(len(index))]).T)[:3]
    near = np.abs(places - np.floor(places) - 0.5).min(axis=0) < 1e-6  # rounding decides
    places = np.floor(places + 0.5).astype(int)
    inside = ((places >= 0) & (places < np.array(shape)[:, None])).all(axis=0)
    wanted = np.where(inside, values[tuple(np.clip(p, 0, n - 1) for p, n in zip(places, shape, strict=True))], 0)
    assert ((found.values.ravel() == wanted) | near).all()
    assert (found.affine == AFFINE).all()


def test_labels_outside_of_a_ct_are_counted_and_lost_ones_are_named() -> None:
    ct = Grid(VALUES, AFFINE)
    larger = np.zeros((30, 18, 22), np.uint8)
    larger[5:12, 3:6, 3:6], larger[28:, :2, :2], larger[29, 9, 9] = 1, 1, 2
    start = AFFINE.copy()
    start[:3, 3] = (AFFINE @ [-5, 0, 0, 1])[:3]
    found = resampled(Grid(larger, start, ("before",), {2: "nodule"}), ct)
    assert (found.values == larger[5:25]).all()
    assert found.notes == (
        "before",
        "the labels were resampled to the CT (shape 30 x 18 x 22 and 20 x 18 x 22)",
        "9 of 72 labelled voxels lie outside of the CT",
        "no voxel of the CT is in nodule",
    )
    stretched = Grid(LABELS, moved(AFFINE, scale=1.002))
    found = resampled(stretched, ct)
    assert (found.values == LABELS).mean() > 0.99
    assert found.notes == (
        "the labels were resampled to the CT (spacing 2.505 x 0.9018 x 0.8016 mm and 2.5 x 0.9 x 0.8 mm)",
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"1": "spleen", "7": "rib left"}'),
        ("a.json", '{"background": 0, "spleen": 1, "rib left": 7}'),
        ("a.json", '{"name": "x", "labels": {"0": "background", "1": "spleen", "7": "rib left"}}'),
        ("a.csv", "group,original_idx,structure,id\norgans,5,spleen,1\n\nribs,6, rib left ,7\n"),
        ("a.csv", "\ufeffLabel,Name\r\n0,Background\r\n1,spleen\r\n7,rib left\r\n"),
        ("a.csv", 'index,name\n1,spleen\n7,"rib left"\n'),
        ("a.csv", "name,value\nspleen,1\nrib left,7\nair,0\n"),
    ],
)
def test_names_of_labels(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_names(tmp_path / name) == {1: "spleen", 7: "rib left"}


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.csv", "id,name\n1,a\n1,b\n", "names 1 'b' in line 3, but"),
        ("a.csv", "id,name\n1,a\n2,a\n", "names 2 'a' in line 3, but"),
        ("a.csv", "id,name\n1.5,a\n", "has '1.5' for 'a' in line 2"),
        ("a.csv", "id,name\n-1,a\n", "has '-1' for 'a' in line 2"),
        ("a.csv", "id,name\n1\n", "has no name for 1 in line 2"),
        ("a.csv", "id,title\n1,a\n", "has the columns id, title; one of id, label"),
        ("a.csv", "", "has the columns none"),
        ("a.csv", "id,name\n", "holds no names"),
        ("a.json", '{"1": "a", "1": "b"}', "names 1 'b' in the entry '1'"),
        ("a.json", '{"a": 1, "b": 1}', "names 1 'b' in the entry 'b'"),
        ("a.json", '{"a": 1.0}', "has '1.0' for 'a'"),
        ("a.json", '{"a": true}', "has 'True' for 'a'"),
        ("a.json", '{"a": [1, 2]}', "has '.1, 2.' for 'a'"),
        ("a.json", '{"one": "a"}', "has 'one' for 'a'"),
        ("a.json", '["a", "b"]', "is no JSON object"),
        ("a.json", '{"labels": 3}', "is no JSON object"),
        ("a.json", '{"1": "a"', "is damaged or cut short"),
    ],
)
def test_names_that_are_no_names_are_refused(tmp_path: Path, name: str, text: str, found: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=rf"a\.(csv|json) {found}"):
        read_names(tmp_path / name)


def test_names_in_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_names(tmp_path / "a.csv")
    with pytest.raises(DataError, match="is no regular file"):
        read_names(tmp_path)
    (tmp_path / "a.csv").write_bytes(b"id,name\n1,\xff\xfe")
    with pytest.raises(DataError, match=r"is no text in UTF-8 .byte 10"):
        read_names(tmp_path / "a.csv")


def series_at(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("1", "1.2.840.1"):
        (folder / name).write_bytes(bytes(128) + b"DICM")


def test_what_counts_as_a_ct_file(tmp_path: Path) -> None:
    series_at(tmp_path / "series")
    touched(tmp_path, "a.png", "empty/a.nii")
    assert is_ct_file(tmp_path / "a.NII.gz")
    assert is_ct_file(tmp_path / "a.mhd")
    assert is_ct_file(tmp_path / "series")
    assert not is_ct_file(tmp_path / "a.png")
    assert not is_ct_file(tmp_path / "a.gz")
    assert not is_ct_file(tmp_path / "empty")
    assert not is_ct_file(tmp_path)


def centres(grid: Grid, names: Mapping[int, str], *wanted: str) -> list[Any]:
    """The mean index (z, y, x) of labels."""
    numbers = {name: number for number, name in names.items()}
    return [np.argwhere(grid.values == numbers[name]).mean(axis=0) for name in wanted]


@pytest.mark.realdata
def test_a_real_volume_lies_as_its_organs_do(data: Path) -> None:
    volume = read_ct(data / "ct" / "lidc_0001.nii.gz")
    labels = read_label_map(data / "ct" / "lidc_0001_labels.nii.gz")
    names = read_names(data / "ct" / "structures.csv")
    assert volume.values.shape == (133, 512, 512)
    assert volume.values.min() == -1024
    assert orientations.aff2axcodes(volume.affine) == ("I", "P", "L")
    assert same_grid(volume, labels) == ""
    assert same_grid(volume, read_label_map(data / "ct" / "lidc_0001_nodule.nii.gz")) == ""
    assert set(np.unique(labels.values)) - {0} <= names.keys()
    liver, heart, sternum, vertebra = centres(labels, names, "liver", "heart", "sternum", "vertebrae_T6")
    assert heart[0] < liver[0]
    assert sternum[1] < heart[1] < vertebra[1]
    assert liver[2] < heart[2]
    lung = np.isin(labels.values, [number for number, name in names.items() if name.startswith("lung_")])
    assert volume.values[lung].mean() < -600


@pytest.mark.realdata
def test_a_real_nrrd_volume_lies_on_its_labels(data: Path) -> None:
    volume = read_ct(data / "ct" / "cip_ct64.nrrd")
    lungs = read_label_map(data / "ct" / "cip_ct64_wholelung.nrrd")
    assert orientations.aff2axcodes(volume.affine) == ("I", "P", "L")
    assert same_grid(volume, lungs) == ""
    assert volume.values[lungs.values == 1].mean() < -600
    assert volume.values[lungs.values == 0].mean() > -600
    found = {source.name for source in find_cts([data / "ct"])}
    assert {"cip_ct64", "lidc_0001"} <= found
    assert not [name for name in found if name.endswith(("labels", "_nodule", "_wholelung"))]


def test_json_of_names_keeps_order(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"b": 2, "a": 1}))
    assert list(read_names(tmp_path / "a.json")) == [2, 1]
