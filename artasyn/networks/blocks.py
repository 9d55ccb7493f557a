"""Small parts that decoders are built of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from artasyn.shapes import Float
from artasyn.tensors import Features

REACHED = (0.25, 0.75, 0.75, 0.25)
"""Weights of a pixel in four neighbouring pixels of a grid with half its spacing."""


def block(before: int, after: int) -> nn.Sequential:
    """Returns a 3 x 3 convolution with group normalisation and SiLU; its result does not depend on the batch size."""
    groups = next(g for g in (8, 4, 2, 1) if after % g == 0)
    convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(groups, after), nn.SiLU())


def enlarged(features: Float[Tensor, "b c _ _"], like: Float[Tensor, "b _ y x"]) -> Features:
    """Resamples features to the grid of other features."""
    rows, columns = like.shape[-2:]
    if (
        features.requires_grad
        and torch.is_grad_enabled()
        and (rows, columns) == tuple(2 * n for n in features.shape[2:])
    ):
        doubled: Features = _Doubled.apply(features)
        return doubled
    return F.interpolate(features, (rows, columns), mode="bilinear", align_corners=False)


class _Doubled(torch.autograd.Function):
    """Bilinear features on a grid of half the spacing, with a gradient that takes half of the time of torch's own.

    Every pixel reaches four pixels of the finer grid in each direction, with the weights `REACHED`. A pixel at an edge
    stands for those beyond the edge too, so the gradient there is that of a repeated edge.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        weights = gradient.new_tensor(REACHED)
        kernel = torch.outer(weights, weights).expand(gradient.shape[1], 1, 4, 4)
        padded = F.pad(gradient, [1, 1, 1, 1], mode="replicate")
        return F.conv2d(padded, kernel, stride=2, groups=gradient.shape[1])
