"""CT volumes and label maps as files: NIfTI, NRRD, MetaImage and DICOM, all in one orientation.

For every file format, an array is (z, y, x): z from head to foot, y from front to back, x from the patient's right
to the left. Its affine maps the index (z, y, x, 1) of a voxel to millimetres in the patient, RAS+: towards the
right, the front and the head. Reorienting a volume only swaps and flips its axes; no voxel is interpolated. The
affine keeps an oblique orientation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artasyn.arrays import HIGHEST, LOWEST
from artasyn.errors import DataError
from artasyn.files.ct_headers import read_metaimage, read_nrrd
from artasyn.files.ct_names import read_label_names
from artasyn.files.ct_segmentation import read_segmentation
from artasyn.files.ct_series import is_slice_file, read_series
from artasyn.files.ct_volumes import (
    METAIMAGE_SUFFIXES,
    MINIMUM,
    NIFTI_SUFFIXES,
    NRRD_SUFFIXES,
    READABLE,
    VOLUME_SUFFIXES,
    Stored,
    corners_apart,
    decoding,
    in_order,
    read_nifti,
    times,
)

MASKS = "segmentations"
"""The folder of masks beside a CT in TotalSegmentator's data set."""
LUNGLIKE = (-1500, -500)
"""Range of Hounsfield units in which every chest CT has values, but unscaled stored values and padding do not lie."""
LARGEST = 65535
"""Largest label."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxels and their position in the patient.

    Attributes:
        values: (z, y, x), from head to foot, from front to back, from the patient's right to the left.
        affine: float64 (4, 4), from the index (z, y, x, 1) of a voxel to its centre in millimetres, RAS+.
        notes: remarks about the file, which nobody must act on.
        names: the names of labels that the file itself holds; empty if the file holds none.
    """

    values: np.ndarray
    affine: np.ndarray
    notes: tuple[str, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)

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
            orientation and spacing, lacks slices or does not hold Hounsfield units; or it is larger than
            `artasyn.limits.Limits` allows. The message states the file, what was found and what to do.
    """
    with _naming(path), decoding():
        is_series = path.is_dir() or (not is_volume_file(path) and is_slice_file(path))
        stored = read_series(path) if is_series else _read_volume(path)
        if stored.layers is not None:
            raise DataError(f"holds {stored.shape[stored.layers]} numbers per voxel; export a volume of one")
        if min(stored.shape) < MINIMUM:
            found = times(stored.shape if is_series else stored.shape[::-1])
            raise DataError(f"has {found} voxels; a volume has at least {MINIMUM} along every axis")
        return Grid(*in_order(_hounsfield(stored), stored.affine), stored.notes)


def read_label_map(path: Path) -> Grid:
    """Reads a label map: uint8, or uint16 if a label is above 255; oriented as `read_ct` orients a volume.

    Args:
        path: a NIfTI, NRRD or MetaImage file, or a DICOM segmentation.

    Raises:
        DataError: as `read_label_maps`, or the labels overlap, so that one map cannot hold them.
    """
    grids = read_label_maps(path)
    if len(grids) > 1:
        raise DataError(f"{path} has {len(grids)} layers, because its segments overlap; export it without overlap")
    return grids[0]


def read_label_maps(path: Path) -> list[Grid]:
    """Reads the layers of a segmentation whose segments may overlap; most files have one, see `read_label_map`.

    The labels of a layer do not overlap.

    Args:
        path: a NIfTI, NRRD or MetaImage file, or a DICOM segmentation.

    Raises:
        DataError: the file is missing, damaged or of another kind; or it is not three-dimensional, has no usable
            orientation and spacing, or holds values other than whole numbers from 0 to 65535; or it is larger than
            `artasyn.limits.Limits` allows.
    """
    with _naming(path), decoding():
        is_segmentation = path.is_file() and not is_volume_file(path) and is_slice_file(path)
        stored = read_segmentation(path) if is_segmentation else _read_volume(path)
        values = _labels(stored)
        layers = [values] if stored.layers is None else list(np.moveaxis(values, stored.layers, 0))
        grids = []
        for number, layer in enumerate(layers):
            turned, affine = in_order(layer if layer.max() > 255 else layer.astype(np.uint8), stored.affine)
            grids.append(Grid(turned, affine, () if number else stored.notes, stored.names.get(number, {})))
        return grids


def same_grid(a: Grid, b: Grid) -> str:
    """Describes how two grids differ; returns "" if all corner voxels agree to within a tenth of a voxel.

    Example:
        >>> volume = Grid(np.zeros((16, 16, 16), np.int16), np.diag([2.0, 1.0, 1.0, 1.0]))
        >>> same_grid(volume, Grid(volume.values, np.diag([2.5, 1.0, 1.0, 1.0])))
        'spacing 2 x 1 x 1 mm and 2.5 x 1 x 1 mm'
    """
    if a.values.shape != b.values.shape:
        return f"shape {times(a.values.shape)} and {times(b.values.shape)}"
    apart = corners_apart(a.values.shape, a.affine, b.affine)
    furthest, limit = np.linalg.norm(apart, axis=1).max(), 0.1 * min(a.spacing)
    if furthest <= limit:
        return ""
    if (np.abs(np.subtract(a.spacing, b.spacing)) * (np.array(a.values.shape) - 1)).max() > limit:
        return f"spacing {times(a.spacing)} mm and {times(b.spacing)} mm"
    what = "position" if np.linalg.norm(apart - apart[0], axis=1).max() <= limit else "orientation"
    return f"{what}, corners lie up to {furthest:.3g} mm apart"


def resampled(labels: Grid, onto: Grid) -> Grid:
    """Returns a label map on the grid of a CT: each voxel takes the label of the nearest voxel, 0 outside of the map.

    Args:
        labels: the label map.
        onto: the CT.

    Returns:
        The labels, with notes that count the labelled voxels outside of the CT, and that name the labels without a
        voxel in the CT.

    Example:
        >>> labels = Grid(np.array([[[1, 2]]], np.uint8), np.diag([1.0, 1.0, 2.0, 1.0]))
        >>> resampled(labels, Grid(np.zeros((1, 1, 4), np.int16), np.eye(4))).values
        array([[[1, 2, 2, 0]]], dtype=uint8)
    """
    values = np.zeros(onto.values.shape, labels.values.dtype)
    for z, (index, inside) in enumerate(_nearest(onto, labels)):
        values[z][inside] = labels.values[tuple(each[inside] for each in index)]
    outside = sum(
        int(np.count_nonzero(plane[~inside]))
        for plane, (_, inside) in zip(labels.values, _nearest(labels, onto), strict=True)
    )
    notes = [f"the labels were resampled to the CT ({same_grid(labels, onto) or 'same grid'})"]
    if outside:
        notes += [f"{outside} of {np.count_nonzero(labels.values)} labelled voxels lie outside of the CT"]
    lost = np.setdiff1d(labels.values, values)
    if lost.size:
        notes += [f"no voxel of the CT is in {', '.join(labels.names.get(n, f'label {n}') for n in lost.tolist())}"]
    return Grid(values, onto.affine, (*labels.notes, *notes), labels.names)


def _nearest(of: Grid, among: Grid) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
    """Yields for each plane of a grid the indices of the nearest voxels of another, and which of them are there."""
    to = np.linalg.inv(among.affine) @ of.affine
    y, x = np.ogrid[: of.values.shape[1], : of.values.shape[2]]
    for z in range(of.values.shape[0]):
        places = [row[0] * z + row[1] * y + (row[2] * x + row[3]) for row in to[:3]]
        index = [np.floor(place + 0.5).astype(np.intp) for place in places]
        inside = [(each >= 0) & (each < count) for each, count in zip(index, among.values.shape, strict=True)]
        yield index, np.logical_and.reduce(inside)


def is_ct_file(path: Path) -> bool:
    """Returns whether a path is a volume file by its suffix, or a folder with DICOM files directly inside."""
    return any(map(is_slice_file, path.iterdir())) if path.is_dir() else is_volume_file(path)


def is_volume_file(path: Path) -> bool:
    """Returns whether a file is a volume by its suffix."""
    return path.name.lower().endswith(VOLUME_SUFFIXES)


def read_names(path: Path) -> dict[int, str]:
    """Reads the names of labels, without the background (the number 0 or the name "background").

    The text may be UTF-8 or UTF-16. Lines that begin with ``#`` or ``//`` are comments.

    Args:
        path: JSON, ``{"1": "spleen"}`` or ``{"spleen": 1}``, also below the key ``labels``; or CSV with commas,
            semicolons or tabs, and a header: the number in the column id, label, index, value or labelvalue, the name
            in the column structure or name; or CSV without a header, number and name; or lines of number and name; or
            a colour table of 3D Slicer (.ctbl, .txt) or FreeSurfer; or label descriptions of ITK-SNAP.

    Raises:
        DataError: the file is missing or damaged, a number or name occurs twice, or a number is not whole. The
            message states the file, the line or entry, and what to do.
    """
    with _naming(path):
        return read_label_names(path)


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


def _read_volume(path: Path) -> Stored:
    if path.is_dir():
        raise DataError("is a folder; name a file")
    name = path.name.lower()
    reader = next((reader for suffixes, reader in READERS.items() if name.endswith(suffixes)), None)
    if reader is None:
        raise DataError(f"is none of the files that are read here: {READABLE}")
    return reader(path)


READERS = {NIFTI_SUFFIXES: read_nifti, NRRD_SUFFIXES: read_nrrd, METAIMAGE_SUFFIXES: read_metaimage}
"""The reader of files with each suffix."""


def _exact(stored: Stored) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yields the values, rescaled, piece by piece with their place: int32 where that is exact, otherwise float64."""
    start = 0
    for chunk in stored.chunks:
        small = chunk.dtype.kind in "iu" and chunk.dtype.itemsize <= 2 and (stored.slope, stored.intercept) == (1, 0)
        with np.errstate(over="ignore", invalid="ignore"):
            exact = chunk.astype(np.int32) if small else np.multiply(chunk, stored.slope, dtype=np.float64)
            exact = exact if small else exact + stored.intercept
        if not (small or np.isfinite(exact).all()):
            raise DataError("holds NaN or infinite values; replace them, by -1024 outside of the patient")
        yield slice(start, start + exact.size), exact
        start += exact.size


