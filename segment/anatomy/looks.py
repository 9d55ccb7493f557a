"""Several looks at one radiograph: the film, its mirrored negative and others, and what they agree about."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from artasyn.arrays import Prepared, SoftMasks
from artasyn.segment.anatomy.window import Window
from artasyn.shapes import Float32

LOOKS = ((False, False, 1.0), (True, True, 1.0), (False, False, 1.5), (True, False, 1.0))
"""Whether each look is mirrored, whether it is a negative, and the power of its grey."""

Squares = Float32[np.ndarray, "n 1 size size"]
"""Prepared radiographs, or looks at them."""
Turns = Float32[np.ndarray, "n 2"]
"""Sine and cosine of the patient's turn for each look; NaN if it is unknown."""
LookMaps = Float32[np.ndarray, "n k r c"]
"""Probabilities of k structures for each of n looks."""
Agreement = Float32[np.ndarray, " k"]
"""How well the looks agree about each structure, in [0, 1]."""

_OTHER = {"right": "left", "left": "right"}


def looks_at(square: Prepared, window: Window, count: int) -> Squares:
    """Returns looks at a prepared radiograph; the padding stays 0 in all of them.

    Args:
        square: from `Window.prepare`.
        window: the radiograph's place in the square.
        count: number of looks, the first of `LOOKS`.

    Returns:
        float32 (count, 1, size, size) in [0, 1].
    """
    found = np.zeros((count, 1, *square.shape), np.float32)
    for look, (mirrored, negative, power) in zip(found[:, 0], LOOKS, strict=False):
        film = square[window.inside]
        look[window.inside] = (1 - film if negative else film) ** np.float32(power)
        if mirrored:
            look[:] = look[:, ::-1].copy()
    return found


def told_turns(angle: float | None, count: int) -> Turns:
    """Returns the patient's turn as each look shows it; NaN if it is unknown.

    Args:
        angle: degrees, as in `View`; None if it is unknown.
        count: number of looks.
    """
    turn = np.radians(np.nan if angle is None else angle)
    return np.array(
        [((-1 if mirrored else 1) * np.sin(turn), np.cos(turn)) for mirrored, *_ in LOOKS[:count]], np.float32
    )


def aligned(maps: LookMaps, names: Sequence[str]) -> LookMaps:
    """Returns the maps of all looks as the film itself shows the structures: mirrored ones are mirrored back.

    Args:
        maps: float32 (n, k, r, c), of the looks in the order of `LOOKS`.
        names: names of the k structures.
    """
    order = mirrored_order(names)
    turned = [each[order, :, ::-1] if mirrored else each for each, (mirrored, *_) in zip(maps, LOOKS, strict=False)]
    return np.asarray(np.stack(turned))


def mirrored_order(names: Sequence[str]) -> list[int]:
    """Returns, for each structure, the place of its counterpart on the other side of the body.

    Example:
        >>> mirrored_order(["rib_right_3", "heart", "rib_left_3", "lung_left"])
        [2, 1, 0, 3]
    """
    places = {name: place for place, name in enumerate(names)}
    others = (re.sub("right|left", lambda side: _OTHER[side[0]], name) for name in names)
    return [places.get(other, place) for place, other in enumerate(others)]


def turn_of(turns: Turns) -> float:
    """Returns the patient's turn as the film itself shows it, degrees, from the estimates on the looks.

    The mean sine tells how far the patient is turned, and the cosine only on which side of a lateral view: films from
    the front and from the back look alike, so that an estimate between both has a cosine near 0 without being lateral.

    Example:
        >>> round(turn_of(np.array([[0.5, 0.8], [-0.5, 0.9]], np.float32))), round(turn_of(np.float32([[0.1, -0.05]])))
        (30, 174)
    """
    signs = np.array([(-1 if mirrored else 1, 1) for mirrored, *_ in LOOKS[: len(turns)]], np.float32)
    sine, cosine = (turns * signs).mean(axis=0)
    angle = float(np.degrees(np.arcsin(np.clip(sine, -1, 1))))
    return angle if cosine >= 0 else float(np.copysign(180.0, angle)) - angle


def agreements(maps: LookMaps) -> Agreement:
    """Measures how well looks agree about each structure, and how sure they are.

    The agreement is the mean Dice coefficient of the soft maps of the first look and every other one, times the mean of
    ``2 p - 1`` over the pixels where the mean p of all looks is at least 0.5. A structure without such a pixel has 0.

    Args:
        maps: float32 (n, k, r, c), from `aligned`.

    Example:
        >>> maps = np.zeros((2, 3, 8, 8), np.float32)
        >>> maps[:, 0, 2:6, 2:6], maps[0, 1, 2:6, 2:6], maps[1, 1, 2:6, 4:8] = 1, 1, 1
        >>> agreements(maps).round(2).tolist() == np.float32([1, 0.17, 0]).tolist()
        True
    """
    flat = maps.reshape(*maps.shape[:2], -1)
    mean = flat.mean(axis=0)
    inside = mean >= 0.5
    count = inside.sum(axis=1)
    sure = (2 * (mean * inside).sum(axis=1) - count) / np.maximum(count, 1)
    if len(flat) > 1:
        squares = np.einsum("nki,nki->nk", flat, flat)
        both = np.einsum("ki,nki->nk", flat[0], flat[1:])
        sure = sure * (2 * both / np.maximum(squares[0] + squares[1:], 1e-6)).mean(axis=0)
    return np.asarray(sure, np.float32)


def centred(maps: SoftMasks, thresholds: Sequence[float]) -> SoftMasks:
    """Shifts the log-odds of probabilities so that each structure's threshold becomes 0.5.

    Args:
        maps: float32 (k, r, c) in [0, 1].
        thresholds: probability at the edge of each structure; empty for 0.5.

    Example:
        >>> maps = np.array([0.0, 0.2, 0.5, 1.0], np.float32).reshape(1, 2, 2)
        >>> [round(float(each), 3) for each in centred(maps, [0.2]).ravel()]
        [0.0, 0.5, 0.8, 1.0]
    """
    if not thresholds:
        return maps
    edge = np.clip(np.array(thresholds, np.float32), 1e-3, 1 - 1e-3)[:, None, None]
    more = maps * (1 - edge)
    return np.asarray(more / (more + (1 - maps) * edge), np.float32)
