"""What a test set refuses and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from artasyn.bulk.sources import Source
from artasyn.errors import DataError
from artasyn.testsets.testset import TestFilm, TestSet
from artasyn.testsets.truth import MaskFile, RelativeRuns


def film(name: str, diseased: bool = True, **known: Any) -> TestFilm:
    return TestFilm(Source(Path(f"{name}.png"), name), diseased, **known)


def test_lesions_of_a_film() -> None:
    truth = RelativeRuns(("0 4",), (4, 4))
    lesions = film("a", truth=truth).lesions((8, 8))
    assert lesions is not None
    assert lesions[:, :2].all()
    assert not lesions[:, 2:].any()
    assert film("a").lesions((8, 8)) is None
    for known in (None, RelativeRuns(("0 0",), (4, 3))):
        healthy = film("a", False, truth=known).lesions((8, 6))
        assert healthy is not None
        assert healthy.shape == (8, 6)
        assert not healthy.any()


def test_a_healthy_film_has_no_lesions_and_no_mask_of_another_shape() -> None:
    with pytest.raises(DataError, match="a is healthy but has lesions; correct the label or the mask"):
        film("a", False, truth=RelativeRuns(("0 4",), (4, 4))).lesions((8, 8))
    with pytest.raises(DataError, match="on 4 x 4 pixels is of another aspect ratio than the film of 8 x 6"):
        film("a", False, truth=RelativeRuns(("0 0",), (4, 4))).lesions((8, 6))


def test_boxes_come_on_the_films_grid_cut_at_its_edges() -> None:
    box = (10.0, 20.0, 30.0, 8.0)
    assert film("a", boxes=(box,)).boxes_on((100, 50)) == (box,)
    assert film("a", boxes=(box,), frame=(100, 50)).boxes_on((200, 25)) == ((20.0, 10.0, 60.0, 4.0),)
    assert film("a", boxes=((-2.0, 1.0, 8.0, 100.0),)).boxes_on((30, 90)) == ((0.0, 1.0, 6.0, 89.0),)
    assert film("a").boxes_on((3, 3)) == ()
    for wrong in ((90.0, 0.0, 30.0, 10.0), (0.0, 60.0, 5.0, 5.0), (-9.0, 0.0, 4.0, 4.0)):
        with pytest.raises(DataError, match=r"outside the film of 100 x 50 pixels; use the films in the size"):
            film("a", boxes=(wrong,)).boxes_on((100, 50))
    with pytest.raises(DataError, match="100 x 50 pixels is of another aspect ratio than the film of 25 x 50"):
        film("a", boxes=(box,), frame=(100, 50)).boxes_on((25, 50))


def test_what_no_test_set_can_be() -> None:
    truth = MaskFile(Path("mask.png"))
    with pytest.raises(DataError, match=r"without films; left out: 2 lateral \(x, y\)"):
        TestSet("folder", (), {"lateral": ["x", "y"]})
    with pytest.raises(DataError, match="several films are called a; give"):
        TestSet("folder", (film("a"), film("b"), film("a", False)))
    with pytest.raises(DataError, match=r"no mask for 2 of 3 diseased films \(b, c\); add .* missing is not empty"):
        TestSet("folder", (film("a", truth=truth), film("b"), film("c"), film("d", False)))
    with pytest.raises(DataError, match="healthy films with boxes around lesions: a"):
        TestSet("folder", (film("a", False, boxes=((1.0, 1.0, 1.0, 1.0),)),))


def test_a_test_set_says_what_it_holds() -> None:
    truth, lungs = MaskFile(Path("mask.png")), Path("lungs.png")
    films = (film("a", truth=truth, lungs=lungs), film("b", False, lungs=lungs), film("c", False))
    test = TestSet("nih", films, {"lateral": list("vwxyz"), "damaged": []}, "Labels were read by a program.")
    assert test.summary == (
        "Layout nih: 3 films, 2 healthy and 1 diseased; 1 with masks, 0 with boxes, 2 with lungs. "
        "Left out: 5 lateral (v, w, x, ...). Labels were read by a program."
    )
    assert (test.has_masks, test.has_boxes, test.has_lungs) == (True, False, False)
    boxed = TestSet("rsna", (film("a", boxes=((1.0, 1.0, 1.0, 1.0),)), film("b")))
    assert (boxed.has_masks, boxed.has_boxes) == (False, True)
    assert boxed.summary.endswith("0 with masks, 1 with boxes, 0 with lungs.")
