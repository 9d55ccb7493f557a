"""Sentences to findings: what a denial reaches, what an organ's state says, and which clauses say nothing."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from artasyn.errors import PromptError
from artasyn.synthesis.prompts.attachment import attach, named_signs, share
from artasyn.synthesis.prompts.clauses import LISTED, NAMED, Draft
from artasyn.synthesis.prompts.dealing import dealt
from artasyn.synthesis.prompts.reasons import explain, span
from artasyn.synthesis.prompts.remarks import Word

_DRAWN = ("FINDING", "BROAD")
_HILA = ("hila", "hilum", "hilar")
_SAME = frozenset({"unchanged", "stable", "similar", "no", "as", "remains", "remain", "persistent", "again"})


def settled(drafts: list[Draft], plain_text: str) -> tuple[list[Draft], list[Word]]:
    """Returns the findings of one sentence, each with its own place, and the words that were not used.

    Args:
        drafts: the clauses of the sentence.
        plain_text: the text that the words' positions count in.

    Raises:
        PromptError: the sentence can be read in more than one way, or a clause belongs to no finding.
    """
    unused: list[Word] = []
    if _is_remark(drafts):
        return [], [span([word for draft in drafts for word in draft.words], plain_text)]
    drafts = _used(drafts, unused, plain_text)
    _except(drafts)
    _none(drafts)
    _deny(drafts)
    drafts = explain(drafts, unused, plain_text)
    drafts = _without_remarks(drafts, unused, plain_text)
    _judge_organs(drafts)
    heads, again = named_signs(attach(dealt(drafts)))
    unused += [span(head.words, plain_text) for head in again]
    share(heads)
    _refuse_open_choices(heads)
    for head in heads:
        if head.uneven:
            head.values.setdefault("side", "both")
        unused += head.unused
    return heads, unused


def _is_remark(drafts: list[Draft]) -> bool:
    """Whether a sentence tells only of the film or of how the lungs look: "lungs well inflated"."""
    if not any(draft.unused for draft in drafts) or not any(draft.values or draft.kind for draft in drafts):
        return False
    return all(_tells_nothing(draft) for draft in drafts)


def _tells_nothing(draft: Draft) -> bool:
    if draft.denied or draft.explains or draft.maybe or draft.clear or draft.normal or draft.gone or draft.near:
        return False
    film = draft.kind == "ORGAN" and draft.finding == "abnormality"
    return (film or not draft.kind) and not draft.values.keys() - {"noun"}


def _used(drafts: list[Draft], unused: list[Word], plain_text: str) -> list[Draft]:
    """Returns the clauses that say something; a clause after an unused one is joined as that one was.

    So "and" in "consolidation with air bronchograms and an effusion" does not join the effusion to the consolidation.
    """
    kept: list[Draft] = []
    skipped = ""
    for draft, after in zip(drafts, [*drafts[1:], Draft()], strict=True):
        if [word.kind for word in draft.words] == ["BEYOND"] and after.denied:  # "otherwise no effusion"
            after.beyond, after.joint, after.words = True, draft.joint, draft.words + after.words
            continue
        if _says_only_that(draft) and after.explains and not after.joint:  # "appearances are consistent with"
            after.joint = draft.joint
            continue
        if draft.denied and draft.unused and after.kind and after.joint == "or" and not (draft.kind or draft.values):
            after.denied, after.joint = True, draft.joint  # "no acute or active disease"
            after.words, after.unused = draft.words + after.words, draft.unused + after.unused
            continue
        if _is_spared(draft):  # "the apex and the left lung are spared"
            apart = kept.pop().words if draft.joint == "and" and kept and _is_place(kept[-1]) else []
            unused.append(span([*apart, *draft.words], plain_text))
            continue
        named = any(each.kind in NAMED and each.finding for each in drafts if each is not draft)
        if _only_unused(draft, unused, plain_text) or (named and _is_general(draft, unused, plain_text)):
            skipped = skipped or draft.joint
            if draft.uneven and kept:  # "effusions, right greater than left"
                kept[-1].uneven = True
            continue
        if skipped == "with" and draft.joint in ("and", "comma"):
            draft.joint = skipped
        skipped = ""
        kept.append(draft)
    return kept


def _is_spared(draft: Draft) -> bool:
    """Whether a clause tells of a place that a finding leaves out."""
    return not draft.kind and any(word.meaning == "spared" for word in draft.words)


def _is_place(draft: Draft) -> bool:
    return bool(draft.place) and not draft.kind and draft.values.keys() == draft.place.keys()


def _except(drafts: list[Draft]) -> None:
    """Marks the denials that an exception limits, such as "lungs are clear apart from a nodule".

    Raises:
        PromptError: the exception names no finding.
    """
    for at, draft in enumerate(drafts):
        if draft.joint != "except":
            continue
        limited = _before(drafts, at) if at else drafts[1:]
        if draft.place and not draft.kind and len(limited) == 1 and limited[0].denied and limited[0].kind in _DRAWN:
            draft.kind, draft.finding = limited[0].kind, limited[0].finding  # "no effusion other than on the left"
        if not draft.kind or draft.denied or draft.clear or draft.normal:
            raise PromptError(
                f"{draft.text!r} is an exception without a finding; name it, such as 'clear apart from a nodule at the "
                "left base'"
            )
        draft.joint = "with" if at else ""
        if not any(_denies(each) for each in limited):
            raise PromptError(f"{draft.text!r} is an exception, but nothing is denied; write 'with' or a full stop")
        for each in limited:
            each.beyond = each.beyond or _denies(each) or each.kind in ("", "ORGAN")


def _none(drafts: list[Draft]) -> None:
    """Gives "none on the left" the finding before it."""
    for at, draft in enumerate(drafts):
        named = next((each for each in reversed(drafts[:at]) if each.kind in NAMED), None)
        if named and draft.gone and draft.place and not draft.kind and draft.words[0].text in ("none", "nil"):
            draft.kind, draft.finding, draft.gone, draft.joint = named.kind, named.finding, False, "comma"


def _denies(draft: Draft) -> bool:
    return draft.denied or draft.clear or draft.normal


def _before(drafts: list[Draft], end: int) -> list[Draft]:
    """Returns the list before an exception: of one verdict, or of one "no"."""
    first = end - 1
    while first and drafts[first].joint in LISTED and not drafts[first].words[0].kind.startswith("NO"):
        if _denies(drafts[first - 1]) and not drafts[first - 1].denied:
            break
        first -= 1
    return drafts[first:end]


def _says_only_that(draft: Draft) -> bool:
    return bool(draft.words) and all(word.kind == "ORGAN" and word.meaning == "abnormality" for word in draft.words)


def _only_unused(draft: Draft, unused: list[Word], plain_text: str) -> bool:
    """Returns whether a clause says nothing but words that cannot be used, such as "unchanged", and notes them."""
    if draft.kind or draft.values or draft.clear or draft.normal or draft.gone:
        return False
    if not draft.unused or draft.near or (draft.explains and not draft.denied):
        return False
    if draft.denied or draft.maybe:  # "no recent change", "likely reactive"
        unused.append(span(draft.words, plain_text))
    else:
        unused += [*draft.unused, *(word for word in draft.words if word.kind in ("NEW", "BEYOND"))]
    return True


def _is_general(draft: Draft, unused: list[Word], plain_text: str) -> bool:
    """Returns whether a clause says no more than "acute on chronic changes", and notes its words."""
    if draft.kind != "BROAD" or draft.finding or draft.values or draft.denied or not draft.unused:
        return False
    unused.append(span(draft.words, plain_text))
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
    while end < len(drafts) and drafts[end].joint in LISTED and not (drafts[end].denied or drafts[end].explains):
        if drafts[end].clear or drafts[end].normal:
            break
        end += 1
    run = range(first + 1, end)
    certain = [at for at in run if drafts[at].joint == "or" or (drafts[at].kind == "OTHER" and drafts[at].bare)]
    last = max(certain, default=first)
    for at in range(first + 1, last + 1):
        drafts[at].denied = True
    after = drafts[last + 1] if last + 1 < end else None
    if after and after.bare and not after.maybe and after.kind in NAMED and not after.unused:
        raise PromptError(
            f"does 'no' reach {after.text!r}? Write 'no {drafts[first].finding.replace('_', ' ')} or {after.text}', or "
            f"begin a sentence with {after.text!r}"
        )
    return last


def _without_remarks(drafts: list[Draft], unused: list[Word], plain_text: str) -> list[Draft]:
    """Takes out organs of which only "unchanged" is said, and remarks on the film itself, such as "portable film"."""
    kept: list[Draft] = []
    organs: list[Draft] = []
    for draft in [*drafts, Draft()]:
        if draft.kind == "ORGAN" and not (draft.clear or draft.normal or draft.denied or draft.values):
            if draft.joint not in ("and", "comma"):
                kept += organs
                organs = []
            organs.append(draft)
            told = draft.finding == "abnormality" or any(word.meaning == "remark" for word in draft.unused)
            if draft.unused and (told or draft.unused[0].text.split()[0] in _SAME):
                unused.append(span([word for each in organs for word in each.words], plain_text))
                organs = []
        else:
            kept += [*organs, draft]
            organs = []
    return kept[:-1]


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
                draft.kind, draft.finding = "OTHER", "opacity" if draft.place or draft.clear else "abnormality"
                _name_by_place(draft)
            elif draft.kind == "ORGAN":
                draft.kind = "OTHER"
            elif draft.kind in NAMED:
                raise PromptError(f"{draft.text!r} calls a finding normal; say 'no' and its name, or leave it out")
        elif draft.kind == "ORGAN" and draft.bare and at + 1 < len(drafts) and not drafts[at + 1].joint:
            del drafts[at]  # a heading, as in "pleura: no effusion"
        elif draft.kind == "ORGAN":
            verdict = verdict or _verdict_before(drafts[: at + 1])
            if verdict is None or verdict.joint not in ("and", "comma"):
                raise PromptError(
                    f"{draft.text!r} names an organ, but no finding of it; say that it is normal, or leave it out"
                )
            draft.kind, draft.denied = "OTHER", True
        elif draft.kind in NAMED:
            verdict = None
        elif verdict and organs and draft.place and verdict.joint in ("and", "comma"):
            draft.kind, draft.finding, draft.denied = "OTHER", "opacity", True
            _name_by_place(draft)
    for before, draft in pairwise(drafts):  # "otherwise the lungs and pleural spaces are clear"
        apart = (before.clear or before.normal) and (draft.clear or draft.normal)  # "otherwise clear, heart normal"
        if before.beyond and before.denied and draft.denied and draft.joint in ("and", "comma") and not apart:
            draft.beyond = draft.beyond or draft.words[0].kind != "NO"


def _verdict_before(drafts: list[Draft]) -> Draft | None:
    """Returns the last clause where one before it says "normal" of a list: "normal heart size and hilar contours"."""
    for draft in reversed(drafts[:-1]):
        if draft.words[0].kind in ("NORMAL", "CLEAR"):
            return drafts[-1]
        if draft.kind != "ORGAN" or not draft.bare:
            break
    return None


def _name_by_place(draft: Draft) -> None:
    """Names what is absent where costophrenic angles are clear, or hila normal."""
    area = draft.values.get("area")
    if area == "costophrenic_angle":
        draft.finding = "pleural_effusion"
    elif area == "central" and not draft.clear and any(word.text in _HILA for word in draft.words):
        draft.finding = "lymphadenopathy"
    else:
        return
    del draft.values["area"]
    if draft.finding == "lymphadenopathy" and draft.values.get("side") == "both":
        del draft.values["side"]


def _refuse_open_choices(heads: Iterable[Draft]) -> None:
    for head in heads:
        if head.joint == "or" and not head.denied:
            raise PromptError(
                f"'or' before {head.text!r} leaves open which is meant; name one, or join them with 'and' and call "
                "each possible"
            )
