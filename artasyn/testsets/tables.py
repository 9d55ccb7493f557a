"""Lists of data sets: reads their CSV files, and finds lists and films below a folder.

Boxes and run lengths of lists are in stored pixels; `artasyn.testsets.truth` turns them as their film.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from artasyn.bulk.sources import Source, find_sources
from artasyn.errors import DataError
from artasyn.evaluation.boxes import Box
from artasyn.files import texts
from artasyn.files.radiograph import RADIOGRAPH_SUFFIXES
from artasyn.testsets.testset import TestFilm, TestSet

Record = dict[str, str]
"""A row of a CSV file: column to value, without surrounding blanks."""

NOT_ON_DISK = "listed but not on disk"

COMMA = re.compile(r"[+-]?\d*,(\d{1,2}|\d{4,})")
"""A number with a decimal comma; three digits after it could be thousands."""


def read_text(path: Path) -> str:
    """Reads a text file; errors begin with the file's name.

    Raises:
        DataError: under the conditions of `artasyn.files.texts.read_text`.
    """
    try:
        return texts.read_text(path)
    except DataError as error:
        raise DataError(f"{path} {error}") from error


def read_cells(path: Path) -> list[list[str]]:
    """Reads the cells of a CSV file, header first, without surrounding blanks.

    Args:
        path: the file, in the encodings and with the separators of `artasyn.files.texts`.

    Raises:
        DataError: the file cannot be read, or is no CSV file with a header and rows.
    """
    try:
        rows = texts.read_cells(path)
    except DataError as error:
        raise DataError(f"{path} {error}") from error
    if len(rows) < 2:
        raise DataError(f"{path} holds no rows; download it again")
    return rows


def read_table(path: Path, columns: Sequence[str | tuple[str, ...]]) -> list[Record]:
    """Reads the rows of a CSV file by column; cells that are missing at a row's end are empty.

    Args:
        path: the file.
        columns: the required columns. A tuple holds alternative names of one column; the first name is its key in the
            rows.

    Raises:
        DataError: under the conditions of `read_cells`, or if a column is missing.
    """
    header, *rows = read_cells(path)
    names = list(header)
    for column in columns:
        ways = (column,) if isinstance(column, str) else column
        there = next((way for way in ways if way in header), None)
        if there is None:
            raise DataError(f"{path}: no column {' or '.join(ways)}; its columns are {', '.join(header)[:300]}")
        names[header.index(there)] = ways[0]
    return [dict(zip(names, [*row, *[""] * (len(names) - len(row))], strict=False)) for row in rows]


def number(row: Mapping[str, str], column: str, path: Path) -> float:
    """Reads a number from a row.

    Args:
        row: of the file `path`.
        column: the column of the number.
        path: the file, for the error message.

    Raises:
        DataError: the value is not a finite number.
    """
    text = row[column]
    try:
        value = float(text.replace(",", ".") if COMMA.fullmatch(text) else text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(
            f"{path}: {column} is {row[column][:40]!r}, not a number, in the row {','.join(row.values())[:80]}"
        )
    return value


def located(data: Path, *names: str, depth: int = 2, folders: bool = False) -> list[Path]:
    """Finds files (or folders) by name below a folder: sorted in the order of the names, the outermost first.

    Args:
        data: the folder to search; with `folders`, it may be a result itself.
        names: the exact names.
        depth: number of levels to search; hidden files and folders and ``__MACOSX`` are skipped.
        folders: whether to find folders instead of files.
    """
    found = [data] if folders and data.name in names else []
    level = [data]
    for _ in range(depth):
        below = [path for place in level for path in _inside(place)]
        level = [path for path in below if path.suffix.lower() not in RADIOGRAPH_SUFFIXES and path.is_dir()]
        found += [path for path in (level if folders else below) if path.name in names and (folders or path.is_file())]
    return sorted(found, key=lambda path: names.index(path.name))


def _inside(place: Path) -> list[Path]:
    """Returns the content of a folder, sorted; a folder without read permission gives an empty list."""
    try:
        return sorted(path for path in place.iterdir() if not path.name.startswith((".", "__MACOSX")))
    except PermissionError:
        return []


def bare(name: str) -> str:
    """Removes the suffix of a radiograph file from a name; a UID such as 1.2.840 stays whole."""
    for suffix in RADIOGRAPH_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def films_below(places: Iterable[Path], suffixes: Iterable[str] = RADIOGRAPH_SUFFIXES) -> dict[str, Source]:
    """Finds films below folders, by name without folder and suffix; of films with equal names, the first is used.

    Args:
        places: the folders.
        suffixes: of the files to use; files without the suffix of a radiograph are used, too.

    Raises:
        DataError: there are no films.
    """
    found: dict[str, Source] = {}
    left = frozenset(RADIOGRAPH_SUFFIXES) - frozenset(suffixes)
    for source in find_sources(places):
        if source.path.suffix.lower() not in left:
            name = bare(source.path.name)
            found.setdefault(name, Source(source.path, name))
    return found


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
    films = [
        dataclasses.replace(film, source=files[film.source.name], origin=film.origin or path)
        for film in listed
        if film.source.name in files
    ]
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
    """Reads the box of a row; `columns` names the columns of left, top, width and height.

    Raises:
        DataError: a value is no number, or the width or height is negative.
    """
    left, top, width, height = (number(row, column, path) for column in columns)
    if min(width, height) < 0:
        raise DataError(f"{path}: a box of negative size in the row {','.join(row.values())[:80]}")
    return top, left, height, width
