"""What several tests of the page share: the models, and the readings of two phantoms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from artasyn.app.answers import Answers
    from artasyn.app.reading import Models, Reading
    from artasyn.app.twin import Twin


@pytest.fixture(scope="session")
def models() -> Models:
    """The models that come with artasyn."""
    from artasyn.app.reading import Models

    return Models.load()


@pytest.fixture(scope="session")
def healthy(models: Models) -> Reading:
    """The reading of a healthy phantom."""
    from artasyn.phantom.film import Phantom

    return models.reading("phantom 1", Phantom(size=256)(1).image)


@pytest.fixture(scope="session")
def described(models: Models, healthy: Reading) -> Twin:
    """The twin of a healthy phantom, from a sentence."""
    from artasyn.app.twin import described_twin

    return described_twin(models, healthy, "consolidation in the right lower lobe", seed=0)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the phantoms of the page small, so that tests are short."""
    monkeypatch.setattr("artasyn.app.reading.PHANTOM_SIZE", 128)
    monkeypatch.setattr("artasyn.app.scans.VOXEL", 6.0)


@pytest.fixture
def answers(models: Models, tmp_path: Path) -> Iterator[Answers]:
    """The answers of a server, whose folder is gone after the test."""
    from artasyn.app.answers import Answers
    from artasyn.app.uploads import desk

    with desk() as here:
        yield Answers(models, here, most=10**8)
    assert not here.folder.exists()
