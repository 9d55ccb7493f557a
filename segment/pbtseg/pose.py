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
34555444566544455543
34565434566543456543
45665333566533356654
45654334577543345654
45653234677643235654
45543234677643234554
34542234677643224543
34432234688643223443
24432235788753223442
23433345788754333432
23433345688654333432
23444455677655444432
23445556788765554432
13455666788766655431
13456667788776665431
12456667788776665421
12456666788766665421
12456666777766665421
"""
_LATERAL = """
00012467888888876321
00113567777788886421
00124567665667887532
01234555554556777642
01244444554455677653
12344344555445566653
12443345665444556653
13433345665444444553
23432345666433334443
23432345666533323443
23333456666432223443
23333456665432223553
23444566665432223553
23444566665432224543
23445567776643334543
23445677887765434442
23455677888776544432
23456777888877655432
13456777888887765432
13456777888888765421
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
