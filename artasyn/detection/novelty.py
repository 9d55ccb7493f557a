"""Novelty: how far a whole film is from normal films, in what a network's encoder sees of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sklearn.covariance import LedoitWolf
from torch import Tensor, nn
from torch.nn import functional as F

from artasyn.shapes import Float
from artasyn.tensors import Images

MAPS = 2
"""Feature maps that are looked at, the deepest ones."""

MOST_CHANNELS = 256
"""Of a feature map that are looked at; of wider ones every second channel, or every third, and so on."""

SMALLEST = 0.01
"""Variance, of 1 for a statistic, that is added in every direction: what hardly varies among normal films is not to
decide, nor rounding."""


class Novelty(nn.Module):
    """Mahalanobis distance of a film's features from those of normal films.

    Synthetic anomalies teach a network what to look for; that a film is unlike all normal ones says more, whatever
    the reason. Of each channel of the deepest maps, mean and standard deviation over the lungs are taken, where normal
    films have them. The logarithm of the distance is standardised by held-out normal films: 0 is usual, beyond 2 is
    rare among normal films of the same source; films of another source lie higher.

    Until `fit` the novelty is 0.

    Args:
        channels: of the encoder's feature maps, finest first.
        size: rows and columns of the images that they are of.

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
        """Sets how much each pixel counts; before `statistics`.

        Args:
            region: (1, 1, size, size), the mean of normal films' lungs.
        """
        self.region.copy_(region)

    def statistics(self, features: list[Tensor]) -> Float[Tensor, "b statistics"]:
        """Mean and standard deviation of each channel over the region.

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
        """Logarithms of Mahalanobis distances."""
        whitened = (statistics - self.mean) @ self.whitening
        return whitened.square().sum(dim=1).clamp(min=1e-12).log() / 2

    def forward(self, features: list[Tensor]) -> Float[Tensor, " b"]:
        """How unusual each film is, in standard deviations of held-out normal films."""
        return (self.distances(self.statistics(features)) - self.center) / self.spread

    def fit(self, normal: Float[Tensor, "n statistics"], held_out: Float[Tensor, "m statistics"]) -> None:
        """Learns what is normal.

        Args:
            normal: of the films that the network was trained on, varied as other hospitals' may be, so that what only
                tells one source from another weighs little.
            held_out: of normal films that it was not trained on.
        """
        values = normal.double()
        deviation = values.std(dim=0)
        deviation = deviation.clamp(min=float(0.01 * deviation.median() + 1e-6))  # of channels that hardly react
        covariance = LedoitWolf().fit(((values - values.mean(dim=0)) / deviation).cpu().numpy()).covariance_
        variances, directions = torch.linalg.eigh(torch.from_numpy(covariance).to(deviation.device))
        self.mean.copy_(values.mean(dim=0))
        self.whitening.copy_(directions / (variances.clamp(min=0) + SMALLEST).sqrt() / deviation[:, None])
        found = self.distances(held_out)
        self.center.copy_(found.mean())
        self.spread.copy_(found.std(correction=0).clamp(min=0.05))  # a few films have hardly any


def _step(channels: int) -> int:
    """Every which channel of so many is looked at."""
    return -(-channels // MOST_CHANNELS)
