"""COCO files in the dialects of labelling programs: what is read alike, and what is refused."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artasyn.errors import ArtasynError, DataError
from artasyn.testsets.layouts import find
from artasyn.testsets.testset import TestSet
from tests.testsets.builders import SIDE, by_name, film, labels, lesions, region, runs, text

SQUARE = [20, 10, 32, 10, 32, 18, 20, 18]
BOX = [20.0, 10.0, 12.0, 8.0]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients with films of one name, and one film without a patient."""
    place = tmp_path_factory.mktemp("coco")
    for name in ("patient1/view1.png", "patient2/view1.png", "patient2/view 2.jpg"):
        film(place / "images" / name)
    return place


def coco(names: list[str], **more: Any) -> dict[str, Any]:
    """A file of some images, of which the first has a lesion."""
    images = [{"id": n, "file_name": name, "height": SIDE, "width": SIDE} for n, name in enumerate(names, 1)]
    return {
        "images": images,
        "annotations": [{"id": 5, "image_id": 1, "category_id": 1, "bbox": BOX}],
        "categories": [{"id": 1, "name": "opacity"}],
        **more,
    }


def read(data: Path, file: Any) -> TestSet:
    text(data / "annotations.json", file if isinstance(file, str) else json.dumps(file))
    return find(data, "folder")


NAMES = ("patient1/view1.png", "patient2/view 2.jpg")
WAYS: list[Callable[[str], str]] = [
    lambda name: name,
    lambda name: f"./{name}",
    lambda name: f"../data/../images/{name}",
    lambda name: f"images/{name}",
    lambda name: name.replace("/", "\\"),
    lambda name: "IMAGES\\" + name.replace("/", "\\"),
    lambda name: name.rpartition(".")[0],
    lambda name: name.replace(".png", ".PNG").replace(".jpg", ".JPG"),
    lambda name: f"/data/somebody/set/{name}",
    lambda name: f"/data/somebody/Images/{name}",
    lambda name: "C:\\Users\\somebody\\" + name.replace("/", "\\"),
    lambda name: f"https://example.org/set/{name.replace(' ', '%20')}?size=full",
    lambda name: f"file:///data/images/{name.replace(' ', '%20')}",
]


@pytest.mark.parametrize("way", WAYS)
def test_names_are_read_in_every_dialect(data: Path, way: Callable[[str], str]) -> None:
    test = read(data, coco([way(name) for name in NAMES]))
    assert labels(test) == {"patient1/view1": True, "patient2/view 2": False}
    assert "1 not in annotations.json (patient2/view1)" in test.summary
    assert by_name(test)["patient1/view1"].boxes_on((SIDE, SIDE)) == ((10.0, 20.0, 8.0, 12.0),)
    by_address = coco([way(name) for name in NAMES])
    for image in by_address["images"]:
        image["coco_url"] = image.pop("file_name")
    assert read(data, by_address).films == test.films


@pytest.mark.parametrize(
    "name",
    [
        "patient3/view1.png",
        "view2/view1.png",
        "other/patient1/view1.png",
        "patient1\\view1.jpg",
        "/data/patient3/view1.png",
        "https://example.org/patient3/view1.png",
        "patient1/view1.png/more",
        "view1",
        "",
    ],
)
def test_another_film_of_that_name_is_not_taken(data: Path, name: str) -> None:
    if name:
        test = read(data, coco(["patient2/view1.png", name]))
        assert labels(test) == {"patient2/view1": True}
        assert f"1 listed but not on disk ({name})" in test.summary
    if name != "view1":
        with pytest.raises(DataError, match=r"listed but not on disk|without id or file_name"):
            read(data, coco([name]))


def test_bare_names_fit_films_in_folders_if_all_are_bare(data: Path) -> None:
    assert labels(read(data, coco(["view 2.jpg"]))) == {"patient2/view 2": True}
    assert labels(read(data, coco(["view 2"]))) == {"patient2/view 2": True}
    with pytest.raises(DataError, match=r"view1.png fits 2 films \(patient1/view1, patient2/view1\); write"):
        read(data, coco(["view1.png"]))
    test = read(data, coco(["patient1/view1.png", "view 2.jpg"]))
    assert labels(test) == {"patient1/view1": True}
    assert "1 listed but not on disk (view 2.jpg)" in test.summary


def test_one_film_or_one_id_twice_is_refused(data: Path) -> None:
    for names in ((NAMES[0], NAMES[0]), (NAMES[0], f"images\\{NAMES[0]}"), (NAMES[0], "patient1/view1")):
        with pytest.raises(DataError, match=r"several images are the same film, patient1/view1 \(id 1: .*, id 2: "):
            read(data, coco([*names]))
    for one, other in ((7, 7), (7, "7"), (7, 7.0), ("a", "a ")):
        twice = coco([*NAMES], annotations=[])
        twice["images"][0]["id"], twice["images"][1]["id"] = one, other
        with pytest.raises(DataError, match=rf"the id {str(one).strip()} is there twice: {NAMES[0]} and {NAMES[1]}"):
            read(data, twice)


