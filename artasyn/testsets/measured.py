"""Films of a test set with what a method says of them, beside what is known; figures are gathered film by film."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from artasyn.arrays import Heatmap, Image, Mask
from artasyn.errors import ArtasynError, RadiographError
from artasyn.evaluation.boxes import Box, pointing
from artasyn.evaluation.evaluation import Evaluation, anatomy_prior
from artasyn.evaluation.overlap import dice
from artasyn.files.radiograph import read_labels, read_mask, read_radiograph
from artasyn.segment import Lungs, PBTSeg
from artasyn.testsets.testset import TestFilm, TestSet
from artasyn.testsets.truth import resized

Method = Callable[[Image, Lungs], tuple[float, Heatmap]]
"""From a radiograph and its lungs by PBTSeg to a score and a heatmap."""

Rank = Literal["dice", "pointing", "score"]
"""What diseased films are ranked by."""

UNREADABLE = (ArtasynError, OSError, ValueError)
"""What a film raises that cannot be measured."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A film with what is known of it and what a method says of it, all on one grid.

    Attributes:
        film: the film.
        score: evidence that it is diseased, any unit.
        heatmap: float32 (h, w) in [0, 1].
        lesions: the true ones, bool (h, w): none on a healthy film, None where the set has none drawn.
        boxes: around lesions.
        lungs: inside which figures judge as well, bool (h, w).
    """

    film: TestFilm
    score: float
    heatmap: Heatmap
    lesions: Mask | None
    boxes: tuple[Box, ...]
    lungs: Mask

    @classmethod
    def prior(cls, film: TestFilm, shape: tuple[int, int], lungs: Mask) -> Measured:
        """A film with the anatomy prior, "everything inside the lungs", in a method's place.

        Args:
            film: the film.
            shape: rows and columns of its grid.
            lungs: on any grid of the film.

        Raises:
            DataError: a box lies outside the film, or the code of its lesions is damaged.
            RadiographError: the mask of its lesions is not readable.
        """
        region = resized(lungs, shape)
        return cls(film, 0.0, anatomy_prior(region), film.lesions(shape), film.boxes_on(shape), region)

    def by(self, score: float, heatmap: Heatmap) -> Measured:
        """The same film with what another method says of it.

        Args:
            score: the method's.
            heatmap: the method's.
        """
        return dataclasses.replace(self, score=score, heatmap=heatmap)

    def quality(self, rank: Rank, threshold: float) -> float | None:
        """How well the method does on this film; None where that is unknown.

        Args:
            rank: Dice with the true lesions, how likely the highest point lies inside a box, or the score of a
                diseased film.
            threshold: from which on the heatmap calls a pixel lesion.
        """
        if rank == "dice" and self.lesions is not None and self.lesions.any():
            called = self.heatmap >= np.float32(threshold)
            return dice(called, self.lesions)
        if rank == "pointing" and self.boxes:
            return pointing(self.heatmap, self.boxes)
        return self.score if rank == "score" and self.film.diseased else None


@dataclass(eq=False)
class Scored:
    """One method on one test set.

    Attributes:
        evaluation: gathers its figures.
        rank: what its diseased films are ranked by.
        scores: of every film.
        quality: of the diseased films, where it is known.
    """

    evaluation: Evaluation
    rank: Rank
    scores: dict[str, float] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)

    def add(self, one: Measured) -> None:
        """Adds a film.

        Args:
            one: the film with what the method says.

        Raises:
            DataError: a film twice, or one that the others do not agree with, see `Evaluation.add`.
        """
        name = one.film.source.name
        self.evaluation.add(
            name,
            one.score,
            diseased=one.film.diseased,
            heatmap=one.heatmap,
            lesions=one.lesions,
            lungs=one.lungs,
            boxes=one.boxes,
        )
        self.scores[name] = one.score
        threshold = self.evaluation.threshold
        quality = one.quality(self.rank, 0.5 if threshold is None else threshold)
        if quality is not None:
            self.quality[name] = quality


def rank_of(test: TestSet) -> Rank:
    """What the diseased films of a test set are ranked by: by its masks, else by its boxes, else by the score."""
    return "dice" if test.has_masks else "pointing" if test.has_boxes else "score"


def read_lungs(path: Path) -> Mask:
    """The union of both lungs, from labels or from a mask."""
    try:
        return read_labels(path) > 0
    except RadiographError:
        return read_mask(path)


def measure_film(film: TestFilm, methods: Mapping[str, Method | None]) -> dict[str, Measured]:
    """What several methods say of a film; figures judge inside its true lungs where it comes with them.

    Args:
        film: the film, read from its file.
        methods: by their names; None is the anatomy prior.

    Raises:
        RadiographError: the film or its lesions are not readable.
        DataError: what is known of the film is damaged.
    """
    image = read_radiograph(film.source.path)
    lungs = PBTSeg()(image)
    prior = Measured.prior(film, image.shape, read_lungs(film.lungs) if film.lungs else lungs.mask)
    return {name: prior.by(*method(image, lungs)) if method else prior for name, method in methods.items()}


def score_films(
    films: Iterable[TestFilm], measure: Callable[[TestFilm], Mapping[str, Measured]], scored: Mapping[str, Scored]
) -> list[tuple[TestFilm, str]]:
    """Measures film by film; gives those that cannot be measured, with the reasons.

    Args:
        films: of a test set.
        measure: gives what every method says of a film.
        scored: gathers the figures of every method, by the names that `measure` uses.
    """
    failed = []
    for film in films:
        try:
            found = measure(film)
        except UNREADABLE as error:
            failed.append((film, str(error)))
            continue
        for name, one in found.items():
            scored[name].add(one)
    return failed
