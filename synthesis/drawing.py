"""Drawing lesions: the only place in `artasyn.synthesis` that uses randomness."""

from __future__ import annotations

from functools import cache

import numpy as np

from artasyn.arrays import LEFT, RIGHT
from artasyn.segment.lungs import Zone
from artasyn.shapes import Bool, Float, Float64, Int
from artasyn.synthesis.finding import Finding
from artasyn.synthesis.lesions import ABSENT, HILUM, Draws

STEPS = 4
"""Stamps along a stroke."""

_ALONG = np.linspace(-0.5, 0.5, STEPS)
_BENT = 0.25 - _ALONG**2

COLUMNS = 9
"""Stamps side by side that make up a fluid."""

AROUND_HILUM = (0.07, 0.1)
"""Standard deviations of lesions around the hilum: down, as a share of the lung's height, and outward, of its width."""


def draw_lesions(
    mixture: tuple[Finding, ...],
    present: Bool[np.ndarray, "b 2"],
    rng: np.random.Generator,
    *,
    kinds_range: tuple[int, int],
) -> Draws:
    """Draws the lesions of a batch of anomalies, one finding after the other for all images at once.

    Args:
        mixture: the findings to draw from, by their weights.
        present: bool (b, 2), whether an image has a right and a left lung; every image has at least one of them.
        rng: the source of randomness.
        kinds_range: number of different findings in one anomaly, at most as many as the mixture has.

    Returns:
        At least one lesion for each image.
    """
    weights = np.array([finding.weight for finding in mixture])
    low, high = (min(kinds, len(mixture)) for kinds in kinds_range)
    kinds = rng.integers(low, high + 1, size=len(present))
    chances = (
        rng.exponential(size=(len(present), len(mixture))) / weights
    )  # the smallest values are a weighted draw without replacement
    drawn = chances.argsort(axis=1).argsort(axis=1) < kinds[:, None]
    parts: list[tuple[np.ndarray, ...]] = []
    for number in drawn.any(axis=0).nonzero()[0].tolist():
        images = drawn[:, number].nonzero()[0]
        part = _draw_kind(mixture[number], images, present[images], rng)
        parts.append((np.full(part[0].size, number), *part))
    columns = [np.concatenate(column) for column in zip(*(part[:4] + part[5:] for part in parts), strict=True)]
    order = np.argsort(columns[1], kind="stable")
    kind, image, side, focus, severity, seed = (column[order] for column in columns)
    looks = tuple((finding.name, finding.look) for finding in mixture)
    stamps = _in_order([part[4] for part in parts], order)
    return Draws(looks, image, kind, side, focus, stamps, severity, seed)


