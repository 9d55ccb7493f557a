"""A detector fitted to the healthy films of another hospital, without training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from artasyn.arrays import Image
from artasyn.detection.detector import Detector
from artasyn.detection.network import DetectorNetwork
from artasyn.detection.recalibration import FEWEST, recalibrate
from artasyn.errors import DataError
from artasyn.phantom.film import Phantom


def films(count: int, first: int = 500, power: float = 1.0) -> Iterator[tuple[str, Image]]:
    """Healthy phantoms, with the tone of another hospital."""
    for seed in range(first, first + count):
        yield f"film-{seed}", np.asarray(Phantom(size=96)(seed).image ** np.float32(power), np.float32)


@pytest.fixture(scope="module")
def network(trained: Path) -> DetectorNetwork:
    return DetectorNetwork.from_pretrained(trained / "model")


def test_other_films_become_the_standard_and_the_detector_stays_as_it_was(network: DetectorNetwork) -> None:
    before = network.digest
    done = recalibrate(network, films(24, power=1.6), false_positive_rate=0.1, false_positive_pixels=0.05)
    assert network.digest == before
    assert done.network.digest != before
    assert len(done.names) == 24
    assert abs(float(done.novelty.mean())) < abs(float(done.novelty_before.mean()))
    assert float(done.novelty.mean()) == pytest.approx(0, abs=0.35)
    settings = done.network.settings
    assert 0.0 < np.mean(done.scores >= settings.image_threshold) <= 0.1
    assert done.marked <= 0.06
    assert settings.percentile(float(done.scores.max())) == 100
    for name, value in network.state_dict().items():
        if not name.startswith(("novelty.center", "novelty.spread", "film.center", "film.spread")):
            assert (value == done.network.state_dict()[name]).all(), name
    assert "standard deviations" in done.distance


def test_scores_are_those_that_the_detector_gives(network: DetectorNetwork) -> None:
    """Up to the prepared grid, on which the calibration measures."""
    done = recalibrate(network, films(FEWEST))
    detector = Detector(done.network)
    for number, (name, image) in enumerate(films(4)):
        assert done.names[number] == name
        found = detector(image)
        assert found.score == pytest.approx(float(done.scores[number]), abs=2e-3)
        assert found.novelty == pytest.approx(float(done.novelty[number]), abs=1e-3)


def test_films_that_cannot_be_judged_are_left_out_with_reasons(network: DetectorNetwork) -> None:
    noise = ("noise", np.random.default_rng(0).random((96, 96), np.float32))
    done = recalibrate(network, [noise, *films(FEWEST)])
    assert [name for name, _ in done.left_out] == ["noise"]
    assert done.left_out[0][1]
    with pytest.raises(DataError, match=rf"{FEWEST - 1} healthy radiographs can be judged.*noise"):
        recalibrate(network, [noise, *films(FEWEST - 1)])