IDS = st.sampled_from([lambda n: n, str, float, lambda n: f" {n}", lambda n: f"{n}"])


@given(IDS, IDS, st.permutations(range(3)), st.integers(0, 2**40))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ids_of_other_types_are_the_same_ids(
    data: Path, one: Callable[[int], Any], other: Callable[[int], Any], order: list[int], start: int
) -> None:
    file = coco([*NAMES, "patient2/view1.png"])
    for image in file["images"]:
        image["id"] = one(start + image["id"])
    file["annotations"] = [{"image_id": other(start + 2), "bbox": BOX}, {"image_id": other(start + 3), "bbox": BOX}]
    file["images"] = [file["images"][n] for n in order]
    test = read(data, file)
    assert {f.source.name: f.diseased for f in test.films} == {
        "patient1/view1": False,
        "patient2/view 2": True,
        "patient2/view1": True,
    }


@pytest.mark.parametrize(
    ("annotation", "box", "drawn"),
    [
        ({"bbox": BOX}, (10, 20, 8, 12), False),
        ({"bbox": ["20", "10.0", 12, 8]}, (10, 20, 8, 12), False),
        ({"bbox": BOX, "segmentation": []}, (10, 20, 8, 12), False),
        ({"bbox": BOX, "segmentation": [[]]}, (10, 20, 8, 12), False),
        ({"bbox": BOX, "segmentation": None, "iscrowd": 1}, (10, 20, 8, 12), False),
        ({"segmentation": [SQUARE]}, (10, 20, 8, 12), True),
        ({"bbox": [], "segmentation": [SQUARE]}, (10, 20, 8, 12), True),
        ({"bbox": None, "segmentation": SQUARE}, (10, 20, 8, 12), True),
        ({"segmentation": runs(region())}, (10, 20, 8, 12), True),
        (
            {"iscrowd": 1, "segmentation": {"size": [SIDE, SIDE], "counts": [20 * SIDE + 10, *[8, 56] * 11, 8, 2094]}},
            (10, 20, 8, 12),
            True,
        ),
    ],
)
def test_boxes_and_regions_in_every_dialect(
    data: Path, annotation: dict[str, Any], box: tuple[int, ...], drawn: bool
) -> None:
    test = read(data, coco([*NAMES], annotations=[{"image_id": 1, **annotation}]))
    found = by_name(test)["patient1/view1"]
    assert found.boxes_on((SIDE, SIDE)) == (box,)
    assert found.boxes_on((SIDE // 2, SIDE // 2)) == (tuple(side / 2 for side in box),)
    assert test.has_masks is drawn
    if drawn:
        assert (lesions(test, "patient1/view1") == region()).all()
        small = lesions(test, "patient1/view1", SIDE // 2)
        assert (np.kron(small, np.ones((2, 2), bool)) == region()).all()


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({}, "annotation 5 has neither bbox nor segmentation"),
        ({"bbox": [], "segmentation": []}, "neither bbox nor segmentation"),
        ({"bbox": [1, 2, 3]}, r"annotation 5 has the bbox \[1, 2, 3\]; wanted are column, row, width, height"),
        ({"bbox": [1, 2, 3, "wide"]}, "wanted are column, row"),
        ({"bbox": {"x": 1}}, "wanted are column, row"),
        ({"bbox": 7}, "wanted are column, row"),
        ({"bbox": [1, 2, -3, 4]}, "a width and a height above 0"),
        ({"bbox": [1, 2, 3, 0]}, "a width and a height above 0"),
        ({"bbox": [1, 2, 3, "nan"]}, "a width and a height above 0"),
        ({"bbox": [1, 2, "inf", 3]}, "a width and a height above 0"),
        ({"bbox": [1, 2, 3, 10**400]}, "wanted are column, row"),
        ({"segmentation": [[1, 2, 3, 4]]}, "annotation 5: damaged polygons"),
        (
            {"segmentation": [[1e9, 2, 3, 4, 5, 6]]},
            r"annotation 5: a polygon reaches 1e\+09, far off the film",
        ),
        ({"segmentation": runs(region() & False)}, "annotation 5 has no bbox and an empty segmentation"),
        ({"segmentation": {"size": [1, 2], "counts": [2]}}, "annotation 5: run lengths of a grid of"),
    ],
)
def test_a_damaged_annotation_takes_its_film_alone(data: Path, annotation: dict[str, Any], reason: str) -> None:
    file = coco([*NAMES], annotations=[{"id": 5, "image_id": 1, **annotation}])
    test = read(data, file)
    assert labels(test) == {"patient2/view 2": False}
    (failed,) = test.failed
    assert failed[0].name == "patient1/view1"
    with pytest.raises(DataError, match=reason):
        raise DataError(failed[1])


def test_a_film_with_regions_for_some_of_its_lesions_is_left_out(data: Path) -> None:
    drawn = [{"image_id": 1, "bbox": BOX, "segmentation": [SQUARE]}, {"image_id": 1, "bbox": BOX}]
    (failed,) = read(data, coco([*NAMES], annotations=drawn)).failed
    assert "no segmentation of annotation number 2, unlike others" in failed[1]
    one_id = [{"id": 1, "image_id": 1, "segmentation": each} for each in ([SQUARE], runs(region(40)))]
    found = read(data, coco([*NAMES], annotations=one_id))
    assert (lesions(found, "patient1/view1") == region() | region(40)).all()


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    file = copy.deepcopy(coco([*NAMES]))
    change(file)
    return file


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("", "Expecting value"),
        ("[" * 100_000, "levels of brackets"),
        ('{"images": NaN}', "NaN is no number"),
        ('{"images": [1e999]}', "1e999 is no number"),
        (changed(lambda file: file.pop("annotations")), "no list of annotations"),
        (changed(lambda file: file.update(annotations=None)), "no list of annotations"),
        (changed(lambda file: file.update(images={"1": {}})), "no list of images"),
        (changed(lambda file: file.update(images=[1])), "no list of images"),
        (changed(lambda file: file["images"][0].pop("height")), "view1.png has no height and width"),
        (changed(lambda file: file["images"][0].update(width=0)), "has no height and width"),
        (changed(lambda file: file["images"][0].update(width=-3)), "has no height and width"),
        (changed(lambda file: file["images"][0].update(width=64.5)), "has no height and width"),
        (changed(lambda file: file["images"][0].update(width=10**10)), "claims 640000000000 pixels"),
        (changed(lambda file: file["images"][0].pop("file_name")), "an image without id or file_name"),
        (changed(lambda file: file["images"][0].update(id=None)), "an image without id or file_name"),
        (changed(lambda file: file["images"][0].update(id=True)), "an image without id or file_name"),
        (changed(lambda file: file["annotations"][0].update(image_id=9)), "images that it does not list: 9"),
        (changed(lambda file: file["annotations"][0].update(image_id="01")), "images that it does not list: 01"),
        (changed(lambda file: file["annotations"][0].pop("image_id")), "an annotation without image_id"),
        (changed(lambda file: file["categories"][0].update(name="No_Finding")), "no lesion .annotation 5: No_Finding"),
        (changed(lambda file: file["categories"][0].update(name="normal", id="1")), "no lesion .annotation 5: normal"),
    ],
)
def test_what_is_no_coco_file_is_refused(data: Path, file: Any, reason: str) -> None:
    with pytest.raises(DataError, match=rf"annotations.json is no COCO file.*{reason}"):
        read(data, file)


