"""Boxes of lesions: around the changed pixels, in every format and with every kind of label of albumentations."""

from __future__ import annotations

from functools import cache
from typing import Any

import albumentations as A
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artasyn.errors import ImageError
from artasyn.phantom.film import Phantom, PhantomRadiograph
from artasyn.synthesis import FINDINGS, OpacityRecord
from artasyn.transforms import LungOpacityTransform
from artasyn.transforms.insertion import Insertion

OLD = {
    "pascal_voc": [10.0, 20.0, 60.0, 80.0],
    "coco": [10.0, 20.0, 50.0, 60.0],
    "yolo": [0.25, 0.5, 0.125, 0.25],
    "albumentations": [0.125, 0.25, 0.5, 0.75],
}


@cache
def chest() -> PhantomRadiograph:
    return Phantom(size=96)(1)


def call(boxes: Any, style: str = "coco", *before: Any, fields: Any = None, **more: Any) -> dict[str, Any]:
    """Calls a pipeline with boxes; `fields` are the label fields with their labels, and the rest are arguments."""
    made = pipeline(style, *before, fields=list(fields or ()), **more)
    result: dict[str, Any] = made(image=chest().image, lungs=chest().lungs.labels, bboxes=boxes, **(fields or {}))
    return result


def pipeline(style: str = "coco", *before: Any, fields: Any = (), **more: Any) -> Any:
    arguments: dict[str, Any] = {"findings": ["nodule"], "kinds_range": (1, 1), "p": 1.0} | more
    return A.Compose(
        [*before, LungOpacityTransform(**arguments)],
        bbox_params=A.BboxParams(format=style, label_fields=list(fields)),
        additional_targets={"lungs": "mask"},
        seed=3,
    )


def corners(boxes: Any, style: str) -> Any:
    """Left, top, right and bottom in pixels of boxes in a format."""
    first, second = np.asarray(boxes, float)[:, :2], np.asarray(boxes, float)[:, 2:4]
    if style == "yolo":
        first, second = first - second / 2, first + second / 2
    elif style == "coco":
        second = first + second
    scale = 96 if style in ("yolo", "albumentations") else 1
    return scale * np.hstack([first, second])


def check(out: dict[str, Any], style: str, old: int = 0) -> None:
    """Each changed pixel lies in a new box, and changed pixels touch each side of a new box."""
    where = out["image"] != chest().image
    new = corners(out["bboxes"], style)[old:]
    assert len(new)
    assert np.abs(new - np.rint(new)).max() < 1e-3
    left = where.copy()
    for x0, y0, x1, y1 in np.rint(new).astype(int):
        part = where[y0:y1, x0:x1]
        assert all(edge.any() for edge in (part[0], part[-1], part[:, 0], part[:, -1]))
        left[y0:y1, x0:x1] = False
    assert not left.any()


@pytest.mark.parametrize("style", OLD)
@pytest.mark.parametrize("empty", [[], np.zeros((0, 4)), np.zeros((0, 4), np.float32), np.zeros((0, 4), int)])
def test_boxes_are_added_to_none(style: str, empty: Any) -> None:
    out = call(empty, style)
    check(out, style)
    assert isinstance(out["bboxes"], type(empty))


@pytest.mark.parametrize("style", OLD)
@pytest.mark.parametrize("kind", [list, np.array, tuple])
def test_boxes_are_added_to_others(style: str, kind: Any) -> None:
    out = call(kind([OLD[style]]), style)
    check(out, style, old=1)
    assert np.allclose(out["bboxes"][0], OLD[style], atol=1e-6)


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_each_lesion_of_any_anomaly_has_its_box(seed: int, anomalies: int) -> None:
    insertion = Insertion(anomalies_range=(anomalies, anomalies))
    made = insertion.draw(chest().image, chest().lungs, np.random.default_rng(seed))
    boxes = insertion.boxes(chest().image, chest().lungs, made.records, made.mask)
    records = [record for record in made.records if isinstance(record, OpacityRecord)]
    lesions = [lesion.finding for record in records for lesion in record.lesions]
    assert 1 <= len(boxes) <= len(lesions)
    assert {box.finding for box in boxes} <= set(lesions)
    left = made.mask.copy()
    for box in boxes:
        part = made.mask[box.top : box.bottom, box.left : box.right]
        assert all(edge.any() for edge in (part[0], part[-1], part[:, 0], part[:, -1]))
        left[box.top : box.bottom, box.left : box.right] = False
    assert not left.any()


def test_lesions_apart_have_a_box_each() -> None:
    out = call([], number_range=(3, 3), anomalies_range=(1, 1))
    assert len(out["bboxes"]) == 3
    check(out, "coco")


LABELS: list[tuple[Any, Any, Any]] = [
    (["mass"], None, ["mass", "nodule"]),
    (["mass"], "opacity", ["mass", "opacity"]),
    (["mass"], {"nodule": "opacity"}, ["mass", "opacity"]),
    (["mass"], {"c": "opacity"}, ["mass", "opacity"]),
    (np.array(["pneumonia"]), None, ["pneumonia", "nodule"]),
    ([7], 3, [7, 3]),
    ([7], {"nodule": 3, "mass": 4}, [7, 3]),
    (np.array([7]), 3, [7, 3]),
    (np.array([0.5]), 0.9, [0.5, 0.9]),
    ([], None, ["nodule"]),
    ([], 3, [3]),
    (np.array([]), "opacity", ["opacity"]),
]


