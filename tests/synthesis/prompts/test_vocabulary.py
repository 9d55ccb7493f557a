"""The vocabulary: every finding has its words, every term one meaning, and the page shows them all."""

from __future__ import annotations

import re

from artasyn.synthesis import FINDINGS
from artasyn.synthesis.diffusion import Prompt
from artasyn.synthesis.prompts.vocabulary import SHOWN_AS, known_names, plurals, rows, terms
from artasyn.synthesis.prompts.words import plain
from tests.conftest import ROOT


def words(row: dict[str, str]) -> str:
    """The words of a row, as a cell of a table."""
    return row["terms"].replace("/", ", ").replace("|", "\\|")


def tables() -> str:
    """The tables of docs/generation.md: the words of every finding with its codes, and the findings to deny."""
    lines = ["| finding | words | RadLex | SNOMED CT |", "|---|---|---|---|"]
    kinds = ("FINDING", "BROAD")
    for row in rows():
        if row["kind"] in kinds and row["meaning"]:
            names = " and ".join(f"`{name}`" for name in SHOWN_AS.get(row["meaning"], row["meaning"]).split("+"))
            names += f" (denied: `{row['meaning']}`)" if row["meaning"] in SHOWN_AS else ""
            lines.append(f"| {names} | {words(row)} | {row['radlex']} | {row['snomed']} |")
    lines += ["", "| absent finding | words | RadLex | SNOMED CT |", "|---|---|---|---|"]
    for row in rows():
        if row["kind"] in ("OTHER", "CAUSE"):
            lines.append(f"| `{row['meaning']}` | {words(row)} | {row['radlex']} | {row['snomed']} |")
    return "\n".join(lines) + "\n"


def test_the_page_shows_the_vocabulary() -> None:
    page = (ROOT / "docs" / "generation.md").read_text(encoding="utf-8")
    assert tables() in page, f"docs/generation.md needs these tables:\n{tables()}"


def test_every_finding_that_can_be_drawn_is_read_by_its_own_name() -> None:
    for name in FINDINGS:
        words = name.replace("_", " ")
        for text in (words, *plurals(words)):
            assert [each.finding for each in Prompt.parse(text).findings] == [name]


def test_every_known_finding_can_be_denied_by_its_own_name() -> None:
    for name in known_names():
        assert [each.finding for each in Prompt.parse(f"no {name.replace('_', ' ')}").absent] == [name]


def test_every_term_can_be_found() -> None:
    for words, term in terms().items():
        assert plain(words) == words == term.words, f"{words!r} is never seen: texts are made plain first"


def test_every_term_of_a_finding_is_read_as_that_finding() -> None:
    for words, term in terms().items():
        if term.kind == "FINDING":
            found = [each.finding for each in Prompt.parse(words).findings]
            meanings = SHOWN_AS.get(term.meaning, term.meaning).split("+")
            assert list(dict.fromkeys(found)) == meanings, words


def test_codes_have_the_form_of_their_system() -> None:
    for row in rows():
        assert re.fullmatch(r"(RID\d+)?", row["radlex"])
        assert not row["snomed"] or verhoeff(row["snomed"]), f"{row['snomed']} has a wrong check digit"


def verhoeff(number: str) -> bool:
    """Whether the last digit is the check digit of a SNOMED CT identifier (Verhoeff's scheme)."""

    def times(a: int, b: int) -> int:  # in the dihedral group of ten elements
        if a < 5:
            return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
        return 5 + (a - b) % 5 if b < 5 else (a - b) % 5

    turned = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit)
        for _ in range(place % 8):
            value = turned[value]
        total = times(total, value)
    return total == 0


def test_the_check_of_codes_can_fail() -> None:
    assert verhoeff("73211009")  # diabetes mellitus
    assert not verhoeff("73211008")
    assert not verhoeff("73210109")
