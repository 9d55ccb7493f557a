"""The words of prompts and their meanings, from the table `vocabulary.csv`, with codes of RadLex and SNOMED CT.

The findings follow the Fleischner Society's glossary of terms for thoracic imaging (Hansell et al., Radiology
2008;246:697; Bankier et al., Radiology 2024;310:e232558), with British and American spellings and abbreviations.
A code is that of the first term of its row, and empty where it is not known for certain.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

from artasyn.errors import SynthesisError

TABLE = Path(__file__).with_name("vocabulary.csv")

_SIGNS_OF_OEDEMA = "perihilar_opacity+septal_thickening"
SHOWN_AS = {"pulmonary_oedema": _SIGNS_OF_OEDEMA, "heart_failure": _SIGNS_OF_OEDEMA}
"""Findings that a prompt asks for as the signs that a radiograph shows of them, in both lungs; denied, they keep their
names."""
_PLURAL_KINDS = frozenset({"FINDING", "OTHER", "CAUSE", "BROAD", "NOUN", "ORGAN"})


@dataclass(frozen=True)
class Term:
    """One word or phrase of the vocabulary.

    Attributes:
        kind: the terminal of `grammar.lark`, or several with ``+`` between them.
        meaning: what the term says, in the spelling of its kind: the name of a finding, a number, or fields and values
            of a place such as ``side=right lobe=lower``.
        words: the term in lower case, without hyphens.
        radlex: the code of its row in RadLex, such as ``RID43255``; empty where it is not known.
        snomed: the code of its row in SNOMED CT, such as ``95436008``; empty where it is not known.
        plural: whether this is the regular plural of a term of the table.
    """

    kind: str
    meaning: str
    words: str
    radlex: str = ""
    snomed: str = ""
    plural: bool = False


@cache
def terms() -> dict[str, Term]:
    """Returns every term by its words, with the regular plurals of nouns.

    Example:
        >>> terms()["rll"].meaning, terms()["ground glass opacities"].meaning
        ('side=right lobe=lower', 'ground_glass_opacity')
    """
    found: dict[str, Term] = {}
    regular: dict[str, Term] = {}
    for row in rows():
        for words in (each for term in row["terms"].split("/") for each in spelled_out(term)):
            if words in found and (found[words].kind, found[words].meaning) != (row["kind"], row["meaning"]):
                raise SynthesisError(f"{TABLE.name} has {words!r} twice; leave one")
            found[words] = Term(row["kind"], row["meaning"], words, row["radlex"], row["snomed"])
            if row["kind"] in _PLURAL_KINDS:
                for many in plurals(words):
                    regular[many] = Term(row["kind"], row["meaning"], many, row["radlex"], row["snomed"], plural=True)
    found["/"] = Term("AND", "", "/")
    return regular | found


@cache
def rows() -> tuple[dict[str, str], ...]:
    """Returns the rows of the table: kind, meaning, terms with ``/`` between them, radlex and snomed."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


@cache
def lengths() -> dict[str, tuple[int, ...]]:
    """Returns the numbers of words of the terms by their first word, the largest first."""
    found: dict[str, set[int]] = {}
    for words in terms():
        parts = words.split(" ")
        found.setdefault(parts[0], set()).add(len(parts))
    return {first: tuple(sorted(each, reverse=True)) for first, each in found.items()}


def spelled_out(term: str) -> tuple[str, ...]:
    """Returns the phrases that a term of the table stands for: one of each pair of brackets, which hold ``|``.

    Example:
        >>> spelled_out("(since|from) (the|) last film")
        ('since the last film', 'since last film', 'from the last film', 'from last film')
    """
    parts = [part.split("|") for part in re.split(r"[()]", term)]
    return tuple(" ".join(" ".join(choice).split()) for choice in product(*parts))


@cache
def phrases_with() -> dict[str, tuple[str, ...]]:
    """Returns every word that stands in some term, in alphabetical order, with the first three of its terms."""
    found: dict[str, list[str]] = {}
    for words in terms():
        for word in words.split(" "):
            found.setdefault(word, []).append(words)
    return {word: tuple(each[:3]) for word, each in sorted(found.items())}


@cache
@cache
def known_names() -> frozenset[str]:
    """Returns the names of all findings that a prompt may deny: those that can be drawn and those that cannot."""
    kinds = {"FINDING", "OTHER", "CAUSE", "BROAD"}
    return frozenset(name for row in rows() if row["kind"] in kinds for name in row["meaning"].split("+") if name)


def plurals(words: str) -> tuple[str, ...]:
    """Returns the regular plural of a noun; nothing for words that are adjectives.

    Example:
        >>> plurals("ground glass opacity"), plurals("mass"), plurals("basal")
        (('ground glass opacities',), ('masses',), ())
    """
    if words.endswith(("ed", "ic", "al", "ary")):
        return ()
    if words.endswith("y") and words[-2] not in "aeiou":
        return (f"{words[:-1]}ies",)
    if words.endswith("is"):
        return (f"{words[:-2]}es",)
    return (f"{words}es",) if words.endswith(("s", "x")) else (f"{words}s",)
