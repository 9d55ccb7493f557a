"""Pathology masks: what the maps show is measured here from their pixels, by other means than the code's."""

from __future__ import annotations

import itertools
from functools import cache

import cv2
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import pdist

from artasyn.arrays import Heatmap, Mask
from artasyn.errors import SynthesisError
from artasyn.phantom.film import Phantom, PhantomRadiograph
from artasyn.segment import Lungs
from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.projection.projection import Projection
from artasyn.synthesis import FINDINGS
from artasyn.synthesis.diffusion import MaskSampler, PathologyMask, PathologyMasks, Prompt, PromptRecord
from artasyn.synthesis.places import Found
from tests.anatomies import projected, seen

SIZE = 112
PLACES = (
    *("", " in the right lung", " in the left lung", " in the right upper zone", " in the left lower zone"),
    *(" in the right mid zone", " at the left apex", " at the right base", " in the periphery of the left lung"),
)


@cache
def chest() -> PhantomRadiograph:
    return Phantom(size=SIZE)(1)


def drawn(said: str, seed: int = 0, found: Found | None = None) -> PathologyMasks:
    return MaskSampler()(Prompt.parse(said), found or chest().lungs, np.random.default_rng(seed))


def shown(soft: Heatmap) -> Mask:
    """The pixels of a map that an eye sees: a fifth of its densest."""
    return np.asarray((soft >= 0.2 * soft.max()) & (soft > 0.01))


def lesions(soft: Heatmap) -> list[np.ndarray]:
    """The pixels (row, column) of each separate lesion; crumbs of a tenth of the largest are left out."""
    labels, count = ndimage.label(shown(soft), np.ones((3, 3)))
    parts = [np.argwhere(labels == number) for number in range(1, count + 1)]
    largest = max(map(len, parts), default=0)
    return [part for part in parts if len(part) >= 0.1 * largest]


def diameter(part: np.ndarray) -> float:
    """The longest distance of two pixels of a lesion, and the width of a pixel."""
    return float(pdist(part).max(initial=0)) + 1


def heights(soft: Heatmap, lung: Mask) -> tuple[float, float]:
    """The heights of a map's seen pixels in a lung, 5th and 95th percentile; 0 is its top, 1 its base."""
    rows = np.flatnonzero(lung.any(axis=1))
    at = np.nonzero(shown(soft))[0]
    low, high = np.quantile((at - rows[0]) / (rows[-1] - rows[0]), (0.05, 0.95))
    return float(low), float(high)


def around(lungs: Lungs) -> Mask:
    """The lungs and the gap beside their outline, 2 % of their height."""
    height = np.count_nonzero(lungs.mask.any(axis=1))
    return np.asarray(ndimage.distance_transform_edt(~lungs.mask) <= max(1.0, 0.02 * height))


def sound(masks: PathologyMasks) -> None:
    """What holds for every map."""
    for each in masks.masks:
        assert each.soft.dtype == np.float32
        assert 0 <= each.soft.min() <= each.soft.max() <= 1
        assert each.soft.max() > 0.01
        assert not each.soft[~each.region.stated].any()
        assert not (each.region.place.region & ~masks.place.lungs.mask).any()
        assert not (each.region.stated & ~around(masks.place.lungs)).any()
    together = 1 - np.prod([1 - each.soft.astype(np.float64) for each in masks.masks], axis=0)
    np.testing.assert_allclose(masks.soft, together, atol=1e-5)
    assert not masks.disagreements()


@pytest.mark.parametrize(("number", "finding"), [*enumerate(FINDINGS)])
def test_every_finding_lies_where_the_prompt_says(number: int, finding: str) -> None:
    fluid = FINDINGS[finding].dependent
    places = ("", " in the right lung", " in the left lung") if fluid else PLACES
    noun = finding.replace("_", " ")
    for seed, place in enumerate((places[number % len(places)], places[(2 * number + 1) % len(places)])):
        masks = drawn(noun + place, seed)
        sound(masks)
        (mask,) = masks.masks
        lungs = chest().lungs
        for side, lung, other in (("left", lungs.left, lungs.right), ("right", lungs.right, lungs.left)):
            if side not in place:
                continue
            assert not (shown(mask.soft) & other).any()
            low, high = heights(mask.soft, lung)
            if "upper" in place or "apex" in place:
                assert high < (0.26 if "apex" in place else 0.35), place
            if "lower" in place or "base" in place:
                assert low > (0.74 if "base" in place else 0.65), place
            if "mid" in place:
                assert 0.32 < low < high < 0.68


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("three nodules in the right lung", 3, 3),
        ("two cavities in the left upper zone", 2, 2),
        ("a few nodules", 2, 3),
        ("several small nodules in the left lung", 3, 6),
        ("many small nodules", 7, 14),
        ("mass in the left lung", 1, 1),
        ("two consolidations in the left lung", 2, 2),
        ("multifocal 8 mm nodules in the right lung", 3, 6),
    ],
)
def test_lesions_are_as_many_as_the_prompt_says(said: str, least: int, most: int) -> None:
    for seed in (1, 2):
        masks = drawn(said, seed)
        sound(masks)
        assert least <= len(lesions(masks.masks[0].soft)) <= most, (said, seed)


