"""Regions of the lungs in a window, and statistics of feature maps over them."""

from __future__ import annotations

import torch

from artasyn.detection.regions import MOST_CHANNELS, REGIONS, statistics, statistics_count, zones_of


def test_the_zones_share_out_the_lungs_and_lie_where_they_are_named() -> None:
    lungs = torch.rand(1, 1, 18, 12, generator=torch.Generator().manual_seed(0))
    zones = zones_of(lungs)
    assert zones.shape == (REGIONS, 18, 12)
    torch.testing.assert_close(zones[0], lungs[0, 0])
    torch.testing.assert_close(zones[1:].sum(dim=0), lungs[0, 0])
    first, last = zones[1].nonzero(), zones[-1].nonzero()
    assert (first.amax(dim=0) < torch.tensor([6, 6])).all()
    assert (last.amin(dim=0) >= torch.tensor([12, 6])).all()


def test_statistics_are_mean_and_deviation_of_the_deepest_maps_in_each_region() -> None:
    rng = torch.Generator().manual_seed(2)
    maps = [torch.rand(3, c, s, s, generator=rng) for c, s in ((7, 16), (5, 8), (3, 4))]
    regions = torch.zeros(2, 16, 16)
    regions[0, :8], regions[1, :, 8:] = 1, 1
    found = statistics(maps, regions)
    above = [values[:, :, : values.shape[-2] // 2].flatten(2) for values in maps[1:]]
    beside = [values[:, :, :, values.shape[-1] // 2 :].flatten(2) for values in maps[1:]]
    for region, parts in enumerate((above, beside)):
        expected = [each for part in parts for each in (part.mean(dim=2), part.std(dim=2, correction=0))]
        torch.testing.assert_close(found[:, region], torch.cat(expected, dim=1), rtol=1e-3, atol=1e-3)


def test_of_wide_maps_some_channels_are_used_and_a_region_without_pixels_is_finite() -> None:
    wide = [3, 2 * MOST_CHANNELS + 1]
    maps = [torch.rand(4, c, 4, 4, generator=torch.Generator().manual_seed(0)) for c in wide]
    found = statistics(maps, torch.zeros(1, 16, 16))
    assert found.shape == (4, 1, statistics_count(wide)) == (4, 1, 2 * 3 + 2 * 171)
    assert found.isfinite().all()
