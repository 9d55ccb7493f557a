"""Lesions that a sentence counts once and then deals out to places: "two nodules, one in each lung"."""

from __future__ import annotations

from dataclasses import replace

from artasyn.errors import PromptError
from artasyn.synthesis.prompts.attachment import LARGEST
from artasyn.synthesis.prompts.clauses import LISTED, PLACES, Draft


def dealt(drafts: list[Draft]) -> list[Draft]:
    """Returns the drafts, with a finding for each place where the clauses after a finding deal it out.

    "Two nodules, one in the right upper lobe and one in the lingula" are two findings; so is "bilateral consolidation,
    upper lobe on the right and lower lobe on the left".

    Raises:
        PromptError: the numbers do not add up.
    """
    said: list[Draft] = []
    at = 0
    while at < len(drafts):
        head = drafts[at]
        end = at + 1
        while end < len(drafts) and not drafts[end].kind and drafts[end].joint in (*LISTED, "with", ""):
            end += 1
        parts = _parts(head, drafts[at + 1 : end]) if head.kind and not head.denied else []
        said += parts or [head]
        at = end if parts else at + 1
    return said


def _parts(head: Draft, clauses: list[Draft]) -> list[Draft]:
    """Returns the findings that clauses deal out; none where they do not."""
    places, details = _places(clauses)
    if not places or any(word.text in LARGEST for each in places for word in each.words):
        return []
    total = head.values.get("number")
    if total == len(places) > 1 and all(
        "millimetres" in each.values and "number" not in each.values for each in places
    ):
        for each in places:  # "two masses: 4 cm in the lingula and 6 cm in the right lower lobe"
            each.values["number"] = 2 if each.values.get("side") == "both" else 1
    if all("number" in each.values for each in places):
        if "amount" in head.values or not _hold(head, places):
            return []
        counted = sum(_counted(each) for each in places)
        if counted != total and head.place:
            return []
        if total and counted != total:
            raise PromptError(
                f"{head.text!r} are {total}, but the places after it hold {counted}; write each number with its place"
            )
    elif head.values.get("side") != "both" or total or not _divides(head, places):
        return []
    for each in places:
        each.values |= {"number": _counted(each)} if "number" in each.values else {}
    return [_part(head, each, [*details[number]], first=not number) for number, each in enumerate(places)]


def _places(clauses: list[Draft]) -> tuple[list[Draft], list[list[Draft]]]:
    """Returns the clauses with places, and the clauses with only lengths or doubt after each."""
    places: list[Draft] = []
    details: list[list[Draft]] = []
    for clause in clauses:
        if clause.denied or clause.explains:
            return [], []
        if clause.place or "number" in clause.values:
            places.append(clause)
            details.append([])
        elif details:
            details[-1].append(clause)
        else:
            return [], []
    return places, details


def _hold(head: Draft, places: list[Draft]) -> bool:
    """Whether counted places may lie in the place of a finding: "three nodules in the right lung, two at the apex"."""
    if not head.place:
        return len(places) > 1 or "number" in head.values
    sides = {head.values.get("side"), *(each.values.get("side") for each in places)}
    alike = head.values.get("side") == "both" or len(sides - {None}) == 1
    return head.place.keys() == {"side"} and "number" in head.values and alike and places[0].joint not in ("and", "or")


def _counted(place: Draft) -> int:
    """Returns the number of lesions in a place; "one in each lung" are two."""
    number = int(place.values["number"])
    return 2 if place.values.get("side") == "both" and number == 1 else number


def _divides(head: Draft, places: list[Draft]) -> bool:
    """Whether places lie in both lungs, each with more than its side, or each with its length."""
    sides = {each.values.get("side") for each in places}
    if len(sides) == len(places) == 2 and all("millimetres" in each.values for each in places):
        return sides == {"right", "left"}
    if head.place != {"side": "both"}:
        return False
    return sides == {"right", "left"} and all(each.values.keys() & {"level", "lobe", "zone", "area"} for each in places)


def _part(head: Draft, place: Draft, details: list[Draft], *, first: bool) -> Draft:
    left_out = {"number", "amount"} | ({"side"} if head.values.get("side") == "both" else set())
    values = {name: value for name, value in head.values.items() if name not in left_out}
    if place.values.keys() & set(PLACES) - {"side"}:
        values = {name: value for name, value in values.items() if name not in ("zone", "level", "noun", "lobe")}
    part = replace(head, words=[*head.words], values=values, unused=[*head.unused] if first else [], plural=False)
    part.joint = head.joint if first else "and"
    for each in (place, *details):
        if "millimetres" in each.values:
            part.values.pop("millimetres", None)
        part.add(each)
    part.listed = []
    return part
