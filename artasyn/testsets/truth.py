"""True lesions of test sets, as mask files, run lengths or polygons; lesions are read on demand.

Lesions come on the film's grid. A file may ask that its pixels are turned when it is read (`Pose`); `placed` decides
how lesions are turned that were drawn on such a film. Lesions of another aspect ratio than the film's are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as rle

from artasyn.arrays import Mask
from artasyn.errors import DataError
from artasyn.files.dicom import is_dicom
from artasyn.files.opened import naming, read_turn
from artasyn.files.radiograph import read_mask
from artasyn.files.turns import Turn
from artasyn.limits import limits, too_large
from artasyn.shapes import Float64, Int64

Runs = Int64[np.ndarray, " _"]
"""Lengths of runs of pixels, outside and inside a region in turn."""

FAR = 10
"""How many times the film's longer side a polygon may lie beside the film; a drawing program stays within the film."""

GROUPS = 7
"""The most characters that a number of compressed run lengths may have; 35 bits hold more than any grid."""

OUTLINE = 4_000_000
"""The longest outline of a polygon in pixels. A polygon is drawn step by step along its outline."""


@dataclass(frozen=True)
class Pose:
    """How the stored pixels of a film are turned to its image.

    Attributes:
        turn: from the stored grid to the image's grid.
        shown: whether viewers and labelling programs turn the film, too. They do so for an EXIF orientation, but not
            for the PatientOrientation of DICOM.
    """

    turn: Turn = field(default_factory=Turn)
    shown: bool = False


UPRIGHT = Pose()
"""The pose of a film whose pixels are not turned."""


def read_pose(path: Path) -> Pose:
    """Reads the pose of a film from its file; a file that is not there is not turned.

    Args:
        path: the film.

    Raises:
        RadiographError: the header is damaged.
    """
    if not path.exists():
        return UPRIGHT
    turn = read_turn(path)
    if turn == UPRIGHT.turn:
        return UPRIGHT
    with naming(path), path.open("rb") as file:
        return Pose(turn, shown=not is_dicom(file.read(132)))


