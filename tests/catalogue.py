"""Every way of making an anomaly, every record and every segmenter. Tests of invariants run over these lists.

Worker processes of the tests import this file, so it must not import torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from artasyn.arrays import Image
from artasyn.outputs.whole_film import WholeFilm
from artasyn.phantom.film import Phantom
from artasyn.phantom.thorax import ThoraxRecord
from artasyn.segment import DomainRandomisation, Lungs, PBTSeg, ProjectionRecord
from artasyn.stock.patients import CTRecord, PatientRecord, Views, draw_variant
from artasyn.synthesis import FINDINGS, LungOpacity, OpacityRecord, Recipe, VolumeRecord, findings
from artasyn.synthesis.anomaly import OneOf
from artasyn.synthesis.diffusion import FilmGenerator, FilmRecord, Imagined, Prompt, PromptRecord
from tests.chest import chest

CATALOGUE: list[tuple[type[LungOpacity], dict[str, Any]]] = [
    (LungOpacity, {}),
    *((LungOpacity, {"findings": findings(name)}) for name in FINDINGS),
    (LungOpacity, {"kinds_range": (3, 8), "tolerance": 0.02}),
    (LungOpacity, {"findings": findings(severity_range=(0.05, 0.06), size_range=(1.5, 2.0))}),
    (LungOpacity, {"findings": findings("mass", "nodule", sides=("left",), zones=("upper", "peripheral"))}),
    (LungOpacity, {"findings": findings("consolidation", "nodule"), "part": "middle"}),
]
"""Classes and their arguments. Every class of `artasyn.synthesis` that renders on one image, and every finding, must be
here; otherwise tests fail."""

FURTHER_MAKERS: set[type[Any]] = {FilmGenerator, Imagined, OneOf}
"""Classes that make anomalies from prompts, from masks or by others; they have tests of their own, in
`tests.synthesis`."""


def _thorax() -> ThoraxRecord:
    return Phantom().draw(np.random.default_rng(3), lesions=True)


def _opacity() -> OpacityRecord:
    return LungOpacity(kinds_range=(3, 4), part="lower").draw(Phantom(size=96)(1).lungs, np.random.default_rng(4))


def _recipe() -> Recipe:
    film = Phantom(size=96)(1)
    return Recipe.draw(film.image, film.lungs, seed=5, copy=2, segmenter=PBTSeg(), synthesis=LungOpacity())[0]


def _projection() -> ProjectionRecord:
    volume = chest((6.0, 5.0, 5.0), length=420.0)
    return DomainRandomisation(deformation_share=1.0).draw(
        volume, np.random.default_rng(6), lesions=("nodule", "consolidation")
    )


def _patient() -> PatientRecord:
    ct = CTRecord("ct.nii.gz", "labels.nii.gz", "names.csv", resample=True)
    record = draw_variant(ct, "ct", Views(frontal=1), 8, 2)
    variation = dataclasses.replace(
        record.variation, attenuations=(("heart", 1.5),), fat=4.0, lesions=_projection().variation.lesions
    )
    return dataclasses.replace(record, variation=variation, spacing=4.0, size=64)


def _film() -> FilmRecord:
    film = Phantom(size=96)(1)
    prompt = Prompt.parse("two nodules in the left upper zone, small right pleural effusion, no mass")
    return FilmRecord.draw(film.image, film.lungs, prompt, seed=7, copy=2, attempt=1)[0]


RECORDS: dict[type[Any], Callable[[], Any]] = {
    FilmRecord: _film,
    OpacityRecord: _opacity,
    PatientRecord: _patient,
    Prompt: lambda: Prompt.parse(
        "two possible 8 mm nodules in the right lower lobe, peripheral; new small dense patchy consolidation in the "
        "lingula, multiple cavities at the left apex, no large left effusion, no other nodule"
    ),
    PromptRecord: lambda: _film().made,
    ProjectionRecord: _projection,
    Recipe: _recipe,
    ThoraxRecord: _thorax,
    VolumeRecord: lambda: VolumeRecord(0.1, -0.05, 0.4, 0.2),
    WholeFilm: lambda: WholeFilm(8, 3, _thorax()),
}
"""Every class with `from_json`, and a function that makes an instance without default values. `test_catalogue` fails
while a class is missing."""

SEGMENTERS: dict[type[Any], Callable[[Image], Lungs]] = {PBTSeg: PBTSeg()}
"""Every class that finds lungs on an image, and an instance. `test_catalogue` fails while a class is missing."""
