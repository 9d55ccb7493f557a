"""Films of a test set with a method's results and the ground truth; figures are collected film by film.

The lungs of films, true or given, are read here too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from artasyn.arrays import LEFT, RIGHT, Heatmap, Image, Mask
from artasyn.bulk.sources import Source
from artasyn.errors import ArtasynError, DataError, ImageError, RadiographError
from artasyn.evaluation.boxes import Box, pointing
from artasyn.evaluation.evaluation import Evaluation, anatomy_prior
from artasyn.evaluation.overlap import dice
from artasyn.files.radiograph import read_labels, read_mask, read_radiograph
from artasyn.segment import Lungs, PBTSeg
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.segmenters import AnatomyReader, NotFound
from artasyn.testsets.testset import TestFilm, TestSet
from artasyn.testsets.truth import UPRIGHT, Pose, own_pose, read_pose, resized

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


def given_lungs(path: Path, film: Path, shape: tuple[int, int]) -> Lungs:
    """Reads the lungs that are given for a radiograph, on the radiograph's grid.

    Args:
        path: labels (0, 1 right, 2 left) or a mask of both lungs; turned and resampled as its radiograph is.
        film: the file of the radiograph.
        shape: rows and columns of the radiograph.

    Raises:
        RadiographError: the lungs are not readable.
        DataError: the lungs have another aspect ratio than the radiograph, it is not known how they are turned, or one
            side is drawn on the other.
        ImageError: the file does not tell labels from a mask.
    """
    sides = _placed_sides(path, read_pose(film), shape)
    if len(sides) == 1:
        return Lungs.from_mask(sides[0])
    try:
        return Lungs.from_array((RIGHT * sides[0] + LEFT * sides[1]).astype(np.uint8))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


@dataclass(frozen=True)
class FilmLungs:
    """Finds the lungs of the radiographs of a collection, or reads the lungs that are given.

    Attributes:
        segmenter: finds them; `NotFound` reads the first of each radiograph's further inputs, see
            `artasyn.testsets.names.with_lungs`.
    """

    segmenter: PBTSeg | AnatomyReader | NotFound = PBTSeg()  # noqa: RUF009 (frozen)

    def __call__(self, image: Image, source: Source) -> Lungs | Anatomy:
        """Returns the lungs of a radiograph, or its anatomy.

        Args:
            image: (h, w), float32 in [0, 1].
            source: the file of the radiograph.

        Raises:
            ArtasynError: under the conditions of the segmenter or of `given_lungs`.
        """
        if isinstance(self.segmenter, NotFound):
            return given_lungs(source.inputs[0], source.path, (image.shape[0], image.shape[1]))
        return self.segmenter(image)


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
    return np.asarray(np.logical_or.reduce(_placed_sides(film.lungs, film.pose, shape)))


def _placed_sides(path: Path, film: Pose, shape: tuple[int, int]) -> list[Mask]:
    """Reads the right and the left lung, or the lungs of a mask as one, on the grid of a film with a pose.

    Raises:
        RadiographError: the lungs are not readable.
        DataError: as for `lungs_of`.
    """
    pose = own_pose(path, film)
    try:
        sides = [resized(side, shape, pose) for side in _read_sides(path)]
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if pose != UPRIGHT and len(sides) > 1 and all(side.any() for side in sides):
        right, left = (side.nonzero()[1].mean() for side in sides)
        if right > left:
            raise DataError(
                f"{path}: turned as its film, the right lung (1) lies on the image's right; draw labels on the "
                "stored pixels of the film, or save the film as it is shown"
            )
    return sides


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