def fits(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Returns whether two grids have the same aspect ratio, as a resized picture has.

    The sides of the smaller grid may be rounded to the next pixel, up or down, by at most 3 %.

    Args:
        one: rows and columns.
        other: rows and columns.

    Example:
        >>> fits((1000, 800), (333, 266)), fits((1000, 800), (800, 1000)), fits((256, 256), (256, 250))
        (True, False, False)
    """
    small, large = sorted((one, other))
    if min(*small, *large) < 1 or abs(small[0] * large[1] / (small[1] * large[0]) - 1) > 0.03:
        return False
    ends = [((side - 1) / whole, (side + 1) / whole) for side, whole in zip(small, large, strict=True)]
    return max(low for low, _ in ends) < min(high for _, high in ends)


def placed(given: tuple[int, int], shape: tuple[int, int], pose: Pose) -> Turn:
    """Returns the turn that brings lesions from the grid on which they were drawn to the image of a film.

    If the film is turned, the shape of the lesions' grid tells whether they were drawn on the stored pixels or on the
    image. If both are possible, lesions of a DICOM film lie on its stored pixels. A film with an EXIF orientation is
    refused then, because some programs draw on its stored pixels and others on its image.

    Args:
        given: rows and columns of the lesions' grid.
        shape: rows and columns of the image.
        pose: of the film.

    Raises:
        DataError: the grid has another aspect ratio than the film, or the turn is not known.
    """
    stored = pose.turn.swapped(shape)
    if pose.turn == UPRIGHT.turn and fits(given, shape):
        return pose.turn
    exact = [given == stored, given == shape]
    on_stored, on_image = exact if any(exact) else (fits(given, stored), fits(given, shape))
    if on_stored and on_image and pose.shown:
        raise DataError(
            f"ground truth on {given[0]} x {given[1]} pixels may be turned or not, because the film's EXIF orientation "
            "turns it; save the film upright, without this orientation, and draw on that"
        )
    if on_stored:
        return pose.turn
    if on_image:
        return UPRIGHT.turn
    raise DataError(
        f"ground truth on {given[0]} x {given[1]} pixels is of another aspect ratio than the film of "
        f"{shape[0]} x {shape[1]}; use the film and its ground truth as they belong together"
    )


def resized(mask: Mask, shape: tuple[int, int], pose: Pose = UPRIGHT) -> np.ndarray:
    """Brings a mask to a film's grid: turned as `placed` decides, and resampled by nearest neighbour.

    Args:
        mask: (h, w), bool.
        shape: rows and columns of the film.
        pose: of the film.

    Raises:
        DataError: under the conditions of `placed`.
    """
    turned = placed((mask.shape[0], mask.shape[1]), shape, pose).turned(mask)
    if turned.shape == shape:
        return turned
    scaled = cv2.resize(turned.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(scaled > 0)


def own_pose(path: Path, pose: Pose) -> Pose:
    """Returns the pose that counts for a mask file: a mask with an EXIF orientation of its own is turned already.

    Args:
        path: the mask.
        pose: of its film.
    """
    return pose if pose == UPRIGHT or read_turn(path) == UPRIGHT.turn else UPRIGHT


@dataclass(frozen=True)
class MaskFile:
    """True lesions as a picture.

    Attributes:
        path: a file that `read_mask` can read.
    """

    path: Path

    def on(self, shape: tuple[int, int], pose: Pose = UPRIGHT) -> Mask:
        """Returns the lesions on the grid of a film with a pose.

        Raises:
            RadiographError: the mask is not readable.
            DataError: under the conditions of `placed`; the message names the mask.
        """
        mask = read_mask(self.path)
        try:
            return resized(mask, shape, own_pose(self.path, pose))
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from error


@dataclass(frozen=True)
class RelativeRuns:
    """True lesions as run lengths, down the columns.

    A code is a list of pairs of a gap and a length. Each gap starts at the end of the previous run.

    Attributes:
        codes: one or more codes of a film, whose lesions are merged.
        shape: rows and columns of the grid on which the lesions were drawn.

    Source: SIIM-ACR Pneumothorax Segmentation (Kaggle, 2019).

    Example:
        >>> RelativeRuns(("1 2 3 1",), (4, 2)).on((4, 2)).astype(int).tolist()
        [[0, 0], [1, 0], [1, 1], [0, 0]]
    """

    codes: tuple[str, ...]
    shape: tuple[int, int]

    def on(self, shape: tuple[int, int], pose: Pose = UPRIGHT) -> Mask:
        """Returns the lesions on the grid of a film with a pose.

        Raises:
            DataError: a code is damaged, or under the conditions of `placed`.
        """
        return resized(_painted([self._runs(code) for code in self.codes], self.shape), shape, pose)

    def _runs(self, code: str) -> Runs:
        numbers = code.split()
        whole = all(number.isascii() and number.isdigit() and len(number) < 12 for number in numbers)
        if not numbers or len(numbers) % 2 or not whole:
            raise DataError(f"damaged run lengths ({_brief(code)}): wanted are pairs of a gap and a length")
        runs = np.array([*numbers, 0], np.int64)
        runs[-1] = self.shape[0] * self.shape[1] - runs.sum()
        return _checked(runs, self.shape)


@dataclass(frozen=True)
class CocoRegions:
    """True lesions in COCO's encoding.

    Attributes:
        segmentations: for each region, run lengths ``{"size": [rows, columns], "counts": ...}`` (compressed or
            plain), or polygons ``[[column, row, column, row, ...], ...]``; all regions are merged.
        shape: rows and columns of the grid on which the lesions were drawn.
        names: of the regions, for messages; empty if they have none.
    """

    segmentations: tuple[Any, ...]
    shape: tuple[int, int]
    names: tuple[str, ...] = ()

    def on(self, shape: tuple[int, int], pose: Pose = UPRIGHT) -> Mask:
        """Returns the lesions on the grid of a film with a pose.

        Raises:
            DataError: a region is damaged, or was drawn on another grid; or under the conditions of `placed`.
        """
        return resized(self.whole, shape, pose)

    @property
    def whole(self) -> Mask:
        """The lesions on the grid on which they were drawn.

        Raises:
            DataError: a region is damaged or was drawn on another grid, or the grid is larger than
                `artasyn.limits.Limits` allows.
        """
        rows, columns = self.shape
        if min(self.shape) < 1:
            raise DataError(f"a grid of {rows} x {columns} pixels")
        if rows * columns > limits().pixels:
            raise DataError(f"a grid that {too_large('pixels', rows * columns, 'pixels')}")
        runs: list[Runs] = []
        for number, region in enumerate(self.segmentations):
            try:
                runs += [self._runs(region)] if isinstance(region, Mapping) else self._outlined(region)
            except DataError as error:
                if not self.names:
                    raise
                raise DataError(f"{self.names[number]}: {error}") from error
        return _painted(runs, self.shape)

    @property
    def drawn(self) -> CocoRegions:
        """The regions that are not empty, without decoding them to masks; damaged regions are kept."""
        return CocoRegions(tuple(region for region in self.segmentations if self._is_drawn(region)), self.shape)

    def _is_drawn(self, region: Any) -> bool:
        try:
            return not isinstance(region, Mapping) or any(self._runs(region)[1::2])
        except DataError:
            return True

    def _runs(self, region: Mapping[str, Any]) -> Runs:
        if region.get("size") != list(self.shape):
            size = _brief(str(region.get("size")))
            raise DataError(f"run lengths of a grid of {size}, but the film's is {list(self.shape)}")
        counts = region.get("counts")
        if isinstance(counts, str):
            return _checked(_uncompressed(counts), self.shape)
        if not isinstance(counts, list) or not all(type(run) is int and 0 <= run < 2**40 for run in counts):
            raise DataError(f"damaged run lengths: counts are {_brief(str(counts))}")
        return _checked(np.array(counts, np.int64), self.shape)

    def _outlined(self, polygons: Any) -> list[Runs]:
        """Returns the run lengths of polygons, as pycocotools fills them."""
        checked = checked_polygons(polygons, self.shape)
        if not checked:
            raise DataError("damaged polygons: there are none")
        codes = rle.frPyObjects([polygon.ravel().tolist() for polygon in checked], *self.shape)
        return [_uncompressed(code["counts"].decode("ascii")) for code in codes]


def checked_polygons(polygons: Any, shape: tuple[int, int]) -> list[Float64[np.ndarray, "points 2"]]:
    """Returns the corners of COCO's polygons (column, row), checked, because the native decoder trusts them.

    Polygons may reach beyond the film, where they are cut off.

    Args:
        polygons: ``[[column, row, column, row, ...], ...]``; one polygon may come without the outer brackets.
        shape: rows and columns of the grid.

    Raises:
        DataError: these are no polygons of three corners or more, or one lies far off the film, or its outline is
            longer than any drawing.
    """
    given = [polygons] if isinstance(polygons, list) and polygons and _is_number(polygons[0]) else polygons
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise DataError(f"damaged polygons: found {_brief(str(given))}, wanted are lists of columns and rows")
    found = []
    for polygon in given:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2 or not all(map(_is_number, polygon)):
            raise DataError("damaged polygons: wanted are lists of at least three pairs of a column and a row")
        corners = np.array(polygon, np.float64).reshape(-1, 2)
        farthest = corners.flat[np.abs(corners).argmax()]
        if not abs(farthest) <= FAR * max(shape):
            raise DataError(f"a polygon reaches {farthest:g}, far off the film of {shape[0]} x {shape[1]} pixels")
        length = float(np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1).sum())
        if length > OUTLINE:
            raise DataError(f"a polygon with an outline of {length:.0f} pixels, more than {OUTLINE}; draw it simpler")
        found.append(corners)
    return found


def _is_number(value: object) -> bool:
    """Returns whether a value of JSON is a finite number; whole numbers beyond every grid are none."""
    return not isinstance(value, bool) and isinstance(value, (int, float)) and abs(value) < 2**1000


Truth = MaskFile | RelativeRuns | CocoRegions
"""The types that hold a film's true lesions."""


def _checked(runs: Runs, shape: tuple[int, int]) -> Runs:
    """Returns the run lengths, and refuses those that do not fill the grid."""
    size = shape[0] * shape[1]
    if runs.min(initial=0) < 0 or runs.max(initial=0) > size or runs.sum() != size:
        raise DataError(f"damaged run lengths: they do not fill a grid of {shape[0]} x {shape[1]} pixels")
    return runs


def _painted(regions: Sequence[Runs], shape: tuple[int, int]) -> Mask:
    """Decodes run lengths down the columns to one mask of all regions; the cost grows with the runs and the grid."""
    edges = [np.cumsum(runs)[: len(runs) // 2 * 2].reshape(-1, 2) for runs in regions]
    starts, ends = np.concatenate([np.zeros((0, 2), np.int64), *edges]).T
    order = np.argsort(starts, kind="stable")
    starts, reach = starts[order], np.maximum.accumulate(ends[order])
    apart = starts[1:] > reach[:-1]
    first, last = np.concatenate([[True], apart]), np.concatenate([apart, [True]])
    whole = np.stack([starts[first[: starts.size]], reach[last[: starts.size]]], axis=1)
    runs = np.diff(np.concatenate([[0], whole.ravel(), [shape[0] * shape[1]]]))
    inside = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, runs).reshape(shape[::-1]).T)


def _uncompressed(code: str) -> Runs:
    """Decodes the run lengths of a compressed COCO code.

    Each number is written in groups of five bits, lowest first. A group is one character, counted from "0" on; 32 is
    added to all groups but the last. The top bit of the last group is the sign. From the fourth number on, the code
    holds the difference to the number two places before.
    """
    groups = np.frombuffer(code.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    last = groups & 32 == 0
    if not code or not last[-1] or groups.min() < 0 or groups.max() > 63:
        raise DataError(f"damaged run lengths: {_brief(code)}")
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() >= GROUPS:
        raise DataError(f"damaged run lengths: {_brief(code)}")
    shifts = 5 * (np.arange(groups.size) - np.repeat(starts, ends - starts + 1))
    runs = np.add.reduceat((groups & 31) << shifts, starts)
    runs -= (groups[ends] & 16 > 0) << (shifts[ends] + 5)
    for first in (1, 2):
        runs[first::2] = np.cumsum(runs[first::2])
    return runs


def _brief(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."
