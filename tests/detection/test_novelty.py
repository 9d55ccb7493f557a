"""Novelty: a Mahalanobis distance over the lungs, standardised by held-out films."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from torch import Tensor

from artasyn.detection.novelty import MOST_CHANNELS, Novelty


def films(count: int, seed: int, channels: tuple[int, ...] = (5, 3)) -> list[Tensor]:
    """Feature maps of films; the first channel of each map follows the second."""
    rng = torch.Generator().manual_seed(seed)
    maps = [torch.randn(count, c, 8 >> n, 8 >> n, generator=rng) for n, c in enumerate(channels)]
    for values in maps:
        values += torch.randn(count, values.shape[1], 1, 1, generator=rng)
        values[:, 0] = values[:, 1] + 0.1 * values[:, 0]
    return maps


@pytest.fixture
def novelty() -> Novelty:
    made = Novelty([7, 5, 3], size=16)
    made.fit(made.statistics(films(400, 0)), made.statistics(films(100, 1)))
    return made


def test_until_it_has_learnt_nothing_is_new() -> None:
    assert torch.equal(Novelty([5, 3], size=16)(films(4, 0)), torch.zeros(4))


def test_statistics_are_those_of_the_deepest_maps_where_lungs_are() -> None:
    novelty, maps = Novelty([7, 5, 3], size=16), films(3, 2)
    region = torch.zeros(1, 1, 16, 16)
    region[..., :8, :] = 1
    novelty.look_at(region)
    above = [values[:, :, : values.shape[-2] // 2].flatten(2) for values in maps]
    expected = [part for values in above for part in (values.mean(dim=2), values.std(dim=2, correction=0))]
    torch.testing.assert_close(novelty.statistics([torch.rand(3, 7, 16, 16), *maps]), torch.cat(expected, dim=1))


def test_it_is_the_logarithm_of_the_mahalanobis_distance_standardised(novelty: Novelty) -> None:
    known, held_out = (novelty.statistics(films(n, seed)).double().numpy() for n, seed in ((400, 0), (100, 1)))
    smallest = np.diag(0.01 * known.var(axis=0))
    inverse, mean = np.linalg.inv(np.cov(known.T) + smallest), known.mean(axis=0)

    def distances(values: np.ndarray) -> np.ndarray:
        return np.log([mahalanobis(row, mean, inverse) for row in values])

    usual, maps = distances(held_out), films(50, 3)
    expected = (distances(novelty.statistics(maps).double().numpy()) - usual.mean()) / usual.std()
    found = novelty(maps).numpy()
    assert np.corrcoef(found, expected)[0, 1] > 0.95  # the covariance is shrunk
    assert np.abs(found - expected).mean() < 0.3
    assert abs(float(novelty(films(100, 1)).mean())) < 1e-4


def test_what_never_happens_together_is_new_though_each_alone_is_usual(novelty: Novelty) -> None:
    maps = films(50, 4)
    assert float(novelty(maps).mean()) == pytest.approx(0, abs=0.5)
    maps[0][:, 0] = -maps[0][:, 0]
    assert (novelty(maps) > 2).float().mean() > 0.3
    assert float(novelty(maps).mean()) > 1


def test_a_few_films_and_wide_maps_give_finite_values() -> None:
    wide = [3, 2 * MOST_CHANNELS + 1]
    novelty = Novelty(wide, size=16)
    maps = [torch.rand(4, c, 4, 4, generator=torch.Generator().manual_seed(0)) for c in wide]
    statistics = novelty.statistics(maps)
    assert statistics.shape == (4, 2 * 3 + 2 * 171)
    novelty.fit(statistics[:2], statistics[2:3])
    assert novelty(maps).isfinite().all()
    constant = [torch.zeros(4, c, 4, 4) for c in wide]
    novelty.fit(novelty.statistics(constant), novelty.statistics(constant))
    assert novelty(constant).isfinite().all()
