"""The lungs of one radiograph, which every segmenter returns and every later stage uses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from artasyn.arrays import LEFT, RIGHT, LungLabels, Mask
from artasyn.cautions import Caution, usable
from artasyn.errors import ImageError

Zone = Literal["upper", "middle", "lower", "central", "peripheral"]
"""A part of both lungs, by its name in reports."""
_LEVELS: dict[str, tuple[float, float]] = {"upper": (0, 1 / 3), "middle": (1 / 3, 2 / 3), "lower": (2 / 3, 1)}
_PERIPHERAL = 1 / 3  # of a lung's width in a row, from the ribs
_FULL = (255, 65535)  # the values of a mask as an image of 8 or 16 bits


@dataclass(frozen=True, eq=False)
class Lungs:
    """Both lungs as labels, with a confidence for each.

    Attributes:
        labels: uint8 (h, w), 0 background, 1 the patient's right lung, 2 the patient's left lung.
        confidence: confidence of the right and of the left lung, each in [0, 1]; 0 for a lung that was not found.
        reasons: reasons to doubt the image or this result, in sentences; empty if there are none.
        warnings: the same reasons by the words of `artasyn.cautions`, each once.

    Example:
        >>> mask = np.zeros((40, 50), bool)
        >>> mask[5:35, 5:20] = mask[5:35, 30:45] = True
        >>> lungs = Lungs.from_mask(mask)
        >>> lungs.found, int(lungs.labels[20, 10]), int(lungs.resized((80, 100)).labels[40, 80])
        (True, 1, 2)
    """

    labels: LungLabels
    confidence: tuple[float, float] = (1.0, 1.0)
    reasons: tuple[str, ...] = ()
    warnings: tuple[Caution, ...] = ()

    @classmethod
    def from_labels(cls, labels: LungLabels) -> Lungs:
        """Makes lungs from known labels: drawn by hand, read from a file or projected from a CT.

        Args:
            labels: uint8 (h, w), 0 background, 1 right, 2 left.

        Raises:
            ImageError: the labels have another dtype, shape or values.
        """
        if labels.ndim != 2 or labels.dtype != np.uint8:
            raise ImageError(f"lung labels must be uint8 (h, w), not {labels.dtype} {labels.shape}")
        if labels.max(initial=0) > LEFT:
            raise ImageError(f"lung labels must be 0, 1 (right) or 2 (left); found {int(labels.max())}")
        present = {"right": bool((labels == RIGHT).any()), "left": bool((labels == LEFT).any())}
        missing = tuple(f"{name} lung not labelled" for name, there in present.items() if not there)
        words: tuple[tuple[Caution, ...], ...] = ((), ("one_lung",), ("no_lungs",))
        return cls(labels, (float(present["right"]), float(present["left"])), missing, words[len(missing)])

    @classmethod
    def from_mask(cls, mask: Mask) -> Lungs:
        """Splits one mask into both lungs: the centroid of each component decides its side of the midline.

        The midline is the middle of the mask. If nearly all of the mask lies in one half of the image, as with a single
        lung, the midline is the middle of the image. Components that join both lungs are cut at the midline.

        Args:
            mask: bool (h, w), the union of both lungs.

        Raises:
            ImageError: the mask has another dtype or shape.
        """
        if mask.ndim != 2 or mask.dtype != np.bool_:
            raise ImageError(f"a lung mask must be bool (h, w), not {mask.dtype} {mask.shape}")
        columns = np.flatnonzero(mask.any(axis=0))
        if columns.size == 0:
            return cls.from_labels(np.zeros(mask.shape, np.uint8))
        first, last = int(columns[0]), int(columns[-1])
        width = last - first + 1
        centre = (mask.shape[1] - 1) / 2
        middle = (first + last) / 2 if first + width / 5 < centre < last - width / 5 else centre
        _, components, stats, centroids = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        joined = (stats[:, cv2.CC_STAT_WIDTH] > 0.7 * width)[components]
        place = np.where(joined, np.arange(mask.shape[1]), centroids[:, 0][components])
        return cls.from_labels((mask * np.where(place <= middle, RIGHT, LEFT)).astype(np.uint8))

    @classmethod
    def from_array(cls, values: npt.NDArray[Any], *, labelled: bool | None = None) -> Lungs:
        """Makes lungs from an array whose values tell whether it holds labels or one mask of both lungs.

        - Values 0, 1 and 2, with a 2 among them, are labels.
        - A bool array, and an array of 0 and 255 (65535 in 16 bits), is a mask of both lungs. `from_mask` splits it.
        - An array of 0 and 1 is a mask of both lungs if its region lies on both sides of the midline: a fifth of the
          region does, or a component with a fiftieth of the region. A region in the left half of the array is the
          patient's right lung, as a mask and as labels. A region in the right half may be the patient's left lung, or
          the right lung of a mirrored radiograph, so it is refused.

        Args:
            values: bool, integers or floats, (h, w); further axes of length 1 are dropped.
            labelled: True takes the values as labels, and False takes every value except 0 as lung. Bool is always a
                mask. None decides by the rule above.

        Raises:
            ImageError: the array has another shape or other values, or does not tell labels from a mask.

        Example:
            >>> mask = np.zeros((40, 50), np.uint8)
            >>> mask[5:35, 5:20] = mask[5:35, 30:45] = 255
            >>> sorted(set(Lungs.from_array(mask).labels[20].tolist()))
            [0, 1, 2]
        """
        flat = _plane(values)
        if flat.dtype == np.bool_ or labelled is False:
            return cls.from_mask(flat != 0)
        top = flat.max(initial=0)
        known = np.isin(flat, (0, 1, 2) if top <= LEFT else (0, top)).all()
        if not known or (top > LEFT and (labelled or top not in _FULL)):
            some = ", ".join(f"{value:g}" for value in np.unique(flat)[:6])
            raise ImageError(
                "lungs must be labels of 0, 1 (right) and 2 (left), or a mask of both lungs: bool, 0 and 1, or 0 and "
                f"255; found the values {some}"
            )
        if top > LEFT:
            return cls.from_mask(flat > 0)
        if top < LEFT and not labelled:
            both = cls.from_mask(flat > 0)
            if _on_both_sides(both):
                return both
            if np.count_nonzero(both.left) > np.count_nonzero(both.right):
                raise ImageError(
                    "lungs of 0 and 1 in the right half of the image: a mask of the left lung, or labels of a mirrored "
                    "right lung; give a bool mask, or labels with 2 for the left lung, or say lungs_labelled=True or "
                    "lungs_labelled=False"
                )
        return cls.from_labels(flat.astype(np.uint8))

    @property
    def found(self) -> bool:
        """Whether both lungs were found."""
        return min(self.confidence) > 0

    @property
    def doubts(self) -> str:
        """The words of the warnings and the reasons, on one line; empty if there are none."""
        return ": ".join(filter(None, (" ".join(self.warnings), "; ".join(self.reasons))))

    @property
    def usable(self) -> bool:
        """Whether the radiograph can be judged: no warning is one of `artasyn.cautions.UNUSABLE`."""
        return usable(self.warnings)

    @property
    def right(self) -> Mask:
        """The patient's right lung, bool (h, w)."""
        return np.asarray(self.labels == RIGHT)

    @property
    def left(self) -> Mask:
        """The patient's left lung, bool (h, w)."""
        return np.asarray(self.labels == LEFT)

    @property
    def mask(self) -> Mask:
        """Both lungs, bool (h, w)."""
        return np.asarray(self.labels > 0)

    @property
    def heights(self) -> tuple[int, int]:
        """Number of rows from apex to base of the right and of the left lung; 0 for a missing lung."""
        return self._extents(axis=1)

    @property
    def widths(self) -> tuple[int, int]:
        """Number of columns from inner to outer edge of the right and of the left lung; 0 for a missing lung."""
        return self._extents(axis=0)

    @property
    def midline(self) -> npt.NDArray[np.float32]:
        """The column of the midline in every row, float32 (h,).

        The midline is a straight line, by least squares through the points midway between the outer edges of both
        lungs. The outer edges are symmetric, the edges at the heart are not. Without two lungs, the midline is the
        middle of the image.
        """
        h, w = self.labels.shape
        rows = np.flatnonzero(self.right.any(axis=1) & self.left.any(axis=1))
        if rows.size < 2:
            return np.full(h, (w - 1) / 2, np.float32)
        outer_right = self.right[rows].argmax(axis=1)
        outer_left = w - 1 - self.left[rows, ::-1].argmax(axis=1)
        middles = (outer_right + outer_left) / 2
        lean, column = np.polyfit(rows, middles, 1)
        return np.asarray(column + lean * np.arange(h), np.float32)

    def zone(self, name: Zone) -> Mask:
        """Returns a part of both lungs, bool (h, w).

        Upper, middle and lower are thirds of each lung's own height. Peripheral is the outer third of each lung's
        width in a row, along the ribs; central is the rest, around the hilum.

        Raises:
            ValueError: the name is not a zone.

        Example:
            >>> labels = np.zeros((30, 40), np.uint8)
            >>> labels[:, 5:17], labels[:, 23:35] = 1, 2
            >>> lungs = Lungs.from_labels(labels)
            >>> lower_periphery = lungs.zone("lower") & lungs.zone("peripheral")
            >>> int(lower_periphery.sum()), bool(lower_periphery[25, 5]), bool(lower_periphery[25, 23])
            (80, True, False)
        """
        if name not in get_args(Zone):
            raise ValueError(f"no zone {name!r}; choose upper, middle, lower, central or peripheral")
        zone = np.zeros(self.labels.shape, bool)
        for lung, outer_is_left in ((self.right, True), (self.left, False)):
            column, row, width, height = cv2.boundingRect(lung.view(np.uint8))
            if height == 0:
                continue
            box = slice(row, row + height), slice(column, column + width)
            part, into = lung[box], zone[box]
            if name in _LEVELS:
                first, last = (round(edge * height) for edge in _LEVELS[name])
                into[first:last] |= part[first:last]
            else:
                if not outer_is_left:
                    part, into = part[:, ::-1], into[:, ::-1]
                begins = part.argmax(axis=1)
                across = width - part[:, ::-1].argmax(axis=1) - begins
                outer = np.arange(width) < (begins + _PERIPHERAL * across)[:, None]
                into |= part & (outer if name == "peripheral" else ~outer)
        return zone

    def _extents(self, axis: int) -> tuple[int, int]:
        right, left = (np.flatnonzero(lung.any(axis=axis)) for lung in (self.right, self.left))
        return (int(np.ptp(right)) + 1 if right.size else 0), (int(np.ptp(left)) + 1 if left.size else 0)

    def resized(self, shape: tuple[int, int]) -> Lungs:
        """Resamples the lungs to another grid, by nearest neighbour.

        Args:
            shape: rows and columns of the new grid.

        Raises:
            ImageError: the grid has no rows or no columns.
        """
        if min(shape) < 1:
            raise ImageError(f"lungs cannot be resized to {shape}; give at least one row and one column")
        labels = cv2.resize(self.labels, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return replace(self, labels=np.asarray(labels, np.uint8))


def _plane(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns an array of numbers as (h, w), without further axes of length 1.

    Raises:
        ImageError: the array has other axes, or holds no numbers.
    """
    flat = values
    while flat.ndim > 2 and 1 in (flat.shape[0], flat.shape[-1]):
        flat = flat[0] if flat.shape[0] == 1 else flat[..., 0]
    if flat.ndim != 2 or flat.dtype.kind not in "biuf":
        raise ImageError(f"lungs must be bool, integers or floats of shape (h, w), not {values.dtype} {values.shape}")
    return flat


def _on_both_sides(split: Lungs) -> bool:
    """Whether a split mask shows both lungs, and not one lung that reaches over the midline."""
    parts = sorted((split.right, split.left), key=np.count_nonzero)
    less, area = int(np.count_nonzero(parts[0])), int(np.count_nonzero(split.labels))
    if less == 0 or less >= area / 5:
        return less > 0
    counts = [cv2.connectedComponents(part.astype(np.uint8))[0] - 1 for part in (*parts, split.mask)]
    return less >= area / 50 and counts[0] + counts[1] == counts[2]  # no component was cut
