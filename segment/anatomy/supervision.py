"""Ways to train a network of overlapping structures on partly known labels, under one protocol.

The first three ways are losses. The others complete what is unknown: with a teacher, or with a joint latent space of
the radiograph and all its structures. `benchmarks/score_partial.py` compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from artasyn.errors import ModelError
from artasyn.fields import Share, Within, check_fields
from artasyn.networks.blocks import block
from artasyn.segment.anatomy.partial import (
    PartialLabels,
    Scalar,
    Weights,
    masked,
    masked_negatives,
    masked_shares,
    zero_fill,
)
from artasyn.shapes import Float
from artasyn.tensors import Images, Maps

DIRECT: dict[str, Callable[[Maps, PartialLabels, Weights | None], Scalar]] = {
    "zero_fill": zero_fill,
    "masked": masked,
    "masked_negatives": masked_negatives,
}
"""The losses that need nothing but logits and labels."""


class Supervision(Protocol):
    """A way to train on partly known labels."""

    def beside(self, network: nn.Module, channels: int) -> nn.Module:
        """Returns what this way keeps beside a network of so many structures.

        Its parameters that need a gradient are trained together with those of the network.
        """

    def loss(
        self, logits: Maps, labels: PartialLabels, weights: Weights | None, images: Images, beside: nn.Module
    ) -> Scalar:
        """Computes the loss of a batch, once for every step of the training.

        Args:
            logits: (b, k, y, x), what the network makes of the images.
            labels: what is known of the batch.
            weights: (k,), weights of the structures; all equal if None.
            images: (b, 1, h, w), what the network saw.
            beside: what `beside` returned for this network.
        """

    def probabilities(self, logits: Maps) -> Maps:
        """Returns the probabilities of all structures, from the logits of a network that was trained in this way."""


@dataclass(frozen=True)
class Direct:
    """Trains by one of the losses `DIRECT`, which need nothing beside the network.

    Attributes:
        name: name of the loss.
    """

    name: Literal["zero_fill", "masked", "masked_negatives"] = "masked_negatives"

    def __post_init__(self) -> None:
        check_fields(self, ModelError)

    def beside(self, network: nn.Module, channels: int) -> nn.Module:
        """Returns a module without parameters."""
        return nn.Identity()

    def loss(
        self, logits: Maps, labels: PartialLabels, weights: Weights | None, images: Images, beside: nn.Module
    ) -> Scalar:
        """Computes the loss of a batch, see `Supervision.loss`."""
        return DIRECT[self.name](logits, labels, weights)

    def probabilities(self, logits: Maps) -> Maps:
        """Returns the sigmoid of the logits."""
        return logits.sigmoid()


@dataclass(frozen=True)
class Teacher:
    """Completes unknown structures where a slow copy of the network is sure of them, then trains by `masked_negatives`.

    Truth comes first: what is known or absent stays as it is. The copy is an exponential moving average of the network.
    Its structure counts from the probability 0.5 on. It is sure of a structure if the mean probability of the
    structure's pixels is large enough.

    Attributes:
        decay: share of the copy that stays in each step.
        sure: least mean probability.

    Source: Mean teachers (Tarvainen, Valpola; NeurIPS 2017), with labels for whole structures.
    """

    decay: Share = 0.99
    sure: Share = 0.75

    def __post_init__(self) -> None:
        check_fields(self, ModelError)

    def beside(self, network: nn.Module, channels: int) -> nn.Module:
        """Returns the slow copy of the network."""
        return SlowCopy(network, self.decay)

    def loss(
        self, logits: Maps, labels: PartialLabels, weights: Weights | None, images: Images, beside: nn.Module
    ) -> Scalar:
        """Computes the loss of a batch, see `Supervision.loss`."""
        return masked_negatives(logits, self.completed(labels, beside(images).sigmoid()), weights)

    def completed(self, labels: PartialLabels, found: Maps) -> PartialLabels:
        """Returns the labels with structures added that are unknown and that the copy is sure of.

        Args:
            labels: what is known of the batch.
            found: (b, k, y, x), the probabilities of the copy.
        """
        known, absent = labels.known.bool(), labels.absent.bool()
        shown = (found > 0.5).to(labels.targets)
        area = shown.sum(dim=(2, 3))
        added = ~known & ~absent & (area > 0) & ((shown * found).sum(dim=(2, 3)) >= self.sure * area)
        targets = torch.where(added[..., None, None], shown, labels.targets)
        return PartialLabels(targets, known | added, absent)

    def probabilities(self, logits: Maps) -> Maps:
        """Returns the sigmoid of the logits."""
        return logits.sigmoid()


class SlowCopy(nn.Module):
    """An exponential moving average of a network, which follows the network each time that it is asked.

    Args:
        network: the network; it returns logits, or a tuple that begins with them.
        decay: share of the copy that stays each time.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self.copy = AveragedModel(network, multi_avg_fn=average, use_buffers=True).requires_grad_(False)
        self._followed = [network]  # in a list, so that it does not become a part of this module

    @torch.no_grad()
    def forward(self, images: Images) -> Maps:
        """Follows the network, and returns the logits of the copy, without a gradient."""
        self.copy.update_parameters(self._followed[0])
        found: Tensor | tuple[Tensor, ...] = self.copy.eval()(images)
        return found[0] if isinstance(found, tuple) else found


