"""True lesions of every kind against pycocotools and plain loops."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from artasyn.arrays import Mask
from artasyn.errors import DataError, RadiographError
from artasyn.files.radiograph import write_mask
from artasyn.testsets.truth import CocoRegions, MaskFile, RelativeRuns, resized


def drawn(shape: tuple[int, int], seed: int = 0) -> Mask:
    return np.random.default_rng(seed).random(shape) < 0.4


def relative(mask: Mask) -> str:
    """Pixel by pixel down the columns: how far to the next run, how long it is."""
    code, gap, length = [], 0, 0
    for value in [*(mask[row, column] for column in range(mask.shape[1]) for row in range(mask.shape[0])), False]:
        if value:
            length += 1
        elif length:
            code += [gap, length]
            gap, length = 1, 0
        else:
            gap += 1
    return " ".join(map(str, code))


def compressed(mask: Mask) -> dict[str, Any]:
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": code["counts"].decode("ascii")}


def test_a_mask_file_comes_on_the_films_grid(tmp_path: Path) -> None:
    mask = drawn((12, 10))
    write_mask(tmp_path / "mask.png", mask)
    truth = MaskFile(tmp_path / "mask.png")
    assert (truth.on((12, 10)) == mask).all()
    assert (truth.on((24, 20)) == np.kron(mask, np.ones((2, 2), bool))).all()
    assert (resized(truth.on((24, 20)), (12, 10)) == mask).all()
    (tmp_path / "mask.png").unlink()
    with pytest.raises(RadiographError, match="does not exist"):
        truth.on((12, 10))


def test_relative_runs_go_down_the_columns_and_several_are_united() -> None:
    one, other = drawn((9, 13), 1), drawn((9, 13), 2)
    assert (RelativeRuns((relative(one),), (9, 13)).on((9, 13)) == one).all()
    assert (RelativeRuns((relative(one), relative(other)), (9, 13)).on((9, 13)) == one | other).all()
    assert RelativeRuns(("0 117",), (9, 13)).on((9, 13)).all()


@pytest.mark.parametrize("code", ["5", "1 2 3", "1 2 x 4", "-1 2", "1.5 2", "110 20", "", "1 ²"])
def test_damaged_relative_runs_are_refused(code: str) -> None:
    with pytest.raises(DataError, match="damaged run lengths"):
        RelativeRuns((code,), (9, 13)).on((9, 13))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]))
@settings(max_examples=50, deadline=None)
def test_compressed_run_lengths_are_read_as_pycocotools_writes_them(
    rows: int, columns: int, seed: int, share: float
) -> None:
    mask = np.random.default_rng(seed).random((rows, columns)) < share
    regions = CocoRegions((compressed(mask),), (rows, columns))
    assert (regions.on((rows, columns)) == mask).all()
    assert len(regions.drawn.segmentations) == mask.any()


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.02, 0.5, 1.0])), max_size=5),
    st.integers(1, 20),
)
@settings(max_examples=50, deadline=None)
def test_regions_are_united_as_their_masks(drawings: list[tuple[int, float]], rows: int) -> None:
    masks = [np.random.default_rng(seed).random((rows, 7)) < share for seed, share in drawings]
    found = CocoRegions(tuple(compressed(mask) for mask in masks), (rows, 7)).whole
    assert (found == np.logical_or.reduce([np.zeros((rows, 7), bool), *masks])).all()


@given(
    st.lists(
        st.lists(st.tuples(st.floats(-90, 90), st.floats(-90, 90)), min_size=3, max_size=6), min_size=1, max_size=3
    )
)
@settings(max_examples=50, deadline=None)
def test_polygons_are_filled_as_pycocotools_fills_them(polygons: list[list[tuple[float, float]]]) -> None:
    flat = [[side for corner in polygon for side in corner] for polygon in polygons]
    exact = coco.decode(coco.merge(coco.frPyObjects(flat, 20, 30))) > 0
    assert (CocoRegions((flat,), (20, 30)).whole == exact).all()


def test_many_regions_of_a_large_grid_cost_little() -> None:
    region = {"size": [8000, 8000], "counts": [5, 1, 8000 * 8000 - 6]}
    start = time.perf_counter()
    assert CocoRegions((region,) * 500, (8000, 8000)).whole.sum() == 1
    assert time.perf_counter() - start < 5


def test_long_runs_and_plain_ones() -> None:
    mask = np.zeros((1024, 700), bool)
    mask[3:900, 20:600] = True
    plain = [20 * 1024 + 3, *[897, 127] * 579, 897, 124 + 100 * 1024]
    for region in (compressed(mask), {"size": [1024, 700], "counts": plain}):
        assert (CocoRegions((region,), (1024, 700)).on((1024, 700)) == mask).all()


def test_polygons_are_filled_and_united_with_run_lengths() -> None:
    box, triangle = [4.0, 2.0, 10.0, 2.0, 10.0, 8.0, 4.0, 8.0], [20, 5, 30, 5, 20, 15]
    found = CocoRegions(([box, triangle],), (20, 32)).on((20, 32))
    rows, columns = np.mgrid[:20, :32] + 0.5
    exact = (rows > 2) & (rows < 8) & (columns > 4) & (columns < 10)
    slope = rows - 5 + columns - 20
    exact |= (rows > 5) & (columns > 20) & (slope < 10)
    sure = abs(slope - 10) > 1.5
    assert (found == exact)[sure].all()
    more = drawn((20, 32), 5)
    both = CocoRegions(([box, triangle], compressed(more)), (20, 32)).on((20, 32))
    assert (both == found | more).all()


@pytest.mark.parametrize(
    "region",
    [
        {"size": [8, 8], "counts": "0"},
        {"size": [8, 8], "counts": "P"},
        {"size": [8, 8], "counts": ""},
        {"size": [8, 8], "counts": "é1"},
        {"size": [8, 8], "counts": "o" * 30},
        {"size": [8, 8], "counts": [60, 5]},
        {"size": [8, 8], "counts": [70, -6]},
        {"size": [8, 8], "counts": [64.0]},
        {"size": [8, 9], "counts": [72]},
        {"counts": [64]},
        {"size": [8, 8]},
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5, 6, 7]],
        [[1, 2, 3, 4, 5, float("nan")]],
        [["a"] * 6],
        [],
        "08",
    ],
)
def test_damaged_regions_are_refused_and_count_as_drawn(region: Any) -> None:
    regions = CocoRegions((region,), (8, 8))
    with pytest.raises(DataError, match=r"damaged|run lengths of a grid"):
        regions.on((8, 8))
    assert regions.drawn.segmentations == (region,)
