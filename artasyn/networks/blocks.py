"""Small parts that decoders are built of."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from artasyn.shapes import Float
from artasyn.tensors import Features


def block(before: int, after: int) -> nn.Sequential:
    """Returns a 3 x 3 convolution with group normalisation and SiLU; its result does not depend on the batch size."""
    groups = next(g for g in (8, 4, 2, 1) if after % g == 0)
    convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(groups, after), nn.SiLU())


def enlarged(features: Float[Tensor, "b c _ _"], like: Float[Tensor, "b _ y x"]) -> Features:
    """Resamples features to the grid of other features."""
    return F.interpolate(features, like.shape[-2:], mode="bilinear", align_corners=False)
