"""Where a film ends and its borders begin, on films that are put into known borders."""

from __future__ import annotations

import numpy as np
import pytest

from artasyn.arrays import Image
from artasyn.segment.pbtseg.frame import find_frame


def framed(top: int, left: int, bottom: int, right: int, *, grey: float = 0.0, size: int = 160) -> Image:
    """Noise within borders of so many lines."""
    film = np.full((size, size), grey, np.float32)
    inner = film[top : size - bottom, left : size - right]
    inner[:] = np.random.default_rng(4).random(inner.shape, np.float32)
    return film


def lines(frame: tuple[float, float, float, float], size: int = 160) -> list[float]:
    """Lines that a frame leaves out: above, on the left, below and on the right."""
    top, left, bottom, right = frame
    return [top * size, left * size, (1 - bottom) * size, (1 - right) * size]


@pytest.mark.parametrize("grey", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(
    "borders",
    [(20, 0, 0, 0), (0, 20, 0, 0), (0, 0, 20, 0), (0, 0, 0, 20), (1, 2, 3, 4), (30, 5, 0, 50), (50, 50, 50, 50)],
    ids=str,
)
def test_borders_on_any_side_are_found(borders: tuple[int, int, int, int], grey: float) -> None:
    assert lines(find_frame(framed(*borders, grey=grey))) == pytest.approx(borders, abs=1)


@pytest.mark.parametrize("shape", [(100, 100), (90, 160), (200, 120)])
def test_a_film_without_borders_is_left_whole(shape: tuple[int, int]) -> None:
    assert find_frame(np.random.default_rng(0).random(shape, np.float32)) == (0.0, 0.0, 1.0, 1.0)
    assert find_frame(np.full(shape, 0.7, np.float32)) == (0.0, 0.0, 1.0, 1.0)


def test_borders_need_not_be_perfectly_even() -> None:
    film = 0.9 * framed(20, 30, 10, 0) + 0.1 * np.random.default_rng(1).random((160, 160), np.float32)
    assert lines(find_frame(film.astype(np.float32))) == pytest.approx((20, 30, 10, 0), abs=1)


@pytest.mark.parametrize("letter", [(8, 60, 13, 66), (80, 4, 90, 9), (70, 149, 82, 154)], ids=str)
def test_letters_do_not_hide_a_border(letter: tuple[int, int, int, int]) -> None:
    film = framed(40, 30, 0, 30)
    film[letter[0] : letter[2], letter[1] : letter[3]] = 1
    assert lines(find_frame(film)) == pytest.approx((40, 30, 0, 30), abs=1)


def test_a_bright_border_beside_a_dark_one_does_not_hide_it() -> None:
    film = framed(30, 0, 20, 0)
    film[:, :25] = 1
    assert lines(find_frame(film)) == pytest.approx((30, 25, 20, 0), abs=1)


@pytest.mark.parametrize("borders", [(75, 75, 75, 75), (120, 0, 0, 20), (0, 20, 130, 0)], ids=str)
def test_no_more_than_35_percent_are_left_out_on_each_side(borders: tuple[int, int, int, int]) -> None:
    expected = [min(border, 56) for border in borders]
    assert lines(find_frame(framed(*borders))) == pytest.approx(expected, abs=1)


def test_a_quiet_line_in_the_middle_of_a_film_is_no_border() -> None:
    film = framed(0, 0, 0, 0)
    film[30:36] = 0.5
    film[:, 100:104] = 0.5
    assert find_frame(film) == (0.0, 0.0, 1.0, 1.0)


def test_a_turned_film_has_the_turned_frame() -> None:
    film = framed(12, 33, 5, 0)
    assert lines(find_frame(film[::-1, ::-1].copy())) == pytest.approx((5, 0, 12, 33), abs=1)
    assert lines(find_frame(film.T.copy())) == pytest.approx((33, 12, 0, 5), abs=1)
