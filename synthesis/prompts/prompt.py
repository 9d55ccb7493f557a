"""A prompt: the sentence of a radiologist, read into the findings that a synthetic radiograph is to show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from lark import Lark, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken

from artasyn.errors import PromptError
from artasyn.fields import Count, check_fields
from artasyn.records import read_record, record_text
from artasyn.synthesis.prompts.clauses import drafts_of, words_of
from artasyn.synthesis.prompts.entries import asked, denied
from artasyn.synthesis.prompts.reading import settled
from artasyn.synthesis.prompts.remarks import Word
from artasyn.synthesis.prompts.said import PromptAbsence, PromptFinding
from artasyn.synthesis.prompts.vocabulary import SHOWN_AS
from artasyn.synthesis.prompts.words import LONGEST, WordLexer, merged, plain, read_words

MOST = 50
"""The most findings, absent findings and unused passages of a prompt."""
PASSAGE = 200
"""The most characters of one unused passage."""


@dataclass(frozen=True)
class Prompt:
    """The findings that a sentence asks for and denies.

    Attributes:
        findings: one entry for each finding and side; bilateral findings are two entries.
        absent: the findings that are denied.
        unused: the words that are understood but cannot be used, such as comparisons with an earlier radiograph.

    Raises:
        PromptError: nothing is said, an entry is given twice, or a finding is both asked for and denied.

    Example:
        >>> prompt = Prompt.parse(
        ...     "moderate consolidation in the right lower lobe, small left pleural effusion, no pneumothorax"
        ... )
        >>> [(each.finding, each.side, each.lobe) for each in prompt.findings]
        [('consolidation', 'right', 'lower'), ('pleural_effusion', 'left', None)]
        >>> prompt.text()
        'moderate consolidation in the right lower lobe. small pleural effusion in the left lung. no pneumothorax.'
    """

    findings: Annotated[tuple[PromptFinding, ...], Count(0, MOST)] = ()
    absent: Annotated[tuple[PromptAbsence, ...], Count(0, MOST)] = ()
    unused: Annotated[tuple[str, ...], Count(0, MOST)] = ()

    def __post_init__(self) -> None:
        check_fields(self, PromptError)
        if not self.findings and not self.absent:
            raise PromptError("the prompt names no finding; write one, such as 'consolidation in the right lower lobe'")
        every: tuple[tuple[object, ...], ...] = (self.findings, self.absent, self.unused)
        for entries in every:
            if len(set(entries)) < len(entries):
                raise PromptError(f"Prompt: an entry stands twice in {str(entries)[:80]}; leave one")
        for text in self.unused:
            if len(text) > PASSAGE:
                raise PromptError(
                    f"{text[:60]!r}... cannot be used, and has more than {PASSAGE} characters; leave it out"
                )
            if not text or text != plain(text) or '"' in text or "\n" in text:
                raise PromptError(f"Prompt: unused words {text[:80]!r} are not as `Prompt.parse` gives them")
        for absence in self.absent:
            for found in self.findings:
                if absence.denies(found):
                    raise PromptError(
                        f"a contradiction: {absence.words()!r} and {found.words()!r}; leave one out, or say two places"
                    )

    @classmethod
    def parse(cls, text: str) -> Prompt:
        """Reads a sentence, or several, in the words of a radiologist.

        The same text always gives the same prompt. `docs/generation.md` lists what can be said.

        Args:
            text: at most 25,000 characters of English; case, hyphens and line breaks do not matter.

        Raises:
            PromptError: a word is unknown, a finding cannot be drawn, a place does not exist, the sentence contradicts
                itself or can be read in two ways, or it names no finding. The message says what was found and what to
                do.
        """
        if not isinstance(text, str):
            raise PromptError(f"a prompt is text, not {type(text).__name__}")
        if len(text) > LONGEST:
            raise PromptError(f"the prompt has {len(text)} characters, more than {LONGEST}; write a shorter one")
        plain_text = plain(text)
        found: list[PromptFinding] = []
        absent: list[PromptAbsence] = []
        shown: set[str] = set()
        unused: list[Word] = []
        quoted: list[str] = []
        for sentence in _parsed(read_words(plain_text)).children:
            if not isinstance(sentence, Tree):
                continue
            if sentence.data == "unused":
                quoted += [word.meaning for word in words_of(sentence) if word.kind == "QUOTED"]
                continue
            heads, words = settled(drafts_of(sentence), plain_text)
            shown |= {head.finding for head in heads if not head.denied} & SHOWN_AS.keys()
            for head in heads:
                if head.denied:
                    absent += denied(head)
                else:
                    found += asked(head)
                    words += [word for word in head.words if word.kind in ("NEW", "BEYOND")]
            unused += words
        for absence in absent:
            if absence == PromptAbsence(absence.finding) and absence.finding in shown:
                raise PromptError(f"a contradiction: {absence.words()!r} is also asked for; leave one out")
        told = dict.fromkeys((*merged(unused, plain_text), *quoted))
        return cls(tuple(dict.fromkeys(found)), tuple(dict.fromkeys(absent)), tuple(told))

    def text(self) -> str:
        """Returns the prompt as sentences; `parse` reads the same prompt from them."""
        said = [*(each.words() for each in self.findings), *(each.words() for each in self.absent)]
        if self.unused:
            said.append("not used: " + ", ".join(f'"{words}"' for words in self.unused))
        return " ".join(f"{words}." for words in said)

    def to_json(self) -> str:
        """Returns this prompt as JSON; `from_json` reads the JSON back."""
        return record_text(self)

    @classmethod
    def from_json(cls, text: str) -> Prompt:
        """Reads a prompt that `to_json` wrote.

        Raises:
            PromptError: the text is no prompt.
        """
        return read_record(text, cls, what="a prompt", error=PromptError)


@cache
def _parser() -> Lark:
    grammar = Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer=WordLexer)


def _parsed(words: tuple[Word, ...]) -> Tree[Any]:
    """Returns the tree of some words.

    Raises:
        PromptError: the words are in an order that the grammar does not have.
    """
    try:
        return _parser().parse(words)
    except UnexpectedInput as error:
        word = error.token.value if isinstance(error, UnexpectedToken) else None
        at = f"at {word.text!r}" if isinstance(word, Word) else "at its end"
        said = " ".join(each.text for each in words if isinstance(word, Word) and abs(each.start - word.start) < 30)
        where = f"{at} in {said!r}" if said else at
        raise PromptError(
            f"the sentence cannot be read {where}; write findings with their places, joined by commas, 'and' or full "
            "stops"
        ) from error
