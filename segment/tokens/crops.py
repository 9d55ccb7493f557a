"""The place and the shape of a mask apart: its box in bins of the film, and its crop to the box on a fixed grid."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from artasyn.arrays import Mask
from artasyn.errors import ImageError
from artasyn.fields import Within
from artasyn.shapes import Float32, Float64

SIDE = 64
"""Rows and columns of a crop."""

BINS = 1023
"""The number of the last bin: an edge at the end of the film lies in bin 1023, one at its start in bin 0."""

Bin = Annotated[int, Within(0, BINS)]
"""The place of an edge along the height or the width of a film."""

Box = tuple[int, int, int, int]
"""First row, first column, last row + 1, last column + 1 of a box in pixels."""

Bins = tuple[Bin, Bin, Bin, Bin]
"""The edges of a box in bins, in the order of `Box`."""

Crop = Float32[np.ndarray, "64 64"]
"""A mask that is cropped to its box: the share of each cell that the mask covers, float32 (64, 64) in [0, 1]."""

_Overlaps = Float64[np.ndarray, "parts pixels"]


def box_of(mask: Mask) -> Box | None:
    """Returns the box that encloses a mask exactly; None for an empty mask.

    Args:
        mask: bool (h, w).

    Example:
        >>> mask = np.zeros((9, 9), bool)
        >>> mask[2:4, 5] = True
        >>> box_of(mask)
        (2, 5, 4, 6)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def in_bins(box: Box, shape: tuple[int, int]) -> Bins:
    """Returns the bins of a box: its edges as shares of the film's height and width, times 1023, rounded.

    Args:
        box: in pixels.
        shape: rows and columns of the film.

    Source: PaliGemma (Beyer et al., arXiv 2407.07726), whose training data were rounded so.

    Example:
        >>> in_bins((0, 128, 256, 512), (512, 512))
        (0, 256, 512, 1023)
    """
    top, left, bottom, right = ((2 * edge * BINS + n) // (2 * n) for edge, n in zip(box, 2 * shape, strict=True))
    return top, left, bottom, right


def in_pixels(bins: Bins, shape: tuple[int, int]) -> Box:
    """Returns the box in pixels that bins stand for, at least one pixel high and wide.

    On films of at most 1023 pixels `in_bins` and `in_pixels` give every box back exactly. On larger films they give
    every bin back exactly.

    Args:
        bins: edges of the box; the last are not before the first.
        shape: rows and columns of the film.

    Example:
        >>> in_pixels((0, 256, 512, 1023), (512, 512))
        (0, 128, 256, 512)
    """
    top, left, bottom, right = ((2 * place * n + BINS) // (2 * BINS) for place, n in zip(bins, 2 * shape, strict=True))
    (top, bottom), (left, right) = _widened(top, bottom, shape[0]), _widened(left, right, shape[1])
    return top, left, bottom, right


def _widened(first: int, end: int, length: int) -> tuple[int, int]:
    """Returns a range of at least one pixel."""
    first = min(first, length - 1)
    return first, max(end, first + 1)


def cropped(mask: Mask, box: Box) -> Crop:
    """Returns the crop of a mask: each of 64 x 64 cells of the box holds the share of its area that the mask covers.

    The shares are exact quotients of whole numbers. So a mask that is enlarged by a whole factor has the same crop, bit
    for bit.

    Args:
        mask: bool (h, w).
        box: in pixels, from `box_of`.
    """
    top, left, bottom, right = box
    height, width = bottom - top, right - left
    inside = mask[top:bottom, left:right].astype(np.float64)
    covered = _overlaps(SIDE, height) @ inside @ _overlaps(SIDE, width).T
    return np.asarray(covered / (height * width), np.float32)


def placed(crop: Crop, box: Box, shape: tuple[int, int]) -> Mask:
    """Returns the mask of a crop on a film: the pixels of the box whose value is at least 0.5.

    Where a pixel is smaller than a cell, its value is interpolated between the cells. Where a pixel is larger, its
    value is the mean of the cells below it. The mask reaches each of the four edges of the box in one pixel at least,
    as every mask reaches the edges of its own box.

    Args:
        crop: values in [0, 1].
        box: in pixels, from `in_pixels`.
        shape: rows and columns of the film.

    Returns:
        bool (h, w).
    """
    top, left, bottom, right = box
    rows, columns = _interpolation(bottom - top), _interpolation(right - left)
    values = rows @ crop.astype(np.float64) @ columns.T
    inside = np.asarray(values >= 0.5)
    for row in (0, -1):
        inside[row, np.argmax(values[row])] |= not inside[row].any()
    for column in (0, -1):
        inside[np.argmax(values[:, column]), column] |= not inside[:, column].any()
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = inside
    return mask


def check_mask(mask: object) -> None:
    """Refuses anything that is no `Mask`.

    Raises:
        ImageError: not a bool array of shape (h, w) with at least one row and one column.
    """
    if not isinstance(mask, np.ndarray):
        raise ImageError(f"a mask must be a numpy array, not {type(mask).__name__}")
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ImageError(f"a mask must be bool (h, w), not {mask.dtype} {mask.shape}; compare with a threshold first")
    if not mask.size:
        raise ImageError(f"a mask must have rows and columns, not {mask.shape}")


def _overlaps(parts: int, length: int) -> _Overlaps:
    """Returns how much of each pixel lies in each of several equal parts of a range, in parts of a pixel.

    Args:
        parts: number of parts; each is ``length`` long and a pixel is ``parts`` long.
        length: number of pixels.

    Returns:
        Whole numbers as float64 (parts, length); each row has the sum ``length``.
    """
    first, start = length * np.arange(parts)[:, None], parts * np.arange(length)[None]
    shared = np.minimum(first + length, start + parts) - np.maximum(first, start)
    return np.asarray(np.maximum(shared, 0), np.float64)


def _interpolation(length: int) -> _Overlaps:
    """Returns the weight of each cell of a crop in each of ``length`` pixels, float64 (length, 64)."""
    if length <= SIDE:
        return _overlaps(length, SIDE) / SIDE
    centres = ((np.arange(length) + 0.5) * SIDE / length - 0.5).clip(0, SIDE - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(SIDE)[None])), np.float64)
