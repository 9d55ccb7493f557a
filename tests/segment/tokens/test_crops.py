"""The place and the shape of a mask apart: boxes come back to a bin, and crops do not depend on place and scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from artasyn.errors import ImageError
from artasyn.segment.tokens.crops import Box, box_of, check_mask, cropped, in_bins, in_pixels, placed


def ranges(length: int) -> st.SearchStrategy[tuple[int, int]]:
    """Ranges of at least one pixel."""
    return st.tuples(st.integers(0, length - 1), st.integers(1, length)).map(
        lambda ends: (min(ends[0], ends[1] - 1), max(ends[0] + 1, ends[1]))
    )


def boxes(longest: int) -> st.SearchStrategy[tuple[tuple[int, int], Box]]:
    """Films and boxes on them."""
    return st.tuples(st.integers(1, longest), st.integers(1, longest)).flatmap(
        lambda shape: st.tuples(
            st.just(shape),
            st.tuples(ranges(shape[0]), ranges(shape[1])).map(lambda r: (r[0][0], r[1][0], r[0][1], r[1][1])),
        )
    )


@given(boxes(1023))
def test_every_box_on_a_film_of_at_most_1023_pixels_comes_back_exactly(film: tuple[tuple[int, int], Box]) -> None:
    shape, box = film
    assert in_pixels(in_bins(box, shape), shape) == box


@given(boxes(5000))
def test_a_box_on_any_film_comes_back_to_half_a_bin_and_half_a_pixel(film: tuple[tuple[int, int], Box]) -> None:
    shape, box = film
    bins = in_bins(box, shape)
    again = in_pixels(bins, shape)
    for edge, other, place, length in zip(box, again, bins, 2 * shape, strict=True):
        assert abs(edge / length * 1023 - place) <= 0.5
        assert abs(edge - other) <= max(0.5 * length / 1023 + 0.5, 1)
    assert again[0] < again[2] <= shape[0]
    assert again[1] < again[3] <= shape[1]


@given(st.integers(1024, 6000), st.lists(st.integers(0, 1023), min_size=2, max_size=2, unique=True).map(sorted))
def test_every_bin_comes_back_exactly_on_large_films(length: int, ends: list[int]) -> None:
    bins = (ends[0], ends[0], ends[1], ends[1])
    assert in_bins(in_pixels(bins, (length, length)), (length, length)) == bins


def test_the_edges_of_a_film_are_the_first_and_the_last_bin() -> None:
    for length in (1, 7, 512, 4000):
        assert in_bins((0, 0, length, length), (length, length)) == (0, 0, 1023, 1023)


shapes = st.integers(0, 2**32 - 1).map(
    lambda seed: ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(23, 31)), 2.5) > 0.02
)


@given(shapes, st.integers(2, 7), st.integers(0, 9), st.integers(0, 9))
def test_a_crop_does_not_depend_on_the_place_and_on_whole_factors(mask: np.ndarray, k: int, down: int, on: int) -> None:
    box = box_of(mask)
    if box is None:
        return
    crop = cropped(mask, box)
    for other in (
        np.pad(mask, ((down, on), (on, down))),
        np.kron(mask, np.ones((k, k), bool)),
        np.kron(mask, np.ones((k, k + 1), bool)),
        mask[box[0] : box[2], box[1] : box[3]],
    ):
        found = box_of(other)
        assert found is not None
        np.testing.assert_array_equal(cropped(other, found), crop)


def test_a_crop_holds_shares_that_are_computed_by_hand() -> None:
    """A cell of a mask of 96 pixels is one and a half pixels wide; one of 32 is half a pixel wide."""
    row = np.zeros((1, 96), bool)
    row[0, [0, 3, 4, 5, 95]] = True
    crop = cropped(row, (0, 0, 1, 96))
    np.testing.assert_allclose(crop[:, :5], np.tile([2 / 3, 0, 1, 1, 0], (64, 1)), atol=1e-6)
    np.testing.assert_allclose(crop[:, -2:], np.tile([0, 2 / 3], (64, 1)), atol=1e-6)
    corner = np.zeros((32, 32), bool)
    corner[0, 1] = corner[31, 31] = True
    crop = cropped(corner, (0, 0, 32, 32))
    assert np.argwhere(crop).tolist() == [[0, 2], [0, 3], [1, 2], [1, 3], [62, 62], [62, 63], [63, 62], [63, 63]]


@given(shapes)
def test_a_mask_smaller_than_its_crop_comes_back_exactly(mask: np.ndarray) -> None:
    """A pixel is larger than a cell, so that its value is the mean of what it covers."""
    box = box_of(mask)
    if box is not None:
        np.testing.assert_array_equal(placed(cropped(mask, box), box, mask.shape), mask)


@pytest.mark.parametrize("size", [3, 64, 200])
def test_a_placed_mask_reaches_the_edges_of_its_box(size: int) -> None:
    """Any crop, even an empty one, gives a mask whose box is the one that the tokens claim."""
    box = (5, 7, 5 + size, 7 + size)
    for crop in (np.zeros((64, 64), np.float32), np.full((64, 64), 0.4, np.float32), np.eye(64, dtype=np.float32)):
        assert box_of(placed(crop, box, (size + 20, size + 20))) == box


def test_what_is_no_mask_is_refused() -> None:
    for wrong, message in (
        ([[True]], "must be a numpy array, not list"),
        (np.zeros((4, 4)), r"must be bool \(h, w\), not float64 \(4, 4\)"),
        (np.zeros((1, 4, 4), bool), r"not bool \(1, 4, 4\)"),
        (np.zeros((0, 4), bool), r"must have rows and columns, not \(0, 4\)"),
    ):
        with pytest.raises(ImageError, match=message):
            check_mask(wrong)
