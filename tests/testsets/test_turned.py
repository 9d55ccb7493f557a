"""Ground truth of films that are turned when they are read: turned as the film, or refused."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artasyn.arrays import Mask
from artasyn.errors import DataError
from artasyn.evaluation.boxes import inside_boxes
from artasyn.files.radiograph import read_radiograph, write_labels, write_mask
from artasyn.files.turns import EXIF_TURNS, Turn, patient_turn
from artasyn.testsets.layouts import find
from artasyn.testsets.measured import lungs_of
from artasyn.testsets.testset import TestFilm, turned_box
from artasyn.testsets.truth import UPRIGHT, fits
from tests.testsets.builders import runs, save_turned, text, turned_film

STORED = (48, 32)
TRANSPOSING = (5, 6, 7, 8)
DIRECTIONS = [(one, other) for one, other in itertools.product("LRFH", "LRFH") if (one in "LR") != (other in "LR")]
ORIENTATIONS = [*range(1, 9), *DIRECTIONS]


def turn_of(orientation: Any) -> Turn:
    return EXIF_TURNS[orientation] if isinstance(orientation, int) else patient_turn(orientation)


def path_of(data: Path, orientation: Any) -> Path:
    suffixes = {1: ".png", 2: ".tif", 3: ".jpg", 4: ".webp"}
    suffix = suffixes[1 + orientation % 4] if isinstance(orientation, int) else ".dcm"
    return data / "images" / f"a{suffix}"


def mask_of(shape: tuple[int, int]) -> Mask:
    """A region in one corner, so that every turn changes it."""
    mask = np.zeros(shape, bool)
    mask[shape[0] // 8 : shape[0] // 4, shape[1] // 8 : shape[1] // 2] = True
    return mask


def the_film(data: Path) -> tuple[TestFilm, tuple[int, int]]:
    one = next(each for each in find(data).films if each.source.name == "a")
    return one, read_radiograph(one.source.path).shape


def lesions_of(data: Path) -> Mask:
    one, shape = the_film(data)
    found = one.lesions(shape)
    assert found is not None
    return found


def unsettled(orientation: Any, shape: tuple[int, int]) -> bool:
    """Whether neither file tells if lesions were drawn on stored or on shown pixels."""
    exif = isinstance(orientation, int) and orientation != 1
    return exif and (orientation not in TRANSPOSING or shape[0] == shape[1])


@pytest.mark.parametrize("shape", [STORED, (40, 40)])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_masks_and_regions_on_the_stored_pixels(tmp_path: Path, orientation: Any, shape: tuple[int, int]) -> None:
    turned_film(path_of(tmp_path, orientation), shape, orientation)
    mask = mask_of(shape)
    for scale in (1, 2, 4):
        stored = np.kron(mask, np.ones((scale, scale), bool))
        for files in ("masks", "annotations.json"):
            place = tmp_path / f"{files}{scale}"
            (place / "images").mkdir(parents=True)
            (place / "images" / path_of(tmp_path, orientation).name).symlink_to(path_of(tmp_path, orientation))
            if files == "masks":
                write_mask(place / "masks/a.png", stored)
            else:
                image: dict[str, Any] = {"id": 1, "file_name": path_of(tmp_path, orientation).name}
                image |= {"height": stored.shape[0], "width": stored.shape[1]}
                drawn = {"image_id": 1, "segmentation": runs(stored)}
                text(place / files, json.dumps({"images": [image], "annotations": [drawn]}))
            if unsettled(orientation, shape):
                with pytest.raises(DataError, match="EXIF orientation turns it; save the film upright"):
                    lesions_of(place)
                continue
            assert (lesions_of(place) == turn_of(orientation).turned(mask)).all()
            if files != "masks":
                one, grid = the_film(place)
                assert (inside_boxes(one.boxes_on(grid), grid) == lesions_of(place)).all()


@pytest.mark.parametrize("orientation", [o for o in ORIENTATIONS if turn_of(o).transposed])
def test_masks_on_the_shown_pixels_lie_as_they_are_if_their_shape_tells(tmp_path: Path, orientation: Any) -> None:
    turned_film(path_of(tmp_path, orientation), STORED, orientation)
    mask = mask_of(STORED[::-1])
    write_mask(tmp_path / "masks/a.png", mask)
    assert (lesions_of(tmp_path) == mask).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_with_the_orientation_of_its_film_is_turned_once(tmp_path: Path, orientation: int) -> None:
    for shape in (STORED, (40, 40)):
        turned_film(path_of(tmp_path, orientation), shape, orientation)
        (tmp_path / "masks").mkdir(exist_ok=True)
        save_turned(tmp_path / "masks/a.png", np.uint8(255) * mask_of(shape), orientation)
        if orientation == 1 or not unsettled(1, shape):
            assert (lesions_of(tmp_path) == turn_of(orientation).turned(mask_of(shape))).all()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_another_aspect_ratio_is_refused(tmp_path: Path, orientation: Any) -> None:
    turned_film(path_of(tmp_path, orientation), STORED, orientation)
    turned = turn_of(orientation).transposed
    wrong = [(40, 40), (48, 30), (96, 60), (20, 100), *([] if turned else [(32, 48)])]
    for shape, drawn in itertools.product(wrong, (True, False)):  # a healthy film may not pass with a wrong mask either
        write_mask(tmp_path / "masks/a.png", mask_of(shape) & drawn)
        with pytest.raises(DataError, match=rf"a.png: ground truth on {shape[0]} x {shape[1]} pixels is of another"):
            lesions_of(tmp_path)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_lists_of_boxes_are_on_the_stored_pixels(tmp_path: Path, orientation: Any) -> None:
    turned_film(path_of(tmp_path, orientation), STORED, orientation)
    text(tmp_path / "boxes.csv", "name,x,y,w,h\na,4,6,12,6\n")
    one, shape = the_film(tmp_path)
    if isinstance(orientation, int) and orientation != 1:
        with pytest.raises(DataError, match="boxes may be turned or not, because the film's EXIF orientation"):
            one.boxes_on(shape)
    else:
        expected = turn_of(orientation).turned(mask_of(STORED))
        assert (inside_boxes(one.boxes_on(shape), shape) == expected).all()


def test_lungs_are_turned_as_their_film(tmp_path: Path) -> None:
    turned_film(tmp_path / "images/a.dcm", (40, 40), ("R", "F"))
    write_mask(tmp_path / "masks/a.png", mask_of((40, 40)))
    stored = np.zeros((40, 40), np.uint8)
    stored[10:30, 4:12], stored[10:30, 22:36] = 2, 1  # in the stored pixels, the left lung is on the left
    write_labels(tmp_path / "lungs/a.png", stored)
    one, shape = the_film(tmp_path)
    found = lungs_of(one, shape)
    assert found is not None
    assert (found == (stored[:, ::-1] > 0)).all()
    write_labels(tmp_path / "lungs/a.png", np.ascontiguousarray(stored[:, ::-1]))  # drawn on the film as it is shown
    with pytest.raises(DataError, match=r"a.png: turned as its film, the right lung \(1\) lies on the image"):
        lungs_of(one, shape)
    write_labels(tmp_path / "lungs/a.png", stored[:30])
    with pytest.raises(DataError, match=r"lungs/a.png: ground truth on 30 x 40 pixels is of another aspect ratio"):
        lungs_of(one, shape)


def test_transposed_grids_are_refused_for_boxes(tmp_path: Path) -> None:
    turned_film(tmp_path / "images/a.png", STORED, 1)
    image = {"id": 1, "file_name": "a.png", "height": 320, "width": 480}
    drawn = [{"image_id": 1, "bbox": [1, 2, 3, 4]}]
    text(tmp_path / "annotations.json", json.dumps({"images": [image], "annotations": drawn}))
    one, shape = the_film(tmp_path)
    assert one.pose == UPRIGHT
    with pytest.raises(DataError, match="on 320 x 480 pixels is of another aspect ratio than the film of 48 x 32"):
        one.boxes_on(shape)


WAYS: list[Callable[[float], float]] = [math.floor, round, math.ceil]
SIDES = st.integers(20, 4000)


@given(st.sampled_from([*EXIF_TURNS.values()]), st.integers(1, 30), st.integers(1, 30), st.data())
@settings(max_examples=60, deadline=None)
def test_a_box_is_turned_as_its_pixels(turn: Turn, rows: int, columns: int, data: st.DataObject) -> None:
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    height, width = data.draw(st.integers(1, rows - row)), data.draw(st.integers(1, columns - column))
    box = (float(row), float(column), float(height), float(width))
    stored = inside_boxes([box], (rows, columns))
    shown = turn.turned(stored)
    found = inside_boxes([turned_box(box, (rows, columns), turn)], (shown.shape[0], shown.shape[1]))
    assert (found == shown).all()


@given(SIDES, SIDES, st.floats(0.02, 1.0))
@settings(max_examples=200, deadline=None)
def test_a_resized_grid_fits_however_it_was_rounded(rows: int, columns: int, scale: float) -> None:
    for one, other in itertools.product(WAYS, repeat=2):
        small = (int(one(rows * scale)), int(other(columns * scale)))
        if min(small) >= 70:  # where one pixel of both sides is less than 3 %
            assert fits((rows, columns), small)
            assert fits(small, (rows, columns))
    assert not fits((rows, columns), (rows, round(columns * 1.1) + 2))
