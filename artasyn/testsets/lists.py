"""What the readers of sets with lists share: rows, boxes, films on disk.

Regions are in pixels as stored: films whose DICOM says that they are to be turned are turned when read, their regions
are not; none of these sets says so.
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
    """A film of a list, whose file is still to be found."""
    return TestFilm(Source(Path(name), name), diseased, **known)


def on_disk(
    layout: str,
    listed: Sequence[TestFilm],
    files: Mapping[str, Source],
    left_out: Mapping[str, Sequence[str]],
    path: Path,
    note: str = "",
) -> TestSet:
    """The test set of the films of a list that are on disk."""
    films = [dataclasses.replace(f, source=files[f.source.name]) for f in listed if f.source.name in files]
    missing = [film.source.name for film in listed if film.source.name not in files]
    if not films:
        raise DataError(
            f"{path}: none of the {len(listed)} healthy or diseased films that it lists is among the {len(files)} on "
            f"disk ({', '.join(missing[:1])}, ...); put the films beside it as they are published"
        )
    return TestSet(layout, tuple(films), {**left_out, NOT_ON_DISK: [*left_out.get(NOT_ON_DISK, ()), *missing]}, note)


def folders_beside(path: Path, pattern: str) -> list[Path]:
    """The folders beside a list that hold its films."""
    found = [place for place in sorted(path.parent.glob(pattern)) if place.is_dir()]
    if not found:
        raise DataError(f"{path.parent}: {path.name} is here, but no folder {pattern} with its films")
    return found


def grouped(rows: Iterable[Record], column: str) -> dict[str, list[Record]]:
    """Rows by the film that they are of, in the order of the list."""
    found = defaultdict[str, list[Record]](list)
    for row in rows:
        found[row[column]].append(row)
    return found


def box_of(row: Mapping[str, str], path: Path, *columns: str) -> Box:
    """The box of a row, whose columns are called as these four: left, top, width and height."""
    left, top, width, height = (number(row, column, path) for column in columns)
    return top, left, height, width