def test_bytes_that_are_no_text_are_refused(data: Path) -> None:
    for content in (b"\xff\xfe", b"\x00" * 9, b'{"images": ["\xe4"]}'):
        (data / "annotations.json").write_bytes(content)
        with pytest.raises(DataError, match=r"annotations.json is no COCO file"):
            find(data, "folder")
    (data / "annotations.json").write_bytes(json.dumps(coco([*NAMES])).encode("utf-16"))
    assert len(find(data, "folder").films) == 2


NUMBERS = st.one_of(st.floats(allow_nan=True), st.integers(-(2**70), 2**70), st.floats(-70, 700))
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=8), st.dictionaries(st.sampled_from(["size", "counts", "a"]), inner, max_size=2)
    ),
    max_leaves=20,
)
POLYGONS = st.lists(st.lists(NUMBERS, min_size=6, max_size=12), min_size=1, max_size=3)


@given(
    st.one_of(ANYTHING, POLYGONS, st.builds(lambda n: {"size": [SIDE, SIDE], "counts": n}, ANYTHING)),
    st.one_of(st.just(BOX), st.none(), ANYTHING, st.lists(NUMBERS, min_size=4, max_size=4)),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_annotation_is_read_or_refused(data: Path, segmentation: Any, bbox: Any) -> None:
    file = coco([*NAMES], annotations=[{"image_id": 1, "segmentation": segmentation, "bbox": bbox}])
    try:
        test = read(data, file)
        for each in test.films:
            found = each.lesions((SIDE, SIDE))
            assert found is None or found.shape == (SIDE, SIDE)
            each.boxes_on((SIDE, SIDE))
    except ArtasynError:
        return
    assert {f.source.name for f in test.films} | {source.name for source, _ in test.failed} == {
        "patient1/view1",
        "patient2/view 2",
    }


def test_polygons_far_off_the_film_do_not_reach_the_native_decoder() -> None:
    """In a process of its own, because a crash would take the tests with it."""
    code = """
from artasyn.errors import DataError
from artasyn.testsets.truth import CocoRegions
far = [[0, 0, 1e300, 0, 5, 5], [0, 0, 2**62, 9, 5, 5], [-1e10, 0, 5, 5, 9, 9], [0, 0, 9, 641, 5, 5]]
long = [0, 0, 640, 640] * 4000
for polygon in (*far, long):
    try:
        print(CocoRegions(([polygon],), (64, 64)).on((64, 64)).sum())
    except DataError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert all("far off the film of 64 x 64 pixels" in line for line in lines[:4])
    assert "an outline of" in lines[4]
