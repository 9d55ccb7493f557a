"""Stored values of DICOM pixels from their words: high bit, unused bits, sign and the precision of codestreams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from artasyn.pixels.attributes import number, numbers, whole
from artasyn.pixels.codestreams import Codestream

CLEARLY = 0.8
"""Words are taken as they are if their neighbours differ by less than this share of what the stated bits give."""

Values = NDArray[Any]
"""Whole or real numbers (h, w)."""


@dataclass(frozen=True)
class Layout:
    """The bits of a word that hold a value, as a header states them.

    Attributes:
        allocated: bits of a word.
        stored: bits of a value.
        high: the highest bit of a value.
        signed: whether values are two's complements.
    """

    allocated: int
    stored: int
    high: int
    signed: bool

    @classmethod
    def of(cls, film: Dataset) -> Layout:
        """Reads the layout from a header.

        Args:
            film: the data set.

        Raises:
            RadiographError: an attribute is missing or contradicts another. The message continues a sentence that
                begins with the file's name.
        """
        allocated = whole(film, "BitsAllocated", 1, 64)
        stored = whole(film, "BitsStored", 1, allocated)
        high = whole(film, "HighBit", 0, allocated - 1, stored - 1)
        signed = whole(film, "PixelRepresentation", 0, 1, 0)
        return cls(allocated, stored, max(high, stored - 1), bool(signed))


@dataclass(frozen=True, eq=False)
class Stored:
    """Stored values and the bits that they can have.

    Attributes:
        values: whole numbers (h, w).
        bits: of each value.
        signed: whether values may be negative.
        padded: the pixels outside of the picture, bool (h, w).
    """

    values: Values
    bits: int
    signed: bool
    padded: NDArray[np.bool_]

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value that the bits can hold."""
        return _ends(self.bits, self.signed)


def read_stored(film: Dataset, words: Values, stream: Codestream | None) -> Stored:
    """Returns the stored values of decoded words.

    Bits that the header does not name are ignored, as the standard asks. Where the header is wrong, the pixels count:
    a codestream of more or fewer bits than BitsStored, values in the low bits where HighBit names higher ones, and
    words whose film is smooth only with the bits above HighBit.

    Args:
        film: the data set.
        words: (h, w), as a decoder returns them.
        stream: the header of the codestream; None for words that are not compressed by JPEG or JPEG 2000.

    Source: DICOM PS3.5, 8.1.1 (pixel data encoding), 8.2 (compressed pixel data); PS3.3 C.7.5.1.1.2 (padding).
    """
    layout = Layout.of(film)
    words = words.astype(words.dtype.newbyteorder("="), copy=False).view(f"u{words.dtype.itemsize}")
    if stream is not None:
        values, bits = _of_codestream(words, layout, stream.bits)
        return Stored(values, bits, layout.signed, _padded(film, layout, words, values))
    taken = words.astype(np.int64) if not layout.signed else words.view(f"i{words.dtype.itemsize}").astype(np.int64)
    shift = layout.high + 1 - layout.stored
    if shift and int(words.max()) < 2**layout.stored and (words & words.dtype.type(2**shift - 1)).any():
        shift = 0  # the values stand in the low bits
    values, bits = _extracted(words, shift, layout.stored, layout.signed), layout.stored
    padded = _padded(film, layout, taken, values)
    if not shift and not _has_overlay(film, layout) and _smoother(taken, values, padded):
        values = taken
        inside = taken[~padded]
        bits = max(_needed(int(inside.min()), layout.signed), _needed(int(inside.max()), layout.signed))
    return Stored(values, bits, layout.signed, padded)


def _of_codestream(words: Values, layout: Layout, precision: int) -> tuple[Values, int]:
    """Returns the values that a codestream holds, and their bits."""
    shift = layout.high + 1 - layout.stored
    if shift and precision == layout.high + 1:
        return _extracted(words, shift, layout.stored, layout.signed), layout.stored
    values = _extracted(words, 0, precision, layout.signed)
    low, high = _ends(layout.stored, layout.signed)
    fits = precision > layout.stored and values.min() >= low and values.max() <= high
    return values, layout.stored if fits else precision


def _ends(bits: int, signed: bool) -> tuple[float, float]:
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)


def _extracted(words: Values, shift: int, bits: int, signed: bool) -> Values:
    """Returns the values of some bits of unsigned words."""
    width = 8 * words.dtype.itemsize
    up = max(width - shift - bits, 0)
    moved = np.left_shift(words, words.dtype.type(up))
    if signed:
        moved = moved.view(f"i{words.dtype.itemsize}")
    return np.asarray(np.right_shift(moved, moved.dtype.type(min(up + shift, width - 1))))


def _needed(value: int, signed: bool) -> int:
    """Returns the number of bits that hold a value."""
    return (value if value >= 0 else -value - 1).bit_length() + signed


def _smoother(taken: Values, values: Values, padded: NDArray[np.bool_]) -> bool:
    """Returns whether neighbours are clearly closer in whole words than in the values of the stated bits."""
    if not ((taken != values) & ~padded).any():
        return False

    def roughness(array: Values) -> float:
        steps = [(np.abs(np.diff(array, axis=axis)), _pairs(padded, axis)) for axis in (0, 1)]
        return float(sum(step[inside].sum(dtype=np.float64) for step, inside in steps))

    return roughness(taken) < CLEARLY * roughness(values.astype(np.int64))


def _pairs(padded: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Returns which pairs of neighbours both lie inside of the picture."""
    first, second = (padded[:-1], padded[1:]) if axis == 0 else (padded[:, :-1], padded[:, 1:])
    return ~(first | second)


def _has_overlay(film: Dataset, layout: Layout) -> bool:
    """Returns whether the header states an overlay in the bits above the values."""
    positions = (film.get_item((group, 0x0102)) for group in range(0x6000, 0x6020, 2))
    return any(item is not None and int(film[item.tag].value or 0) > layout.high for item in positions)


def _padded(film: Dataset, layout: Layout, taken: Values, values: Values) -> NDArray[np.bool_]:
    """Returns the pixels that the header states as padding."""
    padding = numbers(film, "PixelPaddingValue")
    if not padding or padding[0] is None:
        return np.zeros(values.shape, np.bool_)
    ends = np.array([padding[0], number(film, "PixelPaddingRangeLimit", padding[0])])
    wrap = 2.0 ** max(layout.allocated, 16)  # some files confuse signed and unsigned
    ends = np.where(ends >= wrap / 2, ends - wrap, ends) if layout.signed else np.where(ends < 0, ends + wrap, ends)
    low, high = _ends(layout.stored, layout.signed)
    array = taken if ends.min() > high or ends.max() < low else values
    padded: NDArray[np.bool_] = (array >= ends.min()) & (array <= ends.max())
    return padded
