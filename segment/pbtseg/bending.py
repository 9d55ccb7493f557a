"""Outlines moved and bent to the edges of a radiograph."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import Heatmap, Image, Outlines
from artasyn.segment.pbtseg.outline import ABOVE_HEART, COSTAL, DIAPHRAGM, HEART, MEAN, POINTS

_Complex = npt.NDArray[np.complex64]  # places and directions: columns and, imaginary, rows

_UNIT = 1 / 192  # of the image: the unit of all lengths below


class _Pass(NamedTuple):
    """One search for edges along the normals of the outlines."""

    pace: int  # distance between places
    reach: int  # number of places outwards, and as many inwards
    window: int  # number of places over which grey is averaged on either side of an edge
    stay: float  # penalty of the farthest place, in grey
    trust: float  # penalty of each place on the wrong side of the outline according to the thresholds, in grey
    bends: int  # 1: move, scale and shear both lungs together and each alone; n > 1: also n - 1 orders of waves


_COARSE = _Pass(pace=2, reach=6, window=6, stay=0.107, trust=0.0, bends=1)
_PASSES = (
    _Pass(pace=1, reach=11, window=4, stay=0.063, trust=0.078, bends=3),
    _Pass(pace=1, reach=5, window=3, stay=0.031, trust=0.1, bends=4),
)
_FINE = _Pass(pace=1, reach=3, window=5, stay=0.036, trust=0.0, bends=0)
_LUNG = 0.29  # least value that counts as lung; low because thresholds miss the dim band along the ribs
_STIFF, _TOGETHER, _EVEN = 1.5, 7.5, 1.9  # penalties of all movement, of one lung alone, of waves
_TURN = np.array([1j, -1j], np.complex64)[:, None]  # the right lung's points run counter-clockwise on the screen
_AFTER, _BEFORE = (np.roll(np.arange(POINTS), one) for one in (-1, 1))  # the neighbours of every point
_SMOOTH, _ALIKE = 0.9, 0.014  # of the fine pass: points of smoothing; penalty of a distance of one unit, in grey
_DIM = ((COSTAL, 1.8), (DIAPHRAGM, 0.13), (HEART, 0.53), (ABOVE_HEART, 0.59))
"""Grey around which steps between dark tones begin to count for more."""
_OUTSIDE = ((COSTAL, (2.4, 2.4)), (DIAPHRAGM, (-0.6, -0.6)), (HEART, (1.9, 0.4)), (ABOVE_HEART, (3.7, 3.5)))
"""Distance by which outlines drawn by hand lie outside the steepest edge, for the right and left lung, in units."""


def bend(grey: Image, lungs: Heatmap, outlines: Outlines) -> Outlines:
    """Moves and bends a pair of outlines to the edges of a radiograph.

    Along the normal of every point, the search finds the place where grey rises most from inside to outside. It
    prefers places that are near and that agree with the thresholded lungs. Both outlines are fitted to these places
    by least squares, weighted by the height of the steps. They are moved, scaled and sheared together, each a little
    by itself, and bent by waves. Every pass adds waves. A last pass moves every point alone, smoothed over its
    neighbours.

    Args:
        grey: the equalised image on a square grid.
        lungs: the result of `Thresholds.lungs`, on the same grid.
        outlines: (2, points, 2), the start of the search, in pixels of the grid.
    """
    unit = len(grey) * _UNIT
    for step in _PASSES:
        outlines = _fitted(outlines, _profiles(grey, lungs, outlines, step, unit), step, unit)
    outlines = _loosened(outlines, _profiles(grey, lungs, outlines, _FINE, unit), unit)
    return _untangled(_moved(outlines, _rim() * np.float32(unit), _normals(outlines)))


def choose(grey: Image, outlines: Outlines, fit: npt.NDArray[np.float32]) -> Outlines:
    """Chooses the best of several pairs of outlines, and moves it half of the way to the edges around it.

    Args:
        grey: the equalised image on a square grid.
        outlines: (pairs, 2, points, 2), in pixels of the grid.
        fit: (pairs,), the correlation of every pair with the mean outline.
    """
    unit = len(grey) * _UNIT
    moved = _fitted(outlines, _profiles(grey, None, outlines, _COARSE, unit), _COARSE, unit)
    steps = edge_steps(grey, moved, window=6)
    best = int((fit + 0.5 * steps.clip(-0.1, 0.4).mean(axis=(1, 2))).argmax())
    return np.asarray((outlines[best] + moved[best]) / 2, np.float32)


def edge_steps(grey: Image, outlines: Outlines, *, window: int) -> npt.NDArray[np.float32]:
    """Returns how much brighter the image is just outside than just inside, at every point: (..., 2, points).

    Args:
        grey: the equalised image on a square grid.
        outlines: (..., 2, points, 2), in pixels of the grid.
        window: length over which grey is averaged on either side, in 192nds of the image.
    """
    here = _Pass(pace=1, reach=0, window=window, stay=0.0, trust=0.0, bends=0)
    search = _search(here, len(grey) * _UNIT)
    return _steps(grey, _places(outlines, _normals(outlines), search), here)[..., 0]


class _Search(NamedTuple):
    """The places of one search along the normals, in pixels of the grid."""

    seen: npt.NDArray[np.float32]  # distances at which grey is read
    aims: npt.NDArray[np.float64]  # distances of the edges
    stays: npt.NDArray[np.float32]  # penalty of each aim


@cache
def _search(step: _Pass, unit: float) -> _Search:
    pixel = np.float32(step.pace * unit)
    far = step.reach + step.window
    aims = np.arange(-step.reach, step.reach + 1)
    stays = np.float32(step.stay / max(1, step.reach) ** 2) * aims.astype(np.float32) ** 2
    return _Search(np.arange(-far, far + 1, dtype=np.float32) * pixel, aims * pixel, stays)


class _Profiles(NamedTuple):
    """Steps of grey and costs along the normals of outlines, at offsets from -reach to reach."""

    normals: _Complex  # (..., 2, points), outwards
    steps: npt.NDArray[np.float32]  # (..., 2, points, offsets): grey outside minus grey inside
    costs: npt.NDArray[np.float32]  # (..., 2, points, offsets)


def _profiles(grey: Image, lungs: Heatmap | None, outlines: Outlines, step: _Pass, unit: float) -> _Profiles:
    search, normals = _search(step, unit), _normals(outlines)
    places = _places(outlines, normals, search)
    steps = _steps(grey, places, step)
    costs = search.stays - steps
    if lungs is not None and step.trust:
        passed = _sampled(lungs, places[..., step.window : -step.window])
        passed -= np.float32(_LUNG)
        costs -= np.float32(step.trust) * passed.cumsum(axis=-1)
    return _Profiles(normals, steps, costs)


def _places(outlines: Outlines, normals: _Complex, search: _Search) -> _Complex:
    """Returns the places at which grey is read, (..., 2, points, places)."""
    return np.asarray(_complex(outlines)[..., None] + search.seen * normals[..., None])


def _steps(grey: Image, places: _Complex, step: _Pass) -> npt.NDArray[np.float32]:
    """Returns the steps of toned grey at every aim, over a window on either side: (..., 2, points, aims)."""
    window, n = step.window, 2 * step.reach + 1
    seen = _toned(_sampled(grey, places))
    sums = np.zeros((*seen.shape[:-1], seen.shape[-1] + 1), np.float32)
    seen.cumsum(axis=-1, out=sums[..., 1:])
    steps = sums[..., 2 * window + 1 :] - sums[..., window + 1 : window + 1 + n]
    steps -= sums[..., window : window + n] - sums[..., :n]
    steps *= np.float32(1 / window)
    return np.asarray(steps, np.float32)


def _fitted(outlines: Outlines, profiles: _Profiles, step: _Pass, unit: float) -> Outlines:
    """Moves and bends outlines to the best places of their profiles."""
    movements, penalties = _movements(step.bends)
    best = profiles.costs.argmin(axis=-1)
    pairs = outlines.shape[:-3]
    wanted = _search(step, unit).aims.take(best).reshape(*pairs, -1, 1)
    first = np.arange(best.size) * profiles.steps.shape[-1]  # place of every profile
    weights = profiles.steps.take(first + best.ravel()).clip(0.02, 0.5).reshape(*pairs, -1, 1)
    across_and_down = profiles.normals.view(np.float32).reshape(*pairs, -1, 2, 1)
    along = (movements[:, None] * across_and_down).reshape(*pairs, len(movements), -1)
    weighted = np.swapaxes(along * weights, -1, -2)
    amounts = np.linalg.solve((weighted @ along).astype(np.float64) + penalties, weighted @ wanted)
    moves = movements @ np.swapaxes(amounts.astype(np.float32).reshape(*pairs, 2, -1), -1, -2)
    return np.asarray(outlines + moves.reshape(outlines.shape), np.float32)


def _loosened(outlines: Outlines, profiles: _Profiles, unit: float) -> Outlines:
    """Moves every point to the best place of its profile, smoothed over its neighbours."""
    offsets, together = np.arange(-_FINE.reach, _FINE.reach + 1, dtype=np.float32), _neighbours(_SMOOTH)
    moved = offsets.take(profiles.costs.argmin(axis=-1)) @ together
    for _ in range(3):
        costs = profiles.costs + np.float32(_ALIKE) * (offsets - moved[..., None]) ** 2
        moved = offsets.take(costs.argmin(axis=-1)) @ together
    return _moved(outlines, moved * np.float32(unit), profiles.normals)


def _untangled(outlines: Outlines) -> Outlines:
    """Keeps the diaphragm from crossing the ribs near the costophrenic angle."""
    untangled = np.array(outlines)
    for outline, turn in zip(untangled, (1, -1), strict=True):
        costal, diaphragm = outline[COSTAL], outline[DIAPHRAGM]
        ribs = np.interp(diaphragm[:, 1], np.maximum.accumulate(costal[:, 1]), costal[:, 0])
        diaphragm[:, 0] = turn * np.maximum(turn * diaphragm[:, 0], turn * ribs)
    return untangled


def _normals(outlines: Outlines) -> _Complex:
    """Unit vectors outwards; the right lung's points run counter-clockwise on the screen, the left lung's clockwise."""
    places = _complex(outlines)
    along = (places.take(_AFTER, axis=-1) - places.take(_BEFORE, axis=-1)) * _TURN
    return np.asarray(along / (np.abs(along) + np.float32(1e-6)), np.complex64)


def _complex(outlines: Outlines) -> _Complex:
    return np.ascontiguousarray(outlines).view(np.complex64)[..., 0]


def _moved(outlines: Outlines, far: npt.NDArray[np.float32], normals: _Complex) -> Outlines:
    """Moves the points of outlines outwards by `far`."""
    return (_complex(outlines) + far * normals).astype(np.complex64)[..., None].view(np.float32)


def _sampled(picture: Image, places: _Complex) -> npt.NDArray[np.float32]:
    where = np.ascontiguousarray(places).view(np.float32).reshape(-1, places.shape[-1], 2)
    values = cv2.remap(  # with both coordinates in the first map, the second is None
        picture,
        where,
        None,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,  # type: ignore[call-overload]
    )
    return np.asarray(values.reshape(places.shape), np.float32)


def _toned(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Maps grey, in place, to a scale that widens steps between dark tones and keeps steps at middle grey."""
    dim, slope = _tone()
    grey += dim
    np.log(grey, out=grey)
    grey *= slope
    return grey


