"""The targets of albumentations: each that shows lesions is marked, and the others are refused at the door."""

from __future__ import annotations

import copy
import pickle
from functools import cache
from typing import Any

import albumentations as A
import numpy as np
import pytest
import torch
from PIL import Image

from artasyn.errors import ArtasynError, ImageError, SynthesisError
from artasyn.phantom.film import Phantom, PhantomRadiograph
from artasyn.synthesis import FINDINGS
from artasyn.transforms import LungOpacityTransform
from artasyn.transforms.targets import KINDS


@cache
def chest() -> PhantomRadiograph:
    return Phantom(size=96)(1)


def film() -> Any:
    return np.rint(255 * chest().image).astype(np.uint8)


def zeros(*more: int) -> Any:
    return np.zeros((96, 96, *more), np.uint8)


def call(
    *before: Any,
    kind: Any = A.Compose,
    targets: dict[str, str] | None = None,
    pipeline: dict[str, Any] | None = None,
    seed: int = 7,
    data: dict[str, Any],
    **arguments: Any,
) -> dict[str, Any]:
    """Calls a pipeline that ends in the transform."""
    made = kind(
        [*before, LungOpacityTransform(**{"p": 1.0} | arguments)], additional_targets=targets, **(pipeline or {})
    )
    made.set_random_seed(seed)
    result: dict[str, Any] = made(**{"image": film(), "lungs": chest().lungs.labels} | data)
    return result


def changed(out: dict[str, Any]) -> Any:
    return out["image"] != film()


# Masks.


@pytest.mark.parametrize(
    ("name", "values", "targets", "arguments"),
    [
        ("mask", zeros(), {}, {}),
        ("mask", zeros(1), {}, {}),
        ("mask", zeros().astype(bool), {}, {}),
        ("mask", zeros().astype(np.float32), {}, {}),
        ("mask", np.asfortranarray(zeros()), {}, {}),
        ("masks", [zeros()], {}, {}),
        ("masks", (zeros(1),), {}, {}),
        ("masks", zeros()[None], {}, {}),
        ("lesion", zeros(), {"lesion": "mask"}, {}),
        ("lesions", zeros(), {"lesions": "mask"}, {}),
        ("lesions", [zeros()], {"lesions": "masks"}, {}),
        ("opacities", zeros(), {"opacities": "mask"}, {"lesion_targets": ["opacities"]}),
        ("masks2", zeros()[None], {"masks2": "masks"}, {"lesion_targets": ["masks2"]}),
        ("nodule", zeros(), {"nodule": "mask"}, {"findings": ["nodule"]}),
    ],
)
def test_every_mask_of_lesions_is_marked(name: str, values: Any, targets: Any, arguments: Any) -> None:
    before = copy.deepcopy(values)
    out = call(targets=targets, data={name: values}, **arguments)
    marked = out[name] if isinstance(out[name], np.ndarray) else np.stack(out[name])
    assert (marked.reshape(96, 96) > 0).any()
    assert ((marked.reshape(96, 96) > 0) == changed(out)).all()
    assert isinstance(out[name], np.ndarray) == isinstance(values, np.ndarray)
    assert (np.asarray(values) == np.asarray(before)).all()


def test_several_masks_get_one_finding_each() -> None:
    names = ["mass", "pleural_effusion"]
    arguments: dict[str, Any] = {"findings": names, "kinds_range": (2, 2)}
    listed = call(data={"masks": [zeros(), zeros()]}, **arguments)
    named = call(targets=dict.fromkeys(FINDINGS, "mask"), data={name: zeros() for name in FINDINGS}, **arguments)
    channels = call(data={"mask": zeros(2)}, **arguments)
    assert (np.stack(listed["masks"], axis=2) == channels["mask"]).all()
    assert (np.stack([named[name] for name in names], axis=2) == channels["mask"]).all()
    assert all(mask.any() for mask in listed["masks"])
    assert (np.maximum(*listed["masks"]) > 0).tolist() == changed(listed).tolist()
    assert not any(named[name].any() for name in FINDINGS if name not in names)


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        ({"masks": [zeros(), zeros()]}, {}, "2 masks for 14 findings"),
        ({"masks": zeros()[None].repeat(3, 0)}, {"findings": ["mass", "nodule"]}, "3 masks for 2 findings"),
        ({"masks": [zeros(2)]}, {}, "2 channels for 14 findings"),
        ({"mask": zeros(3)}, {"findings": ["mass"]}, "3 channels for 1 findings"),
        ({"mask": zeros()}, {"mask_value": 300.0}, "cannot hold the mask_value 300"),
        ({"mask": zeros()}, {"mask_value": 0.5}, "cannot hold the mask_value 0.5"),
        ({"mask": zeros()[:50]}, {}, r"mask is \(50, 96\), the image is \(96, 96\)"),
    ],
)
def test_masks_that_do_not_fit_are_refused(data: Any, arguments: Any, message: str) -> None:
    with pytest.raises((ImageError, SynthesisError), match=message):
        call(pipeline={"is_check_shapes": False}, data=data, on_failure="skip", **arguments)


