"""Every way of making an anomaly, every record and every segmenter, with what their invariants run over.

Worker processes of the tests import this file: it stays free of torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from artasyn.arrays import Image
from artasyn.phantom.film import Phantom
from artasyn.phantom.thorax import ThoraxRecord
from artasyn.segment import DomainRandomisation, Lungs, PBTSeg, ProjectionRecord
from artasyn.synthesis import FINDINGS, LungOpacity, OpacityRecord, Recipe, findings
from tests.chest import chest

CATALOGUE: list[tuple[type[LungOpacity], dict[str, Any]]] = [
    (LungOpacity, {}),
    *((LungOpacity, {"findings": findings(name)}) for name in FINDINGS),
    (LungOpacity, {"kinds_range": (3, 8), "tolerance": 0.02}),
    (LungOpacity, {"findings": findings(severity_range=(0.05, 0.06), size_range=(1.5, 2.0))}),
    (LungOpacity, {"findings": findings("mass", "nodule", sides=("left",), zones=("upper", "peripheral"))}),
]
"""A class and its arguments. A new class of `artasyn.synthesis` that renders on one image belongs here, as does every
finding, or `test_opacity` fails."""


def _thorax() -> ThoraxRecord:
    return Phantom().draw(np.random.default_rng(3), lesions=True)


def _opacity() -> OpacityRecord:
    return LungOpacity(kinds_range=(3, 4)).draw(Phantom(size=96)(1).lungs, np.random.default_rng(4))


def _recipe() -> Recipe:
    film = Phantom(size=96)(1)
    return Recipe.draw(film.image, film.lungs, seed=5, copy=2, segmenter=PBTSeg(), synthesis=LungOpacity())[0]


def _projection() -> ProjectionRecord:
    volume = chest((6.0, 5.0, 5.0), length=420.0)
    return DomainRandomisation().draw(volume, np.random.default_rng(6), lesions=("nodule", "consolidation"))


RECORDS: dict[type[Any], Callable[[], Any]] = {
    OpacityRecord: _opacity,
    ProjectionRecord: _projection,
    Recipe: _recipe,
    ThoraxRecord: _thorax,
}
"""Every class that JSON is read into, and one of its kind with nothing left at its default; a class with `from_json`
that is missing here fails `test_catalogue`."""

SEGMENTERS: dict[type[Any], Callable[[Image], Lungs]] = {PBTSeg: PBTSeg()}
"""Every class that finds lungs on an image, and one of its kind; a missing one fails `test_catalogue`."""
