"""Pairs of films for the residual flow: the healthy half, the fit of the physics and the placebo."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rivals.generation_pairs import (
    SIDE,
    Half,
    Normals,
    film_pairs,
    honesty,
    inpainted,
    mirrored,
    severity,
    soft_shape,
    step_of,
    transplanted,
)


def normal(seed: int) -> Half:
    """Two dark lungs in grey tissue, each film with other greys."""
    rng = np.random.default_rng(seed)
    film = np.full((SIDE, SIDE), 0.7 + 0.1 * rng.uniform(), np.float32)
    air = np.zeros_like(film)
    air[8:56, 6:28] = air[8:56, 36:58] = 1
    slope = np.linspace(-0.05, 0.05, SIDE, dtype=np.float32)[:, None] * np.float32(rng.normal())
    level = np.where(air > 0, np.float32(0.25 + 0.1 * rng.uniform()) + slope, film) + rng.normal(0, 0.005, film.shape)
    return Half(np.asarray(level, np.float32), air, np.zeros_like(film), f"patient {seed}")


NORMALS = [normal(seed) for seed in range(12)]


def ill(seed: int) -> tuple[Half, np.ndarray]:
    """A film with an opacity in the right lung, and what it adds."""
    healthy = normal(seed)
    mask = np.zeros_like(healthy.film)
    mask[20:44, 8:26] = 1
    added = 0.5 * soft_shape(mask, 4.0) * step_of(healthy.film)
    return Half(np.asarray(healthy.film + added, np.float32), healthy.air, mask, healthy.patient), added


def test_the_healthy_half_is_found_from_what_is_seen_beside_the_lesion() -> None:
    one, added = ill(50)
    found = Normals.of(NORMALS).healthy(one)
    inside = one.lesion > 0
    assert np.abs((one.film - found) - added)[inside].max() < 0.05
    assert np.abs(mirrored(one) - (one.film - added))[inside].max() < 0.03
    assert inpainted(one).shape == one.film.shape


def test_a_pair_adds_up_to_the_film_and_lies_in_the_lesion() -> None:
    one, added = ill(51)
    (pair,) = film_pairs([one], NORMALS, 0.6)
    np.testing.assert_allclose(pair.normal + pair.added, one.film, atol=1e-6)
    assert pair.added.min() >= 0
    assert pair.added[:, 32:].max() == 0
    assert pair.added.sum() == pytest.approx(added.sum(), rel=0.2)
    assert pair.honest == 0.6


def test_the_severity_is_that_of_the_physics() -> None:
    physics = soft_shape(ill(52)[0].lesion, 4.0)
    assert severity(0.3 * physics, physics) == pytest.approx(0.3, rel=1e-5)
    assert severity(-physics, physics) == 0


def test_a_lesion_moves_with_the_lungs() -> None:
    one, _ = ill(53)
    moved = transplanted(one.lesion, one.air, np.roll(one.air, 3, axis=0))
    assert np.array_equal(moved > 0.5, np.roll(one.lesion, 3, axis=0) > 0.5)


def test_every_pairing_has_a_placebo() -> None:
    found = honesty([ill(seed)[0] for seed in range(60, 64)], NORMALS)
    assert set(found) == {"inpainting", "mirrored lung", "fit of normal films"}
    for one in found.values():
        assert all(len(values) == 4 for values in one.values())