@pytest.mark.parametrize(
    ("said", "low", "high"),
    [
        ("20 mm nodule in the right lung", 18, 22),
        ("two 15 mm nodules in the left lung", 13.5, 16.5),
        ("4 cm mass in the right upper zone", 36, 44),
        ("30 mm cavity in the left lung", 27, 33),
        ("small nodule in the left lung", 4, 10),
        ("large nodule in the left lung", 20, 30),
        ("large mass in the right lung", 70, 110),
        ("25 mm consolidation in the right lung", 22.5, 27.5),
    ],
)
def test_lesions_are_as_large_as_the_prompt_says(said: str, low: float, high: float) -> None:
    lungs = chest().lungs
    millimetres = 240 / np.count_nonzero(lungs.mask.any(axis=1))  # of an adult
    for seed in (1, 2):
        masks = drawn(said, seed)
        sound(masks)
        assert masks.millimetres == pytest.approx(millimetres)
        assert any("240 mm" in note for note in masks.notes)
        found = np.median([diameter(part) for part in lesions(masks.masks[0].soft)]) * millimetres
        assert low - 1.6 * millimetres <= found <= high + 1.6 * millimetres, (said, seed)


@pytest.mark.parametrize("size", ["small", "moderate", "large"])
def test_an_effusion_fills_as_much_of_its_lung_as_the_prompt_says(size: str) -> None:
    low, high = {"small": (0.1, 0.24), "moderate": (0.24, 0.42), "large": (0.42, 0.75)}[size]
    (mask,) = drawn(f"{size} left pleural effusion", 3).masks
    lung = chest().lungs.left
    wide = (shown(mask.soft) & lung).sum(axis=1) > lung.sum(axis=1) / 3
    share = wide.sum() / np.count_nonzero(lung.any(axis=1))
    assert low - 0.02 <= share <= high + 0.02
    assert wide[np.flatnonzero(lung.any(axis=1))[-1] - 3]  # at the base


@pytest.mark.parametrize("finding", ["consolidation", "ground glass opacity", "reticular pattern", "nodule"])
def test_severe_is_denser_than_moderate_and_moderate_than_mild(finding: str) -> None:
    words = ("faint", "moderately dense", "dense") if finding == "nodule" else ("mild", "moderate", "severe")
    for seed in (1, 2):
        maps = [drawn(f"{word} {finding} in the right lung", seed).masks[0].soft for word in words]
        assert all(
            np.quantile(one[one > 0.01], 0.98) < np.quantile(two[two > 0.01], 0.98)
            for one, two in itertools.pairwise(maps)
        )


def test_both_lungs_have_a_map_each() -> None:
    for said in ("bilateral consolidation", "consolidation in both lower zones", "small bilateral pleural effusions"):
        masks = drawn(said, 4)
        sound(masks)
        assert [each.asked.side for each in masks.masks] == ["right", "left"]
        for each, other in zip(masks.masks, (chest().lungs.left, chest().lungs.right), strict=True):
            assert not each.soft[other].any()
    (mask,) = drawn("diffuse ground glass opacity", 4).masks
    assert (mask.soft[chest().lungs.left] > 0.02).mean() > 0.1
    assert (mask.soft[chest().lungs.right] > 0.02).mean() > 0.1


@pytest.mark.parametrize("exact", [True, False])
def test_lobes_are_those_of_the_anatomy(exact: bool) -> None:
    found: Projection | Anatomy = projected(128) if exact else seen(128)[1]
    for said, name in (
        ("consolidation in the right upper lobe", "lung_upper_lobe_right"),
        ("nodule in the left upper lobe", "lung_upper_lobe_left"),
        ("small mass in the left lower lobe", "lung_lower_lobe_left"),
    ):
        masks = drawn(said, 1, found)
        sound(masks)
        assert masks.notes == () or "240 mm" in masks.notes[0]
        assert not (shown(masks.masks[0].soft) & masks.place.lungs.mask & ~found.mask(name)).any(), said
    for said, side in (("consolidation in the middle lobe", "right"), ("consolidation in the lingula", "left")):
        masks = drawn(said, 1, found)
        sound(masks)
        other = masks.place.lungs.left if side == "right" else masks.place.lungs.right
        assert not (shown(masks.masks[0].soft) & other).any()
    assert any("stands for" in note for note in drawn("consolidation in the middle lobe", 1, found).notes)


