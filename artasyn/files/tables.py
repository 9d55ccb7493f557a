"""CSV files that any CSV reader can read, for any content of the cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from artasyn.files.atomic import write_text


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]], *, quoted: int = 0) -> None:
    """Writes a CSV file of UTF-8 with a header, whole or not at all.

    Cells with a comma, a quote or a line break are quoted; lines end with a line feed.

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
    lines = [_line(columns)]
    for row in rows:
        values = [row.get(column) for column in columns]
        parts = (_line(values[:quoted], csv.QUOTE_ALL), _line(values[quoted:]))
        lines.append(",".join(part for part in parts if part))
    write_text(path, "".join(f"{line}\n" for line in lines))


def _line(values: Sequence[object], quoting: Literal[0, 1] = csv.QUOTE_MINIMAL) -> str:
    """Returns one line without its end.

    The writer ends the line with carriage return and line feed, because it then quotes cells with either of the two.
    """
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n")
