"""A closer look at the lungs: finer, in its place, told the same, and taken only where there are two lungs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from artasyn.arrays import Image
from artasyn.evaluation.overlap import dice
from artasyn.segment.anatomy.closer import FINEST, Closer, lungs_place
from artasyn.segment.anatomy.looks import LookMaps, Squares, Turns
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.segment.anatomy.settings import AnatomySettings
from artasyn.segment.lungs import Lungs
from tests.segment.anatomy.reading import disc

NAMES = ("whole_lung_right", "whole_lung_left", "spine")
SIZE = 96


@pytest.fixture(autouse=True)
def nothing_to_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(self: Any, image: np.ndarray) -> Lungs:
        return Lungs(np.zeros(image.shape, np.uint8), (0.0, 0.0))

    monkeypatch.setattr("artasyn.segment.pbtseg.pbtseg.PBTSeg.__call__", find)


class Sides:
    """Reads dark discs on either side of a bright spine, wherever they lie in the square."""

    def __init__(self, closer: bool) -> None:
        self.settings, self.digest = AnatomySettings(size=SIZE, names=NAMES, looks=1, closer=closer), "sides"
        self.told: list[Turns] = []

    def read(self, images: Squares, turns: Turns) -> tuple[LookMaps, Turns]:
        self.told.append(turns)
        maps = np.stack([self._one(image) for image in images[:, 0]])
        return maps, np.tile(np.array([[0, 1]], np.float32), (len(images), 1))

    def _one(self, square: np.ndarray) -> np.ndarray:
        inside = np.outer(square.any(axis=1), square.any(axis=0)).astype(np.float32)
        lung, spine = np.clip(1 - 2 * square, 0, 1) * inside, np.clip(2 * square - 1, 0, 1)
        middle = int(square.mean(axis=0).argmax())
        right = lung * (np.arange(len(square)) < middle)
        found = np.stack([right, lung - right, spine])
        return np.asarray(found.reshape(3, SIZE // 2, 2, SIZE // 2, 2).mean(axis=(2, 4)), np.float32)


def film(
    shape: tuple[int, int], place: tuple[float, float] = (0.4, 0.5), radius: float = 0.09
) -> tuple[Image, dict[str, np.ndarray]]:
    """Two discs about a spine, at shares of the rows and columns; radius as a share of the columns."""
    (h, w), (row, column) = shape, place
    away = 1.3 * radius * w
    right, left = (disc(shape, (row * h, column * w + side * away), radius * w) for side in (-1, 1))
    spine = np.zeros(shape, np.float32)
    spine[:, round(column * w - 0.02 * w) : round(column * w + 0.02 * w)] = 1
    image = np.asarray(0.5 - 0.5 * (right + left) + 0.5 * spine, np.float32)
    return image, {"whole_lung_right": right, "whole_lung_left": left, "spine": spine}


@pytest.mark.parametrize("shape", [(900, 700), (701, 903), (515, 515)])
@pytest.mark.parametrize("place", [(0.4, 0.5), (0.12, 0.3), (0.9, 0.72)])
def test_small_lungs_are_read_finer_and_in_their_place(shape: tuple[int, int], place: tuple[float, float]) -> None:
    image, truth = film(shape, place)
    first, found = AnatomyNet(Sides(closer=False))(image), AnatomyNet(Sides(closer=True))(image)
    assert found.grid == first.grid == shape
    for name in NAMES[:2]:
        true = truth[name] >= 0.5
        mask = found.mask(name)
        assert dice(mask, true) > 0.99
        assert dice(mask, true) > dice(first.mask(name), true) + 0.004
        shift = np.argwhere(mask).mean(axis=0) - np.argwhere(true).mean(axis=0)
        assert np.abs(shift).max() < 0.002 * max(shape)
    spine = found.mask("spine")
    assert spine.any(axis=1).all()  # no gap where one look takes over from the other
    assert dice(spine, truth["spine"] >= 0.5) > 0.75


def test_a_known_turn_is_told_in_both_looks_and_batches_are_films_one_by_one() -> None:
    films = [film((240, 200))[0], film((200, 260), (0.5, 0.4), 0.12)[0], np.full((90, 80), 0.5, np.float32)]
    network = Sides(closer=True)
    together = AnatomyNet(network)(films, [30.0, None, None])
    assert [len(turns) for turns in network.told[:2]] == [3, 2]
    np.testing.assert_allclose([turns[0] for turns in network.told[:2]], [[0.5, 0.75**0.5]] * 2, atol=1e-6)
    assert np.isnan(network.told[1][1]).all()
    for image, angle, each in zip(films, (30.0, None, None), together, strict=True):
        np.testing.assert_array_equal(AnatomyNet(Sides(closer=True))(image, angle).maps, each.maps)


def test_one_lung_is_not_looked_at_again() -> None:
    image, truth = film((240, 200))
    image = np.maximum(image, np.where(truth["whole_lung_left"] > 0, np.float32(0.5), np.float32(0)))
    assert AnatomyNet(Sides(closer=True))(image).maps.shape[1:] == (48, 40)


def test_tiny_lungs_do_not_enlarge_without_end() -> None:
    mask = np.zeros((48, 48), bool)
    mask[20:23, 20:26] = True
    part = Closer.at(mask, (4000, 4000), SIZE)
    assert part is not None
    assert part.grid == (FINEST * 48, FINEST * 48)


def test_the_first_look_stays_where_the_closer_one_says_the_same() -> None:
    rows, columns = np.mgrid[:60, :50].astype(np.float32)
    maps = np.zeros((3, 60, 50), np.float32)
    maps[0, 20:40, 8:20] = maps[1, 20:40, 30:42] = 1
    maps[2] = (rows + columns) / 200
    part = Closer.at(lungs_place(maps, NAMES, Lungs(np.zeros((600, 500), np.uint8), (0.0, 0.0))), (600, 500), SIZE)
    assert part is not None
    height, width = (each.stop - each.start for each in part.place)
    grid_rows, grid_columns = ((np.arange(n) + 0.5) / n for n in part.grid)
    ramp = (60 * grid_rows[:, None] + 50 * grid_columns - 1) / 200
    near = np.zeros((3, height, width), np.float32)
    near[2] = ramp[part.place]
    joined = part.joined(maps, near, NAMES)
    assert joined.shape == (3, *part.grid)
    np.testing.assert_allclose(joined[2, 3:-3, 3:-3], ramp[3:-3, 3:-3], atol=2e-3)
    assert not joined[:2].any()  # lungs that the closer look does not see are left out


@pytest.mark.parametrize("sure", [0.6, 0.1])
def test_a_dark_abdomen_is_no_lung_where_pbtseg_is_sure(sure: float, monkeypatch: pytest.MonkeyPatch) -> None:
    image, truth = film((480, 400), (0.3, 0.5), 0.12)
    gas = disc((480, 400), (0.55 * 480, 0.3 * 400), 55.0)
    image = np.asarray(image - 0.45 * np.maximum(gas - truth["whole_lung_right"], 0), np.float32).clip(0, 1)
    labels = np.where(truth["whole_lung_right"] >= 0.5, 1, np.where(truth["whole_lung_left"] >= 0.5, 2, 0))
    lungs = Lungs(labels.astype(np.uint8), (sure, sure))
    monkeypatch.setattr("artasyn.segment.pbtseg.pbtseg.PBTSeg.__call__", lambda self, image: lungs)
    first, found = (AnatomyNet(Sides(closer))(image).mask("whole_lung_right") for closer in (False, True))
    true = truth["whole_lung_right"] >= 0.5
    assert dice(first, true) < 0.75
    assert (dice(found, true) > 0.9) == (sure > 0.5)
