"""Annotations on lungs that are known by hand, and the file that holds them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO

from artasyn.arrays import Mask
from artasyn.outputs.coco import Annotation, annotated, outlined, write_coco
from artasyn.phantom.film import Phantom
from artasyn.segment import Lungs
from artasyn.synthesis import Anomaly, LungOpacity


@pytest.fixture
def lungs() -> Lungs:
    """Two lungs of 30 x 12 pixels; thirds of 10 rows, the outer 4 columns of each peripheral."""
    labels = np.zeros((30, 40), np.uint8)
    labels[:, 5:17], labels[:, 23:35] = 1, 2
    return Lungs.from_labels(labels)


def made(regions: dict[str, Mask]) -> Anomaly:
    """An anomaly of a record that has these findings, twice each."""
    chest = Phantom(size=64)(1)
    drawn = LungOpacity()(chest.image, chest.lungs, np.random.default_rng(0)).record
    lesion = drawn.lesions[0]
    lesions = [
        dataclasses.replace(lesion, finding=name, severity=severity)
        for number, name in enumerate(regions, 1)
        for severity in (number / 10, number / 20)
    ]
    mask = np.any(list(regions.values()), axis=0)
    blank = np.zeros(mask.shape, np.float32)
    return Anomaly(blank, mask, blank, dataclasses.replace(drawn, lesions=tuple(lesions)), regions)


def test_area_box_share_severity_and_zones_of_each_finding(lungs: Lungs) -> None:
    nodule, mass = np.zeros((2, 30, 40), bool)
    nodule[8:12, 5:8] = True  # two rows of the upper and two of the middle third, along the ribs of the right lung
    mass[25:29, 23:33] = True  # 4 x 10, two columns of which are in the periphery of the left lung
    hidden = np.zeros_like(mass)
    first, second = annotated(made({"nodule": nodule, "mass": mass, "consolidation": hidden}), lungs)
    assert (first["finding"], first["area"], first["bbox"], first["severity"]) == ("nodule", 12, [5, 8, 3, 4], 0.1)
    assert first["share"] == pytest.approx(12 / 720, abs=1e-6)
    assert first["zones"] == {"upper": 0.5, "middle": 0.5, "lower": 0, "central": 0, "peripheral": 1}
    assert (second["area"], second["bbox"], second["severity"]) == (40, [23, 25, 10, 4], 0.2)
    assert second["zones"] == {"upper": 0, "middle": 0, "lower": 1, "central": 0.8, "peripheral": 0.2}
    for each, region in ((first, nodule), (second, mass)):
        np.testing.assert_array_equal(rle.decode(json.loads(json.dumps(each))["segmentation"]) > 0, region)


def test_numbers_run_through_the_file(tmp_path: Path) -> None:
    images = [{"file_name": f"{n}.png", "width": 4, "height": 3} for n in range(3)]
    described: list[list[Annotation]] = [
        [{"finding": "mass", "area": 1}, {"finding": "nodule", "area": 2}],
        [],
        [{"finding": "mass"}],
    ]
    write_coco(tmp_path / "a.json", ["nodule", "mass"], images, described)
    coco = json.loads((tmp_path / "a.json").read_text())
    assert [(c["id"], c["name"]) for c in coco["categories"]] == [(1, "nodule"), (2, "mass")]
    assert coco["images"] == [{"id": n + 1} | image for n, image in enumerate(images)]
    numbers = [(a["id"], a["image_id"], a["category_id"]) for a in coco["annotations"]]
    assert numbers == [(1, 1, 2), (2, 1, 1), (3, 3, 2)]


def test_a_file_without_images_is_json_too(tmp_path: Path) -> None:
    write_coco(tmp_path / "a.json", [], [], [])
    assert json.loads((tmp_path / "a.json").read_text())["annotations"] == []


def structures() -> dict[str, Mask]:
    """Structures that overlap, one in two parts, one of a single pixel, one that is not there."""
    heart, ribs, nodule, spleen = np.zeros((4, 30, 40), bool)
    heart[10:20, 15:25] = True
    ribs[2:4, 5:35] = ribs[12:14, 5:35] = True
    nodule[29, 39] = True
    return {"heart": heart, "ribs": ribs, "nodule": nodule, "spleen": spleen}


def test_structures_are_outlined_with_area_and_box_and_keep_their_overlap() -> None:
    masks = structures()
    described = outlined(masks)
    assert [each["structure"] for each in described] == ["heart", "ribs", "nodule"]
    assert [each["area"] for each in described] == [100, 120, 1]
    assert [each["bbox"] for each in described] == [[15, 10, 10, 10], [5, 2, 30, 12], [39, 29, 1, 1]]
    for each in json.loads(json.dumps(described)):
        assert each["iscrowd"] == 0
        np.testing.assert_array_equal(rle.decode(each["segmentation"]) > 0, masks[each["structure"]])
    assert outlined({}) == outlined({"spleen": masks["spleen"]}) == []


def test_structures_are_read_by_pycocotools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masks = structures()
    fewer = {"spleen": masks["heart"], "heart": masks["ribs"]}
    images = [{"file_name": f"{n}.png", "width": 40, "height": 30} for n in range(2)]
    names = ["heart", "ribs", "nodule", "spleen"]
    write_coco(tmp_path / "a.json", names, images, [outlined(masks), outlined(fewer)], of="structure")
    coco = COCO(tmp_path / "a.json")
    capsys.readouterr()
    assert [(c["id"], c["name"], c["supercategory"]) for c in coco.loadCats(coco.getCatIds())] == [
        (number, name, "anatomy") for number, name in enumerate(names, 1)
    ]
    for number, made in enumerate((masks, fewer), 1):
        found = {coco.cats[a["category_id"]]["name"]: coco.annToMask(a) for a in coco.imgToAnns[number]}
        assert found.keys() == {name for name, mask in made.items() if mask.any()}
        for name, mask in found.items():
            np.testing.assert_array_equal(mask > 0, made[name])
    info = json.loads((tmp_path / "a.json").read_text())["info"]
    assert info == {"description": "chest anatomy by artasyn"}
