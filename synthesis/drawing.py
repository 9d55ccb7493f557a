"""Drawing lesions: the only place of the package where randomness is used."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from artasyn.arrays import LEFT, RIGHT
from artasyn.synthesis.findings import Finding
from artasyn.synthesis.lesions import Lesion

STEPS = 4
"""Stamps along a stroke."""

COLUMNS = 9
"""Stamps side by side that make up a fluid."""


def draw_lesions(
    mixture: tuple[Finding, ...],
    present: Bool[np.ndarray, "b 2"],
    rng: np.random.Generator,
    *,
    kinds_range: tuple[int, int],
) -> list[tuple[Lesion, ...]]:
    """Draws the lesions of a batch of anomalies, all of one kind at once.

    Args:
        mixture: the findings to draw from, by their weights.
        present: bool (b, 2), whether there is a right and a left lung; at least one of them.
        rng: the source of randomness.
        kinds_range: different findings in one anomaly, at most as many as the mixture has.

    Returns:
        The lesions of each anomaly, at least one.
    """
    batch = len(present)
    weights = np.array([finding.weight for finding in mixture])
    low, high = (min(kinds, len(mixture)) for kinds in kinds_range)
    kinds = rng.integers(low, high + 1, size=batch)
    order = np.argsort(rng.exponential(size=(batch, len(mixture))) / weights, axis=1)  # without putting back
    drawn: list[list[Lesion]] = [[] for _ in range(batch)]
    for number, finding in enumerate(mixture):
        images = np.flatnonzero((order == number).argmax(axis=1) < kinds)
        if images.size:
            for image, lesion in _draw_kind(finding, images, present, rng):
                drawn[image].append(lesion)
    return [tuple(lesions) for lesions in drawn]


def _draw_kind(
    finding: Finding, images: Int[np.ndarray, " n"], present: Bool[np.ndarray, "b 2"], rng: np.random.Generator
) -> list[tuple[int, Lesion]]:
    """The lesions of one finding in some images, each with its image's index."""
    counts = rng.integers(finding.number_range[0], finding.number_range[1] + 1, size=images.size)
    image = np.repeat(images, counts)
    side = _sides(finding, present[images], counts, rng)
    size = _log_uniform(finding.size_range, image.size, rng)
    severity = _log_uniform(finding.severity_range, image.size, rng)
    focus = _fluid_focus(size) if finding.dependent else _foci(finding, image.size, rng)
    stamps = _fluid(size, rng) if finding.dependent else _strokes(finding, 0.5 * size, rng)
    seeds = rng.integers(2**32, size=image.size)
    table = zip(
        image.tolist(),
        side.tolist(),
        focus.round(4).tolist(),
        stamps.round(4).tolist(),
        severity.round(4).tolist(),
        seeds.tolist(),
        strict=True,
    )
    return [
        (number, Lesion(finding.name, lung, (u, v), tuple(tuple(s) for s in marks if s[2]), share, finding.look, seed))
        for number, lung, (u, v), marks, share, seed in table
    ]


def _sides(
    finding: Finding, present: Bool[np.ndarray, "n 2"], counts: Int[np.ndarray, " n"], rng: np.random.Generator
) -> Int[np.ndarray, " lesions"]:
    """The lung of every lesion: allowed by the finding where the image has that, else the other."""
    allowed = present & [side in finding.sides for side in ("right", "left")]
    allowed = np.where(allowed.any(axis=1, keepdims=True), allowed, present)
    both = allowed.all(axis=1)
    first = np.where(both, rng.integers(RIGHT, LEFT + 1, size=len(counts)), np.where(allowed[:, 0], RIGHT, LEFT))
    spread = both & (rng.random(len(counts)) < finding.bilateral_probability)
    at = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)  # within its image
    other = np.repeat(spread, counts) & np.where(at == 1, True, (at > 1) & (rng.random(at.size) < 0.5))
    first = np.repeat(first, counts)
    return np.asarray(np.where(other, RIGHT + LEFT - first, first))


def _foci(finding: Finding, count: int, rng: np.random.Generator) -> Float[np.ndarray, "n 2"]:
    """Places in a lung, in the finding's zones."""
    levels = [z for z in finding.zones if z in ("upper", "middle", "lower")] or ["upper", "middle", "lower"]
    depths = [z for z in finding.zones if z in ("central", "peripheral")] or ["central", "central", "peripheral"]
    start = {"upper": 0.0, "middle": 1 / 3, "lower": 2 / 3, "central": 0.0, "peripheral": 2 / 3}
    unit, pick = rng.random((count, 2)), rng.random((count, 2))
    rows = np.array([start[level] for level in levels])[(pick[:, 0] * len(levels)).astype(int)]
    columns = np.array([[start[d], 2 / 3 if d == "central" else 1 / 3] for d in depths])
    columns = columns[(pick[:, 1] * len(depths)).astype(int)]
    places = np.stack([rows + unit[:, 0] / 3, columns[:, 0] + unit[:, 1] * columns[:, 1]], axis=1)
    return np.asarray(np.clip(places, 0.04, 0.96))


def _strokes(finding: Finding, radius: Float[np.ndarray, " n"], rng: np.random.Generator) -> Float64[np.ndarray, "n e 4"]:
    """The stamps of lesions: strokes through the lesion's disc, a few stamps along each; 0 where there are fewer."""
    low, high = finding.strokes_range
    shape = (radius.size, high)
    count = rng.integers(low, high + 1, size=radius.size)
    used = np.arange(high) < count[:, None]
    stamp = rng.uniform(*finding.stamp_range, size=(*shape, 1)) * rng.uniform(0.75, 1.0, size=(*shape, STEPS))
    reach = np.maximum(1 - stamp[..., 0], 0) * np.sqrt(rng.random(shape))
    angle = 2 * np.pi * rng.random(shape)
    centre = reach[..., None] * np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    angle = 2 * np.pi * rng.random(shape)
    along = rng.uniform(*finding.elongation_range, size=shape)[..., None] * np.stack(
        [np.sin(angle), np.cos(angle)], axis=-1
    )
    t = np.linspace(-0.5, 0.5, STEPS)[:, None]
    bend = rng.uniform(-0.6, 0.6, size=(*shape, 1, 1)) * (0.25 - t**2) * along[..., None, ::-1] * [1, -1]
    place = centre[..., None, :] + t * along[..., None, :] + bend
    low, high = np.log(finding.aspect_range)
    aspect = np.exp(0.5 * rng.uniform(low, high, size=(*shape, 1)))
    stamps = np.stack([place[..., 0], place[..., 1], stamp * aspect, stamp / aspect], axis=-1)
    stamps = stamps * radius[:, None, None, None] * used[..., None, None]
    if finding.elongation_range[1] == 0:
        stamps = stamps[:, :, :1]
    return np.asarray(stamps.reshape(radius.size, -1, 4))


def _fluid_focus(height: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    """Where a fluid's surface meets the ribs."""
    return np.stack([1 - height, np.ones(height.size)], axis=1)


def _fluid(height: Float[np.ndarray, " n"], rng: np.random.Generator) -> Float64[np.ndarray, "n e 4"]:
    """The stamps of fluids: tall ones side by side, from a surface that climbs at the ribs down below the base."""
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
    return np.asarray(np.exp(rng.uniform(*np.log(limits), size=count)))
