"""Test sets: films with labels and true lesions; `artasyn.testsets.layouts` reads test sets from disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from artasyn.arrays import Mask
from artasyn.bulk.sources import Source
from artasyn.errors import DataError
from artasyn.evaluation.boxes import Box
from artasyn.files.turns import Turn
from artasyn.testsets.truth import UPRIGHT, Pose, Truth, fits, placed, read_pose

NAMED = 3
"""The number of films that a message names as examples."""


@dataclass(frozen=True)
class TestFilm:
    """A film of a test set with its ground truth.

    Attributes:
        source: the film's file and name.
        diseased: the film's label.
        truth: the true lesions, read on demand; None if the set has no masks.
        boxes: around lesions.
        frame: rows and columns of the grid on which the boxes are given; None for the film's own stored pixels.
        lungs: a file with the true lungs, as a mask or as labels 1 and 2.
        origin: the file that holds `truth` or `boxes`, for messages.
        patient: whose film it is, where the set tells; empty where it does not.
    """

    source: Source
    diseased: bool
    truth: Truth | None = None
    boxes: tuple[Box, ...] = ()
    frame: tuple[int, int] | None = None
    lungs: Path | None = None
    origin: Path | None = None
    patient: str = ""

    __test__ = False  # tells pytest that this is not a test class

    @cached_property
    def pose(self) -> Pose:
        """How the film's pixels are turned when they are read.

        Raises:
            RadiographError: the film's header is damaged.
        """
        return read_pose(self.source.path)

    def lesions(self, shape: tuple[int, int]) -> Mask | None:
        """Returns the true lesions on the film's grid: an empty mask for a healthy film, None if the set has no masks.

        Args:
            shape: rows and columns of the film's grid.

        Raises:
            RadiographError: the mask is not readable.
            DataError: the encoded lesions are damaged, their grid has another aspect ratio than the film, or a healthy
                film has lesions.
        """
        if self.truth is None:
            return None if self.diseased else np.zeros(shape, bool)
        with self._naming_origin():
            lesions = self.truth.on(shape, self.pose)
        if lesions.any() and not self.diseased:
            raise DataError(f"{self.source.name} is healthy but has lesions; correct the label or the mask")
        return lesions

    def boxes_on(self, shape: tuple[int, int]) -> tuple[Box, ...]:
        """Returns the boxes on the film's grid, turned as the film and clipped to its edges.

        Args:
            shape: rows and columns of the film's grid.

        Raises:
            DataError: the centre of a box lies outside the film, or the film and `frame` are turned in a way that is
                not known.
        """
        with self._naming_origin():
            return self._boxes_on(shape) if self.boxes else ()

    def _boxes_on(self, shape: tuple[int, int]) -> tuple[Box, ...]:
        frame, turn = self._framed(shape)
        found = []
        for box in self.boxes:
            turned = turned_box(box, frame, turn)
            down, across = (s / f for s, f in zip(shape, turn.swapped(frame), strict=True))
            row, column, height, width = (n * by for n, by in zip(turned, (down, across, down, across), strict=True))
            if not (0 < row + height / 2 < shape[0] and 0 < column + width / 2 < shape[1]):
                raise DataError(
                    f"a box at row {box[0]:g}, column {box[1]:g} lies outside the film of {shape[0]} x {shape[1]} "
                    "pixels; use the films in the size in which the boxes were drawn"
                )
            top, left = max(row, 0.0), max(column, 0.0)
            found.append((top, left, min(row + height, shape[0]) - top, min(column + width, shape[1]) - left))
        return tuple(found)

    @contextmanager
    def _naming_origin(self) -> Iterator[None]:
        """Adds the file that holds the ground truth to error messages."""
        try:
            yield
        except DataError as error:
            raise (DataError(f"{error} (from {self.origin})") if self.origin else error) from error.__cause__

    def _framed(self, shape: tuple[int, int]) -> tuple[tuple[int, int], Turn]:
        """Returns the grid of the boxes, and the turn that brings them to the film's grid."""
        if self.frame is None and self.pose.shown:
            raise DataError(
                "boxes may be turned or not, because the film's EXIF orientation turns it; save the film upright, "
                "without this orientation, and draw on that"
            )
        frame = self.frame or self.pose.turn.swapped(shape)
        if self.pose == UPRIGHT and not fits(frame, shape[::-1]):
            return frame, UPRIGHT.turn  # a film that was resized to another aspect ratio, as to a square
        return frame, placed(frame, shape, self.pose)


