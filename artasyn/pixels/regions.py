"""Regions that a picture of a mask shows, whatever it is painted with; what has two readings is refused."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from artasyn.arrays import Mask
from artasyn.errors import RadiographError

Array = NDArray[Any]

FEW = 32
"""Up to this many values, each is looked at on its own; more are shades, as JPEG and smoothing make them."""
REACH, REACH_LOSSY = 8, 16
"""Pixels that shades reach at least around an edge; the size of a block of colours in JPEG."""
PEAKS = 0.05
"""Largest share of the shades that may lie apart from edges and be darkest or brightest of their neighbours."""
TINT = 0.3
"""Largest difference between the tints of one colour."""
ADVICE = "save it as 0 and 255 in one channel"
TOPS = (1, 255, 65535)
"""Values that are white in a picture of any depth."""


def region_of(channels: Array, alpha: Array | None, full: float, *, lossy: bool = False) -> Mask:
    """Returns the region that a picture shows.

    Opaque pixels of one colour on transparent ones are the region. Otherwise colours count, over black: one colour on
    black, or one that is not grey on white. Of two values the one that is not 0 is the region. More values are read
    only where all lie between two at an edge, as JPEG and smoothing make them; those above half are the region.

    Args:
        channels: (h, w) or (h, w, 3).
        alpha: (h, w), 0 transparent; None without transparency.
        full: the largest value of the file's bits.
        lossy: the file's compression changes values.

    Raises:
        RadiographError: the picture has no reading or several. The message states what was found and what to do, and
            continues a sentence that begins with the file's name.
    """
    if channels.ndim == 3 and all(np.array_equal(channels[..., 0], channels[..., each]) for each in (1, 2)):
        channels = np.ascontiguousarray(channels[..., 0])
    if alpha is not None and int(alpha.min()) < full:
        opaque = _opaque(channels, alpha, full, lossy=lossy)
        if opaque is not None:
            return opaque
        dark = (channels.T * (alpha.T / full)).T
        channels = np.rint(dark).astype(channels.dtype)
    if channels.ndim == 3:
        channels = _one_colour(channels, full)
    return _of_values(channels, full, lossy=lossy)


def region_of_palette(indices: Array, colours: Array) -> Mask:
    """Returns the region that a picture with a palette shows: by its colours, or else every index but 0.

    Args:
        indices: uint8 (h, w).
        colours: of the pixels, uint8 (h, w, 4): red, green, blue and alpha.

    Raises:
        RadiographError: neither colours nor indices have one reading. The message continues a sentence that begins
            with the file's name.
    """
    used = np.flatnonzero(np.bincount(indices.ravel()))
    if len(used) == 1:
        region = region_of(colours[..., :3], colours[..., 3], 255.0)
        if region.any() != (used[0] > 0):
            colour = tuple(int(each) for each in colours[0, 0])
            raise RadiographError(f"has only index {used[0]} of its palette, of the colour {colour}; {ADVICE}")
        return region
    by_index = len(used) == 2 and used[0] == 0
    if by_index and (colours == colours[0, 0]).all():
        return np.asarray(indices > 0)
    try:
        return region_of(colours[..., :3], colours[..., 3], 255.0)
    except RadiographError as error:
        if by_index:
            return np.asarray(indices > 0)
        listed = ", ".join(str(index) for index in used[:6]) + (", ..." if len(used) > 6 else "")
        raise RadiographError(f"has a palette with the indices {listed}, and {error}") from error


def _opaque(channels: Array, alpha: Array, full: float, *, lossy: bool) -> Mask | None:
    """Returns the opaque pixels if they have one colour on transparency; None if colours count."""
    low, high = float(alpha.min()), float(alpha.max())
    constant = bool((channels == channels[0, 0]).all())
    if high == 0 or low == high or low > full / 4:
        if high == 0 and not constant:
            raise RadiographError(f"is transparent everywhere, but has colours; {ADVICE}, without transparency")
        if high == 0 and channels.any():
            raise RadiographError(f"is transparent everywhere, but not black; {ADVICE}, without transparency")
        if low > 0 and constant and not channels.any() and low < full:
            raise RadiographError(f"is black and half transparent; {ADVICE}, without transparency")
        if low == high:
            if 0 < low < full and not constant:
                return _of_values(_one_colour(channels, full) if channels.ndim == 3 else channels, full, lossy=lossy)
            return None
        raise RadiographError(f"is transparent to {low:g} and {high:g} of {full:g}; {ADVICE}, without transparency")
    painted = alpha > high / 2
    inside = channels[painted]
    spread = np.ptp(inside, axis=0).max()
    if spread > full / 8:
        return None
    hidden = channels[alpha == 0]
    if inside.max() <= full / 8 and hidden.size and hidden.max() > full / 8:
        raise RadiographError(f"is black where it is opaque, and brighter where it is transparent; {ADVICE}")
    return _of_values(alpha, full)


def _one_colour(channels: Array, full: float) -> Array:
    """Returns how much of the one colour that a picture shows, on black or white, lies in every pixel."""
    for on_white in (False, True):
        amounts = full - channels if on_white else channels
        value = amounts.max(axis=2)
        strong = value > value.max() / 2
        if not strong.any():
            continue
        tints = amounts[strong] / value[strong][:, None].astype(np.float32)
        middle = np.median(tints, axis=0)
        if (np.abs(tints - middle).max(axis=1) <= TINT).mean() >= 0.99:
            if on_white and (middle.min() > 1 - TINT or value.min() > full / 4):  # black on white, or no white
                break
            return np.asarray(np.rint(value.astype(np.float32) * (full / float(value.max()))).astype(channels.dtype))
    found = np.unique((channels[:: max(1, channels.shape[0] // 512)].reshape(-1, 3)), axis=0)
    names = ", ".join(str(tuple(int(each) for each in colour)) for colour in found[:4])
    more = ", ..." if len(found) > 4 else ""
    raise RadiographError(f"is coloured ({names}{more}), which is not one colour on black or white; {ADVICE}")


def _of_values(values: Array, full: float, *, lossy: bool = False) -> Mask:
    """Returns the region that the values of one channel show."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise RadiographError(f"holds values that are no numbers; {ADVICE}")
    found, counts = _counted(values)
    low, top = float(found[0]), float(found[-1])
    if low < 0:
        raise RadiographError(f"holds negative values (from {low:g}); {ADVICE}")
    if found.size == 1 or (found.size == 2 and low == 0):
        return np.asarray(values > 0)
    listed = ", ".join(f"{value:g}" for value in found[:6]) + (", ..." if found.size > 6 else "")
    if top in TOPS:
        full = top
    elif values.dtype.kind != "u":
        raise RadiographError(f"holds {found.size} values ({listed}) of an unknown range; {ADVICE}")
    if top <= full / 2:
        raise RadiographError(
            f"holds {found.size} values ({listed}), none above {full / 2:g}; save a mask as 0 and {full:g}, "
            "read lung labels with read_labels"
        )
    if _is_shaded(values, found, counts, full, lossy=lossy):
        return np.asarray(values > full / 2)
    raise RadiographError(
        f"holds {found.size} values ({listed}), more than a background and a region; save the region as 255 and all "
        "else, such as what is to be ignored, as 0"
    )


