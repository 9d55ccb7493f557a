"""True lesions as test sets hold them, as mask files, run lengths or polygons; read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as rle

from artasyn.arrays import Mask
from artasyn.errors import DataError
from artasyn.files.radiograph import read_mask


def resized(mask: Mask, shape: tuple[int, int]) -> np.ndarray:
    """A mask on another grid, by nearest neighbour.

    Args:
        mask: (h, w), bool.
        shape: rows and columns of that grid.
    """
    if mask.shape == shape:
        return mask
    return np.asarray(cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT) > 0)


@dataclass(frozen=True)
class MaskFile:
    """True lesions as a picture.

    Attributes:
        path: whatever `read_mask` reads.
    """

    path: Path

    def on(self, shape: tuple[int, int]) -> Mask:
        """The lesions on a film's grid."""
        return resized(read_mask(self.path), shape)


@dataclass(frozen=True)
class RelativeRuns:
    """True lesions as pairs of a gap and a length, each gap from the end of the run before it, down the columns.

    Attributes:
        codes: one or more codes of a film, whose lesions are united.
        shape: rows and columns of the grid that they were drawn on.

    Source: SIIM-ACR Pneumothorax Segmentation (Kaggle, 2019).

    Example:
        >>> RelativeRuns(("1 2 3 1",), (4, 2)).on((4, 2)).astype(int).tolist()
        [[0, 0], [1, 0], [1, 1], [0, 0]]
    """

    codes: tuple[str, ...]
    shape: tuple[int, int]

    def on(self, shape: tuple[int, int]) -> Mask:
        """The lesions on a film's grid.

        Raises:
            DataError: a code is damaged.
        """
        return resized(np.logical_or.reduce([self._decoded(code) for code in self.codes]), shape)

    def _decoded(self, code: str) -> Mask:
        numbers = code.split()
        if not numbers or len(numbers) % 2 or not all(number.isascii() and number.isdigit() for number in numbers):
            raise DataError(f"damaged run lengths ({_brief(code)}): wanted are pairs of a gap and a length")
        runs = [int(number) for number in numbers]
        rest = self.shape[0] * self.shape[1] - sum(runs)
        return _painted(_checked([*runs, rest], self.shape), self.shape)


@dataclass(frozen=True)
class CocoRegions:
    """True lesions as COCO holds them.

    Attributes:
        segmentations: of each region its run lengths, ``{"size": [rows, columns], "counts": ...}`` (compressed or
            plain), or its polygons, ``[[column, row, column, row, ...], ...]``; all are united.
        shape: rows and columns of the grid that they were drawn on.
    """

    segmentations: tuple[Any, ...]
    shape: tuple[int, int]

    def on(self, shape: tuple[int, int]) -> Mask:
        """The lesions on a film's grid.

        Raises:
            DataError: a region is damaged, or was drawn on another grid.
        """
        whole = np.zeros(self.shape, bool)
        for region in self.segmentations:
            whole |= _painted(self._runs(region), self.shape) if isinstance(region, Mapping) else self._filled(region)
        return resized(whole, shape)

    @property
    def drawn(self) -> CocoRegions:
        """Those of the regions that are not empty, damaged ones among them; nothing is painted for that."""
        return CocoRegions(tuple(region for region in self.segmentations if self._is_drawn(region)), self.shape)

    def _is_drawn(self, region: Any) -> bool:
        try:
            return not isinstance(region, Mapping) or any(self._runs(region)[1::2])
        except DataError:
            return True

    def _runs(self, region: Mapping[str, Any]) -> list[int]:
        if region.get("size") != list(self.shape):
            raise DataError(f"run lengths of a grid of {region.get('size')}, but the film's is {list(self.shape)}")
        counts = region.get("counts")
        runs = _uncompressed(counts) if isinstance(counts, str) else counts
        if not isinstance(runs, list) or not all(type(run) is int for run in runs):
            raise DataError(f"damaged run lengths: counts are {_brief(str(counts))}")
        return _checked(runs, self.shape)

    def _filled(self, polygons: Any) -> Mask:
        whole = isinstance(polygons, Sequence) and all(
            isinstance(polygon, Sequence)
            and len(polygon) >= 6
            and len(polygon) % 2 == 0
            and all(isinstance(number, (int, float)) and np.isfinite(number) for number in polygon)
            for polygon in polygons
        )
        if not whole or not polygons:
            raise DataError("damaged polygons: wanted are lists of at least three pairs of a column and a row")
        codes = rle.frPyObjects([list(map(float, polygon)) for polygon in polygons], *self.shape)
        return np.asarray(rle.decode(rle.merge(codes)) > 0)


Truth = MaskFile | RelativeRuns | CocoRegions
"""How a film's true lesions are kept."""


def _checked(runs: list[int], shape: tuple[int, int]) -> list[int]:
    """Run lengths that fill a grid."""
    if min(runs, default=-1) < 0 or sum(runs) != shape[0] * shape[1]:
        raise DataError(f"damaged run lengths: they do not fill a grid of {shape[0]} x {shape[1]} pixels")
    return runs


def _painted(runs: list[int], shape: tuple[int, int]) -> Mask:
    """A mask whose pixels, down the columns, are outside and inside in turn, for as long as the runs say."""
    inside = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, runs).reshape(shape[::-1]).T)


def _uncompressed(code: str) -> list[int]:
    """The run lengths in a compressed code of COCO.

    Each number is written in groups of five bits, lowest first, as characters from "0" on, with 32 added to all but the
    last and the last one's top bit as the sign; from the fourth on, it is the difference to the number two before.
    """
    runs: list[int] = []
    value = shift = 0
    for character in code:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 50:
            raise DataError(f"damaged run lengths: {_brief(code)}")
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            value -= (group & 16 and 1) << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift or not runs:
        raise DataError(f"damaged run lengths: {_brief(code)} ends inside a number")
    return runs


def _brief(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."
