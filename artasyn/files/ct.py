"""CT volumes and label maps as files: NIfTI, NRRD, MetaImage and DICOM series, all in one orientation.

For every file format, an array is (z, y, x): z from head to foot, y from front to back, x from the patient's right
to the left. Its affine maps the index (z, y, x, 1) of a voxel to millimetres in the patient, RAS+: towards the
right, the front and the head. Reorienting a volume only swaps and flips its axes; no voxel is interpolated. The
affine keeps an oblique orientation.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artasyn.arrays import HIGHEST, LOWEST
from artasyn.errors import DataError
from artasyn.files.ct_series import is_slice_file, read_series
from artasyn.files.ct_volumes import (
    VOLUME_SUFFIXES,
    Stored,
    check_affine,
    check_shape,
    decoding,
    read_volume,
    times,
    turned,
)

MASKS = "segmentations"
"""The folder of masks beside a CT in TotalSegmentator's data set."""
LUNGLIKE = (-1500, -500)
"""Range of Hounsfield units in which every chest CT has values, but unscaled stored values and padding do not lie."""
ID_COLUMNS, NAME_COLUMNS = ("id", "label", "index", "value"), ("structure", "name")
"""Columns of a CSV file with the names of labels; of each tuple, the first column that the file has is used."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxels and their position in the patient.

    Attributes:
        values: (z, y, x), from head to foot, from front to back, from the patient's right to the left.
        affine: float64 (4, 4), from the index (z, y, x, 1) of a voxel to its centre in millimetres, RAS+.
    """

    values: np.ndarray
    affine: np.ndarray

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres from voxel to voxel along z, y and x."""
        z, y, x = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return z, y, x


def read_ct(path: Path) -> Grid:
    """Reads a CT volume: int16 Hounsfield units from -1024 to 3071.

    Values outside this range are clipped, so padding outside the scanner's circle becomes -1024. Fractions are
    rounded.

    Args:
        path: a NIfTI, NRRD or MetaImage file; or a folder with one DICOM series; or one file of a DICOM series.

    Raises:
        DataError: the file is missing, damaged or of another kind; or it is not three-dimensional, has no usable
            orientation and spacing, lacks slices or does not hold Hounsfield units. The message states the
            file, what was found and what to do.
    """
    with _naming(path):
        if path.is_dir() or (not is_volume_file(path) and is_slice_file(path)):
            with decoding():
                stored = read_series(path)
            check_shape(stored.values.shape)
            check_affine(stored.affine)
        else:
            stored = read_volume(path)
        stored = turned(stored)
        return Grid(_hounsfield(stored), stored.affine)


def read_label_map(path: Path) -> Grid:
    """Reads a label map: uint8, or uint16 if a label is above 255; oriented as `read_ct` orients a volume.

    Args:
        path: a NIfTI, NRRD or MetaImage file.

    Raises:
        DataError: the file is missing, damaged or of another kind; or it is not three-dimensional, has no usable
            orientation and spacing, or holds values other than whole numbers from 0 to 65535.
    """
    with _naming(path):
        stored = turned(read_volume(path))
        return Grid(_labels(stored), stored.affine)


def same_grid(a: Grid, b: Grid) -> str:
    """Describes how two grids differ; returns "" if all corner voxels agree to within a tenth of a voxel.

    Example:
        >>> volume = Grid(np.zeros((16, 16, 16), np.int16), np.diag([2.0, 1.0, 1.0, 1.0]))
        >>> same_grid(volume, Grid(volume.values, np.diag([2.5, 1.0, 1.0, 1.0])))
        'spacing 2 x 1 x 1 mm and 2.5 x 1 x 1 mm'
    """
    if a.values.shape != b.values.shape:
        return f"shape {times(a.values.shape)} and {times(b.values.shape)}"
    last = np.array(a.values.shape) - 1
    corners = np.array([(*(last * ends), 1.0) for ends in np.ndindex(2, 2, 2)])
    apart = (corners @ (b.affine - a.affine).T)[:, :3]
    furthest, limit = np.linalg.norm(apart, axis=1).max(), 0.1 * min(a.spacing)
    if furthest <= limit:
        return ""
    if (np.abs(np.subtract(a.spacing, b.spacing)) * last).max() > limit:
        return f"spacing {times(a.spacing)} mm and {times(b.spacing)} mm"
    what = "position" if np.linalg.norm(apart - apart[0], axis=1).max() <= limit else "orientation"
    return f"{what}, corners lie up to {furthest:.3g} mm apart"


def is_ct_file(path: Path) -> bool:
    """Returns whether a path is a volume file by its suffix, or a folder with DICOM files directly inside."""
    return any(map(is_slice_file, path.iterdir())) if path.is_dir() else is_volume_file(path)


def read_names(path: Path) -> dict[int, str]:
    """Reads the names of labels, without the background (the number 0 or the name "background").

    Args:
        path: JSON, ``{"1": "spleen"}`` or ``{"spleen": 1}``, also below the key ``labels``; or CSV with a
            header: the number in the column id, label, index or value, the name in the column structure or name.

    Raises:
        DataError: the file is missing or damaged, a number or name occurs twice, or a number is not whole. The
            message states the file, the line or entry, and what to do.
    """
    with _naming(path):
        data = path.read_bytes()
        with decoding():
            text = data.decode("utf-8-sig")
            entries = list(_json_entries(text) if path.suffix.lower() == ".json" else _csv_entries(text))
        names: dict[int, str] = {}
        for where, number, name in entries:
            if not re.fullmatch(r"\d+", number):
                raise DataError(f"has {number!r} for {name!r} in {where}; labels are whole numbers from 0")
            if not name:
                raise DataError(f"has no name for {number} in {where}; give it one")
            if int(number) == 0 or name.lower() == "background":
                continue
            if int(number) in names or name in names.values():
                raise DataError(f"names {number} {name!r} in {where}, but one of the two was there before; keep one")
            names[int(number)] = name
        if not names:
            raise DataError("holds no names of labels; write a line for each, number and name")
        return names


def _json_entries(text: str) -> Iterator[tuple[str, str, str]]:
    """Yields the location in the file, the number and the name of each entry."""
    pairs = json.loads(text, object_pairs_hook=tuple)
    pairs = dict(pairs).get("labels", pairs) if isinstance(pairs, tuple) else pairs
    if not isinstance(pairs, tuple):
        raise DataError('is no JSON object of numbers and names; write {"1": "spleen", ...}')
    for key, value in pairs:
        number, name = (key, value) if isinstance(value, str) else (value, key)
        yield f"the entry {key!r}", str(number).strip(), name.strip()


def _csv_entries(text: str) -> Iterator[tuple[str, str, str]]:
    """Yields the location in the file, the number and the name of each entry."""
    rows = csv.DictReader(io.StringIO(text), restval="")
    columns = {str(column).strip().lower(): column for column in rows.fieldnames or ()}
    number = next((columns[name] for name in ID_COLUMNS if name in columns), None)
    name = next((columns[name] for name in NAME_COLUMNS if name in columns), None)
    if number is None or name is None:
        raise DataError(
            f"has the columns {', '.join(columns) or 'none'}; one of {', '.join(ID_COLUMNS)} and one of "
            f"{', '.join(NAME_COLUMNS)} are needed"
        )
    for row in rows:
        yield f"line {rows.line_num}", row[number].strip(), row[name].strip()


def is_volume_file(path: Path) -> bool:
    """Returns whether a file is a volume by its suffix."""
    return path.name.lower().endswith(VOLUME_SUFFIXES)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Adds the path of the file to error messages."""
    try:
        if not path.exists():
            raise DataError("does not exist; check the path")
        yield
    except DataError as error:
        raise DataError(f"{path} {error}") from error.__cause__
    except OSError as error:
        raise DataError(f"{path} is out of reach ({error.strerror}); check the path and its permissions") from error


