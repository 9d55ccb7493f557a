"""Sentences to findings: what a denial reaches, which place belongs to which finding, and what explains what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from artasyn.errors import PromptError
from artasyn.synthesis.diffusion.clauses import DEGREES, PLACES, Draft
from artasyn.synthesis.diffusion.said import SIZED
from artasyn.synthesis.diffusion.words import Word

_OPACITY = "consolidation"
"""The finding that an opacity without further words is."""
_CAUSED = ("due to", "secondary to", "caused by")
_HEIGHTS = ("level", "lobe", "zone")
_LISTED = ("and", "or", "comma")
_NAMED = ("FINDING", "BROAD", "OTHER", "CAUSE")
_SHARED = (*DEGREES, "distribution")


def settled(drafts: list[Draft], plain_text: str) -> tuple[list[Draft], list[Word]]:
    """Returns the findings of one sentence, each with its own place, and the words that were not used.

    Args:
        drafts: the clauses of the sentence.
        plain_text: the text that the words' positions count in.

    Raises:
        PromptError: the sentence can be read in more than one way, or a clause belongs to no finding.
    """
    unused: list[Word] = []
    drafts = _used(drafts, unused, plain_text)
    _deny(drafts)
    drafts = _explain(drafts, unused, plain_text)
    _judge_organs(drafts)
    heads = _attach(drafts)
    _share(heads)
    _refuse_open_choices(heads)
    for head in heads:
        unused += head.unused
    return heads, unused


def _used(drafts: list[Draft], unused: list[Word], plain_text: str) -> list[Draft]:
    """Returns the clauses that say something; a clause after an unused one is joined as that one was.

    So "and" in "consolidation with air bronchograms and an effusion" does not join the effusion to the consolidation.
    """
    kept: list[Draft] = []
    skipped = ""
    for draft in drafts:
        if _only_unused(draft, unused, plain_text):
            skipped = skipped or draft.joint
            continue
        if skipped == "with" and draft.joint in ("and", "comma"):
            draft.joint = skipped
        skipped = ""
        kept.append(draft)
    return kept


def _only_unused(draft: Draft, unused: list[Word], plain_text: str) -> bool:
    """Returns whether a clause says nothing but words that cannot be used, such as "unchanged", and notes them."""
    if draft.kind or draft.values or draft.clear or draft.normal or draft.gone:
        return False
    if not draft.unused or draft.near or (draft.explains and not draft.denied):
        return False
    if draft.denied or draft.maybe:  # "no recent change", "likely reactive"
        unused.append(_span(draft.words, plain_text))
    else:
        unused += [*draft.unused, *(word for word in draft.words if word.kind in ("NEW", "BEYOND"))]
    return True


def _deny(drafts: list[Draft]) -> None:
    """Marks every finding that a denial reaches.

    "no" reaches over "or", over a list that ends with "or", and over findings that can only be denied. A word such as
    "resolved" reaches back over "and" and "or".

    Raises:
        PromptError: a finding alone follows a denied one after a comma, so that both readings are possible.
    """
    for at, draft in enumerate(drafts):
        if draft.gone:
            back = at
            while back and drafts[back].joint in ("and", "or"):
                back -= 1
            for each in drafts[back : at + 1]:
                each.denied = True
    at = 0
    while at < len(drafts):
        if drafts[at].denied and not drafts[at].gone:
            at = _deny_run(drafts, at)
        at += 1


def _deny_run(drafts: list[Draft], first: int) -> int:
    """Marks the findings that one "no" reaches, and returns the last."""
    end = first + 1
    while end < len(drafts) and drafts[end].joint in _LISTED and not (drafts[end].denied or drafts[end].explains):
        if drafts[end].clear or drafts[end].normal:
            break
        end += 1
    run = range(first + 1, end)
    certain = [at for at in run if drafts[at].joint == "or" or (drafts[at].kind == "OTHER" and drafts[at].bare)]
    last = max(certain, default=first)
    for at in range(first + 1, last + 1):
        drafts[at].denied = True
    after = drafts[last + 1] if last + 1 < end else None
    if after and after.bare and not after.maybe and after.kind in _NAMED and not after.unused:
        raise PromptError(
            f"does 'no' reach {after.text!r}? Write 'no {drafts[first].finding.replace('_', ' ')} or {after.text}', or "
            f"begin a sentence with {after.text!r}"
        )
    return last


def _explain(drafts: list[Draft], unused: list[Word], plain_text: str) -> list[Draft]:
    """Takes out the clauses that explain a finding, such as "consistent with pneumonia".

    An explanation of an opacity by another finding that can be drawn names that finding; it does so with doubt, unless
    the opacity is due to it. All other explanations are unused.
    """
    kept: list[Draft] = []
    at = 0
    while at < len(drafts):
        draft = drafts[at]
        target = next((each for each in reversed(kept) if each.kind in _NAMED), None)
        if target is None and draft.explains and draft.kind == "CAUSE":
            unused.append(_span(draft.words, plain_text))  # a sentence that explains the one before
            at += 1
            continue
        if target is None or not _explains(draft, target):
            if draft.explains and draft.kind in _NAMED:
                draft.explains = False
            kept.append(draft)
            at += 1
            continue
        end = _last_reason(drafts, at) + 1
        alone = end == at + 1
        renames = alone and draft.kind in ("FINDING", "BROAD") and target.vague and not _same(draft, target)
        for name, value in draft.values.items():
            target.put(name, value)
        if renames:
            doubt = draft.maybe or draft.words[0].text not in _CAUSED
            target.kind, target.finding, target.maybe, target.vague = "FINDING", draft.finding, doubt, False
            unused += [word for word in draft.unused if word.kind != "MEANS"]
        else:
            unused.append(_span([word for each in drafts[at:end] for word in each.words], plain_text))
        at = end
    return kept


def _last_reason(drafts: list[Draft], at: int) -> int:
    """Returns the last clause of an explanation that begins here: "atelectasis, pneumonia or scarring"."""
    end = at
    for later in range(at + 1, len(drafts)):
        draft = drafts[later]
        if draft.denied or not draft.bare or draft.joint not in ("or", "comma"):
            break
        if draft.joint == "or":
            end = later
    return end


def _explains(draft: Draft, target: Draft) -> bool:
    if draft.explains:
        return True
    if not (draft.maybe and draft.bare and draft.joint in ("", "comma")) or draft.denied:
        return False
    return draft.kind == "CAUSE" or (draft.kind in ("FINDING", "BROAD") and (target.vague or _same(draft, target)))


def _same(draft: Draft, target: Draft) -> bool:
    return draft.finding == (_OPACITY if target.finding == "opacity" else target.finding)


def _judge_organs(drafts: list[Draft]) -> None:
    """Turns "the heart is normal" and "the lungs are clear" into denied findings.

    Raises:
        PromptError: an organ is named, but not what is normal or abnormal of it.
    """
    verdict: Draft | None = None
    organs = False  # whether the verdict is about an organ, so that lungs beside it are a further one
    for at, draft in reversed(list(enumerate(drafts))):
        if draft.clear or draft.normal:
            verdict, organs = draft, draft.kind == "ORGAN"
            draft.denied = True
            if not draft.kind:
                lung = draft.place.keys() - {"noun"} or "noun" in draft.values or draft.clear
                draft.kind, draft.finding = "OTHER", "opacity" if lung else "abnormality"
                if draft.values.get("area") == "costophrenic_angle":
                    draft.finding = "pleural_effusion"
                    del draft.values["area"]
            elif draft.kind == "ORGAN":
                draft.kind = "OTHER"
            elif draft.kind in _NAMED:
                raise PromptError(f"{draft.text!r} calls a finding normal; say 'no' and its name, or leave it out")
        elif draft.kind == "ORGAN" and draft.bare and at + 1 < len(drafts) and not drafts[at + 1].joint:
            del drafts[at]  # a heading, as in "pleura: no effusion"
        elif draft.kind == "ORGAN":
            if verdict is None or verdict.joint not in ("and", "comma"):
                raise PromptError(
                    f"{draft.text!r} names an organ, but no finding of it; say that it is normal, or leave it out"
                )
            draft.kind, draft.denied = "OTHER", True
        elif draft.kind in _NAMED:
            verdict = None
        elif verdict and organs and draft.place and verdict.joint in ("and", "comma"):
            draft.kind, draft.finding, draft.denied = "OTHER", "opacity", True


def _attach(drafts: list[Draft]) -> list[Draft]:
    """Gives each clause without a finding to the finding before it or after it.

    Raises:
        PromptError: there is no finding to give a clause to.
    """
    heads: list[Draft] = []
    waiting: list[Draft] = []
    for at, draft in enumerate(drafts):
        if draft.kind and draft.joint:
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
    while waiting and waiting[-1].place == {"area": "peripheral"} and "area" not in head.values:
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
    return members


def _refer(draft: Draft) -> None:
    """Takes "both" as the findings before it, where only unused words follow, as in "both unchanged".

    Raises:
        PromptError: it may also mean both lungs.
    """
    if not (draft.unused or draft.new) or draft.values.keys() != {"side"}:
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
    detail = not draft.place.keys() & head.place.keys()
    if draft.joint in ("and", "or"):  # "bilateral and peripheral", but not "in the lower lobe and at the hilum"
        detail = detail and head.place.keys() == {"side"}
    if draft.place == {"side": "both"} and head.values.get("side") in ("right", "left"):
        _refer(draft)
    if not draft.place or not head.place or detail:
        head.add(draft)
        for each in head.listed if not draft.place else ():  # "RUL and LLL consolidation, moderate"
            if each is not head:
                each.values |= draft.values
                each.maybe, each.denied = each.maybe or draft.maybe, each.denied or draft.denied
        return None
    if "number" in head.values and "number" not in draft.values:
        raise PromptError(
            f"{head.text!r} gives one number for several places; say how many lie in each, such as 'one nodule in the "
            "right upper lobe and two nodules in the lingula'"
        )
    if head.place.keys() == {"side"} and "side" in draft.values:
        head.values |= {name: draft.values[name] for name in _HEIGHTS if name in draft.values}
    new = replace(head, words=[*head.words])
    head.listed = new.listed = [*(head.listed or [head]), new]
    new.values = {name: value for name, value in head.values.items() if name not in PLACES}
    new.joint, new.unused, new.late = draft.joint, draft.unused, True
    new.values |= draft.values
    if "level" in new.values and "noun" not in new.values and "noun" in head.values:
        new.values["noun"] = head.values["noun"]
    if "side" not in new.values and "side" in head.values:
        new.values["side"] = head.values["side"]
    new.maybe = new.maybe or draft.maybe
    return new


def _share(heads: list[Draft]) -> None:
    """Shares places and adjectives between findings that "and" joins.

    - "consolidation and effusion on the left": the place that ends a list holds for all of it;
    - "left lower lobe consolidation and effusion": the adjectives before a list hold for a bare finding in it;
    - "cavity with surrounding consolidation": a neighbour has the place of the finding before it.
    """
    for before, head in pairwise(heads):
        bare = head.bare and head.joint in ("and", "or") and head.denied == before.denied and not before.late
        if (head.near and not head.place) or (bare and not head.maybe):
            names = ("side",) if head.finding == "pleural_effusion" else PLACES  # fluid lies in no lobe
            head.values |= {
                name: before.values[name] for name in names if name in before.place.keys() - head.values.keys()
            }
        if bare and head.kind in _NAMED:
            head.maybe = head.maybe or before.maybe
            _share_degrees(before, head)
    for at in range(len(heads) - 1, 0, -1):
        last = heads[at]
        if not (last.late and last.place and last.joint in ("and", "or")):
            continue
        back = at - 1
        while back >= 0 and not heads[back].place and heads[back].denied == last.denied:
            heads[back].values |= last.place
            if heads[back].joint not in _LISTED:
                break
            back -= 1


def _share_degrees(before: Draft, after: Draft) -> None:
    """Copies size and density to a finding that says neither, where the words mean the same of both."""
    if after.values.keys() & set(DEGREES) or (before.finding in SIZED) != (after.finding in SIZED):
        return
    for name in _SHARED:
        if name in before.values:
            after.values.setdefault(name, before.values[name])


def _refuse_open_choices(heads: Iterable[Draft]) -> None:
    for head in heads:
        if head.joint == "or" and not head.denied:
            raise PromptError(
                f"'or' before {head.text!r} leaves open which is meant; name one, or join them with 'and' and call "
                "each possible"
            )


def _span(words: list[Word], plain_text: str) -> Word:
    """Returns the text from the first to the last of some words as one word."""
    start, end = words[0].start, words[-1].end
    return Word("TOLD", "", plain_text[start:end], start, end)
