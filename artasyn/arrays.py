"""Array types and conventions of the whole library.

An *image* is a single-channel radiograph, float32 in [0, 1], **bright = dense** (bone near 1, air near 0).
Its rows run from head to foot. Its columns run from the patient's right (image left) to the patient's left
(image right). Arrays are ``(h, w)`` in numpy and ``(b, 1, h, w)`` in torch. The library never guesses a unit from
the value range: `artasyn.files.radiograph` converts files into this unit, and `check_image` refuses anything else.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np

from artasyn.errors import DataError, ImageError
from artasyn.shapes import Bool, Float32, Float64, Int16, UInt8, UInt16

Image = Float32[np.ndarray, "h w"]
"""A radiograph: float32 (h, w) in [0, 1], bright = dense."""
GivenImage = Image | str | os.PathLike[str]
"""A radiograph, or the path of its file."""
Prepared = Float32[np.ndarray, "size size"]
"""A radiograph, or a map of a radiograph, as a network sees it: float32 (size, size)."""
Attenuation = Float32[np.ndarray, "h w"]
"""Added (or removed) attenuation in image units: float32 (h, w)."""
RayMap = Float32[np.ndarray, "h w"]
"""A number for every ray of a projection: float32 (h, w)."""
Heatmap = Float32[np.ndarray, "h w"]
"""Evidence for an anomaly in every pixel: float32 (h, w) in [0, 1]."""
Mask = Bool[np.ndarray, "h w"]
"""A region: bool (h, w)."""
LungLabels = UInt8[np.ndarray, "h w"]
"""Lungs: uint8 (h, w), 0 background, 1 the patient's right lung, 2 the patient's left lung."""
Outlines = Float32[np.ndarray, "... 2 points 2"]
"""Closed outlines of the right and of the left lung: float32 (..., 2 lungs, points, (column, row))."""
Picture = UInt8[np.ndarray, "h w 3"]
"""A colour picture for people: uint8 (h, w, 3), RGB."""
Hounsfield = Int16[np.ndarray, "z y x"] | Float32[np.ndarray, "z y x"]
"""A CT volume in Hounsfield units: z head to foot, y front to back, x patient's right to left."""
VolumeLabels = UInt8[np.ndarray, "z y x"] | UInt16[np.ndarray, "z y x"]
"""Structures of a CT volume, on its grid; 0 is no structure."""
VoxelMap = Float32[np.ndarray, "z y x"]
"""A number for every voxel of a volume, or of a box inside the volume: float32 (z, y, x)."""
VolumeMask = Bool[np.ndarray, "z y x"]
"""A part of a CT volume, on the grid of the volume or of a box inside the volume."""
Affine = Float64[np.ndarray, "4 4"]
"""Maps a voxel (z, y, x, 1) to RAS+ millimetres: x to the patient's right, y to the front, z to the head."""
Vector = Float64[np.ndarray, "3"]
"""A position or a direction in RAS+ millimetres: x to the patient's right, y to the front, z to the head."""
Triples = Float64[np.ndarray, "3 3"]
"""Three vectors, or a linear map."""
Thickness = Float32[np.ndarray, "k h w"]
"""The length of every ray of a projection inside each of k structures, mm."""
StructureMasks = Bool[np.ndarray, "k h w"]
"""The footprints of k structures on a projection; they may overlap."""
Flags = Bool[np.ndarray, " channels"]
"""One truth for each structure: bool (k,)."""
SoftMasks = Float32[np.ndarray, "k h w"]
"""Footprints with soft borders, float32 (k, h, w) in [0, 1]."""

LOWEST, HIGHEST = -1024, 3071
"""Lowest and highest Hounsfield unit that a volume may hold: 12 bits."""

Rng = np.random.Generator | int | np.integer[Any]
"""A source of randomness: a random generator, or a seed that starts a new one."""

BACKGROUND, RIGHT, LEFT = 0, 1, 2
"""The values of `LungLabels`; right and left are the patient's."""


_ONE = int(np.float32(1).view(np.uint32))
"""The bits of 1 as a whole number. Those of numbers above 1, of negative numbers and of NaN are more."""

_INSTEAD = {
    "list": "pass one radiograph at a time",
    "tuple": "pass one radiograph at a time",
    "Tensor": "pass tensor.numpy()",
    "Radiograph": "pass radiograph.image",
}
"""What to do with other kinds of image, by the name of the kind."""


def check_image(image: object, name: str = "image") -> None:
    """Refuses anything that is not an `Image`; the message states what was found and what to do.

    Raises:
        ImageError: not a float32 array of shape (h, w) with at least 16 rows and columns and values in [0, 1].
    """
    if not isinstance(image, np.ndarray):
        kind = type(image).__name__
        do = _INSTEAD.get(kind, "read files with read_radiograph")
        raise ImageError(f"{name} must be a numpy array, not {kind}; {do}")
    if image.ndim != 2:
        raise ImageError(
            f"{name} must have shape (h, w), not {image.shape}; pass one channel, one radiograph at a time"
        )
    if image.dtype != np.float32:
        raise ImageError(
            f"{name} must be float32 in [0, 1], not {image.dtype}; for 8 bit pixels: (pixels / 255).astype('float32')"
        )
    if min(image.shape) < 16:
        raise ImageError(f"{name} must have at least 16 rows and columns, not {image.shape}")
    if int(image.view(np.uint32).max()) <= _ONE:
        return
    low, high = float(image.min()), float(image.max())
    if not (low >= 0.0 and high <= 1.0):  # also catches NaN
        raise ImageError(f"{name} must lie in [0, 1], bright = dense; found values from {low:g} to {high:g}")


def identity(image: Image) -> str:
    """Returns a radiograph's identity: the same pixels give the same 16 hexadecimal digits on every machine.

    Random choices for an image depend only on this identity and a seed. The order of the images, the file names
    and the number of workers do not change them.

    Args:
        image: (h, w), float32 in [0, 1].
    """
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(image, dtype="<f4").tobytes())
    return digest.hexdigest()


def generator(seed: int, *identities: int | str) -> np.random.Generator:
    """Returns the random generator for a seed and the identities of the item that is drawn.

    Args:
        seed: the user's seed, not negative.
        *identities: an image's `identity`, an epoch, the number of a copy; numbers are not negative.

    Example:
        >>> generator(1, "00ff", 3).integers(100) == generator(1, "00ff", 3).integers(100)
        np.True_
    """
    words = [seed, *(int(i, 16) if isinstance(i, str) else i for i in identities)]
    halves = [half for word in words for half in (word & 0xFFFFFFFF, word >> 32)]
    return np.random.default_rng(np.random.SeedSequence([len(words), *halves]))


def as_generator(rng: Rng) -> np.random.Generator:
    """Returns a random generator as it is, and starts a new one from a seed, as ``numpy.random.default_rng`` does.

    Args:
        rng: a generator, or a seed that is not negative.

    Raises:
        DataError: neither. None is refused, since nobody could make its results again.

    Example:
        >>> as_generator(0).integers(100) == as_generator(np.random.default_rng(0)).integers(100)
        np.True_
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool) and rng >= 0:
        return np.random.default_rng(int(rng))
    found = rng if isinstance(rng, int | np.integer | None) else type(rng).__name__
    raise DataError(
        f"rng must be a numpy.random.Generator or a seed of 0 or more, not {found}; use numpy.random.default_rng(seed)"
    )
