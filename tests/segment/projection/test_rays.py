"""Line integrals: against samples taken one by one, between slices, with every kind of grid and view."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from artasyn.errors import DataError
from artasyn.segment.projection.rays import Rays, _slabs
from artasyn.segment.projection.view import Exposure, View

SHAPE = (14, 17, 12)
SPACING = (3.0, 2.0, 2.5)
VALUES = np.random.default_rng(3).random(SHAPE).astype(np.float32)
VALUES[:, 3:6, :4] = 0


def turned(degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """An affine, turned about all three axes."""
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = [-s for s in SPACING]
    for axis, angle in enumerate(np.radians(degrees)):
        one, other = (i for i in range(3) if i != axis)
        turn = np.eye(4)
        turn[[one, other], [one, other]] = np.cos(angle)
        turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
        affine = turn @ affine
    affine[:, 3] = 10, -20, 30, 1
    return affine


def rays(view: View, affine: np.ndarray | None = None, shape: tuple[int, int, int] = SHAPE) -> Rays:
    affine = turned() if affine is None else affine
    exposure = Exposure.of(view, affine, shape)
    return Rays(exposure, affine, shape, exposure.pixel / view.magnification)


def whole(rays: Rays, voxels: np.ndarray, start: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    total = np.zeros(rays.exposure.size, np.float32)
    part, integral = rays.through(voxels, start)
    total[part] = integral
    return total


def ends(rays: Rays) -> tuple[np.ndarray, np.ndarray]:
    """A point of every ray and its direction, in voxels (h, w, 3)."""
    exposure = rays.exposure
    r, c = np.meshgrid(*map(np.arange, exposure.size), indexing="ij")
    pixels = exposure.corner + r[..., None] * exposure.row + c[..., None] * exposure.column
    way = np.broadcast_to(exposure.source, pixels.shape) if exposure.parallel else pixels - exposure.source
    inverse = np.linalg.inv(rays.affine)
    return pixels @ inverse[:3, :3].T + inverse[:3, 3], way @ inverse[:3, :3].T


def sampled(rays: Rays, voxels: np.ndarray) -> np.ndarray:
    """The same integrals: every slice interpolated at every ray, times the way from slice to slice."""
    pixels, way = ends(rays)
    total = np.zeros(rays.exposure.size)
    for number in range(voxels.shape[rays.axis]):
        steps = (number - pixels[..., rays.axis]) / way[..., rays.axis]
        at = pixels + steps[..., None] * way
        at[..., rays.axis] = number
        total += ndimage.map_coordinates(
            voxels.astype(np.float64), np.moveaxis(at, -1, 0), order=1, mode="grid-constant", cval=0.0
        )
    length = np.linalg.norm(way @ rays.affine[:3, :3].T, axis=-1) / np.abs(way[..., rays.axis])
    return np.asarray(total * length)


@pytest.mark.parametrize("distance", [None, 400.0])
@pytest.mark.parametrize("degrees", [(0.0, 0.0, 0.0), (11.0, -7.0, 20.0)])
@pytest.mark.parametrize(
    "options",
    [
        {"angle": 10.0},
        {"angle": 44.0, "tilt": 12.0},
        {"angle": 90.0, "roll": 33.0},
        {"angle": 150.0, "tilt": -25.0},
        {"tilt": 58.0},
        {"angle": -100.0, "shift": (4.0, 9.0)},
    ],
)
def test_integrals_are_those_of_samples_one_by_one(
    options: dict[str, Any], degrees: tuple[float, float, float], distance: float | None
) -> None:
    chosen = rays(View(source_to_detector=distance, size=(40, 44), pixel=0.7, **options), turned(degrees))
    if chosen.together > 1:
        chosen = Rays(chosen.exposure, chosen.affine, chosen.shape, 1e-9)  # no slices are added before
    expected = sampled(chosen, VALUES)
    assert expected.max() > 10
    np.testing.assert_allclose(whole(chosen, VALUES), expected, atol=0.006 * expected.max())


def test_the_axis_is_the_one_that_rays_follow() -> None:
    assert rays(View(0.0)).axis == 1
    assert rays(View(90.0)).axis == 2
    assert rays(View(0.0, tilt=60.0)).axis == 0


def test_a_box_is_integrated_where_it_lies() -> None:
    chosen = rays(View(25.0, tilt=5.0, source_to_detector=500.0, size=(48, 48)))
    box = slice(4, 9), slice(2, 12), slice(5, 11)
    alone = np.zeros(SHAPE, np.float32)
    alone[box] = VALUES[box]
    start = (4, 2, 5)
    np.testing.assert_allclose(whole(chosen, VALUES[box], start), whole(chosen, alone), atol=1e-3)
    part, _ = chosen.through(VALUES[box], start)
    assert part[0].stop - part[0].start < 48


@pytest.mark.parametrize("pixel", [1e-9, 1.0, 1e9])  # one slice, a few, and all slices are added before a warp
@pytest.mark.parametrize("options", [{"angle": 25.0}, {"angle": 80.0}, {"tilt": 58.0}], ids=str)
def test_bool_voxels_count_as_one(options: dict[str, Any], pixel: float) -> None:
    chosen = dataclasses.replace(rays(View(size=(48, 48), **options)), pixel=pixel)
    mask = VALUES > 0.5
    np.testing.assert_array_equal(whole(chosen, mask), whole(chosen, mask.astype(np.float32)))
    box = slice(1, 9), slice(2, 16), slice(3, 11)
    within = whole(chosen, mask[box], (1, 2, 3))
    np.testing.assert_array_equal(within, whole(chosen, mask[box].astype(np.float32), (1, 2, 3)))
    assert within.max() > 5


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("together", [1, 2, 5, 300, 1000])
def test_slices_are_added_in_groups_of_the_volume(axis: int, together: int) -> None:
    shape = [6, 7, 8]
    shape[axis] = 310
    generator = np.random.default_rng(together)
    for start in (0, 3, 298):
        mask = generator.random(shape) > 0.4
        slabs, number = _slabs(mask, axis, start, together)
        slices = list(np.moveaxis(mask, axis, 0))
        groups = np.arange(start, start + 310) // together
        assert number == groups[0]
        for slab, group in zip(slabs, range(groups[0], groups[-1] + 1), strict=True):
            added = sum(each.astype(int) for each, of in zip(slices, groups, strict=True) if of == group)
            np.testing.assert_array_equal(slab, added)
        values = generator.random(shape, np.float32)
        summed, _ = _slabs(values, axis, start, together)
        np.testing.assert_allclose(summed.sum(axis=0), values.sum(axis=axis, dtype=np.float64), rtol=1e-5)


@pytest.mark.parametrize("angle", [0.0, 90.0, 180.0])
def test_along_an_axis_of_the_grid_parallel_rays_are_sums(angle: float) -> None:
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = -3, -3, -3, 1
    chosen = rays(View(angle, source_to_detector=None, size=None), affine)
    assert chosen.together == SHAPE[chosen.axis]
    np.testing.assert_allclose(whole(chosen, VALUES), 3 * VALUES.sum(axis=chosen.axis), rtol=1e-5)


def test_slices_are_added_only_where_rays_hardly_move_aside() -> None:
    view = View(2.0, source_to_detector=None, size=(60, 60))
    coarse, fine = rays(view), Rays(rays(view).exposure, turned(), SHAPE, 0.05)
    assert coarse.together > 1
    assert fine.together == 1
    smooth = ndimage.gaussian_filter(VALUES, 2.0)
    difference = np.abs(whole(coarse, smooth) - whole(fine, smooth))
    assert difference.max() < 0.05 * whole(fine, smooth).max()
    assert difference.mean() < 0.005 * whole(fine, smooth).max()


def test_nothing_gives_nothing() -> None:
    part, integral = rays(View(30.0)).through(np.zeros(SHAPE, bool), (0, 0, 0))
    assert integral.size == 0
    assert part == (slice(0, 0), slice(0, 0))
    beside = rays(View(0.0, size=(32, 32), pixel=1.0, shift=(900.0, 0.0)))
    assert not whole(beside, VALUES).any()


@pytest.mark.parametrize("distance", [None, 300.0])
@pytest.mark.parametrize(("angle", "tilt"), [(0.0, 0.0), (0.0, 20.0), (65.0, -30.0), (90.0, 35.0)])
def test_coverage_is_the_share_of_the_way_that_is_scanned(angle: float, tilt: float, distance: float | None) -> None:
    chosen = rays(View(angle, tilt, source_to_detector=distance, size=(20, 20)))
    box = slice(0, 14), slice(2, 15), slice(1, 10)
    pixels, way = ends(chosen)
    at = pixels[..., None, :] + np.linspace(-3, 3, 6001)[:, None] * way[..., None, :] * (
        1.0 if distance else 60 / np.linalg.norm(way, axis=-1)[..., None, None]
    )
    column = np.ones(at.shape[:-1], bool)
    for axis in (1, 2):
        column &= (at[..., axis] > box[axis].start - 0.5) & (at[..., axis] < box[axis].stop - 0.5)
    inside = column & (at[..., 0] > -0.5) & (at[..., 0] < 13.5)
    steps = column.sum(axis=-1)
    expected = np.where(steps > 0, inside.sum(axis=-1) / np.maximum(steps, 1), 0)
    found = chosen.coverage(box)
    long = (steps > 20) | (steps == 0)  # enough samples to tell
    assert long.mean() > 0.85
    np.testing.assert_allclose(found[long & (steps > 0)], expected[long & (steps > 0)], atol=0.06)
    assert (found[steps == 0] < 1e-6).mean() > 0.97
    if tilt == 0 and distance is None:
        assert set(np.unique(found)) <= {0.0, 1.0}
    else:
        assert ((found > 0.1) & (found < 0.9)).any()


def test_a_source_beside_the_volume_is_refused() -> None:
    exposure = Exposure.of(View(source_to_detector=400.0), turned(), SHAPE)
    near = np.array([10.0, -40.0, 10.0])  # within the volume
    inside = Exposure(near, False, exposure.corner, exposure.row, exposure.column, exposure.size)
    with pytest.raises(DataError, match="the source is beside or inside the volume"):
        Rays(inside, turned(), SHAPE, 1.0)
