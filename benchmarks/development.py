"""The development sets: normal radiographs for training, and test sets. No patient is in both.

Normals of the ZhangLab training set and of NIH ChestX-ray14 are split by patient. Diseased radiographs and the normals
of JSRT are never used for training.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from pathlib import Path

from artasyn.bulk.sources import Source, find_sources
from artasyn.testsets.layouts import find
from artasyn.testsets.testset import TestFilm, TestSet

HELD_OUT = {"zhanglab": 0.15, "nih": 0.3}
"""Share of each collection's patients whose normals are kept for the tests; NIH's is small."""


def training_normals(data: Path) -> list[Source]:
    """The normals to train on."""
    return [
        source for collection in HELD_OUT for source in _normals(data, collection) if not held_out(source, collection)
    ]


def held_out(source: Source, collection: str) -> bool:
    """Whether a normal film belongs to the test set. Either all films of a patient do, or none."""
    patient = patient_in(source.path)
    return zlib.crc32(f"artasyn {patient}".encode()) / 2**32 < HELD_OUT[collection]


def _normals(data: Path, collection: str) -> list[Source]:
    folder = {"zhanglab": data / "zhanglab/train/healthy", "nih": data / "nih_normal"}[collection]
    return [Source(source.path, f"{collection}/{source.name}") for source in find_sources([folder])]


def _healthy(data: Path, collection: str) -> list[TestFilm]:
    kept = [source for source in _normals(data, collection) if held_out(source, collection)]
    return [TestFilm(Source(s.path, f"healthy/{s.name}"), diseased=False) for s in kept]


def _diseased(folder: Path) -> list[TestFilm]:
    return [TestFilm(Source(s.path, f"diseased/{s.name}"), diseased=True) for s in find_sources([folder])]


def lesions(data: Path) -> TestSet:
    """Real opacities drawn by radiologists, with true lungs. The set gives pixel figures only."""
    return find(data / "lesions")


def zhanglab(data: Path) -> TestSet:
    """Children: held-out normals against pneumonia of the same hospital."""
    return TestSet("development", (*_healthy(data, "zhanglab"), *_diseased(data / "zhanglab/val/diseased")))


def viral(data: Path) -> TestSet:
    """Children: held-out normals against viral pneumonia alone, which often looks nearly normal."""
    found = zhanglab(data)
    films = [film for film in found.films if not film.diseased or "virus" in film.source.path.stem]
    return TestSet("development", tuple(films))


def nih(data: Path) -> TestSet:
    """Adults: held-out normals against films with boxes around opacities, of the same hospital."""
    return TestSet("development", (*_healthy(data, "nih"), *find(data / "opacity_boxes").films))


def unseen_normals(data: Path) -> TestSet:
    """Normals of a source that training does not use (JSRT's without a nodule) against COVID-19 of another hospital."""
    nodules = {path.stem for path in (data / "lung_masks/jsrt/nodule").iterdir()}
    films = find_sources([data / "lung_masks/jsrt/images"])
    normal = [
        TestFilm(Source(s.path, f"healthy/{s.name}"), diseased=False) for s in films if s.path.stem not in nodules
    ]
    return TestSet("development", (*normal, *_diseased(data / "covid_hannover")))


def openist(data: Path) -> TestSet:
    """Normals of a teaching collection that no training uses."""
    films = find_sources([data / "openist/images"])
    return TestSet("development", tuple(TestFilm(Source(s.path, f"healthy/{s.name}"), diseased=False) for s in films))


def patient_in(path: Path) -> str:
    """The patient of a film of ZhangLab or NIH by its name; the name itself for other films.

    ZhangLab numbers the normals of two series apart, ``IM-0385`` and ``NORMAL2-IM-0385``: their films show children of
    different ages.
    """
    found = re.match(r"\d{8}(?=_\d+$)|.*?IM-\d+|person\d+", path.stem)
    return found.group() if found else path.stem


SETS: dict[str, Callable[[Path], TestSet]] = {
    "lesions": lesions,
    "zhanglab": zhanglab,
    "zhanglab viral": viral,
    "nih": nih,
    "jsrt and hannover": unseen_normals,
    "openist": openist,
}
"""Every test set by its name."""
