"""A phantom and a chest of ellipsoids as views of a stock."""

from __future__ import annotations

import pytest

from artasyn.segment.projection.view import View
from artasyn.stock.patients import PatientRecord, Views, draw_phantom
from artasyn.stock.views import Patient, StockView
from tests.chest import chest

SIZE = 96


@pytest.fixture(scope="session")
def phantom() -> Patient:
    record = draw_phantom(Views(), 0, 0)
    assert record.phantom is not None
    return PatientRecord(record.name, phantom=record.phantom, spacing=5.0).patient()


@pytest.fixture(scope="session")
def frontal(phantom: Patient) -> StockView:
    return phantom.seen(View(), SIZE)[0]


@pytest.fixture(scope="session")
def ellipsoids() -> Patient:
    return Patient.of(chest((6.0, 5.0, 5.0), length=330.0), "ellipsoids")
