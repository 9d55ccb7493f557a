"""Images, masks and boxes of torchvision and Pillow, returned as they were given."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor

from artasyn.errors import ImageError
from artasyn.transforms.boxes import LesionBox, label_of
from artasyn.transforms.given import as_tensor, region
from artasyn.transforms.insertion import Inserted
from artasyn.transforms.targets import marked


def no_mask(image: Any, shape: tuple[int, ...]) -> Tensor:
    """Returns an empty mask for an image, which torchvision moves where it moves the image."""
    device = image.device if isinstance(image, Tensor) else None
    whole = isinstance(image, Tensor) and image.ndim == 2
    mask = torch.zeros(shape[:2] if whole else (1, *shape[:2]), dtype=torch.bool, device=device)
    if type(image) is Tensor:
        return mask
    from torchvision import tv_tensors  # a second to import, and plain tensors do not need it

    moving: Tensor = tv_tensors.Mask(mask)
    return moving


def as_held(made: Inserted, given: Any) -> tuple[Any, Inserted]:
    """Returns a changed image as the given one is held, and the anomaly with the pixels that changed in its dtype."""
    if not isinstance(given, Tensor):
        return PILImage.fromarray(made.image), made
    image = as_tensor(made.image).to(given.device, given.dtype)
    if image.dtype in (torch.uint8, torch.float32, torch.float64):
        return like(image, given), made
    differs = (image != given).as_subclass(Tensor)
    mask = (differs if differs.ndim == 2 else differs.any(0)).cpu().numpy()
    found = {name: part & mask for name, part in made.findings.items()}
    return like(image, given), replace(made, mask=mask, findings=found)


def marked_as(mask: Any, made: Inserted, names: Sequence[str], value: float | None) -> Any:
    """Adds the pixels of an anomaly to a mask (h, w), (1, h, w) or (n, h, w), with a channel for each of n findings."""
    values = region(mask, "mask")
    if value is None:
        value = 255 if isinstance(mask, PILImage.Image) and mask.mode == "L" else 1
    union = marked(values.transpose(1, 2, 0) if values.ndim == 3 else values, made, names, float(value))
    if isinstance(mask, PILImage.Image):
        result = PILImage.fromarray(union)
        if mask.mode == "P" and mask.palette:
            result.putpalette(mask.palette)
        return result
    if isinstance(mask, np.ndarray):
        return union.transpose(2, 0, 1) if union.ndim == 3 else union
    return like(as_tensor(union).to(mask.device, mask.dtype), mask)


def like(values: Tensor, given: Tensor) -> Tensor:
    """Returns a tensor in the subclass of the given one, such as torchvision's Image and Mask."""
    return values.as_subclass(type(given)) if type(given) is not Tensor else values.as_subclass(Tensor)


def boxes_name(sample: Mapping[str, Any]) -> str | None:
    """Returns the name of a sample's boxes, which torchvision knows by their class; None if there are none.

    Raises:
        ImageError: there are boxes of an unknown format, masks of single lesions beside the boxes, or several boxes of
            which none are called ``boxes``.
    """
    known = sys.modules.get("torchvision.tv_tensors")  # without it there are no such boxes
    named = [name for name, values in sample.items() if known and isinstance(values, known.BoundingBoxes)]
    if not named:
        if sample.get("boxes") is not None:
            raise ImageError(
                f"boxes are a {type(sample['boxes']).__name__} of an unknown format; give them as "
                "torchvision.tv_tensors.BoundingBoxes(boxes, format='XYXY', canvas_size=(h, w))"
            )
        return None
    if sample.get("masks") is not None:
        raise ImageError("masks of single boxes are not served; give a mask of all lesions, named mask")
    if len(named) > 1 and "boxes" not in named:
        raise ImageError(f"{', '.join(named)} are all boxes; name those of the lesions boxes")
    return "boxes" if "boxes" in named else named[0]


def with_tensor_boxes(
    sample: Mapping[str, Any], name: str, new: Sequence[LesionBox], shape: tuple[int, ...], labels: Any
) -> dict[str, Any]:
    """Returns the boxes of a sample with new ones, and their labels if the sample has some.

    Args:
        sample: with boxes (n, 4), and perhaps ``labels``: a tensor (n,) or a list.
        name: of the boxes.
        new: the boxes to add.
        shape: rows and columns of the image.
        labels: the labels of the new boxes, as in `RandomLungOpacity`.

    Raises:
        ImageError: the boxes lie on another canvas or are turned, or a label is not known or of another kind.
    """
    from torchvision import tv_tensors
    from torchvision.transforms.v2.functional import convert_bounding_box_format

    given = sample[name]
    if given.ndim != 2 or given.shape[1] != 4 or tuple(given.canvas_size) != tuple(shape):
        raise ImageError(
            f"{name} are {tuple(given.shape)} on a canvas of {tuple(given.canvas_size)}, the image is {tuple(shape)}; "
            "give upright boxes (n, 4) with the image's canvas_size"
        )
    corners = torch.tensor([(box.left, box.top, box.right, box.bottom) for box in new], dtype=torch.float64)
    made = convert_bounding_box_format(corners.reshape(-1, 4), old_format="XYXY", new_format=given.format)
    boxes = tv_tensors.wrap(torch.cat([given.as_subclass(Tensor), made.to(given)]), like=given)
    if sample.get("labels") is None:
        return {name: boxes}
    added = [label_of(box.finding, "labels", (), labels) for box in new]
    return {name: boxes, "labels": _with_labels(sample["labels"], added)}


def _with_labels(given: Any, new: list[Any]) -> Any:
    """Returns the labels of boxes with new ones: a tensor of numbers, or a list.

    Raises:
        ImageError: the new labels are of another kind than the given ones.
    """
    if not isinstance(given, Tensor):
        return [*given, *new]
    wrong = [label for label in new if isinstance(label, bool) or not isinstance(label, int | float)]
    added = torch.tensor([] if wrong else new, dtype=torch.float64).to(given)
    if wrong or added.tolist() != new:
        raise ImageError(
            f"labels of {given.dtype} cannot hold the label {(wrong or new)[0]!r} of a new box; say what the box gets "
            "with RandomLungOpacity(box_labels=...), a number or a dictionary with a number for each finding"
        )
    return torch.cat([given, added])
