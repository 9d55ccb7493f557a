"""Clauses without a finding: each belongs to a finding before it or after it, which lends its neighbours its place."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from artasyn.errors import PromptError
from artasyn.synthesis.prompts.clauses import DEGREES, LISTED, NAMED, PLACES, Draft
from artasyn.synthesis.prompts.said import SIZED
from artasyn.synthesis.prompts.vocabulary import SHOWN_AS

_PERIPHERAL = {"area": "peripheral"}
_OTHER_SIDE = {"right": "left", "left": "right"}
LARGEST = ("largest", "larger", "biggest", "dominant")
"""The words that pick one of several lesions."""
_HEIGHTS = ("level", "lobe", "zone")
_SHARED = (*DEGREES, "distribution")


def attach(drafts: list[Draft]) -> list[Draft]:
    """Gives each clause without a finding to the finding before it or after it.

    Raises:
        PromptError: there is no finding to give a clause to.
    """
    heads: list[Draft] = []
    waiting: list[Draft] = []
    for at, draft in enumerate(drafts):
        if draft.kind and draft.joint and not (draft.joint in ("with", "comma") and _is_heading(waiting, draft.joint)):
            heads += _forward(waiting, draft)
            waiting = []
        elif draft.kind:
            for heading in waiting:  # "right lung: no consolidation"
                draft.add(heading)
            heads.append(draft)
            waiting = []
        elif heads and not waiting and not _looks_ahead(draft, drafts[at + 1 :]):
            new = _backward(heads[-1], draft)
            heads += [new] if new else []
            _spread_noun(heads)
        else:
            if [word.kind for word in draft.words] == ["NO"] and at + 1 < len(drafts):
                raise PromptError("'no' stands twice; say it once")
            waiting.append(draft)
    if waiting:
        raise PromptError(
            f"{waiting[0].text!r} names no finding; write the finding with its place, such as 'consolidation in the "
            "right lower lobe'"
        )
    return heads


def _is_heading(waiting: list[Draft], joint: str) -> bool:
    """Whether a place alone comes before its finding: "right lung with consolidation", "on the right, a nodule"."""
    if len(waiting) != 1 or waiting[0].denied or waiting[0].values.keys() != waiting[0].place.keys():
        return False
    return joint == "with" or waiting[0].words[0].kind == "IN"


def _looks_ahead(draft: Draft, after: list[Draft]) -> bool:
    """Whether a clause without a finding begins a list whose finding follows: "small left and large right effusion"."""
    if not any(each.kind for each in after):
        return False
    if draft.denied:
        return True
    leading = any(name in draft.values for name in (*_SHARED, "number", "amount"))
    return leading and after[0].joint in ("and", "or") and "millimetres" not in draft.values


def _forward(waiting: list[Draft], head: Draft) -> list[Draft]:
    """Returns the findings of a list whose last clause alone names the finding."""
    while waiting and "area" not in waiting[-1].values.keys() & head.values.keys():
        if _PERIPHERAL not in (waiting[-1].place, head.place):
            break
        head.add(waiting.pop())  # "peripheral and basal reticulation" lies in one place
    members = [*waiting, head]
    for one, following in reversed(list(pairwise(members))):
        one.kind, one.finding, one.plural, one.vague = head.kind, head.finding, False, head.vague
        if one.place.keys() == {"side"} and following.place.keys() & set(_HEIGHTS):
            one.values |= {name: following.values[name] for name in _HEIGHTS if name in following.values}
        elif "level" in one.values and "noun" not in one.values and "noun" in following.values:
            one.values["noun"] = following.values["noun"]
        if members[0].denied:
            following.denied = True
        one.denied = one.denied or head.clear or head.normal
        one.listed = head.listed = members
    for one, following in pairwise(members):
        if "side" in one.values:
            following.values.setdefault("side", one.values["side"])
        _share_degrees(one, following)
    for one, following in reversed(list(pairwise(members))):
        if "side" in following.values:
            one.values.setdefault("side", following.values["side"])
    if members[0] is not head:
        _share_last(members)
    return members


def _share_last(members: list[Draft]) -> None:
    """Gives all of a list the adjectives after its last place: "lingular and middle lobe patchy infiltrates"."""
    words = members[-1].words
    ends = [at for at, word in enumerate(words) if word.kind.lower() in PLACES or word.kind == "SPOT"]
    names = {"SPREAD": "distribution"} | {name.upper(): name for name in DEGREES}
    for word in words[ends[-1] + 1 :] if ends else ():
        if word.kind in NAMED:
            return
        if word.kind in names:
            for each in members[:-1]:
                each.values.setdefault(names[word.kind], word.meaning)


def _refer(draft: Draft) -> None:
    """Takes "both" as the findings before it, where only unused words follow, as in "both unchanged".

    Raises:
        PromptError: it may also mean both lungs.
    """
    if not (draft.unused or draft.new) or draft.values.keys() - {"millimetres"} != {"side"}:
        raise PromptError(f"{draft.text!r} follows a finding in one lung; write the finding again with its places")
    del draft.values["side"]
    draft.unused.insert(0, next(word for word in draft.words if word.kind == "SIDE"))


def _spread_noun(heads: list[Draft]) -> None:
    """Gives the noun at the end of a list of places to all of them: "in the upper, middle and lower lobes"."""
    noun = heads[-1].values.get("noun")
    for head in reversed(heads[:-1]):
        if noun is None or "level" not in head.values or "noun" in head.values or head.finding != heads[-1].finding:
            return
        head.values["noun"] = noun


def _backward(head: Draft, draft: Draft) -> Draft | None:
    """Adds a clause to the finding before it, or returns the same finding in a further place.

    Raises:
        PromptError: the finding before it has one number for several places.
    """
    if head.place == {"noun": "lung"}:
        del head.values["noun"]
    detail = not draft.place.keys() & head.place.keys()
    if draft.joint in ("and", "or"):  # "bilateral and peripheral", but not "in the lower lobe and at the hilum"
        detail = detail and (head.place.keys() == {"side"} or _PERIPHERAL in (draft.place, head.place))
    if draft.place == {"side": "both"} and head.values.get("side") in ("right", "left"):
        _refer(draft)
    if draft.place.keys() == {"side"} and draft.values.keys() & set(DEGREES):
        known = next((each for each in head.listed if each is not head and each.place == draft.place), None)
        if known is not None and not known.values.keys() & set(DEGREES):
            known.add(draft)
            return None
        if head.place == {"side": "both"} and draft.values["side"] in _OTHER_SIDE and "number" not in head.values:
            return _divide(head, draft)
    several = "amount" in head.values or "number" in head.values or head.plural
    largest = several and bool(draft.place) and any(word.text in LARGEST for word in draft.words)
    if draft.values.keys() == {"millimetres"} and len(head.listed) > 1 and head.measured:
        head.values |= draft.values  # "nodules in the RUL (6 mm) and LLL (9 mm)"
        head.measured = draft.measured
        return None
    if not largest and (not draft.place or not head.place or detail):
        head.add(draft)
        whole = not draft.place or (draft.place.keys() == {"area"} and draft.joint not in ("and", "or"))
        for each in head.listed if whole else ():  # "RUL and LLL consolidation, moderate", ", peripheral"
            if each is not head:
                each.values |= draft.values
                each.maybe, each.denied = each.maybe or draft.maybe, each.denied or draft.denied
        return None
    if largest:  # "multiple nodules, the largest in the right upper lobe"
        if head.values.get("number", 2) < 2:
            raise PromptError(f"{draft.text!r} is the largest of one lesion; write the finding again with its place")
        if "number" in head.values:
            head.values["number"] -= 1
        head = replace(
            head,
            values={name: head.values[name] for name in head.values if name not in ("amount", "number")},
            plural=False,
        )
        draft.values.setdefault("number", 1)
        if draft.place.keys() == {"side"} and head.values.get("side") in ("both", None, draft.values["side"]):
            draft.values |= {name: head.values[name] for name in _HEIGHTS if name in head.values}
    elif "number" in head.values and "number" not in draft.values:
        raise PromptError(
            f"{head.text!r} gives one number for several places; say how many lie in each, such as 'one nodule in the "
            "right upper lobe and two nodules in the lingula'"
        )
    return _further(head, draft)


def _further(head: Draft, draft: Draft) -> Draft:
    """Returns the finding of a clause in the place of a later one."""
    if head.place.keys() == {"side"} and "side" in draft.values:
        head.values |= {name: draft.values[name] for name in _HEIGHTS if name in draft.values}
    new = replace(head, words=[*head.words])
    head.listed = new.listed = [*(head.listed or [head]), new]
    new.values = {name: value for name, value in head.values.items() if name not in PLACES}
    new.joint, new.unused, new.late = draft.joint, draft.unused, True
    if draft.values.keys() & set(DEGREES):
        new.values = {name: value for name, value in new.values.items() if name not in DEGREES}
    new.values |= draft.values
    if head.early and "area" not in draft.values and "area" in head.values:
        new.values["area"] = head.values["area"]
    if "level" in new.values and "noun" not in new.values and "noun" in head.values:
        new.values["noun"] = head.values["noun"]
    if "side" not in new.values and "side" in head.values:
        new.values["side"] = head.values["side"]
    for each in head.listed:  # "in the mid and lower zones bilaterally"
        if "side" in new.values and not each.values.keys() & {"side", "lobe"}:
            each.values["side"] = new.values["side"]
    new.maybe = new.maybe or draft.maybe
    return new


def _divide(head: Draft, draft: Draft) -> Draft:
    """Returns one of two lungs with its own size: "bilateral effusions, large on the right"."""
    side = draft.values["side"]
    head.values["side"] = _OTHER_SIDE[side]
    new = replace(head, words=[*head.words, *draft.words], values=head.values | draft.values)
    new.unused, new.late, new.joint = [*draft.unused], True, draft.joint
    new.maybe = head.maybe or draft.maybe
    head.listed = new.listed = [*(head.listed or [head]), new]
    return new


def named_signs(heads: list[Draft]) -> tuple[list[Draft], list[Draft]]:
    """Parts the findings that only name a sign again: "blunting of the right angle, likely small effusion".

    Returns:
        The findings, and those that name a sign before them.
    """
    again = [
        after
        for before, after in pairwise(heads)
        if before.place.get("area") == "costophrenic_angle"
        and (after.finding, after.denied) == (before.finding, False)
        and after.maybe
        and not (before.denied or after.place)
        and after.values.items() <= before.values.items()
    ]
    return [head for head in heads if not any(head is each for each in again)], again


def share(heads: list[Draft]) -> None:
    """Shares places and adjectives between findings that "and" joins.

    - "consolidation and effusion on the left": the place that ends a list holds for all of it;
    - "left lower lobe consolidation and effusion": the adjectives before a list hold for a bare finding in it;
    - "cavity with surrounding consolidation": a neighbour has the place of the finding before it.
    """
    for before, head in pairwise(heads):
        bare = head.bare and head.joint in ("and", "or") and head.denied == before.denied and not before.late
        if head.finding in SHOWN_AS:  # "left effusion and pulmonary oedema": oedema lies in both lungs
            bare = False
        if (head.near and head.place in ({}, {"noun": "lung"})) or (bare and not head.maybe):
            names = ("side",) if head.finding == "pleural_effusion" else PLACES  # fluid lies in no lobe
            head.values |= {
                name: before.values[name] for name in names if name in before.place.keys() - head.values.keys()
            }
        if bare and head.kind in NAMED:
            head.maybe = head.maybe or before.maybe
            _share_degrees(before, head)
    for at in range(len(heads) - 1, 0, -1):
        last = heads[at]
        if not (last.late and last.place and last.joint in ("and", "or")):
            continue
        back = at - 1
        while back >= 0 and not heads[back].place and heads[back].denied == last.denied:
            heads[back].values |= last.place
            if heads[back].joint not in LISTED:
                break
            back -= 1


def _share_degrees(before: Draft, after: Draft) -> None:
    """Copies size and density to a finding that says neither, where the words mean the same of both."""
    if after.denied and after.kind in ("OTHER", "CAUSE"):  # "no focal infiltrate or congestion"
        return
    if after.values.keys() & set(DEGREES) or (before.finding in SIZED) != (after.finding in SIZED):
        return
    for name in _SHARED:
        if name in before.values:
            after.values.setdefault(name, before.values[name])
