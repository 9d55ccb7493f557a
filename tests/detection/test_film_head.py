"""The film head: a linear discriminant between healthy films and films with anomalies, zone by zone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from artasyn.detection.film_head import FilmHead
from artasyn.detection.regions import REGIONS

COUNT = 8


def films(count: int, seed: int, shift: float = 0.0) -> Tensor:
    """Statistics of films whose features follow each other; disease shifts the first two apart."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(COUNT, COUNT, generator=torch.Generator().manual_seed(99))
    values = torch.randn(count, REGIONS, COUNT, generator=rng) @ mixing
    values[..., 0] += shift
    values[..., 1] -= shift
    return values


def test_until_it_has_learnt_there_is_no_evidence() -> None:
    assert torch.equal(FilmHead([4])(films(5, 0)), torch.zeros(5))


def test_it_finds_the_direction_of_fishers_discriminant() -> None:
    head = FilmHead([4])
    healthy, sick = films(4000, 0), films(4000, 1, 1.0)
    head.fit(healthy, sick, films(100, 2))
    for zone in range(1, REGIONS):
        values = torch.cat([healthy[:, zone], sick[:, zone]]).numpy()
        oracle = LinearDiscriminantAnalysis(solver="eigen").fit(values, np.repeat([0, 1], 4000)).coef_[0]
        found = head.weight[zone - 1].numpy()
        assert np.dot(found, oracle) / np.linalg.norm(found) / np.linalg.norm(oracle) > 0.95


def test_evidence_is_standardised_by_healthy_films_and_rises_with_disease() -> None:
    head = FilmHead([4])
    head.fit(films(500, 0), films(500, 1, 1.0), films(300, 2))
    healthy = head(films(300, 2))
    assert float(healthy.mean()) == pytest.approx(0, abs=1e-3)
    assert float(healthy.std(correction=0)) == pytest.approx(1, abs=1e-3)
    assert float(head(films(100, 3, 0.5)).mean()) > 1
    assert float(head(films(100, 3, 1.0)).mean()) > float(head(films(100, 3, 0.5)).mean()) + 1
    head.standardise(films(300, 4, 0.5))
    assert float(head(films(300, 4, 0.5)).mean()) == pytest.approx(0, abs=1e-3)


def test_films_that_do_not_differ_give_finite_evidence() -> None:
    head = FilmHead([4])
    constant = torch.ones(4, REGIONS, COUNT)
    head.fit(constant, constant, constant)
    assert head(constant).isfinite().all()
