"""The reconstruction network: a radiograph in, the radiograph that a healthy chest would have given out."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artasyn.arrays import Features, Images
from artasyn.errors import ModelError


class ReconstructionNet(nn.Module):
    """A timm encoder and a decoder that must rebuild the level of every region from the deepest features.

    **How the skips do not let the anomaly through.** There is no connection from input to output, and a skip passes
    only the difference between a feature map and its own local mean (`Detail`): edges of ribs and vessels, finer than
    an opacity, come through; the level of a region, which is what an opacity changes, does not. That level has to
    come from the deepest features, whose alignment with those of the normal radiograph is a loss of its own.

    Args:
        encoder: any timm model that has `features_only`.
        pretrained: start from timm's weights, which are downloaded then; never required.
        size: rows and columns of the images, for encoders that need to know (transformers); others take any.
        decoder_channels: channels of the decoder at each level, deepest first; the last repeats for further levels.
        detail: the side of the window of the skips' local mean, as a fraction of the image's side.

    Raises:
        ModelError: timm does not know the encoder, or it gives no feature maps.

    Source: ART-ASyn (arXiv 2512.00310), reconstruction network, with another backbone: the published U-Net takes 7 s
    a training image on a CPU core.

    Example:
        >>> net = ReconstructionNet("resnet10t").eval()
        >>> net(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(
        self,
        encoder: str = "resnet10t",
        *,
        pretrained: bool = False,
        size: int = 128,
        decoder_channels: tuple[int, ...] = (96, 64, 32, 24, 16),
        detail: float = 0.1,
    ) -> None:
        super().__init__()
        self.encoder = _create_encoder(encoder, pretrained=pretrained, size=size)
        info = self.encoder.feature_info
        channels, reductions = info.channels()[::-1], info.reduction()[::-1]
        widths = [*decoder_channels, *[decoder_channels[-1]] * len(channels)][: len(channels)]
        self.bottleneck = _block(channels[0], widths[0])
        self.skips = nn.ModuleList(Detail(detail, stride) for stride in reductions[1:])
        self.levels = nn.ModuleList(
            _block(before + skip, after)
            for before, skip, after in zip(widths, channels[1:], widths[1:], strict=False)
        )
        self.head = nn.Sequential(_block(widths[-1], widths[-1]), nn.Conv2d(widths[-1], 1, 3, padding=1))

    def encode(self, images: Images) -> list[Tensor]:
        """The encoder's feature maps, finest first, each (b, c, y, x)."""
        maps: list[Tensor] = self.encoder(images)
        channels = self.encoder.feature_info.channels()
        return [m if m.shape[1] == c else m.permute(0, 3, 1, 2) for m, c in zip(maps, channels, strict=True)]

    def decode(self, features: list[Tensor], size: tuple[int, int]) -> Images:
        """The reconstruction from feature maps.

        Args:
            features: as `encode` gives them.
            size: rows and columns of the reconstruction.
        """
        *shallow, deepest = features
        x = self.bottleneck(deepest)
        for level, skip, feature in zip(self.levels, self.skips, reversed(shallow), strict=True):
            x = F.interpolate(x, feature.shape[-2:], mode="bilinear", align_corners=False)
            x = level(torch.cat([x, skip(feature)], dim=1))
        reconstruction: Tensor = self.head(F.interpolate(x, size, mode="bilinear", align_corners=False))
        return reconstruction

    def forward(self, images: Images) -> Images:
        """Reconstructs a batch (b, 1, h, w) of images in [0, 1]; the result is not clipped."""
        return self.decode(self.encode(images), (images.shape[-2], images.shape[-1]))


class Detail(nn.Module):
    """What is finer than a window: a feature map minus its local mean.

    Args:
        window: the side of the window as a fraction of the image's side.
        stride: pixels of the image in a cell of the feature map.
    """

    def __init__(self, window: float, stride: int) -> None:
        super().__init__()
        self.window, self.stride = window, stride

    def forward(self, features: Features) -> Features:
        """(b, c, y, x) in and out; the mean over any window of the result is near 0."""
        radius = max(1, round(self.window * min(features.shape[-2:]) / 2))
        padded = F.pad(features, [radius] * 4, mode="replicate")
        return features - F.avg_pool2d(padded, 2 * radius + 1, stride=1)


def _create_encoder(name: str, *, pretrained: bool, size: int) -> nn.Module:
    """A timm model of one input channel that returns feature maps."""
    options: dict[str, Any] = {"features_only": True, "in_chans": 1, "pretrained": pretrained}
    try:
        try:
            encoder: nn.Module = timm.create_model(name, img_size=size, **options)
        except TypeError:  # convolutional networks take any size and know no img_size
            encoder = timm.create_model(name, **options)
    except (RuntimeError, AttributeError, AssertionError) as error:
        raise ModelError(f"{name!r} is no timm model with feature maps ({error}); see timm.list_models()") from error
    return encoder


def _block(before: int, after: int) -> nn.Sequential:
    """A 3 x 3 convolution, normalised by groups so that a batch of any size gives the same."""
    groups = next(g for g in (8, 4, 2, 1) if after % g == 0)
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.GroupNorm(groups, after), nn.SiLU())
