"""Composed films: deterministic, masks that follow the warps and nothing else, padding, inversion."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from artasyn.arrays import check_image
from artasyn.segment.projection.view import View
from artasyn.segment.structures import ANATOMY
from artasyn.stock.films import Films, plain_film, pooled
from artasyn.stock.finish import Finish
from artasyn.stock.packed import Packed, Stock
from artasyn.stock.views import Patient, StockView

PLAIN = Finish(tone_share=0.0, extras_share=0.0, invert_share=0.0, noise=0.0)
STILL = Films(
    attenuation_share=0.0, margin_range=(0.0, 0.0), wide_share=0.0, roll_range=(0.0, 0.0), stretch=0.0, warp=0.0,
    opacity_share=0.0, finish=PLAIN,
)  # fmt: skip


def stock_of(*views: Packed) -> Stock:
    return Stock(views, np.full(len(views), 1 / len(views)))


@pytest.fixture(scope="module")
def stock(frontal: StockView, ellipsoids: Patient) -> Stock:
    return stock_of(Packed.of(frontal), Packed.of(ellipsoids.seen(View(180.0), 64)[0]))


def whole(view: StockView) -> tuple[Packed, np.ndarray]:
    """A view whose lungs' box is the whole view, so that a film of its size without anything drawn is the view."""
    packed = Packed.of(view)
    size = packed.maps.shape[0]
    return dataclasses.replace(packed, box=(0.0, 0.0, float(size), float(size))), view.channels()[0]


def test_the_same_seed_gives_the_same_film_and_another_seed_another(stock: Stock) -> None:
    first, again, other = (Films().compose(stock, 64, seed) for seed in ((3, 1), (3, 1), (3, 2)))
    for name in ("image", "masks", "known", "angle"):
        np.testing.assert_array_equal(first[name], again[name])
    assert not np.array_equal(first["image"], other["image"])
    assert not np.array_equal(first["masks"], other["masks"])


def test_every_film_is_as_the_network_expects_it(stock: Stock) -> None:
    shapes = set()
    for seed in range(24):
        film = Films().compose(stock, 48, (seed,))
        image, window = film["image"][0], film["window"]
        check_image(image)
        assert image.shape == (48, 48)
        assert film["masks"].shape == (24, 24, len(ANATOMY))
        assert film["masks"].max() == 4
        assert not film["masks"][..., ~film["known"]].any()
        beside = np.ones((48, 48), bool)
        beside[window.inside] = False
        assert not image[beside].any()
        assert not film["masks"][beside[::2, ::2]].any()
        assert image[window.inside].min() == 0
        assert image[window.inside].max() == 1
        np.testing.assert_allclose(np.hypot(*film["angle"]), 1, rtol=1e-6)
        shapes.add((window.height, window.width))
    assert len(shapes) > 8


def test_without_anything_drawn_the_masks_are_those_of_the_stock(frontal: StockView) -> None:
    view, masks = whole(frontal)
    film = STILL.compose(stock_of(view), masks.shape[1], (5,))
    np.testing.assert_array_equal(film["masks"], pooled(np.moveaxis(masks, 0, -1).astype(np.uint8)))
    expected = plain_film(frontal)
    assert np.corrcoef(film["image"].ravel(), expected.ravel())[0, 1] > 0.99


def test_masks_follow_the_turn_of_the_film(frontal: StockView) -> None:
    view, masks = whole(frontal)
    turned = dataclasses.replace(STILL, roll_range=(180.0, 180.0))
    seed = next(n for n in range(200) if _roll(n) > 0.97)  # the roll is drawn, more often small
    film = turned.compose(stock_of(view), masks.shape[1], (seed,))
    lung = film["masks"][..., ANATOMY.index("lung_right")] > 2
    upright = pooled(np.moveaxis(masks, 0, -1).astype(np.uint8))[..., ANATOMY.index("lung_right")] > 2
    there = lung & upright[::-1, ::-1]
    assert 2 * there.sum() > 0.8 * (lung.sum() + upright.sum())


def _roll(seed: int) -> float:
    rng = np.random.default_rng((seed,))
    rng.choice(1, p=[1.0])
    rng.uniform(0, 0)
    rng.normal(0, 1, 4)
    rng.random()
    rng.normal()
    rng.random()
    rng.uniform(180, 180)
    return float(rng.random() ** 0.5)


def test_opacities_hide_lung_and_never_change_masks(stock: Stock) -> None:
    changed = 0
    for seed in range(8):
        healthy = STILL.compose(stock, 64, (seed,))
        ill = dataclasses.replace(STILL, opacity_share=1.0).compose(stock, 64, (seed,))
        np.testing.assert_array_equal(healthy["masks"], ill["masks"])
        changed += not np.array_equal(healthy["image"], ill["image"])
    assert changed == 8


def test_an_inverted_film_is_one_minus_the_film(stock: Stock) -> None:
    negative = dataclasses.replace(STILL, finish=dataclasses.replace(PLAIN, invert_share=1.0))
    film, inverted = (each.compose(stock, 64, (9,)) for each in (STILL, negative))
    inside = film["window"].inside
    np.testing.assert_allclose(inverted["image"][0][inside], 1 - film["image"][0][inside], atol=1e-6)
    np.testing.assert_array_equal(inverted["masks"], film["masks"])


def test_pooling_counts_the_pixels_of_each_mask() -> None:
    masks = np.zeros((4, 4, 2), np.uint8)
    masks[:2, :2, 0], masks[3, 3, 1], masks[0, 2:, 1] = 1, 1, 1
    np.testing.assert_array_equal(pooled(masks)[..., 0], [[4, 0], [0, 0]])
    np.testing.assert_array_equal(pooled(masks)[..., 1], [[0, 2], [0, 1]])
