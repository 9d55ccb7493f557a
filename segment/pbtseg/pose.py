"""How a radiograph lies: upright, turned or inverted, or from the side, told by its likeness to simulated chests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import Image
from artasyn.segment.pbtseg.outline import pose_fits

# The mean of simulated chests, equalised and blurred, in ninths of the grey range: `artasyn.phantom` and the CT of
# LIDC-IDRI-0001 (CC BY 3.0), from the front and from the side. No radiograph is part of them.
_FRONTAL = """
12233444555544433221
23344445555554444332
34555545566554555543
34565444566544456543
45664334566543346654
45654333577533345654
45653234577543235654
45543234677643234554
35542234677643224553
34432234688643223443
34432235688653223443
23433345688654333432
23433345677654333432
23444455677655444432
23445556788765554432
23455667788776655432
23456677788777665432
13456777788777765431
12456777788777765421
12456667777776665421
"""
_LATERAL = """
00012457888888764310
00113467888888875321
00123567777778876421
01124556666667777532
01234455555666777643
01234445555556667653
12334445555555556654
12343345555444445654
12443344555433334554
13443344555432234554
23443445554322223554
23444555554321224554
23455666654321234554
24555666654322234553
24555667766533235543
24555677777654345543
24556777787765555532
23567778888776655432
23567778888887765421
23567778888888765421
"""
_GRID = 20
_SHIFT = 2  # rows and columns by which a chest may lie beside the simulated one
TURNS = ("", "rotated by three quarter turns", "upside down", "rotated by a quarter turn")
"""The clockwise turns of a film, in words, in the order of `Pose.frontal`."""


@dataclass(frozen=True, eq=False)
class Pose:
    """Evidence for the pose of a film.

    Attributes:
        frontal: (8,), correlation with a simulated frontal chest, upright and turned by one, two and three quarter
            turns counter-clockwise, then the same inverted, in [-1, 1].
        lateral: correlation with a simulated side view that faces left or right, in [-1, 1].
    """

    frontal: npt.NDArray[np.float32]
    lateral: float

    @property
    def lead(self) -> float:
        """How much better an upright frontal chest correlates than any other pose of it."""
        return float(self.frontal[0] - self.frontal[1:].max())

    @property
    def sideways(self) -> float:
        """How much better a side view correlates than an upright frontal chest."""
        return float(self.lateral - self.frontal[0])


def find_pose(grey: Image) -> Pose:
    """Compares a film with simulated chests in every pose.

    Args:
        grey: the equalised image on a square grid.

    Example:
        >>> pose = find_pose(np.random.default_rng(0).random((160, 160), np.float32))
        >>> pose.frontal.shape, bool(max(abs(pose.frontal).max(), pose.lateral) < 0.5)
        ((8,), True)
    """
    small = cv2.resize(grey, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    chests = _chests()
    total, squares = (
        table[0] + table[1] - table[2] - table[3]
        for table in (integral.ravel()[chests.corners] for integral in cv2.integral2(small))
    )
    spread = np.sqrt(np.maximum(squares - total * total / chests.pixels, 1e-9))
    products = np.einsum("ij,j->i", chests.pictures, small.ravel())  # without the threads of a matrix product
    correlations = (products / spread).reshape(6, -1)
    upright, lateral = correlations[:4], correlations[4:]
    frontal = np.concatenate([upright.max(axis=1), -upright.min(axis=1)])
    return Pose(np.asarray(frontal, np.float32), float(lateral.max()))


def pose_evidence(grey: Image, pose: Pose) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Returns the fit of the mean outline, and the evidence for a frontal chest, in each of the eight poses.

    The evidence is the correlation with a simulated chest plus the fit of the mean outline of two lungs.

    Args:
        grey: the equalised image on a square grid.
        pose: of `find_pose`.

    Returns:
        Fits (8,) in [-1, 1] and evidence (8,) in [-2, 2].
    """
    fits = pose_fits(grey)
    return fits, np.asarray(pose.frontal + fits, np.float32)


@dataclass(frozen=True, eq=False)
class _Chests:
    """Simulated chests in every pose and at every shift: templates of zero mean and unit norm, and their windows.

    The order is: frontal in four turns, side view facing left, side view facing right; each at every shift.
    """

    pictures: npt.NDArray[np.float32]
    corners: npt.NDArray[np.intp]
    pixels: npt.NDArray[np.float32]


@cache
def _chests() -> _Chests:
    frontal, lateral = (
        np.array([[int(digit) for digit in line] for line in text.split()], np.float32) for text in (_FRONTAL, _LATERAL)
    )
    pictures, windows = [], []
    for chest in (*(np.rot90(frontal, turn) for turn in range(4)), lateral, lateral[:, ::-1]):
        for down in range(-_SHIFT, _SHIFT + 1):
            for across in range(-_SHIFT, _SHIFT + 1):
                top, left = max(0, down), max(0, across)
                bottom, right = _GRID + min(0, down), _GRID + min(0, across)
                seen = chest[top - down : bottom - down, left - across : right - across]
                picture = np.zeros((_GRID, _GRID), np.float32)
                picture[top:bottom, left:right] = (seen - seen.mean()) / np.linalg.norm(seen - seen.mean())
                pictures.append(picture.ravel())
                windows.append((top, left, bottom, right))
    top, left, bottom, right = np.array(windows).T
    corners = np.array([bottom, top, top, bottom]) * (_GRID + 1) + np.array([right, left, right, left])
    return _Chests(np.array(pictures), corners, ((bottom - top) * (right - left)).astype(np.float32))
