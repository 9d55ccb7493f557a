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
    return lambda array, **options: plain(Lungs, array, **options)


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


# Labels or a mask, by the values.


@pytest.mark.parametrize(
    "given",
    [
        two_boxes(),
        two_boxes()[None],
        two_boxes()[:, :, None],
        two_boxes()[None, None],
        *(two_boxes().astype(dtype) for dtype in (np.uint8, np.int8, np.uint16, np.int64, np.float16, np.float64)),
        *(two_boxes() * dtype(255) for dtype in (np.uint8, np.int16, np.float32)),
        two_boxes() * np.uint16(65535),
        np.asfortranarray(two_boxes().astype(np.uint8)),
        *(Lungs.from_mask(two_boxes()).labels.astype(dtype) for dtype in (np.uint8, np.int64, np.float32)),
    ],
)
def test_the_values_tell_labels_from_a_mask(given: npt.NDArray[Any]) -> None:
    before = given.copy()
    lungs = unchecked(Lungs.from_array)(given)
    assert (lungs.labels == Lungs.from_mask(two_boxes()).labels).all()
    assert lungs.labels.dtype == np.uint8
    assert (given == before).all()


@pytest.mark.parametrize("values", [(1, 2), (2, 1), (0, 2)])
def test_labels_with_a_two_are_trusted(values: tuple[int, int]) -> None:
    labels = np.where(np.arange(80) < 40, *values) * two_boxes()  # also of a mirrored radiograph
    assert (Lungs.from_array(labels.astype(np.uint8)).labels == labels).all()


def one_lung(columns: slice) -> npt.NDArray[np.uint8]:
    labels = np.zeros((60, 100), np.uint8)
    labels[10:50, columns] = 1
    return labels


@pytest.mark.parametrize("columns", [slice(5, 40), slice(5, 50), slice(20, 54)])
def test_ones_on_the_left_of_the_image_are_the_right_lung(columns: slice) -> None:
    labels = one_lung(columns)
    assert (Lungs.from_array(labels).labels == labels).all()  # not cut where it reaches over the middle


@pytest.mark.parametrize("columns", [slice(60, 95), slice(50, 95), slice(46, 90)])
def test_ones_on_the_right_of_the_image_are_refused_unless_told(columns: slice) -> None:
    labels = one_lung(columns)
    with pytest.raises(ImageError, match="give a bool mask, or labels with 2"):
        Lungs.from_array(labels)
    assert (Lungs.from_array(labels, labelled=True).labels == labels).all()
    assert Lungs.from_array(labels, labelled=False).left.any()
    assert Lungs.from_array(255 * labels).left.any()
    assert Lungs.from_array(labels > 0).left.any()


def test_ones_on_both_sides_are_both_lungs() -> None:
    small = one_lung(slice(5, 40))
    small[30:40, 70:76] = 1  # a lung that is nearly gone
    speck = one_lung(slice(5, 40))
    speck[30, 70] = 1
    joined = one_lung(slice(10, 90))
    assert Lungs.from_array(small).found
    assert Lungs.from_array(joined).found
    assert (Lungs.from_array(speck).labels == speck).all()
    assert (Lungs.from_array(joined, labelled=True).labels == joined).all()


