"""Sentences to findings: what a denial reaches, what an organ's state says, and which clauses say nothing."""

from __future__ import annotations

from collections.abc import Iterable

from artasyn.errors import PromptError
from artasyn.synthesis.diffusion.attachment import attach, share
from artasyn.synthesis.diffusion.clauses import LISTED, NAMED, Draft
from artasyn.synthesis.diffusion.reasons import explain, span
from artasyn.synthesis.diffusion.words import Word


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
    drafts = explain(drafts, unused, plain_text)
    _judge_organs(drafts)
    heads = attach(drafts)
    share(heads)
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
        unused.append(span(draft.words, plain_text))
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
            elif draft.kind in NAMED:
                raise PromptError(f"{draft.text!r} calls a finding normal; say 'no' and its name, or leave it out")
        elif draft.kind == "ORGAN" and draft.bare and at + 1 < len(drafts) and not drafts[at + 1].joint:
            del drafts[at]  # a heading, as in "pleura: no effusion"
        elif draft.kind == "ORGAN":
            if verdict is None or verdict.joint not in ("and", "comma"):
                raise PromptError(
                    f"{draft.text!r} names an organ, but no finding of it; say that it is normal, or leave it out"
                )
            draft.kind, draft.denied = "OTHER", True
        elif draft.kind in NAMED:
            verdict = None
        elif verdict and organs and draft.place and verdict.joint in ("and", "comma"):
            draft.kind, draft.finding, draft.denied = "OTHER", "opacity", True


def _refuse_open_choices(heads: Iterable[Draft]) -> None:
    for head in heads:
        if head.joint == "or" and not head.denied:
            raise PromptError(
                f"'or' before {head.text!r} leaves open which is meant; name one, or join them with 'and' and call "
                "each possible"
            )
