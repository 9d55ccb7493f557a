"""PBTSeg: segmentation of the lungs by progressive binary thresholding, without training."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import LEFT, RIGHT, GivenImage, Heatmap, Image, LungLabels, Outlines, check_image
from artasyn.cautions import pixel_cautions
from artasyn.errors import DataError
from artasyn.fields import Share, Within, check_fields
from artasyn.segment.lungs import Lungs
from artasyn.segment.pbtseg.bending import bend, choose
from artasyn.segment.pbtseg.frame import find_frame
from artasyn.segment.pbtseg.judgement import Judgement, judge
from artasyn.segment.pbtseg.outline import POINTS, find_boxes
from artasyn.segment.pbtseg.thresholds import Thresholds

_LARGEST = 512  # most rows and columns; larger images are reduced first
_STARTS = 2  # number of start boxes to compare
_FINER = 8  # points of the drawn curve for each point of an outline
_CROSS = np.asarray(cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), np.uint8)


@dataclass(frozen=True, eq=False)
class Workings:
    """The intermediate results of PBTSeg, for pictures and for debugging.

    Attributes:
        frame: top, left, bottom and right of the area within the even borders, as fractions of the radiograph. All
            other attributes lie on a square grid over this area.
        grey: the equalised image.
        start: (2, points, 2), the place of the mean outline, in pixels of the grid.
        thresholded: the lungs that rising thresholds find from `start`, in [0, 1].
        outlines: (2, points, 2), the outlines bent to the edges, in pixels of the grid.
    """

    frame: tuple[float, float, float, float]
    grey: Image
    start: Outlines
    thresholded: Heatmap
    outlines: Outlines


@dataclass(frozen=True)
class PBTSeg:
    """Finds both lungs by thresholds that rise step by step, on a radiograph of any size and any grey levels.

    Even borders are left out, and the rest is equalised on a grid of fixed size. The mean outline of two lungs is
    placed where it fits the radiograph best. From there thresholds rise, and the components below them vote on which
    pixels are lung. Finally the outlines are moved and bent to the edges of the radiograph, in accord with this vote.
    They include the parts of the lung that ribs, clavicles or disease exclude from the vote. Along the heart the
    outlines follow the visible, aerated lung. Nothing is trained; the mean outline is the median of lungs drawn by
    hand.

    Attributes:
        size: rows and columns of the working grid, 64 to 1024.
        clip: contrast limit of the adaptive equalisation.
        steps: number of thresholds.
        reach: how far the thresholds rise above the grey of the lung's core, as a fraction of the grey range.
        pull: grey added where no lung is expected, as a fraction of the grey range.
        blur: softness of the expected outline, as a fraction of the lungs' box.
        trust: weight of the vote, in [0, 1]; the expected outline has the rest.

    Raises:
        DataError: a number is out of range.

    Source:
        ART-ASyn (arXiv 2512.00310), PBTSeg: rising thresholds, candidates, one lung for each side, filling.
        Frame, equalisation, expected outline, vote, bending and confidence are artasyn's own.

    Example:
        >>> import numpy as np
        >>> film = np.add.outer(np.linspace(0.5, 0.7, 128), np.linspace(0.0, 0.2, 128)).astype(np.float32)
        >>> film[30:90, 24:54] = film[30:90, 74:104] = 0.2
        >>> lungs = PBTSeg()(film)
        >>> lungs.found, int(lungs.labels[60, 40]), int(lungs.labels[60, 90])
        (True, 1, 2)
        >>> PBTSeg()(np.zeros((128, 128), np.float32)).reasons
        ('the image is blank',)
    """

    size: Annotated[int, Within(64, 1024)] = 160
    clip: Annotated[float, Within(0, 1000)] = 2.0
    steps: Annotated[int, Within(2, 256)] = 6
    reach: Annotated[float, Within(0, 100)] = 0.52
    pull: Annotated[float, Within(0, 100)] = 0.32
    blur: Annotated[float, Within(0, 10)] = 0.061
    trust: Share = 0.73

    def __post_init__(self) -> None:
        check_fields(self, DataError)

    def __call__(self, image: GivenImage) -> Lungs:
        """Finds the lungs of one frontal radiograph.

        Args:
            image: (h, w), float32 in [0, 1], bright = dense, head up, patient's right on the image's left; or the path
                of a file, which `artasyn.read_radiograph` reads.

        Returns:
            Lungs on the grid of the image: both, or none where the image is unusable, with the reason in `warnings`
            and `reasons`. A lung that is hardly visible is placed by the position of the other lung, with low
            confidence.

        Raises:
            ImageError: not an `Image`.
            RadiographError: the file cannot be read.
        """
        image = _given(image)
        film = _reduced(image)
        if np.ptp(film) < 1 / 255:
            return _nothing(image.shape, Judgement((0.0, 0.0), ("the image is blank",), ("not_a_chest",)))
        workings, fit = self._worked(film)
        judgement = judge(workings.grey, workings.outlines, fit).with_cautions(pixel_cautions(image))
        if max(judgement.confidence) == 0:
            return _nothing(image.shape, judgement)
        return Lungs(_drawn(workings, image.shape), *judgement)

    def explain(self, image: GivenImage) -> Workings:
        """Returns the intermediate results of `__call__`, whether or not it reports lungs.

        Args:
            image: as for `__call__`; not blank.

        Raises:
            ImageError: not an `Image`.
            RadiographError: the file cannot be read.
        """
        return self._worked(_reduced(_given(image)))[0]

    def _worked(self, film: Image) -> tuple[Workings, float]:
        """Returns the workings, and the correlation of the image with the mean outline."""
        small = _resized(film, self.size, self.size)
        frame = top, left, bottom, right = find_frame(small)
        if frame != (0.0, 0.0, 1.0, 1.0):
            rows, columns = film.shape
            inner = film[round(top * rows) : round(bottom * rows), round(left * columns) : round(right * columns)]
            small = _resized(inner, self.size, self.size)
        grey = self._equalised(small)
        boxes = find_boxes(grey, _STARTS)
        start = choose(grey, boxes.outlines(self.size), boxes.fit)
        thresholds = Thresholds(self.steps, self.reach, self.pull, self.blur, self.trust)
        thresholded = thresholds.lungs(grey, start)
        return Workings(frame, grey, start, thresholded, bend(grey, thresholded, start)), float(boxes.fit[0])

    def _equalised(self, small: Image) -> Image:
        """Equalises the grey levels by their rank, and removes thin bright lines."""
        n = self.size
        low, high = float(small.min()), float(small.max())
        fine = ((small - low) * np.float32(4095 / max(high - low, 1e-6))).astype(np.uint16)
        patient = fine[n // 12 : -n // 7, n // 16 : -n // 16]  # most of the patient, without the margins
        counts = np.bincount(patient.ravel(), minlength=4096)
        ranks = (np.cumsum(counts) * (255 / counts.sum())).astype(np.uint8).take(fine, mode="clip")
        local = cv2.createCLAHE(self.clip, (4, 4)).apply(ranks)
        local = cv2.GaussianBlur(cv2.morphologyEx(local, cv2.MORPH_OPEN, _CROSS), (0, 0), n / 200)
        return np.asarray(local.astype(np.float32) * np.float32(1 / 255), np.float32)


def _drawn(workings: Workings, shape: tuple[int, ...]) -> LungLabels:
    """Draws the outlines as labels on the grid of the whole image."""
    rows, columns = shape
    top, left, bottom, right = workings.frame
    corner = np.array([left * columns, top * rows], np.float32)
    scale = np.array([(right - left) * columns, (bottom - top) * rows], np.float32) / len(workings.grey)
    fine = _finer() @ ((workings.outlines + np.float32(0.5)) * scale + corner - np.float32(0.5))
    labels = np.zeros(shape, np.uint8)
    for lung, outline in zip((RIGHT, LEFT), fine, strict=True):
        cv2.fillPoly(labels, [np.round(outline * 16).astype(np.int32)], (lung,), shift=4)
    return labels


@cache
def _finer() -> npt.NDArray[np.float32]:
    """Returns a matrix that draws smooth curves (Catmull-Rom) through the points of closed outlines."""
    t = np.arange(_FINER)[:, None] / _FINER
    weights = np.hstack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2
    matrix = np.zeros((POINTS, _FINER, POINTS), np.float32)
    for point in range(POINTS):
        matrix[point][:, [(point + offset) % POINTS for offset in (-1, 0, 1, 2)]] = weights
    return matrix.reshape(-1, POINTS)


def _given(image: GivenImage) -> Image:
    """Returns an image after a check; a path is read."""
    if isinstance(image, str | os.PathLike):
        from artasyn.files.radiograph import read_radiograph  # needs packages that PBTSeg does without

        image = read_radiograph(image)
    check_image(image)
    return image


def _reduced(image: Image) -> npt.NDArray[np.float32]:
    """Reduces a large image to fewer rows and columns."""
    rows, columns = (min(n, _LARGEST) for n in image.shape)
    return image if image.shape == (rows, columns) else _resized(image, rows, columns)


def _resized(image: Image, rows: int, columns: int) -> npt.NDArray[np.float32]:
    """Resizes an image, by means over pixels if the new grid is much coarser."""
    coarser = max(image.shape[0] / rows, image.shape[1] / columns) > 2
    how = cv2.INTER_AREA if coarser else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (columns, rows), interpolation=how), np.float32)


def _nothing(shape: tuple[int, ...], judgement: Judgement) -> Lungs:
    return Lungs(np.zeros(shape, np.uint8), *judgement)
