"""Helpers for readers of test sets with lists: rows, boxes and films on disk.

Regions are in stored pixels. Reading a film may turn it as its DICOM header requires, but its regions are not turned.
No film of these sets requires a turn.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from artasyn.bulk.sources import Source
from artasyn.errors import DataError
from artasyn.evaluation.boxes import Box
from artasyn.testsets.tables import Record, number
from artasyn.testsets.testset import TestFilm, TestSet

NOT_ON_DISK = "listed but not on disk"


def listed_film(name: str, diseased: bool, **known: Any) -> TestFilm:
    """Returns a film of a list, before its file is found."""
    return TestFilm(Source(Path(name), name), diseased, **known)


def on_disk(
    layout: str,
    listed: Sequence[TestFilm],
    files: Mapping[str, Source],
    left_out: Mapping[str, Sequence[str]],
    path: Path,
    note: str = "",
) -> TestSet:
    """Returns the test set of the listed films that are on disk."""
    films = [dataclasses.replace(f, source=files[f.source.name]) for f in listed if f.source.name in files]
    missing = [film.source.name for film in listed if film.source.name not in files]
    if not films:
        raise DataError(
            f"{path}: none of the {len(listed)} healthy or diseased films that it lists is among the {len(files)} on "
            f"disk ({', '.join(missing[:1])}, ...); put the films beside it as they are published"
        )
    return TestSet(layout, tuple(films), {**left_out, NOT_ON_DISK: [*left_out.get(NOT_ON_DISK, ()), *missing]}, note)


def folders_beside(path: Path, pattern: str) -> list[Path]:
    """Finds the folders beside a list that hold its films."""
    found = [place for place in sorted(path.parent.glob(pattern)) if place.is_dir()]
    if not found:
        raise DataError(f"{path.parent}: {path.name} is here, but no folder {pattern} with its films")
    return found


def grouped(rows: Iterable[Record], column: str) -> dict[str, list[Record]]:
    """Groups rows by film, in the order of the list."""
    found = defaultdict[str, list[Record]](list)
    for row in rows:
        found[row[column]].append(row)
    return found


def box_of(row: Mapping[str, str], path: Path, *columns: str) -> Box:
    """Reads the box of a row; `columns` names the columns of left, top, width and height."""
    left, top, width, height = (number(row, column, path) for column in columns)
    return top, left, height, width
