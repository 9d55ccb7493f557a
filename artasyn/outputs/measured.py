"""Measures of radiographs as a table: one row for each radiograph, every measure with unit, confidence and reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from artasyn.errors import DataError
from artasyn.files.tables import write_table
from artasyn.files.texts import read_text
from artasyn.records import parse_json
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.measures.measures import Measures

Unit = Literal["", "degrees", "length", "area"]
"""The unit of a measure: none for a ratio; a length is in mm and an area in cm2, or in px and px2 without spacing."""


@dataclass(frozen=True)
class Column:
    """A measure of the table.

    Attributes:
        of: the attribute of `Measures` that the value comes from.
        value: returns the value; lengths in pixels.
        unit: the unit of the value.
    """

    of: str
    value: Callable[[Any], float]
    unit: Unit = ""


COLUMNS: dict[str, Column] = {
    "cardiothoracic_ratio": Column("cardiothoracic_ratio", lambda found: found.value),
    "heart_width": Column("cardiothoracic_ratio", lambda found: found.heart_width, "length"),
    "thorax_width": Column("cardiothoracic_ratio", lambda found: found.thorax_width, "length"),
    "cobb_angle": Column("cobb_angle", lambda found: found.angle, "degrees"),
    "lung_area_right": Column("lung_areas", lambda found: 1 - found.left_share, "area"),
    "lung_area_left": Column("lung_areas", lambda found: found.left_share, "area"),
    "lung_area_left_to_right": Column("lung_areas", lambda found: found.left_to_right),
    "carinal_angle": Column("carinal_angle", lambda found: found.angle, "degrees"),
    "diaphragm_height_right": Column("diaphragm_heights", lambda found: found.right, "length"),
    "diaphragm_height_left": Column("diaphragm_heights", lambda found: found.left, "length"),
    "diaphragm_difference": Column("diaphragm_heights", lambda found: found.difference, "length"),
}
"""The measures of the table by their names."""


def table_of(measures: Measures, anatomy: Anatomy) -> dict[str, dict[str, Any]]:
    """Returns every measure of a radiograph with its value, unit, confidence and the reason where it is missing.

    Args:
        measures: of the anatomy.
        anatomy: of the radiograph.
    """
    table = {}
    for name, column in COLUMNS.items():
        found = getattr(measures, column.of)
        value: float | None = None
        unit = {"length": "px", "area": "px2"}.get(column.unit, column.unit)
        if found is not None:
            value = column.value(found)
            if column.unit == "area":
                value *= _pixels(found, anatomy)
            if measures.spacing is not None and column.unit in ("length", "area"):
                value *= measures.spacing if column.unit == "length" else measures.spacing**2 / 100
                unit = "mm" if column.unit == "length" else "cm2"
        table[name] = {
            "value": value,
            "unit": unit if found is not None else "",
            "confidence": measures.confidence.get(column.of, 0.0),
            "reason": measures.reasons.get(column.of, ""),
        }
    return table


def _pixels(areas: Any, anatomy: Anatomy) -> float:
    """Returns the number of pixels of both lungs."""
    if areas.total is not None and anatomy.pixel:
        return float(areas.total * 100 / anatomy.pixel**2)
    return float(np.count_nonzero(anatomy.lungs("visible").labels))


def header() -> tuple[str, ...]:
    """Returns the columns of the table: a measure's value under its name, then its unit, confidence and reason."""
    return tuple(f"{name}{of}" for name in COLUMNS for of in ("", "_unit", "_confidence", "_reason"))


def write_measures(path: Path, about: Iterable[tuple[Mapping[str, str], Path | None]], first: tuple[str, ...]) -> None:
    """Writes the table of a collection.

    Args:
        path: of the table.
        about: for each radiograph the values of the first columns, and the file that `measures_text` was written to;
            None for a radiograph that was not measured.
        first: the columns before the measures.

    Raises:
        DataError: a file of measures is damaged.
    """
    rows = ({**known, **(_cells(file) if file else {})} for known, file in about)
    write_table(path, (*first, *header()), rows, quoted=1)


def measures_text(measures: Measures, anatomy: Anatomy) -> str:
    """Returns the measures of a radiograph as the text of a JSON file, with the confidence of every structure.

    Args:
        measures: of the anatomy.
        anatomy: of the radiograph.
    """
    found = {
        "angle": round(float(anatomy.angle), 2),
        "spacing": anatomy.spacing,
        "warnings": list(anatomy.warnings),
        "reasons": list(anatomy.reasons),
        "table": table_of(measures, anatomy),
        "measures": measures.to_dict(),
        "confidence": {
            name: round(float(sure), 4) for name, sure in zip(anatomy.names, anatomy.confidence, strict=True)
        },
    }
    return json.dumps(found, indent=1) + "\n"


def read_measures(path: Path) -> dict[str, dict[str, Any]]:
    """Reads the table of a radiograph from the file that `measures_text` was written to.

    Args:
        path: of the file.

    Raises:
        DataError: the file is damaged.
    """
    try:
        text = read_text(path)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    try:
        table: dict[str, dict[str, Any]] = parse_json(text)["table"]
        for name in COLUMNS:
            value = table[name]["value"]
            if value is not None:
                float(value)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is damaged ({error}); delete it, and the same command writes it again") from error
    return table


def _cells(path: Path) -> dict[str, str]:
    """Returns the cells of a radiograph."""
    cells: dict[str, str] = {}
    for name, each in read_measures(path).items():
        value = each["value"]
        cells |= {name: "" if value is None else f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}"}
        cells |= {f"{name}_unit": each["unit"], f"{name}_reason": each["reason"]}
        cells[f"{name}_confidence"] = "" if value is None else f"{each['confidence']:.3f}"
    return cells
