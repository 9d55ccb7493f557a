"""Clauses that explain a finding, such as "consistent with pneumonia": they name an opacity, or cannot be used."""

from __future__ import annotations

import re

from artasyn.synthesis.prompts.clauses import NAMED, Draft
from artasyn.synthesis.prompts.remarks import Word

_OPACITY = "consolidation"
"""The finding that an opacity without further words is."""
_MIMICS = ("lymphadenopathy", "calcification", "cyst", "hernia", "pleural_thickening", "fracture")
"""The findings that cannot be drawn, and that may be what looks like a nodule, a mass or an opacity."""
_TOGETHER = ("combination of", "mixture of", "mix of", "both")
_OPENING = re.compile(
    r"(?:the )?(?:(?:overall )?appearances?|findings?|features?|would be)(?: (?:are|is|would be))? "
    r"(?!are |is |of |in the )"
)
"""The words before "consistent with" and the like that say nothing."""
_CAUSED = ("due to", "secondary to", "caused by")


def explain(drafts: list[Draft], unused: list[Word], plain_text: str) -> list[Draft]:
    """Takes out the clauses that explain a finding, such as "consistent with pneumonia".

    An explanation of an opacity by another finding that can be drawn names that finding; it does so with doubt, unless
    the opacity is due to it. All other explanations are unused.
    """
    kept: list[Draft] = []
    at = 0
    while at < len(drafts):
        draft = drafts[at]
        target = next((each for each in reversed(kept) if each.kind in NAMED), None)
        hedged = draft.explains or (draft.maybe and draft.bare and not draft.denied)
        if target is None and hedged and draft.kind == "CAUSE":
            unused.append(span(draft.words, plain_text))  # a sentence that explains the one before
            at += 1
            continue
        if target is None or not (_explains(draft, target) or _leaves_open(drafts[at : at + 2], target)):
            if draft.explains and draft.kind in NAMED:
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
            unused.append(span([word for each in drafts[at:end] for word in each.words], plain_text))
        at = end
    return kept


def _last_reason(drafts: list[Draft], at: int) -> int:
    """Returns the last clause of an explanation that begins here: "atelectasis, pneumonia or scarring"."""
    end = at
    together = any(word.text in _TOGETHER for word in drafts[at].words)
    for later in range(at + 1, len(drafts)):
        draft = drafts[later]
        joints = ("and", "or", "comma") if together else ("or", "comma")
        if draft.denied or not draft.bare or draft.joint not in joints:
            break
        if draft.joint in ("and", "or"):
            end = later
    return end


def _explains(draft: Draft, target: Draft) -> bool:
    if draft.explains:
        return True
    joints = ("", "comma", "with") if draft.kind == "CAUSE" else ("", "comma")
    bare = draft.placeless if target.vague else draft.bare
    if not (draft.maybe and bare and draft.joint in joints) or draft.denied:
        return False
    return (
        draft.kind == "CAUSE"
        or draft.finding in _MIMICS
        or (draft.kind in ("FINDING", "BROAD") and (target.vague or _same(draft, target)))
    )


def _leaves_open(drafts: list[Draft], target: Draft) -> bool:
    """Whether two clauses explain a finding in two ways, as in "opacity, atelectasis versus pneumonia"."""
    if len(drafts) < 2 or any(each.denied or not each.bare for each in drafts):
        return False
    doubtful = target.vague or drafts[0].maybe or drafts[1].maybe
    return doubtful and drafts[0].joint in ("comma", "with") and drafts[1].joint == "or" and drafts[0].kind != "OTHER"


def _same(draft: Draft, target: Draft) -> bool:
    return draft.finding == (_OPACITY if target.finding == "opacity" else target.finding)


def span(words: list[Word], plain_text: str) -> Word:
    """Returns the text from the first to the last of some words as one word."""
    start, end = words[0].start, words[-1].end
    opening = _OPENING.match(plain_text, start, end)
    start = opening.end() if opening else start
    return Word("TOLD", "", plain_text[start:end], start, end)