def _hounsfield(stored: Stored) -> np.ndarray:
    values = np.empty(math.prod(stored.shape), np.int16)
    low, high, lunglike = np.inf, -np.inf, False
    for place, exact in _exact(stored):
        low, high = min(low, exact.min()), max(high, exact.max())
        lunglike = lunglike or bool(((exact > LUNGLIKE[0]) & (exact < LUNGLIKE[1])).any())
        clipped = np.clip(exact, LOWEST, HIGHEST)
        values[place] = clipped if exact.dtype == np.int32 else np.rint(clipped)
    if not lunglike or high < LUNGLIKE[1]:
        advice = "stored values, a normalised volume and MR cannot be used"
        if high > 1500 and not LUNGLIKE[1] <= low < 0:
            advice = "the rescale intercept, mostly -1024, was probably not applied: add it"
        raise DataError(f"does not hold Hounsfield units of a chest: values from {low:g} to {high:g}; {advice}")
    return values.reshape(stored.shape)


def _labels(stored: Stored) -> np.ndarray:
    labels = np.empty(math.prod(stored.shape), np.uint16)
    for place, exact in _exact(stored):
        whole = exact if exact.dtype == np.int32 else np.rint(exact)
        wrong = (np.abs(exact - whole) > 1e-3) | (whole < 0) | (whole > LARGEST)
        if wrong.any():
            raise DataError(
                f"holds {exact[wrong][0]:g}; labels are whole numbers from 0 to {LARGEST}, "
                "so save the label map itself, not probabilities or a volume"
            )
        labels[place] = whole
    return labels.reshape(stored.shape)
