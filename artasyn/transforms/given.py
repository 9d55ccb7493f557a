"""Images, masks and lungs as training loops hold them: arrays, tensors and PIL images."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PILImage
from torch import Tensor

from artasyn.errors import ImageError

_PIL_IMAGES = ("L", "RGB")
_PIL_MASKS = ("1", "L", "P", "I", "I;16", "F")


def pixels(image: Any) -> npt.NDArray[Any]:
    """Returns an image as an array with the channels last, (h, w) or (h, w, c).

    Half precision becomes float32, which holds the same values. Other values and dtypes stay as they are.

    Args:
        image: an array (h, w) or (h, w, c), which is returned as it is; a tensor (h, w), (1, h, w) or (3, h, w); or a
            PIL image of mode L or RGB.

    Raises:
        ImageError: the image is none of these.
    """
    if isinstance(image, PILImage.Image):
        if image.mode not in _PIL_IMAGES:
            raise ImageError(f"a PIL image must have mode L or RGB, not {image.mode}; use image.convert('L')")
        return np.asarray(image)
    if isinstance(image, Tensor):
        values = _numpy(image)
        if values.ndim == 2:
            return values
        if values.ndim == 3 and values.shape[0] in (1, 3):
            return np.ascontiguousarray(values.transpose(1, 2, 0))
        last = values.ndim == 3 and values.shape[2] in (1, 3)
        do = "use image.permute(2, 0, 1)" if last else "give one image at a time, or a batch to BatchLungOpacity"
        raise ImageError(f"image must be a tensor (h, w), (1, h, w) or (3, h, w), not {tuple(image.shape)}; {do}")
    if not isinstance(image, np.ndarray):
        raise ImageError(f"image must be an array, a tensor or a PIL image, not {type(image).__name__}")
    return image


def region(values: Any, name: str) -> npt.NDArray[Any]:
    """Returns lungs or a mask as an array of the same shape.

    Args:
        values: an array, a tensor or a PIL image of one channel; of a palette the indices count.
        name: for the message.

    Raises:
        ImageError: the values are none of these.
    """
    if isinstance(values, Tensor):
        return _numpy(values)
    if isinstance(values, PILImage.Image) and values.mode in _PIL_MASKS:
        return np.asarray(values)
    if isinstance(values, np.ndarray):
        return values
    kind = f"a PIL image of mode {values.mode}" if isinstance(values, PILImage.Image) else type(values).__name__
    raise ImageError(f"{name} must be an array, a tensor or a PIL image of one channel, not {kind}")


def as_tensor(values: npt.NDArray[Any]) -> Tensor:
    """Returns an image (h, w) or (h, w, c) as a tensor (h, w) or (c, h, w)."""
    return torch.from_numpy(np.ascontiguousarray(values if values.ndim == 2 else values.transpose(2, 0, 1)))


def check_moved(name: str, values: Any, module: Any) -> None:
    """Refuses lungs or a mask that torchvision leaves where they are while it may move the image.

    In a pipeline of torchvision.transforms.v2 only images and `tv_tensors` move. Of plain tensors, the first one moves.

    Args:
        name: for the message.
        values: the lungs or the mask; None if there are none.
        module: the transform that asks.

    Raises:
        ImageError: an earlier transform of the calling pipeline may have moved the image alone.
    """
    v2 = sys.modules.get("torchvision.transforms.v2")  # without it there is no such pipeline
    if values is None or v2 is None or isinstance(values, PILImage.Image | sys.modules["torchvision.tv_tensors"].Mask):
        return
    pipeline, frame = None, inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self") if frame.f_code.co_name == "forward" else None
        pipeline = caller if isinstance(caller, v2.Compose | torch.nn.Sequential) else pipeline
        frame = frame.f_back
    steps = [] if pipeline is None else list(_steps(pipeline))
    last = max((number for number, step in enumerate(steps) if step is module), default=0)
    drawn = any(isinstance(step, v2.RandomOrder) for step in steps)
    movers = [
        type(step).__name__
        for step in (steps if drawn else steps[:last])
        if type(step).__module__ == "torchvision.transforms.v2._geometry"
    ]
    if movers:
        raise ImageError(
            f"{', '.join(dict.fromkeys(movers))} may move the image, but not the {name}; give {name} as "
            f"torchvision.tv_tensors.Mask({name})"
        )


def _steps(part: Any) -> Iterator[Any]:
    """Yields the parts of a pipeline, depth first."""
    yield part
    for step in part if isinstance(part, torch.nn.Sequential) else getattr(part, "transforms", ()):
        yield from _steps(step)


def _numpy(values: Tensor) -> npt.NDArray[Any]:
    """Returns a tensor as an array; numpy has no bfloat16, so half precision becomes float32."""
    plain = values.detach().cpu().as_subclass(Tensor)
    narrow = plain.is_floating_point() and plain.dtype not in (torch.float32, torch.float64)
    return np.asarray((plain.float() if narrow else plain).numpy())
