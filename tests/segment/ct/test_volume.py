"""Volumes and their structures: boxes, places, label maps, files, and what is refused."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from artasyn.errors import DataError
from artasyn.phantom.film import Phantom
from artasyn.segment.ct.attenuation import attenuation
from artasyn.segment.ct.volume import Structure, Volume
from tests.chest import chest

AFFINE = np.array([[0, 0, -0.8, 60], [0, -0.9, 0, 50], [-2.5, 0, 0, 40], [0, 0, 0, 1.0]])
SHAPE = (20, 24, 28)
HU = np.random.default_rng(0).integers(-900, 900, SHAPE).astype(np.int16)
LABELS = np.zeros(SHAPE, np.uint8)
LABELS[2:6, 3:9, 20:25], LABELS[5:12, 6:20, 1:4] = 3, 7
LABELS[4, 5, 22] = 0


def test_a_structure_lies_in_the_smallest_box() -> None:
    mask = np.random.default_rng(1).random((6, 7, 8)) > 0.3
    whole = np.zeros((20, 20, 20), bool)
    whole[3:9, 5:12, 7:15] = mask
    found = Structure.of(whole)
    assert found.start == (3, 5, 7)
    assert (found.mask == mask).all()
    assert found.box == (slice(3, 9), slice(5, 12), slice(7, 15))
    assert found.voxels == mask.sum()
    np.testing.assert_allclose(found.centroid(), np.argwhere(whole).mean(axis=0))
    moved = Structure.of(whole[2:, 1:], (2, 1, 0))
    assert (moved.start, moved.mask.shape) == (found.start, found.mask.shape)


def test_an_empty_structure_is_refused() -> None:
    with pytest.raises(DataError, match="a structure without a voxel"):
        Structure.of(np.zeros((3, 3, 3), bool))


def test_spacing_volume_and_places_come_from_the_affine() -> None:
    oblique = np.eye(4)
    angle = np.radians(25)
    oblique[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    for affine in (AFFINE, oblique @ AFFINE):
        volume = Volume(HU, affine)
        np.testing.assert_allclose(volume.spacing, (2.5, 0.9, 0.8))
        assert volume.voxel_volume == pytest.approx(1.8)
        np.testing.assert_allclose(volume.place(np.array([4.0, 5.0, 6.0])), (affine @ [4, 5, 6, 1])[:3])
        np.testing.assert_allclose(volume.centre, (affine @ [9.5, 11.5, 13.5, 1])[:3])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_become_structures(dtype: Any) -> None:
    volume = Volume.of_labels(HU, AFFINE, LABELS.astype(dtype), {3: "Lung upper-lobe LEFT", 9: "heart"})
    assert set(volume.structures) == {"lung_upper_lobe_left", "label_7"}
    assert (volume.mask("lung_upper_lobe_left") == (LABELS == 3)).all()
    assert (volume.mask("label_7") == (LABELS == 7)).all()
    assert (volume.mask("lungs") == (LABELS == 3)).all()


def test_labels_that_do_not_fit_are_refused() -> None:
    unchecked: Any = inspect.unwrap(Volume.of_labels.__func__)  # type: ignore[attr-defined]  # as without type checks
    with pytest.raises(DataError, match=r"the labels are \(20, 24, 27\), the volume is \(20, 24, 28\)"):
        unchecked(Volume, HU, AFFINE, LABELS[..., :-1].copy(), {})
    with pytest.raises(DataError, match="two labels are called heart"):
        Volume.of_labels(HU, AFFINE, LABELS, {3: "heart", 7: "Heart"})


def test_structures_are_added_and_replaced_without_touching_the_volume() -> None:
    volume = Volume.of_labels(HU, AFFINE, LABELS, {3: "heart", 7: "liver"})
    other = volume.with_structures(
        heart=Structure.of(LABELS == 7), lesion=Structure((0, 0, 0), np.ones((2, 2, 2), bool))
    )
    assert set(volume.structures) == {"heart", "liver"}
    assert (volume.mask("heart") == (LABELS == 3)).all()
    assert (other.mask("heart") == other.mask("liver")).all()
    assert other.mask("lesion").sum() == 8
    assert other.hu is volume.hu
    with pytest.raises(DataError, match="no structure and no group 'lesion'"):
        volume.mask("lesion")


@pytest.mark.parametrize(
    ("hu", "message"),
    [
        (HU.astype(np.float32), "must be int16"),
        (np.full(SHAPE, -1025, np.int16), r"must lie in \[-1024, 3071\], found -1025 to -1025"),
        (np.full(SHAPE, 3072, np.int16), "found 3072 to 3072; clip them"),
    ],
)
def test_other_values_are_refused(hu: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Volume(hu, AFFINE)


@pytest.mark.parametrize("start", [(-1, 0, 0), (0, 0, 26), (19, 0, 0)])
def test_structures_outside_the_volume_are_refused(start: tuple[int, int, int]) -> None:
    with pytest.raises(DataError, match="heart reaches out of the volume"):
        Volume(HU, AFFINE, {"heart": Structure(start, np.ones((3, 3, 3), bool))})


def test_matter_is_all_that_is_not_air() -> None:
    hu = np.full(SHAPE, -1010, np.int16)
    hu[4:9, 5:20, 6:11] = HU[4:9, 5:20, 6:11]
    found = Volume(hu, AFFINE).matter
    assert found.box == (slice(4, 9), slice(5, 20), slice(6, 11))
    np.testing.assert_allclose(found.attenuation, attenuation(HU[found.box]), atol=1e-7)
    nothing = Volume(np.full(SHAPE, -1024, np.int16), AFFINE).matter
    assert not nothing.attenuation.any()


def test_a_phantom_is_a_volume_with_its_structures() -> None:
    phantom = Phantom().volume(Phantom().draw(np.random.default_rng(0), lesions=True), spacing=6.0)
    volume = Volume.of_phantom(phantom)
    assert volume.spacing == (6.0, 6.0, 6.0)
    assert len(volume.structures) == len(np.unique(phantom.labels)) - 1
    together = np.zeros(phantom.labels.shape, int)
    for structure in volume.structures.values():
        together[structure.box] += structure.mask
    assert (together == (phantom.labels > 0)).all()
    np.testing.assert_allclose(volume.hu, np.clip(phantom.hu, -1024, 3071), atol=0.51)
    sides = (Structure.of(volume.mask(name)).centroid() for name in ("lung_right", "lung_left"))
    right, left = (volume.place(np.array(middle)) for middle in sides)
    assert right[0] > left[0]  # RAS+
    first = volume.place(np.zeros(3))
    np.testing.assert_allclose(first, [-mm for mm in reversed(phantom.origin)])


def written(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def test_a_ct_is_read_with_its_labels(tmp_path: Path) -> None:
    ct = written(tmp_path / "ct.nii.gz", HU)
    labels = written(tmp_path / "ct_labels.nii.gz", LABELS)
    (tmp_path / "names.csv").write_text("id,structure\n3,heart\n7,liver\n")
    for names in ({3: "heart", 7: "liver"}, tmp_path / "names.csv"):
        volume = Volume.read(ct, labels, names, table=True)
        assert (volume.hu == HU).all()
        np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-4)
        assert (volume.mask("heart") == (LABELS == 3)).all()
        assert (volume.mask("liver") == (LABELS == 7)).all()
    assert set(Volume.read(ct, labels, table=True).structures) == {"label_3", "label_7"}


def test_a_folder_of_masks_and_a_single_mask_are_labels(tmp_path: Path) -> None:
    ct = written(tmp_path / "ct.nii.gz", HU)
    folder = tmp_path / "segmentations"
    folder.mkdir()
    for name, number in (("heart", 3), ("vertebrae_T4", 7)):
        written(folder / f"{name}.nii.gz", np.equal(LABELS, number).astype(np.uint8))
    volume = Volume.read(ct, folder, table=True)
    assert set(volume.structures) == {"heart", "vertebrae_T4"}
    assert (volume.mask("vertebrae_T4") == (LABELS == 7)).all()
    more = volume.labelled(written(tmp_path / "n.nii.gz", (LABELS == 3).astype(np.uint8)), prefix="nodule")
    assert (more.mask("nodule") == volume.mask("heart")).all()
    with pytest.raises(DataError, match="no voxel is labelled"):
        volume.labelled(written(tmp_path / "none.nii.gz", np.zeros(SHAPE, np.uint8)))


def test_labels_on_another_grid_are_refused(tmp_path: Path) -> None:
    ct = written(tmp_path / "ct.nii.gz", HU)
    shifted = AFFINE.copy()
    shifted[0, 3] += 10
    for labels, affine in ((LABELS[1:], AFFINE), (LABELS, shifted), (LABELS, AFFINE @ np.diag([1.1, 1, 1, 1]))):
        with pytest.raises(DataError, match=r"l\.nii: the labels are on another grid than the CT: .*; resample"):
            Volume.read(ct, written(tmp_path / "l.nii", labels, affine), table=True)


def test_labels_on_another_grid_are_resampled_on_request(tmp_path: Path) -> None:
    ct = written(tmp_path / "ct.nii.gz", HU)
    start = AFFINE.copy()
    start[:3, 3] = (AFFINE @ [1, 2, 0, 1])[:3]
    cropped = written(tmp_path / "l.nii", LABELS[1:13, 2:], start)
    with pytest.raises(DataError, match=r"another grid than the CT: shape .*--resample-labels"):
        Volume.read(ct, cropped, table=True)
    volume = Volume.read(ct, cropped, {3: "heart", 7: "liver"}, table=True, resample=True)
    assert (volume.mask("heart") == (LABELS == 3)).all()
    assert (volume.mask("liver") == (LABELS == 7)).all()
    assert volume.notes == ("l.nii: the labels were resampled to the CT (shape 12 x 22 x 28 and 20 x 24 x 28)",)
    far = AFFINE.copy()
    far[2, 3] += 900
    with pytest.raises(DataError, match=r"no voxel is labelled; l\.nii: .*labelled voxels lie outside"):
        Volume.read(ct, written(tmp_path / "l.nii", LABELS, far), table=True, resample=True)
    assert Volume.read(ct, written(tmp_path / "l.nii", LABELS), table=True, resample=True).notes == ()


def test_names_come_from_the_label_map_where_none_are_given(tmp_path: Path) -> None:
    ct = written(tmp_path / "ct.nii.gz", HU)
    xml = "".join(f'<Label Key="{n}"><![CDATA[{name}]]></Label>' for n, name in ((3, "heart"), (7, "Lung left")))
    image = nibabel.Nifti1Image(LABELS, AFFINE)
    table = f"<CaretExtension><LabelTable>{xml}</LabelTable></CaretExtension>".encode()
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, table))
    nibabel.save(image, tmp_path / "l.nii.gz")
    volume = Volume.read(ct, tmp_path / "l.nii.gz", table=True)
    assert set(volume.structures) == {"heart", "lung_left"}
    assert volume.notes == ("l.nii.gz: the names of its structures come from itself",)
    named = Volume.read(ct, tmp_path / "l.nii.gz", {3: "liver"}, table=True)
    assert set(named.structures) == {"liver", "label_7"}
    assert named.notes == ()
    more = Volume.read(ct, table=True).labelled(tmp_path / "l.nii.gz", prefix="nodule")
    assert set(more.structures) == {"nodule_3", "nodule_7"}


def test_the_table_is_left_out_where_it_is_not_asked_for(tmp_path: Path) -> None:
    healthy = chest((8.0, 6.0, 6.0))
    hu = healthy.hu.copy()
    hu[:, -1] = 100  # a plate behind the patient
    ct = written(tmp_path / "ct.nii.gz", hu, healthy.affine)
    assert (Volume.read(ct, table=True).hu == hu).all()
    found = Volume.read(ct).hu
    assert (found[:, -1] == -1024).all()
    body = healthy.hu > -200
    assert (found == hu)[body].mean() > 0.995
