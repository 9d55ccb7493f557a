"""Variations of films: drawn from the seed alone, alike on films that belong together, regions go with them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import pytest

from artasyn.arrays import Attenuation, Image
from artasyn.phantom.film import Phantom
from artasyn.segment.projection.film_look import FilmLook
from artasyn.training.film_variation import FilmVariation, _compressed

STILL = FilmVariation(shift=0.0, scale_range=(1.0, 1.0), turn=0.0, mirrored=False)
"""Nothing moves but for the few per cent of each side."""


class Local(FilmVariation):
    """Without what spreads an anomaly: adaptive equalisation, scatter and blur."""

    def _look(self, rng: np.random.Generator) -> FilmLook:
        return dataclasses.replace(super()._look(rng), clahe=0.0, scatter=0.0, blur=0.0)


@pytest.fixture(scope="module")
def film() -> Image:
    return Phantom(size=96)(seed=3).image


def disc(shape: tuple[int, int], row: float, column: float, radius: float) -> Attenuation:
    """1 inside, with a border one pixel wide."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.clip(radius + 0.5 - np.hypot(rows - row, columns - column), 0, 1).astype(np.float32)


def varied(variation: FilmVariation, film: Image, normal: Image, seed: int) -> tuple[Image, Image]:
    return variation((film, normal), (), np.random.default_rng(seed))[0]