# The door.

KEYPOINTS = {"keypoint_params": A.KeypointParams(format="xy")}
OTHERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "images": ([film(), film()], {}),
    "volume": (film()[None], {}),
    "volumes": (film()[None, None], {}),
    "mask3d": (zeros()[None], {}),
    "masks3d": (zeros()[None, None], {}),
    "keypoints": ([(3.0, 4.0)], KEYPOINTS),
    "image2": (film(), {"additional_targets": {"image2": "image"}}),
    "heart": (zeros(), {"additional_targets": {"heart": "mask"}}),
    "organs": ([zeros()], {"additional_targets": {"organs": "masks"}}),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_what_is_not_served_is_refused_and_told_how(name: str, p: float) -> None:
    values, more = OTHERS[name]
    data = {"image": film(), "lungs": chest().lungs.labels, name: values}
    with pytest.raises(ImageError, match=rf"the target {name} .*untouched=\['{name}'\]"):
        A.Compose([LungOpacityTransform(p=p)], **more)(**data)
    out = A.Compose([LungOpacityTransform(p=1.0, untouched=[name])], **more)(**data)
    assert (np.asarray(out[name]) == np.asarray(values)).all()
    assert changed(out).any()


def test_every_kind_of_target_is_known() -> None:
    assert set(A.DualTransform.targets.fget(LungOpacityTransform())) <= set(KINDS)


@pytest.mark.parametrize("name", ["images", "volume"])
def test_without_an_image_it_is_refused(name: str) -> None:
    with pytest.raises(ImageError, match=f"no target image, but {name}; LungOpacityTransform serves image, mask"):
        A.Compose([LungOpacityTransform()])(**{name: np.stack([film()] * 2)})


