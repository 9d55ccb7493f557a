"""Grey levels as a workstation shows them, from the stored values of a DICOM film: rescale, tables and windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from artasyn.errors import RadiographError
from artasyn.pixels.attributes import number, numbers, text, value_of
from artasyn.pixels.stored import Stored, Values

MOST = 0.5
"""Largest share of a film that a window or table may make black or white."""
LEAST = 1 / 16
"""Smallest share of the range that the grey levels of a film may span."""
BLACK = 1 / 512
"""Grey levels up to this are black; levels from 1 - this are white."""
DECLARED = 0.9
"""A table that reaches this share of its stated range is as bright as it states; another defines its own range."""

Tones = NDArray[np.float64]
"""(h, w) in [0, 1]: 0 black, 1 white."""


def shown(film: Dataset, stored: Stored) -> Tones:
    """Returns stored values as a workstation shows them; padding is black.

    Args:
        film: the data set.
        stored: its values.

    Raises:
        RadiographError: an attribute cannot be used, or what it states leaves no film. The message continues a
            sentence that begins with the file's name.

    Source: DICOM PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 (photometric interpretation).
    """
    _check_padding(film, stored)
    values, low, high = _modality(film, stored)
    curve, name = _curve(film, low, high)
    tones = np.clip(curve(values), 0, 1)
    inverse = (
        text(film, "PhotometricInterpretation") == "MONOCHROME1" or text(film, "PresentationLUTShape") == "INVERSE"
    )
    _check(values, tones, ~stored.padded, name)
    if inverse:
        tones = 1 - tones
    tones[stored.padded] = 0
    return tones


def _modality(film: Dataset, stored: Stored) -> tuple[Values, float, float]:
    """Returns the output of the modality table or rescale, with the ends of its range."""
    table = _Table.of(film, "ModalityLUTSequence", stored.ends)
    if table:
        return table.levels[table.places(stored.values)], 0.0, table.white
    slope, intercept = number(film, "RescaleSlope", 1.0), number(film, "RescaleIntercept", 0.0)
    if slope == 0:
        raise RadiographError("is DICOM whose RescaleSlope is 0, which leaves no film; correct or remove the attribute")
    if (slope, intercept) == (1, 0):
        return stored.values, *stored.ends
    ends = [slope * end + intercept for end in stored.ends]
    if not np.isfinite(ends).all():
        raise RadiographError(f"is DICOM whose RescaleSlope is {slope:g}; correct or remove the attribute")
    return stored.values.astype(np.float64) * slope + intercept, min(ends), max(ends)


def _curve(film: Dataset, low: float, high: float) -> tuple[Callable[[Values], Tones], str]:
    """Returns the first table, or else window, as a function to [0, 1], and what it is called."""
    table = _Table.of(film, "VOILUTSequence", (low, high))
    if table:
        return lambda values: table.levels[table.places(values)] / table.white, f"VOILUTSequence ({table.name})"
    window = _window(film)
    if window is None:
        return lambda values: (values - low) / (high - low), ""
    center, width = window
    function = text(film, "VOILUTFunction") or "LINEAR"
    name = f"window (WindowCenter {center:g}, WindowWidth {width:g}, {function})"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise RadiographError(f"is DICOM whose VOILUTFunction is {function}, which is not defined; export it again")
    if width <= (1 if function == "LINEAR" else 0):
        raise RadiographError(
            f"is DICOM whose {name} leaves no grey level; set a window that spans the film, or remove both attributes"
        )
    if function == "SIGMOID":
        return lambda values: 1 / (1 + np.exp(-np.clip(4 * (values - center) / width, -700, 700))), name
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    return lambda values: (values - center) / width + 0.5, name


def _window(film: Dataset) -> tuple[float, float] | None:
    """Returns the first window with both a centre and a width."""
    centers, widths = numbers(film, "WindowCenter"), numbers(film, "WindowWidth")
    whole = ((center, width) for center, width in zip(centers, widths, strict=False))
    return next(((center, width) for center, width in whole if center is not None and width is not None), None)


def _check_padding(film: Dataset, stored: Stored) -> None:
    """Refuses padding that is everywhere, or that names most of a film of several values."""
    if stored.padded.all():
        raise RadiographError("is DICOM of which PixelPaddingValue names every pixel; remove the attribute")
    inside = stored.values[stored.padded]
    if stored.padded.mean() > MOST and inside.min() < inside.max():
        first, last = number(film, "PixelPaddingValue", 0.0), number(film, "PixelPaddingRangeLimit", 0.0)
        raise RadiographError(
            f"is DICOM whose PixelPaddingValue {first:g} to {last:g} (PixelPaddingRangeLimit) names "
            f"{stored.padded.mean():.0%} of the film; correct or remove both attributes"
        )


def _check(values: Values, tones: Tones, inside: NDArray[np.bool_], name: str) -> None:
    """Refuses a window or table that leaves too little of a film."""
    values, tones = values[inside], tones[inside]
    low, high = float(values.min()), float(values.max())
    near = (high - low) / 64
    lost = ((tones <= BLACK) & (values > low + near)) | ((tones >= 1 - BLACK) & (values < high - near))
    advice = f"its values run from {low:g} to {high:g}; set a window that spans them, or remove its attributes"
    share = float(lost.mean())
    if name and share > MOST:
        raise RadiographError(f"is DICOM whose {name} makes {share:.0%} of the film black or white, but {advice}")
    darkest, brightest = float(tones.min()), float(tones.max())
    if name and high > low and brightest - darkest <= LEAST:
        raise RadiographError(
            f"is DICOM whose {name} leaves grey levels from {darkest:.3f} to {brightest:.3f} of 0 to 1, but {advice}"
        )


@dataclass(frozen=True, eq=False)
class _Table:
    """A lookup table.

    Attributes:
        levels: its output.
        first: the value that the first entry is for.
        white: the output that is white.
        name: what the table is, for messages.
    """

    levels: NDArray[np.float64]
    first: int
    white: float
    name: str

    @classmethod
    def of(cls, film: Dataset, sequence: str, span: tuple[float, float]) -> _Table | None:
        """Reads the first table of a sequence that holds one.

        Args:
            film: the data set.
            sequence: the keyword.
            span: the range of the values that the table is for.
        """
        for item in value_of(film, sequence) or ():
            if numbers(item, "LUTDescriptor") and value_of(item, "LUTData") not in (None, b"", ""):
                return cls._read(item, sequence, span, little=bool(film.original_encoding[1]))
        return None

    @classmethod
    def _read(cls, item: Dataset, sequence: str, span: tuple[float, float], *, little: bool) -> _Table:
        stated = numbers(item, "LUTDescriptor")
        if len(stated) != 3 or None in stated:
            raise RadiographError(
                f"is DICOM whose {sequence} states no three numbers in LUTDescriptor; export it again"
            )
        entries, first, bits = (int(each or 0) for each in stated)
        entries = (entries & 65535) or 65536
        data = value_of(item, "LUTData")
        if isinstance(data, bytes):
            packed = bits <= 8 and len(data) < 2 * entries
            levels = np.frombuffer(data, np.uint8 if packed else "<u2" if little else ">u2")
        else:
            levels = np.atleast_1d(np.asarray(data, np.int64)).astype(np.uint16)
            if levels.size < entries and bits <= 8:
                levels = levels.astype("<u2").view(np.uint8)  # two entries in each word
        name = f"LUTDescriptor {entries}\\{first}\\{bits}"
        if levels.size < entries:
            raise RadiographError(f"is DICOM whose {sequence} ({name}) holds {levels.size} entries; export it again")
        levels = levels[:entries].astype(np.float64)
        for other in (first, first - 65536, first + 65536):  # some files confuse signed and unsigned
            if other <= span[1] and other + entries > span[0]:
                first = other
                break
        top, full = float(levels.max()), 2.0 ** min(max(bits, 1), 16) - 1
        white = full if DECLARED * full <= top <= full else top
        if white == 0:
            raise RadiographError(f"is DICOM whose {sequence} ({name}) holds only 0, which leaves no film; remove it")
        return cls(levels, first, white, name)

    def places(self, values: Values) -> NDArray[np.intp]:
        """Returns the entries for values; those below and above the table have its ends."""
        return np.asarray(np.clip(np.rint(values) - self.first, 0, self.levels.size - 1).astype(np.intp))
