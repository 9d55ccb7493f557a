"""Normals of phantoms, prepared once."""

from __future__ import annotations

from pathlib import Path

import pytest

from artasyn.bulk.sources import find_sources
from artasyn.training.normals import Normals, load_normals, prepare_normals


@pytest.fixture(scope="session")
def normals(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Normals:
    cache = tmp_path_factory.mktemp("cache")
    outcomes = prepare_normals(find_sources([phantoms / "train"]), cache, size=64)
    assert [outcome.reason for outcome in outcomes] == [""] * 6
    return load_normals(cache)