def _draw_kind(
    finding: Finding, images: Int[np.ndarray, " n"], present: Bool[np.ndarray, "n 2"], rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Draws the lesions of one finding in some images: image, side, focus, stamps, severity, seed."""
    counts = rng.integers(finding.number_range[0], finding.number_range[1] + 1, size=images.size)
    image = images.repeat(counts)
    side = _sides(finding, present, counts, rng)
    size = _log_uniform(finding.size_range, image.size, rng)
    severity = _log_uniform(finding.severity_range, image.size, rng)
    focus = _fluid_focus(size) if finding.dependent else _foci(finding, image.size, rng)
    stamps = _fluid(size, rng) if finding.dependent else _strokes(finding, 0.5 * size, rng)
    seed = rng.integers(2**32, size=image.size)
    return image, side, focus.round(4), stamps.round(4), severity.round(4), seed


def _in_order(parts: list[Float64[np.ndarray, "_ _ 4"]], order: Int[np.ndarray, " n"]) -> Float64[np.ndarray, "n e 4"]:
    """Joins the stamps of the findings in an order of their lesions; where a lesion has fewer, `ABSENT` follows."""
    most = max(part.shape[1] for part in parts)
    joined = np.empty((order.size, most, 4))
    joined[:] = ABSENT
    start = 0
    for part in parts:
        stop = start + len(part)
        np.copyto(joined[start:stop, : part.shape[1]], part, where=part[..., 2:3] > ABSENT[2])
        start = stop
    return np.asarray(joined[order])


def _sides(
    finding: Finding, present: Bool[np.ndarray, "n 2"], counts: Int[np.ndarray, " n"], rng: np.random.Generator
) -> Int[np.ndarray, " lesions"]:
    """Draws the lung of every lesion: one that the finding allows, or the other one where the image lacks it."""
    allowed = present
    if len(set(finding.sides)) < 2:
        allowed = present & [side in finding.sides for side in ("right", "left")]
        allowed = np.where(allowed.any(axis=1, keepdims=True), allowed, present)
    both = allowed.all(axis=1)
    first = np.where(both, rng.integers(RIGHT, LEFT + 1, size=len(counts)), LEFT - allowed[:, 0])
    spread = both & (rng.random(len(counts)) < finding.bilateral_probability)
    chances = rng.random(counts.sum())
    first = first.repeat(counts)
    if not spread.any():
        return first
    at = np.arange(first.size) - (counts.cumsum() - counts).repeat(counts)  # within its image
    other = spread.repeat(counts) & ((at == 1) | (at > 1) & (chances < 0.5))
    return np.asarray(np.where(other, RIGHT + LEFT - first, first))


def _foci(finding: Finding, count: int, rng: np.random.Generator) -> Float[np.ndarray, "n 2"]:
    """Draws places in a lung, in the finding's zones or around the hilum."""
    if finding.hilar:
        away = rng.standard_normal((count, 2)) * AROUND_HILUM
        return np.asarray(np.array([HILUM[0] + away[:, 0], HILUM[1] + np.abs(away[:, 1])]).T.clip(0.04, 0.96))
    levels, depths = _zones(tuple(finding.zones))
    unit, pick = rng.random((count, 2)), rng.random((count, 2))
    rows = levels[(pick[:, 0] * len(levels)).astype(int)]
    columns = depths[(pick[:, 1] * len(depths)).astype(int)]
    return np.asarray(np.array([rows + unit[:, 0] / 3, columns[:, 0] + unit[:, 1] * columns[:, 1]]).T.clip(0.04, 0.96))


@cache
def _zones(zones: tuple[Zone, ...]) -> tuple[Float64[np.ndarray, " levels"], Float64[np.ndarray, "depths 2"]]:
    """Returns where each zone begins that a lesion may lie in, down and outward, and the width of those outward."""
    start = {"upper": 0.0, "middle": 1 / 3, "lower": 2 / 3}
    width = {"central": (0.0, 2 / 3), "peripheral": (2 / 3, 1 / 3)}
    levels = [start[zone] for zone in zones if zone in start] or list(start.values())
    depths = [width[zone] for zone in zones if zone in width] or [
        width[z] for z in ("central", "central", "peripheral")
    ]
    return np.array(levels), np.array(depths)


def _strokes(
    finding: Finding, radius: Float[np.ndarray, " n"], rng: np.random.Generator
) -> Float64[np.ndarray, "n e 4"]:
    """Draws the stamps of lesions: strokes through the lesion's disc, a few stamps along each; unused ones are 0."""
    most, steps = finding.strokes_range[1], STEPS if finding.elongation_range[1] > 0 else 1
    unit = rng.random((radius.size, most, 8 + STEPS))
    ranges = (finding.strokes_range, finding.stamp_range, finding.elongation_range, finding.aspect_range)
    low, span = _stroke_ranges(*map(tuple, ranges))
    drawn = low + span * unit
    used = np.arange(most) < drawn[:, :1, 0].astype(int)
    stamp = drawn[..., 1]
    reach = np.maximum(1 - stamp, 0) * np.sqrt(unit[..., 2])
    turn = np.exp(2j * np.pi * unit[..., 4:6])  # complex numbers: the real part is outward, the imaginary part is down
    bend = (1j * drawn[..., 6])[..., None]
    along = (drawn[..., 3] * turn[..., 1])[..., None] * (_ALONG[:steps] + bend * _BENT[:steps])
    place = (reach * turn[..., 0])[..., None] + along
    aspect = np.sqrt(drawn[..., 7])[..., None]
    size = stamp[..., None] * drawn[..., 8 : 8 + steps]
    stamps = np.empty((*place.shape, 4))
    stamps[..., 0], stamps[..., 1] = place.imag, place.real
    stamps[..., 2], stamps[..., 3] = size * aspect, size / aspect
    stamps *= (radius[:, None] * used)[..., None, None]
    return np.asarray(stamps.reshape(radius.size, -1, 4))


@cache
def _stroke_ranges(
    number: tuple[int, int], stamp: tuple[float, float], elongation: tuple[float, float], aspect: tuple[float, float]
) -> Float64[np.ndarray, "2 numbers"]:
    """Returns the start and the width of the range of each number that a stroke is drawn from."""
    unit = (0.0, 1.0)
    ranges = [(number[0], number[1] + 1), stamp, unit, elongation, unit, unit, (-0.6, 0.6), aspect]
    low, high = np.array([*ranges, *[(0.75, 1.0)] * STEPS], np.float64).T
    return np.stack([low, high - low])


def _between(limits: tuple[float, float], unit: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Stretches numbers in [0, 1) to a range."""
    return limits[0] + (limits[1] - limits[0]) * unit


def _fluid_focus(height: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    """Returns the places where the surfaces of fluids meet the ribs."""
    return np.stack([1 - height, np.ones(height.size)], axis=1)


def _fluid(height: Float[np.ndarray, " n"], rng: np.random.Generator) -> Float64[np.ndarray, "n e 4"]:
    """Draws the stamps of fluids: tall, side by side, from a surface that climbs at the ribs to below the base."""
    inward = np.linspace(0, 0.75, COLUMNS)
    climb = rng.uniform(0.25, 0.6, size=(height.size, 1)) * np.minimum(height, 0.25)[:, None]
    scale = rng.uniform(0.06, 0.16, size=(height.size, 1))
    surface = climb * (1 - np.exp(-inward / scale)) - 0.25 * climb * np.exp(-np.abs(inward - 0.5) / scale)
    half = 0.5 * (height[:, None] + 0.2 - surface)
    stamps = np.stack(
        [surface + half, np.broadcast_to(0.02 - inward, surface.shape), half, np.full(surface.shape, 0.09)], axis=-1
    )
    return np.asarray(stamps)


def _log_uniform(limits: tuple[float, float], count: int, rng: np.random.Generator) -> Float[np.ndarray, " n"]:
    return np.asarray(np.exp(_between(_logarithms(tuple(limits)), rng.random(count))))


@cache
def _logarithms(limits: tuple[float, ...]) -> tuple[np.float64, np.float64]:
    return np.log(limits[0]), np.log(limits[1])
