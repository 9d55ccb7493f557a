"""The mean outline, and the boxes in which films look like it, on films drawn in known boxes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from artasyn.arrays import Image
from artasyn.segment.pbtseg.outline import (
    _TRUER,
    ABOVE_HEART,
    COSTAL,
    DIAPHRAGM,
    HEART,
    MEAN,
    POINTS,
    Boxes,
    _fits,
    _tried,
    find_boxes,
    pose_fits,
)

BOXES = [
    (0.10, 0.10, 0.88, 0.90),
    (0.20, 0.15, 0.80, 0.85),
    (0.15, 0.05, 0.75, 0.85),
    (0.05, 0.10, 0.85, 0.95),
    (0.20, 0.20, 0.85, 0.80),
]


def drawn(*box: float, rows: int = 192, columns: int = 192) -> Image:
    """A film that is dark exactly within the mean outlines in a box."""
    size = 768
    outlines = Boxes(np.array([box], np.float32), np.ones(1, np.float32)).outlines(size)[0]
    film = np.full((size, size), 0.8, np.float32)
    cv2.fillPoly(film, list(np.round(outlines).astype(np.int32)), (0.2,))
    return np.asarray(cv2.resize(film, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


def test_the_mean_outlines_fill_their_box() -> None:
    assert MEAN.shape == (2, POINTS, 2)
    assert 0 <= MEAN.min() < 0.02
    assert 0.98 < MEAN.max() <= 1
    assert np.ptp(MEAN, axis=(0, 1)) == pytest.approx([1, 1], abs=0.03)


def test_the_right_lung_lies_on_the_left_of_the_picture() -> None:
    assert MEAN[0, :, 0].max() < 0.5 < MEAN[1, :, 0].min()


def test_every_point_lies_along_one_part() -> None:
    points = np.concatenate([np.arange(POINTS)[part] for part in (COSTAL, DIAPHRAGM, HEART, ABOVE_HEART)])
    assert points.tolist() == list(range(POINTS))


def test_parts_lie_where_their_names_say() -> None:
    from_middle, rows = np.abs(MEAN[..., 0] - 0.5), MEAN[..., 1]
    assert rows[:, DIAPHRAGM].min() > 0.75
    assert rows[:, ABOVE_HEART].max() < rows[:, HEART].mean() < rows[:, DIAPHRAGM].mean()
    assert from_middle[:, COSTAL].mean() > from_middle[:, HEART].mean() > from_middle[:, ABOVE_HEART].mean()


def test_outlines_lie_in_their_boxes() -> None:
    edges = np.array([[0.25, 0.5, 0.75, 1.0], [0.1, 0.2, 0.9, 0.6]], np.float32)
    outlines = Boxes(edges, np.zeros(2, np.float32)).outlines(100)
    assert outlines.shape == (2, 2, POINTS, 2)
    for outline, (top, left, bottom, right) in zip(outlines, edges, strict=True):
        (first, highest), (last, lowest) = outline.min(axis=(0, 1)), outline.max(axis=(0, 1))
        assert (highest, first, lowest, last) == pytest.approx(
            [100 * edge - 0.5 for edge in (top, left, bottom, right)], abs=1
        )


@pytest.mark.parametrize(("rows", "columns"), [(192, 192), (64, 64), (320, 200)])
@pytest.mark.parametrize("box", BOXES, ids=str)
def test_the_box_of_a_drawn_outline_is_found(box: tuple[float, ...], rows: int, columns: int) -> None:
    found = find_boxes(drawn(*box, rows=rows, columns=columns), 1)
    above, below, beside = _TRUER
    assert found.edges[0] + [above, beside, -below, -beside] == pytest.approx(box, abs=0.05)
    assert found.fit[0] > 0.85


def test_several_boxes_come_best_first_and_differ() -> None:
    found = find_boxes(drawn(*BOXES[0]), 4)
    assert found.edges.shape == (4, 4)
    assert (np.diff(found.fit) <= 0).all()
    for i in range(4):
        for j in range(i):
            assert np.abs(found.edges[i] - found.edges[j]).max() >= 0.059
    assert (find_boxes(drawn(*BOXES[0]), 1).edges[0] == found.edges[0]).all()


def test_no_more_boxes_come_than_there_are() -> None:
    found = find_boxes(drawn(*BOXES[0]), 1000)
    assert 4 < len(found.edges) < 1000
    assert len(found.edges) == len(found.fit)


def test_contrast_and_brightness_do_not_matter() -> None:
    film = drawn(*BOXES[1])
    one, other = find_boxes(film, 2), find_boxes((0.4 + 0.3 * film).astype(np.float32), 2)
    assert (one.edges == other.edges).all()
    assert one.fit == pytest.approx(other.fit, abs=1e-3)


def test_an_even_film_gets_a_usual_box_that_does_not_fit() -> None:
    found = find_boxes(np.full((160, 160), 0.5, np.float32), 1)
    top, left, bottom, right = found.edges[0]
    assert (top + bottom) / 2 == pytest.approx(0.47, abs=0.1)
    assert (left + right) / 2 == pytest.approx(0.5, abs=0.05)
    assert abs(found.fit[0]) < 0.05


def test_fits_are_correlations_within_windows() -> None:
    tried = _tried()
    films = np.random.default_rng(3).random((3, 20, 20), np.float32)
    fits, pictures = _fits(films), tried.pictures.reshape(-1, 20, 20)
    assert fits.shape == (3, len(pictures))
    for box in range(0, len(pictures), 101):
        picture, small = pictures[box], films[box % 3]
        rows, columns = (slice(places.min(), places.max() + 1) for places in np.nonzero(picture))
        window = picture[rows, columns]
        assert window.size == tried.pixels[tried.window[box]]
        assert fits[box % 3, box] == pytest.approx(
            np.corrcoef(window.ravel(), small[rows, columns].ravel())[0, 1], abs=1e-3
        )


def test_boxes_lie_on_the_film_or_a_little_beyond() -> None:
    top, left, bottom, right = _tried().edges.T
    assert min(top.min(), left.min()) >= -0.051
    assert max(bottom.max(), right.max()) <= 1.051
    assert ((bottom - top > 0.4) & (right - left > 0.5)).all()


@pytest.mark.parametrize("box", BOXES, ids=str)
@pytest.mark.parametrize("pose", range(8))
def test_a_turned_or_inverted_film_fits_in_its_pose(pose: int, box: tuple[float, ...]) -> None:
    film = drawn(*box)
    upright = float(find_boxes(film, 1).fit[0])
    wrong = np.ascontiguousarray((film, np.rot90(film), film[::-1], np.rot90(film, 3))[pose % 4])
    fits = pose_fits(1 - wrong if pose >= 4 else wrong)
    assert fits.argmax() == pose
    assert fits[pose] == pytest.approx(upright, abs=0.03)
    assert np.delete(fits, pose).max() < upright - 0.1
