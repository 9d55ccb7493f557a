"""Figures of anatomy on projections of patients that no training has seen: overlap at every angle, and Cobb angles.

The patients are the reference adults of `reference_volumes` and phantoms of seeds from `FIRST_SEED` on, which no stock
uses. Every patient is seen from `ANGLES`, without any variation of tone or geometry. A structure counts on a film that
shows at least `LEAST` pixels of it. The Cobb angle is measured on phantoms whose spine is bent; the truth is the angle
of the projected vertebrae, by the same definition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from artasyn.arrays import Image, Mask, StructureMasks
from artasyn.errors import DataError
from artasyn.evaluation.overlap import dice
from artasyn.phantom.film import Phantom
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.ct.volume import Volume
from artasyn.segment.measures.cobb import CobbAngle
from artasyn.segment.projection.tone import BODY, Tone
from artasyn.segment.projection.view import View
from artasyn.segment.structures import ANATOMY, SIDES
from artasyn.stock.views import Patient, StockView
from benchmarks.real_anatomy import Predict
from benchmarks.reference_volumes import icrp_volume

ANGLES = (0, 10, -10, 20, -20, 30, -30, 40, -40, 60, -60, 90, -90, 120, -120, 150, -150, 180)
"""Turns of the patient, degrees."""
FRONTAL = (0, 180)
FIRST_SEED = 900_000
"""The first seed of the phantoms; stocks take seeds below it."""
LEAST = 30
"""Least pixels of a structure on a film on which its overlap counts."""
SIZE = 320
"""Rows and columns of a view; the film is the part of it around the lungs."""
SCOLIOSIS = 10.0
"""Least angle of a spine that counts as bent, degrees."""
VOXEL = 2.5
"""Spacing of the phantoms' volumes, mm."""
MARGIN = 0.1
"""Margin of a film around the lungs' box, as a share of the box's longer side."""


@dataclass(frozen=True, eq=False)
class Case:
    """A film with its truth.

    Attributes:
        patient: name of the patient.
        angle: turn of the patient, degrees.
        image: the film.
        masks: bool (k, h, w), the channels `ANATOMY`.
        known: bool (k,), the channels that the patient tells.
    """

    patient: str
    angle: float
    image: Image
    masks: StructureMasks
    known: Mask

    @classmethod
    def of(cls, view: StockView) -> Case:
        """Makes the film of a view: the part around the lungs, with the greys of a radiograph."""
        masks, known = view.channels()
        integral = view.integrals.astype(np.float32).sum(axis=0)
        right, left = (masks[ANATOMY.index(f"lung_{side}")] for side in SIDES)
        rows, columns = _field(right | left)
        image = Tone.film(integral, integral > BODY)(integral)[rows, columns]
        return cls(
            view.patient, float(view.view.angle), np.ascontiguousarray(image), masks[:, rows, columns].copy(), known
        )

    @property
    def truth(self) -> Anatomy:
        """The truth as an anatomy of the film."""
        names = tuple(name for name, known in zip(ANATOMY, self.known, strict=True) if known)
        return Anatomy(names, self.masks[self.known].astype(np.float32), self.angle, (1.0,) * len(names))


def _field(lungs: Mask) -> tuple[slice, slice]:
    """Returns the rows and columns around the lungs."""
    places = [np.flatnonzero(lungs.any(axis=axis)) for axis in (1, 0)]
    margin = round(MARGIN * max(np.ptp(place) for place in places))
    down, across = (slice(max(0, int(place[0]) - margin), int(place[-1]) + margin + 1) for place in places)
    return down, across


def views(
    patients: Mapping[str, Callable[[], Patient]], angles: Sequence[float] = ANGLES, cache: Path | None = None
) -> Iterator[Case]:
    """Yields the films of patients at all angles, with a progress bar.

    Args:
        patients: makes each patient, by its name.
        angles: turns, degrees.
        cache: a folder in which views are kept, so that another predictor need not project again; None for none.
    """
    with tqdm(total=len(patients) * len(angles), desc="projections", unit="film") as bar:
        for name, make in patients.items():
            files = [cache / f"{name}_{angle:g}.npz" if cache else None for angle in angles]
            patient = None
            for file, angle in zip(files, angles, strict=True):
                if file and file.exists():
                    view = StockView.read(file)
                else:
                    patient = patient or make()
                    view, _ = patient.seen(View(angle=float(angle)), SIZE)
                    if file:
                        view.write(file)
                yield Case.of(view)
                bar.update()


def reference(data: Path, who: str) -> Patient:
    """One of the reference adults."""
    return Patient.of(icrp_volume(data, who), f"icrp_{who}")


def phantom(seed: int) -> Patient:
    """A phantom of a seed that no stock uses."""
    record = Phantom().draw(np.random.default_rng(FIRST_SEED + seed))
    return Patient.of(Volume.of_phantom(Phantom().volume(record, spacing=VOXEL)), f"phantom_{seed}")


def bent(count: int) -> list[int]:
    """The first seeds whose phantom's spine is bent by at least `SCOLIOSIS` degrees."""
    found: list[int] = []
    seed = 0
    while len(found) < count:
        record = Phantom().draw(np.random.default_rng(FIRST_SEED + seed))
        slope = math.pi * abs(record.curve) / record.curve_span  # of a sine, where it crosses the middle
        if math.degrees(2 * math.atan(slope)) >= SCOLIOSIS:
            found.append(seed)
        seed += 1
    return found


