"""Test sets in plain folders: what is found, what is left out and said, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from artasyn.errors import ArtasynError, DataError
from artasyn.files.radiograph import write_mask
from artasyn.testsets.layouts import find
from tests.testsets.builders import SIDE, by_name, film, labels, lesions, region, text, write_artasyn


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
