"""Findings: what can be drawn, and that it is drawn as configured."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import jaxtyping
import numpy as np
import pytest

from artasyn.arrays import LEFT, RIGHT
from artasyn.errors import SynthesisError
from artasyn.phantom.film import Phantom
from artasyn.segment.lungs import Lungs
from artasyn.synthesis import FINDINGS, LungOpacity, findings
from artasyn.synthesis.drawing import STEPS, draw_lesions
from artasyn.synthesis.lesions import ABSENT, HILUM, Draws
from tests.conftest import ROOT

BOTH = np.ones((400, 2), bool)


def drawn(*names: str, present: Any = BOTH, seed: int = 0, kinds: tuple[int, int] = (1, 1), **changes: Any) -> Draws:
    return draw_lesions(findings(*names, **changes), present, np.random.default_rng(seed), kinds_range=kinds)


def test_selecting_and_changing() -> None:
    assert [finding.name for finding in findings()] == list(FINDINGS)
    assert findings() == tuple(FINDINGS.values())
    nodule, mass = findings("nodule", "mass", severity_range=(0.1, 0.2), zones=("upper",))
    assert nodule == replace(FINDINGS["nodule"], severity_range=(0.1, 0.2), zones=("upper",))
    assert mass.look == FINDINGS["mass"].look


@pytest.mark.parametrize(
    ("names", "changes", "message"),
    [
        (("pneumonia",), {}, "no finding 'pneumonia'; choose from ground_glass_opacity"),
        (("mass",), {"colour": 1}, "a finding has no colour"),
        (("mass",), {"zones": ("basal",)}, "mass: .*basal.*choose from central"),
        (("mass",), {"sides": ("both",)}, "mass: .*both.*choose from left, right"),
        (("mass",), {"sides": ()}, "at least one side"),
        (("mass",), {"weight": 0.0}, "weight is 0.0"),
        (("mass",), {"severity_range": (0.5, 0.4)}, "severity_range is .*; low comes before high"),
        (("mass",), {"severity_range": (0.5, 1.4)}, r"severity_range\[1\] is 1.4, not from 1e-06 to 1"),
        (("mass",), {"size_range": (0.0, 0.4)}, "size_range"),
        (("mass",), {"number_range": (0, 2)}, "number_range"),
        (("mass",), {"size_range": (0.1, float("nan"))}, "size_range"),
    ],
)
def test_what_cannot_be_drawn_is_refused(names: tuple[str, ...], changes: dict[str, Any], message: str) -> None:
    with pytest.raises((SynthesisError, jaxtyping.TypeCheckError)) as caught:  # the latter only where tests check types
        findings(*names, **changes)
    if isinstance(caught.value, SynthesisError):
        assert re.search(message, str(caught.value))


def test_without_type_checks_the_library_itself_refuses_unknown_zones_and_sides() -> None:
    """In a process whose types no one checks, as at the user's."""
    code = """
from artasyn.errors import SynthesisError
from artasyn.synthesis import FINDINGS, Look, findings
for changes in ({"zones": ("basal",)}, {"sides": ("both",)}, {"look": {"edge": 1.0, "texture": "wool"}}):
    try:
        look = {"look": Look(**changes["look"])} if "look" in changes else {}
        findings("mass", **changes | look)
    except SynthesisError as error:
        print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.splitlines() == [
        "mass: zones[0] is 'basal'; choose from central, lower, middle, peripheral, upper",
        "mass: sides[0] is 'both'; choose from left, right",
        "Look: texture is 'wool'; choose from bronchi, cells, cuffs, micronodules, none, reticular, septa",
    ]


@pytest.mark.parametrize("name", FINDINGS)
def test_draws_keep_to_their_ranges(name: str) -> None:
    finding, draws = FINDINGS[name], drawn(name)
    low, high = finding.severity_range
    assert low - 1e-4 <= draws.severity.min() <= draws.severity.max() <= high + 1e-4
    assert np.median(draws.severity) == pytest.approx(np.sqrt(low * high), rel=0.12)  # log-uniform
    counts = np.bincount(draws.image, minlength=400)
    assert (counts.min(), counts.max()) == finding.number_range
    assert {kind for kind, _ in draws.kinds} == {name}
    assert 0 <= draws.seed.min() <= draws.seed.max() < 2**32
    assert len(np.unique(draws.seed)) == len(draws.seed)
    assert set(draws.side) == {RIGHT, LEFT}
    there = draws.stamps[..., 2] > ABSENT[2]
    assert (there.any(axis=1)).all()
    assert (draws.stamps[~there] == ABSENT).all()


@pytest.mark.parametrize("name", [name for name, finding in FINDINGS.items() if not finding.dependent])
def test_stamps_stay_with_their_lesion(name: str) -> None:
    """From a lesion's focus, no stamp reaches farther than its radius and half its longest stroke allow."""
    finding, draws = FINDINGS[name], drawn(name)
    there = draws.stamps[..., 2] > ABSENT[2]
    strokes = there.sum(axis=1) / (STEPS if finding.elongation_range[1] else 1)
    assert (strokes.min(), strokes.max()) == finding.strokes_range
    radius = 0.5 * finding.size_range[1]
    reach = 1 + 0.5 * finding.elongation_range[1] * 1.1
    assert np.hypot(draws.stamps[..., 0], draws.stamps[..., 1])[there].max() <= radius * reach + 1e-3
    aspect = draws.stamps[..., 2][there] / draws.stamps[..., 3][there]
    large = draws.stamps[..., 2][there] > 0.02  # rounding
    assert (
        finding.aspect_range[0] * 0.97 <= aspect[large].min() <= aspect[large].max() <= finding.aspect_range[1] * 1.03
    )