def overlaps(anatomy: Anatomy, case: Case) -> dict[str, float]:
    """The Dice of every structure that the case shows and the anatomy holds."""
    found = {}
    for name, true, known in zip(ANATOMY, case.masks, case.known, strict=True):
        if known and name in anatomy.names and np.count_nonzero(true) >= LEAST:
            found[name] = dice(anatomy.mask(name), true)
    return found


def projected_scores(predict: Predict, cases: Iterable[Case]) -> dict[str, Any]:
    """The figures of a predictor on projections.

    Args:
        predict: the predictor.
        cases: films with their truth.

    Returns:
        The mean Dice over structures on frontal films and at all angles, by patient's kind and by structure; the mean
        at every angle; the loss from 0 to 40 degrees over the structures that both show; the share of structures that
        are not found at all, because the predictor is not sure of them; the error of the angle.
    """
    rows: list[tuple[str, float, str, float]] = []
    errors = []
    for case in cases:
        (anatomy,) = predict([case.image])
        rows += [(case.patient, case.angle, name, value) for name, value in overlaps(anatomy, case).items()]
        errors.append((case.angle, anatomy.angle))
    return scores_of(rows) | {"angle_error": angle_errors(errors)}


def scores_of(rows: Sequence[tuple[str, float, str, float]]) -> dict[str, Any]:
    """Means over rows of patient, angle, structure and Dice; a mean over structures weighs all structures alike."""
    turns = sorted({abs(angle) for _, angle, _, _ in rows})
    kinds = {kind(patient) for patient, _, _, _ in rows}
    found: dict[str, Any] = {
        "frontal": by_structure(row for row in rows if row[1] in FRONTAL)[0],
        "all_angles": by_structure(rows)[0],
        "turns": {f"{turn:g}": by_structure(row for row in rows if abs(row[1]) == turn)[0] for turn in turns},
        "loss_at_40": loss(rows, 40),
        "missed": round(sum(value == 0 for _, _, _, value in rows) / max(1, len(rows)), 4),
        "patients": {},
    }
    for each in sorted(kinds):
        own = [row for row in rows if kind(row[0]) == each]
        frontal, structures = by_structure(row for row in own if row[1] in FRONTAL)
        found["patients"][each] = {
            "frontal": frontal, "all_angles": by_structure(own)[0], "loss_at_40": loss(own, 40),
            "structures": structures,
        }  # fmt: skip
    return found


def kind(patient: str) -> str:
    """The kind of a patient: its name without its number."""
    return patient.rstrip("0123456789").rstrip("_") or patient


def by_structure(rows: Iterable[tuple[str, float, str, float]]) -> tuple[float | None, dict[str, float]]:
    """The mean over structures, and the mean of each structure; None without rows."""
    values: dict[str, list[float]] = {}
    for _, _, name, value in rows:
        values.setdefault(name, []).append(value)
    means = {name: round(float(np.mean(of)), 4) for name, of in values.items()}
    return (round(float(np.mean(list(means.values()))), 4) if means else None), means


def loss(rows: Sequence[tuple[str, float, str, float]], turn: float) -> float | None:
    """How much lower the mean Dice is at a turn to either side than straight, over what both show."""
    straight = {(patient, name): value for patient, angle, name, value in rows if angle == 0}
    lost = [
        straight[patient, name] - value
        for patient, angle, name, value in rows
        if abs(angle) == turn and (patient, name) in straight
    ]
    return round(float(np.mean(lost)), 4) if lost else None


def angle_errors(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Median and mean error of predicted angles on the circle, degrees.

    Args:
        pairs: true and predicted angles.
    """
    apart = [abs((found - true + 180) % 360 - 180) for true, found in pairs]
    apart = [each for each in apart if math.isfinite(each)]
    if not apart:
        return {}
    return {"median": round(float(np.median(apart)), 2), "mean": round(float(np.mean(apart)), 2)}


def cobb_of(anatomy: Anatomy) -> float:
    """The Cobb angle, degrees; NaN where it cannot be measured."""
    try:
        return CobbAngle.of(anatomy).angle
    except DataError:
        return math.nan


def cobb_scores(predict: Predict, cases: Iterable[Case]) -> dict[str, Any]:
    """Errors of the Cobb angle on frontal films of bent spines, by severity.

    Args:
        predict: the predictor.
        cases: frontal films whose vertebrae are known.
    """
    return cobb_figures([(cobb_of(case.truth), cobb_of(predict([case.image])[0])) for case in cases])


SEVERITY = {"below 10": (0, 10), "10 to 25": (10, 25), "25 to 40": (25, 40), "above 40": (40, 180)}
"""Ranges of the true angle, degrees: straight, mild, moderate and severe."""


def cobb_figures(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Figures of true and measured Cobb angles; a film on which the angle cannot be measured is counted apart."""
    known = [pair for pair in pairs if math.isfinite(pair[0])]
    both = np.array([pair for pair in known if math.isfinite(pair[1])]).reshape(-1, 2)
    found: dict[str, Any] = {"films": len(known), "measured": len(both)}
    if len(both):
        found |= _errors(both)
    if len(both) > 2:
        found["r"] = round(float(np.corrcoef(both.T)[0, 1]), 4)
    for name, (low, high) in SEVERITY.items():
        part = both[(both[:, 0] >= low) & (both[:, 0] < high)]
        if len(part):
            found[name] = {"films": len(part)} | _errors(part)
    return found


def _errors(pairs: np.ndarray) -> dict[str, float]:
    apart = pairs[:, 1] - pairs[:, 0]
    return {"mae": round(float(np.abs(apart).mean()), 2), "bias": round(float(apart.mean()), 2)}
