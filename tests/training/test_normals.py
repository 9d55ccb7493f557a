"""Normals: prepared once, split and put into an order by seed and epoch."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from artasyn.bulk.sources import find_sources
from artasyn.errors import DataError
from artasyn.files.radiograph import write_image
from artasyn.phantom.film import Phantom
from artasyn.training.normals import Normals, load_normals, prepare_normals, stored_size


def blank(*folders: str) -> Normals:
    """Normals of these folders without anything to see."""
    count = len(folders)
    names = tuple(f"{number:016x}" for number in range(count))
    return Normals(names, folders, np.zeros((count, 16, 16), np.uint16), *np.zeros((2, count, 16, 16), np.uint8))


@pytest.mark.parametrize(("size", "stored"), [(64, 82), (128, 166), (256, 332)])
def test_what_is_stored_has_the_networks_window_in_its_middle(size: int, stored: int) -> None:
    # a box of 100 has a window of 116, and 150 are stored: 64 * 150 / 116 is 82.8, 128 is 165.5, 256 is 331.0
    assert stored_size(size) == stored


def test_films_without_lungs_are_left_out_with_the_reason(tmp_path: Path) -> None:
    films = tmp_path / "films"
    for seed in (1, 2):
        write_image(films / f"good{seed}.png", Phantom(size=128)(seed).image)
    noise = np.random.default_rng(0).random((128, 128), dtype=np.float32)
    write_image(films / "noise.png", noise)
    (films / "text.png").write_text("no image")
    outcomes = prepare_normals(find_sources([films]), tmp_path / "cache", size=64)
    reasons = {outcome.source.name: outcome.reason for outcome in outcomes if outcome.reason}
    assert reasons.keys() == {"noise", "text"}
    assert "lungs not found" in reasons["noise"]
    assert len(load_normals(tmp_path / "cache")) == 2


def test_one_usable_film_is_too_few(tmp_path: Path) -> None:
    write_image(tmp_path / "films" / "a.png", Phantom(size=128)(1).image)
    write_image(tmp_path / "films" / "same.png", Phantom(size=128)(1).image)
    prepare_normals(find_sources([tmp_path / "films"]), tmp_path / "cache", size=64)
    with pytest.raises(DataError, match="two are needed"):
        load_normals(tmp_path / "cache")


def test_the_split_depends_on_seed_and_images_not_on_order(normals: Normals) -> None:
    training, held_out = normals.split(0.34, seed=1)
    assert len(training) == 4
    assert len(held_out) == 2
    assert not set(training.identities) & set(held_out.identities)
    shuffled = normals.subset([5, 3, 1, 0, 2, 4])
    assert set(shuffled.split(0.34, seed=1)[1].identities) == set(held_out.identities)
    others = [frozenset(normals.split(0.34, seed=seed)[1].identities) for seed in range(8)]
    assert len(set(others)) > 1
    with pytest.raises(DataError, match="at least two"):
        normals.subset([0]).split(0.5, seed=1)


@pytest.mark.parametrize("epoch", range(3))
def test_with_one_folder_an_epoch_has_every_film_once(epoch: int) -> None:
    order = blank(*["a"] * 9).order(seed=4, epoch=epoch)
    assert sorted(order) == list(range(9))
    assert order != list(range(9))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((2, 7), (4, 5)), ((1, 1, 10), (4, 4, 4)), ((3, 3), (3, 3)), ((1, 5, 2), (2, 3, 3)), ((5, 1), (3, 3))],
)
def test_every_folder_is_seen_equally_often(counts: tuple[int, ...], expected: tuple[int, ...]) -> None:
    folders = [name for name, count in zip("abc", counts, strict=False) for _ in range(count)]
    random.Random(1).shuffle(folders)
    normals = blank(*folders)
    for epoch in range(4):
        order = normals.order(seed=3, epoch=epoch)
        assert len(order) == len(set(order)) == len(normals)
        seen = Counter(folders[i % len(normals)] for i in order)
        # of a number that does not divide evenly the folders' shares differ by one
        assert tuple(sorted(seen.values())) == tuple(sorted(expected))
        times = Counter(i % len(normals) for i in order)
        for film, count in times.items():  # those that come again are numbered on, and no film leads by two
            assert sorted(i // len(normals) for i in order if i % len(normals) == film) == list(range(count))
        for name in set(folders):
            among = [times[i] for i in range(len(normals)) if folders[i] == name]
            assert max(among) - min(among) <= 1


def test_orders_depend_on_seed_and_epoch_alone_and_mix_the_folders() -> None:
    normals = blank(*["a"] * 20, *["b"] * 30)
    orders = [normals.order(seed=seed, epoch=epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert normals.order(seed=1, epoch=0) == orders[0]
    first = [normals.folders[i % 50] for i in orders[0][:25]]
    assert 5 < first.count("a") < 20
    unseen = set(range(50)) - {i for order in orders for i in order}
    assert len(unseen) < 5  # those of the large folder that one epoch leaves out come in another