def test_the_same_seed_gives_the_same_and_others_differ(film: Image) -> None:
    before = film.copy()
    first, again = (varied(FilmVariation(), film, film, 5)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(film, before)
    others = [varied(FilmVariation(), film, film, seed)[0] for seed in range(6)]
    assert len({other.tobytes() for other in others}) == 6
    assert all(np.abs(other - film).mean() > 0.01 for other in others)


def test_global_generators_are_left_alone(film: Image) -> None:
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random(4)  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    varied(FilmVariation(), film, film, 1)
    np.testing.assert_array_equal(np.random.random(4), expected)  # noqa: NPY002


@pytest.mark.parametrize("strength", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("shape", [(48, 80), (81, 40)])
def test_films_of_any_shape_stay_films_and_regions_stay_in_their_range(strength: float, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    image[:10], image[-10:] = 0, 1
    for seed in range(8):
        films, regions = FilmVariation(strength)((image, image), (image, 1 - image), np.random.default_rng(seed))
        for made in (*films, *regions):
            assert made.shape == shape
            assert made.dtype == np.float32
            assert made.min() >= 0
            assert made.max() <= 1


@pytest.mark.parametrize("seed", range(12))
def test_films_that_are_alike_stay_alike(film: Image, seed: int) -> None:
    made, normal = varied(FilmVariation(), film, film.copy(), seed)
    np.testing.assert_array_equal(made, normal)


@pytest.mark.parametrize("seed", range(12))
def test_a_film_differs_from_its_normal_only_where_its_anomaly_went(film: Image, seed: int) -> None:
    added = 0.2 * disc(film.shape, 40, 30, 9) * (1 - film)
    ill = film + added
    (made, normal), (there,) = Local()((ill, film), (added,), np.random.default_rng(seed))
    np.testing.assert_array_equal(made[there == 0], normal[there == 0])
    assert (made[there > 0] >= normal[there > 0]).all()
    brighter = made[there > 0.05] - normal[there > 0.05]
    assert brighter.size > 50
    assert np.mean(brighter > 0.01) > 0.9


def test_with_all_that_spreads_it_an_anomaly_stays_where_its_region_is(film: Image) -> None:
    added = 0.2 * disc(film.shape, 40, 30, 9) * (1 - film)
    inside, beside = [], []
    for seed in range(20):
        (made, normal), (there,) = FilmVariation()((film + added, film), (added,), np.random.default_rng(seed))
        difference = made - normal
        inside.append(float(difference[there > 0.05].mean()))
        beside.append(float(np.abs(difference[there == 0]).mean()))
    assert min(inside) > 0.02
    assert np.mean(beside) < 0.1 * np.mean(inside)


@pytest.mark.parametrize("seed", range(8))
def test_without_strength_only_places_change_and_regions_go_with_the_film(seed: int) -> None:
    mark = disc((70, 90), 33, 52, 14)
    (made, normal), (there,) = FilmVariation(strength=0.0)((mark, mark), (mark,), np.random.default_rng(seed))
    np.testing.assert_allclose(made, there, atol=1e-6)
    np.testing.assert_array_equal(made, normal)
    assert there.max() == pytest.approx(1, abs=1e-6)
    grey = np.full((70, 90), 0.3, np.float32)
    np.testing.assert_allclose(varied(FilmVariation(strength=0.0), grey, grey, seed)[0], 0.3, atol=1e-6)


def test_beyond_the_film_its_border_goes_on_and_regions_end() -> None:
    ones = np.ones((64, 64), np.float32)
    gone = 0
    for seed in range(6):
        films, (region,) = FilmVariation(strength=0.0, shift=0.2)((ones, ones), (ones,), np.random.default_rng(seed))
        assert (films[0] == 1).all()
        gone += int((region == 0).sum())
    assert gone > 6 * 100


def moves(variation: FilmVariation, count: int, size: int = 100) -> npt.NDArray[np.float64]:
    """(count, 2, 3) from (column, row, 1) on the given film to the varied one, both from the middle, in sides.

    Seen from outside: by where three discs come to lie.
    """
    places = np.array([[40.0, 45.0], [60.0, 42.0], [52.0, 62.0]])  # (row, column)
    discs = tuple(disc((size, size), row, column, 4.0) for row, column in places)
    film = np.zeros((size, size), np.float32)
    found = []
    for seed in range(count):
        _, there = variation((film, film), discs, np.random.default_rng(seed))
        grid = np.indices((size, size), dtype=np.float64)
        centres = [[float((g * m).sum() / m.sum()) for g in grid] for m in there]
        given, got = (((np.array(p) - (size - 1) / 2) / size)[:, ::-1] for p in (places, centres))
        found.append(np.linalg.solve(np.column_stack([given, np.ones(3)]), got).T)
    return np.array(found)


def test_moves_keep_to_the_ranges_and_use_them() -> None:
    flat = FilmVariation(shift=0.05, scale_range=(0.9, 1.2), turn=6.0, rotation=0.0, inspiration=0.0)
    found = moves(flat, 80)
    inverse = np.linalg.inv(found[:, :, :2])  # from the varied film to the given one, whose columns are turned sides
    sides = np.linalg.norm(inverse, axis=1)
    assert sides.min() > 0.9 * math.exp(-0.04) - 0.01
    assert sides.max() < 1.2 * math.exp(0.04) + 0.01
    assert np.ptp(sides) > 0.2
    assert 0.01 < np.ptp(sides, axis=1).max() < 1.2 * 2 * math.sinh(0.04) + 0.02
    down = inverse[:, :, 1]
    angles = np.degrees(np.arctan2(-down[:, 0], down[:, 1]))
    assert np.abs(angles).max() < 6.3
    assert angles.min() < -4
    assert angles.max() > 4
    middles = np.einsum("nij,nj->ni", -inverse, found[:, :, 2])  # the given film's place in the middle of the varied
    assert np.abs(middles).max() < 0.05 + 0.005
    assert (np.ptp(middles, axis=0) > 0.08).all()


def test_a_turned_patient_shifts_the_middle_and_inspiration_the_lower_edge() -> None:
    """The columns or the rows of a ramp tell where each pixel comes from."""
    across, down = np.meshgrid(np.linspace(0, 1, 65, dtype=np.float32), np.linspace(0, 1, 65, dtype=np.float32))
    calm = FilmVariation(0.0, 0.0, (0.999, 1.001), 0.0, 0.0, 0.0, mirrored=False)

    def shifts(variation: FilmVariation, ramp: Image) -> np.ndarray:
        drawn = [variation((ramp, ramp), (ramp,), np.random.default_rng(seed))[1][0] - ramp for seed in range(30)]
        same = [calm((ramp, ramp), (ramp,), np.random.default_rng(seed))[1][0] - ramp for seed in range(30)]
        return np.asarray(np.array(drawn) - np.array(same))

    turned = shifts(dataclasses.replace(calm, rotation=0.1), across)[:, 32]
    assert np.abs(turned[:, [2, -3]]).max() < 0.01
    assert 0.03 < np.abs(turned[:, 32]).max() < 0.055
    lower = shifts(dataclasses.replace(calm, inspiration=0.1), down)[:, :, 32]
    assert np.abs(lower[:, :32]).max() < 1e-4
    assert 0.02 < np.abs(lower[:, 55]).max() < 0.055


def test_jpeg_leaves_its_blocks_on_some_films_only() -> None:
    film = np.random.default_rng(0).random((64, 64), np.float32)
    assert _compressed(film, None) is film
    coarse, fine = (_compressed(film, quality) for quality in (10, 95))
    assert np.abs(coarse - film).mean() > 2 * np.abs(fine - film).mean() > 0
    assert coarse.dtype == np.float32


def test_sides_change_places_half_of_the_time_or_never() -> None:
    signs = np.linalg.det(moves(FilmVariation(), 40)[:, :, :2])
    assert 10 <= np.count_nonzero(signs < 0) <= 30
    upright = np.linalg.det(moves(FilmVariation(mirrored=False), 40)[:, :, :2])
    assert (upright > 0).all()


def test_light_and_look_grow_with_the_strength(film: Image) -> None:
    def change(strength: float) -> float:
        variation = dataclasses.replace(STILL, strength=strength)
        calm = dataclasses.replace(STILL, strength=0.0)
        both = [(varied(variation, film, film, s)[0], varied(calm, film, film, s)[0]) for s in range(10)]
        return float(np.mean([np.abs(one - other).mean() for one, other in both]))

    assert change(0.0) == 0
    assert 0.01 < change(0.3) < change(1.0) < 0.3
