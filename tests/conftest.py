"""What all tests share: where the real radiographs are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artasyn.collection import find_sources
from artasyn.demo import write_phantoms
from artasyn.training import TrainingRun

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real radiographs, or a skip that says how to provide it."""
    folder = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real radiographs at {folder}; set ARTASYN_DATA to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set of phantoms: train/healthy, test/healthy, test/diseased, ground_truth, lungs."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, seed=7, normals=6, healthy=2, diseased=3, size=128, workers=1)
    return folder


@pytest.fixture(scope="session")
def trained(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a very short training on phantoms."""
    out = tmp_path_factory.mktemp("training")
    run = TrainingRun(size=64, epochs=2, batch_size=2, held_out=0.34, seed=3)
    run.fit(find_sources([phantoms / "train"]), out)
    return out