def _counted(values: Array) -> tuple[Array, Array]:
    """Returns the values that occur, sorted, and how often each does; small integers are not sorted for it."""
    if values.dtype.kind != "u" or values.dtype.itemsize > 2:
        return np.unique(values, return_counts=True)
    length = np.iinfo(values.dtype).max + 1
    counts = np.zeros(length, np.intp)
    for rows in np.array_split(values, 1 + values.size // _AT_ONCE):
        counts += np.bincount(rows.ravel(), minlength=length)
    found = np.flatnonzero(counts)
    return found.astype(values.dtype), counts[found]


_AT_ONCE = 2**22  # pixels that are counted together; numpy makes eight bytes of each


def _is_shaded(values: Array, found: Array, counts: Array, full: float, *, lossy: bool) -> bool:
    """Returns whether all values but two are shades between these.

    The two are the most frequent of the dark quarter and of the bright half. Few values are shades if each lies on the
    slope of an edge, or faintly beside one. Many are if what lies apart from edges rises and falls without terraces.
    """
    dark, bright = found <= full / 4, found > full / 2
    if not dark.any():
        return False
    low, high = found[dark][counts[dark].argmax()], found[bright][::-1][counts[bright][::-1].argmax()]
    plane = values.astype(np.float32)
    between = (values != low) & (values != high)
    darker, brighter = cv2.erode(plane, np.ones((3, 3))), cv2.dilate(plane, np.ones((3, 3)))
    flat = darker == brighter
    reach = 2 * max(REACH_LOSSY if lossy else REACH, max(values.shape) // 64) + 1
    window = np.ones((reach, reach), np.uint8)
    beside = (cv2.dilate(plane, window) >= high) & (cv2.erode(plane, window) <= low)
    faint = np.minimum(np.abs(plane - low), np.abs(plane - high)) <= full / 10
    if found.size <= FEW and not lossy:
        sloped = (darker < plane) & (plane < brighter)
        return not bool((between & ~sloped & ~(faint & beside & ~flat)).any())
    lone = between & ~beside
    if not lone.any():
        return True
    from skimage.morphology import local_maxima, local_minima  # takes a second to import, and few masks need it

    ends = lone & (local_maxima(plane) | local_minima(plane))  # type: ignore[no-untyped-call]
    return bool(not (lone & flat & (~faint | ends)).any() and ends.sum() <= PEAKS * between.sum())
