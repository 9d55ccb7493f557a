"""How films lie in their files, and how lesions that were drawn on a film come to its grid.

A file may ask that its pixels are turned when it is read (`Pose`); `placed` decides how lesions are turned that were
drawn on such a film. Lesions of another aspect ratio than the film's are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from artasyn.arrays import Mask
from artasyn.errors import DataError
from artasyn.evaluation.boxes import Box
from artasyn.files.dicom import is_dicom
from artasyn.files.opened import naming, read_turn
from artasyn.files.turns import Turn


@dataclass(frozen=True)
class Pose:
    """How the stored pixels of a film are turned to its image.

    Attributes:
        turn: from the stored grid to the image's grid.
        shown: whether viewers and labelling programs turn the film, too. They do so for an EXIF orientation, but not
            for the PatientOrientation of DICOM.
    """

    turn: Turn = field(default_factory=Turn)
    shown: bool = False


UPRIGHT = Pose()
"""The pose of a film whose pixels are not turned."""


def read_pose(path: Path) -> Pose:
    """Reads the pose of a film from its file; a file that is not there is not turned.

    Args:
        path: the film.

    Raises:
        RadiographError: the header is damaged.
    """
    if not path.exists():
        return UPRIGHT
    turn = read_turn(path)
    if turn == UPRIGHT.turn:
        return UPRIGHT
    with naming(path), path.open("rb") as file:
        return Pose(turn, shown=not is_dicom(file.read(132)))


def fits(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Returns whether two grids have the same aspect ratio, as a resized picture has.

    The sides of the smaller grid may be rounded to the next pixel, up or down, by at most 3 %.

    Args:
        one: rows and columns.
        other: rows and columns.

    Example:
        >>> fits((1000, 800), (333, 266)), fits((1000, 800), (800, 1000)), fits((256, 256), (256, 250))
        (True, False, False)
    """
    small, large = sorted((one, other))
    if min(*small, *large) < 1 or abs(small[0] * large[1] / (small[1] * large[0]) - 1) > 0.03:
        return False
    ends = [((side - 1) / whole, (side + 1) / whole) for side, whole in zip(small, large, strict=True)]
    return max(low for low, _ in ends) < min(high for _, high in ends)


def placed(given: tuple[int, int], shape: tuple[int, int], pose: Pose) -> Turn:
    """Returns the turn that brings lesions from the grid on which they were drawn to the image of a film.

    If the film is turned, the shape of the lesions' grid tells whether they were drawn on the stored pixels or on the
    image. If both are possible, lesions of a DICOM film lie on its stored pixels. A film with an EXIF orientation is
    refused then, because some programs draw on its stored pixels and others on its image.

    Args:
        given: rows and columns of the lesions' grid.
        shape: rows and columns of the image.
        pose: of the film.

    Raises:
        DataError: the grid has another aspect ratio than the film, or the turn is not known.
    """
    stored = pose.turn.swapped(shape)
    if pose.turn == UPRIGHT.turn and fits(given, shape):
        return pose.turn
    exact = [given == stored, given == shape]
    on_stored, on_image = exact if any(exact) else (fits(given, stored), fits(given, shape))
    if on_stored and on_image and pose.shown:
        raise DataError(
            f"ground truth on {given[0]} x {given[1]} pixels may be turned or not, because the film's EXIF orientation "
            "turns it; save the film upright, without this orientation, and draw on that"
        )
    if on_stored:
        return pose.turn
    if on_image:
        return UPRIGHT.turn
    raise DataError(
        f"ground truth on {given[0]} x {given[1]} pixels is of another aspect ratio than the film of "
        f"{shape[0]} x {shape[1]}; use the film and its ground truth as they belong together"
    )


def turned_box(box: Box, frame: tuple[int, int], turn: Turn) -> Box:
    """Turns a box as `Turn.turned` turns the grid on which the box is given.

    Args:
        box: on the grid.
        frame: rows and columns of the grid.
        turn: of the grid.

    Example:
        >>> turned_box((20.0, 30.0, 5.0, 8.0), (256, 200), Turn(transposed=True, columns_reversed=True))
        (30.0, 231.0, 8.0, 5.0)
    """
    row, column, height, width = box
    if turn.transposed:
        row, column, height, width = column, row, width, height
    rows, columns = turn.swapped(frame)
    return (
        rows - row - height if turn.rows_reversed else row,
        columns - column - width if turn.columns_reversed else column,
        height,
        width,
    )


def resized(mask: Mask, shape: tuple[int, int], pose: Pose = UPRIGHT) -> Mask:
    """Brings a mask to a film's grid: turned as `placed` decides, and resampled by nearest neighbour.

    Args:
        mask: (h, w), bool.
        shape: rows and columns of the film.
        pose: of the film.

    Raises:
        DataError: under the conditions of `placed`.
    """
    turned = placed((mask.shape[0], mask.shape[1]), shape, pose).turned(mask)
    if turned.shape == shape:
        return turned
    scaled = cv2.resize(turned.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(scaled > 0)


def own_pose(path: Path, pose: Pose) -> Pose:
    """Returns the pose that counts for a mask file: a mask with an EXIF orientation of its own is turned already.

    Args:
        path: the mask.
        pose: of its film.
    """
    return pose if pose == UPRIGHT or read_turn(path) == UPRIGHT.turn else UPRIGHT
