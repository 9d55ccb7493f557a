"""What every segmenter returns: labels, sides, what is missing, other grids."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from artasyn.arrays import LEFT, RIGHT
from artasyn.errors import ImageError
from artasyn.segment import Lungs


def unchecked(function: Any) -> Any:
    """A class method without the shape checks of the test run, as a user without them calls it."""
    plain = inspect.unwrap(function.__func__)
    return lambda array: plain(Lungs, array)


def two_boxes(shape: tuple[int, int] = (60, 80)) -> npt.NDArray[np.bool_]:
    h, w = shape
    mask = np.zeros(shape, bool)
    mask[h // 6 : -h // 6, w // 8 : 3 * w // 8] = mask[h // 6 : -h // 6, 5 * w // 8 : 7 * w // 8] = True
    return mask


def test_known_labels_are_trusted() -> None:
    labels = np.zeros((20, 30), np.uint8)
    labels[5:10, 3:9], labels[5:10, 20:26] = RIGHT, LEFT
    lungs = Lungs.from_labels(labels)
    assert lungs.found
    assert lungs.confidence == (1.0, 1.0)
    assert lungs.reasons == ()
    assert lungs.right.sum() == lungs.left.sum() == 30
    assert (lungs.mask == (labels > 0)).all()
    assert lungs.right.dtype == lungs.left.dtype == lungs.mask.dtype == np.bool_


@pytest.mark.parametrize(
    ("side", "confidence", "reason"),
    [(RIGHT, (1.0, 0.0), "left lung not labelled"), (LEFT, (0.0, 1.0), "right lung not labelled")],
)
def test_one_missing_lung_is_named(side: int, confidence: tuple[float, float], reason: str) -> None:
    labels = np.zeros((20, 30), np.uint8)
    labels[4:9, 4:9] = side
    lungs = Lungs.from_labels(labels)
    assert not lungs.found
    assert lungs.confidence == confidence
    assert lungs.reasons == (reason,)


@pytest.mark.parametrize("labels", [np.zeros((4, 4), np.int64), np.zeros((4, 4), bool), np.zeros((2, 4, 4), np.uint8)])
def test_labels_of_another_kind_are_refused(labels: npt.NDArray[Any]) -> None:
    with pytest.raises(ImageError, match=r"must be uint8 \(h, w\), not"):
        unchecked(Lungs.from_labels)(labels)


def test_other_label_values_are_refused() -> None:
    with pytest.raises(ImageError, match="found 3"):
        Lungs.from_labels(np.full((4, 4), 3, np.uint8))


def test_each_component_goes_to_its_side() -> None:
    mask = two_boxes()
    mask[20:23, 32:34] = True  # a speck beside the right lung
    lungs = Lungs.from_mask(mask)
    assert lungs.found
    assert (lungs.mask == mask).all()
    assert not lungs.right[:, 40:].any()
    assert not lungs.left[:, :40].any()


def test_a_mirrored_mask_swaps_sides() -> None:
    mask = two_boxes()
    mask[20:30, 10:14] = True
    here, there = Lungs.from_mask(mask), Lungs.from_mask(mask[:, ::-1].copy())
    assert (here.right[:, ::-1] == there.left).all()
    assert (here.left[:, ::-1] == there.right).all()


def test_joined_lungs_are_cut_at_the_middle() -> None:
    mask = two_boxes()
    mask[30, 25:55] = True
    lungs = Lungs.from_mask(mask)
    assert lungs.right.sum() == lungs.left.sum()
    assert (lungs.mask == mask).all()
    assert not lungs.right[:, 40:].any()


def test_the_middle_is_that_of_the_lungs_not_of_the_film() -> None:
    mask = np.zeros((60, 100), bool)
    mask[10:50, 5:25] = mask[10:50, 45:65] = True  # a patient standing to one side
    lungs = Lungs.from_mask(mask)
    assert lungs.right.sum() == lungs.left.sum() == 800
    assert not lungs.left[:, :30].any()


@pytest.mark.parametrize(("columns", "name"), [(slice(8, 36), "left"), (slice(66, 94), "right")])
def test_a_single_lung_is_not_made_two(columns: slice, name: str) -> None:
    mask = np.zeros((60, 100), bool)
    mask[10:50, columns] = True
    lungs = Lungs.from_mask(mask)
    assert lungs.reasons == (f"{name} lung not labelled",)
    assert (lungs.mask == mask).all()


def test_an_empty_mask_has_no_lungs() -> None:
    lungs = Lungs.from_mask(np.zeros((7, 9), bool))
    assert not lungs.found
    assert not lungs.mask.any()
    assert lungs.labels.shape == (7, 9)
    assert len(lungs.reasons) == 2


@pytest.mark.parametrize("mask", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 1), bool)])
def test_masks_of_another_kind_are_refused(mask: npt.NDArray[Any]) -> None:
    with pytest.raises(ImageError, match="must be bool"):
        unchecked(Lungs.from_mask)(mask)


def test_another_grid_keeps_everything_else() -> None:
    lungs = Lungs(Lungs.from_mask(two_boxes()).labels, (0.7, 0.3), ("left lung uncertain",))
    larger = lungs.resized((120, 240))
    assert larger.labels.shape == (120, 240)
    assert larger.labels.dtype == np.uint8
    assert (larger.labels == np.kron(lungs.labels, np.ones((2, 3), np.uint8))).all()
    assert (larger.confidence, larger.reasons) == (lungs.confidence, lungs.reasons)
    assert (larger.resized((60, 80)).labels == lungs.labels).all()


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (-1, 4)])
def test_a_grid_without_pixels_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="at least one row"):
        Lungs.from_mask(two_boxes()).resized(shape)
