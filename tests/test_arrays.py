"""What counts as an image, its identity, and the random streams that start from it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artasyn.arrays import Image, check_image, generator, identity
from artasyn.errors import ArtasynError, ImageError


def ramp(rows: int = 16, columns: int = 20) -> Image:
    values = np.arange(rows * columns, dtype=np.float32) / np.float32(rows * columns)
    return np.asarray(values.reshape(rows, columns), np.float32)


def spoilt(value: float) -> Image:
    image = ramp()
    image[3, 4] = value
    return image


@pytest.mark.parametrize(
    "image",
    [
        ramp(),
        np.zeros((16, 16), np.float32),
        np.ones((16, 300), np.float32),
        np.asfortranarray(ramp(20, 16)),
        ramp(64, 64)[::2, ::-3],
        spoilt(-0.0),
    ],
    ids=["ramp", "zeros", "ones", "fortran", "strided", "minus zero"],
)
def test_an_image_passes(image: Image) -> None:
    before = image.copy()
    check_image(image)
    assert (image == before).all()


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: [[0.0]], "not list"),
        (lambda: None, "not NoneType"),
        (lambda: ramp()[None], r"not \(1, 16, 20\)"),
        (lambda: np.zeros((16, 16, 3), np.float32), r"not \(16, 16, 3\)"),
        (lambda: np.float32(0.5) * np.ones(16, np.float32), r"not \(16,\)"),
        (lambda: ramp().astype(np.float64), "not float64"),
        (lambda: (255 * ramp()).astype(np.uint8), "not uint8"),
        (lambda: ramp() > 0.5, "not bool"),
        (lambda: [ramp()], "not list; pass one radiograph at a time"),
        (lambda: torch.from_numpy(ramp()), r"not Tensor; pass tensor.numpy\(\)"),
        (lambda: "film.png", "not str; read files with read_radiograph"),
        (lambda: ramp(15, 20), r"not \(15, 20\)"),
        (lambda: ramp(20, 15), r"not \(20, 15\)"),
        (lambda: ramp()[:0], r"not \(0, 20\)"),
        (lambda: 255 * ramp(), "from 0 to 254"),
        (lambda: spoilt(-1e-6), "from -1e-06"),
        (lambda: spoilt(float(np.nextafter(np.float32(1), np.float32(2)))), "to 1"),
        (lambda: spoilt(np.nan), "nan"),
        (lambda: spoilt(np.inf), "to inf"),
        (lambda: spoilt(-np.inf), "from -inf"),
    ],
)
def test_anything_else_is_refused_and_the_message_says_what_came(make: Callable[[], object], found: str) -> None:
    with pytest.raises(ImageError, match=rf"^the film must .*{found}") as caught:
        check_image(make(), "the film")
    assert isinstance(caught.value, ArtasynError)
    assert isinstance(caught.value, ValueError)


def test_identity_is_fixed_for_all_time() -> None:
    assert identity(ramp()) == "3916e69fae6bbe44"


def test_identity_is_of_the_pixels_not_of_their_memory() -> None:
    image = ramp(18, 20)
    for same in (image.copy(), np.asfortranarray(image), np.repeat(image, 2, axis=1)[:, ::2]):
        assert identity(same) == identity(image)


def test_identity_tells_apart_shapes_pixels_and_orientations() -> None:
    image = ramp(16, 20)
    nearly = image.copy()
    nearly[-1, -1] = np.nextafter(nearly[-1, -1], np.float32(1))
    others = [image, nearly, image.reshape(20, 16), image.T, image[::-1], image[:, ::-1], image[:, :-1]]
    assert len({identity(other) for other in others}) == len(others)
    blank = [identity(np.zeros(shape, np.float32)) for shape in ((16, 64), (64, 16), (32, 32), (16, 16))]
    assert len(set(blank)) == len(blank)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_a_generator_follows_from_its_numbers_alone(image: int, seed: int) -> None:
    name = f"{image:016x}"
    first, again, number = generator(seed, name, 3), generator(seed, name, 3), generator(seed, image, 3)
    expected = first.integers(2**63, size=4).tolist()
    assert again.integers(2**63, size=4).tolist() == expected
    assert number.integers(2**63, size=4).tolist() == expected


def test_a_generator_is_fixed_for_all_time() -> None:
    assert generator(7, "00ff00ff00ff00ff", 3).integers(2**32, size=3).tolist() == [1357939451, 869261593, 4082083153]


def test_no_two_keys_share_a_stream() -> None:
    pairs = [((1,), (1, 0)), ((2 * 2**32 + 1,), (1, 2)), ((1, 2, 0), (1, 2))]
    for one, other in pairs:
        assert generator(*one).random() != generator(*other).random()


def test_streams_differ_by_seed_identity_copy_and_order() -> None:
    names = ["00000000000000aa", "00aa000000000000", "ffffffffffffffff"]
    keys: list[tuple[int, ...] | tuple[int, str, int] | tuple[int, int, str]] = [
        *((seed, name, copy) for seed in (1, 2) for name in names for copy in (1, 2)),
        *((seed, copy, name) for seed in (1, 2) for name in names[1:] for copy in (1, 2)),
    ]
    streams = [generator(*key).normal(size=2000) for key in keys]
    for first, second in combinations(streams, 2):
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.12  # over 5 standard deviations of chance


@pytest.mark.parametrize("key", [(-1,), (1, -2), (1, "no digits")])
def test_negative_numbers_and_names_that_are_no_digits_are_refused(key: tuple[int]) -> None:
    with pytest.raises(ValueError, match=r"non-negative|invalid literal"):
        generator(*key)
