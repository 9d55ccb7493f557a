"""Training samples: synthetic anomalies made on the fly on prepared normal radiographs."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from artasyn.arrays import LEFT, RIGHT, Attenuation, Image, generator
from artasyn.detection.window import lung_region, normalised
from artasyn.shapes import Float, Int
from artasyn.synthesis.anomaly import Synthesis
from artasyn.synthesis.nuisances import Nuisances
from artasyn.training.film_variation import FilmVariation
from artasyn.training.normals import Normals


class Sample(TypedDict):
    """One training sample; a batch has the same keys with a leading axis."""

    image: Float[Tensor, "1 h w"]
    """The radiograph, with an anomaly or without."""
    normal: Float[Tensor, "1 h w"]
    """The same radiograph without the anomaly."""
    mask: Float[Tensor, "1 h w"]
    """1 where the added attenuation reaches the tolerance, 0 elsewhere."""
    lungs: Float[Tensor, "1 h w"]
    """How much each pixel counts as lung, behind the heart too, see `artasyn.detection.window.lung_region`."""
    group: Int[Tensor, ""]
    """The group of the normal radiograph, see `artasyn.training.normals.groups_of`."""


class SyntheticAnomalies(torch.utils.data.Dataset[Sample]):
    """Normal radiographs with anomalies made on the fly: the same for a seed, an image and an epoch, in any worker.

    Nuisances are added to the stored radiograph, then the anomaly. Then the radiographs with and without the anomaly
    vary alike (`FilmVariation`). Finally the contrast of both is normalised with the statistics of the radiograph with
    the anomaly, as in detection.

    Args:
        normals: the radiographs.
        size: rows and columns of the samples, as the network sees them.
        synthesis: makes the anomalies.
        seed: seed of all random choices.
        epoch: number of the epoch; each epoch has other anomalies.
        healthy_probability: probability that a sample stays normal.
        variation: how radiographs vary, so that a radiograph of another hospital is no anomaly; None varies nothing.
        nuisances: shadows that are no anomaly; None adds none.
        tolerance: attenuation from which a pixel belongs to the mask, in image units. A radiologist neither sees nor
            marks fainter changes.
    """

    def __init__(
        self,
        normals: Normals,
        size: int,
        synthesis: Synthesis,
        *,
        seed: int,
        epoch: int = 0,
        healthy_probability: float = 0.3,
        variation: FilmVariation | None = None,
        nuisances: Nuisances | None = None,
        tolerance: float = 0.02,
    ) -> None:
        self.normals, self.size, self.synthesis = normals, size, synthesis
        self.seed, self.epoch = seed, epoch
        self.healthy_probability, self.tolerance = healthy_probability, tolerance
        self.variation, self.nuisances = variation, nuisances

    def __len__(self) -> int:
        return len(self.normals)

    def __getitem__(self, index: int) -> Sample:
        again, index = divmod(index, len(self.normals))
        rng = generator(self.seed, self.epoch, self.normals.identities[index], again)
        normal, lungs, whole = self.normals.image(index), self.normals.lungs(index), self.normals.whole[index]
        if self.nuisances is not None:
            normal = self.nuisances(normal, lungs, rng)
        image, added = normal, np.zeros(normal.shape, np.float32)
        if rng.random() >= self.healthy_probability:
            anomaly = self.synthesis(normal, lungs, rng)
            image, added = anomaly.image, anomaly.attenuation
        films: tuple[Image, Image] = (image, normal)
        regions: tuple[Attenuation, ...] = (added, *((whole == side).astype(np.float32) for side in (RIGHT, LEFT)))
        if self.variation is not None:
            films, regions = self.variation(films, regions, rng)
        edge = (normal.shape[0] - self.size) // 2
        middle = slice(edge, edge + self.size)
        image, normal, added, right, left = (values[middle, middle] for values in (*films, *regions))
        labels = np.where(right >= 0.5, RIGHT, np.where(left >= 0.5, LEFT, 0)).astype(np.uint8)
        return {
            "image": _tensor(normalised(image, image)),
            "normal": _tensor(normalised(normal, image)),
            "mask": _tensor(added >= self.tolerance),
            "lungs": _tensor(lung_region(labels, self.size)),
            "group": torch.tensor(self.normals.groups[index] if self.normals.groups else 0),
        }


def _tensor(values: np.ndarray) -> Float[Tensor, "1 h w"]:
    """Returns an array as a tensor of one channel."""
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))[None]
