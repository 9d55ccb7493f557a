"""Normals and the anomalies made from them on the fly: prepared once, the same in any worker."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from artasyn.arrays import Image, identity
from artasyn.bulk.sources import find_sources
from artasyn.detection.window import LungWindow, prepare
from artasyn.errors import DataError
from artasyn.files.radiograph import read_radiograph, write_image
from artasyn.phantom.film import Phantom
from artasyn.segment import Lungs, PBTSeg
from artasyn.synthesis import LungOpacity
from artasyn.synthesis.anomaly import Anomaly
from artasyn.training.film_variation import FilmVariation
from artasyn.training.normals import Normals, load_normals, prepare_normals, stored_size
from artasyn.training.samples import Sample, SyntheticAnomalies

KEYS: tuple[Literal["image", "normal", "mask", "lungs"], ...] = ("image", "normal", "mask", "lungs")


@pytest.fixture(scope="module")
def normals(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Normals:
    cache = tmp_path_factory.mktemp("cache")
    outcomes = prepare_normals(find_sources([phantoms / "train"]), cache, size=64)
    assert [outcome.reason for outcome in outcomes] == [""] * 6
    return load_normals(cache)


def blank(*folders: str) -> Normals:
    """Normals of these folders without anything to see."""
    count = len(folders)
    names = tuple(f"{number:016x}" for number in range(count))
    return Normals(names, folders, np.zeros((count, 16, 16), np.uint16), np.zeros((count, 16, 16), np.uint8))


@dataclass
class Recorded:
    """Makes anomalies and keeps them."""

    synthesis: LungOpacity = field(default_factory=LungOpacity)
    made: list[tuple[Image, Anomaly]] = field(default_factory=list)

    def __call__(self, image: Image, lungs: Lungs, rng: np.random.Generator) -> Anomaly:
        anomaly = self.synthesis(image, lungs, rng)
        self.made.append((image, anomaly))
        return anomaly


@pytest.mark.parametrize(("size", "stored"), [(64, 82), (128, 166), (256, 332)])
def test_what_is_stored_has_the_networks_window_in_its_middle(size: int, stored: int) -> None:
    # a box of 100 has a window of 116, and 150 are stored: 64 * 150 / 116 is 82.8, 128 is 165.5, 256 is 331.0
    assert stored_size(size) == stored


def test_samples_of_healthy_films_are_what_the_detector_sees(normals: Normals, phantoms: Path) -> None:
    films = {identity(film): film for film in map(read_radiograph, sorted((phantoms / "train/healthy").iterdir()))}
    assert set(normals.identities) == set(films)
    assert set(normals.folders) == {str(phantoms / "train/healthy")}
    samples = SyntheticAnomalies(normals, 64, LungOpacity(), seed=0, healthy_probability=1.0)
    for index, name in enumerate(normals.identities):
        assert normals.image(index).shape == (82, 82)
        film, sample = films[name], samples[index]
        seen = prepare(LungWindow.around(PBTSeg()(film)).cut(film), 64)
        assert np.corrcoef(sample["image"].numpy().ravel(), seen.ravel())[0, 1] > 0.98
        assert np.abs(sample["image"][0].numpy() - seen).mean() < 0.03
        assert normals.lungs(index).found
        assert not sample["mask"].any()
        assert torch.equal(sample["normal"], sample["image"])


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


@pytest.mark.parametrize("variation", [None, FilmVariation()])
def test_a_film_that_comes_again_has_another_anomaly(normals: Normals, variation: FilmVariation | None) -> None:
    samples = SyntheticAnomalies(normals, 64, LungOpacity(), seed=4, healthy_probability=0.0, variation=variation)
    for index in (0, 3):
        first, again, third = (samples[index + len(normals) * time] for time in range(3))
        assert not torch.equal(first["mask"], again["mask"])
        assert not torch.equal(again["mask"], third["mask"])
        assert all(torch.equal(samples[index + len(normals)][key], again[key]) for key in KEYS)


@pytest.mark.parametrize("tolerance", [0.01, 0.02, 0.1])
def test_the_mask_is_where_the_anomaly_is_dense_enough(normals: Normals, tolerance: float) -> None:
    recorded = Recorded()
    samples = SyntheticAnomalies(normals, 64, recorded, seed=4, healthy_probability=0.0, tolerance=tolerance)
    anomalous = 0
    for index in range(len(samples)):
        sample = samples[index]
        normal, anomaly = recorded.made[-1]
        np.testing.assert_array_equal(normal, normals.image(index))  # made on the film as it is
        brighter = (anomaly.image - normal)[9:73, 9:73]  # 82 are stored, 64 are seen
        clear = np.abs(brighter - tolerance) > 1e-6
        np.testing.assert_array_equal(sample["mask"][0].numpy()[clear], (brighter >= tolerance)[clear])
        anomalous += bool(sample["mask"].any())
        changed = (sample["image"] != sample["normal"])[0].numpy()
        assert not changed[brighter == 0].any()
        assert (sample["image"] >= sample["normal"]).all()
        assert np.mean(changed[brighter >= 0.02]) > 0.9  # but for what both films have too dark or bright to show
    assert anomalous >= 5


def samples_of(normals: Normals, **options: object) -> list[Sample]:
    samples = SyntheticAnomalies(normals, 64, LungOpacity(), **options)  # type: ignore[arg-type]
    return [samples[i] for i in range(len(samples))]


@pytest.mark.parametrize("variation", [None, FilmVariation()])
def test_a_sample_is_four_squares_in_range(normals: Normals, variation: FilmVariation | None) -> None:
    for sample in samples_of(normals, seed=1, variation=variation):
        assert set(sample) == set(KEYS)
        for tensor in (sample["image"], sample["normal"], sample["mask"], sample["lungs"]):
            assert tensor.shape == (1, 64, 64)
            assert tensor.dtype == torch.float32
            assert 0 <= tensor.min() <= tensor.max() <= 1
        assert set(sample["mask"].flatten().tolist()) <= {0.0, 1.0}
        assert 0.2 < sample["lungs"].mean() < 0.9


def test_varied_films_take_mask_and_lungs_with_them(normals: Normals) -> None:
    """Where the mask came to lie the film is brighter than the normal one, and that is in the lungs."""
    brighter, beside = [], []
    for epoch in range(4):
        for sample in samples_of(normals, seed=2, epoch=epoch, healthy_probability=0.0, variation=FilmVariation()):
            difference, mask = sample["image"] - sample["normal"], sample["mask"] > 0
            if mask.any():
                brighter.append(float(difference[mask].mean()))
                beside.append(float(difference[~mask].abs().mean()))
                assert sample["lungs"][mask].mean() > 0.8
    assert len(brighter) > 15
    assert np.mean(brighter) > 5 * np.mean(beside)
    assert min(brighter) > 0


def test_healthy_films_stay_healthy_however_they_vary(normals: Normals) -> None:
    for sample in samples_of(normals, seed=4, healthy_probability=1.0, variation=FilmVariation()):
        assert not sample["mask"].any()
        assert torch.equal(sample["image"], sample["normal"])


def test_about_as_many_are_healthy_as_asked_for(normals: Normals) -> None:
    recorded = Recorded()
    samples = SyntheticAnomalies(normals, 64, recorded, seed=4, healthy_probability=0.4)
    for index in range(40):
        _ = samples[index]
    assert 14 <= len(recorded.made) <= 34  # 24 of 40
    recorded.made.clear()
    samples.healthy_probability = 0.0
    for index in range(10):
        _ = samples[index]
    assert len(recorded.made) == 10


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_makes_the_same(normals: Normals, workers: int) -> None:
    samples = SyntheticAnomalies(normals, 64, LungOpacity(), seed=9, epoch=5, variation=FilmVariation())
    here = [samples[i] for i in range(len(samples))]
    there = list(DataLoader(samples, batch_size=None, num_workers=workers))
    for ours, theirs in zip(here, there, strict=True):
        assert all(torch.equal(ours[key], theirs[key]) for key in KEYS)


def test_epochs_and_seeds_differ_and_places_in_the_set_do_not_matter(normals: Normals) -> None:
    def images(seed: int, epoch: int, films: Normals = normals) -> torch.Tensor:
        made = samples_of(films, seed=seed, epoch=epoch, variation=FilmVariation())
        return torch.stack([sample["image"] for sample in made])

    assert torch.equal(images(1, 0), images(1, 0))
    assert not torch.equal(images(1, 0), images(1, 1))
    assert not torch.equal(images(1, 0), images(2, 0))
    assert torch.equal(images(1, 0)[[4, 1]], images(1, 0, normals.subset([4, 1])))


def test_global_generators_are_left_alone(normals: Normals) -> None:
    torch.manual_seed(1)
    before = (np.random.get_state()[1].sum(), torch.get_rng_state().sum())  # type: ignore[index]  # noqa: NPY002
    _ = SyntheticAnomalies(normals, 64, LungOpacity(), seed=9, variation=FilmVariation())[0]
    after = (np.random.get_state()[1].sum(), torch.get_rng_state().sum())  # type: ignore[index]  # noqa: NPY002
    assert before == after
