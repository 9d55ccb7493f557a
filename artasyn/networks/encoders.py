"""Encoders: timm models that give feature maps of radiographs."""

from __future__ import annotations

import re
from typing import Any

import timm
import torch
from torch import Tensor, nn

from artasyn.errors import ModelError
from artasyn.fields import shown
from artasyn.networks.pretrained import PACKAGES, load_pretrained
from artasyn.tensors import Images

MEAN, DEVIATION = 0.45, 0.225
"""Mean and standard deviation of the grey of photographs. Pretrained encoders expect these; others take any values."""


def create_encoder(name: str, *, pretrained: bool, size: int, levels: int | None) -> nn.Module:
    """Creates a timm model with one input channel that returns feature maps, and runs it once as a test.

    Only names in timm's own list are taken. A name that would lead timm to a hub, a folder or an address is refused.
    """
    if not (re.fullmatch(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?", name) and timm.is_model(name)):
        raise ModelError(f"{shown(name)} is no timm model with feature maps; see timm.list_models()")
    here = pretrained and name in PACKAGES
    options: dict[str, Any] = {"features_only": True, "in_chans": 1, "pretrained": pretrained and not here}
    if levels is not None:
        if levels < 1:
            raise ModelError(f"levels must be 1 or more, or None for all of {name!r}; not {levels}")
        options["out_indices"] = tuple(range(levels))
    try:
        try:
            encoder: nn.Module = timm.create_model(name, img_size=size, **options)
        except TypeError:  # convolutional networks take any size and know no img_size
            encoder = timm.create_model(name, **options)
    except IndexError as error:
        raise ModelError(f"{name!r} has no {levels} levels of feature maps; give fewer, or None for all") from error
    except (RuntimeError, AttributeError, AssertionError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{name!r} is no timm model with feature maps ({error}); see timm.list_models()") from error
    if here:
        load_pretrained(encoder, name)
    blocks = getattr(encoder, "blocks", None)
    if levels is not None and isinstance(blocks, nn.Sequential):  # timm would also compute unused blocks
        info: Any = encoder.feature_info
        encoder.blocks = blocks[: max(int(level["stage"]) for level in info.get_dicts())]
    try:
        with torch.no_grad():
            encoder.eval()(torch.zeros(1, 1, size, size))
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"{name!r} takes no images of {size} x {size} ({error}); try 224") from error
    return encoder.train()


def feature_maps(encoder: nn.Module, images: Images) -> list[Tensor]:
    """Returns an encoder's maps of radiographs, finest first, each (b, c, y, x).

    Args:
        encoder: from `create_encoder`.
        images: (b, 1, h, w) in [0, 1].
    """
    maps: list[Tensor] = encoder((images - MEAN) / DEVIATION)
    channels_last = getattr(encoder, "output_fmt", "NCHW") == "NHWC"
    return [m.permute(0, 3, 1, 2) for m in maps] if channels_last else list(maps)
