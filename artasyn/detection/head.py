"""The discriminative head: it finds the lungs, and the differences from the healthy reconstruction in them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artasyn.networks.blocks import block, enlarged
from artasyn.shapes import Float
from artasyn.tensors import Images

WIDTHS = (64, 48, 32, 24)
"""Channels of the head at each level, deepest first."""


class DiscriminativeHead(nn.Module):
    """Decodes the encoder's features and the difference from the reconstruction to logits for every pixel.

    The difference alone marks every edge that is reconstructed a pixel off, and misses anomalies that the
    reconstruction lets through. The head learns from synthetic anomalies which differences matter. The same features
    tell where the lungs are, under an opacity too.

    Args:
        channels: of the encoder's feature maps, finest first. With more than three maps the finest one is left out:
            opacities have no sharp outline.

    Source: DRAEM (Zavrtanik et al., ICCV 2021). There a second network sees image and reconstruction; here the encoder
        is shared.

    Example:
        >>> head = DiscriminativeHead([8, 16, 32])
        >>> maps = [torch.zeros(1, c, s, s) for c, s in ((8, 16), (16, 8), (32, 4))]
        >>> [logits.shape for logits in head(maps, torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32))]
        [torch.Size([1, 1, 32, 32]), torch.Size([1, 1, 32, 32])]
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        deepest, *skips = list(channels)[1:][::-1] if len(channels) > 3 else list(channels)[::-1]
        widths = [*WIDTHS, *[WIDTHS[-1]] * len(skips)][: len(skips)]
        before = [deepest, *widths]
        self.levels = nn.ModuleList(
            nn.Sequential(block(b + skip, w), block(w, w)) for b, skip, w in zip(before, skips, widths, strict=False)
        )
        self.compare = nn.Sequential(block(before[-1] + 2, WIDTHS[-1]), nn.Conv2d(WIDTHS[-1], 1, 1))
        self.lungs = nn.Conv2d(before[-1], 1, 1)

    def forward(
        self, features: list[Tensor], images: Images, reconstructions: Images
    ) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
        """Returns the logits of an anomaly and of the lungs for every pixel, each (b, 1, h, w).

        Args:
            features: the encoder's maps of the images, finest first.
            images: (b, 1, h, w) in [0, 1].
            reconstructions: (b, 1, h, w), the images as healthy chests would give them.
        """
        deepest, *skips = features[::-1][: len(self.levels) + 1]
        x: Tensor = deepest
        for level, skip in zip(self.levels, skips, strict=True):
            x = level(torch.cat([enlarged(x, skip), skip], dim=1))
        seen = torch.cat([images - reconstructions, reconstructions], dim=1)
        compared: Tensor = self.compare(torch.cat([x, F.interpolate(seen, x.shape[-2:], mode="area")], dim=1))
        return enlarged(compared, images), enlarged(self.lungs(x), images)
