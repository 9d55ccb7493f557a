"""Boxes of torchvision, beside images and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from artasyn.errors import ImageError
from artasyn.phantom.film import Phantom
from artasyn.transforms import RandomLungOpacity

CHEST = Phantom(size=128)(1)
FORMATS = ("XYXY", "XYWH", "CXCYWH")
NAMES = ["nodule", "mass"]
LABELS = {"nodule": 1, "mass": 2}


def sample(style: str = "XYXY", boxes: Any = None, **rest: Any) -> dict[str, Any]:
    given = torch.zeros(0, 4) if boxes is None else boxes
    return {
        "image": tv_tensors.Image(torch.from_numpy(CHEST.image)[None]),
        "lungs": tv_tensors.Mask(torch.from_numpy(CHEST.lungs.labels)[None]),
        "boxes": tv_tensors.BoundingBoxes(given, format=style, canvas_size=(128, 128)),
    } | rest


def corners(boxes: tv_tensors.BoundingBoxes) -> np.ndarray:
    found: np.ndarray = v2.functional.convert_bounding_box_format(boxes, new_format="XYXY").numpy()
    return found


def inserted(given: dict[str, Any], *after: Any, seed: int = 5, **options: Any) -> dict[str, Any]:
    torch.manual_seed(seed)
    out: dict[str, Any] = v2.Compose([RandomLungOpacity(NAMES, p=1.0, **options), *after])(given)
    return out


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_boxes_enclose_what_changed(style: str, dtype: torch.dtype) -> None:
    given = torch.tensor([[10, 10, 20, 30]], dtype=dtype)
    out = inserted(sample(style, given))
    assert out["boxes"].format == tv_tensors.BoundingBoxFormat[style]
    assert out["boxes"].dtype == dtype
    assert torch.equal(out["boxes"][:1].as_subclass(torch.Tensor), given)
    covered = np.zeros((128, 128), bool)
    for left, top, right, bottom in np.rint(corners(out["boxes"])[1:]).astype(int):
        assert out["mask"][0, top:bottom, left:right].any()
        covered[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = True  # centres of integers are rounded
    assert not (out["mask"][0].numpy() & ~covered).any()
    assert out["mask"].any()


def test_boxes_labels_and_masks_move_together() -> None:
    given = sample(labels=torch.zeros(0, dtype=torch.int64))
    still = inserted(given, box_labels=LABELS)
    assert len(still["labels"]) == len(still["boxes"]) > 0
    assert set(still["labels"].tolist()) <= {1, 2}
    flipped = inserted(given, v2.RandomHorizontalFlip(1.0), v2.SanitizeBoundingBoxes(), box_labels=LABELS)
    assert torch.equal(flipped["mask"], still["mask"].flip(-1))
    expected = 128 - corners(still["boxes"])[:, [2, 1, 0, 3]]
    np.testing.assert_allclose(corners(flipped["boxes"])[:, [0, 2]], expected[:, [0, 2]])
    rotated = inserted(given, v2.RandomRotation((4, 4)), v2.RandomResizedCrop(96, scale=(0.7, 0.7)), box_labels=LABELS)
    assert rotated["boxes"].canvas_size == (96, 96)
    rows, columns = np.nonzero(rotated["mask"][0].numpy())
    left, top, right, bottom = corners(rotated["boxes"]).T
    for row, column in zip(rows, columns, strict=True):
        assert ((left - 1 <= column) & (column <= right + 1) & (top - 1 <= row) & (row <= bottom + 1)).any()


def test_image_and_target_and_names_in_a_list() -> None:
    given = sample(labels=["old"], boxes=torch.tensor([[1.0, 1, 5, 5]]))
    torch.manual_seed(5)
    image, target = RandomLungOpacity(NAMES, p=1.0)(given.pop("image"), given)
    assert target["labels"][0] == "old"
    assert set(target["labels"][1:]) <= set(NAMES)
    assert len(target["labels"]) == len(target["boxes"])
    assert isinstance(image, tv_tensors.Image)
    same = RandomLungOpacity(NAMES, p=0.0)(sample(labels=["old"]))
    assert same["labels"] == ["old"]
    assert len(same["boxes"]) == 0


def test_of_several_boxes_those_called_boxes_get_the_lesions() -> None:
    others = tv_tensors.BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=(128, 128))
    out = inserted({"hearts": others} | sample(labels=[]))
    assert len(out["boxes"]) == len(out["labels"]) > 0
    assert len(out["hearts"]) == 0
    given = sample()
    with pytest.raises(ImageError, match="hearts, lesions are all boxes; name those of the lesions boxes"):
        inserted({"hearts": others, "lesions": given.pop("boxes")} | given)


def test_a_target_with_an_image_is_refused() -> None:
    given = sample()
    with pytest.raises(ImageError, match="the target holds an image beside the one before it"):
        RandomLungOpacity(p=0.0)(given["image"], given)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"boxes": torch.zeros(0, 4)}, {}, "boxes are a Tensor of an unknown format"),
        ({"masks": torch.zeros(0, 128, 128)}, {}, "masks of single boxes are not served"),
        (
            {"boxes": tv_tensors.BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=(64, 64))},
            {},
            r"on a canvas of \(64, 64\), the image is \(128, 128\)",
        ),
        ({"labels": torch.zeros(0, dtype=torch.int64)}, {}, "cannot hold the label '(nodule|mass)'"),
        ({"labels": torch.zeros(0, dtype=torch.uint8)}, {"box_labels": 700}, "torch.uint8 cannot hold the label 700"),
        ({"labels": torch.zeros(0)}, {"box_labels": {"cavity": 1}}, "box_labels names no label for"),
    ],
)
def test_boxes_that_cannot_be_told_are_refused(changes: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        inserted(sample() | changes, **options)
