"""The volumes of drawn thoraces: every structure, in its place, as the films of the same records show them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from artasyn.errors import SynthesisError
from artasyn.evaluation.overlap import dice
from artasyn.phantom.film import Phantom
from artasyn.phantom.lesions import PhantomLesion
from artasyn.phantom.sections import ray_sections
from artasyn.phantom.skeleton import vertebra_places
from artasyn.phantom.thorax import ThoraxRecord, spine_x
from artasyn.phantom.tissues import coarse_grid, line_integral
from artasyn.phantom.voxels import STRUCTURES, PhantomVolume
from artasyn.segment.ct.attenuation import attenuation
from artasyn.segment.ct.volume import Volume
from artasyn.segment.measures.cobb import CobbAngle
from artasyn.segment.projection.projection import project
from artasyn.segment.projection.view import View
from artasyn.segment.structures import ANATOMY, LOBES, SIDES, VERTEBRAE, canonical, members

SMALL = Phantom(size=128)
DRAWS = range(8)
FEW = range(5)
SOMETIMES = ("lesion", "breast_right", "breast_left")
"""Structures that only some thoraces have."""


@cache
def upright() -> tuple[ThoraxRecord, PhantomVolume]:
    """A straight adult's thorax in the middle of its film, without lesions, and its volume."""
    record = replace(SMALL.draw(np.random.default_rng(3)), roll=0.0, shift=(0.0, 0.0), curve=0.0, growth=1.0)
    return record, SMALL.volume(record, spacing=3.0)


@cache
def drawn(seed: int) -> tuple[ThoraxRecord, PhantomVolume]:
    record = SMALL.draw(np.random.default_rng(seed))
    return record, SMALL.volume(record, spacing=5.0)


def named(volume: PhantomVolume, *names: str) -> np.ndarray:
    return np.isin(volume.labels, [STRUCTURES.index(name) for name in names])


@cache
def middles(seed: int) -> dict[str, tuple[float, ...]]:
    """The mean place (z, y, x) of every structure of a drawn thorax, mm; none for a missing one."""
    volume = drawn(seed)[1]
    flat = volume.labels.ravel()
    count = np.bincount(flat, minlength=len(STRUCTURES))
    grids = np.meshgrid(*(np.arange(n) for n in volume.labels.shape), indexing="ij")
    sums = [np.bincount(flat, grid.ravel(), len(STRUCTURES)) for grid in grids]
    return {
        name: tuple(float(s[i] / count[i] * volume.spacing + o) for s, o in zip(sums, volume.origin, strict=True))
        for i, name in enumerate(STRUCTURES)
        if count[i]
    }


def ray_grid(record: ThoraxRecord) -> tuple[np.ndarray, np.ndarray]:
    side = (np.arange(record.size, dtype=np.float32) + 0.5) / record.size
    return record.place(side[:, None], side[None, :])


# Structures


def test_structures_are_those_of_the_vocabulary() -> None:
    assert [canonical(name) for name in STRUCTURES] == list(STRUCTURES)
    assert len(set(STRUCTURES)) == len(STRUCTURES) < 256
    assert set(STRUCTURES) - set(ANATOMY) == {"air", "soft_tissue", "lesion"}
    groups = {"body", "lung_right", "lung_left", "heart", "ribs_right", "ribs_left", "spine"}
    read = {name for name in ANATOMY if name.startswith(("visible", "whole", "drawn"))}
    assert set(ANATOMY) - set(STRUCTURES) == groups | read
    for group in groups - {"body"}:
        assert members(group, STRUCTURES)


def test_every_structure_is_in_every_thorax() -> None:
    for name in STRUCTURES:
        if name not in SOMETIMES:
            assert all(name in middles(seed) for seed in DRAWS), name
    breasts = ["breast_right" in middles(seed) for seed in DRAWS]
    assert any(breasts)
    assert not all(breasts)


def test_left_structures_lie_left() -> None:
    for seed in FEW:
        for name, place in middles(seed).items():
            other = name.replace("right", "left")
            if other != name and other in middles(seed):
                assert place[2] < middles(seed)[other][2], (seed, name)
        assert middles(seed)["liver"][2] < middles(seed)["stomach"][2] < middles(seed)["spleen"][2]


def test_bones_are_in_order_and_meet() -> None:
    for seed in FEW:
        record, volume = drawn(seed)
        heights = [middles(seed)[name][0] for name in VERTEBRAE]
        assert heights == sorted(heights), seed
        spine = np.array([middles(seed)[f"vertebrae_T{n}"] for n in range(1, 13)])
        for side in SIDES:
            order = [middles(seed)[f"rib_{side}_{n}"][0] for n in range(1, 11)]
            assert order == sorted(order), (seed, side)
            for number in range(1, 13):  # the head of a rib lies at its vertebra
                rib = np.argwhere(named(volume, f"rib_{side}_{number}")) * volume.spacing + volume.origin
                distance = np.linalg.norm(rib[rib[:, 1] >= spine[number - 1, 1] - 30][:, None] - spine, axis=2)
                assert distance.min() < 40 * record.growth, (seed, side, number)
                assert int(distance.min(axis=0).argmin()) in (number - 2, number - 1), (seed, side, number)


