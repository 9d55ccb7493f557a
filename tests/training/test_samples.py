"""Anomalies made on normals on the fly: what a sample holds, the same in any worker."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from artasyn.arrays import Image, identity
from artasyn.detection.window import LungWindow, prepare
from artasyn.files.radiograph import read_radiograph
from artasyn.segment import Lungs, PBTSeg
from artasyn.synthesis import LungOpacity
from artasyn.synthesis.anomaly import Anomaly
from artasyn.synthesis.nuisances import Nuisances
from artasyn.training.film_variation import FilmVariation
from artasyn.training.normals import Normals
from artasyn.training.samples import Sample, SyntheticAnomalies

KEYS: tuple[Literal["image", "normal", "mask", "lungs"], ...] = ("image", "normal", "mask", "lungs")


@dataclass
class Recorded:
    """Makes anomalies and keeps them."""

    synthesis: LungOpacity = field(default_factory=LungOpacity)
    made: list[tuple[Image, Anomaly]] = field(default_factory=list)

    def __call__(self, image: Image, lungs: Lungs, rng: np.random.Generator) -> Anomaly:
        anomaly = self.synthesis(image, lungs, rng)
        self.made.append((image, anomaly))
        return anomaly


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
        assert set(sample) == {*KEYS, "group"}
        assert int(sample["group"]) == 0
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


def test_nuisances_lie_on_the_film_with_and_without_the_anomaly(normals: Normals) -> None:
    plain = samples_of(normals, seed=3, healthy_probability=1.0)
    clad = samples_of(normals, seed=3, healthy_probability=1.0, nuisances=Nuisances(0.6))
    for one, other in zip(plain, clad, strict=True):
        assert torch.equal(other["image"], other["normal"])
        assert not other["mask"].any()
        assert not torch.equal(one["image"], other["image"])


def test_the_lungs_of_a_sample_are_the_whole_ones_and_its_group_is_told(normals: Normals) -> None:
    whole = np.where(normals.labels > 0, normals.labels, 2 * (np.indices(normals.labels.shape)[1] > 40)).astype(
        np.uint8
    )
    wider = dataclasses.replace(normals, whole=whole, groups=tuple(range(len(normals))))
    before, after = samples_of(normals, seed=1), samples_of(wider, seed=1)
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        assert torch.equal(one["image"], other["image"])
        assert other["lungs"].sum() > 1.1 * one["lungs"].sum()
        assert int(other["group"]) == number