def _sections(stored: Stored) -> Iterator[tuple[int, Any]]:
    """Yields the sections one by one in float64, so the whole volume is never held in float64."""
    for number, section in enumerate(stored.values):
        with np.errstate(over="ignore", invalid="ignore"):
            exact = np.multiply(section, stored.slope, dtype=np.float64) + stored.intercept
        if not np.isfinite(exact).all():
            raise DataError("holds NaN or infinite values; replace them, by -1024 outside of the patient")
        yield number, exact


def _hounsfield(stored: Stored) -> np.ndarray:
    values = np.empty(stored.values.shape, np.int16)
    low, high, lunglike = np.inf, -np.inf, False
    for number, exact in _sections(stored):
        low, high = min(low, exact.min()), max(high, exact.max())
        lunglike |= bool(((exact > LUNGLIKE[0]) & (exact < LUNGLIKE[1])).any())
        values[number] = np.rint(np.clip(exact, LOWEST, HIGHEST))
    if not lunglike or high < LUNGLIKE[1]:
        advice = "stored values, a normalised volume and MR cannot be used"
        if high > 1500 and not LUNGLIKE[1] <= low < 0:
            advice = "the rescale intercept, mostly -1024, was probably not applied: add it"
        raise DataError(f"does not hold Hounsfield units of a chest: values from {low:g} to {high:g}; {advice}")
    return values


def _labels(stored: Stored) -> np.ndarray:
    labels = np.empty(stored.values.shape, np.uint16)
    for number, exact in _sections(stored):
        whole = np.rint(exact)
        wrong = (np.abs(exact - whole) > 1e-3) | (whole < 0) | (whole > 65535)
        if wrong.any():
            raise DataError(
                f"holds {exact[wrong][0]:g}; labels are whole numbers from 0 to 65535, "
                "so save the label map itself, not probabilities or a volume"
            )
        labels[number] = whole
    return labels if labels.max() > 255 else labels.astype(np.uint8)
