"""Novelty: how far a whole radiograph is from normal ones, in the features of a network's encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sklearn.covariance import LedoitWolf
from torch import Tensor, nn
from torch.nn import functional as F

from artasyn.shapes import Float
from artasyn.tensors import Images

MAPS = 2
"""Number of feature maps that are used, the deepest ones."""

MOST_CHANNELS = 256
"""Most channels of a feature map that are used; of wider maps every second channel, or every third, and so on."""

SMALLEST = 0.01
"""Variance that is added in every direction; each statistic has a variance of 1. Rounding, and directions that hardly
vary among normal radiographs, then do not dominate the distance."""


class Novelty(nn.Module):
    """Measures the Mahalanobis distance of a radiograph's features from the features of normal radiographs.

    Synthetic anomalies teach a network which anomalies to find. The novelty adds evidence that needs no known cause:
    the radiograph is unlike all normal ones. The statistics are the mean and the standard deviation of each channel of
    the deepest maps, over the region where normal radiographs have their lungs. Held-out normal radiographs standardise
    the logarithm of the distance: 0 is usual, and a value beyond 2 is rare among normal radiographs of the same source.
    Radiographs of another source have higher values.

    Before `fit` the novelty is 0.

    Args:
        channels: of the encoder's feature maps, finest first.
        size: rows and columns of the images that the maps belong to.

    Source: Lee et al., "A simple unified framework for detecting out-of-distribution samples", NeurIPS 2018, one
        class; a subset of the channels as in PaDiM (Defard et al., ICPR 2020).

    Example:
        >>> novelty = Novelty([4], size=16)
        >>> films = torch.randn(64, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> novelty.fit(novelty.statistics([films[:48]]), novelty.statistics([films[48:]]))
        >>> bool((novelty([films[:8] + 1]) > 2).all())
        True
    """

    region: Tensor
    mean: Tensor
    whitening: Tensor
    center: Tensor
    spread: Tensor

    def __init__(self, channels: Sequence[int], size: int) -> None:
        super().__init__()
        count = 2 * sum(len(range(0, c, _step(c))) for c in channels[-MAPS:])
        self.register_buffer("region", torch.ones(1, 1, size, size))
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("whitening", torch.zeros(count, count))
        self.register_buffer("center", torch.tensor(0.0))
        self.register_buffer("spread", torch.tensor(torch.inf))

    def look_at(self, region: Images) -> None:
        """Sets the weight of each pixel; call it before `statistics`.

        Args:
            region: (1, 1, size, size), the mean lung region of normal radiographs.
        """
        self.region.copy_(region)

    def statistics(self, features: list[Tensor]) -> Float[Tensor, "b statistics"]:
        """Returns the mean and the standard deviation of each channel over the region.

        Args:
            features: the encoder's maps of a batch, finest first, each (b, c, y, x).
        """
        found = []
        for values in features[-MAPS:]:
            channels = values[:, :: _step(values.shape[1])]
            weight = F.interpolate(self.region, channels.shape[-2:], mode="area")
            weight = weight / weight.sum().clamp(min=1e-6)
            mean = (channels * weight).sum(dim=(2, 3))
            variance = ((channels - mean[..., None, None]).square() * weight).sum(dim=(2, 3))
            found += [mean, variance.sqrt()]
        return torch.cat(found, dim=1)

    def distances(self, statistics: Float[Tensor, "b statistics"]) -> Float[Tensor, " b"]:
        """Returns the logarithms of the Mahalanobis distances."""
        whitened = (statistics - self.mean) @ self.whitening
        return whitened.square().sum(dim=1).clamp(min=1e-12).log() / 2

    def forward(self, features: list[Tensor]) -> Float[Tensor, " b"]:
        """Returns how unusual each radiograph is, in standard deviations of held-out normal radiographs."""
        return (self.distances(self.statistics(features)) - self.center) / self.spread

    def fit(self, normal: Float[Tensor, "n statistics"], held_out: Float[Tensor, "m statistics"]) -> None:
        """Learns the statistics of normal radiographs.

        Args:
            normal: statistics of the radiographs that the network was trained on, varied as between hospitals.
                Differences that only tell one source from another then weigh little.
            held_out: statistics of normal radiographs that the network was not trained on.
        """
        values = normal.double()
        deviation = values.std(dim=0)
        deviation = deviation.clamp(min=float(0.01 * deviation.median() + 1e-6))  # some channels hardly react
        covariance = LedoitWolf().fit(((values - values.mean(dim=0)) / deviation).cpu().numpy()).covariance_
        variances, directions = torch.linalg.eigh(torch.from_numpy(covariance).to(deviation.device))
        self.mean.copy_(values.mean(dim=0))
        self.whitening.copy_(directions / (variances.clamp(min=0) + SMALLEST).sqrt() / deviation[:, None])
        found = self.distances(held_out)
        self.center.copy_(found.mean())
        self.spread.copy_(found.std(correction=0).clamp(min=0.05))  # a few radiographs hardly differ


def _step(channels: int) -> int:
    """Returns the step between the channels that are used."""
    return -(-channels // MOST_CHANNELS)
