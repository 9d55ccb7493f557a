"""Films of a test set with a method's results and the ground truth; figures are collected film by film."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from artasyn.arrays import LEFT, RIGHT, Heatmap, Image, Mask
from artasyn.errors import ArtasynError, DataError, RadiographError
from artasyn.evaluation.boxes import Box, pointing
from artasyn.evaluation.evaluation import Evaluation, anatomy_prior
from artasyn.evaluation.overlap import dice
from artasyn.files.radiograph import read_labels, read_mask, read_radiograph
from artasyn.segment import Lungs, PBTSeg
from artasyn.testsets.testset import TestFilm, TestSet
from artasyn.testsets.truth import UPRIGHT, own_pose, resized

Method = Callable[[Image, Lungs], tuple[float, Heatmap]]
"""Maps a radiograph and its lungs by PBTSeg to a score and a heatmap."""

Rank = Literal["dice", "pointing", "score"]
"""The measure that ranks diseased films."""

UNREADABLE = (ArtasynError, OSError, ValueError)
"""Exceptions of a film that cannot be measured."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A film with its ground truth and a method's results, all on one grid.

    Attributes:
        film: the film.
        score: evidence that the film is diseased, in any unit.
        heatmap: float32 (h, w) in [0, 1].
        lesions: the true lesions, bool (h, w): empty for a healthy film, None if the set has no masks.
        boxes: around lesions.
        lungs: bool (h, w), for the additional figures inside the lungs.
    """

    film: TestFilm
    score: float
    heatmap: Heatmap
    lesions: Mask | None
    boxes: tuple[Box, ...]
    lungs: Mask

    @classmethod
    def prior(cls, film: TestFilm, shape: tuple[int, int], lungs: Mask) -> Measured:
        """Returns a film with the anatomy prior (1 everywhere inside the lungs) in place of a method's heatmap.

        Args:
            film: the film.
            shape: rows and columns of the film's grid.
            lungs: a mask of the lungs, at any resolution.

        Raises:
            DataError: a box lies outside the film, the encoded lesions are damaged, or a mask has another aspect ratio
                than the film.
            RadiographError: the mask of the lesions is not readable.
        """
        region = resized(lungs, shape)
        return cls(film, 0.0, anatomy_prior(region), film.lesions(shape), film.boxes_on(shape), region)

    def by(self, score: float, heatmap: Heatmap) -> Measured:
        """Returns the same film with the results of another method.

        Args:
            score: the method's score.
            heatmap: the method's heatmap.
        """
        return dataclasses.replace(self, score=score, heatmap=heatmap)

    def quality(self, rank: Rank, threshold: float) -> float | None:
        """Returns how well the method performs on this film; None if unknown.

        Args:
            rank: Dice with the true lesions, the probability that the highest point lies inside a box, or the score of
                a diseased film.
            threshold: a pixel is called lesion if the heatmap is at least this.
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
        evaluation: collects the figures of the method.
        rank: the measure that ranks the diseased films.
        scores: of every film, by name.
        quality: of the diseased films for which it is known, by name.
    """

    evaluation: Evaluation
    rank: Rank
    scores: dict[str, float] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)

    def add(self, one: Measured) -> None:
        """Adds a film.

        Args:
            one: the film with the method's results.

        Raises:
            DataError: the film was added before, or is inconsistent with the other films; see `Evaluation.add`.
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
    """Returns the measure that ranks the diseased films: Dice with masks, else pointing with boxes, else the score."""
    return "dice" if test.has_masks else "pointing" if test.has_boxes else "score"


def read_lungs(path: Path) -> Mask:
    """Reads the union of both lungs, from labels or from a mask."""
    return np.asarray(np.logical_or.reduce(_read_sides(path)))


def _read_sides(path: Path) -> list[Mask]:
    """Reads the right and the left lung from labels, or the lungs of a mask as one."""
    try:
        labels = read_labels(path)
    except RadiographError:
        return [read_mask(path)]
    return [labels == RIGHT, labels == LEFT]


def lungs_of(film: TestFilm, shape: tuple[int, int]) -> Mask | None:
    """Reads the true lungs of a film on the film's grid; None if the set does not have them.

    Args:
        film: the film.
        shape: rows and columns of its grid.

    Raises:
        RadiographError: the lungs are not readable.
        DataError: the grid of the lungs has another aspect ratio than the film, or it is not known how they are turned.
    """
    if film.lungs is None:
        return None
    pose = own_pose(film.lungs, film.pose)
    try:
        sides = [resized(side, shape, pose) for side in _read_sides(film.lungs)]
    except DataError as error:
        raise DataError(f"{film.lungs}: {error}") from error
    if pose != UPRIGHT and len(sides) > 1 and all(side.any() for side in sides):
        right, left = (side.nonzero()[1].mean() for side in sides)
        if right > left:
            raise DataError(
                f"{film.lungs}: turned as its film, the right lung (1) lies on the image's right; draw labels on the "
                "stored pixels of the film, or save the film as it is shown"
            )
    return np.asarray(np.logical_or.reduce(sides))


def measure_film(film: TestFilm, methods: Mapping[str, Method | None]) -> dict[str, Measured]:
    """Applies several methods to a film.

    Figures inside the lungs use the true lungs if the set has them, or else the lungs by PBTSeg.

    Args:
        film: the film, read from its file.
        methods: by their names; None is the anatomy prior.

    Raises:
        RadiographError: the film or its lesions are not readable.
        DataError: the ground truth of the film is damaged.
    """
    image = read_radiograph(film.source.path)
    lungs, given = PBTSeg()(image), lungs_of(film, image.shape)
    prior = Measured.prior(film, image.shape, lungs.mask if given is None else given)
    return {name: prior.by(*method(image, lungs)) if method else prior for name, method in methods.items()}


def score_films(
    films: Iterable[TestFilm], measure: Callable[[TestFilm], Mapping[str, Measured]], scored: Mapping[str, Scored]
) -> list[tuple[TestFilm, str]]:
    """Measures film by film; returns the films that cannot be measured, with the reasons.

    Args:
        films: of a test set.
        measure: returns the results of every method for a film.
        scored: collects the figures of every method, by the names that `measure` uses.
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