@pytest.mark.parametrize(
    ("zones", "rows", "columns"),
    [
        (("upper",), (0, 1 / 3), (0, 1)),
        (("lower", "peripheral"), (2 / 3, 1), (2 / 3, 1)),
        (("middle", "lower", "central"), (1 / 3, 1), (0, 2 / 3)),
        ((), (0, 1), (0, 1)),
    ],
)
def test_lesions_lie_in_their_zones(zones: Any, rows: tuple[float, float], columns: tuple[float, float]) -> None:
    focus = drawn("nodule", zones=zones).focus
    for places, (low, high) in zip(focus.T, (rows, columns), strict=True):
        assert max(low, 0.04) - 1e-4 <= places.min() < low + 0.06
        assert high - 0.06 < places.max() <= min(high, 0.96) + 1e-4


def test_a_zone_named_twice_is_twice_as_likely() -> None:
    rows = drawn("nodule", zones=("upper", "lower", "lower")).focus[:, 0]
    assert np.mean(rows > 0.5) == pytest.approx(2 / 3, abs=0.07)


def test_zones_of_records_are_those_of_the_lungs() -> None:
    """What is drawn as upper periphery is there on a film too, by the definition that `Lungs.zone` gives."""
    chest = Phantom(size=192)(2)
    synthesis = LungOpacity(
        findings("nodule", zones=("upper", "peripheral"), number_range=(1, 1), size_range=(0.03, 0.05))
    )
    zone = chest.lungs.zone("upper") & chest.lungs.zone("peripheral")
    inside = [
        (anomaly.mask & zone).sum() / anomaly.mask.sum()
        for anomaly in (synthesis(chest.image, chest.lungs, np.random.default_rng(seed)) for seed in range(30))
    ]
    assert np.mean(inside) > 0.75  # lesions overlap the zones' borders


def test_sides() -> None:
    assert set(drawn("mass", sides=("left",)).side) == {LEFT}
    only_right = np.array([[True, False]] * 400)
    assert set(drawn("mass", sides=("left",), present=only_right).side) == {RIGHT}  # the other is not there
    assert set(drawn(present=only_right).side) == {RIGHT}
    for probability in (0.0, 1.0):
        draws = drawn("nodule", number_range=(2, 2), bilateral_probability=probability)
        sides = draws.side.reshape(-1, 2)
        assert ((sides[:, 0] != sides[:, 1]) == bool(probability)).all()
        assert 0.4 < np.mean(sides[:, 0] == RIGHT) < 0.6


