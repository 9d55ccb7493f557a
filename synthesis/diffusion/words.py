"""The words of a sentence as terminals of the grammar: the longest known phrase first, and unknown words refused."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lark.lexer import Lexer, Token

from artasyn.errors import PromptError
from artasyn.synthesis.diffusion.vocabulary import phrases, single_words, terms

LONGEST = 25_000
"""The most characters of a prompt."""

_PIECE = re.compile(r'"[^"]*"|\d+(?:\.\d+)?|[^\W\d_]+(?:\'[^\W\d_]+)?|\S|\n')
_SIGNS = {",": "COMMA", "(": "COMMA", ")": "COMMA", ".": "STOP", ";": "STOP", "!": "STOP", "?": "STOP", "\n": "STOP"}
_JOINTS = ("COMMA", "AND", "WITH", "OR")
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_QUOTES = {ord("\u2019"): "'", ord("\u201c"): '"', ord("\u201d"): '"', ord("\u00d7"): "x"}


@dataclass(frozen=True)
class Word:
    """One term where it stands in a text.

    Attributes:
        kind: the terminal.
        meaning: as `artasyn.synthesis.diffusion.vocabulary.Term` has it, or a number.
        text: as written, in lower case and without hyphens.
        start: the first character in the plain text.
        end: the character after the last.
        plural: whether a noun stands in the plural.
    """

    kind: str
    meaning: str
    text: str
    start: int
    end: int
    plural: bool = False


def plain(text: str) -> str:
    """Returns a text in lower case, with one kind of dash and quote, single spaces, and words without hyphens.

    Example:
        >>> plain("Thick-walled  cavity, 3–4 cm; ?left effusion")
        'thick walled cavity, 3 to 4 cm; possible left effusion'
    """
    text = unicodedata.normalize("NFKC", text).translate(_DASHES | _QUOTES).lower()
    text = re.sub(r"(?<=\d)\s*-\s*(?=\d)", " to ", text)
    text = re.sub(r"(?<=\w)-(?=\w)", " ", text)
    text = re.sub(r"(^|(?<=[\s,(]))\?\s*(?=[a-z])", "possible ", text)
    if re.match(r"\s*1[.)]\s", text):  # a numbered list, perhaps on one line
        text = re.sub(r"(?<![\w.])\d{1,2}[.)]\s+(?=[^\W\d])", "; ", text)
    text = re.sub(r"(^|[.;\n])\s*\d{1,2}[.)]\s+(?=[^\W\d])", r"\1 ", text)
    return re.sub(r"[^\S\n]+", " ", text).strip()


def read_words(text: str) -> tuple[Word, ...]:
    """Returns the words of a plain text in their order, without those that say nothing, such as "there is".

    Args:
        text: as `plain` returns it.

    Raises:
        PromptError: a word is unknown; the message names each with the nearest known words.
    """
    pieces = [(match[0], match.start(), match.end()) for match in _PIECE.finditer(text)]
    found: list[Word] = []
    unknown: list[str] = []
    at = 0
    while at < len(pieces):
        piece, start, end = pieces[at]
        size = _longest(pieces, at)
        if size:
            end = pieces[at + size - 1][2]
            found += _of_term(text, start, end)
            if found and found[-1].kind in ("ADVICE", "ASIDE"):
                size += _rest(pieces, at + size, found[-1].kind == "ASIDE")
                found[-1] = Word(
                    found[-1].kind, "", text[start : pieces[at + size - 1][2]], start, pieces[at + size - 1][2]
                )
        elif piece in _SIGNS:
            found.append(Word(_SIGNS[piece], "", piece, start, end))
        elif piece[0] == '"' and len(piece) > 2:
            found.append(Word("QUOTED", piece[1:-1], piece, start, end))
        elif piece[0].isdigit():
            found.append(Word("NUMBER", piece, piece, start, end))
        elif piece == "-" and text[end : end + 1] in ("", " "):
            found.append(Word("COMMA", "", piece, start, end))
        elif piece != ":":
            unknown.append(piece)
        at += max(size, 1)
    if unknown:
        raise PromptError(_unknown(unknown))
    return tuple(_joined(word for word in found if word.kind != "FILLER"))


def merged(unused: list[Word], plain_text: str) -> tuple[str, ...]:
    """Returns unused words in the order of the text, neighbours together, each once.

    Args:
        unused: the words.
        plain_text: the text that their positions count in.
    """
    spans: list[list[int]] = []
    for word in sorted(unused, key=lambda each: (each.start, -each.end)):
        if spans and plain_text[spans[-1][1] : word.start].strip() == "" and word.start <= spans[-1][1] + 1:
            spans[-1][1] = max(spans[-1][1], word.end)
        elif not (spans and word.end <= spans[-1][1]):
            spans.append([word.start, word.end])
    return tuple(dict.fromkeys(" ".join(plain_text[start:end].split()) for start, end in spans))


class WordLexer(Lexer):
    """Gives the words of a text to the parser."""

    def __init__(self, conf: Any) -> None:
        pass

    def lex(self, data: tuple[Word, ...]) -> Iterator[Token]:  # type: ignore[override]
        """Returns a token for each word; its value is the `Word`.

        Args:
            data: the words, as `read_words` returns them.
        """
        for word in data:
            yield Token(word.kind, word)


def _longest(pieces: list[tuple[str, int, int]], at: int) -> int:
    """Returns how many pieces the longest known phrase at this place has; 0 where there is none."""
    for phrase in phrases().get(pieces[at][0], ()):
        if phrase == tuple(piece for piece, _, _ in pieces[at : at + len(phrase)]):
            return len(phrase)
    return 0


def _of_term(text: str, start: int, end: int) -> list[Word]:
    words = text[start:end]
    term = terms()[" ".join(match[0] for match in _PIECE.finditer(words))]
    return [Word(kind, term.meaning, words, start, end, term.plural) for kind in term.kind.split("+")]


def _rest(pieces: list[tuple[str, int, int]], at: int, aside: bool) -> int:
    """Returns how many pieces stand before the end of the sentence; of an aside, before the next comma too."""
    ends = ("STOP", "COMMA") if aside else ("STOP",)
    return next((n for n, (piece, _, _) in enumerate(pieces[at:]) if _SIGNS.get(piece) in ends), len(pieces) - at)


def _joined(words: Iterator[Word]) -> Iterator[Word]:
    """Gives the words with one joint where several stand together, as in ", and"; none at the ends of sentences."""
    waiting: Word | None = None
    fresh = True
    for word in words:
        if word.kind in _JOINTS:
            if waiting is None or _JOINTS.index(word.kind) > _JOINTS.index(waiting.kind):
                waiting = word
            continue
        if waiting and not (waiting.kind == "COMMA" and (fresh or word.kind == "STOP")):
            yield waiting
        waiting, fresh = None, word.kind == "STOP"
        yield word
    if waiting and waiting.kind != "COMMA":
        yield waiting


def _unknown(words: list[str]) -> str:
    said = []
    for word in dict.fromkeys(words):
        near = [phrase for phrase in terms() if word in phrase.split(" ")][:3]
        near = near or difflib.get_close_matches(word, single_words(), n=3, cutoff=0.6)
        said.append(f"{word!r}" + (f" (known: {', '.join(near)})" if near else ""))
    return (
        f"unknown words {', '.join(said)}; write them otherwise or leave them out. docs/generation.md lists what can "
        "be said"
    )