@pytest.mark.parametrize(("given_labels", "said", "expected"), LABELS)
def test_labels_of_new_boxes(given_labels: Any, said: Any, expected: list[Any]) -> None:
    out = call([OLD["coco"]] * len(given_labels), fields={"c": given_labels}, number_range=(1, 1), box_labels=said)
    got = list(out["c"])
    assert got == expected if isinstance(expected[0], str) else np.allclose(got, expected)
    assert len(out["bboxes"]) == len(expected)


@pytest.mark.parametrize(
    ("fields", "said", "message"),
    [
        ({"c": [7]}, None, "c of bboxes cannot hold the label 'nodule'"),
        ({"c": ["mass"]}, 3, "c of bboxes cannot hold the label 3"),
        ({"c": np.array(["mass"])}, None, "give names as a list"),
        ({"c": np.array([7])}, 0.5, "cannot hold the label 0.5"),
        ({"c": ["mass"]}, {"mass": "x"}, "no label for nodule in c"),
        ({"c": ["mass"], "s": [0.5]}, None, "label fields c, s; say what new boxes get in c, s"),
        ({"c": ["mass"], "s": [0.5]}, {"c": "x"}, "say what new boxes get in s"),
        ({"c": ["mass"], "s": [0.5]}, 1, "say what new boxes get in c, s"),
    ],
)
def test_labels_that_are_not_known_or_do_not_fit_are_refused(fields: Any, said: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        call([OLD["coco"]], fields=fields, box_labels=said)


def test_several_label_fields() -> None:
    labels = {"c": {name: name.upper() for name in FINDINGS}, "s": 0.75, "n": None}
    fields = {"c": ["MASS"], "s": [0.5], "n": ["mass"]}
    out = call([OLD["coco"]], fields=fields, number_range=(1, 1), box_labels=labels)
    assert (out["c"], out["s"], out["n"]) == (["MASS", "NODULE"], [0.5, 0.75], ["mass", "nodule"])


@pytest.mark.parametrize("style", OLD)
def test_labels_in_the_boxes(style: str) -> None:
    out = call([[*OLD[style], 5]], style, number_range=(1, 1), box_labels={"nodule": 2})
    assert [box[4] for box in out["bboxes"]] == [5, 2]
    check(out, style, old=1)
    assert call([], style, number_range=(1, 1), box_labels=2)["bboxes"][0][4] == 2
    assert call(np.zeros((0, 5)), style, number_range=(1, 1), box_labels=2)["bboxes"].shape == (1, 5)
    with pytest.raises(ImageError, match="column 5 of bboxes cannot hold the label 'nodule'"):
        call([[*OLD[style], 5]], style)


def test_one_pipeline_over_a_data_set() -> None:
    made = pipeline(fields=["c"], number_range=(1, 1))
    for names in ([], ["mass"], [], ["mass", "scar"], ["nodule"], []):
        out = made(image=chest().image, lungs=chest().lungs.labels, bboxes=[OLD["coco"]] * len(names), c=names)
        assert out["c"] == [*names, "nodule"]


def test_boxes_move_and_are_filtered_as_others() -> None:
    crop, flip = A.Crop(0, 0, 95, 95, p=1.0), A.HorizontalFlip(p=1.0)
    out = call([[95, 95, 1, 1]], "coco", crop, flip, fields={"c": ["gone"]}, number_range=(1, 1))
    assert out["c"] == ["nodule"]
    after = A.Compose(
        [LungOpacityTransform(findings=["mass"], number_range=(1, 1), p=1.0), flip],
        bbox_params=A.BboxParams(format="pascal_voc"),
        seed=1,
    )(image=chest().image, lungs=chest().lungs.labels, bboxes=[], mask=np.zeros((96, 96), np.uint8))
    (x0, y0, x1, y1) = np.rint(after["bboxes"][0]).astype(int)
    rows, columns = np.nonzero(after["mask"])
    assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_replayed_boxes() -> None:
    made = A.ReplayCompose(
        [A.HorizontalFlip(p=1.0), LungOpacityTransform(p=1.0)],
        bbox_params=A.BboxParams(format="coco", label_fields=["c"]),
        additional_targets={"lungs": "mask"},
    )
    data = {"image": chest().image, "lungs": chest().lungs.labels, "bboxes": [OLD["coco"]], "c": ["mass"]}
    out = made(**data)
    again = A.ReplayCompose.replay(out["replay"], **data)
    assert (again["bboxes"], again["c"]) == (out["bboxes"], out["c"])


def test_boxes_of_unknown_format_or_meaning_are_refused() -> None:
    with pytest.raises(ImageError, match="bbox_params"):
        LungOpacityTransform(p=1.0)(image=chest().image, lungs=chest().lungs.labels, bboxes=[[1, 2, 3, 4]])
    data = {"image": chest().image, "lungs": chest().lungs.labels, "organs": [OLD["coco"]]}
    choices: list[tuple[dict[str, Any], int]] = [
        ({}, 0),
        ({"untouched": ["organs"]}, 1),
        ({"lesion_targets": ["organs"]}, 2),
    ]
    for more, count in choices:
        made = A.Compose(
            [LungOpacityTransform(findings=["nodule"], number_range=(1, 1), p=1.0, **more)],
            bbox_params=A.BboxParams(format="coco"),
            additional_targets={"organs": "bboxes"},
        )
        if count:
            assert len(made(**data)["organs"]) == count
            continue
        with pytest.raises(ImageError, match=r"organs \(bboxes\) may show lesions or not"):
            made(**data)