@dataclass(frozen=True)
class JointLatent:
    """Ties all structures of a radiograph to each other in one latent space, into which what is known is drawn.

    With P the probabilities, Y = sg(P) overwritten by the truth where there is any, sg the stop-gradient, E an encoder
    of a radiograph with its structures and D a decoder of structures, it adds to the loss of the labels

        latent * 0.5 * (1 - cos(E(P), E(Y))) + restored * (MSE(D(E(P)), sg(P)) + MSE(D(E(Y)), sg(Y)))

    Attributes:
        shares: ``softmax`` as published: the structures of a pixel share one probability, and the labels' loss is
            `masked`. ``sigmoid``: structures may overlap, and the labels' loss is `masked_negatives`.
        latent: weight of the distance in the latent space.
        restored: weight of the reconstructions.
        width: channels of E and D at a quarter of the maps' side.

    Source: Joint-task regularization (Nishi et al., CVPR 2024, arXiv 2404.01976), as conditional annotation
        regularization in AnyCXR.
    """

    shares: Literal["softmax", "sigmoid"] = "sigmoid"
    latent: Annotated[float, Within(0, 1000)] = 0.1
    restored: Annotated[float, Within(0, 1000)] = 0.1
    width: Annotated[int, Within(8, 1024)] = 64

    def __post_init__(self) -> None:
        check_fields(self, ModelError)

    def beside(self, network: nn.Module, channels: int) -> nn.Module:
        """Returns E and D, which are trained with the network."""
        return Annotations(channels, self.width)

    def loss(
        self, logits: Maps, labels: PartialLabels, weights: Weights | None, images: Images, beside: nn.Module
    ) -> Scalar:
        """Computes the loss of a batch, see `Supervision.loss`."""
        found = self.probabilities(logits)
        if self.shares == "softmax":
            loss = masked_shares(found, labels, weights)
        else:
            loss = masked_negatives(logits, labels, weights)
        fixed = found.detach()
        truth = self._truth(labels, fixed)
        codes, restored = beside(torch.cat([images, images]), torch.cat([found, truth]))
        first, second = codes.flatten(1).chunk(2)
        apart = 0.5 * (1 - F.cosine_similarity(first, second).mean())
        error = 2 * F.mse_loss(self.probabilities(restored), torch.cat([fixed, truth]))
        return loss + self.latent * apart + self.restored * error

    def _truth(self, labels: PartialLabels, found: Maps) -> Maps:
        """Returns probabilities overwritten by the truth where there is any."""
        known, absent = labels.known.bool(), labels.absent.bool()
        told = known if self.shares == "softmax" else known | absent
        targets = labels.targets.to(found) * ~absent[..., None, None]
        return torch.where(told[..., None, None], targets, found)

    def probabilities(self, logits: Maps) -> Maps:
        """Returns the softmax over the structures, or the sigmoid, of the logits."""
        return logits.softmax(dim=1) if self.shares == "softmax" else logits.sigmoid()


class Annotations(nn.Module):
    """An encoder of a radiograph with its structures, and a decoder of the structures.

    Args:
        channels: number of the structures.
        width: channels at a quarter of the maps' side; half as many at half the side.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        half = width // 2
        self.encode = nn.Sequential(
            *(nn.Conv2d(1 + channels, half, 1), nn.AvgPool2d(2), block(half, width)),
            *(nn.AvgPool2d(2), block(width, width)),
        )
        self.decode = nn.Sequential(
            *(block(width, half), nn.Upsample(scale_factor=4, mode="bilinear"), nn.Conv2d(half, channels, 1)),
        )

    def forward(self, images: Images, maps: Maps) -> tuple[Float[Tensor, "b c _ _"], Maps]:
        """Returns the latent features, and the logits of the structures that they stand for.

        Args:
            images: (b, 1, h, w).
            maps: (b, k, y, x), y and x multiples of 4.
        """
        small = F.adaptive_avg_pool2d(images, (maps.shape[-2], maps.shape[-1]))
        codes: Tensor = self.encode(torch.cat([small, maps], dim=1))
        return codes, self.decode(codes)


SUPERVISIONS: dict[str, Supervision] = {
    "zero_fill": Direct("zero_fill"),
    "masked": Direct("masked"),
    "masked_negatives": Direct("masked_negatives"),
    "teacher": Teacher(),
    "car": JointLatent(shares="softmax"),
    "car_sigmoid": JointLatent(),
}
"""The ways to train on partly known labels, by their names."""
