"""Text files from anybody: JSON and CSV in the encodings and dialects that spreadsheets write."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from pathlib import Path

from artasyn.errors import DataError
from artasyn.limits import limits, too_large

SEPARATORS = ",;\t"
"""Separators of a CSV file: commas, semicolons where the comma is the decimal point, or tabs."""


def read_text(path: Path) -> str:
    """Reads a text file in UTF-8, or in UTF-16 with a byte order mark; the mark is left out.

    Args:
        path: the file.

    Raises:
        DataError: the file cannot be read, is larger than `artasyn.limits.Limits` allows or is no text. The message
            continues a sentence that begins with the file's name.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limits().text + 1)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}); check the path and its permissions") from error
    if len(data) > limits().text:
        raise DataError(too_large("bytes of text or more", len(data), "text"))
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"is no text in UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8") from error
    if "\0" in text:
        raise DataError("holds zero bytes, so it is no text; if it is UTF-16 without a mark, save it as UTF-8")
    return text


def read_cells(path: Path) -> list[list[str]]:
    r"""Reads the cells of a CSV file, without surrounding blanks and without rows that are empty.

    The separator is the one of `SEPARATORS` that occurs most often in the first line outside of quotes.

    Args:
        path: the file, as `read_text` reads it.

    Raises:
        DataError: under the conditions of `read_text`, or if the text is no CSV. The message continues a sentence that
            begins with the file's name.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "names.csv"
        ...     _ = path.write_text("id;name\n1; lung \n")
        ...     read_cells(path)
        [['id', 'name'], ['1', 'lung']]
    """
    text = read_text(path)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator(text), strict=False))
    except csv.Error as error:
        raise DataError(f"is no CSV ({error}); save it as CSV from a spreadsheet") from error
    return [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]


def separator(text: str) -> str:
    """Returns the separator of a CSV text, from its first line that is not empty; a comma if the line has none."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    outside = "".join(line.split('"')[::2])
    count = Counter({mark: outside.count(mark) for mark in SEPARATORS})
    best, there = count.most_common(1)[0]
    return best if there else ","
