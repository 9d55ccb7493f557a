"""The findings that can be made: where each lies, how large and dense it is, and what it looks like.

The names follow the Fleischner Society's glossary of terms for thoracic imaging (Hansell et al., Radiology
2008;246:697; Bankier et al., Radiology 2024;310:e232558). Pleural effusion and the published texture opacity are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal

from artasyn.errors import SynthesisError
from artasyn.fields import Count, Interval, Share, Within, check_fields
from artasyn.segment.lungs import Zone

Range = Interval[Annotated[float, Within(1e-6, 10)]]
"""A range to draw from, both ends included."""
CountRange = Interval[Annotated[int, Within(1, 100)]]
"""A range of numbers of things, both ends included."""
Strength = Annotated[float, Within(0, 1000)]
"""A number that is not negative."""
Side = Literal["right", "left"]
"""A lung, named as the patient's."""
Texture = Literal["none", "reticular", "micronodules", "cells", "bronchi", "cuffs", "septa"]
"""The pattern that an opacity is made of, in addition to clouds. ``bronchi`` are airways that stay open, ``cuffs``
their thickened walls, ``septa`` the short lines of thickened interlobular septa."""


@dataclass(frozen=True)
class Look:
    """How an opacity's attenuation follows from its shape, as plain numbers.

    The shape is a level: 1 in the middle of a stamp, 0 on its rim, negative outside.

    Attributes:
        edge: levels over which the attenuation rises to its full value.
        solidity: 0 for a smooth rise, like that of an infiltrate; 1 for the thickness of a ball, like that of a nodule.
        irregularity: levels by which clouds push the rim in and out.
        cloudiness: relative variation of the attenuation within the opacity.
        texture: the pattern that the opacity is made of.
        share: share of the attenuation that the texture makes up; air bronchograms take this share away.
        reach: 0 fades out at the pleura, as the lung's thickness does; 1 is as dense there as elsewhere.
        hollow: share of the attenuation that the air of a cavity takes away from the middle; the wall keeps all of it.
    """

    edge: Annotated[float, Within(1e-3, 1000)]
    solidity: Strength = 0.0
    irregularity: Strength = 0.0
    cloudiness: Strength = 0.0
    texture: Texture = "none"
    share: Strength = 0.0
    reach: Strength = 0.0
    hollow: Share = 0.0

    def __post_init__(self) -> None:
        check_fields(self, SynthesisError)


@dataclass(frozen=True)
class Finding:
    """One kind of opacity, with the ranges that its lesions are drawn from.

    Lengths are fractions of the lungs' height.

    Attributes:
        name: the name in reports, with underscores.
        look: how the attenuation follows from the shape.
        size_range: a lesion's diameter, or the height of a fluid over the base; drawn log-uniformly.
        severity_range: attenuation of the densest parts, as a share of the step from lung to soft tissue;
            drawn log-uniformly.
        number_range: number of lesions in one anomaly.
        strokes_range: number of strokes of a lesion. A lesion is the union of its strokes' stamps.
        stamp_range: a stamp's radius, relative to the lesion's.
        elongation_range: a stroke's length, relative to the lesion's radius.
        aspect_range: a stamp's height over its width.
        zones: where lesions lie. A zone that is named more often is more likely in proportion. Without any of upper,
            middle and lower, lesions lie at any height; without central and peripheral, at any depth.
        sides: the lungs that lesions may lie in, where a radiograph has both.
        bilateral_probability: probability that the lesions of one anomaly lie in both lungs.
        dependent: whether the finding is a fluid that fills the lung from the base and climbs along the ribs.
        hilar: whether lesions lie around the hilum; their zones do not count then.
        weight: relative frequency of the finding in a mixture.

    Example:
        >>> FINDINGS["nodule"].look.solidity
        1.0
    """

    name: str
    look: Look
    size_range: Range
    severity_range: Interval[Annotated[float, Within(1e-6, 1)]]
    number_range: CountRange = (1, 1)
    strokes_range: CountRange = (1, 1)
    stamp_range: Range = (1.0, 1.0)
    elongation_range: Interval[Annotated[float, Within(0, 10)]] = (0.0, 0.0)
    aspect_range: Range = (0.8, 1.25)
    zones: Annotated[tuple[Zone, ...], Count(0, 100)] = ()
    sides: Annotated[tuple[Side, ...], Count(0, 100)] = ("right", "left")
    bilateral_probability: Share = 0.5
    dependent: bool = False
    hilar: bool = False
    weight: Annotated[float, Within(1e-9, 1e9)] = 1.0

    def __post_init__(self) -> None:
        """Refuses values that cannot be drawn from.

        Raises:
            SynthesisError: a number is out of range, low is not before high, or a zone or side is unknown.
        """
        check_fields(self, SynthesisError, str(self.name))
        if not self.sides:
            raise SynthesisError(f"{self.name}: at least one side is needed")


