"""Domain randomisation: films of varied patient, geometry and appearance from one CT, reproducible from records."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from artasyn.arrays import Image, Mask, Rng, StructureMasks, as_generator
from artasyn.errors import DataError
from artasyn.fields import Interval, Share, Within, check_fields
from artasyn.findings import LesionKind, respelled
from artasyn.records import read_record, record_text
from artasyn.segment.ct.deformation import Deformation
from artasyn.segment.ct.lesion import CTLesion
from artasyn.segment.ct.variation import Fat, Variation
from artasyn.segment.ct.volume import Volume
from artasyn.segment.projection.film_look import FilmLook
from artasyn.segment.projection.pair import Pair
from artasyn.segment.projection.projection import THRESHOLD, Margin, Projection, project
from artasyn.segment.projection.tone import Tone
from artasyn.segment.projection.view import PATIENT_TO_DETECTOR, View
from artasyn.segment.structures import find_members

_TOGETHER = ("lungs", "heart", "great_vessels", "abdomen", "airways")
"""Soft tissues that vary as groups; every other structure varies independently."""

Factor = Annotated[float, Within(0.01, 100)]
"""A factor or an exponent."""

Turn = Annotated[float, Within(-360, 360)]
"""An angle to add, degrees."""

Distance = Annotated[float, Within(PATIENT_TO_DETECTOR + 1, 1e7)]
"""A distance from source to detector, mm."""

Shift = Annotated[float, Within(-1e4, 1e4)]
"""A shift in one direction, mm."""


@dataclass(frozen=True)
class ProjectionRecord:
    """Everything that was drawn for one film, in three stages.

    Attributes:
        variation: the change of the patient.
        view: source and detector.
        look: the appearance of the film.
    """

    variation: Variation
    view: View
    look: FilmLook

    def to_json(self) -> str:
        """Returns this record as JSON; `from_json` reads it back."""
        return record_text(self)

    @classmethod
    def from_json(cls, text: str) -> ProjectionRecord:
        """Reads a record that `to_json` wrote.

        Raises:
            DataError: the text is not a record.
        """
        return read_record(text, cls, what="the record of a projection", error=DataError, older=_respelled)


def _respelled(given: Any) -> Any:
    """Returns the values of a record with today's names of lesions, without the notes of `artasyn project`."""
    if not isinstance(given, dict):
        return given
    given = {name: value for name, value in given.items() if name != "about"}
    variation = given.get("variation")
    if not isinstance(variation, dict) or "lesions" not in variation:
        return given
    return given | {"variation": variation | {"lesions": respelled(variation["lesions"])}}


@dataclass(frozen=True, eq=False)
class Film:
    """A projection as a film, with its masks.

    Attributes:
        image: float32 (h, w) in [0, 1].
        projection: the projection that the film was made from, on the same grid, with the lesions if there are any.
        field: the part of the film within the collimation, bool (h, w).
        healthy: the same film without the lesions; None if there are none.
        lesions: the pixels of the projection's image that the lesions change by at least one grey level, bool (h, w);
            None if there are none.
        record: the record that reproduces the film.
    """

    image: Image
    projection: Projection
    field: Mask
    healthy: Image | None
    lesions: Mask | None
    record: ProjectionRecord

    def masks(self, threshold: float = THRESHOLD) -> StructureMasks:
        """Returns the footprints of all structures in the field, bool (k, h, w), see `Projection.masks`."""
        return np.asarray(self.projection.masks(threshold) & self.field)

    @classmethod
    def of(cls, volume: Volume, record: ProjectionRecord, *, structures: Sequence[str] | None = None) -> Film:
        """Makes a film from its record; deterministic. The tone curve is fitted to the part that the film shows.

        Args:
            volume: the patient.
            record: from `DomainRandomisation.draw`, or any other.
            structures: names or groups to project; None for all.

        Raises:
            DataError: the lungs are not covered, a lesion does not show, or there are no lungs.
        """
        look = record.look
        patient = record.variation.healthy(volume)
        projection = project(patient, record.view, frame=look.frame, margins=look.margins, structures=structures)
        tone = Tone.film(projection.attenuation, projection.covered, equalisation=look.equalisation)
        projection = dataclasses.replace(projection, tone=tone)
        if not record.variation.lesions:
            return cls(look(projection.image), projection, look.field(projection.covered.shape), None, None, record)
        pair = Pair.between(projection, patient, record.variation.diseased(patient))
        healthy, film = look(pair.healthy.image), look(pair.diseased.image, pair.healthy.image)
        return cls(film, pair.diseased, look.field(film.shape), healthy, pair.mask, record)