def test_other_data_pass() -> None:
    data = {"path": "a.png", "nodule": 1, "weights": np.ones((96, 96)), "note": None}
    out = call(data=data)
    assert all(out[name] is values for name, values in data.items())
    with pytest.raises(ImageError, match=r"additional_targets=\{'lesion': 'mask'\}"):
        call(data={"lesion": zeros()})


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(1, 96, 96), "not Tensor.*before ToTensorV2"),
        (Image.fromarray(zeros()), r"np.asarray\(picture\) for a PIL image"),
        (zeros().astype(np.uint16), "not uint16.*65535"),
        (np.full((96, 96), np.nan, np.float32), "values from nan"),
        (np.full((96, 96, 3), 1.5, np.float32), "before the image is normalised"),
        (zeros(4), r"not \(96, 96, 4\)"),
        (zeros()[:9], r"at least 16 rows and columns, not \(9, 96\)"),
    ],
)
def test_images_of_another_kind_are_refused(image: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        LungOpacityTransform(p=1.0)(image=image)


def test_inside_a_selection_of_channels_it_is_refused() -> None:
    with pytest.raises(ImageError, match="SelectiveChannelTransform"):
        A.Compose([A.SelectiveChannelTransform([LungOpacityTransform(p=1.0)])])(image=film()[:, :, None].repeat(3, 2))


# Lungs.


def same(image: Any, **_: Any) -> Any:
    return image


@pytest.mark.parametrize(
    "before",
    [
        A.HorizontalFlip(p=1.0),
        A.Affine(p=0.0),
        A.Resize(96, 96),
        A.OneOf([A.Rotate(), A.RandomGamma()]),
        A.Sequential([A.SomeOf([A.Perspective()], n=1)]),
        A.Compose([A.RandomCrop(96, 96)]),
        A.Lambda(image=same, name="same"),
    ],
    ids=lambda step: type(step).__name__,
)
def test_lungs_must_move_with_the_image(before: Any) -> None:
    with pytest.raises(ImageError, match=r"may move the image.*additional_targets=\{'lungs': 'mask'\}"):
        call(before, data={})
    assert changed(call(data={})).any()
    call(before, targets={"lungs": "mask"}, data={"mask": zeros()})
    A.Compose([before, LungOpacityTransform(p=1.0, on_failure="skip")], seed=1)(image=film())  # found after the move


@pytest.mark.parametrize(
    "steps",
    [
        lambda step: [A.RandomGamma(), A.NoOp(), A.CoarseDropout(), step],
        lambda step: [step, A.HorizontalFlip(p=1.0)],
        lambda step: [A.OneOf([step], p=1.0), A.Compose([A.Rotate()])],
        lambda step: [LungOpacityTransform(p=1.0), step],
    ],
)
def test_lungs_need_no_name_where_nothing_moves_before(steps: Any) -> None:
    made = A.Compose(steps(LungOpacityTransform(p=1.0)), seed=1)
    assert (made(image=film(), lungs=chest().lungs.labels)["image"] != film()).any()


def test_an_order_that_is_drawn_may_move_the_image_first() -> None:
    made = A.Compose([A.RandomOrder([LungOpacityTransform(p=1.0), A.VerticalFlip()], n=2)])
    with pytest.raises(ImageError, match="VerticalFlip may move the image"):
        made(image=film(), lungs=chest().lungs.labels)


def test_one_transform_in_two_pipelines_knows_which_one_calls() -> None:
    step = LungOpacityTransform(p=1.0)
    named = A.Compose([A.HorizontalFlip(), step], additional_targets={"lungs": "mask", "lesion": "mask"})
    plain = A.Compose([A.HorizontalFlip(), step])
    data = {"image": film(), "lungs": chest().lungs.labels}
    assert named(**data, lesion=zeros())["lesion"].any()
    with pytest.raises(ImageError, match="may move the image"):
        plain(**data)
    assert named(**data, lesion=zeros())["lesion"].any()


@pytest.mark.parametrize(
    ("lungs", "targets", "message"),
    [
        (lambda labels: labels[:50], None, r"lungs are \(50, 96\), the image is \(96, 96\)"),
        (lambda labels: labels, {"lungs": "image"}, "use additional_targets={'lungs': 'mask'}"),
        (lambda labels: 3 * labels, None, "found the values 0, 3, 6"),
        (lambda labels: (labels == 2).astype(np.uint8), None, "right half of the image"),
    ],
)
def test_lungs_of_another_kind_are_refused(lungs: Any, targets: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        call(targets=targets, data={"lungs": lungs(chest().lungs.labels)}, on_failure="skip")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
@pytest.mark.parametrize("top", [1, 255])
def test_a_mask_of_both_lungs_is_split(dtype: Any, top: int) -> None:
    lungs = (chest().lungs.mask * top).astype(dtype)
    out = call(data={"lungs": lungs}, sides=["left"])
    assert not (changed(out) & ~chest().lungs.left).any()
    assert (out["image"] == call(data={}, sides=["left"])["image"]).all()


# Everything else that pipelines do.


def test_strict_replayed_stored_and_pickled() -> None:
    arguments: dict[str, Any] = {"lesion_targets": ["extra"], "untouched": ["clean"]}
    targets = {"lungs": "mask", "extra": "mask", "clean": "image", "lesion": "mask"}
    data = {"mask": zeros(), "extra": zeros(), "clean": film(), "lesion": zeros(), "masks": [zeros()]}
    flip = A.HorizontalFlip(p=1.0)
    out = call(flip, targets=targets, pipeline={"strict": True}, data=data, **arguments)
    assert (out["clean"] == film()[:, ::-1]).all()
    assert ((out["image"] != out["clean"]) == (out["extra"] > 0)).all()
    made = A.Compose([flip, LungOpacityTransform(p=1.0, **arguments)], additional_targets=targets)
    for other in (made, pickle.loads(pickle.dumps(made)), A.from_dict(A.to_dict(made)), copy.deepcopy(made)):
        other.set_random_seed(7)
        again = other(image=film(), lungs=chest().lungs.labels, **data)
        assert all((again[name] == out[name]).all() for name in ("image", "mask", "extra", "lesion", "clean"))
    replayed = call(A.HorizontalFlip(p=1.0), kind=A.ReplayCompose, targets=targets, data=data, **arguments)
    again = A.ReplayCompose.replay(replayed["replay"], image=film(), lungs=chest().lungs.labels, **data)
    assert all((again[name] == out[name]).all() for name in ("image", "mask", "extra", "lesion", "clean"))
    with pytest.raises(ArtasynError, match="no target image"):
        A.ReplayCompose.replay(replayed["replay"], images=[film()])
