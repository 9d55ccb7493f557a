"""Small trees of real files, one of each layout, and what the tests of layouts ask of a test set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.ExifTags
import PIL.Image
from pycocotools import mask as coco
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from artasyn.arrays import Mask
from artasyn.files.radiograph import read_radiograph, write_image, write_mask
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


def turned_film(path: Path, shape: tuple[int, int], orientation: int | tuple[str, str]) -> Path:
    """A film whose stored pixels have a shape: with an EXIF orientation, or DICOM with a PatientOrientation."""
    grey = np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(orientation, int):
        save_turned(path, grey, orientation)
    else:
        ds = dicom(grey)
        ds.PatientOrientation = list(orientation)
        ds.save_as(path, enforce_file_format=True)
    return path


def save_turned(path: Path, stored: np.ndarray, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[PIL.ExifTags.Base.Orientation] = orientation
    PIL.Image.fromarray(stored).save(path, exif=exif)


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


def write_artasyn(data: Path) -> None:
    for name in ("a", "b"):
        film(data / "test/healthy" / f"{name}.png")
    for name in ("c", "ward/d"):
        film(data / "test/diseased" / f"{name}.jpg")
    write_mask(data / "ground_truth/mask_c.png", region())
    write_mask(data / "ground_truth/ward/mask_d.png", region(30))
    for name in ("healthy/a", "healthy/b", "diseased/c", "diseased/ward/d"):
        write_mask(data / "lungs" / f"{name}.png", region(0, 0))


def write_qata(place: Path, names: str, masks: str) -> None:
    for name in names:
        film(place / "Images" / f"covid_{name}.png")
    for name in masks:
        write_mask(place / "Ground-truths" / f"mask_covid_{name}.png", region())


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


def write_zhanglab(data: Path) -> None:
    for split in ("train", "test"):
        film(data / split / "NORMAL" / f"IM-{split}.jpeg")
        film(data / split / "PNEUMONIA" / f"person1_virus_{split}.jpeg")


def write_sorted(data: Path) -> None:
    film(data / "normal/a.png")
    film(data / "Pneumonia/b.png")


WRITERS: dict[str, Callable[[Path], Any]] = {
    "artasyn": write_artasyn,
    "qata": lambda data: write_qata(data, "ab", "ab"),
    "zhanglab": write_zhanglab,
    "rsna": write_rsna,
    "nih": write_nih,
    "chexlocalize": write_chexlocalize,
    "siim": write_siim,
    "vindr": write_vindr,
    "folder": write_sorted,
}
"""Writes the tree of every layout."""
