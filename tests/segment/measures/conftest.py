"""A chest of ellipsoids for all measures."""

from __future__ import annotations

import pytest

from artasyn.segment.ct.volume import Volume
from tests.chest import chest


@pytest.fixture(scope="session")
def volume() -> Volume:
    return chest((4.0, 3.0, 3.0))
