"""The mean outline of a pair of lungs, and the boxes of a radiograph that the outline fits best."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import LEFT, RIGHT, Image, Outlines

# Median of adults' lungs drawn by hand (half of the JSRT/SCR and wingspan masks, which leave out the heart).
# Corners (column, row) as fractions of the box around both lungs: down the ribs from the apex to the
# costophrenic angle, along the diaphragm, and up the heart and the mediastinum.
_CORNERS = {
    RIGHT: (
        (0.32, 0.00), (0.23, 0.05), (0.16, 0.12), (0.11, 0.22), (0.08, 0.32), (0.06, 0.43),
        (0.05, 0.54), (0.04, 0.66), (0.02, 0.77), (0.01, 0.88), (0.01, 0.99), (0.06, 0.91),
        (0.12, 0.85), (0.19, 0.82), (0.28, 0.81), (0.36, 0.80), (0.35, 0.70), (0.36, 0.61),
        (0.39, 0.51), (0.40, 0.42), (0.42, 0.32), (0.44, 0.22), (0.44, 0.12), (0.40, 0.04),
    ),
    LEFT: (
        (0.70, 0.00), (0.78, 0.05), (0.86, 0.13), (0.91, 0.22), (0.93, 0.33), (0.95, 0.44),
        (0.96, 0.55), (0.97, 0.66), (0.98, 0.77), (0.99, 0.88), (0.99, 0.99), (0.97, 0.96),
        (0.94, 0.93), (0.92, 0.91), (0.90, 0.90), (0.87, 0.89), (0.85, 0.78), (0.80, 0.69),
        (0.73, 0.59), (0.67, 0.49), (0.63, 0.37), (0.63, 0.26), (0.58, 0.17), (0.60, 0.05),
    ),
}  # fmt: skip


def _with_midpoints() -> Outlines:
    corners = np.array([_CORNERS[RIGHT], _CORNERS[LEFT]], np.float32)
    between = (corners + np.roll(corners, -1, axis=1)) / 2
    return np.stack([corners, between], axis=2).reshape(2, -1, 2)


MEAN = _with_midpoints()
"""The mean outlines in their box: (2 lungs, points, (column, row)), fractions of the box."""
POINTS = MEAN.shape[1]
COSTAL, DIAPHRAGM, HEART, ABOVE_HEART = slice(0, 20), slice(20, 30), slice(30, 39), slice(39, POINTS)
"""Which points lie along the ribs, the diaphragm, the heart, and the mediastinum above it."""

_HEIGHTS = (0.45, 0.53, 0.61, 0.69, 0.77, 0.85, 0.93, 1.0)  # of the boxes to try, as fractions of the image
_WIDTHS = (0.58, 0.66, 0.74, 0.82, 0.9, 0.98, 1.06)
_ROWS, _COLUMNS = np.linspace(0.30, 0.66, 10), np.linspace(0.38, 0.62, 7)  # of their centres
_BEYOND = 0.05  # how far a box may reach beyond the image
_AROUND = 0.06  # margin on every side that is compared too, as a fraction of the box
_UNLIKELY = 0.0175  # correlation that a box loses at one standard deviation from the usual box
_APART = 0.06  # least difference of two distinct boxes, at one edge or more
_PROMISING = 100  # best fitting boxes, among which distinct boxes are searched
_TRUER = (0.05, 0.02, 0.03)  # above, below and beside: how much larger lungs are than the box that fits best
_BLOCK = 16  # boxes that are compared in one matrix product; divides their number
_GRID = 20  # rows and columns of the reduced image with which boxes are compared


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes around both lungs, best first, as fractions of the radiograph; boxes may reach a little beyond it.

    Attributes:
        edges: float32 (boxes, 4): top, left, bottom, right.
        fit: float32 (boxes,): correlation of the radiograph with the mean outline in each box, in [-1, 1], minus
            the penalty of an unusual box.
    """

    edges: npt.NDArray[np.float32]
    fit: npt.NDArray[np.float32]

    def outlines(self, size: int) -> Outlines:
        """Returns the mean outlines in every box, in pixels of a `size` x `size` grid over the whole radiograph."""
        top, left, bottom, right = self.edges.T[:, :, None, None]
        columns, rows = MEAN[..., 0] * (right - left) + left, MEAN[..., 1] * (bottom - top) + top
        return np.asarray(np.stack([columns, rows], axis=-1) * np.float32(size) - np.float32(0.5), np.float32)


