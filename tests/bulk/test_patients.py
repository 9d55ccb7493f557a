"""Where labels are found, in every layout that people have; what is read once, and what anew."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from artasyn.bulk.patients import Patients, called, labels_of
from artasyn.bulk.sources import Source, find_cts
from artasyn.errors import DataError
from artasyn.segment.ct.volume import Volume
from tests.chest import NUMBERS, chest, write_chest, write_names, write_nifti
from tests.trees import touched


@pytest.fixture(scope="module")
def volume() -> Volume:
    return chest((6.0, 5.0, 5.0), length=330.0)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, volume: Volume) -> Path:
    """A CT, its label map and the names."""
    folder = tmp_path_factory.mktemp("written")
    write_chest(folder / "ct.nii.gz", volume)
    write_names(folder / "names.csv")
    return folder


@pytest.fixture
def case(written: Path, tmp_path: Path) -> Path:
    """Copies of them, to be changed."""
    return Path(shutil.copytree(written, tmp_path / "case"))


def found(ct: Source, labels: Path | None, *, alone: bool = False) -> str:
    """Where the labels are, relative to the folder that holds everything."""
    top = ct.path.parent if labels is None else labels.parent
    return labels_of(ct, labels, alone=alone).relative_to(top).as_posix()


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".NII.GZ"])
@pytest.mark.parametrize("ending", ["_labels", "_label", "_seg", ".seg", "_segmentation"])
def test_labels_beside_a_ct_are_called_like_it(tmp_path: Path, suffix: str, ending: str) -> None:
    touched(tmp_path, f"a.b{suffix}", f"a.b{ending}.nii.gz", "a_labels.nii.gz", "labels.nii.gz", "a.b.nii.gz.txt")
    assert found(Source(tmp_path / f"a.b{suffix}", "a.b"), None) == f"a.b{ending}.nii.gz"


def test_labels_beside_a_series_are_called_like_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched(tmp_path, "patient/0001.dcm", "patient_seg.nrrd")
    assert found(Source(tmp_path / "patient", "patient"), None) == "patient_seg.nrrd"
    monkeypatch.chdir(tmp_path / "patient")
    assert labels_of(Source(Path(), "patient"), None, alone=True) == tmp_path / "patient_seg.nrrd"


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (["a.nii.gz"], "a.nii.gz"),
        (["a.nrrd", "b.nii.gz"], "a.nrrd"),
        (["a_labels.nii.gz", "ward/a_labels.nii.gz"], "ward/a_labels.nii.gz"),
        (["a/heart.nii.gz"], "a"),
        (["ward/a/heart.nii.gz", "a/heart.nii.gz"], "ward/a"),
        (["a/heart.nii.gz", "a_seg.mha"], "a_seg.mha"),
        (["a_segmentation/heart.nii.gz"], "a_segmentation"),
    ],
)
def test_a_folder_has_labels_of_each_ct(tmp_path: Path, files: list[str], chosen: str) -> None:
    touched(tmp_path, "ward/a.nii.gz")
    labels = touched(tmp_path / "labels", *files)
    for alone in (False, True):
        assert found(Source(tmp_path / "ward" / "a.nii.gz", "ward/a"), labels, alone=alone) == f"labels/{chosen}"


def test_a_folder_of_masks_is_that_of_the_only_ct(tmp_path: Path) -> None:
    labels = touched(tmp_path / "labels", "heart.nii.gz", "lung_left.nii.gz")
    ct = Source(tmp_path / "a.nii.gz", "a")
    assert labels_of(ct, labels, alone=True) == labels
    with pytest.raises(DataError, match="no labels"):
        labels_of(ct, labels, alone=False)
    with pytest.raises(DataError, match="no labels"):
        labels_of(ct, touched(tmp_path / "empty", "readme.txt"), alone=True)


def test_a_ct_is_not_its_own_label_map(tmp_path: Path) -> None:
    folder = touched(tmp_path / "cts", "a.nii.gz", "b/1.dcm")
    for ct in (Source(folder / "a.nii.gz", "a"), Source(folder / "b", "b")):
        with pytest.raises(DataError, match="no labels"):
            labels_of(ct, folder, alone=False)
    touched(folder, "a_labels.nii.gz")
    assert found(Source(folder / "a.nii.gz", "a"), folder) == "cts/a_labels.nii.gz"


def test_a_file_that_is_named_is_taken_and_one_that_is_missing_is_named(tmp_path: Path) -> None:
    ct = Source(touched(tmp_path, "a.nii.gz") / "a.nii.gz", "a")
    named = touched(tmp_path, "anything.nii.gz") / "anything.nii.gz"
    assert labels_of(ct, named, alone=True) == named
    with pytest.raises(DataError, match=r"a\.nii\.gz: no labels; looked for .*a_labels\.nii\.gz and .* --labels"):
        labels_of(ct, None, alone=True)
    with pytest.raises(DataError, match=r"other/a\.nii\.gz and the like"):
        labels_of(ct, touched(tmp_path / "other", "b.nii.gz"), alone=False)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("nodule.nii.gz", "nodule"),
        ("a/Left Lung.nrrd", "lung_left"),
        ("vertebrae_T4.nii", "vertebrae_T4"),
        ("lidc_0001_nodule.mha", "lidc_0001_nodule"),
    ],
)
def test_masks_are_called_by_their_files(file: str, name: str) -> None:
    assert called(Path(file)) == name


def test_a_ct_is_read_with_labels_names_and_further_masks(case: Path, volume: Volume) -> None:
    nodule, several = np.zeros((2, *volume.hu.shape))
    nodule[20:23, 20:24, 15:18] = 255  # as a paint program writes it
    several[25:28, 20:24, 15:18], several[30:33, 20:24, 15:18] = 1, 2
    write_nifti(case / "nodule.nii.gz", nodule, volume.affine)
    write_nifti(case / "metastases.nii.gz", several, volume.affine)
    masks = (case / "nodule.nii.gz", case / "metastases.nii.gz")
    [ct] = find_cts([case / "ct.nii.gz"])
    patients = Patients(None, case / "names.csv", masks, alone=True)
    patient, quality = patients.read(ct)
    assert quality.ok
    assert patient.structures.keys() >= NUMBERS.keys()
    first, second, third = patients.marked(patient.structures)
    assert first in ("nodule", "nodule_255")
    np.testing.assert_array_equal(patient.mask(first), nodule > 0)
    np.testing.assert_array_equal(patient.mask(second) | patient.mask(third), several > 0)
    np.testing.assert_array_equal(patient.mask("marker"), volume.mask("marker"))
    assert patients.read(ct)[0] is patient


def test_labels_on_another_grid_are_resampled_on_request_and_it_is_noted(case: Path, volume: Volume) -> None:
    labels = np.zeros(volume.hu.shape)
    for number, structure in enumerate(volume.structures.values(), 1):
        labels[structure.box][structure.mask] = number
    start = volume.affine.copy()
    start[:3, 3] = (volume.affine @ [4, 0, 0, 1])[:3]
    write_nifti(case / "cropped.nii.gz", labels[4:], start)
    (case / "names.csv").write_text("".join(f"{n},{name}\n" for n, name in enumerate(volume.structures, 1)))
    [ct] = find_cts([case / "ct.nii.gz"])
    with pytest.raises(DataError, match="another grid than the CT: shape"):
        Patients(case / "cropped.nii.gz", case / "names.csv", alone=True).read(ct)
    patients = Patients(case / "cropped.nii.gz", case / "names.csv", alone=True, resample=True)
    patient, quality = patients.read(ct)
    assert (patient.mask("marker") == volume.mask("marker")).all()
    assert quality.notes[0].startswith("cropped.nii.gz: the labels were resampled to the CT (shape")


def test_a_lack_of_memory_is_not_remembered(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [ct] = find_cts([case / "ct.nii.gz"])
    patients = Patients(None, case / "names.csv", alone=True)

    def lacking(*_: object, **__: object) -> Volume:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Volume, "read", lacking)
        with pytest.raises(MemoryError):
            patients.read(ct)
    assert patients.read(ct)[1].ok


def test_a_segmentation_in_dicom_is_found_in_a_folder_of_labels_only(tmp_path: Path) -> None:
    touched(tmp_path, "a.nii.gz", "a.dcm", "a_seg.dcm")
    with pytest.raises(DataError, match="no labels"):
        labels_of(Source(tmp_path / "a.nii.gz", "a"), None, alone=True)
    labels = touched(tmp_path / "labels", "a.dcm")
    assert found(Source(tmp_path / "a.nii.gz", "a"), labels) == "labels/a.dcm"


def test_names_are_those_of_label_maps_not_of_a_folder_of_masks(case: Path, volume: Volume) -> None:
    for name, structure in volume.structures.items():
        mask = np.zeros(volume.hu.shape)
        mask[structure.box][structure.mask] = 1
        write_nifti(case / "masks" / f"{name}.nii.gz", mask, volume.affine)
    [ct] = find_cts([case / "ct.nii.gz"])
    patient, quality = Patients(case / "masks", case / "names.csv", alone=True).read(ct)
    assert quality.ok
    assert patient.structures.keys() == volume.structures.keys()
    for name in patient.structures:
        np.testing.assert_array_equal(patient.mask(name), volume.mask(name))


def test_a_label_map_without_names_is_rejected_with_advice(case: Path) -> None:
    _, quality = Patients(alone=True).read(*find_cts([case / "ct.nii.gz"]))
    assert quality.reasons[0] == "no lungs are labelled"
    assert quality.reasons[1].endswith("ct_labels.nii.gz have no names: give them with --names")


def test_what_was_mended_is_read_anew_by_the_next_run_but_not_by_this_one(case: Path) -> None:
    [ct] = find_cts([case / "ct.nii.gz"])
    labels, names = case / "ct_labels.nii.gz", case / "names.csv"
    whole = labels.read_bytes()
    labels.write_bytes(whole[: len(whole) // 2])
    before = labels.stat()
    broken = Patients(None, names, alone=True)
    for _ in range(2):
        with pytest.raises(DataError, match=r"ct_labels\.nii\.gz"):
            broken.read(ct)
        labels.write_bytes(whole)
        os.utime(labels, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert Patients(None, names, alone=True).read(ct)[1].ok


def test_what_was_modified_is_read_again_by_the_same_reader(case: Path) -> None:
    [ct] = find_cts([case / "ct.nii.gz"])
    labels, names = case / "ct_labels.nii.gz", case / "names.csv"
    patients = Patients(None, names, alone=True)
    first = patients.read(ct)[0]
    for file in (case / "ct.nii.gz", labels, names):
        os.utime(file, ns=(0, file.stat().st_mtime_ns + 10**9))
        again = patients.read(ct)[0]
        assert again is not first
        assert patients.read(ct)[0] is again
        first = again
    whole = labels.read_bytes()
    labels.write_bytes(whole[: len(whole) // 2])
    os.utime(labels, ns=(0, 10**18))
    with pytest.raises(DataError, match=r"ct_labels\.nii\.gz"):
        patients.read(ct)
    labels.write_bytes(whole)
    os.utime(labels, ns=(0, 2 * 10**18))
    assert patients.read(ct)[1].ok


def test_masks_in_a_folder_that_were_modified_are_read_again(case: Path, volume: Volume) -> None:
    for name in [*volume.structures][:2]:
        mask = np.zeros(volume.hu.shape)
        mask[volume.structures[name].box][volume.structures[name].mask] = 1
        write_nifti(case / "masks" / f"{name}.nii.gz", mask, volume.affine)
    [ct] = find_cts([case / "ct.nii.gz"])
    patients = Patients(case / "masks", alone=True)
    first = patients.read(ct)[0]
    assert patients.read(ct)[0] is first
    mask_file = min((case / "masks").iterdir())
    os.utime(mask_file, ns=(0, mask_file.stat().st_mtime_ns + 10**9))
    assert patients.read(ct)[0] is not first


def test_copies_of_a_reader_share_the_memory_of_their_process_and_carry_none(case: Path) -> None:
    [ct] = find_cts([case / "ct.nii.gz"])
    patients = Patients(None, case / "names.csv", alone=True)
    patient = patients.read(ct)[0]
    pickled = pickle.dumps(patients)
    assert len(pickled) < 2000
    assert pickle.loads(pickled).read(ct)[0] is patient
    assert patients == Patients(None, case / "names.csv", alone=True)


def test_files_that_are_missing_are_named(case: Path) -> None:
    [ct] = find_cts([case / "ct.nii.gz"])
    names = case / "names.csv"
    for patients, missing in (
        (Patients(case / "none.nii.gz", names, alone=True), r"none\.nii\.gz does not exist"),
        (Patients(None, case / "none.csv", alone=True), r"none\.csv does not exist"),
        (Patients(None, names, (case / "none.mha",), alone=True), r"none\.mha does not exist"),
    ):
        with pytest.raises(DataError, match=missing):
            patients.read(ct)
