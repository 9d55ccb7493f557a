"""Novelty: how far a whole radiograph is from normal ones, in the features of a network's encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from artasyn.detection.regions import REGIONS, statistics_count
from artasyn.shapes import Float

SMALLEST = 0.01
"""Variance that is added in every direction; each statistic has a variance of 1. Rounding, and directions that hardly
vary among normal radiographs, then do not dominate the distance."""

NUISANCES = 4.0
"""Weight of the spread that nuisances cause, beside the spread among normal radiographs. Measured on held-out healthy
radiographs with drawn devices, and on real disease: from 2 to 4 pacemakers and catheters are half as novel as without,
and disease is as novel; at 16 disease is less novel."""

Statistics = Float[Tensor, "_ regions statistics"]
"""Statistics of the features of radiographs over the regions of the lungs, see `artasyn.detection.regions`."""


class Novelty(nn.Module):
    """Measures the Mahalanobis distance of a radiograph's features from the features of normal radiographs.

    Synthetic anomalies teach a network which anomalies to find. The novelty adds evidence that needs no known cause:
    the radiograph is unlike all normal ones. The statistics are the mean and the standard deviation of each channel of
    the encoder's deepest maps, over the lungs and over each of their zones.

    Normal radiographs come in groups, such as children and adults. Every group has a Gaussian of its own, whose
    held-out radiographs standardise the logarithm of the distance: 0 is usual, and a value beyond 2 is rare. The
    nearest group counts, so nobody needs to tell which group a radiograph belongs to. One Gaussian for all groups would
    be so wide that it hides disease. The novelty is the mean of the value of the lungs as a whole and of the mean value
    of their zones.

    The directions in which nuisances such as devices move the features of a radiograph count less, as if normal
    radiographs had a wide spread there.

    Before `fit` the novelty is 0.

    Args:
        channels: of the encoder's feature maps, finest first.
        groups: number of groups of normal radiographs.

    Source: Lee et al., "A simple unified framework for detecting out-of-distribution samples", NeurIPS 2018: there a
        Gaussian for each class; a subset of the channels as in PaDiM (Defard et al., ICPR 2020); nuisances as in
        within-class covariance normalisation of speakers' channels (Hatch et al., Interspeech 2006).

    Example:
        >>> novelty = Novelty([4], groups=2)
        >>> films = torch.randn(128, 7, 8, generator=torch.Generator().manual_seed(0))
        >>> films[64:] += 10
        >>> novelty.fit([films[:48], films[64:112]], [films[48:64], films[112:]])
        >>> bool((novelty(films) < 3).all()), bool((novelty(films[:8] + 5) > 2).all())
        (True, True)
    """

    mean: Tensor
    whitening: Tensor
    center: Tensor
    spread: Tensor

    def __init__(self, channels: Sequence[int], groups: int = 1) -> None:
        super().__init__()
        count = statistics_count(channels)
        self.register_buffer("mean", torch.zeros(groups, REGIONS, count))
        self.register_buffer("whitening", torch.zeros(groups, REGIONS, count, count))
        self.register_buffer("center", torch.zeros(groups, REGIONS))
        self.register_buffer("spread", torch.full((groups, REGIONS), torch.inf))

    def whitened(self, statistics: Statistics) -> Float[Tensor, "b groups regions statistics"]:
        """Returns the statistics in units in which the normal radiographs of a group have a variance of about 1."""
        away = statistics[:, None] - self.mean
        return torch.einsum("bgrs,grst->bgrt", away, self.whitening)  # no copy of the matrices for each radiograph

    def distances(self, statistics: Statistics) -> Float[Tensor, "b groups regions"]:
        """Returns the logarithms of the Mahalanobis distances."""
        return self.whitened(statistics).square().sum(dim=-1).clamp(min=1e-12).log() / 2

    def nearest(self, statistics: Statistics) -> Float[Tensor, "b regions"]:
        """Returns how unusual each region is, for the nearest group."""
        return ((self.distances(statistics) - self.center) / self.spread).amin(dim=1)

    def forward(self, statistics: Statistics) -> Float[Tensor, " b"]:
        """Returns how unusual each radiograph is, in standard deviations of held-out normal radiographs."""
        nearest = self.nearest(statistics)
        return (nearest[:, 0] + nearest[:, 1:].mean(dim=1)) / 2

    def fit(
        self,
        normal: Sequence[Statistics],
        held_out: Sequence[Statistics],
        nuisances: Sequence[Statistics] | None = None,
    ) -> None:
        """Learns the statistics of normal radiographs.

        Args:
            normal: for each group, the statistics of the radiographs that the network was trained on, varied as between
                hospitals. Differences that only tell one hospital from another then weigh little.
            held_out: for each group, the statistics of normal radiographs that the network was not trained on.
            nuisances: for each group, how far nuisances move the statistics of normal radiographs; None for not at all.
        """
        for group, values in enumerate(normal):
            for region in range(REGIONS):
                moved = None if nuisances is None else nuisances[group][:, region]
                mean, whitening = gaussian(values[:, region], moved)
                self.mean[group, region] = mean
                self.whitening[group, region] = whitening
        for group, values in enumerate(held_out):
            found = self.distances(values)[:, group]
            self.center[group] = found.mean(dim=0)
            self.spread[group] = found.std(dim=0, correction=0).clamp(min=0.05)  # a few radiographs hardly differ

    def adapt(self, normal: Statistics) -> None:
        """Fits only centre and spread, in the same way for all groups, to the radiographs of another hospital.

        A novelty that has learnt nothing stays so.

        Args:
            normal: the statistics of normal radiographs.
        """
        found = self.nearest(normal)
        self.center += torch.where(self.spread.isfinite(), self.spread * found.mean(dim=0), 0.0)
        self.spread *= found.std(dim=0, correction=0).clamp(min=0.5)


def gaussian(
    values: Float[Tensor, "n statistics"], moved: Float[Tensor, "m statistics"] | None = None
) -> tuple[Tensor, Tensor]:
    """Returns the mean of statistics, and the matrix that whitens their differences from the mean.

    Args:
        values: statistics of normal radiographs.
        moved: how far nuisances move the statistics of radiographs. Their spread is added to that of the values.
    """
    from sklearn.covariance import LedoitWolf  # takes a second to import, and a trained detector does without it

    exact = values.double()
    deviation = exact.std(dim=0)
    deviation = deviation.clamp(min=float(0.01 * deviation.median() + 1e-6))  # some channels hardly react
    found = LedoitWolf().fit(((exact - exact.mean(dim=0)) / deviation).cpu().numpy()).covariance_
    covariance = torch.from_numpy(found).to(deviation.device)
    if moved is not None:
        away = moved.double() / deviation
        covariance = covariance + NUISANCES * away.T @ away / len(away)
    variances, directions = torch.linalg.eigh(covariance)
    return exact.mean(dim=0), directions / (variances.clamp(min=0) + SMALLEST).sqrt() / deviation[:, None]
