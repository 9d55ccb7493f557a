"""Radiographs of drawn thoraces: exact, reproducible, anatomically right and like real films."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from artasyn.arrays import check_image
from artasyn.errors import SynthesisError
from artasyn.evaluation.overlap import dice
from artasyn.phantom.film import Phantom, PhantomRadiograph, PhantomVolume, lesion_centre
from artasyn.phantom.intervals import covered, length
from artasyn.phantom.lesions import KINDS, draw_lesion, lesion_body
from artasyn.phantom.organs import stomach_gas
from artasyn.phantom.outlines import smooth_curve
from artasyn.phantom.sections import ray_sections
from artasyn.phantom.skeleton import ribs
from artasyn.phantom.thorax import ThoraxRecord
from artasyn.phantom.tissues import MU, TISSUE_HU, coarse_grid
from artasyn.phantom.tubes import Tubes, chords, inside_lung, round_chords, vessels
from artasyn.segment.ct.attenuation import attenuation

SEEDS = range(20)
SMALL = Phantom(size=128)


@cache
def film(seed: int) -> PhantomRadiograph:
    return SMALL(seed)


@cache
def ill(seed: int) -> PhantomRadiograph:
    return SMALL(seed, lesions=True)


@cache
def upright() -> tuple[ThoraxRecord, PhantomVolume]:
    """A straight thorax in the middle of its film, without lesions, and its volume."""
    record = replace(SMALL.draw(np.random.default_rng(3)), roll=0.0, shift=(0.0, 0.0), curve=0.0, growth=1.0)
    return record, SMALL.volume(record, spacing=3.0)


def ray_grid(record: ThoraxRecord) -> tuple[np.ndarray, np.ndarray]:
    side = (np.arange(record.size, dtype=np.float32) + 0.5) / record.size
    return record.place(side[:, None], side[None, :])


# Reproducibility


def test_same_seed_same_bytes_and_other_seed_other_image() -> None:
    again = SMALL(0)
    assert again.image.tobytes() == film(0).image.tobytes()
    assert again.lungs.labels.tobytes() == film(0).lungs.labels.tobytes()
    assert again.record == film(0).record
    assert not np.array_equal(film(0).image, film(1).image)


def test_record_as_json_remakes_the_image_on_any_phantom() -> None:
    record = ThoraxRecord.from_json(ill(2).record.to_json())
    assert record == ill(2).record
    again = Phantom(size=64).render(record)
    assert again.image.tobytes() == ill(2).image.tobytes()
    assert again.healthy.tobytes() == ill(2).healthy.tobytes()
    assert np.array_equal(again.lesions, ill(2).lesions)
    assert again.findings == tuple(lesion["kind"] for lesion in json.loads(record.to_json())["lesions"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"shift": [1, 2], "lesions": []}', '{"shift": []}'])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(SynthesisError, match="not a thorax record"):
        ThoraxRecord.from_json(text)


def test_records_of_earlier_versions_are_read() -> None:
    record = next(ill(seed).record for seed in SEEDS if "ground_glass_opacity" in ill(seed).findings)
    older = record.to_json().replace('"ground_glass_opacity"', '"ground glass"')
    assert older != record.to_json()
    assert ThoraxRecord.from_json(older) == record


def test_records_from_before_the_full_thorax_are_read() -> None:
    values = json.loads(film(0).record.to_json())
    later = [field.name for field in fields(ThoraxRecord) if field.default is not MISSING and not field.metadata]
    assert {"growth", "heart_rise", "kyphosis", "body_curve"} <= set(later)
    older = ThoraxRecord.from_json(json.dumps({name: v for name, v in values.items() if name not in later}))
    assert (older.growth, older.kyphosis, older.curve_span) == (1.0, 0.0, 240.0)
    made = SMALL.render(older)
    assert made.lungs.found
    assert made.record.width == film(0).record.width


def test_record_with_unknown_lesion_is_refused() -> None:
    values = json.loads(ill(2).record.to_json())
    values["lesions"][0]["kind"] = "mystery"
    with pytest.raises(SynthesisError, match="mystery"):
        ThoraxRecord.from_json(json.dumps(values))


@pytest.mark.parametrize(
    "change",
    [{"size": "128"}, {"knob": None}, {"extra": 1.0}, {"lesions": [{}]}, {"lesions": [{"kind": "nodule"}]}],
)
def test_damaged_records_are_refused(change: dict[str, object]) -> None:
    values = json.loads(film(0).record.to_json()) | change
    with pytest.raises(SynthesisError, match="not a thorax record"):
        ThoraxRecord.from_json(json.dumps(values))


def test_global_generator_is_untouched() -> None:
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    SMALL(11, lesions=True)
    after = np.random.get_state()[1]  # type: ignore[index]  # noqa: NPY002
    assert np.array_equal(before, after)


def test_record_holds_plain_numbers_only() -> None:
    record = ill(1).record
    for field in fields(record):
        assert type(getattr(record, field.name)) in (int, float, tuple), field.name


@pytest.mark.parametrize("size", [64, 100, 256])
def test_sizes(size: int) -> None:
    made = Phantom(size=size)(4, lesions=True)
    check_image(made.image)
    check_image(made.healthy)
    assert made.image.shape == made.lungs.labels.shape == made.lesions.shape == (size, size)
    assert made.lungs.found


def test_a_larger_film_shows_the_same_thorax() -> None:
    large = SMALL.render(replace(film(5).record, size=256))
    reduced = cv2.resize(large.image, (128, 128), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(reduced.ravel(), film(5).image.ravel())[0, 1] > 0.995
    assert abs(large.lungs.mask.mean() - film(5).lungs.mask.mean()) < 0.003


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 32},
        {"lesions_range": (0, 2)},
        {"lesions_range": (3, 2)},
        {"kinds": ()},
        {"kinds": ("mystery",)},
        {"severity_range": (0.5, 1.5)},
        {"tolerance": 0.0},
    ],
)
def test_impossible_configurations_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SynthesisError, match=next(iter(wrong))):
        Phantom(**wrong)  # type: ignore[arg-type]


# Lesions


@pytest.mark.parametrize("seed", range(12))
def test_lesions_change_nothing_but_what_they_cover(seed: int) -> None:
    made = ill(seed)
    assert made.healthy.tobytes() == film(seed).image.tobytes()
    change = made.image - made.healthy
    assert change.min() >= 0
    x, z = ray_grid(made.record)
    lit = change > 0
    assert not lit[ray_sections(made.record, x, z).lung_depth <= 0].any()
    assert np.array_equal(made.lesions, made.lungs.mask & (change >= SMALL.tolerance))
    reached = np.zeros_like(lit)  # no pixel may change that lies farther from every lesion than it reaches
    coarse = coarse_grid(made.record)
    straight = ray_sections(made.record, x, z).x
    for lesion in made.record.lesions:
        centre = lesion_centre(lesion, coarse)
        reached |= np.hypot(straight - centre[0], z - centre[2]) <= 1.5 * lesion.reach + 3
    assert not (lit & ~reached).any()


def test_most_drawn_lesions_are_seen() -> None:
    assert np.mean([ill(seed).lesions.sum() >= 8 for seed in range(12)]) >= 0.8
    assert len({kind for seed in range(12) for kind in ill(seed).findings}) == len(KINDS)
    assert all(1 <= len(ill(seed).findings) <= 3 for seed in range(12))


def test_healthy_thorax_has_no_findings() -> None:
    assert film(0).image is film(0).healthy
    assert not film(0).lesions.any()
    assert film(0).findings == ()


def test_kinds_and_numbers_follow_the_configuration() -> None:
    made = Phantom(size=64, kinds=("nodule",), lesions_range=(2, 2))(3, lesions=True)
    assert made.findings == ("nodule", "nodule")


def test_severity_makes_lesions_larger_and_denser() -> None:
    def mean(severity: float) -> np.ndarray:
        drawn = [draw_lesion(np.random.default_rng(s), "ground_glass_opacity", severity) for s in range(200)]
        return np.asarray(np.mean(np.array([(one.size, one.hu) for one in drawn]), axis=0))

    assert (mean(1.0) > mean(0.0) + np.array([5, 50])).all()


@pytest.mark.parametrize("kind", KINDS)
def test_bodies_are_bounded_irregular_and_dense_inside(kind: str) -> None:
    lesion = draw_lesion(np.random.default_rng(1), kind, 0.5)
    side = np.linspace(-1.2 * lesion.reach, 1.2 * lesion.reach, 61)
    body = lesion_body(lesion, side, side, side)
    assert body.dtype == np.float32
    assert body.min() >= 0
    assert body.max() <= 1
    far = np.sqrt(sum(a**2 for a in np.meshgrid(side, side, side, indexing="ij"))) > lesion.reach
    assert not body[far].any()
    assert body[28:33, 28:33, 28:33].mean() > 0.3
    edges = [
        np.flatnonzero(body[30, 30] > 0.3)[[0, -1]] - 30,
        np.flatnonzero(body[:, 30, 30] > 0.3)[[0, -1]] - 30,
    ]
    assert len({abs(int(e)) for pair in edges for e in pair}) > 1  # no sphere


# Anatomy


@pytest.mark.parametrize("seed", SEEDS)
def test_proportions(seed: int) -> None:
    made = film(seed)
    lungs = made.lungs
    assert lungs.found
    assert 0.15 < lungs.mask.mean() < 0.4
    assert np.nonzero(lungs.right)[1].mean() < np.nonzero(lungs.left)[1].mean()
    for side in (lungs.right, lungs.left):
        assert cv2.connectedComponents(side.astype(np.uint8))[0] == 2
    x, z = ray_grid(replace(made.record, roll=0.0))
    shape = ray_sections(made.record, x, z)
    heart = (length(shape.heart) > 2) & (z > 0.6 * made.record.height) & (z < made.record.height)
    inside = length(shape.lung) > 0
    widest_heart = (heart.sum(axis=1)).max()
    widest_lungs = max(np.ptp(np.flatnonzero(row)) + 1 for row in inside if row.any())
    assert 0.34 < widest_heart / widest_lungs < 0.6
    low = heart[(z[:, 0] > 0.85 * made.record.height) & heart.any(axis=1)]
    columns = np.nonzero(low)[1]
    spine = np.abs(shape.x).argmin(axis=1).mean()
    assert columns.max() - spine > 1.15 * (spine - columns.min())  # the apex points to the patient's left


@pytest.mark.parametrize("seed", SEEDS)
def test_lungs_are_darker_than_what_surrounds_them(seed: int) -> None:
    image, lungs = film(seed).image, film(seed).lungs
    x, z = ray_grid(film(seed).record)
    shape = ray_sections(film(seed).record, x, z)
    heart = (length(shape.heart) > 40) & (z > 100) & (z < film(seed).record.height)
    assert image[lungs.mask].mean() < image[heart].mean() - 0.15
    around = cv2.dilate(lungs.labels, np.ones((7, 7), np.uint8)).astype(bool) & ~lungs.mask
    assert image[lungs.mask].mean() < image[around].mean() - 0.1
    outside = length(shape.body) <= 0
    if outside.sum() > 50:
        assert image[outside].mean() < 0.3
    assert image.max() - image.min() > 0.5


def test_left_dome_stands_lower_and_hides_the_stomach() -> None:
    record = next(film(s).record for s in SEEDS if film(s).record.bubble > 25)
    x, z = ray_grid(record)
    shape = ray_sections(record, x, z)
    gas = stomach_gas(record, shape)
    where = gas > 5
    assert where.any()
    assert (shape.x[where] > 0).all()
    assert (z[where] > record.height + record.left_drop).all()
    assert (
        not film(0)
        .lungs.mask[stomach_gas(film(0).record, ray_sections(film(0).record, *ray_grid(film(0).record))) > 0]
        .any()
    )
    with_gas, without = SMALL.render(record).image, SMALL.render(replace(record, bubble=0.0)).image
    assert with_gas[where].mean() < without[where].mean() - 0.01


def test_breasts_hide_nothing_but_add_density() -> None:
    record = replace(film(0).record, breast=0.0)
    x, z = ray_grid(record)
    full = ray_sections(replace(record, breast=45.0), x, z)
    flat = ray_sections(record, x, z)
    assert np.array_equal(full.visible, flat.visible)
    assert (length(full.body) - length(flat.body)).max() > 30


def test_visible_lungs_leave_out_heart_and_dome() -> None:
    made = film(6)
    shape = ray_sections(made.record, *ray_grid(made.record))
    assert (shape.lung_depth[made.lungs.mask] > 4).all()
    for part in (shape.dome, shape.heart, shape.mediastinum):
        assert (length(part)[made.lungs.mask] <= 2).all()
    behind_heart = (length(shape.heart) > 20) & (shape.lung_depth > 20)
    assert behind_heart.any()
    assert not made.lungs.mask[behind_heart].any()


def test_vessels_lie_in_the_lungs_and_taper() -> None:
    record = film(0).record
    coarse = coarse_grid(record)
    tree = vessels(record, coarse)
    assert inside_lung(coarse, tree.points).all()
    fork = np.array([0.0, 10.0, record.height * 120 / 207])
    distance = np.linalg.norm((tree.points - fork) * [1, 0.5, 1], axis=1)
    near, far = tree.radii[distance < 60], tree.radii[distance > 100]
    assert np.average(near) > 1.5 * np.average(far)
    assert tree.radii.max() < 14


def test_ribs_surround_the_lungs() -> None:
    record = film(0).record
    curves = ribs(record)
    assert len(curves) == 24
    coarse = coarse_grid(record)
    assert np.mean([inside_lung(coarse, curve).mean() for curve in curves]) < 0.05
    for right, left in zip(curves[::2], curves[1::2], strict=True):
        assert right[:, 0].max() < 10
        assert left[:, 0].min() > -10
        assert right[-1, 2] > right[0, 2] + 5  # ribs fall to the front


# Geometry against hand-computed values


def test_place_and_find_are_inverse() -> None:
    record = film(3).record
    rows, columns = np.array([[0.1, 0.5, 0.9]]), np.array([[0.2, 0.5, 0.7]])
    found = record.find(*record.place(rows, columns))
    np.testing.assert_allclose(found[0], rows, atol=1e-5)
    np.testing.assert_allclose(found[1], columns, atol=1e-5)


def test_smooth_curve_passes_its_knots_without_overshoot() -> None:
    knots = ((0.0, 0.0), (1.0, 0.0), (2.0, 10.0), (4.0, 10.0), (5.0, 3.0))
    at = np.linspace(-1, 6, 701)
    curve = smooth_curve(at, knots)
    np.testing.assert_allclose(smooth_curve(np.array([k for k, _ in knots]), knots), [v for _, v in knots], atol=0.02)
    assert curve.min() >= -1e-6
    assert curve.max() <= 10 + 1e-5
    assert curve[0] == 0
    assert curve[-1] == pytest.approx(3)


def test_covered_is_the_length_of_a_union() -> None:
    def interval(low: float, high: float) -> np.ndarray:
        return np.full((2, 1, 1), 0, np.float32) + np.array([low, high], np.float32)[:, None, None]

    host = interval(0, 100)
    parts = (interval(80, 120), interval(10, 30), interval(20, 25), interval(28, 50), interval(60, -np.inf))
    assert covered(host, parts)[0, 0] == pytest.approx(40 + 20)
    assert covered(interval(5, -np.inf), parts)[0, 0] == 0
    rng = np.random.default_rng(0)
    for _ in range(50):
        ends = np.sort(rng.integers(0, 60, (4, 2)), axis=1)
        told = covered(interval(10, 50), tuple(interval(a, b) for a, b in ends))[0, 0]
        cells = np.arange(10, 50) + 0.5
        assert told == pytest.approx(sum(any(a < c < b for a, b in ends) for c in cells))


def test_tube_has_the_chords_of_a_cylinder() -> None:
    record = replace(upright()[0], size=256)
    middle = record.middle
    line = np.stack([np.linspace(-100, 100, 900), np.zeros(900), np.full(900, middle)], axis=1)
    drawn = chords(record, Tubes.along(line), ((10.0, 10.0),))[0]
    _, z = ray_grid(record)
    exact = 2 * np.sqrt(np.maximum(100 - (z[:, 128] - middle) ** 2, 0))
    assert np.abs(drawn[:, 128] - exact).mean() < 0.1
    np.testing.assert_allclose(drawn[:, 128][exact > 15], exact[exact > 15], atol=0.6)
    assert drawn.sum() * (record.field / 256) ** 2 == pytest.approx(np.pi * 100 * 200, rel=0.01)
    slanted = line * [1, 1, 1] + np.stack([np.zeros(900), np.linspace(-50, 50, 900), np.zeros(900)], axis=1)
    longer = chords(record, Tubes.along(slanted), ((10.0, 10.0),))[0]
    assert longer.sum() / drawn.sum() == pytest.approx(np.hypot(200, 100) / 200, rel=0.01)


@pytest.mark.parametrize("radius", [0.1, 0.8, 3.3, 7.0])
def test_round_tubes_keep_their_volume_at_every_radius(radius: float) -> None:
    record = replace(upright()[0], size=192)
    line = np.stack([np.linspace(-60, 60, 500), np.zeros(500), np.full(500, record.middle)], axis=1)
    wide = Tubes.along(line, line + np.array([0, 0, 60]), radius=np.array([radius, 9.0]))
    drawn = round_chords(record, wide)[:120]
    assert drawn.sum() * (record.field / 192) ** 2 == pytest.approx(np.pi * radius**2 * 120, rel=0.03)


def test_attenuation_of_the_tissues_rises_with_their_density() -> None:
    order = sorted(TISSUE_HU, key=lambda name: TISSUE_HU[name])
    assert [MU[name] for name in order] == sorted(MU.values())
    assert attenuation(-2048.0) == 0


# Real films


def spectrum_slope(image: np.ndarray) -> float:
    """Slope of the logarithm of the power over the logarithm of the frequency, 8 to 60 cycles."""
    window = np.outer(np.hanning(len(image)), np.hanning(len(image)))
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    cycles = np.fft.fftfreq(len(image)) * len(image)
    ring = np.hypot(cycles[:, None], cycles[None, :]).astype(int).ravel()
    mean = np.bincount(ring, power.ravel()) / np.bincount(ring)
    return float(np.polyfit(np.log(np.arange(8, 60)), np.log(mean[8:60]), 1)[0])


@pytest.mark.realdata
def test_films_have_the_statistics_of_real_ones(data: Path) -> None:
    paths = sorted((data / "nih_normal").glob("*.jpg"))[:40]
    read = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths)
    real = [cv2.resize(np.asarray(i), (128, 128), interpolation=cv2.INTER_AREA) / 255 for i in read]
    drawn = [film(seed).image.astype(float) for seed in SEEDS]
    for quantile in (25, 50, 75, 99):
        ours, theirs = ([np.percentile(i, quantile) for i in films] for films in (drawn, real))
        assert abs(np.mean(ours) - np.mean(theirs)) < 2 * np.std(theirs), quantile
    slopes = [spectrum_slope(i) for i in real]
    assert abs(np.mean([spectrum_slope(i) for i in drawn]) - np.mean(slopes)) < 3 * np.std(slopes)


@pytest.mark.realdata
def test_lungs_have_the_size_and_place_of_real_ones(data: Path) -> None:
    paths = sorted((data / "lung_masks" / "jsrt" / "lungs").glob("*.png"))[:60]
    real = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) > 0 for path in paths]
    mean = np.mean([cv2.resize(m.astype(np.float32), (128, 128), interpolation=cv2.INTER_AREA) for m in real], axis=0)
    ours = np.mean([film(seed).lungs.mask for seed in SEEDS], axis=0)
    assert abs(ours.mean() - mean.mean()) < 0.06
    a, b = ours > 0.5, mean > 0.5
    assert dice(a, b) > 0.8