def test_lobes_have_their_sides_and_levels() -> None:
    for seed in FEW:
        at = middles(seed)
        for side in SIDES:
            upper, lower = at[f"lung_upper_lobe_{side}"], at[f"lung_lower_lobe_{side}"]
            assert upper[0] < lower[0], seed
            assert upper[1] < lower[1], seed  # the lower lobe lies behind
        assert at["lung_middle_lobe_right"][0] > at["lung_upper_lobe_right"][0]
        assert at["lung_middle_lobe_right"][1] < at["lung_lower_lobe_right"][1]


def test_chambers_and_vessels_lie_as_in_a_chest() -> None:
    for seed in FEW:
        at = middles(seed)
        assert at["heart_atrium_left"][1] > at["heart_ventricle_right"][1]
        assert at["heart_atrium_right"][2] < at["heart_ventricle_left"][2]
        assert at["superior_vena_cava"][2] < at["aorta"][2]
        assert at["esophagus"][1] > at["trachea"][1]
        assert at["sternum"][1] < at["vertebrae_T6"][1] - 60 * drawn(seed)[0].growth
        assert at["diaphragm_right"][0] > at["lung_lower_lobe_right"][0]


def test_diaphragm_separates_lung_from_abdomen() -> None:
    _, volume = upright()
    lung = named(volume, *LOBES)
    below = named(volume, "abdomen", "liver", "stomach", "spleen")
    touching = (lung[:-1] & below[1:]).sum()
    sheet = (lung[:-1] & named(volume, "diaphragm_right", "diaphragm_left")[1:]).sum()
    assert sheet > 200
    assert touching == 0


# Variation


def test_hearts_vary_in_size() -> None:
    ratios = []
    for seed in range(150):
        record = Phantom(size=64).draw(np.random.default_rng(seed))
        ratios.append((record.heart_left + record.heart_right) / (2.06 * record.width))
    assert np.quantile(ratios, 0.03) < 0.43
    assert np.quantile(ratios, 0.97) > 0.58
    assert min(ratios) > 0.34
    assert max(ratios) < 0.7


def test_thoraces_vary_in_age_and_posture() -> None:
    records = [Phantom(size=64).draw(np.random.default_rng(seed)) for seed in range(200)]
    for name, low, high in (("growth", 0.65, 1.05), ("arm", 3, 100), ("kyphosis", 0, 30), ("wall", 14, 40)):
        values = [getattr(record, name) for record in records]
        assert min(values) < low, name
        assert max(values) > high, name
    assert 0.2 < np.mean([record.breast > 0 for record in records]) < 0.7


def test_draws_show_both_lungs() -> None:
    films = [Phantom(size=64)(seed) for seed in range(100, 108)]
    assert all(film.lungs.found for film in films)
    assert all(np.isfinite(film.image).all() for film in films)


@pytest.mark.parametrize(("curve", "span", "start"), [(20.0, 300.0, 20.0), (-14.0, 170.0, 60.0), (4.0, 240.0, 60.0)])
def test_cobb_angle_is_that_of_the_geometry(curve: float, span: float, start: float) -> None:
    record = replace(upright()[0], curve=curve, curve_span=span, curve_start=start, body_curve=0.4)
    film = project(Volume.of_phantom(SMALL.volume(record, spacing=2.5)), View(0.0, source_to_detector=None))
    found = CobbAngle.of(film)
    z = np.array([vertebra_places(record)[name] for name in VERTEBRAE])
    slope = np.degrees(np.arctan(np.gradient(spine_x(record, z).astype(float), z)))
    assert found.angle == pytest.approx(slope.max() - slope.min(), abs=3)


def test_growth_scales_everything() -> None:
    record, volume = upright()
    child = SMALL.volume(replace(record, growth=0.5), spacing=1.5)
    assert child.spacing == pytest.approx(1.5)
    assert np.array_equal(child.labels, volume.labels)
    assert child.origin == pytest.approx(tuple(0.5 * place for place in volume.origin))


def test_kyphosis_moves_nothing_on_a_frontal_film() -> None:
    record = upright()[0]
    bent = replace(record, kyphosis=record.kyphosis + 15)
    assert SMALL.render(bent).image.tobytes() == SMALL.render(record).image.tobytes()
    assert SMALL.volume(bent).labels.shape != upright()[1].labels.shape


# Tissues


