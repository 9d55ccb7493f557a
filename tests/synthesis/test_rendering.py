"""The mechanism against plain ways of doing the same: windows, anchors, levels, densities, textures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artasyn.phantom.film import Phantom
from artasyn.segment.lungs import Lungs
from artasyn.synthesis import LungOpacity, findings, rendering
from artasyn.synthesis.anomaly import expose, exposed
from artasyn.synthesis.context import CELLS, SAMPLES, Context, Fade, Window, averaged, blurred
from artasyn.synthesis.opacity import Ground, rendered
from artasyn.synthesis.places import Place
from artasyn.synthesis.rendering import SHARPNESS, Extents
from artasyn.synthesis.textures import CLOUDS, DEVIATION, GRID, NAMES, SIDE, TREES, bank, texture


def lungs_of(shape: tuple[int, int], right: tuple[slice, slice] | None, left: tuple[slice, slice] | None) -> Lungs:
    labels = np.zeros(shape, np.uint8)
    for side, part in ((1, right), (2, left)):
        if part is not None:
            labels[part] = side
    return Lungs.from_labels(labels)


# Windows.


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 70), st.integers(1, 70))
@settings(max_examples=60, deadline=None)
def test_a_window_is_a_square_around_the_lungs(top: int, left: int, height: int, width: int) -> None:
    labels = np.zeros((130, 131), np.uint8)
    labels[top : top + height, left : left + width] = 1
    window = Window.around(Lungs.from_labels(labels))
    assert window is not None
    assert window.height == height
    assert window.side >= max(height, width) + 2
    assert window.side <= 1.15 * max(height, width) + 4
    for start, at, length in ((window.top, top, height), (window.left, left, width)):
        before, after = at - start, start + window.side - (at + length)
        assert min(before, after) >= 1
        assert abs(before - after) <= 1
    sampled = window.sampled(labels)
    rows = np.clip(window.top + np.floor((np.arange(192) + 0.5) * window.side / 192), 0, 129).astype(int)
    columns = np.clip(window.left + np.floor((np.arange(192) + 0.5) * window.side / 192), 0, 130).astype(int)
    assert sampled.shape == (CELLS * SAMPLES, CELLS * SAMPLES)
    assert (sampled == labels[np.ix_(rows, columns)]).all()
    share = averaged((sampled > 0).astype(np.float32)).mean() * window.side**2
    if min(window.top, window.left, 130 - window.top - window.side, 131 - window.left - window.side) < 0:
        return  # beyond the film its border goes on
    assert share == pytest.approx(height * width, rel=0.05, abs=2 * (height + width))


def test_there_is_no_window_without_lungs() -> None:
    assert Window.around(lungs_of((40, 40), None, None)) is None


@pytest.mark.parametrize(
    "reached", [(slice(0, 192), slice(0, 192)), (slice(50, 60), slice(100, 180)), (slice(0, 0),) * 2]
)
def test_a_part_of_the_grid_covers_its_pixels(reached: tuple[slice, slice]) -> None:
    labels = lungs_of((90, 70), (slice(0, 80), slice(2, 30)), (slice(5, 90), slice(40, 70)))
    window = Window.around(labels)
    assert window is not None
    film, inner = window.part(reached, (90, 70))
    for (on_film, on_window), start, cells, length in zip(
        zip(film, inner, strict=True), (window.top, window.left), reached, (90, 70), strict=True
    ):
        assert on_film.start - start == on_window.start
        assert on_film.stop - on_film.start == on_window.stop - on_window.start
        assert 0 <= on_film.start <= on_film.stop <= length
        centres = (np.arange(length) + 0.5 - start) * GRID / window.side
        touched = np.flatnonzero((centres > cells.start - 0.5) & (centres < cells.stop + 0.5))
        if cells.stop > cells.start:
            assert on_film.start <= touched.min()
            assert on_film.stop > touched.max()


def test_the_context_of_a_plain_film() -> None:
    """Lungs of 0.3 in tissue of 0.8: half a grey to fill in the middle of a lung, nothing outside."""
    lungs = lungs_of((200, 200), (slice(20, 180), slice(20, 90)), (slice(20, 180), slice(110, 180)))
    image = np.where(lungs.mask, np.float32(0.3), np.float32(0.8))
    window = Window.around(lungs)
    assert window is not None
    context = Context.of(image, Place.of(lungs), window)
    assert context.soft_tissue == pytest.approx(0.8, abs=1e-5)
    assert context.height == pytest.approx(160 / window.side)
    assert context.step[24, 12] == pytest.approx(0.5, abs=0.01)
    assert context.step[24, 23:25] == pytest.approx(0.0, abs=0.01)  # the mediastinum is soft tissue already
    assert context.share[0, 24, 12] == context.share[1, 24, 36] == 1
    assert context.share[0, 24, 36] == 0


def test_blurring_against_scipy() -> None:
    from scipy import ndimage

    values = np.random.default_rng(0).random((CELLS, CELLS), np.float32)
    for sigma in (0.8, 3.0):
        truncate = (np.ceil(3 * sigma) + 0.01) / sigma
        expected = ndimage.gaussian_filter(values, sigma, mode="constant", truncate=truncate)
        assert blurred(values, sigma) == pytest.approx(expected, abs=1e-5)


def test_lungs_beyond_the_film_hold_no_lesion() -> None:
    """A lung that the border cuts goes on beyond it for the fade, but its outer third is on the film."""
    labels = lungs_of((90, 64), (slice(5, 85), slice(0, 22)), None)
    window = Window.around(labels)
    assert window is not None
    on_film = window.on_film((90, 64))
    middles = window.left + (np.arange(CELLS) + 0.5) * window.side / CELLS
    assert (on_film[24] == (middles >= 0)).all()
    image = np.where(labels.mask, np.float32(0.3), np.float32(0.8))
    opacity = LungOpacity(findings("nodule", zones=("peripheral",), number_range=(1, 1), size_range=(0.05, 0.06)))
    for seed in range(10):
        mask = opacity.render(image, labels, opacity.draw(labels, np.random.default_rng(seed))).mask
        assert np.nonzero(mask)[1].mean() < 12


# Places in lungs.


def test_places_in_lungs() -> None:
    share = np.zeros((1, 2, CELLS, CELLS), np.float32)
    share[0, 0, 10:40, 5:20], share[0, 1, 8:44, 26:44] = 1, 1
    share[0, 1, 8:20, 26:30] = 0  # a narrow apex
    extents = Extents.of(share, np)
    focus = np.array([[0, 0], [1, 1], [0.5, 0.5], [0.1, 0], [0.9, 0]], np.float32)
    rows, columns = extents.place(np.zeros(5, int), np.array([0, 0, 0, 1, 1]), focus, np)
    assert rows * CELLS == pytest.approx([10, 40, 25, 8 + 3.6, 8 + 32.4])
    assert columns * CELLS == pytest.approx([20, 5, 12.5, 30, 26])  # the mediastinum is on the inner side
    assert extents.outward.tolist() == [[-1, 1]]
    mirrored = Extents.of(share[:, :, :, ::-1], np)
    assert mirrored.outward.tolist() == [[1, -1]]
    _, columns = mirrored.place(np.zeros(2, int), np.array([0, 0]), focus[:2], np)
    assert columns * CELLS == pytest.approx([28, 43])


def test_a_gap_in_a_lung_takes_the_whole_lungs_width() -> None:
    share = np.zeros((1, 2, CELLS, CELLS), np.float32)
    share[0, 0, 4:12, 8:20] = share[0, 0, 30:44, 4:16] = 1
    extents = Extents.of(share, np)
    assert (extents.first[0, 0, 20], extents.last[0, 0, 20]) == (4, 20)
    assert (extents.top[0, 0], extents.bottom[0, 0]) == (4, 44)


# Levels and densities.


def test_levels_against_a_sum_of_gaussians() -> None:
    stamps = np.array([[[0.0, 0.1, 0.2, 0.1], [-0.1, -0.1, 0.15, 0.3]]], np.float32)
    points = ((np.arange(40) + 0.5) / 40).astype(np.float32)
    row, column, outward, height = (np.array([x], np.float32) for x in (0.5, 0.4, -1.0, 0.8))
    level = rendering.levels(stamps, row, column, outward, height, points, points[:30], np)[0]
    assert level.shape == (40, 30)
    for i, j in ((20, 16), (3, 3), (25, 10), (10, 28)):
        total = sum(
            np.exp(
                -SHARPNESS
                * (
                    ((points[i] - 0.5 - 0.8 * down) / (0.8 * tall)) ** 2
                    + ((points[j] - 0.4 + 0.8 * out) / (0.8 * wide)) ** 2
                )
            )
            for down, out, tall, wide in stamps[0].tolist()
        )
        assert level[i, j] == pytest.approx(1 + np.log(total + 1e-6) / SHARPNESS, abs=1e-3)


def test_one_stamp_is_an_ellipse_with_level_1_in_the_middle_and_0_on_the_rim() -> None:
    points = np.linspace(0, 1, 201, dtype=np.float32)
    half, whole = np.array([0.5], np.float32), np.array([1.0], np.float32)
    level = rendering.levels(np.array([[[0, 0, 0.2, 0.1]]], np.float32), half, half, whole, whole, points, points, np)[
        0
    ]
    assert level[100, 100] == pytest.approx(1, abs=1e-4)
    assert level[140, 100] == pytest.approx(0, abs=1e-3)
    assert level[100, 80] == pytest.approx(0, abs=1e-3)
    assert level[0, 0] == pytest.approx(1 + np.log(1e-6) / SHARPNESS, abs=1e-3)


def test_density_by_hand() -> None:
    level = np.array([[-1.0, 0.0, 0.25, 0.5, 1.0]], np.float32)
    nothing = np.zeros_like(level)

    def dense(**look: float) -> list[float]:
        numbers = [
            look.get(name, 0.0) for name in ("edge", "solidity", "irregularity", "cloudiness", "share", "hollow")
        ]
        rim, clouds, made_of = nothing + look.get("rim", 0), nothing + look.get("clouds", 0), nothing + 0.5
        values: list[float] = rendering.density(level, rim, clouds, made_of, np.array(numbers), np)[0].tolist()
        return values

    assert dense(edge=1.0) == pytest.approx([0, 0, 0.15625, 0.5, 1])
    assert dense(edge=0.5) == pytest.approx([0, 0, 0.5, 1, 1])
    assert dense(edge=1.0, solidity=1.0) == pytest.approx([0, 0, 0.5, np.sqrt(0.5), 1])
    assert dense(edge=1.0, irregularity=0.5, rim=1.0) == pytest.approx([0, 0.5, 0.84375, 1, 1])
    assert dense(edge=0.5, cloudiness=0.3, clouds=-1.0) == pytest.approx([0, 0, 0.35, 0.7, 0.7])
    assert dense(edge=0.5, share=0.4) == pytest.approx([0, 0, 0.4, 0.8, 0.8])
    assert dense(edge=0.5, hollow=0.8) == pytest.approx([0, 0, 0.5, 0.8, 0.2])  # the air begins at 0.45, a fifth deep


def test_fading_and_what_remains_by_hand() -> None:
    share = np.array([[[0.0, 0.5, 0.625, 1.0]]], np.float32)
    assert rendering.fades(share, np.zeros(1, np.float32), np)[0, 0].tolist() == pytest.approx([0, 0, 0.5, 1])
    assert rendering.fades(share, np.ones(1, np.float32), np)[0, 0].tolist() == pytest.approx([0, 1, 1, 1])
    assert rendering.remaining(0.5, np.array([0.0, 1.0, 4.0]), 0.5).tolist() == [1, 0.75, 0]


def test_what_would_be_brighter_than_soft_tissue_brightens_less() -> None:
    film = np.array([0.2, 0.6, 0.65, 0.7, 1.0], np.float32)
    added = rendering.saturated(np.full(5, 0.1, np.float32), film, np.float32(0.7), np)
    assert added.tolist() == pytest.approx([0.1, 0.1, 0.0625, 0.025, 0.025], abs=1e-6)


# Fast ways against plain ones.


def looks() -> list[list[float]]:
    """Edge, solidity, irregularity, cloudiness, share and hollow: of every finding, and others."""
    of_findings = [
        (k.look.edge, k.look.solidity, k.look.irregularity, k.look.cloudiness, k.look.share, k.look.hollow)
        for k in findings()
    ]
    return [*map(list, of_findings), [1.0, 0.3, 0.0, 0.0, 0.0, 0.0], [0.7, 1.0, 0.4, 0.0, 1.0, 0.5]]


@pytest.mark.parametrize("look", looks())
def test_the_air_of_one_lesion_is_what_remains_of_its_density(look: list[float]) -> None:
    rng = np.random.default_rng(0)
    level = rng.uniform(-3, 1.5, (50, 41)).astype(np.float32)
    pieces = [texture(number)[100:150, 77:118][::-1, ::-1] for number in (1, 2, 4)]
    fade, numbers, severity = rng.random((50, 41), np.float32), np.array(look, np.float32), np.float32(0.8)
    needed = [piece if strength else None for piece, strength in zip(pieces, numbers[2:5], strict=True)]
    plain = rendering.remaining(severity, rendering.density(level, pieces[0], pieces[1], pieces[2], numbers, np), fade)
    assert (rendering.air_of_one(level, needed, numbers, severity, fade) == plain).all()


def test_a_lesion_meets_its_lung_wherever_its_fade_is_not_0() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        top, left, bottom, right = (int(at) for at in (*rng.integers(0, 30, 2), *rng.integers(31, CELLS + 1, 2)))
        cells = np.zeros((CELLS, CELLS), np.float32)
        cells[top:bottom, left:right] = rng.random((bottom - top, right - left), np.float32)
        whole = cv2.resize(cells, (GRID, GRID), interpolation=cv2.INTER_LINEAR)
        points = cv2.resize(cells, (GRID // 2, GRID // 2), interpolation=cv2.INTER_LINEAR)
        down, over = (sorted(rng.choice(GRID // 2, 2, replace=False).tolist()) for _ in range(2))
        lesion = np.zeros((GRID, GRID), bool)
        lesion[2 * down[0] : 2 * down[1], 2 * over[0] : 2 * over[1]] = True
        found = Fade.of(cells).within(down, over)
        if found is None:
            assert not whole[lesion].any()
            continue
        box, at, inner, fade = found
        assert fade == pytest.approx(whole[box], abs=1e-6)
        assert lesion[box].all()
        lesion[box] = False
        assert not whole[lesion].any()
        reached = points[down[0] : down[1], over[0] : over[1]]  # what is interpolated from the points that it reaches
        wide = cv2.resize(reached, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
        expected = wide[box[0].start - 2 * down[0] :, box[1].start - 2 * over[0] :][: fade.shape[0], : fade.shape[1]]
        part = cv2.resize(points[at], None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)[inner]
        assert part == pytest.approx(expected, abs=1e-6)


def test_exposing_in_strips_is_exposing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artasyn.synthesis.anomaly.STRIP", 300)
    rng = np.random.default_rng(2)
    image, film = rng.random((70, 60), np.float32), (slice(5, 66), slice(11, 52))
    more, region = rng.random((61, 41), np.float32) ** 4, rng.random((70, 60)) < 0.6
    whole = np.zeros((70, 60), np.float32)
    whole[film] = more * region[film]
    plain = expose(image, rendering.saturated(whole, image, np.float32(0.7), np), tolerance=0.05)
    for laid in (image, np.asfortranarray(image)):
        made = exposed(laid, film, more, region, 0.7, tolerance=0.05)
        assert all((one == other).all() for one, other in zip(made, plain, strict=True))
    assert 0.1 < plain[1].mean() < 0.5


@pytest.mark.parametrize("tolerance", [1 / 255, 0.03])
def test_nothing_that_can_show_is_left_out(tolerance: float) -> None:
    """The change of a film against all lesions on the whole grid, which is then resampled and added as a whole."""
    film = Phantom(size=160)(3)
    place, window = Place.of(film.lungs), Window.around(film.lungs)
    assert window is not None
    ground = Ground.of(place, film.image)
    for seed in range(6):
        record = LungOpacity(tolerance=tolerance).draw(film.lungs, seed)
        change = rendered(film.image, place, record)
        every = np.float32(1) - np.prod(list(change.air_left.values()), axis=0)
        added = ground.placed(every * change.step)
        more = rendering.saturated(added, film.image, np.float32(ground.context.soft_tissue), np)
        image, mask, attenuation = expose(film.image, more, tolerance=tolerance)
        assert (change.image == image).all()
        assert (change.mask == mask).all()
        assert (change.attenuation == attenuation).all()
        size = (window.side, window.side)
        for name, region in change.findings().items():
            if len(change.air_left) > 1:
                part = (1 - change.air_left[name]) * change.step
                most = np.maximum.reduce([(1 - air) * change.step for air in change.air_left.values()])
                there = ((part >= np.float32(tolerance)) | (part == most)).astype(np.uint8)
                there = cv2.resize(there, size, interpolation=cv2.INTER_NEAREST_EXACT)[change.inner]
                mask = np.zeros_like(change.mask)
                mask[change.film] = change.mask[change.film] & (there > 0)
            assert (region == mask).all()


# Textures.


def test_textures_are_what_they_should_be() -> None:
    textures = bank()
    assert textures.shape == (len(NAMES), SIDE, SIDE)
    for name, values in zip(NAMES, textures, strict=True):
        assert values.dtype == np.float32
        if name in CLOUDS:
            assert np.abs(values).max() <= DEVIATION
            assert (values.mean(), values.std()) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))
        else:
            assert values.min() >= 0
            assert values.max() <= 1
            assert values.std() > 0.01
    with pytest.raises(ValueError, match="read-only"):
        texture(0)[0, 0] = 1


def test_clouds_get_finer() -> None:
    """The correlation of neighbours at a distance of eight pixels falls from one to the next."""
    alike = [float(np.mean(texture(n)[:, 8:] * texture(n)[:, :-8])) for n in range(len(CLOUDS))]
    assert (np.diff(alike) < -0.05).all()


def test_airways_grow_to_the_right_from_the_middle() -> None:
    middle = SIDE // 2
    for name in TREES:
        tree = texture(NAMES.index(name))
        assert tree[middle - 3 : middle + 4, middle : middle + 8].max() > 0.3
        rows, columns = np.nonzero(tree > 0.2)
        assert np.mean(columns >= middle - 2) > 0.95
        assert max(np.abs(rows - middle).max(), np.abs(columns - middle).max()) < SIDE - GRID - middle + GRID


def test_nets_are_lines_and_micronodules_are_spots() -> None:
    for name, fewest in (("reticular_fine", 1), ("reticular_coarse", 1), ("micronodules", 500)):
        spots = (texture(NAMES.index(name)) > 0.5).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(spots)
        assert count > fewest
        if name == "micronodules":
            assert np.median(stats[1:, cv2.CC_STAT_AREA]) < 40
        else:
            thick = cv2.distanceTransform(spots, cv2.DIST_L2, 5).max()
            assert thick < 5
            assert 0.02 < spots.mean() < 0.4
