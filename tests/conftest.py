"""What all tests share: where the real radiographs are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real radiographs, or a skip that says how to provide it."""
    folder = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real radiographs at {folder}; set ARTASYN_DATA to the folder that holds them")
    return folder
