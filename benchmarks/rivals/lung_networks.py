"""Networks that find lungs, with random weights, to compare times with: the time does not depend on the weights.

torchxrayvision offers a PSPNet on ResNet-101 that finds 14 structures on films of 512 x 512 pixels. The U-Net has the
widths of its paper, in MONAI.

Source: PSPNet (Zhao et al., CVPR 2017) as trained for ChestX-Det (Lian et al., TMI 2021); U-Net (Ronneberger et al.,
MICCAI 2015).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch

from artasyn.arrays import Image

STRUCTURES = 14
WIDTHS = (64, 128, 256, 512, 1024, 64)
"""Channels of the U-Net's levels from fine to coarse, and of its last level on the way up."""
Segment = Callable[[Image], torch.Tensor]


def pspnet() -> tuple[Segment, float]:
    """The PSPNet of torchxrayvision, for films of 512 x 512 pixels, and its weights in millions.

    Raises:
        ImportError: torchxrayvision is missing.
    """
    package = importlib.import_module("torchxrayvision.baseline_models.chestx_det")
    return _prepared(package.pspnet(STRUCTURES), channels=3)


def unet() -> tuple[Segment, float]:
    """A U-Net for one lung a channel, and its weights in millions.

    Raises:
        ImportError: MONAI is missing.
    """
    nets = importlib.import_module("monai.networks.nets")
    return _prepared(nets.BasicUNet(spatial_dims=2, in_channels=1, out_channels=2, features=WIDTHS), channels=1)


def _prepared(net: Any, channels: int) -> tuple[Segment, float]:
    """A network as a function from a film to masks (k, h, w), and its weights in millions."""
    net = net.eval()

    def segment(image: Image) -> torch.Tensor:
        with torch.inference_mode():
            film = torch.from_numpy(image)[None, None].expand(1, channels, -1, -1)
            found: torch.Tensor = net((film - 0.45) / 0.225)[0] > 0
            return found

    return segment, round(sum(weights.numel() for weights in net.parameters()) / 1e6, 1)
