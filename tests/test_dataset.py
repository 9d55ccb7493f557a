"""Normals and the anomalies made from them on the fly: prepared once, the same in any worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from artasyn.arrays import identity
from artasyn.collection import find_sources
from artasyn.dataset import Normals, SyntheticAnomalies, load_normals, prepare_normals
from artasyn.errors import DataError
from artasyn.phantom import Phantom
from artasyn.preparation import prepare
from artasyn.radiograph import read_radiograph, write_image
from artasyn.synthesis import LungOpacity


@pytest.fixture(scope="module")
def normals(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Normals:
    cache = tmp_path_factory.mktemp("cache")
    outcomes = prepare_normals(find_sources([phantoms / "train"]), cache, size=64)
    assert [outcome.reason for outcome in outcomes] == [""] * 6
    return load_normals(cache)


def test_prepared_normals_are_the_prepared_films(normals: Normals, phantoms: Path) -> None:
    films = {identity(film): film for film in map(read_radiograph, sorted((phantoms / "train/healthy").iterdir()))}
    assert set(normals.identities) == set(films)
    for index, name in enumerate(normals.identities):
        np.testing.assert_allclose(normals.image(index), prepare(films[name], 64), atol=1 / 65535)
        assert normals.lungs(index).found


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


def test_samples_are_normal_outside_the_mask_and_brighter_inside(normals: Normals) -> None:
    samples = SyntheticAnomalies(normals, LungOpacity(), seed=4, healthy_probability=0.5)
    anomalous = 0
    for epoch in range(3):
        samples.epoch = epoch
        for sample in (samples[i] for i in range(len(samples))):
            changed = sample["image"] != sample["normal"]
            torch.testing.assert_close(changed.float(), sample["mask"])
            assert (sample["image"] >= sample["normal"]).all()
            assert (sample["lungs"][changed] == 1).all()
            anomalous += bool(changed.any())
    assert 3 <= anomalous <= 15  # about half of 18


def test_never_or_always_healthy(normals: Normals) -> None:
    healthy = SyntheticAnomalies(normals, LungOpacity(), seed=4, healthy_probability=1.0, vary=False)
    assert not healthy[0]["mask"].any()
    np.testing.assert_array_equal(healthy[2]["image"][0], normals.image(2))
    diseased = SyntheticAnomalies(normals, LungOpacity(), seed=4, healthy_probability=0.0)
    assert all(diseased[i]["mask"].any() for i in range(len(diseased)))


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_makes_the_same(normals: Normals, workers: int) -> None:
    samples = SyntheticAnomalies(normals, LungOpacity(), seed=9, epoch=5)
    here = [samples[i] for i in range(len(samples))]
    there = list(DataLoader(samples, batch_size=None, num_workers=workers))
    for ours, theirs in zip(here, there, strict=True):
        assert all(torch.equal(ours[key], theirs[key]) for key in ("image", "normal", "mask", "lungs"))


def test_epochs_and_seeds_differ_and_places_in_the_set_do_not_matter(normals: Normals) -> None:
    def images(seed: int, epoch: int, films: Normals = normals) -> torch.Tensor:
        samples = SyntheticAnomalies(films, LungOpacity(), seed=seed, epoch=epoch)
        return torch.stack([samples[i]["image"] for i in range(len(samples))])

    assert torch.equal(images(1, 0), images(1, 0))
    assert not torch.equal(images(1, 0), images(1, 1))
    assert not torch.equal(images(1, 0), images(2, 0))
    assert torch.equal(images(1, 0)[[4, 1]], images(1, 0, normals.subset([4, 1])))


def test_global_generators_are_left_alone(normals: Normals) -> None:
    torch.manual_seed(1)
    before = (np.random.get_state()[1].sum(), torch.get_rng_state().sum())  # type: ignore[index]  # noqa: NPY002
    _ = SyntheticAnomalies(normals, LungOpacity(), seed=9)[0]
    after = (np.random.get_state()[1].sum(), torch.get_rng_state().sum())  # type: ignore[index]  # noqa: NPY002
    assert before == after
