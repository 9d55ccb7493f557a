"""Every layout on a small tree of real files: what is found, what is left out and said, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from artasyn.arrays import Mask
from artasyn.errors import ArtasynError, DataError
from artasyn.files.radiograph import read_radiograph, write_image, write_mask
from artasyn.testsets.layouts import LAYOUTS, find
from artasyn.testsets.tables import located
from artasyn.testsets.testset import TestFilm, TestSet

SIDE = 64


def film(path: Path, side: int = SIDE) -> Path:
    """A film as PNG, JPEG or DICOM."""
    values = np.random.default_rng(len(path.name)).random((side, side), np.float32)
    if path.suffix == ".png":
        write_image(path, values)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = np.rint(255 * values).astype(np.uint8)
        if path.suffix in (".jpg", ".jpeg"):
            path.write_bytes(cv2.imencode(".jpg", grey)[1].tobytes())
        else:
            dicom(grey).save_as(path, enforce_file_format=True)
    return path


def dicom(stored: np.ndarray) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = ComputedRadiographyImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = UID("1.2.3")
    ds.Modality, ds.PhotometricInterpretation, ds.SamplesPerPixel = "CR", "MONOCHROME2", 1
    ds.Rows, ds.Columns = stored.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = stored.tobytes()
    return ds


def region(top: int = 10, left: int = 20, side: int = SIDE) -> Mask:
    mask = np.zeros((side, side), bool)
    mask[top : top + 8, left : left + 12] = True
    return mask


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def by_name(test: TestSet) -> dict[str, TestFilm]:
    for each in test.films:
        assert read_radiograph(each.source.path).ndim == 2
    return {each.source.name: each for each in test.films}


def labels(test: TestSet) -> dict[str, bool]:
    return {name: each.diseased for name, each in by_name(test).items()}


def lesions(test: TestSet, name: str, side: int = SIDE) -> Mask:
    found = by_name(test)[name].lesions((side, side))
    assert found is not None
    return found


# ---- artasyn


def write_artasyn(data: Path) -> None:
    for name in ("a", "b"):
        film(data / "test/healthy" / f"{name}.png")
    for name in ("c", "ward/d"):
        film(data / "test/diseased" / f"{name}.jpg")
    write_mask(data / "ground_truth/mask_c.png", region())
    write_mask(data / "ground_truth/ward/mask_d.png", region(30))
    for name in ("healthy/a", "healthy/b", "diseased/c", "diseased/ward/d"):
        write_mask(data / "lungs" / f"{name}.png", region(0, 0))


def test_artasyn(tmp_path: Path) -> None:
    write_artasyn(tmp_path)
    film(tmp_path / "test/other/e.png")
    test = find(tmp_path)
    assert labels(test) == {"healthy/a": False, "healthy/b": False, "diseased/c": True, "diseased/ward/d": True}
    assert (lesions(test, "diseased/ward/d") == region(30)).all()
    assert (test.layout, test.has_masks, test.has_lungs, test.has_boxes) == ("artasyn", True, True, False)
    (tmp_path / "lungs/healthy/a.png").unlink()
    assert not find(tmp_path).has_lungs
    (tmp_path / "ground_truth/mask_c.png").unlink()
    with pytest.raises(DataError, match=r"no mask for 1 of 2 diseased films \(diseased/c\)"):
        find(tmp_path)
    shutil.rmtree(tmp_path / "ground_truth")
    shutil.rmtree(tmp_path / "test/healthy")
    bare = find(tmp_path)
    assert set(labels(bare).values()) == {True}
    assert not bare.has_masks


# ---- folder


def test_images_with_masks(tmp_path: Path) -> None:
    for name in ("a", "b", "ward/b"):
        film(tmp_path / "Images" / f"{name}.jpg")
    write_mask(tmp_path / "masks/mask_a.png", region())
    write_mask(tmp_path / "masks/b.png", region() & False)
    write_mask(tmp_path / "masks/ward/b.png", region(40))
    write_mask(tmp_path / "lungs/a.png", region(0, 0))
    test = find(tmp_path)
    assert labels(test) == {"a": True, "b": False, "ward/b": True}
    assert (lesions(test, "a") == region()).all()
    assert (lesions(test, "ward/b") == region(40)).all()
    assert test.layout == "folder"
    assert "3 films, 1 healthy and 2 diseased; 2 with masks, 0 with boxes, 1 with lungs." in test.summary
    (tmp_path / "masks/ward/b.png").unlink()
    with pytest.raises(DataError, match=r"no mask for 1 of 3 films \(ward/b, ...\)"):
        find(tmp_path)
    (tmp_path / "masks/ward/b.png").write_bytes(b"no picture")
    with pytest.raises(ArtasynError, match=r"b.png"):
        find(tmp_path)


def test_images_with_boxes(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png", "c.png", "ward/d.png"):
        film(tmp_path / "images" / name)
    rows = "a.jpg,4,6,10,20\na,30,31,5.5,6\nb,,,,\nward/d.png,1,2,3,4\ngone.png,1,1,2,2\ngone.png,3,1,2,2\n"
    text(tmp_path / "boxes.csv", "\ufefffile,x,y,w,h\n" + rows)
    test = find(tmp_path)
    assert labels(test) == {"a": True, "b": False, "ward/d": True}
    assert by_name(test)["a"].boxes == ((6.0, 4.0, 20.0, 10.0), (31.0, 30.0, 6.0, 5.5))
    assert "Left out: 1 listed but not on disk (gone.png); 1 not in boxes.csv (c)." in test.summary
    for content, reason in (
        ("image,x,y,w,h\na,1,2,3,4\n", r"no column file or name; its columns are image, x, y, w, h"),
        ("name,x,y,w\na,1,2,3\n", "no column h"),
        ("name,x,y,w,h\na,1,2,3,wide\n", r"h is 'wide', not a number, in the row a,1,2,3,wide"),
        ("name,x,y,w,h\na,1,2,3\n", r"h is '', not a number"),
        ("name,x,y,w,h\nz,1,2,3,4\n", r"none of its 1 rows is of a film in .*images"),
        ("name,x,y,w,h\n", "holds no rows"),
    ):
        text(tmp_path / "boxes.csv", content)
        with pytest.raises(DataError, match=reason):
            find(tmp_path)


def test_images_with_coco_annotations(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png", "d.png"):
        film(tmp_path / "images" / name)
    code = coco.encode(np.asfortranarray(region().astype(np.uint8)))
    runs = {"size": [SIDE, SIDE], "counts": code["counts"].decode("ascii")}
    box = [32, 8, 40, 8, 40, 24, 32, 24]
    images = [{"id": n, "file_name": f"{n}.png", "height": SIDE, "width": SIDE} for n in "abcx"]
    drawn: list[dict[str, Any]] = [
        {"image_id": "a", "bbox": [20, 10, 12, 8], "segmentation": runs},
        {"image_id": "a", "bbox": [32, 8, 8, 16], "segmentation": [box]},
        {"image_id": "b", "bbox": [32, 8, 8, 16], "segmentation": [box]},
    ]
    path = text(tmp_path / "annotations.json", json.dumps({"images": images, "annotations": drawn}))
    test = find(tmp_path)
    assert labels(test) == {"a": True, "b": True, "c": False}
    rectangle = np.zeros((SIDE, SIDE), bool)
    rectangle[8:24, 32:40] = True
    assert (lesions(test, "b") == rectangle).all()
    assert (lesions(test, "a") == rectangle | region()).all()
    assert by_name(test)["a"].boxes == ((10.0, 20.0, 8.0, 12.0), (8.0, 32.0, 16.0, 8.0))
    assert "1 listed but not on disk (x.png); 1 not in annotations.json (d)" in test.summary
    for each in drawn:
        each["segmentation"] = []
    text(path, json.dumps({"images": images, "annotations": drawn}))
    assert not find(tmp_path).has_masks
    for wrong in ("[]", "{", '{"images": []}', json.dumps({"images": images[1:], "annotations": drawn})):
        text(path, wrong)
        with pytest.raises(DataError, match=r"annotations.json is no COCO file"):
            find(tmp_path)


def test_sorted_films(tmp_path: Path) -> None:
    film(tmp_path / "normal/a.png")
    film(tmp_path / "Pneumonia/a.png")
    film(tmp_path / "Pneumonia/b.png")
    test = find(tmp_path)
    assert labels(test) == {"healthy/a": False, "diseased/a": True, "diseased/b": True}
    assert not test.has_masks
    text(tmp_path / "boxes.csv", "name,x,y,w,h\nPneumonia/a,1,2,3,4\nb,5,6,7,8\n")
    boxed = find(tmp_path)
    assert {n: f.boxes for n, f in by_name(boxed).items()} == {
        "healthy/a": (),
        "diseased/a": ((2.0, 1.0, 4.0, 3.0),),
        "diseased/b": ((6.0, 5.0, 8.0, 7.0),),
    }
    text(tmp_path / "boxes.csv", "name,x,y,w,h\nnormal/a.png,1,2,3,4\n")
    with pytest.raises(DataError, match="healthy films with boxes around lesions: healthy/a"):
        find(tmp_path)
    (tmp_path / "boxes.csv").unlink()
    write_mask(tmp_path / "masks/a.png", region())
    with pytest.raises(DataError, match=r"no mask for 1 of 2 diseased films \(diseased/b\)"):
        find(tmp_path)
    write_mask(tmp_path / "masks/b.png", region(30))
    assert (lesions(find(tmp_path), "diseased/b") == region(30)).all()


# ---- QaTa and ZhangLab


def write_qata(place: Path, names: str, masks: str) -> None:
    for name in names:
        film(place / "Images" / f"covid_{name}.png")
    for name in masks:
        write_mask(place / "Ground-truths" / f"mask_covid_{name}.png", region())


def test_qata_version_2_uses_its_test_set(tmp_path: Path) -> None:
    root = tmp_path / "QaTa-COV19" / "QaTa-COV19-v2"
    write_qata(root / "Train Set", "abc", "abc")
    write_qata(root / "Test Set", "xy", "xy")
    write_qata(root.with_name("QaTa-COV19-v1"), "ab", "ab")
    for data in (tmp_path, root.parent, root, root / "Test Set"):
        test = find(data)
        assert (test.layout, labels(test)) == ("qata", {"covid_x": True, "covid_y": True})
        assert (lesions(test, "covid_x") == region()).all()
    assert set(labels(find(root / "Train Set"))) == {"covid_a", "covid_b", "covid_c"}
    (root / "Test Set/Ground-truths/mask_covid_x.png").unlink()
    with pytest.raises(DataError, match="no mask for 1 of 2"):
        find(tmp_path)


def test_qata_version_1_has_masks_for_some(tmp_path: Path) -> None:
    write_qata(tmp_path / "QaTa-COV19-v1", "abcd", "ab")
    test = find(tmp_path)
    assert set(labels(test)) == {"covid_a", "covid_b"}
    assert "Left out: 2 without a mask (covid_c, covid_d)" in test.summary


def test_zhanglab_wherever_it_is_given(tmp_path: Path) -> None:
    root = tmp_path / "chest_xray"
    for place in (root, root / "chest_xray"):
        for split in ("train", "test"):
            film(place / split / "NORMAL" / f"IM-{split}.jpeg")
            film(place / split / "PNEUMONIA" / f"person1_virus_{split}.jpeg")
    text(root / "__MACOSX/chest_xray/test/PNEUMONIA/._person1_virus_test.jpeg", "no film")
    text(root / "test/NORMAL/.DS_Store", "no film")
    for data in (tmp_path, root, root / "test"):
        test = find(data)
        assert (test.layout, labels(test)) == (
            "zhanglab",
            {"NORMAL/IM-test": False, "PNEUMONIA/person1_virus_test": True},
        )
        assert {each.source.path.parent.parent for each in test.films} == {root / "test"}
    assert not test.has_masks
    assert not test.has_boxes
    shutil.rmtree(root / "test/NORMAL")
    with pytest.raises(DataError, match="no test set of layout zhanglab: test/NORMAL and test/PNEUMONIA"):
        find(root, "zhanglab")


# ---- RSNA


def write_rsna(data: Path) -> None:
    for name in ("one", "two", "three", "four"):
        film(data / "stage_2_train_images" / f"{name}.dcm")
    text(
        data / "stage_2_train_labels.csv",
        "patientId,x,y,width,height,Target\none,4.0,8.0,16.0,24.0,1\none,40.0,9.0,10.0,11.0,1\ntwo,,,,,0\nthree,,,,,0\n"
        "four,,,,,0\ngone,1.0,1.0,5.0,5.0,1\n",
    )
    text(
        data / "stage_2_detailed_class_info.csv",
        "patientId,class\none,Lung Opacity\none,Lung Opacity\ntwo,Normal\nthree,No Lung Opacity / Not Normal\n"
        "four,Normal\ngone,Lung Opacity\n",
    )


def test_rsna(tmp_path: Path) -> None:
    write_rsna(tmp_path / "rsna")
    test = find(tmp_path)
    assert (test.layout, labels(test)) == ("rsna", {"one": True, "two": False, "four": False})
    assert by_name(test)["one"].boxes == ((8.0, 4.0, 24.0, 16.0), (9.0, 40.0, 11.0, 10.0))
    assert "1 of class No Lung Opacity / Not Normal (three); 1 listed but not on disk (gone)" in test.summary
    (tmp_path / "rsna/stage_2_detailed_class_info.csv").unlink()
    alone = find(tmp_path)
    assert labels(alone) == {"one": True}
    assert "3 of class unknown" in alone.summary


def test_rsna_that_is_damaged(tmp_path: Path) -> None:
    write_rsna(tmp_path)
    csv = tmp_path / "stage_2_train_labels.csv"
    whole = csv.read_text()
    csv.write_text(whole.replace("width", "breadth", 1))
    with pytest.raises(DataError, match=r"stage_2_train_labels.csv: no column width; its columns are patientId, x"):
        find(tmp_path)
    csv.write_text(whole.replace("16.0", "", 1))
    with pytest.raises(DataError, match="width is '', not a number"):
        find(tmp_path)
    csv.write_text(whole)
    shutil.rmtree(tmp_path / "stage_2_train_images")
    with pytest.raises(DataError, match="no folder stage_2_train_images with its films"):
        find(tmp_path)
    film(tmp_path / "stage_2_train_images/else.dcm")
    with pytest.raises(DataError, match=r"none of the 4 healthy or diseased films .* among the 1 on disk \(one, ...\)"):
        find(tmp_path)


# ---- NIH


def write_nih(data: Path) -> None:
    for name in ("00000001_000", "00000002_000", "00000003_000"):
        film(data / "images_001/images" / f"{name}.png")
    for name in ("00000004_000", "00000005_000"):
        film(data / "images_002/images" / f"{name}.png")
    text(
        data / "BBox_List_2017.csv",
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_000.png,Infiltrate,128,256,512.5,64,,,\n"
        "00000001_000.png,Cardiomegaly,1,2,300,400,,,\n00000002_000.png,Pneumothorax,10,20,30,40\n"
        "00000001_000.png,Nodule,16,32,48,64\n00000009_000.png,Mass,1,1,9,9\n",
    )
    text(
        data / "Data_Entry_2017_v2020.csv",
        "Image Index,Finding Labels,Follow-up #,Patient ID\n00000001_000.png,Infiltration|Nodule,0,1\n"
        "00000002_000.png,Pneumothorax,0,2\n00000003_000.png,No Finding,0,3\n00000004_000.png,No Finding,0,4\n"
        "00000005_000.png,Hernia,0,5\n",
    )
    text(data / "test_list.txt", "00000001_000.png\n00000002_000.png\n00000004_000.png\n00000005_000.png")


def test_nih(tmp_path: Path) -> None:
    write_nih(tmp_path)
    test = find(tmp_path)
    assert (test.layout, labels(test)) == ("nih", {"00000001_000": True, "00000004_000": False})
    found = by_name(test)["00000001_000"]
    assert found.boxes == ((256.0, 128.0, 64.0, 512.5), (32.0, 16.0, 64.0, 48.0))
    assert found.boxes_on((64, 64))[1] == (2.0, 1.0, 4.0, 3.0)  # the film was made smaller: published are 1024 pixels
    for part in (
        "1 with boxes of other findings alone (00000002_000)",
        "1 healthy but not in test_list.txt (00000003_000)",
        "1 listed but not on disk (00000009_000)",
    ):
        assert part in test.summary
    (tmp_path / "test_list.txt").unlink()
    assert not labels(find(tmp_path))["00000003_000"]
    (tmp_path / "Data_Entry_2017_v2020.csv").unlink()
    alone = find(tmp_path)
    assert labels(alone) == {"00000001_000": True}
    assert "healthy films are not known" in alone.summary


def test_nih_with_a_mended_header_and_a_damaged_one(tmp_path: Path) -> None:
    write_nih(tmp_path)
    csv = tmp_path / "BBox_List_2017.csv"
    whole = csv.read_text()
    csv.write_text(whole.replace("Bbox [x,y,w,h],,,", '"Bbox [x,y,w,h]",,,', 1))
    assert by_name(find(tmp_path))["00000001_000"].boxes[0] == (256.0, 128.0, 64.0, 512.5)
    csv.write_text(whole.replace("Finding Label", "Label", 1))
    with pytest.raises(DataError, match=r"no column of Image Index, Finding Label, Bbox \[x,y,w,h\]; its columns are"):
        find(tmp_path)
    csv.write_text(whole.replace("512.5,64,,,", "512.5", 1))
    with pytest.raises(DataError, match="h is '', not a number"):
        find(tmp_path)
    csv.write_text(f"{whole}00000003_000.png\n")
    with pytest.raises(DataError, match=r"x is '', not a number, in the row 00000003_000.png"):
        find(tmp_path)
    csv.write_text(whole)
    text(tmp_path / "Data_Entry_2017_v2020.csv", "Image,Labels\na,b\n")
    with pytest.raises(DataError, match=r"Data_Entry_2017_v2020.csv: no column Image Index"):
        find(tmp_path)


# ---- CheXlocalize


def runs(mask: Mask) -> dict[str, Any]:
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": code["counts"].decode("ascii")}


def write_chexlocalize(data: Path, split: str = "test", folder: str = "test") -> Path:
    rows = {
        "patient1/study1/view1_frontal": (0, 1, 0),
        "patient1/study1/view2_lateral": (0, 1, 0),
        "patient2/study1/view1_frontal": (1, 0, 0),
        "patient3/study1/view1_frontal": (0, 0, 1),
        "patient4/study1/view1_frontal": (0, 1, 0),
        "patient9/study1/view1_frontal": (1, 0, 0),
    }
    for name in [*rows][:-1]:
        film(data / "CheXpert" / folder / f"{name}.jpg")
    film(data / "CheXpert" / folder / "patient5/study1/view1_frontal.jpg")
    lines = [f"{folder}/{name}.jpg,{','.join(map(str, values))}" for name, values in rows.items()]
    text(
        data / "CheXpert" / f"{split}_labels.csv",
        "\n".join(["Path,No Finding,Lung Opacity,Cardiomegaly", *lines]) + "\n",
    )
    empty = runs(region() & False)
    drawn = {
        "patient1_study1_view1_frontal": {
            "Airspace Opacity": runs(region(10)),
            "Edema": runs(region(12)),
            "Atelectasis": empty,
            "Cardiomegaly": runs(region(40)),
        },
        "patient3_study1_view1_frontal": {"Airspace Opacity": empty, "Cardiomegaly": runs(region(40))},
        "patient1_study1_view2_lateral": {"Edema": runs(region(12))},
        "patient8_study1_view1_frontal": {"Edema": runs(region(12))},
    }
    return text(data / "CheXlocalize" / f"gt_segmentations_{split}.json", json.dumps(drawn))


@pytest.mark.parametrize(("split", "folder"), [("test", "test"), ("val", "val"), ("val", "valid")])
def test_chexlocalize(tmp_path: Path, split: str, folder: str) -> None:
    write_chexlocalize(tmp_path, split, folder)
    test = find(tmp_path)
    opaque, normal = "patient1/study1/view1_frontal", "patient2/study1/view1_frontal"
    assert (test.layout, labels(test)) == ("chexlocalize", {opaque: True, normal: False})
    assert (lesions(test, opaque) == region(10) | region(12)).all()
    for part in (
        "1 not frontal (patient1/study1/view2_lateral)",
        "1 with findings outside the lungs alone (patient3/",
        "1 with a finding of the lungs that is not drawn (patient4/",
        "1 without labels (patient5/",
        "2 listed but not on disk (patient8/study1/view1_frontal, patient9/study1/view1_frontal)",
    ):
        assert part in test.summary


def test_chexlocalize_with_labels_of_studies(tmp_path: Path) -> None:
    write_chexlocalize(tmp_path)
    write_chexlocalize(tmp_path, "val", "val")  # the test set comes first
    (tmp_path / "CheXpert/test_labels.csv").unlink()
    rows = ["patient1/study1,1,0", "patient2/study1,0,0", "patient3/study1,0,1", "patient4/study1,1,0"]
    lines = [f"CheXpert-v1.0/test/{row}" for row in rows]
    text(tmp_path / "CheXpert/groundtruth.csv", "\n".join(["Study,Lung Opacity,Cardiomegaly", *lines]) + "\n")
    test = find(tmp_path)
    assert labels(test) == {"patient1/study1/view1_frontal": True, "patient2/study1/view1_frontal": False}
    assert {each.source.path.parts[-4] for each in test.films} == {"test"}


def test_chexlocalize_that_is_damaged(tmp_path: Path) -> None:
    path = write_chexlocalize(tmp_path)
    whole = path.read_text()
    drawn = json.loads(whole)
    drawn["patient1_study1_view1_frontal"]["Edema"]["counts"] = "o"
    path.write_text(json.dumps(drawn))
    with pytest.raises(DataError, match="damaged run lengths"):
        lesions(find(tmp_path), "patient1/study1/view1_frontal")
    for wrong in ("[]", "{", '{"patient1_study1_view1_frontal": {"Edema": 3}}'):
        path.write_text(wrong)
        with pytest.raises(DataError, match=r"gt_segmentations_test.json is no list of segmentations"):
            find(tmp_path)
    path.write_text(whole)
    csv = tmp_path / "CheXpert/test_labels.csv"
    csv.write_text(csv.read_text().replace("Path", "File", 1))
    with pytest.raises(DataError, match="no column Path or Study; its columns are File, No Finding"):
        find(tmp_path)
    csv.unlink()
    with pytest.raises(DataError, match=r"no labels of the films in .*, as test_labels.csv"):
        find(tmp_path)


# ---- SIIM-ACR


def relative(mask: Mask) -> str:
    """How far from the end of the run before to each run down the columns, and how long it is."""
    line = mask.T.ravel().astype(int)
    starts = np.flatnonzero(np.diff(line, prepend=0) == 1)
    ends = np.flatnonzero(np.diff(line, append=0) == -1) + 1
    gaps = starts - np.concatenate([[0], ends[:-1]])
    return " ".join(f"{gap} {end - start}" for gap, start, end in zip(gaps, starts, ends, strict=True))


def write_siim(data: Path, header: str = "ImageId, EncodedPixels") -> Path:
    for name in ("1.2.276.0.4", "1.2.276.0.5", "1.2.276.0.6"):
        film(data / "dicom-images-train" / "1.2.2" / f"{name[-1]}" / f"{name}.dcm")
    film(data / "dicom-images-test" / "1.2.276.0.7.dcm")
    film(data / "out" / "heatmaps" / "1.2.276.0.4.png")  # no film of the set, but of its name
    one, other = (relative(np.kron(region(top), np.ones((16, 16), bool))) for top in (5, 9))
    rows = [f"1.2.276.0.4, {one}", "1.2.276.0.5, -1", f"1.2.276.0.4, {other}", f"1.2.276.0.9, {one}", "1.2.276.0.6,-1"]
    return text(data / "train-rle.csv", "\n".join([header, *rows]) + "\n")


def test_siim(tmp_path: Path) -> None:
    write_siim(tmp_path)
    test = find(tmp_path)
    assert (test.layout, labels(test)) == ("siim", {"1.2.276.0.4": True, "1.2.276.0.5": False, "1.2.276.0.6": False})
    assert (lesions(test, "1.2.276.0.4") == region(5) | region(9)).all()
    assert by_name(test)["1.2.276.0.4"].source.path.suffix == ".dcm"
    assert "1 listed but not on disk (1.2.276.0.9). Healthy means without pneumothorax" in test.summary


def test_dicom_files_may_have_no_suffix(tmp_path: Path) -> None:
    write_siim(tmp_path)
    folder = tmp_path / "dicom-images-train/1.2.2/4"
    (folder / "1.2.276.0.4.dcm").rename(folder / "1.2.276.0.4")
    assert labels(find(tmp_path)) == {"1.2.276.0.4": True, "1.2.276.0.5": False, "1.2.276.0.6": False}


def test_siim_that_is_damaged(tmp_path: Path) -> None:
    csv = write_siim(tmp_path)
    whole = csv.read_text()
    csv.write_text(whole.replace(" EncodedPixels", "Pixels", 1))
    with pytest.raises(DataError, match=r"train-rle.csv: no column EncodedPixels; its columns are ImageId, Pixels"):
        find(tmp_path)
    csv.write_text("ImageId, EncodedPixels\n1.2.276.0.4, 5 6 7\n1.2.276.0.5, -1\n")
    with pytest.raises(DataError, match="damaged run lengths"):
        lesions(find(tmp_path), "1.2.276.0.4")
    csv.write_text("ImageId, EncodedPixels\n1.2.276.0.4,\n")
    with pytest.raises(DataError, match=r"no run lengths and no -1 for 1.2.276.0.4"):
        find(tmp_path)


# ---- VinDr-CXR

VINDR = "image_id,rad_id,class_name,x_min,y_min,x_max,y_max\n"


def write_vindr(data: Path, csv: str = "annotations/annotations_test.csv", folder: str = "test") -> Path:
    for name in ("a1", "b2", "c3", "d4"):
        film(data / folder / f"{name}.dicom")
    return text(
        data / csv,
        f"{VINDR}a1,R1,Consolidation,4,8,20,32\na1,R2,Cardiomegaly,1,2,60,60\na1,R2,Nodule/Mass,30,30,33,34.5\n"
        "b2,R1,No finding,,,,\nb2,R2,No finding,,,,\nc3,R1,Rib fracture,3,3,9,9\nc3,R2,No finding,,,,\n"
        "d4,R1,Pleural effusion,0,40,10,60\nd4,R2,No finding,,,,\ne5,R1,No finding,,,,\n",
    )


def test_vindr(tmp_path: Path) -> None:
    write_vindr(tmp_path)
    write_vindr(tmp_path, "annotations/annotations_train.csv", "train")
    test = find(tmp_path)
    assert (test.layout, labels(test)) == ("vindr", {"a1": True, "b2": False, "d4": True})
    assert by_name(test)["a1"].boxes == ((8.0, 4.0, 24.0, 16.0), (30.0, 30.0, 4.5, 3.0))
    assert {each.source.path.parent for each in test.films} == {tmp_path / "test"}
    for part in (
        "1 with findings outside the lungs alone (c3)",
        "1 listed but not on disk (e5). From annotations_test",
    ):
        assert part in test.summary
    shutil.rmtree(tmp_path / "test")
    assert find(tmp_path).summary.endswith("From annotations_train.csv.")


def test_vindr_of_kaggle_and_damaged(tmp_path: Path) -> None:
    csv = write_vindr(tmp_path, "train.csv", "train")
    assert labels(find(tmp_path)) == {"a1": True, "b2": False, "d4": True}
    whole = csv.read_text()
    csv.write_text(whole.replace("x_max", "right", 1))
    with pytest.raises(DataError, match=r"train.csv: no column x_max"):
        find(tmp_path)
    csv.write_text(whole.replace("20,32", ",", 1))
    with pytest.raises(DataError, match="x_max is '', not a number"):
        find(tmp_path)
    csv.write_text("id,label\n1,2\n")  # of another data set
    with pytest.raises(DataError, match="no test set of layout vindr"):
        find(tmp_path, "vindr")


# ---- any


def test_lists_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csv = text(tmp_path / "train-rle.csv", f"ImageId,EncodedPixels\na,{'1 ' * 70_000}\n")
    with pytest.raises(DataError, match=r"train-rle.csv cannot be read as CSV: field larger than field limit"):
        find(tmp_path)
    csv.unlink()
    (tmp_path / "locked").mkdir()
    iterdir = Path.iterdir

    def refused(self: Path) -> Iterator[Path]:
        if self.name == "locked":
            raise PermissionError(self)
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", refused)
    assert located(tmp_path, "train-rle.csv") == []


WRITERS: dict[str, Callable[[Path], Any]] = {
    "artasyn": write_artasyn,
    "qata": lambda data: write_qata(data, "ab", "ab"),
    "rsna": write_rsna,
    "nih": write_nih,
    "chexlocalize": write_chexlocalize,
    "siim": write_siim,
    "vindr": write_vindr,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_layout_that_is_named_is_the_one_that_is_recognised_and_no_other(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    assert find(tmp_path, name) == find(tmp_path)
    for other in LAYOUTS.keys() - {name}:
        with pytest.raises(DataError, match=f"no test set of layout {other}: "):
            find(tmp_path, other)


def test_a_folder_that_is_no_test_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found nothing, but no folder test/diseased; wanted are test/healthy"):
        find(tmp_path)
    film(tmp_path / "images/a.png")
    text(tmp_path / "notes.txt", "")
    with pytest.raises(DataError) as caught:
        find(tmp_path)
    assert "found images/, notes.txt, but" in str(caught.value)
    assert all(f"{name}: {each.wanted}" in str(caught.value) for name, each in LAYOUTS.items() if name != "artasyn")
    with pytest.raises(DataError, match="no layout 'mimic'; there are auto, artasyn, qata"):
        find(tmp_path, "mimic")
    with pytest.raises(DataError, match="no such folder"):
        find(tmp_path / "nowhere")
