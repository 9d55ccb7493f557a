"""What the words of a prompt mean in numbers: how many lesions, how large and how dense."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from artasyn.synthesis.finding import FINDINGS, Finding
from artasyn.synthesis.prompts.said import PromptFinding, Size

Measure = Literal["diameter", "level", "share"]
"""How the size of a finding is measured: the diameter of a lesion in mm, the height of a fluid as a share of its lung,
or the area as a share of the place that the prompt names."""

LUNG_HEIGHT = 240.0
"""Height of both lungs, mm, of an adult, which gives a length its pixels where the radiograph does not tell them."""

ROUND = frozenset({"nodule", "mass", "cavity"})
"""The findings that are lesions with a diameter, which a prompt counts."""

SIZES: dict[str, tuple[float, float, float, float]] = {
    "nodule": (4.0, 10.0, 20.0, 30.0),
    "mass": (30.0, 50.0, 70.0, 110.0),
    "cavity": (15.0, 30.0, 60.0, 100.0),
    "level": (0.1, 0.24, 0.42, 0.75),
    "share": (0.04, 0.25, 0.5, 0.95),
}
"""The ends of small, moderate and large, in mm for the first three, by the finding or the measure."""

WORDS: tuple[Size, ...] = ("small", "moderate", "large")
GRADES = ("mild", "moderate", "severe")
AMOUNTS = {"few": (2, 3), "several": (3, 6), "many": (7, 14)}
"""Number of lesions that an amount stands for."""
SPREADS = {"focal": (1, 1), "patchy": (2, 4), "multifocal": (3, 6)}
"""Number of lesions that a distribution stands for."""

INSIDE = 0.15
"""Share of a class at each end that is not drawn from, so that what is measured stays in the class."""

NEAR = 0.1
"""Largest difference of a length from the length that was said, as a share."""

Range = tuple[float, float]


@dataclass(frozen=True)
class Plan:
    """What to draw for one finding of a prompt.

    Attributes:
        finding: the preset with the prompt's sides and severities.
        number: the least and the largest number of lesions.
        apart: whether the lesions must lie apart, because their number was said.
        measure: how the size is measured.
        size: the range of the measure that was said, None where no size was said.
        severity: the range of the severity.
        graded: whether the severity was said.
    """

    finding: Finding
    number: tuple[int, int]
    apart: bool
    measure: Measure
    size: Range | None
    severity: Range
    graded: bool

    @classmethod
    def of(cls, asked: PromptFinding) -> Plan:
        """Plans a finding.

        Args:
            asked: a finding of a prompt.

        Example:
            >>> plan = Plan.of(PromptFinding("nodule", side="left", number=3, millimetres=10.0))
            >>> plan.number, plan.apart, plan.size
            ((3, 3), True, (9.0, 11.0))
        """
        preset = FINDINGS[asked.finding]
        severity = grade_range(asked.finding, asked.severity) if asked.severity else preset.severity_range
        sides = (asked.side,) if asked.side else preset.sides
        finding = replace(preset, severity_range=severity, sides=sides, zones=())
        number, apart = _number(asked, preset)
        measure = "diameter" if asked.millimetres and not preset.dependent else measure_of(asked.finding)
        return cls(finding, number, apart, measure, _size(asked, measure), severity, asked.severity is not None)


def measure_of(finding: str) -> Measure:
    """Returns how the size of a finding is measured."""
    if finding in ROUND:
        return "diameter"
    return "level" if FINDINGS[finding].dependent else "share"


def grade_range(finding: str, grade: str) -> Range:
    """Returns the range of severities that a word stands for: a third of the finding's range, in logarithms."""
    low, high = FINDINGS[finding].severity_range
    at = GRADES.index(grade)
    return low * (high / low) ** (at / 3), low * (high / low) ** ((at + 1) / 3)


def size_range(finding: str, size: str) -> Range:
    """Returns the range of sizes that a word stands for, in the unit of the finding's measure."""
    measure = measure_of(finding)
    ends = SIZES[finding if measure == "diameter" else measure]
    at = WORDS.index(size)
    return ends[at], ends[at + 1]


def inner(limits: Range) -> Range:
    """Returns a range without its ends, in logarithms."""
    low, high = (math.log(end) for end in limits)
    margin = INSIDE * (high - low)
    return math.exp(low + margin), math.exp(high - margin)


def _number(asked: PromptFinding, preset: Finding) -> tuple[tuple[int, int], bool]:
    """Returns the least and largest number of lesions, and whether they were said."""
    if preset.dependent:
        return (1, 1), False
    if asked.number:
        return (asked.number, asked.number), True
    if asked.amount:
        return AMOUNTS[asked.amount], True
    if asked.distribution == "diffuse":
        return (AMOUNTS["many"], True) if asked.finding in ROUND else ((3, 5), False)
    if asked.distribution:
        return SPREADS[asked.distribution], asked.finding in ROUND
    if asked.finding in ROUND:
        return (1, 1), True
    one_side = 1 if asked.side else 0
    return (preset.number_range[0], max(preset.number_range[0], preset.number_range[1] - one_side)), False


def _size(asked: PromptFinding, measure: Measure) -> Range | None:
    """Returns the range of sizes that was said, or None."""
    if asked.millimetres:
        unit = 1.0 if measure == "diameter" else LUNG_HEIGHT
        return (1 - NEAR) * asked.millimetres / unit, (1 + NEAR) * asked.millimetres / unit
    if asked.size:
        return size_range(asked.finding, asked.size)
    if asked.distribution == "diffuse" and measure == "share":
        return size_range(asked.finding, "large")
    if measure == "level" and asked.area == "costophrenic_angle":
        return size_range(asked.finding, "small")
    return None
