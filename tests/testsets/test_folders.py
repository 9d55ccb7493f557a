"""Test sets in plain folders: what is found, what is left out and said, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from pycocotools import mask as coco

from artasyn.errors import DataError
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
    with pytest.raises(DataError, match=r"no mask for 1 of 3 films \(ward/b\); looked for ward/b, ward/mask_b"):
        find(tmp_path)


def test_a_mask_that_is_not_readable_makes_no_film_healthy(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        film(tmp_path / "images" / f"{name}.png")
        write_mask(tmp_path / "masks" / f"{name}.png", region() & (name != "b"))
    victim = tmp_path / "masks/c.png"
    for damaged in (b"no picture", victim.read_bytes()[:60], b""):
        victim.write_bytes(damaged)
        test = find(tmp_path)
        assert labels(test) == {"a": True, "b": False}
        assert [(source.name, "masks/c.png" in reason) for source, reason in test.failed] == [("c", True)]
        assert "1 with unreadable ground truth (c)" in test.summary
    for name in ("a", "b"):
        (tmp_path / "masks" / f"{name}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"without films; left out: 3 with unreadable ground truth .*a.png"):
        find(tmp_path)


def test_masks_are_found_in_the_dialects_of_their_names_and_all_others_are_named(tmp_path: Path) -> None:
    names = ("a.PNG", "mask_b.png", "c_mask.png", "Mask-d.Tif", "ward/MASK_e.png", "f_png.png")
    films = ("a.jpg", "b.jpg", "C.jpg", "d.jpeg", "ward/e.png", "f.png", "f.jpg")
    for name in films:
        film(tmp_path / "images" / name)
    for name in (*names, "f_jpg.png", "masks_z.png"):
        mask = tmp_path / "masks" / name
        mask.parent.mkdir(exist_ok=True, parents=True)
        PIL.Image.fromarray(np.uint8(255) * region()).save(mask)
    test = find(tmp_path)
    assert labels(test) == dict.fromkeys(("a", "b", "C", "d", "ward/e", "f_png", "f_jpg"), True)
    assert "Left out: 1 masks without a film (masks_z)." in test.summary
    write_mask(tmp_path / "masks/mask_a.png", region(40))
    with pytest.raises(DataError, match=r"masks: (a.PNG and mask_a.png|mask_a.png and a.PNG) are for one film, a;"):
        find(tmp_path)
    (tmp_path / "masks/mask_a.png").rename(tmp_path / "masks/a_lesions.png")
    (tmp_path / "masks/a.PNG").unlink()
    with pytest.raises(DataError, match=r"looked for a, mask_a, a_mask .* masks: a_lesions, masks_z\."):
        find(tmp_path)


def test_a_healthy_film_with_a_drawn_lesion_is_refused(tmp_path: Path) -> None:
    write_artasyn(tmp_path)
    write_mask(tmp_path / "ground_truth/healthy/a.png", region() & False)
    assert not labels(find(tmp_path))["healthy/a"]
    write_mask(tmp_path / "ground_truth/mask_a.png", region())
    (tmp_path / "ground_truth/healthy/a.png").unlink()
    with pytest.raises(DataError, match=r"lesions on 1 films that are labelled healthy \(healthy/a\); correct their"):
        find(tmp_path)
    (tmp_path / "ground_truth/mask_a.png").unlink()
    write_mask(tmp_path / "ground_truth/healthy/b.png", region())
    with pytest.raises(DataError, match=r"labelled healthy \(healthy/b\)"):
        find(tmp_path)


def test_masks_of_other_names_are_an_error_and_not_none(tmp_path: Path) -> None:
    write_artasyn(tmp_path)
    for name in ("mask_c", "ward/mask_d"):
        path = tmp_path / "ground_truth" / f"{name}.png"
        path.rename(path.with_stem(f"{path.stem}_final"))
    with pytest.raises(DataError, match=r"no mask for 2 of 2 diseased films \(diseased/c, .*: mask_c_final, ward/mask"):
        find(tmp_path)


def test_lungs_that_fit_two_films_are_refused(tmp_path: Path) -> None:
    film(tmp_path / "healthy/a.png")
    film(tmp_path / "Pneumonia/a.png")
    write_mask(tmp_path / "lungs/a.png", region())
    with pytest.raises(DataError, match=r"lungs: a fits both .*put it into a folder as its film"):
        find(tmp_path)
    write_mask(tmp_path / "lungs/Pneumonia/a.png", region(30))
    found = {name: each.lungs for name, each in by_name(find(tmp_path)).items()}
    assert found == {"healthy/a": tmp_path / "lungs/a.png", "diseased/a": tmp_path / "lungs/Pneumonia/a.png"}


def test_ground_truth_that_is_not_used_is_named(tmp_path: Path) -> None:
    film(tmp_path / "images/a.png")
    write_mask(tmp_path / "masks/a.png", region())
    for name in ("boxes.csv", "annotations.json"):
        text(tmp_path / name, "")
    assert find(tmp_path).summary.endswith("Not used: boxes.csv, annotations.json.")


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
        ("name,x,y,w,h\na,1,2,-3,4\n", "a box of negative size in the row a,1,2,-3,4"),
        ("name,x,y,w,h\na,1,2,0,4\n", "a box without width or height in the row a,1,2,0,4"),
        ("name,x,y,w,h\na,1,2,3,4\na.jpg,,,,\n", "a row without numbers, which means healthy: a"),
        ('name;x;y;w;h\na;1;2;3;"1,234"\n', "h is '1,234', not a number"),
        (b"name,x,y,w,h\n\xe4,1,2,3,4\n", r"boxes.csv is no text in UTF-8 .*; save it as UTF-8"),
    ):
        (tmp_path / "boxes.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(DataError, match=reason):
            find(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_lists_of_spreadsheets(tmp_path: Path, encoding: str, separator: str) -> None:
    film(tmp_path / "images/ü 1.jpg")
    film(tmp_path / "images/b.jpg")
    half = "2,5" if separator != "," else "2.5"
    rows = [["name", "x", "y", "w", "h"], ["ü 1.JPG", "4", "6", half, "20"], [".\\b", "", "", "", ""]]
    content = "\r\n".join(separator.join(row) for row in rows)
    (tmp_path / "boxes.csv").write_bytes(content.encode(encoding))
    test = find(tmp_path)
    assert labels(test) == {"b": False, "ü 1": True}
    assert by_name(test)["ü 1"].boxes == ((6.0, 4.0, 20.0, 2.5),)


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
