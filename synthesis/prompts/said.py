"""What one prompt says of one finding: that it is there, or that it is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from artasyn.errors import PromptError
from artasyn.fields import Within, check_fields
from artasyn.findings import FindingName
from artasyn.synthesis.finding import Side
from artasyn.synthesis.prompts.vocabulary import known_names, plurals

Lobe = Literal["upper", "middle", "lower", "lingula"]
"""A lobe of a lung; the lingula is a part of the left upper lobe with a name of its own."""
PromptZone = Literal["apical", "upper", "middle", "lower", "basal"]
"""A height in a lung: a third of it, or its uppermost or lowermost part."""
Area = Literal["central", "peripheral", "retrocardiac", "costophrenic_angle"]
"""A part of a lung by its neighbours: the hilum, the pleura, the heart, or the angle of diaphragm and ribs."""
Amount = Literal["few", "several", "many"]
"""How many lesions, where no number is said."""
Size = Literal["small", "moderate", "large"]
"""The extent of one lesion; of an effusion, its volume."""
Severity = Literal["mild", "moderate", "severe"]
"""How dense an opacity is: faint is mild, dense is severe."""
Distribution = Literal["focal", "patchy", "multifocal", "diffuse"]
"""How an opacity spreads over the lungs."""

SIZED = frozenset({"nodule", "mass", "cavity", "pleural_effusion"})
"""The findings of which mild, moderate and severe tell the size, not the density."""
LUNG = frozenset({"opacity"})
"""The names that stand for every opacity of the lung, when a prompt denies them."""
WHOLE = frozenset({"abnormality"})
"""The names that stand for every finding, when a prompt denies them."""
LARGEST_NODULE = 30.0
"""Millimetres; anything larger is a mass (Fleischner glossary)."""


@dataclass(frozen=True)
class PromptFinding:
    """One finding that a prompt asks for, in one lung or in a lung that is not said.

    Attributes:
        finding: a name of `artasyn.synthesis.FINDINGS`.
        side: the patient's lung; None where the prompt does not say it.
        lobe: the lobe, or None.
        zone: the height, or None.
        area: the part by its neighbours, or None.
        number: how many lesions, from 1 to 100; None where no number is said.
        amount: how many in a word, or None.
        size: the size in a word, or None.
        millimetres: the longest diameter, from 1 to 300 mm; None where it is not said.
        severity: the density in a word, or None.
        distribution: the spread over the lungs, or None.
        certain: False where the prompt calls the finding possible.

    Raises:
        PromptError: a value is out of range, or the lung has no such place.

    Example:
        >>> PromptFinding("nodule", side="left", lobe="lingula", millimetres=8.0).words()
        '8 mm nodule in the lingula'
    """

    finding: FindingName
    side: Side | None = None
    lobe: Lobe | None = None
    zone: PromptZone | None = None
    area: Area | None = None
    number: Annotated[int, Within(1, 100)] | None = None
    amount: Amount | None = None
    size: Size | None = None
    millimetres: Annotated[float, Within(1, 300)] | None = None
    severity: Severity | None = None
    distribution: Distribution | None = None
    certain: bool = True

    def __post_init__(self) -> None:
        check_fields(self, PromptError, self.finding if isinstance(self.finding, str) else "")
        _check_place(self)
        if self.number is not None and self.amount is not None:
            raise PromptError(f"{self.finding}: both the number {self.number} and {self.amount}; give one of the two")
        if self.finding == "nodule" and (self.millimetres or 0) > LARGEST_NODULE:
            raise PromptError(
                f"a nodule of {self.millimetres:g} mm: a nodule measures at most 30 mm; call it a mass, or check the "
                "unit"
            )

    def words(self) -> str:
        """Returns the finding as a clause, which `Prompt.parse` reads back."""
        said: list[str | None] = [
            None if self.certain else "possible",
            f"{self.number}" if self.number else self.amount and _AMOUNTS[self.amount],
            _length(self.millimetres) if self.millimetres else None,
            self.size and _SIZES[self.size],
            self.severity and (_DENSITIES if self.finding in SIZED else _GRADES)[self.severity],
            self.distribution,
            _noun(self.finding, many=(self.number or 1) > 1 or self.amount is not None),
        ]
        return " ".join(filter(None, [*said, *_place(self)]))


@dataclass(frozen=True)
class PromptAbsence:
    """One finding that a prompt denies, everywhere or in the place that is said.

    Attributes:
        finding: the name of a finding that can be drawn, or of another one that reports deny, such as ``pneumothorax``.
            ``opacity`` stands for every opacity of the lung, and ``abnormality`` for every finding.
        side: the patient's lung, or None for both.
        lobe: the lobe, or None.
        zone: the height, or None.
        area: the part by its neighbours, or None.
        size: the size that is denied, or None for any size.
        severity: the density that is denied, or None for any.
        distribution: the spread that is denied, or None for any.
        elsewhere: True where only more than the said findings is denied, as in "no other nodule".

    Raises:
        PromptError: the vocabulary has no such finding, or the lung has no such place.

    Example:
        >>> PromptAbsence("pleural_effusion", side="left").words()
        'no pleural effusion in the left lung'
    """

    finding: str
    side: Side | None = None
    lobe: Lobe | None = None
    zone: PromptZone | None = None
    area: Area | None = None
    size: Size | None = None
    severity: Severity | None = None
    distribution: Distribution | None = None
    elsewhere: bool = False

    def __post_init__(self) -> None:
        check_fields(self, PromptError)
        if self.finding not in known_names():
            raise PromptError(f"no finding {self.finding!r}; there is {', '.join(sorted(known_names()))}")
        _check_place(self)

    def words(self) -> str:
        """Returns the absence as a clause, which `Prompt.parse` reads back."""
        said: list[str | None] = [
            "no",
            "other" if self.elsewhere else None,
            self.size and _SIZES[self.size],
            self.severity and (_DENSITIES if self.finding in SIZED else _GRADES)[self.severity],
            self.distribution,
            _noun(self.finding),
        ]
        return " ".join(filter(None, [*said, *_place(self)]))

    def denies(self, found: PromptFinding) -> bool:
        """Returns whether this absence contradicts a finding that is asked for.

        Args:
            found: the finding.

        Example:
            >>> PromptAbsence("opacity", side="left").denies(PromptFinding("consolidation", side="left", lobe="upper"))
            True
        """
        every_opacity = self.finding in LUNG and found.finding != "pleural_effusion"
        if self.elsewhere or not (self.finding == found.finding or every_opacity or self.finding in WHOLE):
            return False
        if self.distribution not in (None, found.distribution) and found.distribution is not None:
            return False
        exact = ("side", "lobe", "zone", "area", "size", "severity")
        return all(getattr(self, name) in (None, getattr(found, name)) for name in exact)


_SIZES = {"small": "small", "moderate": "moderate sized", "large": "large"}
_GRADES = {"mild": "mild", "moderate": "moderate", "severe": "severe"}
_DENSITIES = {"mild": "faint", "moderate": "moderately dense", "severe": "dense"}
_AMOUNTS = {"few": "few", "several": "several", "many": "many"}
_LEVELS = {"apical": "apex", "basal": "base"}
_AREAS = {
    "central": "central",
    "peripheral": "peripheral",
    "retrocardiac": "retrocardiac",
    "costophrenic_angle": "costophrenic angle",
}


def _noun(finding: str, many: bool = False) -> str:
    noun = finding.replace("_", " ")
    return next(iter(plurals(noun)), noun) if many else noun


def _length(millimetres: float) -> str:
    return f"{millimetres!r} mm" if millimetres != int(millimetres) else f"{int(millimetres)} mm"


def _place(said: PromptFinding | PromptAbsence) -> list[str]:
    """Returns the place of a finding as words that follow the noun."""
    side = f"{said.side} " if said.side else ""
    words = []
    if said.lobe == "lingula":
        words.append("in the lingula")
    elif said.lobe:
        words.append(f"in the {side}{said.lobe} lobe")
    if said.zone:
        words.append(f"at the {side}{_LEVELS.get(said.zone, f'{said.zone} zone')}")
    if said.area:
        words.append(f"in the {side}{_AREAS[said.area]} region")
    if side and not words:
        words.append(f"in the {side}lung")
    return words


def _check_place(said: Any) -> None:
    """Refuses lobes that no lung has.

    Raises:
        PromptError: a right lingula or a left middle lobe.
    """
    if said.lobe == "lingula" and said.side != "left":
        raise PromptError(f"{said.finding}: the lingula lies in the left lung, not in the {said.side or 'unsaid'} one")
    if said.lobe == "middle" and said.side != "right":
        raise PromptError(
            f"{said.finding}: only the right lung has a middle lobe; write right middle lobe, lingula, or "
            f"{said.side + ' ' if said.side else ''}mid zone"
        )
