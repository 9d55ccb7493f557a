"""Novelty: a Mahalanobis distance over the lungs and their zones, for each group, standardised by held-out films."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from torch import Tensor

from artasyn.detection.novelty import Novelty
from artasyn.detection.regions import REGIONS

COUNT = 16
"""Statistics of feature maps with 5 and 3 channels."""


def films(count: int, seed: int, shift: float = 0.0) -> Tensor:
    """Statistics of films; the first statistic follows the second."""
    rng = torch.Generator().manual_seed(seed)
    values = torch.randn(count, REGIONS, COUNT, generator=rng) + shift
    values[..., 0] = values[..., 1] + 0.1 * values[..., 0]
    return values


@pytest.fixture
def novelty() -> Novelty:
    made = Novelty([7, 5, 3])
    made.fit([films(400, 0)], [films(100, 1)])
    return made


def test_until_it_has_learnt_nothing_is_new() -> None:
    assert torch.equal(Novelty([5, 3])(films(4, 0)), torch.zeros(4))


def test_it_is_the_logarithm_of_the_mahalanobis_distance_standardised(novelty: Novelty) -> None:
    known, held_out, seen = (films(n, seed).double().numpy() for n, seed in ((400, 0), (100, 1), (50, 3)))

    def standardised(region: int) -> np.ndarray:
        normal = known[:, region]
        inverse = np.linalg.inv(np.cov(normal.T) + np.diag(0.01 * normal.var(axis=0)))

        def distances(values: np.ndarray) -> np.ndarray:
            return np.log([mahalanobis(row, normal.mean(axis=0), inverse) for row in values[:, region]])

        usual = distances(held_out)
        return np.asarray((distances(seen) - usual.mean()) / usual.std())

    expected = (standardised(0) + np.mean([standardised(region) for region in range(1, REGIONS)], axis=0)) / 2
    found = novelty(films(50, 3)).numpy()
    assert np.corrcoef(found, expected)[0, 1] > 0.95  # the covariance is shrunk
    assert np.abs(found - expected).mean() < 0.3
    assert abs(float(novelty(films(100, 1)).mean())) < 1e-4


def test_what_never_happens_together_is_new_though_each_alone_is_usual(novelty: Novelty) -> None:
    values = films(50, 4)
    assert float(novelty(values).mean()) == pytest.approx(0, abs=0.5)
    values[..., 0] = -values[..., 0]
    assert float(novelty(values).mean()) > 0.6


def test_the_nearest_group_counts_and_what_lies_between_groups_is_new() -> None:
    made = Novelty([5, 3], groups=2)
    made.fit([films(300, 0), films(300, 1, 12.0)], [films(80, 2), films(80, 3, 12.0)])
    for shift in (0.0, 12.0):
        assert float(made(films(40, 5, shift)).mean()) == pytest.approx(0, abs=0.4)
    one = Novelty([5, 3])
    one.fit([torch.cat([films(300, 0), films(300, 1, 12.0)])], [torch.cat([films(80, 2), films(80, 3, 12.0)])])
    between = films(40, 6, 6.0)
    assert float(made(between).mean()) > 3
    assert float(one(between).mean()) < 0.5  # a Gaussian around both groups takes their middle for the most usual


def test_a_direction_in_which_nuisances_move_films_is_less_novel() -> None:
    moved = torch.zeros(60, REGIONS, COUNT)
    moved[..., 5] = 6 * torch.rand(60, 1, generator=torch.Generator().manual_seed(9))
    known, blind = Novelty([5, 3]), Novelty([5, 3])
    blind.fit([films(400, 0)], [films(100, 1)])
    known.fit([films(400, 0)], [films(100, 1)], [moved])
    with_device, diseased = films(50, 8), films(50, 8)
    with_device[..., 5] += 5
    diseased[..., 9] += 5
    for made in (known, blind):
        assert float(made(films(50, 8)).mean()) == pytest.approx(0, abs=0.3)
        assert float(made(diseased).mean()) > 2
    assert float(blind(with_device).mean()) > 2
    assert float(known(with_device).mean()) < 0.5


def test_films_of_another_hospital_are_usual_after_adapting(novelty: Novelty) -> None:
    elsewhere = films(200, 7, 1.5)
    assert float(novelty(elsewhere).mean()) > 2
    before = novelty.whitening.clone()
    novelty.adapt(elsewhere[:100])
    assert float(novelty(elsewhere[100:]).mean()) == pytest.approx(0, abs=0.3)
    assert torch.equal(novelty.whitening, before)


def test_a_few_films_and_constant_ones_give_finite_values() -> None:
    made = Novelty([5, 3])
    made.fit([films(2, 0)], [films(1, 1)])
    assert made(films(4, 2)).isfinite().all()
    constant = torch.zeros(4, REGIONS, COUNT)
    made.fit([constant], [constant])
    assert made(constant).isfinite().all()