@dataclass(frozen=True)
class TestSet:
    """Films to measure a detector on.

    Attributes:
        layout: the layout of the set on disk, a key of `artasyn.testsets.layouts.LAYOUTS`.
        films: at least one film. Names are unique; all diseased films have masks, or none has.
        left_out: the names of films that are left out, by reason.
        note: a remark for readers of the figures.
        failed: the films that are not in `films` because their ground truth is not readable, with the reasons.
    """

    layout: str
    films: tuple[TestFilm, ...]
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    note: str = ""
    failed: tuple[tuple[Source, str], ...] = ()

    __test__ = False

    def __post_init__(self) -> None:
        if not self.films:
            why = f"; {self.failed[0][1]}" if self.failed else ""
            raise DataError(f"a test set without films; left out: {self._reasons() or 'nothing'}{why}")
        twice = [name for name, count in Counter(film.source.name for film in self.films).items() if count > 1]
        if twice:
            raise DataError(f"several films are called {listed(twice)}; give each a name of its own")
        diseased = [film for film in self.films if film.diseased]
        missing = [film.source.name for film in diseased if film.truth is None]
        if missing and len(missing) < len(diseased):
            raise DataError(
                f"no mask for {len(missing)} of {len(diseased)} diseased films ({listed(missing)}); add them, or "
                "leave those films out: missing is not empty"
            )
        wrong = [film.source.name for film in self.films if film.boxes and not film.diseased]
        if wrong:
            raise DataError(f"healthy films with boxes around lesions: {listed(wrong)}")

    @property
    def has_masks(self) -> bool:
        """Whether the diseased films have masks."""
        return any(film.diseased and film.truth is not None for film in self.films)

    @property
    def has_boxes(self) -> bool:
        """Whether any film has boxes."""
        return any(film.boxes for film in self.films)

    @property
    def has_lungs(self) -> bool:
        """Whether every film has its true lungs."""
        return all(film.lungs is not None for film in self.films)

    @property
    def summary(self) -> str:
        """A summary for people: the films, and the films that were left out with the reasons."""
        count = Counter(
            kind
            for film in self.films
            for kind, there in (
                ("diseased", film.diseased),
                ("masks", film.diseased and film.truth is not None),
                ("boxes", film.boxes),
                ("lungs", film.lungs),
            )
            if there
        )
        healthy = len(self.films) - count["diseased"]
        text = (
            f"Layout {self.layout}: {len(self.films)} films, {healthy} healthy and {count['diseased']} diseased; "
            f"{count['masks']} with masks, {count['boxes']} with boxes, {count['lungs']} with lungs."
        )
        reasons = self._reasons()
        return text + f" Left out: {reasons}." * bool(reasons) + f" {self.note}" * bool(self.note)

    def _reasons(self) -> str:
        reasons = {**self.left_out, "with unreadable ground truth": [source.name for source, _ in self.failed]}
        return "; ".join(f"{len(names)} {why} ({listed(names)})" for why, names in reasons.items() if names)


def listed(names: Sequence[str]) -> str:
    """Joins the first names, with "..." if there are more."""
    return ", ".join([*names[:NAMED], *["..."] * (len(names) > NAMED)])


def turned_box(box: Box, frame: tuple[int, int], turn: Turn) -> Box:
    """Turns a box as `Turn.turned` turns the grid on which the box is given.

    Args:
        box: on the grid.
        frame: rows and columns of the grid.
        turn: of the grid.

    Example:
        >>> turned_box((20.0, 30.0, 5.0, 8.0), (256, 200), Turn(transposed=True, columns_reversed=True))
        (30.0, 231.0, 8.0, 5.0)
    """
    row, column, height, width = box
    if turn.transposed:
        row, column, height, width = column, row, width, height
    rows, columns = turn.swapped(frame)
    return (
        rows - row - height if turn.rows_reversed else row,
        columns - column - width if turn.columns_reversed else column,
        height,
        width,
    )
