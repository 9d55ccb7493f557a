"""The reconstruction network: it turns a radiograph into the radiograph of a healthy chest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artasyn.networks.blocks import block, enlarged
from artasyn.networks.encoders import create_encoder, feature_maps
from artasyn.networks.folding import Folding
from artasyn.shapes import Float
from artasyn.tensors import Features, Images

GATE = 8
"""Channels of a gate's comparison."""


class ReconstructionNet(nn.Module):
    """A timm encoder and a decoder with gated skip connections, which close where the chest looks abnormal.

    **Why the anomaly does not pass the skip connections.** A separate loss
    (`artasyn.training.losses.feature_alignment`) pulls the deepest features toward those of the normal radiograph, so
    the deepest features encode the healthy anatomy. At every level of the decoder, a gate compares the decoder's
    features with the encoder's features (`Gate`). The gate passes the encoder's features only where the two agree;
    elsewhere the decoder continues with its own features. The last gate does the same with the pixels:
    ``x' = (1 - g) * x + g * r``, where r is drawn by the decoder. Normal tissue passes unchanged, and an anomaly is
    redrawn from its surroundings.

    Args:
        encoder: any timm model that supports `features_only`.
        pretrained: start from weights learnt on photographs (`artasyn.networks.pretrained`); never required.
        size: rows and columns of the images, for encoders of a fixed size (transformers); others take any size.
        levels: feature maps of the encoder that are used, finest first; None for all. The deepest ones have most of the
            weights.
        decoder_channels: channels of the decoder at each level, deepest first; the last repeats for further
            levels.

    Raises:
        ModelError: timm does not know the encoder, or the encoder gives no feature maps for images of this size.

    Source: ART-ASyn (arXiv 2512.00310), reconstruction network, with another backbone. The published U-Net takes 7 s
    per training image on a CPU core, and its skip connections at every level let the anomaly through.

    Example:
        >>> net = ReconstructionNet("test_resnet").eval()
        >>> net(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(
        self,
        encoder: str = "test_resnet",
        *,
        pretrained: bool = False,
        size: int = 128,
        levels: int | None = None,
        decoder_channels: tuple[int, ...] = (64, 48, 32, 24, 16),
    ) -> None:
        super().__init__()
        self.encoder = create_encoder(encoder, pretrained=pretrained, size=size, levels=levels)
        self._folding = Folding()
        info: Any = self.encoder.feature_info
        channels = [int(c) for c in info.channels()][::-1]
        widths = [*decoder_channels, *[decoder_channels[-1]] * len(channels)][: len(channels)]
        self.bottleneck = block(channels[0], widths[0])
        self.gates = nn.ModuleList(Gate(before, skip) for before, skip in zip(widths, channels[1:], strict=False))
        self.levels = nn.ModuleList(
            block(before + skip, after) for before, skip, after in zip(widths, channels[1:], widths[1:], strict=False)
        )
        self.last_gate = Gate(widths[-1], 1)
        self.head = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def encode(self, images: Images) -> list[Tensor]:
        """Returns the encoder's feature maps, finest first, each (b, c, y, x)."""
        inference = torch.is_inference_mode_enabled() and not self.encoder.training
        return feature_maps(self._folding(self.encoder) if inference else self.encoder, images)

    def decode(self, features: list[Tensor], images: Images) -> Images:
        """Reconstructs images from their feature maps and their pixels.

        Args:
            features: as `encode` returns them.
            images: (b, 1, h, w) in [0, 1].

        Returns:
            (b, 1, h, w), not clipped.
        """
        *shallow, deepest = features
        x: Tensor = self.bottleneck(deepest)
        for level, gate, feature in zip(self.levels, self.gates, reversed(shallow), strict=True):
            x = enlarged(x, feature)
            x = level(torch.cat([x, (1 - gate(x, feature)) * feature], dim=1))
        x = enlarged(x, images)
        closed, drawn = self._drawn(x, images)
        return (1 - closed) * images + closed * drawn

    def _drawn(self, x: Features, images: Images) -> tuple[Images, Images]:
        """Returns how far the last gate is closed, and the pixels that the decoder draws.

        Gate and drawing read the same features, which are the largest of the network, so one convolution does for both.
        """
        gate, width = self.last_gate, x.shape[1]
        weights = gate.first.weight
        both = F.conv2d(x, torch.cat([weights[:, :width], self.head.weight]), padding=1)
        compared, drawn = torch.split(both, [GATE, 1], dim=1)
        compared = compared + F.conv2d(images, weights[:, width:], padding=1)
        return gate.judge(compared), drawn + self.head.get_parameter("bias")[:, None, None]

    def forward(self, images: Images) -> Images:
        """Reconstructs a batch (b, 1, h, w) of images in [0, 1]; the result is not clipped."""
        return self.decode(self.encode(images), images)


class Gate(nn.Module):
    """Marks the places where the seen features differ from the expected features.

    Args:
        expected: channels of the decoder's features.
        seen: channels of the encoder's features, or of the image.
    """

    def __init__(self, expected: int, seen: int) -> None:
        super().__init__()
        self.compare = nn.Sequential(block(expected + seen, GATE), nn.Conv2d(GATE, 1, 1))
        bias = self.compare[-1].get_parameter("bias")
        nn.init.constant_(bias, -2.0)  # open at first: a healthy radiograph comes through

    def forward(self, expected: Features, seen: Float[Tensor, "b s y x"]) -> Float[Tensor, "b 1 y x"]:
        """Compares features on one grid and returns (b, 1, y, x), from 0 (open: seen as expected) to 1 (closed)."""
        return self.judge(self.first(torch.cat([expected, seen], dim=1)))

    @property
    def first(self) -> nn.Conv2d:
        """The convolution that reads the expected and the seen features, in this order."""
        convolution = self.compare.get_submodule("0.0")
        assert isinstance(convolution, nn.Conv2d)
        return convolution

    def judge(self, compared: Features) -> Float[Tensor, "b 1 y x"]:
        """Returns from 0 (open) to 1 (closed) what the first convolution compared."""
        norm, activation, last = (self.compare.get_submodule(name) for name in ("0.1", "0.2", "1"))
        if compared.dtype == torch.bfloat16:  # one channel after the other: the gradient of the norm takes a quarter
            compared = compared.contiguous()
        return torch.sigmoid(last(activation(norm(compared))))
