"""Tone curves: straight between knots, and about the greys of films."""

from __future__ import annotations

import numpy as np
import pytest

from artasyn.segment.projection.tone import BODY, Tone


def test_greys_are_straight_between_knots_and_constant_beyond() -> None:
    tone = Tone((1.0, 2.0, 4.0), (0.1, 0.5, 0.9))
    values = np.array([[0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 99.0]], np.float32)
    np.testing.assert_allclose(tone(values), [[0.1, 0.1, 0.3, 0.5, 0.7, 0.9, 0.9]], atol=1e-6)
    assert tone(values).dtype == np.float32


@pytest.mark.parametrize("equalisation", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("spread", [0.2, 1.0, 4.0])
def test_a_films_curve_rises_within_0_and_1(equalisation: float, spread: float) -> None:
    values = np.random.default_rng(0).gamma(2.0, spread, (80, 90)).astype(np.float32)
    tone = Tone.film(values, np.ones(values.shape, bool), equalisation=equalisation)
    film = tone(np.linspace(0, 3 * float(values.max()), 20000, dtype=np.float32)[None])
    assert (np.diff(film) >= 0).all()
    assert film.min() >= 0
    assert film.max() <= 1
    assert film[0, 0] == 0  # air beside the patient is black
    patient = tone(values)[values > BODY]
    assert np.ptp(np.quantile(patient, (0.05, 0.95))) > 0.3  # contrast, whatever the densities


def test_equalised_films_have_the_greys_of_films_whatever_the_densities() -> None:
    values = np.random.default_rng(0).gamma(2.0, 1.0, (80, 90)).astype(np.float32) + np.float32(0.3)
    field = np.ones(values.shape, bool)
    one, other = (
        np.quantile(Tone.film(each, field, equalisation=1.0)(each), (0.1, 0.5, 0.9)) for each in (values, values**2 + 1)
    )
    np.testing.assert_allclose(one, other, atol=0.02)
    assert one[1] == pytest.approx(0.65, abs=0.03)


def test_a_window_is_linear_in_attenuation() -> None:
    values = np.random.default_rng(1).uniform(1, 5, (60, 60)).astype(np.float32)
    film = Tone.film(values, np.ones(values.shape, bool), equalisation=0.0)(values)
    assert np.corrcoef(film.ravel(), values.ravel())[0, 1] > 0.999


def test_only_the_patient_in_the_field_counts() -> None:
    values = np.random.default_rng(2).uniform(1, 5, (60, 60)).astype(np.float32)
    field = np.ones(values.shape, bool)
    expected = Tone.film(values, field)
    wider = np.pad(values, 30)  # air around
    wider[:10] = 50  # a plate that is not in the field
    inside = np.zeros(wider.shape, bool)
    inside[20:-20, 20:-20] = True
    found = Tone.film(wider, inside)
    ramp = np.linspace(1, 5, 100, dtype=np.float32)[None]
    np.testing.assert_allclose(found(ramp), expected(ramp), atol=1e-6)


def test_without_a_patient_there_is_still_a_curve() -> None:
    for values in (np.zeros((20, 20), np.float32), np.full((3, 5), 4.0, np.float32)):
        tone = Tone.film(values, np.ones(values.shape, bool))
        assert tone(np.array([[0.0, 2.5, 5.0]], np.float32))[0].tolist() == pytest.approx([0.0, 0.45, 0.9])
    even = np.full((40, 40), 3.0, np.float32)
    assert 0 < Tone.film(even, np.ones(even.shape, bool))(even)[0, 0] < 1