@pytest.mark.parametrize(
    ("values", "labelled", "message"),
    [
        (two_boxes() * 3, None, "found the values 0, 3"),
        (two_boxes() * 3, True, "found the values 0, 3"),
        (two_boxes() * 255, True, "found the values 0, 255"),
        (two_boxes() * -1, None, "found the values -1, 0"),
        (two_boxes() * 0.5, None, "found the values 0, 0.5"),
        (two_boxes() * np.nan, None, "found the values nan"),
        (np.arange(4800).reshape(60, 80), None, "found the values 0, 1, 2, 3, 4, 5$"),
        (np.where(two_boxes(), 255, 1), None, "found the values 1, 255"),
        (np.zeros(9), None, r"not float64 \(9,\)"),
        (np.zeros((60, 80, 3)), None, r"not float64 \(60, 80, 3\)"),
        (np.zeros((60, 80), complex), None, "not complex128"),
        (np.zeros((60, 80), str), None, "not <U1"),
    ],
)
def test_values_that_are_neither_are_refused(values: npt.NDArray[Any], labelled: bool | None, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        unchecked(Lungs.from_array)(values, labelled=labelled)


def test_any_values_are_a_mask_if_told() -> None:
    assert (Lungs.from_array(two_boxes() * 7, labelled=False).labels == Lungs.from_mask(two_boxes()).labels).all()
    assert not Lungs.from_array(np.zeros((60, 80))).mask.any()
    assert Lungs.from_array(np.zeros((0, 80))).labels.shape == (0, 80)


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


def tilted(columns: npt.NDArray[Any], right: tuple[int, int], left: tuple[int, int]) -> Lungs:
    """Lungs whose edges lie that far on either side of a line, which is given by its column in each row."""
    across = np.arange(120)[None] - columns[:, None]
    labels = np.zeros((len(columns), 120), np.uint8)
    labels[(-right[1] <= across) & (across <= -right[0])] = RIGHT
    labels[(left[0] <= across) & (across <= left[1])] = LEFT
    labels[:10] = labels[-10:] = 0
    return Lungs.from_labels(labels)


@pytest.mark.parametrize("lean", [-0.2, 0.0, 0.15])
def test_the_midline_lies_between_the_outer_edges_and_leans_with_the_patient(lean: float) -> None:
    columns = 55 + lean * np.arange(80)
    lungs = tilted(columns, right=(5, 40), left=(20, 40))  # a large heart pushes the left lung's inner edge out
    assert lungs.midline.shape == (80,)
    assert lungs.midline.dtype == np.float32
    assert np.abs(lungs.midline - columns).max() < 1


@pytest.mark.parametrize("labels", [(), (RIGHT,), (LEFT,)])
def test_without_two_lungs_the_midline_is_the_middle_of_the_image(labels: tuple[int, ...]) -> None:
    mask = np.zeros((20, 31), np.uint8)
    for label in labels:
        mask[3:9, 4:9] = label
    assert (Lungs.from_labels(mask).midline == 15).all()


def test_heights_and_widths_are_those_of_each_lung() -> None:
    labels = np.zeros((50, 60), np.uint8)
    labels[5:45, 4:20], labels[10:40, 35:57] = RIGHT, LEFT
    lungs = Lungs.from_labels(labels)
    assert (lungs.heights, lungs.widths) == ((40, 30), (16, 22))
    labels[labels == LEFT] = 0
    lungs = Lungs.from_labels(labels)
    assert (lungs.heights, lungs.widths) == ((40, 0), (16, 0))


def test_levels_are_thirds_of_each_lungs_own_height() -> None:
    labels = np.zeros((60, 60), np.uint8)
    labels[0:30, 5:25], labels[20:50, 35:55] = RIGHT, LEFT
    lungs = Lungs.from_labels(labels)
    for name, right, left in (("upper", 0, 20), ("middle", 10, 30), ("lower", 20, 40)):
        expected = np.zeros(labels.shape, bool)
        expected[right : right + 10, 5:25] = expected[left : left + 10, 35:55] = True
        assert (lungs.zone(name) == expected).all()  # type: ignore[arg-type]


def test_zones_divide_the_lungs() -> None:
    rng = np.random.default_rng(3)
    mask = two_boxes()
    mask[:, 20] &= rng.random(len(mask)) < 0.5  # ragged
    lungs = Lungs.from_mask(mask)
    for names in (("upper", "middle", "lower"), ("central", "peripheral")):
        zones = np.stack([lungs.zone(name) for name in names])
        assert (zones.sum(axis=0) == lungs.mask).all()
        assert all(zone.any() for zone in zones)


def test_the_periphery_is_the_third_along_the_ribs() -> None:
    lungs = tilted(np.full(80, 59), right=(9, 38), left=(9, 38))
    peripheral = lungs.zone("peripheral")
    assert peripheral[40].nonzero()[0].tolist() == [*range(21, 31), *range(88, 98)]
    mirrored = Lungs.from_mask(lungs.mask[:, ::-1].copy())
    assert (mirrored.zone("peripheral")[:, ::-1] == peripheral).all()


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no zone 'apical'; choose upper"):
        inspect.unwrap(Lungs.zone)(Lungs.from_mask(two_boxes()), "apical")
    with pytest.raises(ValueError, match="no zone 'apical'; choose upper"):
        inspect.unwrap(Lungs.zone)(Lungs.from_mask(np.zeros((9, 9), bool)), "apical")


def test_zones_of_a_single_lung_are_its_own() -> None:
    labels = np.zeros((30, 40), np.uint8)
    labels[3:27, 20:35] = LEFT
    lungs = Lungs.from_labels(labels)
    assert lungs.zone("upper").sum() == 8 * 15
    assert lungs.zone("peripheral").sum() == 24 * 5
    assert not Lungs.from_labels(np.zeros((30, 40), np.uint8)).zone("middle").any()