@dataclass(frozen=True)
class DomainRandomisation:
    """The ranges and shares from which records are drawn.

    Attributes:
        attenuation_share: share of the structures, or groups of structures, whose attenuation is changed.
        attenuation_sigma: standard deviation of the logarithm of the factor; the mode of the factor is 1.
        attenuation_range: range of the factor.
        fat_share: share of the patients with more fat.
        fat_range: thickness of the added fat, mm.
        turn_range: turn about the body axis, degrees, added to the view's angle.
        tilt_range: added to the view's tilt, degrees.
        roll_range: added to the view's roll, degrees.
        distance_range: distance from source to detector, mm.
        parallel_share: share of the films with parallel rays.
        shift_range: shift of the isocentre in all directions, mm.
        margin_range: margin of the film around the lungs' box, as a share of the box's longer side.
        gamma_range: range of `FilmLook.gamma`.
        contrast_range: range of `FilmLook.contrast`.
        invert_share: share of the films that are inverted.
        extras_share: share of the films with each of detail, adaptive equalisation, scatter, streaks, blur, noise, each
            collimated border and a marker.
        deformation_share: share of the patients that are deformed, see `Deformation.draw`.

    Source: AnyCXR, multi-stage domain randomisation (Dong et al. 2025, arXiv 2512.17263); FleXray for the figures.
    """

    attenuation_share: Share = 0.5
    attenuation_sigma: Annotated[float, Within(0, 10)] = 1.0
    attenuation_range: Interval[Factor] = (0.1, 4.0)
    fat_share: Share = 0.3
    fat_range: Interval[Fat] = (3.0, 25.0)
    turn_range: Interval[Turn] = (-8.0, 8.0)
    tilt_range: Interval[Turn] = (-5.0, 5.0)
    roll_range: Interval[Turn] = (-5.0, 5.0)
    distance_range: Interval[Distance] = (1150.0, 2000.0)
    parallel_share: Share = 0.1
    shift_range: Interval[Shift] = (-15.0, 15.0)
    margin_range: Interval[Margin] = (0.0, 0.15)
    gamma_range: Interval[Factor] = (0.6, 1.6)
    contrast_range: Interval[Factor] = (0.5, 2.0)
    invert_share: Share = 0.5
    extras_share: Share = 0.4
    deformation_share: Share = 0.0

    def __post_init__(self) -> None:
        """Checks ranges and shares.

        Raises:
            DataError: low over high, a share outside [0, 1], or a factor, gamma or distance that is too small.
        """
        check_fields(self, DataError)

    def draw(
        self,
        volume: Volume,
        rng: Rng,
        *,
        view: View = View(),
        lesions: Sequence[LesionKind] = (),
    ) -> ProjectionRecord:
        """Draws a record; the only method that uses randomness.

        Args:
            volume: the patient.
            rng: the source of randomness, a generator or a seed.
            view: the view to vary; its size and pixel stay.
            lesions: kinds of the lesions to insert into the lungs.

        Raises:
            DataError: `lesions` is not empty, and there are no lungs.
        """
        deformation, rng = None, as_generator(rng)
        if self.deformation_share and rng.uniform() < self.deformation_share:
            deformation = Deformation.draw(rng, list(volume.structures))
        variation = Variation(
            self._attenuations(list(volume.structures), rng),
            float(rng.uniform(*self.fat_range)) if rng.uniform() < self.fat_share else 0.0,
            self.draw_lesions(deformation(volume) if deformation and lesions else volume, rng, lesions),
            deformation,
        )
        return ProjectionRecord(variation, self._view(volume, view, rng), self._look(rng))

    @staticmethod
    def draw_lesions(volume: Volume, rng: Rng, kinds: Sequence[LesionKind]) -> tuple[CTLesion, ...]:
        """Draws a lesion of each kind in the lungs; `rng` is a generator or a seed."""
        rng = as_generator(rng)
        return tuple(CTLesion.draw(volume, rng, kind=kind) for kind in kinds)

    def _attenuations(self, names: list[str], rng: np.random.Generator) -> tuple[tuple[str, float], ...]:
        """Draws a factor for each structure that is changed."""
        groups = [group for group in (find_members(group, names) for group in _TOGETHER) if group]
        grouped = {name for group in groups for name in group}
        drawn = []
        for group in [*groups, *([name] for name in names if name not in grouped)]:
            changed, factor = rng.uniform() < self.attenuation_share, self._factor(rng)
            drawn += [(name, factor) for name in group] if changed else []
        return tuple(drawn)

    def _factor(self, rng: np.random.Generator) -> float:
        """Draws a log-normal factor with mode 1, in the range."""
        for _ in range(100):
            factor = math.exp(rng.normal(self.attenuation_sigma**2, self.attenuation_sigma))
            if self.attenuation_range[0] <= factor <= self.attenuation_range[1]:
                return factor
        return float(np.clip(1.0, *self.attenuation_range))

    def _view(self, volume: Volume, view: View, rng: np.random.Generator) -> View:
        centre = volume.centre if view.isocentre is None else np.array(view.isocentre)
        right, front, head = (float(mm) for mm in centre + rng.uniform(*self.shift_range, size=3))
        distance = None if rng.uniform() < self.parallel_share else float(rng.uniform(*self.distance_range))
        return dataclasses.replace(
            view,
            angle=view.angle + float(rng.uniform(*self.turn_range)),
            tilt=view.tilt + float(rng.uniform(*self.tilt_range)),
            roll=view.roll + float(rng.uniform(*self.roll_range)),
            source_to_detector=distance,
            source_to_patient=None,
            isocentre=(right, front, head),
            mirror=view.mirrored,  # the spine of a lateral stays where it is
        )

    def _look(self, rng: np.random.Generator) -> FilmLook:
        def maybe(low: float, high: float) -> float:
            there, value = rng.uniform() < self.extras_share, float(rng.uniform(low, high))
            return value if there else 0.0

        above, below, left, right = (float(rng.uniform(*self.margin_range)) for _ in range(4))
        marker = ("", "L", "R")[int(rng.integers(1, 3)) if rng.uniform() < self.extras_share else 0]
        top, bottom, near, far = (maybe(0.0, 0.1) for _ in range(4))
        low, high = self.gamma_range
        contrast = self.contrast_range
        return FilmLook(
            margins=(above, below, left, right),
            equalisation=float(rng.uniform(0, 1)),
            gamma=low * (high / low) ** float(rng.uniform()),
            contrast=contrast[0] * (contrast[1] / contrast[0]) ** float(rng.uniform()),
            detail=maybe(0.3, 1.5),
            clahe=maybe(1.0, 4.0),
            scatter=maybe(0.05, 0.4),
            scatter_reach=float(rng.uniform(0.03, 0.15)),
            streaks=maybe(0.002, 0.012),
            streaks_angle=float(rng.choice([0.0, 90.0]) + rng.normal(0, 1)),
            streaks_count=float(rng.uniform(50, 120)),
            blur=maybe(0.0005, 0.003),
            noise=maybe(0.003, 0.03),
            collimation=(top, bottom, near, far),
            collimation_grey=float(rng.choice([0.0, 1.0, rng.uniform()])),
            marker=marker,  # type: ignore[arg-type]
            marker_place=(float(rng.uniform(0.01, 0.3)), float(rng.uniform(0.01, 0.08))),
            marker_size=float(rng.uniform(0.03, 0.06)),
            invert=bool(rng.uniform() < self.invert_share),
            seed=int(rng.integers(2**31)),
        )