HIDING = (
    *("heart_atrium_right", "heart_atrium_left", "heart_ventricle_right", "heart_ventricle_left", "mediastinum"),
    *("aorta", "pulmonary_artery", "esophagus", "trachea", "bronchus_right", "bronchus_left", "superior_vena_cava"),
    *("abdomen", "liver", "stomach", "spleen", "diaphragm_right", "diaphragm_left", "inferior_vena_cava"),
)


def test_volume_has_tissues_in_their_ranges() -> None:
    _, volume = upright()
    assert volume.hu.dtype == np.float32
    assert volume.labels.dtype == np.uint8
    assert volume.hu.shape == volume.labels.shape
    assert volume.names == STRUCTURES
    expected = {
        "air": (-1001, -850),
        **dict.fromkeys(LOBES, (-900, -760)),
        "soft_tissue": (-100, 60),
        "mediastinum": (-20, 80),
        "abdomen": (-60, 60),
        "heart_ventricle_left": (0, 80),
        "liver": (0, 80),
        "aorta": (-30, 80),
        "trachea": (-1001, -600),
        "sternum": (20, 300),
        "rib_left_5": (100, 1000),
        "humerus_left": (30, 1200),
        "scapula_right": (30, 1000),
        "vertebrae_T8": (60, 600),
    }
    for name, (low, high) in expected.items():
        values = volume.hu[volume.labels == STRUCTURES.index(name)]
        assert values.size > 20, name
        assert low <= np.median(values) <= high, name
    assert volume.hu.min() >= -1001
    assert volume.hu.max() < 2000


def test_volume_axes() -> None:
    record, volume = upright()
    z = volume.origin[0] + volume.spacing * np.nonzero(named(volume, *LOBES))[0]
    assert -5 < z.min() < 15
    assert z.max() > record.height
    left = volume.origin[2] + volume.spacing * np.nonzero(named(volume, *LOBES[3:]))[2]
    assert left.min() > -6
    vertebra = volume.origin[1] + volume.spacing * np.nonzero(named(volume, *VERTEBRAE))[1]
    heart = volume.origin[1] + volume.spacing * np.nonzero(named(volume, *members("heart", STRUCTURES)))[1]
    assert vertebra.mean() > heart.mean() + 30  # the spine lies behind
    litres = named(volume, *LOBES).sum() * volume.spacing**3 / 1e6
    assert 2.5 < litres < 8.5


def test_projected_labels_are_the_visible_lungs() -> None:
    record, volume = upright()
    lung = named(volume, *LOBES).sum(axis=1) * volume.spacing > 4
    hidden = named(volume, *HIDING).any(axis=1)
    made = SMALL.render(record)
    rows = volume.origin[0] + volume.spacing * np.arange(volume.labels.shape[0])
    columns = volume.origin[2] + volume.spacing * np.arange(volume.labels.shape[2])
    row, column = record.find(*np.meshgrid(columns, rows))
    inside = (column > 0) & (column < 1)
    drawn = cv2.remap(
        made.lungs.mask.astype(np.float32),
        (column * 128 - 0.5).astype(np.float32), (row * 128 - 0.5).astype(np.float32), cv2.INTER_LINEAR,
    )  # fmt: skip
    a, b = (lung & ~hidden)[inside], (drawn > 0.5)[inside]
    assert dice(a, b) > 0.95


def test_projected_volume_is_the_line_integral() -> None:
    record, volume = upright()
    summed = attenuation(volume.hu).sum(axis=1) * volume.spacing
    x, z = ray_grid(record)
    exact = line_integral(record, ray_sections(record, x, z), coarse_grid(record)).integral
    columns = (x - volume.origin[2]) / volume.spacing
    rows = (z - volume.origin[0]) / volume.spacing
    seen = cv2.remap(summed, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert np.corrcoef(seen.ravel(), exact.ravel())[0, 1] > 0.99
    assert np.median(np.abs(seen - exact)) < 0.08


def test_lesions_are_in_the_volume() -> None:
    lesion = PhantomLesion("consolidation", 4, 1, 0.5, 0.5, 0.5, 30.0, (1.0, 1.2, 1.0), 20.0, 0.2, 0.5, 10.0)
    record = replace(upright()[0], lesions=(lesion,))
    volume = SMALL.volume(record)
    changed = named(volume, "lesion")
    assert changed.sum() * volume.spacing**3 > 2e4
    assert named(upright()[1], *LOBES[:3])[changed].mean() > 0.95  # all of it was right lung
    assert volume.hu[changed].mean() > -400
    assert (volume.hu >= upright()[1].hu - 1).all()
    assert not (volume.hu - upright()[1].hu)[named(upright()[1], *LOBES[3:])].any()


@pytest.mark.parametrize("spacing", [0.5, 7.0])
def test_other_spacings_are_refused(spacing: float) -> None:
    with pytest.raises(SynthesisError, match="spacing"):
        SMALL.volume(upright()[0], spacing=spacing)