@cache
def _tone() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    dim = np.empty((POINTS, 1), np.float32)
    for part, value in _DIM:
        dim[part] = value
    return dim, 0.5 + dim


@cache
def _rim() -> npt.NDArray[np.float32]:
    """Returns the distance of every point outside the steepest edge, in units."""
    rim = np.empty((2, POINTS), np.float32)
    for part, right_and_left in _OUTSIDE:
        rim[:, part] = np.array(right_and_left)[:, None]
    return np.asarray(rim @ _neighbours(2.0), np.float32)


@cache
def _neighbours(spread: float) -> npt.NDArray[np.float32]:
    """Returns a matrix that averages over neighbours on a closed outline, by a Gaussian of `spread` points."""
    apart = np.abs(np.arange(POINTS)[:, None] - np.arange(POINTS))
    weights = np.exp(-(np.minimum(apart, POINTS - apart) ** 2) / (2 * spread**2))
    return np.asarray(weights / weights.sum(axis=0), np.float32)


@cache
def _movements(bends: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Returns the ways in which outlines move, (points of both lungs, ways), and the matrix of their penalties."""
    ways: list[tuple[npt.NDArray[np.float64], float]] = []  # how far each point moves, (2, points), and its penalty
    middle, size = MEAN.reshape(-1, 2).mean(axis=0), np.ptp(MEAN.reshape(-1, 2), axis=0)
    columns, rows = np.moveaxis(2 * (MEAN - middle) / size, -1, 0)
    ways += [(np.ones((2, POINTS)), 0.01), (columns, 0.02), (rows, 0.02)]
    for lung, outline in enumerate(MEAN):
        columns, rows = (2 * (outline - outline.mean(axis=0)) / np.ptp(outline, axis=0)).T
        lengths = np.linalg.norm(np.roll(outline, -1, axis=0) - outline, axis=1)
        round_it = 2 * np.pi * np.cumsum(np.concatenate([[0], lengths[:-1]])) / lengths.sum()
        own = [(each, 0.3 * _TOGETHER) for each in (np.ones(POINTS), columns, rows)]
        own += [(wave(n * round_it), _EVEN * n**2 / 4) for n in range(2, bends + 1) for wave in (np.cos, np.sin)]
        ways += [(np.eye(2)[lung][:, None] * each, penalty) for each, penalty in own]
    movements = np.stack([each.ravel() for each, _ in ways], axis=-1).astype(np.float32)
    return movements, np.diag(_STIFF * np.tile([penalty for _, penalty in ways], 2))
