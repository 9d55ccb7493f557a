"""The look of a film: each part does what it says, alone; the defaults do nothing; the same every time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from artasyn.arrays import Image
from artasyn.phantom.film import Phantom
from artasyn.segment.projection.film_look import FilmLook


@pytest.fixture(scope="module")
def film() -> Image:
    return Phantom(size=160)(seed=3).image


def test_the_defaults_change_nothing(film: Image) -> None:
    assert np.allclose(FilmLook()(film), film, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"gamma": 0.6},
        {"contrast": 1.7},
        {"detail": 1.0},
        {"clahe": 3.0},
        {"scatter": 0.3},
        {"streaks": 0.01},
        {"blur": 0.004},
        {"noise": 0.02},
        {"collimation": (0.1, 0.0, 0.05, 0.0)},
        {"marker": "L"},
        {"invert": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_part_changes_the_film_alike_every_time(film: Image, changes: dict[str, object]) -> None:
    look = dataclasses.replace(FilmLook(), **changes)  # type: ignore[arg-type]
    before = film.copy()
    first, second = look(film), look(film)
    assert np.array_equal(first, second)
    assert np.array_equal(film, before)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert np.abs(first - film).max() > 0.005


def test_inversion_is_the_last_step(film: Image) -> None:
    look = FilmLook(gamma=0.8, contrast=1.3, scatter=0.2, noise=0.01, marker="R", collimation=(0.1, 0.1, 0.1, 0.1))
    assert np.allclose(dataclasses.replace(look, invert=True)(film), 1 - look(film), atol=1e-6)


def test_noise_has_the_strength_asked_for_and_its_seed(film: Image) -> None:
    grey = np.full((200, 200), 0.5, np.float32)
    noisy = FilmLook(noise=0.02)(grey)
    assert float((noisy - grey).std()) == pytest.approx(0.02, rel=0.02)
    assert not np.array_equal(noisy, FilmLook(noise=0.02, seed=1)(grey))


def test_scatter_and_blur_keep_the_mean_and_lessen_detail(film: Image) -> None:
    for look in (FilmLook(scatter=0.4), FilmLook(blur=0.005)):
        made = look(film)
        assert float(made.mean()) == pytest.approx(float(film.mean()), abs=0.01)
        assert np.abs(np.diff(made)).mean() < 0.9 * np.abs(np.diff(film)).mean()


def test_the_diaphragm_covers_what_the_field_leaves_out(film: Image) -> None:
    look = FilmLook(collimation=(0.1, 0.05, 0.2, 0.0), collimation_grey=0.3)
    made, field = look(film), look.field(film.shape)
    assert np.allclose(made[~field], 0.3)
    assert np.allclose(made[field], film[field], atol=1e-6)
    rows, columns = np.flatnonzero(field.any(axis=1)), np.flatnonzero(field.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (16, 151, 32, 159)


@pytest.mark.parametrize(("marker", "right"), [("L", True), ("R", False)])
def test_the_marker_stands_on_its_side(film: Image, marker: str, right: bool) -> None:
    dark = np.zeros((300, 400), np.float32)
    made = FilmLook(marker=marker, marker_place=(0.1, 0.05), marker_size=0.08)(dark)  # type: ignore[arg-type]
    rows, columns = np.nonzero(made > 0.5)
    assert (columns.mean() > 200) == right
    assert rows.min() >= 30
    assert rows.max() <= 90
    assert np.ptp(rows) + 1 == pytest.approx(32, abs=8)


def test_a_film_differs_from_its_reference_only_where_the_image_does(film: Image) -> None:
    ill = film.copy()
    ill[60:80, 50:75] = np.minimum(film[60:80, 50:75] + 0.1, 1)
    look = FilmLook(gamma=0.8, contrast=1.4, detail=1.2, noise=0.02, streaks=0.01, marker="L", invert=True)
    assert np.array_equal(look(ill, film) != look(film), look(ill, film) != look(film, film))
    assert ((look(ill, film) != look(film)) <= (ill != film)).all()
    assert (look(ill) != look(film))[:40].any()  # without the reference the mean moves
