"""The film head: it judges a radiograph as a whole, from the encoder's features in each zone of the lungs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from artasyn.detection.novelty import Statistics, gaussian
from artasyn.detection.regions import ZONES, statistics_count
from artasyn.shapes import Float


class FilmHead(nn.Module):
    """Finds from the features of all zones whether a radiograph looks like one with a synthetic anomaly.

    The heatmap's highest values tell of one dense place, and the novelty of anything unusual. Disease that is faint and
    everywhere lies between both: it moves the features of many zones a little, all in the direction in which synthetic
    disease moves them. In each zone this is Fisher's linear discriminant between healthy radiographs and radiographs
    with synthetic anomalies. The mean over the zones is standardised with held-out normal radiographs: 0 is usual, and
    positive values speak for disease.

    Directions in which nuisances such as devices move the features count less, as in `Novelty`.

    A closed form is fitted after the network's training. Heads that were trained with the network told its synthetic
    anomalies better and real disease worse.

    Before `fit` the evidence is 0.

    Args:
        channels: of the encoder's feature maps, finest first.

    Source: Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 1936.

    Example:
        >>> head = FilmHead([4])
        >>> films = torch.randn(64, 7, 8, generator=torch.Generator().manual_seed(0))
        >>> head.fit(films, films + 1, films)
        >>> bool(head(films + 1).mean() > 2), bool(head(films - 1).mean() < -2)
        (True, True)
    """

    mean: Tensor
    weight: Tensor
    center: Tensor
    spread: Tensor

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        count = statistics_count(channels)
        self.register_buffer("mean", torch.zeros(ZONES, count))
        self.register_buffer("weight", torch.zeros(ZONES, count))
        self.register_buffer("center", torch.tensor(0.0))
        self.register_buffer("spread", torch.tensor(torch.inf))

    def evidence(self, statistics: Statistics) -> Float[Tensor, " b"]:
        """Returns the evidence before it is standardised."""
        return ((statistics[:, 1:] - self.mean) * self.weight).sum(dim=-1).mean(dim=1)

    def forward(self, statistics: Statistics) -> Float[Tensor, " b"]:
        """Returns the evidence for disease, in standard deviations of held-out normal radiographs."""
        return (self.evidence(statistics) - self.center) / self.spread

    def fit(
        self, healthy: Statistics, sick: Statistics, held_out: Statistics, nuisances: Statistics | None = None
    ) -> None:
        """Learns the direction in which synthetic anomalies move the features.

        Args:
            healthy: statistics of radiographs without anomalies.
            sick: statistics of radiographs with synthetic anomalies.
            held_out: statistics of normal radiographs that the network was not trained on.
            nuisances: how far nuisances move the statistics of normal radiographs; None for not at all.
        """
        for zone in range(ZONES):
            moved = None if nuisances is None else nuisances[:, 1 + zone]
            mean, whitening = gaussian(healthy[:, 1 + zone], moved)
            direction = (sick[:, 1 + zone].double().mean(dim=0) - mean) @ whitening
            direction = direction / direction.norm().clamp(min=1e-6)
            self.mean[zone] = mean
            self.weight[zone] = whitening @ direction
        self.standardise(held_out)

    def standardise(self, held_out: Statistics) -> None:
        """Fits only centre and spread, for the radiographs of another hospital.

        Args:
            held_out: statistics of normal radiographs.
        """
        found = self.evidence(held_out)
        self.center.copy_(found.mean())
        self.spread.copy_(found.std(correction=0).clamp(min=1e-3))