_PRESETS = (
    Finding(
        "ground_glass_opacity",
        Look(edge=1.4, irregularity=0.5, cloudiness=0.25, reach=0.3),
        size_range=(0.18, 1.6),
        severity_range=(0.1, 0.45),
        number_range=(1, 2),
        strokes_range=(2, 4),
        stamp_range=(0.35, 0.8),
        elongation_range=(0.2, 1.2),
        zones=("upper", "middle", "middle", "lower", "lower", "lower", "central", "peripheral", "peripheral"),
        bilateral_probability=0.55,
        weight=4.0,
    ),
    Finding(
        "consolidation",
        Look(edge=1.2, irregularity=0.5, cloudiness=0.12, texture="bronchi", share=0.4, reach=0.4),
        size_range=(0.18, 1.7),
        severity_range=(0.25, 0.8),
        number_range=(1, 2),
        strokes_range=(2, 4),
        stamp_range=(0.35, 0.8),
        elongation_range=(0.2, 1.0),
        zones=("upper", "middle", "middle", "lower", "lower", "lower"),
        bilateral_probability=0.5,
        weight=3.2,
    ),
    Finding(
        "nodule",
        Look(edge=1.0, solidity=1.0, irregularity=0.12, cloudiness=0.08),
        size_range=(0.03, 0.12),
        severity_range=(0.2, 0.6),
        number_range=(1, 3),
        weight=0.4,
    ),
    Finding(
        "mass",
        Look(edge=0.9, solidity=0.8, irregularity=0.2, cloudiness=0.1),
        size_range=(0.12, 0.35),
        severity_range=(0.4, 0.95),
        strokes_range=(2, 4),
        stamp_range=(0.6, 0.8),
        elongation_range=(0.1, 0.5),
        bilateral_probability=0.0,
        weight=0.4,
    ),
    Finding(
        "nodular_pattern",
        Look(edge=1.0, irregularity=0.5, texture="micronodules", share=0.85),
        size_range=(0.5, 1.2),
        severity_range=(0.25, 0.6),
        number_range=(1, 3),
        strokes_range=(2, 4),
        stamp_range=(0.5, 0.9),
        elongation_range=(0.3, 1.0),
        bilateral_probability=0.9,
        weight=0.4,
    ),
    Finding(
        "reticular_pattern",
        Look(edge=0.9, irregularity=0.5, cloudiness=0.2, texture="reticular", share=0.75),
        size_range=(0.35, 0.9),
        severity_range=(0.25, 0.7),
        number_range=(1, 3),
        strokes_range=(2, 4),
        stamp_range=(0.5, 0.8),
        elongation_range=(0.2, 1.0),
        zones=("upper", "middle", "lower", "lower", "central", "peripheral", "peripheral"),
        bilateral_probability=0.8,
        weight=0.8,
    ),
    Finding(
        "pleural_effusion",
        Look(edge=0.35, irregularity=0.05, cloudiness=0.05, reach=0.8),
        size_range=(0.12, 0.65),
        severity_range=(0.75, 1.0),
        bilateral_probability=0.3,
        dependent=True,
        weight=0.6,
    ),
    Finding(
        "perihilar_opacity",
        Look(edge=1.6, irregularity=0.5, cloudiness=0.3, reach=0.6),
        size_range=(0.4, 1.5),
        severity_range=(0.1, 0.5),
        strokes_range=(2, 4),
        number_range=(2, 2),
        stamp_range=(0.45, 0.9),
        elongation_range=(0.2, 1.0),
        bilateral_probability=0.85,
        hilar=True,
        weight=0.8,
    ),
    Finding(
        "peribronchial_thickening",
        Look(edge=1.4, irregularity=0.4, cloudiness=0.2, texture="cuffs", share=0.8, reach=0.6),
        size_range=(0.5, 1.6),
        severity_range=(0.2, 0.8),
        strokes_range=(2, 4),
        number_range=(2, 2),
        stamp_range=(0.5, 0.9),
        elongation_range=(0.2, 1.0),
        bilateral_probability=0.9,
        hilar=True,
        weight=0.6,
    ),
    Finding(
        "septal_thickening",
        Look(edge=1.0, irregularity=0.5, cloudiness=0.2, texture="septa", share=0.85, reach=0.8),
        size_range=(0.3, 0.8),
        severity_range=(0.25, 0.7),
        number_range=(1, 3),
        strokes_range=(2, 4),
        stamp_range=(0.5, 0.8),
        elongation_range=(0.2, 1.0),
        zones=("middle", "lower", "lower", "peripheral"),
        bilateral_probability=0.9,
        weight=0.2,
    ),
    Finding(
        "linear_atelectasis",
        Look(edge=0.8, irregularity=0.15, cloudiness=0.15, reach=0.4),
        size_range=(0.08, 0.2),
        severity_range=(0.2, 0.7),
        number_range=(1, 3),
        strokes_range=(1, 2),
        aspect_range=(0.05, 0.15),
        zones=("middle", "lower", "lower"),
        weight=0.3,
    ),
    Finding(
        "cavity",
        Look(edge=0.7, solidity=0.5, irregularity=0.2, cloudiness=0.15, hollow=0.9),
        size_range=(0.1, 0.35),
        severity_range=(0.35, 0.9),
        strokes_range=(1, 3),
        stamp_range=(0.7, 0.95),
        zones=("upper", "upper", "middle", "lower"),
        bilateral_probability=0.1,
        weight=0.1,
    ),
    Finding(
        "miliary_pattern",
        Look(edge=1.5, irregularity=0.3, texture="micronodules", share=0.9, reach=0.6),
        size_range=(1.6, 2.2),
        severity_range=(0.12, 0.4),
        number_range=(2, 2),
        strokes_range=(3, 5),
        stamp_range=(0.6, 0.9),
        bilateral_probability=1.0,
        weight=0.1,
    ),
    Finding(
        "texture_opacity",
        Look(edge=1.2, irregularity=0.3, cloudiness=0.5, texture="cells", share=0.6),
        size_range=(0.3, 1.6),
        severity_range=(0.15, 0.9),
        number_range=(1, 2),
        strokes_range=(1, 12),
        stamp_range=(0.15, 0.45),
        elongation_range=(0.3, 2.0),
        weight=0.8,
    ),
)

