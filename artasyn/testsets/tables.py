"""Lists that come with data sets: CSV files, and where they and their films are below a folder."""

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
"""A row of a CSV file: column to value, without blanks around."""


def read_cells(path: Path) -> list[list[str]]:
    """The cells of a CSV file, header first, without blanks around them.

    Args:
        path: the file, in UTF-8.

    Raises:
        DataError: it is out of reach, or no CSV file with a header and rows.
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
    """The rows of a CSV file by column; cells that are missing at a row's end are empty.

    Args:
        path: the file.
        columns: those that it must have; of a tuple, one of its names, and the first is what the rows call it.

    Raises:
        DataError: as `read_cells`, or a column is missing.
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
    """A number of a row.

    Args:
        row: of `path`.
        column: where the number is.
        path: what an error names.

    Raises:
        DataError: it is no finite number.
    """
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}: {column} is {row[column]!r}, not a number, in the row {','.join(row.values())[:80]}")
    return value


def located(data: Path, *names: str, depth: int = 2, folders: bool = False) -> list[Path]:
    """The files (or folders) of some names at or below a folder: in the names' order, the outermost first.

    Args:
        data: the folder, which may be one of them.
        names: what they are called exactly.
        depth: how many folders below; hidden ones and ``__MACOSX`` are passed over.
        folders: look for folders.
    """
    found = [data] if folders and data.name in names else []
    level = [data]
    for _ in range(depth):
        below = [path for place in level for path in _inside(place)]
        level = [path for path in below if path.suffix.lower() not in RADIOGRAPH_SUFFIXES and path.is_dir()]
        found += [path for path in (level if folders else below) if path.name in names and (folders or path.is_file())]
    return sorted(found, key=lambda path: names.index(path.name))


def _inside(place: Path) -> list[Path]:
    """What a folder holds, sorted; nothing where it is out of reach."""
    try:
        return sorted(path for path in place.iterdir() if not path.name.startswith((".", "__MACOSX")))
    except PermissionError:
        return []


def bare(name: str) -> str:
    """A film's name without the suffix of a radiograph, if it has one: the UID 1.2.840 is whole."""
    for suffix in RADIOGRAPH_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def films_below(places: Iterable[Path], suffixes: Iterable[str] = RADIOGRAPH_SUFFIXES) -> dict[str, Source]:
    """The films below some folders by their names without folder and suffix; of films of one name, the first.

    Args:
        places: the folders.
        suffixes: of the files that count; those without any of a radiograph do.

    Raises:
        DataError: there are none.
    """
    found: dict[str, Source] = {}
    left = frozenset(RADIOGRAPH_SUFFIXES) - frozenset(suffixes)
    for source in find_sources(places):
        if source.path.suffix.lower() not in left:
            name = bare(source.path.name)
            found.setdefault(name, Source(source.path, name))
    return found