def find_boxes(image: Image, count: int) -> Boxes:
    """Finds the boxes in which an equalised radiograph looks most like the mean outline of two lungs.

    Boxes of all likely places, heights and widths are compared at once, by normalised correlation. A box far from
    the usual place of the lungs receives a small penalty.

    Args:
        image: (h, w), float32 in [0, 1], bright = dense, the whole radiograph.
        count: number of clearly distinct boxes, at most.

    Example:
        >>> film = np.full((128, 128), 0.8, np.float32)
        >>> film[30:90, 24:54] = film[30:90, 74:104] = 0.2
        >>> top, left, bottom, right = find_boxes(film, 1).edges[0]
        >>> bool(top < 0.25 and left < 0.2 and bottom > 0.65 and right > 0.8)
        True
    """
    tried = _tried()
    fit = _fits(_small(image)[None])[0] - tried.unlikely
    promising = np.argpartition(fit, -_PROMISING)[-_PROMISING:]
    promising = promising[fit[promising].argsort()[::-1]]
    best: list[int] = []
    while promising.size and len(best) < count:
        best.append(int(promising[0]))
        promising = promising[np.abs(tried.edges[promising] - tried.edges[best[-1]]).max(axis=1) >= _APART]
    above, below, beside = _TRUER
    return Boxes(tried.edges[best] + np.array([-above, -beside, below, beside], np.float32), fit[best])


def pose_fits(image: Image) -> npt.NDArray[np.float32]:
    """Returns the best fit of the mean outline in eight poses of a radiograph, (8,), in [-1, 1].

    The poses are: upright, turned by one, two and three quarter turns counter-clockwise, and the same four inverted.
    """
    small = _small(image)
    turned_back = (small, np.rot90(small, -1), small[::-1], np.rot90(small))
    fits = _fits(np.stack(turned_back))
    unlikely = _tried().unlikely
    return np.concatenate([(fits - unlikely).max(axis=1), (-fits - unlikely).max(axis=1)])


@dataclass(frozen=True, eq=False)
class _Tried:
    """Every box to try: its edges, its template (zero mean, unit norm), the number of its window, and its penalty.

    The templates lie in blocks, (blocks, boxes, pixels), too small for a matrix product to start threads. About two
    boxes share a window; each window has its corners and its number of pixels.
    """

    edges: npt.NDArray[np.float32]
    pictures: npt.NDArray[np.float32]
    window: npt.NDArray[np.intp]
    corners: npt.NDArray[np.intp]
    pixels: npt.NDArray[np.float32]
    unlikely: npt.NDArray[np.float32]


@cache
def _tried() -> _Tried:
    boxes = np.array(list(product(_ROWS, _COLUMNS, _HEIGHTS, _WIDTHS)))
    row, column, height, width = boxes.T
    edges = np.stack([row - height / 2, column - width / 2, row + height / 2, column + width / 2], axis=1)
    inside = (edges[:, :2] >= -_BEYOND).all(axis=1) & (edges[:, 2:] <= 1 + _BEYOND).all(axis=1)
    row, column, height, width, edges = (each[inside] for each in (row, column, height, width, edges))
    unlikely = ((row - 0.47) / 0.12) ** 2 + ((column - 0.50) / 0.10) ** 2
    unlikely += ((height - 0.72) / 0.15) ** 2 + ((width - 0.82) / 0.12) ** 2
    margin = _AROUND * np.stack([-height, -width, height, width], axis=1)
    windows = np.round((edges + margin).clip(0, 1) * _GRID).astype(int)
    outlines = Boxes(edges.astype(np.float32), np.ones(len(edges), np.float32)).outlines(4 * _GRID)
    pictures = np.zeros((len(edges), _GRID, _GRID), np.float32)
    for picture, pair, (top, left, bottom, right) in zip(pictures, outlines, windows, strict=True):
        lungs = np.zeros((4 * _GRID, 4 * _GRID), np.float32)
        cv2.fillPoly(lungs, list(np.round(pair * 16).astype(np.int32)), (1.0,), shift=4)
        soft = cv2.resize(cv2.GaussianBlur(lungs, (0, 0), 1.6), (_GRID, _GRID), interpolation=cv2.INTER_AREA)
        seen = soft[top:bottom, left:right].mean() - soft[top:bottom, left:right]  # lungs are dark
        picture[top:bottom, left:right] = seen / np.linalg.norm(seen)
    unique, window = np.unique(windows, axis=0, return_inverse=True)
    top, left, bottom, right = unique.T
    corners = np.array([bottom, top, top, bottom]) * (_GRID + 1) + np.array([right, left, right, left])
    pixels = ((bottom - top) * (right - left)).astype(np.float32)
    flat = pictures.reshape(-1, _BLOCK, _GRID * _GRID)
    unlikely = (_UNLIKELY * unlikely).astype(np.float32)
    return _Tried(edges.astype(np.float32), flat, window.ravel(), corners, pixels, unlikely)


def _small(image: Image) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.resize(image, (_GRID, _GRID), interpolation=cv2.INTER_AREA), np.float32)


def _fits(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Correlates reduced images with the template of every box, within the box's window: (images, boxes)."""
    tried = _tried()
    sums = np.stack([np.stack(cv2.integral2(image)).reshape(2, -1).take(tried.corners, axis=1) for image in images], 1)
    total, squares = sums[:, :, 0] + sums[:, :, 1] - sums[:, :, 2] - sums[:, :, 3]
    spread = np.sqrt(np.maximum(squares - total * total / tried.pixels, 1e-9)).take(tried.window, axis=1)
    products = tried.pictures @ images.reshape(len(images), -1).T
    return np.asarray(products.reshape(-1, len(images)).T / spread, np.float32)