def test_kinds_are_different_and_follow_their_weights() -> None:
    draws = drawn("nodule", "mass", "consolidation", kinds=(2, 2), number_range=(1, 1))
    kinds = draws.kind.reshape(400, 2)
    assert (kinds[:, 0] != kinds[:, 1]).all()
    one = drawn("nodule", "mass", kinds=(1, 1), number_range=(1, 1)).kind
    weights = np.array([FINDINGS["nodule"].weight, FINDINGS["mass"].weight])
    assert np.mean(one == 0) == pytest.approx(weights[0] / weights.sum(), abs=0.08)
    more = drawn("nodule", "mass", kinds=(5, 9), number_range=(1, 1))  # no more than there are
    assert (np.bincount(more.image) == 2).all()


def test_fluids_lie_at_the_base_and_climb_along_the_ribs() -> None:
    chest = Phantom(size=192)(3)
    synthesis = LungOpacity(findings("pleural_effusion", size_range=(0.25, 0.35), severity_range=(0.9, 1.0)))
    for seed in range(12):
        anomaly = synthesis(chest.image, chest.lungs, np.random.default_rng(seed))
        for lesion in anomaly.record.lesions:
            lung = chest.lungs.right if lesion.side == RIGHT else chest.lungs.left
            mask, zone = anomaly.mask & lung, chest.lungs.zone("lower") & lung
            assert mask.sum() > 0.2 * zone.sum()
            assert not (mask & chest.lungs.zone("upper")).any()
            tops = np.where(mask.any(axis=0), mask.argmax(axis=0), 999)
            columns = np.flatnonzero(mask.any(axis=0))
            ribs = columns[:6] if lesion.side == RIGHT else columns[-6:]
            middle = columns[len(columns) // 3 : 2 * len(columns) // 3]
            assert tops[ribs].min() < np.median(tops[middle])


def test_lesions_as_arrays_and_as_records_are_the_same() -> None:
    draws = drawn(kinds=(1, 3))
    lesions = draws.lesions(400)
    again = Draws.of(lesions)
    assert again.lesions(400) == lesions
    for name in ("image", "side", "focus", "severity", "seed"):
        assert (getattr(again, name) == getattr(draws, name)).all()
    assert [again.kinds[k] for k in again.kind] == [draws.kinds[k] for k in draws.kind]


def test_a_batch_without_lungs_says_which_images() -> None:
    present = np.array([[True, True], [False, False], [True, False]])
    with pytest.raises(SynthesisError, match=r"no lungs .*\[1\]"):
        LungOpacity().draw_batch(present, np.random.default_rng(0))
    with pytest.raises(SynthesisError, match="no lungs"):
        LungOpacity().draw(Lungs.from_labels(np.zeros((20, 20), np.uint8)), np.random.default_rng(0))


@pytest.mark.parametrize("name", ["perihilar_opacity", "peribronchial_thickening"])
def test_hilar_findings_lie_around_the_hilum_of_both_lungs(name: str) -> None:
    draws = drawn(name)
    down, outward = draws.focus.T
    assert np.median(down) == pytest.approx(HILUM[0], abs=0.03)
    assert np.quantile(np.abs(down - HILUM[0]), 0.95) < 0.2
    assert 0.04 <= outward.min() <= np.quantile(outward, 0.95) < 0.3
    both = [len(set(draws.side[draws.image == image].tolist())) == 2 for image in np.unique(draws.image)]
    assert np.mean(both) > 0.75


def test_a_cavity_is_a_ring_and_a_line_is_flat() -> None:
    film = Phantom(size=256)(1)
    rings, flat = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        cavity = LungOpacity(findings("cavity", size_range=(0.3, 0.35), strokes_range=(1, 1)), kinds_range=(1, 1))
        added = cavity(film.image, film.lungs, rng).attenuation
        rows, columns = np.nonzero(added > 0)
        middle = added[round(rows.mean()) - 2 : round(rows.mean()) + 3, round(columns.mean()) - 2 :][:, :5]
        rings.append(middle.mean() / np.quantile(added[added > 0], 0.9))
        line = LungOpacity(findings("linear_atelectasis", number_range=(1, 1)), kinds_range=(1, 1))
        rows, columns = np.nonzero(line(film.image, film.lungs, rng).mask)
        flat.append(np.ptp(rows) / np.ptp(columns))
    assert np.median(rings) < 0.5
    assert np.median(flat) < 0.6