def test_lungs_alone_show_a_third_for_a_lobe_and_say_so() -> None:
    for said, level in (("right upper lobe", "upper"), ("lingula", "middle"), ("left lower lobe", "lower")):
        masks = drawn(f"consolidation in the {said}", 2)
        sound(masks)
        assert f"the {level} third of the lung stands for" in " ".join(masks.notes)
        zone = chest().lungs.zone(level)  # type: ignore[arg-type]
        assert not (shown(masks.masks[0].soft) & chest().lungs.mask & ~zone).any()


def test_behind_the_heart_is_behind_the_heart() -> None:
    masks = drawn("retrocardiac consolidation", 1, projected(128))
    sound(masks)
    soft = masks.masks[0].soft
    assert not (shown(soft) & ~projected(128).mask("heart")).any()
    assert masks.place.convention == "whole"


def test_the_same_seed_gives_the_same_maps_and_another_seed_others() -> None:
    said = "two nodules in the left lung, mild consolidation at the right base"
    one, same, other = drawn(said, 5), drawn(said, 5), drawn(said, 6)
    np.testing.assert_array_equal(one.soft, same.soft)
    assert [each.record for each in one.masks] == [each.record for each in same.masks]
    assert (one.soft != other.soft).any()
    record = PromptRecord(one.prompt, tuple(each.record for each in one.masks))
    again = PathologyMasks.of(PromptRecord.from_json(record.to_json()), chest().lungs)
    for each, its in zip(again.masks, one.masks, strict=True):
        np.testing.assert_array_equal(each.soft, its.soft)
    assert again.notes == one.notes


def test_maps_grow_denser_with_the_severity() -> None:
    masks = drawn("two nodules in the left lung, consolidation at the right base", 5)
    for each in masks.masks:
        graded: list[PathologyMask] = [
            each.at(severity, millimetres=masks.millimetres) for severity in (0.05, 0.2, 0.5, 0.9, 1.0)
        ]
        for less, more in itertools.pairwise(graded):
            assert (less.soft <= more.soft + 1e-6).all()
            assert less.soft.sum() < more.soft.sum()
        assert all(not one.soft[~each.region.stated].any() for one in graded)


def without(side: int) -> Lungs:
    labels = chest().lungs.labels.copy()
    labels[labels == side] = 0
    return Lungs.from_labels(labels)


@pytest.mark.parametrize(
    ("said", "found", "reason"),
    [
        ("retrocardiac consolidation", None, "do not show what lies behind the heart"),
        ("nodule in the right lung", without(1), "shows no right lung"),
        ("consolidation", Lungs.from_labels(np.zeros((SIZE, SIZE), np.uint8)), "no .*lung"),
        ("pleural effusion in the right upper lobe", None, "lies at the base"),
        ("20 70 mm masses in the left lung", None, "no room"),
        ("consolidation in the left lower lobe", without(2), "shows no left lung"),
    ],
)
def test_what_these_lungs_cannot_show_is_refused_with_the_reason(said: str, found: Lungs | None, reason: str) -> None:
    with pytest.raises(SynthesisError, match=reason):
        drawn(said, 0, found)


def test_a_prompt_that_only_denies_gives_no_maps() -> None:
    masks = drawn("no consolidation")
    assert masks.masks == ()
    assert not masks.soft.any()


@pytest.mark.parametrize("seed", range(6))
def test_nothing_in_the_gap_is_apart_from_the_lung(seed: int) -> None:
    chest = Phantom(size=160)(seed)
    masks = MaskSampler()(
        Prompt.parse("three large nodules in the left lung"), chest.lungs, np.random.default_rng(seed)
    )
    (mask,) = masks.masks
    for cut in (0.15, 0.2, 0.25, 0.3):
        seen = mask.soft >= cut * mask.soft.max()
        _, parts = cv2.connectedComponents(seen.astype(np.uint8), connectivity=8)
        assert set(np.unique(parts[seen])) == set(np.unique(parts[seen & mask.region.place.region])), cut
    assert mask.measured.numbers == (3, 3)
