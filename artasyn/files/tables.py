"""CSV files that any CSV reader can read and no spreadsheet runs, for any content of the cells."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from artasyn.files.atomic import write_texts

FORMULA = re.compile("'*[=+\\-@\\t\\r\\n＝＋－＠]")
"""The beginning of a text that a spreadsheet may run, perhaps after apostrophes that keep it from doing so."""

NUMBER = re.compile(r"[+-](\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
"""A number with a sign, which is no formula."""


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]], *, quoted: int = 0) -> None:
    """Writes a CSV file of UTF-8 with a header, whole or not at all.

    Cells with a comma, a quote or a line break are quoted; lines end with a line feed. A text that a spreadsheet would
    run as a formula gets an apostrophe in front; `read_table` takes it away.

    Args:
        path: the file to write; its folder is created.
        columns: of the header. A key that a row lacks gives an empty cell; keys that are not columns are left out.
        rows: column to value; None is written as an empty cell.
        quoted: how many of the first columns are always quoted, below the header.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = Path(folder) / "table.csv"
        ...     write_table(table, ("name", "score"), [{"name": 'a "b", c', "score": 1}], quoted=1)
        ...     print(table.read_text(), end="")
        name,score
        "a ""b"", c",1
    """
    write_texts(path, (f"{line}\n" for line in _table_lines(columns, rows, quoted)))


def _table_lines(columns: Sequence[str], rows: Iterable[Mapping[str, object]], quoted: int) -> Iterator[str]:
    """Yields the lines of a table without their ends."""
    yield _line(columns)
    for row in rows:
        values = [_harmless(row.get(column)) for column in columns]
        parts = (_line(values[:quoted], csv.QUOTE_ALL), _line(values[quoted:]))
        yield ",".join(part for part in parts if part)


def read_table(path: Path) -> list[dict[str, str]]:
    """Reads the rows of a table that `write_table` wrote, every value as the text that was written.

    Args:
        path: the file.

    Returns:
        A row for each line: column to text.
    """
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return [{key: _original(value) for key, value in row.items()} for row in rows]


def _harmless(value: object) -> object:
    """Returns a value that no spreadsheet runs; only texts are changed."""
    if not isinstance(value, str) or not FORMULA.match(value) or NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def _original(cell: str) -> str:
    """Returns the text that `_harmless` got; a cell that the line lacks stays None, as `csv` gives it."""
    return cell[1:] if isinstance(cell, str) and cell.startswith("'") and FORMULA.match(cell) else cell


def _line(values: Sequence[object], quoting: Literal[0, 1] = csv.QUOTE_MINIMAL) -> str:
    """Returns one line without its end.

    The writer ends the line with carriage return and line feed, because it then quotes cells with either of the two.
    """
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n")
