"""Preparation worked out by hand and against numpy, scipy and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.stats import norm
from skimage.morphology import convex_hull_image
from skimage.transform import resize

from artasyn.arrays import Image, LungLabels
from artasyn.detection.window import LungWindow, lung_region, normalised, prepare, resized
from artasyn.segment import Lungs


def film(shape: tuple[int, int] = (96, 80), seed: int = 0) -> Image:
    return np.random.default_rng(seed).uniform(0.2, 0.7, shape).astype(np.float32)


def two_lungs(shape: tuple[int, int] = (100, 120)) -> LungLabels:
    """Two boxes: rows 20 to 79, columns 15 to 44 and 70 to 104."""
    labels = np.zeros(shape, np.uint8)
    labels[20:80, 15:45] = 1
    labels[30:70, 70:105] = 2
    return labels


# The window -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("margin", "expected"),
    [
        (0.0, LungWindow(20, 15, 60, 90)),
        (0.1, LungWindow(14, 6, 72, 108)),  # 0.1 * 60 rows above and below, 0.1 * 90 columns beside
        (0.5, LungWindow(-10, -30, 120, 180)),
    ],
)
def test_the_window_is_the_box_of_both_lungs_with_a_margin(margin: float, expected: LungWindow) -> None:
    assert LungWindow.around(Lungs.from_labels(two_lungs()), margin) == expected


@pytest.mark.parametrize("missing", [(1,), (2,), (1, 2)])
def test_a_film_whose_lungs_are_not_both_found_is_taken_whole(missing: tuple[int, ...]) -> None:
    labels = two_lungs()
    labels[np.isin(labels, missing)] = 0
    window = LungWindow.around(Lungs.from_labels(labels))
    assert window == LungWindow(0, 0, 100, 120)
    image = film((100, 120))
    np.testing.assert_array_equal(window.cut(image), image)


@pytest.mark.parametrize(
    "window",
    [
        LungWindow(10, 20, 30, 40),
        LungWindow(-7, -3, 110, 90),
        LungWindow(60, 50, 60, 60),
        LungWindow(-5, 30, 20, 70),
        LungWindow(0, 0, 96, 80),
    ],
)
def test_beyond_the_film_its_border_goes_on(window: LungWindow) -> None:
    image = film()
    padded = np.pad(image, 50, mode="edge")
    first, second = window.top + 50, window.left + 50
    np.testing.assert_array_equal(
        window.cut(image), padded[first : first + window.height, second : second + window.width]
    )
    labels = (image > 0.5).astype(np.uint8)
    assert window.cut(labels).dtype == np.uint8
    np.testing.assert_array_equal(window.cut(labels), window.cut(image) > 0.5)


@pytest.mark.parametrize("corner", [(10, 20), (-9, -4), (70, 60), (-20, 50), (0, 0)])
def test_what_is_cut_and_restored_is_what_was_there_and_nothing_beside(corner: tuple[int, int]) -> None:
    image, window = film(), LungWindow(*corner, 48, 48)
    restored = window.restore(window.cut(image), image.shape)
    rows, columns = np.ogrid[:96, :80]
    within = (rows >= corner[0]) & (rows < corner[0] + 48) & (columns >= corner[1]) & (columns < corner[1] + 48)
    np.testing.assert_allclose(restored, np.where(within, image, 0), atol=1e-6)
    assert restored.dtype == np.float32


def test_a_small_map_is_enlarged_to_the_window_as_scikit_image_does() -> None:
    values = film((16, 16))
    restored = LungWindow(5, 7, 48, 32).restore(values, (60, 50))
    expected = resize(values, (48, 32), order=1, mode="edge", anti_aliasing=False)  # type: ignore[no-untyped-call]
    np.testing.assert_allclose(restored[5:53, 7:39], expected, atol=1e-5)
    assert not restored[:5].any()
    assert not restored[53:].any()
    assert not restored[:, :7].any()
    assert not restored[:, 39:].any()


# The region of the lungs ------------------------------------------------------------------------------------


def test_the_region_ends_as_a_gaussian_around_a_border_beyond_the_lung() -> None:
    labels = np.zeros((128, 128), np.uint8)
    labels[30:98, 40:] = 2
    profile = lung_region(labels, 128)[64, 10:70]
    # 3 % of 128 are 4 pixels: the half lies four and a half beyond the middle of the lung's first column
    inward = np.arange(10, 70) - (40 - 4.5)
    np.testing.assert_allclose(profile, norm.cdf(inward / 4), atol=0.005)


def test_the_region_takes_in_the_notch_of_a_lung_and_not_what_lies_between_both() -> None:
    labels = np.zeros((200, 200), np.uint8)
    labels[20:180, 10:70], labels[20:180, 130:190] = 1, 2
    labels[60:140, 40:70] = 0  # as a large heart would
    region = lung_region(labels, 200)
    assert labels[100, 50] == 0
    assert region[100, 50] > 0.999
    assert region[:, 97:103].max() < 1e-3
    assert region.min() >= 0
    assert region.max() <= 1


@pytest.mark.parametrize("seed", range(3))
def test_the_region_holds_the_hulls_of_scikit_image_and_ends_soon_beyond(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.zeros((96, 96), np.uint8)
    for side, first in ((1, 5), (2, 55)):
        spots = rng.integers(0, 35, (12, 2)) + np.array([30, first])
        labels[spots[:, 0], spots[:, 1]] = side
    hulls = np.zeros((96, 96), bool)
    for side in (1, 2):
        hulls |= convex_hull_image(labels == side, offset_coordinates=False)  # type: ignore[no-untyped-call]
    region = lung_region(labels, 96)
    assert (region[hulls] > 0.5).all()
    distance = distance_transform_edt(~hulls)
    assert (region[distance >= 6] < 0.5).all()  # 3 % of 96 is 3, and about half a pixel
    assert (region[distance > 15] < 1e-3).all()


def test_the_region_of_one_lung_and_of_none() -> None:
    labels = two_lungs((128, 128))
    both, right, left = (lung_region(labels * np.isin(labels, sides), 128) for sides in ((1, 2), (1,), (2,)))
    np.testing.assert_allclose(right + left, both, atol=1e-6)
    assert right[:, :60].any()
    assert not right[:, 66:].any()
    assert not lung_region(0 * labels, 128).any()


@pytest.mark.parametrize("times", [2, 3])
def test_the_region_does_not_depend_on_how_finely_the_lungs_are_drawn(times: int) -> None:
    labels = two_lungs((128, 128))
    finer = labels.repeat(times, axis=0).repeat(times, axis=1)
    np.testing.assert_array_equal(lung_region(finer, 128), lung_region(labels, 128))
    assert np.abs(lung_region(labels, 64) - lung_region(labels, 128)[::2, ::2]).mean() < 0.03


# Squares ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [2, 3, 5])
def test_a_large_film_is_averaged_and_not_sampled(times: int) -> None:
    image = film((32 * times, 32 * times))
    means = image.reshape(32, times, 32, times).mean(axis=(1, 3), dtype=np.float64)
    np.testing.assert_allclose(resized(image, 32), means, atol=1e-6)


def test_a_small_film_is_enlarged_smoothly() -> None:
    ramp = np.tile(np.linspace(0, 1, 20, dtype=np.float32), (20, 1))
    square = resized(ramp, 60)
    steps = np.diff(square, axis=1)
    assert (steps >= 0).all()
    assert steps.max() < 2 / 57
    np.testing.assert_allclose(square, square[:1].repeat(60, axis=0), atol=1e-6)


@pytest.mark.parametrize("turned", [False, True])
def test_a_film_that_is_large_one_way_only_is_averaged_that_way(turned: bool) -> None:
    stripes = np.tile(np.array([0.2, 0.6], np.float32), (20, 80)) + np.linspace(0, 0.3, 20, dtype=np.float32)[:, None]
    square = resized(stripes.T if turned else stripes, 40)
    square = square.T if turned else square
    np.testing.assert_allclose(square, square[:, :1].repeat(40, axis=1), atol=1e-5)
    assert (np.diff(square[:, 0]) >= 0).all()
    assert square.mean() == pytest.approx(0.4 + 0.15, abs=1e-3)


# Contrast ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16, 16), (16, 200), (300, 31), (64, 64), (97, 130)])
@pytest.mark.parametrize("size", [32, 64])
def test_any_film_becomes_a_square_of_like_contrast(shape: tuple[int, int], size: int) -> None:
    prepared = prepare(film(shape), size)
    assert prepared.shape == (size, size)
    assert prepared.dtype == np.float32
    assert 0 <= prepared.min() < 0.3
    assert 0.7 < prepared.max() <= 1
    assert prepared.mean() == pytest.approx(0.5, abs=0.03)
    assert 0.12 < prepared.std() < 0.22


@pytest.mark.parametrize("shape", [(32, 32), (101, 101), (64, 90)])
def test_local_normalisation_in_plain_numpy(shape: tuple[int, int]) -> None:
    yy, xx = np.mgrid[: shape[0], : shape[1]] / shape[0]
    image = (0.3 + 0.2 * np.sin(9 * yy + 5 * xx) * xx + 0.3 * film(shape)).astype(np.float32).clip(0, 1)
    greys = np.sort(image.ravel().astype(np.float64))
    low, high = (np.interp(share * (greys.size - 1), np.arange(greys.size), greys) for share in (0.01, 0.99))
    stretched = np.clip((image - low) / (high - low), 0, 1)
    sigma = 0.15 * shape[0]
    mean = gaussian_filter(stretched, sigma, mode="nearest")
    deviation = np.sqrt(gaussian_filter(stretched**2, sigma, mode="nearest") - mean**2)
    expected = np.clip(0.5 + 0.2 * (stretched - mean) / (deviation + 0.05), 0, 1)
    np.testing.assert_allclose(normalised(image, image), expected, atol=1e-3)


def test_a_step_worked_out_by_hand() -> None:
    image = np.zeros((128, 128), np.float32)
    image[:, 64:] = 0.6
    sigma = 0.15 * 128
    found = prepare(image, 128)
    share = norm.cdf((np.arange(128) - 63.5) / sigma)  # of the neighbourhood that is bright, which is its mean too
    bright = np.arange(128) >= 64
    expected = 0.5 + 0.2 * (bright - share) / (np.sqrt(share * (1 - share)) + 0.05)
    np.testing.assert_allclose(found, np.tile(expected, (128, 1)), atol=2e-3)
    assert found[0, 64] == pytest.approx(0.5 + 0.2 * 0.5 / 0.55, abs=0.01)


@pytest.mark.parametrize(("gain", "exposure"), [(0.3, 0.2), (1.2, 0.0), (0.02, 0.9)])
def test_exposure_and_gain_do_not_matter(gain: float, exposure: float) -> None:
    image = film()
    np.testing.assert_allclose(prepare((gain * image + exposure).astype(np.float32), 32), prepare(image, 32), atol=1e-4)


def test_contrast_that_falls_off_across_the_film_is_evened_out() -> None:
    fine = np.where(np.indices((128, 128)).sum(axis=0) % 4 < 2, 1, -1)
    fading = np.linspace(0.3, 0.1, 128)
    image = (0.5 + fine * fading).astype(np.float32)
    assert image[:, :20].std() > 2 * image[:, -20:].std()
    found = prepare(image, 128)
    assert found[:, :20].std() < 1.3 * found[:, -20:].std()


@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
def test_a_film_without_contrast_does_not_become_noise(grey: float) -> None:
    np.testing.assert_allclose(prepare(np.full((40, 40), grey, np.float32), 32), 0.5, atol=1e-3)
    nearly = (grey * 0.9 + 1e-5 * film((40, 40))).astype(np.float32)
    assert np.abs(prepare(nearly, 32) - 0.5).max() < 0.03


def test_a_film_is_normalised_as_another_one_asks_for() -> None:
    normal = film((64, 64))
    ill = normal.copy()
    ill[20:30, 20:30] += 0.1
    seen, wanted = normalised(ill, ill), normalised(normal, ill)
    there = ill != normal
    np.testing.assert_array_equal(seen[~there], wanted[~there])  # the anomaly changes nothing beside it
    assert (seen[there] >= wanted[there]).all()
    assert (seen[there] - wanted[there]).mean() > 0.05
    assert not np.array_equal(wanted, normalised(normal, normal))  # which its own contrast would not do


def test_turned_films_are_prepared_alike_and_left_as_they_are() -> None:
    image = film()
    before = image.copy()
    np.testing.assert_allclose(prepare(image[::-1], 32), prepare(image, 32)[::-1], atol=1e-5)
    np.testing.assert_allclose(prepare(image.T, 32), prepare(image, 32).T, atol=1e-5)
    assert (image == before).all()
    assert (prepare(image, 32) == prepare(np.asfortranarray(image), 32)).all()