FINDINGS = {finding.name: finding for finding in _PRESETS}
"""Every finding by its name. `texture_opacity` has the shapes of ART-ASyn (arXiv 2512.00310), as attenuation."""


def findings(*names: str, **changes: Any) -> tuple[Finding, ...]:
    """Returns findings by name, each with the same changes.

    Args:
        *names: keys of `FINDINGS`; no names mean all of them, the default mixture.
        **changes: fields of `Finding` to replace, such as ``zones``, ``sides`` or ``severity_range``.

    Raises:
        SynthesisError: there is no such finding or no such field, or a value cannot be drawn from.

    Example:
        >>> [f.name for f in findings("nodule", "mass", zones=("upper",))]
        ['nodule', 'mass']
    """
    if unknown := [name for name in names if name not in FINDINGS]:
        raise SynthesisError(f"no finding {', '.join(map(repr, unknown))}; choose from {', '.join(FINDINGS)}")
    if fault := changes.keys() - {field.name for field in fields(Finding)}:
        raise SynthesisError(f"a finding has no {', '.join(sorted(fault))}")
    return tuple(replace(FINDINGS[name], **changes) for name in names or FINDINGS)


Findings = str | Sequence[Finding | str]
"""Findings as people give them: their names, findings of their own, or both."""


def chosen(given: Findings | None) -> tuple[Finding, ...]:
    """Returns findings that are given by their names or as they are.

    Args:
        given: a name, or a list of names and of findings; None takes all findings.

    Raises:
        SynthesisError: there is no such finding, or something else is given.

    Example:
        >>> chosen(["nodule", FINDINGS["mass"]]) == findings("nodule", "mass")
        True
    """
    if given is None:
        return findings()
    if not isinstance(given, Sequence):
        raise SynthesisError(f"findings must be a list of names or of findings, not {type(given).__name__}")
    found = []
    for each in (given,) if isinstance(given, str) else given:
        if not isinstance(each, str | Finding):
            raise SynthesisError(f"a finding must be a name or a Finding, not {type(each).__name__}")
        found.append(findings(each)[0] if isinstance(each, str) else each)
    return tuple(found)
