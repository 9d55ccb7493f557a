"""Names of labels: from tables in text of many programs, and from inside the label maps themselves."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from artasyn.errors import DataError
from artasyn.files.texts import read_text, separator
from artasyn.records import parse_json

ID_COLUMNS, NAME_COLUMNS = ("id", "label", "index", "value", "labelvalue"), ("structure", "name")
"""Columns of a CSV file with the names of labels; of each tuple, the first column that the file has is used."""

CARET = b"<LabelTable"
"""What an extension of a NIfTI header with names of labels holds."""

REPRESENTATIONS = ("Segmentation_MasterRepresentation", "Segmentation_SourceRepresentation")
"""Keys that tell what the voxels of a segmentation of 3D Slicer are."""
LONGEST = 1000
"""Largest number of characters of a line of a table without a header."""

Entry = tuple[str, str, str]
"""The location in the file, the number and the name of a label."""

COMMENTS = ("#", "//")
"""How a line begins that holds no label."""

LINES = {
    "a label description of ITK-SNAP": re.compile(r'(?P<number>\d+)(\s+\d+){3}(\s+[\d.]+){3}\s+"(?P<name>.*)"'),
    "a colour table": re.compile(r'(?P<number>\d+)\s+(?P<name>"[^"]*"|[^\s"].*?)(\s+\d+){3,4}'),
    "a list": re.compile(r'(?P<number>\d+)\s*[\s:=]\s*(?P<name>"[^"]*"|[^\s",;:=].*)'),
}
"""How a line of a table without a header looks, by its kind: label descriptions of ITK-SNAP, colour tables of 3D Slicer
(.ctbl, .txt) and FreeSurfer, and number and name with a blank, ``:`` or ``=`` between them."""


def read_label_names(path: Path) -> dict[int, str]:
    """Reads the names of labels from a file, see `artasyn.files.ct.read_names`.

    Raises:
        DataError: the file is damaged or no such table. The message continues a sentence that begins with the file's
            name.
    """
    if not path.is_file():
        raise DataError("is no regular file; name one")
    text = read_text(path)
    return checked(_json_entries(text) if path.suffix.lower() == ".json" else _table_entries(text))


def checked(entries: Iterable[Entry]) -> dict[int, str]:
    """Returns names by number, without the background.

    Args:
        entries: what a file says.

    Raises:
        DataError: a number is not whole, a name is empty, a number or name occurs twice, or there are none. The
            message continues a sentence that begins with the file's name.
    """
    names: dict[int, str] = {}
    taken: set[str] = set()
    for where, number, name in entries:
        if not re.fullmatch(r"[0-9]{1,18}", number):
            raise DataError(f"has {number[:40]!r} for {name[:80]!r} in {where}; labels are whole numbers from 0")
        if not name:
            raise DataError(f"has no name for {number} in {where}; give it one")
        if int(number) == 0 or name.lower() == "background":
            continue
        if int(number) in names or name in taken:
            raise DataError(f"names {number} {name!r} in {where}, but one of the two was there before; keep one")
        names[int(number)] = name
        taken.add(name)
    if not names:
        raise DataError("holds no names of labels; write a line for each, number and name")
    return names


def caret_names(xml: bytes) -> dict[int, str]:
    """Returns the names in the first table of labels of a `CaretExtension`, as TotalSegmentator writes it.

    Raises:
        DataError: this is no such XML, or it declares entities, which could make it grow without end. The message
            continues a sentence that begins with what the XML is.

    Example:
        >>> caret_names(b'<CaretExtension><LabelTable><Label Key="1">liver</Label></LabelTable></CaretExtension>')
        {1: 'liver'}
    """
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
        raise DataError("declares entities")
    try:
        table = ElementTree.fromstring(xml.strip()).find(".//LabelTable")
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"is damaged ({error})") from error
    labels = [] if table is None else list(table.iter("Label"))
    return checked((f"label {n}", str(e.get("Key")).strip(), (e.text or "").strip()) for n, e in enumerate(labels, 1))


def segment_names(pairs: Mapping[str, str], layers: int) -> tuple[dict[int, dict[int, str]], tuple[str, ...]]:
    """Returns the names of segments by layer and number, and a note if they are damaged.

    Source: 3D Slicer, "Segmentations", segmentation file format (.seg.nrrd).
    """
    kind = next((value for key, value in pairs.items() if key in REPRESENTATIONS), "")
    if "fractional" in kind.lower():
        raise DataError(f"holds a {kind}; export the segmentation as binary label map")
    entries: dict[int, list[tuple[str, str, str]]] = {}
    for key in pairs:
        found = re.fullmatch(r"Segment([0-9]{1,6})_Name", key)
        if found:
            start = f"Segment{found[1]}_"
            layer = pairs.get(f"{start}Layer", found[1] if layers > 1 else "0")  # before 3D Slicer 4.11, one for each
            number = int(layer) if re.fullmatch("[0-9]{1,6}", layer) else -1
            entries.setdefault(number, []).append((key, pairs.get(f"{start}LabelValue", "1"), pairs[key]))
    try:
        if not entries.keys() <= set(range(layers)):
            raise DataError("names segments of layers that are not there")
        return {layer: checked(each) for layer, each in entries.items()}, ()
    except DataError as error:
        return {}, (f"its table of segments {error}, so it is not used",)


def _json_entries(text: str) -> Iterator[Entry]:
    """Yields the entries of a JSON object, or of the object below its key ``labels``."""
    try:
        pairs = parse_json(text, object_pairs_hook=tuple)
    except ValueError as error:
        raise DataError(f"is damaged or cut short ({error}); copy or export it again") from error
    pairs = dict(pairs).get("labels", pairs) if _is_object(pairs) else pairs
    if not _is_object(pairs):
        raise DataError('is no JSON object of numbers and names; write {"1": "spleen", ...}')
    for key, value in pairs:
        number, name = (key, value) if isinstance(value, str) else (value, key)
        yield f"the entry {key!r}", str(number).strip(), name.strip()


def _is_object(pairs: Any) -> bool:
    return isinstance(pairs, tuple)


def _table_entries(text: str) -> Iterator[Entry]:
    """Yields the entries of a table: with a header; or without one, of a kind that its first line tells."""
    lines = {n: line.strip() for n, line in enumerate(text.splitlines(), 1)}
    lines = {n: line for n, line in lines.items() if line and not line.startswith(COMMENTS)}
    first = next(iter(lines.values()), "")
    rows = _rows(text, separator(first))
    cells = rows[0][1] if rows else []
    columns = [cell.lower() for cell in cells]
    number = next((columns.index(name) for name in ID_COLUMNS if name in columns), None)
    name = next((columns.index(name) for name in NAME_COLUMNS if name in columns), None)
    kind = next((kind for kind in LINES if _parsed(kind, first)), "")
    digits = [place for place, cell in enumerate(cells) if cell.isdecimal()]
    if number is not None and name is not None:
        yield from _cells(rows[1:], number, name)
    elif len(cells) == 2 and len(digits) == 1:
        yield from _cells(rows, digits[0], 1 - digits[0])
    elif kind:
        for line, each in lines.items():
            found = _parsed(kind, each)
            if found is None:
                raise DataError(f"is {kind} by its first line, but line {line} is {each[:80]!r}; mend that line")
            yield f"line {line}", found["number"], found["name"].strip('"').strip()
    else:
        raise DataError(
            f"has the columns {', '.join(columns)[:200] or 'none'}; one of {', '.join(ID_COLUMNS)} and one of "
            f"{', '.join(NAME_COLUMNS)} are needed"
        )


def _parsed(kind: str, line: str) -> re.Match[str] | None:
    return LINES[kind].fullmatch(line) if len(line) <= LONGEST else None


def _cells(rows: Iterable[tuple[int, list[str]]], number: int, name: int) -> Iterator[Entry]:
    for line, row in rows:
        padded = row + [""] * (max(number, name) + 1 - len(row))
        yield f"line {line}", padded[number], padded[name]


def _rows(text: str, mark: str) -> list[tuple[int, list[str]]]:
    """Returns the rows of a CSV text with the numbers of their lines, without empty rows and comments."""
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise DataError(f"is no CSV ({error}); save it as CSV from a spreadsheet") from error
    return [(line, row) for line, row in rows if any(row) and not row[0].startswith(COMMENTS)]
