"""Lists of data sets: reads their CSV files, and finds lists and films below a folder."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from artasyn.bulk.sources import Source, find_sources
from artasyn.errors import DataError
from artasyn.files.radiograph import RADIOGRAPH_SUFFIXES

Record = dict[str, str]
"""A row of a CSV file: column to value, without surrounding blanks."""


def read_cells(path: Path) -> list[list[str]]:
    """Reads the cells of a CSV file, header first, without surrounding blanks.

    Args:
        path: the file, in UTF-8.

    Raises:
        DataError: the file cannot be read, or is no CSV file with a header and rows.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig", "replace")
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline="")) if any(row)]
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error
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
            raise DataError(f"{path}: no column {' or '.join(ways)}; its columns are {', '.join(header)}")
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
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}: {column} is {row[column]!r}, not a number, in the row {','.join(row.values())[:80]}")
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
