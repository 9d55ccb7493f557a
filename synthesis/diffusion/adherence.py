"""What a soft map shows, measured back from its pixels alone, and whether that is what the prompt asks for."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from artasyn.arrays import LEFT, RIGHT, Heatmap, LungLabels, Mask
from artasyn.synthesis.diffusion.plans import Plan
from artasyn.synthesis.finding import Side
from artasyn.synthesis.prompts.said import PromptFinding

SEEN = 0.2
"""Share of a map's densest parts from which a pixel belongs to the finding."""
OUTLINES = (0.15, 0.25, 0.3)
"""Further shares; however a reader outlines lesions, their number must be the same."""
DENSEST = 0.98
"""Quantile of a map that stands for its densest parts."""
FAINTEST = 0.01
"""Share of the air; a map that never reaches it shows nothing."""
ENVELOPE = 0.012
"""Standard deviation of the blur that joins the fine structure of a pattern, in heights of the lungs."""
SPECK = 0.1
"""Components smaller than this share of the largest one are not counted."""
ONE_SIDE = 0.98
"""Share of a finding in one lung from which the finding is on that side."""
PIXELS = 1.5
"""Difference of a length in pixels that is within the accuracy of the grid."""


@dataclass(frozen=True)
class Measured:
    """What one soft map shows.

    Attributes:
        side: the lung that it lies in; None if it lies in both.
        inside: share of the finding's pixels in the region that the prompt names.
        number: number of separate lesions.
        numbers: the least and the largest number, over narrower and wider outlines of the same lesions.
        diameter: the median of the lesions' longest diameters, mm.
        level: share of the rows of the finding's lungs that it fills, over a third of the lung's width.
        share: area as a share of the region.
        severity: share of the air that its densest parts replace.
    """

    side: Side | None
    inside: float
    number: int
    numbers: tuple[int, int]
    diameter: float
    level: float
    share: float
    severity: float


def measure(soft: Heatmap, region: Mask, labels: LungLabels, *, millimetres: float, patterned: bool) -> Measured:
    """Measures the part of a soft map that lies in the lungs.

    Args:
        soft: share of the air that a finding replaces, (h, w) in [0, 1].
        region: where the finding may lie, (h, w).
        labels: of the lungs, (h, w).
        millimetres: size of a pixel.
        patterned: whether the finding has a fine structure, which is joined before areas are measured.
    """
    some = soft[soft >= FAINTEST]
    severity = float(np.quantile(some, DENSEST)) if some.size else 0.0
    rows = np.flatnonzero((labels > 0).any(axis=1))
    whole = cv2.GaussianBlur(soft, (0, 0), max(0.5, ENVELOPE * rows.size)) if patterned else soft
    seen = np.asarray(whole >= max(FAINTEST, SEEN * float(whole.max(initial=0)))) & (soft > 0) & (labels > 0)
    area = max(1, int(np.count_nonzero(seen)))
    right, left = (int(np.count_nonzero(seen & (labels == side))) / area for side in (RIGHT, LEFT))
    parts = _parts(seen)
    counts = [len(parts)]
    if not patterned:
        counts += [len(_parts((soft >= max(FAINTEST, cut * float(soft.max()))) & (labels > 0))) for cut in OUTLINES]
    return Measured(
        side="right" if right >= ONE_SIDE else "left" if left >= ONE_SIDE else None,
        inside=int(np.count_nonzero(seen & region)) / area,
        number=len(parts),
        numbers=(min(counts), max(counts)),
        diameter=float(np.median([_longest(part) for part in parts])) * millimetres if parts else 0.0,
        level=_level(seen, labels),
        share=int(np.count_nonzero(seen & region)) / max(1, int(np.count_nonzero(region))),
        severity=severity,
    )


def disagreements(asked: PromptFinding, plan: Plan, measured: Measured, *, millimetres: float) -> tuple[str, ...]:
    """Returns what a map shows otherwise than the prompt says, in sentences; empty where it agrees.

    Args:
        asked: the finding.
        plan: its plan.
        measured: what the map shows.
        millimetres: size of a pixel, which limits the accuracy of lengths.
    """
    said = asked.words()
    wrong = []
    if not measured.severity:
        return (f"nothing shows of {said!r}",)
    if asked.side and measured.side != asked.side:
        wrong.append(f"{said!r} lies in the {measured.side or 'right and left'} lung")
    if measured.inside < ONE_SIDE:
        wrong.append(f"{100 * measured.inside:.0f} % of {said!r} lies in its place")
    if plan.apart and not plan.number[0] <= measured.numbers[0] <= measured.numbers[1] <= plan.number[1]:
        wrong.append(f"{said!r} has {_range(measured.numbers)} lesions, not {_range(plan.number)}")
    if plan.size:
        value = getattr(measured, plan.measure)
        slack = PIXELS * millimetres if plan.measure == "diameter" else 0.0
        if not plan.size[0] - slack <= value <= plan.size[1] + slack:
            wrong.append(f"{said!r} has a {plan.measure} of {value:.3g}, not {plan.size[0]:.3g} to {plan.size[1]:.3g}")
    if plan.graded and not plan.severity[0] <= measured.severity * (1 + 1e-4) <= plan.severity[1] * (1 + 2e-4):
        wrong.append(
            f"{said!r} has a severity of {measured.severity:.3g}, not {plan.severity[0]:.3g} to {plan.severity[1]:.3g}"
        )
    return tuple(wrong)


def _range(limits: tuple[int, int]) -> str:
    return str(limits[0]) if limits[0] == limits[1] else f"{limits[0]} to {limits[1]}"


def _parts(seen: Mask) -> list[np.ndarray]:
    """Returns the pixels (x, y) of each separate lesion, without specks."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(seen.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    least = SPECK * areas.max(initial=0)
    found = []
    for number in range(1, count):
        if areas[number - 1] >= least:
            x, y, w, h = stats[number, :4]
            there = np.argwhere(parts[y : y + h, x : x + w] == number)[:, ::-1]
            found.append(np.ascontiguousarray(there, np.float32))
    return found


def _longest(pixels: np.ndarray) -> float:
    """Returns the longest diameter of a lesion, in pixels."""
    hull = cv2.convexHull(pixels)[:, 0]
    between = np.hypot(*(hull[:, None] - hull[None]).transpose(2, 0, 1))
    return float(between.max()) + 1


def _level(seen: Mask, labels: LungLabels) -> float:
    """Returns the share of rows that a finding fills, of the lungs that it lies in."""
    filled = rows = 0
    for side in (RIGHT, LEFT):
        lung = labels == side
        if (seen & lung).any():
            width = lung.sum(axis=1)
            rows += int(np.count_nonzero(width))
            filled += int(np.count_nonzero((seen & lung).sum(axis=1) * 3 > width))
    return filled / max(1, rows)
