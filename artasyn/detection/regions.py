"""The regions of the lungs in a window, and statistics of feature maps over each of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from artasyn.shapes import Float
from artasyn.tensors import Images

MAPS = 2
"""Number of feature maps that are used, the deepest ones."""

MOST_CHANNELS = 256
"""Most channels of a feature map that are used; of wider maps every second channel, or every third, and so on."""

LEVELS = 3
"""Zones of each lung, from the apex to the base."""

ZONES = 2 * LEVELS
"""Zones of both lungs."""

REGIONS = 1 + ZONES
"""Both lungs as a whole, then their zones."""


def statistics_count(channels: Sequence[int]) -> int:
    """Returns the number of statistics of each region, see `statistics`.

    Args:
        channels: of the encoder's feature maps, finest first.
    """
    return 2 * sum(len(range(0, c, _step(c))) for c in channels[-MAPS:])


def zones_of(lungs: Images) -> Float[Tensor, "zones h w"]:
    """Returns the lungs as a whole, and their upper, middle and lower zones on each side.

    The window is the lungs' box, so that its thirds and its halves are zones of the lungs.

    Args:
        lungs: (1, 1, h, w) in [0, 1], the mean lung region of normal radiographs.

    Returns:
        (`REGIONS`, h, w).

    Example:
        >>> zones = zones_of(torch.ones(1, 1, 6, 8))
        >>> zones.shape, bool((zones[1:].sum(dim=0) == zones[0]).all())
        (torch.Size([7, 6, 8]), True)
    """
    whole = lungs[0, 0]
    height, width = whole.shape
    zones = [whole]
    for level in range(LEVELS):
        rows = slice(level * height // LEVELS, (level + 1) * height // LEVELS)
        for columns in (slice(0, width // 2), slice(width // 2, width)):
            zone = torch.zeros_like(whole)
            zone[rows, columns] = whole[rows, columns]
            zones.append(zone)
    return torch.stack(zones)


def statistics(
    features: Sequence[Tensor], regions: Float[Tensor, "regions h w"]
) -> Float[Tensor, "b regions statistics"]:
    """Returns the mean and the standard deviation of each channel of the deepest maps, over each region.

    Args:
        features: the encoder's maps of a batch, finest first, each (b, c, y, x).
        regions: weight of every pixel of the window in each region.

    Example:
        >>> found = statistics([torch.ones(2, 4, 3, 3)], torch.ones(5, 6, 6))
        >>> found.shape, found[0, 0, :4].tolist(), found[0, 0, 4:].tolist()
        (torch.Size([2, 5, 8]), [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0])
    """
    found = []
    for values in features[-MAPS:]:
        channels = values[:, :: _step(values.shape[1])]
        weight = F.interpolate(regions[None], channels.shape[-2:], mode="area")[0].flatten(1)
        weight = weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-6)
        flat = channels.flatten(2)
        mean = flat @ weight.T
        away = flat[:, :, None] - mean[..., None]
        found += [mean, (away.square() * weight).sum(dim=-1).sqrt()]
    return torch.cat(found, dim=1).transpose(1, 2)


def _step(channels: int) -> int:
    """Returns the step between the channels that are used."""
    return -(-channels // MOST_CHANNELS)
