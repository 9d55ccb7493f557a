"""The detector: maps on the film's own grid, stored and loaded, restricted to lungs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from artasyn.arrays import Image, Images
from artasyn.detector import Detector, score, smoothed
from artasyn.errors import ImageError, ModelError
from artasyn.phantom import Phantom
from artasyn.segment import Lungs


@pytest.fixture(scope="module")
def detector() -> Detector:
    torch.manual_seed(0)
    return Detector(size=64, threshold=0.01, image_threshold=0.02).eval()


@pytest.fixture(scope="module")
def film() -> Image:
    return Phantom(size=160)(3).image[:, 5:150]


def test_everything_is_on_the_films_own_grid(detector: Detector, film: Image) -> None:
    found = detector(film)
    assert found.heatmap.shape == found.mask.shape == found.reconstruction.shape == film.shape
    assert 0 <= found.heatmap.min() <= found.heatmap.max() <= 1
    assert 0 <= found.reconstruction.min() <= found.reconstruction.max() <= 1
    np.testing.assert_array_equal(found.mask, found.heatmap >= np.float32(0.01))
    assert found.lungs is not None
    assert not found.heatmap[~found.lungs.mask].any()
    assert found.heatmap[found.lungs.mask].any()


def test_a_batch_of_films_of_several_sizes_is_the_same_as_one_by_one(detector: Detector, film: Image) -> None:
    films = [film, Phantom(size=128)(4).image, film]
    batch = detector(films)
    for one, other in zip(batch, map(detector, films), strict=True):
        np.testing.assert_allclose(one.heatmap, other.heatmap, atol=1e-5)
        assert one.score == pytest.approx(other.score, abs=1e-5)
    assert detector([]) == []


def test_given_lungs_are_used_and_films_without_lungs_searched_whole(detector: Detector, film: Image) -> None:
    labels = np.zeros(film.shape, np.uint8)
    labels[40:80, 20:50] = 1
    given = detector(film, Lungs.from_labels(labels))
    assert not given.heatmap[labels == 0].any()
    noise = np.random.default_rng(0).random((80, 80), dtype=np.float32)
    whole = detector(noise)
    assert whole.lungs is None
    assert (whole.heatmap > 0).mean() > 0.9
    unrestricted = Detector(size=64, restrict_to_lungs=False).eval()(film)
    assert unrestricted.lungs is None


def test_bad_input_is_named(detector: Detector, film: Image) -> None:
    with pytest.raises(ImageError, match="image 1 must be float32"):
        detector([film, (255 * film).astype(np.uint8)])
    with pytest.raises(ImageError, match="lungs for 1"):
        detector([film, film], [None])
    with pytest.raises(ImageError, match="lungs are"):
        detector(film, Lungs.from_labels(np.ones((20, 20), np.uint8)))


def test_saved_and_loaded_it_says_the_same(detector: Detector, film: Image, tmp_path: Path) -> None:
    detector.calibrate(0.0123, 0.045)
    detector.save_pretrained(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["threshold"] == 0.0123
    assert config["image_threshold"] == 0.045
    loaded = Detector.from_pretrained(tmp_path / "model")
    assert not loaded.training
    assert (loaded.threshold, loaded.image_threshold, loaded.size) == (0.0123, 0.045, 64)
    np.testing.assert_array_equal(loaded(film).heatmap, detector(film).heatmap)
    detector.calibrate(0.01, 0.02)


def test_a_model_that_cannot_be_loaded_is_named(detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"empty: no config\.json"):
        Detector.from_pretrained(tmp_path / "empty")
    detector.save_pretrained(tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded as a detector"):
        Detector.from_pretrained(tmp_path / "model")


def test_training_mode_is_left_as_it_was(film: Image) -> None:
    detector = Detector(size=64)
    detector.train()
    detector(film)
    assert detector.network.training


def test_smoothing_is_scipys_gaussian() -> None:
    values = torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(1))
    ours = smoothed(values, 0.05)
    for one, raw in zip(ours[:, 0], values[:, 0], strict=True):
        theirs = gaussian_filter(raw.numpy(), 2.0, mode="nearest", truncate=3.0)
        np.testing.assert_allclose(one.numpy(), theirs, atol=1e-5)
    assert torch.equal(smoothed(values, 0.0), values)


def test_edges_that_are_a_pixel_off_cancel_out_and_a_denser_region_remains() -> None:
    detector = Detector(size=64)
    stripes: Images = (torch.arange(64) % 4 < 2).float().expand(1, 1, 64, 64)
    shifted = detector.heatmaps(stripes, stripes.roll(1, -1))
    assert shifted[..., 8:-8].max() < 0.15  # of a difference of 1
    denser = stripes * 0.5
    denser[..., 20:40, 20:40] += 0.3
    assert detector.heatmaps(denser, stripes * 0.5)[0, 0, 30, 30] == pytest.approx(0.3, abs=1e-4)


def test_score_is_the_mean_of_the_highest_values() -> None:
    values = np.arange(100, dtype=np.float32)[np.random.default_rng(0).permutation(100)].reshape(10, 10)
    assert score(values, top=0.1) == pytest.approx(np.mean(np.arange(90, 100)))
    assert score(values, top=1e-9) == 99
