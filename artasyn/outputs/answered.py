"""Answers to requests as files: a record for each radiograph, and one table with a row for each structure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artasyn.errors import DataError
from artasyn.files.tables import write_table
from artasyn.files.texts import read_text
from artasyn.records import parse_json

if TYPE_CHECKING:
    from artasyn.segment.tokens.replies import Reply

EDGES = ("top", "left", "bottom", "right")
"""The columns of a box, in pixels: first row, first column, last row + 1, last column + 1."""

COLUMNS = ("structure", "answer", "confidence", *EDGES)
"""The columns of the table that belong to one structure."""


def answers_text(reply: Reply, digests: Mapping[str, str]) -> str:
    """Returns the answer about a radiograph as the text of a JSON file.

    Args:
        reply: the answer.
        digests: of the models that gave it, by their names.
    """
    structures = reply.request.structures or (None,)
    each = zip(structures, reply.texts, reply.confidence, reply.boxes, strict=True)
    found = {
        "prompt": reply.request.text(),
        "answer": reply.text,
        **digests,
        "shape": reply.shape,
        "spacing": reply.judged.spacing,
        "angle": round(float(reply.judged.angle), 2),
        "warnings": list(reply.judged.warnings),
        "reasons": list(reply.judged.reasons),
        "answers": [
            {"structure": structure, "answer": text, "confidence": round(float(sure), 4), "box": box}
            for structure, text, sure, box in each
        ],
    }
    return json.dumps(found, indent=1) + "\n"


def read_answers(path: Path) -> list[dict[str, Any]]:
    """Reads the answers about a radiograph from the file that `answers_text` was written to.

    Args:
        path: of the file.

    Returns:
        For each structure its name, the answer's text, the confidence and the box in pixels; None for an absent one.
        The answer to a caption or a view has no structure.

    Raises:
        DataError: the file is damaged.
    """
    try:
        text = read_text(path)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    try:
        return [
            {
                "structure": None if each["structure"] is None else str(each["structure"]),
                "answer": str(each["answer"]),
                "confidence": float(each["confidence"]),
                "box": None if each["box"] is None else [int(each["box"][edge]) for edge in range(len(EDGES))],
            }
            for each in parse_json(text)["answers"]
        ]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{path}: is damaged ({error}); delete it, and the same command writes it again") from error


def write_answers(path: Path, about: Iterable[tuple[Mapping[str, str], Path | None]]) -> None:
    """Writes the table of a collection: a row for each structure of each radiograph.

    Args:
        path: of the table.
        about: for each radiograph its name, source, status and reason, and the file that `answers_text` was written
            to; None for a radiograph without an answer.

    Raises:
        DataError: a file of answers is damaged.
    """
    header = ("name", "source", "status", *COLUMNS, "reason")
    rows = ({**known, **cells} for known, file in about for cells in ([{}] if file is None else _cells(file)))
    write_table(path, header, rows, quoted=1)


def _cells(path: Path) -> list[dict[str, object]]:
    """Returns the cells of each structure of a radiograph."""
    found = []
    for each in read_answers(path):
        edges = dict(zip(EDGES, each["box"], strict=True)) if each["box"] else {}
        found.append({**each, "confidence": f"{each['confidence']:.4f}", **edges})
    return found
