"""Clauses as entries of a prompt: one for each finding and each lung."""

from __future__ import annotations

from typing import Any

from artasyn.errors import PromptError
from artasyn.synthesis.prompts.clauses import Draft
from artasyn.synthesis.prompts.said import SIZED, PromptAbsence, PromptFinding
from artasyn.synthesis.prompts.vocabulary import SHOWN_AS

COUNTED = frozenset({"nodule", "mass", "cavity"})
"""The findings whose plural tells that there are several."""
_NESTED = {("zone", "apical", "upper"), ("zone", "basal", "lower")}


def asked(head: Draft) -> list[PromptFinding]:
    """Returns the findings that a clause asks for.

    Raises:
        PromptError: the finding cannot be drawn, or the number of lesions is not known for each lung.
    """
    if head.finding in SHOWN_AS:
        head.finding, head.kind = SHOWN_AS[head.finding], "FINDING"
        head.values.setdefault("side", "both")
    if head.kind in ("OTHER", "CAUSE"):
        name = head.finding.replace("_", " ")
        raise PromptError(
            f"artasyn cannot draw {name} ({head.text!r}); leave it out, deny it ('no {name}'), or name a finding that "
            "can be drawn: see docs/generation.md"
        )
    if not head.finding:
        raise PromptError(f"{head.text!r} does not say which finding; name it, such as 'consolidation'")
    name = "consolidation" if head.finding == "opacity" else head.finding
    found, sides = [], _sides(head)
    for finding in name.split("+"):
        for side in sides:
            values = _fields(head, finding, side) | {"certain": not head.maybe}
            if len(sides) == 2 and values.get("number", 2) != 2:
                raise PromptError(
                    f"{head.text!r} gives one number for both lungs; say how many lie in each, such as 'two nodules in "
                    "the right lung and one nodule in the left lung'"
                )
            if len(sides) == 2 and "number" in values:
                values["number"] = 1
            if head.plural and finding in COUNTED and "number" not in values:
                values.setdefault("amount", "several")
            found.append(PromptFinding(**values))
    return found


def denied(head: Draft) -> list[PromptAbsence]:
    """Returns the findings that a clause denies.

    Raises:
        PromptError: the clause names none, doubts what it denies, or denies a number or a length of lesions.
    """
    if not head.finding:
        raise PromptError(f"{head.text!r} does not say which finding is absent; name it, or write 'lungs clear'")
    if head.maybe:
        raise PromptError(f"{head.text!r} both denies a finding and calls it possible; say one of the two")
    if head.values.keys() & {"number", "amount", "millimetres"}:
        raise PromptError(f"{head.text!r} denies a number or a length; deny the finding alone, or leave it out")
    return [
        PromptAbsence(**_fields(head, finding, side), elsewhere=head.beyond or head.new)
        for finding in head.finding.split("+")
        for side in _sides(head)
    ]


def _sides(head: Draft) -> tuple[Any, ...]:
    side = head.values.get("side")
    return ("right", "left") if side == "both" else (side,)


def _fields(head: Draft, finding: str, side: Any) -> dict[str, Any]:
    values = _resolved(head.values, finding)
    if values.get("lobe") == "middle" and side is None:
        side = "right"
    return values | {"finding": finding, "side": side}


def _resolved(values: dict[str, Any], finding: str) -> dict[str, Any]:
    """Returns the fields of a record from the values of a draft.

    Args:
        values: fields and values of the vocabulary.
        finding: the name of the finding, which decides whether mild, moderate and severe tell a size.

    Raises:
        PromptError: two words give one field different values.
    """
    found = {name: value for name, value in values.items() if name not in ("level", "noun", "grade", "density", "side")}

    def put(name: str, value: str) -> None:
        if found.setdefault(name, value) != value and (name, found[name], value) not in _NESTED:
            raise PromptError(f"{finding.replace('_', ' ')}: both {found[name]} and {value} are said; leave one out")

    if "level" in values:
        put("lobe" if values.get("noun") == "lobe" else "zone", values["level"])
    if "grade" in values:
        grade = values["grade"]
        put(
            *(("size", {"mild": "small", "severe": "large"}.get(grade, grade)))
            if finding in SIZED
            else ("severity", grade)
        )
    if "density" in values:
        put("severity", values["density"])
    return found
