"""True lesions of test sets, as mask files, run lengths or polygons; lesions are read on demand."""

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
    """Resamples a mask to another grid by nearest neighbour.

    Args:
        mask: (h, w), bool.
        shape: rows and columns of the other grid.
    """
    if mask.shape == shape:
        return mask
    return np.asarray(cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT) > 0)


@dataclass(frozen=True)
class MaskFile:
    """True lesions as a picture.

    Attributes:
        path: a file that `read_mask` can read.
    """

    path: Path

    def on(self, shape: tuple[int, int]) -> Mask:
        """Returns the lesions on a film's grid."""
        return resized(read_mask(self.path), shape)


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

    def on(self, shape: tuple[int, int]) -> Mask:
        """Returns the lesions on a film's grid.

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
    """True lesions in COCO's encoding.

    Attributes:
        segmentations: for each region, run lengths ``{"size": [rows, columns], "counts": ...}`` (compressed or
            plain), or polygons ``[[column, row, column, row, ...], ...]``; all regions are merged.
        shape: rows and columns of the grid on which the lesions were drawn.
    """

    segmentations: tuple[Any, ...]
    shape: tuple[int, int]

    def on(self, shape: tuple[int, int]) -> Mask:
        """Returns the lesions on a film's grid.

        Raises:
            DataError: a region is damaged, or was drawn on another grid.
        """
        whole = np.zeros(self.shape, bool)
        for region in self.segmentations:
            whole |= _painted(self._runs(region), self.shape) if isinstance(region, Mapping) else self._filled(region)
        return resized(whole, shape)

    @property
    def drawn(self) -> CocoRegions:
        """The regions that are not empty, without decoding them to masks; damaged regions are kept."""
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
"""The types that hold a film's true lesions."""


def _checked(runs: list[int], shape: tuple[int, int]) -> list[int]:
    """Returns the run lengths, and refuses those that do not fill the grid."""
    if min(runs, default=-1) < 0 or sum(runs) != shape[0] * shape[1]:
        raise DataError(f"damaged run lengths: they do not fill a grid of {shape[0]} x {shape[1]} pixels")
    return runs


def _painted(runs: list[int], shape: tuple[int, int]) -> Mask:
    """Decodes run lengths down the columns to a mask; runs are outside and inside the region in turn."""
    inside = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, runs).reshape(shape[::-1]).T)


def _uncompressed(code: str) -> list[int]:
    """Decodes the run lengths of a compressed COCO code.

    Each number is written in groups of five bits, lowest first. A group is one character, counted from "0" on; 32 is
    added to all groups but the last. The top bit of the last group is the sign. From the fourth number on, the code
    holds the difference to the number two places before.
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
