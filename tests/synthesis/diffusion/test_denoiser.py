"""The residual flow on a tiny network with random weights: what holds for any weights."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from artasyn.arrays import Attenuation
from artasyn.errors import ImageError, MissingExtra, ModelError, NothingShows, SynthesisError
from artasyn.phantom.film import Phantom
from artasyn.segment import Lungs
from artasyn.synthesis import Anomaly, LungOpacity, findings
from artasyn.synthesis.context import Window
from artasyn.synthesis.diffusion.denoiser import (
    LEAST_CHANGE,
    Denoiser,
    DenoiserSettings,
    air_replaced,
    composited,
    grains,
    in_cells,
    on_film,
)

TINY = DenoiserSettings(side=16, channels=(8, 16), steps=3, noise=0.3, limit=0.6)
REFUSED = (ImageError, jaxtyping.TypeCheckError)
"""The latter only where tests check types."""
FILM = Phantom(size=128)(seed=1)


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    return Denoiser.untrained(TINY, seed=3)


def opacity(seed: int, **changes: Any) -> tuple[Anomaly, Attenuation]:
    anomaly = LungOpacity(findings=findings("consolidation", **changes))(
        FILM.image, FILM.lungs, np.random.default_rng(seed)
    )
    return anomaly, air_replaced(FILM.image, FILM.lungs, anomaly.record)


@pytest.mark.parametrize("seed", range(4))
def test_exactly_the_changed_pixels_change(denoiser: Denoiser, seed: int) -> None:
    anomaly, soft = opacity(seed)
    film = denoiser.refine(FILM.image, anomaly.image, soft, FILM.lungs, seed)
    assert film.dtype == np.float32
    assert film.min() >= 0
    assert film.max() <= 1
    assert np.array_equal(film != FILM.image, anomaly.mask)
    assert not np.array_equal(film, anomaly.image)
    least = np.minimum(anomaly.attenuation, LEAST_CHANGE)
    assert ((film - FILM.image)[anomaly.mask] >= 0.999 * least[anomaly.mask]).all()


def test_the_sum_of_the_attenuation_stays(denoiser: Denoiser) -> None:
    anomaly, soft = opacity(5, severity_range=(0.3, 0.4))
    film = denoiser.refine(FILM.image, anomaly.image, soft, FILM.lungs, 1)
    added, before = float((film - FILM.image).sum()), float(anomaly.attenuation.sum())
    assert added == pytest.approx(before, rel=0.02)


def test_denser_asked_is_denser_made(denoiser: Denoiser) -> None:
    opaque = LungOpacity()
    anomaly, _ = opacity(2, severity_range=(0.2, 0.2))
    sums = []
    for severity in (0.15, 0.25, 0.4, 0.6, 0.8):
        lesions = tuple(dataclasses.replace(each, severity=severity) for each in anomaly.record.lesions)
        made = opaque.render(FILM.image, FILM.lungs, dataclasses.replace(anomaly.record, lesions=lesions))
        soft = air_replaced(FILM.image, FILM.lungs, made.record)
        sums.append(float((denoiser.refine(FILM.image, made.image, soft, FILM.lungs, 4) - FILM.image).sum()))
    assert sums == sorted(sums)
    assert sums[-1] > 2 * sums[0]


def test_the_severity_does_not_reach_the_network(denoiser: Denoiser) -> None:
    _, soft = opacity(2)
    one, other = (denoiser.conditions(FILM.image, np.float32(times) * soft, FILM.lungs) for times in (1.0, 0.5))
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert one.shape == (2, 16, 16)
    assert one[1].max() == pytest.approx(1)


def test_the_same_seed_gives_the_same_film_and_leaves_the_global_generator_alone(denoiser: Denoiser) -> None:
    anomaly, soft = opacity(0)
    torch.manual_seed(9)
    state = torch.get_rng_state()
    films = [denoiser.refine(FILM.image, anomaly.image, soft, FILM.lungs, seed) for seed in (7, 7, 8)]
    assert np.array_equal(films[0], films[1])
    assert not np.array_equal(films[0], films[2])
    assert torch.equal(torch.get_rng_state(), state)
    Denoiser.untrained(TINY, seed=1)
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_to_refine_is_nothing_changed(denoiser: Denoiser) -> None:
    film = denoiser.refine(FILM.image, FILM.image.copy(), np.zeros_like(FILM.image), FILM.lungs)
    assert np.array_equal(film, FILM.image)


def test_a_gain_of_one_gives_the_physics() -> None:
    anomaly, _ = opacity(1)
    film = composited(FILM.image, anomaly.image, anomaly.mask, np.ones_like(FILM.image))
    np.testing.assert_allclose(film, anomaly.image, atol=1e-6)


def test_every_part_keeps_its_own_sum() -> None:
    normal = np.full((16, 40), 0.2, np.float32)
    physics = normal.copy()
    physics[4:12, 4:12] += np.float32(0.1)
    physics[4:12, 24:32] += np.float32(0.3)
    gain = np.where(np.arange(40) < 20, 0.5, 1.5).astype(np.float32)[None].repeat(16, 0)
    np.testing.assert_allclose(composited(normal, physics, physics != normal, gain), physics, atol=1e-6)
    gain[:8] *= 2  # twice the gain above: 4/3 there and 2/3 below, with the same sum
    film = composited(normal, physics, physics != normal, gain)
    assert film[5, 5] - 0.2 == pytest.approx(0.1 * 4 / 3, abs=1e-5)
    assert film[10, 25] - 0.2 == pytest.approx(0.3 * 2 / 3, abs=1e-5)


def test_cells_and_pixels_of_a_window_beyond_the_film() -> None:
    ramp = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (30, 1))
    window = Window(top=-5, left=-3, side=48, height=20)
    cells = in_cells(ramp, window, 16)
    assert cells.shape == (16, 16)
    assert cells[8, 0] == pytest.approx(0, abs=0.01)
    assert cells[8, -1] == pytest.approx(1, abs=0.01)
    back = on_film(cells, window, ramp.shape)
    np.testing.assert_allclose(back[10, 3:36], ramp[10, 3:36], atol=0.03)
    small = on_film(np.full((16, 16), 2, np.float32), Window(top=4, left=6, side=10, height=9), ramp.shape)
    assert (small[4:14, 6:16] == 2).all()
    assert small.sum() == ramp.size + 100


def test_noise_has_unit_deviation() -> None:
    noise = grains(DenoiserSettings(side=64, grain=1.5), np.random.default_rng(0), 20)
    assert noise.shape == (20, 1, 64, 64)
    assert noise.dtype == np.float32
    assert noise.std() == pytest.approx(1, abs=0.05)


def test_the_share_of_air_is_that_of_the_anomaly() -> None:
    anomaly, soft = opacity(3)
    assert soft.dtype == np.float32
    assert 0 < soft.max() <= 1
    assert soft[~FILM.lungs.mask].max() == 0
    assert (soft[anomaly.mask] > 0).mean() > 0.98
    with pytest.raises(NothingShows):
        air_replaced(FILM.image, FILM.lungs, dataclasses.replace(anomaly.record, lesions=()))


def test_wrong_arrays_are_refused(denoiser: Denoiser) -> None:
    anomaly, soft = opacity(0)
    with pytest.raises(REFUSED, match=r"physics: the shape is \(64, 128\)|Type-check"):
        denoiser.refine(FILM.image, anomaly.image[:64], soft, FILM.lungs)
    with pytest.raises(REFUSED, match=r"soft: the shape is|Type-check"):
        denoiser.refine(FILM.image, anomaly.image, soft[:64], FILM.lungs)
    with pytest.raises(ImageError, match=r"soft must lie in \[0, 1\]"):
        denoiser.refine(FILM.image, anomaly.image, soft + 1, FILM.lungs)
    empty = Lungs.from_labels(np.zeros(FILM.image.shape, np.uint8))
    with pytest.raises(SynthesisError, match="no lungs"):
        denoiser.refine(FILM.image, anomaly.image, soft, empty)


def test_a_stored_denoiser_makes_the_same_films(denoiser: Denoiser, tmp_path: Path) -> None:
    denoiser.save(tmp_path / "model")
    first, second = (Denoiser.load(tmp_path / "model") for _ in range(2))
    anomaly, soft = opacity(4)
    films = [each.refine(FILM.image, anomaly.image, soft, FILM.lungs, 2) for each in (denoiser, first, second)]
    assert first.settings == TINY
    assert np.array_equal(films[1], films[2])
    np.testing.assert_allclose(films[0], films[1], atol=2e-3)
    assert first.digest == second.digest != denoiser.digest


def test_damaged_models_are_refused(denoiser: Denoiser, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    denoiser.save(folder)
    config = json.loads((folder / "config.json").read_text())
    for change, said in (
        ({"side": 63}, "cannot be divided"),
        ({"channels": [12]}, "multiples of 8"),
        ({"steps": 0}, "not from 1 to 100"),
        ({"colour": 1}, "is unknown"),
        ({"channels": [8, 8]}, "do not belong to the config.json"),
    ):
        (folder / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ModelError, match=said):
            Denoiser.load(folder)
    (folder / "config.json").write_text(json.dumps(config))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(ModelError, match="cannot be loaded as a denoiser"):
        Denoiser.load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no model\.safetensors"):
        Denoiser.load(folder)
    with pytest.raises(ModelError, match="no such folder"):
        Denoiser.load(tmp_path / "nowhere")


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = importlib.import_module

    def blocked(name: str, *rest: Any) -> Any:
        if name == "diffusers":
            raise ModuleNotFoundError("No module named 'diffusers'")
        return usual(name, *rest)

    monkeypatch.setattr("artasyn.doors.importlib.import_module", blocked)
    with pytest.raises(MissingExtra, match=r"pip install artasyn\[diffusion\]"):
        Denoiser.untrained(TINY)


def test_any_number_of_threads_makes_the_same_film_and_gets_its_own_back(denoiser: Denoiser) -> None:
    anomaly, soft = opacity(4)
    before = torch.get_num_threads()
    films = []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            films.append(denoiser.refine(FILM.image, anomaly.image, soft, FILM.lungs, 2))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(films[0], films[1])
    assert np.array_equal(films[0], films[2])
